"""Street photos joined with their split's table, in one pass over each part.

The builder, and the webdataset pipeline beside it, are two ways to the same samples.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from geoload.files import is_clutter, is_remote, printable
from geoload.pictures import PictureError, Size, shrink
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar_index import TarIndex
from geoload.tar_reader import member_address, read_members, shared_reader
from justzoomin.plan import NOT_FILES, STRANGERS, SUFFIX, TWICE, Plan, id_of, plan_of
from justzoomin.sources import Folder, Hub, Part, other_split
from justzoomin.table import Table, read_table
from justzoomin.views import WHITE_PHOTOS

BROKEN = "pictures that are no whole JPEG"
MISSING = "rows without a picture"
REPEATED_ROWS = "ids that occur twice in the table"
BOTH_SPLITS = "ids that are in both splits"

_TAIL = 4096  # bytes at the end of a picture in which its end-of-image mark is looked for
_log = logging.getLogger(__name__)

# A row of the table, the place of its picture (file and byte), the picture's name, its bytes; or,
# where pictures are left in place, its address and None.
Sample = tuple[int, str, str, bytes | None]
Leave = Callable[[Part, Findings, np.ndarray], None]


class Join:
    """Joins the parts of one split's photos with its table.

    Parameters
    ----------
    source : Hub or Folder
    split : str
        "train" or "validation".
    config : JustZoomInConfig
        `strict`: raise, at the end of a part, where anything would be reported. `in_place`: give
        the addresses of pictures, and read none. `image_size`: give the pictures at this size, as
        `geoload.pictures.shrink` does.
    leave : callable
        Given each part's report and the rows found in it, when its pass is through.
    """

    def __init__(self, source: Hub | Folder, split: str, config: Any, leave: Leave) -> None:
        self.table = read_table(source.table(split))
        self._others = read_table(source.table(other_split(split)))
        self._source = source
        self._token = source.token if isinstance(source, Hub) else None
        self._split = split
        self._strict, self._in_place = config.strict, config.in_place
        self._image_size: Size | None = config.image_size
        self._leave = leave

    def samples(self, parts: list[Part]) -> Iterator[Sample]:
        """Yield the wanted samples of some parts: in the order in which they lie in a shard.

        Photos that are files, and those left in place, come in the order of the table.
        """
        for part in parts:
            report, found = Findings(), np.zeros(len(self.table), bool)
            yield from self._samples(part, report, found)
            report.raise_or_log(f"{part.name}, split {self._split}", self._strict)
            self._leave(part, report, np.flatnonzero(found))

    def _samples(self, part: Part, report: Findings, found: np.ndarray) -> Iterator[Sample]:
        for row, place, name, data in self._reader(part)(part, report):
            if found[row]:
                report.add(TWICE, name)
                continue
            if data is not None:
                data = self._handed_out(data)
                if data is None:
                    report.add(BROKEN, name)
                    continue
            found[row] = True
            yield row, place, name, data

    def _handed_out(self, data: bytes) -> bytes | None:
        """Return a picture as it leaves the house, or None for one that is broken."""
        if not is_jpeg(data):
            return None
        if self._image_size is None:
            return data
        try:
            return shrink(data, self._image_size)
        except PictureError:
            return None

    def _reader(self, part: Part) -> Callable[[Part, Findings], Iterator[Sample]]:
        if remote := [path for path in part.shards if is_remote(path)]:
            raise ValueError(
                f"in_place=True leaves pictures in files of this machine; {remote[0]} is not. "
                "Leave streaming=True out, so that the shards are downloaded."
            )
        if os.path.isdir(part.path):
            return self._extracted
        if part.shards:
            return self._addresses
        return self._indexed if self._index(part).complete else self._shard

    def _indexed(self, part: Part, report: Findings) -> Iterator[Sample]:
        """Read a slice of a shard: nothing but the pictures that are in it."""
        index, plan = self._plan(part)
        if part.number == 0:
            report.merge(plan.report)
        share = plan.share(part.number, part.slices)
        wanted = [index[number] for number in plan.members[share].tolist()]
        read = read_members(part.path, wanted, self._token)
        for row, member, data in zip(plan.rows[share].tolist(), wanted, read, strict=True):
            yield row, f"{part.name}:{member.data}", member.name, data

    def _addresses(self, part: Part, report: Findings) -> Iterator[Sample]:
        """Say where the pictures lie, in the order of the table, whichever shard each is in."""
        found: list[Sample] = []
        for path in part.shards:
            index, plan = self._plan(Part(path, path))
            report.merge(plan.report)
            # Looked at as they lie: in the order of the table a disk would seek for each.
            for row, number in zip(plan.rows.tolist(), plan.members.tolist(), strict=True):
                name, _, offset, size, _ = index[number]
                if _has_both_ends(path, offset, size, name):
                    found.append((row, f"{path}:{offset}", member_address(path, name), None))
                else:
                    report.add(BROKEN, name)
        yield from sorted(found, key=lambda sample: sample[0])

    def _index(self, part: Part) -> TarIndex:
        if is_remote(part.path):
            assert isinstance(self._source, Hub)
            return self._source.index(part)
        return shared_reader(part.path).index

    def _plan(self, part: Part) -> tuple[TarIndex, Plan]:
        index = self._index(part)
        return index, plan_of(index, self.table, self._others)

    def _shard(self, part: Part, report: Findings) -> Iterator[Sample]:
        """Read a shard from start to end, which completes its index."""
        rows, others = self.table.row, self._others.row

        def wanted(name: str) -> bool:
            return id_of(name) in rows

        with open_binary(part.path, self._token) as file:
            for member, data in self._index(part).read(file, wanted):
                image_id = id_of(member.name)
                if data is not None:
                    assert image_id is not None
                    yield rows[image_id], f"{part.name}:{member.offset}", member.name, data
                elif member.kind not in ("file", "dir"):
                    report.add(NOT_FILES, member.name)
                elif member.kind == "file" and image_id not in others:
                    report.add(STRANGERS, member.name)

    def _extracted(self, part: Part, report: Findings) -> Iterator[Sample]:
        ids = self.table.image_id
        start = part.number * len(ids) // part.slices
        stop = (part.number + 1) * len(ids) // part.slices
        for row in range(start, stop):
            if self.table.row[ids[row]] != row:
                continue
            name = ids[row] + SUFFIX
            path = os.path.join(part.path, name)
            if os.path.dirname(os.path.normpath(path)) == part.path and os.path.isfile(path):
                yield row, name, *self._extracted_picture(path, name)
            else:
                report.add(MISSING, ids[row])
        if part.number == 0:
            self._count_strangers(part.path, report)

    def _extracted_picture(self, path: str, name: str) -> tuple[str, bytes | None]:
        if self._in_place:
            return path, None
        with open(path, "rb", buffering=0) as file:
            return name, file.read()

    def _count_strangers(self, folder: str, report: Findings) -> None:
        for entry in os.scandir(folder):
            image_id = entry.name.removesuffix(SUFFIX)
            known = image_id in self.table.row or image_id in self._others.row
            if not known and not is_clutter(entry.name):
                report.add(STRANGERS, printable(entry.name))


class Pass:
    """Follows a streamed pass over all parts and says, at its end, what only all of them tell.

    Parts may come in calls of their own, as `datasets` makes them. In a process that reads some
    of the parts only, such as a DataLoader worker, the end never comes.

    Parameters
    ----------
    source : Hub or Folder
    split : str
    count : int
        How many parts there are.
    strict : bool
        Raise instead of logging.
    some : bool
        Shards were left out on purpose, so rows without a picture are no news.
    """

    def __init__(
        self, source: Hub | Folder, split: str, count: int, strict: bool, some: bool
    ) -> None:
        self._source, self._split, self._count = source, split, count
        self._strict, self._some = strict, some
        self._rows: dict[str, np.ndarray] = {}
        self._white = Findings()

    def leave(self, part: Part, report: Findings, rows: np.ndarray) -> None:
        """Log one part's findings, and after the last part those of all."""
        # Of slices there are many; what rows miss is said once, at the end.
        report.counts.pop(MISSING, None)
        self._white.add_many(WHITE_PHOTOS, report.counts.pop(WHITE_PHOTOS, 0))
        level = logging.WARNING if report else logging.INFO
        text = f"; {report}" if report else ""
        _log.log(level, "%s: %s pictures of split %s%s", part.name, len(rows), self._split, text)
        self._rows[part.name] = rows
        if len(self._rows) == self._count:
            found, self._rows = list(self._rows.values()), {}
            self._conclude(found)

    def _conclude(self, found: list[np.ndarray]) -> None:
        table = read_table(self._source.table(self._split))
        others = read_table(self._source.table(other_split(self._split)))
        report = split_report(table, others, self._white, found, self._some)
        self._white = Findings()
        report.raise_or_log(f"justzoomin, split {self._split}", self._strict, _log)


