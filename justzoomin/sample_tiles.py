"""Write a miniature of Just Zoom In's overhead imagery: painted tiles in the layout of the Hub.

The colours of a pixel are a function of its place on the map (see `painting.py`), with detail down
to four pixels at every level, so that tests notice a view that is shifted, turned or blurred in
another way. The same arguments write the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from geoload.messages import progress_bar
from geoload.tar import write_tar
from justzoomin.layout import Layout
from justzoomin.painting import paint, project
from justzoomin.sample import LAYOUT
from justzoomin.source import level_name
from justzoomin.views import (
    SIZE,
    Prefix,
    all_prefixes,
    check_view_size,
    footprint,
    prefixes_of,
    to_jpeg,
    view_name,
)
from justzoomin.zoom import DEPTH, WASHINGTON, decode, move

_REACH_PX = 1_050  # how far a view of 384 pixels reaches at most, in pixels of its level


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


def write_views(
    folder: str | Path, sequences: npt.ArrayLike | None = None, size: int = SIZE
) -> Path:
    """Write overhead views as `justzoomin render` does, painted without tiles, which is faster.

    Parameters
    ----------
    folder : path
        Of the miniature; the shard is `views/views_384.tar`, or with another size.
    sequences : array-like of int, shape (n, 4), optional
        Zoom actions: only the views along these paths, and all those before the second action, are
        written. Without them, all 4,369 are.
    size : int
        Side of the views in pixels.

    Returns
    -------
    Path
        The shard.
    """
    prefixes = all_prefixes(DEPTH if sequences is None else 2)
    for sequence in [] if sequences is None else np.asarray(sequences).tolist():
        prefixes += prefixes_of(sequence)
    wanted = list(dict.fromkeys(prefixes))
    path = Path(folder) / "views" / f"views_{check_view_size(size)}.tar"
    os.makedirs(path.parent, exist_ok=True)
    with progress_bar("Just Zoom In views", len(wanted), "view") as bar:
        write_tar(path, (member for prefix in wanted for member in _view(prefix, size, bar)))
    return path


def _view(prefix: Prefix, size: int, bar: tqdm) -> Iterator[tuple[str, bytes]]:
    latitude, longitude, width = footprint(prefix)
    pixel = width / size
    # The map's north is within 0.04° of true north. Pixels are placed as in a view of tiles.
    east, north = project(latitude, longitude)
    steps = (np.arange(size) - size / 2) * pixel
    colours = paint(east + steps, north - steps, 2 * pixel, pixel / 2)
    record = {
        "prefix": list(prefix), "latitude": latitude, "longitude": longitude, "width_m": width,
        "tiles": 0, "tiles_missing": 0, "attribution": "SYNTHETIC",
    }  # fmt: skip
    yield f"{view_name(prefix)}.jpg", to_jpeg(np.round(colours).astype(np.uint8))
    yield f"{view_name(prefix)}.json", json.dumps(record).encode()
    bar.update()


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
