"""The selection of files to extract into a folder, and the record of it there.

`extract` writes the record before it begins and when it is done; `verify` reads in it what the
folder should contain.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from geoload.output_folder import OutputFolder
from justzoomin.options import check_splits
from justzoomin.source import COVERED, LAYOUT, LOADER_LEVELS, TABLES, Archive, Source

RECORD = "extract_report.json"
MAX_RECORD = 16 * 2**20


@dataclass(frozen=True)
class Selection:
    """Some of the data set's files."""

    levels: tuple[int, ...] = ()  # zoom levels of the tiles
    photos: bool = True
    splits: tuple[str, ...] = tuple(TABLES)  # of the photos; both include those of no split
    shards: tuple[int, ...] | None = None  # numbers of the TAR files of photos; None is all

    def choose(
        self, known: Collection[int], levels: Sequence[int] | str | None, photos: bool,
        splits: Sequence[str] | None, shards: Sequence[int] | None,
    ) -> Selection:  # fmt: skip
        """Return this selection, changed by the options that are not None.

        `levels` may be "all", which means the `known` ones.
        """
        if isinstance(levels, str):
            levels = [*known]
        return replace(
            self,
            levels=self.levels if levels is None else _union(levels),
            photos=self.photos and photos,
            splits=self.splits if splits is None else tuple(check_splits(splits)),
            shards=self.shards if shards is None else _union(shards),
        )

    def archives(self, source: Source) -> list[Archive]:
        """Return the TAR files that contain it; raises an error if one is missing."""
        photos = source.photos(self.shards, tar_only=True) if self.photos else []
        return photos + (source.tiles(self.levels, tar_only=True) if self.levels else [])

    def side_files(self, source: Source) -> dict[str, str]:
        """Return the local paths of the tables and the layout, by their paths in the layout.

        Raises FileNotFoundError if one is missing. Only photos need the split tables.
        """
        found = {}
        for split, name in TABLES.items():
            path = source.table(split) if self.photos else source.find(f"metadata/{name}")
            if path is not None:
                found[f"metadata/{name}"] = path
        if self.levels:
            found[LAYOUT] = source.layout()
        if self.photos:
            found.update({name: file for name in COVERED if (file := source.find(name))})
        return found

    def __or__(self, other: Selection) -> Selection:
        splits, shards = self.splits, self.shards
        if other.photos and not self.photos:
            splits, shards = other.splits, other.shards
        elif other.photos:
            splits = tuple(s for s in TABLES if s in {*self.splits, *other.splits})
            everything = self.shards is None or other.shards is None
            shards = None if everything else _union([*(self.shards or ()), *(other.shards or ())])
        levels = _union([*self.levels, *other.levels])
        return Selection(levels, self.photos or other.photos, splits, shards)

    @classmethod
    def from_json(cls, data: Any) -> Selection:
        """Read back what `dataclasses.asdict` and JSON made of a selection."""
        if not all(type(number) is int for number in [*data["levels"], *(data["shards"] or ())]):
            raise ValueError("levels and shards must be whole numbers")
        splits = tuple(name for name in TABLES if name in data["splits"])
        shards = None if data["shards"] is None else _union(data["shards"])
        return cls(_union(data["levels"]), bool(data["photos"]), splits, shards)


def _union(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))


def loader_levels(known: Collection[int]) -> tuple[int, ...]:
    """Return those of the known levels that the authors' loader reads."""
    return _union(level for level in LOADER_LEVELS if level in known)


@dataclass
class Record:
    """The record of what was extracted into a folder."""

    selection: Selection
    source: str
    archives: dict[str, int]  # sizes by name, to notice another version of a TAR file
    finished: bool = False

    @classmethod
    def parse(cls, data: bytes | None) -> Record | None:
        """Return the record in a file's bytes, or None if there is none."""
        try:
            content = json.loads(data or b"")
            sizes = {str(name): int(size) for name, size in content["archives"].items()}
            selection = Selection.from_json(content["selection"])
            return cls(selection, str(content["source"]), sizes, content["finished"] is True)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def join(self, old: Record | None, folder: str) -> Record:
        """Return the record of this extraction and an older one of the same TAR files together.

        Pictures of different TAR files would be mixed, because some have the same size.
        """
        if old is None:
            return self
        for name, size in self.archives.items():
            if old.archives.get(name, size) != size:
                raise ValueError(
                    f"{folder} was extracted from another {name} ({old.archives[name]:,} bytes, "
                    f"from {old.source}; this one has {size:,}), and the files of both would be "
                    "mixed. Extract to another folder, or delete this one."
                )
        selection = self.selection | old.selection
        finished = self.finished and (old.finished or selection == self.selection)
        return Record(selection, self.source, {**old.archives, **self.archives}, finished)

    def write(self, target: OutputFolder, **more: Any) -> None:
        """Write it into the folder."""
        content = {
            "finished": self.finished, "source": self.source,
            "selection": asdict(self.selection), "archives": self.archives, **more,
        }  # fmt: skip
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target.write(RECORD, text.encode())
