"""The metric, in one file: what a raster map says at predicted and at true places, compared.

Coordinates in, cells looked up, figures out. The Hub loads this file alone, so it imports nothing
beside it. How far predictions are from the truth is another metric's question (gcd_metric).
"""

from __future__ import annotations

import difflib
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import datasets
import evaluate
import numpy as np
import pandas as pd

_DESCRIPTION = """\
Compares what a raster map says at predicted and at true places: agreement of classes (land cover, \
urban or rural), error of quantities (population density, elevation) and of the terrain's gradient.
"""

_CITATION = """\
@inproceedings{hays2008im2gps,
  author = {Hays, James and Efros, Alexei A.},
  title = {{IM2GPS}: estimating geographic information from a single image},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2008}
}
"""

_INPUTS = """
Args:
    predictions: n pairs (latitude, longitude) in decimal degrees: a list, an array or tensor of
        shape (n, 2), a data frame, or rows with `latitude` and `longitude`.
    references: the true coordinates, in the same forms.
    raster: path of a local GeoTIFF, or of a `.vrt` that puts several together.
    kind: "classes", "quantity", or "gradient" (of an elevation raster, in metres per metre).
    band: which band of the raster, from 1.
    classes: names of classes: {code: name} for a raster of codes, where one name may stand for
        several codes; or the names between thresholds, from the lowest up.
    threshold: a number, or several in ascending order, that part a quantity into classes.
    log: of quantities and gradients also compare log10(1 + value).
    nodata: a value, or several, that the raster uses for "none" without declaring it.
    fill_value: the value of cells without one, such as 0 people at sea.
    missing: "error", or "miss" to count a prediction of None or NaN as without a value.
    return_values: also return the values at predictions and references.

Returns:
    For classes `accuracy` (0 to 1), `accuracy_ci95` (low, high), `balanced_accuracy`, `labels`,
    `confusion_matrix` (rows: references) and `per_class`; otherwise `mean_absolute_error`,
    `median_absolute_error`, `mean_error`, `spearman`, and with log
    `mean_absolute_error_log10`, `median_absolute_error_log10`. Always `n` and the counts
    `n_references_outside`, `n_references_nodata`, `n_predictions_outside`,
    `n_predictions_nodata`, `n_missing`; with return_values `prediction_values` and
    `reference_values`.

Examples:
    >>> import evaluate
    >>> metric = evaluate.load("geo_attributes")
    >>> result = metric.compute(
    ...     predictions=[[48.86, 2.35]],
    ...     references=[[51.51, -0.13]],
    ...     raster="density.tif",
    ...     kind="classes",
    ...     threshold=300,
    ...     classes=["rural", "urban"],
    ... )
"""

_NAMES = {"latitude": ("latitude", "lat"), "longitude": ("longitude", "lon", "lng", "long")}
_LIMITS = (90.0, 180.0)
_MOST_CLASSES = 1000
_LARGEST_BLOCK = 256 * 2**20  # bytes; GDAL must unpack a whole block to read one cell
_CACHE_MB = 64  # of GDAL, which by itself takes a share of the machine's memory
_PLACES = 65_536  # looked up at a time
_EDGE = 1e-6  # of a cell: rounding of coordinates must not push a place off the raster's edge
_SEMI_MAJOR_M = 6_378_137.0  # of WGS 84
_ECCENTRICITY_SQUARED = 0.00669437999014


# --- coordinates in -----------------------------------------------------------------------------


