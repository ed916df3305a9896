"""Write a miniature of Just Zoom In with synthetic photos, in the layout of its Hub repository.

The colours of a photo are those of the overhead pictures around its place (see `painting.py`), so
that tests notice a wrong join and a simple model can learn from them. The same arguments write the
same bytes.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tqdm import tqdm

from geoload.messages import progress_bar
from geoload.tar import write_tar
from justzoomin.members import SUFFIX
from justzoomin.painting import street, surroundings
from justzoomin.source import COVERED, IMAGES, SYNTHETIC, SYNTHETIC_TILES, TABLES
from justzoomin.zoom import DEPTH, GRID, decode, move

LAYOUT = f"""\
{SYNTHETIC_TILES}
crs: epsg:26985
max_zoom: 0
min_zoom: -9
origin_crs:
- 600.0
- 200.0
path: '{{zoom}}/{{x}}/{{y}}.jpg'
tile_axes:
- east
- north
tile_shape_crs:
- 20.0
- 20.0
tile_shape_px:
- 250
- 250
"""


def write_sample(
    folder: str | Path,
    train: int = 270,
    validation: int = 30,
    shards: int = 4,
    width: int = 128,
    seed: int = 0,
) -> None:
    """Write split tables and street-view shards as the Hub repository has them.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    train, validation : int
        Photos of each split; each shard has photos of both.
    shards : int
        Number of TAR files.
    width : int
        Width of the photos in pixels; they are three quarters as high.
    seed : int
        Decides places and photos.
    """
    if width < 8 or shards < 1 or min(train, validation) < 0:
        raise ValueError("width must be at least 8, and shards at least 1")
    rng = np.random.default_rng(seed)
    count = train + validation
    sequences = rng.integers(GRID * GRID, size=(count, DEPTH))
    latitude, longitude = decode(sequences)
    # Anywhere in the last cell, which is 39 m wide, except along its edge.
    latitude, longitude = move(latitude, longitude, *rng.uniform(-15, 15, (2, count)))
    latitude, longitude = np.round(latitude, 6), np.round(longitude, 6)
    ids = list(map(str, rng.integers(10**14, 9 * 10**15, count)))
    rows = list(zip(ids, latitude.tolist(), longitude.tolist(), sequences.tolist(), strict=True))

    folder = Path(folder)
    for name in ("archives", "metadata", "streetview", "satellite"):
        os.makedirs(folder / name, exist_ok=True)
    (folder / "satellite" / "layout.yaml").write_text(LAYOUT, encoding="utf-8")
    (folder / SYNTHETIC).write_text("These photos are painted.\n", encoding="utf-8")
    _write_table(folder / "metadata" / TABLES["train"], rows[:train])
    _write_table(folder / "metadata" / TABLES["validation"], rows[train:])
    angles = np.random.default_rng([seed, 1]).uniform(0, 360, count).round(1).tolist()
    _write_covered_table(folder, rows, angles)
    colours = surroundings(latitude, longitude)
    shares = np.array_split(rng.permutation(count), shards)
    with progress_bar("Just Zoom In miniature", count, "photo") as bar:
        for number, share in enumerate(shares):
            path = folder / "archives" / f"streetview_images_{number:03d}.tar"
            photos = [(ids[i], colours[i]) for i in share]
            write_tar(path, _members(photos, width, seed, bar))


def _write_table(path: Path, rows: list[tuple[Any, ...]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "latitude", "longitude", "sequence"])
        writer.writerows(rows)


def _write_covered_table(folder: Path, rows: list[tuple[Any, ...]], angles: list[float]) -> None:
    """Write the additional table as CSV and Parquet; the columns of the real one are unknown."""
    ids, latitudes, longitudes, _ = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {
        "image_id": pa.array(ids, pa.string()),
        "latitude": pa.array(latitudes, pa.float64()),
        "longitude": pa.array(longitudes, pa.float64()),
        "compass_angle": pa.array(angles, pa.float64()),
    }
    table = pa.table(columns)
    csv_file, parquet_file = (folder / name for name in reversed(COVERED))
    pa.csv.write_csv(table, csv_file)
    pa.parquet.write_table(table, parquet_file)


def _members(
    photos: list[tuple[str, np.ndarray]], width: int, seed: int, bar: tqdm
) -> Iterator[tuple[str, bytes]]:
    for image_id, colours in photos:
        rng = np.random.default_rng([seed, int(image_id)])
        buffer = io.BytesIO()
        street(colours, width, rng).save(buffer, "JPEG", quality=85)
        yield f"{IMAGES}/{image_id}{SUFFIX}", buffer.getvalue()
        bar.update()
