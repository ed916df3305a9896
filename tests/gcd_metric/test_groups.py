"""Photos in groups: labels of any form, wider intervals, and the coverage of these intervals."""

import math

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gcd_metric import photographers, place_cells
from gcd_metric.figures import approximate_accuracies, summarise
from gcd_metric.groups import make_groups
from gcd_metric.intervals import mean_and_interval, median_and_interval, proportion_intervals
from gcd_metric.options import make_options

RANDOM = np.random.default_rng(0)
TRUTH = np.column_stack([RANDOM.uniform(-60, 60, 60), RANDOM.uniform(-180, 180, 60)])
GUESS = TRUTH + np.repeat(RANDOM.choice([0.001, 1, 20], 12), 5)[:, None]  # 12 photographers
OWNERS = [f"{index // 5}@N00" for index in range(60)]
FORMS = {
    "list": OWNERS,
    "tuples": [(owner, "x") for owner in OWNERS],
    "array": np.array(OWNERS),
    "numbers": np.repeat(np.arange(12), 5),
    "floats": np.repeat(np.arange(12.0), 5).tolist(),
    "series": pd.Series(OWNERS, index=range(100, 160)),
    "categories": pd.Series(OWNERS, dtype="category"),
    "arrow": pyarrow.array(OWNERS),
    "column": datasets.Dataset.from_dict({"owner": OWNERS})["owner"],
    "generator": (owner for owner in OWNERS),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_of_any_form(metric, form):
    result = metric().compute(predictions=GUESS, references=TRUTH, groups=FORMS[form])
    assert result["n_groups"] == 12
    alone = metric().compute(predictions=GUESS, references=TRUTH)
    for key, value in alone.items():
        if not key.endswith("_ci95"):
            assert result[key] == value
    low, high = alone["acc@25km_ci95"]
    wider_low, wider_high = result["acc@25km_ci95"]
    assert wider_low < low and high < wider_high
    assert 10 < result["acc@25km_n_effective"] < 20


def test_labels_in_a_tensor(metric):
    torch = pytest.importorskip("torch")
    labels = torch.arange(12).repeat_interleave(5)
    result = metric().compute(predictions=GUESS, references=TRUTH, groups=labels)
    assert result == metric().compute(predictions=GUESS, references=TRUTH, groups=OWNERS)


def references(kind):
    columns = {"latitude": TRUTH[:, 0], "longitude": TRUTH[:, 1], "owner": OWNERS}
    frame = pd.DataFrame(columns)
    return {
        "mapping": columns,
        "frame": frame,
        "rows": frame.to_dict("records"),
        "dataset": datasets.Dataset.from_pandas(frame),
        "streamed": datasets.Dataset.from_pandas(frame).to_iterable_dataset(),
    }[kind]


@pytest.mark.parametrize("kind", ["mapping", "frame", "rows", "dataset", "streamed"])
def test_groups_may_name_a_column_of_the_references(metric, kind):
    result = metric().compute(predictions=GUESS, references=references(kind), groups="owner")
    assert result == metric().compute(predictions=GUESS, references=TRUTH, groups=OWNERS)
    with pytest.raises(ValueError, match="groups='ownr'.*no column of that name"):
        metric().compute(predictions=GUESS, references=references(kind), groups="ownr")


def test_groups_of_places(metric):
    near = np.repeat(TRUTH[::5], 5, axis=0) + np.tile([[0, 0.0001]], (60, 1))
    result = metric().compute(predictions=GUESS, references=near, groups="place:1km")
    assert result["n_groups"] == 12
    assert result == metric().compute(predictions=GUESS, references=near, groups=OWNERS)


def test_groups_are_in_the_order_of_the_references(metric):
    truth = pd.DataFrame({"image_id": range(60), "latitude": TRUTH[:, 0], "longitude": TRUTH[:, 1]})
    guess = truth.assign(latitude=GUESS[:, 0], longitude=GUESS[:, 1])[::-1]
    result = metric().compute(predictions=guess, references=truth, groups=OWNERS)
    assert result == metric().compute(predictions=GUESS, references=TRUTH, groups=OWNERS)


def test_groups_of_added_rows(metric):
    m = metric()
    m.add_batch(predictions=GUESS[:20], references=TRUTH[:20])
    m.add_batch(predictions=GUESS[20:], references=TRUTH[20:])
    with pytest.raises(ValueError, match="rows were added without it"):
        m.compute(groups="owner")
    result = m.compute(groups=OWNERS)
    assert result == metric().compute(predictions=GUESS, references=TRUTH, groups=OWNERS)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (OWNERS[:-1], "59 labels for 60 pairs"),
        (np.zeros((60, 2)), "60x2 labels for 60 pairs"),
        ([[1]] * 60, "hashable"),
        ("place:far", "write the size of a cell as in place:500m"),
        (set(OWNERS), "one label for each of the 60 pairs"),
        # its keys, the photos, would each be a group
        ({f"{i}.jpg": owner for i, owner in enumerate(OWNERS)}, "one label for each of the 60"),
    ],
)
def test_labels_that_do_not_fit(metric, groups, message):
    with pytest.raises(ValueError, match=message):
        metric().compute(predictions=GUESS, references=TRUTH, groups=groups)