def as_coordinates(values: Any, name: str) -> np.ndarray:
    """Bring coordinates of any accepted form into one array.

    Parameters
    ----------
    values : list of pairs, array or tensor (n, 2), data frame, or rows with named coordinates
        Latitude and longitude in decimal degrees, in that order unless they are named.
    name : str
        What to call them in an error.

    Returns
    -------
    ndarray of shape (n, 2), float64
        NaN where a value was None.

    Raises
    ------
    ValueError
        If a row is not a pair of numbers; the range is not looked at.
    """
    if values is None or isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got {values!r:.50}")
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu().numpy()
    columns = values.keys() if isinstance(values, Mapping) else _columns(values)
    if columns is not None:
        keys = _find(columns, name)
        if isinstance(values, datasets.IterableDataset):
            values = values.select_columns(list(keys))  # photos need not be decoded
        else:
            latitude, longitude = (list(values[key]) for key in keys)
            if len(latitude) != len(longitude):
                raise ValueError(
                    f"{name}: {len(latitude)} latitudes and {len(longitude)} longitudes"
                )
            values = zip(latitude, longitude, strict=True)
    elif isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        if values.ndim != 2 or values.shape[1] != 2:
            raise ValueError(
                f"{name}: expected shape (n, 2), latitude and longitude, got {values.shape}"
            )
        return values.astype(np.float64)
    rows = [_pair(row, name, index) for index, row in enumerate(values)]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _columns(values: Any) -> list[Any] | None:
    """The columns of a data set or data frame, if they have names."""
    names = getattr(values, "column_names", None)
    if names is None and getattr(values, "ndim", 0) == 2:
        names = getattr(values, "columns", None)
    return None if names is None else list(names)


def _find(names: Iterable[Any], name: str) -> tuple[Any, Any]:
    by_lower = {str(key).strip().lower(): key for key in names}
    found = [next((by_lower[n] for n in usual if n in by_lower), None) for usual in _NAMES.values()]
    if None in found:
        raise ValueError(f"{name}: found no 'latitude' and 'longitude' among {list(by_lower)}")
    return found[0], found[1]


def _pair(row: Any, name: str, index: int) -> tuple[float, float]:
    if _is_nothing(row):
        return math.nan, math.nan
    if hasattr(row, "keys"):
        latitude, longitude = _find(row.keys(), f"{name}, row {index}")
        row = (row[latitude], row[longitude])
    elif hasattr(row, "tolist"):
        row = row.tolist()
    if not isinstance(row, (list, tuple)) or len(row) != 2:
        raise ValueError(f"{name}: row {index} is not a pair (latitude, longitude) but {row!r:.50}")
    return _number(row[0], name, index), _number(row[1], name, index)


