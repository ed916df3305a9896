"""compare: intervals and p-values against values known or computed elsewhere."""

import itertools
import math
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from gcd_metric import compare
from gcd_metric.comparison import (
    compare_distances,
    medians_of_resampled_groups,
    newcombe_interval,
    resampled_medians,
    sign_flip_p_value,
)
from gcd_metric.groups import Groups
from gcd_metric.options import make_options

KM = math.degrees(1 / 6371)


def at(*distances):
    """Predictions at these kilometres north of (0, 0)."""
    return np.array([[distance * KM, 0.0] for distance in distances])


def test_counts_and_differences():
    a, b = at(100, 100, 100, 5000), at(100, 500, 3000, 100)
    result = compare(a, b, np.zeros((4, 2)))
    first = result["acc@200km"]
    assert (first["a"], first["b"], first["difference"]) == (0.75, 0.5, 0.25)
    assert (first["only_a"], first["only_b"]) == (2, 1)
    assert first["p_value"] == 1.0 and first["ci95"] == newcombe_interval(1, 2, 1, 0)
    assert result["median_km"]["difference"] == pytest.approx(100 - 300)
    assert result["n"] == 4
    assert list(result)[:5] == [f"acc@{t}km" for t in (1, 25, 200, 750, 2500)]


def test_newcombe_agrees_with_the_paper():
    # Newcombe 1998, table III: method 10 for 36, 12, 2, 0
    assert newcombe_interval(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@given(*[st.integers(0, 300)] * 4)
def test_newcombe_contains_the_difference_and_is_antisymmetric(both, only_a, only_b, neither):
    n = both + only_a + only_b + neither
    if not n:
        return
    low, high = newcombe_interval(both, only_a, only_b, neither)
    assert -1 <= low <= (only_a - only_b) / n <= high <= 1
    assert newcombe_interval(both, only_b, only_a, neither) == pytest.approx((-high, -low))


def one_sided(only_a, only_b):
    """Photos that only one model hits."""
    return np.repeat(np.array([1, -1], np.int8), [only_a, only_b])


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_without_groups_the_p_value_is_that_of_the_binomial_test(only_a, only_b):
    """McNemar's exact test."""
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    found = sign_flip_p_value(one_sided(only_a, only_b))
    assert found == pytest.approx(max(expected, sys.float_info.min), rel=1e-8)


@pytest.mark.parametrize(("a", "b"), [(3_001_000, 3_000_000), (100_000, 99_000), (10, 0)])
def test_p_values_of_large_counts(a, b):
    expected = stats.binomtest(a, a + b).pvalue
    assert sign_flip_p_value(one_sided(a, b)) == pytest.approx(expected, rel=1e-6)


def test_a_p_value_is_never_zero():
    assert 0 < sign_flip_p_value(one_sided(0, 100_000)) < 1e-300


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_the_p_value_of_groups_counts_every_change_of_signs(differences):
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    sums = np.abs(signs @ np.abs(differences))
    expected = np.mean(sums >= abs(sum(differences)))
    assert sign_flip_p_value(np.array(differences)) == pytest.approx(expected, rel=1e-9)


def test_a_tiny_p_value_of_many_groups_is_exact():
    """Against the distribution in whole numbers."""
    differences = np.random.default_rng(0).integers(-2, 8, 198)
    ways = {0: 1}
    for difference in differences.tolist():
        both = {}
        for total, count in ways.items():
            for moved in (total - difference, total + difference):
                both[moved] = both.get(moved, 0) + count
        ways = both
    observed = abs(int(differences.sum()))
    extreme = sum(count for total, count in ways.items() if abs(total) >= observed)
    expected = float(Fraction(extreme, 2 ** len(differences)))
    assert expected < 1e-15
    assert sign_flip_p_value(differences) == pytest.approx(expected, rel=1e-9)


def test_the_median_interval_covers_and_repeats():
    random = np.random.default_rng(3)
    a, b = at(*random.exponential(300, 400)), at(*random.exponential(600, 400))
    first, again, other = (compare(a, b, np.zeros((400, 2)), seed=s) for s in (0, 0, 1))
    assert first == again and first["median_km"] != other["median_km"]
    low, high = first["median_km"]["ci95"]
    assert low < first["median_km"]["difference"] < high < 0
    # true medians differ by 300 ln 2
    assert low < -300 * math.log(2) < high


def test_a_model_against_itself():
    a = at(1, 30, 300, 600, 900)
    result = compare(a, a, np.zeros((5, 2)))
    assert result["acc@200km"]["p_value"] == 1 and result["acc@200km"]["difference"] == 0
    assert result["median_km"]["ci95"] == (0, 0)


def test_the_medians_of_fewer_than_five_photos_or_groups_have_no_interval():
    a, b = at(1, 30, 300, 600), at(2, 31, 310, 610)
    assert np.isnan(compare(a, b, np.zeros((4, 2)))["median_km"]["ci95"]).all()
    a, b = at(*range(40)), at(*range(1, 41))
    for labels, is_known in ((np.arange(40) % 4, False), (np.arange(40) % 5, True)):
        interval = compare(a, b, np.zeros((40, 2)), groups=labels)["median_km"]["ci95"]
        assert np.isfinite(interval).all() == is_known


def test_missing_predictions():
    result = compare([None, [0, 0]], at(0, 0), np.zeros((2, 2)), missing="miss")
    assert result["acc@200km"]["a"] == 0.5 and result["median_km"]["n_both"] == 1
    none = compare([None], [None], [[0, 0]], missing="miss")
    assert math.isnan(none["median_km"]["difference"]) and none["median_km"]["n_both"] == 0


def test_options_are_those_of_the_metric():
    result = compare(at(0.03), at(0.06), [[0, 0]], config_name="justzoomin")
    assert result["acc@40m"]["difference"] == 1 and "median_m" in result


def plain_bootstrap(pair, n_resamples, random):
    """Medians of both sides, of samples in which every row is drawn."""
    n = pair.shape[1]
    rows = (random.integers(0, n, n) for _ in range(n_resamples))
    return np.array([np.median(pair[:, some], axis=1) for some in rows])


def errors_of(kind, n):
    """Paired errors of two models, correlated as those on the same photos are."""
    random = np.random.default_rng(7)
    common = random.normal(0, 1, n)
    a, b = np.exp(common + random.normal(0, 0.5, (2, n)))
    if kind == "opposed":
        b = np.exp(-common)
    elif kind == "ties":  # most predictions exact, and distances on a grid
        a, b = np.maximum(np.round(a) - 1, 0), np.maximum(np.round(b) - 1, 0)
    elif kind == "itself":
        b = a
    elif kind == "two peaks":  # the middle falls into a gap
        a = np.where(random.random(n) < 0.5, a, a + 1e4)
    return np.stack([a, b])


@pytest.mark.parametrize("kind", ["alike", "opposed", "ties", "itself", "two peaks"])
@pytest.mark.parametrize("n", [1, 2, 20, 301, 1000])
def test_medians_agree_with_the_plain_bootstrap(kind, n):
    pair = errors_of(kind, n)
    ours = resampled_medians(pair, 3000, np.random.default_rng(1))
    plain = plain_bootstrap(pair, 3000, np.random.default_rng(2))
    # each side, and what depends on both; deterministic because of the seeds
    for combine in ((1, 0), (0, 1), (1, -1), (1, 1)):
        found = stats.ks_2samp(ours @ combine, plain @ combine, method="asymp").pvalue
        assert found > 0.001, combine


def test_a_comparison_samples_few_of_many_rows():
    drawn = []

    class Counting(np.random.Generator):
        def integers(self, low, high, size):
            drawn.append(size)
            return super().integers(low, high, size)

    pair = errors_of("alike", 1_000_000)
    generator = Counting(np.random.PCG64(0))
    assert resampled_medians(pair, 50, generator).shape == (50, 2)
    # twice 8 sqrt(n), of a million
    assert len(drawn) == 50 and max(drawn) < 18_000


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in kilobytes on Linux")
def test_a_million_rows_are_compared_within_bounds(python, tmp_path):
    code = """
import resource, numpy as np, gcd_metric
random = np.random.default_rng(0)
truth = random.uniform(-80, 80, (1_000_000, 2))
a, b = (truth + random.normal(0, 0.1, truth.shape) for _ in "ab")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = gcd_metric.compare(a, b, truth)
print(result["n"], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    n, megabytes = python("-c", code, cwd=tmp_path).split()
    assert n == "1000000" and int(megabytes) < 300  # the three inputs have 48


# --- photos in groups ---------------------------------------------------------------------------


def test_one_photo_in_each_group_gives_the_usual_comparison():
    random = np.random.default_rng(5)
    a, b = at(*random.exponential(300, 200)), at(*random.exponential(500, 200))
    usual = compare(a, b, np.zeros((200, 2)))
    grouped = compare(a, b, np.zeros((200, 2)), groups=range(200))
    assert grouped.pop("n_groups") == 200
    low, high = usual["median_km"].pop("ci95")
    assert grouped["median_km"].pop("ci95") == pytest.approx((low, high), rel=0.1)
    for key in ("acc@1km", "acc@25km", "acc@200km", "acc@750km", "acc@2500km"):
        interval = usual[key].pop("ci95")
        assert grouped[key].pop("ci95") == pytest.approx(interval, rel=1e-9)
        assert grouped[key] == pytest.approx(usual[key], rel=1e-9), key


def test_a_difference_that_is_real_for_independent_photos_and_not_for_groups():
    """Model a is better on the 40 photos of one photographer; else both are about equal."""
    owners = ["one"] * 40 + [f"other {index // 4}" for index in range(160)]
    a, b = np.full(200, 100.0), np.full(200, 100.0)
    b[:30] = 5000
    a[40:72:4] = 5000
    b[43:75:4] = 5000
    truth = np.zeros((200, 2))
    photos = compare(at(*a), at(*b), truth)["acc@200km"]
    groups = compare(at(*a), at(*b), truth, groups=owners)["acc@200km"]
    assert photos["difference"] == groups["difference"] == pytest.approx(0.15)
    assert photos["p_value"] < 0.001 and photos["ci95"][0] > 0
    assert groups["p_value"] == 1 and groups["ci95"][0] < 0


def test_groups_may_name_a_column_of_the_references():
    truth = pd.DataFrame({"lat": np.zeros(6), "lon": np.zeros(6), "owner": list("aabbcc")})
    a, b = at(100, 100, 100, 5000, 100, 100), at(100, 500, 3000, 100, 500, 500)
    result = compare(a, b, truth, groups="owner")
    assert result == compare(a, b, np.zeros((6, 2)), groups=list("aabbcc"))
    assert result["n_groups"] == 3
    assert compare(a, b, truth, groups="place:1km")["n_groups"] == 1
    with pytest.raises(ValueError, match="no column of that name"):
        compare(a, b, truth, groups="ownr")
    with pytest.raises(ValueError, match="3 labels for 6 pairs"):
        compare(a, b, truth, groups=[1, 2, 3])


def test_one_group_has_no_interval_and_cannot_differ():
    result = compare(at(*[100] * 9), at(*[900] * 9), np.zeros((9, 2)), groups=["me"] * 9)
    first = result["acc@200km"]
    assert first["p_value"] == 1 and np.isnan(first["ci95"]).all()
    assert np.isnan(result["median_km"]["ci95"]).all()


def test_groups_of_missing_answers():
    a = [None, None, *[[0, 0]] * 10]
    labels = list("aabbccddeeff")
    result = compare(a, at(*[300] * 12), np.zeros((12, 2)), missing="miss", groups=labels)
    assert result["n_groups"] == 6 and result["median_km"]["n_both"] == 10
    assert result["median_km"]["ci95"] == pytest.approx((-300, -300))


def test_intervals_and_tests_of_groups_keep_their_promise():
    """A small version of benchmarks/intervals.py: two models of equal accuracy."""
    random = np.random.default_rng(6)
    sizes = np.array([60, 40, 30, 20, *[10] * 20, *[3] * 40])
    groups = Groups(np.repeat(np.arange(len(sizes)), sizes), sizes)
    options = make_options(thresholds=[25])
    covered, found = np.zeros(2), np.zeros(2)
    for _ in range(500):
        alike = random.normal(size=(2, len(sizes)))[:, groups.codes]
        scores = math.sqrt(0.2) * alike + math.sqrt(0.8) * random.normal(size=alike.shape)
        measured = list(np.where(special.ndtr(scores) < 0.3, 1.0, 1e4))
        for index, given_groups in enumerate((None, groups)):
            result = compare_distances(measured, options, given_groups, n_resamples=1)["acc@25km"]
            covered[index] += result["ci95"][0] <= 0 <= result["ci95"][1]
            found[index] += result["p_value"] <= 0.05
    assert covered[0] / 500 < 0.85 and 0.93 <= covered[1] / 500 <= 0.985
    assert found[0] / 500 > 0.15 and 0.03 <= found[1] / 500 <= 0.07


@pytest.mark.parametrize("kind", ["alike", "ties"])
@pytest.mark.parametrize("largest", [2, 40, 700])
def test_medians_of_groups_are_drawn_as_by_the_plain_bootstrap(kind, largest):
    random = np.random.default_rng(8)
    sizes = np.array([largest, *random.integers(1, 1 + min(largest, 30), 150)])
    n = sizes.sum()
    groups = Groups(random.permutation(np.repeat(np.arange(len(sizes)), sizes)), sizes)
    pair = errors_of(kind, n)
    ours = medians_of_resampled_groups(pair, groups, 2000, np.random.default_rng(1))
    members = [np.flatnonzero(groups.codes == code) for code in range(len(sizes))]
    plain = np.empty((2000, 2))
    for index, drawn in enumerate(random.integers(0, len(sizes), (2000, len(sizes)))):
        plain[index] = np.median(pair[:, np.concatenate([members[one] for one in drawn])], axis=1)
    for combine in ((1, 0), (0, 1), (1, -1), (1, 1)):
        found = stats.ks_2samp(ours @ combine, plain @ combine, method="asymp").pvalue
        assert found > 0.001, combine
