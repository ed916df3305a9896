"""Looks up places on a raster map: the cell, its value, and the slope of the terrain."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from gcd_metric.options import as_numbers

from .geotiff import SETTINGS, damage_named, library, open_raster

_PLACES = 65_536  # looked up at a time
_EDGE = 1e-6  # of a cell: tolerance for rounded coordinates at the edge of the raster
_FARTHEST = {True: 1e3, False: 1e9}  # from the origin, in degrees or metres, that is on the earth
_SEMI_MAJOR_M = 6_378_137.0  # of WGS 84
_ECCENTRICITY_SQUARED = 0.00669437999014
_RETURNS_WITHIN_M = 5000  # how exact a projection and its inverse are where they are valid


class Raster:
    """One band of a raster map; only the blocks with wanted cells are read.

    Parameters
    ----------
    path : path-like
        A local GeoTIFF, or a `.vrt` that combines several, with a geographic or projected
        coordinate reference system.
    band : int
        From 1.
    nodata : number or sequence of numbers, optional
        Values that mean "no value", in addition to those that the file declares.
    fill_value : number, optional
        The value of cells without one.
    scaled : bool
        Whether to apply the band's scale and offset, if it declares any.

    Raises
    ------
    ImportError
        If rasterio or pyproj is not installed.
    ValueError
        For a file that cannot be read cell by cell.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        band: int = 1,
        nodata: Any = None,
        fill_value: float | None = None,
        scaled: bool = True,
    ) -> None:
        try:
            self.path = os.fsdecode(path)
        except TypeError:
            raise ValueError(f"raster is the path of a file, not {path!r:.80}") from None
        none = as_numbers("nodata", [] if nodata is None else nodata)
        self._fill = None if fill_value is None else as_numbers("fill_value", [fill_value])[0]
        self._file = open_raster(self.path)
        try:
            with damage_named(self.path):
                kind = self._check_band(band)
                self._check_transform()
                self._crs = self._known_crs()
        except ValueError:
            self._file.close()
            raise
        self._band = int(band)
        with np.errstate(over="ignore"):  # rounded as in the file: 0.1 differs in float32
            self._nodata = none.astype(kind).astype(np.float64) if kind.kind == "f" else none
        self._block = self._file.block_shapes[self._band - 1]
        self._env = library().Env(**SETTINGS)
        self._scale: float = self._file.scales[self._band - 1] if scaled else 1.0
        self._offset: float = self._file.offsets[self._band - 1] if scaled else 0.0
        if not (math.isfinite(self._scale) and self._scale and math.isfinite(self._offset)):
            raise ValueError(
                f"{self.path}: band {band} declares a scale of {self._scale:g} and an offset of "
                f"{self._offset:g}, which make no values; correct them with `rio edit-info`"
            )

    def __enter__(self) -> Raster:
        self._env.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
        self._env.__exit__(*error)

    def _check_band(self, band: Any) -> np.dtype:
        count = self._file.count
        whole = isinstance(band, (int, np.integer)) and not isinstance(band, bool)
        if not whole or not 1 <= band <= count:
            raise ValueError(f"{self.path}: band must be 1 to {count}, not {band!r:.80}")
        name = self._file.dtypes[band - 1]
        try:
            kind: np.dtype[Any] = np.dtype(name)
        except TypeError:  # a type of GDAL that NumPy does not have
            kind = np.dtype(object)
        if kind.kind not in "fiu":
            raise ValueError(f"{self.path}: band {band} contains {name}, not plain numbers")
        return kind

    def _check_transform(self) -> None:
        a, b, c, d, e, f = transform = tuple(self._file.transform)[:6]
        if self._file.crs is None or self._file.transform.is_identity:
            raise ValueError(
                f"{self.path}: the raster is not georeferenced; give it a coordinate reference "
                "system and a transform with `rio edit-info`"
            )
        far = _FARTHEST[self._file.crs.is_geographic]
        width, height = self._file.width, self._file.height
        corners = np.abs([c, f, c + a * width + b * height, f + d * width + e * height])
        area = a * e - b * d
        if not np.isfinite(transform).all() or not abs(area) > 1e-30 or (corners > far).any():
            raise ValueError(
                f"{self.path}: its transform {transform} places no cells on the earth; correct it "
                "with `rio edit-info --transform`"
            )

    def _known_crs(self) -> Any:
        """The coordinate reference system; also makes the transformer from degrees.

        They are pyproj's, because GDAL's transformation fails for all places if it fails for one.
        """
        from pyproj import CRS, Transformer
        from pyproj.exceptions import ProjError

        try:
            crs = CRS.from_wkt(self._file.crs.to_wkt(version="WKT2_2019"))
            if not (crs.is_geographic or crs.is_projected):
                raise ProjError(f"it is a {crs.type_name}, neither geographic nor projected")
            self._from_degrees = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        except ProjError as error:
            raise ValueError(
                f"{self.path}: cannot convert places to its coordinate reference system "
                f"{self._file.crs.to_string():.60}: {error!s:.200}; give it the right one with "
                "`rio edit-info --crs`"
            ) from None
        return crs

    @property
    def extent(self) -> str:
        """The bounds of the raster, as text for an error."""
        west, south, east, north = self._file.bounds
        return f"{west:g} to {east:g}, {south:g} to {north:g} in {self._file.crs.to_string():.40}"

    def cells(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The row and column of the cell that contains each place; -1 outside the raster or NaN.

        `coordinates` are latitudes and longitudes in degrees, of shape (n, 2).
        """
        places = coordinates[:, 1], coordinates[:, 0]
        x, y = self._from_degrees.transform(*places)
        columns, rows = _apply(~self._file.transform, x, y)
        turn = self._columns_around()
        if turn:  # 181° west equals 179° east
            columns = np.mod(columns + _EDGE, turn) - _EDGE
        rows, columns = _index(rows, self._file.height), _index(columns, self._file.width)
        outside = (rows < 0) | (columns < 0)
        # some projections map distant places into the raster, e.g. New Zealand into Switzerland
        inside = np.flatnonzero(~outside)
        back = self._from_degrees.transform(x[inside], y[inside], direction="INVERSE")
        there = places[0][inside], places[1][inside]
        outside[inside] = ~(_distance_m(back, there) < _RETURNS_WITHIN_M)
        rows[outside] = columns[outside] = -1
        return rows, columns

    def values(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The value at each place (NaN if there is none), and whether it is on the raster.

        `coordinates` are latitudes and longitudes in degrees, of shape (n, 2).
        """
        return self._look_up(coordinates, self._read)

    def gradients(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How steep the terrain is at each place; arguments and results are as in `values`.

        The band must contain elevation in metres. The gradient is Horn's, from the eight
        neighbouring cells and their true distances on WGS 84, in metres per metre (the tangent of
        the slope). It is NaN where one of the nine cells has no value.

        References
        ----------
        B. K. P. Horn, "Hill shading and the reflectance map", Proceedings of the IEEE 69 (1),
        1981, pp. 14-47.
        """
        return self._look_up(coordinates, self._gradient)

    def _look_up(self, coordinates: np.ndarray, measure: Any) -> tuple[np.ndarray, np.ndarray]:
        """Apply `measure` to the cells of places, in the order of the blocks in the file."""
        rows, columns = self.cells(coordinates)
        inside = rows >= 0
        found = np.full(len(rows), np.nan)
        order = np.flatnonzero(inside)
        order = order[np.argsort(self._block_of(rows[order], columns[order]), kind="stable")]
        for start in range(0, len(order), _PLACES):
            some = order[start : start + _PLACES]
            found[some] = measure(rows[some], columns[some])
        return found, inside

    def _block_of(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        height, width = self._block
        blocks: np.ndarray = rows // height * (self._file.width // width + 1) + columns // width
        return blocks

    def _read(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The values of cells; each read is at most one block."""
        from rasterio.windows import Window

        values = np.full(len(rows), np.nan)
        blocks = self._block_of(rows, columns)
        order = np.argsort(blocks, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
            top, left = rows[some].min(), columns[some].min()
            size = columns[some].max() - left + 1, rows[some].max() - top + 1
            part = self._read_window(Window(left, top, *size))
            cells = part[rows[some] - top, columns[some] - left].astype(np.float64)
            values[some] = cells.filled(np.nan)
        values[np.isin(values, self._nodata)] = np.nan
        with np.errstate(over="ignore"):
            values = values * self._scale + self._offset
        values[~np.isfinite(values)] = np.nan
        return values if self._fill is None else np.where(np.isnan(values), self._fill, values)

    def _read_window(self, window: Any) -> np.ma.MaskedArray:
        try:
            part: np.ma.MaskedArray = self._file.read(self._band, window=window, masked=True)
            return part
        except library().errors.RasterioError as error:
            raise ValueError(
                f"{self.path}: damaged at row {window.row_off}, column {window.col_off}: "
                f"{error!s:.200}"
            ) from None

    def _gradient(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        down, right = (steps.reshape(9, 1) for steps in np.mgrid[-1:2, -1:2])
        around = self._read_around(rows + down, columns + right).reshape(3, 3, -1)
        weights = np.array([1, 2, 1])
        east = np.tensordot(weights, around[:, 2] - around[:, 0], 1)
        south = np.tensordot(weights, around[2] - around[0], 1)
        across, along = self._spacing(rows, columns)
        # the value of the centre does not count, but without it there is no gradient
        slope: np.ndarray = np.hypot(east / across, south / along) / 8 + 0 * around[1, 1]
        return slope

    def _read_around(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The values of cells, NaN outside the raster; a global raster continues at its edges."""
        turn, width = self._columns_around(), self._file.width
        if turn and abs(width - turn) < _EDGE * turn:
            columns = columns % width
        inside = (rows >= 0) & (rows < self._file.height) & (columns >= 0) & (columns < width)
        values = np.full(rows.shape, np.nan)
        values[inside] = self._read(rows[inside], columns[inside])
        return values

    def _spacing(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres on WGS 84 between neighbouring cells, along a row and along a column."""
        found = []
        for down, right in ((0, 0.5), (0.5, 0)):
            ends = [
                self._to_degrees(columns + 0.5 + side * right, rows + 0.5 + side * down)
                for side in (-1, 1)
            ]
            found.append(_distance_m(*ends))
        return found[0], found[1]

    def _columns_around(self) -> float | None:
        """How many columns make 360 degrees, if columns are meridians; else None."""
        transform = self._file.transform
        if not self._crs.is_geographic or transform.b or transform.d:
            return None
        degrees = math.degrees(self._crs.axis_info[0].unit_conversion_factor)  # or gradians
        return abs(360 / round(degrees, 9) / float(transform.a))

    def _to_degrees(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = _apply(self._file.transform, columns, rows)
        return self._from_degrees.transform(x, y, direction="INVERSE")


def _apply(transform: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # written out, because the operator of affine differs between its versions 2 and 3
    a, b, c, d, e, f = transform[:6]
    with np.errstate(invalid="ignore"):  # places outside the projection are infinite
        return a * x + b * y + c, d * x + e * y + f


def _index(position: np.ndarray, count: int) -> np.ndarray:
    """The index of the cell at a position; -1 outside of 0 to `count`, edges included."""
    with np.errstate(invalid="ignore"):
        inside = (position >= -_EDGE) & (position <= count + _EDGE)
        index = np.floor(np.where(inside, position, -1)).astype(np.int64)
    return np.where(inside, np.clip(index, 0, count - 1), -1)


def _distance_m(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Metres on WGS 84 between close places, (longitude, latitude); twice as fast as pyproj."""
    middle = np.radians((a[1] + b[1]) / 2)
    shape = 1 - _ECCENTRICITY_SQUARED * np.sin(middle) ** 2
    parallel = _SEMI_MAJOR_M / np.sqrt(shape) * np.cos(middle)
    meridian = _SEMI_MAJOR_M * (1 - _ECCENTRICITY_SQUARED) / shape**1.5
    turned = np.mod(b[0] - a[0] + 180, 360) - 180
    metres: np.ndarray = np.hypot(parallel * np.radians(turned), meridian * np.radians(b[1] - a[1]))
    return metres
