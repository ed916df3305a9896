"""Convert zoom actions of Just Zoom In to places on the map, and places to actions.

A view is a square with north (or the bearing of its region) at the top. An action, row · grid +
column with row 0 at the top and column 0 at the left, picks one cell of its grid, which is the next
view. From view to view, the centre moves on a sphere as in the authors' code: east along the great
circle with initial bearing 90°, then north along the meridian.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_M = 6_378_137.0
GRID = 4
DEPTH = 4
MAX_SIZE = 16_384  # pixels of the side of a view


class Region(NamedTuple):
    """The square of the first view: a point, the distances of its sides from it, and its width.

    With a bearing, in degrees clockwise from north, the square is turned around its centre: up in
    all views is this direction. Rows and columns of cells, and so actions, turn with it.
    """

    latitude: float
    longitude: float
    west_m: float
    south_m: float
    width_m: float
    bearing: float = 0.0


WASHINGTON = Region(38.8936, -77.0116, -3000.0, -5000.0, 10_000.0)


def decode(
    sequences: npt.ArrayLike, grid: int = GRID, region: Region = WASHINGTON
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre of the cell that each sequence of actions ends in.

    Parameters
    ----------
    sequences : array-like of int, shape (..., depth)
        Actions, 0 to grid² - 1, of any depth.
    grid : int
        Cells along a side of a view.
    region : Region
        The first view.

    Returns
    -------
    latitude, longitude : ndarray, shape (...)
        Decimal degrees.

    Raises
    ------
    ValueError
        When an action is not a whole number from 0 to grid² - 1.
    """
    latitude, longitude, _ = path(sequences, grid, region)
    return latitude[..., -1], longitude[..., -1]


