"""The overhead views along a zoom path, as JPEGs: from a rendered shard, or drawn from tiles.

Where the shard lies, and how a view is named in it, is said here too; drawing it is `rendering.py`,
drawing a single view `tiles.py`.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import logging
import operator
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from geoload.report import Findings
from geoload.tar_reader import TarReader
from justzoomin import zoom
from justzoomin.predictions import as_array
from justzoomin.sources import Folder, Hub

SIZE = 384
MIN_SIZE, MAX_SIZE = 8, 16_384  # pixels; blurring for a smaller view takes minutes
QUALITY = 95
ROOT = "root"
# Of the views before the last action there are few, and every path shares them.
_KEPT = 1 + 16 + 256

WHITE_PHOTOS = "photos with views that are white, as none of their tiles is there"
_log = logging.getLogger(__name__)

Prefix = tuple[int, ...]


def check_view_size(size: Any) -> int:
    """Return the side of a view in pixels as an int; raises ValueError where it is none."""
    try:
        pixels = 0 if isinstance(size, (bool, np.bool_)) else operator.index(size)
    except TypeError:
        pixels = 0
    if not MIN_SIZE <= pixels <= MAX_SIZE:
        raise ValueError(
            f"size={size!r}: give a whole number of pixels, {MIN_SIZE} to {MAX_SIZE}, the side of "
            "the square views"
        )
    return pixels


class Views(Protocol):
    """Gives the view after some actions."""

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view as a JPEG file."""

    def is_white(self, prefix: Prefix) -> bool:
        """Tell whether a view that was given is white, as none of its tiles was there."""


class RenderedViews:
    """Views of a shard that `render` wrote. Picklable; opens the file where it is used.

    Parameters
    ----------
    path : str
    size : int, optional
        The side that the views should have.

    Raises
    ------
    ValueError
        When they have another.
    """

    def __init__(self, path: str, size: int | None = None) -> None:
        self._archive = TarReader(path)
        self._white: dict[Prefix, bool] = {}
        if size is not None:
            self._check_size(size)

    def _check_size(self, size: int) -> None:
        try:
            with Image.open(io.BytesIO(self.jpeg(()))) as picture:
                side = picture.width
        except OSError:
            return  # whoever decodes it says so
        if side != size:
            raise ValueError(
                f"{self._archive.path} holds views of {side} pixels, not of {size}. Leave size= "
                f"out, or render others with `justzoomin render --size {size}`."
            )

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view after some actions; raises ValueError when the shard has it not."""
        data = self._archive.read(f"{view_name(prefix)}.jpg")
        if data is None:
            raise lacks(self._archive.path, prefix)
        return data

    def is_white(self, prefix: Prefix) -> bool:
        """See `Views`; the shard has a record of each view."""
        white = self._white.get(prefix)
        if white is None:
            record = self._archive.read(f"{view_name(prefix)}.json")
            white = bool(record) and record_is_white(json.loads(record or b"{}"))
            if white and not any(self._white.values()):
                _log.warning(
                    "%s: view %s is white, as none of its tiles was there when it was rendered. "
                    "(Said once.)", self._archive.path, view_name(prefix),
                )  # fmt: skip
            self._white[prefix] = white
        return white


def record_is_white(record: dict[str, Any]) -> bool:
    """Tell from its record whether a rendered view is white."""
    return record.get("tiles", 0) > 0 and record.get("tiles_missing") == record["tiles"]


def lacks(shard: str, prefix: Prefix) -> ValueError:
    """Return the error for a shard that has not the view after some actions."""
    return ValueError(
        f"{shard} holds no view {view_name(prefix)}: it was rendered for fewer actions, or is "
        "another file. Render it anew with `justzoomin render`."
    )


class DrawnViews:
    """Views drawn from tiles when they are asked for.

    Parameters
    ----------
    source : path or Hub
    size : int
        Their side in pixels.
    lengths : iterable of int
        The number of actions before the views that will be asked for.
    """

    def __init__(self, source: Any, size: int, lengths: Iterable[int]) -> None:
        from justzoomin.tiles import TilePyramid

        self._pyramid = TilePyramid(source)
        self._pyramid.check([footprint((0,) * length)[2] for length in lengths], size)
        self._size = size
        self._kept: dict[Prefix, bytes] = {}
        self._white: dict[Prefix, bool] = {}

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
        latitude, longitude, width = footprint(prefix)
        view = self._pyramid.view(latitude, longitude, width / self._size, self._size)
        made_of, lacked = self._pyramid.tiles_of_last_view()
        self._white[prefix] = made_of == lacked
        return view

    def is_white(self, prefix: Prefix) -> bool:
        """See `Views`."""
        return self._white[prefix]


class ZoomViews:
    """A transform for map-style data sets: adds the views along each row's path.

    Parameters
    ----------
    source : path or Hub
        A shard that `render` wrote (`.tar`), or a folder with the tiles.
    size : int, optional
        Side of the views in pixels; by default 384, or what those of the shard have. Those of a
        shard are not resized.
    arrays : bool
        Give the views as arrays of uint8, shape (size, size, 3), not as pictures of
        Pillow. Those of a rendered shard are decoded once, into a file of two gigabytes in the
        cache that all workers share; then a view costs next to nothing. A batch's views lie in one
        block of memory, which stays as long as one of them.
    cache_dir : path, optional
        Where that file is kept; by default in the cache of `datasets`.
    strict : bool
        Raise ValueError for a view that is white, as none of its tiles was there.

    Attributes
    ----------
    report : Findings
        How many rows of this process had white views, which the log says once.

    Raises
    ------
    FileNotFoundError
        When there is no such shard, or there are no tiles from which views of the size can be
        drawn; says which sizes can.
    ValueError
        When the views of the shard have another size, or `size` is not 8 to 16,384.

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
        size = None if size is None else check_view_size(size)
        if is_shard(source) and not os.path.exists(source):
            raise FileNotFoundError(
                f"There is no {os.path.abspath(source)}: `justzoomin render --data-dir DIR` writes "
                "DIR/views/views_384.tar."
            )
        self._source, self._size = source, size
        self._arrays, self._cache_dir, self._strict = arrays, cache_dir, strict
        self.report = Findings()
        self._views  # noqa: B018 - what is wrong with it shows here and not at the first row

    @functools.cached_property
    def _views(self) -> RenderedViews | DrawnViews:
        return open_views(self._source, self._size)

    @functools.cached_property
    def _pictures(self) -> Callable[[list[Prefix]], Iterable[Any]]:
        views = self._views
        if not self._arrays:
            return lambda prefixes: [Image.open(io.BytesIO(views.jpeg(p))) for p in prefixes]
        if isinstance(views, DrawnViews):
            return lambda prefixes: [views.array(prefix) for prefix in prefixes]
        from justzoomin.decoded import DecodedViews

        return DecodedViews(os.fspath(self._source), self._cache_dir).arrays

    def __getstate__(self) -> dict[str, Any]:
        own = ("_views", "_pictures")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        """Add `views` (lists of pictures), `view_centers` and `view_widths_m` to a batch."""
        if "sequence" not in batch:
            raise KeyError(f"There is no column 'sequence'; there are {', '.join(batch)}.")
        sequences = [_actions(sequence, row) for row, sequence in enumerate(batch["sequence"])]
        zooms = [_along(sequence) for sequence in sequences]
        found = iter(self._pictures([prefix for prefixes, _ in zooms for prefix in prefixes]))
        for sequence in sequences:
            self._count_white(sequence)
        views = [list(itertools.islice(found, len(prefixes))) for prefixes, _ in zooms]
        centers = [[list(place[:2]) for place in places] for _, places in zooms]
        widths = [[place[2] for place in places] for _, places in zooms]
        return {**batch, "views": views, "view_centers": centers, "view_widths_m": widths}

    def _count_white(self, sequence: Prefix) -> None:
        if white := white_views(sequence, self._views):
            if self._strict:
                raise ValueError(
                    f"sequence {[*sequence]}: view {white[0]} is white, as none of its tiles is "
                    "there (strict=True)."
                )
            self.report.add(WHITE_PHOTOS, view_name(sequence))


