"""Render the views along all paths of the zoom grid once, into one webdataset shard.

With four actions from a 4 × 4 grid there are 1 + 16 + 256 + 4,096 of them. With the shard, tiles
are no longer needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from geoload.files import explain_disk_errors, file_lock, signature
from geoload.messages import progress_bar
from geoload.processes import core_count, exit_with_parent
from geoload.tar import members, write_tar
from justzoomin import zoom
from justzoomin.source import ATTRIBUTION, overhead_files
from justzoomin.tiles import TilePyramid
from justzoomin.views import (
    QUALITY,
    SIZE,
    Prefix,
    check_view_size,
    footprint,
    record_is_white,
    to_jpeg,
    view_name,
)

_ADVICE = (
    "Free some space, or give another path with output=, and render again: the views that are "
    "finished are kept."
)
_log = logging.getLogger(__name__)


def render(
    source: Any,
    output: str | os.PathLike[str],
    size: int = SIZE,
    quality: int = QUALITY,
    depth: int = zoom.DEPTH,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Render every view that precedes an action into a TAR shard.

    If it is stopped and run again with the same arguments and tiles, it continues. The same tiles
    give the same bytes with any number of workers.

    Parameters
    ----------
    source : str or Hub
        Where the tiles are; see `TilePyramid`.
    output : path
        The shard to write. Samples are a `jpg` and a `json` with prefix, latitude, longitude,
        width_m, the number of tiles of the view and of missing ones, and the attribution that the
        licence of the imagery requires.
    size : int
        Side of the pictures in pixels, 8 to 16,384.
    quality : int
        Quality of the JPEGs, 1 to 100.
    depth : int
        Number of actions; views after the last one are not rendered, as no action follows them.
    workers : int, optional
        Number of processes; None is one for each core.
    strict : bool
        Raise ValueError, and write no shard, if a view is white because all its tiles are missing.

    Returns
    -------
    int
        Number of views in the shard. Those with missing tiles are counted in the log.

    Raises
    ------
    FileNotFoundError
        Before any work, when the tiles for the size are missing; names the largest possible size.
    OSError
        When another process is rendering the same, or the disk is full.
    """
    size = check_view_size(size)
    # Raises here and not in every worker.
    TilePyramid(source).check([footprint((0,) * length)[2] for length in range(depth)], size)
    output = Path(output)
    folder = parts_folder(output, source, size, quality, depth)
    parts = plan(folder, depth)
    with explain_disk_errors(output, _ADVICE), _locked(folder):
        _render_parts(source, parts, size, quality, workers)
        paths = [path for path, _ in parts]
        white, gaps = _count_missing(paths)
        if not (white and strict):
            write_tar(output, _contents(paths))
        shutil.rmtree(folder)
    total = sum(len(group) for _, group in parts)
    found = (
        f"{output}: of {total} views {white} are white, because all of their tiles are missing, "
        f"and {gaps} more have gaps."
    )
    if white and strict:
        raise ValueError(f"{found} (strict=True)")
    if white or gaps:
        _log.warning(found)
    return total


def parts_folder(output: Path, source: Any, size: int, quality: int, depth: int) -> Path:
    """Return the folder for unfinished work, which depends on the arguments and the tiles."""
    tiles = overhead_files(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else []
    state = signature([path for path in tiles if "/views/" not in path], "/")
    settings = json.dumps([str(source), state, size, quality, depth])
    digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return output.with_name(f"{output.name}.{digest}.parts")


def plan(folder: Path, depth: int) -> list[tuple[Path, list[Prefix]]]:
    """Return the files that are joined into a shard, each with its views.

    The first has the view of the whole region; each other has those after one first action.
    """
    groups: list[list[Prefix]] = [[()]]
    for first in range(zoom.GRID**2 if depth > 1 else 0):
        rests = [rest for length in range(depth - 1) for rest in zoom.cells(length).tolist()]
        groups.append([(first, *rest) for rest in rests])
    return [(folder / f"{i:04d}.tar", group) for i, group in enumerate(groups)]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Create a folder and lock it; remove it after an error if no part in it is finished."""
    busy = OSError(f"Another process is rendering into {folder}. Wait for it.")
    with file_lock(folder / "lock", busy):
        try:
            yield
        except BaseException:
            if folder.is_dir() and not list(folder.glob("*.tar")):
                shutil.rmtree(folder)
            raise


def _render_parts(
    source: Any, parts: list[tuple[Path, list[Prefix]]], size: int, quality: int,
    workers: int | None,
) -> None:  # fmt: skip
    total = sum(len(group) for _, group in parts)
    todo = [(path, group) for path, group in parts if not path.exists()]
    done = total - sum(len(group) for _, group in todo)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or core_count(), context, _start_worker, (source,))
    bar = progress_bar("views", total, "view", initial=done)
    with bar, pool:
        jobs = [pool.submit(_render_part, path, group, size, quality) for path, group in todo]
        try:
            for job in as_completed(jobs):
                bar.update(job.result())
        except BrokenProcessPool as error:
            raise OSError(
                "A worker process was killed, perhaps because memory ran out. Run the same command "
                "again with fewer --workers: the views that are finished are kept."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # after an error, the rest would meet it too


_pyramid: TilePyramid


def _start_worker(source: Any) -> None:
    global _pyramid
    exit_with_parent()
    _pyramid = TilePyramid(source)
    _pyramid.warns = False  # white views are counted at the end


def _render_part(path: Path, group: list[Prefix], size: int, quality: int) -> int:
    write_tar(path, (member for prefix in group for member in _sample(prefix, size, quality)))
    return len(group)


def _sample(prefix: Prefix, size: int, quality: int) -> Iterator[tuple[str, bytes]]:
    latitude, longitude, width = footprint(prefix)
    view = _pyramid.view(latitude, longitude, width / size, size)
    tiles, missing = _pyramid.tiles_of_last_view()
    record = {
        "prefix": list(prefix), "latitude": latitude, "longitude": longitude, "width_m": width,
        "tiles": tiles, "tiles_missing": missing, "attribution": ATTRIBUTION,
    }  # fmt: skip
    yield f"{view_name(prefix)}.jpg", to_jpeg(view, quality)
    yield f"{view_name(prefix)}.json", json.dumps(record).encode()


def _contents(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        with open(path, "rb") as file:
            for member, data in members(file, label=str(path)):
                yield member.name, data or b""


def _count_missing(paths: list[Path]) -> tuple[int, int]:
    """Return how many views have no tile, and how many others lack some."""
    white = gaps = 0
    for name, data in _contents(paths):
        if name.endswith(".json"):
            record = json.loads(data)
            white += record_is_white(record)
            gaps += 0 < record["tiles_missing"] < record["tiles"]
    return white, gaps
