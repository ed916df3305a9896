"""The overhead views along a zoom path: from a rendered shard, or drawn from tiles.

`rendering.py` renders a shard and `tiles.py` draws a single view.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import logging
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from geoload.report import Findings
from geoload.tar_reader import TarReader
from justzoomin import zoom
from justzoomin.decoded import decoded_pictures
from justzoomin.findings import WHITE_PHOTOS
from justzoomin.source import Source
from justzoomin.table import as_array

SIZE = 384
MIN_SIZE = 8  # pixels; the blur of a smaller view takes minutes
QUALITY = 95
ROOT = "root"
# All views before the last action but one.
_KEPT = 1 + 16 + 256

_log = logging.getLogger(__name__)

Prefix = tuple[int, ...]


def check_view_size(size: Any) -> int:
    """Return the side of a view in pixels as an int; raises ValueError if it is not valid."""
    try:
        pixels = 0 if isinstance(size, (bool, np.bool_)) else operator.index(size)
    except TypeError:
        pixels = 0
    if not MIN_SIZE <= pixels <= zoom.MAX_SIZE:
        raise ValueError(
            f"size={size!r}: give the side of the square views in pixels, "
            f"a whole number from {MIN_SIZE} to {zoom.MAX_SIZE}"
        )
    return pixels


def view_name(prefix: Prefix) -> str:
    """Return a view's name in the shard: its actions, `7-6-6`, or `root`."""
    return "-".join(map(str, prefix)) or ROOT


@functools.lru_cache(maxsize=4369)  # the number of views before the last of four actions
def footprint(prefix: Prefix) -> tuple[float, float, float]:
    """Return centre latitude, longitude and width in metres of the view after the actions."""
    latitude, longitude, widths = zoom.path(np.array(prefix, int))
    return float(latitude[-1]), float(longitude[-1]), float(widths[-1])


def prefixes_of(sequence: Sequence[int]) -> list[Prefix]:
    """Return the actions before each view of a path."""
    return [tuple(sequence[:length]) for length in range(len(sequence))]


class Views(Protocol):
    """Returns the view after a sequence of actions."""

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view as a JPEG file."""

    def arrays(self, prefixes: Sequence[Prefix]) -> Sequence[np.ndarray] | np.ndarray:
        """Return several views, each uint8 RGB of shape (size, size, 3)."""

    def is_white(self, prefix: Prefix) -> bool:
        """Return whether a view is white because all of its tiles were missing."""


class RenderedViews:
    """Views of a shard that `render` wrote; raises ValueError if they do not have this size.

    `cache_dir` is for `arrays`: where the decoded views are kept.
    """

    def __init__(
        self, path: str, size: int | None = None, cache_dir: str | Path | None = None
    ) -> None:
        self._archive, self._cache_dir = TarReader(path), cache_dir
        self._decoded: tuple[np.ndarray, dict[str, int]] | None = None
        self._white: dict[Prefix, bool] = {}
        if size is not None:
            self._check_size(size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoded": None, "_white": {}}

    def _check_size(self, size: int) -> None:
        try:
            with Image.open(io.BytesIO(self.jpeg(()))) as picture:
                side = picture.width
        except OSError:
            return  # decoding it will raise
        if side != size:
            raise ValueError(
                f"{self._archive.path} has views of {side} pixels, not of {size}. Leave size= out, "
                f"or render others with `justzoomin render --size {size}`."
            )

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view after the actions; raises ValueError if the shard does not have it."""
        data = self._archive.read(f"{view_name(prefix)}.jpg")
        if data is None:
            raise self._missing(prefix)
        return data

    def arrays(self, prefixes: Sequence[Prefix]) -> np.ndarray:
        """Return several views: uint8 RGB of shape (n, size, size, 3).

        The first call decodes the whole shard into a file. Ask for many views at once: they are
        copied into one block of memory, which is faster than allocating a block for each.
        """
        if self._decoded is None:
            self._decoded = decoded_pictures(self._archive, self._cache_dir)
        pictures, rows = self._decoded
        try:
            return pictures[[rows[f"{view_name(prefix)}.jpg"] for prefix in prefixes]]
        except KeyError:
            raise next(
                self._missing(p) for p in prefixes if f"{view_name(p)}.jpg" not in rows
            ) from None

    def is_white(self, prefix: Prefix) -> bool:
        """See `Views`; the shard has a record of each view."""
        white = self._white.get(prefix)
        if white is None:
            record = self._archive.read(f"{view_name(prefix)}.json")
            white = bool(record) and record_is_white(json.loads(record or b"{}"))
            if white and not any(self._white.values()):
                _log.warning(
                    "%s: view %s is white, because all of its tiles were missing when it was "
                    "rendered. Further white views are not logged.",
                    self._archive.path, view_name(prefix),
                )  # fmt: skip
            self._white[prefix] = white
        return white

    def _missing(self, prefix: Prefix) -> ValueError:
        return ValueError(
            f"{self._archive.path} has no view {view_name(prefix)}: it was rendered for fewer "
            "actions, or is another file. Render it again with `justzoomin render`."
        )


