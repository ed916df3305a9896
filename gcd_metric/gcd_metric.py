"""The metric, in one file: coordinates in, great-circle distances once, figures from those.

Not here: reading tables (tables.py), paired comparison (comparison.py), drawing (report.py). The
Hub loads this file alone, so it imports nothing of its neighbours.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import numbers
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from statistics import NormalDist
from typing import Any, NamedTuple

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """\
Scores image geolocation: the share of predictions within a great-circle distance of the truth, \
for each threshold with its 95 % Wilson interval, the mean and median error, and the GeoScore.
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
    thresholds: distances in `unit` at which to count hits. Default: the configuration's.
    unit: "km" or "m". Default: the configuration's.
    earth_radius: radius of the sphere in kilometres, whatever `unit` is. Default: the
        configuration's.
    method: "haversine" on the sphere, or "geodesic" on the WGS 84 ellipsoid (needs pyproj).
    missing: "error", or "miss" to count a prediction of None or NaN as wrong everywhere.
    return_distances: also return the distance of each pair.

Returns:
    `acc@200km` … (fractions 0 to 1), `acc@200km_ci95` … (low, high), `mean_km`, `median_km`,
    `geoscore` (0 to 5000), `n`; with metres `acc@40m` …, `mean_m`, `median_m`; with
    missing="miss" `n_missing`; with return_distances `distances_km` or `distances_m`.

Examples:
    >>> import evaluate
    >>> metric = evaluate.load("gcd_metric")
    >>> result = metric.compute(predictions=[[48.86, 2.35]], references=[[51.51, -0.13]])
    >>> round(result["median_km"], 1), result["acc@200km"], result["acc@750km"]
    (343.5, 0.0, 1.0)
"""


class Configuration(NamedTuple):
    """How one benchmark measures: thresholds in `unit`, the sphere's radius in kilometres."""

    thresholds: tuple[float, ...]
    unit: str = "km"
    earth_radius: float = 6371.0


CONFIGURATIONS = {
    "im2gps": Configuration((200, 750, 2500)),
    "standard": Configuration((1, 25, 200, 750, 2500)),
    "justzoomin": Configuration((40, 50, 100), "m", 6378.137),
}
GEOSCORE_MAX = 5000.0
GEOSCORE_SCALE_KM = 1492.7

_PER_KM = {"km": 1.0, "m": 1000.0}
_NAMES = {"latitude": ("latitude", "lat"), "longitude": ("longitude", "lon", "lng", "long")}
_SWAPPED_WITHIN_KM = 500
_LARGEST_RADIUS_KM = 100_000
_SAMPLE = 256  # rows that settle most questions about all of them
_CHUNK = 16_384  # rows; the kernel's six buffers then stay in a core's cache
_HALF_RADIAN = math.pi / 360
_NEARLY_ANTIPODAL = 0.99  # of the haversine; arcsin loses digits towards 1


# --- coordinates in -----------------------------------------------------------------------------