def path(
    sequences: npt.ArrayLike, grid: int = GRID, region: Region = WASHINGTON
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centre and width of every view along each sequence of actions.

    Returns
    -------
    latitude, longitude : ndarray, shape (..., depth + 1)
        Entry 0 is the whole region, entry i the view after i actions.
    width_m : ndarray, shape (depth + 1,)
        The side of these views, in metres.

    Raises
    ------
    ValueError
        When an action is not a whole number from 0 to grid² - 1.
    """
    actions = _actions(sequences, grid)
    depth = actions.shape[-1]
    widths = region.width_m / float(grid) ** np.arange(depth + 1)
    latitude = np.empty((*actions.shape[:-1], depth + 1))
    longitude = np.empty_like(latitude)
    latitude[..., 0], longitude[..., 0] = _middle(region)
    for step in range(depth):
        row, column = np.divmod(actions[..., step], grid)
        cell = widths[step + 1]
        right, up = (column - (grid - 1) / 2) * cell, ((grid - 1) / 2 - row) * cell
        here = latitude[..., step], longitude[..., step]
        to = move(*here, *_turn(right, up, -region.bearing))
        latitude[..., step + 1], longitude[..., step + 1] = to
    return latitude, longitude, widths


def encode(
    latitude: npt.ArrayLike,
    longitude: npt.ArrayLike,
    depth: int = DEPTH,
    grid: int = GRID,
    region: Region = WASHINGTON,
    outside: str = "error",
) -> Any:
    """Return the actions that zoom to each point.

    Parameters
    ----------
    latitude, longitude : array-like, shape (...)
        Decimal degrees.
    depth, grid : int
        Number of actions, and cells along a side of a view.
    region : Region
        The first view.
    outside : {"error", "clip"}
        Raise an error for a point outside the region, or give the nearest cell and flag the point.

    Returns
    -------
    sequences : ndarray of int, shape (..., depth)
    clipped : ndarray of bool, shape (...)
        Only with outside="clip": the points outside.

    Raises
    ------
    ValueError
        Names the first point that is outside the region or not a number.

    Notes
    -----
    Moves east and north do not commute on a sphere, so neighbouring views overlap by up to
    width_m² · tan |latitude| / (8 · radius): 1.6 m in Washington. A point in several views belongs
    to the first, as in the authors' code. The centre of a cell encodes to that cell if half a cell
    is wider than the overlap: in Washington up to a depth of five.
    """
    if outside not in ("error", "clip"):
        raise ValueError(f"outside is 'error' or 'clip', not {outside!r}")
    target = np.broadcast_arrays(np.asarray(latitude, float), np.asarray(longitude, float))
    finite = np.asarray(np.isfinite(target).all(0))
    if not finite.all():
        raise ValueError(f"{_first(target, ~finite)} is not a point")
    start = _middle(region)
    centre = np.full(target[0].shape, start[0]), np.full(target[0].shape, start[1])
    clipped = np.zeros(target[0].shape, bool)
    sequences = np.empty((*target[0].shape, depth), np.int64)
    width = region.width_m
    for step in range(depth):
        right, up = _turn(*offset(*centre, *target), region.bearing)
        if step == 0:
            clipped = np.asarray(np.maximum(np.abs(right), np.abs(up)) > width / 2)
        if clipped.any() and outside == "error":
            raise ValueError(
                f"{_first(target, clipped)} is outside the region, as are {int(clipped.sum())} of "
                f"{clipped.size} points; outside='clip' gives the nearest cells and flags them"
            )
        cell = width / grid
        # Neighbouring views overlap by centimetres on the sphere, hence the clip at every step.
        column = np.clip(np.floor(right / cell + grid / 2), 0, grid - 1).astype(np.int64)
        row = np.clip(np.floor(grid / 2 - up / cell), 0, grid - 1).astype(np.int64)
        sequences[..., step] = row * grid + column
        middle = (grid - 1) / 2
        right, up = (column - middle) * cell, (middle - row) * cell
        centre = move(*centre, *_turn(right, up, -region.bearing))
        width = cell
    return (sequences, clipped) if outside == "clip" else sequences


def corners(
    sequences: npt.ArrayLike, grid: int = GRID, region: Region = WASHINGTON
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the cell that each sequence ends in.

    Returns
    -------
    latitude, longitude : ndarray, shape (..., 4)
        South-west, south-east, north-east, north-west: counter-clockwise. (As if the bearing of the
        region were 0: the lower left corner is the first.)
    """
    latitude, longitude, widths = path(sequences, grid, region)
    half = widths[-1] / 2
    right, up = half * np.array([-1, 1, 1, -1]), half * np.array([-1, -1, 1, 1])
    turned = _turn(right, up, -region.bearing)
    return move(latitude[..., -1:], longitude[..., -1:], *turned)


def geojson(
    sequences: npt.ArrayLike, grid: int = GRID, region: Region = WASHINGTON
) -> dict[str, Any]:
    """Return the cells as a GeoJSON FeatureCollection of polygons with their `sequence`.

    References
    ----------
    RFC 7946: positions are longitude, latitude; rings are closed and counter-clockwise.
    """
    actions = np.atleast_2d(_actions(sequences, grid))
    latitude, longitude = corners(actions, grid, region)
    rings = np.stack([longitude, latitude], -1)[:, [0, 1, 2, 3, 0]].tolist()
    features = [
        {
            "type": "Feature",
            "properties": {"sequence": sequence},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for sequence, ring in zip(actions.tolist(), rings, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def view_count(depth: int = DEPTH, grid: int = GRID) -> int:
    """Return the number of views before `depth` actions: 4,369 for four of them."""
    return sum((grid * grid) ** length for length in range(depth))


def view_indexes(sequences: npt.ArrayLike, grid: int = GRID) -> np.ndarray:
    """Return the index of every view along each sequence of actions.

    All views are counted from the whole region, 0, to longer and longer sequences, those of one
    length in the order of `cells`. These are the rows of `Views.table`.

    Parameters
    ----------
    sequences : array-like of int, shape (..., depth)
        Actions, 0 to grid² - 1, of any depth.
    grid : int
        Cells along a side of a view.

    Returns
    -------
    ndarray of int64, shape (..., depth + 1)
        Entry 0 is the whole region, entry i the view after i actions: grid² · (entry i - 1) + 1 +
        the action.

    Raises
    ------
    ValueError
        When an action is not a whole number from 0 to grid² - 1.

    Examples
    --------
    >>> view_indexes([7, 6, 6])
    array([   0,    8,  135, 2167])
    """
    actions = _actions(sequences, grid)
    indexes = np.zeros((*actions.shape[:-1], actions.shape[-1] + 1), np.int64)
    for step in range(actions.shape[-1]):
        indexes[..., step + 1] = grid * grid * indexes[..., step] + 1 + actions[..., step]
    return indexes


def cells(depth: int = DEPTH, grid: int = GRID) -> np.ndarray:
    """Return the sequences of all cells of a depth in order, shape (grid ** (2 depth), depth)."""
    numbers = np.arange((grid * grid) ** depth)
    places = (grid * grid) ** np.arange(depth - 1, -1, -1)
    return numbers[:, None] // places % (grid * grid)


def move(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, east_m: npt.ArrayLike, north_m: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Move a point east along the great circle with bearing 90°, then north along the meridian.

    Parameters
    ----------
    latitude, longitude : array-like
        The start, in decimal degrees.
    east_m, north_m : array-like
        Metres, negative for west and south.

    Returns
    -------
    latitude, longitude : ndarray
        The end, in decimal degrees.
    """
    phi = np.radians(latitude)
    angle = np.asarray(east_m) / EARTH_RADIUS_M
    turned = np.arcsin(np.sin(phi) * np.cos(angle))
    along = np.arctan2(np.sin(angle), np.cos(angle) * np.cos(phi))
    to = np.degrees(turned + np.asarray(north_m) / EARTH_RADIUS_M)
    return to, np.asarray(longitude) + np.degrees(along)


def offset(
    latitude: npt.ArrayLike,
    longitude: npt.ArrayLike,
    to_latitude: npt.ArrayLike,
    to_longitude: npt.ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the metres east and north that `move` takes from one point to another."""
    phi = np.radians(latitude)
    along = np.radians(np.asarray(to_longitude) - np.asarray(longitude))
    angle = np.arctan2(np.sin(along) * np.cos(phi), np.cos(along))
    turned = np.arcsin(np.sin(phi) * np.cos(angle))
    return angle * EARTH_RADIUS_M, (np.radians(to_latitude) - turned) * EARTH_RADIUS_M


def _middle(region: Region) -> tuple[np.ndarray, np.ndarray]:
    half = region.width_m / 2
    return move(region.latitude, region.longitude, region.west_m + half, region.south_m + half)


def _turn(right: npt.ArrayLike, up: npt.ArrayLike, angle: float) -> tuple[Any, Any]:
    """Turn vectors counter-clockwise by an angle in degrees."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = np.asarray(right), np.asarray(up)
    return x * cosine - y * sine, x * sine + y * cosine


def _actions(sequences: npt.ArrayLike, grid: int) -> np.ndarray:
    actions = np.asarray(sequences)
    if actions.ndim < 1 or actions.dtype.kind not in "iu":
        raise ValueError(f"sequences are whole numbers of shape (..., depth), not {sequences!r}")
    wrong = (actions < 0) | (actions >= grid * grid)
    if wrong.any():
        row = tuple(np.argwhere(wrong)[0][:-1])
        raise ValueError(
            f"sequence {actions[row].tolist()} has an action that is not in 0 … {grid * grid - 1}"
        )
    return actions


def _first(points: Any, chosen: np.ndarray) -> str:
    index = int(np.flatnonzero(chosen)[0])
    latitude, longitude = (float(np.ravel(values)[index]) for values in points)
    return f"point {index} ({latitude}, {longitude})"
