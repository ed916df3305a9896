"""Which figures are computed, and how they follow from the distances."""

from __future__ import annotations

import math
import reprlib
import warnings
from typing import Any, NamedTuple

import numpy as np

from .checks import examine
from .coordinates import Given
from .distances import geodesic, haversine, wgs84
from .intervals import wilson_interval
from .pairs import pair


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
_LARGEST_RADIUS_KM = 100_000


class Options(NamedTuple):
    """What to compute; `thresholds` in `unit`, `earth_radius` in kilometres."""

    thresholds: tuple[float, ...]
    unit: str
    earth_radius: float
    method: str
    missing: str


def make_options(
    config_name: str = "standard",
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
        wgs84()
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
        known = ", ".join(CONFIGURATIONS)
        raise ValueError(f"unknown configuration {reprlib.repr(config_name)}; there are {known}")
    return CONFIGURATIONS[config_name]


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if not any(value is choice or value == choice for choice in choices):
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}, not {reprlib.repr(value)}"
        )


def _positive(name: str, values: Any) -> tuple[float, ...]:
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be positive numbers, not {reprlib.repr(values)}") from None
    good = (array > 0) & np.isfinite(array)
    if array.ndim != 1 or not array.size or not good.all():
        raise ValueError(f"{name} must be positive and finite, not {reprlib.repr(values)}")
    return tuple(array.tolist())


def label(threshold: float, unit: str) -> str:
    """The key of an accuracy: acc@200km, acc@0.5km, acc@40m."""
    return f"acc@{threshold:.15g}{unit}"


def measure(predictions: np.ndarray, references: np.ndarray, options: Options) -> np.ndarray:
    """Distance of each pair by the method and in the unit of `options`; NaN where missing."""
    if options.method == "geodesic":
        return geodesic(predictions, references) * (_PER_KM[options.unit] / _PER_KM["m"])
    return haversine(predictions, references, options.earth_radius * _PER_KM[options.unit])


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
    """Pair, check, measure and summarise.

    Parameters
    ----------
    predictions, references : coordinates of shape (n, 2)
        In any form that `as_coordinates` takes.
    options : Options

    Returns
    -------
    (figures, measured) : dict and ndarray of shape (n,)
        What `summarise` says, and the distance of each pair in the order of the references.

    Raises
    ------
    ValueError
        For coordinates that cannot be scored; what is doubtful is a UserWarning.
    """
    return score_pairs(*pair(predictions, references, ("predictions", "references")), options)


def score_pairs(
    predictions: Given, references: Given, options: Options
) -> tuple[dict[str, Any], np.ndarray]:
    """Check, measure and summarise rows that are paired, as `score` does."""
    checked = examine(predictions, references, options.missing, finest_km(options))
    for note in checked.notes:
        warnings.warn(note, stacklevel=4)
    measured = measure(checked.predictions, checked.references, options)
    return summarise(measured, options), measured


def finest_km(options: Options) -> float:
    """The smallest threshold, in kilometres."""
    return min(options.thresholds) / _PER_KM[options.unit]
