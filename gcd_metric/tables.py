"""Reads coordinates of images from tables, and checks every cell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .columns import (
    ADVICE,
    ROLES,
    Unclear,
    find_both,
    find_columns,
    find_id,
    find_ids,
    find_pair,
    find_texts,
    has_coordinates,
    is_usual_id,
    plain,
)
from .coordinates import parse_number, runs_to_360, with_point
from .matching import match_ids
from .names import listed, refuse_duplicates, shortened
from .opened import Opened, Row
from .readers import open_table

ROW_NUMBER = "row number"  # in place of the column of ids
TIDY = ("image_id", "latitude", "longitude")  # the columns that `tidy` makes
_LIMITS = {"latitude": 90, "longitude": 180}
# what spreadsheets and data frames make of long ids; a short id with ".0" has lost no digit
_ROUNDED_ID = re.compile(r"^\d(?:[.,]\d+)?E\+\d+$|^\d{6,}\.0$", re.IGNORECASE)
_MANY = 10  # latitudes beyond ±90 degrees
_LARGEST_EXACT = 2**53  # beyond it a float loses digits of an integer


class AnswerOptions(NamedTuple):
    """What a user chose about answers of models as texts."""

    column: str | None = None
    places: str | None = None  # as for `parse_answers`


@dataclass
class ReadOptions:
    """How a table is read."""

    where: str  # its name in errors
    allow_missing: bool | str = False
    also: Iterable[str] = ()  # names of further columns that are kept
    # "one": it must be clear which column contains the ids; "several": all that may are kept for
    # `choose_ids`; "optional": rows are numbered if there are no ids
    ids: str = "one"
    answers: AnswerOptions = field(default_factory=AnswerOptions)


def read_coordinates(
    path: str | Path,
    id_column: str | None = None,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    *,
    of: str | None = None,
    allow_missing: bool | str = False,
    advice: str = ADVICE,
    where: str | None = None,
    also: Iterable[str] = (),
    lenient: bool = False,
    answers: AnswerOptions | None = None,
) -> pd.DataFrame:
    """Read the coordinates of images from a file of any format in readers.py.

    Columns that are not named are found by `find_columns`, which explains `of` and `advice`.
    `allow_missing` says whether an empty coordinate becomes NaN; with "any", so does everything
    else that is not a coordinate, and ids are not checked. Errors call the table `where`, by
    default its path. The columns that are called as one of `also` (see `plain`) are kept. With
    `lenient`, several columns may be the ids, of which `choose_ids` chooses, and a summary after
    the data is left out. With `answers`, predictions may be texts, from which `parse_answers` reads
    coordinates. Returns what `tidy` returns.
    """
    path, where = Path(path), str(path) if where is None else where
    opened = _open(path, where, lenient)
    ids = "several" if lenient and not id_column else "one"
    options = ReadOptions(where, allow_missing, also, ids, answers or AnswerOptions())
    texts: list[str] = []
    if answers and not (latitude_column or longitude_column):
        try:
            if answers.column or not has_coordinates(opened.names, "predictions"):
                texts = find_texts(opened.names, answers.column)
            first = find_id(opened.names, id_column, lenient) if texts else ""
        except Unclear as unclear:
            raise ValueError(f"{where}: {unclear}; {advice.format(unclear.role)}") from None
    if texts:
        return _read(opened, {"id": first}, options, texts)
    chosen = {"id": id_column, "latitude": latitude_column, "longitude": longitude_column}
    columns = find_columns(
        opened.names, chosen, of=of, where=where, advice=advice, several_ids=lenient
    )
    return _read(opened, columns, options)


def read_both(
    path: Path,
    chosen: Mapping[str, str | None],
    chosen_truth: Mapping[str, str | None],
    options: ReadOptions,
    advice: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read predictions and truth from the rows of one file; see `find_both`.

    Of several columns of ids the first without repeated ids is taken. Without such a column, rows
    are numbered. Returns two tables as `tidy` returns them.
    """
    opened = _open(path, options.where, True)
    names = opened.names
    named = {role: name for role, name in chosen.items() if name}
    id_column = named.pop("id", None)
    truth_named = {role: name for role, name in chosen_truth.items() if name and role != "id"}
    try:
        found, texts = _sides(names, named, truth_named, options.answers.column)
        first = find_id(names, id_column, True) if id_column or find_ids(names) else ROW_NUMBER
    except Unclear as unclear:
        raise ValueError(f"{options.where}: {unclear}; {advice}") from None
    options = replace(options, ids="one" if id_column else "optional")
    opened.pairs = [(pair["latitude"], pair["longitude"]) for pair in found if pair]
    missing = replace(options, allow_missing=True)
    predictions = _read(opened, {"id": first, **found[0]}, missing, texts)
    truth = _read(opened, {"id": first, **found[1]}, options)
    if len(predictions) != len(truth):
        raise ValueError(f"{options.where}: the last rows have coordinates on one side only")
    columns = ([*table.attrs["columns"].values()][1:] for table in (predictions, truth))
    read = (" and ".join(map(shortened, names)) for names in columns)
    predictions.attrs["notes"].insert(
        0,
        "{}: predictions are read from {}, the truth from {}; --references, --latitude-column and "
        "--reference-latitude-column choose otherwise".format(options.where, *read),
    )
    return predictions, truth


