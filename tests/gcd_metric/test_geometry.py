"""Distances against independent formulas, also where formulas usually fail."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcd_metric import geodesic, haversine

pyproj = pytest.importorskip("pyproj")

SPHERE = pyproj.Geod(a=6371000.0, b=6371000.0)
latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
points = st.tuples(latitudes, longitudes)


def one(a, b, **kwargs):
    return haversine([a], [b], **kwargs)[0]


@given(points, points)
@example((38.908513, -76.940898), (38.908514, -76.940898))
@example((90.0, 0.0), (89.9999, 120.0))
@example((12.3, 180.0), (12.3, -179.9999))
@example((10.0, 20.0), (-10.0000001, -159.9999999))
def test_agrees_with_an_exact_library_on_the_sphere(a, b):
    expected = SPHERE.inv(a[1], a[0], b[1], b[0])[2]
    # a micrometre: of 40 m as of 20,000 km
    assert one(a, b) * 1000 == pytest.approx(expected, abs=1e-6, rel=0)


@given(points, points)
def test_agrees_with_vectors(a, b):
    def vector(point):
        latitude, longitude = map(math.radians, point)
        flat = math.cos(latitude)
        return np.array(
            [flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude)]
        )

    u, v = vector(a), vector(b)
    angle = math.atan2(np.linalg.norm(np.cross(u, v)), u @ v)
    assert one(a, b) == pytest.approx(6371 * angle, abs=1e-8)


@given(st.lists(st.tuples(points, points), min_size=1, max_size=20))
def test_agrees_with_geopy(pairs):
    distance = pytest.importorskip("geopy.distance")
    found = haversine([a for a, _ in pairs], [b for _, b in pairs], 6371.0)
    expected = [distance.great_circle(a, b, radius=6371.0).km for a, b in pairs]
    # geopy loses digits near the antipode
    assert found == pytest.approx(expected, abs=1e-3)


@given(points, points)
def test_is_symmetric(a, b):
    assert one(a, b) == one(b, a)


@given(points)
def test_identical_points_are_zero(a):
    assert one(a, a) == 0


@given(latitudes)
def test_180_degrees_west_and_east_are_one_place(latitude):
    assert one((latitude, 180), (latitude, -180)) == 0


@given(longitudes, longitudes)
def test_a_pole_is_one_place(a, b):
    assert one((90, a), (90, b)) == one((-90, a), (-90, b)) == 0


@given(points)
def test_antipodes_are_half_the_circumference_away(a):
    opposite = (-a[0], a[1] - 180 if a[1] > 0 else a[1] + 180)
    assert one(a, opposite) == pytest.approx(math.pi * 6371, abs=1e-9)


@pytest.mark.parametrize("off", [1e-4, 1e-6, 1e-8])
def test_near_antipodes_keep_their_digits(off):
    expected = math.pi * 6371 - math.radians(off) * 6371
    assert one((0, 0), (0, 180 - off)) == pytest.approx(expected, abs=1e-9)
    assert one((-90, 0), (90 - off, 50)) == pytest.approx(expected, abs=1e-9)


@given(points, points)
def test_is_never_nan_nor_out_of_range(a, b):
    assert 0 <= one(a, b) <= math.pi * 6371 * (1 + 1e-15)


def test_many_rows_are_as_one_row_each():
    random = np.random.default_rng(0)
    a, b = (
        np.column_stack([random.uniform(-90, 90, 40_000), random.uniform(-180, 180, 40_000)])
        for _ in range(2)
    )
    some = [0, 16_383, 16_384, 32_768, 39_999]  # around the borders of the kernel's chunks
    together = haversine(a, b)
    assert [one(a[i], b[i]) for i in some] == together[some].tolist()


def test_the_radius_scales():
    assert one((0, 0), (0, 1), earth_radius=1.0) == pytest.approx(math.radians(1), rel=1e-15)


@given(points, points)
def test_geodesic_is_wgs84_in_metres(a, b):
    expected = pyproj.Geod(ellps="WGS84").inv(a[1], a[0], b[1], b[0])[2]
    assert geodesic([a], [b])[0] == pytest.approx(expected, abs=1e-6)


def test_geodesic_of_the_quarter_meridian():
    assert geodesic([[0, 0]], [[90, 0]])[0] == pytest.approx(10_001_965.729, abs=1e-3)


def test_geodesic_of_a_missing_row_is_nan():
    found = geodesic([[0, 0], [math.nan, 0]], [[0, 0], [1, 1]])
    assert found[0] == 0 and math.isnan(found[1])
