"""Read tiles, cache them, and join them into blurred pictures."""

from __future__ import annotations

import math
import operator
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simplejpeg

from geoload.files import read_exactly
from geoload.messages import needed_for
from geoload.tar import ShardError
from geoload.tar_reader import TarReader
from justzoomin.layout import Layout
from justzoomin.source import Archive, Source

with needed_for("Drawing overhead views", "tiles"):
    import cachetools
    import cv2

WHITE_PIXEL = 255
_MAX_TILE_BYTES = 64 * 2**20
_MAX_SCRATCH = 16 * 2**20  # bytes
_thread = threading.local()
Key = tuple[int, int, int]  # zoom, x, y


class TileFiles:
    """The tiles of a source; the TAR files of a level are downloaded when it is first needed."""

    def __init__(self, source: Source, cache_dir: str | Path | None) -> None:
        self._source, self._cache_dir = source, cache_dir
        self._archives: dict[int, list[Archive]] = {}
        for archive in source.tiles():
            assert archive.level is not None
            self._archives.setdefault(archive.level, []).append(archive)
        self.levels = frozenset(self._archives)
        self._readers: dict[int, list[TarReader]] = {}
        self._pid, self._lock = os.getpid(), threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_pid": None}

    def read(self, zoom: int, x: int, y: int) -> tuple[bytes, str] | None:
        """Return a tile's bytes and its name for error messages, or None if it is missing."""
        if self._archives[zoom][0].extracted:
            path = os.path.join(self._archives[zoom][0].path, str(x), f"{y}.jpg")
            try:
                with open(path, "rb", buffering=0) as file:
                    return read_exactly(file.read, _MAX_TILE_BYTES), path
            except FileNotFoundError:
                return None
        name = f"satellite/{zoom}/{x}/{y}.jpg"
        for reader in self._readers.get(zoom) or self._open(zoom):
            data = reader.read(name, _MAX_TILE_BYTES)
            if data is not None:
                return data, f"{reader.path}: {name}"
        return None

    def _open(self, zoom: int) -> list[TarReader]:
        if self._pid != os.getpid():  # another thread may have held the lock at the fork
            self._pid, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            if zoom not in self._readers:
                paths = map(self._source.fetch, self._archives[zoom])
                self._readers[zoom] = [TarReader(path, self._cache_dir) for path in paths]
            return self._readers[zoom]


class Window(NamedTuple):
    """A part of a zoom level, in pixels east and south of the corner of tile (0, 0).

    `sigma` is that of the Gaussian blur in pixels, 0 for none. The edges include the margin that
    the blur needs.
    """

    zoom: int
    left: int
    top: int
    right: int
    bottom: int
    sigma: float


class _Tile(NamedTuple):
    """A decoded tile, blurred without its neighbours if `sigma` is above 0.

    `edges` are then the outer columns, left and right, and the outer rows, top and bottom,
    transposed, as they were before the blur.
    """

    picture: np.ndarray
    sigma: float = 0.0
    edges: tuple[np.ndarray, ...] = ()

    @property
    def nbytes(self) -> int:
        return self.picture.nbytes + sum(edge.nbytes for edge in self.edges)

    def blurred(self, sigma: float) -> _Tile:
        tile, width = self.picture, 2 * blur_radius(sigma)
        columns = np.hstack([tile[:, :width], tile[:, -width:]])
        rows = np.vstack([tile[:width], tile[-width:]])
        edges = columns, np.ascontiguousarray(rows.swapaxes(0, 1))
        return _Tile(_blur(tile, sigma), sigma, edges)


