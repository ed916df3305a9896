"""The configurations `streetview` and `metadata`: a split's table, with and without its photos.

On disk: TAR shards that contain the photos of both splits and a CSV for each split that names them;
or the same, extracted. Each part is read once, and its photos are joined with the table by id.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import datasets
import numpy as np

from geoload.files import is_clutter, is_remote, printable
from geoload.pictures import PictureError, Size, shrink
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar_index import TarIndex
from geoload.tar_reader import member_address, read_members, shared_reader
from justzoomin.configs.covered import Covered, find_covered, read_covered
from justzoomin.findings import (
    BROKEN,
    END_OF_IMAGE,
    MISSING,
    STRANGERS,
    TWICE,
    Done,
    is_jpeg,
    take,
)
from justzoomin.members import NOT_FILES, SUFFIX, joined_id
from justzoomin.options import JustZoomInConfig, Row
from justzoomin.source import TABLES, Archive, Source
from justzoomin.splits import read_tables
from justzoomin.table import Table, table_report

# A row of the table, the place of its picture (archive and byte), the name of the picture, and its
# bytes; or, where pictures are left in place, its address and None.
_Sample = tuple[int, str, str, "bytes | None"]


class Metadata(JustZoomInConfig):
    """The rows of a split's table: coordinates and zoom actions."""

    def own_features(self) -> dict[str, Any]:
        """Return the columns that do not come from the table of covered photos."""
        number = datasets.Value("float64")
        actions = datasets.Sequence(datasets.Value("int64"))
        place = {"latitude": number, "longitude": number}
        return {"image_id": datasets.Value("string"), **place, "sequence": actions}

    def features(self, source: Source) -> dict[str, Any]:
        covered = self.covered_table(source)
        return {**self.own_features(), **(covered.features() if covered else {})}

    def covered_table(self, source: Source) -> Covered | None:
        """Return the table of `covered=`, or None if it is not requested."""
        if not self.covered:
            return None
        return read_covered(source, self.covered, self.covered_id, tuple(self.own_features()))

    def archives(self, source: Source) -> list[Archive]:
        """Return the archives that are read."""
        return []

    def source_key(self) -> Any:
        source = self.source()

        def files() -> list[str]:
            found = [source.table(split) for split in TABLES]
            if self.covered is True:
                found.append(find_covered(source, True))
            return found + [file for archive in self.archives(source) for file in archive.files()]

        return source.key(files, own=[self.covered] if isinstance(self.covered, str) else [])

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        return ["metadata"]

    def rows(self, source: Source, parts: list[Any], split: str, done: Done) -> Iterator[Row]:
        covered = self.covered_table(source)
        for key, record in self.own_rows(source, parts, split, done):
            if covered is not None:
                record.update(covered.record(record["image_id"]))
            yield key, record

    def own_rows(self, source: Source, parts: list[Any], split: str, done: Done) -> Iterator[Row]:
        """Yield the rows without the columns of the table of covered photos."""
        table, _ = read_tables(source, split)
        for row in range(len(table)):
            yield str(row), table.record(row)
        done("metadata", Findings(), None)

    def combine_findings(
        self, source: Source, split: str, findings: Findings, found: list[np.ndarray]
    ) -> Findings:
        table, others = read_tables(source, split)
        findings.merge(table_report(table, others))
        if covered := self.covered_table(source):
            findings.merge(covered.compare(table, others))
        return findings


