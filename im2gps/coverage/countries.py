"""Countries as polygons: land areas, and in which country a place lies.

The polygons are Natural Earth's at 1:50 million (countries.json says from where), with its de facto
borders. Not here: reading tables, counting photos.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from geoload.messages import needed_for

with needed_for("countries", "coverage"):
    import shapely

EARTH_RADIUS_KM = 6371.0072  # of the sphere that has the surface of WGS 84
OFF_LAND = -1
_KM_PER_DEGREE = np.radians(1) * EARTH_RADIUS_KM
_ECCENTRICITY = 0.0818191908426  # of WGS 84
_POLE = -89.99  # below it a ring is no coast, only the edge of the source's map
_ROWS, _COLUMNS = 180, 360  # cells of a degree, in which places are sorted before the search
_VERTICES = 16  # of one piece of outline; small pieces make the nearest one quick to find


class Countries:
    """The world's countries.

    Attributes
    ----------
    names : list of str
        As Natural Earth abbreviates them.
    codes : list of str
        ISO 3166-1 numeric; empty where there is none.
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
        arcs = _arcs(topology)
        pieces = [_polygons(country, arcs) for country in countries]
        self.parts = np.array([part for some in pieces for part in some])
        self.owners = np.repeat(np.arange(len(pieces)), [len(some) for some in pieces])
        areas = np.array([_area_km2(part) for part in self.parts])
        self.land_km2 = np.bincount(self.owners, areas, len(pieces))
        self._tree = shapely.STRtree(self.parts)
        self._coasts: dict[int, tuple[Any, np.ndarray]] = {}
        shapely.prepare(self.parts)
        self._whole, self._edge_cells, self._edge_parts = self._sort_cells()
        self._outlines, self._outline_owners = self._cut_outlines()

    def locate(
        self, latitude: np.ndarray, longitude: np.ndarray, coast_km: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the country of each place.

        Parameters
        ----------
        latitude, longitude : ndarray of shape (n,)
            Degrees.
        coast_km : float
            How far from land a place still belongs to the nearest country: coasts at this scale
            leave out beaches, piers and small islands.

        Returns
        -------
        country : ndarray of int, shape (n,)
            Index of `names`, or `OFF_LAND`.
        inside : ndarray of bool, shape (n,)
            Whether the place lies inside the country's polygons, not just near them.
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
        """Tell which boxes, given by their edges in degrees, hold any land.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        boxes = shapely.box(west, south, east, north)
        found = np.zeros(len(boxes), bool)
        for part, rows in _by_part(*self._tree.query(boxes)):
            rows = rows[~found[rows]]
            found[rows] = shapely.intersects(self.parts[part], boxes[rows])
        return found

    def outlines(self) -> list[np.ndarray]:
        """Borders and coasts as arrays of longitude and latitude, for drawing."""
        rings = shapely.get_rings(self.parts)
        return [shapely.get_coordinates(ring) for ring in rings]

    def _sort_cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which degrees are inside one country, and in which an edge of a part runs.

        Most places lie in the former and need not be looked for; of the latter come the cells and
        the parts, in the order of the parts.
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
        """Pairs of a place and a part that may hold it, for places by their cells."""
        order = np.argsort(cell, kind="stable")
        starts = np.searchsorted(cell[order], self._edge_cells)
        stops = np.searchsorted(cell[order], self._edge_cells, side="right")
        many = stops - starts
        # the places of each cell are a run of `order`; count on from where each run starts
        first = np.repeat(starts - np.cumsum(many) + many, many)
        return order[first + np.arange(len(first))], np.repeat(self._edge_parts, many)

    def _nearest(self, latitude: np.ndarray, longitude: np.ndarray, coast_km: float) -> np.ndarray:
        """The country whose outline is nearest, or `OFF_LAND` where none is within `coast_km`.

        Measured in a plane for each degree of latitude, which is exact enough for some km.
        """
        country = np.full(len(latitude), OFF_LAND)
        bands = np.floor(latitude).astype(int)
        reach = coast_km / _KM_PER_DEGREE
        for band in np.unique(bands):
            rows = np.flatnonzero(bands == band)
            shrink = np.cos(np.radians(band + 0.5))
            tree, owners = self._coast(band, shrink, reach)
            places = shapely.points(longitude[rows] * shrink, latitude[rows])
            near, piece = tree.query_nearest(places, max_distance=reach, all_matches=False)
            country[rows[near]] = owners[piece]
        return country

    def _coast(self, band: int, shrink: float, reach: float) -> tuple[Any, np.ndarray]:
        if band not in self._coasts:
            south, north = shapely.bounds(self._outlines)[:, [1, 3]].T
            here = (north >= band - reach) & (south <= band + 1 + reach)
            scaled = shapely.transform(self._outlines[here], lambda xy: xy * (shrink, 1))
            self._coasts[band] = shapely.STRtree(scaled), self._outline_owners[here]
        return self._coasts[band]

    def _cut_outlines(self) -> tuple[np.ndarray, np.ndarray]:
        """Outlines in short pieces, those by the antimeridian on both sides of it."""
        lines, owners = [], []
        for part, owner in zip(self.parts, self.owners, strict=True):
            for ring in shapely.get_rings(part):
                points = shapely.get_coordinates(ring)
                for start in range(0, len(points) - 1, _VERTICES):
                    piece = points[start : start + _VERTICES + 1]
                    lines.append(piece)
                    owners.append(owner)
                    if np.abs(piece[:, 0]).max() > 179:
                        lines.append(piece - (np.sign(piece[0, 0]) * 360, 0))
                        owners.append(owner)
        return np.array([shapely.LineString(line) for line in lines]), np.array(owners)


@cache
def load() -> Countries:
    """Return the world's countries, read once a process."""
    return Countries()


def _by_part(rows: np.ndarray, parts: np.ndarray) -> Any:
    """Group what a tree found: each part, with the rows whose boxes meet its box."""
    order = np.argsort(parts, kind="stable")
    rows, parts = rows[order], parts[order]
    starts = np.flatnonzero(np.diff(parts, prepend=-1))
    yield from zip(parts[starts], np.split(rows, starts[1:]), strict=False)


# --- the file -----------------------------------------------------------------------------------


def _arcs(topology: dict[str, Any]) -> list[np.ndarray]:
    scale, origin = (topology["transform"][key] for key in ("scale", "translate"))
    return [np.cumsum(arc, axis=0) * scale + origin for arc in topology["arcs"]]


def _polygons(country: dict[str, Any], arcs: list[np.ndarray]) -> list[Any]:
    """The polygons of a country, valid, and cut where they cross the antimeridian."""
    polygons = [country["arcs"]] if country["type"] == "Polygon" else country["arcs"]
    found: list[Any] = []
    for polygon in polygons:
        rings = [_ring(ids, arcs) for ids in polygon]
        outer, *holes = [ring for ring in rings if ring[:, 1].max() > _POLE]
        whole = shapely.Polygon(outer, holes)
        beyond = np.abs(outer[:, 0]).max() > 180
        found += _cut(shapely.make_valid(whole)) if beyond else [whole]
    return found


def _cut(whole: Any) -> list[Any]:
    """Cut along the antimeridian, and turn what lies beyond it back into -180 to 180."""
    found = []
    for turn in (-360, 0, 360):
        piece = shapely.intersection(whole, shapely.box(turn - 180, -90, turn + 180, 90))
        moved = shapely.transform(piece, lambda xy, turn=turn: xy - (turn, 0))
        found += [part for part in _flat(moved) if part.area]
    return found


def _flat(geometry: Any) -> list[Any]:
    parts = getattr(geometry, "geoms", [geometry])
    if any(hasattr(part, "geoms") for part in parts):
        return [piece for part in parts for piece in _flat(part)]
    return list(parts)


def _ring(ids: list[int], arcs: list[np.ndarray]) -> np.ndarray:
    """Join arcs into a ring that does not jump; one around the South Pole is led through it."""
    lines = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in ids]
    ring = np.concatenate([lines[0][:1], *[line[1:] for line in lines]])
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    first, last = ring[0, 0], ring[-1, 0]
    if abs(last - first) > 180:
        ring = np.concatenate([ring, [(last, -90), (first, -90), ring[0]]])
    return ring


