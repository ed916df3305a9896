"""Compares the metric with plain numpy, stock `evaluate`, haversine and geopy."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np

from benchmarks.timing import QUICK, at_most, compare
from gcd_metric import GcdMetric
from gcd_metric import compare as compare_models

MILLION = 100_000 if QUICK else 1_000_000
IM2GPS_TRAINING = 6_472_304
FEW = 20_000  # for peers that take one pair at a time


class StockMetric(evaluate.Metric):
    """The plain formula as an ordinary metric of `evaluate`: every pair goes through Arrow."""

    def _info(self) -> evaluate.MetricInfo:
        pair = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description="",
            citation="",
            inputs_description="",
            features=datasets.Features({"predictions": pair, "references": pair}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        measured = bare_kernel(np.array(predictions), np.array(references))
        return {"acc@200km": float((measured <= 200).mean())}


def bare_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The haversine formula in kilometres, without checks or other figures."""
    (lat1, lon1), (lat2, lon2) = np.radians(a).T, np.radians(b).T
    h = np.sin((lat1 - lat2) / 2) ** 2
    h += np.cos(lat1) * np.cos(lat2) * np.sin((lon1 - lon2) / 2) ** 2
    return 2 * 6371.0 * np.arcsin(np.sqrt(h))


def points(n: int, seed: int) -> np.ndarray:
    """Points all over the sphere, shape (n, 2), degrees."""
    random = np.random.default_rng(seed)
    latitude = np.degrees(np.arcsin(random.uniform(-1, 1, n)))
    return np.column_stack([latitude, random.uniform(-180, 180, n)])


def peak_memory(call: Callable[[], Any]) -> int:
    """Peak memory of a call in bytes, beyond what was in use before."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def arrays(metric: GcdMetric, n: int) -> None:
    a, b = points(n, 1), points(n, 2)

    def ours() -> Any:
        return metric.compute(predictions=a, references=b)

    what = f"compute on arrays, {n:,} pairs"
    times = compare(what, ours, {"plain": lambda: bare_kernel(a, b)}, warm_up=False)
    at_most(f"{what}: time / plain formula", times["ours"] / times["plain"], 4)
    at_most(f"{what}: peak memory / inputs", peak_memory(ours) / (a.nbytes + b.nbytes), 3)


def groups(metric: GcdMetric) -> None:
    a, b = points(MILLION, 1), points(MILLION, 2)
    labels = np.random.default_rng(3).integers(0, 100_000, MILLION)
    times = compare(
        f"compute with 100,000 groups, {MILLION:,} pairs",
        lambda: metric.compute(predictions=a, references=b, groups=labels),
        {"without groups": lambda: metric.compute(predictions=a, references=b)},
    )
    at_most(
        "compute with groups: time / without groups", times["ours"] / times["without groups"], 3
    )


def lists(metric: GcdMetric) -> None:
    a, b = points(MILLION, 1), points(MILLION, 2)
    rows_a, rows_b = a.tolist(), b.tolist()
    stock = StockMetric()

    def ours() -> Any:
        return metric.compute(predictions=rows_a, references=rows_b)

    def peer() -> Any:
        return stock.compute(predictions=rows_a, references=rows_b)

    title = f"compute on lists, {MILLION:,} pairs"
    times = compare(title, ours, {"stock evaluate": peer}, warm_up=False)
    at_most("compute on lists: time / stock evaluate", times["ours"] / times["stock evaluate"], 0.2)
    memory = peak_memory(ours) / (a.nbytes + b.nbytes)
    at_most("compute on lists: peak memory / inputs as arrays", memory, 3)


def models() -> None:
    """Print the CPU time of comparing two models, most of which is the bootstrap."""
    pairs = MILLION * 31 // 100
    a, b, references = (points(pairs, seed) for seed in range(3))
    start = time.process_time()
    compare_models(a, b, references)
    seconds = time.process_time() - start
    at_most(f"CPU seconds of gcd_metric.compare, {pairs:,} pairs", seconds, 5)


def libraries(metric: GcdMetric) -> None:
    try:
        from geopy.distance import great_circle
        from haversine import haversine_vector
    except ImportError as error:
        print(f"left out: {error}")
        return
    a, b = points(MILLION, 1), points(MILLION, 2)
    few_a, few_b = a[:FEW], b[:FEW]
    compare(
        f"all figures, against distances alone, {FEW:,} pairs",
        lambda: metric.compute(predictions=few_a, references=few_b),
        {
            "haversine": lambda: haversine_vector(few_a, few_b),
            "geopy": lambda: [great_circle(p, q).km for p, q in zip(few_a, few_b, strict=True)],
        },
        items=FEW,
    )
    compare(
        f"the same, {MILLION:,} pairs (geopy is left out)",
        lambda: metric.compute(predictions=a, references=b),
        {"haversine": lambda: haversine_vector(a, b)},
    )


def main() -> None:
    """Run everything and print it."""
    metric = GcdMetric()
    arrays(metric, MILLION)
    if not QUICK:
        arrays(metric, IM2GPS_TRAINING)
    groups(metric)
    lists(metric)
    models()
    libraries(metric)


if __name__ == "__main__":
    main()
