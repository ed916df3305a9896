"""What the index of a shard says of its photos: which members are a split's, and what is odd.

Reading them is `streetview.py`.
"""

from __future__ import annotations

import functools
import numbers
import re
from typing import Any, NamedTuple

import numpy as np

from geoload.report import Findings
from geoload.tar_index import TarIndex
from justzoomin.sources import IMAGES
from justzoomin.table import Table

SUFFIX = "_undistorted.jpg"
STRANGERS = "pictures that belong to no split"
NOT_FILES = "members that are no files"
TWICE = "pictures that occur twice"
_PREFIX = IMAGES + "/"


class Plan(NamedTuple):
    """One split's photos in a shard, in the order in which they lie there.

    `rows` are their rows of the split's table, `members` their numbers in the index; `report`
    counts the members that no split wants.
    """

    rows: np.ndarray
    members: np.ndarray
    report: Findings

    def share(self, number: int, slices: int) -> slice:
        """Return which of the photos one of several equal shares has; with none, all."""
        count, slices = len(self.rows), slices or 1
        return slice(number * count // slices, (number + 1) * count // slices)


@functools.lru_cache(maxsize=16)
def plan_of(index: TarIndex, table: Table, others: Table) -> Plan:
    """Join a shard's index with a split's table; kept, because every slice asks for it."""
    report = Findings()
    wanted: dict[int, int] = {}
    for member in index.files():
        name = index.name(member)
        image_id = id_of(name)
        row = table.row.get(image_id) if image_id else None
        if row is None:
            if image_id not in others.row:
                report.add(STRANGERS, name)
        elif wanted.setdefault(row, member) != member:
            report.add(TWICE, name)
    not_files = index.not_files()
    report.add_many(NOT_FILES, len(not_files), not_files)
    rows = np.fromiter(wanted, np.int64, len(wanted))
    return Plan(rows, np.fromiter(wanted.values(), np.int64, len(wanted)), report)


def id_of(name: str) -> str | None:
    """Return the id in a member's name, if it has the form that photos' names have."""
    name = name.removeprefix("./")
    if name.startswith(_PREFIX) and name.endswith(SUFFIX):
        return name[len(_PREFIX) : -len(SUFFIX)]
    return None


def photo_id(value: Any) -> str | None:
    """Return the id of a photo that a table names by its id, or by a file name or path.

    Parameters
    ----------
    value : object
        Text, bytes or a whole number; a float only where it has lost no digit.

    Returns
    -------
    str or None
        None for what names no photo.
    """
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, (str, numbers.Integral)) or isinstance(value, bool):
        return None
    name = str(value).strip().replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"\.jpe?g$", "", name, flags=re.IGNORECASE)
    return name.removesuffix("_undistorted") or None
