"""Draw overhead views of any place, size and bearing from the tiles of Just Zoom In.

Zoom level, blur, sampling, and white where a tile is missing follow the authors' loader.
`layout.py` turns places into pixels, `mosaic.py` reads, joins and blurs tiles.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoload.messages import needed_for
from geoload.report import Findings
from justzoomin.findings import WHITE
from justzoomin.layout import Layout, MapPoint
from justzoomin.mosaic import WHITE_PIXEL, Mosaic, TileFiles, Window, blur_radius, scratch
from justzoomin.source import Source, as_source, level_name
from justzoomin.zoom import MAX_SIZE, path

with needed_for("Drawing overhead views", "tiles"):
    import cv2

CACHE_BYTES = 256 * 2**20
_MAX_SOURCE = 32_000  # OpenCV counts the pixels of a source in 16 bits
_NOT_ENLARGED = 0.999  # pixels of a level per pixel of a view; the map's scale is not quite 1
_log = logging.getLogger(__name__)
_thread = threading.local()


class TilePyramid:
    """Overhead views of the city, drawn from the tiles of Just Zoom In.

    Parameters
    ----------
    source : path or justzoomin.source.Hub, optional
        A folder in the layout of the Hub (`archives/satellite_level_*_*.tar` and
        `satellite/layout.yaml`), one with extracted tiles (`satellite/{zoom}/{x}/{y}.jpg`), or a
        repository on the Hub at a commit, of which the levels that views need are downloaded when
        they are first needed. By default the data set's repository.
    cache_bytes : int
        Size of the cache of decoded tiles in bytes; each process has its own.
    cache_dir : path, optional
        Where the indexes of the TAR files are kept; by default in the cache of `datasets`.
    strict : bool
        Raise ValueError for a view that is white because all of its tiles are missing.

    Attributes
    ----------
    warns : bool
        Log a warning for the first white view of a process.

    Raises
    ------
    FileNotFoundError
        When the source has no tiles.
    ValueError
        When `layout.yaml` is not valid.

    Notes
    -----
    A view is drawn from the level that the authors' loader takes. If that is missing, it is drawn
    from the next finer level, or from a coarser one if its pixels need not be enlarged.

    Threads may share one. A copy in another process (by pickle or fork) opens its own files and
    starts with an empty cache.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Source | None = None,
        cache_bytes: int = CACHE_BYTES,
        cache_dir: str | Path | None = None,
        strict: bool = False,
    ) -> None:
        source = as_source(source)
        self._where = source.name
        self.layout = Layout.read(source.layout())
        self._files = TileFiles(source, cache_dir)
        self.cache_bytes = cache_bytes
        self.warns, self._strict = True, strict
        self._own: _Own | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_own": None}

    @property
    def _process(self) -> _Own:
        """The state of this process; a fork makes its own, as an inherited lock may be locked."""
        own = self._own
        if own is None or own.pid != os.getpid():
            mosaic = Mosaic(self._files, self.layout, self.cache_bytes)
            own = self._own = _Own(os.getpid(), mosaic, Findings())
        return own

    @property
    def report(self) -> Findings:
        """The white views that this process has drawn: their number and the first few places."""
        return self._process.report

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
            The centre, in degrees.
        metres_per_pixel : float
            Ground that a pixel covers, in metres.
        size : int
            Width and height in pixels.
        bearing : float
            The direction that is up, in degrees clockwise from north.

        Returns
        -------
        ndarray of uint8, shape (size, size, 3)
            RGB; white where a tile is missing.

        Raises
        ------
        ValueError
            When an argument is out of range, a tile cannot be decoded (names TAR and member), a TAR
            was changed after it was indexed, or, if `strict`, the view is white.
        FileNotFoundError
            When the level for it is missing; names the largest size that can be drawn.
        """
        _check(latitude, longitude, metres_per_pixel, size, bearing)
        point = self.layout.point(latitude, longitude)
        level = self._level(point, metres_per_pixel, size)
        scale = metres_per_pixel * self.layout.pixels_per_metre(point, level)
        matrix = self._matrix(point, level, scale, size, bearing)
        window = _window(matrix, level, scale, size)
        picture, tiles, missing = self._process.mosaic.picture(window)
        _thread.tiles = tiles, missing
        if picture is None:
            self._report_white(latitude, longitude, level)
            return np.full((size, size, 3), WHITE_PIXEL, np.uint8)
        matrix[:, 2] -= window.left, window.top
        return _sample(picture, matrix, size)

    def tiles_of_last_view(self) -> tuple[int, int]:
        """Return the number of tiles of the last view of this thread, and how many were missing.

        A view is white where a tile is missing.
        """
        tiles: tuple[int, int] = _thread.tiles
        return tiles

    def views(self, sequence: npt.ArrayLike, size: int = 384) -> np.ndarray:
        """Return the view before each action of a sequence.

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
        latitude, longitude, width = path(sequence)
        if latitude.ndim != 1:
            raise ValueError(f"sequence has shape {np.shape(sequence)}; give one, shape (depth,)")
        pictures = np.empty((len(width) - 1, size, size, 3), np.uint8)
        for step in range(len(pictures)):
            place = float(latitude[step]), float(longitude[step]), float(width[step]) / size, size
            pictures[step] = self.view(*place) if step else self._first_view(place)
        return pictures

    def _first_view(self, place: tuple[float, float, float, int]) -> np.ndarray:
        """Return the view of the whole region, which is the same for every sequence."""
        mosaic = self._process.mosaic
        view: np.ndarray | None = mosaic.get(place)
        if view is None:
            view = self.view(*place)
            mosaic.put(place, view)
        return view

    def check(self, widths_m: npt.ArrayLike, size: int) -> None:
        """Raise unless views of the region with these widths can be drawn in a size.

        No tile is read.

        Raises
        ------
        FileNotFoundError
            When a level for it is missing; names the largest size that can be drawn.
        """
        latitude, longitude, _ = path(np.empty(0, int))
        point = self.layout.point(latitude[0], longitude[0])
        widths = np.asarray(widths_m, float)
        largest = min(self._largest(point, width) for width in widths)
        for width in widths:
            self._level(point, width / size, size, largest)

    def _level(
        self, point: MapPoint, metres_per_pixel: float, size: int, largest: int | None = None
    ) -> int:
        """Return the level to draw from; errors name `largest` as the largest possible size."""
        wanted = self.layout.level(point, metres_per_pixel)
        scale = metres_per_pixel * self.layout.pixels_per_metre(point, wanted)
        if not _fits(scale * size):
            raise ValueError(
                f"A view of {metres_per_pixel:g} m per pixel and {size} pixels is too wide for the "
                f"tiles: a pixel of it covers {scale:.0f} pixels of their coarsest level."
            )
        there = self._files.levels
        level = min((z for z in there if z >= wanted), default=max(there, default=wanted))
        scale = metres_per_pixel * self.layout.pixels_per_metre(point, level)
        enlarged = level < wanted and scale < _NOT_ENLARGED
        if level in there and not enlarged and (level == wanted or _fits(scale * size)):
            return level
        if largest is None:
            largest = self._largest(point, metres_per_pixel * size)
        sizes = f"up to {largest} pixels can be drawn" if largest else "no size can be drawn"
        raise FileNotFoundError(
            f"{self._where} has no tiles of level {wanted}, which a view of {metres_per_pixel:g} m "
            f"per pixel and {size} pixels needs (archives/{level_name(wanted)}_000.tar, … on the "
            f"Hub). From its levels {sorted(there)}, {sizes}."
        )

    def _largest(self, point: MapPoint, width_m: float) -> int:
        """Return the largest size in pixels of a view with this width, from existing levels."""
        there = self._files.levels
        if self.layout.max_zoom in there:
            return MAX_SIZE
        pixels = [width_m * self.layout.pixels_per_metre(point, z) / _NOT_ENLARGED for z in there]
        return min(int(max(filter(_fits, pixels), default=0)), MAX_SIZE)

    def _matrix(
        self, point: MapPoint, level: int, scale: float, size: int, bearing: float
    ) -> np.ndarray:
        """Return the affine matrix from pixels of the view to pixels of the level, east and south.

        A pixel's position is its index without half a pixel, in the view (about its centre) and in
        tiles, as in the authors' loader.
        """
        turn = math.radians(bearing + point.convergence)
        across, down = scale * math.cos(turn), scale * math.sin(turn)
        matrix = np.array([[across, -down, 0.0], [down, across, 0.0]])
        width, height = self.layout.pixel_size(level)
        east, north = point.east - self.layout.origin[0], point.north - self.layout.origin[1]
        matrix[:, 2] = (east / width, -north / height) - matrix[:, :2] @ [size / 2, size / 2]
        return matrix

    def _report_white(self, latitude: float, longitude: float, zoom: int) -> None:
        text = (
            f"The view at latitude {latitude:.5f}, longitude {longitude:.5f} is white, because "
            f"{self._where} has no tile of level {zoom} there."
        )
        if self._strict:
            raise ValueError(f"{text} (strict=True)")
        if self.warns and not self.report:
            _log.warning("%s Further white views are not logged.", text)
        self.report.add(WHITE, f"{latitude:.5f} {longitude:.5f}")


