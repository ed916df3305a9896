"""GeoParquet 1.1: tables of places with a column of points, which other programs read.

Beside `latitude` and `longitude` they have `geometry`, points in well-known binary (WKB), and
`bbox`, whose statistics tell a reader which row groups a region needs. The format is described at
https://geoparquet.org/releases/v1.1.0/.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from geoload.parquet import ends_row_group, parquet_writer

ROW_GROUP = 5_000  # rows, at most
_BLOCK = 2**19  # rows that are ordered together, in memory
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([(side, pa.float64()) for side in _SIDES])
COLUMNS = {"geometry": pa.binary(), "bbox": _BOX}
# Coordinates of neighbouring rows have most bytes in common: stored byte by byte
# (use_byte_stream_split), they become smaller.
FLOATS = ["latitude", "longitude", *(f"bbox.{side}" for side in _SIDES)]
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Point"],
            "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
        }
    },
}
_WKB = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
_BITS = 31  # of each coordinate, about 2 cm
_MIX = np.uint64(0x9E3779B97F4A7C15)  # spreads the codes of neighbours (Fibonacci hashing)


def place_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the columns and the metadata that GeoParquet adds."""
    for name, kind in COLUMNS.items():
        if name not in schema.names:
            schema = schema.append(pa.field(name, kind))
    return schema.with_metadata({**(schema.metadata or {}), "geo": json.dumps(_GEO)})


def with_geometry(table: pa.Table) -> pa.Table:
    """Return a table with the columns `geometry` and `bbox`, empty where a place is not known."""
    latitude, longitude = _places(table)
    points = np.empty(len(table), _WKB)
    points["order"], points["type"], points["x"], points["y"] = 1, 1, longitude, latitude
    unknown = pa.array(np.isnan(latitude + longitude))
    blocks = pa.py_buffer(points.tobytes())
    wkb = pa.Array.from_buffers(pa.binary(_WKB.itemsize), len(table), [None, blocks])
    boxes = pa.StructArray.from_arrays(
        [pa.array(side) for side in (longitude, latitude) * 2], fields=list(_BOX), mask=unknown
    )
    known = pa.compute.if_else(unknown, None, wkb.cast(pa.binary()))
    return table.append_column("geometry", known).append_column("bbox", boxes)


def hilbert_codes(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the positions of places along a Hilbert curve that fills the world.

    Places that are near each other mostly have codes that are near each other. Unknown places are
    treated as 0, 0. The algorithm is `xy2d` of https://en.wikipedia.org/wiki/Hilbert_curve, for
    arrays.
    """
    shares = np.nan_to_num(longitude) / 360 + 0.5, np.nan_to_num(latitude) / 180 + 0.5
    largest = 2**_BITS - 1
    x, y = (np.clip(share * 2**_BITS, 0, largest).astype(np.uint64) for share in shares)
    code = np.zeros(len(x), np.uint64)
    one, two, three = np.arange(1, 4, dtype=np.uint64)
    for bit in np.arange(_BITS, dtype=np.uint64)[::-1]:
        right, up = x >> bit & one, y >> bit & one
        code = code << two | (three * right) ^ up
        mirror = np.where((up == 0) & (right == 1), np.uint64(largest), np.uint64(0))
        x, y = x ^ mirror, y ^ mirror
        x, y = np.where(up == 0, y, x), np.where(up == 0, x, y)
    return code


class PlaceWriter:
    """Writes tables of places, without the added columns, into one GeoParquet file.

    The rows of all tables until `flush` are ordered along the curve, half a million at a time. So
    the rows of a region are in few row groups, and a reader with ranges needs little of the file.
    """

    def __init__(self, where: Any, schema: pa.Schema) -> None:
        self._schema = place_schema(schema)
        self._waiting: list[pa.Table] = []
        self._writer = parquet_writer(where, self._schema, use_byte_stream_split=FLOATS)

    def write_table(self, table: pa.Table) -> None:
        """Add a table, which is kept in memory until there are enough rows."""
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are in memory."""
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        codes = hilbert_codes(*_places(table))
        order = np.argsort(codes, kind="stable")
        table = with_geometry(table.take(pa.array(order))).cast(self._schema)
        first = 0
        for row, checksum in enumerate((codes[order] * _MIX >> np.uint64(33)).tolist(), 1):
            if ends_row_group(row - first, checksum, ROW_GROUP) or row == len(table):
                self._writer.write_table(table.slice(first, row - first))
                first = row

    def close(self) -> None:
        """Write the rows that are in memory, and the footer."""
        self.flush()
        self._writer.close()


def _places(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    latitude, longitude = (
        table.column(name).to_numpy().astype(float) for name in ("latitude", "longitude")
    )
    return latitude, longitude
