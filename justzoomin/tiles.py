"""The tile pyramid: views of any place, size and bearing, cut from the TARs where they lie.

What a view looks like (level, blur, sampling, white where there is no tile) follows the authors'
loader. How places become pixels is `layout.py`; where a member lies in its TAR is
`geoload/tar_index.py`.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg

from geoload.files import local_path, read_exactly
from geoload.hub import HubFile, download_small, list_files
from geoload.messages import needed_for
from geoload.report import Findings
from geoload.tar import ShardError
from geoload.tar_reader import TarReader
from justzoomin.archives import WHITE, by_level, level_name
from justzoomin.layout import Layout, Place
from justzoomin.sources import REPOSITORY, REVISION, Hub

with needed_for("Drawing overhead views", "tiles"):
    import cv2

CACHE_BYTES = 256 * 2**20
_LAYOUT = "satellite/layout.yaml"
_WHITE = 255
_MAX_SIZE = 16_384
_MAX_SOURCE = 32_000  # OpenCV counts the pixels of a source in 16 bits
_NOT_ENLARGED = 0.999  # pixels of a level in one of the view's; the map's scale is not quite 1
_MAX_TILE_BYTES = 64 * 2**20
_log = logging.getLogger(__name__)


class TilePyramid:
    """Overhead views of the city, read from the tiles of Just Zoom In.

    Parameters
    ----------
    source : path or justzoomin.sources.Hub, optional
        A folder in the layout of the Hub (`archives/satellite_level_*_*.tar` and
        `satellite/layout.yaml`), one with extracted tiles (`satellite/{zoom}/{x}/{y}.jpg`), or a
        repository on the Hub at a commit, of which the levels that views need are downloaded when
        they are first needed. By default the data set's repository.
    cache_bytes : int
        Decoded tiles are kept up to this many bytes, those used last; each process has its own.
    cache_dir : path, optional
        Where the indexes of the TAR files are kept; by default in the cache of `datasets`.
    strict : bool
        Raise ValueError for a view that is white, as none of its tiles is there.

    Attributes
    ----------
    warns : bool
        Say in the log when a view is white; once in a process.

    Raises
    ------
    FileNotFoundError
        When the source holds no tiles.
    ValueError
        When `layout.yaml` is no layout.

    Notes
    -----
    A view is drawn from the level that the authors' loader takes, or where that is not there from
    the next finer one that is; from a coarser one only as far as nothing is enlarged.

    Several threads may share one. A copy in another process (by pickle or fork) opens files of
    its own and starts with an empty cache.
    """

    def __init__(
        self,
        source: str | os.PathLike | Hub | None = None,
        cache_bytes: int = CACHE_BYTES,
        cache_dir: str | Path | None = None,
        strict: bool = False,
    ) -> None:
        if source is None:
            source = Hub(REPOSITORY, REVISION)
        self._where = source.repository if isinstance(source, Hub) else os.fspath(source)
        self._tiles = _open(source, cache_dir)
        self.layout = Layout.read(self._tiles.layout_file())
        self.cache_bytes = cache_bytes
        self.warns, self._strict = True, strict
        self._own = _Own(cache_bytes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_own": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._own = _Own(self.cache_bytes)

    def view(
        self,
        latitude: float,
        longitude: float,
        metres_per_pixel: float,
        size: int,
        bearing: float = 0.0,
    ) -> np.ndarray:
        """Return a square picture of a place.

        Parameters
        ----------
        latitude, longitude : float
            Of the centre, in degrees.
        metres_per_pixel : float
            Ground that a pixel covers, in metres.
        size : int
            Width and height in pixels.
        bearing : float
            The direction that is up, in degrees clockwise from north.

        Returns
        -------
        ndarray of uint8, shape (size, size, 3)
            RGB; white where there is no tile.

        Raises
        ------
        ValueError
            When an argument is out of range, a tile does not decode (names TAR and member), a TAR
            changed under its index, or, if `strict`, the view is white.
        FileNotFoundError
            When there is no level from which it can be drawn; says up to which size there is one.
        """
        cut = self._cut(latitude, longitude, metres_per_pixel, size, bearing)
        if self._pays_to_blur_tiles(cut):
            picture = self._blurred_mosaic(cut)
        else:
            picture = self._mosaic(cut)
            picture = _blur(picture, cut.sigma, _scratch("blurred", picture.shape))
        self._count_white(latitude, longitude, cut.zoom)
        return _sample(picture, cut, size)

    def tiles_of_last_view(self) -> tuple[int, int]:
        """Return of how many tiles the last view of this thread was made, and how many it lacked.

        Where a tile is missing, a view is white.
        """
        return _local.tiles

    @property
    def report(self) -> Findings:
        """The white views that this process has drawn: how many, and where the first few are."""
        return self._process().report

    def _count_white(self, latitude: float, longitude: float, zoom: int) -> None:
        made_of, lacked = self.tiles_of_last_view()
        if made_of != lacked:
            return
        text = (
            f"The view around latitude {latitude:.5f}, longitude {longitude:.5f} is white: no tile "
            f"of level {zoom} is there in {self._where}."
        )
        if self._strict:
            raise ValueError(f"{text} (strict=True)")
        if self.warns and not self.report:
            _log.warning("%s (Said once.)", text)
        self.report.add(WHITE, f"{latitude:.5f} {longitude:.5f}")

    def check(self, widths_m: npt.ArrayLike, size: int) -> None:
        """Raise unless views of the region, so many metres wide, can be drawn in a size.

        No tile is read.

        Raises
        ------
        FileNotFoundError
            When the levels for it are not there; says up to which size they are.
        """
        from justzoomin.zoom import path

        latitude, longitude, _ = path(np.empty(0, int))
        place = self.layout.at(latitude[0], longitude[0])
        widths = np.asarray(widths_m, float)
        limit = min(self._largest(place, width) for width in widths)
        for width in widths:
            self._level(place, width / size, size, limit)

    def _level(
        self, place: Place, metres_per_pixel: float, size: int, limit: int | None = None
    ) -> int:
        """Return the level to draw from; `limit` is the largest size to recommend where none is."""
        wanted = self.layout.level(place, metres_per_pixel)
        scale = metres_per_pixel * self.layout.pixels_per_metre(place, wanted)
        if not _fits(scale * size):
            raise ValueError(
                f"A view of {metres_per_pixel:g} m a pixel and {size} pixels is too wide for the "
                f"tiles, whose coarsest level has {scale:.0f} pixels in each of its pixels."
            )
        there = self._tiles.levels()
        level = min((z for z in there if z >= wanted), default=max(there, default=wanted))
        scale = metres_per_pixel * self.layout.pixels_per_metre(place, level)
        enlarged = level < wanted and scale < _NOT_ENLARGED
        if level in there and not enlarged and (level == wanted or _fits(scale * size)):
            return level
        if limit is None:
            limit = self._largest(place, metres_per_pixel * size)
        what = f"up to {limit} pixels can be drawn from them" if limit else "no size can be drawn"
        raise FileNotFoundError(
            f"{self._where} has no tiles of level {wanted}, which a view of {metres_per_pixel:g} m "
            f"a pixel and {size} pixels needs (archives/{level_name(wanted)}_000.tar, … on the "
            f"Hub); it has the levels {sorted(there)}: {what}."
        )

    def _largest(self, place: Place, width_m: float) -> int:
        """Return how many pixels of the levels that are there a view so wide has at most."""
        there = self._tiles.levels()
        if self.layout.max_zoom in there:
            return _MAX_SIZE
        pixels = [width_m * self.layout.pixels_per_metre(place, z) / _NOT_ENLARGED for z in there]
        return min(int(max(filter(_fits, pixels), default=0)), _MAX_SIZE)

    def views(self, sequence: npt.ArrayLike, size: int = 384) -> np.ndarray:
        """Return what is seen before each action of a sequence.

        Parameters
        ----------
        sequence : array-like of int, shape (depth,)
            Zoom actions.
        size : int
            Width and height in pixels.

        Returns
        -------
        ndarray of uint8, shape (depth, size, size, 3)
            The whole region first.

        Raises
        ------
        ValueError, FileNotFoundError
            As for `view`.
        """
        from justzoomin.zoom import path

        latitude, longitude, width = path(sequence)
        if latitude.ndim != 1:
            raise ValueError(f"sequence has shape {np.shape(sequence)}; give one, shape (depth,)")
        pictures = np.empty((len(width) - 1, size, size, 3), np.uint8)
        for step in range(len(pictures)):
            place = float(latitude[step]), float(longitude[step]), float(width[step]) / size, size
            pictures[step] = self.view(*place) if step else self._first(place)
        return pictures

    def _first(self, place: tuple) -> np.ndarray:
        """Every sequence begins with the same view: draw it once."""
        own = self._process()
        if place not in own.first:
            own.first = {place: self.view(*place)}
        return own.first[place]

    def _cut(
        self, latitude: float, longitude: float, metres_per_pixel: float, size: int, bearing: float
    ) -> _Cut:
        if not 1 <= size <= _MAX_SIZE:
            raise ValueError(f"size is {size}; it should be 1 to {_MAX_SIZE} pixels")
        if not (math.isfinite(metres_per_pixel) and metres_per_pixel > 0):
            raise ValueError(f"metres_per_pixel is {metres_per_pixel}; it should be above 0")
        if not (math.isfinite(bearing) and abs(latitude) < 90 and math.isfinite(longitude)):
            raise ValueError(
                f"latitude {latitude}, longitude {longitude}, bearing {bearing}: no place or none "
                "that can be drawn"
            )
        layout = self.layout
        place = layout.at(latitude, longitude)
        zoom = self._level(place, metres_per_pixel, size)
        scale = metres_per_pixel * layout.pixels_per_metre(place, zoom)
        # In steps so fine that no pixel changes, or blurred tiles would serve a single latitude.
        sigma = round(max((scale - 1) / 2, 0.0) * 256) / 256
        turn = math.radians(bearing + place.convergence)
        across, down = scale * math.cos(turn), scale * math.sin(turn)
        matrix = np.array([[across, -down, 0.0], [down, across, 0.0]])
        width, height = layout.pixel_size(zoom)
        centre = (place.east - layout.origin[0]) / width, (layout.origin[1] - place.north) / height
        # An output pixel's place is its index less half the size, without half a pixel; so is a
        # tile's. That is what the authors' loader does.
        matrix[:, 2] = centre - matrix[:, :2] @ [size / 2, size / 2]
        ends = matrix @ [[0, size - 1, 0, size - 1], [0, 0, size - 1, size - 1], [1, 1, 1, 1]]
        radius = _radius(sigma)
        low = np.floor(ends.min(1)).astype(int) - radius
        high = np.floor(ends.max(1)).astype(int) + 2 + radius
        matrix[:, 2] -= low
        left, top, right, bottom = (int(edge) for edge in (*low, *high))
        return _Cut(zoom, left, top, right, bottom, matrix, sigma, radius)

    def _pays_to_blur_tiles(self, cut: _Cut) -> bool:
        """Tell whether to blur each tile and keep that, rather than to blur the whole picture.

        Not when no tile is there yet: the picture is less than its tiles, and they may not be
        wanted again.
        """
        own = self._process()
        usual = own.is_usual(cut) and 4 * cut.radius <= min(self.layout.tile_px)
        return usual and any((cut.zoom, p.x, p.y) in own.cache for p in self._parts(cut))

    def _mosaic(self, cut: _Cut) -> np.ndarray:
        """Put the tiles together, as far as the view and its blur reach into them."""
        picture = _scratch("mosaic", (cut.bottom - cut.top, cut.right - cut.left, 3))
        made_of = lacked = 0
        for part in self._parts(cut):
            tile = self._tile(cut.zoom, part.x, part.y)
            picture[part.to] = _WHITE if tile is None else tile[part.of]
            made_of, lacked = made_of + 1, lacked + (tile is None)
        _local.tiles = made_of, lacked
        return picture

    def _blurred_mosaic(self, cut: _Cut) -> np.ndarray:
        """Return what `_blur(_mosaic(cut))` is, but for the margin, from tiles blurred before.

        Each was blurred by itself, so along the seams it is done anew from the tiles' rims.
        """
        picture = _scratch("mosaic", (cut.bottom - cut.top, cut.right - cut.left, 3))
        parts = list(self._parts(cut))
        band = 4 * cut.radius
        rows, columns = parts[-1].cell
        rims = (
            np.empty((picture.shape[0], band * (columns + 1), 3), np.uint8),
            np.empty((picture.shape[1], band * (rows + 1), 3), np.uint8),
        )
        lacked = 0
        for part in parts:
            tile = self._blurred_tile(cut, part.x, part.y)
            lacked += tile is None
            picture[part.to] = _WHITE if tile is None else tile.picture[part.of]
            for axis in (0, 1):
                start = band * part.cell[1 - axis]
                rim = rims[axis][part.to[axis], start : start + band]
                rim[:] = _WHITE if tile is None else tile.rims[axis][part.of[axis]]
        _local.tiles = len(parts), lacked
        tile_px = self.layout.tile_px
        _mend(picture, _blur(rims[0], cut.sigma), -cut.left % tile_px[0], tile_px[0], cut.radius)
        turned = picture.swapaxes(0, 1)
        _mend(turned, _blur(rims[1], cut.sigma), -cut.top % tile_px[1], tile_px[1], cut.radius)
        return picture

    def _parts(self, cut: _Cut) -> Iterator[_Part]:
        width, height = self.layout.tile_px
        rows = range(cut.top // height, (cut.bottom - 1) // height + 1)
        columns = range(cut.left // width, (cut.right - 1) // width + 1)
        ups = [_overlap(row * height, height, cut.top, cut.bottom) for row in rows]
        acrosses = [_overlap(column * width, width, cut.left, cut.right) for column in columns]
        for i, (row, up) in enumerate(zip(rows, ups, strict=True)):
            for j, (column, across) in enumerate(zip(columns, acrosses, strict=True)):
                # Tiles are counted northwards, rows of pixels southwards.
                yield _Part(column, -row - 1, (i, j), (up[0], across[0]), (up[1], across[1]))

    def _tile(self, zoom: int, x: int, y: int) -> np.ndarray | None:
        """Return a decoded tile."""
        cache = self._process().cache
        tile = cache.get((zoom, x, y))
        if isinstance(tile, np.ndarray):
            return tile
        tile = self._decoded(zoom, x, y)
        if tile is not None:
            cache.put((zoom, x, y), tile)
        return tile

    def _blurred_tile(self, cut: _Cut, x: int, y: int) -> _Blurred | None:
        """Return a tile blurred for this view; it takes the place of the tile as decoded."""
        cache = self._process().cache
        key = cut.zoom, x, y
        tile = cache.get(key)
        if isinstance(tile, _Blurred) and tile.sigma == cut.sigma:
            return tile
        raw = tile if isinstance(tile, np.ndarray) else self._decoded(*key)
        if raw is None:
            return None
        blurred = _Blurred.of(raw, cut.sigma)
        cache.put(key, blurred)
        return blurred

    def _decoded(self, zoom: int, x: int, y: int) -> np.ndarray | None:
        found = self._tiles.read(zoom, self.layout.member(zoom, x, y))
        return None if found is None else _decode(found[0], found[1], self.layout.tile_px)

    def _process(self) -> _Own:
        if self._own.pid != os.getpid():
            self._own = _Own(self.cache_bytes)
        return self._own


class _Cut(NamedTuple):
    """What to take from a level, in pixels east and south of tile (0, 0)'s corner, and how."""

    zoom: int
    left: int
    top: int
    right: int
    bottom: int
    matrix: np.ndarray
    sigma: float
    radius: int


