"""Miniatures of the sets that are fetched by hand, in the layouts that circulate."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from geoload.files import atomic_write
from im2gps import osv5m
from im2gps.photo import coordinates
from im2gps.sets import SETS, TRUTH_COLUMNS

_EPOCH = (1980, 1, 1, 0, 0, 0)  # of the files in a ZIP
Named = tuple[str, bytes]  # the name of a photo on Flickr, and the file


def write_set(folder: Path, name: str, photos: Iterable[Named], rng: np.random.Generator) -> None:
    """Write a set with its table; of YFCC26k the last photo is missing, of GWS15k all are."""
    files: dict[str, bytes] = {}
    rows = []
    for index, (original, data) in enumerate(photos):
        *_, number, _, _, owner = original.removesuffix(".jpg").split("_")
        file = {
            "yfcc4k": f"{number}.jpg",
            "yfcc26k": f"{index * 37 % 256:02x}/{index * 91 % 256:02x}/{number}.jpg",
            "gws15k": f"gsv_{2 * index}.jpg",
        }.get(name, original)
        files[file] = data
        scene = int(rng.integers(365))
        labels = [scene % 3, scene % 16, scene, *rng.dirichlet([1, 1, 1]).round(9).tolist()]
        rows.append([file, owner, *coordinates(data), *labels])
    header = ["IMG_ID", "AUTHOR", "LAT", "LON", *TRUTH_COLUMNS[1:]]
    if name == "gws15k":
        header, rows = ["path", "lat", "lon"], [[row[0], *row[2:4]] for row in rows]
    elif name == "yfcc26k":
        for file in list(files)[:-1]:
            path = folder / "yfcc25600" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[file])
    else:
        stem = SETS[name].archive.removesuffix(".zip")
        write_zip(folder / SETS[name].archive, {f"{stem}/{n}": files[n] for n in files})
    write_csv(folder / SETS[name].table, header, rows)


def write_osv5m(folder: Path, split: str, photos: Iterable[Named]) -> None:
    """Write two ZIP files of a split and its CSV, in the layout of the Hub.

    The last row has no photo.
    """
    header = ["id", "latitude", "longitude", *osv5m.COLUMNS]
    files: list[dict[str, bytes]] = [{}, {}]
    rows = []
    for index, (original, data) in enumerate(photos):
        *_, number, _, _, owner = original.removesuffix(".jpg").split("_")
        files[index % 2][f"{index % 2:02d}/{number}.jpg"] = data
        cells = {
            name: "1.5" if kind == pa.float64() else "" for name, kind in osv5m.COLUMNS.items()
        }
        cells |= {"sequence": f"drive{index // 3}", "creator_username": owner, "country": "NZ"}
        rows.append([number, *coordinates(data), *cells.values()])
    rows.append(["1", 0.5, 0.5, *[""] * len(osv5m.COLUMNS)])
    for at, content in enumerate(files):
        write_zip(folder / "images" / split / f"{at:02d}.zip", content)
    write_csv(folder / f"{split}.csv", header, rows)


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a ZIP file that is the same every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as pack:
        for name, data in files.items():
            pack.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file."""
    with atomic_write(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
