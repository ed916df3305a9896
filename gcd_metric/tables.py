"""Reads coordinates of images from CSV and Parquet files, and checks every cell."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import math
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from io import TextIOWrapper
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from .columns import ADVICE, ROLES, find_columns, plain
from .coordinates import parse_number, runs_to_360
from .names import refuse_duplicates, shortened

Row = tuple[Any, ...]
TIDY = ("image_id", "latitude", "longitude")  # the columns that `tidy` makes
_LIMITS = {"latitude": 90, "longitude": 180}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_DECIMAL_COMMA = re.compile(r"^(\s*[-+\u2010-\u2015\u2212]?\d+),(\d+\s*°?\s*)$")
# what spreadsheets and data frames make of long ids; a short id with ".0" has lost no digit
_ROUNDED_ID = re.compile(r"^\d(?:[.,]\d+)?E\+\d+$|^\d{6,}\.0$", re.IGNORECASE)
_NOT_UTF_8 = "this is not UTF-8 text; save it as a UTF-8 CSV"
_LARGEST_EXACT = 2**53  # beyond it a float loses digits of an integer
_LONGEST_LINE = 10_000_000  # characters
_END = "\x1e the end \x1e"
# this limit is for all readers of the process, so it is never lowered
csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))


def is_table(path: str | Path) -> bool:
    """Whether `read_coordinates` can read a file of this name."""
    return _suffix(path) in (*_SEPARATORS, ".parquet")


def _suffix(path: str | Path) -> str:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz", ".zst"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


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
) -> pd.DataFrame:
    """Read the coordinates of images from a CSV or TSV (may be compressed) or a Parquet file.

    Columns that are not named are found by `find_columns`, which explains `of` and `advice`.
    `allow_missing` says whether an empty coordinate becomes NaN; with "any", so does everything
    else that is not a coordinate, and ids are not checked. Errors call the table `where`, by
    default its path. The columns that are called as one of `also` (see `plain`) are kept. Returns
    what `tidy` returns.
    """
    path = Path(path)
    where = str(path) if where is None else where
    if not path.is_file():
        raise ValueError(f"{where}: no such file")
    names, read = (_open_parquet if _suffix(path) == ".parquet" else open_csv)(path, where)
    chosen = {"id": id_column, "latitude": latitude_column, "longitude": longitude_column}
    columns = find_columns(names, chosen, of=of, where=where, advice=advice)
    kept = others(names, also)
    tidied = tidy(read([*columns.values(), *kept]), columns, where, allow_missing, kept)
    tidied.attrs["names"] = names
    return tidied


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


# --- CSV ----------------------------------------------------------------------------------------


def open_csv(path: Path, where: str) -> tuple[list[str], Callable[[list[str]], Iterator[Row]]]:
    """Open a CSV or TSV with a header, which may be compressed; errors call it `where`.

    Returns the names of the columns, and a function which takes the columns of id, latitude and
    longitude, and others, and yields their cells as text, row by row. Decimal commas in
    coordinates become points where they do not separate columns. Both raise a ValueError for text
    that is not CSV.
    """
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):  # not compressed
        with path.open("rb") as file:
            if b"\0" in file.read(4096):  # UTF-16
                raise ValueError(f"{where}: {_NOT_UTF_8}")
    usual = _SEPARATORS.get(_suffix(path), ",")
    headers = {usual: _header(path, where, usual)}
    if len(headers[usual]) < len(ROLES):  # too few for an id and coordinates
        headers = {separator: _header(path, where, separator) for separator in ",;\t"}
    separator = max(headers, key=lambda it: (len(headers[it]), it == usual))
    names = headers[separator]

    def read(columns: list[str]) -> Iterator[Row]:
        pick = itemgetter(*map(names.index, columns))
        named = max(at for at, name in enumerate(names, 1) if name.strip())
        for number, row in enumerate(_records(path, where, separator)):
            if not number:
                continue
            cells = pick(row + [""] * (len(names) - len(row)))
            extra = len(row) > len(names) or any(cell.strip() for cell in row[named:])
            # a further field is harmless after 48.86, but 48,86,2,35 would be read as 48 and 86
            shifted = extra and separator == "," and _without_fraction(cells[1:3])
            if shifted or any(cell.strip() for cell in row[len(names) :]):
                raise ValueError(
                    f"{where}: row {number} has more fields than the header ({len(row):,} and "
                    f"{named:,}); put quotation marks around cells with a separator, and "
                    "separate columns by semicolons if numbers have decimal commas"
                )
            degrees = (_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in cells[1:3])
            yield (cells[0], *degrees, *cells[3:])

    return names, read


def _without_fraction(cells: Row) -> bool:
    """Whether there are numbers, but none with a decimal point."""
    return any(map(str.strip, cells)) and not any(re.search(r"\.\d|\d\.", it) for it in cells)


def _header(path: Path, where: str, separator: str) -> list[str]:
    with closing(_records(path, where, separator)) as records:
        return next(records)


def _records(path: Path, where: str, separator: str) -> Generator[list[str], None, None]:
    """The header and the rows of a CSV, without blank lines."""
    count = 0
    try:
        with _open_text(path) as file:
            # a marker as the last line: it is part of a cell if a quotation mark was not closed
            for record in csv.reader(chain(_lines(file), [_END]), delimiter=separator):
                if record == [_END]:
                    break
                if record and record[-1].endswith(_END):
                    raise csv.Error("a quotation mark is never closed")
                if len(record) > 1 or "".join(record).strip():
                    count += 1
                    yield record
    except csv.Error as error:
        cause = "a quotation mark is never closed" if "field limit" in str(error) else error
        at = f"row {count}" if count else "the header"
        raise ValueError(f"{where}: {at} cannot be read: {cause}") from None
    except (UnicodeError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        why = _NOT_UTF_8 if isinstance(error, UnicodeError) else _one_line(error)
        raise ValueError(f"{where}: {why}") from None
    if not count:
        raise ValueError(f"{where}: the file is empty")


def _open_text(path: Path) -> TextIO:
    ending = path.suffix.lower()
    if ending == ".zst":
        import pyarrow

        binary: Any = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
    else:
        opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(ending, open)
        binary = opener(path, "rb")
    return TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE:,} characters")
        yield line


# --- Parquet ------------------------------------------------------------------------------------


def _open_parquet(path: Path, where: str) -> tuple[list[str], Callable[[list[str]], Iterator[Row]]]:
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{where}: {_one_line(error)}") from None

    def read(columns: list[str]) -> Iterator[Row]:
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=columns):
                    # as Python values: pandas would turn integers with a gap into floats
                    yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"{where}: {_one_line(error)}") from None

    return names, read


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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
    for role, values in degrees.items():
        if allow_missing == "any":
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
        number = parse_number(cells[index])
        if number is None and allow_missing != "any":
            cell = shortened(repr(cells[index]))
            raise ValueError(f"{where}: row {index + 1}, {named} contains {cell}, not a number")
        if number is not None and math.isnan(number) and not allow_missing:
            raise ValueError(f"{where}: row {index + 1}, {named} is empty")
        values[index] = math.nan if number is None else number
    if bool in set(map(type, cells)):
        raise ValueError(f"{where}: {named} contains true and false, not numbers")
    return values


def _check_limits(
    values: np.ndarray, role: str, column: str, degrees: dict[str, np.ndarray], where: str
) -> None:
    limit, (latitude, longitude) = _LIMITS[role], degrees.values()
    bad = ~(np.abs(values) <= limit) & ~np.isnan(values)
    if not bad.any():
        return
    first = int(bad.argmax())
    swapped = np.nanmax(np.abs(longitude)) <= 90 and np.nanmax(np.abs(latitude)) <= 180
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
