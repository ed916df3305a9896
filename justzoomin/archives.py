"""The TAR files of Just Zoom In: which there are, and which members each may hold.

Needs neither OpenCV nor pyproj, so that files can be listed and extracted without them.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from huggingface_hub import try_to_load_from_cache

from geoload.hub import HubFile, list_files
from geoload.tar import Member
from geoload.tar_index import TarIndex
from justzoomin.sources import IMAGES, REPOSITORY, Folder, Hub

# The levels that the authors' loader reads for the four views of a zoom.
LOADER_LEVELS = (-7, -5, -3, -1)
MAX_PICTURE = 64 * 2**20
OUTSIDE = "members outside of the layout"
NOT_FILES = "members that are no files"
TOO_LARGE = f"members of more than {MAX_PICTURE // 2**20} MB"
TWICE = "members that occur twice"
WHITE = "views that are white, as none of their tiles is there"

_TILES = re.compile(r"satellite_level_(m?)([0-9]{1,2})_([0-9]{1,6})\.tar")
_PHOTOS = re.compile(r"streetview_images_([0-9]{1,6})\.tar")
_WHOLE = r"(0|-?[1-9][0-9]{0,7})"
_PHOTO = re.compile(rf"{IMAGES}/([0-9A-Za-z_-]{{1,100}})_undistorted\.jpg")
_TILE = re.compile(rf"satellite/{_WHOLE}/{_WHOLE}/{_WHOLE}\.jpg")
_FOLDER = re.compile(rf"(\./)?(streetview|{IMAGES}|satellite(/{_WHOLE}(/{_WHOLE})?)?)?/?")
_log = logging.getLogger(__name__)


def level_name(zoom: int) -> str:
    """Return how the TAR files of a level begin: `satellite_level_m7` for level -7."""
    return f"satellite_level_{'m' if zoom < 0 else ''}{abs(zoom)}"


def by_level(files: dict[str, Any]) -> dict[int, list[Any]]:
    """Sort files named `satellite_level_m7_000.tar` by level and number.

    Raises
    ------
    FileNotFoundError
        When a number of a level is missing below another.
    """
    levels: dict[int, dict[int, Any]] = {}
    for name, file in files.items():
        match = _TILES.fullmatch(name)
        if match:
            zoom = -int(match[2]) if match[1] else int(match[2])
            levels.setdefault(zoom, {})[int(match[3])] = file
    for zoom, numbered in levels.items():
        absent = sorted(set(range(max(numbered))) - set(numbered))
        if absent:
            # The tiles in it would be white, as if there were no picture of the place.
            raise FileNotFoundError(
                f"Of level {zoom}, archives/{level_name(zoom)}_{absent[0]:03d}.tar is missing, "
                f"though there is number {max(numbered)}. Get it too."
            )
    return {zoom: [numbered[i] for i in sorted(numbered)] for zoom, numbered in levels.items()}


class Archive(NamedTuple):
    """A TAR file of photos, or of the tiles of a level.

    `path` is its path or address, `level` None for photos, `number` what its name ends in. `key` is
    an address whose content never changes, or None for a local file, whose `state` (size and time
    of the last write) tells when it does.
    """

    name: str
    path: str
    size: int
    level: int | None
    number: int
    key: str | None = None
    state: tuple[int, int] = (0, 0)

    @property
    def group(self) -> str:
        """What is in it: "photos" or "level -7"."""
        return group_of(self.level)

    def tar_index(self) -> TarIndex:
        """Return the index of its members, as far as they are known."""
        return TarIndex(self.path, self.size, None if self.key is None else [self.key])


def group_of(level: int | None) -> str:
    """Name the photos, or the tiles of a level."""
    return "photos" if level is None else f"level {level}"


def find_archives(source: Hub | Folder) -> list[Archive]:
    """List the TAR files of a source by name: photos first, then the levels.

    A file of the Hub that is in the client's cache already is taken from there.
    """
    if isinstance(source, Hub):
        files = list_files(source.repository, source.commit, "archives", source.token)
        found = [_of_hub(file) for file in files]
    else:
        folder = os.path.join(source.folder, "archives")
        there = os.path.isdir(folder)
        found = [_of_folder(e) for e in os.scandir(folder) if e.is_file()] if there else []
    archives = sorted(
        (archive for archive in found if archive is not None),
        key=lambda archive: (archive.level is not None, archive.level or 0, archive.number),
    )
    for one, other in itertools.pairwise(archives):
        if (one.level, one.number) == (other.level, other.number):
            raise ValueError(f"archives/{one.name} and {other.name} bear the same number.")
    return archives


def name_of(source: Hub | Folder) -> str:
    """Say where a source's files come from."""
    return f"{source.repository} at {source.commit}" if isinstance(source, Hub) else source.folder


