"""What compute returns, for every form of input, and add, num_process, combine and pickling."""

import decimal
import json
import math
import pathlib
import pickle
import re
import tracemalloc
import types
import unicodedata
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import datasets
import dill
import evaluate
import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric import CONFIGURATIONS, compare, haversine, wilson_interval

KM = math.degrees(1 / 6371)  # degrees of latitude
TRUTH = np.array([[0.0, 0.0], [10.0, 20.0], [-30.0, 170.0], [60.0, -100.0]])
GUESS = TRUTH + np.array([[100 * KM, 0], [500 * KM, 0], [2000 * KM, 0], [-4000 * KM, 0]])


def test_figures_of_the_default_configuration(metric):
    result = metric().compute(predictions=GUESS, references=TRUTH)
    assert list(result) == [
        *("acc@1km", "acc@1km_ci95", "acc@25km", "acc@25km_ci95", "acc@200km", "acc@200km_ci95"),
        *("acc@750km", "acc@750km_ci95", "acc@2500km", "acc@2500km_ci95"),
        *("mean_km", "mean_km_ci95", "median_km", "median_km_ci95", "geoscore", "geoscore_ci95"),
        "n",
    ]
    assert [result[f"acc@{t}km"] for t in (200, 750, 2500)] == [0.25, 0.5, 0.75]
    assert result["mean_km"] == pytest.approx(1650)
    assert result["median_km"] == pytest.approx(1250)
    expected = np.mean([5000 * math.exp(-d / 1492.7) for d in (100, 500, 2000, 4000)])
    assert result["geoscore"] == pytest.approx(expected)
    assert result["n"] == 4
    floats = [value for key, value in result.items() if not key.endswith("_ci95") and key != "n"]
    assert all(type(value) is float for value in floats)


def test_im2gps_has_the_thresholds_of_its_authors(metric):
    result = metric("im2gps").compute(predictions=GUESS, references=TRUTH)
    thresholds = [int(key[4:-2]) for key in result if key.startswith("acc@") and "_" not in key]
    assert thresholds == [200, 750, 2500]
    everything = metric().compute(predictions=GUESS, references=TRUTH)
    assert result.items() <= everything.items()


def test_justzoomin_is_in_metres_on_its_own_sphere(metric):
    metre = math.degrees(1 / 6378137)
    truth = np.array([[38.9, -77.0]] * 3)
    guess = truth + np.array([[39.9 * metre, 0], [-60 * metre, 0], [101 * metre, 0]])
    result = metric("justzoomin").compute(predictions=guess, references=truth)
    assert [result[f"acc@{t}m"] for t in (40, 50, 100)] == [1 / 3, 1 / 3, 2 / 3]
    assert result["median_m"] == pytest.approx(60, abs=1e-6)
    assert result["geoscore"] == pytest.approx(5000, abs=0.5)


def test_a_hit_is_at_most_the_threshold(metric):
    distance = float(haversine(GUESS[:1], TRUTH[:1])[0])
    below = math.nextafter(distance, 0) if hasattr(math, "nextafter") else distance - 1e-12
    result = metric().compute(
        predictions=GUESS[:1], references=TRUTH[:1], thresholds=[below, distance]
    )
    keys = [key for key in result if key.startswith("acc@") and not key.endswith("ci95")]
    assert [result[key] for key in keys] in ([0.0, 1.0], [1.0])  # one key where they print alike
    assert result[keys[-1]] == 1.0


def test_strict_counts_the_threshold_itself_as_a_miss(metric):
    pair = {"predictions": GUESS[:1], "references": TRUTH[:1]}
    distance = metric().compute(**pair, return_distances=True)["distances_km"][0]
    for strict, expected in ((False, 1.0), (True, 0.0)):
        result = metric().compute(**pair, thresholds=[distance], strict=strict)
        assert result[f"acc@{distance:.15g}km"] == expected
        compared = compare(GUESS[:1], TRUTH[:1], TRUTH[:1], thresholds=[distance], strict=strict)
        assert compared[f"acc@{distance:.15g}km"]["a"] == expected
    with pytest.raises(ValueError, match="strict must be one of False, True, not 'yes'"):
        metric().compute(**pair, strict="yes")