def _sides(
    names: list[str], chosen: dict[str, str], chosen_truth: dict[str, str], answers: str | None
) -> tuple[tuple[dict[str, str], dict[str, str]], list[str]]:
    """The pairs of predictions and truth; or no pair of predictions, and the columns of texts."""
    texts = find_texts(names, answers)
    try:
        if not answers:
            return find_both(names, chosen, chosen_truth), []
    except Unclear:
        if chosen or not texts:
            raise
    rest = [name for name in names if name not in texts]
    return ({}, find_pair(rest, chosen_truth, of="references")), texts


def _open(path: Path, where: str, lenient: bool) -> Opened:
    if not path.is_file():
        raise ValueError(f"{where}: no such file")
    return open_table(path, where, summary=lenient)


def _read(
    opened: Opened, columns: Mapping[str, str], options: ReadOptions, texts: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the chosen columns, or coordinates from one of the columns of texts.

    `attrs["ids"]` are the texts of each column that may be the ids.
    """
    kept = others(opened.names, options.also)
    candidates = find_ids(opened.names) if options.ids != "one" else []
    pair = dict.fromkeys(_LIMITS, texts[0]) if texts else {}
    columns = {**columns, **pair}
    wanted = [*columns.values(), *kept, *texts, *candidates]
    if columns["id"] == ROW_NUMBER:
        wanted[0] = columns["latitude"]  # in place of ids
    rows = list(opened.read(wanted))
    ids = _usable(candidates, rows)
    if options.ids == "optional" and not ids and not is_usual_id(columns["id"]):
        columns["id"] = ROW_NUMBER
        rows = [(f"row {number}", *row[1:]) for number, row in enumerate(rows, 1)]
    elif ids and columns["id"] not in ids:
        columns["id"] = next(iter(ids))
        rows = [(one, *row[1:]) for one, row in zip(ids[columns["id"]], rows, strict=True)]
    notes = list(opened.notes)
    if texts and rows:
        at = len(columns) + len(kept)
        cells = {name: [row[at + index] for row in rows] for index, name in enumerate(texts)}
        column, degrees, said = _parse(cells, options)
        rows = [(row[0], *place, *row[3:]) for row, place in zip(rows, degrees, strict=True)]
        notes += said
    table = tidy(rows, columns, options.where, options.allow_missing, kept)
    table.attrs["notes"] = notes + table.attrs["notes"]
    table.attrs |= {"names": opened.names, "summary": opened.summary}
    if texts:
        table.attrs["columns"] = {"id": columns["id"], "answer": column}
    if options.ids == "several" and len(ids) > 1:
        table.attrs["ids"] = ids
    return table


def _parse(
    cells: Mapping[str, list[Any]], options: ReadOptions
) -> tuple[str, list[list[float]], list[str]]:
    """The column of texts with the most coordinates, its coordinates, and notes on its answers."""
    from .answers import parse_answers

    parsed = {name: parse_answers(texts, options.answers.places) for name, texts in cells.items()}
    column = max(parsed, key=lambda name: parsed[name].counts["coordinates"])
    found = parsed[column]
    kinds = ((kind.replace("_", " "), count) for kind, count in found.counts.items() if count)
    counts = ", ".join(f"{kind} {count:,}" for kind, count in kinds)
    rest = listed(name for name in parsed if name != column)
    others = f" (other columns: {rest}; --answer-column chooses one)" if rest else ""
    notes = [f"answers are read from the texts in {shortened(column)}{others}: {counts}"]
    notes = [f"{options.where}: {note}" for note in notes + found.notes]
    return column, found.degrees.tolist(), notes


def _usable(candidates: list[str], rows: list[Row]) -> dict[str, list[str]]:
    """The texts of the columns, at the end of the rows, that can be ids: none empty or repeated."""
    usable = {}
    for at, name in enumerate(candidates, -len(candidates)):
        texts, faults = zip(*(_id(row[at]) for row in rows), strict=True) if rows else ((), ())
        if not any(faults) and len(set(texts)) == len(texts):
            usable[name] = list(texts)
    return usable


# --- choosing ids -------------------------------------------------------------------------------


class _Side(NamedTuple):
    """A column of ids and how it fits the truth."""

    name: str
    n_matched: int
    pairs: tuple[bytes, bytes]  # the positions that match


def choose_ids(
    files: Sequence[tuple[str, pd.DataFrame]], truth: tuple[str, pd.DataFrame], advice: str
) -> None:
    """Choose the columns of ids of predictions and references that match best, and note it.

    `files` and `truth` are names and tables, whose `image_id` is changed. If two choices match
    equally many ids and pair rows differently, a ValueError names them and ends with `advice`.
    """
    sides = [*files, truth]
    if not any("ids" in table.attrs for _, table in sides):
        return
    # taken out, because pandas copies `attrs` with every table
    ids = [table.attrs.pop("ids", None) or _only_ids(table) for _, table in sides]
    options = []
    for name, texts in ids[-1].items():
        fits = [_fits(one, texts) for one in ids[:-1]]
        options.append((sum(fit[0].n_matched for fit in fits), name, fits))
    most = max(count for count, _, _ in options)
    best = [option for option in options if option[0] == most]
    _, name, fits = best[0]
    chosen = [*(fit[0].name for fit in fits), name]
    ties: list[dict[Any, str]] = [{side.pairs: side.name for side in fit} for fit in fits]
    ties.append({tuple(fit[0].pairs for fit in fits): name for _, name, fits in best})
    for (where, table), texts, column, tie in zip(sides, ids, chosen, ties, strict=True):
        if most and len(tie) > 1:
            raise ValueError(
                f"{where}: the ids may be in {listed(tie.values())}, which match equally many and "
                f"pair the rows differently; {advice}"
            )
        if len(texts) > 1 and most:
            table["image_id"] = texts[column]
            table.attrs["columns"] = {**table.attrs["columns"], "id": column}
            rest = listed(one for one in texts if one != column)
            table.attrs["notes"].append(
                f"{where}: the ids are read from {shortened(column)}, which matches best "
                f"(other columns: {rest}); an --id-column option chooses another one"
            )


def _only_ids(table: pd.DataFrame) -> dict[str, list[str]]:
    return {table.attrs["columns"]["id"]: table["image_id"].tolist()}


def _fits(columns: dict[str, list[str]], truth: list[str]) -> list[_Side]:
    """The columns that match the most ids of the truth."""
    sides = []
    for name, texts in columns.items():
        match = match_ids(texts, truth)
        pairs = (match.left.tobytes(), match.right.tobytes())
        sides.append(_Side(name, len(match.left), pairs))
    most = max(side.n_matched for side in sides)
    return [side for side in sides if side.n_matched == most]


# --- the table ----------------------------------------------------------------------------------


def others(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The columns among `names` that are called as one of those wanted, apart from punctuation."""
    known = set(map(plain, wanted))
    return [name for name in names if plain(name) in known and name not in TIDY]


def refuse_unscorable(table: pd.DataFrame, where: str, hint: str = "") -> None:
    """Raise a ValueError for duplicate ids and, if there is a `hint`, for empty coordinates."""
    empty = table[["latitude", "longitude"]].isna().any(axis=1).to_numpy()
    if hint and empty.any():
        first = int(empty.argmax())
        raise ValueError(
            f"{where}: row {first + 1} ({shortened(table['image_id'].iloc[first])}) has no "
            f"coordinates, like {int(empty.sum()):,} of {len(table):,} rows; "
            f"{hint} counts them as wrong"
        )
    refuse_duplicates(table["image_id"].tolist(), where)


# --- cells --------------------------------------------------------------------------------------


def tidy(
    rows: Iterable[Row],
    columns: dict[str, str],
    where: str,
    allow_missing: bool | str = False,
    kept: Sequence[str] = (),
) -> pd.DataFrame:
    """Check every cell (of id, latitude and longitude), and convert ids to text.

    `rows` have an id, a latitude, a longitude, and the cells of the columns `kept`. Returns the
    columns `image_id`, `latitude` and `longitude` (float64, degrees), and those that are kept, in
    which empty cells become None, in the order of the table. Its `attrs` are `columns`, and
    `notes`: a list of what was changed. A ValueError names the first bad cell by its row (the first
    below the header is 1) and column.
    """
    table = list(rows)
    if not table:
        raise ValueError(f"{where}: there are no rows")
    ids, *places = ([row[at] for row in table] for at in range(len(ROLES)))
    degrees = {}
    for role, cells in zip(_LIMITS, places, strict=True):
        name = columns[role]
        column = shortened(name) if role in name.lower() else f"{shortened(name)} ({role})"
        degrees[role] = _degrees(cells, column, where, allow_missing)
    notes = []
    if runs_to_360(degrees["longitude"]):
        degrees["longitude"][degrees["longitude"] > 180] -= 360
        notes.append(f"{where}: longitudes run from 0 to 360; those above 180 are taken as west")
    swapped = _look_swapped(*degrees.values())
    for role, values in degrees.items():
        if allow_missing == "any" and not swapped:
            values[~(np.abs(values) <= _LIMITS[role])] = np.nan
        _check_limits(values, role, columns[role], degrees, where)
    texts, faults = zip(*map(_id, ids), strict=True)
    if allow_missing != "any" and any(faults):
        row, fault = next((row, fault) for row, fault in enumerate(faults, 1) if fault)
        raise ValueError(f"{where}: row {row}, column {shortened(columns['id'])} {fault}")
    tidied = pd.DataFrame({"image_id": texts, **degrees})
    for at, name in enumerate(kept, len(ROLES)):
        cells = [None if row[at] == "" else row[at] for row in table]
        tidied[name] = pd.Series(cells, dtype=object)
    tidied.attrs = {"columns": columns, "notes": notes}
    return tidied


def _degrees(cells: list[Any], column: str, where: str, allow_missing: bool | str) -> np.ndarray:
    numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    named = f"column {shortened(column)}"
    for index in np.flatnonzero(np.isnan(values)).tolist():
        cell = cells[index]
        number = parse_number(with_point(cell) if isinstance(cell, str) else cell)
        if number is None and allow_missing != "any":
            cell = shortened(repr(cell))
            raise ValueError(f"{where}: row {index + 1}, {named} contains {cell}, not a number")
        if number is not None and math.isnan(number) and not allow_missing:
            raise ValueError(f"{where}: row {index + 1}, {named} is empty")
        values[index] = math.nan if number is None else number
    if bool in set(map(type, cells)):
        raise ValueError(f"{where}: {named} contains true and false, not numbers")
    return values


def _look_swapped(latitude: np.ndarray, longitude: np.ndarray) -> bool:
    """Whether many latitudes, and no longitudes, are from 90 to 180 degrees.

    Fewer such latitudes may be single bad cells.
    """
    far, also_far = ((abs(v) > 90) & (abs(v) <= 180) for v in (latitude, longitude))
    return int(far.sum()) >= _MANY and not also_far.any()


def _check_limits(
    values: np.ndarray, role: str, column: str, degrees: dict[str, np.ndarray], where: str
) -> None:
    limit, (latitude, longitude) = _LIMITS[role], degrees.values()
    bad = ~(np.abs(values) <= limit) & ~np.isnan(values)
    if not bad.any():
        return
    first = int(bad.argmax())
    swapped = np.nanmax(np.abs(longitude)) <= 90 and np.nanmax(np.abs(latitude)) <= 180
    swapped = swapped or _look_swapped(latitude, longitude)
    hint = "; latitude and longitude look swapped" if swapped else ""
    if role == "longitude" and np.nanmin(values) < 0 and np.nanmax(values) <= 360:
        hint = "; longitudes are either all within ±180 or all from 0 to 360"
    raise ValueError(
        f"{where}: row {first + 1}, column {shortened(column)} contains {values[first]:g}, beyond "
        f"±{limit} degrees of {role} ({int(bad.sum()):,} of {len(values):,} rows){hint}"
    )


def _id(cell: Any) -> tuple[str, str | None]:
    """An id as text, and what is wrong with it."""
    if isinstance(cell, bytes):
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            return "", f"contains {shortened(repr(cell))} as an id, which is not UTF-8 text"
    if isinstance(cell, (list, dict, tuple)):
        return "", f"contains {shortened(repr(cell))} as an id; an id is one text or one number"
    if isinstance(cell, float) and not math.isnan(cell):
        # a whole number stored as a float: accept it only if no digit can be lost
        if not (cell.is_integer() and abs(cell) < _LARGEST_EXACT):
            return "", (
                f"contains the number {cell!r} as an id; store ids as text: a float loses digits"
            )
        cell = int(cell)
    text = "" if cell is None or cell != cell else str(cell).strip()
    if not text:
        return "", "(id) is empty"
    if _ROUNDED_ID.match(text):
        return text, (
            f"contains {text!r} as an id: a number rounded by a spreadsheet or a data frame; "
            "store ids as text"
        )
    return text, None
