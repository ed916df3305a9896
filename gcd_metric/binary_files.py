"""Reads Parquet, NumPy (.npz, .npy) and Excel (.xlsx) files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .columns import ROLES, Unclear, find_pair
from .coordinates import with_point
from .csv_files import open_csv
from .names import listed, shortened
from .opened import LARGEST, Opened, Row, naming, one_line, open_text
from .summaries import Record, leave_out

_MOST_CELLS = 20_000_000  # of a sheet
_MOST_COLUMNS = 1_000
_PICKLED = "contains Python objects, which are never loaded; save ids as text: np.array(ids, str)"


# --- Parquet ------------------------------------------------------------------------------------


def open_parquet(path: Path, where: str) -> Opened:
    """Open a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{where}: {one_line(error)}") from None

    def read(columns: list[str]) -> Iterator[Row]:
        wanted = list(dict.fromkeys(columns))
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=wanted):
                    # as Python values: pandas would turn integers with a gap into floats
                    cells = {name: batch[name].to_pylist() for name in wanted}
                    yield from zip(*(cells[name] for name in columns), strict=True)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"{where}: {one_line(error)}") from None

    return Opened(names, read)


# --- NumPy --------------------------------------------------------------------------------------


def open_npz(path: Path, where: str) -> Opened:
    """Open the arrays of an .npz file: columns (n,), and pairs (n, 2) of latitude and longitude."""
    columns: dict[str, tuple[str, int | str | None]] = {}  # the array, and the part of it
    notes: list[str] = []
    with _archive(path, where) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as file:
                try:
                    shape, kind = _header(file, info.file_size)
                except ValueError as error:
                    raise ValueError(f"{where}: {shortened(name)} {one_line(error)}") from None
            parts = dict(_parts(name, shape, kind))
            columns.update({key: (name, part) for key, part in parts.items()})
            if len(shape) == 2 and parts:
                notes.append(f"{where}: pairs in {shortened(name)} are read as latitude, longitude")
    if not columns:
        raise ValueError(f"{where}: there is no array of shape (n,) or (n, 2)")

    def read(wanted: list[str]) -> Iterator[Row]:
        arrays = {}
        with _archive(path, where) as archive:
            for name in dict.fromkeys(columns[column][0] for column in wanted):
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = _array(file, f"{where}: {shortened(name)}")
        yield from _cells(where, wanted, [_part(arrays, *columns[column]) for column in wanted])

    return Opened(list(columns), read, notes)


def open_npy(path: Path, where: str) -> Opened:
    """Open an array of records, or of pairs (n, 2) with their ids in a file beside it."""
    with naming(where), path.open("rb") as file:
        try:
            shape, kind = _header(file, path.stat().st_size)
            file.seek(0)
            array = _array(file, "it")
        except ValueError as error:
            raise ValueError(f"{where}: the array {one_line(error)}") from None
    columns = {key: _part({"": array}, "", part) for key, part in _parts("", shape, kind)}
    notes = []
    if len(shape) == 2 and shape[1] == 2:
        ids, source = _ids_beside(path, where, shape[0])
        columns["id"] = np.array(ids, object)
        notes.append(f"{where}: pairs are read as latitude, longitude; their ids are in {source}")
    if len(columns) < 3:
        raise ValueError(f"{where}: an array of shape {shape}; expected (n, 2), or named records")

    def read(wanted: list[str]) -> Iterator[Row]:
        yield from _cells(where, wanted, [columns[column] for column in wanted])

    return Opened(list(columns), read, notes)


