"""Predictions and references in whatever form they come: their columns, and what belongs together.

Scoring them is `scores.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from justzoomin.plan import photo_id
from justzoomin.table import parse_sequences

COLUMNS = {
    "sequences": ("sequence",),
    "coordinates": ("latitude", "longitude"),
    "ranked": ("candidates",),
}
ID = "image_id"
KNOWN = (ID, *(name for names in COLUMNS.values() for name in names))
_SIMILAR = {
    *("lat", "latitude", "lon", "lng", "long", "longitude"),
    *("sequence", "sequences", "seq", "actions", "candidates", "ranked"),
}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_NAMED = 3

Columns = dict[str, Any]


def _counts(name: str) -> bool:
    """Tell whether a column is one of those known here, or looks as if it might be one."""
    return name in KNOWN or bool(_SIMILAR & {*re.split("[^a-z]+", name.lower())})


def columns_of(rows: Any) -> Columns | None:
    """Return the columns known here and those of similar names, or None for plain arrays.

    Parameters
    ----------
    rows : object
        A `datasets.Dataset`, streamed or not, a data frame, an Arrow table, a record array, a
        mapping of columns, or a list of rows (mappings or named tuples).

    Raises
    ------
    ValueError
        When a row lacks a column that the first has.
    """
    if isinstance(rows, (datasets.Dataset, datasets.IterableDataset)):
        return _of_data_set(rows)
    if hasattr(rows, "to_pydict"):
        return _known(rows.to_pydict())
    names = getattr(getattr(rows, "dtype", None), "names", None)
    if names:
        return {name: rows[name] for name in names if _counts(name)}
    if isinstance(rows, Mapping) or hasattr(rows, "columns"):
        names = rows.columns if hasattr(rows, "columns") else rows
        return {name: list(rows[name]) for name in map(str, names) if _counts(name)}
    if isinstance(rows, Iterable) and not hasattr(rows, "dtype"):
        return _of_list(list(rows))
    return None


def _of_data_set(rows: Any) -> Columns:
    names = rows.column_names
    if names is not None:  # without reading pictures, and without the user's transform
        rows = rows.select_columns([name for name in names if _counts(name)])
    rows = rows.with_format(None)
    streamed = isinstance(rows, datasets.IterableDataset)
    return (_of_list(list(rows)) or {}) if streamed else _known(rows[:])


def _of_list(rows: list[Any]) -> Columns | None:
    rows = [row._asdict() if hasattr(row, "_asdict") else row for row in rows]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        return None
    names = [name for name in rows[0] if _counts(name)]
    for number, row in enumerate(rows):
        if missing := [name for name in names if name not in row]:
            raise ValueError(f"row {number} has no {missing[0]}, which the first row has")
    return {name: [row[name] for row in rows] for name in names}


def _known(columns: Mapping[str, Any]) -> Columns:
    return {name: columns[name] for name in columns if _counts(name)}


def refuse_similar(columns: Columns) -> None:
    """Raise ValueError when columns of other names may hold the predictions.

    Which of `sequence` and `predicted_sequence` is the prediction is not known here, and scored as
    a prediction the truth is perfect.
    """
    if others := [name for name in columns if name not in KNOWN]:
        raise ValueError(
            f"the columns {', '.join(others)} may hold predictions too: leave only the predicted "
            f"ones, under the names {', '.join(KNOWN[1:])}"
        )


def read_predictions(path: str | os.PathLike) -> Columns:
    """Read the known columns of a file of predictions.

    Parameters
    ----------
    path : path
        CSV or TSV with a header, Parquet, or JSON lines (`.jsonl`).

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    try:
        if suffix in _SEPARATORS:
            columns = _read_csv(path, _SEPARATORS[suffix])
        elif suffix == ".parquet":
            columns = pa.parquet.read_table(path).to_pydict()
        elif suffix in (".jsonl", ".ndjson"):
            columns = _read_json_lines(path)
        else:
            raise ValueError("predictions are a .csv, .tsv, .parquet or .jsonl file")
        refuse_similar(_known(columns))
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    if ID not in columns:
        raise ValueError(f"{path} has no column {ID}; it has {', '.join(columns)}.")
    return _known(columns)