def _actions(sequence: Any, row: int) -> Prefix:
    """Return a row's sequence, a list, array or tensor, as whole numbers; raises ValueError."""
    try:
        actions = as_array(sequence, "sequence")
        zoom.decode(actions)
        if actions.ndim != 1 or len(actions) > zoom.DEPTH:
            raise ValueError(f"{actions.tolist()} is no sequence of up to {zoom.DEPTH} actions")
    except ValueError as error:
        raise ValueError(f"row {row} of the batch: {error}") from error
    return tuple(actions.tolist())


def open_views(source: Any, size: int | None = None, depth: int = zoom.DEPTH) -> Any:
    """Open a rendered shard, by its ending, or the tiles of a folder or of the Hub.

    Parameters
    ----------
    source : path or Hub
    size : int, optional
        Side of the views in pixels; by default 384, or what those of the shard have.
    depth : int
        The views before so many actions will be asked for.

    Returns
    -------
    RenderedViews or DrawnViews
    """
    size = None if size is None else check_view_size(size)
    if is_shard(source):
        return RenderedViews(os.fspath(source), size)
    return DrawnViews(source, size or SIZE, range(depth))


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
        "views": [{"bytes": views.jpeg(p), "path": f"{view_name(p)}.jpg"} for p in prefixes],
        "view_centers": [[latitude, longitude] for latitude, longitude, _ in places],
        "view_widths_m": [width for _, _, width in places],
    }


def white_views(sequence: Sequence[int], views: Views) -> list[str]:
    """Return the names of the white ones among the views before each action; all were given."""
    return [view_name(prefix) for prefix in _along(sequence)[0] if views.is_white(prefix)]


def _along(sequence: Sequence[int]) -> tuple[list[Prefix], list[tuple[float, float, float]]]:
    """Return the actions before each view of a path, and where those views are."""
    prefixes = [tuple(sequence[:length]) for length in range(len(sequence))]
    return prefixes, [footprint(prefix) for prefix in prefixes]


def view_name(prefix: Prefix) -> str:
    """Return a view's name in the shard: its actions, `7-6-6`, or `root`."""
    return "-".join(map(str, prefix)) or ROOT


# As many as there are views before the last of four actions.
@functools.lru_cache(maxsize=4369)
def footprint(prefix: Prefix) -> tuple[float, float, float]:
    """Return centre latitude, longitude and width in metres of the view after some actions."""
    latitude, longitude, widths = zoom.path(np.array(prefix, int))
    return float(latitude[-1]), float(longitude[-1]), float(widths[-1])


def to_jpeg(view: np.ndarray, quality: int = QUALITY) -> bytes:
    """Code a view, uint8 RGB of shape (size, size, 3), as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(view).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
