"""Several files in one table and figure, and the formats of `gcd-metric --format`."""

import io
import json
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gcd_metric
from gcd_metric import text
from gcd_metric.cli import main
from gcd_metric.comparison import holm
from gcd_metric.names import visible
from gcd_metric.output import FORMATS, Output, formatted
from tests.gcd_metric.formats import same
from tests.gcd_metric.scored import scored

N = 80
KEYS = ["acc@1km", "acc@25km", "acc@200km", "acc@750km", "acc@2500km"]
HARD = r"""#5_$x^{2} & ~50% [a]--b\c|<d>"`*é"""  # no file system forbids these, except Windows


@pytest.fixture()
def truth():
    random = np.random.default_rng(0)
    places = {"lat": random.uniform(-60, 60, N), "lon": random.uniform(-170, 170, N)}
    return pd.DataFrame({"id": [f"p{index}.jpg" for index in range(N)], **places})


@pytest.fixture()
def files(truth, tmp_path, monkeypatch):
    """Predictions of three models; the first has no prediction for 5 photos, the last for 10."""
    monkeypatch.chdir(tmp_path)
    truth.to_csv("truth.csv", index=False)
    random = np.random.default_rng(1)
    for name, rows, worst in (("a", range(5, N), 1), ("b", range(N), 10), ("c", range(70), 30)):
        guess = truth.iloc[list(rows)]
        guess = guess.assign(
            lat=guess["lat"] + 10 ** random.uniform(-3, np.log10(worst), len(rows))
        )
        guess.to_csv(f"{name}.csv", index=False)
    return ["a.csv", "b.csv", "c.csv", "--references", "truth.csv", "--allow-partial"]


def models(*names, errors=(0.1, 0.5, 3.0, 20.0)):
    """Scores of models of these names, each with larger errors (in degrees) than the one before."""
    truth = np.zeros((len(errors), 2))
    guesses = [
        np.column_stack([np.array(errors) * (1 + i), truth[:, 1]]) for i in range(len(names))
    ]
    return scored(truth, *guesses, names=names)


# --- several files ------------------------------------------------------------------------------


def test_several_files_are_scored_over_the_photos_that_all_predict(run, files, truth):
    document = json.loads(run(*files, "--json"))
    common = truth.iloc[5:70]
    assert [one["name"] for one in document["runs"]] == ["a", "b", "c"]
    metric = gcd_metric.GcdMetric()
    for one in document["runs"]:
        guess = pd.read_csv(one["predictions"]).set_index("id").loc[common["id"]]
        expected = metric.compute(predictions=guess.to_numpy(), references=common[["lat", "lon"]])
        assert {key: pytest.approx(value) for key, value in expected.items()} == one["scores"]
    assert document["differences"] == [] and document["comparison"] is None
    counted = json.loads(run(*files[:-1], "--missing", "miss", "--json"))["runs"]
    assert [one["scores"]["n_missing"] for one in counted] == [5, 0, 10]
    error = run(*files[:-1], code=2)
    assert "65 of 80" in error and "a.csv: references" in error and "c.csv: references" in error


def test_one_table_has_all_files_and_files_may_follow_options(run, files):
    table = run(*files)
    rows = [line.split()[0] for line in table.splitlines()[3:9:2]]
    assert rows == ["a", "b", "c"] and "Paired" not in table
    assert run(files[0], "--references", "truth.csv", "--allow-partial", *files[1:3]) == table


def test_files_without_a_common_photo_are_refused(run, files, truth):
    for name, rows in (("x", slice(0, 20)), ("y", slice(10, 40)), ("z", slice(30, 60))):
        truth.iloc[rows].to_csv(f"{name}.csv", index=False)
    error = run("x.csv", "y.csv", "z.csv", *files[3:], code=2)
    assert "x.csv, y.csv and z.csv have no image in common" in error


