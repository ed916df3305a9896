"""Where Just Zoom In's files lie: on the Hub, in a folder laid out as there, or extracted.

Answers which tables and which parts there are; reading them is `streetview.py`.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from geoload.files import signature
from geoload.hub import HubFile, announce_download, download_small, list_files
from geoload.remote import with_retries
from geoload.tar_index import TarIndex, published_name

REPOSITORY = "pcvlab/justzoomin"
REVISION = "349f392b3620e7cea2596b8ade47b726786f9a1d"
ATTRIBUTION = (
    "Aerial orthophotography derived from Open Data DC / Government of the District of Columbia, "
    "licensed under CC BY 4.0."
)
TABLES = {"train": "large_area_train_map.csv", "validation": "large_area_val_map.csv"}
IMAGES = "streetview/images"
SLICES = 32
_SHARD = re.compile(r"streetview_images_(\d+)\.tar")
_log = logging.getLogger(__name__)


def other_split(split: str) -> str:
    """Return the name of the split whose photos lie in the same shards."""
    return next(name for name in TABLES if name != split)


class Part(NamedTuple):
    """A share of the street photos that one worker reads: a shard, or a slice of one.

    `path` is a TAR file's path or address, `size` and `digest` what the Hub says of it where it
    lies there, or `path` is the folder of extracted photos. The part is slice `number` of `slices`,
    or with none the whole. One with `shards` stands for all their photos, left in place.
    """

    path: str
    name: str
    number: int = 0
    slices: int = 0
    size: int = 0
    digest: str = ""
    shards: tuple[str, ...] = ()

    def shares(self) -> list[Part]:
        """Cut the whole into slices, fixed in number so that a resumed run finds the same."""
        return [
            self._replace(name=f"{self.name} {i + 1}/{SLICES}", number=i, slices=SLICES)
            for i in range(SLICES)
        ]


@dataclass(frozen=True)
class Hub:
    """A dataset repository on the Hub at one commit."""

    repository: str
    commit: str
    token: Any = None
    metadata_dir: str | None = None

    def table(self, split: str) -> str:
        """Return the path of a split's CSV, downloading it when it is not in the Hub's cache."""
        name = TABLES[split]
        if self.metadata_dir:
            return _existing_table(self.metadata_dir, name)
        return download_small(self.repository, self.commit, f"metadata/{name}", self.token)

    def optional(self, name: str) -> str | None:
        """Return the path of a file that not every repository has, downloading it, or None."""
        folder = name.rpartition("/")[0]
        try:
            files = list_files(self.repository, self.commit, folder, self.token)
        except FileNotFoundError:
            return None
        if name not in [file.path for file in files]:
            return None
        return download_small(self.repository, self.commit, name, self.token)

    def parts(self, shards: list[int] | None) -> list[Part]:
        """List the shards, or those that are wanted, in slices where an index is published.

        What this machine happens to know decides nothing here: nodes that share the parts, and a
        run that is resumed elsewhere, must find the same ones.
        """
        parts = []
        for file in self._files(shards):
            part = Part(file.url, Path(file.path).name, size=file.size, digest=file.digest)
            published = published_name(file.path) in self._listed
            parts += part.shares() if published else [part]
        return parts

    def download(
        self, shards: list[int] | None, dl_manager: Any, copies_to: str | None
    ) -> list[Part]:
        """Download the shards and return them, in slices, as they lie on this machine."""
        files = self._files(shards)
        announce_download(files, copies_to, "Use streaming=True, fewer shards (shards=[0])")
        paths = with_retries(dl_manager.download)([file.url for file in files])
        whole = [Part(path, Path(file.path).name) for path, file in zip(paths, files, strict=True)]
        return [share for part in whole for share in part.shares()]

    def index(self, part: Part) -> TarIndex:
        """Return the index of a shard on the Hub: as published, or as far as it was read."""
        if not part.slices:
            return _cached_index(part.path, part.size)
        place = self.repository, self.commit, part.path
        return _published_index(*place, part.size, part.digest, self.token)

    def key(self, shards: list[int] | None, photos: bool) -> Any:
        """Return what decides the rows: repository and commit."""
        tables = [self.table(split) for split in TABLES] if self.metadata_dir else []
        return [self.repository, self.commit, signature(tables, "/")]

    def _files(self, shards: list[int] | None) -> list[HubFile]:
        files = self._listed
        numbered = _numbered(files, f"{self.repository} at {self.commit}")
        return _choose(numbered, shards, self.repository)

    @functools.cached_property
    def _listed(self) -> dict[str, HubFile]:
        files = list_files(self.repository, self.commit, "archives", self.token)
        return {file.path: file for file in files}


@functools.lru_cache(maxsize=16)
def _published_index(
    repository: str, commit: str, url: str, size: int, digest: str, token: Any
) -> TarIndex:
    name = published_name(url.partition(f"@{commit}/")[2])
    path = download_small(repository, commit, name, token)
    return TarIndex.from_published(path, url, size, digest)


@functools.lru_cache(maxsize=16)
def _cached_index(url: str, size: int) -> TarIndex:
    return TarIndex(url, size, [url])


@dataclass(frozen=True)
class Folder:
    """A local folder, as the Hub has it (`archives/`) or extracted (`streetview/images/`)."""

    folder: str
    metadata_dir: str | None = None
    fallback: Hub | None = None

    def check(self, photos: bool) -> None:
        """Raise when this is no folder of the data set, before anything is downloaded for it."""
        there = {name for name in ("metadata", "archives", IMAGES) if self._has(name)}
        if photos and not there - {"metadata"}:
            raise FileNotFoundError(
                f"{self.folder} holds neither archives/streetview_images_000.tar, … nor {IMAGES}/. "
                f"{_advice(self.folder)}"
            )
        if not there and not self.metadata_dir:
            raise FileNotFoundError(
                f"{self.folder} holds no metadata/{TABLES['train']}. {_advice(self.folder)}"
            )
        if {"archives", IMAGES} <= there and self.archives():
            _log.warning("%s holds shards and extracted photos: the shards are read.", self.folder)

    def _has(self, name: str) -> bool:
        return os.path.isdir(os.path.join(self.folder, name))

    def table(self, split: str) -> str:
        """Return the path of a split's CSV, from the Hub when the folder has no `metadata/`."""
        if self.metadata_dir:
            return _existing_table(self.metadata_dir, TABLES[split])
        local = os.path.join(self.folder, "metadata")
        if os.path.isdir(local) or self.fallback is None:
            return _existing_table(local, TABLES[split])
        try:
            return self.fallback.table(split)
        except ConnectionError as error:
            raise ConnectionError(
                f"{self.folder} has no metadata/{TABLES[split]}, and the Hub's cannot be had. Put "
                f"it there, or name the folder that holds it with metadata_dir=. ({error})"
            ) from error

    def optional(self, name: str) -> str | None:
        """Return the path of a file that not every folder has, or None."""
        path = os.path.join(self.folder, name)
        return path if os.path.isfile(path) else None

    def parts(self, shards: list[int] | None) -> list[Part]:
        """List the shards, or the slices of the extracted photos."""
        archives = self.archives()
        if archives:
            numbered = _numbered({p: p for p in archives}, self.folder)
            chosen = _choose(numbered, shards, self.folder)
            return [s for p in chosen for s in Part(p, os.path.basename(p)).shares()]
        images = os.path.join(self.folder, IMAGES)
        if not os.path.isdir(images):
            raise FileNotFoundError(
                f"{self.folder} holds neither archives/streetview_images_000.tar, … nor {IMAGES}/. "
                f"{_advice(self.folder)}"
            )
        if shards is not None:
            raise ValueError(
                f"{self.folder} holds extracted photos, which are in no shards: leave shards= out."
            )
        return Part(images, IMAGES).shares()

    def download(
        self, shards: list[int] | None, dl_manager: Any, copies_to: str | None
    ) -> list[Part]:
        """Return the parts: there is nothing to download."""
        return self.parts(shards)

    def key(self, shards: list[int] | None, photos: bool) -> Any:
        """Return names, sizes and times of all files that decide the rows."""
        files = [self.table(split) for split in TABLES]
        if photos:
            for path in sorted({part.path for part in self.parts(shards)}):
                files += _all_files(path) if os.path.isdir(path) else [path]
        return [self.folder, signature(files, self.folder)]

    def archives(self) -> list[str]:
        """List the TAR shards."""
        archives = os.path.join(self.folder, "archives")
        if not os.path.isdir(archives):
            return []
        names = (name for name in os.listdir(archives) if _SHARD.fullmatch(name))
        return sorted(os.path.join(archives, name) for name in names)


