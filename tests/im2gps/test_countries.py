"""The polygons are valid, have the right area, and give the right country for a place."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

shapely = pytest.importorskip("shapely")

from gcd_metric import haversine
from gcd_metric.polygons import OFF_LAND
from im2gps.coverage import countries

COAST_KM = 10


@pytest.fixture(scope="module")
def world():
    return countries.load()


def located(world, places, coast_km=COAST_KM):
    latitude, longitude = np.array(places, float).T
    found, _ = world.locate(latitude, longitude, coast_km)
    return [None if i == OFF_LAND else world.names[i] for i in found]


PLACES = {
    (48.86, 2.35): "France",
    (1.29, 103.85): "Singapore",
    (21.28, -157.83): "United States of America",  # Waikiki
    (-29.4, 27.9): "Lesotho",  # a hole in South Africa
    (66.0, -175.0): "Russia",  # beyond the antimeridian
    (66.0, 180.0): "Russia",
    (66.0, -180.0): "Russia",
    (-90.0, 0.0): "Antarctica",
    (-89.9999, 123.4): "Antarctica",
    (-77.85, 166.67): "Antarctica",
    (49.61, 6.13): "Luxembourg",
    (90.0, 0.0): None,
    (0.0, 0.0): None,
    (0.0, 180.0): None,
}


def test_places_are_in_their_countries(world):
    assert dict(zip(PLACES, located(world, list(PLACES)), strict=True)) == PLACES
    # the border itself: one of both
    assert located(world, [(49.0, -100.0)], 0)[0] in ("Canada", "United States of America")


def test_beaches_and_piers_belong_to_the_country_behind_them(world):
    piers = [(40.57, -73.98), (45.43, 12.40), (-33.89, 151.29)]  # Coney Island, Lido, Bondi
    assert located(world, piers, 0) != located(world, piers)
    assert located(world, piers) == ["United States of America", "Italy", "Australia"]
    # over the antimeridian: an island of Fiji on one side, the place on the other
    assert located(world, [(-16.8, -179.85)], 30) == ["Fiji"]


# Total areas of the CIA World Factbook, in km².
AREAS = {
    "Russia": 17_098_242,
    "Canada": 9_984_670,
    "Brazil": 8_515_770,
    "Australia": 7_741_220,
    "South Africa": 1_219_090,
    "Egypt": 1_001_450,
    "France": 643_801,
    "Germany": 357_022,
    "New Zealand": 268_838,
    "Iceland": 103_000,
    "Switzerland": 41_277,
    "Lesotho": 30_355,
    "Luxembourg": 2_586,
}


def test_land_areas_agree_with_published_ones(world):
    area = dict(zip(world.names, world.land_km2, strict=True))
    assert {name: area[name] for name in AREAS} == pytest.approx(AREAS, rel=0.015)
    # 148.94 million with 14.2 of Antarctica and its shelf ice, which is not land here
    assert area["Antarctica"] == pytest.approx(12.3e6, rel=0.02)
    assert sum(area.values()) - area["Antarctica"] == pytest.approx(134.7e6, rel=0.005)


def test_areas_are_on_the_ellipsoid(world):
    pyproj = pytest.importorskip("pyproj")
    ellipsoid = pyproj.Geod(ellps="WGS84")
    for name in ("Norway", "Brazil", "Switzerland", "New Zealand"):
        parts = world.parts[world.owners == world.names.index(name)]
        measured = [ellipsoid.geometry_area_perimeter(part.segmentize(0.05))[0] for part in parts]
        expected = np.abs(measured).sum() / 1e6
        assert world.land_km2[world.names.index(name)] == pytest.approx(expected, rel=1e-5)


def test_the_polygons_are_valid_and_do_not_overlap(world):
    assert shapely.is_valid(world.parts).all()
    low, high = shapely.bounds(world.parts)[:, :2], shapely.bounds(world.parts)[:, 2:]
    assert (low >= [-180, -90]).all() and (high <= [180, 90]).all()
    assert len(set(world.names)) == len(world.names) == 241
    # in pairs: quicker than the union of all
    first, second = shapely.STRtree(world.parts).query(world.parts, predicate="overlaps")
    assert not len(first), [world.names[world.owners[i]] for i in np.r_[first, second][:4]]


def test_the_file_names_its_source():
    path = Path(countries.__file__).with_name("countries.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 800_000
    assert "Natural Earth" in document["source"] and "world-atlas 2.0.2" in document["source"]
    assert "public domain" in document["licence"] and "ISC" in document["licence"]


degrees = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(degrees, st.sampled_from(range(0, 1600, 37)), st.booleans())
def test_locating_many_agrees_with_trying_each_polygon(world, at, part, whole_degrees):
    west, south, east, north = shapely.bounds(world.parts[part])
    longitude = west + at * (east - west)
    latitude = south + at[::-1] * (north - south)
    if whole_degrees:
        latitude, longitude = np.round(latitude), np.round(longitude)
    found, inside = world.locate(latitude, longitude)
    for i, (y, x) in enumerate(zip(latitude, longitude, strict=True)):
        owners = world.owners[shapely.intersects_xy(world.parts, x, y)]
        assert inside[i] == bool(len(owners))
        assert found[i] in (owners if len(owners) else [OFF_LAND])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 360), st.floats(0, 30))
def test_places_near_a_coast_are_assigned_by_distance(world, vertex, bearing, km):
    points = np.concatenate(world.outlines())
    x, y = points[vertex % len(points)]
    north, east = km / 111.2 * np.cos(np.radians(bearing)), km / 111.2 * np.sin(np.radians(bearing))
    place = np.array([[y + north, x + east / max(np.cos(np.radians(y)), 0.05)]])
    if not (np.abs(place) < [85, 179]).all():
        return
    found, inside = world.locate(*place.T, COAST_KM)
    if inside[0]:
        return
    coast = outlines_around(world, *place[0])
    distance = haversine(np.repeat(place, len(coast), 0), coast).min() if len(coast) else np.inf
    if found[0] == OFF_LAND:
        assert distance > 0.9 * COAST_KM
    else:
        assert distance < 1.1 * COAST_KM


def outlines_around(world, latitude, longitude):
    """Outlines within some 40 km of a place, as points some hundred metres apart."""
    width = 0.4 / max(np.cos(np.radians(latitude)), 0.05)
    box = shapely.box(longitude - width, latitude - 0.4, longitude + width, latitude + 0.4)
    lines = shapely.get_parts(shapely.boundary(world.parts))
    close = shapely.intersection(lines[shapely.intersects(lines, box)], box)
    return shapely.get_coordinates(shapely.segmentize(close, 0.003))[:, ::-1]
