"""The overhead views along all zoom paths: from a rendered shard, or drawn from tiles.

`rendering.py` renders a shard, `tiles.py` draws a single view, and `view_table.py` keeps all views
as one array.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from geoload.files import signature
from geoload.tar_reader import TarReader
from justzoomin import zoom
from justzoomin.source import Source, as_source, overhead_files
from justzoomin.view_table import TableFile

SIZE = 384
MIN_SIZE = 8  # pixels; the blur of a smaller view takes minutes
QUALITY = 95
ROOT = "root"
# All views before the last action but one.
_KEPT = 1 + 16 + 256

_log = logging.getLogger(__name__)

Prefix = tuple[int, ...]
Prefixes = Sequence[Sequence[int]] | np.ndarray


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


def all_prefixes(depth: int = zoom.DEPTH) -> list[Prefix]:
    """Return the actions that lead to each view before `depth` actions, in the order of a table."""
    return [tuple(cell) for length in range(depth) for cell in zoom.cells(length).tolist()]


def prefixes_of(sequence: Sequence[int]) -> list[Prefix]:
    """Return the actions before each view of a path."""
    return [tuple(sequence[:length]) for length in range(len(sequence))]


class Views(ABC):
    """The overhead views along all zoom paths, which `open_views` opens.

    Parameters
    ----------
    size : int
        Side of the views in pixels.
    depth : int
        There are views before this many actions: the whole region, and the views after 1 to
        `depth` - 1 actions.
    cache_dir : path, optional
        Where tables are kept; by default in the cache of `datasets`.
    """

    def __init__(self, size: int, depth: int, cache_dir: str | Path | None = None) -> None:
        self.size, self.depth, self._cache_dir = size, depth, cache_dir
        self._white: dict[Prefix, bool] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Without the table, which would be copied; `of` maps it again.
        state = {name: value for name, value in self.__dict__.items() if name != "_table"}
        return {**state, "_white": {}}

    def of(self, prefixes: Prefixes) -> np.ndarray:
        """Return the views after some actions.

        If the table of this size was made, they are read from it. Otherwise each view is decoded or
        drawn, once if it is asked for several times.

        Parameters
        ----------
        prefixes : sequence of sequences of int, or array-like of int, shape (n, t)
            For each view the actions that lead to it, such as the `sequence[:t]` that a model
            predicted; `()` is the whole region. They can differ in length.

        Returns
        -------
        ndarray of uint8, shape (n, size, size, 3)
            RGB, in one block of memory.

        Raises
        ------
        ValueError
            As for `index`, and when a view is missing in the shard or cannot be decoded.
        """
        rows = self.index(prefixes)
        if self._table is not None:
            looked_up: np.ndarray = self._table[rows]
            return looked_up
        _, first, again = np.unique(rows, return_index=True, return_inverse=True)
        views = np.empty((len(first), self.size, self.size, 3), np.uint8)
        for i, at in enumerate(first.tolist()):
            views[i] = self._draw(tuple(map(int, prefixes[at])), self.size)
        return views[again]

    def index(self, prefixes: Prefixes) -> np.ndarray:
        """Return the rows of views in a table.

        The row of the whole region is 0, and the row of the view after one more action is
        16 · row + 1 + action, so a search needs no prefixes. `zoom.view_indexes` computes the rows
        of all views along paths.

        Parameters
        ----------
        prefixes : sequence of sequences of int, or array-like of int, shape (n, t)
            As for `of`.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        ValueError
            When an action is not 0 to 15, or there is no view after so many actions.
        """
        lengths = np.fromiter(map(len, prefixes), np.int64, len(prefixes))
        if lengths.max(initial=0) >= self.depth:
            raise self._missing(tuple(prefixes[int(lengths.argmax())]))
        rows = np.empty(len(lengths), np.int64)
        for length in np.unique(lengths).tolist():
            same = np.flatnonzero(lengths == length)
            actions = np.array([prefixes[i] for i in same.tolist()], int if length == 0 else None)
            rows[same] = zoom.view_indexes(actions)[:, -1]
        return rows

    def table(self, size: int | None = None) -> np.ndarray:
        """Return all views as one array, which is made once and kept in the cache as a file.

        All processes map the same file, so it is in memory once. A model's input is one lookup:
        `table[views.index(prefixes)]`. On an accelerator:
        `table = torch.tensor(views.table(224), device="cuda")`.

        Parameters
        ----------
        size : int, optional
            Side of the views in pixels, by default that of the source. Views of a rendered shard
            are resampled (bicubic, antialiased) but not enlarged; those of tiles are drawn.

        Returns
        -------
        ndarray of uint8, shape (4369, size, size, 3)
            Read-only. The whole region, the 16, 256 and 4,096 views after one, two and three
            actions, each in the order of `zoom.cells`; `index` computes the row. (With another
            `depth`, fewer.)

        Raises
        ------
        ValueError
            When the size is not valid, or a view is missing or broken.
        FileNotFoundError
            When the tiles for the size are missing.
        OSError
            When there is no room on the disk.
        """
        size = self.size if size is None else check_view_size(size)
        file = self._table_file(size)
        table = file.load()
        if table is None:
            self._check(size)
            table = file.make(lambda prefix: self._draw(prefix, size), all_prefixes(self.depth))
        if size == self.size:
            self._table = table
        return table

    @functools.cached_property
    def _table(self) -> np.ndarray | None:
        return self._table_file(self.size).load()

    def _table_file(self, size: int) -> TableFile:
        shape = (zoom.view_count(self.depth), size, size, 3)
        return TableFile.of(*self.source_state(), shape, self._cache_dir)

    def _missing(self, prefix: Prefix) -> ValueError:
        return ValueError(
            f"There is no view {view_name(prefix)}: these are views before {self.depth} actions."
        )

    @abstractmethod
    def jpeg(self, prefix: Prefix) -> bytes:
        """Return a view as a JPEG file; raises as `of`."""

    @abstractmethod
    def is_white(self, prefix: Prefix) -> bool:
        """Return whether a view is white because all of its tiles were missing."""

    @abstractmethod
    def _draw(self, prefix: Prefix, size: int) -> np.ndarray:
        """Return one view, uint8 RGB of shape (size, size, 3), from the source."""

    @abstractmethod
    def _check(self, size: int) -> None:
        """Raise ValueError or FileNotFoundError unless views of a size can be made."""

    @abstractmethod
    def source_state(self) -> tuple[str, Any]:
        """Return the name of the source, and plain data that changes when its files do."""


class RenderedViews(Views):
    """Views of a shard that `render` wrote; raises ValueError if they do not have this size."""

    def __init__(
        self, path: str, size: int | None = None, cache_dir: str | Path | None = None
    ) -> None:
        self._archive = TarReader(path, cache_dir)
        files = (member.name for member in self._archive.index if member.kind == "file")
        names = [name.removesuffix(".jpg") for name in files if name.endswith(".jpg")]
        depth = max((name.count("-") + 2 for name in names if name != ROOT), default=1)
        super().__init__(self._decode(()).shape[0], depth, cache_dir)
        if size not in (None, self.size):
            raise ValueError(
                f"{self._archive.path} has views of {self.size} pixels, not of {size}. Leave size= "
                f"out, or render others with `justzoomin render --size {size}`."
            )

    def jpeg(self, prefix: Prefix) -> bytes:
        """Return the view after the actions; raises ValueError if the shard does not have it."""
        data = self._archive.read(f"{view_name(prefix)}.jpg")
        if data is None:
            raise self._missing(prefix)
        return data

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

    def _draw(self, prefix: Prefix, size: int) -> np.ndarray:
        view = self._decode(prefix)
        if view.shape != (self.size, self.size, 3):
            raise ValueError(
                f"{self._archive.path}: {view_name(prefix)}.jpg has {view.shape[1]} x "
                f"{view.shape[0]} pixels, and {ROOT}.jpg {self.size}. Render it again."
            )
        if size == self.size:
            return view
        return np.asarray(Image.fromarray(view).resize((size, size), Image.Resampling.BICUBIC))

    def _decode(self, prefix: Prefix) -> np.ndarray:
        data = self.jpeg(prefix)
        try:
            picture: np.ndarray = simplejpeg.decode_jpeg(data, "RGB")
            return picture
        except ValueError as error:
            raise ValueError(
                f"{self._archive.path}: {view_name(prefix)}.jpg cannot be decoded ({error}). "
                "Render it again."
            ) from error

    def _check(self, size: int) -> None:
        if size > self.size:
            raise ValueError(
                f"{self._archive.path} has views of {self.size} pixels, which are not enlarged to "
                f"{size}. Render others with `justzoomin render --size {size}`."
            )

    def source_state(self) -> tuple[str, Any]:
        """See `Views`."""
        return self._archive.path, signature([self._archive.path], "/")


class DrawnViews(Views):
    """Views drawn from tiles when they are requested.

    `lengths` are the numbers of actions before these views: FileNotFoundError says which sizes can
    be drawn, if the tiles for one of them are missing.
    """

    def __init__(
        self,
        source: Any,
        size: int,
        lengths: Sequence[int],
        cache_dir: str | Path | None = None,
    ) -> None:
        from justzoomin.tiles import TilePyramid

        super().__init__(size, max(lengths) + 1, cache_dir)
        self._source, self._pyramid = as_source(source), TilePyramid(source, cache_dir=cache_dir)
        self._lengths = lengths
        self._check(size)
        self._kept: dict[Prefix, bytes] = {}

    def jpeg(self, prefix: Prefix) -> bytes:
        """Draw the view after the actions."""
        data = self._kept.get(prefix)
        if data is None:
            data = to_jpeg(self._draw(prefix, self.size))
            if len(self._kept) < _KEPT and len(prefix) < zoom.DEPTH - 1:
                self._kept[prefix] = data
        return data

    def is_white(self, prefix: Prefix) -> bool:
        """See `Views`."""
        if prefix not in self._white:
            self._draw(prefix, self.size)
        return self._white[prefix]

    def turned(
        self, latitude: float, longitude: float, bearing: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the zoom to a place with another direction than north at the top.

        The whole region is turned around its centre, and the grid of each view with it, so a place
        has other actions, and other views than those turned. Near the corners of the region a
        place can be outside of the turned one.

        Parameters
        ----------
        latitude, longitude : float
            The place in decimal degrees.
        bearing : float
            The direction that is up in the views, in degrees clockwise from north.

        Returns
        -------
        views : ndarray of uint8, shape (depth, size, size, 3)
        actions : ndarray of int, shape (depth,)

        Raises
        ------
        ValueError
            When the place is outside of the turned region.
        """
        region = zoom.WASHINGTON._replace(bearing=bearing)
        actions = zoom.encode(latitude, longitude, self.depth, region=region)
        latitudes, longitudes, widths = zoom.path(actions, region=region)
        views = [
            self._pyramid.view(*place, widths[step] / self.size, self.size, bearing)
            for step, place in enumerate(zip(latitudes[:-1], longitudes[:-1], strict=True))
        ]
        return np.stack(views), actions

    def _draw(self, prefix: Prefix, size: int) -> np.ndarray:
        latitude, longitude, width = footprint(prefix)
        view = self._pyramid.view(latitude, longitude, width / size, size)
        if size == self.size:
            tiles, missing = self._pyramid.tiles_of_last_view()
            self._white[prefix] = tiles == missing
        return view

    def _check(self, size: int) -> None:
        self._pyramid.check([footprint((0,) * length)[2] for length in self._lengths], size)

    def source_state(self) -> tuple[str, Any]:
        """See `Views`."""
        name = self._source.name

        def files() -> list[str]:
            tiles = [file for file in overhead_files(name) if "/views/" not in file]
            # The folders of extracted tiles change when a tile is added or removed.
            return [*tiles, *map(str, Path(name).glob("satellite/*/*/"))]

        return f"{name}/views", self._source.key(files)


