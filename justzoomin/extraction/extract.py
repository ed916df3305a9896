"""The extracted layout that the authors' code reads, written from the TAR files.

    metadata/*.csv
    streetview/images/{image_id}_undistorted.jpg
    streetview/metadata_satellite_covered.*
    satellite/layout.yaml
    satellite/{zoom}/{x}/{y}.jpg

TAR files of the Hub are read in ranges as they pass by, so that the disk holds the pictures only;
those that are in the Hub's cache already are taken from there.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from tqdm import tqdm

from geoload.files import is_disk_full
from geoload.output_folder import OutputFolder
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar import Member, ShardError, read_member
from justzoomin.archives import (
    LOADER_LEVELS,
    MAX_PICTURE,
    TWICE,
    Archive,
    find_archives,
    image_id_of,
    name_of,
    place_of,
    refusal,
    shown,
)
from justzoomin.extraction.room import check_room, gigabytes
from justzoomin.selection import RECORD, Record, Selection, pick_levels, pick_splits
from justzoomin.side_files import side_files
from justzoomin.sources import TABLES, Folder, Hub
from justzoomin.streetview import BROKEN, STRANGERS, is_jpeg
from justzoomin.table import read_table

_MAX_SIDE_FILE = 2**30
_log = logging.getLogger(__name__)


@dataclass
class Count:
    """Pictures of a group: how many were written, how many were there, and bytes written."""

    written: int = 0
    there: int = 0
    bytes: int = 0


@dataclass
class Extracted:
    """What `extract` did.

    Attributes
    ----------
    folder : str
    selection : Selection
    left_out, lacking : list of int
        Levels that the source has and that were not asked for; levels that the authors' loader
        reads and that it has not.
    counts : dict of str to Count
        By group: "photos", "level -7", ….
    report : Findings
        What was refused, doubled or broken.
    """

    folder: str
    selection: Selection
    left_out: list[int]
    lacking: list[int]
    counts: dict[str, Count] = field(default_factory=dict)
    report: Findings = field(default_factory=Findings)


def extract(
    folder: str | os.PathLike,
    source: Hub | Folder,
    levels: Sequence[int] | str | None = None,
    photos: bool = True,
    splits: Sequence[str] | None = None,
    shards: Sequence[int] | None = None,
    workers: int | None = None,
) -> Extracted:
    """Write the extracted layout into a folder, or what is missing of it there.

    A picture that is there is not written again: files are written beside their place and renamed,
    so that one under its own name is whole. With a TAR file on this machine its bytes are compared;
    of the Hub's only the size is known before it is downloaded (`verify --deep` looks inside).

    Parameters
    ----------
    folder : path
        Made if it is not there. Nothing is written outside of it, nor through a link in it.
    source : Hub or Folder
        The repository, or a folder with `archives/`.
    levels : sequence of int, "all", optional
        Zoom levels of the tiles; by default -7, -5, -3 and -1, which the authors' loader reads for
        the four views. None at all: ().
    photos : bool
        Whether to extract the street photos.
    splits : sequence of str, optional
        Only the photos of these splits; without it all, those of no split too.
    shards : sequence of int, optional
        Only the photos of these TAR files.
    workers : int, optional
        TAR files that are read at a time; by default 4 of the Hub, 1 of a folder.

    Returns
    -------
    Extracted

    Raises
    ------
    ValueError
        When a level or a shard is not there, a TAR is cut or damaged, or the folder was extracted
        from other TAR files.
    OSError
        When the disk is too small (before anything is written) or full, or when a link stands
        where a folder should be.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it should be 1 or more.")
    archives = find_archives(source)
    selection = Selection(
        pick_levels(archives, levels),
        photos,
        pick_splits(splits),
        None if shards is None else tuple(sorted(set(shards))),
    )
    chosen = selection.archives(archives, name_of(source))
    there = {archive.level for archive in archives if archive.level is not None}
    with OutputFolder(folder) as target:
        target.lock()
        lacking = [level for level in LOADER_LEVELS if levels is None and level not in there]
        left_out = sorted(there - {*selection.levels})
        result = Extracted(target.folder, selection, left_out, lacking)
        sizes = {archive.name: archive.size for archive in chosen}
        old = Record.read(target)
        record = Record(selection, name_of(source), sizes).join(old, target.folder)
        extraction = _Extraction(source, selection, chosen, target, result)
        try:
            extraction.check_room()
            record.write(target)
            extraction.run(workers or (4 if isinstance(source, Hub) else 1))
            finished = Record(selection, name_of(source), sizes, True).join(old, target.folder)
            counts = {group: asdict(count) for group, count in result.counts.items()}
            finished.write(target, counts=counts, reported=result.report.as_dict())
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise OSError(_full_message(result, error)) from error
    return result


