"""Rows of the configuration `satellite`: the overhead tiles themselves, each with its place."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geoload.files import is_clutter, read_exactly, signature
from geoload.hub import HubFile, announce_download
from geoload.remote import open_binary, with_retries
from geoload.report import Findings
from geoload.tar import members
from justzoomin.archives import (
    MAX_PICTURE,
    NOT_FILES,
    OUTSIDE,
    Archive,
    check_levels,
    choose_tiles,
    find_archives,
    levels_below,
    name_of,
    shown,
    tile_of,
)
from justzoomin.side_files import layout_file
from justzoomin.sources import REPOSITORY, Folder, Hub
from justzoomin.streetview import BROKEN, TWICE, is_jpeg

if TYPE_CHECKING:
    from justzoomin.layout import Layout

OFF_THE_MAP = "tiles that lie outside of the map"
_SLICES = 16
_log = logging.getLogger(__name__)

Row = tuple[str, dict[str, Any]]


class TilePart(NamedTuple):
    """A share of the tiles that one worker reads: a TAR file, or a slice of a level's folders.

    `path` is a TAR file's path or address, or the folder of a level's extracted tiles, of which the
    part is slice `number` of `slices`.
    """

    path: str
    name: str
    level: int
    number: int = 0
    slices: int = 0


def tile_parts(source: Hub | Folder, levels: Sequence[int] | None) -> list[TilePart]:
    """List the parts of some levels, or of all.

    Raises
    ------
    ValueError
        When a level is not there; says which are.
    """
    archives = find_archives(source)
    if isinstance(source, Hub) or any(archive.level is not None for archive in archives):
        return [_part(a, a.path) for a in choose_tiles(archives, levels, name_of(source))]
    there = levels_below(source.folder)
    if not there:
        raise FileNotFoundError(
            f"{source.folder} holds neither archives/satellite_level_0_000.tar, … nor "
            f"satellite/0/, …. Get them with `hf download {REPOSITORY} --repo-type dataset "
            f"--local-dir {source.folder} --include 'archives/satellite_*' 'satellite/*'`."
        )
    check_levels(levels, there, source.folder)
    parts = []
    for level in there if levels is None else levels:
        folder, name = os.path.join(source.folder, "satellite", str(level)), f"satellite/{level}"
        slices = max(1, min(_SLICES, len(os.listdir(folder))))
        parts += [
            TilePart(folder, f"{name} {i + 1}/{slices}", level, i, slices) for i in range(slices)
        ]
    return parts


def download_tiles(
    source: Hub | Folder, levels: Sequence[int] | None, dl_manager: Any, cache: str
) -> list[TilePart]:
    """Download the TAR files of some levels and return the parts as they lie on this machine."""
    if isinstance(source, Folder):
        return tile_parts(source, levels)
    archives = choose_tiles(find_archives(source), levels, name_of(source))
    remote = [archive for archive in archives if archive.key is not None]
    repository, commit = source.repository, source.commit
    announce_download(
        [HubFile(repository, commit, f"archives/{a.name}", a.size) for a in remote], cache
    )
    paths = with_retries(dl_manager.download)([archive.path for archive in remote])
    at = {archive.name: path for archive, path in zip(remote, paths, strict=True)}
    return [_part(archive, at.get(archive.name, archive.path)) for archive in archives]


def _part(archive: Archive, path: str) -> TilePart:
    assert archive.level is not None
    return TilePart(path, archive.name, archive.level)


def source_key(source: Hub | Folder, levels: Sequence[int] | None) -> Any:
    """Return what decides the rows: the commit, or names, sizes and times of all files read."""
    if isinstance(source, Hub):
        return [source.repository, source.commit]
    files = [layout_file(source)]
    for part in tile_parts(source, levels):
        if part.slices == 0:
            files.append(part.path)
        elif part.number == 0:
            files += [os.path.join(top, n) for top, _, names in os.walk(part.path) for n in names]
    return [source.folder, signature(files, source.folder)]


def read_layout(source: Hub | Folder) -> Layout:
    """Read the source's layout; raises ImportError with what to install."""
    from justzoomin.layout import Layout

    return Layout.read(layout_file(source))


