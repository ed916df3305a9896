"""Find and read tile files: in TAR files of a folder or of the Hub, or extracted."""

from __future__ import annotations

import functools
import logging
import os
import re
import threading
from pathlib import Path
from typing import Any, Protocol

from geoload.files import local_path, read_exactly
from geoload.hub import HubFile, download_small, list_files
from geoload.tar_reader import TarReader
from justzoomin.source import REPOSITORY, Hub, by_level

LAYOUT = "satellite/layout.yaml"
_MAX_TILE_BYTES = 64 * 2**20
_log = logging.getLogger(__name__)


class TileFiles(Protocol):
    """Reads tiles by level and path."""

    levels: frozenset[int]

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        """Return a tile's bytes and a name for error messages, or None if there is no such tile."""


def open_tiles(
    source: str | os.PathLike | Hub, cache_dir: str | Path | None
) -> tuple[str, TileFiles]:
    """Return the path of `layout.yaml` and a reader of the tiles; see `TilePyramid`."""
    if isinstance(source, Hub):
        place = source.repository, source.commit
        files = list_files(*place, "archives", source.token)
        hub_levels = by_level({file.path.rsplit("/", 1)[-1]: file for file in files})
        download = functools.partial(_download, source.token)
        layout = download_small(*place, LAYOUT, source.token)
        return layout, _Archives(hub_levels, cache_dir, download)
    folder = local_path(source, "source")
    layout = os.path.join(folder, LAYOUT)
    command = f"hf download {REPOSITORY} --repo-type dataset --local-dir {folder}"
    if not os.path.isfile(layout):
        raise FileNotFoundError(
            f"{folder} has no {LAYOUT}, which describes the grid of the tiles. Get it with "
            f"`{command} --include {LAYOUT}`."
        )
    archives = os.path.join(folder, "archives")
    names = os.listdir(archives) if os.path.isdir(archives) else []
    levels = by_level({name: os.path.join(archives, name) for name in names})
    if levels:
        return layout, _Archives(levels, cache_dir)
    satellite = os.path.join(folder, "satellite")
    extracted = {int(n) for n in os.listdir(satellite) if re.fullmatch(r"-?\d+", n)}
    if extracted:
        return layout, _Extracted(satellite, extracted)
    raise FileNotFoundError(
        f"{folder} has neither archives/satellite_level_0_000.tar, … nor satellite/0/, …. Get "
        f"the archives with `{command} --include 'archives/satellite_*'`."
    )


def _download(token: Any, file: HubFile) -> str:
    _log.info("Level tiles: %s of %s, %d bytes.", file.path, file.repository, file.size)
    return download_small(file.repository, file.commit, file.path, token)


class _Extracted:
    """Tiles as files of a folder."""

    def __init__(self, folder: str, levels: set[int]) -> None:
        self._folder, self.levels = folder, frozenset(levels)

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        path = os.path.join(self._folder, member)
        try:
            with open(path, "rb", buffering=0) as file:
                return read_exactly(file.read, _MAX_TILE_BYTES), path
        except FileNotFoundError:
            return None


class _Archives:
    """Tiles in TAR files; those of a level are fetched when it is first needed."""

    def __init__(
        self, files: dict[int, list[Any]], cache_dir: str | Path | None, fetch: Any = os.fspath
    ) -> None:
        self.levels = frozenset(files)
        self._files, self._cache_dir, self._fetch = files, cache_dir, fetch
        self._opened: dict[int, list[TarReader]] = {}
        self._pid, self._lock = os.getpid(), threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_pid": None}

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        name = f"satellite/{member}"
        for archive in self._opened.get(zoom) or self._open(zoom):
            data = archive.read(name, _MAX_TILE_BYTES)
            if data is not None:
                return data, f"{archive.path}: {name}"
        return None

    def _open(self, zoom: int) -> list[TarReader]:
        if self._pid != os.getpid():  # another thread may have held the lock at the fork
            self._pid, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            if zoom not in self._opened:
                paths = [self._fetch(file) for file in self._files[zoom]]
                self._opened[zoom] = [TarReader(path, self._cache_dir) for path in paths]
            return self._opened[zoom]
