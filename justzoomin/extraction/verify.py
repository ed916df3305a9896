"""Checks whether a folder of the data set is complete, against its tables and against TAR files.

The folder is an extracted one, or one with the Hub's TAR files, which are read in place. Nothing is
changed.
"""

from __future__ import annotations

import filecmp
import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tabulate import tabulate

from geoload.files import is_remote
from geoload.messages import progress_bar
from geoload.processes import ahead
from geoload.report import Findings, Kind
from justzoomin.extraction.pictures import DAMAGED, Picture, decode, find_archived, find_extracted
from justzoomin.extraction.selection import MAX_RECORD, RECORD, Record, Selection
from justzoomin.findings import BROKEN, MISSING, STRANGERS, is_jpeg
from justzoomin.members import NOT_FILES, OUTSIDE, image_id_of, tile_of
from justzoomin.source import IMAGES, LAYOUT, TABLES, Archive, Folder, Source, level_name
from justzoomin.table import Table, TableError, read_table, table_report

ABSENT = Kind("missing_from_folder", "pictures missing from the folder but in the TAR files")
OTHER_SIZE = Kind("different_size", "pictures with another size than in the TAR files")
OTHER_BYTES = Kind("different_bytes", "pictures with other bytes than in the TAR files")
UNKNOWN = Kind("in_no_tar", "pictures in no TAR file")
NO_TABLE = Kind("in_no_table", "pictures in no table")
BROKEN_TOO = Kind("not_a_jpeg_in_tar", "invalid or incomplete JPEGs, also in the TAR files")
NOT_DECODED = Kind("not_decodable", "pictures with decoding errors")
NO_FILE = Kind("missing_file", "missing files")
OTHER_FILE = Kind("different_file", "files with other content than in the source")
NO_TAR = Kind("missing_tar", "missing TAR files")
UNREADABLE = Kind("unreadable", "unreadable files")
UNFINISHED = Kind("unfinished", "unfinished extractions")

_ALL_NAMES = 10**9
_BATCH = 512
# Advice for some kinds of findings in an extracted folder.
_ADVICE = (
    ({BROKEN, NOT_DECODED, OTHER_BYTES},
     "Delete pictures that are broken (--json FILE lists all), because `extract` keeps those of "
     "the right size."),
    ({ABSENT, OTHER_SIZE, UNFINISHED, NO_FILE},
     "Run `justzoomin extract {}` again with the same options: it gets what is missing."),
)  # fmt: skip


def _all_names() -> Findings:
    return Findings(_ALL_NAMES)