class _Part(NamedTuple):
    """A tile's share of a picture: from which of its rows and columns, to which of the picture.

    `cell` counts the tiles of the picture, rows first.
    """

    x: int
    y: int
    cell: tuple[int, int]
    of: tuple[slice, slice]
    to: tuple[slice, slice]


class _Blurred(NamedTuple):
    """A tile as blurred by itself, and what it was along its borders, where that is not enough.

    `rims` are the outer columns, left and right, then the outer rows, top and bottom, turned.
    """

    picture: np.ndarray
    rims: tuple[np.ndarray, np.ndarray]
    sigma: float

    @classmethod
    def of(cls, tile: np.ndarray, sigma: float) -> _Blurred:
        reach = 2 * _radius(sigma)
        sides = np.hstack([tile[:, :reach], tile[:, tile.shape[1] - reach :]])
        ends = np.vstack([tile[:reach], tile[tile.shape[0] - reach :]])
        turned = np.ascontiguousarray(ends.swapaxes(0, 1))
        return cls(_blur(tile, sigma), (sides, turned), sigma)

    @property
    def nbytes(self) -> int:
        return self.picture.nbytes + self.rims[0].nbytes + self.rims[1].nbytes


class _Own:
    """What a process has for itself: decoded tiles, the first view, and what is usual."""

    def __init__(self, cache_bytes: int) -> None:
        self.pid = os.getpid()
        self.cache = _Cache(cache_bytes)
        self.first: dict[tuple, np.ndarray] = {}
        self.report = Findings()
        self._last: dict[int, float] = {}

    def is_usual(self, cut: _Cut) -> bool:
        """Tell whether the last view from this level was blurred alike: then so may be the next.

        Views of ever other scales would find tiles blurred in vain.
        """
        last = self._last.get(cut.zoom)
        self._last[cut.zoom] = cut.sigma
        return last == cut.sigma > 0


