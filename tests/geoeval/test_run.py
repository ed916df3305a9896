"""`geoeval MODEL --benchmark NAME`: from a model to a number."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from geoeval.cli import main

MODEL = """
import numpy as np

def predict(photos):
    assert not any(photo.getexif() or photo.info for photo in photos)
    return [[np.asarray(photo).mean() / 3, 2.5] for photo in photos]
"""


def test_a_function_in_a_file_gets_a_score(packs, tmp_path, capsys):
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    run = tmp_path / "run"
    command = [f"{tmp_path}/model.py:predict", "--benchmark", "im2gps", "--data-dir", str(packs)]
    assert main([*command, "-o", str(run), "--workers", "0"]) == 0
    assert "median km" in capsys.readouterr().out
    document = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert document["n"] == 12 and document["score"]["runs"][0]["scores"]["n"] == 12
