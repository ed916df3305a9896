"""`examples/train_zoom.py`: exact resume, two processes, and the evaluation of its checkpoint."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from geoeval.cli import main
from justzoomin import cli

SCRIPT = Path(__file__).parents[1] / "examples" / "train_zoom.py"
LIMITS = ["--epochs", "2"]  # of 3 batches


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoom")
    words = "--train 131 --validation 6 --shards 1 --width 64 --views 48"
    assert cli.main(["sample", str(folder), *words.split()]) == 0
    return folder


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_zoom", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trained(path: Path, samples: int) -> dict[str, torch.Tensor]:
    saved = torch.load(path, weights_only=True)
    assert saved["used"] == samples
    return saved["network"]


def last_lines(capsys) -> str:
    return capsys.readouterr().out.partition("epoch 2")[2]


def test_a_resumed_run_equals_an_uninterrupted_one(
    data, script, tmp_path, capsys, monkeypatch, undrawn
):
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    script.main([str(data), "--save", str(whole), *LIMITS])
    scores = last_lines(capsys)
    assert "step4" in scores
    for stop in ("2", "3"):  # in the middle of each epoch
        script.main([str(data), "--save", str(parts), *LIMITS, "--stop-after", stop])
        assert "step4" not in capsys.readouterr().out
    script.main([str(data), "--save", str(parts), *LIMITS])
    assert last_lines(capsys) == scores
    expected, found = trained(whole, 262), trained(parts, 262)
    assert all(torch.equal(found[name], value) for name, value in expected.items())

    monkeypatch.setenv("ZOOM_CHECKPOINT", str(whole))
    words = [f"{SCRIPT}:model", "--benchmark", "justzoomin", "--data-dir", str(data), "--beam", "2"]
    assert main([*words, "--workers", "0", "-o", str(tmp_path / "run")]) == 0
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert all(len(json.loads(line)["sequence"]) == 4 for line in lines) and len(lines) == 6


def test_two_processes_train_one_network(data, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(SCRIPT), str(data), "--save", str(tmp_path / "two.pt"), *LIMITS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 2") == 1 and "step4" in done.stdout
    assert trained(tmp_path / "two.pt", 132)
