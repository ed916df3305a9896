"""Equal shares of the rows for processes that train together."""

from __future__ import annotations

from typing import Any

import datasets


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
