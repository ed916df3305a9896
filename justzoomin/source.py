"""The sources of the files of Just Zoom In: the Hub at one commit, or a local folder.

A source lists the archives of the data set and finds the small files beside them. Their
contents are read in `configs` and `extraction`.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import try_to_load_from_cache

from geoload.files import is_remote, local_path, signature
from geoload.hub import HubFile, announce_download, download_small, list_files
from geoload.remote import with_retries
from geoload.tar_index import TarIndex, published_name
from geoload.tar_reader import shared_reader

REPOSITORY = "pcvlab/justzoomin"
REVISION = "349f392b3620e7cea2596b8ade47b726786f9a1d"
ATTRIBUTION = (
    "Aerial orthophotography derived from Open Data DC / Government of the District of Columbia, "
    "licensed under CC BY 4.0."
)
TABLES = {"train": "large_area_train_map.csv", "validation": "large_area_val_map.csv"}
IMAGES = "streetview/images"
LAYOUT = "satellite/layout.yaml"
# A miniature of the photos has this file, and one of the tiles this line in its layout.yaml.
SYNTHETIC = "SYNTHETIC.txt"
SYNTHETIC_TILES = "# SYNTHETIC: these tiles are painted."
# Parquet first, because it stores the types of the columns.
COVERED = tuple(f"streetview/metadata_satellite_covered.{kind}" for kind in ("parquet", "csv"))
# The levels that the authors' loader reads for the four views of a zoom.
LOADER_LEVELS = (-7, -5, -3, -1)
SLICES = 32

_TILES = re.compile(r"satellite_level_(m?)([0-9]{1,2})_([0-9]{1,6})\.tar")
_PHOTOS = re.compile(r"streetview_images_([0-9]{1,6})\.tar")
_log = logging.getLogger(__name__)


def other_split(split: str) -> str:
    """Return the name of the split whose photos are in the same archives."""
    return next(name for name in TABLES if name != split)


class Archive(NamedTuple):
    """A TAR file of the data set, a folder of files extracted from such, or a slice of either."""

    name: str  # of the file, or the path of the folder below the source
    path: str  # local path, or address on the Hub
    level: int | None = None  # zoom level of the tiles in it; None for street photos
    number: int = 0  # at the end of the file's name
    size: int = 0  # in bytes
    mtime_ns: int = 0  # time of the last write; 0 for a remote file
    digest: str = ""  # of the content, as the Hub states it
    indexed: bool = True  # slices can be read: an index is published, or the file is local
    extracted: bool = False  # it is a folder
    slice_number: int = 0
    slices: int = 0  # how many there are; 0 for the whole

    @property
    def label(self) -> str:
        """The name, and which slice it is."""
        return f"{self.name} {self.slice_number + 1}/{self.slices}" if self.slices else self.name

    @property
    def group(self) -> str:
        """What is in it: "photos" or "level -7"."""
        return "photos" if self.level is None else f"level {self.level}"

    def files(self) -> list[str]:
        """Return the local files that it consists of."""
        if not self.extracted:
            return [self.path]
        below = os.walk(self.path)
        return [os.path.join(top, name) for top, _, names in below for name in names]

    def cut(self, slices: int = SLICES) -> list[Archive]:
        """Cut the whole into slices; their number is fixed so that a resumed run finds the same."""
        if not self.indexed:
            return [self]
        return [self._replace(slice_number=number, slices=slices) for number in range(slices)]

    def share(self, count: int) -> slice:
        """Return which of `count` items are in this slice."""
        slices, number = self.slices or 1, self.slice_number
        return slice(number * count // slices, (number + 1) * count // slices)


class Source(ABC):
    """A copy of the data set. `name` is what messages call it, `token` is for the Hub."""

    name: str
    token: Any
    split_by: str = "table"  # how photos are divided, one of `splits.SPLIT_BY`
    # How many TAR files are worth reading at a time.
    parallel = 1

    @abstractmethod
    def archives(self) -> list[Archive]:
        """List the TAR files: the photos', then those of the levels, each in order of number."""

    @abstractmethod
    def find(self, *paths: str) -> str | None:
        """Return the local path of the first small file that exists, or None.

        Paths are those on the Hub. A file of the Hub is downloaded.
        """

    @abstractmethod
    def table(self, split: str) -> str:
        """Return the path of a split's CSV; a file of the Hub is downloaded."""

    @abstractmethod
    def key(self, files: Callable[[], list[str]], own: Sequence[str] = ()) -> Any:
        """Return plain data that changes when the files do.

        `files` lists files of the source and is called only if their state matters; `own` are
        files from elsewhere.
        """

    def check(self, photos: bool) -> None:  # noqa: B027 - the Hub needs no check
        """Raise FileNotFoundError if this is not a copy of the data set, or lacks the photos."""

    def command(self, include: str) -> str:
        """Return the command that downloads the files `include`."""
        return (
            f"hf download {REPOSITORY} --repo-type dataset --local-dir FOLDER --include {include}"
        )

    def layout(self) -> str:
        """Return the path of `layout.yaml`; raises FileNotFoundError if there is none."""
        path = self.find(LAYOUT)
        if path is None:
            raise FileNotFoundError(
                f"{self.name} has no {LAYOUT}, which describes the grid of the tiles. Get it "
                f"with `{self.command(LAYOUT)}`."
            )
        return path

    def photos(self, shards: Sequence[int] | None = None, tar_only: bool = False) -> list[Archive]:
        """List the TAR files of street photos, or without any the folder of extracted ones.

        Raises
        ------
        FileNotFoundError
            If there are none.
        ValueError
            If one of the numbers of `shards` does not exist.
        """
        found = {a.number: a for a in self.archives() if a.level is None}
        if not found:
            raise FileNotFoundError(
                f"{self.name} contains no archives/streetview_images_000.tar, …. Get them with "
                f"`{self.command('archives/streetview_*')}`."
            )
        if shards is None:
            if absent := sorted(set(range(max(found))) - set(found)):
                _warn_once(f"{self.name}: shards {absent} are missing; their photos are left out.")
            return list(found.values())
        if not shards or not {*shards} <= {*found}:
            raise ValueError(f"shards={[*shards]}: {self.name} has the shards {sorted(found)}.")
        return [found[number] for number in sorted({*shards})]

    def tiles(self, levels: Sequence[int] | None = None, tar_only: bool = False) -> list[Archive]:
        """List the TAR files of overhead tiles, or without any the folders of extracted ones.

        Raises
        ------
        FileNotFoundError
            If a TAR file of one of the levels is missing.
        ValueError
            If one of the levels does not exist.
        """
        found = [archive for archive in self.archives() if archive.level is not None]
        self.check_levels(levels, {a.level for a in found if a.level is not None})
        found = [archive for archive in found if levels is None or archive.level in levels]
        for level, group in itertools.groupby(found, lambda archive: archive.level or 0):
            for number, archive in enumerate(group):
                if archive.number != number:
                    # Its tiles would be white, as if there were no picture of the place.
                    raise FileNotFoundError(
                        f"{self.name}: archives/{level_name(level)}_{number:03d}.tar is missing, "
                        f"although there is {archive.name}. Get it too."
                    )
        return found

    def check_levels(self, levels: Sequence[int] | None, known: Iterable[int]) -> None:
        """Raise ValueError if a requested level does not exist."""
        if levels is None or (levels and {*levels} <= {*known}):
            return
        names = ", ".join(map(str, sorted(known)))
        exist = f"it has the levels {names}" if names else "it has no tiles"
        raise ValueError(f"levels={[*levels]}: {self.name} has no such level; {exist}.")

    def download(
        self, archives: list[Archive], dl_manager: Any, copies_to: str | None = None
    ) -> list[Archive]:
        """Download TAR files with a manager of `datasets`, and return them as local ones."""
        return archives

    def fetch(self, archive: Archive) -> str:
        """Return the local path of a TAR file, which is downloaded if needed."""
        return archive.path

    def index(self, archive: Archive) -> TarIndex:
        """Return the index of a TAR file; for a remote file, of the part that was read before."""
        return shared_reader(archive.path).index


