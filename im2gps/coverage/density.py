"""Count the photos of a table by country and by cell, and compute densities and concentration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gcd_metric.columns import ADVICE, Unclear, find_pair
from gcd_metric.csv_files import is_csv, open_csv
from gcd_metric.polygons import OFF_LAND
from geoload.files import is_clutter
from geoload.messages import progress_bar
from geoload.report import Findings, Kind
from im2gps.coverage.countries import Countries, area_km2, load

PAPER_PHOTOS_PER_KM2 = 0.0435
PAPER = "Hays and Efros, IM2GPS, CVPR 2008"
TRAINING_TABLE = "photos.parquet"
UNUSABLE = Kind("unusable_row", "rows without usable coordinates")
_MAX_SLIPS = 0.01  # share of rows that may have a latitude out of range by mistake
_BATCH_ROWS = 131_072
_SHARES = (0.01, 0.1, 0.5)  # of the land, for the concentration
_FINEST = 0.1  # degrees
_FARTHEST_COAST_KM = 100.0
_BOXES = 100_000  # cells that are compared with the land at a time

Columns = tuple["pd.Series[Any]", "pd.Series[Any]"]


@dataclass
class Cells:
    """A grid of latitude and longitude over the whole world, from the south-west corner.

    `degrees` is the side of a cell, of which 180 is a multiple. `area_km2` is the area of a cell in
    each row on WGS 84.
    """

    degrees: float
    area_km2: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rows = round(180 / self.degrees) if self.degrees > 0 else 0
        if not rows or self.degrees < _FINEST or abs(rows * self.degrees - 180) > 1e-6:
            raise ValueError(
                f"cells of {self.degrees:g} degrees do not fit: give a divisor of 180 such as 5, "
                f"1, 0.5 or 0.25, at least {_FINEST:g}"
            )
        self.area_km2 = area_km2(self.degrees, np.linspace(-90, 90, rows + 1))

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
        """Return which cells contain land, as an array of bool of `shape`."""
        size, found = self.shape[0] * self.shape[1], []
        for start in range(0, size, _BOXES):
            south, west = self.corners(np.arange(start, min(start + _BOXES, size)))
            found.append(countries.touch(west, south, west + self.degrees, south + self.degrees))
        return np.concatenate(found).reshape(self.shape)


@dataclass
class Coverage:
    """The number of photos in each country (or off its coast), and of all photos in each cell.

    `near_coast` photos are outside the polygons and belong to the nearest country; `off_land`
    photos are too far from any.
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
        """Land of the earth, with lakes and without ice shelves."""
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
        Side of the cells, a divisor of 180.
    coast_km : float
        A photo off land up to this distance belongs to the nearest country; at most 100.
    """
    if not 0 <= coast_km <= _FARTHEST_COAST_KM:
        raise ValueError(
            f"the distance to a coast should be 0 to {_FARTHEST_COAST_KM:g} km, not {coast_km:g}"
        )
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
    """Measure how unevenly photos are spread over an area; None if there is no photo.

    Parameters
    ----------
    photos, area : ndarray of shape (n,)
        Of each cell.

    Returns
    -------
    dict
        `share_in_densest`: the shares of the photos in the densest 1, 10 and 50 % of the area.
        `gini`: the Gini coefficient of photos over area, from 0 (even) to 1. `empty`: the share of
        the area in cells without a photo.

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
    """Return all figures except the tables, as plain data.

    The concentration is over the cells that contain land, each weighted by its area.
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
    """Return a table of all countries, most photos first, and a last row for off land."""
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
    """Return a table of the cells with photos, most photos first."""
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


# --- the table of photos ------------------------------------------------------------------------


def find_table(source: str | Path) -> Path:
    """Return the table of a path: the file itself, or the training table in a folder.

    Raises
    ------
    ValueError
        When there is no table, or there are several and none is the training table.
    """
    path = Path(source)
    if path.is_file():
        if not _is_table(path):
            raise ValueError(f"{path}: a table of coordinates is a .csv, .tsv or .parquet file")
        return path
    if not path.is_dir():
        raise ValueError(f"{path}: there is no such file or folder")
    files = [file for file in path.iterdir() if file.is_file() and not is_clutter(file.name)]
    tables = sorted(file for file in files if _is_table(file))
    usual = [table for table in tables if table.name == TRAINING_TABLE]
    if len(usual or tables) != 1:
        found = ", ".join(table.name for table in tables[:5]) or "none"
        raise ValueError(
            f"{path}: expected {TRAINING_TABLE}, or one table of coordinates; found: {found}. Name "
            "the file itself"
        )
    return (usual or tables)[0]


def _is_table(path: Path) -> bool:
    return is_csv(path) or path.suffix.lower() == ".parquet"


def read_batches(path: Path, findings: Findings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield latitudes and longitudes in degrees from a CSV, TSV or Parquet file, in little memory.

    Columns are found by their usual names. Rows whose coordinates are empty, not numbers or out of
    range are left out and counted in `findings`.

    Raises
    ------
    ValueError
        When the file cannot be read or a column is missing; at the end, when latitudes and
        longitudes look swapped.
    """
    row = beyond = 0  # rows so far, and how many have a latitude out of range
    farthest = np.zeros(2)
    with progress_bar(path.name, unit="row") as bar:
        for columns in _parquet(path, bar) if path.suffix.lower() == ".parquet" else _csv(path):
            numbers = [pd.to_numeric(column, errors="coerce") for column in columns]
            degrees = np.array([n.to_numpy(dtype=np.float64, na_value=np.nan) for n in numbers])
            latitude, longitude = degrees
            good = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
            beyond += int((np.abs(latitude) > 90).sum())
            farthest = np.fmax(farthest, np.fmax.reduce(np.abs(degrees), axis=1, initial=0))
            bad = np.flatnonzero(~good)
            cells = [
                (row + i + 1, *(_shown(column.iloc[i]) for column in columns)) for i in bad[:5]
            ]
            names = [f"row {number}: {lat} {lon}" for number, lat, lon in cells]
            findings.add_many(UNUSABLE, len(bad), names)
            row += len(good)
            bar.update(len(good))
            yield latitude[good], longitude[good]
    # A few may be typing errors, in a region without longitudes beyond 90 degrees.
    if beyond > row * _MAX_SLIPS and farthest[0] <= 180 and farthest[1] <= 90:
        raise ValueError(
            f"{path}: {beyond:,} of {row:,} rows have a latitude beyond ±90 degrees, and none a "
            "longitude; latitude and longitude look swapped"
        )


def _shown(cell: Any) -> str:
    return f"{cell:.7g}" if isinstance(cell, float) else repr(cell)[:20]


def _coordinate_columns(path: Path, names: list[str]) -> list[str]:
    try:
        return list(find_pair(names).values())
    except Unclear as error:
        raise ValueError(f"{path}: {error}; {ADVICE.format(error.role)}") from None


def _parquet(path: Path, bar: Any) -> Iterator[Columns]:
    import pyarrow
    from pyarrow import parquet

    try:
        # Without reading ahead, which would keep both columns in memory.
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            bar.total = file.metadata.num_rows
            latitude, longitude = _coordinate_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH_ROWS, columns=[latitude, longitude]):
                yield batch.column(latitude).to_pandas(), batch.column(longitude).to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: {error}") from None


def _csv(path: Path) -> Iterator[Columns]:
    opened = open_csv(path, str(path))
    names, read = opened.names, opened.read
    rows = read([names[0], *_coordinate_columns(path, names)])
    while batch := list(islice(rows, _BATCH_ROWS)):
        latitude, longitude = ([row[at] for row in batch] for at in (1, 2))
        yield pd.Series(latitude, dtype=object), pd.Series(longitude, dtype=object)
