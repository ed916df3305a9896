"""The world's countries and cities: what a map shows of them, and the names of places.

Countries are Natural Earth's, in the file of `gcd_metric`. Cities are GeoNames', in cities.csv,
largest first (see tools/make_cities.py).
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from gcd_metric.distances import unit_vectors
from gcd_metric.places import read_countries

WORLD = (-180.0, -90.0, 180.0, 90.0)  # west, south, east, north in degrees
_WORLD_STEP = 0.25  # degrees of a pixel on the map that comes with the page
_FINEST_STEP = 0.002  # below it, the outlines have no more detail
_CITY_STEP = 0.12  # maps coarser than this have no room for cities
_MOST_CITIES = 90
_EARTH_KM = 6371.0088
_WITHIN_KM = 25  # of several cities so near, the largest names a place
_NEAR_KM = 100


@cache
def countries() -> pd.DataFrame:
    """Return the name and shape of each country."""
    return read_countries()


@cache
def cities() -> pd.DataFrame:
    """Return name, country, latitude and longitude of cities."""
    path = Path(__file__).with_name("cities.csv")
    return pd.read_csv(path, keep_default_na=False)


@cache
def _city_points() -> np.ndarray:
    points: np.ndarray = unit_vectors(*cities()[["latitude", "longitude"]].to_numpy().T)
    return points


def sheet(west: float, south: float, east: float, north: float, step: float) -> dict[str, Any]:
    """Return the land and the cities in a box of degrees, for a map with `step` degrees a pixel.

    `land` has a list of rings for each country; a ring is a list x, y, x, y … in units of `unit`
    degrees from west and south, the first point absolute, the others relative to the one before.
    """
    step = max(step, _FINEST_STEP)
    shapes = countries()["shape"].to_numpy()
    if (west, south, east, north) != WORLD:
        shapes = shapely.clip_by_rect(shapes, west, south, east, north)
    shapes = shapely.simplify(shapes, step / 2, preserve_topology=False)
    unit, land = step / 4, []
    for shape in shapes:
        parts = shapely.get_parts(shape)
        parts = parts[(shapely.get_dimensions(parts) == 2) & (shapely.area(parts) > step**2 / 3)]
        rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(parts)]
        if rings:
            land.append([_steps((ring - (west, south)) / unit) for ring in rings])
    table = cities() if step <= _CITY_STEP else cities()[:0]
    x, y = table["longitude"], table["latitude"]
    inside = table[(x >= west) & (x <= east) & (y >= south) & (y <= north)][:_MOST_CITIES]
    return {
        "box": [west, east, south, north],
        "unit": unit,
        "land": land,
        "cities": inside[["name", "latitude", "longitude"]].to_numpy().tolist(),
    }


def _steps(ring: np.ndarray) -> list[int]:
    found: list[int] = np.diff(ring.round().astype(int), axis=0, prepend=0).ravel().tolist()
    return found


@cache
def world() -> dict[str, Any]:
    """Return the sheet of the whole world, and `names`: where each country has room for its name.

    A name has latitude and longitude, and the width in degrees of the country there.
    """
    names = []
    for name, shape in countries().itertuples(index=False):
        parts = shapely.get_parts(shapely.simplify(shape, 0.1))
        largest = parts[np.argmax(shapely.area(parts))]
        latitude = shapely.point_on_surface(largest).y
        across = shapely.LineString([(-180, latitude), (180, latitude)])
        pieces = shapely.get_parts(shapely.intersection(largest, across))
        west, _, east, _ = pieces[np.argmax(shapely.length(pieces))].bounds
        names.append([name, round(latitude, 2), round((west + east) / 2, 2), round(east - west, 2)])
    names.sort(key=lambda entry: -float(entry[3]))
    return {**sheet(*WORLD, _WORLD_STEP), "names": names}


def near(latitude: float, longitude: float) -> str:
    """Return where a place is, as `near Santiago, Chile` or `240 km from Honolulu, …`."""
    table = cities()
    cosines = _city_points() @ unit_vectors(np.array([latitude]), np.array([longitude]))[0]
    close = np.flatnonzero(cosines > math.cos(_WITHIN_KM / _EARTH_KM))
    row = int(close[0] if len(close) else np.argmax(cosines))
    kilometres = math.acos(min(float(cosines[row]), 1.0)) * _EARTH_KM
    name, code = table["name"].iloc[row], table["country"].iloc[row]
    known = countries()["name"]
    city = f"{name}, {known[code]}" if code in known.index and known[code] != name else str(name)
    return f"near {city}" if kilometres <= _NEAR_KM else f"{kilometres:,.0f} km from {city}"
