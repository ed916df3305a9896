"""What compute returns, for every form of input, and add, num_process, combine and pickling."""

import math
import pickle
import tracemalloc

import datasets
import dill
import evaluate
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric import CONFIGURATIONS, haversine, wilson_interval

KM = math.degrees(1 / 6371)  # degrees of latitude
TRUTH = np.array([[0.0, 0.0], [10.0, 20.0], [-30.0, 170.0], [60.0, -100.0]])
GUESS = TRUTH + np.array([[100 * KM, 0], [500 * KM, 0], [2000 * KM, 0], [-4000 * KM, 0]])


def test_figures_of_the_default_configuration(metric):
    result = metric().compute(predictions=GUESS, references=TRUTH)
    assert list(result) == [
        *("acc@200km", "acc@200km_ci95", "acc@750km", "acc@750km_ci95"),
        *("acc@2500km", "acc@2500km_ci95", "mean_km", "median_km", "geoscore", "n"),
    ]
    assert [result[f"acc@{t}km"] for t in (200, 750, 2500)] == [0.25, 0.5, 0.75]
    assert result["mean_km"] == pytest.approx(1650)
    assert result["median_km"] == pytest.approx(1250)
    expected = np.mean([5000 * math.exp(-d / 1492.7) for d in (100, 500, 2000, 4000)])
    assert result["geoscore"] == pytest.approx(expected)
    assert result["n"] == 4
    floats = [value for key, value in result.items() if not key.endswith("_ci95") and key != "n"]
    assert all(type(value) is float for value in floats)


def test_standard_adds_street_and_city(metric):
    result = metric("standard").compute(predictions=GUESS, references=TRUTH)
    thresholds = [int(key[4:-2]) for key in result if key.startswith("acc@") and "_" not in key]
    assert thresholds == [1, 25, 200, 750, 2500]


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


def test_geodesic_without_pyproj_says_how_to_get_it(metric, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyproj", None)
    with pytest.raises(ImportError, match=r"pip install 'im2gps-justzoomin\[geodesic\]'"):
        metric().compute(predictions=GUESS, references=TRUTH, method="geodesic")


def test_distances_on_request(metric):
    result = metric().compute(predictions=GUESS, references=TRUTH, return_distances=True)
    assert result["distances_km"] == pytest.approx([100, 500, 2000, 4000])


# forms of input


def frame(array):
    return pd.DataFrame({"longitude": array[:, 1], "name": "x", "latitude": array[:, 0]})


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
def test_wilson_intervals_known_from_elsewhere(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_with_237_photos_the_interval_is_six_points_either_way():
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
    # and nothing of it is left
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


def test_documented_for_users(metric):
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
    """Can be walked through, and nothing else."""

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
