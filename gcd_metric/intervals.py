"""Computes 95 % confidence intervals of accuracies, means and medians, for photos in groups too.

Photos of one group, such as those of one photographer, are hit or missed together. They tell less
than as many independent photos, so an interval that takes them as independent is too narrow. With
groups, the intervals here use the effective sample size: the number of independent photos that
would give the same variance. `benchmarks/intervals.py` measures how often they are right.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from .groups import Groups

Interval = tuple[float, float]

NONE: Interval = (math.nan, math.nan)
_CONFIDENCE = 0.95
# So many groups with a hit (or with a miss, if these are fewer) count as much as the correlation
# of all thresholds together. Chosen with benchmarks/intervals.py.
_PRIOR_GROUPS = 20
# With fewer groups that have a hit, the intervals may cover less than 92 %; chosen likewise.
FEW_GROUPS = 10
# The smallest and the largest of 4 independent values enclose their median in only 87.5 % of cases.
FEWEST = 5
_CHUNK = 16_384  # values


def wilson_interval(hits: float, n: float, confidence: float = _CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    hits, n : float
        Successes and trials; n is positive. Effective sample sizes need not be whole numbers.
    confidence : float
        Coverage, between 0 and 1.

    Returns
    -------
    (low, high) : tuple of float
        Fractions between 0 and 1.

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (158), 1927, pp. 209-212.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = hits / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(max(p * (1 - p), 0) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # exact at the ends, where rounding could leave the range of 0 to 1
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high


def proportion_intervals(hits: np.ndarray, groups: Groups) -> tuple[list[Interval], np.ndarray]:
    """Intervals of several proportions of the same grouped pairs, such as accuracies.

    The variance of a proportion is estimated by the delete-one-group jackknife. Divided by the
    variance for independent pairs it gives the design effect, and the number of pairs divided by
    the design effect is the effective sample size. The interval is Wilson's at this size, reduced
    for the degrees of freedom as Korn and Graubard do; these are the effective number of groups
    less one. With one pair in each group it is Wilson's usual interval.

    The jackknife is unstable where few groups have hits. There, the intraclass correlation of all
    proportions together (by analysis of variance) gives a second estimate of the design effect.
    The average of both is weighted by the number of groups with hits, and the larger of the
    average and the jackknife counts. If no proportion tells anything about the correlation,
    because all are 0 or 1, each group counts as one pair. `are_approximate` says where fewer than
    10 groups have hits, so that the coverage may be too low.

    Parameters
    ----------
    hits : ndarray of shape (n_proportions, n_groups)
        The hits of each group.
    groups : Groups

    Returns
    -------
    intervals : list of (low, high)
        Fractions; NaN if there is only one group.
    n_effective : ndarray of shape (n_proportions,)
        At most the number of pairs; NaN if there is only one group.

    References
    ----------
    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data", Survey Methodology 24 (2), 1998, pp. 193-201.
    C. Franco, R. J. A. Little, T. A. Louis and E. V. Slud, "Comparative study of confidence
    intervals for proportions in complex sample surveys", Journal of Survey Statistics and
    Methodology 7 (3), 2019, pp. 334-364.
    L. Kish, "Survey Sampling", 1965, chapters 5 and 8 (design effect).
    """
    if len(groups.sizes) == 1:
        return [NONE] * len(hits), np.full(len(hits), math.nan)
    n_effective, reduced = _effective_sizes(hits, groups)
    shares = hits.sum(axis=1) / groups.sizes.sum()
    pairs = zip(shares.tolist(), reduced.tolist(), strict=True)
    return [wilson_interval(share * size, size) for share, size in pairs], n_effective


def are_approximate(hits: np.ndarray, groups: Groups) -> np.ndarray:
    """Which intervals of `proportion_intervals` may cover less than they promise.

    These are the intervals of proportions for which fewer than 10 groups have a hit, or a miss, so
    that little is known about how alike the photos of a group are. In the simulation of
    `benchmarks/intervals.py`, intervals cover at least 92 % of the true values where 10 or more
    groups have a hit on average, and 90 % with fewer. Groups of (almost) one pair each are
    Wilson's case and not meant.

    Parameters
    ----------
    hits, groups
        As in `proportion_intervals`.

    Returns
    -------
    ndarray of shape (n_proportions,), bool
    """
    groups_with = np.minimum((hits > 0).sum(axis=1), (hits < groups.sizes).sum(axis=1))
    alone = np.square(groups.sizes).sum() <= 1.1 * groups.sizes.sum()
    mask: np.ndarray = (groups_with < FEW_GROUPS) & ~alone
    return mask


def mean_and_interval(values: np.ndarray, groups: Groups | None = None) -> tuple[float, Interval]:
    """The mean of values, shape (n,), and Student's interval; NaN for fewer than two groups.

    With groups, the variance of the mean is that of the delete-one-group jackknife (the linearised
    variance is smaller where groups have different sizes, and covers less), and the degrees of
    freedom are the effective number of groups less one.
    """
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    n_groups = n if groups is None else len(groups.sizes)
    if n_groups < 2:
        return mean, NONE
    if groups is None:
        variance = _sum_of_squares(values, mean) / (n - 1) / n
    else:
        without_one = groups.sums(values - mean) / (n - groups.sizes)
        variance = (n_groups - 1) / n_groups * float(np.square(without_one).sum())
    half = _t_quantile((groups.effective if groups else n) - 1) * math.sqrt(variance)
    return mean, (mean - half, mean + half)


def median_and_interval(values: np.ndarray, groups: Groups | None = None) -> tuple[float, Interval]:
    """The median of values, shape (n,), and its interval after Woodruff.

    The interval consists of the quantiles at the ends of the interval of the proportion of values
    up to the median (R. S. Woodruff, "Confidence intervals for medians and other position
    measures", Journal of the American Statistical Association 47 (260), 1952, pp. 635-646). It is
    NaN for fewer than 5 values, or if their effective number is smaller.
    """
    n = len(values)
    if not n:
        return math.nan, NONE
    middle, ends = [(n - 1) // 2, n // 2], _ranks(n, n)
    # without groups, select all values at once
    ordered = np.partition(values, middle if groups else [*middle, *ends])
    median = float(ordered[middle].mean())
    if n < FEWEST or (groups and len(groups.sizes) == 1):
        return median, NONE
    if groups:
        _, (size,) = _effective_sizes(groups.sums(values <= median)[None], groups)
        if round(float(size), 9) < FEWEST:
            return median, NONE
        ends = _ranks(float(size), n)
        ordered.partition(ends)
    return median, (float(ordered[ends[0]]), float(ordered[ends[1]]))


def percentile_levels(groups: Groups) -> tuple[float, float]:
    """The percentiles of a bootstrap over groups, expanded for their number as by Student's t."""
    from scipy.special import ndtr

    n_groups = len(groups.sizes)
    low = float(ndtr(-_t_quantile(groups.effective - 1) * math.sqrt(n_groups / (n_groups - 1))))
    return low, 1 - low


def _sum_of_squares(values: np.ndarray, centre: float) -> float:
    """The sum of squared differences from `centre`, in parts that fit into a core's cache."""
    parts = (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
    return math.fsum(float(np.square(part - centre).sum()) for part in parts)


def _ranks(size: float, n: int) -> list[int]:
    """The ranks, from 0, of the interval of a median of n values with that effective sample size.

    They are nearest to the ends; for any n from 5 they cover 93 to 98.5 % of medians.
    """
    low, high = wilson_interval(size / 2, size)
    return [max(round(low * n) - 1, 0), min(round(high * n), n - 1)]


def _effective_sizes(hits: np.ndarray, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """The effective sample sizes, and these reduced for the degrees of freedom."""
    n = int(groups.sizes.sum())
    n_effective = n / _design_effects(hits, groups.sizes)
    few_groups = (_t_quantile(n - 1) / _t_quantile(groups.effective - 1)) ** 2
    return n_effective, np.clip(n_effective * few_groups, 1e-9, n)


def _design_effects(hits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The design effect of each proportion, at least 1; see `proportion_intervals`."""
    n, n_groups = int(sizes.sum()), len(sizes)
    totals = hits.sum(axis=1)
    p = totals / n
    without_one = (totals[:, None] - hits) / (n - sizes)
    variance = (n_groups - 1) / n_groups * np.square(without_one - p[:, None]).sum(axis=1)
    independent = p * (1 - p) / (n - 1)
    some = independent > 0
    jackknife = np.maximum(np.divide(variance, independent, out=np.ones_like(p), where=some), 1)
    pooled = 1 + _correlation(hits, sizes) * (np.square(sizes).sum() / n - 1)
    rare = np.where(p[:, None] <= 0.5, hits, sizes - hits)
    squares = np.square(rare).sum(axis=1)
    groups_with = np.divide(rare.sum(axis=1) ** 2, squares, out=np.zeros_like(p), where=squares > 0)
    weight = groups_with / (groups_with + _PRIOR_GROUPS)
    effects: np.ndarray = np.maximum(jackknife, weight * jackknife + (1 - weight) * pooled)
    return effects


def _correlation(hits: np.ndarray, sizes: np.ndarray) -> float:
    """The intraclass correlation of all proportions together, by analysis of variance, 0 to 1."""
    n, n_groups = int(sizes.sum()), len(sizes)
    if n == n_groups:
        return 0.0
    p = hits.sum(axis=1, keepdims=True) / n
    shares = hits / sizes
    between = float((sizes * np.square(shares - p)).sum()) / (n_groups - 1)
    within = float((hits * (1 - shares)).sum()) / (n - n_groups)
    size = (n - np.square(sizes).sum() / n) / (n_groups - 1)
    whole = between + (size - 1) * within
    return min(max((between - within) / whole, 0.0), 1.0) if whole > 0 else 1.0


def _t_quantile(df: float) -> float:
    """Student's t for a two-sided interval; infinite for (nearly) no degrees of freedom."""
    from scipy.special import stdtrit  # takes a moment to import

    t = float(stdtrit(df, (1 + _CONFIDENCE) / 2)) if df > 1e-6 else math.inf
    return t if math.isfinite(t) else math.inf
