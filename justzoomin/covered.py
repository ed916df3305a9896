"""The table `streetview/metadata_satellite_covered`, whose columns are joined to the photos' rows.

Nothing is assumed about its columns but that one of them names the photo.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from geoload.files import local_path, signature
from geoload.report import Findings
from justzoomin.plan import photo_id
from justzoomin.side_files import COVERED, cached, covered_file
from justzoomin.sources import REPOSITORY, TABLES, Folder, Hub
from justzoomin.streetview import SUFFIX
from justzoomin.table import Table, TableError, read_table

PREFIX = "covered_"
NO_ROW = "photos without a row in the table of covered photos"
NO_PHOTO = "rows of the table of covered photos without a photo"
TWICE = "rows of the table of covered photos that repeat an id"
NO_ID = "rows of the table of covered photos without an id"

# How a column that names a photo may be called, the likeliest first; case does not matter.
_IDS = (
    "image_id", "id", "image", "img_id", "photo_id", "image_key", "key", "file_name", "filename",
    "image_name", "image_path", "path", "file", "name",
)  # fmt: skip
_MAX_BYTES = 2**31 - 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Covered:
    """The table's columns, ready to be joined.

    Attributes
    ----------
    path : str
    columns : pyarrow.Table
        Under the names that they get in the rows; without the one that names the photo.
    row : dict of str to int
        The row of each photo's id; the first where an id stands twice.
    report : Findings
        Rows that repeat an id, or have none.
    """

    path: str
    columns: pa.Table
    row: dict[str, int]
    report: Findings

    def features(self) -> dict[str, Any]:
        """Return the columns' features, inferred from the file."""
        features = {}
        for field in self.columns.schema:
            schema = pa.schema([field]).remove_metadata()
            try:
                features.update(datasets.Features.from_arrow_schema(schema))
            except (ValueError, NotImplementedError, TypeError) as error:
                raise TableError(
                    f"{self.path}: column {field.name} has type {field.type}, which has no feature "
                    f"({error}). Convert it."
                ) from error
        return features

    def record(self, image_id: str) -> dict[str, Any]:
        """Return a photo's values, all None where it has no row."""
        row = self.row.get(image_id)
        if row is None:
            return dict.fromkeys(self.columns.column_names)
        return {name: self.columns[name][row].as_py() for name in self.columns.column_names}

    def compare(self, table: Table, others: Table) -> Findings:
        """Count photos of a split without a row, and rows that are of neither split's photos."""
        report = Findings()
        without = [image_id for image_id in table.row if image_id not in self.row]
        report.add_many(NO_ROW, len(without), without)
        strange = [i for i in self.row if i not in table.row and i not in others.row]
        report.add_many(NO_PHOTO, len(strange), strange)
        report.merge(self.report)
        return report

    def say(self, split: str, table: Table, others: Table, strict: bool) -> None:
        """Log what `compare` finds, or raise ValueError with it."""
        self.compare(table, others).raise_or_log(f"justzoomin, split {split}", strict, _log)


def find_covered(source: Hub | Folder, option: bool | str) -> str:
    """Return the path of the table on this machine; it is downloaded if need be.

    Parameters
    ----------
    source : Hub or Folder
    option : bool or str
        True for the source's own, Parquet if it has both; or the path of a CSV or Parquet file.
    """
    if isinstance(option, str):
        return local_path(option, "covered")
    if isinstance(source, Hub):
        # Without asking the Hub again, in each worker of a loader and where there is no network.
        kept = [path for name in COVERED if (path := cached(source, name))]
        if kept:
            return kept[0]
    for name in COVERED:
        path = covered_file(source, name)
        if path is not None:
            return path
    if isinstance(source, Hub):
        raise FileNotFoundError(
            f"{source.repository} at {source.commit} has no {COVERED[0]} and no .csv of that name."
        )
    raise FileNotFoundError(
        f"{source.folder} has no {COVERED[0]} and no .csv of that name. Get it with `hf "
        f"download {REPOSITORY} --repo-type dataset --local-dir {source.folder} --include "
        "'streetview/metadata_satellite_covered.*'`, or name such a file: covered='mine.csv'."
    )


def read_covered(
    source: Hub | Folder, option: bool | str, id_column: str | None, taken: Iterable[str]
) -> Covered:
    """Read the table and settle its columns' names.

    Parameters
    ----------
    source : Hub or Folder
    option : bool or str
        As for `find_covered`.
    id_column : str, optional
        The column that names the photo.
    taken : iterable of str
        The columns that the rows have already: those of the same name get the prefix `covered_`.

    Raises
    ------
    TableError
        Names the file and, where no column names the photo, all columns.
    """
    path = find_covered(source, option)
    tables = tuple(source.table(split) for split in TABLES)
    state = tuple(signature([path, *tables], "/"))
    return _read(path, id_column, tuple(taken), tables, state)


