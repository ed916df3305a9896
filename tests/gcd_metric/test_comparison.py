"""compare: intervals and p-values against values known or computed elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric import compare
from gcd_metric.comparison import mcnemar_p_value, newcombe_interval

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
    assert result["n"] == 4 and list(result)[:3] == ["acc@200km", "acc@750km", "acc@2500km"]


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
