"""Street photos joined with their split's table, in one pass over each part.

The builder, and the webdataset pipeline beside it, are two ways to the same samples.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import numpy as np

from geoload.files import open_binary
from geoload.report import Report
from geoload.shards import members
from justzoomin.sources import IMAGES, Folder, Hub, Part, other_split
from justzoomin.table import Table, read_table

SUFFIX = "_undistorted.jpg"
STRANGERS = "pictures that belong to no split"
NOT_FILES = "members that are no files"
EMPTY = "pictures of zero bytes"
TWICE = "pictures that occur twice"
MISSING = "rows without a picture"
REPEATED_ROWS = "ids that occur twice in the table"
BOTH_SPLITS = "ids that are in both splits"

_PREFIX = IMAGES + "/"
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
        Raise at the end of a part that holds anything that belongs to no split, occurs twice,
        or is no picture.
    leave : callable, optional
        Given each part's report and the rows found in it, when its pass is through. Without it
        the report goes to the log.
    """

    def __init__(
        self, source: Hub | Folder, split: str, strict: bool = False, leave: Leave | None = None
    ) -> None:
        self.table = read_table(source.table(split))
        self._others = read_table(source.table(other_split(split))).row
        self._token = source.token if isinstance(source, Hub) else None
        self._split = split
        self._strict = strict
        self._leave = leave

    def samples(self, part: Part) -> Iterator[Sample]:
        """Yield the wanted samples of one part, in the order in which they lie there."""
        report = Report()
        found = np.zeros(len(self.table), bool)
        read = self._extracted if part.slices else self._shard
        for sample in read(part, report):
            row = sample[0]
            if found[row]:
                report.add(TWICE, sample[2])
            elif not sample[3]:
                report.add(EMPTY, sample[2])
            else:
                found[row] = True
                yield sample
        text = f"{part.name}: {found.sum():,} pictures of split {self._split}"
        if report and self._strict:
            raise ValueError(f"{text}; {report} (strict=True).")
        if self._leave is not None:
            self._leave(part, report, np.flatnonzero(found))
        elif report:
            _log.warning("%s; %s", text, report)
        else:
            _log.info("%s", text)

    def _shard(self, part: Part, report: Report) -> Iterator[Sample]:
        rows, others = self.table.row, self._others

        def wanted(name: str) -> bool:
            return _id_of(name) in rows

        with open_binary(part.path, self._token) as file:
            for member, data in members(file, wanted, label=part.path):
                image_id = _id_of(member.name)
                if data is not None:
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
            if image_id not in self.table.row and image_id not in self._others:
                report.add(STRANGERS, entry.name)


def _id_of(name: str) -> str:
    """Return the id in a member's name; of a name of another form, the name itself."""
    name = name.removeprefix("./")
    if name.startswith(_PREFIX) and name.endswith(SUFFIX):
        return name[len(_PREFIX) : -len(SUFFIX)]
    return name


def split_report(table: Table, others: Table, findings: Report, found: list[np.ndarray]) -> Report:
    """Put together what only all parts together tell: rows without a picture, ids twice."""
    times = np.zeros(len(table), int)
    for rows in found:
        times[rows] += 1
    report = Report()
    findings.counts.pop(MISSING, None)
    report.merge(findings)
    first = np.fromiter(table.row.values(), int)
    _add_ids(report, MISSING, [table.image_id[i] for i in first[times[first] == 0]])
    _add_ids(report, TWICE, [table.image_id[i] for i in np.flatnonzero(times > 1)])
    _add_ids(report, REPEATED_ROWS, table.repeated)
    _add_ids(report, BOTH_SPLITS, [i for i in table.row if i in others.row])
    return report


def _add_ids(report: Report, kind: str, ids: list[str]) -> None:
    report.add_many(kind, len(ids), ids)
