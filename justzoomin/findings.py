"""The kinds of findings that reports count, and the reports of a streamed pass."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from geoload.report import Findings, Kind

STRANGERS = Kind("in_no_split", "pictures in neither split")
TWICE = Kind("repeated_picture", "repeated pictures")
BROKEN = Kind("not_a_jpeg", "invalid or incomplete JPEGs")
MISSING = Kind("missing_picture", "rows without a picture")
REPEATED_ROWS = Kind("repeated_id", "repeated ids in the table")
BOTH_SPLITS = Kind("in_both_splits", "ids in both splits")
OFF_THE_MAP = Kind("outside_map", "tiles outside the map")
WHITE = Kind("white_view", "white views without any tile")
WHITE_PHOTOS = Kind("white_photo", "photos with white views, all of whose tiles are missing")

# Called after each part of a pass with its name, its report, and numbers of what was found in it.
Done = Callable[[str, Findings, "np.ndarray | None"], None]
END_OF_IMAGE = 4096  # bytes at the end of a picture in which its end mark is looked for
_log = logging.getLogger(__name__)


def is_jpeg(data: bytes) -> bool:
    """Check both ends only; decoding would take 100 times as long."""
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9", -END_OF_IMAGE) >= 0


def take(report: Findings, kind: Kind) -> int:
    """Remove a kind from a report and return its count."""
    report.names.pop(kind, None)
    return report.counts.pop(kind, 0)


class StreamedFindings:
    """Logs the report of each part and, after the last one, what only all parts together show.

    A process that reads only some of the parts, such as a DataLoader worker, never reaches the
    end. `combine` gets the findings that were held back and the numbers found in each part, and
    returns the report of all parts.
    """

    def __init__(
        self, what: str, count: int, strict: bool,
        combine: Callable[[Findings, list[np.ndarray]], Findings],
    ) -> None:  # fmt: skip
        self._what, self._count, self._strict, self._combine = what, count, strict, combine
        self._found: dict[str, np.ndarray | None] = {}
        self._held = Findings()

    def add(self, part: str, report: Findings, found: np.ndarray | None = None) -> None:
        """Take the report of one part."""
        # There are many slices, so these are reported once for all of them.
        take(report, MISSING)
        self._held.add_many(WHITE_PHOTOS, take(report, WHITE_PHOTOS))
        report.raise_or_log(f"{part}, {self._what}", False, _log)
        self._found[part] = found
        if len(self._found) == self._count:
            numbers = [one for one in self._found.values() if one is not None]
            held, self._found, self._held = self._held, {}, Findings()
            report = self._combine(held, numbers)
            report.raise_or_log(f"justzoomin, {self._what}", self._strict, _log)