class _Own(NamedTuple):
    """The state of a pyramid in one process."""

    pid: int
    mosaic: Mosaic
    report: Findings


def _check(
    latitude: float, longitude: float, metres_per_pixel: float, size: int, bearing: float
) -> None:
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size is {size}; it should be 1 to {MAX_SIZE} pixels")
    if not (math.isfinite(metres_per_pixel) and metres_per_pixel > 0):
        raise ValueError(f"metres_per_pixel is {metres_per_pixel}; it should be above 0")
    if not (math.isfinite(bearing) and abs(latitude) < 90 and math.isfinite(longitude)):
        raise ValueError(
            f"latitude {latitude}, longitude {longitude}, bearing {bearing}: these should be "
            "finite, and the latitude between -90 and 90 degrees"
        )


def _fits(pixels: float) -> bool:
    """Return whether OpenCV can sample a view from so many pixels of a level, at any bearing."""
    return pixels * 1.5 <= _MAX_SOURCE


def _window(matrix: np.ndarray, level: int, scale: float, size: int) -> Window:
    """Return the pixels of a level that a view and its blur need."""
    # In steps so fine that no pixel changes; otherwise each latitude would need its own blur.
    sigma = round(max((scale - 1) / 2, 0.0) * 256) / 256
    margin = blur_radius(sigma)
    corners = matrix @ [[0, size - 1, 0, size - 1], [0, 0, size - 1, size - 1], [1, 1, 1, 1]]
    left, top = (int(edge) for edge in np.floor(corners.min(1)).astype(int) - margin)
    right, bottom = (int(edge) for edge in np.floor(corners.max(1)).astype(int) + 2 + margin)
    return Window(level, left, top, right, bottom, sigma)


def _sample(source: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    # OpenCV samples four channels more than twice as fast as three.
    four = scratch("four", (*source.shape[:2], 4))
    sampled = cv2.warpAffine(
        cv2.cvtColor(source, cv2.COLOR_RGB2RGBA, dst=four), matrix, (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return cv2.cvtColor(sampled, cv2.COLOR_RGBA2RGB)