def as_coordinates(values: Any, name: str = "coordinates") -> np.ndarray:
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
        NaN where a value was None. An array that has this form already is not copied.

    Raises
    ------
    ValueError
        If a row is not a pair of numbers; the range is not looked at.
    """
    if values is None:
        raise ValueError(f"{name}: none were given")
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got text")
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    names = _column_names(values)
    if names is None and hasattr(values, "select_columns") and values.column_names:
        # photos beside the coordinates need not be decoded
        values = values.select_columns(list(_find(values.column_names, name)))
    if names is not None:
        return _from_columns(values, names, name)
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    if not hasattr(values, "iloc") and hasattr(values, "__array__"):
        values = np.asarray(values)
        if values.dtype.kind in "fiu":
            return _checked_shape(values.astype(np.float64, copy=False), name)
        values = values.tolist()
    if not isinstance(values, Iterable):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got {values!r}")
    return _from_rows(values if isinstance(values, (list, tuple)) else list(values), name)


def _column_names(values: Any) -> list[Any] | None:
    if isinstance(values, Mapping):
        return list(values)
    # a Dataset; one that streams knows its columns too, but only its rows can be had
    names = getattr(values, "column_names", None) if hasattr(values, "__len__") else None
    if names is None and getattr(values, "ndim", 0) == 2:
        names = getattr(values, "columns", None)  # a data frame
    return None if names is None else list(names)


def _find(names: Iterable[Any], name: str) -> tuple[Any, Any]:
    by_lower = {str(key).strip().lower(): key for key in names}
    keys = [
        next((by_lower[usual] for usual in aliases if usual in by_lower), None)
        for aliases in _NAMES.values()
    ]
    if None in keys:
        raise ValueError(
            f"{name}: found no 'latitude' and 'longitude' among {list(by_lower.values())}; "
            "rename the columns, or pass an array of shape (n, 2)"
        )
    return keys[0], keys[1]


def _from_columns(values: Any, names: list[Any], name: str) -> np.ndarray:
    if len(names) == 2 and not any(isinstance(key, str) for key in names):
        keys = (names[0], names[1])  # an unnamed frame: as an array
    else:
        keys = _find(names, name)
    columns = [_as_column(values[key][:], f"{name}, column {key!r}") for key in keys]
    if len(columns[0]) != len(columns[1]):
        raise ValueError(f"{name}: {len(columns[0])} latitudes and {len(columns[1])} longitudes")
    return np.column_stack(columns)


def _as_column(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one value a row, got shape {array.shape}")
    if array.dtype.kind in "fiu":
        return array
    return np.fromiter((_number(value, name, row) for row, value in enumerate(array)), np.float64)


def _checked_shape(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 2:
        return array
    if array.size == 0:
        return np.empty((0, 2))
    hint = ""
    if array.shape == (2,):
        hint = "; for a single pair pass [pair]"
    elif array.ndim == 2 and array.shape[0] == 2:
        hint = "; did you mean its transpose?"
    raise ValueError(
        f"{name}: expected shape (n, 2), latitude and longitude, got {array.shape}{hint}"
    )


def _from_rows(rows: list[Any] | tuple[Any, ...], name: str) -> np.ndarray:
    plain = set(map(type, rows)) <= {list, tuple} and set(map(len, rows)) <= {2}
    if plain and all(map(_is_number_type, set(map(type, chain.from_iterable(rows))))):
        with contextlib.suppress(OverflowError):
            flat = np.fromiter(chain.from_iterable(rows), np.float64, 2 * len(rows))
            return flat.reshape(-1, 2)
    out = np.empty((len(rows), 2))
    for index, row in enumerate(rows):
        out[index] = _pair(row, name, index)
    return out


def _pair(row: Any, name: str, index: int) -> tuple[float, float]:
    if _is_nothing(row):
        return (math.nan, math.nan)
    if hasattr(row, "keys"):
        latitude, longitude = _find(row.keys(), f"{name}, row {index}")
        row = (row[latitude], row[longitude])
    elif hasattr(row, "tolist"):
        row = row.tolist()
    if not isinstance(row, (list, tuple)) or len(row) != 2:
        what = f"{len(row)} values" if isinstance(row, (list, tuple)) else repr(row)
        raise ValueError(f"{name}: row {index} is not a pair (latitude, longitude) but {what}")
    return _number(row[0], name, index), _number(row[1], name, index)


def _number(value: Any, name: str, index: int) -> float:
    if _is_nothing(value):
        return math.nan
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (str, bytes, bool)):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return float(value)
    raise ValueError(f"{name}: row {index} holds {value!r}, which is not a number of degrees")


def _is_nothing(value: Any) -> bool:
    # pandas.NA and NaT have no common ancestor with NaN, and pandas need not be loaded here
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _is_number_type(kind: type) -> bool:
    return issubclass(kind, numbers.Real) and kind is not bool


# --- what cannot be scored ----------------------------------------------------------------------


def check_coordinates(predictions: np.ndarray, references: np.ndarray, missing: str) -> None:
    """Refuse coordinates that cannot be scored.

    Parameters
    ----------
    predictions, references : ndarray of shape (n, 2)
        Degrees. A row of `predictions` with NaN is a missing one.
    missing : {"error", "miss"}
        Whether a missing prediction is refused.

    Raises
    ------
    ValueError
        Names the first offending row, how many there are, and the likely cause.
    """
    if len(predictions) != len(references):
        raise ValueError(
            f"predictions and references must have the same length: predictions has "
            f"{len(predictions)} rows, references has {len(references)}"
        )
    if not len(references):
        raise ValueError("predictions and references are empty: there is nothing to score")
    _check_range(predictions, "predictions", missing == "miss")
    _check_range(references, "references", False)
    _check_radians(predictions, references)
    _check_swapped(predictions, references)


def _check_range(array: np.ndarray, name: str, may_miss: bool) -> None:
    limits = np.tile((90.0, 180.0), (min(_CHUNK, len(array)), 1))
    for start in range(0, len(array), _CHUNK):
        chunk = array[start : start + _CHUNK]
        if not (np.abs(chunk) <= limits[: len(chunk)]).all():
            break
    else:
        return
    bad = ~(np.abs(array) <= (90, 180)).all(axis=1)
    if may_miss:
        bad &= ~np.isnan(array).any(axis=1)
    if bad.any():
        raise ValueError(_explain(array, bad, name))


def _explain(array: np.ndarray, bad: np.ndarray, name: str) -> str:
    first = int(bad.argmax())
    latitude, longitude = array[first].tolist()
    rows = array[~np.isnan(array).any(axis=1)]
    if math.isnan(latitude) or math.isnan(longitude):
        fault = "is missing (None or NaN)"
        cause = (
            "a model that gave no answer; missing='miss' counts it as wrong"
            if name == "predictions"
            else "a photo without ground truth; leave it out on both sides"
        )
    else:
        if math.isinf(latitude) or math.isinf(longitude):
            fault = "is infinite"
        elif abs(latitude) > 90:
            fault = "has a latitude beyond 90 degrees"
        else:
            fault = "has a longitude beyond 180 degrees"
        if (np.abs(rows[:, ::-1]) <= (90, 180)).all():
            cause = "swapped columns; pairs are (latitude, longitude)"
        elif not np.isfinite(rows).all():
            cause = "a division by zero or an overflow in the model"
        elif (np.abs(np.radians(rows)) <= (90, 180)).all():
            cause = "swapped columns, or radians converted to degrees twice"
        else:
            cause = "swapped columns, or numbers that are not degrees (radians, metres, pixels)"
    return (
        f"{name}: row {first} {fault}: ({latitude}, {longitude}); "
        f"{int(bad.sum())} of {len(array)} rows are bad. Likely cause: {cause}."
    )


def _check_radians(predictions: np.ndarray, references: np.ndarray) -> None:
    """Refuse one side in radians: those are all in range, so only the other side can tell."""
    inside = _fits_radians(predictions), _fits_radians(references)
    if inside[0] == inside[1]:
        return
    name, array, other = (
        ("predictions", predictions, references)
        if inside[0]
        else ("references", references, predictions)
    )
    before, after = haversine(array, other), haversine(np.degrees(array), other)
    answered = ~np.isnan(before)
    if answered.sum() < 3:  # fewer can be chance
        return
    if np.median(after[answered]) < np.median(before[answered]) / 2:
        raise ValueError(
            f"{name}: row 0 is {tuple(array[0].tolist())}; all {len(array)} of {len(array)} rows "
            "lie within ±pi/2 and ±pi, and taken as radians they are far closer to the other "
            "side. Likely cause: radians; pass degrees."
        )


def _check_swapped(predictions: np.ndarray, references: np.ndarray) -> None:
    """Refuse one side with its columns swapped where both orders are in range, as in Europe."""
    if (np.abs(predictions[:_SAMPLE, 1]) > 90).any():
        return
    both = np.flatnonzero(~np.isnan(predictions).any(axis=1))
    for rows in (both[:_SAMPLE], both):  # nearly every input is settled by the sample
        here, there = predictions[rows], references[rows]
        if len(rows) < 3 or (np.abs(here[:, 1]) > 90).any():  # fewer can be chance
            return
        before, after = (
            np.median(haversine(here, there)),
            np.median(haversine(here[:, ::-1], there)),
        )
        if not (after < before / 10 and after < _SWAPPED_WITHIN_KM):
            return
    raise ValueError(
        f"predictions: row {rows[0]} is {tuple(here[0].tolist())} and its reference "
        f"{tuple(there[0].tolist())}; with latitude and longitude exchanged on one side the "
        f"median error of {len(rows)} rows falls from {before:,.0f} to {after:,.0f} km. Likely "
        "cause: swapped columns on one side; pairs are (latitude, longitude)."
    )


def _fits_radians(array: np.ndarray) -> bool:
    limits = (math.pi / 2, math.pi)
    # the first rows settle it for nearly every input; all NaN is not radians
    if (np.abs(array[:_SAMPLE]) > limits).any():
        return False
    return not (np.abs(array) > limits).any() and not np.isnan(array).any(axis=1).all()


# --- distances ----------------------------------------------------------------------------------


def haversine(a: Any, b: Any, earth_radius: float = 6371.0) -> np.ndarray:
    """Great-circle distance of each pair of points on a sphere.

    Accurate to rounding from identical to antipodal points, at the poles and across the
    antimeridian, because no step subtracts nearly equal numbers.

    Parameters
    ----------
    a, b : coordinates of shape (n, 2)
        Latitude and longitude in decimal degrees.
    earth_radius : float
        Radius of the sphere; the distances come in its unit (6371.0: kilometres).

    Returns
    -------
    ndarray of shape (n,), float64
        NaN where a coordinate is.

    References
    ----------
    R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (2), 1984, p. 159.
    """
    a, b = as_coordinates(a, "a"), as_coordinates(b, "b")
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} rows, b has {len(b)}")
    out = np.empty(len(a))
    buffers = np.empty((3, min(_CHUNK, len(a))))
    for start in range(0, len(a), _CHUNK):
        rows = slice(start, start + _CHUNK)
        _haversine_chunk(a[rows], b[rows], out[rows], buffers[:, : len(out[rows])])
        out[rows] *= 2 * earth_radius
    return out


def _haversine_chunk(a: np.ndarray, b: np.ndarray, out: np.ndarray, buffers: np.ndarray) -> None:
    """Half the angle between points, in radians, into `out`.

    With u = sin²(Δφ/2), v = sin²(Δλ/2) and c = cos² of the mean latitude, the haversine is
    u + v (c - u): one sine fewer than in the usual form, and c is an exact 0 at a pole.
    """
    c, u, v = buffers
    np.subtract(a[:, 1], b[:, 1], out=v)
    np.abs(v, out=v)
    np.subtract(360.0, v, out=c)
    np.minimum(v, c, out=v)  # in degrees, so that +180 and -180 are the same exactly
    _square_sine(v)
    np.subtract(a[:, 0], b[:, 0], out=u)
    _square_sine(u)
    np.add(a[:, 0], b[:, 0], out=c)
    np.abs(c, out=c)
    np.subtract(180.0, c, out=c)
    _square_sine(c)
    np.subtract(c, u, out=c)
    c *= v
    c += u
    np.minimum(c, 1.0, out=c)
    far = np.flatnonzero(c > _NEARLY_ANTIPODAL)
    np.sqrt(c, out=out)
    np.arcsin(out, out=out)
    if far.size:
        out[far] = _half_angle(a[far], b[far])


def _square_sine(degrees: np.ndarray) -> None:
    """Replace x by sin²(x / 2)."""
    degrees *= _HALF_RADIAN
    np.sin(degrees, out=degrees)
    np.square(degrees, out=degrees)


def _half_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Half the angle by the arctangent of both legs: slower, and exact to the antipode."""
    along = np.abs(a[:, 1] - b[:, 1])
    along = np.minimum(along, 360.0 - along)
    apart, total = np.abs(a[:, 0] - b[:, 0]), np.abs(a[:, 0] + b[:, 0])
    (sin_l, cos_l), (sin_d, cos_d), (sin_m, cos_m) = (
        (np.sin(x * _HALF_RADIAN) ** 2, np.sin((180.0 - x) * _HALF_RADIAN) ** 2)
        for x in (along, apart, total)
    )
    near = sin_d * cos_l + sin_l * cos_m
    far = cos_d * cos_l + sin_l * sin_m
    return np.arctan2(np.sqrt(near), np.sqrt(far))


