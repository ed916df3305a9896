"""Reads predictions and references, in any form, into columns, and pairs them by image id."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from gcd_metric.csv_files import is_csv, open_csv
from gcd_metric.matching import match_ids
from gcd_metric.names import listed, shortened
from gcd_metric.tables import tidy
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
# Words that mark a prediction, as in `prediction`, `pred_y` and `LatPred`, but not if the column is
# about a prediction, such as its score.
_MARKED = re.compile(
    r"preds?|prd|predict.*|guess.*|outputs?|answers?|responses?|[yxs]?hat|pred.+|.+pred"
)
_ABOUT = {
    *("id", "time", "at", "score", "confidence", "prob", "probability", "loss", "error"),
    *("distance", "correct", "model"),
}
_IDS = {"imageid", "imgid", "photoid", "id", "filename", "key"}
_NAMED = 3

Columns = dict[str, Any]


def _is_relevant(name: str) -> bool:
    """Return whether a column is a known one, or looks as if it has ids or predictions."""
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
        If a row lacks a column that the first one has, a column occurs twice, or several columns
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
    if hasattr(rows, "with_format"):  # of `datasets`, which would take a second to import
        return _of_data_set(rows)
    if hasattr(rows, "to_pydict"):
        _refuse_repeated(rows.column_names)
        return _known(rows.to_pydict())
    names = getattr(getattr(rows, "dtype", None), "names", None)
    if names:
        return {name: rows[name] for name in names if _is_relevant(name)}
    if isinstance(rows, Mapping) or hasattr(rows, "columns"):
        names = rows.columns if hasattr(rows, "columns") else rows
        _refuse_repeated(names)
        return {name: list(rows[name]) for name in map(str, names) if _is_relevant(name)}
    if isinstance(rows, Iterable) and not hasattr(rows, "dtype"):
        return _of_list(list(rows))
    return None


def _of_data_set(rows: Any) -> Columns:
    names = rows.column_names
    if names is not None:  # without reading pictures, and without the user's transform
        rows = rows.select_columns([name for name in names if _is_relevant(name)])
    rows = rows.with_format(None)
    return _known(rows[:]) if hasattr(rows, "num_rows") else _of_list(list(rows)) or {}


def _of_list(rows: list[Any]) -> Columns | None:
    rows = [row._asdict() if hasattr(row, "_asdict") else row for row in rows]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        return None
    names = [name for name in rows[0] if _is_relevant(name)]
    for number, row in enumerate(rows):
        if missing := [name for name in names if name not in row]:
            raise ValueError(f"row {number} has no {missing[0]}, which the first row has")
    return {name: [row[name] for row in rows] for name in names}


def _known(columns: Mapping[str, Any]) -> Columns:
    return {name: columns[name] for name in columns if _is_relevant(name)}


def _refuse_repeated(names: Iterable[Any]) -> None:
    counts = Counter(map(str, names))
    if repeated := [name for name in counts if counts[name] > 1 and _is_relevant(name)]:
        raise ValueError(f"the column {listed(repeated)} occurs more than once: keep one")


def refuse_similar(names: Iterable[str]) -> None:
    """Raise ValueError if columns of other names may contain the predictions.

    It is unknown which of `sequence` and `predicted_sequence` is the prediction, and scoring the
    truth as a prediction would give a perfect score.
    """
    if others := [name for name in names if name not in KNOWN and not _is_id(name)]:
        raise ValueError(
            f"the columns {listed(others)} may contain predictions too: keep only the predicted "
            f"ones, under the names {', '.join(KNOWN[1:])}"
        )


def read_predictions(path: str | Path) -> Columns:
    """Read the known columns of a file of predictions.

    Parameters
    ----------
    path : path
        CSV or TSV with a header, also compressed; Parquet; or JSON lines (`.jsonl`).

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    where, suffix = os.fspath(path), os.path.splitext(path)[1].lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            names, read = _read_json_lines(Path(path))
        elif suffix == ".parquet":
            table = pa.parquet.read_table(path)
            names, read = table.column_names, lambda known: table.select(known).to_pydict()
        elif is_csv(path):
            names, read = _read_csv(Path(path))
        else:
            raise ValueError("predictions are a .csv, .tsv, .parquet or .jsonl file")
        _refuse_repeated(names)
        refuse_similar([name for name in names if _is_relevant(name)])
        if ID not in names:
            raise ValueError(f"{where} has no column {ID}; it has {listed(names)}.")
        return read([name for name in KNOWN if name in names])
    except (pa.ArrowException, ValueError) as error:
        text = " ".join(str(error).split())
        raise ValueError(text if text.startswith(where) else f"{where}: {text}") from error


