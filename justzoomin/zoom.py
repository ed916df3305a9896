"""The zoom grid of Just Zoom In: from actions to places on the map.

A view is a square; an action picks one cell of its 4 × 4 grid, which is the next view.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CENTER = (38.8936, -77.0116)
WEST_M, SOUTH_M, WIDTH_M = -3000.0, -5000.0, 10_000.0
GRID = 4
EARTH_RADIUS_M = 6_378_137.0


def decode(sequences: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre of the cell that a sequence of zoom actions ends in.

    Parameters
    ----------
    sequences : array-like of int, shape (n, depth) or (depth,)
        Actions, row · 4 + column, row 0 in the north and column 0 in the west.

    Returns
    -------
    latitude, longitude : ndarray, shape (n,) or scalar
        Decimal degrees.
    """
    actions = np.asarray(sequences)
    east = np.full(actions.shape[:-1], WEST_M + WIDTH_M / 2)
    north = np.full(actions.shape[:-1], SOUTH_M + WIDTH_M / 2)
    width = WIDTH_M
    for step in range(actions.shape[-1]):
        row, column = np.divmod(actions[..., step], GRID)
        east += ((column + 0.5) / GRID - 0.5) * width
        north -= ((row + 0.5) / GRID - 0.5) * width
        width /= GRID
    return _move(east, north)


def _move(east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Go from the map's centre along bearing 90°, then along bearing 0°, on the sphere."""
    latitude, longitude = np.radians(CENTER)
    angle = east / EARTH_RADIUS_M
    turned = np.arcsin(np.sin(latitude) * np.cos(angle))
    longitude = longitude + np.arctan2(
        np.sin(angle) * np.cos(latitude), np.cos(angle) - np.sin(latitude) * np.sin(turned)
    )
    return np.degrees(turned + north / EARTH_RADIUS_M), np.degrees(longitude)
