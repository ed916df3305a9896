"""Measures how often the 95 % intervals for photos in groups are right, by simulation.

An interval covers if it contains the true value; 95 % of them should. The size of a test is how
often it finds a difference at the 5 % level between models that are equal.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special, stats
from tabulate import tabulate

from benchmarks.timing import QUICK
from gcd_metric.comparison import compare_distances, sign_flip_p_value
from gcd_metric.figures import GEOSCORE_MAX, GEOSCORE_SCALE_KM, summarise
from gcd_metric.groups import Groups
from gcd_metric.intervals import proportion_intervals, wilson_interval
from gcd_metric.options import make_options

RUNS = 10 if QUICK else 100  # enough to see that it runs; the documentation has 2,000
EVERY = 5  # medians are compared in every fifth run, as the bootstrap takes most of the time
RANDOM = np.random.default_rng(0)
# A photo that is hit at one accuracy is hit at the next, as with the thresholds of one model.
ACCURACIES = (0.01, 0.05, 0.15, 0.30, 0.50), (0.30, 0.50, 0.70, 0.90, 0.95)
SMALL = (0.002, 0.005, 0.01, 0.02, 0.05, 0.10)
# Distances in km and the share of photos up to each; between the ends, the accuracies of
# base(M, f*) ResNet50 on Im2GPS3k, from gcd_metric/published_results.csv.
DISTANCES = (0.01, 1, 25, 200, 750, 2500, 20_015)
SHARES = (0, 0.101, 0.280, 0.369, 0.511, 0.670, 1)
BETTER = 1.1  # the exponent by which the better of two models differs
ALIKE = 0.7  # correlation of two models, of their groups and of their photos


def im2gps3k() -> np.ndarray:
    """As many photos and photographers as in Im2GPS3k: 2,997 of 198, the five largest as there.

    The other 193 sizes decrease as 1 / (rank + 8). The effective number of groups is then 56.
    """
    largest = [235, 117, 114, 92, 83]
    weights = 1 / (np.arange(1, 194) + 8)
    bounds = np.cumsum([0, *weights]) / weights.sum() * (2997 - sum(largest))
    return np.array([*largest, *np.diff(bounds.round()).astype(int)])


SIZES = {
    "Im2GPS3k": im2gps3k(),
    "Im2GPS": np.repeat([2, 1], [4, 229]),  # 237 photos of 233 photographers
    "20 groups of 40": np.full(20, 40),
    "50 groups of 20": np.full(50, 20),
    "10 groups of 40": np.full(10, 40),
    "5 groups of 40": np.full(5, 40),
}


def groups_of(name: str) -> Groups:
    sizes = SIZES[name]
    return Groups(np.repeat(np.arange(len(sizes)), sizes), sizes)


def beta_binomial(
    sizes: np.ndarray, shares: tuple[float, ...], correlation: float, runs: int
) -> np.ndarray:
    """Hits of each group, shape (runs, n_shares, n_groups), with an intraclass correlation."""
    quantile = RANDOM.random((runs, len(sizes)))
    hits = np.zeros((runs, len(shares), len(sizes)), int)
    before, chance_before = np.zeros(quantile.shape, int), np.zeros(quantile.shape)
    for index, share in enumerate(shares):
        chance = np.full(quantile.shape, share)
        if correlation:
            both = 1 / correlation - 1
            chance = special.betaincinv(share * both, (1 - share) * both, quantile)
        more = (chance - chance_before) / np.maximum(1 - chance_before, 1e-15)
        before = before + RANDOM.binomial(sizes - before, np.clip(more, 0, 1))
        hits[:, index], chance_before = before, chance
    return hits


def beta_intervals(shares: np.ndarray, n_effective: np.ndarray, groups: Groups) -> np.ndarray:
    """Korn and Graubard's intervals: those of Clopper and Pearson at the effective size."""
    n = int(groups.sizes.sum())
    few_groups = (stats.t.ppf(0.975, n - 1) / stats.t.ppf(0.975, groups.effective - 1)) ** 2
    reduced = np.minimum(n_effective * few_groups, n)
    hits, misses = shares * reduced, (1 - shares) * reduced
    low = special.betaincinv(np.maximum(hits, 1e-9), misses + 1, 0.025)
    high = special.betaincinv(hits + 1, np.maximum(misses, 1e-9), 0.975)
    return np.stack([low, high], axis=-1)


