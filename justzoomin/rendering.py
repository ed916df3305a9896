"""Draws the views along all paths of the zoom grid once, into one webdataset shard.

With four actions from a 4 × 4 grid there are 1 + 16 + 256 + 4,096 of them. Who has the shard never
touches a tile again. Drawing one view is `tiles.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import multiprocessing
import os
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import filelock
from tqdm import tqdm

from geoload.files import explain_disk_errors, signature
from geoload.processes import exit_with_parent
from geoload.tar import members
from justzoomin import zoom
from justzoomin.overhead import overhead_files
from justzoomin.sources import ATTRIBUTION
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
    "Make room, or name another place with output=, and render again: it goes on where it was."
)
_log = logging.getLogger(__name__)


def render(
    source: Any,
    output: str | os.PathLike,
    size: int = SIZE,
    quality: int = QUALITY,
    depth: int = zoom.DEPTH,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Draw every view that precedes an action into a TAR shard.

    Stopped and run again with the same arguments, and the same tiles, it goes on where it was. The
    same tiles give the same bytes, whatever the number of workers.

    Parameters
    ----------
    source : str or Hub
        Where the tiles are; see `TilePyramid`.
    output : path
        The shard to write. Samples are a `jpg` and a `json` with prefix, latitude, longitude,
        width_m, of how many tiles it was made and how many of them were missing, and the
        attribution that the imagery's licence asks for.
    size : int
        Side of the pictures in pixels, 8 to 16,384.
    quality : int
        Of the JPEGs, 1 to 100.
    depth : int
        Number of actions; the views after the last one are not drawn, as no action follows them.
    workers : int, optional
        Processes; None is one for each core.
    strict : bool
        Raise ValueError, and write no shard, where a view is white, as none of its tiles is there.

    Returns
    -------
    int
        How many views the shard holds. Those that lack tiles are counted in the log.

    Raises
    ------
    FileNotFoundError
        Before any work, when the tiles for the size are not there; says which sizes there are.
    OSError
        When another process is rendering the same, or the disk is full.
    """
    size = check_view_size(size)
    # What is wrong shows here, and not after a while in every worker.
    TilePyramid(source).check([footprint((0,) * length)[2] for length in range(depth)], size)
    output = Path(output)
    folder = parts_folder(output, source, size, quality, depth)
    parts = plan(folder, depth)
    with explain_disk_errors(output, _ADVICE), _alone(folder):
        total = _draw(source, parts, size, quality, workers)
        whole = folder / "whole.part"
        _join([path for path, _ in parts], whole, output, strict)
        os.replace(whole, output)
        shutil.rmtree(folder)
    return total


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder for what is drawn so far, and keep other processes out of it."""
    os.makedirs(folder, exist_ok=True)
    try:
        with filelock.FileLock(folder / "lock", timeout=0):
            yield
    except filelock.Timeout:
        raise OSError(f"Another process is rendering into {folder}. Wait for it.") from None
    except BaseException:
        if folder.is_dir() and not list(folder.glob("*.tar")):  # nothing is drawn yet
            shutil.rmtree(folder)
        raise


def _draw(
    source: Any, parts: list[tuple[Path, list[Prefix]]], size: int, quality: int,
    workers: int | None,
) -> int:  # fmt: skip
    todo = [(path, group) for path, group in parts if not path.exists()]
    total = sum(len(group) for _, group in parts)
    with tqdm(total=total, desc="views", unit="view", delay=2) as bar:
        bar.update(total - sum(len(group) for _, group in todo))
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers or os.cpu_count(), context, _open, (source,))
        with pool:
            jobs = [pool.submit(_draw_part, path, group, size, quality) for path, group in todo]
            try:
                for job in as_completed(jobs):
                    bar.update(job.result())
            except BrokenProcessPool as error:
                raise OSError(
                    "A worker ended before its time; perhaps the memory was used up. Give the same "
                    "command again, with fewer --workers: it goes on where it was."
                ) from error
    return total


def parts_folder(output: Path, source: Any, size: int, quality: int, depth: int) -> Path:
    """Return the folder for what is drawn so far; other arguments have another."""
    tiles = overhead_files(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else []
    state = signature([path for path in tiles if "/views/" not in path], "/")
    settings = json.dumps([str(source), state, size, quality, depth])
    digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return output.with_name(f"{output.name}.{digest}.parts")


def plan(folder: Path, depth: int) -> list[tuple[Path, list[Prefix]]]:
    """Return the parts that make a shard: where each is written, and which views it holds."""
    return [(folder / f"{i:04d}.tar", group) for i, group in enumerate(_groups(depth))]


def _groups(depth: int) -> list[list[Prefix]]:
    """Share the prefixes out: the root, and all that begin with the same action."""
    groups: list[list[Prefix]] = [[()]]
    for first in range(zoom.GRID**2 if depth > 1 else 0):
        group = []
        for length in range(depth - 1):
            group += [(first, *rest) for rest in map(tuple, zoom.cells(length).tolist())]
        groups.append(group)
    return groups


_pyramid: TilePyramid


def _open(source: Any) -> None:
    global _pyramid
    exit_with_parent()
    _pyramid = TilePyramid(source)
    _pyramid.warns = False  # white views are counted in the end


def _draw_part(path: Path, group: list[Prefix], size: int, quality: int) -> int:
    part = path.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
        for prefix in group:
            for name, data in _sample(prefix, size, quality):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    os.replace(part, path)
    return len(group)


def _sample(prefix: Prefix, size: int, quality: int) -> Iterator[tuple[str, bytes]]:
    latitude, longitude, width = footprint(prefix)
    view = _pyramid.view(latitude, longitude, width / size, size)
    tiles, missing = _pyramid.tiles_of_last_view()
    record = {
        "prefix": list(prefix),
        "latitude": latitude,
        "longitude": longitude,
        "width_m": width,
        "tiles": tiles,
        "tiles_missing": missing,
        "attribution": ATTRIBUTION,
    }
    yield f"{view_name(prefix)}.jpg", to_jpeg(view, quality)
    yield f"{view_name(prefix)}.json", json.dumps(record).encode()


def _join(paths: list[Path], whole: Path, output: Path, strict: bool) -> None:
    white = gaps = total = 0
    with tarfile.open(whole, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in paths:
            with open(path, "rb") as file:
                for found, data in members(file, label=str(path)):
                    member = tarfile.TarInfo(found.name)
                    member.size = found.size
                    archive.addfile(member, io.BytesIO(data or b""))
                    if found.name.endswith(".json"):
                        record = json.loads(data or b"{}")
                        total += 1
                        white += record_is_white(record)
                        gaps += 0 < record["tiles_missing"] < record["tiles"]
    if white or gaps:
        said = (
            f"{output}: of {total} views {white} are white, as none of their tiles is there, and "
            f"{gaps} more lack some."
        )
        if white and strict:
            shutil.rmtree(whole.parent)
            raise ValueError(f"{said} (strict=True)")
        _log.warning(said)