class DrawnViews:
    """Views drawn from tiles when they are requested.

    `lengths` are the numbers of actions before these views: FileNotFoundError says which sizes can
    be drawn, if the tiles for one of them are missing.
    """

    def __init__(self, source: Any, size: int, lengths: Iterable[int]) -> None:
        from justzoomin.tiles import TilePyramid

        self._pyramid, self._size = TilePyramid(source), size
        self._pyramid.check([footprint((0,) * length)[2] for length in lengths], size)
        self._kept: dict[Prefix, bytes] = {}
        self._white: dict[Prefix, bool] = {}

    def jpeg(self, prefix: Prefix) -> bytes:
        """Draw the view after the actions."""
        data = self._kept.get(prefix)
        if data is None:
            data = to_jpeg(self._array(prefix))
            if len(self._kept) < _KEPT and len(prefix) < zoom.DEPTH - 1:
                self._kept[prefix] = data
        return data

    def arrays(self, prefixes: Sequence[Prefix]) -> list[np.ndarray]:
        """Draw several views."""
        return [self._array(prefix) for prefix in prefixes]

    def is_white(self, prefix: Prefix) -> bool:
        """See `Views`."""
        if prefix not in self._white:
            self._array(prefix)
        return self._white[prefix]

    def _array(self, prefix: Prefix) -> np.ndarray:
        latitude, longitude, width = footprint(prefix)
        view = self._pyramid.view(latitude, longitude, width / self._size, self._size)
        tiles, missing = self._pyramid.tiles_of_last_view()
        self._white[prefix] = tiles == missing
        return view


def open_views(
    source: Any,
    size: int | None = None,
    depth: int = zoom.DEPTH,
    cache_dir: str | Path | None = None,
) -> RenderedViews | DrawnViews:
    """Open a rendered shard (a path that ends in `.tar`), or the tiles of a folder or the Hub.

    `size` is the side of the views in pixels, by default 384 or the size of those in the shard; the
    views before `depth` actions will be requested; `cache_dir` is as for `RenderedViews`.
    """
    size = None if size is None else check_view_size(size)
    if isinstance(source, (str, os.PathLike)) and str(source).endswith(".tar"):
        if not os.path.exists(source):
            raise FileNotFoundError(
                f"There is no {os.path.abspath(source)}: `justzoomin render --data-dir DIR` writes "
                "DIR/views/views_384.tar."
            )
        return RenderedViews(os.fspath(source), size, cache_dir)
    return DrawnViews(source, size or SIZE, range(depth))


def find_rendered(source: Source, size: int = SIZE) -> str | None:
    """Return the path of a source's rendered shard, `views/views_384.tar`, if there is one."""
    return source.find(f"views/views_{size}.tar")


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
        a rendered shard are decoded once, into a file of two gigabytes in the cache that all
        workers share; after that a view costs almost nothing. The views of a batch are in one block
        of memory, which is freed when none of them is in use.
    cache_dir : path, optional
        Where that file is kept; by default in the cache of `datasets`.
    strict : bool
        Raise ValueError for a view that is white because all of its tiles were missing.

    Attributes
    ----------
    report : Findings
        How many rows of this process had white views; the first is logged.

    Raises
    ------
    FileNotFoundError
        When there is no such shard, or the tiles for views of this size are missing; names the
        largest size that can be drawn.
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
        self._source, self._size = source, size
        self._arrays, self._cache_dir, self._strict = arrays, cache_dir, strict
        self.report = Findings()
        self._views  # noqa: B018 - raises here and not at the first row

    @functools.cached_property
    def _views(self) -> Views:
        return open_views(self._source, self._size, cache_dir=self._cache_dir)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_views"}

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
            return self._views.arrays(prefixes)
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
        zoom.decode(actions)
        if actions.ndim != 1 or len(actions) > zoom.DEPTH:
            raise ValueError(f"{actions.tolist()} is not a sequence of up to {zoom.DEPTH} actions")
    except ValueError as error:
        raise ValueError(f"row {row} of the batch: {error}") from error
    return tuple(actions.tolist())


def zoom_record(sequence: Sequence[int], views: Views) -> dict[str, list[Any]]:
    """Return the views before each action, their centres and their widths."""
    prefixes = prefixes_of(sequence)
    places = [footprint(prefix) for prefix in prefixes]
    return {
        "views": [{"bytes": views.jpeg(p), "path": f"{view_name(p)}.jpg"} for p in prefixes],
        "view_centers": [[latitude, longitude] for latitude, longitude, _ in places],
        "view_widths_m": [width for _, _, width in places],
    }


def white_views(sequence: Sequence[int], views: Views) -> list[str]:
    """Return the names of the white views among those before each action."""
    return [view_name(prefix) for prefix in prefixes_of(sequence) if views.is_white(prefix)]


def record_is_white(record: dict[str, Any]) -> bool:
    """Return whether a rendered view is white, from its record."""
    return bool(record.get("tiles", 0) > 0 and record.get("tiles_missing") == record["tiles"])


def to_jpeg(view: np.ndarray, quality: int = QUALITY) -> bytes:
    """Encode a view, uint8 RGB of shape (size, size, 3), as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(view).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