class _Cache:
    """Tiles up to a number of bytes; the one that was not used for longest goes first."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._tiles: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: tuple) -> bool:
        return key in self._tiles

    def get(self, key: tuple) -> Any:
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: tuple, tile: Any) -> None:
        with self._lock:
            old = self._tiles.pop(key, None)
            self.used += tile.nbytes - (0 if old is None else old.nbytes)
            self._tiles[key] = tile
            while self.used > self.limit:
                self.used -= self._tiles.popitem(last=False)[1].nbytes


def _fits(pixels: float) -> bool:
    """Tell whether OpenCV can take a view from so many pixels of a level, turned as it may be."""
    return pixels * 1.5 <= _MAX_SOURCE


def _radius(sigma: float) -> int:
    return 2 * math.ceil(sigma)


# Memory that the system has to clear first, megabytes for every view, costs as much as the blur.
_local = threading.local()
_MAX_SCRATCH = 16 * 2**20


def _scratch(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return this thread's array of that name, with whatever is in it."""
    wanted = math.prod(shape)
    memory = getattr(_local, name, None)
    if memory is None or memory.size < wanted:
        memory = np.empty(wanted, np.uint8)
        if wanted <= _MAX_SCRATCH:
            setattr(_local, name, memory)
    return memory[:wanted].reshape(shape)


