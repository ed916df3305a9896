"""The table of Flickr photos that `im2gps lists` writes: its columns, and reading its rows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gcd_metric.opened import one_line

SCHEMA = pa.schema([
    *((name, pa.string()) for name in ("photo_id", "secret", "server", "owner", "title", "tags",
                                       "date_taken")),
    ("date_upload", pa.int64()), ("license", pa.int8()),
    ("latitude", pa.float64()), ("longitude", pa.float64()), ("accuracy", pa.int8()),
    *((name, pa.string()) for name in ("query", "original_secret", "original_format")),
    ("original_width", pa.int32()), ("original_height", pa.int32()),
])  # fmt: skip
_TEXT = ("photo_id", "secret", "server", "owner")
_NUMBERS = ("latitude", "longitude")


@contextlib.contextmanager
def open_parquet(path: str | os.PathLike[str], **options: Any) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; replace pyarrow's errors for damaged files.

    Raises
    ------
    ValueError
        If the file, or a page of it, cannot be read.
    OSError
        If there is no such file, or it cannot be accessed.
    """
    try:
        with pq.ParquetFile(path, **options) as file:
            yield file
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        text = one_line(error).rstrip(".")
        raise ValueError(f"{path} is not a valid Parquet file ({text}). Get it again.") from error


@contextlib.contextmanager
def open_table(path: str) -> Iterator[pq.ParquetFile]:
    """Open a table of photos.

    Raises
    ------
    FileNotFoundError
    ValueError
        If it is damaged, lacks a column, or contains ids as numbers or coordinates as text.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no table of photos at {path}")
    # Without a large buffer, and page by page: row groups can be of any size.
    with open_parquet(path, pre_buffer=False, buffer_size=2**20) as file:
        schema = file.schema_arrow
        missing = [name for name in SCHEMA.names if name not in schema.names]
        if missing:
            raise ValueError(
                f"{path} lacks the columns {', '.join(missing)}: it is not a table that `im2gps "
                "lists` wrote."
            )
        for name in (*_TEXT, *_NUMBERS):
            kind = schema.field(name).type
            if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) != (name in _NUMBERS):
                what = "numbers" if name in _NUMBERS else "text"
                raise ValueError(f"{path}: the column {name} should contain {what}, but is {kind}.")
        yield file


def read_rows(path: str, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield `count` rows of a table from row `first` on, without reading other row groups."""
    with open_table(path) as file:
        groups, start, skip = [], 0, first
        for group in range(file.metadata.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if stop <= first:
                skip -= stop - start
            elif start < first + count:
                groups.append(group)
            start = stop
        for batch in file.iter_batches(4096, groups, SCHEMA.names) if groups else ():
            rows = batch.slice(min(skip, len(batch)), count).to_pylist()
            yield from rows
            skip, count = max(skip - len(batch), 0), count - len(rows)
            if not count:
                return