def _of_hub(file: HubFile) -> Archive | None:
    kind = _kind(file.path.rpartition("/")[2])
    if kind is None:
        return None
    kept = try_to_load_from_cache(
        file.repository, file.path, revision=file.commit, repo_type="dataset"
    )
    if isinstance(kept, str):
        return _local(kept, kind)
    return Archive(kind[0], file.url, file.size, *kind[1:], key=file.url)


def _of_folder(entry: os.DirEntry) -> Archive | None:
    kind = _kind(entry.name)
    return None if kind is None else _local(entry.path, kind)


def _local(path: str, kind: tuple[str, int | None, int]) -> Archive:
    stat = os.stat(path)
    state = stat.st_size, stat.st_mtime_ns
    return Archive(kind[0], path, stat.st_size, *kind[1:], state=state)


def _kind(name: str) -> tuple[str, int | None, int] | None:
    """Return name, level and number of a TAR file that belongs to the data set."""
    tiles = _TILES.fullmatch(name)
    if tiles:
        return name, -int(tiles[2]) if tiles[1] else int(tiles[2]), int(tiles[3])
    photos = _PHOTOS.fullmatch(name)
    return (name, None, int(photos[1])) if photos else None


def choose_photos(
    archives: Iterable[Archive], shards: Sequence[int] | None, where: str
) -> list[Archive]:
    """Return the TAR files of photos, or those of some numbers.

    Raises
    ------
    FileNotFoundError
        When there are none.
    ValueError
        When one of the numbers is not there.
    """
    numbered = {a.number: a for a in archives if a.level is None}
    if not numbered:
        raise FileNotFoundError(
            f"{where} holds no archives/streetview_images_000.tar, …. Get them with `hf download "
            f"{REPOSITORY} --repo-type dataset --include 'archives/*' --local-dir FOLDER`."
        )
    absent = sorted(set(range(max(numbered))) - set(numbered))
    if absent and shards is None:
        _log.warning("%s: shards %s are not there; their photos are left out.", where, absent)
    unknown = sorted(set(shards or ()) - set(numbered))
    if unknown:
        raise ValueError(f"{where} has no shard {unknown[0]}; it has {sorted(numbered)}.")
    return [numbered[number] for number in sorted(shards if shards is not None else numbered)]


def choose_tiles(
    archives: Iterable[Archive], levels: Sequence[int] | None, where: str
) -> list[Archive]:
    """Return the TAR files of some levels, or of all.

    Raises
    ------
    FileNotFoundError
        When one of a level's files is missing.
    ValueError
        When a level is not there; says which are.
    """
    found = {a.name: a for a in archives if a.level is not None}
    check_levels(levels, {a.level for a in found.values() if a.level is not None}, where)
    wanted = by_level({n: a for n, a in found.items() if levels is None or a.level in levels})
    return [archive for level in sorted(wanted) for archive in wanted[level]]


def levels_below(folder: str) -> list[int]:
    """Return the levels of the extracted tiles in a folder."""
    top = os.path.join(folder, "satellite")
    names = os.listdir(top) if os.path.isdir(top) else []
    return sorted(int(name) for name in names if re.fullmatch(r"0|-?[1-9][0-9]?", name))


def check_levels(levels: Sequence[int] | None, there: Iterable[int], where: str) -> None:
    """Raise ValueError when a level is asked for that is not there."""
    there = sorted(there)
    unknown = [level for level in levels or () if level not in there]
    if unknown or levels == []:
        exist = f"it has the levels {', '.join(map(str, there))}" if there else "it has no tiles"
        raise ValueError(f"levels={list(levels or ())}: {where} has no such level; {exist}.")


def place_of(archive: Archive, name: str) -> str | None:
    """Return where below the folder a member is to lie; None if its name is not of the layout.

    Only the exact forms that the layout has: nothing absolute, nothing that climbs, no tile of
    another level than the TAR's.
    """
    name = name.removeprefix("./")
    if archive.level is None:
        return name if _PHOTO.fullmatch(name) else None
    tile = tile_of(name)
    return name if tile is not None and tile[0] == archive.level else None


def tile_of(name: str) -> tuple[int, int, int] | None:
    """Return level, x and y of a tile from its path, or None."""
    match = _TILE.fullmatch(name)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def image_id_of(path: str) -> str | None:
    """Return the id of a photo from its path, or None."""
    match = _PHOTO.fullmatch(path)
    return match[1] if match else None


def refusal(archive: Archive, member: Member) -> str | None:
    """Say, as the kind of a report, why a member is not taken; None if it is one of the layout."""
    if member.kind == "dir":
        return None if _FOLDER.fullmatch(member.name) else OUTSIDE
    if member.kind != "file":
        return NOT_FILES
    if place_of(archive, member.name) is None:
        return OUTSIDE
    return TOO_LARGE if member.size > MAX_PICTURE else None


def shown(name: str) -> str:
    """Return a name that nobody vouches for as short text that a terminal prints as it is."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return text if len(text) <= 80 else f"{text[:77]}..."
