"""Compares two models on the same photos: paired differences, intervals and p-values."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .checks import examine
from .coordinates import Coordinates, read
from .distances import measure
from .intervals import wilson_interval
from .matching import align
from .options import Options, make_options


def compare(
    a: Any,
    b: Any,
    references: Any,
    *,
    config_name: str = "standard",
    thresholds: Any = None,
    unit: str | None = None,
    earth_radius: float | None = None,
    method: str = "haversine",
    missing: str = "error",
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two sets of predictions for the same references, row by row.

    Parameters
    ----------
    a, b, references : coordinates of shape (n, 2)
        Latitude and longitude in degrees, in any form that the metric accepts. Rows are paired by
        id if they and the references carry ids, otherwise by position.
    config_name, thresholds, unit, earth_radius, method, missing
        As in the metric.
    n_resamples : int
        Bootstrap samples for the median; the time grows with sqrt(n) times this.
    seed : int
        Of the bootstrap. The same seed gives the same interval in one version of this package.

    Returns
    -------
    dict
        For each threshold, as `acc@200km`: `a` and `b` (fractions), `difference` (a - b) with
        `ci95` (Newcombe's interval), the counts `only_a` and `only_b` of photos that only one
        model hits, and `p_value` (exact, two-sided McNemar). As `median_km` or `median_m`: `a`,
        `b`, `difference` and `ci95` (percentile bootstrap over photos), for the photos that both
        answered, counted in `n_both`. `n` counts all.

    Raises
    ------
    ValueError
        For bad coordinates or options.

    References
    ----------
    R. G. Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17, 1998, pp. 2635-2650 (method 10).
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, 1947, pp. 153-157.
    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    B. Efron, "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7 (1),
    1979, pp. 1-26 (section 3: a bootstrap median depends on counts of ranks alone).
    """
    options = make_options(config_name, thresholds, unit, earth_radius, method, missing)
    truth = read(references, "references")
    a, b = (_read(name, rows) for name, rows in (("a", a), ("b", b)))
    if not truth.ids and align(b, a, ("b", "a"))[0] is not b:
        raise ValueError(
            "a and b carry ids in different orders and the references carry none, so it is unclear "
            "which order is right: pass references with ids, or put a and b in the same order"
        )
    measured = [_measured(name, given, truth, options) for name, given in (("a", a), ("b", b))]
    return compare_distances(measured, options, n_resamples, seed)