def test_the_truth_may_be_in_the_first_of_several_files(run, files, truth):
    expected = json.loads(run("b.csv", "c.csv", *files[3:], "--json"))["runs"]
    for name in ("b", "c"):
        both = pd.read_csv(f"{name}.csv").merge(truth, on="id", suffixes=("_pred", "_true"))
        both.to_csv(f"{name}.csv", index=False)
    document = json.loads(run("b.csv", "c.csv", "--allow-partial", "--json"))
    for found, one in zip(document["runs"], expected, strict=True):
        assert same(found["scores"], one["scores"])
    assert document["references"]["name"] == "b.csv"


def test_files_with_the_same_predictions_are_named(files, capsys):
    shutil.copy("a.csv", "d.csv")
    assert main(["d.csv", *files]) == 0
    notes = capsys.readouterr().err
    assert "d and a contain the same predictions" in notes and notes.count("the same") == 1


def test_names_tell_files_apart_by_the_extension_where_they_must():
    assert text.names_of(["a.csv", "a.parquet", "b.csv"]) == ["a.csv", "a.parquet", "b.csv"]
    assert text.names_of(["x/a.csv", "y/a.csv", "z/b.csv"]) == ["x/a", "y/a", "z/b"]
    assert text.names_of(["a.csv", "a.csv", "b.csv"]) == ["a (1)", "a (2)", "b (3)"]


# --- differences --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [  # as R's p.adjust(p, "holm")
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.04], [0.04]),
        ([0.6, 0.7], [1, 1]),
    ],
)
def test_holm_gives_known_values(p_values, expected):
    assert holm(np.array(p_values)) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    """A hypothesis is rejected if Bonferroni's test rejects every set of hypotheses with it."""
    found = holm(np.array(p_values))
    numbers = range(len(p_values))
    for one in numbers:
        sets = (some for size in numbers for some in combinations(numbers, size + 1) if one in some)
        worst = max(min(len(some) * min(p_values[i] for i in some), 1) for some in sets)
        assert found[one] == pytest.approx(worst)