@dataclass(frozen=True)
class Hub(Source):
    """A dataset repository on the Hub at one commit."""

    repository: str
    commit: str
    token: Any = None
    metadata_dir: str | None = None
    split_by: str = "table"

    parallel = 4

    @property
    def name(self) -> str:  # type: ignore[override]
        """Repository and commit."""
        return f"{self.repository} at {self.commit}"

    def archives(self) -> list[Archive]:
        """A file that is in the Hub's cache already is read there."""
        return _in_order(self._archive(file) for file in self._listed.values())

    def _archive(self, file: HubFile) -> Archive | None:
        cached = self._cached(file.path)
        archive = _archive(cached or file.url, file.path.rpartition("/")[2])
        if archive is None:
            return None
        # Whether slices are read must not depend on what is cached on this machine: processes on
        # several machines, and a run that is resumed elsewhere, have to find the same parts.
        indexed = published_name(file.path) in self._listed
        return archive._replace(size=file.size, digest=file.digest, indexed=indexed)

    @functools.cached_property
    def _listed(self) -> dict[str, HubFile]:
        files = list_files(self.repository, self.commit, "archives", self.token)
        return {file.path: file for file in files}

    def _cached(self, path: str) -> str | None:
        cached = try_to_load_from_cache(
            self.repository, path, revision=self.commit, repo_type="dataset"
        )
        return cached if isinstance(cached, str) else None

    def find(self, *paths: str) -> str | None:
        """The Hub is asked only for files that are not in its cache."""
        if cached := next(filter(None, map(self._cached, paths)), None):
            return cached
        folder = paths[0].rpartition("/")[0]
        try:
            listed = {f.path for f in list_files(self.repository, self.commit, folder, self.token)}
        except FileNotFoundError:
            return None
        path = next((path for path in paths if path in listed), None)
        return path and download_small(self.repository, self.commit, path, self.token)

    def table(self, split: str) -> str:
        if self.metadata_dir:
            return _existing_table(self.metadata_dir, TABLES[split])
        return download_small(self.repository, self.commit, f"metadata/{TABLES[split]}", self.token)

    def key(self, files: Callable[[], list[str]], own: Sequence[str] = ()) -> Any:
        """The commit stands for all files but the user's own ones."""
        tables = [self.table(split) for split in TABLES] if self.metadata_dir else []
        return [self.repository, self.commit, signature([*own, *tables], "/")]

    def download(
        self, archives: list[Archive], dl_manager: Any, copies_to: str | None = None
    ) -> list[Archive]:
        """See `Source`. `copies_to` is the folder of the prepared copy, whose disk is checked."""
        files = [
            HubFile(self.repository, self.commit, f"archives/{a.name}", a.size) for a in archives
        ]
        announce_download(files, copies_to, "Use streaming=True, fewer shards (shards=[0])")
        remote = [archive.path for archive in archives if is_remote(archive.path)]
        local = dict(zip(remote, with_retries(dl_manager.download)(remote), strict=True))
        return [a._replace(path=local.get(a.path, a.path), indexed=True) for a in archives]

    def fetch(self, archive: Archive) -> str:
        if not is_remote(archive.path):
            return archive.path
        path = f"archives/{archive.name}"
        return download_small(self.repository, self.commit, path, self.token)

    def index(self, archive: Archive) -> TarIndex:
        """A published index is downloaded."""
        if not is_remote(archive.path):
            return super().index(archive)
        if not archive.indexed:
            return _cached_index(archive.path, archive.size)
        path = published_name(f"archives/{archive.name}")
        place = self.repository, self.commit, path, self.token
        return _published_index(place, archive.path, archive.size, archive.digest)