def covered(intervals: Any, truth: Any) -> np.ndarray:
    """Percent of intervals, shape (runs, n, 2), that contain the truth, shape (n,)."""
    low, high = np.moveaxis(np.asarray(intervals), -1, 0)
    return 100 * ((low <= truth) & (truth <= high)).mean(axis=0)


def accuracies(name: str, correlation: float, runs: int) -> list[list[Any]]:
    """The coverage of three intervals at each accuracy."""
    groups = groups_of(name)
    n = int(groups.sizes.sum())
    found: dict[str, dict[float, float]] = {"groups": {}, "beta": {}, "Wilson": {}}
    for shares in ACCURACIES:
        hits = beta_binomial(groups.sizes, shares, correlation, runs)
        totals = hits.sum(axis=2)
        ours, n_effective = zip(*(proportion_intervals(h, groups) for h in hits), strict=True)
        intervals = {
            "groups": ours,
            "beta": beta_intervals(totals / n, np.array(n_effective), groups),
            "Wilson": [[wilson_interval(total, n) for total in row] for row in totals.tolist()],
        }
        for kind, made in intervals.items():
            found[kind] |= dict(zip(shares, covered(made, np.array(shares)), strict=True))
    return [
        [name, correlation, kind, *(row[share] for share in sorted(row))]
        for kind, row in found.items()
    ]


def few_hits(name: str, correlation: float, runs: int) -> list[list[Any]]:
    """The coverage at small accuracies, and how many groups have hits on average."""
    groups = groups_of(name)
    hits = beta_binomial(groups.sizes, SMALL, correlation, runs)
    ours = [proportion_intervals(h, groups)[0] for h in hits]
    groups_with = (hits > 0).sum(axis=2).mean(axis=0)
    return [
        [name, correlation, "coverage", *covered(ours, np.array(SMALL))],
        [name, correlation, "groups with a hit", *groups_with],
    ]


def normal_scores(
    groups: Groups, correlation: float, runs: int, n_models: int
) -> Iterator[np.ndarray]:
    """Uniform ranks of errors, shape (n_models, n), whose normal scores are alike in groups."""

    def normal(n: int) -> np.ndarray:
        own, common = RANDOM.normal(size=(n_models, n)), RANDOM.normal(size=n)
        return math.sqrt(ALIKE) * common + math.sqrt(1 - ALIKE) * own

    for _ in range(runs):
        of_groups, of_photos = normal(len(groups.sizes)), normal(len(groups.codes))
        scores = math.sqrt(correlation) * of_groups[:, groups.codes]
        yield special.ndtr(scores + math.sqrt(1 - correlation) * of_photos)


def distance(rank: np.ndarray) -> np.ndarray:
    return np.exp(np.interp(rank, SHARES, np.log(DISTANCES)))


def figures(name: str, correlation: float, runs: int) -> list[list[Any]]:
    """The coverage of every interval of `summarise`, with and without groups."""
    groups, options = groups_of(name), make_options()
    everywhere = distance((np.arange(1_000_000) + 0.5) / 1_000_000)
    score = float(GEOSCORE_MAX * np.exp(-everywhere / GEOSCORE_SCALE_KM).mean())
    truth = [*SHARES[1:-1], everywhere.mean(), float(distance(np.array(0.5))), score]
    names = [*options.keys, "mean_km", "median_km", "geoscore"]
    found: dict[str, list[Any]] = {"groups": [], "photos": []}
    for (ranks,) in normal_scores(groups, correlation, runs, 1):
        measured = distance(ranks)
        for kind, given in (("groups", groups), ("photos", None)):
            result = summarise(measured, options, given)
            found[kind].append([result[f"{key}_ci95"] for key in names])
    return [[name, correlation, kind, *covered(made, truth)] for kind, made in found.items()]


