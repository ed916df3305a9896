"""Rows of published Parquet files, read where they lie, a row group at a time.

Nothing is downloaded whole: a file's end says where its row groups are, the columns without
pictures are small, and one photo costs the row group that holds it.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

_FILES_AT_ONCE = 8


class ParquetRows:
    """The rows of Parquet files, in their order.

    Parameters
    ----------
    files : sequence of str
        Paths, or addresses of any kind that fsspec knows.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = list(files)
        self._open: dict[int, pq.ParquetFile] = {}
        self._locks = [threading.Lock() for _ in self._files]
        self._building = threading.Lock()
        self._places: dict[str, dict[Hashable, tuple[int, int]]] = {}

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Read whole columns of all files."""
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            parts = pool.map(lambda number: self._columns(number, names), range(len(self._files)))
            return pa.concat_tables(parts)

    def value(self, key_column: str, key: Hashable, column: str) -> Any:
        """Return one column's entry of the row whose `key_column` is `key`.

        The keys of all files are read when the first is asked for.

        Raises
        ------
        KeyError
            When there is no such row.
        """
        number, row = self._index(key_column)[key]
        with self._locks[number]:
            file = self._file(number)
            starts = [0]
            for group in range(file.num_row_groups):
                starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
            group = bisect.bisect_right(starts, row) - 1
            entries = file.read_row_group(group, columns=[column]).column(column)
            return entries[row - starts[group]].as_py()

    def _index(self, column: str) -> dict[Hashable, tuple[int, int]]:
        with self._building:
            if column not in self._places:
                found: dict[Hashable, tuple[int, int]] = {}
                with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
                    numbers = range(len(self._files))
                    for number, part in enumerate(
                        pool.map(lambda number: self._columns(number, [column]), numbers)
                    ):
                        for row, key in enumerate(part.column(column).to_pylist()):
                            found[tuple(key) if isinstance(key, list) else key] = (number, row)
                self._places[column] = found
            return self._places[column]

    def _columns(self, number: int, names: Sequence[str]) -> pa.Table:
        with self._locks[number]:
            return self._file(number).read(columns=list(names))

    def _file(self, number: int) -> pq.ParquetFile:
        if number not in self._open:
            # without a cache: each read-ahead would fetch megabytes for a few ids
            system, path = fsspec.core.url_to_fs(self._files[number])
            opened = system.open(path, "rb", cache_type="none")
            self._open[number] = pq.ParquetFile(opened, pre_buffer=True)
        return self._open[number]
