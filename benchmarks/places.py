"""Measures the lookup of place names, and how often the nearest town is in another country."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import reverse_geocoder

from benchmarks.timing import QUICK, compare
from gcd_metric import find_places
from gcd_metric.places import METHODS, read_places

N = 100_000 if QUICK else 1_000_000


def main() -> None:
    """Print the comparison with reverse_geocoder, seconds and memory, and the differences."""
    coordinates = near_towns(100_000, 0.1)
    pairs = list(map(tuple, coordinates.tolist()))
    compare(
        "names of 100,000 places by the nearest town",
        lambda: find_places(coordinates, "nearest_place"),
        {"reverse_geocoder": lambda: reverse_geocoder.search(pairs, verbose=False)},
    )
    for method in METHODS:  # in a new process, whose peak memory counts from its start
        subprocess.run([sys.executable, "-m", "benchmarks.places", method], check=True)
    from benchmarks.metric import points  # its imports would add to the memory of `measure`

    print("places whose nearest town is in another country than the polygons say")
    for name, some in {
        "in countries, at random": points(N // 2, 0),
        "0.1 degrees around towns": near_towns(N // 2, 0.1),
    }.items():
        print(f"  {name:<25} {100 * share_different(some):.2f} %")


def measure(method: str) -> None:
    """Print the seconds and the peak memory of a million lookups."""
    coordinates = near_towns(N, 0.1)
    start = time.process_time()
    find_places(coordinates[:1], method)
    first = time.process_time() - start
    start = time.process_time()
    find_places(coordinates, method)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{N:,} lookups by {method}: {seconds:.1f} s of processor time, {peak:.1f} GB; "
        f"the first call {first:.1f} s"
    )


def near_towns(n: int, degrees: float) -> np.ndarray:
    """Return places around towns, shape (n, 2)."""
    random = np.random.default_rng(0)
    towns = read_places()[["latitude", "longitude"]].to_numpy()
    places = towns[random.integers(0, len(towns), n)] + random.normal(0, degrees, (n, 2))
    return places.clip((-90, -180), (90, 180))


def share_different(coordinates: np.ndarray) -> float:
    """Return the share of places in a country but Antarctica that get another one."""
    polygons, nearest = (find_places(coordinates, method, ["country"]) for method in METHODS)
    known = polygons["country"].notna() & (polygons["country"] != "AQ")
    return float((polygons["country"] != nearest["country"])[known].mean())


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(sys.argv[1])
    else:
        main()
