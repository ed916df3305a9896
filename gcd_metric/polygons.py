"""Finds which of many polygons on the earth contains a place, or lies next to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

# shapely is imported where it is used, because only place names and maps need it

OFF_LAND = -1
_KM_PER_DEGREE = 111.195  # of latitude
_ROWS, _COLUMNS = 180, 360  # the cells of one degree that speed up the search
_VERTICES = 16  # in a piece of outline; the nearest of many small pieces is found quickly
_NEAR_180 = 178  # degrees; outlines beyond are searched from the other side of 180, too


class PolygonMap:
    """Polygons with owners, such as the parts of countries, and the search for places in them.

    Parameters
    ----------
    parts : ndarray of shapely.Polygon, shape (n,)
        Longitude and latitude in degrees; none crosses the antimeridian.
    owners : ndarray of int, shape (n,)
        The owner of each part, from 0.
    """

    def __init__(self, parts: np.ndarray, owners: np.ndarray) -> None:
        import shapely

        self.parts, self.owners = parts, owners
        self.tree = shapely.STRtree(parts)
        shapely.prepare(parts)
        self._whole, self._edge_cells, self._edge_parts = self._sort_cells()
        self._coasts: dict[tuple[int, float], tuple[Any, np.ndarray]] = {}

    def locate(
        self, latitude: np.ndarray, longitude: np.ndarray, coast_km: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the owner of each place.

        Parameters
        ----------
        latitude, longitude : ndarray of shape (n,)
            Degrees.
        coast_km : float
            A place off land up to this distance belongs to the nearest owner: polygons leave out
            beaches, piers and small islands.

        Returns
        -------
        owner : ndarray of int, shape (n,)
            An index, or `OFF_LAND`.
        inside : ndarray of bool, shape (n,)
            Whether the place is inside the owner's polygons, not just near them.
        """
        import shapely

        row = np.minimum(latitude + 90, _ROWS - 1).astype(np.intp)
        cell = row * _COLUMNS + np.minimum(longitude + 180, _COLUMNS - 1).astype(np.intp)
        owner = self._whole[cell]
        for part, near in by_part(*self._on_edges(cell)):
            hits = near[shapely.intersects_xy(self.parts[part], longitude[near], latitude[near])]
            owner[hits] = self.owners[part]
        inside = owner != OFF_LAND
        if coast_km > 0:
            off_land = np.flatnonzero(~inside)
            owner[off_land] = self._nearest(latitude[off_land], longitude[off_land], coast_km)
        return owner, inside

    def _sort_cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the owner of each cell inside one, and pairs of other cells and their parts.

        Most places are in the former and need no search. The pairs are ordered by part.
        """
        import shapely

        south, west = np.divmod(np.arange(_ROWS * _COLUMNS), _COLUMNS)
        boxes = shapely.box(west - 180, south - 90, west - 179, south - 89)
        whole = np.full(len(boxes), OFF_LAND)
        cells, parts = [], []
        for part, near in by_part(*self.tree.query(boxes)):
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
        """Return the owner with the nearest outline, or `OFF_LAND` beyond `coast_km`.

        Distances are measured in a plane for each degree of latitude, which is exact enough for
        a few km.
        """
        import shapely

        owner = np.full(len(latitude), OFF_LAND)
        bands = np.floor(latitude).astype(int)
        reach = coast_km / _KM_PER_DEGREE
        for band in np.unique(bands):
            rows = np.flatnonzero(bands == band)
            scale = np.cos(np.radians(band + 0.5))
            tree, owners = self._coast(band, scale, reach)
            places = shapely.points(longitude[rows] * scale, latitude[rows])
            near, piece = tree.query_nearest(places, max_distance=reach, all_matches=False)
            owner[rows[near]] = owners[piece]
        return owner

    def _coast(self, band: int, scale: float, reach: float) -> tuple[Any, np.ndarray]:
        """Return the outlines around a degree of latitude in its plane, and their owners."""
        import shapely

        if (band, reach) not in self._coasts:
            outlines, owners, south, north = self._outlines
            here = (north >= band - reach) & (south <= band + 1 + reach)
            scaled = shapely.transform(outlines[here], lambda xy: xy * (scale, 1))
            self._coasts[band, reach] = shapely.STRtree(scaled), owners[here]
        return self._coasts[band, reach]

    @cached_property
    def _outlines(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Short pieces of outlines, their owners, and their southern and northern ends.

        Pieces near the antimeridian are on both sides of it.
        """
        import shapely

        lines: list[Any] = []
        owners: list[int] = []
        rings, parts = shapely.get_rings(self.parts, return_index=True)
        for ring, owner in zip(rings, self.owners[parts].tolist(), strict=True):
            points = shapely.get_coordinates(ring)
            for start in range(0, len(points) - 1, _VERTICES):
                piece = points[start : start + _VERTICES + 1]
                pieces = [piece]
                if np.abs(piece[:, 0]).max() > _NEAR_180:
                    pieces.append(piece - (np.sign(piece[0, 0]) * 360, 0))
                lines += map(shapely.LineString, pieces)
                owners += [owner] * len(pieces)
        _, south, _, north = shapely.bounds(lines).T
        return np.array(lines), np.array(owners), south, north


def by_part(rows: np.ndarray, parts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Group the result of a tree's query: yield each part with its rows."""
    order = np.argsort(parts, kind="stable")
    rows, parts = rows[order], parts[order]
    starts = np.flatnonzero(np.diff(parts, prepend=-1))
    yield from zip(parts[starts], np.split(rows, starts[1:]), strict=False)
