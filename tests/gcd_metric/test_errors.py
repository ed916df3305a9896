"""Errors for bad input; the same object can compute again after them."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcd_metric import GcdMetric, compare

GOOD = [[48.86, 2.35], [40.71, -74.01], [35.68, 139.69]]
INPUTS = ("predictions", "references")
WAYS = ("compute", "add_batch")


def replaced(row, by):
    return [by if index == row else pair for index, pair in enumerate(GOOD)]


def still_computes(m):
    assert m.compute(predictions=GOOD, references=GOOD)["acc@200km"] == 1
    m.add_batch(predictions=GOOD, references=GOOD)
    assert m.compute()["n"] == 3


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("threshold", "did you mean thresholds="),
        ("units", "did you mean unit="),
        ("zzz", "there are predictions, references, thresholds, unit, .*, return_distances"),
    ],
)
def test_an_option_that_is_misspelt(metric, option, hint):
    with pytest.raises(TypeError, match=f"no option '{option}'; {hint}"):
        metric().compute(predictions=GOOD, references=GOOD, **{option: [1]})


BAD = {
    "infinite": ([math.inf, 0], r"row 1 .*infinite.*bad rows: 1 of 3.*overflow"),
    "latitude": ([90.1, 0], r"row 1 .*latitude beyond 90.*\(90.1, 0.0\).*bad rows: 1 of 3"),
    "longitude": ([0, -180.1], r"row 1 .*longitude beyond 180.*bad rows: 1 of 3.*Likely cause"),
    "text": (["north", "2.35"], r"row 1 .*'north'.*not a number"),
    "text with both": ("48.86, 2.35", r"row 1 .*'48.86, 2.35'"),
    "truth value": ([True, False], r"row 1 .*True.*not a number"),
    "three values": ([1, 2, 3], r"row 1 .*3 values"),
    "one number": (1.5, r"row 1 .*1.5"),
    "no names": ({"x": 1, "y": 2}, r"row 1.*'latitude'.*'x'"),
    "too large": ([10**400, 0], r"row 1 "),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", INPUTS)
@pytest.mark.parametrize("kind", BAD)
def test_the_first_bad_row_is_named(metric, way, side, kind):
    row, message = BAD[kind]
    m = metric()
    inputs = {"predictions": GOOD, "references": GOOD, side: replaced(1, row)}
    with pytest.raises(ValueError, match=rf"{side}.*{message}"):
        getattr(m, way)(**inputs)
    still_computes(m)


@pytest.mark.parametrize("nothing", [None, math.nan, [math.nan, 0], [None, 3]])
def test_a_missing_prediction_is_an_error_by_default(metric, nothing):
    m = metric()
    with pytest.raises(ValueError, match="predictions: row 1 is missing.*1 of 3.*missing='miss'"):
        m.compute(predictions=replaced(1, nothing), references=GOOD)
    still_computes(m)


@pytest.mark.parametrize("missing", ["error", "miss"])
def test_a_missing_reference_is_always_an_error(metric, missing):
    m = metric()
    with pytest.raises(ValueError, match="references: row 2 is missing.*ground truth"):
        m.compute(predictions=GOOD, references=replaced(2, None), missing=missing)
    with pytest.raises(ValueError, match="references: row 2"):
        m.add_batch(predictions=GOOD, references=replaced(2, None))
    still_computes(m)


def test_a_missing_prediction_that_was_added_is_refused_by_compute_and_kept(metric):
    m = metric()
    m.add(prediction=None, reference=[0, 0])
    with pytest.raises(ValueError, match="missing='miss'"):
        m.compute()
    assert len(m) == 1
    assert m.compute(missing="miss")["n_missing"] == 1
    assert len(m) == 0
    still_computes(m)


@pytest.mark.parametrize("missing", ["error", "miss"])
def test_infinity_is_not_missing(metric, missing):
    with pytest.raises(ValueError, match="infinite"):
        metric().compute(predictions=replaced(0, [math.inf, 0]), references=GOOD, missing=missing)


def test_counts_and_first_row_in_a_large_array(metric):
    array = np.zeros((100_000, 2))
    array[[70_001, 99_999], 0] = 91
    with pytest.raises(ValueError, match=r"row 70001 .*bad rows: 2 of 100000"):
        metric().compute(predictions=array, references=np.zeros((100_000, 2)))


def test_swapped_columns_are_recognised(metric):
    swapped = [[2.35, 48.86], [-74.01, 40.71], [139.69, 35.68]]
    with pytest.raises(ValueError, match=r"row 2.*1 of 3.*Likely cause: swapped columns; pairs"):
        metric().compute(predictions=swapped, references=GOOD)


def test_radians_on_one_side_are_recognised(metric):
    m = metric()
    for inputs in ((np.radians(GOOD), GOOD), (GOOD, np.radians(GOOD))):
        with pytest.raises(ValueError, match="all 3 rows.*Likely cause: radians"):
            m.compute(predictions=inputs[0], references=inputs[1])
    still_computes(m)


def test_degrees_converted_twice_are_recognised(metric):
    with pytest.raises(ValueError, match="radians converted to degrees twice"):
        metric().compute(predictions=np.degrees(GOOD), references=GOOD)


def test_places_off_west_africa_are_not_radians(metric):
    near = [[0.3, 0.9], [1.2, 2.0], [-0.5, 1.1]]
    result = metric().compute(predictions=near, references=GOOD)
    assert result["acc@200km"] == 0
    assert metric().compute(predictions=near, references=near)["acc@200km"] == 1


def test_a_collapsed_model_is_not_radians(metric):
    random = np.random.default_rng(0)
    truth = np.column_stack([random.uniform(-60, 70, 500), random.uniform(-180, 180, 500)])
    result = metric().compute(predictions=random.normal(0, 0.3, (500, 2)), references=truth)
    assert result["n"] == 500


SHAPES = {
    "more predictions": (GOOD, GOOD[:2], "predictions has 3 rows, references has 2"),
    "flat": (GOOD[0], GOOD, r"predictions: row 0 .*48.86"),
    "flat array": (np.array(GOOD[0]), GOOD, r"\(2,\); for a single pair pass \[pair\]"),
    "transposed": (np.array(GOOD).T, GOOD, r"\(2, 3\); did you mean its transpose"),
    "three columns": (np.zeros((3, 3)), GOOD, r"expected shape \(n, 2\).*\(3, 3\)"),
    "text": ("48.86,2.35", GOOD, "got text"),
    "a number": (3, GOOD, "got 3"),
    "one side": (GOOD, None, "references: none were given"),
    "frame of others": ({"x": [1], "y": [2]}, GOOD, "'latitude' and 'longitude'"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SHAPES)
def test_shapes(metric, way, kind):
    predictions, references, message = SHAPES[kind]
    m = metric()
    with pytest.raises(ValueError, match=message):
        getattr(m, way)(predictions=predictions, references=references)
    still_computes(m)


OPTIONS = {
    "thresholds": [[0], [-1], [200, math.nan], [math.inf], [], "far", [[1]], None.__class__],
    "unit": ["miles", "", 3],
    "earth_radius": [0, -6371, math.nan, "big"],
    "method": ["vincenty", None],
    "missing": ["ignore", None, True],
}


@pytest.mark.parametrize(
    ("option", "value"), [(name, value) for name, values in OPTIONS.items() for value in values]
)
def test_options(metric, option, value):
    m = metric()
    with pytest.raises(ValueError, match=option):
        m.compute(predictions=GOOD, references=GOOD, **{option: value})
    still_computes(m)


@pytest.mark.parametrize("nothing", [[], np.empty((0, 2)), {"latitude": [], "longitude": []}])
def test_empty_input(metric, nothing):
    m = metric()
    with pytest.raises(ValueError, match="empty"):
        m.compute(predictions=nothing, references=nothing)
    m.add_batch(predictions=nothing, references=nothing)  # as any metric of evaluate takes it
    with pytest.raises(ValueError, match="nothing to score"):
        m.compute()
    m.add_batch(predictions=GOOD, references=GOOD)
    m.add_batch(predictions=nothing, references=nothing)
    assert m.compute()["n"] == 3
    with pytest.raises(ValueError, match="0 rows"):
        m.add_batch(predictions=nothing, references=GOOD)


def test_a_wrong_option_keeps_what_was_added(metric):
    m = metric()
    m.add_batch(predictions=GOOD, references=GOOD)
    with pytest.raises(ValueError, match="thresholds"):
        m.compute(thresholds=[-1])
    with pytest.raises(ValueError, match="predictions"):
        m.add_batch(predictions=replaced(0, [91, 0]), references=GOOD)
    assert m.compute()["n"] == 3


def test_a_radius_does_not_go_with_the_ellipsoid(metric):
    with pytest.raises(ValueError, match="earth_radius"):
        metric().compute(predictions=GOOD, references=GOOD, method="geodesic", earth_radius=6371)


@pytest.mark.parametrize("kwargs", [{}, {"keep_in_memory": True}])
def test_nothing_to_score(metric, kwargs):
    m = metric(**kwargs)
    with pytest.raises(ValueError, match="nothing to score"):
        m.compute()
    still_computes(m)


def test_a_bad_single_row(metric):
    m = metric()
    m.add(prediction=[1, 1], reference=[1, 1])
    for prediction, reference in (([91, 0], [0, 0]), ([0, 0], None), ("x", [0, 0])):
        with pytest.raises(ValueError):
            m.add(prediction=prediction, reference=reference)
    assert m.compute()["n"] == 1


def test_compare_names_the_side():
    with pytest.raises(ValueError, match="^b: .*row 1"):
        compare(GOOD, replaced(1, None), GOOD)
    with pytest.raises(ValueError, match="^references"):
        compare(GOOD, GOOD, replaced(0, "x"))


values = st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=2), st.booleans())


@settings(max_examples=150)
@given(st.lists(st.one_of(values, st.lists(values, max_size=3)), max_size=5))
def test_any_input_is_scored_or_refused(rows):
    m = GcdMetric()
    try:
        result = m.compute(predictions=rows, references=[[0.0, 0.0]] * len(rows), missing="miss")
    except ValueError:
        return
    assert result["n"] == len(rows)
    assert 0 <= result["acc@200km"] <= 1 and 0 <= result["geoscore"] <= 5000


EUROPE = np.array([[48.86, 2.35], [41.9, 12.5], [52.52, 13.4], [40.42, -3.7]])


@pytest.mark.parametrize("sides", [(EUROPE[:, ::-1], EUROPE), (EUROPE, EUROPE[:, ::-1])])
def test_swapped_columns_that_stay_in_range(metric, sides):
    with pytest.raises(ValueError, match="row 0 is .*median error of 4 rows.*swapped columns"):
        metric().compute(predictions=sides[0], references=sides[1])


def test_swapped_columns_beside_missing_ones(metric):
    swapped = np.tile(EUROPE[:, ::-1], (200, 1))
    swapped[::3] = np.nan
    with pytest.raises(ValueError, match="row 1 is .*swapped columns"):
        metric().compute(predictions=swapped, references=np.tile(EUROPE, (200, 1)), missing="miss")


def test_two_rows_or_bad_models_are_not_swapped(metric):
    result = metric().compute(predictions=EUROPE[:2, ::-1], references=EUROPE[:2])
    assert result["acc@200km"] == 0
    random = np.random.default_rng(0)
    for _ in range(50):
        guess, truth = random.uniform((35, -10), (65, 40), (2, 20, 2))
        assert metric().compute(predictions=guess, references=truth)["n"] == 20


def test_a_radius_in_metres_is_refused(metric):
    with pytest.raises(ValueError, match="in kilometres; 6371000 looks like metres"):
        metric().compute(predictions=GOOD, references=GOOD, earth_radius=6371000)


LONG = {
    "ids": {f"photo_{index}": (48.86, 2.35) for index in range(3000)},
    "text": [["x" * 10_000, 0]],
    "row": [list(range(10_000))],
    "object": type("Endless", (), {"__repr__": lambda self: "x" * 10_000})(),
    "columns": {f"column {'x' * 1000} {index}": [1] for index in range(100)},
}


@pytest.mark.parametrize("kind", LONG)
def test_messages_stay_short(metric, kind):
    for side in INPUTS:
        with pytest.raises(ValueError, match=side) as caught:
            metric().compute(**{"predictions": GOOD, "references": GOOD, side: LONG[kind]})
        assert len(str(caught.value)) < 1500
    for option in ("thresholds", "unit", "method", "missing", "earth_radius"):
        with pytest.raises(ValueError, match=option) as caught:
            metric().compute(predictions=GOOD, references=GOOD, **{option: ["x" * 10_000] * 9})
        assert len(str(caught.value)) < 500


# two pairs of columns


UNCLEAR = {
    "lat beside latitude": {"latitude": 0.0, "longitude": 0.0, "lat": 0.0, "lon": 0.0},
    "lat alone": {"latitude": 0.0, "longitude": 0.0, "lat": 0.0},
    "Latitude": {"latitude": 0.0, "longitude": 0.0, "Latitude": 0.0},
    "one of each pair": {"lat": 0.0, "pred_lon": 0.0},
}


@pytest.mark.parametrize("kind", UNCLEAR)
@pytest.mark.parametrize("side", INPUTS)
@pytest.mark.parametrize("form", ["frame", "columns", "rows"])
def test_two_pairs_of_columns_are_refused(metric, kind, side, form):
    rows = [UNCLEAR[kind]]
    frame = pd.DataFrame(rows)
    given = {"frame": frame, "columns": frame.to_dict("list"), "rows": rows}[form]
    with pytest.raises(ValueError, match=f"{side}.*rename"):
        metric().compute(**{"predictions": [[0, 0]], "references": [[0, 0]], side: given})


@pytest.mark.parametrize("mark", ["gt", "true", "target", "label", "ref"])
def test_ground_truth_is_never_a_prediction(metric, mark):
    truth = {f"{mark}_lat": [1.0], f"{mark}_lon": [2.0]}
    both = pd.DataFrame({**truth, "pred_lat": [1.0], "pred_lon": [3.0]})
    with pytest.raises(ValueError, match=f"predictions: .*{mark}_lat"):
        metric().compute(predictions=truth, references=truth)
    result = metric().compute(predictions=both, references=both)
    assert result["median_km"] == pytest.approx(111.2, abs=0.1)


def test_two_columns_of_one_name(metric):
    twice = pd.DataFrame(np.zeros((2, 3)), columns=["latitude", "latitude", "longitude"])
    with pytest.raises(ValueError, match="several columns fit the latitude"):
        metric().compute(predictions=twice, references=np.zeros((2, 2)))


# rows that carry ids

IDS = ["a.jpg", "b.jpg", "c.jpg"]


def test_ids_that_disagree_are_refused(metric):
    truth = {"image_id": IDS, "latitude": [0, 1, 2], "longitude": [0, 1, 2]}
    m = metric()
    for guess in ({**truth, "image_id": ["a.jpg", "b.jpg", "x"]}, None):
        if guess is None:  # one row fewer
            guess = {key: column[:2] for key, column in truth.items()}
        for way in WAYS:
            with pytest.raises(ValueError, match=r"ids of references .*: 1 of 3 \(c\.jpg"):
                getattr(m, way)(predictions=guess, references=truth)
        with pytest.raises(ValueError, match="^a: .*c.jpg"):
            compare(guess, truth, truth)
    with pytest.raises(ValueError, match=r"1 duplicate id: a\.jpg.*by position"):
        m.compute(predictions=truth, references={**truth, "image_id": ["a.jpg", "a.jpg", "c"]})
    with pytest.raises(ValueError, match="predictions: row 1 has no id"):
        m.compute(predictions={**truth, "image_id": ["a.jpg", None, "c"]}, references=truth)
    many = pd.DataFrame({"id": range(5000), "latitude": 0.0, "longitude": 0.0})
    with pytest.raises(ValueError, match="5000 of 5000") as caught:
        m.compute(predictions=many.assign(id=many.id + 10**6), references=many)
    assert len(str(caught.value)) < 500
    still_computes(m)


def test_two_models_in_different_orders_need_references_with_ids():
    a = pd.DataFrame({"image_id": IDS, "latitude": [0.0, 1, 2], "longitude": [0.0, 1, 2]})
    with pytest.raises(ValueError, match="different orders"):
        compare(a, a[::-1], np.zeros((3, 2)))
    assert compare(a, a[::-1], a)["acc@1km"]["difference"] == 0


# longitudes of 0 to 360


def test_one_longitude_out_of_range_is_refused(metric):
    for row in ([0, 200], [0, 361], [0, -200]):
        truth = [[40.7, -74.0], [48.9, 2.4], row]
        with pytest.raises(ValueError, match="references: row 2 has a longitude beyond 180"):
            metric().compute(predictions=[[0, 0]] * 3, references=truth)
    with pytest.raises(ValueError, match="either all within ±180 or all from 0 to 360"):
        metric().compute(predictions=[[0, 0]] * 2, references=[[40.7, -74.0], [48.9, 200]])
    with pytest.raises(ValueError, match="swapped columns"):
        metric().compute(predictions=[[286.0, 40.7], [2.4, 48.9]], references=[[40.7, -74]] * 2)


TABLE = pd.DataFrame(GOOD, columns=["latitude", "longitude"]).assign(image_id=list("abc"))
NOT_ROWS = {
    "two columns of ids": (
        lambda table: pd.concat([table, table[["image_id"]]], axis=1),
        "two columns are called 'image_id'",
    ),
    "lists as ids": (lambda table: table.assign(image_id=[[1], [2], [3]]), "a list for an id"),
    "ids that disagree": (
        lambda table: table.assign(id=[2, 1, 0]),
        "'imageid' and 'id' pair the rows differently",
    ),
    "whole numbers to pairs": (lambda table: dict(zip((11, 12), GOOD, strict=False)), "found no"),
    "set": (lambda table: set(map(tuple, GOOD)), "no order"),
    "frozen set": (lambda table: frozenset(map(tuple, GOOD)), "no order"),
    "mapping of columns": (lambda table: table.to_dict(), "to_dict"),
    "file": (lambda table: io.StringIO("1,2"), "got a file"),
}


@pytest.mark.parametrize("kind", NOT_ROWS)
def test_inputs_that_are_not_rows_are_refused(metric, kind):
    make, message = NOT_ROWS[kind]
    with pytest.raises(ValueError, match=message):
        metric().compute(predictions=make(TABLE), references=TABLE.assign(id=range(3)))


@pytest.mark.parametrize("kind", ["bool", "complex64", "sparse", "meta"])
def test_tensors_of_other_types_are_refused(metric, kind):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(GOOD)
    change = {"sparse": tensor.to_sparse, "meta": lambda: tensor.to("meta")}
    bad = change[kind]() if kind in change else tensor.to(getattr(torch, kind))
    with pytest.raises(ValueError, match="predictions: .*(not a number|dense tensor)"):
        metric().compute(predictions=bad, references=GOOD)
