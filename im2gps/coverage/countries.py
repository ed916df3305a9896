"""Find the country of a place, and land areas, from polygons of the world's countries.

The polygons are Natural Earth's at 1:50 million with its de facto borders; countries.json names its
source.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gcd_metric.polygons import PolygonMap, by_part
from geoload.messages import needed_for

with needed_for("countries", "coverage"):
    import antimeridian
    import pyproj
    import shapely

_POLE = -89.99  # a ring south of it is the edge of the source's map and not a coast
_STEP = 0.02  # degrees; edges are straight in longitude and latitude


class Countries(PolygonMap):
    """The world's countries, as polygons whose owners are indices of `names`.

    Attributes
    ----------
    names : list of str
        As Natural Earth abbreviates them.
    codes : list of str
        ISO 3166-1 numeric; empty for countries without one.
    land_km2 : ndarray of shape (n,)
        Land area on WGS 84, lakes included.
    """

    def __init__(self) -> None:
        text = Path(__file__).with_name("countries.json").read_text(encoding="utf-8")
        topology = json.loads(text)
        countries = topology["objects"]["countries"]["geometries"]
        self.names: list[str] = [country["properties"]["name"] for country in countries]
        self.codes: list[str] = [country.get("id", "") for country in countries]
        scale, origin = (topology["transform"][key] for key in ("scale", "translate"))
        arcs = [np.cumsum(arc, axis=0) * scale + origin for arc in topology["arcs"]]
        polygons = [_polygons(country, arcs) for country in countries]
        super().__init__(
            np.array([part for some in polygons for part in some]),
            np.repeat(np.arange(len(polygons)), [len(some) for some in polygons]),
        )
        flat = shapely.transform(  # so that areas in the plane are areas in m²
            shapely.segmentize(self.parts, _STEP), lambda at: np.column_stack(_cylinder()(*at.T))
        )
        self.land_km2 = np.bincount(self.owners, shapely.area(flat) / 1e6, len(polygons))

    def touch(self, west: Any, south: Any, east: Any, north: Any) -> np.ndarray:
        """Return which boxes, given by their edges in degrees, contain land: bool, shape (n,)."""
        boxes = shapely.box(west, south, east, north)
        found = np.zeros(len(boxes), bool)
        for part, rows in by_part(*self.tree.query(boxes)):
            rows = rows[~found[rows]]
            found[rows] = shapely.intersects(self.parts[part], boxes[rows])
        return found

    def outlines(self) -> list[np.ndarray]:
        """Return borders and coasts as arrays of longitude and latitude."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.parts)]


@cache
def load() -> Countries:
    """Return the world's countries, which a process reads once."""
    return Countries()


def area_km2(degrees: float, latitudes: np.ndarray) -> np.ndarray:
    """Return areas on WGS 84 between consecutive latitudes, over some degrees of longitude."""
    x, y = _cylinder()(np.full(len(latitudes), degrees), latitudes)
    return np.asarray(x[1:] * np.diff(y) / 1e6)


@cache
def _cylinder() -> pyproj.Proj:
    return pyproj.Proj("+proj=cea +ellps=WGS84")


def _polygons(country: dict[str, Any], arcs: list[np.ndarray]) -> list[shapely.Polygon]:
    """Return the polygons of a country, cut where they cross the antimeridian."""
    polygons = [country["arcs"]] if country["type"] == "Polygon" else country["arcs"]
    found: list[shapely.Polygon] = []
    for polygon in polygons:
        rings = [_ring(ids, arcs) for ids in polygon]
        outer, *holes = [ring for ring in rings if ring[:, 1].max() > _POLE]
        whole = shapely.Polygon(outer, holes)
        if np.abs(np.diff(outer[:, 0])).max() > 180:
            cut = antimeridian.fix_polygon(whole, fix_winding=False, great_circle=False)
            found += getattr(cut, "geoms", [cut])
        else:
            found.append(whole)
    return found


def _ring(ids: list[int], arcs: list[np.ndarray]) -> np.ndarray:
    """Join arcs into a ring; the file has exterior rings clockwise, GeoJSON the other way."""
    lines = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in ids]
    return np.concatenate([lines[0][:1], *[line[1:] for line in lines]])[::-1]
