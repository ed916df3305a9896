"""Runs that end early: killed, on a full disk, or by a model that raises."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from geoload.files import file_lock
from tests.support.equal import assert_same_bytes
from tests.support.limits import small_files_only

# The answers depend on the batch, and on a random draw.
DRAWN = """
import random, torch

def predict(photos):
    if os.environ.get("KILL_AT") and int(os.environ["KILL_AT"]) in numbers(photos):
        os.kill(os.getpid(), signal.SIGKILL)
    draws = random.random(), np.random.rand(), torch.rand(1).item()
    return [[n / 2, sum(draws) + len(photos), 1.0] for n in numbers(photos)]

def model(photos):
    return [[row] * 5 for row in predict(photos)]
"""
# Children do the runs, so that everything is imported once.
KILLED = """
import os, signal, sys
import geoeval.cli, geoeval.runner, geoeval.results, datasets

def end_at_write(number):
    def hook(event, arguments):
        nonlocal number
        if event == "open" and str(arguments[0]).endswith("predictions.jsonl"):
            number -= 1
            if number < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def run(kill_at, command, expected):
    if (child := os.fork()) == 0:
        if kill_at.startswith("write"):
            end_at_write(int(kill_at.removeprefix("write")))
        else:
            os.environ["KILL_AT"] = kill_at
        os._exit(geoeval.cli.main(command))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == expected, (kill_at, status)

points, out, usual, *command = sys.argv[1:]
for point in points.split():
    run(point, [*command, "-o", out], -signal.SIGKILL)