def test_missing_predictions_give_both_shares(metric):
    """Over all photos, and over those with an answer."""
    guess = [GUESS[0].tolist(), None, None, GUESS[3].tolist()]
    result = metric().compute(predictions=guess, references=TRUTH, missing="miss")
    assert (result["acc@200km"], result["acc@200km_answered"]) == (0.25, 0.5)
    nothing = metric().compute(predictions=[None] * 4, references=TRUTH, missing="miss")
    assert nothing["acc@200km"] == 0 and math.isnan(nothing["acc@200km_answered"])


def test_arguments_override_the_configuration(metric):
    result = metric().compute(
        predictions=GUESS, references=TRUTH, thresholds=[0.5, 2000.1], earth_radius=3185.5
    )
    assert result["acc@0.5km"] == 0 and result["acc@2000.1km"] == 1
    assert result["mean_km"] == pytest.approx(1650 / 2)


def test_another_unit_measures_the_same(metric):
    km = metric().compute(predictions=GUESS, references=TRUTH)
    m = metric().compute(predictions=GUESS, references=TRUTH, unit="m")
    assert m["acc@200000m"] == km["acc@200km"]
    assert m["mean_m"] == pytest.approx(1000 * km["mean_km"])
    assert m["geoscore"] == pytest.approx(km["geoscore"])


def test_geodesic(metric):
    pytest.importorskip("pyproj")
    result = metric().compute(predictions=[[0, 0]], references=[[0, 1]], method="geodesic")
    assert result["mean_km"] == pytest.approx(111.3194908, abs=1e-6)