def _advice(folder: str) -> str:
    """Say what to do about a folder that is not the data set's."""
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


def _existing_table(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no {path}. It comes from metadata/{name} of {REPOSITORY} on the Hub; name "
            "the folder that holds it with metadata_dir=."
        )
    return path


def _all_files(folder: str) -> list[str]:
    return [entry.path for entry in os.scandir(folder) if entry.is_file()]


def _numbered(files: dict[str, Any], where: str) -> dict[int, Any]:
    numbered = {}
    for path, file in sorted(files.items()):
        match = _SHARD.fullmatch(path.rsplit("/", 1)[-1])
        if match:
            if int(match[1]) in numbered:
                raise ValueError(f"{where} holds two shards of number {int(match[1])}.")
            numbered[int(match[1])] = file
    if not numbered:
        raise FileNotFoundError(f"{where} holds no archives/streetview_images_000.tar, ….")
    absent = sorted(set(range(max(numbered))) - set(numbered))
    if absent:
        _log.warning("%s: shards %s are not there; their photos are left out.", where, absent)
    return numbered


def _choose(numbered: dict[int, Any], shards: list[int] | None, where: str) -> list[Any]:
    if shards is None:
        return list(numbered.values())
    unknown = [number for number in shards if number not in numbered]
    if unknown or not shards:
        raise ValueError(f"shards={shards}: {where} has the shards {sorted(numbered)}.")
    return [numbered[number] for number in shards]
