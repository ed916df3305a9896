"""Files and pictures that several parts of the benchmarks use."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import webdataset as wds
from PIL import Image

from justzoomin.source import TABLES
from justzoomin.views import to_jpeg


def natural(rng: np.random.Generator, width: int, height: int, quality: int = 0) -> bytes:
    """A JPEG whose amplitudes decrease with frequency, as in real photos.

    With quality 0, it is written as overhead views are.
    """
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    grey = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) / frequency**1.2).real
    tint = rng.uniform(0.8, 1.2, 3)
    pixels = np.clip((grey[..., None] / grey.std() * 40 + 120) * tint, 0, 255).astype(np.uint8)
    if not quality:
        return to_jpeg(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def street_file(image_id: str) -> str:
    """Return the name of a street photo in a shard."""
    return f"streetview/images/{image_id}_undistorted.jpg"


def write_tables(folder: Path, tables: dict[str, list]) -> None:
    """Write the tables of Just Zoom In for `train` and `validation`."""
    folder.mkdir()
    for split, rows in tables.items():
        with open(folder / TABLES[split], "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["image_id", "latitude", "longitude", "sequence"], *rows])


def undecoded(name: str, column: str = "image", **options: Any) -> Any:
    """Return a stream whose pictures are bytes."""
    rows = datasets.load_dataset(name, streaming=True, **options)
    return rows.cast_column(column, datasets.Image(decode=False))


def bare(files: list[str]) -> wds.WebDataset:
    """Plain webdataset, without decoding."""
    return wds.WebDataset(files, shardshuffle=False, empty_check=False)


def consume(samples: Iterable) -> int:
    """Go through all samples, and return their number."""
    return sum(1 for _ in samples)