def covered_signature(source: Hub | Folder, option: bool | str) -> Any:
    """Return what differs when the table does, where it is not of the source's commit."""
    if isinstance(source, Hub) and not isinstance(option, str):
        return True
    return signature([find_covered(source, option)], "/")


@functools.lru_cache(maxsize=4)
def _read(
    path: str, id_column: str | None, taken: tuple[str, ...], tables: tuple[str, ...], state: tuple
) -> Covered:
    known = {image_id for table in tables for image_id in read_table(table).row}
    column, table = _identify(path, id_column, known)
    row: dict[str, int] = {}
    report = Findings()
    for number, image_id in enumerate(ids_of(table[column])):
        if image_id is None:
            report.add(NO_ID, f"row {number + 1}")
        elif row.setdefault(image_id, number) != number:
            report.add(TWICE, image_id)
    columns = table.drop_columns([column]).combine_chunks()
    return Covered(path, columns.rename_columns(_free(columns.column_names, taken)), row, report)


def _identify(path: str, id_column: str | None, known: set[str]) -> tuple[str, pa.Table]:
    """Find the column that names the photo: by its name, and by the ids that are in it."""
    names = _column_names(path)
    if id_column is not None and id_column not in names:
        raise TableError(f"{path} has no column {id_column!r}; it has {', '.join(names)}.")
    likely = sorted((n for n in names if n.lower() in _IDS), key=lambda n: _IDS.index(n.lower()))
    for column in likely if id_column is None else [id_column]:
        table = _load(path, column)
        if not known.isdisjoint(i for i in ids_of(table[column]) if i is not None):
            return column, table
    if id_column is not None:
        raise TableError(
            f"{path}: no value of column {id_column!r} is an id of a photo, with or without "
            f"{SUFFIX}. Name another of {', '.join(names)} with covered_id=."
        )
    raise TableError(
        f"{path}: none of its columns is known to name the photo: {', '.join(names)}. Name the "
        "one that does with covered_id=."
    )


def ids_of(column: pa.ChunkedArray) -> list[str | None]:
    """Return the ids in a column of names, paths or numbers."""
    return [photo_id(value) for value in column.to_pylist()]


def _free(names: list[str], taken: tuple[str, ...]) -> list[str]:
    """Return names that neither the rows nor another column of the file has."""
    used = {*taken, *(name for name in names if name not in taken)}
    free = []
    for name in names:
        if name in taken:
            while name in used:
                name = PREFIX + name
            used.add(name)
        free.append(name)
    return free


def _column_names(path: str) -> list[str]:
    if path.endswith(".parquet"):
        names = _careful(path, lambda: pa.parquet.read_schema(path)).names
    else:
        names = _careful(path, lambda: pa.csv.open_csv(path)).schema.names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TableError(f"{path} has more than one column {doubled[0]!r}.")
    return names


def _load(path: str, id_column: str) -> pa.Table:
    """Read the file; of a CSV the ids as text, so that they stay as they are written."""
    if path.endswith(".parquet"):
        table = _careful(path, lambda: pa.parquet.read_table(path))
        index = [name for name in table.column_names if name.startswith("__index_level_")]
        table = table.drop_columns(index)
        for number, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                plain = table[field.name].cast(field.type.value_type)
                table = table.set_column(number, field.name, plain)
        return table
    table = _read_csv(path, {id_column: pa.string()})
    numbers = [
        f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)
    ]
    texts = _read_csv(path, dict.fromkeys(numbers, pa.string())) if numbers else table
    for name in numbers:
        if not _is_faithful(table[name], texts[name]):
            place = table.column_names.index(name)
            table = table.set_column(place, name, texts[name])
    return table


def _read_csv(path: str, types: dict[str, pa.DataType]) -> pa.Table:
    size = os.path.getsize(path)
    if size > _MAX_BYTES:
        raise TableError(f"{path} is larger than {_MAX_BYTES:,} bytes. Convert it to Parquet.")
    # In one block, or types would be inferred from the beginning alone.
    block = pa.csv.ReadOptions(block_size=max(size, 1 << 20))
    newlines = pa.csv.ParseOptions(newlines_in_values=True)
    convert = pa.csv.ConvertOptions(column_types=types)
    return _careful(path, lambda: pa.csv.read_csv(path, block, newlines, convert))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_faithful(numbers: pa.ChunkedArray, texts: pa.ChunkedArray) -> bool:
    """Tell codes such as 007, and ids too long for a number, from numbers."""
    codes = pc.match_substring_regex(texts, r"^[+-]?0[0-9]|^[+-]?[0-9]{16,}$")
    if pa.types.is_integer(numbers.type):
        codes = pc.match_substring_regex(texts, r"^[+-]?0[0-9]")
    return not pc.any(codes).as_py()


def _careful(path: str, read: Any) -> Any:
    try:
        return read()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        kind = "Parquet" if path.endswith(".parquet") else "CSV"
        what = " ".join(str(error).split())
        raise TableError(
            f"{path} is no {kind} file that can be read: {what}. Get it again."
        ) from error
