"""From a model to a number: benchmarks, scores, shards and reports."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("torch")

import gcd_metric.cli
from geoeval.cli import main

MODEL = """
import numpy as np

def mean(photos):
    assert not any(photo.getexif() or photo.info or vars(photo).get("filename") for photo in photos)
    assert all(photo.mode == "RGB" for photo in photos)
    return [[np.asarray(photo).mean() / 3, 2.5] for photo in photos]

def text(photos):
    return ["I cannot tell" if lat % 2 < 1 else f"Final answer: {lat}, {lon}"
            for lat, lon in mean(photos)]

def candidates(photos):
    return [[[lat, lon, 1], [0, 0, 0]] for lat, lon in mean(photos)]

def failing(photos):
    if len(photos) == 1 and np.asarray(photos[0]).mean() > 130:
        raise OSError("no answer")
    return mean(photos) if len(photos) == 1 else 1 / 0
"""


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    """Runs a model of MODEL in a folder, and returns run.json."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")

    def run(name, benchmark, data_dir, *options, out="run"):
        command = [f"model.py:{name}", "--benchmark", benchmark, "--data-dir", str(data_dir)]
        assert main([*command, "-o", out, "--workers", "0", *options]) == 0
        return json.loads((tmp_path / out / "run.json").read_text(encoding="utf-8"))

    return run


@pytest.mark.parametrize(
    ("name", "benchmark", "n"),
    [("mean", "im2gps", 12), ("text", "geo_uniform", 5), ("candidates", "human", 4),
     ("failing", "random_2k", 10), ("mean", "justzoomin", 10)],
)  # fmt: skip
def test_the_score_is_that_of_gcd_metric(name, benchmark, n, packs, zoom, evaluate, capsys):
    folder = zoom if benchmark == "justzoomin" else packs
    document = evaluate(name, benchmark, folder)
    capsys.readouterr()
    dataset = ["justzoomin"] if folder is zoom else ["im2gps", "--config", benchmark]
    command = ["run/predictions.jsonl", "--json", "--references", *dataset]
    missing = ["--missing", "miss"] if name == "failing" else []
    assert gcd_metric.cli.main([*command, "--data-dir", str(folder), *missing]) == 0
    usual = json.loads(capsys.readouterr().out)
    score = document["score"]
    assert score["runs"][0]["scores"] == usual["runs"][0]["scores"]
    assert score["groups"] == usual["groups"]
    assert document["n"] == n == sum(document["answers"].values())
    assert {"text": "refusal", "failing": "error"}.get(name, "coordinates") in document["answers"]


def test_what_is_needed_to_believe_a_number_is_kept(packs, evaluate, tmp_path, capsys):
    document = evaluate("mean", "im2gps", packs)
    out = capsys.readouterr().out
    assert "median km" in out and "12 photos (coordinates 12)" in out
    session = document["sessions"][0]
    assert session["command"].startswith("geoeval model.py:mean --benchmark im2gps")
    assert session["versions"]["torch"] and session["hardware"]["cores"]
    assert document["settings"]["batch_size"] == 32 and document["settings"]["code"]
    assert document["photos_per_second"] > 0
    assert "<svg" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    again = evaluate("mean", "im2gps", packs)
    assert len(again["sessions"]) == 1 and again["predictions_sha256"]


def test_photos_without_a_table_are_predicted_and_not_scored(bare, evaluate, tmp_path, capsys):
    (tmp_path / "own" / "sub").mkdir(parents=True)
    for place in ("b.jpg", "sub/a.jpg"):
        (tmp_path / "own" / place).write_bytes((bare / "005.jpg").read_bytes())
    document = evaluate("mean", "photos", tmp_path / "own", "--workers", "1")
    assert "score" not in document and document["n"] == 2
    lines = (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["image_id"] for line in lines] == ["b.jpg", "sub/a.jpg"]
    assert main(["report", "run"]) == 2
    assert "photos.csv has no coordinates" in capsys.readouterr().err
    (tmp_path / "own" / "places.csv").write_text("id,lat,lon\nb.jpg,3,3\na.jpg,4,4\n")
    (tmp_path / "own" / "other.csv").write_text("id,lat,lon\nb.jpg,5,5\na.jpg,6,6\n")
    table = ["--coordinates", "other.csv"]
    assert evaluate("mean", "photos", tmp_path / "own", *table, out="scored")["score"]
    assert "b.jpg,5.0,5.0" in (tmp_path / "scored" / "photos.csv").read_text(encoding="utf-8")


def test_shards_are_merged_into_the_run_over_all(packs, evaluate, tmp_path, capsys):
    whole = evaluate("mean", "im2gps", packs, "--batch-size", "2", out="whole")
    shards = [f"part{number}" for number in (3, 1, 2)]
    for out in shards:
        options = ["--batch-size", "2", "--shard", f"{out[-1]}/3"]
        evaluate("mean", "im2gps", packs, *options, out=out)
    assert main(["merge", "merged", *shards[:2]]) == 2
    assert "These are the shards 1/3, 3/3; name each of the 3 once" in capsys.readouterr().err
    assert main(["merge", "merged", *shards]) == 0
    merged = json.loads((tmp_path / "merged" / "run.json").read_text(encoding="utf-8"))
    assert merged["settings"] == whole["settings"]
    assert merged["predictions_sha256"] == whole["predictions_sha256"]
    assert merged["score"]["runs"][0]["scores"] == whole["score"]["runs"][0]["scores"]
    assert len(merged["sessions"]) == 3
    assert main(["report", "whole", "part1"]) == 2
    assert "over 12 photos of im2gps, and part1 over 4 photos of im2gps" in capsys.readouterr().err
    path = tmp_path / "part1" / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert main(["merge", "again", *shards]) == 2
    assert "part1 is not finished" in capsys.readouterr().err


def test_runs_are_put_into_one_table_and_one_figure(packs, evaluate, tmp_path, capsys):
    evaluate("mean", "geo_uniform", packs, out="runs/a")
    evaluate("text", "geo_uniform", packs, out="runs/b")
    capsys.readouterr()
    assert main(["report", "runs/a", "runs/b", "--format", "json", "--differences"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in document["runs"]] == ["a", "b"]
    assert document["differences"][0]["a"] == "a"
    assert "<svg" in (tmp_path / "geoeval-report.html").read_text(encoding="utf-8")
    assert main(["report", str(packs)]) == 2
    assert "is not the folder of a run: it has no run.json" in capsys.readouterr().err


def test_without_torch_the_extra_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.delitem(sys.modules, "geoeval.runner", raising=False)
    monkeypatch.delattr("geoeval.runner", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["json:loads", "--benchmark", "photos", "-o", str(tmp_path)]) == 2
    assert "pip install 'im2gps-justzoomin[eval]'" in capsys.readouterr().err
