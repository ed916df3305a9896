"""Photos whose grey tells a model their number, and runs of models over them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from geoeval.cli import main
from im2gps.sample import with_comments

PHOTOS = 110
# `numbers(photos)` are the numbers of photos, and `predict` answers with them.
MODEL = """
import os, signal
import numpy as np

def numbers(photos):
    return [round(np.asarray(photo).mean() / 2) for photo in photos]

def predict(photos):
    return [[number / 2, -number] for number in numbers(photos)]
"""


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Path:
    """A folder with 110 photos, with coordinates in each file but no table."""
    folder = tmp_path_factory.mktemp("bare")
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 0.0), 3: "E", 4: (2.0, 21.0, 0.0)})
    for number in range(PHOTOS):
        buffer = io.BytesIO()
        Image.new("RGB", (16, 8), (2 * number,) * 3).save(buffer, "JPEG", exif=exif, quality=95)
        data = with_comments(buffer.getvalue(), [b"latitude: 48.85"])
        (folder / f"{number:03}.jpg").write_bytes(data)
    return folder


@pytest.fixture
def run(bare, tmp_path, capsys) -> Callable:
    """Runs a model over the photos: returns status, what was written to stderr, and the folder."""

    def evaluate(code: str, *options: str, name: str = "predict", out: str = "run") -> tuple:
        (tmp_path / "model.py").write_text(MODEL + code, encoding="utf-8")
        words = [f"{tmp_path}/model.py:{name}", "-o", str(tmp_path / out), "--workers", "0"]
        words += ["--benchmark", "photos", "--data-dir", str(bare)]
        status = main([*words, *options])
        return status, capsys.readouterr().err, tmp_path / out

    evaluate.base = MODEL
    return evaluate


@pytest.fixture(scope="session")
def town(tmp_path_factory) -> Path:
    """Just Zoom In: 60 photos of validation, and tiles for views of up to 60 pixels."""
    pytest.importorskip("cv2")
    pytest.importorskip("pyproj")
    from justzoomin.sample import write_sample
    from justzoomin.sample_tiles import write_tiles

    folder = tmp_path_factory.mktemp("town")
    write_sample(folder, train=4, validation=60, shards=2, width=32)
    write_tiles(folder, (-7, -5), quality=80)
    return folder
