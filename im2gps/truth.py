"""The tables of coordinates beside photos, and their other columns."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pandas as pd

from gcd_metric.matching import match_ids
from gcd_metric.names import listed, refuse_duplicates
from gcd_metric.readers import open_table
from gcd_metric.tables import read_coordinates
from geoload.files import signature
from geoload.report import Findings, Kind

Columns = bool | Sequence[str]
ROW_COLUMNS = ("image", "image_id", "latitude", "longitude", "record")
_CODE = re.compile(r"\s*[+-]?0\d")  # its leading zeros would be lost in a number


class Truth(NamedTuple):
    """A table of coordinates: rows by their number, from 0."""

    path: str
    image_id: list[str]
    places: list[list[float]]  # latitude and longitude in degrees, WGS 84
    columns: dict[str, list[Any]]  # the other columns that were asked for
    features: dict[str, Any]  # their types
    notes: list[str]

    def extra(self, row: int) -> dict[str, Any]:
        """Return the cells of a row in the other columns."""
        return {name: cells[row] for name, cells in self.columns.items()}


def read_truth(path: str, columns: Columns = False, skip_broken: bool = False) -> Truth:
    """Read a table of coordinates; the last ones that did not change are kept in memory.

    `columns` are the names of other columns, or True for all. With `skip_broken`, coordinates
    may be missing (NaN). Raises ValueError for a table that cannot be used.
    """
    wanted = columns if isinstance(columns, bool) else tuple(columns)
    return _read(path, wanted, skip_broken, tuple(signature([path], "/")))


@functools.lru_cache(maxsize=4)
def _read(path: str, wanted: bool | tuple[str, ...], skip_broken: bool, state: object) -> Truth:
    there = open_table(Path(path), path).names if wanted else []
    names = [n for n in there if n.strip()] if wanted is True else list(wanted or ())
    if absent := [name for name in names if name not in there]:
        raise ValueError(f"{path} has no column {listed(absent)}; it has {listed(there)}.")
    missing = "any" if skip_broken else False
    table = read_coordinates(path, of="references", allow_missing=missing, also=names)
    if wanted is True:
        read = {*table.attrs["columns"].values(), *ROW_COLUMNS}
        names = [name for name in names if name not in read]
    if clash := [name for name in names if name in ROW_COLUMNS]:
        raise ValueError(f"columns=: the rows have {listed(clash)} of {path} already.")
    typed = {name: _typed(table[name].tolist()) for name in names}
    return Truth(
        path,
        table["image_id"].tolist(),
        table[["latitude", "longitude"]].to_numpy().tolist(),
        {name: cells for name, (cells, _) in typed.items()},
        {name: datasets.Value(kind) for name, (_, kind) in typed.items()},
        table.attrs["notes"],
    )


def _typed(cells: list[Any]) -> tuple[list[Any], str]:
    """Return cells as whole numbers, numbers or texts, whichever all of them are; None is empty."""
    found = [cell for cell in cells if cell is not None and cell == cell]
    kind = "string"
    if found and not any(isinstance(c, str) and _CODE.match(c) for c in found):
        with contextlib.suppress(ValueError, TypeError):
            kind = pd.to_numeric(pd.Series(found, dtype=object)).dtype.name
    make = {"int64": int, "float64": float}.get(kind)
    if make is None:
        kind, make = "string", str
    return [None if cell is None or cell != cell else make(cell) for cell in cells], kind


def find_rows(
    truth: Truth, names: list[str], report: Findings, skip_broken: bool
) -> dict[str, int]:
    """Return the row of each photo by its name; count photos and rows without the other.

    With `skip_broken`, photos with several rows are counted too.
    """
    table = truth.path
    if not names:
        raise ValueError(f"There are no photos for {table}: only .jpg and .jpeg files count.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} names belong to more than one photo, in different folders ({twice[0]}, "
            f"…), so the rows of {table} are ambiguous. Rename these photos."
        )
    # Copies without folders have an underscore in place of each slash.
    flat, known = (one.replace("/", "_") for one in truth.image_id), set(names)
    named = [new if new in known else old for old, new in zip(truth.image_id, flat, strict=True)]
    if not skip_broken:
        refuse_duplicates(named, table)
    counts = Counter(named)
    rows = [row for row, name in enumerate(named) if name and counts[name] == 1]
    ids = [named[row] for row in rows]
    match = match_ids(names, ids)
    repeated = [name for name, count in counts.items() if name and count > 1]
    # match_ids takes a second for 25,600 names, also if there is nothing to match them with.
    several = [names[i] for i in match_ids(names, repeated).left] if repeated else []
    if not len(match.left) and not several:
        if match.ambiguous:
            photos, written = match.ambiguous[0]
            raise ValueError(
                f"{table}: it is ambiguous which photo a row means: {', '.join(written[:3])} could "
                f"be any of {', '.join(photos[:3])}. Write the full file names into the table."
            )
        raise ValueError(
            f"{table}: none of its {len(named)} rows names any of the {len(names)} photos "
            f"(rows: {named[0]!r}, …; photos: {names[:1]}, …)."
        )
    file = os.path.basename(table)
    unclear = {*several, *(name for group, _ in match.ambiguous for name in group)}
    without_row = [names[i] for i in match.unmatched_left if names[i] not in unclear]
    without_photo = [ids[i] for i in match.unmatched_right]
    for kind, left_out in (
        (Kind("no_row", f"photos without a row in {file}"), without_row),
        (Kind("ambiguous", f"photos that several rows of {file} could mean"), sorted(unclear)),
        (Kind("no_photo", f"rows of {file} without a photo"), without_photo),
        (Kind("no_id", f"rows of {file} without an id"), [""] * counts[""]),
    ):
        report.add_many(kind, len(left_out), filter(None, left_out))
    return {names[i]: rows[j] for i, j in zip(match.left, match.right, strict=True)}
