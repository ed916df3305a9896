"""The geometry of the overhead tiles: `layout.yaml` read safely, and places as pixels of a level.

Opens no tile and touches no picture.
"""

from __future__ import annotations

import functools
import math
import os
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoload.files import load_yaml
from geoload.messages import needed_for
from justzoomin.zoom import EARTH_RADIUS_M  # what a pixel covers is measured on this sphere too

with needed_for("Reading where overhead tiles lie", "tiles"):
    import pyproj

MEMBER = "{zoom}/{x}/{y}.jpg"
_MAX_FILE = 1024
_MAX_TILE_PX = 4096
_MAX_ZOOM = 30
_CRS = re.compile(r"epsg:\d{4,6}", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How tiles lie on the map.

    Parameters
    ----------
    crs : str
        The map projection, such as "epsg:26985".
    origin : tuple of float
        Projected coordinates of the corner of tile (0, 0), east and north.
    tile_crs : tuple of float
        Width and height of a tile of level 0, in units of the projection (metres).
    tile_px : tuple of int
        Width and height of every tile, in pixels.
    min_zoom, max_zoom : int
        The levels that there are; each step up halves the pixels.
    """

    crs: str
    origin: tuple[float, float]
    tile_crs: tuple[float, float]
    tile_px: tuple[int, int]
    min_zoom: int
    max_zoom: int

    @classmethod
    def read(cls, path: str | Path) -> Layout:
        """Read `layout.yaml`.

        Raises
        ------
        ValueError
            Names the file, the key and what is wrong with it.
        """
        path = os.fspath(path)
        content = _Content(path, _load(path))
        if (axes := content.get("tile_axes")) != ["east", "north"]:
            content.refuse("tile_axes", axes, "[east, north]")
        if (template := content.get("path")) != MEMBER:
            content.refuse("path", template, repr(MEMBER))
        zooms = [content.whole(key, -_MAX_ZOOM, _MAX_ZOOM) for key in ("min_zoom", "max_zoom")]
        if zooms[0] > zooms[1]:
            content.refuse("min_zoom", zooms[0], f"at most max_zoom, {zooms[1]}")
        width, height = content.pair("tile_shape_px", 1, _MAX_TILE_PX, whole=True)
        return cls(
            content.crs("crs"),
            content.pair("origin_crs", -1e9, 1e9),
            content.pair("tile_shape_crs", 1e-6, 1e9),
            (int(width), int(height)),
            *zooms,
        )

    def member(self, zoom: int, x: int, y: int) -> str:
        """Return the path of a tile below `satellite/`."""
        return f"{zoom}/{x}/{y}.jpg"

    def pixel_size(self, zoom: int) -> tuple[float, float]:
        """Return width and height of a level's pixel in units of the projection."""
        scale = 2.0**-zoom
        return (
            self.tile_crs[0] * scale / self.tile_px[0],
            self.tile_crs[1] * scale / self.tile_px[1],
        )

    def project(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> np.ndarray:
        """Return projected coordinates.

        Parameters
        ----------
        latitude, longitude : array-like of float
            Degrees, WGS 84.

        Returns
        -------
        ndarray of float, shape (2, ...)
            East and north; infinite where the projection has no place for a point.
        """
        return np.array(_transformer(self.crs).transform(longitude, latitude))

    def pixels(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike, zoom: int) -> np.ndarray:
        """Return places as pixels of a level, counted east and north from tile (0, 0)'s corner.

        Parameters
        ----------
        latitude, longitude : array-like of float
            Degrees, WGS 84.
        zoom : int

        Returns
        -------
        ndarray of float, shape (2, ...)
        """
        return self._as_pixels(self.project(latitude, longitude), zoom)

    def _as_pixels(self, projected: np.ndarray, zoom: int) -> np.ndarray:
        shape = (2, *[1] * (projected.ndim - 1))
        origin, size = np.array(self.origin), np.array(self.pixel_size(zoom))
        return (projected - origin.reshape(shape)) / size.reshape(shape)

    def square(self, zoom: int, x: int, y: int) -> Square:
        """Return where a tile lies: the box around it in degrees, its centre, and its side.

        Raises
        ------
        ValueError
            When the projection has no such place.
        """
        width, height = (length * 2.0**-zoom for length in self.tile_crs)
        west, south = self.origin[0] + x * width, self.origin[1] + y * height
        back, inverse = _transformer(self.crs), pyproj.enums.TransformDirection.INVERSE
        # With points along the sides, which are no parallels and meridians.
        edges = back.transform_bounds(west, south, west + width, south + height, direction=inverse)
        middle = west + width / 2, south + height / 2
        centre = back.transform(*middle, direction=inverse)
        # Far away from its map a projection gives some place, and not the same one back.
        if not (all(map(math.isfinite, edges)) and math.dist(back.transform(*centre), middle) < 1):
            raise ValueError(f"tile {self.member(zoom, x, y)} lies outside of the map {self.crs}")
        return Square(edges[1], edges[0], edges[3], edges[2], centre[1], centre[0],
                      width * _metres(self.crs))  # fmt: skip

    def at(self, latitude: float, longitude: float) -> Place:
        """Return position, scale and meridian convergence at a place.

        Raises
        ------
        ValueError
            When the projection has no such place.
        """
        # A metre east and a metre north on the sphere, as the authors measure a pixel.
        step = math.degrees(1 / EARTH_RADIUS_M)
        aside = step / max(math.cos(math.radians(latitude)), 1e-12)
        east, north = _transformer(self.crs).transform(
            [longitude, longitude + aside, longitude], [latitude, latitude, latitude + step]
        )
        if not all(map(math.isfinite, (*east, *north))):
            raise ValueError(
                f"latitude {latitude}, longitude {longitude} lies outside of the map of the "
                f"tiles ({self.crs})."
            )
        lengths = (
            math.hypot(east[1] - east[0], north[1] - north[0]),
            math.hypot(east[2] - east[0], north[2] - north[0]),
        )
        convergence = math.degrees(math.atan2(east[2] - east[0], north[2] - north[0]))
        return Place(east[0], north[0], lengths, convergence)

    def pixels_per_metre(self, place: Place, zoom: int) -> float:
        """Return how many of a level's pixels make a metre of ground, mean of both axes."""
        width, height = self.pixel_size(zoom)
        return (place.units_per_metre[0] / width + place.units_per_metre[1] / height) / 2

    def level(self, place: Place, metres_per_pixel: float) -> int:
        """Return the coarsest level whose pixels are finer than half of the wanted ones."""
        half = metres_per_pixel * self.pixels_per_metre(place, 0) / 2
        # Pixels of level 0 in half a wanted one; each level down doubles what a pixel covers.
        zoom = -math.ceil(math.log2(half)) + 1
        return min(max(zoom, self.min_zoom), self.max_zoom)


class Square(NamedTuple):
    """Where a tile lies on the ground.

    `south`, `west`, `north`, `east` are the smallest box of degrees (WGS 84) around the tile, which
    is a square of the map and lies a little turned in it; `latitude` and `longitude` are its
    centre; `ground_size_m` is its side in metres of the map, here within 0.01 % of the ground's.
    """

    south: float
    west: float
    north: float
    east: float
    latitude: float
    longitude: float
    ground_size_m: float


@dataclass(frozen=True)
class Place:
    """A point on the map.

    `east` and `north` are projected coordinates, `units_per_metre` the length of a metre of
    ground eastwards and northwards in their unit, `convergence` the bearing in degrees, clockwise
    from the map's north, of true north.
    """

    east: float
    north: float
    units_per_metre: tuple[float, float]
    convergence: float


# Kept across a fork: PROJ opens its data base anew by itself, and to build another one in the child
# would wait for ever on a lock that some thread held at the fork. Threads are pyproj's affair.
@functools.lru_cache(maxsize=8)
def _transformer(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("epsg:4326", crs, always_xy=True)


@functools.lru_cache(maxsize=8)
def _metres(crs: str) -> float:
    """Return how many metres the unit of a map projection is."""
    return pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor


def _load(path: str) -> dict:
    with open(path, "rb") as file:
        text = file.read(_MAX_FILE + 1)
    if len(text) > _MAX_FILE:
        raise ValueError(f"{path}: a layout is a few lines; this is more than {_MAX_FILE:,} bytes.")
    try:
        content = load_yaml(text)
    except ValueError as error:
        raise ValueError(f"{path}: no YAML that can be read ({error}).") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: no layout; it has no keys.")
    return content


class _Content:
    """The keys of a layout, each checked when it is asked for."""

    def __init__(self, path: str, content: dict) -> None:
        self._path, self._content = path, content

    def get(self, key: str) -> Any:
        if key not in self._content:
            raise ValueError(f"{self._path}: {key} is missing.")
        return self._content[key]

    def refuse(self, key: str, value: Any, wanted: str) -> None:
        raise ValueError(f"{self._path}: {key} is {reprlib.repr(value)}, but should be {wanted}.")

    def whole(self, key: str, low: int, high: int) -> int:
        value = self.get(key)
        if type(value) is not int or not low <= value <= high:
            self.refuse(key, value, f"a whole number from {low} to {high}")
        return value

    def pair(self, key: str, low: float, high: float, whole: bool = False) -> tuple[float, float]:
        value = self.get(key)
        kinds = (int,) if whole else (int, float)
        if not (
            isinstance(value, list)
            and len(value) == 2
            and all(type(number) in kinds and low <= number <= high for number in value)
        ):
            kind = "whole numbers" if whole else "numbers"
            self.refuse(key, value, f"two {kind} from {low:g} to {high:g}")
        return float(value[0]), float(value[1])

    def crs(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not _CRS.fullmatch(value):
            self.refuse(key, value, "a code such as epsg:26985")
        try:
            projected = pyproj.CRS.from_user_input(value)
        except pyproj.exceptions.CRSError:
            projected = None
        if projected is None or not projected.is_projected:
            self.refuse(key, value, "the code of a map projection, such as epsg:26985")
        _transformer(value)  # made here, where whoever opens the tiles may wait for it
        return value