@given(hits=st.lists(st.booleans(), min_size=2, max_size=200))
def test_one_photo_in_each_group_gives_the_usual_intervals(hits):
    measured = np.where(hits, 10.0, 5000.0) + np.arange(len(hits))
    options = make_options()
    grouped = summarise(measured, options, make_groups(range(len(hits)), np.zeros((len(hits), 2))))
    for key, value in summarise(measured, options).items():
        assert grouped[key] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), key


def test_a_photo_without_a_label_is_a_group_of_its_own(metric):
    lost = [*OWNERS[:50], *[None] * 5, *[math.nan] * 5]
    result = metric().compute(predictions=GUESS, references=TRUTH, groups=lost)
    assert result["n_groups"] == 10 + 10


@pytest.mark.parametrize(
    ("form", "n_groups"),
    [
        (["", " ", "a", "b"] * 15, 30 + 2),
        (np.ma.array(np.repeat(np.arange(12), 5), mask=np.arange(60) < 10), 10 + 10),
    ],
)
def test_empty_and_masked_labels_are_missing(metric, form, n_groups):
    result = metric().compute(predictions=GUESS, references=TRUTH, groups=form)
    assert result["n_groups"] == n_groups


def test_one_group_has_no_interval(metric):
    result = metric().compute(predictions=GUESS, references=TRUTH, groups=["me"] * 60)
    assert result["n_groups"] == 1
    intervals = [value for key, value in result.items() if key.endswith("_ci95")]
    assert len(intervals) == 8
    assert np.isnan(intervals).all() and np.isnan(result["acc@25km_n_effective"])


@pytest.mark.parametrize("hit", [0.0, 1e4])
def test_all_hits_or_all_misses_count_each_group_once(hit):
    """Nothing tells whether the photos of a group are alike, so the least favourable is assumed."""
    groups = make_groups(np.repeat(np.arange(12), 5), TRUTH)
    result = summarise(np.full(60, hit), make_options(), groups)
    assert result["acc@200km_n_effective"] == pytest.approx(12)
    low, high = result["acc@200km_ci95"]
    assert (low == 0 and high > 0.2) if hit else (high == 1 and low < 0.8)


def test_accuracies_of_few_groups_are_approximate():
    measured = np.full(400, 100.0)
    measured[:90] = 0.5  # nine groups
    measured[200:] = 900
    groups = make_groups(np.repeat(np.arange(40), 10), np.zeros((400, 2)))
    hits = make_options().hits(measured)
    assert approximate_accuracies(hits, groups) == ["acc@1km", "acc@25km", "acc@2500km"]
    assert approximate_accuracies(hits, make_groups(range(400), np.zeros((400, 2)))) == []


def test_missing_predictions_stay_in_their_groups(metric):
    guess = [None if index < 7 else pair for index, pair in enumerate(GUESS.tolist())]
    result = metric().compute(
        predictions=guess, references=TRUTH, groups=OWNERS, missing="miss", return_distances=True
    )
    assert (result["n_groups"], result["n_missing"]) == (12, 7)
    answered = np.array(result["distances_km"][7:])
    kept = make_groups(OWNERS[7:], TRUTH[7:])
    assert result["mean_km_ci95"][1] == mean_and_interval(answered, kept)[1][1]
    assert result["median_km_ci95"] == median_and_interval(answered, kept)[1]


# --- against reference implementations ----------------------------------------------------------


def test_mean_and_median_of_independent_photos_against_scipy():
    values = np.random.default_rng(1).lognormal(5, 2, 400)
    mean, interval = mean_and_interval(values)
    expected = stats.t.interval(0.95, 399, np.mean(values), stats.sem(values))
    assert interval == pytest.approx(expected) and mean == np.mean(values)
    median, interval = median_and_interval(values)
    exact = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert median == np.median(values)
    ordered = np.sort(values)
    # the exact interval is between order statistics too: the same, or one rank further out
    ranks = np.searchsorted(ordered, interval) - np.searchsorted(ordered, (exact.low, exact.high))
    assert abs(ranks).max() <= 1


def test_the_smallest_and_largest_of_four_values_are_no_interval_of_their_median():
    assert np.isnan(median_and_interval(np.arange(4.0))[1]).all()
    assert median_and_interval(np.arange(5.0)) == (2, (0, 4))
    # ties, whose effective sample size is 5 but for rounding
    alone = make_groups(range(5), np.zeros((5, 2)))
    for values in ([0, 0, 10, 100, 5000], [0, 10, 10, 10, 100], [10, 100, 100, 5000, 5000]):
        values = np.array(values, float)
        assert median_and_interval(values, alone) == median_and_interval(values)
    # four values, ten times each
    groups = make_groups(np.repeat(np.arange(4), 10), np.zeros((40, 2)))
    assert np.isnan(median_and_interval(np.repeat(np.arange(4.0), 10), groups)[1]).all()


