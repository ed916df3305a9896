"""The split tables of Just Zoom In: which photo was taken where, and its zoom actions."""

from __future__ import annotations

import functools
import json
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from geoload.files import signature
from geoload.report import Findings
from justzoomin.findings import BOTH_SPLITS, REPEATED_ROWS
from justzoomin.zoom import DEPTH, GRID

COLUMNS = ("image_id", "latitude", "longitude", "sequence")
# A JSON list of up to four whole numbers from 0 to 15, in ASCII and without leading zeros.
_ACTION = r"[ \t]*(?:1[0-5]|[0-9])[ \t]*"
_SEQUENCE = re.compile(rf"[ \t]*\[{_ACTION}(?:,{_ACTION}){{0,{DEPTH - 1}}}\][ \t]*")


class TableError(ValueError):
    """A split table that lacks a column or contains an invalid value."""


@dataclass(frozen=True, eq=False)
class Table:
    """One split's rows, as columns of n values."""

    image_id: list[str]
    latitude: list[float]  # decimal degrees, WGS 84
    longitude: list[float]
    sequence: list[list[int]]  # zoom actions, row · 4 + column of the chosen cell, 0 to 15

    @functools.cached_property
    def row(self) -> dict[str, int]:
        """The first row of each id."""
        found: dict[str, int] = {}
        for row, image_id in enumerate(self.image_id):
            found.setdefault(image_id, row)
        return found

    @functools.cached_property
    def repeated(self) -> list[str]:
        """The ids of further rows."""
        return [one for row, one in enumerate(self.image_id) if self.row[one] != row]

    def __len__(self) -> int:
        return len(self.image_id)

    def record(self, row: int) -> dict[str, object]:
        """Return one row as a record of plain Python values."""
        return {
            "image_id": self.image_id[row],
            "latitude": self.latitude[row],
            "longitude": self.longitude[row],
            "sequence": [*self.sequence[row]],  # which users may change
        }

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns by name, in the order of the file."""
        return {name: getattr(self, name) for name in COLUMNS}

    def take(self, chosen: np.ndarray) -> Table:
        """Return the rows where `chosen` is true."""
        return Table(*(list(compress(column, chosen)) for column in self.columns().values()))


def table_report(table: Table, others: Table) -> Findings:
    """Count the problems of a split's table, alone and compared with the other split's."""
    report = Findings()
    both = [image_id for image_id in table.row if image_id in others.row]
    report.add_many(REPEATED_ROWS, len(table.repeated), table.repeated)
    report.add_many(BOTH_SPLITS, len(both), both)
    return report


def read_table(path: str) -> Table:
    """Read a split's CSV file with the columns `image_id,latitude,longitude,sequence`.

    Other columns are ignored. The table of an unchanged file is kept in memory. A TableError names
    the file, the column and the first bad row.
    """
    return _read_table(path, tuple(signature([path], "/")))


@functools.lru_cache(maxsize=4)
def _read_table(path: str, state: object) -> Table:
    frame = _read_csv(path)
    table = Table(
        frame["image_id"].tolist(),
        _degrees(frame, "latitude", 90, path),
        _degrees(frame, "longitude", 180, path),
        parse_sequences(frame["sequence"].tolist(), path),
    )
    if "" in table.row:
        raise TableError(f"{path}, line {table.row[''] + 2}: the image_id is empty.")
    return table


def _read_csv(path: str) -> pd.DataFrame:
    """Read the columns as text; Arrow, unlike pandas, refuses rows longer than the header."""
    # With threads, an error would name any one of several damaged columns.
    one_thread = pa.csv.ReadOptions(use_threads=False)
    quoted = pa.csv.ParseOptions(newlines_in_values=True)
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
    try:
        content = pa.csv.read_csv(path, one_thread, quoted, as_text)
        names = content.column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise TableError(f"{path} is not a CSV file: {what}. Get it again.") from error
    for column in COLUMNS:
        if names.count(column) != 1:
            many = "more than one" if column in names else "no"
            raise TableError(f"{path} has {many} column {column}; it has {reprlib.repr(names)}.")
    frame: pd.DataFrame = content.select(list(COLUMNS)).to_pandas()
    return frame


def _degrees(frame: pd.DataFrame, column: str, limit: int, path: str) -> list[float]:
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= limit))
    if len(bad):
        raise TableError(
            f"{path}, line {bad[0] + 2}: {column} is {reprlib.repr(frame[column][bad[0]])}; "
            f"rows without a number within ±{limit}: {len(bad)} of {len(frame)}."
        )
    return values.tolist()


def parse_sequences(texts: Sequence[str], where: str) -> list[list[int]]:
    """Read sequences of one length from text such as "[7, 6, 6, 5]".

    A TableError names the file (`where`) and the line of the first text that is not a list of
    actions, or has another length than most; the header is line 1.
    """
    for line, text in enumerate(texts, 2):
        # Each is checked by itself, because damaged ones side by side can look valid together.
        if not _SEQUENCE.fullmatch(text):
            raise TableError(
                f"{where}, line {line}: sequence is {reprlib.repr(text)}, not a list of actions "
                f"from 0 to {GRID**2 - 1}, {DEPTH} at most, such as [7, 6, 6, 5]."
            )
    # Parsing them as one joined list is many times faster.
    sequences: list[list[int]] = json.loads(f"[{','.join(texts)}]")
    counts = Counter(map(len, sequences))
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        line = next(i for i, one in enumerate(sequences, 2) if len(one) != usual)
        raise TableError(
            f"{where}, line {line}: sequence is {reprlib.repr(texts[line - 2])}, which does not "
            f"have {usual} actions as most rows do."
        )
    return sequences


def as_array(values: Any, name: str) -> np.ndarray:
    """Return numbers, tensors on any device, or text such as "[7, 6]" as an array.

    Raises
    ------
    ValueError
        If they have different shapes, or some are masked.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: some values are masked; fill them in or leave their rows out")
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = values.tolist()
    values = _from_text(values, name, "predictions")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: cannot be made an array ({error})") from error


def _from_text(values: Any, name: str, where: str) -> Any:
    """Read sequences, or lists of them, from the text of a CSV file."""
    if not isinstance(values, (list, tuple)) or not values or not isinstance(values[0], str):
        return values
    if name == "candidates":
        try:
            return [json.loads(text) for text in values]
        except (ValueError, RecursionError, TypeError) as error:
            raise ValueError(f"candidates are lists of sequences, as JSON ({error})") from error
    return parse_sequences(["" if text is None else text for text in values], where)
