"""Photos by country and by cell: counts, densities, concentration.

Polygons are countries.py, reading is coordinates.py, what is printed and written is command.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from im2gps.coverage.countries import (
    EARTH_RADIUS_KM,
    OFF_LAND,
    Countries,
    load,
    sine_of_authalic_latitude,
)

PAPER_PHOTOS_PER_KM2 = 0.0435
PAPER = "Hays and Efros, IM2GPS, CVPR 2008"
_SHARES = (0.01, 0.1, 0.5)  # of the land, at which concentration is reported
_FINEST = 0.1
_FARTHEST_COAST_KM = 100.0
_BOXES = 100_000  # looked up at a time


@dataclass
class Cells:
    """A grid of latitude and longitude over the whole world, from the south-west corner.

    Attributes
    ----------
    degrees : float
        Side of a cell; 180 is a multiple of it.
    area_km2 : ndarray of shape (rows,)
        Of a cell in each row, on WGS 84.
    """

    degrees: float
    area_km2: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rows = round(180 / self.degrees) if self.degrees > 0 else 0
        if not rows or self.degrees < _FINEST or abs(rows * self.degrees - 180) > 1e-6:
            raise ValueError(
                f"cells of {self.degrees:g} degrees do not fit: take a part of 180 such as 5, 1, "
                f"0.5 or 0.25, and at least {_FINEST:g}"
            )
        sines = sine_of_authalic_latitude(np.linspace(-90, 90, rows + 1))
        self.area_km2 = EARTH_RADIUS_KM**2 * np.radians(self.degrees) * np.diff(sines)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows from south to north, columns from west to east."""
        return len(self.area_km2), 2 * len(self.area_km2)

    def index(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        """Return the flat index of the cell of each place."""
        rows, columns = self.shape
        row = np.minimum((latitude + 90) * (rows / 180), rows - 1).astype(np.intp)
        column = ((longitude + 180) * (columns / 360)).astype(np.intp) % columns
        return row * columns + column

    def corners(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return latitude and longitude of the south-west corner of cells."""
        rows, columns = self.shape
        row, column = np.divmod(index, columns)
        return row * 180 / rows - 90, column * 360 / columns - 180

    def with_land(self, countries: Countries) -> np.ndarray:
        """Tell which cells hold any land, as an array of bool of `shape`."""
        found = []
        for start in range(0, self.shape[0] * self.shape[1], _BOXES):
            stop = min(start + _BOXES, self.shape[0] * self.shape[1])
            south, west = self.corners(np.arange(start, stop))
            found.append(countries.touch(west, south, west + self.degrees, south + self.degrees))
        return np.concatenate(found).reshape(self.shape)


@dataclass
class Coverage:
    """Where the photos are.

    Attributes
    ----------
    countries : Countries
    cells : Cells
    by_country : ndarray of int, shape (n,)
        Photos inside each country or off its coast.
    by_cell : ndarray of int, shape `cells.shape`
        All photos.
    near_coast, off_land : int
        How many of the photos are outside the polygons and were counted to the nearest country,
        and how many are too far from any.
    """

    countries: Countries
    cells: Cells
    by_country: np.ndarray
    by_cell: np.ndarray
    near_coast: int = 0
    off_land: int = 0

    @property
    def photos(self) -> int:
        """All photos with usable coordinates."""
        return int(self.by_cell.sum())

    @property
    def land_km2(self) -> float:
        """Land of the earth, lakes included and shelf ice not."""
        return float(self.countries.land_km2.sum())


def count(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], degrees: float = 1.0, coast_km: float = 10.0
) -> Coverage:
    """Count photos by country and by cell.

    Parameters
    ----------
    batches : iterable of (latitude, longitude)
        Arrays of degrees.
    degrees : float
        Side of the cells.
    coast_km : float
        How far off the polygons a photo still counts to the nearest country.

    Returns
    -------
    Coverage

    Raises
    ------
    ValueError
        If the cells do not fit the globe, or the distance is none or beyond 100 km.
    """
    if not 0 <= coast_km <= _FARTHEST_COAST_KM:
        raise ValueError(f"a coast is 0 to {_FARTHEST_COAST_KM:g} km away, not {coast_km:g}")
    cells, countries = Cells(degrees), load()
    size = cells.shape[0] * cells.shape[1]
    by_country = np.zeros(len(countries.names), np.int64)
    by_cell = np.zeros(size, np.int64)
    near_coast = off_land = 0
    for latitude, longitude in batches:
        country, inside = countries.locate(latitude, longitude, coast_km)
        found = country[country != OFF_LAND]
        by_country += np.bincount(found, minlength=len(by_country))
        by_cell += np.bincount(cells.index(latitude, longitude), minlength=size)
        near_coast += len(found) - int(inside.sum())
        off_land += len(country) - len(found)
    grid = by_cell.reshape(cells.shape)
    return Coverage(countries, cells, by_country, grid, near_coast, off_land)


# --- figures ------------------------------------------------------------------------------------


def concentration(photos: np.ndarray, area: np.ndarray) -> dict[str, Any] | None:
    """How unevenly photos are spread over an area.

    Parameters
    ----------
    photos, area : ndarray of shape (n,)
        Of each cell.

    Returns
    -------
    dict, or None where there is no photo
        `share_in_densest`: for 1, 10 and 50 % of the area, taken from the densest cells on, the
        share of the photos there. `gini`: the Gini coefficient of photos over area, from 0 (even)
        to 1. `empty`: the share of the area in cells without a photo.

    References
    ----------
    C. Gini, "Measurement of inequality of incomes", The Economic Journal 31 (121), 1921,
    pp. 124-126.
    """
    if not photos.any():
        return None
    order = np.argsort(-photos / area, kind="stable")
    of_area = np.concatenate([[0], np.cumsum(area[order])]) / area.sum()
    of_photos = np.concatenate([[0], np.cumsum(photos[order])]) / photos.sum()
    under = ((of_photos[1:] + of_photos[:-1]) / 2 * np.diff(of_area)).sum()
    shares = np.interp(_SHARES, of_area, of_photos)
    return {
        "share_in_densest": {f"{at:.0%}": float(s) for at, s in zip(_SHARES, shares, strict=True)},
        "gini": float(2 * under - 1),
        "empty": float(area[photos == 0].sum() / area.sum()),
    }


def figures(coverage: Coverage) -> dict[str, Any]:
    """Every figure but the tables, as plain data.

    Parameters
    ----------
    coverage : Coverage

    Returns
    -------
    dict
        Photos by where they are, land in km², density, and how concentrated the photos are over
        the cells that hold land, each weighted by its area.
    """
    land = coverage.cells.with_land(coverage.countries)
    areas = np.broadcast_to(coverage.cells.area_km2[:, None], coverage.cells.shape)
    empty = coverage.by_country == 0
    return {
        "photos": coverage.photos,
        "in_countries": int(coverage.by_country.sum()),
        "of_these_off_the_coast": coverage.near_coast,
        "off_land": coverage.off_land,
        "land_km2": round(coverage.land_km2),
        "photos_per_km2_of_land": coverage.photos / coverage.land_km2,
        "published": {"photos_per_km2_of_land": PAPER_PHOTOS_PER_KM2, "source": PAPER},
        "countries_without_photos": np.array(coverage.countries.names)[empty].tolist(),
        "cell_degrees": coverage.cells.degrees,
        "land_cells": int(land.sum()),
        "land_cells_without_photos": int(np.count_nonzero(coverage.by_cell[land] == 0)),
        "over_land_cells": concentration(coverage.by_cell[land], areas[land]),
    }


def by_country(coverage: Coverage) -> pd.DataFrame:
    """All countries, most photos first, and in the last row what is off land.

    Columns `country`, `iso_3166_1_numeric`, `photos`, `share`, `land_km2`, `photos_per_km2`.
    """
    countries = coverage.countries
    table = pd.DataFrame(
        {
            "country": countries.names,
            "iso_3166_1_numeric": countries.codes,
            "photos": coverage.by_country,
            "share": coverage.by_country / coverage.photos,
            "land_km2": countries.land_km2.round(1),
            "photos_per_km2": coverage.by_country / countries.land_km2,
        }
    ).sort_values(["photos", "country"], ascending=[False, True], ignore_index=True)
    row = ["(off land)", "", coverage.off_land, coverage.off_land / coverage.photos, np.nan, np.nan]
    return pd.concat([table, pd.DataFrame([row], columns=table.columns)], ignore_index=True)


def by_cell(coverage: Coverage) -> pd.DataFrame:
    """The cells with photos, most photos first.

    Columns `south`, `west` (degrees), `photos`, `share`, `area_km2`, `photos_per_km2`.
    """
    counts = coverage.by_cell.ravel()
    filled = np.flatnonzero(counts)
    south, west = coverage.cells.corners(filled)
    area = coverage.cells.area_km2[filled // coverage.cells.shape[1]]
    table = pd.DataFrame(
        {
            "south": south.round(6),
            "west": west.round(6),
            "photos": counts[filled],
            "share": counts[filled] / coverage.photos,
            "area_km2": area.round(1),
            "photos_per_km2": counts[filled] / area,
        }
    )
    return table.sort_values("photos", ascending=False, kind="stable", ignore_index=True)