def geodesic(a: Any, b: Any) -> np.ndarray:
    """Length of the shortest path on the WGS 84 ellipsoid, for each pair of points.

    Parameters
    ----------
    a, b : coordinates of shape (n, 2)
        Latitude and longitude in decimal degrees.

    Returns
    -------
    ndarray of shape (n,), float64
        Metres; NaN where a coordinate is.

    Raises
    ------
    ImportError
        If pyproj is not installed.

    References
    ----------
    C. F. F. Karney, "Algorithms for geodesics", Journal of Geodesy 87 (1), 2013, pp. 43-55.
    """
    ellipsoid = _ellipsoid()
    a, b = as_coordinates(a, "a"), as_coordinates(b, "b")
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} rows, b has {len(b)}")
    out = np.full(len(a), np.nan)
    for start in range(0, len(a), _CHUNK):
        rows = slice(start, start + _CHUNK)
        here = ~np.isnan(a[rows]).any(axis=1) & ~np.isnan(b[rows]).any(axis=1)
        (lat1, lon1), (lat2, lon2) = a[rows][here].T.copy(), b[rows][here].T.copy()
        out[rows][here] = ellipsoid.inv(lon1, lat1, lon2, lat2)[2]
    return out


def _ellipsoid() -> Any:
    try:
        from pyproj import Geod
    except ImportError:
        raise ImportError(
            "method='geodesic' needs pyproj: pip install 'im2gps-justzoomin[geodesic]'"
        ) from None
    return Geod(ellps="WGS84")