def test_a_mean_cannot_exceed_the_largest_distance(metric):
    labels = ["a"] * 59 + ["b"]
    result = metric().compute(predictions=GUESS, references=TRUTH, groups=labels)
    assert result["mean_km_ci95"] == (0, pytest.approx(math.pi * 6371))


def labelled(random):
    """Labels of 300 pairs in 30 groups of different sizes, and values that are alike in groups."""
    labels = random.choice(30, 300, p=np.arange(1, 31) / 465)
    return labels, random.normal(size=30)[labels] + random.normal(size=300)


def test_the_variance_of_a_mean_is_that_of_leaving_each_group_out():
    labels, values = labelled(np.random.default_rng(2))
    groups = make_groups(labels, np.zeros((300, 2)))
    mean, (low, high) = mean_and_interval(values, groups)
    left = np.array([values[labels != label].mean() for label in np.unique(labels)])
    error = math.sqrt((len(left) - 1) / len(left) * np.square(left - mean).sum())
    half = stats.t.ppf(0.975, groups.effective - 1) * error
    assert (mean - low, high - mean) == pytest.approx((half, half))


def test_the_effective_sample_size_against_a_bootstrap_of_groups():
    labels, values = labelled(np.random.default_rng(2))
    groups = make_groups(labels, np.zeros((300, 2)))
    hits = groups.sums(values > 0.5)
    _, (n_effective,) = proportion_intervals(hits[None], groups)
    p = hits.sum() / 300
    resampled = stats.bootstrap(
        (hits, groups.sizes),
        lambda hits, sizes, axis: hits.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    variance = p * (1 - p) / (n_effective - 1)
    assert math.sqrt(variance) == pytest.approx(resampled.standard_error, rel=0.1)


def test_effective_sample_size_of_equal_groups_follows_the_correlation():
    """With groups of m photos, the design effect tends to 1 + (m - 1) correlation (Kish)."""
    random = np.random.default_rng(3)
    correlation, size = 0.2, 10
    shares = random.beta(0.4 / correlation * 0.8, 0.6 / correlation * 0.8, 20_000)
    hits = random.binomial(size, shares)[None].astype(float)
    groups = make_groups(np.repeat(np.arange(20_000), size), np.zeros((200_000, 2)))
    _, n_effective = proportion_intervals(hits, groups)
    assert 200_000 / n_effective[0] == pytest.approx(1 + (size - 1) * correlation, rel=0.03)


def test_intervals_cover_the_truth_where_wilson_does_not():
    """A small version of benchmarks/intervals.py."""
    random = np.random.default_rng(4)
    sizes = np.array([60, 40, 30, 20, *[10] * 20, *[3] * 40])
    labels = np.repeat(np.arange(len(sizes)), sizes)
    groups = make_groups(labels, np.zeros((len(labels), 2)))
    covered = np.zeros(2)
    for _ in range(400):
        shares = random.beta(0.3 * 9, 0.7 * 9, len(sizes))  # a correlation of 0.1
        measured = np.where(random.random(len(labels)) < shares[labels], 1.0, 1e4)
        options = make_options(thresholds=[25])
        for index, given_groups in enumerate((None, groups)):
            low, high = summarise(measured, options, given_groups)["acc@25km_ci95"]
            covered[index] += low <= 0.3 <= high
    independent, clustered = covered / 400
    assert 0.92 <= clustered <= 0.985
    assert independent < 0.85


# --- labels -------------------------------------------------------------------------------------


def test_photographers_of_flickr_names():
    names = [
        "299886566_3b8a8b9a33_103_19355699@N00.jpg",
        "photos/Paris_00012_299886566_3b8a8b9a33_103_19355699@N00.JPEG",
        "299886566_3b8a8b9a33_103_19355699@N00",
        "cat.jpg",
        "someone@N00x.jpg",
    ]
    assert photographers(names) == ["19355699@N00"] * 3 + [None, None]


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    metres=st.sampled_from([50, 500, 10_000, 1e6, 3e7]),
)
def test_points_in_one_cell_are_near_each_other(latitude, longitude, metres):
    random = np.random.default_rng(5)
    points = np.array([latitude, longitude]) + random.uniform(-3, 3, (300, 2)) * metres / 111_195
    points = np.clip(points, (-90, -180), (90, 180))
    cells = place_cells(points, metres)
    heights = pd.Series(points[:, 0]).groupby(cells)
    assert (heights.max() - heights.min()).max() <= metres / 111_194
    widths = pd.Series(points[:, 1]).groupby(cells)
    # two cells at most fit where one is wider, except around a pole
    across = (widths.max() - widths.min()) * np.cos(np.radians(heights.min().abs()))
    away = (heights.max().abs() + metres / 111_195) < 89
    assert (across[away] <= 2.2 * metres / 111_195).all()


def test_place_cells_are_the_same_for_everyone():
    points = np.array([[38.9, -77.0], [38.9001, -77.0001], [38.95, -77.0], [-90, 0], [90, 180]])
    first, near, far, south, north = place_cells(points, 500).tolist()
    assert first == near and len({first, far, south, north}) == 4
    assert place_cells(points[::-1], 500)[-1] == first
    with pytest.raises(ValueError, match="positive"):
        place_cells(points, 0)
