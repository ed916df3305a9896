"""Writes the extracted layout, which the authors' code reads, from the TAR files.

    metadata/*.csv
    streetview/images/{image_id}_undistorted.jpg
    streetview/metadata_satellite_covered.*
    satellite/layout.yaml
    satellite/{zoom}/{x}/{y}.jpg

TAR files of the Hub are read in ranges without being stored, so that only the pictures are written
to the disk; those in the Hub's cache are read there.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from tqdm import tqdm

from gcd_metric.names import counted
from geoload.files import is_disk_full, is_remote
from geoload.messages import format_bytes, progress_bar
from geoload.output_folder import OutputFolder
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar import Member, ShardError, read_member
from justzoomin.extraction.pictures import REPEATED
from justzoomin.extraction.selection import MAX_RECORD, RECORD, Record, Selection, loader_levels
from justzoomin.findings import BROKEN, STRANGERS, is_jpeg
from justzoomin.members import MAX_PICTURE, image_id_of, path_of, refusal, shown
from justzoomin.source import IMAGES, LOADER_LEVELS, TABLES, Archive, Source
from justzoomin.table import read_table

_MAX_SIDE_FILE = 2**30
_HOW_TO_OMIT = {"photos": "--no-photos, fewer --shards, or --splits validation", "tables": ""}


@dataclass
class Count:
    """Pictures of a group."""

    written: int = 0
    there: int = 0  # existed before
    bytes: int = 0  # that were written


@dataclass
class Extracted:
    """The result of `extract`; the report counts refused, repeated and broken members."""

    folder: str
    unselected: list[int]  # levels that the source has
    lacking: list[int]  # levels that the authors' loader reads and the source does not have
    counts: dict[str, Count] = field(default_factory=dict)  # by group: "photos", "level -7"
    report: Findings = field(default_factory=Findings)

    def __str__(self) -> str:
        lines = [f"{self.folder}:"]
        for group, count in self.counts.items():
            what = "photos" if group == "photos" else f"tiles of {group}"
            written = f"{counted(count.written, what)} written ({format_bytes(count.bytes)})"
            lines.append(f"  {written}, {count.there:,} existed already")
        for text, levels in (
            ("Not selected: the levels {} (--levels).", self.unselected),
            ("The source lacks the levels {}, which the authors' loader reads too.", self.lacking),
        ):
            if levels:
                lines.append(text.format(", ".join(map(str, levels))))
        lines += [f"Found: {self.report.line(kind)}" for kind in self.report.counts]
        lines.append(f"What was extracted is recorded in {os.path.join(self.folder, RECORD)}.")
        return "\n".join(lines)


def extract(
    folder: str | os.PathLike[str],
    source: Source,
    levels: Sequence[int] | str | None = None,
    photos: bool = True,
    splits: Sequence[str] | None = None,
    shards: Sequence[int] | None = None,
    workers: int | None = None,
) -> Extracted:
    """Write the extracted layout, or what is missing of it, into a folder.

    A picture that exists is not written again: files are written under another name and renamed, so
    that a file under its own name is complete. Its bytes are compared with a TAR file on this
    machine, but only its size with one on the Hub (`verify --deep` decodes it).

    Parameters
    ----------
    folder : path
        Created if it does not exist. Nothing is written outside of it, nor through a link in it.
    source : Source
        The repository, or a folder with `archives/`.
    levels : sequence of int, "all", optional
        Zoom levels of the tiles; by default -7, -5, -3 and -1, which the authors' loader reads for
        the four views. () selects none.
    photos : bool
        Whether to extract the street photos.
    splits : sequence of str, optional
        Only the photos of these splits; by default all, including those of no split.
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
        If a level or a shard does not exist, a TAR file is cut or damaged, or the folder was
        extracted from other TAR files.
    OSError
        If the disk is too small (before anything is written) or full, or a link is in the
        place of a folder.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it should be 1 or more.")
    known = {archive.level for archive in source.archives() if archive.level is not None}
    chosen = Selection(loader_levels(known)).choose(known, levels, photos, splits, shards)
    archives = chosen.archives(source)
    sizes = {archive.name: archive.size for archive in archives}
    with OutputFolder(folder) as target:
        target.lock()
        lacking = [level for level in LOADER_LEVELS if levels is None and level not in known]
        result = Extracted(target.folder, sorted(known - {*chosen.levels}), lacking)
        old = Record.parse(target.read(RECORD, MAX_RECORD))
        begun = Record(chosen, source.name, sizes).join(old, target.folder)
        extraction = _Extraction(source, chosen, archives, target, result)
        try:
            extraction.check_room()
            begun.write(target)
            extraction.run(workers or source.parallel)
            finished = Record(chosen, source.name, sizes, True).join(old, target.folder)
            counts = {group: asdict(count) for group, count in result.counts.items()}
            finished.write(target, counts=counts, reported=result.report.as_dict())
        except OSError as error:
            if not is_disk_full(error):
                raise
            written = sum(count.written for count in result.counts.values())
            there = sum(count.there for count in result.counts.values())
            raise OSError(
                f"{result.folder}: {error.strerror}, after {counted(written, 'files')} ({there:,} "
                "existed before). All of them are complete. Free some space and run the same "
                "command again to continue, or leave something out (--levels, --no-photos, "
                "--splits, --shards)."
            ) from error
    return result


