"""Whether a folder of the data set is whole: against its tables, and against TAR files.

Works on an extracted folder and on one as the Hub has it, whose TAR files are looked at where they
lie. Changes nothing.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tqdm import tqdm

from geoload.report import Findings
from justzoomin.archives import (
    NOT_FILES,
    OUTSIDE,
    Archive,
    check_levels,
    choose_photos,
    find_archives,
    image_id_of,
    level_name,
    levels_below,
    name_of,
    tile_of,
)
from justzoomin.extraction.pictures import Archived, Extracted, Pictures, decode
from justzoomin.extraction.verdict import (
    ABSENT,
    ALL_NAMES,
    BROKEN_TOO,
    NO_FILE,
    NO_TABLE,
    NO_TAR,
    NOT_DECODED,
    OTHER_BYTES,
    OTHER_FILE,
    OTHER_SIZE,
    UNFINISHED,
    UNKNOWN,
    UNREADABLE,
    Verdict,
)
from justzoomin.selection import MAX_RECORD, RECORD, Record, Selection, pick_levels, pick_splits
from justzoomin.side_files import LAYOUT, side_files
from justzoomin.sources import IMAGES, TABLES, Folder, Hub
from justzoomin.streetview import BROKEN, MISSING, STRANGERS, is_jpeg, table_report
from justzoomin.table import Table, TableError, read_table

_BATCH = 512


def verify(
    folder: str | os.PathLike,
    source: Hub | Folder | None = None,
    levels: Sequence[int] | str | None = None,
    photos: bool = True,
    splits: Sequence[str] | None = None,
    shards: Sequence[int] | None = None,
    metadata_dir: str | None = None,
    deep: bool = False,
    workers: int | None = None,
) -> Verdict:
    """Look for what is missing, doubled or broken.

    Parameters
    ----------
    folder : path
        Extracted, or as on the Hub.
    source : Hub or Folder, optional
        Whose TAR files to compare an extracted folder with; by default those in the folder itself,
        if there are any. Of the Hub only headers are needed, which `extract` keeps in the cache;
        where they are not there the TAR files pass by whole.
    levels, photos, splits, shards
        What should be there, as for `extract`; by default what was extracted, and in a folder that
        something else extracted what has begun to be there.
    metadata_dir : str, optional
        Folder of the two CSV files, if not `metadata/`.
    deep : bool
        Decode every picture, and compare it byte for byte with TAR files on this machine.
    workers : int, optional
        Threads; by default one a core.

    Returns
    -------
    Verdict

    Raises
    ------
    FileNotFoundError
        When the folder holds nothing of the data set.
    ValueError
        When there are no such levels or shards, or a source is given for TAR files in place.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it should be 1 or more.")
    path = os.path.realpath(folder)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no folder {os.fspath(folder)}.")
    check = _Check(path, source, metadata_dir)
    check.choose(levels, photos, splits, shards)
    check.look()
    check.compare_side_files()
    check.compare_photos()
    check.compare_tiles()
    check.look_inside(deep, workers or os.cpu_count() or 1)
    return check.verdict