def _number(value: Any, name: str, index: int) -> float:
    if _is_nothing(value):
        return math.nan
    if not isinstance(value, (str, bytes, bool)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise ValueError(f"{name}: row {index} holds {value!r:.50}, which is not a number of degrees")


def _is_nothing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def check_coordinates(predictions: np.ndarray, references: np.ndarray, missing: str) -> None:
    """Refuse coordinates that cannot be looked up.

    Parameters
    ----------
    predictions, references : ndarray of shape (n, 2)
        Degrees. A row of `predictions` with NaN is a missing one.
    missing : {"error", "miss"}
        Whether a missing prediction is refused.

    Raises
    ------
    ValueError
        Names the first bad row, and how many there are.
    """
    if not len(references):
        raise ValueError("predictions and references are empty: there is nothing to score")
    for name, array in (("predictions", predictions), ("references", references)):
        unanswered = np.isnan(array).any(axis=1)
        bad = ~(np.abs(array) <= _LIMITS).all(axis=1) & ~unanswered
        if bad.any():
            first = int(bad.argmax())
            swapped = (np.abs(array[~unanswered][:, ::-1]) <= _LIMITS).all()
            raise ValueError(
                f"{name}: row {first} is beyond ±90 degrees of latitude or ±180 of longitude: "
                f"{tuple(array[first].tolist())}; {int(bad.sum())} of {len(array)} rows are bad"
                + ("; latitude and longitude look swapped" if swapped else "")
            )
        if unanswered.any() and not (name == "predictions" and missing == "miss"):
            cause = (
                "missing='miss' counts them as without a value"
                if name == "predictions"
                else "leave photos without ground truth out on both sides"
            )
            raise ValueError(
                f"{name}: row {int(unanswered.argmax())} is missing (None or NaN); "
                f"{int(unanswered.sum())} of {len(array)} rows are; {cause}"
            )


# --- the raster ---------------------------------------------------------------------------------


class Raster:
    """One band of a raster map, of which only the blocks that hold wanted cells are ever read.

    Parameters
    ----------
    path : path-like
        A local GeoTIFF, or a `.vrt` that puts several together, with a coordinate reference system.
    band : int
        From 1.
    nodata : number or sequence of numbers, optional
        Values that mean "none", besides those that the file declares.
    fill_value : number, optional
        What cells without a value hold.
    scaled : bool
        Whether to apply the band's scale and offset, if it declares any.

    Raises
    ------
    ImportError
        If rasterio is not installed.
    ValueError
        For a file that cannot be read cell by cell; it says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        band: int = 1,
        nodata: Any = None,
        fill_value: float | None = None,
        scaled: bool = True,
    ) -> None:
        rasterio = _library()
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise ValueError(f"{self.path}: there is no such file")
        # named, or GDAL would try them all, and some of them open addresses that a file names
        driver = "VRT" if self.path.lower().endswith(".vrt") else "GTiff"
        none = _numbers("nodata", [] if nodata is None else nodata)
        self._fill = None if fill_value is None else _numbers("fill_value", [fill_value])[0]
        try:
            with warnings.catch_warnings():  # _check says it, and what to do
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                self._file = rasterio.open(self.path, driver=driver)
        except rasterio.errors.RasterioError as error:
            raise ValueError(
                f"{self.path}: this is no {driver} file ({error}); from another format "
                "`gdal_translate IN OUT.tif` makes one"
            ) from None
        try:
            self._check(band)
        except ValueError:
            self._file.close()
            raise
        self._band = int(band)
        kind = np.dtype(self._file.dtypes[self._band - 1])
        # as the file holds them: 0.1 is another number in float32
        self._nodata = none.astype(kind).astype(np.float64) if kind.kind == "f" else none
        self._block = self._file.block_shapes[self._band - 1]
        self._env = rasterio.Env(GDAL_CACHEMAX=_CACHE_MB)
        self._degrees = rasterio.crs.CRS.from_epsg(4326)
        self._scale: float = self._file.scales[self._band - 1] if scaled else 1.0
        self._offset: float = self._file.offsets[self._band - 1] if scaled else 0.0

    def __enter__(self) -> Raster:
        self._env.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
        self._env.__exit__(*error)

    def _check(self, band: Any) -> None:
        file = self._file
        if file.crs is None or file.transform.is_identity:
            raise ValueError(
                f"{self.path}: the raster does not say where it lies; give it a coordinate "
                "reference system and a transform with `rio edit-info`"
            )
        if not isinstance(band, (int, np.integer)) or not 1 <= band <= file.count:
            raise ValueError(f"{self.path}: band must be 1 to {file.count}, not {band!r}")
        kind = np.dtype(file.dtypes[band - 1])
        if kind.kind not in "fiu":
            raise ValueError(f"{self.path}: band {band} holds {kind}, not plain numbers")
        height, width = file.block_shapes[band - 1]
        if height * width * kind.itemsize > _LARGEST_BLOCK:
            raise ValueError(
                f"{self.path}: to read one cell a block of {width} × {height} would have to be "
                "unpacked; rewrite it with `gdal_translate -co TILED=YES IN OUT`"
            )

    @property
    def extent(self) -> str:
        """Where the raster lies, in words for an error."""
        west, south, east, north = self._file.bounds
        return f"{west:g} to {east:g}, {south:g} to {north:g} in {self._file.crs.to_string():.40}"

    def cells(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the cell nearest to each place, which is the one that holds it.

        Parameters
        ----------
        coordinates : ndarray of shape (n, 2)
            Latitude and longitude in degrees.

        Returns
        -------
        rows, columns : ndarray of int, shape (n,)
            -1 in both where a place is outside the raster or NaN.
        """
        x, y = self._to_raster(coordinates)
        columns, rows = _apply(~self._file.transform, x, y)
        turn = self._columns_around()
        if turn:  # 181° west is 179° east
            columns = np.mod(columns + _EDGE, turn) - _EDGE
        rows, columns = _index(rows, self._file.height), _index(columns, self._file.width)
        outside = (rows < 0) | (columns < 0)
        rows[outside] = columns[outside] = -1
        return rows, columns

    def values(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up the value of the nearest cell of each place.

        Parameters
        ----------
        coordinates : ndarray of shape (n, 2)
            Latitude and longitude in degrees.

        Returns
        -------
        values : ndarray of float64, shape (n,)
            NaN where there is none.
        inside : ndarray of bool, shape (n,)
            Whether the place is on the raster.
        """
        return self._look_up(coordinates, self._read)

    def gradients(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Work out how steep the terrain is at the nearest cell of each place.

        The band is taken as elevation in metres. The gradient is Horn's, from the eight
        neighbours, over their true distances on WGS 84; its magnitude is in metres per metre (the
        tangent of the slope). There is none where one of the nine cells has no value.

        Parameters
        ----------
        coordinates : ndarray of shape (n, 2)
            Latitude and longitude in degrees.

        Returns
        -------
        gradients : ndarray of float64, shape (n,)
            NaN where there is none.
        inside : ndarray of bool, shape (n,)
            Whether the place is on the raster.

        References
        ----------
        B. K. P. Horn, "Hill shading and the reflectance map", Proceedings of the IEEE 69 (1),
        1981, pp. 14-47.
        """
        return self._look_up(coordinates, self._gradient)

    def _look_up(self, coordinates: np.ndarray, measure: Any) -> tuple[np.ndarray, np.ndarray]:
        """Apply `measure` to the cells of places, in the order in which they lie in the file."""
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
        return rows // height * (self._file.width // width + 1) + columns // width

    def _read(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The values of cells, in reads that are no larger than a block."""
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
        values[np.isin(values, self._nodata) | ~np.isfinite(values)] = np.nan
        values = values * self._scale + self._offset
        return values if self._fill is None else np.where(np.isnan(values), self._fill, values)

    def _read_window(self, window: Any) -> np.ma.MaskedArray:
        try:
            return self._file.read(self._band, window=window, masked=True)
        except _library().errors.RasterioError as error:
            raise ValueError(
                f"{self.path}: damaged at row {window.row_off}, column {window.col_off}: {error}"
            ) from None

    def _gradient(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        down, right = (steps.reshape(9, 1) for steps in np.mgrid[-1:2, -1:2])
        around = self._read_around(rows + down, columns + right).reshape(3, 3, -1)
        weights = np.array([1, 2, 1])
        east = np.tensordot(weights, around[:, 2] - around[:, 0], 1)
        south = np.tensordot(weights, around[2] - around[0], 1)
        across, along = self._spacing(rows, columns)
        # the centre's value does not enter, but a place without one has no gradient
        return np.hypot(east / across, south / along) / 8 + 0 * around[1, 1]

    def _read_around(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The values of cells that may lie off the raster; the globe's edges meet."""
        turn, width = self._columns_around(), self._file.width
        if turn and abs(width - turn) < _EDGE * turn:
            columns = columns % width
        inside = (rows >= 0) & (rows < self._file.height) & (columns >= 0) & (columns < width)
        values = np.full(rows.shape, np.nan)
        values[inside] = self._read(rows[inside], columns[inside])
        return values

    def _spacing(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres on WGS 84 from cell to cell, along a row and along a column."""
        found = []
        for down, right in ((0, 0.5), (0.5, 0)):
            ends = [
                self._to_degrees(columns + 0.5 + side * right, rows + 0.5 + side * down)
                for side in (-1, 1)
            ]
            found.append(_short_distance_m(*ends))
        return found[0], found[1]

    def _columns_around(self) -> float | None:
        """How many columns go once around the earth, where columns are meridians."""
        transform = self._file.transform
        if not self._file.crs.is_geographic or transform.b or transform.d:
            return None
        return abs(360 / transform.a)

    def _to_raster(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._project(self._degrees, self._file.crs, coordinates[:, 1], coordinates[:, 0])

    def _to_degrees(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = _apply(self._file.transform, columns, rows)
        return self._project(self._file.crs, self._degrees, x, y)

    def _project(
        self, source: Any, target: Any, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if source == target:
            return x, y
        from rasterio.warp import transform

        moved = np.empty((2, len(x)))
        for start in range(0, len(x), _PLACES):
            some = slice(start, start + _PLACES)
            moved[:, some] = transform(source, target, x[some], y[some])
        return moved[0], moved[1]


def _library() -> Any:
    try:
        import rasterio
        import rasterio.errors
    except ImportError:
        raise ImportError(
            "reading a raster needs rasterio: pip install 'im2gps-justzoomin[raster]'"
        ) from None
    return rasterio


def _apply(transform: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # by hand: the library's operator for this is one in version 2 and another in version 3
    a, b, c, d, e, f = transform[:6]
    with np.errstate(invalid="ignore"):  # places that the projection does not hold are infinite
        return a * x + b * y + c, d * x + e * y + f


def _index(position: np.ndarray, count: int) -> np.ndarray:
    """The cell at a position along a side of `count` cells, -1 outside; edges belong to it."""
    with np.errstate(invalid="ignore"):
        inside = (position >= -_EDGE) & (position <= count + _EDGE)
        index = np.floor(np.where(inside, position, -1)).astype(np.int64)
    return np.where(inside, np.clip(index, 0, count - 1), -1)


def _short_distance_m(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Metres on WGS 84 between close places, each (longitude, latitude) in degrees."""
    middle = np.radians((a[1] + b[1]) / 2)
    shape = 1 - _ECCENTRICITY_SQUARED * np.sin(middle) ** 2
    parallel = _SEMI_MAJOR_M / np.sqrt(shape) * np.cos(middle)
    meridian = _SEMI_MAJOR_M * (1 - _ECCENTRICITY_SQUARED) / shape**1.5
    turned = np.mod(b[0] - a[0] + 180, 360) - 180
    return np.hypot(parallel * np.radians(turned), meridian * np.radians(b[1] - a[1]))


def _numbers(name: str, values: Any) -> np.ndarray:
    """Check an option that is a number or several."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise ValueError(f"{name} must be a number, or a list of numbers, not {values!r}")
    return array


# --- classes ------------------------------------------------------------------------------------


class Classes(NamedTuple):
    """What stands for a class: a code of the raster, or an interval between thresholds."""

    names: dict[float, str] | None = None
    thresholds: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


def make_classes(classes: Any = None, threshold: Any = None) -> Classes:
    """Check what parts the values into classes.

    Parameters
    ----------
    classes : dict, or sequence of str, optional
        Code to name; or with `threshold` the names between thresholds, from the lowest up.
    threshold : number or sequence of numbers, optional
        Ascending; a value at a threshold is above it.

    Returns
    -------
    Classes

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    if threshold is None:
        if classes is None:
            return Classes()
        if not isinstance(classes, Mapping) or not classes:
            raise ValueError(
                "classes must be {code: name} for a raster of codes; a list of names goes with "
                f"threshold=, not {classes!r}"
            )
        codes = _numbers("the codes of classes", list(classes))
        names = [str(name) for name in classes.values()]
        return Classes(names=dict(zip(codes.tolist(), names, strict=True)))
    at = _numbers("threshold", threshold)
    if not len(at) or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise ValueError(f"threshold must be finite and ascending, not {threshold!r}")
    if classes is None:
        between = [f"{low:g} to {high:g}" for low, high in zip(at, at[1:], strict=False)]
        labels = [f"< {at[0]:g}", *between, f">= {at[-1]:g}"]
    elif isinstance(classes, (str, bytes, Mapping)) or len(classes) != len(at) + 1:
        raise ValueError(
            f"{len(at)} thresholds part {len(at) + 1} classes: give as many names, from the lowest "
            f"up, not {classes!r}"
        )
    else:
        labels = [str(name) for name in classes]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two classes have one name: {labels}")
    return Classes(thresholds=tuple(at.tolist()), labels=tuple(labels))


def classify(
    predictions: np.ndarray, references: np.ndarray, classes: Classes, path: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Turn values into classes.

    Parameters
    ----------
    predictions, references : ndarray of shape (n,)
        Values of the raster; NaN where there is none.
    classes : Classes
    path : str
        Of the raster, for an error.

    Returns
    -------
    labels : list of str
    predicted, true : ndarray of int, shape (n,)
        Index of `labels`, -1 where there is no value.

    Raises
    ------
    ValueError
        For values that are no codes, or codes without a name.
    """
    both = np.concatenate([predictions, references])
    known = ~np.isnan(both)
    index = np.full(len(both), -1)
    if classes.thresholds:
        labels = list(classes.labels)
        index[known] = np.digitize(both[known], classes.thresholds)
    else:
        codes, inverse = np.unique(both[known], return_inverse=True)
        names = classes.names or _code_names(codes, path)
        unnamed = codes[[code not in names for code in codes.tolist()]]
        if len(unnamed):
            _code_names(unnamed, path)  # or they are no codes at all
            some = ", ".join([f"{code:.0f}" for code in unnamed[:10]] + ["…"] * (len(unnamed) > 10))
            raise ValueError(
                f"{path}: `classes` has no name for code {some}, found at "
                f"{np.isin(both, unnamed).sum()} places; name every code that occurs, or give it "
                "as nodata="
            )
        labels = list(dict.fromkeys(names.values()))
        of_code = np.array([labels.index(names[code]) for code in codes.tolist()], dtype=int)
        index[known] = of_code[inverse.ravel()]
    return labels, index[: len(predictions)], index[len(predictions) :]


def _code_names(codes: np.ndarray, path: str) -> dict[float, str]:
    if (codes != np.floor(codes)).any() or len(codes) > _MOST_CLASSES:
        example = codes[(codes != np.floor(codes)).argmax()] if len(codes) else 0
        raise ValueError(
            f"{path}: holds values such as {example:g}, which look like a quantity, not codes of "
            "classes; part them with threshold=, or choose kind='quantity'"
        )
    return {code: f"{code:.0f}" for code in codes.tolist()}


# --- figures out --------------------------------------------------------------------------------


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion.

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (158), 1927, pp. 209-212.
    """
    z = NormalDist().inv_cdf(0.975)
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    # rounding must not push the ends past what they are exactly
    return (centre - half if hits else 0.0), (centre + half if hits < n else 1.0)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    pandas ranks, which `datasets` brings along; scipy would be one more library for this alone.

    Parameters
    ----------
    a, b : ndarray of shape (n,)

    Returns
    -------
    float
        -1 to 1; NaN where one side is constant.

    References
    ----------
    C. Spearman, "The proof and measurement of association between two things", The American
    Journal of Psychology 15 (1), 1904, pp. 72-101.
    """
    first, second = (pd.Series(side).rank().to_numpy(dtype=np.float64) for side in (a, b))
    if any(side.size == 0 or side.min() == side.max() for side in (first, second)):
        return math.nan
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1, 1))


def agreement(labels: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Figures of classes.

    Parameters
    ----------
    labels : sequence of str
    predicted, true : ndarray of int, shape (n,)
        Index of `labels`; a prediction of -1, one without a value, is wrong.

    Returns
    -------
    dict
        See `GeoAttributes.compute`. A class that no reference has is without a recall (NaN), and
        one that is never predicted without a precision.
    """
    k, n = len(labels), len(true)
    answered = predicted >= 0
    pairs = true[answered] * k + predicted[answered]
    confusion = np.bincount(pairs, minlength=k * k).reshape(k, k)
    support, guessed = np.bincount(true, minlength=k), confusion.sum(axis=0)
    hits = np.diag(confusion)
    with np.errstate(invalid="ignore"):
        recall, precision = hits / support, hits / guessed
    return {
        "accuracy": float(hits.sum() / n),
        "accuracy_ci95": wilson_interval(int(hits.sum()), n),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "labels": list(labels),
        "confusion_matrix": confusion.tolist(),
        "per_class": {
            label: {
                "n": int(support[i]),
                "recall": float(recall[i]),
                "precision": float(precision[i]),
            }
            for i, label in enumerate(labels)
        },
    }


def errors(predictions: np.ndarray, references: np.ndarray, log: bool) -> dict[str, Any]:
    """Figures of quantities, in the raster's unit.

    Parameters
    ----------
    predictions, references : ndarray of shape (n,)
        Without gaps.
    log : bool
        Also compare log10(1 + value), so that a factor counts the same at any size.

    Returns
    -------
    dict
        See `GeoAttributes.compute`; NaN where n is 0.

    Raises
    ------
    ValueError
        If a logarithm is asked for and there are negative values.
    """
    difference = predictions - references
    result = {
        "mean_absolute_error": _mean(np.abs(difference)),
        "median_absolute_error": _median(np.abs(difference)),
        "mean_error": _mean(difference),
        "spearman": spearman(predictions, references),
    }
    if log:
        least = min(predictions.min(initial=0), references.min(initial=0))
        if least < 0:
            raise ValueError(
                f"log= needs values of 0 or more, and there is {least:g}; if that means none, give "
                "it as nodata="
            )
        decades = np.abs(np.log10(1 + predictions) - np.log10(1 + references))
        result["mean_absolute_error_log10"] = _mean(decades)
        result["median_absolute_error_log10"] = _median(decades)
    return result


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else math.nan


# --- from places to figures ---------------------------------------------------------------------

KINDS = ("classes", "quantity", "gradient")


class Options(NamedTuple):
    """What to compute."""

    kind: str
    classes: Classes
    log: bool
    missing: str
    return_values: bool


def make_options(
    kind: Any, classes: Any, threshold: Any, log: bool, missing: str, return_values: bool
) -> Options:
    """Check options, as in `GeoAttributes.compute`, against each other.

    Raises
    ------
    ValueError
        For an unknown kind, or options that do not belong to it.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, not {kind!r}")
    if missing not in ("error", "miss"):
        raise ValueError(f"missing must be one of 'error', 'miss', not {missing!r}")
    if kind != "classes" and not (classes is None and threshold is None):
        raise ValueError(f"classes and threshold belong to kind='classes', not to {kind!r}")
    if kind == "classes" and log:
        raise ValueError("log belongs to kind='quantity' and kind='gradient'")
    made = make_classes(classes, threshold) if kind == "classes" else Classes()
    return Options(kind, made, bool(log), missing, bool(return_values))


def score(
    predictions: np.ndarray, references: np.ndarray, raster: Raster, options: Options
) -> dict[str, Any]:
    """Look up both sides, count what has no value, and compare the rest.

    Parameters
    ----------
    predictions, references : ndarray of shape (n, 2)
        Degrees; a row of `predictions` with NaN is a missing one.
    raster : Raster
    options : Options

    Returns
    -------
    dict
        See `GeoAttributes.compute`.

    Raises
    ------
    ValueError
        If no reference has a value.
    """
    measure = raster.gradients if options.kind == "gradient" else raster.values
    values, inside = measure(np.concatenate([predictions, references]))
    (guess, truth), (guess_inside, truth_inside) = np.split(values, 2), np.split(inside, 2)
    known, answered = ~np.isnan(truth), ~np.isnan(predictions).any(axis=1)
    counts = {
        "n_references_outside": ~truth_inside,
        "n_references_nodata": truth_inside & ~known,
        "n_predictions_outside": known & answered & ~guess_inside,
        "n_predictions_nodata": known & guess_inside & np.isnan(guess),
        "n_missing": known & ~answered,
    }
    counted = {name: int(np.count_nonzero(rows)) for name, rows in counts.items()}
    if not known.any():
        raise ValueError(
            f"{raster.path}: none of the {len(truth)} references has a value there: "
            f"{counted['n_references_outside']} are outside of the raster ({raster.extent}), "
            f"{counted['n_references_nodata']} in cells without one"
        )
    if options.kind == "classes":
        labels, predicted, true = classify(guess[known], truth[known], options.classes, raster.path)
        result = agreement(labels, predicted, true)
        result["n"] = int(known.sum())
    else:
        both = known & ~np.isnan(guess)
        result = errors(guess[both], truth[both], options.log)
        result["n"] = int(both.sum())
    result |= counted
    if options.return_values:
        result |= {"prediction_values": guess, "reference_values": truth}
    return result


# --- the metric ---------------------------------------------------------------------------------


class GeoAttributes(evaluate.Metric):
    """Agreement of predicted and true places on a raster map.

    Rows may also be added before, with `add` and `add_batch`. They are kept in memory until a
    `compute` succeeds, so that a wrong option costs nothing.

    Parameters
    ----------
    config_name : str, optional
        Not used; there is one configuration.
    **kwargs
        As of any `evaluate.Metric`, but `num_process`: gather coordinates in one process.
    """

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        if kwargs.get("num_process", 1) != 1:
            raise ValueError("geo_attributes scores in one process: gather the coordinates there")
        super().__init__(config_name=config_name, **kwargs)
        self._added: list[tuple[np.ndarray, np.ndarray]] = []

    def _info(self) -> evaluate.MetricInfo:
        pair = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": pair, "references": pair}),
            reference_urls=["http://graphics.cs.cmu.edu/projects/im2gps/"],
        )

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        raster: str | os.PathLike | None = None,
        kind: str | None = None,
        band: int = 1,
        classes: Any = None,
        threshold: Any = None,
        log: bool = False,
        nodata: Any = None,
        fill_value: float | None = None,
        missing: str = "error",
        return_values: bool = False,
        **unknown: Any,
    ) -> dict[str, Any]:
        """Score predictions, given here or added before.

        Raises
        ------
        ValueError
            For coordinates, a raster or options that cannot be used; a bad row is named.
        TypeError
            For an option that there is not, with the one that was meant.
        ImportError
            If rasterio is not installed.
        """
        _refuse_unknown(unknown, GeoAttributes.compute.__kwdefaults__ or ())
        options = make_options(kind, classes, threshold, log, missing, return_values)
        if raster is None:
            raise ValueError(
                "raster is the path of the map to look values up in, such as a GeoTIFF"
            )
        rows = list(self._added)
        if predictions is not None or references is not None:
            rows.append(_pair_up(predictions, references))
        if not rows:
            raise ValueError("nothing to score: pass predictions and references, or add some")
        sides = [np.concatenate(side) for side in zip(*rows, strict=True)]
        check_coordinates(sides[0], sides[1], missing)
        scaled = kind != "classes" or threshold is not None  # codes are no quantity
        with Raster(raster, band, nodata, fill_value, scaled) as opened:
            result = self._compute(sides[0], sides[1], opened, options)
        self._added = []
        return result

    def _compute(
        self, predictions: Any, references: Any, raster: Raster, options: Options
    ) -> dict[str, Any]:
        return score(predictions, references, raster, options)

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add rows to be scored later; nothing is added if one of them is bad."""
        rows = _pair_up(predictions, references)
        check_coordinates(*rows, "miss")
        self._added.append(rows)

    def add(self, *, prediction: Any = None, reference: Any = None) -> None:
        """Add one row to be scored later; a prediction of None is a missing one."""
        self.add_batch(predictions=[prediction], references=[reference])


def _refuse_unknown(unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in unknown:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known)}"
        raise TypeError(f"compute has no option {name!r}; {hint}")


def _pair_up(predictions: Any, references: Any) -> tuple[np.ndarray, np.ndarray]:
    sides = as_coordinates(predictions, "predictions"), as_coordinates(references, "references")
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            "predictions and references must have the same length: predictions has "
            f"{len(sides[0])} rows, references has {len(sides[1])}"
        )
    return sides
