"""The list as a Parquet table: is it one, and some of its rows, without the rest in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from im2gps.parquet import reading

COLUMNS = (
    "photo_id", "secret", "server", "owner", "title", "tags", "date_taken", "date_upload",
    "license", "latitude", "longitude", "accuracy", "query", "original_secret", "original_format",
    "original_width", "original_height",
)  # fmt: skip
_TEXT = ("photo_id", "secret", "server", "owner")
_NUMBERS = ("latitude", "longitude")


def count_rows(table: str) -> int:
    """Return how many rows a list has, from its footer.

    Raises
    ------
    ValueError
        When it is no list: no Parquet file, or without one of the columns, or ids as numbers.
    """
    try:
        with reading(table), pq.ParquetFile(table) as file:
            schema = file.schema_arrow
            rows = file.metadata.num_rows
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no list at {table}") from None
    lacking = [name for name in COLUMNS if name not in schema.names]
    if lacking:
        raise ValueError(
            f"{table} lacks the columns {', '.join(lacking)}. A list is what `im2gps lists` writes."
        )
    for name in (*_TEXT, *_NUMBERS):
        kind = schema.field(name).type
        if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) != (name in _NUMBERS):
            what = "numbers" if name in _NUMBERS else "text"
            raise ValueError(f"{table}: the column {name} should hold {what}, but is {kind}.")
    return rows


def read_rows(table: str, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield some rows of the list, reading only the row groups that hold them, page by page.

    Raises
    ------
    ValueError
        When a page is damaged.
    """
    options = {"pre_buffer": False, "buffer_size": 2**20}
    with reading(table), pq.ParquetFile(table, **options) as file:
        groups, start = [], 0
        skip = first
        for group in range(file.metadata.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if start < first + count and stop > first:
                groups.append(group)
            elif stop <= first:
                skip -= stop - start
            start = stop
        if not groups:
            return
        wanted = range(skip, skip + count)
        start = 0
        for batch in file.iter_batches(4096, groups, list(COLUMNS)):
            low, high = max(wanted.start - start, 0), wanted.stop - start
            yield from batch.slice(low, max(high - low, 0)).to_pylist()
            start += len(batch)
            if start >= wanted.stop:
                return
