"""The figures: agreement of classes, errors of quantities, and counts without a value."""

import json
import math
from pathlib import Path

import datasets
import evaluate
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

pytest.importorskip("rasterio", exc_type=ImportError)

import geo_attributes
from geo_attributes import GeoAttributes

# A strip along the equator, 10 degrees a cell from 0 east; place(i) is in cell i.
CODES = np.array([[10, 20, 20, 30, 255, 30]], np.uint8)
DENSITY = np.array([[0, 9, 99, 999, -1, 50]], np.float32)


def place(cell):
    return None if cell is None else [0.0, 5.0 + 10 * cell]


@pytest.fixture(scope="module")
def codes(write):
    return write(CODES, west=0, north=5, cell=10, nodata=255)


@pytest.fixture(scope="module")
def density(write):
    return write(DENSITY, west=0, north=5, cell=10, nodata=-1)


def compute(guess, truth, raster, kind, **options):
    return GeoAttributes().compute(
        predictions=[place(cell) for cell in guess],
        references=[place(cell) for cell in truth],
        raster=raster,
        kind=kind,
        **options,
    )


COUNTS = ("n_references_outside", "n_references_nodata", "n_predictions_outside",
          "n_predictions_nodata", "n_missing")  # fmt: skip


def counts(result):
    return [result[name] for name in COUNTS]


# --- classes ------------------------------------------------------------------------------------


