"""A transform that adds the overhead views along a zoom path to rows of a data set."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterable
from typing import Any

from PIL import Image

from geoload.report import Findings
from justzoomin import zoom
from justzoomin.findings import WHITE_PHOTOS
from justzoomin.table import as_array
from justzoomin.views import (
    Prefix,
    RenderedViews,
    Views,
    footprint,
    open_views,
    prefixes_of,
    view_name,
    white_views,
)


class ZoomViews:
    """A transform for map-style data sets: adds the views along each row's path.

    Parameters
    ----------
    source : path or Hub
        A shard that `render` wrote (`.tar`), or a folder with the tiles.
    size : int, optional
        Side of the views in pixels; by default 384, or the size of those in the shard, which are
        not resized.
    arrays : bool
        Give the views as arrays of uint8, shape (size, size, 3), instead of Pillow images. Those of
        a rendered shard are read from a table (`Views.table`), so that a view costs almost nothing.
        The views of a batch are in one block of memory, which is freed when none of them is in use.
    cache_dir : path, optional
        Where the table is kept; by default in the cache of `datasets`.
    strict : bool
        Raise ValueError for a view that is white because all of its tiles were missing.

    Attributes
    ----------
    report : Findings
        How many rows of this process had white views; the first is logged.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `open_views`.

    Examples
    --------
    >>> rows = rows.with_transform(justzoomin.ZoomViews("views_384.tar"))  # doctest: +SKIP
    >>> rows[0]["views"][0].size  # doctest: +SKIP
    (384, 384)
    """

    def __init__(
        self,
        source: Any,
        size: int | None = None,
        arrays: bool = False,
        cache_dir: Any = None,
        strict: bool = False,
    ) -> None:
        self._source, self._size = source, size
        self._arrays, self._cache_dir, self._strict = arrays, cache_dir, strict
        self.report = Findings()
        self._views  # noqa: B018 - raises here and not at the first row

    @functools.cached_property
    def _views(self) -> Views:
        return open_views(self._source, self._size, cache_dir=self._cache_dir)

    @functools.cached_property
    def _mapped(self) -> Views:
        """The views; their table is mapped once, as mapping it again is as slow as copying it."""
        if isinstance(self._views, RenderedViews):
            self._views.table()
        return self._views

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_views", "_mapped")
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Add `views` (lists of pictures), `view_centers` and `view_widths_m` to a batch."""
        if "sequence" not in batch:
            raise KeyError(f"There is no column 'sequence'; there are {', '.join(batch)}.")
        sequences = [_actions(sequence, row) for row, sequence in enumerate(batch["sequence"])]
        prefixes = [prefixes_of(sequence) for sequence in sequences]
        views = iter(self._pictures([prefix for some in prefixes for prefix in some]))
        for sequence in sequences:
            self._count_white(sequence)
        places = [[footprint(prefix) for prefix in some] for some in prefixes]
        return {
            **batch,
            "views": [list(itertools.islice(views, len(some))) for some in prefixes],
            "view_centers": [[[*place[:2]] for place in some] for some in places],
            "view_widths_m": [[place[2] for place in some] for some in places],
        }

    def _pictures(self, prefixes: list[Prefix]) -> Iterable[Any]:
        if self._arrays:
            return self._mapped.of(prefixes)
        return [Image.open(io.BytesIO(self._views.jpeg(prefix))) for prefix in prefixes]

    def _count_white(self, sequence: Prefix) -> None:
        if white := white_views(sequence, self._views):
            if self._strict:
                raise ValueError(
                    f"sequence {[*sequence]}: view {white[0]} is white, because all of its tiles "
                    "are missing (strict=True)."
                )
            self.report.add(WHITE_PHOTOS, view_name(sequence))


def _actions(sequence: Any, row: int) -> Prefix:
    """Return a row's sequence (list, array or tensor) as a tuple of int; raises ValueError."""
    try:
        actions = as_array(sequence, "sequence")
        zoom.view_indexes(actions)
        if actions.ndim != 1 or len(actions) > zoom.DEPTH:
            raise ValueError(f"{actions.tolist()} is not a sequence of up to {zoom.DEPTH} actions")
    except ValueError as error:
        raise ValueError(f"row {row} of the batch: {error}") from error
    return tuple(actions.tolist())
