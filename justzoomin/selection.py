"""What is extracted into a folder, which photos and which levels, and the record of it there.

`extract` writes the record before it begins and when it is done; `verify` reads in it what should
be there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geoload.output_folder import OutputFolder
from justzoomin.archives import LOADER_LEVELS, Archive, choose_photos, choose_tiles
from justzoomin.sources import TABLES

RECORD = "extract_report.json"
MAX_RECORD = 16 * 2**20


@dataclass(frozen=True)
class Selection:
    """Some of the data set's files.

    Parameters
    ----------
    levels : tuple of int
        Zoom levels of the tiles; none without levels.
    photos : bool
    splits : tuple of str
        Of which the photos are; with both, also photos of no split.
    shards : tuple of int, optional
        Numbers of the TAR files of photos; None is all.
    """

    levels: tuple[int, ...] = ()
    photos: bool = True
    splits: tuple[str, ...] = tuple(TABLES)
    shards: tuple[int, ...] | None = None

    def archives(self, archives: list[Archive], where: str) -> list[Archive]:
        """Return the TAR files that hold it; raises where one is not there."""
        photos = choose_photos(archives, self.shards, where) if self.photos else []
        return photos + (choose_tiles(archives, self.levels, where) if self.levels else [])

    def __or__(self, other: Selection) -> Selection:
        if self.photos != other.photos:
            with_photos = self if self.photos else other
            splits, shards = with_photos.splits, with_photos.shards
        else:
            splits = tuple(s for s in TABLES if s in {*self.splits, *other.splits})
            known = self.shards is not None and other.shards is not None
            shards = _union(self.shards or (), other.shards or ()) if known else None
        levels = _union(self.levels, other.levels)
        return Selection(levels, self.photos or other.photos, splits, shards)

    def __contains__(self, other: Selection) -> bool:
        return self | other == self

    @classmethod
    def from_dict(cls, data: Any) -> Selection:
        """Read back what `dataclasses.asdict` and JSON made of one."""
        numbers = [*data["levels"], *(data["shards"] or ())]
        splits = tuple(name for name in TABLES if name in data["splits"])
        if not all(type(number) is int for number in numbers):
            raise ValueError("levels and shards are whole numbers")
        shards = None if data["shards"] is None else _union(data["shards"], ())
        return cls(_union(data["levels"], ()), bool(data["photos"]), splits, shards)


def _union(some: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted({*some, *others}))


def pick_levels(archives: list[Archive], levels: Sequence[int] | str | None) -> tuple[int, ...]:
    """Turn an option into levels: None is those that the authors' loader reads, "all" is all."""
    there = {archive.level for archive in archives if archive.level is not None}
    if levels is None:
        return _union([level for level in LOADER_LEVELS if level in there], ())
    return _union(list(there) if isinstance(levels, str) else levels, ())


def pick_splits(splits: Sequence[str] | None) -> tuple[str, ...]:
    """Turn an option into splits, None into all; raises ValueError for one that does not exist."""
    unknown = [name for name in splits or () if name not in TABLES]
    if unknown or (splits is not None and not splits):
        raise ValueError(f"splits={splits}: the splits are {', '.join(TABLES)}.")
    return tuple(name for name in TABLES if splits is None or name in splits)


@dataclass
class Record:
    """What was extracted into a folder, so far as it is known there.

    `archives` are the names and sizes of the TAR files, by which another version of one is told.
    """

    selection: Selection
    source: str
    archives: dict[str, int]
    finished: bool = False

    @classmethod
    def read(cls, target: OutputFolder) -> Record | None:
        """Return a folder's record, or None where there is none that can be read."""
        data = target.read(RECORD, MAX_RECORD)
        return None if data is None else cls.parse(data)

    @classmethod
    def parse(cls, data: bytes) -> Record | None:
        """Return the record that a file holds, or None if it is none."""
        try:
            content = json.loads(data)
            sizes = {str(name): int(size) for name, size in content["archives"].items()}
            selection = Selection.from_dict(content["selection"])
            return cls(selection, str(content["source"]), sizes, content["finished"] is True)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def join(self, old: Record | None, folder: str) -> Record:
        """Return the record of this extraction and an older one together.

        Raises
        ------
        ValueError
            When they are of different TAR files: files of one size could not be told apart.
        """
        if old is None:
            return self
        for name, size in self.archives.items():
            if old.archives.get(name, size) != size:
                raise ValueError(
                    f"{folder} was extracted from another {name} ({old.archives[name]:,} bytes, "
                    f"from {old.source}; this one has {size:,}), and files of both would stand "
                    "side by side. Extract to another folder, or delete this one."
                )
        done = old.finished or old.selection in self.selection
        return Record(
            self.selection | old.selection, self.source, {**old.archives, **self.archives},
            self.finished and done,
        )  # fmt: skip

    def write(self, target: OutputFolder, **more: Any) -> None:
        """Write it into the folder."""
        content = {
            "finished": self.finished, "source": self.source,
            "selection": asdict(self.selection), "archives": self.archives, **more,
        }  # fmt: skip
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target.write(RECORD, text.encode())
