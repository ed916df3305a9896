"""Times callables side by side in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

# `make bench QUICK=1` shows that everything runs, and ratios that are less certain.
QUICK = os.environ.get("QUICK", "0") not in ("", "0")
ROUNDS = 1 if QUICK else 3


def compare(
    title: str,
    ours: Callable[[], Any],
    peers: Mapping[str, Callable[[], Any]],
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Time callables in turn and print our time as a multiple of each peer's time.

    They alternate within each round, so that a machine that becomes slower affects all of them. The
    first call of each is not counted.

    Parameters
    ----------
    title : str
        Printed above the rows.
    ours : callable
    peers : mapping of name to callable
    rounds : int
        How often each is timed.

    Returns
    -------
    dict
        The median time in seconds by name; ours is under "ours".
    """
    callables = {"ours": ours, **peers}
    times: dict[str, list[float]] = {name: [] for name in callables}
    if not QUICK:
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
        if name != "ours":
            ratios = [mine / other for mine, other in zip(times["ours"], values, strict=True)]
            row += (
                f"  ours takes {medians['ours'] / medians[name]:7.3f} x"
                f"  ({min(ratios):.3f}-{max(ratios):.3f})"
            )
        print(row)
    return medians