class Tiles:
    """Reads the tiles of some parts.

    Parameters
    ----------
    source : Hub or Folder
    strict : bool
        Raise, at the end of a part, where anything would be reported.
    leave : callable
        Given each part, its report, and numbers that stand for the tiles that were found in it.
    """

    def __init__(
        self,
        source: Hub | Folder,
        strict: bool,
        leave: Callable[[TilePart, Findings, np.ndarray], None],
    ) -> None:
        self._layout = read_layout(source)
        self._token = source.token if isinstance(source, Hub) else None
        self._strict, self._leave = strict, leave

    def rows(self, parts: list[TilePart]) -> Iterator[Row]:
        """Yield the tiles of some parts, in the order in which they lie there."""
        for part in parts:
            report, found = Findings(), set()
            read = self._extracted if part.slices else self._shard
            for place, name, data in read(part, report):
                tile = tile_of(name)
                assert tile is not None
                if tile in found:
                    report.add(TWICE, name)
                elif not is_jpeg(data):
                    report.add(BROKEN, name)
                elif (row := self._row(tile, data)) is None:
                    report.add(OFF_THE_MAP, name)
                else:
                    found.add(tile)
                    yield place, row
            report.raise_or_log(part.name, self._strict)
            self._leave(part, report, _packed(found))

    def _row(self, tile: tuple[int, int, int], data: bytes) -> dict[str, Any] | None:
        level, x, y = tile
        try:
            square = self._layout.square(level, x, y)
        except ValueError:
            return None
        image = {"bytes": data, "path": self._layout.member(level, x, y)}
        return {"image": image, "level": level, "x": x, "y": y, **square._asdict()}

    def _shard(self, part: TilePart, report: Findings) -> Iterator[tuple[str, str, bytes]]:
        def wanted(name: str) -> bool:
            tile = tile_of(name.removeprefix("./"))
            return tile is not None and tile[0] == part.level

        with open_binary(part.path, self._token) as file:
            for member, data in members(file, wanted, label=part.path, max_size=MAX_PICTURE):
                if data is not None:
                    yield f"{part.name}:{member.offset}", member.name.removeprefix("./"), data
                elif member.kind != "dir":
                    report.add(OUTSIDE if member.kind == "file" else NOT_FILES, shown(member.name))

    def _extracted(self, part: TilePart, report: Findings) -> Iterator[tuple[str, str, bytes]]:
        columns = _names(part.path)
        start = part.number * len(columns) // part.slices
        stop = (part.number + 1) * len(columns) // part.slices
        for column in columns[start:stop]:
            folder = os.path.join(part.path, column)
            names = _names(folder) if os.path.isdir(folder) else [""]
            for name in names:
                path, file = f"satellite/{part.level}/{column}/{name}", os.path.join(folder, name)
                if tile_of(path) is None or not os.path.isfile(file):
                    report.add(OUTSIDE, shown(path))
                    continue
                with open(file, "rb", buffering=0) as opened:
                    yield path, path, read_exactly(opened.read, MAX_PICTURE)


def _names(folder: str) -> list[str]:
    return sorted((name for name in os.listdir(folder) if not is_clutter(name)), key=_number)


def _number(name: str) -> tuple[int, str]:
    stem = name.removesuffix(".jpg")
    return (int(stem) if stem.removeprefix("-").isdecimal() else 0), name


def _packed(tiles: set[tuple[int, int, int]]) -> np.ndarray:
    """Return a whole number for each tile; 28 bits hold the eight digits that x and y may have."""
    level, x, y = np.array(sorted(tiles), np.int64).reshape(-1, 3).T
    return (level << 56) + (x << 28) + y


def twice(found: list[np.ndarray]) -> Findings:
    """Count the tiles that more than one part holds."""
    packed, counts = np.unique(np.concatenate([*found, np.empty(0, np.int64)]), return_counts=True)
    report = Findings()
    for tile in packed[counts > 1].tolist():
        report.add(TWICE, "/".join(map(str, _unpacked(tile))))
    return report


def _unpacked(tile: int) -> tuple[int, int, int]:
    y = (tile + 2**27) % 2**28 - 2**27
    x = ((tile - y >> 28) + 2**27) % 2**28 - 2**27
    return (tile - y - (x << 28)) >> 56, x, y


class TilePass:
    """Follows a streamed pass: logs what each part left out and, after the last, tiles in two.

    Parameters
    ----------
    count : int
        How many parts there are.
    strict : bool
        Raise instead of logging.
    """

    def __init__(self, count: int, strict: bool) -> None:
        self._count, self._strict = count, strict
        self._found: dict[str, np.ndarray] = {}

    def leave(self, part: TilePart, report: Findings, found: np.ndarray) -> None:
        """Take one part's findings."""
        level = logging.WARNING if report else logging.INFO
        _log.log(level, "%s: %d tiles%s", part.name, len(found), f"; {report}" if report else "")
        self._found[part.name] = found
        if len(self._found) == self._count:
            all_found, self._found = list(self._found.values()), {}
            twice(all_found).raise_or_log("justzoomin, satellite", self._strict, _log)