@functools.lru_cache(maxsize=16)
def _published_index(place: tuple[Any, ...], url: str, size: int, digest: str) -> TarIndex:
    return TarIndex.from_published(download_small(*place), url, size, digest)


@functools.lru_cache(maxsize=16)
def _cached_index(url: str, size: int) -> TarIndex:
    return TarIndex(url, size, [url])


@dataclass(frozen=True)
class Folder(Source):
    """A local folder with the Hub's layout (`archives/`) or an extracted one.

    Tables that it lacks come from `fallback`.
    """

    folder: str
    metadata_dir: str | None = None
    fallback: Hub | None = None
    split_by: str = "table"

    token = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """The path."""
        return self.folder

    def command(self, include: str) -> str:
        return super().command(include).replace("FOLDER", self.folder)

    def check(self, photos: bool) -> None:
        """Says what to do instead."""
        there = {name for name in ("metadata", "archives", IMAGES) if self._has(name)}
        if photos and not there - {"metadata"}:
            raise self._without_photos()
        if not there and not self.metadata_dir:
            raise FileNotFoundError(
                f"{self.folder} contains no metadata/{TABLES['train']}. {_advice(self.folder)}"
            )
        if {"archives", IMAGES} <= there and any(a.level is None for a in self.archives()):
            _warn_once(f"{self.folder} contains shards and extracted photos: the shards are read.")

    def _has(self, name: str) -> bool:
        return os.path.isdir(os.path.join(self.folder, name))

    def _without_photos(self) -> FileNotFoundError:
        return FileNotFoundError(
            f"{self.folder} contains neither archives/streetview_images_000.tar, … nor {IMAGES}/. "
            f"{_advice(self.folder)}"
        )

    def archives(self) -> list[Archive]:
        if not self._has("archives"):
            return []
        entries = os.scandir(os.path.join(self.folder, "archives"))
        return _in_order(_archive(entry.path, entry.name) for entry in entries if entry.is_file())

    def find(self, *paths: str) -> str | None:
        local = (os.path.join(self.folder, path) for path in paths)
        return next(filter(os.path.isfile, local), None)

    def table(self, split: str) -> str:
        folder = self.metadata_dir or os.path.join(self.folder, "metadata")
        if self.metadata_dir or self.fallback is None or os.path.isdir(folder):
            return _existing_table(folder, TABLES[split])
        try:
            return self.fallback.table(split)
        except ConnectionError as error:
            raise ConnectionError(
                f"{self.folder} has no metadata/{TABLES[split]}, and the Hub's cannot be "
                "downloaded. Put it there, or name the folder that contains it with metadata_dir=. "
                f"({error})"
            ) from error

    def photos(self, shards: Sequence[int] | None = None, tar_only: bool = False) -> list[Archive]:
        if tar_only or any(archive.level is None for archive in self.archives()):
            return super().photos(shards)
        if not self._has(IMAGES):
            raise self._without_photos()
        if shards is not None:
            raise ValueError(
                f"{self.folder} has extracted photos, which are in no shards: leave shards= out."
            )
        return [Archive(IMAGES, os.path.join(self.folder, IMAGES), extracted=True)]

    def tiles(self, levels: Sequence[int] | None = None, tar_only: bool = False) -> list[Archive]:
        if tar_only or any(archive.level is not None for archive in self.archives()):
            return super().tiles(levels)
        known = self.extracted_levels()
        if not known:
            include = "'archives/satellite_*' 'satellite/*'"
            raise FileNotFoundError(
                f"{self.folder} has neither archives/satellite_level_0_000.tar, … nor "
                f"satellite/0/, …. Get them with `{self.command(include)}`."
            )
        self.check_levels(levels, known)
        return [
            Archive(name, os.path.join(self.folder, name), level, extracted=True)
            for level in (known if levels is None else levels)
            for name in [f"satellite/{level}"]
        ]

    def extracted_levels(self) -> list[int]:
        """List the levels of the extracted tiles."""
        names = os.listdir(os.path.join(self.folder, "satellite")) if self._has("satellite") else []
        return sorted(int(name) for name in names if re.fullmatch(r"0|-?[1-9][0-9]?", name))

    def key(self, files: Callable[[], list[str]], own: Sequence[str] = ()) -> Any:
        return [self.folder, signature([*own, *files()], self.folder)]