class _Extraction:
    """One run: what is selected, and what its threads share."""

    def __init__(
        self, source: Source, selection: Selection, archives: list[Archive], target: OutputFolder,
        result: Extracted,
    ) -> None:  # fmt: skip
        self._source, self._archives = source, archives
        self._target, self._result = target, result
        self._side_files = selection.side_files(source)
        self._ids, self._wanted = set[str](), set[str]()
        self._share = 1.0  # of the photos that are in the wanted splits
        if selection.photos:
            tables = {s: read_table(self._side_files[f"metadata/{TABLES[s]}"]) for s in TABLES}
            self._ids = {i for table in tables.values() for i in table.row}
            self._wanted = {i for split in selection.splits for i in tables[split].row}
            self._share = len(self._wanted) / max(len(self._ids), 1)
        self._every_photo = len(selection.splits) == len(TABLES)
        self._lock, self._stop = threading.Lock(), threading.Event()
        # The TAR file (by its place in the list) and the byte that each picture is taken from.
        self._taken: dict[str, tuple[int, int]] = {}
        self._earlier: dict[str, tuple[int, Member]] = {}
        result.counts.update({archive.group: Count() for archive in archives})

    def _path(self, archive: Archive, member: Member) -> str | None:
        """Return the path to write a member to; None if it is not wanted, or not in the layout."""
        path = path_of(member.name, archive.level)
        if path is None or member.kind != "file" or refusal(member, archive.level):
            return None
        if archive.level is None and not self._every_photo:
            return path if image_id_of(path) in self._wanted else None
        return path

    def check_room(self) -> None:
        """Raise OSError if the disk has no room for what is still to be written.

        A remote TAR file that was never read is assumed to need its own size, or the share of it
        that the wanted splits have of all photos, less the unknown files that exist in the folder.
        """
        disk = os.statvfs(self._target.folder)
        block = disk.f_frsize or 4096
        sizes, files = Counter[str](), 0
        for path, file in self._side_files.items():
            if self._target.size(path) is None:
                sizes["tables"] += os.stat(file).st_size
                files += 1
        unknown, known = Counter[str](), Counter[str]()
        for archive in self._archives:
            index = self._source.index(archive)
            members = {p: m for m in index if (p := self._path(archive, m)) is not None}
            for path, member in members.items():
                if self._target.size(path) == member.size:
                    known[archive.group] += member.size
                else:
                    sizes[archive.group] += -(-member.size // block) * block
                    files += 1
            share = self._share if archive.level is None else 1
            unknown[archive.group] += int((archive.size - index.position) * share)
        tops = {
            a.group: IMAGES if a.level is None else f"satellite/{a.level}" for a in self._archives
        }
        for group in +unknown:
            below = os.walk(os.path.join(self._target.folder, tops[group]))
            paths = [os.path.join(folder, name) for folder, _, names in below for name in names]
            there = sum(os.lstat(path).st_size for path in paths) - known[group]
            sizes[group] += max(unknown[group] - max(there, 0), 0)
        omit = [
            f"{group}: {format_bytes(size)} ({how})"
            for group, size in sizes.most_common()
            if size and (how := _HOW_TO_OMIT.get(group, "--levels without it"))
        ]
        advice = f"Use another disk, or leave something out: {'; '.join(omit)}."
        folder, total = self._target.folder, sizes.total()
        free = shutil.disk_usage(folder).free
        if total > free:
            raise OSError(
                f"{folder} has {format_bytes(free)} free, and {format_bytes(total)} are still to "
                f"be written: {format_bytes(total - free)} are missing. {advice}"
            )
        if disk.f_files and files > disk.f_favail:
            raise OSError(
                f"The disk of {folder} has room for {disk.f_favail:,} more files, and {files:,} "
                f"are still to be written. {advice}"
            )

    def run(self, workers: int) -> None:
        """Write everything."""
        for path, file in self._side_files.items():
            with open(file, "rb") as opened:
                data = opened.read(_MAX_SIDE_FILE + 1)
            if len(data) > _MAX_SIDE_FILE:
                raise ValueError(f"{file} is larger than {_MAX_SIDE_FILE:,} bytes.")
            if self._target.size(path) != len(data) or self._target.read(path, len(data)) != data:
                self._target.write(path, data)
        total = sum(archive.size for archive in self._archives)
        with (
            progress_bar("Extracting", total) as bar,
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
        # If TAR files that were read at the same time share a picture, the first one's counts.
        for path, (number, member) in self._earlier.items():
            archive = self._archives[number]
            with self._open(archive) as tar:
                self._target.write(path, _read(archive, member, tar))

    def _extract(self, number: int, bar: tqdm) -> Findings:
        archive, report, position = self._archives[number], Findings(), 0
        with OutputFolder(self._target.folder) as target, self._open(archive) as file:
            for member, _ in self._source.index(archive).read(file):
                if self._stop.is_set():
                    break
                if refused := refusal(member, archive.level):
                    report.add(refused, shown(member.name))
                elif (path := self._path(archive, member)) is not None:
                    self._take(path, number, member, file, target, report)
                with self._lock:
                    bar.update(member.data + member.size - position)
                position = member.data + member.size
            with self._lock:
                bar.update(archive.size - position)
        return report

    def _take(
        self, path: str, number: int, member: Member, file: BinaryIO, target: OutputFolder,
        report: Findings,
    ) -> None:  # fmt: skip
        """Write a picture, unless it exists or another TAR file has it."""
        archive = self._archives[number]
        if not self._is_first(path, number, member):
            report.add(REPEATED, path)
            return
        if archive.level is None and image_id_of(path) not in self._ids:
            report.add(STRANGERS, path.rpartition("/")[2])
        count = self._result.counts[archive.group]
        there = target.size(path) == member.size
        if there and not is_remote(archive.path):
            there = target.read(path, member.size) == _read(archive, member, file)
        if not there:
            data = _read(archive, member, file)
            if not is_jpeg(data):
                report.add(BROKEN, path)
            target.write(path, data)
        with self._lock:
            count.there += there
            count.written += not there
            count.bytes += 0 if there else member.size

    def _is_first(self, path: str, number: int, member: Member) -> bool:
        """Return whether the picture is to be taken from this TAR file, the first to reach it."""
        place = number, member.offset
        with self._lock:
            taken = self._taken.setdefault(path, place)
            if taken != place and number < min(taken[0], self._earlier.get(path, taken)[0]):
                self._earlier[path] = number, member
            return taken == place

    def _open(self, archive: Archive) -> BinaryIO:
        file = open_binary(archive.path, self._source.token)
        _check_unchanged(archive, file)
        return file


def _read(archive: Archive, member: Member, file: BinaryIO) -> bytes:
    data = read_member(file, member, archive.path, MAX_PICTURE)
    _check_unchanged(archive, file)
    return data


def _check_unchanged(archive: Archive, file: BinaryIO) -> None:
    """Raise ShardError if a local file changed, as members may then be in other places."""
    if is_remote(archive.path):
        return
    stat = os.fstat(file.fileno())
    if (stat.st_size, stat.st_mtime_ns) != (archive.size, archive.mtime_ns):
        raise ShardError(
            f"{archive.path} was changed while it was read. Leave it in place, and try again."
        )
