"""Write a miniature of Just Zoom In's overhead imagery: painted tiles in the layout of the Hub.

The colours of a pixel are a function of its place on the map, with detail down to four pixels at
every level, so that tests notice a view that is shifted, turned or blurred in another way. The same
arguments write the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoload.messages import progress_bar
from geoload.tar import write_tar
from justzoomin.layout import Layout
from justzoomin.sample import LAYOUT
from justzoomin.source import level_name
from justzoomin.views import to_jpeg
from justzoomin.zoom import WASHINGTON, decode, move

_REACH_PX = 1_050  # how far a view of 384 pixels reaches at most, in pixels of its level
_SHORTEST_M, _WAVES, _AMPLITUDE = 0.64, 16, 22.0


def write_tiles(
    folder: str | Path,
    levels: Sequence[int] = (-7, -5, -3, -1),
    around: npt.ArrayLike | None = None,
    radius_m: float | None = None,
    whole: int = -5,
    per_archive: int = 20_000,
    quality: int = 95,
) -> None:
    """Write `satellite/layout.yaml` and one or more TAR files a level, as the Hub has them.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    levels : sequence of int
        Zoom levels; at level z a tile is 20 · 2^(-z) m wide.
    around : array-like, shape (n, 2), optional
        Latitudes and longitudes in degrees: levels finer than `whole` get the tiles around these
        points only. Without it every level covers the whole region.
    radius_m : float, optional
        How far around the points, in metres; by default as far as any view of 384 pixels reaches
        that contains the point and is drawn from the level.
    whole : int
        The finest level that covers the whole region in spite of `around`.
    per_archive : int
        Tiles in a TAR file; a level with more is spread over several.
    quality : int
        Of the JPEG files; at 95 a tile is about as large as those of the data set, 70 to 90 kB.
    """
    layout_file = Path(folder) / "satellite" / "layout.yaml"
    for path in (layout_file.parent, Path(folder) / "archives"):
        os.makedirs(path, exist_ok=True)
    layout_file.write_text(LAYOUT, encoding="utf-8")
    layout = Layout.read(layout_file)
    wanted = {z: _wanted(layout, z, None if z <= whole else around, radius_m) for z in levels}
    total = sum(map(len, wanted.values()))
    with progress_bar("Just Zoom In tiles", total, "tile") as bar:
        for zoom, tiles in wanted.items():
            for number, start in enumerate(range(0, len(tiles), per_archive)):
                path = Path(folder) / "archives" / f"{level_name(zoom)}_{number:03d}.tar"
                share = tiles[start : start + per_archive]
                write_tar(path, _members(layout, zoom, share, quality, bar))


def paint(
    east: npt.ArrayLike, north: npt.ArrayLike, finest_m: float, blur_m: float = 0.0
) -> np.ndarray:
    """Return the colours of a raster of places.

    Parameters
    ----------
    east, north : array-like, shape (columns,) and (rows,)
        Coordinates on the map in metres, or both of shape (n, n) for places in no raster.
    finest_m : float
        The shortest wave to paint, in metres.
    blur_m : float
        Paint as if seen through a Gaussian of this sigma, in metres.

    Returns
    -------
    ndarray of float, shape (rows, columns, 3)
        0 to 255.
    """
    lengths = _SHORTEST_M * 2.0 ** np.arange(_WAVES)
    lengths = lengths[lengths >= finest_m * (1 - 1e-9)]
    # A Gaussian blur only reduces the amplitude of a wave, separately for the two directions.
    heights = _AMPLITUDE * np.exp(-((2 * np.pi * blur_m / lengths) ** 2))
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (2, 3, _WAVES, 1))[
        :, :, -len(lengths) :
    ]
    east, north = np.asarray(east), np.asarray(north)
    shape = (-1, *[1] * east.ndim)
    cycles = 2 * np.pi / lengths.reshape(shape)
    colours = []
    for channel in range(3):
        by_east, by_north = phases[:, channel].reshape(2, *cycles.shape)
        across = np.sin(cycles * east + by_east) * heights.reshape(shape)
        along = np.sin(cycles * north + by_north)
        subscripts = "ki,kj->ji" if east.ndim == 1 else "kij,kij->ij"
        colours.append(np.einsum(subscripts, across, along, optimize=True))
    painted: np.ndarray = np.clip(128 + np.stack(colours, axis=-1), 0, 255)
    return painted


def _wanted(
    layout: Layout, zoom: int, around: npt.ArrayLike | None, radius_m: float | None
) -> list[tuple[int, int]]:
    """List the tiles of the region, or of squares around points, in the order of the archive."""
    if around is None:
        around, radius_m = [decode(np.empty(0, int))], WASHINGTON.width_m / 2
    half = _REACH_PX * layout.pixel_size(zoom)[0] if radius_m is None else radius_m
    corner = np.array(layout.origin)[:, None, None]
    side = np.array(layout.tile_crs)[:, None, None] * 2.0**-zoom
    tiles: set[tuple[int, int]] = set()
    for latitude, longitude in np.asarray(around):
        corners = move(latitude, longitude, *np.meshgrid([-half, half], [-half, half]))
        x, y = (layout.project(*corners) - corner) / side
        columns = range(int(x.min()), int(x.max()) + 1)
        tiles.update((i, j) for i in columns for j in range(int(y.min()), int(y.max()) + 1))
    return sorted(tiles)


def _members(
    layout: Layout, zoom: int, tiles: list[tuple[int, int]], quality: int, bar: tqdm
) -> Iterator[tuple[str, bytes]]:
    (width, height), (across, along) = layout.tile_px, layout.pixel_size(zoom)
    for x, y in tiles:
        east = layout.origin[0] + (x * width + np.arange(width) + 0.5) * across
        north = layout.origin[1] + ((y + 1) * height - np.arange(height) - 0.5) * along
        colours = paint(east, north, 4 * across)
        bar.update()
        picture = np.clip(colours + 0.5, 0, 255).astype(np.uint8)
        yield f"satellite/{layout.member(zoom, x, y)}", to_jpeg(picture, quality)
