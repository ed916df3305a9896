"""Computes distances between pairs of points, on the sphere or on the WGS 84 ellipsoid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .matching import pair
from .options import PER_KM, Options, wgs84

_CHUNK = 16_384  # rows; the six buffers of the kernel then fit into a core's cache
_HALF_RADIAN = math.pi / 360
_NEARLY_ANTIPODAL = 0.99  # of the haversine; arcsin loses digits towards 1


def haversine(a: Any, b: Any, earth_radius: float = 6371.0) -> np.ndarray:
    """Great-circle distance of each pair of points on a sphere.

    Accurate to rounding from identical to antipodal points, at the poles and across the
    antimeridian, because no step subtracts nearly equal numbers.

    Parameters
    ----------
    a, b : coordinates of shape (n, 2)
        Latitude and longitude in decimal degrees.
    earth_radius : float
        Radius of the sphere. It sets the unit of the distances (6371.0: kilometres).

    Returns
    -------
    ndarray of shape (n,), float64
        In the order of `b` if both sides carry ids; NaN where a coordinate is NaN.

    References
    ----------
    R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (2), 1984, p. 159.
    """
    a, b = (side.degrees for side in pair(a, b, ("a", "b")))
    return sphere_distances(a, b, earth_radius)


def sphere_distances(a: np.ndarray, b: np.ndarray, earth_radius: float) -> np.ndarray:
    """`haversine` of two arrays of shape (n, 2), which are not checked."""
    out = np.empty(len(a))
    buffers = np.empty((3, min(_CHUNK, len(a))))
    for start in range(0, len(a), _CHUNK):
        rows = slice(start, start + _CHUNK)
        _haversine_chunk(a[rows], b[rows], out[rows], buffers[:, : len(out[rows])])
        out[rows] *= 2 * earth_radius
    return out


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Points on the unit sphere, shape (n, 3), from degrees of shape (n,)."""
    north, east = np.radians(latitude), np.radians(longitude)
    x, y = np.cos(north) * np.cos(east), np.cos(north) * np.sin(east)
    return np.column_stack([x, y, np.sin(north)])


def _haversine_chunk(a: np.ndarray, b: np.ndarray, out: np.ndarray, buffers: np.ndarray) -> None:
    """Write half the angle between points, in radians, into `out`.

    With u = sin²(Δφ/2), v = sin²(Δλ/2) and c = cos² of the mean latitude, the haversine is
    u + v (c - u). This needs one sine less than the usual form, and c is exactly 0 at a pole.
    """
    c, u, v = buffers
    np.subtract(a[:, 1], b[:, 1], out=v)
    np.abs(v, out=v)
    np.subtract(360.0, v, out=c)
    np.minimum(v, c, out=v)  # in degrees, so that +180 and -180 are exactly equal
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
    """Half the angle, by the arctangent of both legs: slower, but accurate up to the antipode."""
    along = np.abs(a[:, 1] - b[:, 1])
    along = np.minimum(along, 360.0 - along)
    apart, total = np.abs(a[:, 0] - b[:, 0]), np.abs(a[:, 0] + b[:, 0])
    (sin_l, cos_l), (sin_d, cos_d), (sin_m, cos_m) = (
        (np.sin(x * _HALF_RADIAN) ** 2, np.sin((180.0 - x) * _HALF_RADIAN) ** 2)
        for x in (along, apart, total)
    )
    near = sin_d * cos_l + sin_l * cos_m
    far = cos_d * cos_l + sin_l * sin_m
    half: np.ndarray = np.arctan2(np.sqrt(near), np.sqrt(far))
    return half


def geodesic(a: Any, b: Any) -> np.ndarray:
    """Length of the shortest path on the WGS 84 ellipsoid, for each pair of points.

    Parameters
    ----------
    a, b : coordinates of shape (n, 2)
        Latitude and longitude in decimal degrees.

    Returns
    -------
    ndarray of shape (n,), float64
        Metres, in the order of `b` if both sides carry ids; NaN where a coordinate is NaN.

    Raises
    ------
    ImportError
        If pyproj is not installed.

    References
    ----------
    C. F. F. Karney, "Algorithms for geodesics", Journal of Geodesy 87 (1), 2013, pp. 43-55.
    """
    wgs84()  # an ImportError, if any, comes first
    a, b = (side.degrees for side in pair(a, b, ("a", "b")))
    return _ellipsoid_distances(a, b)


def _ellipsoid_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    ellipsoid = wgs84()
    out = np.full(len(a), np.nan)
    for start in range(0, len(a), _CHUNK):
        rows = slice(start, start + _CHUNK)
        here = ~np.isnan(a[rows]).any(axis=1) & ~np.isnan(b[rows]).any(axis=1)
        (lat1, lon1), (lat2, lon2) = a[rows][here].T.copy(), b[rows][here].T.copy()
        out[rows][here] = ellipsoid.inv(lon1, lat1, lon2, lat2)[2]
    return out


def measure(predictions: np.ndarray, references: np.ndarray, options: Options) -> np.ndarray:
    """The distance of each pair by the method and in the unit of `options`; NaN where missing."""
    if options.method == "geodesic":
        metres = _ellipsoid_distances(predictions, references)
        return metres * (PER_KM[options.unit] / PER_KM["m"])
    radius = options.earth_radius * PER_KM[options.unit]
    return sphere_distances(predictions, references, radius)