def test_differences_of_all_pairs_are_those_of_compare(run, files, truth):
    document = json.loads(run(*files, "--differences", "--json"))
    assert document["comparison"] is None
    common = truth.iloc[5:70]
    guesses = {name: pd.read_csv(f"{name}.csv").set_index("id").loc[common["id"]] for name in "abc"}
    found = document["differences"]
    assert [(one["a"], one["b"]) for one in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    for key in KEYS:
        for one in found:
            a, b = (guesses[one[side]].to_numpy() for side in "ab")
            expected = gcd_metric.compare(a, b, common[["lat", "lon"]])[key]
            expected["ci95"] = list(expected["ci95"])
            p_holm = one[key].pop("p_holm")
            assert p_holm >= one[key]["p_value"] and one[key] == expected
    # a has the smallest errors, so it is better than both
    assert found[0]["acc@200km"]["difference"] > 0 and found[1]["acc@200km"]["difference"] > 0


def test_the_table_of_differences_says_what_they_are(run, files):
    out = " ".join(run(*files, "--differences").split())
    assert "percentage points; positive: the first is better" in out
    assert "b − a" in out and "c − b" in out and out.count("p, corrected") == 3
    assert "corrected for the 3 pairs at each distance by Holm's method" in out
    assert "the intervals are not corrected" in out


def test_gains_of_the_second_model_are_positive_and_said_in_a_sentence():
    truth = np.column_stack([np.linspace(-50, 50, 200), np.zeros(200)])
    better, worse = (truth + [0, error] for error in (0.1, 3.0))
    better[:3] = worse[:3] - [0, 1e-4]  # no photo of worse is the better one within 25 km
    both = scored(truth, worse, better, thresholds=(0.5, 25.0, 2500.0))
    headers, rows = text.paired_table(both)
    assert headers == ["distance", "gain of B", "only B : only A", "McNemar p"]
    assert [row[0] for row in rows] == ["0.5 km", "25 km", "2,500 km", "median"]
    gains = [row[1].split(" [")[0] for row in rows]
    assert gains[:3] == ["0.0 points", "98.5 points", "0.0 points"]
    assert float(gains[3].removesuffix(" km")) > 0
    assert rows[1][2:] == ["197 : 0", "<0.0001"]
    assert text.verdicts(both) == ["b is better at 25 km; no clear difference at 0.5 and 2,500 km."]
    turned = scored(truth, better, worse, thresholds=(25.0,))
    assert text.verdicts(turned) == ["a is better at 25 km."]
    assert text.paired_table(turned)[1][0][1].startswith("-98.5 points [-99")
    assert text.verdicts(scored(truth, better, better)) == [
        "No clear difference at 200 and 750 km."
    ]
    assert text.verdicts(scored(truth, worse, better, better)) == []


@given(st.floats(-0.2, 0.2))
def test_no_figure_is_a_negative_zero(value):
    assert text.fixed(value) != "-0.0" and float(text.fixed(value)) == round(value, 1)


def test_two_files_with_differences_are_as_with_compare(run, files):
    more = files[3:]
    for form in ("table", "json", "markdown", "latex"):
        expected = run("a.csv", "--compare", "b.csv", *more, "--format", form)
        assert run("a.csv", "b.csv", "--differences", *more, "--format", form) == expected
    assert "p_holm" not in run("a.csv", "b.csv", "--differences", *more, "--json")


def test_compare_and_differences_need_the_right_number_of_files(run, files):
    error = run(*files, "--compare", "a.csv", code=2)
    assert "--compare is for one file" in error and "--differences" in error
    assert "at least two files" in run("a.csv", *files[3:], "--differences", code=2)


# --- formats ------------------------------------------------------------------------------------


def test_json_is_a_format(run, files):
    assert run(*files, "--format", "json") == run(*files, "--json")


def read_csv(text):
    return pd.read_csv(io.StringIO(text))


def test_csv_has_every_figure_with_the_ends_of_its_interval(run, files):
    table = read_csv(run(*files, "--differences", "--format", "csv"))
    document = json.loads(run(*files, "--differences", "--json"))
    assert table["kind"].tolist() == ["run"] * 3 + ["difference"] * 3
    for (_, row), one in zip(table[:3].iterrows(), document["runs"], strict=True):
        for key, value in one["scores"].items():
            name = key.removesuffix("_ci95")
            found = [row[f"{name}_low"], row[f"{name}_high"]] if name != key else row[key]
            assert found == pytest.approx(value)
    for (_, row), one in zip(table[3:].iterrows(), document["differences"], strict=True):
        assert (row["name"], row["minus"]) == (one["a"], one["b"])
        for key in KEYS:
            assert row[key] == pytest.approx(one[key]["difference"])
            ends = [row[f"{key}_low"], row[f"{key}_high"]]
            assert ends == pytest.approx(one[key]["ci95"])
            assert row[f"{key}_p_holm"] == pytest.approx(one[key]["p_holm"])


@pytest.mark.parametrize("name", ["comma, quote \" and 'more'", "=1+1", "new\nline"])
def test_csv_keeps_names(name):
    table = read_csv(formatted(models(name, "b"), Output("csv"), {}))
    assert table["name"].tolist()[:2] == [name, "b"]


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_published_results_are_there_on_request(run, files, truth, form):
    whole = pd.concat([truth] * 3).head(237).assign(id=[f"{index}.jpg" for index in range(237)])
    whole.to_csv("whole.csv", index=False)
    arguments = ["whole.csv", "--references", "whole.csv", "--benchmark", "im2gps"]
    assert "PlaNet" not in run(*arguments, "--format", form)
    assert "PlaNet" in run(*arguments, "--format", form, "--published")


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_has_the_figures_of_the_table(run, files):
    lines = run(*files, "--format", "markdown").splitlines()
    assert cells_of(lines[0])[:3] == ["model", "1 km (%)", "25 km (%)"]
    document = json.loads(run(*files, "--json"))
    for line, one in zip(lines[2:5], document["runs"], strict=True):
        name, *cells = cells_of(line)
        share, (low, high) = one["scores"]["acc@1km"], one["scores"]["acc@1km_ci95"]
        assert name == one["name"] and cells[-1] == "65"
        assert cells[0] == f"{share:.1%} [{low:.1%}, {high:.1%}]".replace("%", "")
    assert lines[5] == "" and "n = 65 of 80" in lines[6] and "Intervals: 95 %" in lines[6]


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_plusminus_gives_both_distances_where_they_differ(form):
    """Wilson's intervals are not symmetric, so one number would be wrong."""
    one = models("a", errors=[0.1] * 7 + [40] * 3)
    (row,) = (
        line
        for line in formatted(one, Output(form, "plusminus"), {}).splitlines()
        if "a " in line[:4]
    )
    low, high = one.runs[0].scores["acc@200km_ci95"]
    up, down = f"{100 * high - 70:.1f}", f"{70 - 100 * low:.1f}"
    assert up != down
    expected = f"70.0 +{up}/−{down}" if form == "markdown" else f"70.0$_{{-{down}}}^{{+{up}}}$"
    assert expected in row
    half = models("a", errors=[0.1] * 5 + [40] * 5)
    sign = "±" if form == "markdown" else r"$\pm$"
    assert f"50.0 {sign} 26.3" in formatted(half, Output(form, "plusminus"), {})
    without = formatted(one, Output(form, "none"), {})
    assert "[" not in without and "Intervals" not in without


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"markdown", "latex"}))
def test_intervals_are_an_option_of_papers_only(run, files, form):
    error = run(*files, "--format", form, "--intervals", "none", code=2)
    assert "--intervals is for --format markdown and latex" in error


