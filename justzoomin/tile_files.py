"""Find and read tile files: in TAR files of a folder or of the Hub, or extracted."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from geoload.files import read_exactly
from geoload.tar_reader import TarReader
from justzoomin.source import Archive, Source

_MAX_TILE_BYTES = 64 * 2**20


class TileFiles(Protocol):
    """Reads tiles by level and path."""

    levels: frozenset[int]

    def read(self, zoom: int, member: str) -> tuple[bytes, str] | None:
        """Return a tile's bytes and a name for error messages, or None if there is no such tile."""


def open_tiles(source: Source, cache_dir: str | Path | None) -> TileFiles:
    """Return a reader of the tiles of a source; see `TilePyramid`."""
    levels: dict[int, list[Archive]] = {}
    folder = ""
    for archive in source.tiles():
        assert archive.level is not None
        levels.setdefault(archive.level, []).append(archive)
        if archive.extracted:
            folder = os.path.dirname(archive.path)
    return _Extracted(folder, levels) if folder else _Archives(levels, cache_dir, source)


class _Extracted:
    """Tiles as files of a folder."""

    def __init__(self, folder: str, levels: Iterable[int]) -> None:
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
        self, archives: dict[int, list[Archive]], cache_dir: str | Path | None, source: Source
    ) -> None:
        self.levels = frozenset(archives)
        self._archives, self._cache_dir, self._source = archives, cache_dir, source
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
                paths = map(self._source.fetch, self._archives[zoom])
                self._opened[zoom] = [TarReader(path, self._cache_dir) for path in paths]
            return self._opened[zoom]
