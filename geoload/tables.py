"""Give rows to `datasets` as Arrow tables, or unchanged where it need not encode them."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
from datasets.features.features import require_decoding
from datasets.iterable_dataset import ArrowExamplesIterable, ExamplesIterable
from packaging.version import Version

Row = tuple[str, dict[str, Any]]  # the key and the columns

# Earlier versions lose or repeat rows when a filtered or formatted stream of tables is resumed.
_RESUMES_TABLES = Version(datasets.__version__) >= Version("5.2")


class Limits(NamedTuple):
    """How large tables become: they grow from `first` to `most` rows, or to `size` bytes."""

    first: int
    most: int
    size: int


# The first rows of a stream come early, and the bytes of a table fit into a processor's cache.
STREAMED = Limits(1, 16, 2**20)
# In a file, `datasets` keeps 100 rows with pictures together.
PREPARED = Limits(100, 100, 2**26)


def tables(
    rows: Iterator[Row], features: datasets.Features, limits: Limits
) -> Iterator[tuple[str, pa.Table]]:
    """Yield rows as tables, each with the key of its first row.

    The same rows always give the same tables, so that a stream can be resumed within one. If
    reading a row raises an error, the rows before it are yielded first.
    """
    layout = _layout(features)
    count, going, error = limits.first, True, None
    while going:
        batch: list[Row] = []
        size, going = 0, False
        try:
            for row in rows:
                batch.append(row)
                size += sum(len(_bytes(row[1][name]) or b"") for name in layout.pictures)
                if len(batch) >= count or size >= limits.size:
                    going = True
                    break
        except Exception as raised:
            error = raised
        if batch:
            first, table = batch[0][0], _table([row for _, row in batch], layout)
            batch.clear()  # the pictures are in the table, and their memory can take the next ones
            yield first, table
        count = min(4 * count, limits.most)
    if error is not None:
        raise error


class _Layout(NamedTuple):
    """What the tables of a stream have in common."""

    schema: pa.Schema
    rows: pa.StructType  # without the bytes of pictures
    pictures: dict[str, int]  # the numbers of their columns


def _layout(features: datasets.Features) -> _Layout:
    schema, path = features.arrow_schema, pa.struct([pa.field("path", pa.string())])
    pictures = {
        name: number
        for number, name in enumerate(schema.names)
        if isinstance(features[name], datasets.Image)
    }
    fields = [field.with_type(path) if field.name in pictures else field for field in schema]
    return _Layout(schema, pa.struct(fields), pictures)


def _table(rows: list[dict[str, Any]], layout: _Layout) -> pa.Table:
    # All columns in one call, because each call takes several microseconds.
    columns = pa.array(rows, layout.rows).flatten()
    for name, number in layout.pictures.items():
        pieces = [_bytes(row[name]) for row in rows]
        columns[number] = _with_bytes(columns[number], pieces, layout.schema.field(number).type)
    return pa.Table.from_arrays(columns, schema=layout.schema)


def _bytes(picture: dict[str, Any] | None) -> bytes | None:
    """Return the bytes of a picture; None if it is left in its file, or the row has none."""
    return picture["bytes"] if picture else None


def _with_bytes(
    paths: pa.StructArray, pieces: list[bytes | None], kind: pa.StructType
) -> pa.StructArray:
    """Add the bytes of pictures to their paths.

    `pa.array` would copy large bytes several times, because its memory grows step by step.
    """
    there = [piece is not None for piece in pieces]
    valid = None if all(there) else pa.array(there).buffers()[1]
    data = [piece or b"" for piece in pieces]
    offsets = array("i", accumulate(map(len, data), initial=0))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(data))]
    binary = pa.Array.from_buffers(pa.binary(), len(data), buffers)
    children = [binary, paths.field(0)]
    return pa.Array.from_buffers(kind, len(data), paths.buffers()[:1], children=children)


class Stream(ExamplesIterable):  # type: ignore[misc]
    """The rows of a split for an `IterableDataset`, which resumes it at any row.

    `datasets` encodes each row of a generator, which takes longer than reading the row. It does not
    if the `features` of the generator are the requested ones, as they are here when pictures are
    not to be decoded. For everything else it takes `tables`.
    """

    def __init__(
        self, rows: Callable[..., Any], tables: Callable[..., Any], arguments: dict[str, Any],
        features: datasets.Features,
    ) -> None:  # fmt: skip
        super().__init__(rows, arguments)
        self.generate_tables_fn, self._as_tables = tables, _RESUMES_TABLES
        plain = datasets.Features(
            {
                name: datasets.Image(decode=False) if isinstance(kind, datasets.Image) else kind
                for name, kind in features.items()
            }
        )
        self._features = None if any(map(require_decoding, plain.values())) else plain

    @property
    def features(self) -> datasets.Features | None:
        """The features of the rows as they are."""
        return self._features

    @property
    def iter_arrow(self) -> Callable[..., Any] | None:
        """See `datasets`: what iterates over tables, if that is possible."""
        return self._iter_arrow if self._as_tables else None

    def _iter_arrow(self) -> Iterator[tuple[str, pa.Table]]:
        yield from ArrowExamplesIterable._iter_arrow(self)

    def __deepcopy__(self, memo: Any) -> Stream:
        # `datasets` copies streams to combine them; rows may then need columns of other streams.
        combined = copy.copy(self)
        combined._features = None
        return combined

    def shuffle_data_sources(self, generator: np.random.Generator) -> Any:
        """See `datasets`. It gets rows, because it cannot shuffle tables of more than 2 GB."""
        return self._with(super().shuffle_data_sources(generator), as_tables=False)

    def shard_data_sources(self, *args: Any, **kwargs: Any) -> Any:
        """See `datasets`."""
        return self._with(super().shard_data_sources(*args, **kwargs), self._as_tables)

    def _with(self, other: Any, as_tables: bool) -> Any:
        """Return this with the parts of another iterable."""
        if type(other) is not ExamplesIterable:  # datasets 4.0 shuffles while it iterates
            return other
        same = copy.copy(self)
        same.kwargs, same._as_tables = other.kwargs, as_tables
        return same
