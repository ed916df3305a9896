"""compare: intervals and p-values against values known or computed elsewhere."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric import compare
from gcd_metric.comparison import mcnemar_p_value, newcombe_interval, resampled_medians

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


def test_newcombe_of_the_paper():
    # Newcombe 1998, table III: method 10 for 36, 12, 2, 0
    assert newcombe_interval(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@given(*[st.integers(0, 300)] * 4)
def test_newcombe_holds_the_difference_and_turns_with_it(both, only_a, only_b, neither):
    n = both + only_a + only_b + neither
    if not n:
        return
    low, high = newcombe_interval(both, only_a, only_b, neither)
    assert -1 <= low <= (only_a - only_b) / n <= high <= 1
    assert newcombe_interval(both, only_b, only_a, neither) == pytest.approx((-high, -low))


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_the_binomial_test(only_a, only_b):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_p_value(only_a, only_b) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("a", "b"), [(3_001_000, 3_000_000), (100_000, 99_000), (10, 0)])
def test_mcnemar_of_large_counts(a, b):
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar_p_value(a, b) == pytest.approx(stats.binomtest(a, a + b).pvalue, rel=1e-6)


def test_mcnemar_of_hopeless_counts_is_nearly_zero():
    assert 0 <= mcnemar_p_value(0, 100_000) < 1e-300


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
    a = at(1, 300, 900)
    result = compare(a, a, np.zeros((3, 2)))
    assert result["acc@200km"]["p_value"] == 1 and result["acc@200km"]["difference"] == 0
    assert result["median_km"]["ci95"] == (0, 0)


def test_missing_answers():
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
    elif kind == "ties":  # most answers exact, and distances on a grid
        a, b = np.maximum(np.round(a) - 1, 0), np.maximum(np.round(b) - 1, 0)
    elif kind == "itself":
        b = a
    elif kind == "two peaks":  # the middle falls into a gap
        a = np.where(random.random(n) < 0.5, a, a + 1e4)
    return np.stack([a, b])


@pytest.mark.parametrize("kind", ["alike", "opposed", "ties", "itself", "two peaks"])
@pytest.mark.parametrize("n", [1, 2, 20, 301, 1000])
def test_medians_are_drawn_as_by_the_plain_bootstrap(kind, n):
    stats = pytest.importorskip("scipy.stats")
    pair = errors_of(kind, n)
    ours = resampled_medians(pair, 3000, np.random.default_rng(1))
    plain = plain_bootstrap(pair, 3000, np.random.default_rng(2))
    # each side, and what depends on both: with the seeds given this is decided once and for all
    for combine in ((1, 0), (0, 1), (1, -1), (1, 1)):
        found = stats.ks_2samp(ours @ combine, plain @ combine, method="asymp").pvalue
        assert found > 0.001, combine


def test_a_comparison_draws_few_of_many_rows():
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
