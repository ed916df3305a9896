"""The colours of the miniature of Just Zoom In, from above and from the street.

A street photo repeats the colours around its place as each of the four overhead views shows them:
those of the first view in the sky, then on the far houses, the near houses, and those of the last
view on the road. West is at the left, and north in the upper half of each. So a person or a small
network can compare photo and view to choose each zoom action.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from geoload.synthetic import finish
from justzoomin.zoom import DEPTH, GRID, WASHINGTON

_SHORTEST_M, _WAVES, _AMPLITUDE = 0.64, 16, 22.0
# Where the colours around a place are taken, and how blurred, in widths of the next cell.
_EAST, _NORTH, _BLUR = np.array([-1, -0.5, 0, 0.5, 1]), np.array([[0.4], [-0.4]]), 0.3
_CONTRAST = np.array([2.2, 1.6, 1.3, 1.3]).reshape(-1, 1, 1, 1)
# East and north of a place in metres, from the powers of tenths of a degree north (rows) and east
# (columns) of the point that the region is defined by: EPSG:26985 within a millimetre.
_PROJECTION = np.array(
    [
        [(398993.681, 136194.914), (8675.165, -1.102), (-0.001, 4.752)],
        [(1.411, 11100.789), (-12.16, -0.002), (0, 0)],
        [(0, 0.098), (0, 0), (0, 0)],
    ]
)
# In a picture of the street: where nothing hides sky and road, and the first of its other colours.
_BACKGROUND, _FAR, _NEAR, _DARKER, _GLASS, _LAMP, _KERB, _LINE = 0, 1, 11, 20, 41, 42, 43, 44
_OTHERS = ((58, 64, 84), (240, 226, 160), (150, 148, 146), (240, 240, 236))


def paint(
    east: npt.ArrayLike, north: npt.ArrayLike, finest_m: float, blur_m: float = 0.0
) -> np.ndarray:
    """Return the colours of a raster of places.

    Parameters
    ----------
    east, north : array-like, shape (columns,) and (rows,)
        Coordinates on the map in metres, or both of shape (n, n) for places in no raster.
    finest_m : float
        The shortest wave to paint, in metres.
    blur_m : float
        Paint as if seen through a Gaussian of this sigma, in metres.

    Returns
    -------
    ndarray of float, shape (rows, columns, 3)
        0 to 255.
    """
    lengths = _SHORTEST_M * 2.0 ** np.arange(_WAVES)
    lengths = lengths[lengths >= finest_m * (1 - 1e-9)]
    # A Gaussian blur only reduces the amplitude of a wave, separately for the two directions.
    heights = _AMPLITUDE * np.exp(-((2 * np.pi * blur_m / lengths) ** 2))
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (2, 3, _WAVES, 1))[
        :, :, -len(lengths) :
    ]
    east, north = np.asarray(east), np.asarray(north)
    shape = (-1, *[1] * east.ndim)
    cycles = 2 * np.pi / lengths.reshape(shape)
    colours = []
    for channel in range(3):
        by_east, by_north = phases[:, channel].reshape(2, *cycles.shape)
        across = np.sin(cycles * east + by_east) * heights.reshape(shape)
        along = np.sin(cycles * north + by_north)
        subscripts = "ki,kj->ji" if east.ndim == 1 else "kij,kij->ij"
        colours.append(np.einsum(subscripts, across, along, optimize=True))
    painted: np.ndarray = np.clip(128 + np.stack(colours, axis=-1), 0, 255)
    return painted


def project(latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> np.ndarray:
    """Return east and north on the map in metres, shape (2, ...), of degrees in the region."""
    tenths_north = 10 * (np.asarray(latitude) - WASHINGTON.latitude)
    tenths_east = 10 * (np.asarray(longitude) - WASHINGTON.longitude)
    on_map: np.ndarray = np.polynomial.polynomial.polyval2d(tenths_north, tenths_east, _PROJECTION)
    return on_map


def surroundings(latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> np.ndarray:
    """Return the colours around places in each of the four views.

    Parameters
    ----------
    latitude, longitude : array-like, shape (n,)
        Decimal degrees.

    Returns
    -------
    ndarray of float, shape (n, 4, 2, 5, 3)
        0 to 255; from the first view to the last, north to south, west to east.
    """
    east, north = project(np.reshape(latitude, (-1, 1)), np.reshape(longitude, (-1, 1)))
    across, along = (offsets.ravel() for offsets in np.broadcast_arrays(_EAST, _NORTH))
    colours = []
    for step in range(DEPTH):
        cell = WASHINGTON.width_m / GRID ** (step + 1)
        painted = paint(east + across * cell, north + along * cell, 0, _BLUR * cell)
        colours.append(painted.reshape(-1, 2, 5, 3))
    around: np.ndarray = np.clip(128 + (np.stack(colours, 1) - 128) * _CONTRAST, 0, 255)
    return around


def street(colours: np.ndarray, width: int, rng: np.random.Generator) -> Image.Image:
    """Paint a street photo, three quarters as high as wide, with colours of `surroundings`."""
    lit = np.clip(colours * rng.uniform(0.92, 1.08), 0, 255)
    houses = lit[1:3].reshape(-1, 3)
    palette = np.concatenate([[(0, 0, 0)], houses, 0.7 * houses, _OTHERS]).astype(np.uint8)
    drawing = _houses(width, int(rng.integers(8)))
    size = drawing.shape[1], drawing.shape[0]
    sky_and_road = Image.fromarray(lit[[0, 3]].reshape(-1, 5, 3).astype(np.uint8))
    behind = np.asarray(sky_and_road.resize(size, Image.Resampling.BILINEAR))
    pixels = np.where(drawing[..., None] == _BACKGROUND, behind, palette[drawing])
    return finish(Image.fromarray(pixels), rng)


@functools.lru_cache(maxsize=64)
def _houses(width: int, number: int) -> np.ndarray:
    """Draw one of the streets of a width: the number of the colour of each pixel."""
    height, rng = width * 3 // 4, np.random.default_rng(number)
    picture = Image.new("L", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(picture)

    def box(left: float, top: float, right: float, bottom: float, colour: int) -> None:
        corners = left * width, top * height, right * width - 1, bottom * height - 1
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            draw.rectangle(corners, colour)

    for column in range(5):
        left, right, colour = column / 5, (column + 1) / 5, _FAR + column
        top = rng.uniform(0.2, 0.3)
        box(left, top, right, 0.38, colour)
        box(left, 0.38, right, 0.7, colour + 5)
        box(left, top, right, top + 0.02, colour + _DARKER)
        for window in np.linspace(left + 0.02, right - 0.04, 4):
            box(window, top + 0.05, window + 0.015, top + 0.08, colour + _DARKER)
    for column in range(5):
        left, right, colour = column / 5 + 0.01, (column + 1) / 5 - 0.01, _NEAR + column
        top, door = rng.uniform(0.46, 0.52), left + rng.choice([0.02, 0.12])
        box(left, top, right, 0.6, colour)
        box(left, 0.6, right, 0.73, colour + 5)
        roof = (left - 0.01, top), ((left + right) / 2, top - 0.07), (right + 0.01, top)
        draw.polygon([(x * width, y * height) for x, y in roof], colour + _DARKER)
        for window in (left + 0.03, right - 0.07):
            box(window, 0.54, window + 0.04, 0.58, _LAMP if rng.random() < 0.2 else _GLASS)
        box(door, 0.65, door + 0.04, 0.73, colour + _DARKER)
    box(0, 0.73, 1, 0.76, _KERB)
    for start in np.arange(rng.uniform(-0.1, 0), 1, 0.2):
        box(start, 0.86, start + 0.09, 0.875, _LINE)
    drawing = np.asarray(picture)
    return drawing
