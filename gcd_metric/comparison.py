"""Compares two models on the same photos: paired differences, intervals and p-values."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np

from .checks import examine
from .coordinates import Coordinates, read
from .distances import measure
from .groups import Groups, labels_of, make_groups
from .intervals import (
    FEWEST,
    NONE,
    Interval,
    percentile_levels,
    proportion_intervals,
    wilson_interval,
)
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
    strict: bool = False,
    groups: Any = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two sets of predictions for the same references, row by row.

    Parameters
    ----------
    a, b, references : coordinates of shape (n, 2)
        Latitude and longitude in degrees, in any form that the metric accepts. Rows are paired by
        id if they and the references carry ids, otherwise by position.
    config_name, thresholds, unit, earth_radius, method, missing, strict
        As in the metric.
    groups : labels or str, optional
        One label for each reference, the name of a column of the references, or `place:500m`, as
        in the metric.
        Intervals and p-values then account for photos that are hit or missed together.
    n_resamples : int
        Bootstrap samples for the median; the time grows with sqrt(n) times this.
    seed : int
        Of the bootstrap. The same seed gives the same interval in one version of this package.

    Returns
    -------
    dict
        For each threshold, as `acc@200km`: `a` and `b` (fractions), `difference` (a - b) with
        `ci95`, the counts `only_a` and `only_b` of photos that only one model hits, and `p_value`
        (two-sided). As `median_km` or `median_m`: `a`, `b`, `difference` and `ci95`, for the photos
        that both answered, counted in `n_both`. `n` counts all, and `n_groups` the groups.

    Notes
    -----
    The interval of a difference of accuracies is Newcombe's. With groups, it joins the intervals of
    both accuracies for groups in the same way (Zou and Donner), with the correlation of both from
    the delete-one-group jackknife. With one photo in each group it is Newcombe's.

    The p-value is exact: the models are exchanged in each group with probability 1/2, and it is the
    probability that the difference is at least as large as the observed one. Without groups, each
    photo is a group, and this is McNemar's exact test.

    The interval of a difference of medians is that of the percentile bootstrap over photos, or over
    groups; for groups, the percentiles are expanded as Hesterberg does. It is NaN for fewer than 5
    photos or effective groups.

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
    G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27 (10), 2008, pp. 1693-1702.
    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    B. Efron, "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7 (1),
    1979, pp. 1-26 (section 3: a bootstrap median depends on counts of ranks alone).
    T. C. Hesterberg, "What teachers should know about the bootstrap", The American Statistician
    69 (4), 2015, pp. 371-386 (section 5: expanded percentiles).
    """
    options = make_options(config_name, thresholds, unit, earth_radius, method, missing, strict)
    labels = labels_of(groups, references)
    truth = read(references, "references")
    a, b = (_read(name, rows) for name, rows in (("a", a), ("b", b)))
    if not truth.ids and align(b, a, ("b", "a"))[0] is not b:
        raise ValueError(
            "a and b carry ids in different orders and the references carry none, so it is unclear "
            "which order is right: pass references with ids, or put a and b in the same order"
        )
    measured = [_measured(name, given, truth, options) for name, given in (("a", a), ("b", b))]
    made = None if labels is None else make_groups(labels, truth.degrees)
    return compare_distances(measured, options, made, n_resamples, seed)


