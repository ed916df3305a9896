"""Parquet files of which little has to be uploaded again when a few rows have changed.

The Hub stores each chunk of some 64 kB once, and finds the chunks by their content. A row that is
added or removed must therefore leave the bytes of other rows as they were. Content-defined chunking
does this for the pages of a row group, `ends_row_group` for the row groups of a file.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_CUTS = 8  # expected number of places for a cut in a row group of the largest size


def parquet_writer(where: Any, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """Return a writer with the options that all our files have; `options` are further ones."""
    ours = {
        "compression": "zstd",
        "use_dictionary": False,
        "use_content_defined_chunking": True,
        "write_page_index": True,
    }
    return pq.ParquetWriter(where, schema, **{**ours, **options})


def ends_row_group(rows: int, checksum: int, largest: int) -> bool:
    """Return whether a row group of `rows` rows is complete; `checksum` is that of its last row.

    It is at the largest size. From half of that size on, it also is after a row whose checksum is
    divisible by an eighth of the size: so soon after a row that was added or removed, the groups
    begin at the same rows as before.
    """
    return rows >= largest or (rows >= largest // 2 and checksum % (largest // _CUTS) == 0)