def summary(result: Extracted) -> str:
    """Say in a few lines what was extracted, and what was not."""
    lines = [f"{result.folder}:"]
    for group, count in result.counts.items():
        what = "photos" if group == "photos" else f"tiles of {group}"
        lines.append(
            f"  {count.written:,} {what} written ({gigabytes(count.bytes)}), {count.there:,} were "
            "there"
        )
    if result.left_out:
        levels = ", ".join(map(str, result.left_out))
        lines.append(f"Not asked for: the levels {levels} (--levels).")
    if result.lacking:
        levels = ", ".join(map(str, result.lacking))
        lines.append(f"Not there: the levels {levels}, which the authors' loader reads too.")
    lines += [f"Found: {result.report.line(kind)}" for kind in result.report.counts]
    lines.append(f"What was extracted is recorded in {os.path.join(result.folder, RECORD)}.")
    return "\n".join(lines)


class _Extraction:
    """One run: what is wanted, and what all threads of it share."""

    def __init__(
        self,
        source: Hub | Folder,
        selection: Selection,
        archives: list[Archive],
        target: OutputFolder,
        result: Extracted,
    ) -> None:
        self._token = source.token if isinstance(source, Hub) else None
        self._archives, self._target, self._result = archives, target, result
        self._side_files = side_files(source, selection)
        self._ids, self._wanted = _ids(self._side_files, selection)
        self._indexes = [archive.tar_index() for archive in archives]
        self._lock, self._stop = threading.Lock(), threading.Event()
        # Of each picture, the TAR (by its place in the list) and the byte that it is taken from.
        self._taken: dict[str, tuple[int, int]] = {}
        self._earlier: dict[str, tuple[int, Member]] = {}
        result.counts.update({archive.group: Count() for archive in archives})

    def check_room(self) -> None:
        """Read the headers of local TAR files, and see whether all that is wanted has room."""
        for archive, index in zip(self._archives, self._indexes, strict=True):
            if archive.key is None:
                with self._open(archive) as file:
                    index.scan(file)
        share = 1.0 if self._wanted is None else len(self._wanted) / max(len(self._ids), 1)
        check_room(self._target, self._archives, self._indexes, self.place, share, self._side_files)

    def place(self, archive: Archive, member: Member) -> str | None:
        """Return where a member goes; None for one that is not wanted, or not of the layout."""
        if refusal(archive, member) is not None or member.kind != "file":
            return None
        path = place_of(archive, member.name)
        if self._wanted is None or path is None or archive.level is not None:
            return path
        return path if image_id_of(path) in self._wanted else None

    def run(self, workers: int) -> None:
        """Write everything."""
        for path, file in self._side_files.items():
            self._copy(file, path)
        total = sum(archive.size for archive in self._archives)
        with (
            tqdm(total=total, desc="Extracting", unit="B", unit_scale=True, delay=1) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            work = [pool.submit(self._extract, i, bar) for i in range(len(self._archives))]
            try:
                for done in as_completed(work):
                    done.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        for report in [one.result() for one in work]:
            self._result.report.merge(report)
        self._prefer_earlier()

    def _copy(self, file: str, path: str) -> None:
        with open(file, "rb") as opened:
            data = opened.read(_MAX_SIDE_FILE + 1)
        if len(data) > _MAX_SIDE_FILE:
            raise ValueError(f"{file} is larger than {_MAX_SIDE_FILE:,} bytes.")
        if self._target.size(path) != len(data) or self._target.read(path, len(data)) != data:
            self._target.write(path, data)

    def _extract(self, number: int, bar: tqdm) -> Findings:
        archive, index, report = self._archives[number], self._indexes[number], Findings()
        position = 0
        with OutputFolder(self._target.folder) as target, self._open(archive) as file:
            for member, _ in index.read(file):
                if self._stop.is_set():
                    break
                self._take(number, member, file, target, report)
                with self._lock:
                    bar.update(member.data + member.size - position)
                position = member.data + member.size
            with self._lock:
                bar.update(archive.size - position)
        return report

    def _take(
        self, number: int, member: Member, file: BinaryIO, target: OutputFolder, report: Findings
    ) -> None:
        archive = self._archives[number]
        refused = refusal(archive, member)
        path = self.place(archive, member)
        if refused is not None:
            report.add(refused, shown(member.name))
        if path is None:
            return
        if not self._is_first(path, number, member):
            report.add(TWICE, path)
            return
        if archive.level is None and image_id_of(path) not in self._ids:
            report.add(STRANGERS, path.rpartition("/")[2])
        count = self._result.counts[archive.group]
        if self._is_there(path, archive, member, file, target):
            with self._lock:
                count.there += 1
            return
        self._write(path, archive, member, file, target, report)
        with self._lock:
            count.written += 1
            count.bytes += member.size

    def _is_there(
        self, path: str, archive: Archive, member: Member, file: BinaryIO, target: OutputFolder
    ) -> bool:
        """Tell whether a picture is in the folder: by its bytes, or of the Hub's by its size."""
        if target.size(path) != member.size:
            return False
        if archive.key is not None:
            return True
        data = read_member(file, member, archive.path, MAX_PICTURE)
        return target.read(path, member.size) == data

    def _is_first(self, path: str, number: int, member: Member) -> bool:
        """Tell whether nobody took the picture yet; of several the first TAR's counts."""
        with self._lock:
            taken = self._taken.setdefault(path, (number, member.offset))
            if taken == (number, member.offset):
                return True
            if number < min(taken[0], self._earlier.get(path, taken)[0]):
                self._earlier[path] = number, member
            return False

    def _prefer_earlier(self) -> None:
        """Where TAR files that were read side by side hold one picture, take the first's."""
        for path, (number, member) in self._earlier.items():
            archive = self._archives[number]
            with self._open(archive) as file:
                self._write(path, archive, member, file, self._target, Findings())

    def _write(
        self,
        path: str,
        archive: Archive,
        member: Member,
        file: BinaryIO,
        target: OutputFolder,
        report: Findings,
    ) -> None:
        data = read_member(file, member, archive.path, MAX_PICTURE)
        _check_state(archive, file)
        if not is_jpeg(data):
            report.add(BROKEN, path)
        target.write(path, data)

    def _open(self, archive: Archive) -> BinaryIO:
        file = open_binary(archive.path, self._token)
        _check_state(archive, file)
        return file


def _ids(side_files: dict[str, str], selection: Selection) -> tuple[set[str], set[str] | None]:
    """Return the ids of both tables, and those that are wanted, None where all photos are."""
    if not selection.photos:
        return set(), None
    tables = {split: read_table(side_files[f"metadata/{TABLES[split]}"]) for split in TABLES}
    ids = {image_id for table in tables.values() for image_id in table.row}
    if len(selection.splits) == len(TABLES):
        return ids, None
    return ids, {image_id for split in selection.splits for image_id in tables[split].row}


def _check_state(archive: Archive, file: BinaryIO) -> None:
    """Its members are where its headers said only as long as a file is the same."""
    if archive.key is not None:
        return
    stat = os.fstat(file.fileno())
    if (stat.st_size, stat.st_mtime_ns) != archive.state:
        raise ShardError(f"{archive.path} was changed meanwhile. Leave it in place, and try again.")


def _full_message(result: Extracted, error: OSError) -> str:
    written = sum(count.written for count in result.counts.values())
    there = sum(count.there for count in result.counts.values())
    return (
        f"{result.folder}: {error.strerror}, after {written:,} files ({there:,} were there before)."
        " Those that are there are whole. Make room and run the same command again: it goes on "
        "where it stopped. Or leave something out (--levels, --no-photos, --splits, --shards)."
    )
