"""Help for work in several processes: cores, workers that end with their parent, equal shares."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess
from typing import Any


def exit_with_parent() -> None:
    """End this process when its parent ends, however that was, if it is a worker.

    A pool's workers would wait for ever, and go on with their work, if their parent was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def core_count() -> int:
    """Return how many cores this process may use, often fewer than a cluster's node has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def equal_share(rows: Any, rank: int, world_size: int, drop_last: bool = False) -> Any:
    """Return one process's share of the rows, as many for each.

    Processes that average gradients wait for each other at every batch, so that an epoch in which
    one of them has a batch more than the others never ends.

    Parameters
    ----------
    rows : datasets.Dataset
        Shuffled alike in all processes, or not at all.
    rank, world_size : int
        The number of this process, from 0, and how many there are.
    drop_last : bool
        What equal shares cost where the rows do not divide: with False some of the first rows come
        twice, at most `world_size` - 1; with True as many of the last rows are left out. The
        sampler of torch has the same option.

    Returns
    -------
    datasets.Dataset

    Raises
    ------
    TypeError
        For streamed rows, of which nobody knows how many there are.
    ValueError
        When there is no such rank.
    """
    import datasets  # takes a second, which processes that only need a function above save

    if not isinstance(rows, datasets.Dataset):
        raise TypeError(
            f"equal shares need rows whose number is known, not a {type(rows).__name__}: take them "
            "of photos() or of prepared rows, before to_iterable_dataset()"
        )
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank}: there are the ranks 0 to {world_size - 1}")
    total = len(rows)
    count = total // world_size if drop_last else -(-total // world_size)
    start, stop = rank * count, (rank + 1) * count
    if stop <= total:
        return rows.select(range(start, stop))
    return rows.select([row % total for row in range(start, stop)])