# Each returns the names of all columns, and a function that reads some of them.
_Opened = tuple[list[str], Callable[[list[str]], Columns]]


def _read_csv(path: Path) -> _Opened:
    opened = open_csv(path, str(path))
    names, rows = opened.names, opened.read

    def read(known: list[str]) -> Columns:
        cells = list(rows(known))
        columns: Columns = dict(zip(known, map(list, zip(*cells, strict=True)), strict=False))
        if cells and columns.keys() >= {*COLUMNS["coordinates"]}:
            roles = {"id": ID, "latitude": "latitude", "longitude": "longitude"}
            places = zip(*(columns[name] for name in roles.values()), strict=True)
            table = tidy(places, roles, str(path))
            columns |= {name: table[name].tolist() for name in roles.values()}
        if "sequence" in columns:
            columns["sequence"] = parse_sequences(columns["sequence"], str(path))
        return columns

    return names, read


def _read_json_lines(path: Path) -> _Opened:
    rows: list[dict[str, Any]] = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_record)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is not JSON ({shortened(error)})") from error
            if not isinstance(row, dict) or (rows and row.keys() != rows[0].keys()):
                raise ValueError(f"line {number} is not a record with the fields of the first line")
            rows.append(row)
    names = [*(rows[0] if rows else ())]
    return names, lambda known: {name: [row[name] for row in rows] for name in known}


def _record(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated(name for name, _ in fields)
    return dict(fields)


def image_ids(values: Any, what: str) -> list[str]:
    """Return ids as text; raises ValueError for a value that is not an id, or for repeated ids."""
    ids: list[str] = []
    if (
        isinstance(values, (str, bytes))
        or not isinstance(values, Iterable)
        or (getattr(values, "ndim", 1) == 0)
    ):
        raise ValueError(f"{what}: ids are not a list; give one for each row")
    for number, value in enumerate(values):
        found = photo_id(value)
        if found is None:
            raise ValueError(
                f"{what}: id {number} is {shortened(repr(value))}, which is not an image id; "
                "give text or whole numbers, because a float loses digits"
            )
        ids.append(found)
    if repeated := [one for one, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{what}: repeated ids: {_some(repeated)}; keep one of each")
    return ids


def pair(
    found: list[str] | None, wanted: list[str] | None, allow_partial: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the positions of predictions and of references that belong together.

    None if neither side has ids: then they have the same order.

    Raises
    ------
    ValueError
        If only one side has ids, or an id is on one side only and `allow_partial` is false.
    """
    if found is None and wanted is None:
        return None
    if found is None:
        raise ValueError(
            "references have image ids and predictions have none, so which belong together is "
            "unknown: name the photo of each prediction with ids= (if they have the order of "
            'the references, ids=references["image_id"])'
        )
    if wanted is None:
        raise ValueError("predictions have ids and references have no image_id to find them by")
    match = match_ids(found, wanted)
    if not len(match.left):
        raise ValueError(
            f"no prediction is of a photo of the references: {_some(found)} against {_some(wanted)}"
        )
    faults = [
        f"{side} without a {other}: {_some([ids[at] for at in lost])} of {len(ids):,}"
        for ids, lost, side, other in (
            (wanted, match.unmatched_right, "references", "prediction"),
            (found, match.unmatched_left, "predictions", "reference"),
        )
        if len(lost)
    ]
    if faults and not allow_partial:
        raise ValueError(f"{', and '.join(faults)}. allow_partial=True scores only those in both.")
    return match.left, match.right


def _some(ids: Sequence[str]) -> str:
    more = ", …" if len(ids) > _NAMED else ""
    return f"{len(ids):,} ({', '.join(map(shortened, ids[:_NAMED]))}{more})"
