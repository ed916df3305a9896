"""The overhead views along a zoom path, as JPEGs: from a rendered shard, or drawn from tiles.

Where the shard lies, and how a view is named in it, is said here too; drawing it is `rendering.py`,
drawing a single view `tiles.py`.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from geoload.indexed_tar import IndexedTar
from justzoomin import zoom
from justzoomin.sources import Folder, Hub

SIZE = 384
QUALITY = 95
ROOT = "root"
# Of the views before the last action there are few, and every path shares them.
_KEPT = 1 + 16 + 256

Prefix = tuple[int, ...]


class Views(Protocol):
    """Gives the view after some actions."""

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view as a JPEG file."""


class RenderedViews:
    """Views of a shard that `render` wrote. Picklable; opens the file where it is used."""

    def __init__(self, path: str) -> None:
        self._archive = IndexedTar(path)

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view after some actions; raises ValueError when the shard has it not."""
        data = self._archive.read(f"{name_of(prefix)}.jpg")
        if data is None:
            raise lacks(self._archive.path, prefix)
        return data


def lacks(shard: str, prefix: Prefix) -> ValueError:
    """Return the error for a shard that has not the view after some actions."""
    return ValueError(
        f"{shard} holds no view {name_of(prefix)}: it was rendered for fewer actions, or is "
        "another file. Render it anew with `justzoomin render`."
    )


class DrawnViews:
    """Views drawn from tiles when they are asked for."""

    def __init__(self, source: Any, size: int = SIZE) -> None:
        from justzoomin.tiles import TilePyramid

        self._pyramid = TilePyramid(source)
        self._size = size
        self._kept: dict[Prefix, bytes] = {}

    def jpeg(self, prefix: Prefix) -> bytes:
        """Draw the view after some actions."""
        data = self._kept.get(prefix)
        if data is None:
            data = to_jpeg(self.array(prefix))
            if len(self._kept) < _KEPT and len(prefix) < zoom.DEPTH - 1:
                self._kept[prefix] = data
        return data

    def array(self, prefix: Prefix) -> np.ndarray:
        """Draw the view after some actions: uint8 RGB of shape (size, size, 3)."""
        latitude, longitude, width = place_of(prefix)
        return self._pyramid.view(latitude, longitude, width / self._size, self._size)


class ZoomViews:
    """A transform for map-style data sets: adds the views along each row's path.

    Parameters
    ----------
    source : path or Hub
        A shard that `render` wrote (`.tar`), or a folder with the tiles.
    size : int
        Side of the views in pixels, where they are drawn.
    arrays : bool
        Give the views as arrays of uint8, shape (size, size, 3), not as pictures of
        Pillow. Those of a rendered shard are decoded once, into a file of two gigabytes in the
        cache that all workers share; then a view costs next to nothing. A batch's views lie in one
        block of memory, which stays as long as one of them.
    cache_dir : path, optional
        Where that file is kept; by default in the cache of `datasets`.

    Examples
    --------
    >>> rows = rows.with_transform(justzoomin.ZoomViews("views_384.tar"))  # doctest: +SKIP
    >>> rows[0]["views"][0].size  # doctest: +SKIP
    (384, 384)
    """

    def __init__(
        self, source: Any, size: int = SIZE, arrays: bool = False, cache_dir: Any = None
    ) -> None:
        if is_shard(source) and not os.path.exists(source):
            raise FileNotFoundError(
                f"There is no {os.path.abspath(source)}: `justzoomin render --data-dir DIR` writes "
                "DIR/views/views_384.tar."
            )
        self._source, self._size = source, size
        self._arrays, self._cache_dir = arrays, cache_dir

    @functools.cached_property
    def _views(self) -> Callable[[list[Prefix]], Iterable[Any]]:
        if not self._arrays:
            views = open_views(self._source, self._size)
            return lambda prefixes: [Image.open(io.BytesIO(views.jpeg(p))) for p in prefixes]
        if is_shard(self._source):
            from justzoomin.decoded import DecodedViews

            return DecodedViews(os.fspath(self._source), self._cache_dir).arrays
        drawn = DrawnViews(self._source, self._size)
        return lambda prefixes: [drawn.array(prefix) for prefix in prefixes]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_views"}

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        """Add `views` (lists of pictures), `view_centers` and `view_widths_m` to a batch."""
        if "sequence" not in batch:
            raise KeyError(f"There is no column 'sequence'; there are {', '.join(batch)}.")
        zooms = [_along(sequence) for sequence in batch["sequence"]]
        found = iter(self._views([prefix for prefixes, _ in zooms for prefix in prefixes]))
        views = [list(itertools.islice(found, len(prefixes))) for prefixes, _ in zooms]
        centers = [[list(place[:2]) for place in places] for _, places in zooms]
        widths = [[place[2] for place in places] for _, places in zooms]
        return {**batch, "views": views, "view_centers": centers, "view_widths_m": widths}


def open_views(source: Any, size: int = SIZE) -> Views:
    """Open a rendered shard, by its ending, or the tiles of a folder or of the Hub."""
    return RenderedViews(os.fspath(source)) if is_shard(source) else DrawnViews(source, size)


def is_shard(source: Any) -> bool:
    """Tell a rendered shard from a folder or repository of tiles, by its ending."""
    return isinstance(source, (str, os.PathLike)) and str(source).endswith(".tar")


def find_rendered(source: Hub | Folder, size: int = SIZE) -> str | None:
    """Return the path of a source's rendered shard, `views/views_384.tar`, where there is one."""
    return source.optional(f"views/views_{size}.tar")


def zoom_record(sequence: Sequence[int], views: Views) -> dict[str, list]:
    """Return the views before each action, where they are, and how wide."""
    prefixes, places = _along(sequence)
    return {
        "views": [{"bytes": views.jpeg(p), "path": f"{name_of(p)}.jpg"} for p in prefixes],
        "view_centers": [[latitude, longitude] for latitude, longitude, _ in places],
        "view_widths_m": [width for _, _, width in places],
    }


def _along(sequence: Sequence[int]) -> tuple[list[Prefix], list[tuple[float, float, float]]]:
    """Return the actions before each view of a path, and where those views are."""
    prefixes = [tuple(sequence[:length]) for length in range(len(sequence))]
    return prefixes, [place_of(prefix) for prefix in prefixes]


def name_of(prefix: Prefix) -> str:
    """Return a view's name in the shard: its actions, `7-6-6`, or `root`."""
    return "-".join(map(str, prefix)) or ROOT


# As many as there are views before the last of four actions.
@functools.lru_cache(maxsize=4369)
def place_of(prefix: Prefix) -> tuple[float, float, float]:
    """Return centre latitude, longitude and width in metres of the view after some actions."""
    latitude, longitude, widths = zoom.path(np.array(prefix, int))
    return float(latitude[-1]), float(longitude[-1]), float(widths[-1])


def to_jpeg(view: np.ndarray, quality: int = QUALITY) -> bytes:
    """Code a view, uint8 RGB of shape (size, size, 3), as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(view).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
