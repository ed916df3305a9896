"""Street photos joined with their split's table, in one pass over each part.

The builder, and the webdataset pipeline beside it, are two ways to the same samples.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import numpy as np

from geoload.files import open_binary, printable
from geoload.report import Report
from geoload.shards import members
from justzoomin.sources import IMAGES, Folder, Hub, Part, other_split
from justzoomin.table import Table, read_table

SUFFIX = "_undistorted.jpg"
STRANGERS = "pictures that belong to no split"
NOT_FILES = "members that are no files"
BROKEN = "pictures that are no whole JPEG"
TWICE = "pictures that occur twice"
MISSING = "rows without a picture"
REPEATED_ROWS = "ids that occur twice in the table"
BOTH_SPLITS = "ids that are in both splits"

_PREFIX = IMAGES + "/"
_TAIL = 4096  # bytes at the end of a picture in which its end-of-image mark is looked for
_log = logging.getLogger(__name__)

# A row of the table, the place of its picture (file and byte), the picture's name, its bytes.
Sample = tuple[int, str, str, bytes]
Leave = Callable[[Part, Report, np.ndarray], None]


class Join:
    """Joins the parts of one split's photos with its table.

    Parameters
    ----------
    source : Hub or Folder
    split : str
        "train" or "validation".
    strict : bool
        Raise, at the end of a part or of all, where anything would be reported.
    leave : callable
        Given each part's report and the rows found in it, when its pass is through.
    """

    def __init__(self, source: Hub | Folder, split: str, strict: bool, leave: Leave) -> None:
        self.table = read_table(source.table(split))
        self._others = read_table(source.table(other_split(split)))
        self._token = source.token if isinstance(source, Hub) else None
        self._split = split
        self._strict = strict
        self._leave = leave

    def samples(self, parts: list[Part]) -> Iterator[Sample]:
        """Yield the wanted samples of some parts, in the order in which they lie there."""
        for part in parts:
            report, found = Report(), np.zeros(len(self.table), bool)
            yield from self._samples(part, report, found)
            if report and self._strict:
                raise ValueError(f"{part.name}, split {self._split}: {report} (strict=True).")
            self._leave(part, report, np.flatnonzero(found))

    def _samples(self, part: Part, report: Report, found: np.ndarray) -> Iterator[Sample]:
        read = self._extracted if part.slices else self._shard
        for sample in read(part, report):
            row = sample[0]
            if found[row]:
                report.add(TWICE, sample[2])
            elif not _is_jpeg(sample[3]):
                report.add(BROKEN, sample[2])
            else:
                found[row] = True
                yield sample

    def _shard(self, part: Part, report: Report) -> Iterator[Sample]:
        rows, others = self.table.row, self._others.row

        def wanted(name: str) -> bool:
            return _id_of(name) in rows

        with open_binary(part.path, self._token) as file:
            for member, data in members(file, wanted, label=part.path):
                image_id = _id_of(member.name)
                if data is not None:
                    assert image_id is not None
                    yield rows[image_id], f"{part.name}:{member.offset}", member.name, data
                elif member.kind not in ("file", "dir"):
                    report.add(NOT_FILES, member.name)
                elif member.kind == "file" and image_id not in others:
                    report.add(STRANGERS, member.name)

    def _extracted(self, part: Part, report: Report) -> Iterator[Sample]:
        ids = self.table.image_id
        start = part.number * len(ids) // part.slices
        stop = (part.number + 1) * len(ids) // part.slices
        for row in range(start, stop):
            if self.table.row[ids[row]] != row:
                continue
            name = ids[row] + SUFFIX
            path = os.path.join(part.path, name)
            if os.path.dirname(os.path.normpath(path)) == part.path and os.path.isfile(path):
                with open(path, "rb", buffering=0) as file:
                    yield row, name, name, file.read()
            else:
                report.add(MISSING, ids[row])
        if part.number == 0:
            self._count_strangers(part.path, report)

    def _count_strangers(self, folder: str, report: Report) -> None:
        for entry in os.scandir(folder):
            image_id = entry.name.removesuffix(SUFFIX)
            if image_id not in self.table.row and image_id not in self._others.row:
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

    def leave(self, part: Part, report: Report, rows: np.ndarray) -> None:
        """Log one part's findings, and after the last part those of all."""
        # Of a folder's slices there are many; what they miss is said once, at the end.
        report.counts.pop(MISSING, None)
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
        report = split_report(table, others, Report(), found, self._some)
        if report and self._strict:
            raise ValueError(f"justzoomin, split {self._split}: {report} (strict=True).")
        if report:
            _log.warning("justzoomin, split %s: %s", self._split, report)


def _id_of(name: str) -> str | None:
    """Return the id in a member's name, if it has the form that photos' names have."""
    name = name.removeprefix("./")
    if name.startswith(_PREFIX) and name.endswith(SUFFIX):
        return name[len(_PREFIX) : -len(SUFFIX)]
    return None


def _is_jpeg(data: bytes) -> bool:
    """Look at both ends only; decoding would cost a hundred times as much."""
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9", -_TAIL) >= 0


def table_report(table: Table, others: Table) -> Report:
    """Count what is wrong with a split's table by itself and beside the other's."""
    report = Report()
    _add_ids(report, REPEATED_ROWS, table.repeated)
    _add_ids(report, BOTH_SPLITS, [i for i in table.row if i in others.row])
    return report


def split_report(
    table: Table, others: Table, findings: Report, found: list[np.ndarray], some: bool
) -> Report:
    """Put together what only all parts together tell: rows without a picture, ids twice."""
    times = np.zeros(len(table), int)
    for rows in found:
        times[rows] += 1
    report = Report()
    findings.counts.pop(MISSING, None)
    report.merge(findings)
    if not some:
        first = np.fromiter(table.row.values(), int)
        _add_ids(report, MISSING, [table.image_id[i] for i in first[times[first] == 0]])
    _add_ids(report, TWICE, [table.image_id[i] for i in np.flatnonzero(times > 1)])
    report.merge(table_report(table, others))
    return report


def _add_ids(report: Report, kind: str, ids: list[str]) -> None:
    report.add_many(kind, len(ids), ids)
