"""The zoom grid: published rows, round trips, an independent sphere, errors, scores."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod

import justzoomin
from justzoomin import zoom
from justzoomin.zoom import WASHINGTON, Region

# Rows of the published validation table.
PUBLISHED = [
    (38.908513, -76.940898, [7, 6, 6, 5]),
    (38.909364, -76.940879, [7, 6, 2, 13]),
    (38.910576, -76.941785, [7, 2, 13, 15]),
    (38.918031, -76.94114, [3, 14, 10, 9]),
    (38.908792, -76.942123, [7, 6, 5, 2]),
]
SPHERE = Geod(a=zoom.EARTH_RADIUS_M, b=zoom.EARTH_RADIUS_M)
REGIONS = st.builds(
    Region,
    latitude=st.floats(-60, 60),
    longitude=st.floats(-170, 170),
    west_m=st.floats(-5000, 5000),
    south_m=st.floats(-5000, 5000),
    width_m=st.floats(100, 20_000),
    bearing=st.just(0.0) | st.floats(-360, 360),
)
INSIDE = st.floats(-4990, 4990)


def test_published_rows_encode_to_their_sequence():
    latitude, longitude, sequences = zip(*PUBLISHED, strict=True)
    assert zoom.encode(latitude, longitude).tolist() == list(sequences)


def test_every_cells_centre_encodes_to_that_cell():
    cells = zoom.cells()
    assert len({tuple(cell) for cell in cells.tolist()}) == 16**4
    assert np.array_equal(zoom.encode(*zoom.decode(cells)), cells)


@settings(max_examples=100, deadline=None)
@given(REGIONS, st.integers(2, 6), st.integers(1, 6), st.data())
def test_any_grid_depth_and_region_round_trips(region, grid, depth, data):
    action = st.integers(0, grid * grid - 1)
    sequence = data.draw(st.lists(action, min_size=depth, max_size=depth))
    tangent = math.tan(math.radians(abs(region.latitude) + 0.2))
    overlap = region.width_m**2 * tangent / (8 * zoom.EARTH_RADIUS_M)
    assume(region.width_m / grid**depth > 2.2 * overlap)  # see the notes of `encode`
    place = zoom.decode(sequence, grid, region)
    assert zoom.encode(*place, depth, grid, region).tolist() == sequence


@settings(max_examples=200, deadline=None)
@given(INSIDE, INSIDE)
def test_a_point_lies_in_the_cell_that_it_encodes_to(east, north):
    middle = zoom.decode(np.empty(0, int))
    point = zoom.move(*middle, east, north)
    sequence = zoom.encode(*point)
    away = zoom.offset(*zoom.decode(sequence), *point)
    # The cells of neighbouring views have small gaps and overlaps on the sphere.
    assert np.abs(away).max() <= 39.0625 / 2 + 3


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-70, 70), st.floats(-179, 179), st.floats(-50_000, 50_000), st.floats(-50_000, 50_000)
)
def test_moving_agrees_with_an_independent_sphere_and_back(latitude, longitude, east, north):
    turned = SPHERE.fwd(longitude, latitude, 90, east)
    expected = SPHERE.fwd(turned[0], turned[1], 0, north)
    found = zoom.move(latitude, longitude, east, north)
    _, _, apart = SPHERE.inv(found[1], found[0], expected[0], expected[1])
    assert apart < 0.001
    assert np.allclose(zoom.offset(latitude, longitude, *found), (east, north), atol=0.001)


def test_a_path_gives_every_view_on_the_way():
    latitude, longitude, widths = zoom.path([[7, 6, 6, 5], [0, 0, 0, 0]])
    assert latitude.shape == longitude.shape == (2, 5)
    assert widths.tolist() == [10_000, 2500, 625, 156.25, 39.0625]
    for step in range(1, 5):
        for row, sequence in enumerate([[7, 6, 6, 5], [0, 0, 0, 0]]):
            expected = latitude[row, step], longitude[row, step]
            assert zoom.decode(sequence[:step]) == expected


def test_rows_run_south_and_columns_east():
    north_west, north_east, south_west = (zoom.decode([a]) for a in (0, 3, 12))
    assert north_west[0] == pytest.approx(north_east[0], abs=1e-3)
    assert north_west[1] < north_east[1]
    assert south_west[0] < north_west[0]


@given(INSIDE, INSIDE, st.integers(-3, 3))
def test_the_cells_of_a_turned_region_are_turned_about_its_centre(right, up, turns):
    straight, turned = WASHINGTON, WASHINGTON._replace(bearing=90.0 * turns)
    point = zoom.move(*zoom.decode(np.empty(0, int)), right, up)
    # A quarter turn moves the cell in column c of row r to column r of row 3 - c.
    row, column = divmod(int(zoom.encode(*point, 1, region=straight)[0]), 4)
    for _ in range(turns % 4):
        row, column = 3 - column, row
    assume(min(abs(right) % 2500, abs(up) % 2500) > 10)  # cells overlap by less
    assert divmod(int(zoom.encode(*point, 1, region=turned)[0]), 4) == (row, column)


def test_up_is_the_bearing_of_the_region():
    north_east = WASHINGTON._replace(bearing=45.0)
    middle = zoom.decode(np.empty(0, int))
    latitude, longitude, _ = zoom.path([[1], [2]], region=north_east)
    east, north = zoom.offset(*middle, latitude[:, 1].mean(), longitude[:, 1].mean())
    assert (float(east), float(north)) == pytest.approx((2651.65, 2651.65), abs=3)
    latitude, longitude = zoom.corners(np.empty(0, int), region=north_east)
    east, north = zoom.offset(*middle, latitude, longitude)
    half = 5000 * math.sqrt(2)
    assert np.allclose(east, [-half, 0, half, 0], atol=5)
    assert np.allclose(north, [0, -half, 0, half], atol=5)


def test_a_point_outside_is_an_error_or_clipped_and_flagged():
    far = 38.9, [-77.0, -76.0]
    with pytest.raises(ValueError, match=r"point 1 \(38\.9, -76\.0\) is outside .* 1 of 2"):
        zoom.encode(*far)
    sequences, clipped = zoom.encode(*far, outside="clip")
    assert clipped.tolist() == [False, True]
    assert all(action % 4 == 3 for action in sequences[1])
    with pytest.raises(ValueError, match=r"point 0 \(nan, 1\.0\) is not a point"):
        zoom.encode(float("nan"), 1)


@pytest.mark.parametrize("wrong", [[16, 0, 0, 0], [-1], [1.5], "7", 7])
def test_invalid_sequences_are_refused(wrong):
    with pytest.raises(ValueError, match=r"sequence|action"):
        zoom.decode(wrong)


def test_cells_as_geojson():
    collection = json.loads(json.dumps(zoom.geojson([[7, 6, 6, 5], [0, 1, 2, 3]])))
    assert [f["properties"]["sequence"] for f in collection["features"]] == [
        [7, 6, 6, 5],
        [0, 1, 2, 3],
    ]
    for feature in collection["features"]:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1] and len(ring) == 5
        area, perimeter = SPHERE.polygon_area_perimeter(*zip(*ring, strict=True))
        assert area == pytest.approx(39.0625**2, rel=1e-3)  # positive: counter-clockwise
        assert perimeter == pytest.approx(4 * 39.0625, rel=1e-3)


def references() -> list[dict]:
    return [{"latitude": a, "longitude": b, "sequence": s} for a, b, s in PUBLISHED]


def test_scores_of_sequences():
    predictions = np.array([s for _, _, s in PUBLISHED])
    predictions[0] = [7, 6, 0, 5]
    predictions[1] = [0, 6, 2, 13]
    result = justzoomin.score(predictions, references())
    assert (result["r@1"], result["n"]) == (0.6, 5)
    assert [result[f"step{i}"] for i in (1, 2, 3, 4)] == [0.8, 0.8, 0.6, 0.6]
    assert result["acc@40m"] == 0.6
    low, high = result["r@1_ci95"]
    assert low < 0.6 < high
    assert "r@1" in str(result) and "60.0 %" in str(result)


def test_scores_of_coordinates_and_of_candidates_agree_with_sequences():
    exact = np.array([s for _, _, s in PUBLISHED])
    by_sequence = justzoomin.score(exact, pd.DataFrame(references()))
    by_place = justzoomin.score(np.stack(zoom.decode(exact), -1), references())
    assert {k: by_place[k] for k in ("r@1", "median_m", "acc@40m")} == {
        k: by_sequence[k] for k in ("r@1", "median_m", "acc@40m")
    }
    ranked = np.stack([np.roll(exact, 1, 0), *[exact] * 4], 1)
    result = justzoomin.score(ranked, references())
    assert (result["r@1"], result["r@5"]) == (0, 1)
    assert "r@10" not in result
    truth = justzoomin.score([(a, b) for a, b, _ in PUBLISHED], references())
    assert (truth["r@1"], truth["median_m"]) == (1, 0)


def test_a_data_set_serves_as_references(zoom):
    from datasets import load_dataset

    rows = load_dataset("justzoomin", "metadata", data_dir=str(zoom), split="train", streaming=True)
    rows = list(rows)
    found = [row["sequence"] for row in rows]
    assert justzoomin.score(found, rows, ids=[row["image_id"] for row in rows])["r@1"] == 1


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (np.zeros((4, 4), int), r"expected shape \(5, 4\)"),
        (np.zeros((5, 5), int), r"expected shape \(5, 4\)"),
        (np.zeros((5, 3)), "neither sequences"),
        (np.zeros((5, 2, 5), int), r"expected shape \(5, 2, 4\)"),
        (np.full((5, 2), 38.9, np.float16), "float16 are kilometres apart"),
        (np.ma.masked_equal(np.zeros((5, 4), int), 0), "some values are masked"),
        ([[1, 2], [1]], "cannot be made an array"),
    ],
)
def test_what_cannot_be_scored_is_named(predictions, message):
    with pytest.raises(ValueError, match=message):
        justzoomin.score(predictions, references())
    with pytest.raises(ValueError, match="columns sequence, latitude, longitude"):
        justzoomin.score(predictions, [{"latitude": 1}])


def test_the_region_is_that_of_the_paper():
    latitude, longitude = zoom.corners(np.empty(0, int))
    centre = WASHINGTON.latitude, WASHINGTON.longitude
    east, north = zoom.offset(*centre, latitude, longitude)
    assert np.allclose(east, [-3000, 7000, 7000, -3000], atol=8)
    assert np.allclose(north, [-5000, -5000, 5000, 5000], atol=8)
