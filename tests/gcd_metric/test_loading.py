"""evaluate.load finds the metric from the checkout, from other folders, and beside namesakes."""

import doctest
import importlib
import inspect
from pathlib import Path

import evaluate
import pytest

import gcd_metric

ROOT = Path(__file__).parents[2]
COMPUTE = "print(m.compute(predictions=[[0, 0]], references=[[0, 1]])['median_km'])"
EXPECTED = "111.19"


def load(name="gcd_metric", first=""):
    return f"{first}\nimport evaluate\nm = evaluate.load({str(name)!r})\n{COMPUTE}"


@pytest.fixture()
def apart(offline):
    """Runs code in a folder as `python -c` does, with no other folder of ours on the path."""
    return lambda code, folder: offline.run(f"import sys; sys.path[0] = ''\n{code}", folder=folder)


def test_from_the_checkout_without_import(apart):
    assert apart(load(), ROOT).out.startswith(EXPECTED)


def test_by_path(apart, tmp_path):
    paths = ROOT / "gcd_metric", ROOT / "gcd_metric" / "gcd_metric.py"
    done = apart("\n".join(map(load, paths)), tmp_path)
    assert [line[:6] for line in done.out.splitlines()] == [EXPECTED] * 2, done.err


@pytest.mark.parametrize("package", ["gcd_metric", "geo_attributes", "im2gps", "justzoomin"])
@pytest.mark.parametrize("order", ["import {}, evaluate", "import evaluate, {}"])
def test_from_an_empty_folder_after_importing_any_of_ours(offline, tmp_path, package, order):
    code = load(first=order.format(package)) + "\nevaluate.load('geo_attributes')"
    done = offline.run(code, folder=tmp_path)
    assert done.code == 0 and done.out.startswith(EXPECTED), done.err


def test_a_similar_name_is_suggested(monkeypatch):
    monkeypatch.setattr("socket.socket", None)  # no request is sent
    for name, meant in {
        "GCD_metric": '"gcd_metric"',
        "gcd-metric": '"gcd_metric"',
        "gcdmetric": '"gcd_metric"',
        "geo-attributes": '"geo_attributes"',
        "Im2GPS": '"gcd_metric", "im2gps"',
        "just_zoom_in": '"gcd_metric", "justzoomin"',
    }.items():
        with pytest.raises(FileNotFoundError) as caught:
            evaluate.load(name)
        message = f"{name!r} is not a metric; did you mean evaluate.load({meant})?"
        assert str(caught.value) == message


HEAVY = {"evaluate", "torch", "transformers", "matplotlib", "plotly", "pyproj", "gradio"}
HELP = "import {0}.cli\ntry: {0}.cli.main(['--help'])\nexcept SystemExit: pass"
LIGHT = {
    "import": ("import gcd_metric, geo_attributes", {"datasets", "pandas", "scipy"}),
    "help": (HELP.format("gcd_metric"), {"datasets", "scipy"}),
    "help of im2gps": (HELP.format("im2gps"), set()),
    "help of justzoomin": (HELP.format("justzoomin"), set()),
    "loading": ("import datasets, im2gps; datasets.load_dataset('im2gps', {})", set()),
}


@pytest.mark.parametrize("what", LIGHT)
def test_evaluate_is_imported_only_where_needed(python, tmp_path, packs, what):
    code, also = LIGHT[what]
    code = code.replace("{}", f"data_dir={str(packs)!r}, split='test'")
    out = python("-c", f"{code}\nimport sys\nprint(*sys.modules)", cwd=tmp_path)
    loaded = set(out.splitlines()[-1].split())
    assert "numpy" in loaded
    assert not loaded & (HEAVY | also)


def test_without_import_an_empty_folder_has_no_metric(apart, tmp_path):
    assert "Couldn't find a module script" in apart(load(), tmp_path).err


def test_beside_another_folder_of_that_name(python, tmp_path):
    other = tmp_path / "gcd_metric"
    other.mkdir()
    (other / "gcd_metric.py").write_text("raise SystemExit('the other one was imported')")
    # as a script from elsewhere, so that the folder itself is not on the path
    script = tmp_path / "scripts" / "run.py"
    script.parent.mkdir()
    script.write_text(load(first="import gcd_metric"))
    assert python(script, cwd=tmp_path).startswith(EXPECTED)


def test_the_file_in_its_own_folder_as_in_a_space(apart):
    assert apart(load("gcd_metric.py"), ROOT / "gcd_metric").out.startswith(EXPECTED)


def test_the_name_and_the_default_configuration():
    loaded = evaluate.load("gcd_metric")
    assert (loaded.name, loaded.config_name) == ("gcd_metric", "standard")
    assert type(loaded) is gcd_metric.GcdMetric


def test_an_unknown_configuration_lists_the_known():
    with pytest.raises(ValueError, match="im2gps, standard, justzoomin"):
        evaluate.load("gcd_metric", "im2gsp")


def test_other_names_go_through_unchanged(tmp_path):
    other = tmp_path / "constant"
    other.mkdir()
    (other / "constant.py").write_text(
        "import datasets\nimport evaluate\n\n\n"
        "class Constant(evaluate.Metric):\n"
        "    def _info(self):\n"
        "        value = datasets.Value('float64')\n"
        "        features = datasets.Features({'predictions': value, 'references': value})\n"
        "        return evaluate.MetricInfo(description='', citation='', features=features)\n\n"
        "    def _compute(self, predictions, references):\n"
        "        return {'constant': 7}\n"
    )
    loaded = evaluate.load(str(other), cache_dir=str(tmp_path))
    assert loaded.compute(predictions=[1.0], references=[1.0]) == {"constant": 7}


def test_the_examples_run_where_evaluates_own_tests_look_for_them():
    module = importlib.import_module(gcd_metric.GcdMetric.__module__)
    results = doctest.testmod(module)
    assert results.failed == 0 and results.attempted >= 4
    parameters = inspect.signature(gcd_metric.GcdMetric._compute).parameters.values()
    assert not [one for one in parameters if one.kind == one.VAR_KEYWORD]


# the private names of evaluate that this package uses


def test_evaluate_finds_the_replaced_factory(monkeypatch):
    seen = []

    def factory(path, **kwargs):
        seen.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(evaluate.loading, "evaluation_module_factory", factory)
    with pytest.raises(FileNotFoundError):
        evaluate.load("anything")
    assert seen == ["anything"]