def _has_both_ends(path: str, offset: int, size: int, name: str) -> bool:
    """Look at a picture in its shard as `is_jpeg` looks at its bytes."""
    archive, tail = shared_reader(path), min(size, _TAIL)
    start = archive.read_at(offset, min(size, 2), name)
    return is_jpeg(start + archive.read_at(offset + size - tail, tail, name)) and size > 3


def is_jpeg(data: bytes) -> bool:
    """Look at both ends only; decoding would cost a hundred times as much."""
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9", -_TAIL) >= 0


def table_report(table: Table, others: Table) -> Findings:
    """Count what is wrong with a split's table by itself and beside the other's."""
    report = Findings()
    _add_ids(report, REPEATED_ROWS, table.repeated)
    _add_ids(report, BOTH_SPLITS, [i for i in table.row if i in others.row])
    return report


def split_report(
    table: Table, others: Table, findings: Findings, found: list[np.ndarray], some: bool
) -> Findings:
    """Put together what only all parts together tell: rows without a picture, ids twice."""
    times = np.zeros(len(table), int)
    for rows in found:
        times[rows] += 1
    report = Findings()
    findings.counts.pop(MISSING, None)
    report.merge(findings)
    if not some:
        first = np.fromiter(table.row.values(), int)
        _add_ids(report, MISSING, [table.image_id[i] for i in first[times[first] == 0]])
    _add_ids(report, TWICE, [table.image_id[i] for i in np.flatnonzero(times > 1)])
    report.merge(table_report(table, others))
    return report


def _add_ids(report: Findings, kind: str, ids: list[str]) -> None:
    report.add_many(kind, len(ids), ids)
