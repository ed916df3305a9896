"""The split tables of Just Zoom In: which photo was taken where, and its zoom actions."""

from __future__ import annotations

import functools
import json
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from geoload.files import signature
from geoload.report import Findings
from justzoomin.findings import BOTH_SPLITS, REPEATED_ROWS
from justzoomin.source import Source, other_split
from justzoomin.zoom import DEPTH, GRID

COLUMNS = ("image_id", "latitude", "longitude", "sequence")
# A JSON list of up to four whole numbers from 0 to 15, in ASCII and without leading zeros.
_ACTION = r"[ \t]*(?:1[0-5]|[0-9])[ \t]*"
_SEQUENCE = re.compile(rf"[ \t]*\[{_ACTION}(?:,{_ACTION}){{0,{DEPTH - 1}}}\][ \t]*")


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


def read_tables(source: Source, split: str) -> tuple[Table, Table]:
    """Read the table of a split, and that of the other split."""
    return read_table(source.table(split)), read_table(source.table(other_split(split)))


def table_report(table: Table, others: Table) -> Findings:
    """Count what is wrong with a split's table by itself and beside the other's."""
    report = Findings()
    both = [image_id for image_id in table.row if image_id in others.row]
    report.add_many(REPEATED_ROWS, len(table.repeated), table.repeated)
    report.add_many(BOTH_SPLITS, len(both), both)
    return report


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
def _read_table(path: str, state: object) -> Table:
    frame = _read_csv(path)
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
        parse_sequences(frame["sequence"].tolist(), path),
        row,
        repeated,
    )


def _read_csv(path: str) -> pd.DataFrame:
    """Read the columns as text; Arrow, unlike pandas, refuses rows longer than the header."""
    # Of several damaged columns, threads would name one or the other.
    one_thread = pa.csv.ReadOptions(use_threads=False)
    quoted = pa.csv.ParseOptions(newlines_in_values=True)
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
    try:
        content = pa.csv.read_csv(path, one_thread, quoted, as_text)
        names = content.column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise TableError(f"{path} is no CSV file: {what}. Get it again.") from error
    for column in COLUMNS:
        if names.count(column) != 1:
            many = "more than one" if column in names else "no"
            raise TableError(f"{path} has {many} column {column}; it has {reprlib.repr(names)}.")
    return content.select(list(COLUMNS)).to_pandas()


def _degrees(frame: pd.DataFrame, column: str, limit: int, path: str) -> list[float]:
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= limit))
    if len(bad):
        raise TableError(
            f"{path}, line {bad[0] + 2}: {column} is {reprlib.repr(frame[column][bad[0]])}; "
            f"{len(bad)} of {len(frame)} rows have no number within ±{limit} there."
        )
    return values.tolist()


def parse_sequences(texts: Sequence[str], where: str) -> list[list[int]]:
    """Read sequences of one length from text such as "[7, 6, 6, 5]".

    Parameters
    ----------
    texts : sequence of str, length n
    where : str
        What an error calls the file; it names the line too, of which the header is the first.

    Returns
    -------
    list of list of int, n by depth

    Raises
    ------
    TableError
        For the first text that is no list of actions, or has another length than most.
    """
    for line, text in enumerate(texts, 2):
        # Each by itself: damaged ones side by side can make up valid ones.
        if not _SEQUENCE.fullmatch(text):
            raise TableError(
                f"{where}, line {line}: sequence is {reprlib.repr(text)}, not a list of actions "
                f"from 0 to {GRID**2 - 1}, {DEPTH} at most, such as [7, 6, 6, 5]."
            )
    # All of them joined are one large list, which is read many times as fast.
    sequences = json.loads(f"[{','.join(texts)}]")
    counts = Counter(map(len, sequences))
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        line = next(i for i, one in enumerate(sequences, 2) if len(one) != usual)
        raise TableError(
            f"{where}, line {line}: sequence is {reprlib.repr(texts[line - 2])}, which has not "
            f"{usual} actions as most have."
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