# --- figures out --------------------------------------------------------------------------------


class Options(NamedTuple):
    """What to compute; `thresholds` in `unit`, `earth_radius` in kilometres."""

    thresholds: tuple[float, ...]
    unit: str
    earth_radius: float
    method: str
    missing: str


def make_options(
    config_name: str = "im2gps",
    thresholds: Any = None,
    unit: str | None = None,
    earth_radius: float | None = None,
    method: str = "haversine",
    missing: str = "error",
) -> Options:
    """Fill in what a configuration says and check the rest.

    Parameters
    ----------
    config_name : str
        A key of `CONFIGURATIONS`.
    thresholds, unit, earth_radius, method, missing
        As in `GcdMetric.compute`; None stands for the configuration's.

    Returns
    -------
    Options

    Raises
    ------
    ValueError
        For an unknown name or unit, or a threshold or radius that is not positive.
    ImportError
        If the method needs a library that is not installed.
    """
    configuration = get_configuration(config_name)
    _check_choice("unit", unit, (None, *_PER_KM))
    _check_choice("method", method, ("haversine", "geodesic"))
    _check_choice("missing", missing, ("error", "miss"))
    if method == "geodesic":
        if earth_radius is not None:
            raise ValueError("earth_radius is of the sphere; method='geodesic' uses WGS 84")
        _ellipsoid()
    unit = unit or configuration.unit
    if thresholds is None:
        scale = _PER_KM[unit] / _PER_KM[configuration.unit]
        thresholds = [threshold * scale for threshold in configuration.thresholds]
    radius = configuration.earth_radius if earth_radius is None else earth_radius
    (radius,) = _positive("earth_radius", radius)
    if radius > _LARGEST_RADIUS_KM:
        raise ValueError(f"earth_radius is in kilometres; {radius:.15g} looks like metres")
    return Options(
        _positive("thresholds", thresholds),
        unit,
        radius,
        method,
        missing,
    )