def open_views(
    source: Any,
    size: int | None = None,
    depth: int = zoom.DEPTH,
    cache_dir: str | Path | None = None,
) -> RenderedViews | DrawnViews:
    """Open the overhead views along all zoom paths.

    Parameters
    ----------
    source : path or Hub
        A shard that `render` wrote (`.tar`), or a folder with the tiles.
    size : int, optional
        Side of the views in pixels; by default 384, or the size of those in the shard.
    depth : int
        The views before this many actions are needed. A shard has those that were rendered.
    cache_dir : path, optional
        Where tables of views are kept; by default in the cache of `datasets`.

    Returns
    -------
    Views

    Raises
    ------
    FileNotFoundError
        When there is no such shard, or the tiles for views of this size are missing; names the
        largest size that can be drawn.
    ValueError
        When the views of the shard have another size, or `size` is not 8 to 16,384.

    Examples
    --------
    >>> views = justzoomin.open_views("views_384.tar")  # doctest: +SKIP
    >>> views.of([(), (7,), (7, 6, 6)]).shape  # doctest: +SKIP
    (3, 384, 384, 3)
    >>> views.index([(), (7,), (7, 6, 6)])  # doctest: +SKIP
    array([   0,    8, 2167])
    >>> views.table(224).shape  # doctest: +SKIP
    (4369, 224, 224, 3)
    """
    size = None if size is None else check_view_size(size)
    if isinstance(source, (str, os.PathLike)) and str(source).endswith(".tar"):
        if not os.path.exists(source):
            raise FileNotFoundError(
                f"There is no {os.path.abspath(source)}: `justzoomin render --data-dir DIR` writes "
                "DIR/views/views_384.tar."
            )
        return RenderedViews(os.fspath(source), size, cache_dir)
    return DrawnViews(source, size or SIZE, range(depth), cache_dir)


def find_rendered(source: Source, size: int = SIZE) -> str | None:
    """Return the path of a source's rendered shard, `views/views_384.tar`, if there is one."""
    return source.find(f"views/views_{size}.tar")


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