@dataclass
class Verdict:
    """The result of `verify`: problems, and notes that are only informative."""

    folder: str
    compared: str | None = None  # the source of the TAR files that it was compared with
    extracted: bool = True  # not a folder of TAR files
    # What, how many there should be (None if unknown), how many there are.
    groups: list[tuple[str, int | None, int]] = field(default_factory=list)
    wrong: Findings = field(default_factory=_all_names)
    notes: Findings = field(default_factory=_all_names)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for a JSON file, with all names."""
        groups = [dict(zip(("what", "expected", "there"), g, strict=True)) for g in self.groups]
        return {
            "folder": self.folder, "whole": self.whole, "compared_with": self.compared,
            "groups": groups, "wrong": self.wrong.as_dict("names"),
            "notes": self.notes.as_dict("names"),
        }  # fmt: skip

    def __str__(self) -> str:
        rows = [[what, "" if n is None else f"{n:,}", f"{m:,}"] for what, n, m in self.groups]
        headers = ["", "should be there", "is there"]
        alignment = ("left", "right", "right")
        lines = [
            self.folder + (f", compared with {self.compared}" if self.compared else ""), "",
            tabulate(rows, headers, colalign=alignment, disable_numparse=True), "",
            *(f"Wrong: {self.wrong.line(kind)}" for kind in self.wrong.counts),
            *(f"Note: {self.notes.line(kind)}" for kind in self.notes.counts),
        ]  # fmt: skip
        if self.extracted:
            kinds = set(self.wrong.counts)
            lines += [text.format(self.folder) for about, text in _ADVICE if kinds & about]
            if self.compared is None:
                lines.append("Missing tiles, and pictures of a wrong size, are found only by "
                             "comparing with TAR files (--data-dir, --repository).")  # fmt: skip
        if self.whole:
            lines.append("Nothing is wrong.")
        return "\n".join(lines)


def verify(
    folder: str | os.PathLike[str],
    source: Source | None = None,
    levels: Sequence[int] | str | None = None,
    photos: bool = True,
    splits: Sequence[str] | None = None,
    shards: Sequence[int] | None = None,
    metadata_dir: str | None = None,
    deep: bool = False,
    workers: int | None = None,
) -> Verdict:
    """Look for what is missing, repeated or broken.

    Parameters
    ----------
    folder : path
        Extracted, or with the Hub's layout.
    source : Source, optional
        Whose TAR files to compare an extracted folder with; by default those in the folder itself,
        if there are any. For the Hub only headers are needed, which `extract` keeps in the cache;
        otherwise the TAR files are read from start to end.
    levels, photos, splits, shards
        What should be there, as for `extract`; by default what was extracted, and in a folder that
        another program extracted, the groups of which something exists.
    metadata_dir : str, optional
        Folder of the two CSV files, if not `metadata/`.
    deep : bool
        Decode every picture, and compare it byte for byte with TAR files on this machine.
    workers : int, optional
        Threads; by default one for each core.

    Returns
    -------
    Verdict

    Raises
    ------
    FileNotFoundError
        If the folder contains nothing of the data set.
    ValueError
        If there are no such levels or shards, or a source is given for TAR files in place.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it should be 1 or more.")
    path = os.path.realpath(folder)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no folder {os.fspath(folder)}.")
    check = _Check(path, source, metadata_dir)
    check.choose(levels, photos, splits, shards)
    check.find_pictures()
    check.compare_side_files()
    if check.chosen.photos:
        check.compare_photos()
    for level in check.chosen.levels:
        check.compare_tiles(level)
    check.look_inside(deep, workers)
    return check.verdict