def test_slices_and_places_are_in_every_format(run, files, truth):
    pytest.importorskip("shapely")
    truth.assign(scene=["city", "park"] * 40).to_csv("truth.csv", index=False)
    more = [*files, "--by", "scene", "--places"]
    assert "b by scene" in run(*more, "--format", "markdown")
    latex = run(*more, "--format", "latex")
    assert r"country (\%)" in latex and latex.count(r"\bottomrule") == 5
    table = read_csv(run(*more, "--format", "csv"))
    assert table["kind"].tolist() == ["run"] * 3 + ["slice"] * 6
    assert set(table["value"].dropna()) == {"city", "park"}
    assert table["acc_country_low"].notna().sum() == 3


# --- names in Markdown and LaTeX ----------------------------------------------------------------

_COMMANDS = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textasciigrave{}": "`",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    "{[}": "[",
    "{*}": "*",
    "$-$": "\u2212",
    "{}": "",
    **{f"\\{char}": char for char in "&%$#_{}"},
}
_TOKEN = re.compile("|".join(map(re.escape, _COMMANDS)) + r'|[^\\{}$&%#_^~\[*<>|"`]')


def from_latex(text):
    """What LaTeX prints; a character that it would take for a command is an error."""
    tokens = _TOKEN.findall(text)
    assert "".join(tokens) == text
    assert "--" not in text  # a dash
    return "".join(_COMMANDS.get(token, token) for token in tokens)


hard_names = st.text(st.sampled_from(HARD + "abc'?!.,\u2212") | st.characters(), min_size=1)


@given(hard_names)
@example(HARD)
def test_latex_prints_names_as_they_are(name):
    lines = formatted(models(name), Output("latex"), {}).splitlines()
    start = lines.index(r"\midrule")
    assert lines[start + 1].endswith(r" \\") and lines[start + 2].endswith(r" \\[2pt]")
    cells = re.split(r"(?<!\\)&", lines[start + 1])
    assert len(cells) == len(re.split(r"(?<!\\)&", lines[start - 1]))
    assert from_latex(cells[0].strip()) == visible(name).strip()
    comments = lines[: lines.index(r"% \usepackage{booktabs}") + 1]
    assert all(line.startswith("% ") for line in comments)


@given(hard_names)
@example(HARD)
def test_markdown_shows_names_as_they_are(name):
    markdown_it = pytest.importorskip("markdown_it")
    text = formatted(models(name), Output("markdown"), {}).split("\n\n")[0]
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(text)
    rows = [token.children for token in tokens if token.type == "inline"]
    assert sum(token.type == "tr_open" for token in tokens) == 2
    width = sum(token.type == "th_open" for token in tokens)
    shown = "".join(child.content for child in rows[width])
    assert " ".join(shown.split()) == " ".join(visible(name).split())


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_latex_compiles(tmp_path):
    three = models(HARD, "[x] first", "* starred")
    tables = "\n".join(
        formatted(three, Output("latex", intervals), {}) for intervals in ("brackets", "plusminus")
    )
    page = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{page}\n{tables}\n\\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


