"""Helpers for threads and processes: number of cores, work ahead of its use, equal shares."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def core_count() -> int:
    """Return how many cores this process may use, often fewer than a cluster's node has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ahead(
    work: Callable[[Item], Found], items: Iterable[Item],
    threads: int | None = None, most: int | None = None,
) -> Iterator[Found]:  # fmt: skip
    """Yield `work(item)` in order, computed by threads that are at most `most` items ahead.

    By default there is a thread for each core, and `most` is twice as many.
    """
    threads = threads or core_count()
    with ThreadPoolExecutor(threads) as pool:
        jobs: deque[Future[Found]] = deque()
        try:
            for item in items:
                jobs.append(pool.submit(work, item))
                if len(jobs) > (most or 2 * threads):
                    yield jobs.popleft().result()
            while jobs:
                yield jobs.popleft().result()
        finally:
            for job in jobs:
                job.cancel()


def exit_with_parent() -> None:
    """End this worker process when its parent ends or is killed; without a parent, do nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def equal_share(rows: Any, rank: int, world_size: int, drop_last: bool = False) -> Any:
    """Return the rows for one process, the same number for each.

    Processes that average gradients wait for each other at every batch. If one of them has a batch
    more than the others, the epoch never ends.

    Parameters
    ----------
    rows : datasets.Dataset
        In the same order in all processes.
    rank, world_size : int
        The number of this process, from 0, and how many there are.
    drop_last : bool
        What to do if the rows cannot be divided equally: False repeats up to `world_size` - 1 of
        the first rows, True leaves out as many of the last ones, as the sampler of torch does.

    Returns
    -------
    datasets.Dataset

    Raises
    ------
    TypeError
        When the rows are streamed, so their number is not known.
    ValueError
        When `rank` is not from 0 to `world_size` - 1.
    """
    import datasets  # takes a second, which processes that only need a function above save

    if not isinstance(rows, datasets.Dataset):
        raise TypeError(
            f"equal_share needs rows whose number is known, not a {type(rows).__name__}: give it "
            "photos() or prepared rows, before to_iterable_dataset()"
        )
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank}: must be from 0 to {world_size - 1}")
    total = len(rows)
    count = total // world_size if drop_last else -(-total // world_size)
    start, stop = rank * count, (rank + 1) * count
    if stop <= total:
        return rows.select(range(start, stop))
    return rows.select([row % total for row in range(start, stop)])
