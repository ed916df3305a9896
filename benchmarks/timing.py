"""Times callables side by side in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

# `make bench QUICK=1` has one round and smaller sizes, so its ratios are less certain.
QUICK = os.environ.get("QUICK", "0") not in ("", "0")
ROUNDS = 1 if QUICK else 3

_verdicts: list[str] = []


def compare(
    title: str,
    ours: Callable[[], Any],
    peers: Mapping[str, Callable[[], Any]],
    rounds: int = ROUNDS,
    items: int = 0,
    warm_up: bool = True,
) -> dict[str, float]:
    """Time callables in turn, and print our speed as a multiple of each peer's.

    They alternate within each round, so that a machine that becomes slower affects all of them.

    Parameters
    ----------
    title : str
        Printed above the rows.
    ours : callable
    peers : mapping of name to callable
    rounds : int
        How often each is timed.
    items : int
        What each of them reads or computes, for the rate; 0 prints none.
    warm_up : bool
        Call each once before, which is not counted.

    Returns
    -------
    dict
        The median time in seconds by name; ours is under "ours".
    """
    callables = {"ours": ours, **peers}
    times: dict[str, list[float]] = {name: [] for name in callables}
    if warm_up:
        for call in callables.values():
            call()
    for _ in range(rounds):
        for name, call in callables.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    medians = {name: median(values) for name, values in times.items()}
    width = max(map(len, callables))
    print(title)
    for name, values in times.items():
        row = f"  {name:<{width}}  {medians[name]:9.4f} s  ({min(values):.4f}-{max(values):.4f})"
        if items:
            row += f"  {items / medians[name]:9,.0f}/s"
        if name != "ours":
            ratios = [other / mine for mine, other in zip(times["ours"], values, strict=True)]
            row += (
                f"  ours is {medians[name] / medians['ours']:6.2f} x as fast"
                f"  ({min(ratios):.2f}-{max(ratios):.2f})"
            )
        print(row)
    return medians


def at_least(what: str, value: float, target: float) -> None:
    """Print a figure beside its target."""
    verdict(f"{what}: {value:.2f}", f"at least {target:g}", value >= target)


def at_most(what: str, value: float, target: float) -> None:
    """Print a figure beside its target."""
    verdict(f"{what}: {value:.2f}", f"at most {target:g}", value <= target)


def verdict(what: str, target: str, met: bool) -> None:
    """Print a figure that has a target, and keep the line for the summary."""
    judged = "not judged at this size" if QUICK else "met" if met else "MISSED"
    _verdicts.append(f"{what} (target: {target}; {judged})")
    print(f"  -> {_verdicts[-1]}")


def print_summary() -> None:
    """Print all figures that have a target again."""
    if _verdicts:
        print("All targets:", *_verdicts, sep="\n  ")
