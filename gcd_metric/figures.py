"""Computes every figure of a score from the distances."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from .checks import Checked, examine
from .distances import measure
from .groups import Groups, make_groups
from .intervals import (
    NONE,
    Interval,
    are_approximate,
    mean_and_interval,
    median_and_interval,
    proportion_intervals,
    wilson_interval,
)
from .matching import pair
from .options import PER_KM, Options

GEOSCORE_MAX = 5000.0
GEOSCORE_SCALE_KM = 1492.7
SIDES = ("predictions", "references")


def score(
    predictions: Any, references: Any, options: Options, groups: Any = None, *, stacklevel: int = 2
) -> tuple[dict[str, Any], np.ndarray]:
    """Pair, check, measure and summarise coordinates of any form.

    `groups` are labels in the order of the references. Returns the figures, and the distances in
    the order of the references. Errors and warnings are those of `distances`.
    """
    measured, made = distances(predictions, references, options, groups, stacklevel=stacklevel + 1)
    return summarise(measured, options, made), measured


def distances(
    predictions: Any, references: Any, options: Options, groups: Any = None, *, stacklevel: int = 2
) -> tuple[np.ndarray, Groups | None]:
    """Pair, check and measure coordinates of any form, in the order of the references.

    Also returns the groups of their labels. Coordinates that cannot be scored are a ValueError;
    what is doubtful is a UserWarning (at `stacklevel`).
    """
    checked = check(predictions, references, options, stacklevel=stacklevel + 1)
    made = None if groups is None else make_groups(groups, checked.references)
    return measure(checked.predictions, checked.references, options), made


def check(predictions: Any, references: Any, options: Options, *, stacklevel: int = 2) -> Checked:
    """Pair and check coordinates of any form; errors and warnings are those of `distances`."""
    checked = examine(*pair(predictions, references, SIDES), options.missing, options.finest_km)
    for note in checked.notes:
        warnings.warn(note, stacklevel=stacklevel + 1)
    return checked


def summarise(
    measured: np.ndarray, options: Options, groups: Groups | None = None
) -> dict[str, Any]:
    """Every figure, as `GcdMetric.compute` returns them.

    `measured` are distances of shape (n,) in the unit of `options`, NaN for missing predictions.
    """
    n, unit = len(measured), options.unit
    has_answer = ~np.isnan(measured)
    n_answered = int(np.count_nonzero(has_answer))
    answered, answered_groups = measured, groups
    if n_answered < n:
        answered = measured[has_answer]
        answered_groups = groups.take(has_answer) if groups else None
    result = accuracies(options.hits(measured), groups)
    mean, mean_ci95 = mean_and_interval(answered, answered_groups)
    median, median_ci95 = median_and_interval(answered, answered_groups)
    points = measured * (-1 / (GEOSCORE_SCALE_KM * PER_KM[unit]))
    np.exp(points, out=points)
    points *= GEOSCORE_MAX
    points[~has_answer] = 0
    geoscore, geoscore_ci95 = mean_and_interval(points, groups)
    # no two places are further apart; the interval of few groups could be wider
    furthest = math.pi * options.earth_radius * PER_KM[unit]
    result |= {
        f"mean_{unit}": mean,
        f"mean_{unit}_ci95": _within(mean_ci95, max(mean, furthest)),
        f"median_{unit}": median,
        f"median_{unit}_ci95": median_ci95,
        "geoscore": geoscore,
        "geoscore_ci95": _within(geoscore_ci95, GEOSCORE_MAX),
        "n": n,
    }
    if groups:
        result["n_groups"] = len(groups.sizes)
    if options.missing == "miss":
        result["n_missing"] = n - n_answered
        for key in options.keys:
            share = result[key] * n / n_answered if n_answered else math.nan
            result[f"{key}_answered"] = min(share, 1.0)
    return result


def flattened(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Figures for one row of a table, with the ends of `{key}_ci95` as `{key}_low` and `_high`."""
    row: dict[str, Any] = {}
    for key, value in scores.items():
        if key.endswith("_ci95"):
            name = key.removesuffix("_ci95")
            row[f"{name}_low"], row[f"{name}_high"] = value
        else:
            row[key] = value
    return row


def _within(interval: Interval, largest: float) -> Interval:
    """The part of an interval from 0 to `largest`."""
    low, high = interval
    return (max(low, 0.0), min(high, largest)) if low <= high else NONE


def accuracies(hits: Mapping[str, np.ndarray], groups: Groups | None = None) -> dict[str, Any]:
    """The share of hits for each key, with its interval as `{key}_ci95`.

    `hits` are boolean arrays of shape (n,). With groups, `{key}_n_effective` is the effective
    sample size.
    """
    result: dict[str, Any] = {}
    if groups is None:
        for key, right in hits.items():
            count, n = int(np.count_nonzero(right)), len(right)
            result |= {key: count / n, f"{key}_ci95": wilson_interval(count, n)}
        return result
    by_group = np.stack([groups.sums(right) for right in hits.values()])
    shares = by_group.sum(axis=1) / groups.sizes.sum()
    intervals, sizes = proportion_intervals(by_group, groups)
    for key, share, interval, size in zip(hits, shares, intervals, sizes, strict=True):
        result |= {key: float(share), f"{key}_ci95": interval, f"{key}_n_effective": float(size)}
    return result


def approximate_accuracies(hits: Mapping[str, np.ndarray], groups: Groups) -> list[str]:
    """The keys of the accuracies whose interval is approximate, as few groups have hits."""
    few = are_approximate(np.stack([groups.sums(right) for right in hits.values()]), groups)
    return [key for key, is_few in zip(hits, few, strict=True) if is_few]
