"""The geometry of the overhead tiles: `layout.yaml`, and places as points of the map."""

from __future__ import annotations

import functools
import math
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gcd_metric.yaml_files import load_yaml
from geoload.messages import needed_for
from justzoomin.zoom import EARTH_RADIUS_M  # the size of a pixel is measured on this sphere too

with needed_for("Reading the layout of the overhead tiles", "tiles"):
    import pyproj

_MAX_FILE = 1024  # bytes
_MAX_ZOOM = 30


@dataclass(frozen=True)
class Layout:
    """How the tiles cover the map; lengths are in units of the projection, metres."""

    crs: str  # the map projection, such as "epsg:26985"
    origin: tuple[float, float]  # east and north of the corner of tile (0, 0)
    tile_crs: tuple[float, float]  # width and height of a tile of level 0
    tile_px: tuple[int, int]  # width and height of every tile in pixels
    min_zoom: int
    max_zoom: int  # each level up halves the size of a pixel

    @classmethod
    def read(cls, path: str | Path) -> Layout:
        """Read `layout.yaml`; a ValueError names the file, the key and what is wrong with it."""
        content = _load(path)
        for key, (wanted, is_valid) in _RULES.items():
            if key not in content:
                raise ValueError(f"{path}: {key} is missing.")
            if not is_valid(content[key]):
                found = reprlib.repr(content[key])
                raise ValueError(f"{path}: {key} is {found}, but should be {wanted}.")
        low, high = content["min_zoom"], content["max_zoom"]
        if low > high:
            raise ValueError(f"{path}: min_zoom is {low}, but should be at most max_zoom, {high}.")
        east, north = map(float, content["origin_crs"])
        width, height = map(float, content["tile_shape_crs"])
        columns, rows = content["tile_shape_px"]
        _transformer(content["crs"])  # built here and not during the first view
        return cls(content["crs"], (east, north), (width, height), (columns, rows), low, high)

    def member(self, zoom: int, x: int, y: int) -> str:
        """Return the path of a tile below `satellite/`."""
        return f"{zoom}/{x}/{y}.jpg"

    def pixel_size(self, zoom: int) -> tuple[float, float]:
        """Return width and height of a level's pixel in units of the projection."""
        scale = 2.0**-zoom
        width, height = self.tile_crs
        return width * scale / self.tile_px[0], height * scale / self.tile_px[1]

    def project(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> np.ndarray:
        """Return degrees (WGS 84) as east and north on the map, shape (2, ...), or infinite."""
        return np.array(_transformer(self.crs).transform(longitude, latitude))

    def square(self, zoom: int, x: int, y: int) -> Square:
        """Return the ground that a tile covers; raises ValueError outside of the projection."""
        width, height = (length * 2.0**-zoom for length in self.tile_crs)
        west, south = self.origin[0] + x * width, self.origin[1] + y * height
        back, inverse = _transformer(self.crs), pyproj.enums.TransformDirection.INVERSE
        # With points along the sides, which are not parallels and meridians.
        edges = back.transform_bounds(west, south, west + width, south + height, direction=inverse)
        middle = west + width / 2, south + height / 2
        centre = back.transform(*middle, direction=inverse)
        # Far outside of its area a projection returns some place that does not project back.
        if not (all(map(math.isfinite, edges)) and math.dist(back.transform(*centre), middle) < 1):
            raise ValueError(f"tile {self.member(zoom, x, y)} is outside of the map {self.crs}")
        side_m = width * _metres(self.crs)
        return Square(edges[1], edges[0], edges[3], edges[2], centre[1], centre[0], side_m)

    def point(self, latitude: float, longitude: float) -> MapPoint:
        """Return a place in degrees (WGS 84); raises ValueError outside of the projection."""
        # A metre east and a metre north on the sphere, as the authors measure a pixel.
        step = math.degrees(1 / EARTH_RADIUS_M)
        aside = step / max(math.cos(math.radians(latitude)), 1e-12)
        east, north = _transformer(self.crs).transform(
            [longitude, longitude + aside, longitude], [latitude, latitude, latitude + step]
        )
        if not all(map(math.isfinite, (*east, *north))):
            raise ValueError(
                f"latitude {latitude}, longitude {longitude} is outside of the map of the tiles "
                f"({self.crs})."
            )
        lengths = (
            math.hypot(east[1] - east[0], north[1] - north[0]),
            math.hypot(east[2] - east[0], north[2] - north[0]),
        )
        convergence = math.degrees(math.atan2(east[2] - east[0], north[2] - north[0]))
        return MapPoint(east[0], north[0], lengths, convergence)

    def pixels_per_metre(self, point: MapPoint, zoom: int) -> float:
        """Return how many of a level's pixels cover a metre of ground, mean of both axes."""
        width, height = self.pixel_size(zoom)
        return (point.units_per_metre[0] / width + point.units_per_metre[1] / height) / 2

    def level(self, point: MapPoint, metres_per_pixel: float) -> int:
        """Return the coarsest level whose pixels are at most half as wide as the wanted ones."""
        half = metres_per_pixel * self.pixels_per_metre(point, 0) / 2
        # Half a wanted pixel in pixels of level 0, whose size doubles with each level down.
        zoom = -math.ceil(math.log2(half)) + 1
        return min(max(zoom, self.min_zoom), self.max_zoom)


class Square(NamedTuple):
    """The ground that a tile covers.

    `south`, `west`, `north`, `east` are the smallest box of degrees (WGS 84) around the tile, which
    is a square of the map and slightly turned in that box; `latitude` and `longitude` are its
    centre; `ground_size_m` is its side in metres of the map, here within 0.01 % of the ground's.
    """

    south: float
    west: float
    north: float
    east: float
    latitude: float
    longitude: float
    ground_size_m: float


class MapPoint(NamedTuple):
    """A point of the map.

    `east` and `north` are projected coordinates, `units_per_metre` the length of a metre of
    ground eastwards and northwards in their unit, `convergence` the bearing of true north in
    degrees, clockwise from the map's north.
    """

    east: float
    north: float
    units_per_metre: tuple[float, float]
    convergence: float


# A fork keeps the transformers: PROJ opens its database again by itself, and building a new one in
# the child would wait forever for a lock that another thread held at the fork.
@functools.lru_cache(maxsize=8)
def _transformer(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("epsg:4326", crs, always_xy=True)


@functools.lru_cache(maxsize=8)
def _metres(crs: str) -> float:
    """Return the length of a unit of a map projection in metres."""
    return pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor


def _load(path: str | Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        text = file.read(_MAX_FILE + 1)
    if len(text) > _MAX_FILE:
        raise ValueError(f"{path}: a layout has a few lines; this has over {_MAX_FILE:,} bytes.")
    try:
        content = load_yaml(text)
    except ValueError as error:
        raise ValueError(f"{path}: it is not valid YAML ({error}).") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: it is not a layout, because it has no keys.")
    return content


def _is_projection(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"(?i)epsg:\d{4,6}", value):
        return False
    try:
        return bool(pyproj.CRS.from_user_input(value).is_projected)
    except pyproj.exceptions.CRSError:
        return False


def _is_zoom(value: Any) -> bool:
    return type(value) is int and abs(value) <= _MAX_ZOOM


def _is_pair(low: float, high: float, *kinds: type) -> Callable[[Any], bool]:
    def is_pair(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 2
            and all(type(number) in kinds and low <= number <= high for number in value)
        )

    return is_pair


# What each key should be, in words for an error message, and the test of it.
_ZOOM = f"a whole number from {-_MAX_ZOOM} to {_MAX_ZOOM}"
_PATH = "{zoom}/{x}/{y}.jpg"
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "tile_axes": ("[east, north]", lambda axes: axes == ["east", "north"]),
    "path": (repr(_PATH), lambda path: path == _PATH),
    "min_zoom": (_ZOOM, _is_zoom),
    "max_zoom": (_ZOOM, _is_zoom),
    "tile_shape_px": ("two whole numbers from 1 to 4096", _is_pair(1, 4096, int)),
    "crs": ("the code of a map projection, such as epsg:26985", _is_projection),
    "origin_crs": ("two numbers from -1e+09 to 1e+09", _is_pair(-1e9, 1e9, int, float)),
    "tile_shape_crs": ("two numbers from 1e-06 to 1e+09", _is_pair(1e-6, 1e9, int, float)),
}
