"""Models that are callables, objects, classes or no models, and what they return."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

FIRST = '{"image_id": "000.jpg", '


def lines(folder) -> list[str]:
    return (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        ("np.array(answers, 'float32')", '"latitude": 0.5, "longitude": -1.0}'),
        ("__import__('torch').tensor(answers).bfloat16()", '"latitude": 0.5, "longitude": -1.0}'),
        ("tuple(map(tuple, answers))", '"latitude": 0.5, "longitude": -1.0}'),
        ("['Paris \\u2013 48.85, 2.35'] * len(photos)", '"response": "Paris \\u2013 48.85, 2.35"}'),
        (
            "[[[y, x, 0.5], [1, 2, -0.5]] for y, x in answers]",
            '"latitude": 0.5, "longitude": -1.0, "candidates": [[0.5, -1.0, 0.5], '
            "[1.0, 2.0, -0.5]]}",
        ),
    ],
)
def test_coordinates_texts_and_candidates_become_lines(run, returned, line):
    code = f"\ndef model(photos):\n    answers = predict(photos)\n    return {returned}\n"
    status, err, folder = run(code, "--limit", "2", name="model")
    assert (status, err) == (0, "")
    assert lines(folder)[1] == FIRST.replace("000", "001") + line


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "returned NoneType of shape () for n = 4 photos; for n photos, return an"),
        ("{'latitude': 1}", "returned dict that is no array"),
        ("answers[0]", "of shape (2,) for n = 4 photos"),
        ("answers[:-1]", "of shape (3, 2) for n = 4 photos"),
        ("np.zeros((4, 3))", "of shape (4, 3) for n = 4 photos"),
        ("np.zeros((4, 0, 3))", "of shape (4, 0, 3)"),
        ("[[1, 2], [3]]", "returned list that is no array of numbers"),
        ("['Paris'] * 3", "returned 3 texts for n = 4 photos"),
        ("['Paris', None, 'Rome', 'Oslo']", "returned NoneType in a list of texts"),
        ("np.full((4, 2), np.nan)", "returned NaN or infinity"),
        ("[[2, 140]] * 3 + [[140, 2]]", "latitude 140 and longitude 2, beyond ±90 and ±180"),
        ("[[140, 2]] * 4", "they look swapped: latitude comes first"),
        ("[[[1, 2, 0.1], [1, 2, 0.9]]] * 4", "candidates whose scores increase"),
    ],
)
def test_a_wrong_answer_stops_the_run_and_says_what_to_return(run, returned, message):
    code = f"\ndef model(photos):\n    answers = predict(photos)\n    return {returned}\n"
    status, err, folder = run(code, "--limit", "4", name="model")
    assert status == 2 and message in err and len(err.splitlines()) == 1
    assert lines(folder) == []


OBJECT = """
class Model:
    device = prompt = None
    batch_size, image_size = 7, 4
    checkpoint = {"name": "zero", "sha256": "00"}

    def preprocess(self, photo):
        assert photo.size == (8, 4) and not photo.info
        return np.asarray(photo)

    def predict(self, arrays):
        assert len(arrays) <= 7 and self.device == "cpu"
        return [self.prompt] * len(arrays)
"""


def test_an_object_is_given_the_options_it_has_and_its_settings_are_kept(run):
    options = ["--device", "cpu", "--prompt", "Where?", "--amp", "bfloat16", "--workers", "1"]
    status, err, folder = run(OBJECT, *options, "--limit", "20", name="Model")
    assert (status, err) == (0, "")
    assert lines(folder) == [f'{{"image_id": "{n:03}.jpg", "response": "Where?"}}'
                             for n in range(20)]  # fmt: skip
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert document["settings"]["checkpoint"] == {"name": "zero", "sha256": "00"}
    assert document["settings"]["prompt"] == "Where?"
    assert document["settings"]["batch_size"] == 7
    assert document["answers"] == {"unparseable": 20} or sum(document["answers"].values()) == 20


@pytest.mark.parametrize(
    ("code", "name", "options", "message"),
    [
        ("", "predicted", [], "there is no 'predicted' in it, but numbers, predict"),
        ("x = 3", "x", [], "can neither be called nor has it a method predict"),
        ("1 / 0", "predict", [], "ZeroDivisionError: division by zero (model.py, line 10)"),
        ("class M:\n  def __init__(self): open('/no')", "M", [], "No such file"),
        ("", "predict", ["--prompt", "?"], "--prompt has no effect: "),
        ("class M:\n  batch_size = 0\n  def predict(s, p): ...", "M", [], "batch_size is 0"),
        (
            "class M:\n  image_size = -1\n  def predict(s, p): ...",
            "M",
            [],
            "shorter side in",
        ),
        (
            "class M:\n  device = property(lambda s: 'cpu')\n  def predict(s, p): ...",
            "M",
            ["--device", "cpu"],
            "has no attribute 'device' that can be set",
        ),
        ("predict.checkpoint = {'weights': np.zeros(3)}", "predict", [], "that name the weights"),
        ("", "predict", ["--shard", "1/9"], "4 batches of 32 photos cannot be divided into 9"),
        ("", "predict", ["--benchmark", "im2gps4k"], "the benchmarks are im2gps, random_2k"),
    ],
)
def test_what_is_no_model_or_no_benchmark_is_refused(run, code, name, options, message):
    status, err, _ = run(code, *options, name=name)
    assert status == 2 and message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--shard=3/2", "--shard=x", "--batch-size=0", "--amp=int8"])
def test_an_option_without_meaning_is_refused(run, option, capsys):
    with pytest.raises(SystemExit):
        run("", option)
    assert option.partition("=")[0] in capsys.readouterr().err


def test_tensors_from_workers_are_not_too_many_files(run):
    resource = pytest.importorskip("resource")
    code = """
class Model:
    def preprocess(self, photo):
        import torch
        return torch.tensor(np.asarray(photo))

    def predict(self, tensors):
        return [[tensor.float().mean() / 9, 0] for tensor in tensors]
"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (90, hard))
    try:
        options = ["--batch-size", "110", "--workers", "1"]
        assert run(code, *options, name="Model")[0] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing.py:f", "nothing.py: no such file"),
        ("json:lods", "json:lods: there is no 'lods' in it, but"),
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("predict", "a model is FILE.py:NAME, package.module:NAME, or one of the adapters"),
    ],
)
def test_a_model_that_cannot_be_found_is_named(spec, message, tmp_path, capsys):
    from geoeval.cli import main

    command = [spec, "--benchmark", "photos", "--data-dir", str(tmp_path), "-o", f"{tmp_path}/run"]
    assert main(command) == 2
    assert message in capsys.readouterr().err
