"""Find the country of a place, and land areas, from polygons of the world's countries.

The polygons are Natural Earth's at 1:50 million with its de facto borders; countries.json names its
source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from geoload.messages import needed_for

with needed_for("countries", "coverage"):
    import antimeridian
    import pyproj
    import shapely

OFF_LAND = -1
_KM_PER_DEGREE = 111.195  # of latitude
_POLE = -89.99  # a ring south of it is the edge of the source's map and not a coast
_STEP = 0.02  # degrees; edges are straight in longitude and latitude
_ROWS, _COLUMNS = 180, 360  # the cells of one degree that speed up the search
_VERTICES = 16  # in a piece of outline; the nearest of many small pieces is found quickly


class Countries:
    """The world's countries.

    Attributes
    ----------
    names : list of str
        As Natural Earth abbreviates them.
    codes : list of str
        ISO 3166-1 numeric; empty for countries without one.
    land_km2 : ndarray of shape (n,)
        Land area on WGS 84, lakes included.
    parts : ndarray of shapely.Polygon
        Longitude and latitude in degrees; none crosses the antimeridian.
    owners : ndarray of int
        The country of each part, as an index of `names`.
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
        self.parts = np.array([part for some in polygons for part in some])
        self.owners = np.repeat(np.arange(len(polygons)), [len(some) for some in polygons])
        flat = shapely.transform(  # so that areas in the plane are areas in m²
            shapely.segmentize(self.parts, _STEP), lambda at: np.column_stack(_cylinder()(*at.T))
        )
        self.land_km2 = np.bincount(self.owners, shapely.area(flat) / 1e6, len(polygons))
        self._tree = shapely.STRtree(self.parts)
        shapely.prepare(self.parts)
        self._whole, self._edge_cells, self._edge_parts = self._sort_cells()
        self._outlines, self._outline_owners = self._cut_outlines()
        self._coasts: dict[int, tuple[shapely.STRtree, np.ndarray]] = {}

    def locate(
        self, latitude: np.ndarray, longitude: np.ndarray, coast_km: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the country of each place.

        Parameters
        ----------
        latitude, longitude : ndarray of shape (n,)
            Degrees.
        coast_km : float
            A place off land up to this distance belongs to the nearest country: coasts at this
            scale leave out beaches, piers and small islands.

        Returns
        -------
        country : ndarray of int, shape (n,)
            Index of `names`, or `OFF_LAND`.
        inside : ndarray of bool, shape (n,)
            Whether the place is inside the country's polygons, not just near them.
        """
        row = np.minimum(latitude + 90, _ROWS - 1).astype(np.intp)
        cell = row * _COLUMNS + np.minimum(longitude + 180, _COLUMNS - 1).astype(np.intp)
        country = self._whole[cell]
        for part, rows in _by_part(*self._on_edges(cell)):
            hits = rows[shapely.intersects_xy(self.parts[part], longitude[rows], latitude[rows])]
            country[hits] = self.owners[part]
        inside = country != OFF_LAND
        if coast_km > 0:
            rows = np.flatnonzero(~inside)
            country[rows] = self._nearest(latitude[rows], longitude[rows], coast_km)
        return country, inside

    def touch(self, west: Any, south: Any, east: Any, north: Any) -> np.ndarray:
        """Return which boxes, given by their edges in degrees, contain land: bool, shape (n,)."""
        boxes = shapely.box(west, south, east, north)
        found = np.zeros(len(boxes), bool)
        for part, rows in _by_part(*self._tree.query(boxes)):
            rows = rows[~found[rows]]
            found[rows] = shapely.intersects(self.parts[part], boxes[rows])
        return found

    def outlines(self) -> list[np.ndarray]:
        """Return borders and coasts as arrays of longitude and latitude."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.parts)]

    def _sort_cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the country of each cell inside one, and pairs of other cells and their parts.

        Most places are in the former and need no search. The pairs are ordered by part.
        """
        south, west = np.divmod(np.arange(_ROWS * _COLUMNS), _COLUMNS)
        boxes = shapely.box(west - 180, south - 90, west - 179, south - 89)
        whole = np.full(len(boxes), OFF_LAND)
        cells, parts = [], []
        for part, near in _by_part(*self._tree.query(boxes)):
            near = near[shapely.intersects(self.parts[part], boxes[near])]
            covered = shapely.covers(self.parts[part], boxes[near])
            whole[near[covered]] = self.owners[part]
            cells.append(near[~covered])
            parts.append(np.full(len(cells[-1]), part))
        return whole, np.concatenate(cells), np.concatenate(parts)

    def _on_edges(self, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of a place and a part that may contain it, for places by their cells."""
        order = np.argsort(cell, kind="stable")
        starts = np.searchsorted(cell[order], self._edge_cells)
        stops = np.searchsorted(cell[order], self._edge_cells, side="right")
        many = stops - starts
        # The places of each cell are a run of `order`; count on from where each run starts.
        first = np.repeat(starts - np.cumsum(many) + many, many)
        return order[first + np.arange(len(first))], np.repeat(self._edge_parts, many)

    def _nearest(self, latitude: np.ndarray, longitude: np.ndarray, coast_km: float) -> np.ndarray:
        """Return the country with the nearest outline, or `OFF_LAND` beyond `coast_km`.

        Distances are measured in a plane for each degree of latitude, which is exact enough for
        a few km.
        """
        country = np.full(len(latitude), OFF_LAND)
        bands = np.floor(latitude).astype(int)
        reach = coast_km / _KM_PER_DEGREE
        for band in np.unique(bands):
            rows = np.flatnonzero(bands == band)
            scale = np.cos(np.radians(band + 0.5))
            tree, owners = self._coast(band, scale, reach)
            places = shapely.points(longitude[rows] * scale, latitude[rows])
            near, piece = tree.query_nearest(places, max_distance=reach, all_matches=False)
            country[rows[near]] = owners[piece]
        return country

    def _coast(self, band: int, scale: float, reach: float) -> tuple[shapely.STRtree, np.ndarray]:
        """Return the outlines around a degree of latitude in its plane, and their owners."""
        if band not in self._coasts:
            south, north = shapely.bounds(self._outlines)[:, [1, 3]].T
            here = (north >= band - reach) & (south <= band + 1 + reach)
            scaled = shapely.transform(self._outlines[here], lambda xy: xy * (scale, 1))
            self._coasts[band] = shapely.STRtree(scaled), self._outline_owners[here]
        return self._coasts[band]

    def _cut_outlines(self) -> tuple[np.ndarray, np.ndarray]:
        """Return outlines in short pieces, those near the antimeridian on both sides of it."""
        lines: list[shapely.LineString] = []
        owners: list[int] = []
        rings, parts = shapely.get_rings(self.parts, return_index=True)
        for ring, owner in zip(rings, self.owners[parts], strict=True):
            points = shapely.get_coordinates(ring)
            for start in range(0, len(points) - 1, _VERTICES):
                piece = points[start : start + _VERTICES + 1]
                pieces = [piece]
                if np.abs(piece[:, 0]).max() > 179:
                    pieces.append(piece - (np.sign(piece[0, 0]) * 360, 0))
                lines += map(shapely.LineString, pieces)
                owners += [owner] * len(pieces)
        return np.array(lines), np.array(owners)


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


def _by_part(rows: np.ndarray, parts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Group the result of a tree's query: yield each part with its rows."""
    order = np.argsort(parts, kind="stable")
    rows, parts = rows[order], parts[order]
    starts = np.flatnonzero(np.diff(parts, prepend=-1))
    yield from zip(parts[starts], np.split(rows, starts[1:]), strict=False)


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
