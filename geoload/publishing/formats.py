"""The two file formats of published rows: Parquet files, and TAR files of webdataset samples."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any, BinaryIO

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from geoload.geoparquet import COLUMNS, ROW_GROUP, PlaceWriter
from geoload.messages import needed_for
from geoload.parquet import ends_row_group, parquet_writer

# The Dataset Viewer reads whole row groups to show a page of 100 rows.
_ROWS_WITH_PICTURES, _ROWS_WITHOUT = 100, ROW_GROUP
_GROUP_BYTES = 32 * 2**20
_KINDS = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp"}
_EXTENSION = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
_NOT_IN_KEY = re.compile(r"[^\w@-]")
_KEY_LENGTH = 100
# Rough size of a number or a short list; pictures dominate.
_VALUE_BYTES = 64
LISTS = ("List", "LargeList", "Sequence")


def picture_columns(features: datasets.Features) -> list[str]:
    """Return the names of the columns with pictures."""
    return [name for name, feature in features.items() if isinstance(feature, datasets.Image)]


def has_places(features: datasets.Features) -> bool:
    """Return whether rows have coordinates."""
    return {"latitude", "longitude"} <= set(features)


def undecoded(rows: datasets.IterableDataset, features: datasets.Features) -> Any:
    """Return a stream whose pictures are dicts of `bytes` and `path`, as they are stored."""
    for name in picture_columns(features):
        rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def _parquet_schema(features: datasets.Features) -> pa.Schema:
    """Return the Arrow schema of Parquet files, with the column types in its metadata.

    Lists are called `Sequence` there: datasets 3 has no `List`, and 4 and 5 read both.
    """
    types = features.to_dict()
    for column in types.values():
        if column.get("_type") in LISTS:
            column["_type"] = "Sequence"
            column.pop("length", None)
    metadata = json.dumps({"info": {"features": types}})
    return features.arrow_schema.with_metadata({"huggingface": metadata})


class ParquetShard:
    """Writes rows into one Parquet file, with pictures a row group at a time.

    Rows with places but without pictures become GeoParquet, ordered along a curve.
    """

    suffix = "parquet"

    def __init__(self, file: BinaryIO, features: datasets.Features) -> None:
        kept = {name: kind for name, kind in features.items() if name not in COLUMNS}
        self._schema = _parquet_schema(datasets.Features(kept))
        self._pictures = picture_columns(features)
        self._writer: PlaceWriter | pq.ParquetWriter
        if len(kept) < len(features):
            described = self._schema.with_metadata(_parquet_schema(features).metadata)
            self._writer = PlaceWriter(file, described)
        else:
            # Pictures are compressed already.
            options = {"compression": "none"} if self._pictures else {}
            self._writer = parquet_writer(file, self._schema, **options)
        self._group_rows = _ROWS_WITH_PICTURES if self._pictures else _ROWS_WITHOUT
        self._rows: list[dict[str, Any]] = []
        self._written = self.bytes = 0

    @staticmethod
    def stored(features: datasets.Features) -> datasets.Features:
        """Return the columns that are written for rows with these."""
        if picture_columns(features) or not has_places(features):
            return features
        added = datasets.Features.from_arrow_schema(pa.schema(list(COLUMNS.items())))
        return datasets.Features({**features, **added})

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, whose pictures are dicts of bytes and path."""
        self._rows.append(row)
        self.bytes += _row_bytes(row, self._pictures)
        values = [value for name, value in row.items() if name not in self._pictures]
        ends = ends_row_group(len(self._rows), zlib.crc32(repr(values).encode()), self._group_rows)
        if ends or self.bytes - self._written >= _GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._written = [], self.bytes


class TarShard:
    """Writes rows as webdataset samples, a picture and a JSON each, into one TAR file."""

    suffix = "tar"

    def __init__(self, file: BinaryIO, features: datasets.Features) -> None:
        # webdataset imports torch if it is installed, which takes seconds.
        with needed_for("--format webdataset", "all"):
            from webdataset import TarWriter

        self._pictures = picture_columns(features)
        if len(self._pictures) > 1:
            raise ValueError("a sample of a TAR file has one picture: use --format parquet")
        # A fixed time, so that the same rows give the same bytes.
        self._writer = TarWriter(file, encoder=False, mtime=0)
        self._keys: set[str] = set()
        self.bytes = 0

    @staticmethod
    def stored(features: datasets.Features) -> datasets.Features:
        """Return the columns that are written for rows with these."""
        return features

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; its key is its image id, or its number if it has none."""
        fields = {name: value for name, value in row.items() if name not in self._pictures}
        sample = {"__key__": self._key(row), "json": json.dumps(fields, default=str).encode()}
        for name in self._pictures:
            data = row[name]["bytes"]
            sample[_KINDS.get(data[:2], "jpg")] = data
        self._writer.write(sample)
        self.bytes += _row_bytes(row, self._pictures)

    def close(self) -> None:
        """Write the end of the archive."""
        self._writer.close()

    def _key(self, row: dict[str, Any]) -> str:
        """Return a unique member name without dots, which would end the key, and slashes."""
        number = f"{len(self._keys):09d}"
        name = _EXTENSION.sub("", str(row.get("image_id", number)))
        key = _NOT_IN_KEY.sub("_", name)[:_KEY_LENGTH] or number
        while key in self._keys:
            key = f"{key}_{number}"
        self._keys.add(key)
        return key


FORMATS: dict[str, type[ParquetShard] | type[TarShard]] = {
    "parquet": ParquetShard,
    "webdataset": TarShard,
}


def _row_bytes(row: dict[str, Any], pictures: list[str]) -> int:
    values = _VALUE_BYTES * (len(row) - len(pictures))
    return values + sum(len(row[name]["bytes"]) for name in pictures)