class StreetView(Metadata):
    """The photos of a split, each with its row of the table."""

    def own_features(self) -> dict[str, Any]:
        return {"image": datasets.Image(), **super().own_features()}

    def archives(self, source: Source) -> list[Archive]:
        return source.photos(self.shards)

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        """Slices of archives, or in place one list of whole ones."""
        archives = self.archives(source)
        if dl_manager is not None:
            copies_to = None if self.in_place else cache_dir
            archives = source.download(archives, dl_manager, copies_to)
        if not self.in_place:
            return [part for archive in archives for part in archive.cut()]
        if remote := next((a.path for a in archives if is_remote(a.path)), None):
            raise ValueError(
                f"in_place=True leaves photos in files of this machine, and {remote} is not one. "
                "Leave streaming=True out, so that the shards are downloaded."
            )
        return [archives]

    def left_in_place(self, parts: list[Any]) -> list[str]:
        return [archive.path for archive in parts[0]] if self.in_place else []

    def own_rows(self, source: Source, parts: list[Any], split: str, done: Done) -> Iterator[Row]:
        """Yield the rows: in the order of the photos in a shard, or of the table.

        Photos that are files, and those left in place, have the order of the table.
        """
        reader = _Reader(source, split)
        table = reader.table
        for part in parts:
            name = "photos in place" if self.in_place else part.label
            report, found = Findings(), np.zeros(len(table), bool)
            samples = reader.addresses(part, report) if self.in_place else reader.read(part, report)
            for row, place, path, data in samples:
                if found[row]:
                    report.add(TWICE, path)
                    continue
                if data is not None:
                    data = _usable(data, self.image_size)
                    if data is None:
                        report.add(BROKEN, path)
                        continue
                    # Not os.path.basename, which `datasets` replaces by a slow one for streaming.
                    path = path.rpartition("/")[2]
                found[row] = True
                record = {"image": {"bytes": data, "path": path}, **table.record(row)}
                self.add_columns(source, record, report)
                yield place, record
            report.raise_or_log(f"{name}, split {split}", self.strict)
            done(name, report, np.flatnonzero(found))

    def add_columns(self, source: Source, record: dict[str, Any], report: Findings) -> None:
        """Add further columns to a record, and problems with them to the report."""

    def combine_findings(
        self, source: Source, split: str, findings: Findings, found: list[np.ndarray]
    ) -> Findings:
        """Adds rows without a picture, and pictures in two parts."""
        table, _ = read_tables(source, split)
        times = np.zeros(len(table), int)
        for rows in found:
            times[rows] += 1
        take(findings, MISSING)  # of extracted photos, which are all counted here
        if self.shards is None:
            first = np.fromiter(table.row.values(), int)
            missing = [table.image_id[row] for row in first[times[first] == 0]]
            findings.add_many(MISSING, len(missing), missing)
        twice = [table.image_id[row] for row in np.flatnonzero(times > 1)]
        findings.add_many(TWICE, len(twice), twice)
        return super().combine_findings(source, split, findings, found)


def _usable(data: bytes, size: Size | None) -> bytes | None:
    """Return a picture at the requested size, or None if it is broken."""
    if not is_jpeg(data):
        return None
    try:
        return data if size is None else shrink(data, size)
    except PictureError:
        return None


class _Plan(NamedTuple):
    """The photos of one split in a shard, in the order of the file."""

    rows: np.ndarray  # of the split's table
    members: np.ndarray  # numbers in the index
    report: Findings  # members that belong to neither split


@functools.lru_cache(maxsize=16)
def _plan(index: TarIndex, table: Table, others: Table) -> _Plan:
    """Join a shard's index with a split's table; cached, because every slice needs it."""
    report = Findings()
    wanted: dict[int, int] = {}
    for member in index.files():
        name = index.name(member)
        image_id = joined_id(name)
        row = table.row.get(image_id) if image_id else None
        if row is None:
            if image_id not in others.row:
                report.add(STRANGERS, name)
        elif wanted.setdefault(row, member) != member:
            report.add(TWICE, name)
    not_files = index.not_files()
    report.add_many(NOT_FILES, len(not_files), not_files)
    rows = np.fromiter(wanted, np.int64, len(wanted))
    return _Plan(rows, np.fromiter(wanted.values(), np.int64, len(wanted)), report)