class Mosaic:
    """Pictures made of tiles, which are cached up to a number of bytes. Threads may share one."""

    def __init__(self, files: TileFiles, layout: Layout, cache_bytes: int) -> None:
        self._files, self._layout = files, layout
        self.cache: cachetools.LRUCache[Any, Any] = cachetools.LRUCache(
            cache_bytes, operator.attrgetter("nbytes")
        )
        self._lock = threading.Lock()
        self._last_sigma: dict[int, float] = {}

    def picture(self, window: Window) -> tuple[np.ndarray | None, int, int]:
        """Return the blurred picture of a window, its number of tiles, and how many are missing.

        The picture is in memory that the next call in the same thread overwrites. It is None if
        all tiles are missing, as for most views of a region with few tiles: there is nothing to
        blur.
        """
        width, height = self._layout.tile_px
        columns = range(window.left // width, (window.right - 1) // width + 1)
        rows = range(window.top // height, (window.bottom - 1) // height + 1)
        # Tiles are counted northwards, rows of pixels southwards.
        keys = [(window.zoom, column, -row - 1) for row in rows for column in columns]
        sigma = window.sigma if self._should_blur_tiles(window, keys) else 0.0
        tiles = [self._tile(key, sigma) for key in keys]
        missing = tiles.count(None)
        if missing == len(tiles):
            return None, len(tiles), missing
        shape = len(rows), len(columns)
        whole = scratch("mosaic", (shape[0] * height, shape[1] * width, 3))
        _join([tile and tile.picture for tile in tiles], shape, whole)
        if sigma > 0:
            _blur_seams(whole, tiles, shape, sigma)
        top, left = window.top - rows[0] * height, window.left - columns[0] * width
        picture = whole[top:, left:][: window.bottom - window.top, : window.right - window.left]
        if window.sigma > 0 and sigma == 0:
            picture = _blur(picture, window.sigma, scratch("blurred", picture.shape))
        return picture, len(tiles), missing

    def _should_blur_tiles(self, window: Window, keys: list[Key]) -> bool:
        """Return whether to blur and cache each tile instead of blurring the picture.

        It is worth it if the next view needs the same blur, which is likely if the last one did;
        but not if no tile is cached yet: the picture has fewer pixels than its tiles.
        """
        last = self._last_sigma.get(window.zoom)
        self._last_sigma[window.zoom] = window.sigma
        fits = 4 * blur_radius(window.sigma) <= min(self._layout.tile_px)
        return last == window.sigma > 0 and fits and any(key in self.cache for key in keys)

    def get(self, key: Any) -> Any:
        """Return what is cached under a key, or None."""
        with self._lock:
            return self.cache.get(key)

    def put(self, key: Any, value: Any) -> None:
        """Cache a value that has `nbytes`; the values that were not used for longest go."""
        if value.nbytes <= self.cache.maxsize:
            with self._lock:
                self.cache[key] = value

    def _tile(self, key: Key, sigma: float) -> _Tile | None:
        """Return a tile with this blur, or None. The cache has each tile with one blur only."""
        tile: _Tile | None = self.get(key)
        if tile is not None and tile.sigma == sigma:
            return tile
        if tile is None or tile.sigma > 0:
            tile = self._read(*key)
        if tile is not None:
            tile = tile.blurred(sigma) if sigma > 0 else tile
            self.put(key, tile)
        return tile

    def _read(self, zoom: int, x: int, y: int) -> _Tile | None:
        found = self._files.read(zoom, x, y)
        if found is None:
            return None
        data, name = found
        columns, rows = self._layout.tile_px
        try:
            # The header first: a few bytes can claim a picture of gigabytes.
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if (width, height) != (columns, rows):
                raise ValueError(f"it has {width} x {height} pixels, not {columns} x {rows}")
            return _Tile(simplejpeg.decode_jpeg(data, "RGB"))
        except ValueError as error:
            raise ShardError(f"{name} is not a tile: {error}. Get the file again.") from None


def blur_radius(sigma: float) -> int:
    """Return how far a Gaussian blur reaches, in pixels."""
    return 2 * math.ceil(sigma)


def _blur(picture: np.ndarray, sigma: float, into: np.ndarray | None = None) -> np.ndarray:
    kernel = 2 * blur_radius(sigma) + 1
    return cv2.GaussianBlur(picture, (kernel, kernel), sigma, dst=into)


def _join(pictures: list[np.ndarray | None], shape: tuple[int, int], whole: np.ndarray) -> None:
    """Copy pictures, row by row, into an array; a missing one is white."""
    rows, columns = shape
    height, width = whole.shape[0] // rows, whole.shape[1] // columns
    cells = whole.reshape(rows, height, columns, width, 3)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        cells[row, :, column] = WHITE_PIXEL if picture is None else picture


def _blur_seams(
    whole: np.ndarray, tiles: list[_Tile | None], shape: tuple[int, int], sigma: float
) -> None:
    """Blur again along the seams of blurred tiles, from the edges of the tiles on both sides."""
    radius = blur_radius(sigma)
    band = 4 * radius  # two edges
    for axis in (0, 1):
        # For the horizontal seams everything is transposed.
        picture = whole if axis == 0 else whole.swapaxes(0, 1)
        edges = [tile and tile.edges[axis] for tile in tiles]
        rows, columns = shape if axis == 0 else shape[::-1]
        if axis == 1:
            edges = [edge for row in range(rows) for edge in edges[row::rows]]
        joined = np.empty((picture.shape[0], columns * band, 3), np.uint8)
        _join(edges, (rows, columns), joined)
        joined = _blur(joined, sigma)
        for number in range(1, columns):
            seam, middle = picture.shape[1] // columns * number, band * number
            picture[:, seam - radius : seam + radius] = joined[:, middle - radius : middle + radius]


def scratch(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return this thread's array of that name, with arbitrary content.

    Fresh memory, megabytes for every view, would cost as much as the blur.
    """
    wanted = math.prod(shape)
    memory: np.ndarray | None = getattr(_thread, name, None)
    if memory is None or memory.size < wanted:
        memory = np.empty(wanted, np.uint8)
        if wanted <= _MAX_SCRATCH:
            setattr(_thread, name, memory)
    return memory[:wanted].reshape(shape)