def _archive(path: str, name: str) -> Archive | None:
    """Return the archive of that file name, or None if the data set has no such file."""
    stat = None if is_remote(path) else os.stat(path)
    size, mtime_ns = (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)
    if tiles := _TILES.fullmatch(name):
        level = -int(tiles[2]) if tiles[1] else int(tiles[2])
        return Archive(name, path, level, int(tiles[3]), size, mtime_ns)
    if photos := _PHOTOS.fullmatch(name):
        return Archive(name, path, None, int(photos[1]), size, mtime_ns)
    return None


def _in_order(found: Iterable[Archive | None]) -> list[Archive]:
    archives = sorted(
        (archive for archive in found if archive is not None),
        key=lambda archive: (archive.level is not None, archive.level or 0, archive.number),
    )
    for one, other in itertools.pairwise(archives):
        if (one.level, one.number) == (other.level, other.number):
            raise ValueError(
                f"archives/{one.name} and {other.name} have the same number. Remove one of them."
            )
    return archives


def level_name(zoom: int) -> str:
    """Return how the names of a level's TAR files begin: `satellite_level_m7` for level -7."""
    return f"satellite_level_{'m' if zoom < 0 else ''}{abs(zoom)}"


def as_source(source: str | os.PathLike[str] | Source | None) -> Source:
    """Return a source as it is, a path as a Folder, and None as the data set's repository."""
    if source is None:
        return Hub(REPOSITORY, REVISION)
    return source if isinstance(source, Source) else Folder(local_path(source, "source"))


def overhead_files(folder: str | None) -> list[str]:
    """List a local folder's files from which overhead views are made, for cache keys."""
    patterns = ("archives/satellite_level_*.tar", LAYOUT, "views/*.tar")
    return [str(path) for p in patterns for path in Path(folder).glob(p)] if folder else []


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)


def _existing_table(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no {path}. It is metadata/{name} of {REPOSITORY} on the Hub; name the "
            "folder that contains it with metadata_dir=."
        )
    return path


def _advice(folder: str) -> str:
    """Say what to do about a folder that does not contain the data set."""
    here = Path(folder)
    if (here / "README.md").is_file() and any(here.glob("*/*-of-*.*")):
        return f'It was written by `justzoomin publish`: load_dataset("{folder}").'
    below = sorted(path for path in here.iterdir() if path.is_dir()) if here.is_dir() else []
    for near in (*here.parents[:3], *below):
        if (near / "metadata").is_dir() and any((near / n).is_dir() for n in ("archives", IMAGES)):
            return f"Point data_dir at {near}."
    return (
        f"Get the files with `hf download {REPOSITORY} --repo-type dataset --local-dir FOLDER` and "
        "point data_dir at FOLDER, or leave data_dir out."
    )