class _Reader:
    """Reads the photos of one split from archives."""

    def __init__(self, source: Source, split: str) -> None:
        self.table, self._others = read_tables(source, split)
        self._source = source

    def read(self, archive: Archive, report: Findings) -> Iterator[_Sample]:
        """Yield the photos of an archive or a slice of it."""
        if archive.extracted:
            return self._extracted(archive, report)
        index = self._source.index(archive)
        if index.complete:
            return self._indexed(archive, index, report)
        return self._whole(archive, index, report)

    def _indexed(self, archive: Archive, index: TarIndex, report: Findings) -> Iterator[_Sample]:
        """Read nothing but the wanted pictures of a slice."""
        plan = _plan(index, self.table, self._others)
        if archive.slice_number == 0:
            report.merge(plan.report)
        share = archive.share(len(plan.rows))
        wanted = [index[number] for number in plan.members[share].tolist()]
        pictures = read_members(archive.path, wanted, self._source.token)
        for row, member, data in zip(plan.rows[share].tolist(), wanted, pictures, strict=True):
            yield row, f"{archive.label}:{member.data}", member.name, data

    def _whole(self, archive: Archive, index: TarIndex, report: Findings) -> Iterator[_Sample]:
        """Read a remote shard from start to end, which completes its index."""
        rows, others = self.table.row, self._others.row
        with open_binary(archive.path, self._source.token) as file:
            for member, data in index.read(file, lambda name: joined_id(name) in rows):
                image_id = joined_id(member.name)
                if data is not None:
                    assert image_id is not None
                    yield rows[image_id], f"{archive.label}:{member.offset}", member.name, data
                elif member.kind not in ("file", "dir"):
                    report.add(NOT_FILES, member.name)
                elif member.kind == "file" and image_id not in others:
                    report.add(STRANGERS, member.name)

    def addresses(self, archives: list[Archive], report: Findings) -> Iterator[_Sample]:
        """Yield the addresses of the photos of local archives, in the order of the table."""
        found: list[_Sample] = []
        for archive in archives:
            if archive.extracted:
                for row, name, path in self._files(archive, report):
                    found.append((row, name, path, None))
                continue
            index = shared_reader(archive.path).index
            plan = _plan(index, self.table, self._others)
            report.merge(plan.report)
            # Checked in file order: in table order a disk would have to seek for each photo.
            for row, number in zip(plan.rows.tolist(), plan.members.tolist(), strict=True):
                name, _, offset, size, _ = index[number]
                if _has_both_ends(archive.path, offset, size, name):
                    address = member_address(archive.path, name)
                    found.append((row, f"{archive.path}:{offset}", address, None))
                else:
                    report.add(BROKEN, name)
        yield from sorted(found, key=lambda sample: sample[0])

    def _extracted(self, archive: Archive, report: Findings) -> Iterator[_Sample]:
        for row, name, path in self._files(archive, report):
            with open(path, "rb", buffering=0) as file:
                yield row, name, name, file.read()

    def _files(self, archive: Archive, report: Findings) -> Iterator[tuple[int, str, str]]:
        """Yield row, name and path of extracted photos, in the order of the table."""
        ids = self.table.image_id
        for row in range(len(ids))[archive.share(len(ids))]:
            if self.table.row[ids[row]] != row:
                continue
            name = ids[row] + SUFFIX
            path = os.path.join(archive.path, name)
            if os.path.dirname(os.path.normpath(path)) == archive.path and os.path.isfile(path):
                yield row, name, path
            else:
                report.add(MISSING, ids[row])
        if archive.slice_number == 0:
            for entry in os.scandir(archive.path):
                image_id = entry.name.removesuffix(SUFFIX)
                known = image_id in self.table.row or image_id in self._others.row
                if not known and not is_clutter(entry.name):
                    report.add(STRANGERS, printable(entry.name))


def _has_both_ends(path: str, offset: int, size: int, name: str) -> bool:
    """Check a picture in its shard as `is_jpeg` checks its bytes."""
    archive, tail = shared_reader(path), min(size, END_OF_IMAGE)
    start = archive.read_at(offset, min(size, 2), name)
    return is_jpeg(start + archive.read_at(offset + size - tail, tail, name)) and size > 3
