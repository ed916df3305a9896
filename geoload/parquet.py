"""How Parquet files are written: so that little is sent again when a few rows have changed.

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
    """Return a writer with the options of all Parquet files; `options` are more of pyarrow's."""
    ours = {
        "compression": "zstd",
        "use_dictionary": False,
        "use_content_defined_chunking": True,
        "write_page_index": True,
    }
    return pq.ParquetWriter(where, schema, **{**ours, **options})


def ends_row_group(rows: int, checksum: int, largest: int) -> bool:
    """Return whether a row group ends after its row number `rows`, whose checksum is given.

    From half of the largest size on, one in so many checksums ends it. So groups have the same
    rows again soon after a row that was added or removed.
    """
    return rows >= largest or (rows >= largest // 2 and checksum % (largest // _CUTS) == 0)
