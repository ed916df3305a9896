"""Joins the table `streetview/metadata_satellite_covered` to the photos' rows by image id.

The only assumption about its columns is that one of them names the photo.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from geoload.files import signature
from geoload.report import Findings, Kind
from justzoomin.members import SUFFIX, photo_id
from justzoomin.source import COVERED, TABLES, Source
from justzoomin.table import Table, TableError, read_table

PREFIX = "covered_"
NO_ROW = Kind("no_covered_row", "photos without a row in the table of covered photos")
NO_PHOTO = Kind("no_covered_photo", "rows of the table of covered photos without a photo")
REPEATED = Kind("repeated_covered_id", "rows of the table of covered photos with a repeated id")
NO_ID = Kind("no_covered_id", "rows of the table of covered photos without an id")

# Likely names of the column that names a photo, the likeliest first; case does not matter.
_IDS = (
    "image_id", "id", "image", "img_id", "photo_id", "image_key", "key", "file_name", "filename",
    "image_name", "image_path", "path", "file", "name",
)  # fmt: skip
_MAX_BYTES = 2**31 - 1
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Covered:
    """The table, ready to be joined."""

    path: str
    columns: pa.Table  # without the one that names the photo, named as in the rows
    row: dict[str, int]  # of each photo's id; the first one of an id that is repeated
    report: Findings  # rows that repeat an id, or have none

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
        """Return a photo's values, all None if it has no row."""
        row = self.row.get(image_id)
        if row is None:
            return dict.fromkeys(self.columns.column_names)
        return {name: self.columns[name][row].as_py() for name in self.columns.column_names}

    def compare(self, table: Table, others: Table) -> Findings:
        """Count photos of a split without a row, and rows whose photo is in neither split."""
        report = Findings()
        without = [image_id for image_id in table.row if image_id not in self.row]
        report.add_many(NO_ROW, len(without), without)
        unknown = [i for i in self.row if i not in table.row and i not in others.row]
        report.add_many(NO_PHOTO, len(unknown), unknown)
        report.merge(self.report)
        return report


def find_covered(source: Source, option: bool | str) -> str:
    """Return the local path of the table, which is downloaded if needed.

    `option` is True for the source's own table, or the path of another one.
    """
    if isinstance(option, str):
        return option
    path = source.find(*COVERED)
    if path is None:
        include = "'streetview/metadata_satellite_covered.*'"
        raise FileNotFoundError(
            f"{source.name} has no {COVERED[0]} and no .csv of that name. Get it with "
            f"`{source.command(include)}`, or name such a file: covered='mine.csv'."
        )
    return path


def read_covered(
    source: Source, option: bool | str, id_column: str | None, taken: tuple[str, ...]
) -> Covered:
    """Read the table; `option` is as for `find_covered`.

    Columns whose names are `taken` by the rows get the prefix `covered_`. A TableError names the
    file and, if no column is known to name the photo, all columns.
    """
    path = find_covered(source, option)
    tables = tuple(source.table(split) for split in TABLES)
    return _read(path, id_column, taken, tables, tuple(signature([path, *tables], "/")))


@functools.lru_cache(maxsize=4)
def _read(
    path: str, id_column: str | None, taken: tuple[str, ...], tables: tuple[str, ...], state: Any
) -> Covered:
    known = {image_id for table in tables for image_id in read_table(table).row}
    column, table = _identify(path, id_column, known)
    row: dict[str, int] = {}
    report = Findings()
    for number, image_id in enumerate(map(photo_id, table[column].to_pylist())):
        if image_id is None:
            report.add(NO_ID, f"row {number + 1}")
        elif row.setdefault(image_id, number) != number:
            report.add(REPEATED, image_id)
    columns = table.drop_columns([column]).combine_chunks()
    return Covered(path, columns.rename_columns(_free(columns.column_names, taken)), row, report)


def _identify(path: str, id_column: str | None, known: set[str]) -> tuple[str, pa.Table]:
    """Find the column that names the photo, by its name and by the ids in it."""
    names = _column_names(path)
    if id_column is not None and id_column not in names:
        raise TableError(f"{path} has no column {id_column!r}; it has {', '.join(names)}.")
    likely = sorted((n for n in names if n.lower() in _IDS), key=lambda n: _IDS.index(n.lower()))
    for column in likely if id_column is None else [id_column]:
        table = _load(path, column)
        if not known.isdisjoint(map(photo_id, table[column].to_pylist())):
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


def _free(names: list[str], taken: tuple[str, ...]) -> list[str]:
    """Prefix the names that the rows have already, until no other column has them."""
    used = {*taken, *names}
    free = []
    for name in names:
        if name in taken:
            while name in used:
                name = PREFIX + name
            used.add(name)
        free.append(name)
    return free


def _column_names(path: str) -> list[str]:
    names: list[str]
    if path.endswith(".parquet"):
        names = _readable(path, lambda: pa.parquet.read_schema(path).names)
    else:
        names = _readable(path, lambda: pa.csv.open_csv(path).schema.names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise TableError(f"{path} has more than one column {repeated[0]!r}.")
    return names


def _load(path: str, id_column: str) -> pa.Table:
    """Read the file; the ids in a CSV as text, so that they keep their digits."""
    if path.endswith(".parquet"):
        table = _readable(path, lambda: pa.parquet.read_table(path))
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
        # Codes such as 007 are not numbers, nor are ids with too many digits for a float.
        codes = r"^[+-]?0[0-9]"
        if pa.types.is_floating(table[name].type):
            codes += "|^[+-]?[0-9]{16,}$"
        if pc.any(pc.match_substring_regex(texts[name], codes)).as_py():
            table = table.set_column(table.column_names.index(name), name, texts[name])
    return table


def _read_csv(path: str, types: dict[str, pa.DataType]) -> pa.Table:
    size = os.path.getsize(path)
    if size > _MAX_BYTES:
        raise TableError(f"{path} is larger than {_MAX_BYTES:,} bytes. Convert it to Parquet.")
    # In one block, because types are inferred from the first block alone.
    block = pa.csv.ReadOptions(block_size=max(size, 1 << 20))
    newlines = pa.csv.ParseOptions(newlines_in_values=True)
    convert = pa.csv.ConvertOptions(column_types=types)
    return _readable(path, lambda: pa.csv.read_csv(path, block, newlines, convert))


def _readable(path: str, read: Callable[[], _Result]) -> _Result:
    try:
        return read()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        kind = "Parquet" if path.endswith(".parquet") else "CSV"
        reason = " ".join(str(error).split())
        raise TableError(
            f"{path} is not a {kind} file that can be read: {reason}. Get it again."
        ) from error