def compare_distances(
    measured: list[np.ndarray],
    options: Options,
    groups: Groups | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two models by their distances, in the unit of `options`; NaN means no answer."""
    pair = np.stack(measured)
    hits = np.stack(list(options.hits(pair).values()))
    intervals = _difference_intervals(hits, groups)
    result: dict[str, Any] = {}
    for key, (a, b), interval in zip(options.keys, hits, intervals, strict=True):
        differences = a.astype(np.int8) - b
        result[key] = {
            "a": float(a.mean()),
            "b": float(b.mean()),
            "difference": float(differences.mean()),
            "ci95": interval,
            "only_a": int(np.count_nonzero(differences > 0)),
            "only_b": int(np.count_nonzero(differences < 0)),
            "p_value": paired_p_value(differences, groups),
        }
    both = np.asarray(~np.isnan(pair).any(axis=0))
    answered = groups.take(both) if groups else None
    result[f"median_{options.unit}"] = _compare_medians(pair[:, both], answered, n_resamples, seed)
    result["n"] = pair.shape[1]
    if groups:
        result["n_groups"] = len(groups.sizes)
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


def _difference_intervals(hits: np.ndarray, groups: Groups | None) -> list[Interval]:
    """Intervals of a - b at each threshold; `hits` has the shape (n_thresholds, 2, n)."""
    n_thresholds, _, n = hits.shape
    if groups is None:
        counts = [np.bincount(2 * a + b, minlength=4) for a, b in hits.astype(np.int8)]
        return [
            newcombe_interval(*map(int, (both, only_a, only_b, neither)))
            for neither, only_b, only_a, both in counts
        ]
    if len(groups.sizes) == 1:
        return [NONE] * n_thresholds
    by_group = np.stack([groups.sums(rows) for rows in hits.reshape(-1, n)])
    intervals, _ = proportion_intervals(by_group, groups)
    totals = by_group.sum(axis=1, keepdims=True)
    without_one = (totals - by_group) / (n - groups.sizes) - totals / n
    return [
        _joined_interval(
            totals[first : first + 2, 0] / n,
            intervals[first : first + 2],
            _correlation(*without_one[first : first + 2]),
            n,
        )
        for first in range(0, len(totals), 2)
    ]


def newcombe_interval(both: int, only_a: int, only_b: int, neither: int) -> Interval:
    """Newcombe's 95 % interval of the difference of two paired proportions, a - b.

    Method 10 of the paper that `compare` cites: two Wilson intervals, joined by the correlation of
    the pairs with a correction for continuity. The arguments count the photos that both models
    hit, one model only, or none.
    """
    n = both + only_a + only_b + neither
    hits = both + only_a, both + only_b
    margins = math.prod(total * (n - total) for total in hits)
    phi = float(both * neither - only_a * only_b) / math.sqrt(margins) if margins else 0.0
    shares = np.array(hits) / n
    return _joined_interval(shares, [wilson_interval(total, n) for total in hits], phi, n)


def _joined_interval(
    shares: np.ndarray, intervals: list[Interval], correlation: float, n: int
) -> Interval:
    """The interval of the difference of two correlated proportions from the interval of each."""
    (p_a, p_b), ((low_a, high_a), (low_b, high_b)) = shares.tolist(), intervals
    if correlation > 0:  # so both proportions are between 0 and 1
        continuity = 1 / (2 * n * math.sqrt(p_a * (1 - p_a) * p_b * (1 - p_b)))
        correlation = max(correlation - continuity, 0.0)
    down = _third_side(p_a - low_a, high_b - p_b, correlation)
    up = _third_side(high_a - p_a, p_b - low_b, correlation)
    return max(p_a - p_b - down, -1.0), min(p_a - p_b + up, 1.0)


def _third_side(x: float, y: float, cosine: float) -> float:
    return math.sqrt(max(x * x - 2 * cosine * x * y + y * y, 0.0))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """The correlation of deviations, or 0 if there are none."""
    squares = float(x @ x) * float(y @ y)
    return float(x @ y) / math.sqrt(squares) if squares else 0.0


def paired_p_value(differences: np.ndarray, groups: Groups | None) -> float:
    """The p-value of `compare`, from the hits of one model less those of the other, shape (n,)."""
    return sign_flip_p_value(groups.sums(differences) if groups else differences)


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Exact two-sided p-value of the sum of whole numbers, if each sign is + or - equally likely.

    The distribution of the sum comes from its characteristic function, a product of cosines, by a
    fast Fourier transform. It is tilted exponentially so that its mean is the observed sum, because
    the transform has a rounding error of about 1e-16 and small p-values would be lost in it.

    Parameters
    ----------
    differences : ndarray of shape (n,)
        The hits of one model less those of the other, in each group.

    Returns
    -------
    float
        At most 1, rounded to 12 digits; values too small for a float are 2.2e-308.

    References
    ----------
    E. S. Edgington and P. Onghena, "Randomization Tests", 4th edition, 2007 (sign changes of
    paired data).
    H. E. Daniels, "Saddlepoint approximations in statistics", The Annals of Mathematical
    Statistics 25 (4), 1954, pp. 631-650 (the tilted distribution).
    """
    from scipy.optimize import brentq  # takes a moment to import

    observed = abs(int(differences.sum()))
    if not observed:
        return 1.0
    counts = np.bincount(np.abs(differences).astype(np.int64))
    values = 1 + np.flatnonzero(counts[1:])
    counts = counts[values]

    def beyond(tilt: float) -> float:
        return float(counts @ (values * np.tanh(tilt * values))) - observed

    # tanh(20) is 1 in floating point, so nothing is beyond if all signs are equal
    tilt = brentq(beyond, 0, 20) if beyond(20) > 0 else 20.0
    # sums further than 13 standard deviations from the mean have a probability below 1e-36
    # (Hoeffding), so they may wrap around
    period = 2 ** math.ceil(math.log2(26 * math.sqrt(counts @ np.square(values))))
    angles = 2 * math.pi / period * np.arange(period // 2 + 1)
    transform = np.ones(len(angles), complex)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        turned = np.cos(value * angles) - 1j * math.tanh(tilt * value) * np.sin(value * angles)
        transform *= turned**count
    probabilities = np.fft.irfft(transform, period)
    further = np.arange(period // 2)
    tail = probabilities[(observed + further) % period] @ np.exp(-tilt * further)
    scale = counts @ (np.logaddexp(tilt * values, -tilt * values) - math.log(2)) - tilt * observed
    p_value = np.clip(2 * tail * np.exp(scale), sys.float_info.min, 1)
    return float(f"{p_value:.12g}")  # so that rounding errors do not show


def holm(p_values: np.ndarray) -> np.ndarray:
    """Correct p-values of shape (n,) for the number of tests, by Holm's step-down method.

    The probability that any true null hypothesis is rejected is then at most the level of the
    test, however the tests depend on each other.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (2), 1979, pp. 65-70.
    """
    order = np.argsort(p_values)
    multiplied = p_values[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return corrected


def _compare_medians(
    pair: np.ndarray, groups: Groups | None, n_resamples: int, seed: int
) -> dict[str, Any]:
    n = pair.shape[1]
    if not n:
        nothing = dict.fromkeys(("a", "b", "difference"), math.nan)
        return {**nothing, "ci95": NONE, "n_both": 0}
    medians = np.median(pair, axis=1)
    return {
        "a": float(medians[0]),
        "b": float(medians[1]),
        "difference": float(medians[0] - medians[1]),
        "ci95": _bootstrap_interval(pair, groups, n_resamples, np.random.default_rng(seed)),
        "n_both": n,
    }


def _bootstrap_interval(
    pair: np.ndarray, groups: Groups | None, n_resamples: int, random: np.random.Generator
) -> Interval:
    """The percentile interval of the difference of both medians."""
    if (groups.effective if groups else pair.shape[1]) < FEWEST:
        return NONE
    if groups is None:
        resampled, levels = resampled_medians(pair, n_resamples, random), (0.025, 0.975)
    else:
        resampled = medians_of_resampled_groups(pair, groups, n_resamples, random)
        levels = percentile_levels(groups)
    low, high = np.quantile(resampled[:, 0] - resampled[:, 1], levels)
    return float(low), float(high)


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


def medians_of_resampled_groups(
    pair: np.ndarray, groups: Groups, n_resamples: int, random: np.random.Generator
) -> np.ndarray:
    """Medians of both rows of `pair` (2, n) in bootstrap samples of whole groups.

    As in `resampled_medians`, only columns whose rank is near the middle can be a median. Of the
    others, only the number below the middle matters. Returns shape (n_resamples, 2).
    """
    n, sizes = pair.shape[1], groups.sizes
    # the standard deviation of a rank is at most sqrt(sum of squared sizes) / 2
    reach = 4 * math.isqrt(int(np.square(sizes).sum())) + 4
    start = max(n // 2 - reach, 0)
    order = np.argsort(pair, axis=1)
    near = order[:, start : n // 2 + reach]
    values, codes = np.take_along_axis(pair, near, axis=1), groups.codes[near]
    below = [np.bincount(groups.codes[row[:start]], minlength=len(sizes)) for row in order]
    medians = np.empty((n_resamples, 2))
    for index in range(n_resamples):
        drawn = random.integers(0, len(sizes), len(sizes))
        times = np.bincount(drawn, minlength=len(sizes))
        total = int(times @ sizes)
        for side in (0, 1):
            ranks = times @ below[side] + np.cumsum(times[codes[side]])
            middle = np.searchsorted(ranks, [(total - 1) // 2, total // 2], side="right")
            medians[index, side] = values[side, np.minimum(middle, len(ranks) - 1)].mean()
    return medians