def _read_csv(path: str, separator: str) -> Columns:
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    text = pa.csv.ConvertOptions(column_types=dict.fromkeys(KNOWN, pa.string()))
    # Of several damaged columns, threads would name one or the other.
    one_thread = pa.csv.ReadOptions(use_threads=False)
    columns = pa.csv.read_csv(path, one_thread, parse, text).to_pydict()
    for name in COLUMNS["coordinates"]:
        if name in columns:
            values = pd.to_numeric(pd.Series(columns[name], dtype=object), errors="coerce")
            if values.isna().any():
                row = int(values.isna().to_numpy().argmax())
                raise ValueError(
                    f"line {row + 2}: {name} is {columns[name][row]!r}, which is no number"
                )
            columns[name] = values.tolist()
    if "sequence" in columns:
        columns["sequence"] = parse_sequences(columns["sequence"], "the table")
    return columns


def _read_json_lines(path: str) -> Columns:
    rows: list[dict[str, Any]] = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is no JSON ({error})") from error
            if not isinstance(row, dict) or (rows and row.keys() != rows[0].keys()):
                raise ValueError(f"line {number} is no record with the fields of the first line")
            rows.append(row)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def as_array(values: Any, name: str) -> np.ndarray:
    """Return values as an array: of numbers, tensors on any device, or text such as "[7, 6]".

    Raises
    ------
    ValueError
        When they are of different shapes, or masked.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: some values are masked, and what lies under a mask is no answer")
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = values.tolist()
    values = _from_text(values, name, "predictions")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: no array can be made of them ({error})") from error


def _from_text(values: Any, name: str, where: str) -> Any:
    """Read sequences, and lists of them, that a CSV file holds as text."""
    if not isinstance(values, (list, tuple)) or not values or not isinstance(values[0], str):
        return values
    if name == "candidates":
        try:
            return [json.loads(text) for text in values]
        except (ValueError, RecursionError, TypeError) as error:
            raise ValueError(f"candidates are lists of sequences, as JSON ({error})") from error
    return parse_sequences(["" if text is None else text for text in values], where)


def image_ids(values: Any, what: str) -> list[str]:
    """Return ids as text; an error names the first that is none, or those that occur twice."""
    ids = []
    for number, value in enumerate(values):
        found = photo_id(value)
        if found is None:
            raise ValueError(
                f"{what}: id {number} is {value!r}, which is no image id; give text or whole "
                "numbers, as a float loses digits"
            )
        ids.append(found)
    repeated = [one for one, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(f"{what}: {_some(repeated)} occur twice, so no one knows which counts")
    return ids


def pair(
    found: list[str] | None, wanted: list[str] | None, allow_partial: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the positions of predictions and of references that belong together.

    None where neither side has ids: then they stand in the same order.

    Raises
    ------
    ValueError
        When one side alone has ids, or an id is on one side alone and `allow_partial` is false.
    """
    if found is None and wanted is None:
        return None
    if found is None:
        raise ValueError(
            "references have image ids and predictions have none, so which belong together is "
            "unknown: name the photo of each prediction with ids= (if they stand in the order of "
            'the references, ids=references["image_id"])'
        )
    if wanted is None:
        raise ValueError("predictions have ids and references have no image_id to find them by")
    place = {one: number for number, one in enumerate(found)}
    known = {*wanted}
    both = [number for number, one in enumerate(wanted) if one in place]
    strange = [one for one in found if one not in known]
    lacking = [one for one in wanted if one not in place]
    if not both:
        raise ValueError(
            f"no prediction is of a photo of the references: {_some(found)} against {_some(wanted)}"
        )
    if (strange or lacking) and not allow_partial:
        parts = []
        if lacking:
            parts.append(f"{_some(lacking)} of {len(wanted)} references have no prediction")
        if strange:
            parts.append(f"{_some(strange)} of {len(found)} predictions have no reference")
        raise ValueError(
            f"{', and '.join(parts)}. allow_partial=True scores the {len(both)} that are in both."
        )
    return np.array([place[wanted[number]] for number in both]), np.array(both)


def _some(ids: Sequence[str]) -> str:
    more = ", …" if len(ids) > _NAMED else ""
    return f"{len(ids):,} ({', '.join(ids[:_NAMED])}{more})"