def test_classes_of_codes(codes):
    result = compute([0, 1, 2, 0, 3], [0, 2, 1, 3, 5], codes, "classes")
    assert result["labels"] == ["10", "20", "30"]
    assert result["confusion_matrix"] == [[1, 0, 0], [0, 2, 0], [1, 0, 1]]
    assert result["accuracy"] == 0.8 and result["n"] == 5
    # Wilson's interval of 4 in 5, from the tables of a statistics package
    assert result["accuracy_ci95"] == pytest.approx((0.37553, 0.96377), abs=1e-5)
    assert result["per_class"]["30"] == {"n": 2, "recall": 0.5, "precision": 1.0}
    assert result["per_class"]["10"] == {"n": 1, "recall": 1.0, "precision": 0.5}
    assert result["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert counts(result) == [0] * 5


def test_groups_of_photos(codes):
    guess, truth = [0, 1, 1, 0] * 10, [0, 1, 1, 1] * 10
    alone = compute([*guess, 4], [*truth, 4], codes, "classes")
    labels = [*np.repeat(list("abcdefghij"), 4), "k"]  # k has no value at the true place
    grouped = compute([*guess, 4], [*truth, 4], codes, "classes", groups=labels)
    assert grouped["accuracy"] == alone["accuracy"] == 0.75 and grouped["n_groups"] == 11
    assert grouped["accuracy_ci95"] != alone["accuracy_ci95"]
    assert 0 < grouped["accuracy_n_effective"] <= 40
    own = compute([*guess, 4], [*truth, 4], codes, "classes", groups=range(41))
    assert own["accuracy_ci95"] == pytest.approx(alone["accuracy_ci95"])
    with pytest.raises(ValueError, match="groups is for kind='classes' and kind='places'"):
        compute(guess, truth, codes, "quantity", groups=labels[:-1])


def test_named_and_grouped_codes(codes):
    names = {10: "water", 20: "land", 30: "land", 40: "ice"}
    result = compute([0, 1, 2, 0], [0, 3, 5, 1], codes, "classes", classes=names)
    assert result["labels"] == ["water", "land", "ice"]
    assert result["confusion_matrix"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert result["accuracy"] == 0.75
    assert math.isnan(result["per_class"]["ice"]["recall"])
    assert result["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)


def test_urban_and_rural_by_a_threshold(density):
    result = compute([0, 3, 2, 1], [1, 3, 1, 2], density, "classes", threshold=99,
                     classes=["rural", "urban"])  # fmt: skip
    assert result["labels"] == ["rural", "urban"]
    assert result["confusion_matrix"] == [[1, 1], [1, 1]]  # 99 itself is urban
    several = compute([0, 1, 2], [3, 3, 3], density, "classes", threshold=[9, 100])
    assert several["labels"] == ["< 9", "9 to 100", ">= 100"]
    assert several["confusion_matrix"] == [[0, 0, 0], [0, 0, 0], [1, 2, 0]]


def test_a_prediction_without_a_value_is_wrong(codes):
    result = compute([0, 4, 9, None], [0, 0, 0, 0], codes, "classes", missing="miss")
    assert (result["accuracy"], result["n"]) == (0.25, 4)
    assert result["confusion_matrix"] == [[1]]
    assert result["per_class"]["10"] == {"n": 4, "recall": 0.25, "precision": 1.0}
    assert counts(result) == [0, 0, 1, 1, 1]


def test_references_without_a_value_are_left_out_and_counted(codes):
    result = compute([0, 0, 0], [0, 4, 9], codes, "classes")
    assert (result["accuracy"], result["n"]) == (1, 1)
    assert counts(result) == [1, 1, 0, 0, 0]
    sea = compute([4, 0, 0], [4, 4, 9], codes, "classes", fill_value=0)
    assert sea["labels"] == ["0", "10"] and sea["confusion_matrix"] == [[1, 1], [0, 0]]
    assert counts(sea) == [1, 0, 0, 0, 0]


# --- quantities ---------------------------------------------------------------------------------


def test_errors_of_a_quantity(density):
    result = compute([0, 1, 2, 3], [1, 1, 1, 2], density, "quantity", log=True)
    assert result["mean_absolute_error"] == pytest.approx((9 + 0 + 90 + 900) / 4)
    assert result["median_absolute_error"] == pytest.approx((9 + 90) / 2)
    assert result["mean_error"] == pytest.approx((-9 + 0 + 90 + 900) / 4)
    assert result["mean_absolute_error_log10"] == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert result["median_absolute_error_log10"] == pytest.approx(1)
    assert result["n"] == 4
    assert "mean_absolute_error_log10" not in compute([0], [1], density, "quantity")


def test_pairs_with_a_gap_are_left_out_and_counted(density):
    result = compute([0, 4, 9, None, 0, 0], [1, 1, 1, 1, 4, 9], density, "quantity", missing="miss")
    assert (result["n"], result["mean_absolute_error"]) == (1, 9)
    assert counts(result) == [1, 1, 1, 1, 1]
    none = compute([4], [1], density, "quantity")
    assert none["n"] == 0 and math.isnan(none["mean_absolute_error"])


def test_gradients_are_compared(write):
    terrain = np.zeros((4, 8), np.float32)
    terrain[:, 4:] = np.arange(4) * 100
    path = write(terrain, west=0, north=0.04, cell=0.01)
    places = [[0.025, 0.015], [0.025, 0.055]]
    result = GeoAttributes().compute(
        predictions=places, references=places[::-1], raster=path, kind="gradient",
        return_values=True,
    )  # fmt: skip
    steep = 100 / (math.radians(0.01) * 6_378_137)
    assert result["reference_values"] == pytest.approx([steep, 0], rel=1e-6)
    assert result["mean_absolute_error"] == pytest.approx(steep, rel=1e-6)
    assert result["spearman"] == pytest.approx(-1)


numbers = st.floats(-1e6, 1e6) | st.integers(0, 3)


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=50))
def test_spearman_is_that_of_scipy(pairs):
    a, b = np.array(pairs, float).T
    found = geo_attributes.spearman(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)


cells = st.lists(st.tuples(st.none() | st.integers(0, 7), st.integers(0, 7)), min_size=1)


@settings(deadline=None)
@given(cells, st.sampled_from(["classes", "quantity", "gradient"]))
def test_every_row_is_counted_once(codes, pairs, kind):
    guess, truth = zip(*pairs, strict=True)
    known = sum(0 <= cell < 6 and cell != 4 for cell in truth)
    if not known or kind == "gradient":  # a strip has no gradient anywhere
        with pytest.raises(ValueError, match=f"none of the {len(pairs)} references has a value"):
            compute(guess, truth, codes, kind, missing="miss")
        return
    result = compute(guess, truth, codes, kind, missing="miss", return_values=True)
    references, predictions = sum(counts(result)[:2]), sum(counts(result)[2:])
    if kind == "classes":
        assert result["n"] == known == len(pairs) - references
        assert sum(map(sum, result["confusion_matrix"])) == known - predictions
    else:
        assert result["n"] + predictions == known == len(pairs) - references
    expected = [CODES[0, c] if c < 6 and c != 4 else math.nan for c in truth]
    assert np.array_equal(result["reference_values"], expected, equal_nan=True)
    assert len(result["prediction_values"]) == len(pairs)


# --- forms of input -----------------------------------------------------------------------------

PAIRS = [[0.0, 5.0], [0.0, 15.0], [0.0, 25.0]]
FRAME = pd.DataFrame(PAIRS, columns=["Lat", "lng"])
FORMS = {
    "tuples": [tuple(pair) for pair in PAIRS],
    "array": np.array(PAIRS),
    "integers": np.array(PAIRS).astype(int),
    "float32": np.array(PAIRS, np.float32),
    "list of arrays": [np.array(pair) for pair in PAIRS],
    "frame": FRAME,
    "frame without names": pd.DataFrame(PAIRS).to_numpy(),
    "columns": {"longitude": [5, 15, 25], "latitude": [0, 0, 0]},
    "rows": [{"longitude": y, "latitude": x, "image_id": "a"} for x, y in PAIRS],
    "data set": datasets.Dataset.from_pandas(FRAME.assign(id="a")),
    "stream": datasets.Dataset.from_pandas(FRAME).to_iterable_dataset(),
    "generator": (pair for pair in PAIRS),
    "nullable": FRAME.convert_dtypes(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_input(density, form):
    result = GeoAttributes().compute(
        predictions=FORMS[form], references=PAIRS[::-1], raster=density, kind="quantity"
    )
    assert (result["n"], result["mean_absolute_error"]) == (3, pytest.approx(66))


def test_rows_added_before(density):
    metric = GeoAttributes()
    metric.add(prediction=place(0), reference=place(1))
    metric.add_batch(predictions=[place(1), None], references=[place(1), place(2)])
    with pytest.raises(ValueError, match="row 2 is missing.*missing='miss'"):
        metric.compute(raster=density, kind="quantity")
    with pytest.raises(ValueError, match="no such file"):
        metric.compute(raster="nowhere.tif", kind="quantity", missing="miss")
    # these lose nothing
    result = metric.compute(raster=density, kind="quantity", missing="miss")
    assert (result["n"], result["n_missing"], result["mean_absolute_error"]) == (2, 1, 4.5)
    with pytest.raises(ValueError, match="nothing to score"):
        metric.compute(raster=density, kind="quantity")


def test_rows_are_paired_by_id(density):
    truth = pd.DataFrame({"id": list("abc"), "latitude": 0.0, "longitude": [5.0, 15, 25]})
    guess = truth.sample(frac=1, random_state=1)
    assert guess["id"].tolist() != list("abc")
    asked = {"raster": density, "kind": "quantity"}
    assert (
        GeoAttributes().compute(predictions=guess, references=truth, **asked)["mean_absolute_error"]
        == 0
    )


def test_an_empty_batch_adds_nothing(density):
    metric = GeoAttributes()
    metric.add_batch(predictions=[], references=[])
    metric.add_batch(predictions=np.empty((0, 2)), references=[])
    with pytest.raises(ValueError, match="nothing to score"):
        metric.compute(raster=density, kind="quantity")
    metric.add_batch(predictions=PAIRS, references=PAIRS)
    assert metric.compute(raster=density, kind="quantity")["n"] == 3


def test_masked_rows_are_missing(density):
    guess = np.ma.array(PAIRS, mask=[[0, 0], [1, 1], [0, 1]])
    asked = {"predictions": guess, "references": PAIRS, "raster": density, "kind": "quantity"}
    with pytest.raises(ValueError, match="row 1 is missing.*2 of 3"):
        GeoAttributes().compute(**asked)
    result = GeoAttributes().compute(**asked, missing="miss")
    assert (result["n"], result["n_missing"]) == (1, 2)


def test_half_precision_of_torch(density):
    torch = pytest.importorskip("torch")
    metric = GeoAttributes()
    half = torch.tensor(PAIRS).half().requires_grad_()
    metric.add_batch(predictions=half, references=PAIRS)
    with pytest.warns(UserWarning, match="predictions.*rounded to float16"):
        assert metric.compute(raster=density, kind="quantity")["mean_absolute_error"] == 0
    metric.add_batch(predictions=half, references=PAIRS)
    metric.add_batch(predictions=torch.tensor(PAIRS, dtype=torch.bfloat16), references=PAIRS)
    with pytest.warns(UserWarning, match="predictions.*rounded to bfloat16, by up to"):
        assert metric.compute(raster=density, kind="quantity")["n"] == 6


def test_results_can_be_saved(density, tmp_path):
    for kind in ("classes", "quantity"):
        result = compute([0, 1, 4], [1, 2, 3], density, kind, return_values=True)
        saved = evaluate.save(tmp_path / f"{kind}.json", **result)
        assert json.loads(Path(saved).read_text())["reference_values"] == [9, 99, 999]


def test_combined_with_another_metric(density):
    import gcd_metric  # noqa: F401

    both = evaluate.combine([evaluate.load("gcd_metric"), evaluate.load("geo_attributes")])
    assert [module.name for module in both.evaluation_modules] == ["gcd_metric", "geo_attributes"]
    for pair in PAIRS[1:]:
        both.add(prediction=pair, reference=pair)
    both.add_batch(predictions=PAIRS[:1], references=PAIRS[:1])
    assert both.evaluation_modules[0].compute()["n"] == 3
    both.evaluation_modules = both.evaluation_modules[1:]
    assert both.compute(raster=density, kind="quantity")["n"] == 3