def sine_of_authalic_latitude(degrees: Any) -> np.ndarray:
    """The sine of the latitude at which a sphere has as much surface to the south as WGS 84.

    With it areas between meridians and parallels are those on the ellipsoid: up to 0.9 % more or
    less than with the latitude itself.

    References
    ----------
    J. P. Snyder, "Map projections: a working manual", U.S. Geological Survey Professional Paper
    1395, 1987, p. 16.
    """
    return _authalic(np.sin(np.radians(degrees))) / _authalic(np.ones(()))


def _authalic(sine: np.ndarray) -> np.ndarray:
    e = _ECCENTRICITY
    return (1 - e * e) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)


def _area_km2(polygon: Any) -> float:
    """Area of a polygon whose edges are straight in longitude and latitude."""
    rings = shapely.get_rings(polygon)
    outer, *holes = [_ring_area_km2(shapely.get_coordinates(ring)) for ring in rings]
    return outer - sum(holes)


def _ring_area_km2(ring: np.ndarray) -> float:
    """The integral of the sine of latitude over longitude, along each edge."""
    longitude = np.radians(ring[:, 0])
    latitude = np.arcsin(np.clip(sine_of_authalic_latitude(ring[:, 1]), -1, 1))
    middle, half = (latitude[1:] + latitude[:-1]) / 2, np.diff(latitude) / 2
    mean_sine = np.sin(middle) * np.sinc(half / np.pi)
    return float(abs((mean_sine * np.diff(longitude)).sum()) * EARTH_RADIUS_KM**2)
