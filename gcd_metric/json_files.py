"""Reads JSON and JSON lines: rows, columns, or objects by id, as scripts write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .columns import ROLES, Unclear, find_ids, find_pair, find_texts, has_coordinates
from .names import listed, shortened
from .opened import LARGEST, Opened, Row, naming, open_text, suffix_of

LINES = (".jsonl", ".ndjson")
_MOST_DIGITS = 300  # an integer with more may not fit into a float

Cells = dict[str, Any]


def open_json(path: Path, where: str) -> Opened:
    """Open JSON or JSON lines, which may be compressed; errors call the file `where`.

    A document may be a list of objects, an object of columns, or an object with an object, a pair
    (latitude, longitude) or a text for each id. Objects and pairs in a row become columns such as
    `pred.latitude`. Which of the forms it is follows from the content.
    """
    with naming(where), open_text(path) as file:
        text = file.read(LARGEST)
    if len(text) == LARGEST:
        raise ValueError(f"{where}: more than {LARGEST:,} characters; save it as Parquet or CSV")
    if not text.strip():
        raise ValueError(f"{where}: the file is empty")
    lines = _lines(text, where, suffix_of(path) in LINES)
    notes: list[str] = []
    rows = _rows(_parsed(text, where), where, notes) if lines is None else lines
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    if not names:
        raise ValueError(f"{where}: there are no rows; write one object for each photo")
    pairs = {name for row in rows for name, value in row.items() if _is_pair(value)}
    if pairs:
        known = listed(sorted(pairs))
        notes.append(f"{where}: pairs in {known} are read as latitude, longitude")

    def read(columns: list[str]) -> Iterator[Row]:
        end = len(flat)
        while end and flat[end - 1].keys().isdisjoint(columns[:3]):  # figures, after the rows
            end -= 1
        if end:
            for row in flat[end:]:
                opened.summary.extend([name, str(value)] for name, value in row.items())
        for row in flat[: end or None]:
            yield tuple(row.get(name) for name in columns)

    opened = Opened(names, read, notes)
    return opened


def _lines(text: str, where: str, named: bool) -> list[Cells] | None:
    """The rows of JSON lines, which the file may be named as; None if the text is one document."""
    first, _, rest = text.strip().partition("\n")
    if not first.startswith("{") or not (named or rest.strip()):
        return None
    try:
        _loads(first)
    except (ValueError, RecursionError):
        return None
    rows = []
    for number, line in enumerate(text.splitlines() if "\r" in text else text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: line {number} is not JSON: {_why(error)}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{where}: line {number} is not an object with names")
        rows.append(row)
    return rows


def _parsed(text: str, where: str) -> Any:
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: this is not JSON: {_why(error)}") from None


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_int=_integer)


def _integer(text: str) -> int | float:
    return int(text) if len(text) < _MOST_DIGITS else float(text)


def _object(items: list[tuple[str, Any]]) -> Cells:
    found = dict(items)
    if len(found) < len(items):
        names = [name for name, _ in items]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{shortened(twice)} occurs twice in one object")
    return found


def _why(error: BaseException) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else shortened(error)


# --- forms of documents -------------------------------------------------------------------------


def _rows(document: Any, where: str, notes: list[str]) -> list[Cells]:
    if isinstance(document, dict):
        lists = [name for name, value in document.items() if _is_rows(value)]
        if document.keys() >= {"columns", "data"} and isinstance(document["data"], list):
            names = document["columns"]  # as pandas writes orient="split"
            if isinstance(names, list) and all(isinstance(row, list) for row in document["data"]):
                return [dict(zip(map(str, names), row, strict=False)) for row in document["data"]]
        if len(lists) > 1:
            raise ValueError(f"{where}: rows may be in {listed(lists)}; save one of them alone")
        flat = not any(isinstance(value, (list, dict)) for value in document.values())
        if flat and has_coordinates(document):
            return [document]
        if lists:
            notes.append(f"{where}: the rows of {shortened(lists[0])} are read")
            return list(document[lists[0]])
        return _of_columns(document, where) or _of_ids(document, where)
    if _is_rows(document):
        return list(document)
    raise ValueError(
        f"{where}: expected a list of objects, an object of columns, or an object with an id for "
        "each photo"
    )


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _of_columns(document: Cells, where: str) -> list[Cells] | None:
    """The rows of an object of columns; None if its keys do not name columns."""
    columns = {
        name: list(value.values()) if isinstance(value, dict) else value
        for name, value in document.items()
        if isinstance(value, (list, dict))
    }
    try:
        find_pair(list(columns))
    except Unclear as unclear:
        texts = find_ids(columns) and find_texts(list(columns))
        if not (str(unclear).startswith("several") or texts or _lists_of_pairs(columns)):
            return None
    numbers = {name: list(value) for name, value in document.items() if isinstance(value, dict)}
    if len({tuple(keys) for keys in numbers.values()}) > 1:
        raise ValueError(f"{where}: the columns {listed(numbers)} have different rows")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = listed(f"{name} has {length:,}" for name, length in lengths.items())
        raise ValueError(f"{where}: columns have different numbers of rows: {counts}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _lists_of_pairs(columns: Mapping[str, Any]) -> bool:
    """Whether a column is a list of pairs, which an object with a pair for each id is not."""
    lists = (one for one in columns.values() if isinstance(one, list) and one)
    return any(all(map(_is_pair, one)) for one in lists)


def _of_ids(document: Cells, where: str) -> list[Cells]:
    rows = []
    for name, value in document.items():
        if isinstance(value, dict):
            rows.append({"key": name, **value})
        elif _is_pair(value):
            rows.append({"key": name, **dict(zip(ROLES[1:], value, strict=True))})
        elif isinstance(value, str) or value is None:
            rows.append({"key": name, "answer": value})
        else:
            raise ValueError(
                f"{where}: {shortened(name)} is neither an object nor a pair (latitude, longitude)"
            )
    return rows


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in value)
    )


def _flat(row: Cells) -> Cells:
    """A row in which objects and pairs are spread over columns: `pred.lat`, `pred.latitude`."""
    cells: Cells = {}
    for name, value in row.items():
        if _is_pair(value):
            value = dict(zip(ROLES[1:], value, strict=True))
        if isinstance(value, dict):
            cells.update((f"{name}.{inner}", one) for inner, one in value.items())
        else:
            cells[name] = value
    return cells