# --- figures ------------------------------------------------------------------------------------


def test_a_report_of_many_files_has_every_curve_and_few_maps(run, files, truth):
    pytest.importorskip("matplotlib")
    names = [f"m{index}.csv" for index in range(9)]
    for index, name in enumerate(names):
        truth.assign(lat=truth["lat"] + 0.1 * (1 + index)).to_csv(name, index=False)
    run(*names, *files[3:], "--report", "many.html", "--differences")
    page = Path("many.html").read_text(encoding="utf-8")
    assert page.count("<img") == 3 and page.count("Worst predictions of") == 6  # title and label
    assert "of the first 3 of 9 files" in page
    legend = re.findall(r"border-top:3px (\w+) (#\w+)", page)
    assert len(set(legend)) == len(legend) == 9
    assert page.count("p, corrected") == 36
    run(*names[:2], *files[3:], "--report", "two.html")
    page = Path("two.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and "of the first" not in page and "Paired" not in page
    run(*names[:4], *files[3:], "--report", "many.png", "--differences")
    assert Path("many.png").stat().st_size > 10_000


@pytest.fixture()
def pyplot(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def height(line, distance):
    """Of a step curve, in percent."""
    x, y = line.get_data()
    return y[np.searchsorted(x, distance, side="right") - 1]


def test_plot_draws_the_curve_on_new_axes(pyplot, truth):
    guess = truth.assign(lat=truth["lat"] + np.geomspace(0.001, 20, N))
    axes = gcd_metric.plot(guess.sample(frac=1, random_state=0), truth)  # paired by id
    assert axes.figure.number in pyplot.get_fignums()  # so a notebook shows it
    expected = gcd_metric.GcdMetric().compute(predictions=guess, references=truth)
    for key, distance in zip(KEYS, (1, 25, 200, 750, 2500), strict=True):
        assert height(axes.lines[0], distance) == pytest.approx(100 * expected[key])
    assert axes.get_legend() is None


def test_plot_names_several_models(pyplot, truth):
    guesses = {"_near": truth.assign(lat=truth["lat"] + 0.1), "$far": truth.assign(lat=0.0)}
    _, (left, right) = pyplot.subplots(1, 2)
    assert gcd_metric.plot(guesses, truth, ax=right, thresholds=[500]) is right
    assert not left.lines
    assert [entry.get_text() for entry in right.get_legend().get_texts()] == ["_near", "$far"]
    assert height(right.lines[0], 500) == 100 > height(right.lines[1], 500)
    right.figure.canvas.draw()


def test_plot_draws_a_map(pyplot, truth):
    columns = {"latitude": truth["lat"].tolist(), "longitude": truth["lon"].tolist()}
    axes = gcd_metric.plot(columns, truth, kind="map")  # columns, not models
    assert axes.get_xlim() == (-180, 180) and axes.get_ylabel() == "latitude (°)"
    assert sum(len(dots.get_offsets()) for dots in axes.collections if hasattr(dots, "_offsets"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "maps"}, "'curve', 'map'"),
        ({"predictions": {"a": [[0, 0]], "b": [[0, 0]]}, "kind": "map"}, "one model.*a or b"),
        ({"predictions": {"a": [[0, 0]], "b": [[0, 0]] * 2}}, "b: .*same length"),
        ({"predictions": {}}, "empty mapping"),
        ({"predictions": [[np.nan, np.nan]]}, "missing"),
    ],
)
def test_plot_refuses_bad_input_before_it_draws(pyplot, arguments, message):
    with pytest.raises(ValueError, match=message):
        gcd_metric.plot(**{"predictions": [[0, 0]], "references": [[1, 1]], **arguments})
    assert not pyplot.get_fignums()


def test_plot_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"plot needs matplotlib.*\[report\]"):
        gcd_metric.plot([[0, 0]], [[1, 1]])