def tests(name: str, correlation: float, runs: int) -> list[list[Any]]:
    """The size of the test at each share of hits, with and without groups."""
    groups = groups_of(name)
    shares = np.array(SHARES[1:-1])
    found: dict[str, list[Any]] = {"groups": [], "photos": []}
    for first, second in normal_scores(groups, correlation, runs, 2):
        differences = (first <= shares[:, None]).astype(np.int8) - (second <= shares[:, None])
        found["groups"].append([sign_flip_p_value(groups.sums(row)) for row in differences])
        found["photos"].append([sign_flip_p_value(row) for row in differences])
    return [
        [name, correlation, kind, *(100 * (np.array(made) <= 0.05).mean(axis=0))]
        for kind, made in found.items()
    ]


def differences(name: str, correlation: float, runs: int) -> list[list[Any]]:
    """The coverage of the interval of a difference at each threshold, and of medians."""
    groups, options = groups_of(name), make_options()
    shares = np.array(SHARES[1:-1])
    median = distance(np.array(0.5)) - distance(np.array(0.5**BETTER))
    truth = [*(shares - shares ** (1 / BETTER)), float(median)]
    found: dict[str, list[Any]] = {"groups": [], "photos": []}
    for run, (first, second) in enumerate(normal_scores(groups, correlation, runs, 2)):
        pair = [distance(first), distance(second**BETTER)]
        n_resamples = 1 if run % EVERY else 200
        for kind, given in (("groups", groups), ("photos", None)):
            result = compare_distances(pair, options, given, n_resamples)
            found[kind].append([result[key]["ci95"] for key in (*options.keys, "median_km")])
    return [
        [name, correlation, kind, *covered(made, truth)[:-1], covered(made[::EVERY], truth)[-1]]
        for kind, made in found.items()
    ]


def table(
    title: str, columns: list[str], measure: Callable[..., Any], cases: Any, runs: int
) -> None:
    error = 100 * math.sqrt(0.95 * 0.05 / runs)
    print(f"{title}, {runs:,} runs (standard error at 95 or 5 %: {error:.1f} points)\n")
    rows = [row for name, correlation in cases for row in measure(name, correlation, runs)]
    headers = ["photos", "correlation", "", *columns]
    formats = ("g", "g", "g", *[".1f"] * len(columns))
    print(tabulate(rows, headers, tablefmt="github", floatfmt=formats), flush=True)
    print()


def main(runs: int = RUNS) -> None:
    """Print every table."""
    keys = list(make_options().keys)
    cases = [("Im2GPS3k", correlation) for correlation in (0, 0.05, 0.1, 0.3, 0.4)]
    names = [f"{n_groups} groups of 40" for n_groups in (20, 10, 5)]
    few = [(name, correlation) for name in names for correlation in (0.1, 0.3)]
    both = [*cases, ("Im2GPS", 0), ("Im2GPS", 0.1), ("Im2GPS", 0.3), *few]
    shares = sorted({share for row in ACCURACIES for share in row})
    percents = [f"{share:.0%}" for share in shares]
    table("Coverage in percent, by accuracy", percents, accuracies, both, runs)
    names = ["Im2GPS3k", "50 groups of 20", "20 groups of 40"]
    rare = [(name, correlation) for name in names for correlation in (0.1, 0.3, 0.5)]
    percents = [f"{share:.1%}" for share in SMALL]
    table("Coverage in percent where few groups have hits", percents, few_hits, rare, runs)
    columns = [*keys, "mean_km", "median_km", "geoscore"]
    some = [("Im2GPS3k", 0), ("Im2GPS3k", 0.1), ("Im2GPS3k", 0.3), ("Im2GPS", 0.1), *few[::2]]
    table("Coverage in percent, of distances", columns, figures, some, runs)
    table("Size in percent, two equal models", keys, tests, some, runs)
    columns = [*keys, "median_km"]
    title = f"Coverage of differences in percent (medians: every {EVERY}th run)"
    table(title, columns, differences, some[1:4], runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    main(parser.parse_args().runs)
