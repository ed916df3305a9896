"""Checks the options of a score: thresholds, unit, radius, method and missing predictions."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Configuration(NamedTuple):
    """How a benchmark measures: thresholds in `unit`, the radius of the sphere in kilometres."""

    thresholds: tuple[float, ...]
    unit: str = "km"
    earth_radius: float = 6371.0


CONFIGURATIONS = {
    "im2gps": Configuration((200, 750, 2500)),
    "standard": Configuration((1, 25, 200, 750, 2500)),
    "justzoomin": Configuration((40, 50, 100), "m", 6378.137),
}
KM_PER_DEGREE = 6371.0 * math.pi / 180  # of latitude, on the sphere
PER_KM = {"km": 1.0, "m": 1000.0}
MISSING = ("error", "miss")
_LARGEST_RADIUS_KM = 100_000


class Options(NamedTuple):
    """Checked options; `thresholds` in `unit`, `earth_radius` in kilometres."""

    thresholds: tuple[float, ...]
    unit: str
    earth_radius: float
    method: str
    missing: str
    strict: bool = False

    @property
    def keys(self) -> list[str]:
        """The keys of the accuracies: acc@200km, acc@0.5km, acc@40m."""
        return [f"acc@{threshold:.15g}{self.unit}" for threshold in self.thresholds]

    def hits(self, measured: np.ndarray) -> dict[str, np.ndarray]:
        """For each key, which distances of shape (n,) are within the threshold; NaN is not."""
        within = np.less if self.strict else np.less_equal
        pairs = zip(self.keys, self.thresholds, strict=True)
        return {key: within(measured, threshold) for key, threshold in pairs}

    @property
    def finest_km(self) -> float:
        """The smallest threshold, in kilometres."""
        return min(self.thresholds) / PER_KM[self.unit]


def make_options(
    config_name: str = "standard",
    thresholds: Any = None,
    unit: str | None = None,
    earth_radius: float | None = None,
    method: str = "haversine",
    missing: str = "error",
    strict: bool = False,
) -> Options:
    """Check options, as in `GcdMetric.compute`; None stands for the value of the configuration.

    A bad option is a ValueError, a library that is not installed an ImportError.
    """
    configuration = get_configuration(config_name)
    check_choice("unit", unit, (None, *PER_KM))
    check_choice("method", method, ("haversine", "geodesic"))
    check_choice("missing", missing, MISSING)
    if method == "geodesic":
        if earth_radius is not None:
            raise ValueError("earth_radius is of the sphere; method='geodesic' uses WGS 84")
        wgs84()
    unit = unit or configuration.unit
    if thresholds is None:
        scale = PER_KM[unit] / PER_KM[configuration.unit]
        thresholds = [threshold * scale for threshold in configuration.thresholds]
    radius = configuration.earth_radius if earth_radius is None else earth_radius
    (radius,) = _positive("earth_radius", radius)
    if radius > _LARGEST_RADIUS_KM:
        raise ValueError(f"earth_radius is in kilometres; {radius:.15g} looks like metres")
    check_choice("strict", strict, (False, True))
    distances = _positive("thresholds", thresholds)
    return Options(distances, unit, radius, method, missing, bool(strict))


def usual_configuration(benchmark: str | None) -> str:
    """The configuration with which results of a benchmark, or of one's own photos, are measured."""
    return "justzoomin" if benchmark == "justzoomin" else "standard"


def get_configuration(config_name: str) -> Configuration:
    """Look up a configuration; an unknown name is a ValueError that lists the known ones."""
    if config_name not in CONFIGURATIONS:
        known = ", ".join(CONFIGURATIONS)
        raise ValueError(f"unknown configuration {reprlib.repr(config_name)}; there are {known}")
    return CONFIGURATIONS[config_name]


def wgs84() -> Any:
    """The WGS 84 ellipsoid of pyproj; an ImportError says how to install pyproj."""
    try:
        from pyproj import Geod
    except ImportError:
        raise ImportError(
            "method='geodesic' needs pyproj: pip install 'im2gps-justzoomin[geodesic]'"
        ) from None
    return Geod(ellps="WGS84")


# --- checks of single options -------------------------------------------------------------------


def refuse_unknown(unknown: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """Raise a TypeError for an option that does not exist, and suggest one that does."""
    for name in unknown:
        close = difflib.get_close_matches(name, list(known or ()), n=1)
        hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known or ())}"
        raise TypeError(f"compute has no option {name!r}; {hint}")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise a ValueError that lists the choices if `value` is not one of them."""
    if not any(value is choice or value == choice for choice in choices):
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}, not {reprlib.repr(value)}"
        )


def as_numbers(name: str, values: Any) -> np.ndarray:
    """A number, or a list of numbers, as an array of shape (n,); else raise a ValueError."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be a number, or a list of numbers, not {reprlib.repr(values)}"
        )
    return array


def _positive(name: str, values: Any) -> tuple[float, ...]:
    array = as_numbers(name, values)
    if not array.size or not ((array > 0) & np.isfinite(array)).all():
        raise ValueError(f"{name} must be positive and finite, not {reprlib.repr(values)}")
    return tuple(array.tolist())