class _Check:
    """One run, in steps that add their findings to the verdict."""

    def __init__(self, folder: str, source: Source | None, metadata_dir: str | None) -> None:
        self._folder = folder
        self._own = Folder(folder, metadata_dir)
        self._compared, self._source = source, source or self._own
        self._record = _record(folder)
        self._levels_here = self._own.extracted_levels()
        self._photos_here = os.path.isdir(os.path.join(folder, IMAGES))
        self._in_place = not (self._record or self._levels_here or self._photos_here)
        if self._in_place and source is not None:
            raise ValueError(
                f"{folder} contains no extracted pictures to compare with {source.name}. TAR files "
                "in it are checked in place: name no other source."
            )
        self._archives = self._source.archives()
        if self._in_place and not self._archives:
            raise FileNotFoundError(
                f"{folder} contains neither {IMAGES}/ nor satellite/-7/, … nor archives/*.tar: "
                "nothing of the data set."
            )
        if source is not None and not self._archives:
            raise FileNotFoundError(f"{source.name} contains no archives/*.tar to compare with.")
        compared = self._source.name if self._archives and not self._in_place else None
        self.verdict = Verdict(folder, compared, not self._in_place)
        self._wrong, self._notes = self.verdict.wrong, self.verdict.notes
        self._expected: dict[str, Picture] | None = None
        self._found: dict[str, Picture] = {}
        self._tables: dict[str, Table] = {}

    def choose(
        self, levels: Sequence[int] | str | None, photos: bool, splits: Sequence[str] | None,
        shards: Sequence[int] | None,
    ) -> None:  # fmt: skip
        """Decide what should be there, and which TAR files contain it."""
        archived = {archive.level for archive in self._archives}
        archived_levels = {level for level in archived if level is not None}
        if self._in_place:
            chosen = Selection(tuple(sorted(archived_levels)), None in archived)
        else:
            # If another program extracted the folder, the groups of which something exists.
            recorded = self._record.selection if self._record else Selection(photos=False)
            other_photos = self._photos_here and not recorded.photos
            chosen = recorded | Selection(tuple(self._levels_here), other_photos)
        known = archived_levels | {*self._levels_here}
        self.chosen = chosen.choose(known, levels, photos, splits, shards)
        if levels is not None:
            self._source.check_levels(self.chosen.levels, known)
        if self._record is not None and not self._record.finished:
            self._wrong.add(UNFINISHED, RECORD)
        groups = [*([None] if self.chosen.photos else []), *self.chosen.levels]
        self._archives = [archive for level in groups for archive in self._of_level(level)]

    def _of_level(self, level: int | None) -> list[Archive]:
        """Return the TAR files of a level or of the photos, and report missing numbers."""
        numbered = {a.number: a for a in self._archives if a.level == level}
        if level is None and self.chosen.shards is not None and self._archives:
            return self._source.photos(self.chosen.shards, tar_only=True)
        start = "streetview_images" if level is None else level_name(level)
        for number in sorted(set(range(max(numbered, default=0))) - set(numbered)):
            self._wrong.add(NO_TAR, f"{start}_{number:03d}.tar")
        return list(numbered.values())

    def find_pictures(self) -> None:
        """List what exists, and what the TAR files contain."""
        if self._archives:
            report = _all_names()
            total = sum(archive.size for archive in self._archives)
            with progress_bar("TAR headers", total) as bar:
                archived = find_archived(self._source, self._archives, report, bar.update)
            for kind, count in report.counts.items():
                # `extract` leaves such members out, so they do not matter for an extracted folder.
                harmless = not self._in_place and kind in (OUTSIDE, NOT_FILES)
                (self._notes if harmless else self._wrong).add_many(kind, count, report.names[kind])
            if self._in_place:
                self._found = archived
                return
            self._expected = archived
        tops = [IMAGES] if self.chosen.photos else []
        tops += [f"satellite/{level}" for level in self.chosen.levels]
        self._found = find_extracted(self._folder, tops, self._wrong)

    def compare_side_files(self) -> None:
        """Compare tables and layout with the source's; read the tables for what follows."""
        tables = {f"metadata/{name}": split for split, name in TABLES.items()}
        wanted = {*tables} if self.chosen.photos else set()
        if self.chosen.levels:
            wanted.add(LAYOUT)
        theirs = self.chosen.side_files(self._compared) if self._compared else {}
        for path in sorted(wanted | {*theirs}):
            own = os.path.join(self._folder, path)
            if path in tables and self._own.metadata_dir:
                own = os.path.join(self._own.metadata_dir, os.path.basename(path))
            if not os.path.isfile(own):
                self._wrong.add(NO_FILE, path)
                continue
            if path in theirs and not filecmp.cmp(own, theirs[path], shallow=False):
                self._wrong.add(OTHER_FILE, path)
            if path in tables and self.chosen.photos:
                try:
                    self._tables[tables[path]] = read_table(own)
                except TableError as error:
                    self._wrong.add(UNREADABLE, str(error))

    def compare_photos(self) -> None:
        """Compare the photos with the tables, and with the TAR files."""
        there = _by_id(self._found)
        archived = self._expected is not None and any(a.level is None for a in self._archives)
        expected = _by_id(self._expected) if self._expected and archived else {}
        for split in self.chosen.splits:
            if split not in self._tables:
                continue
            ids = self._tables[split].row
            should: int | None = len(ids)
            if self.chosen.shards is not None:
                should = sum(i in expected for i in ids) if expected else None
            group = f"photos of {split}", should, sum(i in there for i in ids)
            self.verdict.groups.append(group)
            missing = [i for i in ids if i not in there]
            self._add(ABSENT, [expected[i] for i in missing if i in expected])
            if self.chosen.shards is None:
                self._add(MISSING, [i for i in missing if i not in expected])
        if len(self._tables) < len(TABLES):
            return  # which photos belong to no table is unknown
        self._wrong.merge(table_report(self._tables["train"], self._tables["validation"]))
        named = {i for table in self._tables.values() for i in table.row}
        for image_id in [i for i in there if i not in named]:
            if self._in_place or image_id in expected:
                self._notes.add(STRANGERS, there[image_id])
            else:
                self._wrong.add(NO_TABLE, there[image_id])
        if len(self.chosen.splits) == len(TABLES):
            self._add(ABSENT, [p for i, p in expected.items() if i not in named and i not in there])
        if archived:
            self._compare_sizes(expected.values(), [p for i, p in there.items() if i in named])

    def compare_tiles(self, level: int) -> None:
        """Compare the tiles of a level with those of the TAR files."""
        top = f"satellite/{level}/"
        there = [path for path in self._found if path.startswith(top)]
        expected = None
        if self._expected is not None and any(a.level == level for a in self._archives):
            expected = [path for path in self._expected if path.startswith(top)]
        count = None if expected is None else len(expected)
        self.verdict.groups.append((f"tiles of level {level}", count, len(there)))
        if expected is not None:
            self._add(ABSENT, [path for path in expected if path not in self._found])
            self._compare_sizes(expected, there)

    def _add(self, kind: Kind, names: list[str]) -> None:
        self._wrong.add_many(kind, len(names), names)

    def _compare_sizes(self, expected: Iterable[str], there: Iterable[str]) -> None:
        theirs, ours = self._expected or {}, self._found
        other = [p for p in expected if p in ours and ours[p].size != theirs[p].size]
        self._add(OTHER_SIZE, other)
        if self.chosen.shards is None and DAMAGED not in self._wrong.counts:
            self._add(UNKNOWN, [path for path in there if path not in theirs])

    def look_inside(self, deep: bool, workers: int | None) -> None:
        """Check the pictures themselves: both ends, or all of their bytes."""
        shape = self._tile_shape()
        paths = list(self._found)
        batches = [paths[i : i + _BATCH] for i in range(0, len(paths), _BATCH)]
        look = functools.partial(self._look_at, deep=deep, shape=shape)
        with progress_bar("Pictures", len(paths), "file") as bar:
            for batch, report in zip(batches, ahead(look, batches, workers), strict=True):
                self._wrong.merge(report)
                bar.update(len(batch))

    def _look_at(self, paths: list[str], deep: bool, shape: tuple[int, int] | None) -> Findings:
        report = _all_names()
        ours: dict[str, BinaryIO] = {}
        theirs: dict[str, BinaryIO] = {}
        for path in paths:
            try:
                data = self._found[path].read(ours, deep)
                same = self._is_same(path, data, deep, theirs)
            except OSError as error:
                report.add(UNREADABLE, f"{path}: {error.strerror}")
                continue
            if deep and same is False:
                report.add(OTHER_BYTES, path)
            if not is_jpeg(data):
                report.add(BROKEN_TOO if same else BROKEN, path)
            elif deep:
                try:
                    decode(data, shape if tile_of(path) else None)
                except ValueError as error:
                    report.add(NOT_DECODED, f"{path}: {error}")
        for file in [*ours.values(), *theirs.values()]:
            file.close()
        return report

    def _is_same(
        self, path: str, data: bytes, deep: bool, files: dict[str, BinaryIO]
    ) -> bool | None:
        """Return whether the TAR file has the same bytes; None if that is unknown or needless."""
        picture = (self._expected or {}).get(path)
        if picture is None or is_remote(picture.file) or picture.size != self._found[path].size:
            return None
        return data == picture.read(files, deep) if deep or not is_jpeg(data) else None

    def _tile_shape(self) -> tuple[int, int] | None:
        """Return the shape in `layout.yaml`, if there is one and pyproj is installed to read it."""
        path = os.path.join(self._folder, LAYOUT)
        if not self.chosen.levels or not os.path.isfile(path):
            return None
        try:
            from justzoomin.layout import Layout
        except ImportError:
            return None
        try:
            return Layout.read(path).tile_px
        except ValueError as error:
            self._wrong.add(UNREADABLE, str(error))
            return None


def _by_id(pictures: dict[str, Picture]) -> dict[str, str]:
    return {i: path for path in pictures if (i := image_id_of(path)) is not None}


def _record(folder: str) -> Record | None:
    path = os.path.join(folder, RECORD)
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return Record.parse(file.read(MAX_RECORD))