class _Check:
    """One run, in steps that each leave their findings in the verdict."""

    def __init__(self, folder: str, source: Hub | Folder | None, metadata_dir: str | None) -> None:
        self._folder, self._source = folder, source
        self._own = Folder(folder, metadata_dir)
        self._token = source.token if isinstance(source, Hub) else None
        self._record = _record(folder)
        self._levels_here = tuple(levels_below(folder))
        self._photos_here = os.path.isdir(os.path.join(folder, IMAGES))
        self._in_place = not (self._record or self._levels_here or self._photos_here)
        if self._in_place and source is not None:
            raise ValueError(
                f"{folder} holds no extracted pictures to compare with {name_of(source)}. TAR "
                "files in it are looked at where they lie: name no other source."
            )
        self._archives = find_archives(source or self._own)
        if self._in_place and not self._archives:
            raise FileNotFoundError(
                f"{folder} holds neither {IMAGES}/ nor satellite/-7/, … nor archives/*.tar: "
                "nothing of the data set."
            )
        if source is not None and not self._archives:
            raise FileNotFoundError(f"{name_of(source)} holds no archives/*.tar to compare with.")
        compared = name_of(source or self._own) if self._archives and not self._in_place else None
        self.verdict = Verdict(folder, compared, not self._in_place)
        self._wrong, self._notes = self.verdict.wrong, self.verdict.notes

    def choose(
        self,
        levels: Sequence[int] | str | None,
        photos: bool,
        splits: Sequence[str] | None,
        shards: Sequence[int] | None,
    ) -> None:
        """Settle what should be there, and which TAR files tell of it."""
        in_archives = {archive.level for archive in self._archives}
        if self._in_place:
            chosen = Selection(pick_levels(self._archives, "all"), None in in_archives)
        else:
            # What was not extracted by us, but has begun to be there.
            more = self._photos_here and not (self._record and self._record.selection.photos)
            chosen = Selection(self._levels_here, more)
            chosen = self._record.selection | chosen if self._record else chosen
        if levels is not None:
            known = {level for level in in_archives if level is not None} | {*self._levels_here}
            picked = sorted(known) if isinstance(levels, str) else sorted(set(levels))
            check_levels(picked or (), known, self._where())
            chosen = replace(chosen, levels=tuple(picked))
        if splits is not None:
            chosen = replace(chosen, splits=pick_splits(splits))
        if shards is not None:
            chosen = replace(chosen, shards=tuple(sorted(set(shards))))
        self._chosen = replace(chosen, photos=chosen.photos and photos)
        if self._record is not None and not self._record.finished:
            self._wrong.add(UNFINISHED, RECORD)
        groups = [*([None] if self._chosen.photos else []), *self._chosen.levels]
        self._archives = [archive for level in groups for archive in self._of_level(level)]

    def _of_level(self, level: int | None) -> list[Archive]:
        """Return the TAR files of a level or of the photos; what their numbers skip is found."""
        numbered = {a.number: a for a in self._archives if a.level == level}
        if level is None and self._chosen.shards is not None and self._archives:
            return choose_photos(self._archives, self._chosen.shards, self._where())
        for number in sorted(set(range(max(numbered, default=0))) - set(numbered)):
            start = "streetview_images" if level is None else level_name(level)
            self._wrong.add(NO_TAR, f"{start}_{number:03d}.tar")
        return [numbered[number] for number in sorted(numbered)]

    def _where(self) -> str:
        return name_of(self._source or self._own)

    def look(self) -> None:
        """List what is there, and what the TAR files hold."""
        archived = self._archived() if self._archives else None
        self._expected = None if self._in_place else archived
        if self._in_place:
            assert archived is not None
            self._there: Pictures = archived
            return
        tops = [IMAGES] if self._chosen.photos else []
        tops += [f"satellite/{level}" for level in self._chosen.levels]
        self._there = Extracted(self._folder, tops, self._wrong)

    def _archived(self) -> Archived:
        """Read headers. What an extracted folder is spared of its TAR files is but a note."""
        found = Findings(ALL_NAMES)
        total = sum(archive.size for archive in self._archives)
        with tqdm(total=total, desc="TAR headers", unit="B", unit_scale=True, delay=2) as bar:
            archived = Archived(self._archives, self._token, found, bar.update)
        for kind, count in found.counts.items():
            harmless = not self._in_place and kind in (OUTSIDE, NOT_FILES)
            report = self._notes if harmless else self._wrong
            report.add_many(kind, count, found.names[kind])
        return archived

    def compare_side_files(self) -> None:
        """Compare tables and layout with the source's; find the tables for what follows."""
        wanted = {f"metadata/{name}" for name in TABLES.values()} if self._chosen.photos else set()
        if self._chosen.levels:
            wanted.add(LAYOUT)
        theirs = side_files(self._source, self._chosen) if self._source else {}
        for path in sorted(wanted | {*theirs}):
            own = self._side_file(path)
            if not os.path.isfile(own):
                self._wrong.add(NO_FILE, path)
            elif path in theirs and not filecmp.cmp(own, theirs[path], shallow=False):
                self._wrong.add(OTHER_FILE, path)
        self._tables: dict[str, Table] = {}
        for split, name in TABLES.items():
            path = self._side_file(f"metadata/{name}")
            if self._chosen.photos and os.path.isfile(path):
                try:
                    self._tables[split] = read_table(path)
                except TableError as error:
                    self._wrong.add(UNREADABLE, str(error))

    def _side_file(self, path: str) -> str:
        if path.startswith("metadata/") and self._own.metadata_dir:
            return os.path.join(self._own.metadata_dir, path.rpartition("/")[2])
        return os.path.join(self._folder, path)

    def compare_photos(self) -> None:
        """Compare the photos with the tables, and with the TAR files."""
        if not self._chosen.photos:
            return
        there = {i: path for path in self._there.sizes if (i := image_id_of(path)) is not None}
        expected: dict[str, str] = {}
        archived = self._expected is not None and any(a.level is None for a in self._archives)
        if self._expected is not None and archived:
            expected = {i: p for p in self._expected.sizes if (i := image_id_of(p)) is not None}
        for split in self._chosen.splits:
            if split in self._tables:
                self._compare_split(split, there, expected)
        if len(self._tables) < len(TABLES):
            return  # and who belongs to none of them is not known
        self._wrong.merge(table_report(self._tables["train"], self._tables["validation"]))
        named = {i for table in self._tables.values() for i in table.row}
        for image_id in [i for i in there if i not in named]:
            if self._in_place or image_id in expected:
                self._notes.add(STRANGERS, there[image_id])
            else:
                self._wrong.add(NO_TABLE, there[image_id])
        if len(self._chosen.splits) == len(TABLES):
            self._absent([p for i, p in expected.items() if i not in named and i not in there])
        if archived:
            self._compare_sizes(expected.values(), [p for i, p in there.items() if i in named])

    def _compare_split(self, split: str, there: dict[str, str], expected: dict[str, str]) -> None:
        ids = self._tables[split].row
        some = self._chosen.shards is not None
        should = len(ids) if not some else sum(i in expected for i in ids) if expected else None
        self.verdict.groups.append((f"photos of {split}", should, sum(i in there for i in ids)))
        missing = [i for i in ids if i not in there]
        self._absent([expected[i] for i in missing if i in expected])
        if not some:
            lost = [i for i in missing if i not in expected]
            self._wrong.add_many(MISSING, len(lost), lost)

    def compare_tiles(self) -> None:
        """Compare the tiles with those of the TAR files, level by level."""
        archived = {archive.level for archive in self._archives}
        for level in self._chosen.levels:
            top = f"satellite/{level}/"
            there = [path for path in self._there.sizes if path.startswith(top)]
            if self._in_place or level not in archived or self._expected is None:
                self.verdict.groups.append((f"tiles of level {level}", None, len(there)))
                continue
            expected = [path for path in self._expected.sizes if path.startswith(top)]
            self.verdict.groups.append((f"tiles of level {level}", len(expected), len(there)))
            self._absent([path for path in expected if path not in self._there.sizes])
            self._compare_sizes(expected, there)

    def _absent(self, paths: list[str]) -> None:
        self._wrong.add_many(ABSENT, len(paths), paths)

    def _compare_sizes(self, expected: Iterable[str], there: Iterable[str]) -> None:
        if self._expected is None:
            return
        theirs, ours = self._expected.sizes, self._there.sizes
        other = [path for path in expected if path in ours and ours[path] != theirs[path]]
        self._wrong.add_many(OTHER_SIZE, len(other), other)
        if self._chosen.shards is None and not self._expected.damaged:
            unknown = [path for path in there if path not in theirs]
            self._wrong.add_many(UNKNOWN, len(unknown), unknown)

    def look_inside(self, deep: bool, workers: int) -> None:
        """Look at the pictures themselves: at both ends, or at all of them."""
        shape = self._tile_shape()
        paths = list(self._there.sizes)
        batches = [paths[i : i + _BATCH] for i in range(0, len(paths), _BATCH)]
        with (
            tqdm(total=len(paths), desc="Pictures", unit=" files", delay=1) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            work = [pool.submit(self._look_at, batch, deep, shape) for batch in batches]
            try:
                for done, batch in zip(work, batches, strict=True):
                    self._wrong.merge(done.result())
                    bar.update(len(batch))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _look_at(self, paths: list[str], deep: bool, shape: tuple[int, int] | None) -> Findings:
        report = Findings(ALL_NAMES)
        for path in paths:
            try:
                data = self._there.read(path) if deep else self._there.ends(path)
            except OSError as error:
                report.add(UNREADABLE, f"{path}: {error.strerror}")
                continue
            same = self._is_same(path, data, deep)
            if deep and same is False:
                report.add(OTHER_BYTES, path)
            if not is_jpeg(data):
                report.add(BROKEN_TOO if same else BROKEN, path)
            elif deep:
                try:
                    decode(data, shape if tile_of(path) else None)
                except ValueError as error:
                    report.add(NOT_DECODED, f"{path}: {error}")
        return report

    def _is_same(self, path: str, data: bytes, deep: bool) -> bool | None:
        """Tell whether the TAR's picture has the same bytes, where that costs no download."""
        theirs = self._expected
        if theirs is None or path not in theirs.sizes or not theirs.is_local(path):
            return None
        if theirs.sizes[path] != self._there.sizes[path] or not (deep or not is_jpeg(data)):
            return None
        return data == (theirs.read(path) if deep else theirs.ends(path))

    def _tile_shape(self) -> tuple[int, int] | None:
        """Return what `layout.yaml` says, where it is there and pyproj is installed to read it."""
        path = os.path.join(self._folder, LAYOUT)
        if not self._chosen.levels or not os.path.isfile(path):
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


def _record(folder: str) -> Record | None:
    path = os.path.join(folder, RECORD)
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return Record.parse(file.read(MAX_RECORD))