def _header(file: Any, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array; a ValueError if it is not as long as it says, or not plain."""
    version = np.lib.format.read_magic(file)
    header: Callable[[Any], Any] = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, kind = header(file)
    if shape and kind.hasobject:
        raise ValueError(_PICKLED)
    if not kind.hasobject and prod(shape) * kind.itemsize > size:
        raise ValueError("is shorter than its header says")
    return shape, kind


def _array(file: Any, name: str) -> np.ndarray:
    """An array whose header was checked."""
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{name} has more than {LARGEST:,} bytes; save the table as Parquet")
    array: np.ndarray = np.lib.format.read_array(BytesIO(content), allow_pickle=False)
    return array


def _parts(
    name: str, shape: tuple[int, ...], kind: np.dtype[Any]
) -> Iterator[tuple[str, int | str | None]]:
    """The columns that an array contains, each with the part of the array that it is."""
    before = f"{name}." if name else ""
    if len(shape) == 1 and kind.names:
        yield from ((f"{before}{part}", part) for part in kind.names)
    elif len(shape) == 1:
        yield name or "value", None
    elif len(shape) == 2 and shape[1] == 2 and kind.kind in "fiu":
        yield from ((f"{before}{axis}", at) for at, axis in enumerate(ROLES[1:]))


def _part(arrays: dict[str, np.ndarray], name: str, part: int | str | None) -> np.ndarray:
    array = arrays[name]
    return array if part is None else array[part] if isinstance(part, str) else array[:, part]


def _cells(where: str, names: list[str], columns: list[np.ndarray]) -> Iterator[Row]:
    if len(set(map(len, columns))) > 1:
        pairs = zip(names, columns, strict=True)
        counts = listed(f"{name} has {len(column):,}" for name, column in pairs)
        raise ValueError(f"{where}: arrays have different numbers of rows: {counts}")
    yield from zip(*(column.tolist() for column in columns), strict=True)


def _ids_beside(path: Path, where: str, count: int) -> tuple[list[str], str]:
    """The ids in a .txt or .csv file of the same name, one for each row."""
    text, table = path.with_suffix(".txt"), path.with_suffix(".csv")
    if text.is_file():
        with naming(text.name), open_text(text) as file:
            ids = [line.strip() for line in file.read(LARGEST).splitlines() if line.strip()]
        source = text
    elif table.is_file():
        opened = open_csv(table, table.name)
        ids = [str(row[0]).strip() for row in opened.read([opened.names[0]] * 3)]
        source = table
        if len(ids) == count - 1:  # no header
            ids.insert(0, opened.names[0].strip())
    else:
        raise ValueError(
            f"{where}: there are no ids; write them, one a line, into {text.name} beside it, or "
            "save both with np.savez(file, ids=ids, predictions=predictions)"
        )
    if len(ids) == count + 1:  # a header
        ids = ids[1:]
    if len(ids) != count:
        raise ValueError(f"{where}: {count:,} pairs, and {len(ids):,} ids in {source.name}")
    return ids, source.name


@contextmanager
def _archive(path: Path, where: str) -> Iterator[zipfile.ZipFile]:
    """An archive whose members fit into memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # a RuntimeError is an encrypted member, or one that is compressed in an unknown way
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{where}: {one_line(error)}") from None


# --- Excel --------------------------------------------------------------------------------------


def open_xlsx(path: Path, where: str) -> Opened:
    """Open the first sheet of an Excel file whose header names coordinates, else the first one."""
    with _archive(path, where) as archive:
        if sum(info.file_size for info in archive.infolist()) > LARGEST:
            raise ValueError(f"{where}: more than {LARGEST:,} bytes; save it as CSV")
    with _workbook(path, where) as workbook:
        headers = {sheet.title: _sheet_header(sheet) for sheet in workbook.worksheets}
    filled = {title: names for title, names in headers.items() if names}
    if not filled:
        raise ValueError(f"{where}: the file is empty")
    title = next((one for one, names in filled.items() if _names_coordinates(names)), None)
    title = title or next(iter(filled))
    names = filled[title]

    def read(columns: list[str]) -> Iterator[Row]:
        with _workbook(path, where) as workbook:
            places = [names.index(name) for name in columns]
            records = _records(workbook[title], len(names), where)
            for record in leave_out(records, opened, columns, where):
                cells = [record.cells[at] for at in places]
                yield (cells[0], *map(with_point, cells[1:3]), *cells[3:])

    opened = Opened(names, read)
    if len(filled) > 1:
        opened.notes.append(
            f"{where}: the sheet {shortened(title)} is read, of {listed(filled)}; save another one "
            "as a file of its own"
        )
    return opened


@contextmanager
def _workbook(path: Path, where: str) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError:
        raise ImportError(
            f"{where}: Excel files need openpyxl: pip install 'im2gps-justzoomin[excel]', or save "
            "it as CSV"
        ) from None
    try:
        # given the file itself, openpyxl does not refuse it for its extension
        with (
            path.open("rb") as file,
            closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as workbook,
        ):
            yield workbook
    except Exception as error:  # of a damaged file, openpyxl passes on whatever its parsers raise
        said = one_line(error)
        raise ValueError(said if said.startswith(where) else f"{where}: {said}") from None


def _sheet_header(sheet: Any) -> list[str]:
    sheet.reset_dimensions()  # a sheet may claim to have millions of columns
    for row in sheet.iter_rows(max_row=100, max_col=_MOST_COLUMNS, values_only=True):
        names = [_text(cell) for cell in row]
        while names and not names[-1]:
            names.pop()
        if names:
            return names
    return []


def _names_coordinates(names: list[str]) -> bool:
    try:
        find_pair(names)
    except Unclear as unclear:
        return not str(unclear).startswith("no column")
    return True


def _records(sheet: Any, width: int, where: str) -> Iterator[Record]:
    sheet.reset_dimensions()
    number, cells = -1, 0
    for row in sheet.iter_rows(max_col=max(width, 50), values_only=True):
        cells += max(len(row), 1)
        if cells > _MOST_CELLS:
            raise ValueError(f"{where}: more than {_MOST_CELLS:,} cells; save it as CSV")
        texts = [_text(cell) for cell in row]
        number += any(texts)
        if number > 0:
            yield Record(number, False, texts + [""] * (width - len(texts)))


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        cell = int(cell)
    return str(cell).strip()