def test_geodesic_without_pyproj_is_an_error_with_advice(metric, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyproj", None)
    with pytest.raises(ImportError, match=r"pip install 'im2gps-justzoomin\[geodesic\]'"):
        metric().compute(predictions=GUESS, references=TRUTH, method="geodesic")


def test_distances_on_request(metric):
    result = metric().compute(predictions=GUESS, references=TRUTH, return_distances=True)
    assert result["distances_km"] == pytest.approx([100, 500, 2000, 4000])
    assert np.median(result["distances_km"]) == result["median_km"]


def test_evaluate_saves_every_result(metric, tmp_path):
    result = metric().compute(
        predictions=[None, [0, 0]], references=TRUTH[:2], missing="miss", return_distances=True
    )
    path = evaluate.save(tmp_path / "result.json", **result)
    saved = json.loads(path.read_text())
    assert math.isnan(saved["distances_km"][0])
    assert saved["distances_km"][1] == result["distances_km"][1]


# forms of input


def frame(array):
    return pd.DataFrame({"longitude": array[:, 1], "name": "x", "latitude": array[:, 0]})


class Place(NamedTuple):
    lng: float
    lat: float


@dataclass
class Point:
    longitude: float
    latitude: float


FORMS = {
    "lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())),
    "list of arrays": list,
    "float32": lambda a: a.astype(np.float32),
    "not contiguous": lambda a: np.asfortranarray(np.repeat(a, 2, axis=0)[::2]),
    "object array": lambda a: a.astype(object),
    "frame": frame,
    "frame of nullable numbers": lambda a: frame(a).convert_dtypes(),
    "unnamed frame": pd.DataFrame,
    "series of pairs": lambda a: pd.Series(a.tolist()),
    "rows": lambda a: [{"latitude": y, "longitude": x, "id": 1} for y, x in a.tolist()],
    "columns": lambda a: {"latitude": a[:, 0], "longitude": a[:, 1]},
    "data set": lambda a: datasets.Dataset.from_pandas(frame(a)),
    "generator": lambda a: (row for row in a.tolist()),
    "records": lambda a: frame(a).to_records(index=False),
    "structured array": lambda a: np.asarray(frame(a).to_records()).view(np.ndarray),
    "one record a row": lambda a: list(frame(a).to_records()),
    "named tuples": lambda a: list(frame(a).itertuples()),
    "named tuples, streamed": lambda a: frame(a).itertuples(index=False),
    "named tuples of two": lambda a: [Place(x, y) for y, x in a.tolist()],
    "objects": lambda a: [Point(x, y) for y, x in a.tolist()],
    "series of a frame": lambda a: [row for _, row in frame(a).iterrows()],
    "arrow table": lambda a: pyarrow.Table.from_pandas(frame(a)),
    "arrow batch": lambda a: pyarrow.RecordBatch.from_pandas(frame(a)),
    "arrow rows": lambda a: pyarrow.array(a.tolist()),
    "polars": lambda a: polars.from_pandas(frame(a)),
    "polars rows": lambda a: polars.from_pandas(frame(a)).rows(named=True),
    "polars structs": lambda a: polars.from_pandas(frame(a)).to_struct("place"),
    "polars pairs": lambda a: polars.Series(a.tolist()),
    "masked, without a mask": np.ma.array,
    "text": lambda a: [[str(y), str(x)] for y, x in a.tolist()],
    "text with a typeset minus": lambda a: np.char.replace(a.astype(str), "-", "\u2212"),
    "text in a frame": lambda a: frame(a).astype(str),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input_gives_the_same(metric, form):
    expected = metric().compute(predictions=GUESS, references=TRUTH, return_distances=True)
    found = metric().compute(
        predictions=FORMS[form](GUESS), references=FORMS[form](TRUTH), return_distances=True
    )
    tolerance = 0.01 if form == "float32" else 1e-12
    assert found["distances_km"] == pytest.approx(expected["distances_km"], rel=tolerance)


def test_tensors(metric):
    torch = pytest.importorskip("torch")
    guess = torch.tensor(GUESS, requires_grad=True)
    result = metric().compute(predictions=guess, references=torch.tensor(TRUTH))
    assert result == metric().compute(predictions=GUESS, references=TRUTH)


def test_whole_numbers(metric):
    result = metric().compute(predictions=[[0, 0], [1, 1]], references=np.array([[0, 1], [1, 1]]))
    assert result["mean_km"] == pytest.approx(6371 * math.radians(1) / 2)


def test_inputs_are_not_changed(metric):
    guess, truth = GUESS.copy(), TRUTH.copy()
    metric().compute(predictions=guess, references=truth)
    assert (guess == GUESS).all() and (truth == TRUTH).all()


# missing predictions


@pytest.mark.parametrize(
    "nothing",
    [None, math.nan, [None, None], [math.nan, math.nan], pd.NA, {"latitude": None, "longitude": 1}],
)
def test_missing_predictions_are_misses(metric, nothing):
    result = metric().compute(
        predictions=[[100 * KM, 0], nothing, [10, 20]],
        references=[[0, 0], [5, 5], [10, 20]],
        missing="miss",
        return_distances=True,
    )
    assert result["n"] == 3 and result["n_missing"] == 1
    assert result["acc@2500km"] == 2 / 3
    assert result["mean_km"] == pytest.approx(50) == result["median_km"]
    assert result["geoscore"] == pytest.approx((5000 * math.exp(-100 / 1492.7) + 5000) / 3)
    assert math.isnan(result["distances_km"][1])


def test_all_missing(metric, recwarn):
    result = metric().compute(predictions=[None], references=[[0, 0]], missing="miss")
    assert result["acc@200km"] == 0 and result["geoscore"] == 0 and result["n_missing"] == 1
    assert math.isnan(result["mean_km"]) and math.isnan(result["median_km"])
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_missing_with_the_geodesic(metric):
    pytest.importorskip("pyproj")
    result = metric().compute(
        predictions=[None, [0, 0]], references=[[0, 0]] * 2, missing="miss", method="geodesic"
    )
    assert result["acc@200km"] == 0.5 and result["mean_km"] == 0


# intervals


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # table I of Newcombe, Statistics in Medicine 17, 1998, pp. 857-872
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_agree_with_published_ones(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_the_interval_for_237_photos_is_six_points_wide():
    low, high = wilson_interval(102, 237)
    assert (high - low) / 2 == pytest.approx(0.0625, abs=0.001)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_ends_solve_the_score_equation(counts):
    hits, n = counts
    stats = pytest.importorskip("scipy.stats")
    z = stats.norm.ppf(0.975)
    for end in wilson_interval(hits, n):
        assert 0 <= end <= 1
        assert (hits / n - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, abs=1e-9)


def test_compute_reports_the_wilson_interval(metric):
    result = metric().compute(predictions=GUESS, references=TRUTH)
    assert result["acc@750km_ci95"] == wilson_interval(2, 4)


# the ways of evaluate


def test_add_and_add_batch_equal_compute(metric):
    m = metric()
    m.add(prediction=GUESS[0], reference=TRUTH[0].tolist())
    m.add_batch(predictions=GUESS[1:3].tolist(), references=TRUTH[1:3])
    expected = metric().compute(predictions=GUESS, references=TRUTH)
    assert m.compute(predictions=GUESS[3:], references=TRUTH[3:]) == expected
    # and nothing is left of it
    assert m.compute(predictions=GUESS[:1], references=TRUTH[:1])["n"] == 1


def test_added_coordinates_keep_every_digit(metric):
    m = metric("justzoomin")
    truth, guess = [38.908513123456, -76.940898], [38.908513123465, -76.940898]
    m.add(prediction=guess, reference=truth)
    assert m.compute() == metric("justzoomin").compute(predictions=[guess], references=[truth])


def test_added_missing_predictions(metric):
    m = metric()
    m.add(prediction=None, reference=[0, 0])
    m.add_batch(predictions=[[0, 0], None], references=[[0, 0], [1, 1]])
    result = m.compute(missing="miss")
    assert (result["n"], result["n_missing"], result["acc@200km"]) == (3, 2, 1 / 3)


def test_keep_in_memory(metric):
    m = metric(keep_in_memory=True)
    m.add_batch(predictions=GUESS, references=TRUTH)
    assert m.compute()["n"] == 4


def test_two_processes(python, tmp_path):
    code = """
import sys, gcd_metric, evaluate
from concurrent.futures import ThreadPoolExecutor
rank = int(sys.argv[1])
m = evaluate.load("gcd_metric", num_process=2, process_id=rank, experiment_id="two")
rows = [[[0, 0]] * 3, [[0, 50]] * 5][rank]
try:
    m.add_batch(predictions=[[0, 999]], references=[[0, 0]])
except ValueError:
    pass
print(m.compute(predictions=rows, references=[[0, 0]] * len(rows)))
"""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        main, other = pool.map(lambda rank: python("-c", code, rank, cwd=tmp_path), (0, 1))
    assert "'n': 8" in main and "'acc@200km': 0.375" in main
    assert other.strip() == "None"


def test_combine_by_name_row_by_row(monkeypatch, tmp_path):
    both = evaluate.combine(["gcd_metric"])
    both.add(prediction=GUESS[0], reference=TRUTH[0])
    both.add_batch(predictions=GUESS[1:], references=TRUTH[1:])
    result = both.compute()
    assert (result["n"], result["acc@200km"]) == (4, 0.25)


def test_combine(metric):
    both = evaluate.combine({"a": metric(), "b": metric("justzoomin")}, force_prefix=True)
    both.add_batch(predictions=GUESS, references=TRUTH)
    result = both.compute()
    assert result["a_acc@200km"] == 0.25 and result["b_acc@40m"] == 0
    result = both.compute(predictions=GUESS, references=TRUTH)
    assert result["a_n"] == result["b_n"] == 4


@pytest.mark.parametrize("pickler", [pickle, dill])
def test_pickling(metric, pickler):
    m = pickler.loads(pickler.dumps(metric("standard")))
    assert m.compute(predictions=GUESS, references=TRUTH)["acc@25km"] == 0
    m.add_batch(predictions=GUESS, references=TRUTH)
    assert m.compute()["n"] == 4


def test_the_metric_has_a_description(metric):
    for method in ("compute", "add", "add_batch"):
        assert "predictions: n pairs" in getattr(metric(), method).__doc__
    assert set(CONFIGURATIONS) == {"im2gps", "standard", "justzoomin"}


def test_memory_stays_within_the_inputs(metric):
    random = np.random.default_rng(0)
    a = np.column_stack([random.uniform(-90, 90, 200_000), random.uniform(-180, 180, 200_000)])
    b = a[::-1].copy()
    m = metric()
    for a_form, b_form in ((a, b), (a.tolist(), b.tolist())):
        tracemalloc.start()
        m.compute(predictions=a_form, references=b_form)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 3 * (a.nbytes + b.nbytes)


class Rows:
    """Supports iteration only."""

    def __iter__(self):
        return iter([{"lat": 48.86, "lon": 2.35, "photo": b"x"}, {"lat": 0, "lon": 0}])


def test_any_iterable_of_rows(metric):
    result = metric().compute(predictions=[[48.86, 2.35], [0, 90]], references=Rows())
    assert result["acc@200km"] == 0.5


@pytest.mark.parametrize("known", [True, False])
def test_a_data_set_that_streams(metric, known):
    import datasets

    rows = [{"image": i, "latitude": float(i), "longitude": 2.0} for i in range(5)]
    stream = datasets.Dataset.from_list(rows).to_iterable_dataset()
    if not known:
        stream = stream.map(lambda row: row)
        assert stream.column_names is None
    guess = [[float(i), 2.0] for i in range(5)]
    assert metric().compute(predictions=guess, references=stream)["mean_km"] == 0


# pairs by id

IDS = ["Zürich_1.jpg", "b/2.JPG", "3", "4"]


def with_ids(array, ids=IDS, column="image_id"):
    table = frame(array).assign(name=["not", "an", "id", "id"])
    return table.assign(**{column: ids})


SHUFFLED = {
    "frame": lambda table: table,
    "other spelling": lambda table: table.assign(
        image_id=[unicodedata.normalize("NFD", one).removesuffix(".jpg") for one in table.image_id]
    ),
    "other column": lambda table: table.rename(columns={"image_id": "IMG_ID"}),
    "beside another id": lambda table: table.assign(id=range(4)),
    "index": lambda table: table.set_index("image_id"),
    "index without a name": lambda table: table.set_index("image_id").rename_axis(None),
    "index of another name": lambda table: table.set_index("image_id").rename_axis("photo"),
    "index of categories": lambda table: (
        table.astype({"image_id": "category"}).set_index("image_id").rename_axis(None)
    ),
    "index of bytes": lambda table: table.set_index(table.image_id.str.encode("utf-8")).drop(
        columns="image_id"
    ),
    "index of levels": lambda table: table.assign(crop=0).set_index(["crop", "image_id"]),
    "series of pairs": lambda table: pd.Series(
        list(zip(table.latitude, table.longitude, strict=True)), index=list(table.image_id)
    ),
    "rows of a frame": lambda table: [row for _, row in table.set_index("image_id").iterrows()],
    "named tuples of an index": lambda table: list(table.set_index("image_id").itertuples()),
    "objects": lambda table: [types.SimpleNamespace(**row) for row in table.to_dict("records")],
    "rows": lambda table: table.to_dict("records"),
    "columns": lambda table: table.to_dict("list"),
    "named tuples": lambda table: list(table.itertuples()),
    "records": lambda table: table.to_records(),
    "data set": lambda table: datasets.Dataset.from_pandas(table),
    "stream": lambda table: datasets.Dataset.from_pandas(table).to_iterable_dataset(),
    "polars": polars.from_pandas,
    "arrow": pyarrow.Table.from_pandas,
}


@pytest.mark.parametrize("kind", [pathlib.PurePosixPath, lambda text: decimal.Decimal(len(text))])
def test_ids_of_other_kinds_pair_rows(metric, kind):
    ids = [kind(text) for text in ("a", "bb", "ccc", "dddd")]
    guess, truth = with_ids(TRUTH, ids).iloc[[2, 0, 3, 1]], with_ids(TRUTH, ids)
    assert metric().compute(predictions=guess, references=truth)["mean_km"] == 0


@pytest.mark.parametrize("form", SHUFFLED)
def test_rows_with_ids_are_paired_by_id(metric, form):
    expected = metric().compute(predictions=GUESS, references=TRUTH, return_distances=True)
    table = with_ids(GUESS).iloc[[2, 0, 3, 1]]
    shuffled, truth = SHUFFLED[form](table), with_ids(TRUTH)
    for references in (truth, datasets.Dataset.from_pandas(truth)):
        found = metric().compute(predictions=shuffled, references=references, return_distances=True)
        assert found == expected
    m = metric()
    m.add_batch(predictions=SHUFFLED[form](table), references=truth)
    assert m.compute(return_distances=True) == expected
    assert haversine(SHUFFLED[form](table), truth) == pytest.approx(expected["distances_km"])
    result = compare(SHUFFLED[form](table), GUESS, truth)
    assert result["acc@750km"]["difference"] == result["median_km"]["difference"] == 0


def test_ids_on_one_side_only_are_ignored(metric):
    expected = metric().compute(predictions=GUESS, references=TRUTH)
    ids = with_ids(GUESS, ids=[9, 8, 7, 6])
    assert metric().compute(predictions=ids, references=TRUTH) == expected
    # one value for all rows is not an id
    same = with_ids(TRUTH, ids="x", column="id")
    assert metric().compute(predictions=ids, references=same) == expected


def test_whole_numbers_and_text_are_the_same_id(metric):
    guess, truth = with_ids(GUESS, ids=[4, 3, 2, 1]), with_ids(TRUTH, ids=["4", "3", "2", "1"])
    assert metric().compute(predictions=guess[::-1], references=truth)["acc@200km"] == 0.25


# notes on coordinates that can be scored


def noted(function, *args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return [str(one.message) for one in caught if one.category is UserWarning]


WORLD = np.random.default_rng(5).uniform((-60, -180), (70, 180), (50, 2))
COARSE = {
    "float16": lambda torch: torch.tensor(WORLD).half(),
    "bfloat16": lambda torch: torch.tensor(WORLD).bfloat16(),
    "float8_e4m3fn": lambda torch: torch.tensor(WORLD).to(torch.float8_e4m3fn),
    "int8": lambda torch: (WORLD / 2).astype(np.int8),
    "qint8": lambda torch: quantised(torch, WORLD),
}


def quantised(torch, array):
    return torch.quantize_per_tensor(torch.tensor(array).float(), 2.0, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("dtype", COARSE)
@pytest.mark.parametrize("rows", [1, 50])
def test_small_types_give_a_note_with_their_error(metric, dtype, rows):
    torch = pytest.importorskip("torch")
    guess, truth = COARSE[dtype](torch)[:rows], WORLD[:rows]
    (note,) = noted(metric().compute, predictions=guess, references=truth)
    assert note.startswith("predictions: ") and dtype in note and " km" in note
    (note,) = noted(compare, guess, truth, truth)
    assert note.startswith("a: predictions: ") and dtype in note
    m = metric()
    m.add_batch(predictions=guess, references=truth)
    (note,) = noted(m.compute)
    assert dtype in note
    assert not noted(m.compute, predictions=WORLD, references=WORLD)


def test_the_error_of_a_small_type_is_that_of_its_rounding(metric):
    guess = WORLD.astype(np.float16)
    (note,) = noted(metric().compute, predictions=guess, references=WORLD)
    worst = float(re.search("up to ([0-9.]+) km", note)[1])
    true = haversine(guess, WORLD).max()
    assert true <= worst * 1.05 and worst < 3 * true
    assert not noted(metric("im2gps").compute, predictions=guess, references=WORLD)


def test_values_rounded_to_a_small_type_are_noticed(metric):
    for dtype in (np.float16, np.float32):
        array = WORLD.astype(np.float16).astype(dtype)
        for form in (array, array.astype(float).tolist(), frame(array)):
            (note,) = noted(metric().compute, predictions=form, references=WORLD)
            assert "float16" in note


def test_float32_is_enough_for_40_metres_and_not_for_one(metric):
    guess = WORLD.astype(np.float32)
    assert not noted(metric("justzoomin").compute, predictions=guess, references=WORLD)
    (note,) = noted(
        metric("justzoomin").compute, predictions=guess, references=WORLD, thresholds=[0.5, 40]
    )
    assert "float32" in note


EXACT = {
    "whole degrees": np.round(WORLD),
    "cells of half a degree": np.floor(WORLD * 2) / 2 + 0.25,
    "one decimal": np.round(WORLD, 1),
    "a single place": np.array([[48.5, 2.25]]),
}


@pytest.mark.parametrize("kind", EXACT)
def test_numbers_on_a_grid_are_exact(metric, kind):
    array = EXACT[kind]
    assert not noted(metric().compute, predictions=array, references=array)
    assert not noted(metric().compute, predictions=array.tolist(), references=array)


def test_longitudes_from_0_to_360_are_west_above_180(metric):
    guess, truth = GUESS.copy(), TRUTH.copy()
    expected = metric().compute(predictions=GUESS, references=TRUTH)["mean_km"]
    for array in (guess, truth):
        array[:, 1] %= 360
    notes = noted(metric().compute, predictions=guess, references=truth)
    assert len(notes) == 2 and "1 above 180 are taken as west" in notes[0]
    for form in ("lists", "frame", "rows"):
        m = metric()
        result = m.compute(predictions=FORMS[form](guess), references=truth)
        assert result["mean_km"] == pytest.approx(expected)
        m.add_batch(predictions=FORMS[form](guess), references=TRUTH)
        assert m.compute()["mean_km"] == pytest.approx(expected)
    assert compare(guess, GUESS, truth)["median_km"]["difference"] == pytest.approx(0)
    assert haversine(guess, TRUTH) == pytest.approx(haversine(GUESS, TRUTH))


def test_radians_on_both_sides_are_reported(metric):
    europe = WORLD * 0.15 + (48, 10)
    for degrees in (WORLD, europe):
        radians = np.radians(degrees)
        (note,) = noted(metric().compute, predictions=radians, references=radians)
        assert "radians on both sides" in note
        assert not noted(metric().compute, predictions=degrees, references=degrees)
        assert not noted(metric().compute, predictions=radians[:5], references=radians[:5])
    one_place = WORLD / 1000
    assert not noted(metric().compute, predictions=one_place, references=one_place)
    nowhere = np.zeros((50, 2))
    assert not noted(metric().compute, predictions=nowhere, references=nowhere)


def test_masked_values_are_missing(metric):
    mask = [[False, False], [True, False], [False, True], [False, False]]
    masked = np.ma.array(GUESS, mask=mask)
    forms = {
        "array": masked,
        "columns": {"lat": masked[:, 0], "lon": masked[:, 1]},
        "rows": list(masked),
        "objects": masked.astype(object),
        "cells": [[masked[row, 0], masked[row, 1]] for row in range(4)],
    }
    for form in forms.values():
        result = metric().compute(predictions=form, references=TRUTH, missing="miss")
        assert (result["n_missing"], result["acc@200km"]) == (2, 0.25)
        with pytest.raises(ValueError, match="predictions: row 1 is missing"):
            metric().compute(predictions=form, references=TRUTH)


def test_one_column_in_half_precision_is_noted(metric):
    guess = WORLD.copy()
    guess[:, 1] = guess[:, 1].astype(np.float16)
    with pytest.warns(UserWarning, match="predictions: .* rounded to float16"):
        metric().compute(predictions=guess, references=WORLD)