def get_configuration(config_name: str) -> Configuration:
    """Look a configuration up; an unknown name is a ValueError that lists the known ones."""
    if config_name not in CONFIGURATIONS:
        raise ValueError(
            f"unknown configuration {config_name!r}; there are {', '.join(CONFIGURATIONS)}"
        )
    return CONFIGURATIONS[config_name]


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if not any(value is choice or value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _positive(name: str, values: Any) -> tuple[float, ...]:
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be positive numbers, not {values!r}") from None
    good = (array > 0) & np.isfinite(array)
    if array.ndim != 1 or not array.size or not good.all():
        raise ValueError(f"{name} must be positive and finite, not {values!r}")
    return tuple(array.tolist())


def label(threshold: float, unit: str) -> str:
    """The key of an accuracy: acc@200km, acc@0.5km, acc@40m."""
    return f"acc@{threshold:.15g}{unit}"


def distances(predictions: np.ndarray, references: np.ndarray, options: Options) -> np.ndarray:
    """Distance of each pair by the method and in the unit of `options`; NaN where missing."""
    if options.method == "geodesic":
        return geodesic(predictions, references) * (_PER_KM[options.unit] / _PER_KM["m"])
    return haversine(predictions, references, options.earth_radius * _PER_KM[options.unit])


def wilson_interval(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    hits, n : int
        Successes and trials; n is at least 1.
    confidence : float
        Coverage, between 0 and 1.

    Returns
    -------
    (low, high) : tuple of float
        Fractions between 0 and 1.

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (158), 1927, pp. 209-212.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = hits / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # rounding must not push the ends past what they are exactly
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high


def summarise(measured: np.ndarray, options: Options) -> dict[str, Any]:
    """Every figure, from the distances.

    Parameters
    ----------
    measured : ndarray of shape (n,)
        Distances in the unit of `options`; NaN is a missing prediction.
    options : Options

    Returns
    -------
    dict
        See `GcdMetric.compute`.
    """
    n, unit = len(measured), options.unit
    unanswered = np.isnan(measured)
    n_missing = int(np.count_nonzero(unanswered))
    answered = measured[~unanswered] if n_missing else measured
    result: dict[str, Any] = {}
    for threshold in options.thresholds:
        hits = int(np.count_nonzero(answered <= threshold))
        key = label(threshold, unit)
        result[key] = hits / n
        result[f"{key}_ci95"] = wilson_interval(hits, n)
    result[f"mean_{unit}"] = float(answered.mean()) if answered.size else math.nan
    result[f"median_{unit}"] = float(np.median(answered)) if answered.size else math.nan
    decay = answered * (-1 / (GEOSCORE_SCALE_KM * _PER_KM[unit]))
    result["geoscore"] = GEOSCORE_MAX * float(np.exp(decay, out=decay).sum()) / n
    result["n"] = n
    if options.missing == "miss":
        result["n_missing"] = n_missing
    return result


def score(predictions: Any, references: Any, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Check coordinates, measure and summarise: the figures, and the distance of each pair."""
    predictions = as_coordinates(predictions, "predictions")
    references = as_coordinates(references, "references")
    check_coordinates(predictions, references, options.missing)
    measured = distances(predictions, references, options)
    return summarise(measured, options), measured


# --- the metric ---------------------------------------------------------------------------------


class GcdMetric(evaluate.Metric):
    """Great-circle distance metric for image geolocation.

    Parameters
    ----------
    config_name : {"im2gps", "standard", "justzoomin"}
        Thresholds, unit and radius: 200, 750, 2500 km; 1, 25, 200, 750, 2500 km; both with
        R = 6371 km; or 40, 50, 100 m with R = 6378.137 km.
    **kwargs
        As of any `evaluate.Metric`.
    """

    # of the base class, which does not say their types
    writer: Any
    filelock: Any
    rendez_vous_lock: Any
    cache_file_name: Any

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(config_name=config_name or "im2gps", **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        get_configuration(self.config_name)
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
        thresholds: Any = None,
        unit: str | None = None,
        earth_radius: float | None = None,
        method: str = "haversine",
        missing: str = "error",
        return_distances: bool = False,
        **unknown: Any,
    ) -> dict[str, Any] | None:
        """Score predictions, given here or added before.

        Rows added before are kept when an option is wrong, and dropped when they turn out to
        hold missing predictions that were not allowed. An option that there is not is a
        TypeError, with the one that was meant.
        """
        _refuse_unknown(unknown, GcdMetric.compute.__kwdefaults__ or ())
        asked = (thresholds, unit, earth_radius, method, missing)
        options = make_options(self.config_name, *asked)
        given = predictions is not None or references is not None
        if given and self.num_process == 1 and self.writer is None:
            return _report(predictions, references, options, return_distances)
        if given:
            self.add_batch(predictions=predictions, references=references)
        elif self.num_process == 1 and self.writer is None:
            raise ValueError("nothing to score: pass predictions and references, or add some")
        try:
            result = super().compute(options=options, return_distances=return_distances)
        except BaseException:
            self._discard()
            raise
        self.filelocks = self.file_paths = None  # released and deleted by now
        return result

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add rows to be scored later; nothing is added if one of them is bad."""
        predictions = as_coordinates(predictions, "predictions")
        references = as_coordinates(references, "references")
        check_coordinates(predictions, references, "miss")
        # lists: the writer walks through every row, and arrays are slower there
        rows = {"predictions": predictions.tolist(), "references": references.tolist()}
        self._guarded(super().add_batch, **rows)

    def add(self, *, prediction: Any = None, reference: Any = None) -> None:
        """Add one row to be scored later; a prediction of None is a missing one."""
        predictions = as_coordinates([prediction], "predictions")
        references = as_coordinates([reference], "references")
        check_coordinates(predictions, references, "miss")
        row = {"prediction": predictions[0].tolist(), "reference": references[0].tolist()}
        self._guarded(super().add, **row)

    def _guarded(self, write: Any, **rows: list[Any]) -> None:
        try:
            write(**rows)
        except BaseException:
            self._discard()
            raise

    def _compute(
        self, predictions: Any, references: Any, options: Options, return_distances: bool
    ) -> dict[str, Any]:
        return _report(predictions, references, options, return_distances)

    def _discard(self) -> None:
        """Drop what was added, with its files and locks, so that the object can start anew."""
        writer, self.writer, self.buf_writer, self.data = self.writer, None, None, None
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.close()
        locks = [*(self.filelocks or ()), self.filelock]
        paths = [*(self.file_paths or ()), self.cache_file_name]
        for lock, path in zip(locks, paths, strict=True):
            if lock is not None and lock.is_locked:
                with contextlib.suppress(OSError):
                    os.remove(path)
                lock.release()
        if self.rendez_vous_lock is not None:
            self.rendez_vous_lock.release()
        self.filelock = self.filelocks = self.file_paths = self.cache_file_name = None
        self.rendez_vous_lock = self.selected_feature_format = None


def _refuse_unknown(unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in unknown:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known)}"
        raise TypeError(f"compute has no option {name!r}; {hint}")


def _report(
    predictions: Any, references: Any, options: Options, return_distances: bool
) -> dict[str, Any]:
    result, measured = score(predictions, references, options)
    if return_distances:
        result[f"distances_{options.unit}"] = measured
    return result
