"""The two forms in which rows are published: Parquet files, and TAR files of samples.

A writer is given one row after the other and holds a row group in memory at most. Where the files
lie and what they are called when they are whole is `convert.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from geoload.optional import needed_for
from geoload.publishing.features import parquet_schema, pictures

# The Dataset Viewer reads whole row groups to show a page of 100 rows.
ROWS_WITH_PICTURES = 100
ROWS_WITHOUT = 10_000
_GROUP_BYTES = 32 * 2**20
_KINDS = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp"}
_ENDING = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
_NO_KEY = re.compile(r"[^\w@-]")
_KEY_LENGTH = 100
# What a number or a list of a few weighs, roughly: the pictures decide.
_ROW_BYTES = 64


class ParquetShard:
    """Writes rows with their pictures inside into one Parquet file."""

    suffix = "parquet"

    def __init__(self, path: Path, features: datasets.Features) -> None:
        self._schema = parquet_schema(features)
        self._writer = pq.ParquetWriter(path, self._schema, write_page_index=True)
        self._pictures = pictures(features)
        self._most = ROWS_WITH_PICTURES if self._pictures else ROWS_WITHOUT
        self._rows: list[dict[str, Any]] = []
        self._waiting = 0
        self.bytes = 0

    def add(self, row: dict[str, Any]) -> None:
        """Write one row, whose pictures are dicts of bytes and path."""
        self._rows.append(row)
        self._waiting += _weight(row, self._pictures)
        if len(self._rows) == self._most or self._waiting >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left and the file's end."""
        if self._rows:
            self._flush()
        self._writer.close()

    @property
    def weight(self) -> int:
        """Bytes of the rows so far."""
        return self.bytes + self._waiting

    def _flush(self) -> None:
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        self._writer.write_table(table, row_group_size=len(self._rows))
        self.bytes += self._waiting
        self._rows, self._waiting = [], 0


class TarShard:
    """Writes rows as webdataset samples, a picture and a JSON each, into one TAR file."""

    suffix = "tar"

    def __init__(self, path: Path, features: datasets.Features) -> None:
        # webdataset imports torch where it is installed, which takes seconds.
        with needed_for("--format webdataset", "all"):
            from webdataset import TarWriter

        self._pictures = pictures(features)
        if len(self._pictures) > 1:
            raise ValueError("a sample of a TAR file has one picture: use --format parquet")
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
        # Without a time of their own the same rows give the same bytes.
        self._writer = TarWriter(self._file, encoder=False, mtime=0)
        self._keys: set[str] = set()
        self.weight = 0

    def add(self, row: dict[str, Any]) -> None:
        """Write one row; its key is its image id, or its number where it has none."""
        fields = {name: value for name, value in row.items() if name not in self._pictures}
        sample = {"__key__": self._key(row), "json": json.dumps(fields, default=str).encode()}
        for name in self._pictures:
            data = row[name]["bytes"]
            sample[_KINDS.get(data[:2], "jpg")] = data
        self._writer.write(sample)
        self.weight += _weight(row, self._pictures)

    def _key(self, row: dict[str, Any]) -> str:
        """Return a member's name, without a dot, which would end it, or a slash; each once."""
        number = f"{len(self._keys):09d}"
        name = _ENDING.sub("", str(row.get("image_id", number)))
        key = _NO_KEY.sub("_", name)[:_KEY_LENGTH] or number
        while key in self._keys:
            key = f"{key}_{number}"
        self._keys.add(key)
        return key

    def close(self) -> None:
        """Write the archive's end."""
        self._writer.close()
        self._file.close()


FORMATS: dict[str, Any] = {"parquet": ParquetShard, "webdataset": TarShard}


def _weight(row: dict[str, Any], columns: list[str]) -> int:
    return _ROW_BYTES * (len(row) - len(columns)) + sum(len(row[c]["bytes"]) for c in columns)
