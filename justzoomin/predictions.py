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

from gcd_metric.names import listed, shortened
from justzoomin.members import photo_id
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
# Words that mark a prediction, as in `prediction`, `pred_y` and `LatPred`; a column about a
# prediction, such as its score, is none itself.
_MARKED = re.compile(
    r"preds?|prd|predict.*|guess.*|outputs?|answers?|responses?|[yxs]?hat|pred.+|.+pred"
)
_ABOUT = {
    *("id", "time", "at", "score", "confidence", "prob", "probability", "loss", "error"),
    *("distance", "correct", "model"),
}
_IDS = {"imageid", "imgid", "photoid", "id", "filename", "key"}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_NAMED = 3

Columns = dict[str, Any]


def _counts(name: str) -> bool:
    """Tell whether a column is one of those known here, or looks as if it might be one."""
    if name in KNOWN or _is_id(name):
        return True
    words = {*re.split("[^a-z]+", str(name).lower())}
    marked = any(map(_MARKED.fullmatch, words)) and not words & _ABOUT
    return marked or bool(_SIMILAR & words)


def _is_id(name: Any) -> bool:
    return re.sub(r"[\W_]", "", str(name)).lower() in _IDS


def columns_of(rows: Any) -> Columns | None:
    """Return the columns known here and those of similar names, or None for plain arrays.

    Parameters
    ----------
    rows : object
        A `datasets.Dataset`, streamed or not, a data frame, an Arrow table, a record array, a
        mapping of columns, or a list of rows (mappings or named tuples).

    Image ids that have another name, such as `filename`, or that are the index of a data frame, are
    given as `image_id`.

    Raises
    ------
    ValueError
        When a row lacks a column that the first has, a column is there twice, or several columns
        may be the image ids.
    """
    columns = _columns_of(rows)
    if columns is None or ID in columns:
        return columns
    ids = [name for name in columns if _is_id(name)]
    if len(ids) > 1:
        raise ValueError(f"image ids may be in {listed(ids)}: name the right column {ID}")
    if ids:
        return columns | {ID: columns[ids[0]]}
    index = rows.index if hasattr(rows, "iloc") else None
    if index is not None and (
        _is_id(index.name) or (index.name is None and index.inferred_type == "string")
    ):
        return columns | {ID: index.tolist()}
    return columns


def _columns_of(rows: Any) -> Columns | None:
    if isinstance(rows, (datasets.Dataset, datasets.IterableDataset)):
        return _of_data_set(rows)
    if hasattr(rows, "to_pydict"):
        _refuse_repeated(rows.column_names)
        return _known(rows.to_pydict())
    names = getattr(getattr(rows, "dtype", None), "names", None)
    if names:
        return {name: rows[name] for name in names if _counts(name)}
    if isinstance(rows, Mapping) or hasattr(rows, "columns"):
        names = rows.columns if hasattr(rows, "columns") else rows
        _refuse_repeated(names)
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


def _refuse_repeated(names: Iterable[Any]) -> None:
    counts = Counter(map(str, names))
    if repeated := [name for name in counts if counts[name] > 1 and _counts(name)]:
        raise ValueError(f"the column {listed(repeated)} is there more than once: leave one")


def refuse_similar(columns: Columns) -> None:
    """Raise ValueError when columns of other names may hold the predictions.

    Which of `sequence` and `predicted_sequence` is the prediction is not known here, and scored as
    a prediction the truth is perfect.
    """
    if others := [name for name in columns if name not in KNOWN and not _is_id(name)]:
        raise ValueError(
            f"the columns {listed(others)} may hold predictions too: leave only the predicted "
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
            table = pa.parquet.read_table(path)
            _refuse_repeated(table.column_names)
            columns = table.to_pydict()
        elif suffix in (".jsonl", ".ndjson"):
            columns = _read_json_lines(path)
        else:
            raise ValueError("predictions are a .csv, .tsv, .parquet or .jsonl file")
        refuse_similar(_known(columns))
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    if ID not in columns:
        raise ValueError(f"{path} has no column {ID}; it has {listed(columns)}.")
    return _known(columns)


def _read_csv(path: str, separator: str) -> Columns:
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    text = pa.csv.ConvertOptions(column_types=dict.fromkeys(KNOWN, pa.string()))
    # Of several damaged columns, threads would name one or the other.
    one_thread = pa.csv.ReadOptions(use_threads=False)
    table = pa.csv.read_csv(path, one_thread, parse, text)
    _refuse_repeated(table.column_names)
    columns = table.to_pydict()
    for name in COLUMNS["coordinates"]:
        if name in columns:
            values = pd.to_numeric(pd.Series(columns[name], dtype=object), errors="coerce")
            if values.isna().any():
                row = int(values.isna().to_numpy().argmax())
                cell = shortened(repr(columns[name][row]))
                raise ValueError(f"line {row + 2}: {name} is {cell}, which is no number")
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
                row = json.loads(line, object_pairs_hook=_record)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is no JSON ({shortened(error)})") from error
            if not isinstance(row, dict) or (rows and row.keys() != rows[0].keys()):
                raise ValueError(f"line {number} is no record with the fields of the first line")
            rows.append(row)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _record(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated(name for name, _ in fields)
    return dict(fields)


def image_ids(values: Any, what: str) -> list[str]:
    """Return ids as text; an error names the first that is none, or those that occur twice."""
    ids: list[str] = []
    try:
        values = None if isinstance(values, (str, bytes)) else list(values)
    except TypeError:
        values = None
    if values is None:
        raise ValueError(f"{what}: ids are no list; give one for each row")
    for number, value in enumerate(values):
        found = photo_id(value)
        if found is None:
            raise ValueError(
                f"{what}: id {number} is {shortened(repr(value))}, which is no image id; "
                "give text or whole numbers, as a float loses digits"
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
    return f"{len(ids):,} ({', '.join(map(shortened, ids[:_NAMED]))}{more})"
