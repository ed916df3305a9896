"""Fetch the overhead views that searches ask for: in the background, and each view once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from geoload.models.loading import ModelError, described
from geoload.processes import core_count
from justzoomin import zoom
from justzoomin.views import Views

Found = TypeVar("Found")


class Fetcher:
    """Fetches views in a thread of its own.

    Parameters
    ----------
    views : Views
    size : int, optional
        Side of the views in pixels, by default that of `views`.
    expected : int, optional
        About how many views will be needed. If that is more than there are, or `size` is another
        one, they are looked up in the table of all views, which is made once and kept on the disk;
        otherwise each is drawn when it is first needed, and kept in memory.
    """

    def __init__(self, views: Views, size: int | None = None, expected: int | None = None) -> None:
        self._views, self._kept = views, dict[int, np.ndarray]()
        every = zoom.view_count(views.depth)
        is_table = size not in (None, views.size) or (expected or every) >= every
        self._table = views.table(size) if is_table else None
        self._thread, self._pool = ThreadPoolExecutor(1), ThreadPoolExecutor(core_count())

    def fetch(self, actions: np.ndarray) -> Future[np.ndarray]:
        """Start to fetch the views after actions of shape (n, t): uint8, (n, size, size, 3)."""
        return self._thread.submit(self._of, actions)

    def _of(self, actions: np.ndarray) -> np.ndarray:
        """Return the views; errors stop the run, because they are not about a photo."""
        try:
            return self._read(actions)
        except Exception as error:
            raise ModelError(f"Views cannot be read: {described(error)}") from error

    def _read(self, actions: np.ndarray) -> np.ndarray:
        rows = zoom.view_indexes(actions)[:, -1]
        if self._table is not None:
            looked_up: np.ndarray = self._table[rows]
            return looked_up
        new = dict(zip(rows.tolist(), actions.tolist(), strict=True))
        new = {row: prefix for row, prefix in new.items() if row not in self._kept}
        drawn = self._pool.map(lambda prefix: self._views.of([prefix])[0], new.values())
        self._kept.update(zip(new, drawn, strict=True))
        return np.stack([self._kept[row] for row in rows.tolist()])


def run(
    searches: Sequence[Generator[np.ndarray, np.ndarray, Found]],
    fetch: Callable[[np.ndarray], Future[np.ndarray]],
) -> list[Found]:
    """Advance searches in turn: while one computes, the views of the others are fetched."""
    found: dict[int, Found] = {}
    waiting = deque((number, one, fetch(next(one))) for number, one in enumerate(searches))
    while waiting:
        number, one, views = waiting.popleft()
        try:
            waiting.append((number, one, fetch(one.send(views.result()))))
        except StopIteration as end:
            found[number] = end.value
    return [found[number] for number in range(len(searches))]