for folder in (out, usual):
    run("", [*command, "-o", folder], 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_ten_times_ends_with_the_bytes_of_one_that_was_not(bare, run, tmp_path):
    (tmp_path / "model.py").write_text(run.base + DRAWN, encoding="utf-8")
    # at photos, when the file is opened to be read, and when it is opened for a batch
    points = "0 5 20 33 49 write0 write3 write2 65 97 108"
    command = [f"{tmp_path}/model.py:model", "--benchmark", "photos", "--data-dir", str(bare)]
    command += ["--batch-size", "8", "--workers", "0"]
    words = [points, f"{tmp_path}/killed", f"{tmp_path}/usual", *command]
    subprocess.run([sys.executable, "-c", KILLED, *words], check=True, timeout=160)
    killed, usual = (tmp_path / name / "predictions.jsonl" for name in ("killed", "usual"))
    assert_same_bytes(killed.read_bytes(), usual.read_bytes())
    document = json.loads((tmp_path / "killed" / "run.json").read_text(encoding="utf-8"))
    assert document["n"] == 110 and len(document["sessions"]) > 5
    assert document["seconds"] == pytest.approx(
        sum(session["seconds"] for session in document["sessions"]), abs=0.01
    )


def test_what_is_left_of_a_torn_file_is_completed(run):
    options = ["--batch-size", "8", "--workers", "1"]
    _, _, folder = run(DRAWN, *options, name="model")
    path = folder / "predictions.jsonl"
    whole = path.read_bytes()
    for size in (0, 900, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert run(DRAWN, *options, name="model")[0] == 0
        assert_same_bytes(path.read_bytes(), whole)


def test_a_session_that_was_killed_lasted_until_its_last_prediction(run):
    _, _, folder = run("", "--batch-size", "8")
    path, document = folder / "predictions.jsonl", folder / "run.json"
    path.write_bytes(path.read_bytes()[:-10])
    killed = json.loads(document.read_text(encoding="utf-8"))
    session = killed["sessions"][0] | {"seconds": None}
    document.write_text(json.dumps(killed | {"sessions": [session]}), encoding="utf-8")
    os.utime(path, (0, session["started"] + 500))
    assert run("", "--batch-size", "8")[0] == 0
    sessions = json.loads(document.read_text(encoding="utf-8"))["sessions"]
    assert len(sessions) == 2 and sessions[0]["seconds"] == pytest.approx(500, abs=0.01)


RAISING = """
def model(photos):
    if not os.path.exists("fixed") and any(n % 50 == 49 for n in numbers(photos)):
        raise KeyError("no\\nsuch place")
    return predict(photos)
"""


def test_a_photo_on_which_the_model_raises_is_recorded_and_tried_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, err, folder = run(RAISING, name="model")
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").open(encoding="utf-8")]
    wrong = {row["image_id"]: row["error"] for row in rows if "error" in row}
    assert wrong.keys() == {"049.jpg", "099.jpg"}
    assert wrong["049.jpg"].startswith("KeyError: 'no\\nsuch place' (model.py, line 13)")
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert document["answers"] == {"coordinates": 108, "error": 2}
    run(RAISING, name="model")
    assert len(json.loads((folder / "run.json").read_text(encoding="utf-8"))["sessions"]) == 1
    (tmp_path / "fixed").touch()
    assert run(RAISING, "--retry-errors", name="model")[0] == 0
    run(RAISING, name="model", out="whole")
    usual = (tmp_path / "whole" / "predictions.jsonl").read_bytes()
    assert_same_bytes((folder / "predictions.jsonl").read_bytes(), usual)


def test_errors_are_tried_again_when_a_stopped_run_goes_on(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, folder = run(RAISING, name="model")
    path = folder / "predictions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:70]))
    (tmp_path / "fixed").touch()
    assert run(RAISING, "--retry-errors", name="model")[0] == 0
    run(RAISING, name="model", out="whole")
    whole = tmp_path / "whole" / "predictions.jsonl"
    assert_same_bytes(path.read_bytes(), whole.read_bytes())


@pytest.mark.parametrize("options", [[], ["--batch-size", "1"], ["--limit", "3"]])
def test_a_model_that_raises_on_all_photos_is_stopped_at_once(run, options):
    code = "\ndef model(photos):\n    raise RuntimeError('no weights')\n"
    status, err, folder = run(code, *options, name="model")
    assert status == 2 and len(err.splitlines()) == 1
    assert "failed on all of the first" in err and "RuntimeError: no weights (model.py" in err
    assert (folder / "predictions.jsonl").read_bytes() == b""


def test_a_device_without_room_stops_the_run(run):
    code = "\ndef model(photos):\n    raise torch.OutOfMemoryError('no room')\n"
    status, err, _ = run("import torch" + code, name="model")
    assert status == 2 and "choose a smaller --batch-size" in err


def test_a_damaged_photo_is_an_error_of_that_photo(run, bare, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        data = (bare / f"{number:03}.jpg").read_bytes()
        (folder / f"{number}.jpg").write_bytes(data[: 60 if number == 1 else None])
    status, _, run_folder = run("", "--data-dir", str(folder), "--workers", "2")
    lines = (run_folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert status == 0 and ["error" in line for line in lines] == [False, True, False]


def test_a_full_disk_is_one_line_and_the_run_goes_on(run, tmp_path):
    run(DRAWN, "--batch-size", "8", name="model", out="usual")
    with small_files_only(12_000):
        status, err, folder = run(DRAWN, "--batch-size", "8", name="model")
    assert status == 2 and len(err.splitlines()) == 1
    assert f"{folder}/predictions.jsonl: the file would be larger" in err
    assert run(DRAWN, "--batch-size", "8", name="model")[0] == 0
    whole = (tmp_path / "usual" / "predictions.jsonl").read_bytes()
    assert_same_bytes((folder / "predictions.jsonl").read_bytes(), whole)


def test_a_folder_has_one_run_and_one_process(run):
    _, _, folder = run("", "--limit", "20")
    status, err, _ = run("", "--limit", "30", "--batch-size", "8")
    assert status == 2 and "limit was 20 and is 30; batch_size was 32 and is 8" in err
    assert "code was" in run("# other", "--limit", "20")[1]
    (folder / "predictions.jsonl").write_text('{"image_id": "1.jpg"}\n', encoding="utf-8")
    assert "predictions.jsonl: line 1 is not of this run" in run("", "--limit", "20")[1]
    (folder / "run.json").unlink()
    assert "has no run.json beside it" in run("", "--limit", "20")[1]
    with file_lock(folder / ".lock"):
        status, err, _ = run("")
    assert status == 2 and "another process is writing this run" in err
