"""A miniature of Im2GPS in its original layout: synthetic photos in real file formats.

The photos are landscapes that show where they were taken, so that a wrong label is visible and a
person or a simple model can learn. As in real packs the pictures have many sizes, some are grey or
CMYK, some have an EXIF orientation, and some photographers took several. The same arguments always
write the same bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from geoload.messages import progress_bar
from im2gps import osv5m
from im2gps.landscape import paint
from im2gps.sample_sets import Named, write_osv5m, write_set, write_zip
from im2gps.sets import SETS

# How many photos of each set are written by default; sets with a table only on request.
COUNTS = {"im2gps": 48, "random_2k": 240, "geo_uniform": 24, "human": 12}
COUNTS |= {name: 0 for name, known in SETS.items() if known.table and known.archive}
COUNTS[osv5m.NAME] = 0  # of the test split; as many for training
CITIES = {
    "Amsterdam": (52.37, 4.90), "Athens": (37.98, 23.73), "Auckland": (-36.85, 174.76),
    "Bangkok": (13.75, 100.50), "Beijing": (39.90, 116.40), "Berlin": (52.52, 13.40),
    "Bogota": (4.71, -74.07), "Boston": (42.36, -71.06), "BuenosAires": (-34.60, -58.38),
    "Cairo": (30.04, 31.24), "CapeTown": (-33.92, 18.42), "Chicago": (41.88, -87.63),
    "Delhi": (28.61, 77.21), "Dublin": (53.35, -6.26), "HongKong": (22.32, 114.17),
    "Istanbul": (41.01, 28.98), "Jakarta": (-6.21, 106.85), "Johannesburg": (-26.20, 28.05),
    "Lagos": (6.52, 3.38), "LasVegas": (36.17, -115.14), "Lima": (-12.05, -77.04),
    "Lisbon": (38.72, -9.14), "London": (51.51, -0.13), "LosAngeles": (34.05, -118.24),
    "Madrid": (40.42, -3.70), "Melbourne": (-37.81, 144.96), "MexicoCity": (19.43, -99.13),
    "Montreal": (45.50, -73.57), "Moscow": (55.76, 37.62), "Mumbai": (19.08, 72.88),
    "Nairobi": (-1.29, 36.82), "NewYork": (40.71, -74.01), "Paris": (48.86, 2.35),
    "Reykjavik": (64.15, -21.94), "Rio": (-22.91, -43.17), "Rome": (41.90, 12.50),
    "SanFrancisco": (37.77, -122.42), "Santiago": (-33.45, -70.67), "Seoul": (37.57, 126.98),
    "Singapore": (1.35, 103.82), "Stockholm": (59.33, 18.07), "Sydney": (-33.87, 151.21),
    "Tokyo": (35.68, 139.65), "Vancouver": (49.28, -123.12),
}  # fmt: skip
_SHAPES = ((4, 3), (3, 4), (3, 2), (16, 9), (1, 1), (2, 3), (4, 3))
_MODES = {4: "L", 9: "CMYK"}
# EXIF orientations, and how to turn an upright picture to store it with them.
_TURNED = {
    2: (6, Image.Transpose.ROTATE_90),
    5: (8, Image.Transpose.ROTATE_270),
    7: (3, Image.Transpose.ROTATE_180),
}


def write_sample(
    folder: str | Path, counts: Mapping[str, int] | None = None, width: int = 160, seed: int = 0
) -> None:
    """Write the four test packs as small ZIP files of synthetic photos, and sets with a table.

    Parameters
    ----------
    folder : path
        Created if needed.
    counts : mapping of str to int, optional
        Photos in each set, by configuration name; others have their usual number.
    width : int
        Longest side of the largest pictures, in pixels.
    seed : int
        Another seed gives other photos.
    """
    if width < 8 or min([0, *dict(counts or {}).values()]) < 0:
        raise ValueError("width must be at least 8, and numbers of photos at least 0")
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{folder} is a file or inside one: give a folder.") from error
    sizes = {**COUNTS, **dict(counts or {})}
    with progress_bar("Im2GPS miniature", sum(sizes.values()), "photo") as bar:
        for number, (name, count) in enumerate(sizes.items()):
            rng, below = np.random.default_rng([seed, number]), Path(folder)
            photos = _photos(rng, count, number, width, bar)
            if name == osv5m.NAME:
                for split in osv5m.SPLITS if count else ():
                    write_osv5m(below, split, _photos(rng, count, number, width, bar))
            elif not SETS[name].table:
                path = below / SETS[name].archive
                write_zip(path, {f"{path.stem}/{file}": data for file, data in photos})
            elif count:
                write_set(below, name, photos, rng)


def _photos(
    rng: np.random.Generator, count: int, number: int, width: int, bar: Any
) -> Iterator[Named]:
    for index in range(count):
        # As many photographers as two thirds of the photos; a few took most.
        person = int(count * 2 / 3 * rng.random() ** 2)
        yield _photo(rng, f"{50_000_000 + 7_919 * person}@N0{number}", index, width)
        bar.update()


def _photo(rng: np.random.Generator, owner: str, index: int, width: int) -> tuple[str, bytes]:
    place = list(CITIES)[rng.integers(len(CITIES))]
    latitude, longitude = np.asarray(CITIES[place]) + rng.normal(0, 0.3, 2)
    photo_id, secret = int(rng.integers(10**8, 10**9)), f"{rng.integers(16**10):010x}"
    server = int(rng.integers(10, 300))
    name = f"{photo_id}_{secret}_{server}_{owner}.jpg"
    if index % 2:
        name = f"{place}_{index:05d}_{name}"
    shape = _SHAPES[index % len(_SHAPES)]
    longest = width if index == 0 else int(rng.integers(width * 5 // 8, width + 1))
    across, down = (max(4, round(longest * side / max(shape))) for side in shape)
    taken = datetime(2006, 1, 1, 8) + timedelta(int(rng.integers(365)), int(rng.integers(36_000)))
    details = np.random.default_rng(photo_id)
    painted = paint(latitude, longitude, taken, (across, down), details)
    fields = _fields(rng, place, photo_id, secret, server, owner, latitude, longitude, taken)
    return name, with_comments(_jpeg(painted, index), fields)


def _jpeg(painted: Image.Image, index: int) -> bytes:
    """Return a picture as a file, some in grey or CMYK, and some with an EXIF orientation."""
    exif = Image.Exif()
    if turn := _TURNED.get(index % 8):
        exif[ExifTags.Base.Orientation], stored_as = turn
        painted = painted.transpose(stored_as)
    buffer = io.BytesIO()
    painted.convert(_MODES.get(index % 12, "RGB")).save(buffer, "JPEG", quality=85, exif=exif)
    return buffer.getvalue()


def _fields(
    rng: np.random.Generator, place: str, photo_id: int, secret: str, server: int, owner: str,
    latitude: float, longitude: float, taken: datetime,
) -> list[bytes]:  # fmt: skip
    """Return the comment fields of a photo, in random order."""
    lines = [
        f"photo: {photo_id} {secret} {server}",
        f"owner: {owner}",
        f"title: {place}: a view, latitude: unknown",
        "originalsecret: ",
        "originalformat: jpg",
        f"datetaken: {taken}",
        f"tags: {place.lower()} travel café",
        f"license: {photo_id % 8}",
        f"latitude: {latitude:.6f}",
        f"longitude: {longitude:.6f}",
        "accuracy: 16",
        f"interestingness: {rng.integers(1, 250)} out of 250",
    ]
    end = "\0" if rng.random() < 0.5 else ""
    return [(lines[i] + end).encode("latin-1") for i in rng.permutation(len(lines))]


def with_comments(jpeg: bytes, comments: list[bytes]) -> bytes:
    """Insert comment segments at the start of a JPEG file."""
    segments = [b"\xff\xfe" + (len(c) + 2).to_bytes(2, "big") + c for c in comments]
    return jpeg[:2] + b"".join(segments) + jpeg[2:]
