"""The split tables of Just Zoom In: which photo was taken where, and its zoom actions."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geoload.files import signature

COLUMNS = ("image_id", "latitude", "longitude", "sequence")
ACTIONS = 16


class TableError(ValueError):
    """A split table that lacks a column or holds a value that cannot be."""


@dataclass(frozen=True, eq=False)
class Table:
    """One split's rows, as columns.

    Attributes
    ----------
    image_id : list of str, length n
    latitude, longitude : list of float, length n
        Decimal degrees, WGS 84.
    sequence : list of list of int, n by depth
        Zoom actions, row · 4 + column of the chosen cell, 0 to 15.
    row : dict of str to int
        The row of each id; the first one where an id stands twice.
    repeated : list of str
        Ids of the further rows of ids that stand twice.
    """

    image_id: list[str]
    latitude: list[float]
    longitude: list[float]
    sequence: list[list[int]]
    row: dict[str, int]
    repeated: list[str]

    def __len__(self) -> int:
        return len(self.image_id)

    def record(self, row: int) -> dict[str, object]:
        """Return one row as a record of plain Python values."""
        return {
            "image_id": self.image_id[row],
            "latitude": self.latitude[row],
            "longitude": self.longitude[row],
            "sequence": self.sequence[row],
        }


def read_table(path: str) -> Table:
    """Read a split's CSV file with the columns `image_id,latitude,longitude,sequence`.

    Columns may stand in any order and others beside them. The table of an unchanged file is kept,
    so that every shard of every epoch can ask for it.

    Raises
    ------
    TableError
        Names the file, the column and the first bad row.
    """
    return _read_table(path, tuple(signature([path], "/")))


@functools.lru_cache(maxsize=4)
def _read_table(path: str, state: tuple) -> Table:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TableError(f"{path} is no CSV file: {error}. Get it again.") from error
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise TableError(f"{path} has no column {missing[0]}; it has {', '.join(frame.columns)}.")
    ids = frame["image_id"].tolist()
    row: dict[str, int] = {}
    repeated = []
    for i, image_id in enumerate(ids):
        if row.setdefault(image_id, i) != i:
            repeated.append(image_id)
    if "" in row:
        raise TableError(f"{path}, line {row[''] + 2}: the image_id is empty.")
    return Table(
        ids,
        _degrees(frame, "latitude", 90, path),
        _degrees(frame, "longitude", 180, path),
        _sequences(frame["sequence"].tolist(), path),
        row,
        repeated,
    )


def _degrees(frame: pd.DataFrame, column: str, limit: int, path: str) -> list[float]:
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= limit))
    if len(bad):
        raise TableError(
            f"{path}, line {bad[0] + 2}: {column} is {frame[column][bad[0]]!r}; {len(bad)} of "
            f"{len(frame)} rows have no number within ±{limit} there."
        )
    return values.tolist()


def _sequences(texts: list[str], path: str) -> list[list[int]]:
    try:
        # Every cell is a small JSON list, so all of them joined are one large one.
        sequences = json.loads(f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        sequences = [None] * len(texts)
    if len(sequences) != len(texts) or not all(map(_is_sequence, sequences)):
        line = next((i for i, text in enumerate(texts) if not _is_sequence(_parse(text))), 0)
        raise TableError(
            f"{path}, line {line + 2}: sequence is {texts[line]!r}, not a list of actions from 0 "
            f"to {ACTIONS - 1} such as [7, 6, 6, 5]."
        )
    if len(set(map(len, sequences))) > 1:
        line = next(i for i, s in enumerate(sequences) if len(s) != len(sequences[0]))
        raise TableError(f"{path}, line {line + 2}: a sequence of {len(sequences[line])} actions.")
    return sequences


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_sequence(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(type(action) is int and 0 <= action < ACTIONS for action in value)
    )