def _blur(picture: np.ndarray, sigma: float, into: np.ndarray | None = None) -> np.ndarray:
    if sigma <= 0:
        return picture
    kernel = 2 * _radius(sigma) + 1
    return cv2.GaussianBlur(picture, (kernel, kernel), sigma, dst=into)


def _sample(source: np.ndarray, cut: _Cut, size: int) -> np.ndarray:
    # OpenCV samples four channels more than twice as fast as three.
    four = cv2.warpAffine(
        cv2.cvtColor(source, cv2.COLOR_RGB2RGBA, dst=_scratch("four", (*source.shape[:2], 4))),
        cut.matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.cvtColor(four, cv2.COLOR_RGBA2RGB)


def _overlap(start: int, length: int, low: int, high: int) -> tuple[slice, slice]:
    """Return where a tile that begins at `start` lies in itself and in a picture, low to high."""
    begin, end = max(start, low), min(start + length, high)
    return slice(begin - start, end - start), slice(begin - low, end - low)


def _mend(picture: np.ndarray, rims: np.ndarray, first: int, step: int, radius: int) -> None:
    """Put blurred seams into a picture: the first at column `first`, then every `step` columns.

    `rims` holds the tiles' left and right rims side by side, so that the seam between two of
    them is in the middle of the last half of one and the first half of the next.
    """
    band = 4 * radius
    seams = range(first or step, picture.shape[1], step)
    for number, seam in enumerate(seams, 1):
        begin, end = max(seam - radius, 0), min(seam + radius, picture.shape[1])
        shift = band * number - seam
        picture[:, begin:end] = rims[:, begin + shift : end + shift]


def _decode(data: bytes, where: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        # The header first: a few bytes can claim a picture of gigabytes.
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != shape:
            raise ValueError(f"it is {width} x {height} pixels, not {shape[0]} x {shape[1]}")
        return simplejpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        raise ShardError(f"{where} is no tile: {error}. Get the file again.") from None


def _open(source: str | os.PathLike | Hub, cache_dir: str | Path | None) -> Any:
    if isinstance(source, Hub):
        return _HubArchives(source, cache_dir)
    folder = local_path(source, "source")
    if not os.path.isfile(os.path.join(folder, _LAYOUT)):
        raise FileNotFoundError(
            f"{folder} holds no {_LAYOUT}, which says how the tiles lie. Get it with "
            f"`{_command(folder)} --include {_LAYOUT}`."
        )
    archives = os.path.join(folder, "archives")
    names = os.listdir(archives) if os.path.isdir(archives) else []
    levels = by_level({name: os.path.join(archives, name) for name in names})
    if levels:
        return _Archives(folder, levels, cache_dir)
    if any(re.fullmatch(r"-?\d+", name) for name in os.listdir(os.path.join(folder, "satellite"))):
        return _Extracted(folder)
    raise FileNotFoundError(
        f"{folder} holds neither archives/satellite_level_0_000.tar, … nor satellite/0/, …. Get "
        f"the archives with `{_command(folder)} --include 'archives/satellite_*'`."
    )


def _command(folder: str) -> str:
    return f"hf download {REPOSITORY} --repo-type dataset --local-dir {folder}"


class _Extracted:
    """Tiles as files of their own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        names = os.listdir(os.path.join(folder, "satellite"))
        self._zooms = {int(name) for name in names if re.fullmatch(r"-?\d+", name)}

    def layout_file(self) -> str:
        return os.path.join(self._folder, _LAYOUT)

    def levels(self) -> set[int]:
        return self._zooms

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        path = os.path.join(self._folder, "satellite", member)
        try:
            with open(path, "rb", buffering=0) as file:
                return read_exactly(file.read, _MAX_TILE_BYTES), path
        except FileNotFoundError:
            return None


class _Archives:
    """Tiles in the TAR files of a folder."""

    def __init__(self, folder: str, levels: dict[int, list[str]], cache_dir: Any) -> None:
        self._folder = folder
        self._archives = {
            zoom: [TarReader(path, cache_dir) for path in paths] for zoom, paths in levels.items()
        }

    def layout_file(self) -> str:
        return os.path.join(self._folder, _LAYOUT)

    def levels(self) -> set[int]:
        return {*self._archives}

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        return _read(self._archives[zoom], member)


class _HubArchives:
    """Tiles in the TAR files of a repository, each level downloaded when it is first needed."""

    def __init__(self, hub: Hub, cache_dir: Any) -> None:
        self._hub, self._cache_dir = hub, cache_dir
        self._files: dict[int, list[HubFile]] | None = None
        self._archives: dict[int, list[TarReader]] = {}
        self._pid, self._lock = os.getpid(), threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_pid": None}

    def layout_file(self) -> str:
        return download_small(self._hub.repository, self._hub.commit, _LAYOUT, self._hub.token)

    def levels(self) -> set[int]:
        return {*self._list()}

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        archives = self._archives.get(zoom)
        return _read(self._download(zoom) if archives is None else archives, member)

    def _download(self, zoom: int) -> list[TarReader]:
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            if zoom not in self._archives:
                self._archives[zoom] = [
                    TarReader(self._fetch(file), self._cache_dir) for file in self._list()[zoom]
                ]
            return self._archives[zoom]

    def _list(self) -> dict[int, list[HubFile]]:
        if self._files is None:
            hub = self._hub
            files = list_files(hub.repository, hub.commit, "archives", hub.token)
            self._files = by_level({file.path.rsplit("/", 1)[-1]: file for file in files})
        return self._files

    def _fetch(self, file: HubFile) -> str:
        _log.info("Level tiles: %s of %s, %d bytes.", file.path, file.repository, file.size)
        return download_small(file.repository, file.commit, file.path, self._hub.token)


def _read(archives: list[TarReader], member: str) -> tuple[bytes, str] | None:
    for archive in archives:
        name = f"satellite/{member}"
        data = archive.read(name, _MAX_TILE_BYTES)
        if data is not None:
            return data, f"{archive.path}: {name}"
    return None
