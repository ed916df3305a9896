"""Compares views of the tile pyramid with tiledwebmaps, with and without its LRU cache.

The last comparison fetches the views that an evaluation of a zoom model needs, step by step.

One process, one thread, distinct views. The file cache of the system is always warm; "cold" means
that the round begins without decoded tiles.
"""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import QUICK, at_least, compare
from justzoomin import zoom
from justzoomin.sample_tiles import write_tiles
from justzoomin.tiles import TilePyramid
from justzoomin.views import open_views

SEQUENCES = 12
# Coarse tiles are shared by many views, so a start with an empty cache needs a longer run.
COLD_SEQUENCES = 12 if QUICK else 96
SIZE = 384
DEPTH = 3  # the table of the views before four actions takes a minute and 2 GB
CACHE_BYTES = 512 * 2**20
TILE_BYTES = 250 * 250 * 3  # tiledwebmaps counts tiles, not bytes


def main() -> None:
    """Write a miniature, compare pictures and print sequences a second."""
    try:
        import tiledwebmaps
    except ImportError:
        print("Overhead views: tiledwebmaps is not installed here (x86-64 Linux, Python <= 3.12).")
        return
    with tempfile.TemporaryDirectory() as folder:
        every = write(Path(folder))
        sequences = every[:SEQUENCES]
        extracted = str(Path(folder) / "extracted" / "satellite")

        def open_peer() -> tiledwebmaps.TileLoader:
            bare = tiledwebmaps.from_yaml(extracted, wait_after_last_modified=0)
            return tiledwebmaps.WithDefault(bare)

        pyramid, authors = open_ours(folder), open_peer()
        cached = tiledwebmaps.LRUCached(open_peer(), CACHE_BYTES // TILE_BYTES)
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            print_parity(pyramid, authors, sequences)
            title = "Overhead views: {} sequences of four views, {} px, {}"
            compare(
                title.format(SEQUENCES, SIZE, "warm tiles"),
                lambda: ours(pyramid, sequences),
                {
                    "tiledwebmaps, authors' use": lambda: peer(authors, sequences),
                    "tiledwebmaps, its own LRU": lambda: peer(cached, sequences),
                },
                items=SEQUENCES,
            )
            medians = compare(
                title.format(COLD_SEQUENCES, SIZE, "no decoded tile kept at the start"),
                lambda: ours(open_ours(folder), every),
                {"tiledwebmaps, authors' use": lambda: peer(authors, every)},
                items=COLD_SEQUENCES,
                warm_up=False,
            )
            ratio = medians["tiledwebmaps, authors' use"] / medians["ours"]
            at_least("speed of cold views / tiledwebmaps, authors' use", ratio, 2.5)
            zoom_evaluation(folder, authors, sequences[:, :DEPTH])
        finally:
            cv2.setNumThreads(threads)


def zoom_evaluation(folder: str, loader: object, sequences: np.ndarray) -> None:
    """Fetch the views after predicted actions: one by one as the authors do, or looked up."""
    views = open_views(folder, SIZE, DEPTH, cache_dir=Path(folder) / "index")
    steps = [sequences[:, :step] for step in range(DEPTH)]
    drawn = [views.of(prefixes) for prefixes in steps]
    start = time.perf_counter()
    table = views.table()
    seconds = time.perf_counter() - start
    # The same pictures, of which print_parity has told how near they are to the authors'.
    for prefixes, pictures in zip(steps, drawn, strict=True):
        assert np.array_equal(table[views.index(prefixes)], pictures)
    pyramid = open_ours(folder)
    compare(
        f"Zoom evaluation: the views of {len(sequences)} predicted sequences, {SIZE} px, "
        f"looked up in a table of {len(table):,}, made once in {seconds:.0f} s",
        lambda: [table[views.index(prefixes)] for prefixes in steps],
        {
            "tiledwebmaps, authors' use": lambda: peer(loader, sequences),
            "drawn from warm tiles": lambda: ours(pyramid, sequences),
        },
    )


def write(folder: Path) -> np.ndarray:
    """Write the miniature as the Hub has it and extracted; return sequences that it covers."""
    rng = np.random.default_rng(0)
    sequences = rng.integers(zoom.GRID**2, size=(COLD_SEQUENCES, zoom.DEPTH))
    write_tiles(folder, around=np.stack(zoom.decode(sequences), -1))
    for archive in sorted((folder / "archives").iterdir()):
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "extracted", filter="data")
    layout = (folder / "satellite" / "layout.yaml").read_bytes()
    (folder / "extracted" / "satellite" / "layout.yaml").write_bytes(layout)
    return sequences


def open_ours(folder: str) -> TilePyramid:
    return TilePyramid(folder, cache_bytes=CACHE_BYTES, cache_dir=Path(folder) / "index")


def ours(pyramid: TilePyramid, sequences: np.ndarray) -> None:
    for sequence in sequences:
        pyramid.views(sequence, SIZE)


def peer(loader: object, sequences: np.ndarray) -> None:
    """Draw the four views of each sequence as the authors do."""
    load = peer_views(loader)
    for sequence in sequences:
        load(sequence)


def peer_views(loader: object) -> Callable[[np.ndarray], list[np.ndarray]]:
    def load(sequence: np.ndarray) -> list[np.ndarray]:
        latitude, longitude, width = zoom.path(sequence)
        return [
            loader.load(  # type: ignore[attr-defined]
                latlon=np.array([latitude[step], longitude[step]]),
                bearing=0.0,
                meters_per_pixel=width[step] / SIZE,
                shape=(SIZE, SIZE),
            )
            for step in range(len(width) - 1)
        ]

    return load


def print_parity(pyramid: TilePyramid, loader: object, sequences: np.ndarray) -> None:
    load = peer_views(loader)
    means = []
    for sequence in sequences:
        pairs = zip(pyramid.views(sequence, SIZE), load(sequence), strict=True)
        means.append([np.abs(a.astype(int) - b).mean() for a, b in pairs])
    print(
        f"Overhead views: mean absolute difference to tiledwebmaps {np.mean(means):.3f} of 255, "
        f"at most {np.max(means):.3f} for a view"
    )


if __name__ == "__main__":
    main()
