"""The data that the page shows unless it is told of other: miniatures, written when it starts."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import im2gps.sample
import justzoomin.sample
from justzoomin.sample_tiles import write_tiles
from justzoomin.sources import TABLES

WALKS = 2  # validation photos with all tiles of their zoom, the first by their ids
_PHOTO_WIDTH = 320
_QUALITY = 80


def write_miniatures(folder: Path) -> None:
    """Write both miniatures in their original layouts, unless they are there.

    Parameters
    ----------
    folder : Path
        Gets `im2gps` and `justzoomin`; made if it is not there.
    """
    _whole(folder / "im2gps", _write_im2gps)
    _whole(folder / "justzoomin", _write_justzoomin)


def _whole(folder: Path, write: Callable[[Path], None]) -> None:
    if folder.is_dir():
        return
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write(part)
    try:
        os.replace(part, folder)
    except OSError:  # another process was faster
        shutil.rmtree(part)


def _write_im2gps(folder: Path) -> None:
    im2gps.sample.write_sample(
        folder, {"random_2k": 0, "geo_uniform": 0, "human": 0}, width=_PHOTO_WIDTH
    )


def _write_justzoomin(folder: Path) -> None:
    justzoomin.sample.write_sample(folder, train=60, validation=30, width=_PHOTO_WIDTH)
    with open(folder / "metadata" / TABLES["validation"], encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image_id"])[:WALKS]
    around = [(float(row["latitude"]), float(row["longitude"])) for row in rows]
    write_tiles(folder, around=around, quality=_QUALITY)