def compare_distances(
    measured: list[np.ndarray], options: Options, n_resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compare two models by their distances, in the unit of `options`; NaN means no answer."""
    result: dict[str, Any] = {}
    for key, threshold in zip(options.keys, options.thresholds, strict=True):
        result[key] = _compare_hits(measured[0] <= threshold, measured[1] <= threshold)
    both = ~np.isnan(measured[0]) & ~np.isnan(measured[1])
    pair = np.stack(measured)[:, both]
    result[f"median_{options.unit}"] = _compare_medians(pair, n_resamples, seed)
    result["n"] = len(measured[0])
    return result


def _read(name: str, predictions: Any) -> Coordinates:
    try:
        return read(predictions, "predictions")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _measured(
    name: str, predictions: Coordinates, truth: Coordinates, options: Options
) -> np.ndarray:
    try:
        sides = align(predictions, truth, ("predictions", "references"))
        checked = examine(*sides, options.missing, options.finest_km)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    for note in checked.notes:
        warnings.warn(note if note.startswith("references") else f"{name}: {note}", stacklevel=4)
    return measure(checked.predictions, checked.references, options)


def _compare_hits(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    both, only_a = int((a & b).sum()), int((a & ~b).sum())
    only_b, neither = int((~a & b).sum()), int((~a & ~b).sum())
    n = len(a)
    return {
        "a": (both + only_a) / n,
        "b": (both + only_b) / n,
        "difference": (only_a - only_b) / n,
        "ci95": newcombe_interval(both, only_a, only_b, neither),
        "only_a": only_a,
        "only_b": only_b,
        "p_value": mcnemar_p_value(only_a, only_b),
    }


def newcombe_interval(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Newcombe's 95 % interval of the difference of two paired proportions, a - b.

    Method 10 of the paper that `compare` cites: two Wilson intervals, joined by the correlation of
    the pairs with a correction for continuity. The arguments count the photos that both models
    hit, one model only, or none.
    """
    n = both + only_a + only_b + neither
    hits_a, hits_b = both + only_a, both + only_b
    p_a, p_b = hits_a / n, hits_b / n
    (low_a, high_a), (low_b, high_b) = wilson_interval(hits_a, n), wilson_interval(hits_b, n)
    phi = 0.0
    margins = hits_a * (n - hits_a) * hits_b * (n - hits_b)
    if margins:
        product = float(both * neither - only_a * only_b)
        if product > 0:
            product -= min(product, n / 2)
        phi = product / math.sqrt(margins)
    down = _third_side(p_a - low_a, high_b - p_b, phi)
    up = _third_side(high_a - p_a, p_b - low_b, phi)
    difference = (only_a - only_b) / n
    return max(difference - down, -1.0), min(difference + up, 1.0)


def _third_side(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test: twice the smaller binomial tail, at most 1.

    The arguments count the photos that only one model hits; under the null hypothesis each of them
    is as likely to be hit by one model as by the other.
    """
    n, k = only_a + only_b, min(only_a, only_b)
    if 2 * k == n:
        return 1.0
    # the largest term by logarithms, the others by their ratios: stable for any n
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
    tail, ratio = 1.0, 1.0
    while k > 0 and ratio > 1e-18 * tail:
        ratio *= k / (n - k + 1)
        tail += ratio
        k -= 1
    return min(1.0, 2 * tail * math.exp(log_term))


def _compare_medians(pair: np.ndarray, n_resamples: int, seed: int) -> dict[str, Any]:
    n = pair.shape[1]
    if not n:
        nothing = dict.fromkeys(("a", "b", "difference"), math.nan)
        return {**nothing, "ci95": (math.nan, math.nan), "n_both": 0}
    medians = np.median(pair, axis=1)
    resampled = resampled_medians(pair, n_resamples, np.random.default_rng(seed))
    low, high = np.quantile(resampled[:, 0] - resampled[:, 1], (0.025, 0.975))
    return {
        "a": float(medians[0]),
        "b": float(medians[1]),
        "difference": float(medians[0] - medians[1]),
        "ci95": (float(low), float(high)),
        "n_both": n,
    }


def resampled_medians(
    pair: np.ndarray, n_resamples: int, random: np.random.Generator
) -> np.ndarray:
    """Medians of both rows of `pair` (2, n) in bootstrap samples of its columns.

    The median of a sample is one of the values whose rank is within a few times sqrt(n) of the
    middle. So only these few columns are drawn one by one. For the others only the number on each
    side of the middle matters, and it is multinomial. The medians have the distribution that
    drawing all n columns gives, for both rows together, at the cost of about sqrt(n) columns a
    sample. Returns shape (n_resamples, 2).
    """
    n = pair.shape[1]
    # the standard deviation of a rank is sqrt(n) / 2, and this is 8 times that; all, if n <= 64
    reach = 4 * math.isqrt(n) + 4
    order = np.argsort(pair, axis=1)
    below, near = np.zeros((2, n), bool), np.zeros(n, bool)
    for side in (0, 1):
        below[side, order[side, : max(n // 2 - reach, 0)]] = True
        near[order[side, max(n // 2 - reach, 0) : n // 2 + reach]] = True
    # 0 to 3: the rows in which a column is below the middle; 4: a column that may be a median
    groups = np.where(near, 4, below[0] + 2 * below[1])
    counts = random.multinomial(n, np.bincount(groups, minlength=5) / n, n_resamples)
    candidates = pair[:, near]
    medians = np.empty((n_resamples, 2))
    for index, (_, only_a, only_b, both, drawn) in enumerate(counts):
        sample = candidates[:, random.integers(0, candidates.shape[1], drawn)]
        for side, under in enumerate((only_a + both, only_b + both)):
            middle = [(n - 1) // 2 - under, n // 2 - under]
            medians[index, side] = np.partition(sample[side], middle)[middle].mean()
    return medians
