"""Recognises lines after the data that summarise it, and compares their accuracies with ours.

Evaluation scripts append such lines: a row `mean`, lines such as `acc@25km, 0.27`, or a line of
labels and one of numbers. A row of data is never left out: where a line may be either, it is an
error that names the row, or it stays in the data, whose checks name it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .coordinates import parse_number, with_point
from .names import shortened
from .opened import Opened

_MOST_LINES = 200
_LABEL = re.compile(
    r"(?:(?:mean|avg|average|median|total|overall|summary|geo-?score)\b.*|acc(?:uracy)?\b.*|acc@.*"
    r"|(?:within|<=?|\u2264)\s*\d.*)",
    re.IGNORECASE,
)
_METRIC = re.compile(
    r"acc|mean|median|average|\bavg\b|total|overall|summary|score|threshold|within|error|%|correct"
    r"|\d\s*k?m\b",
    re.IGNORECASE,
)
_DISTANCE = re.compile(
    r"(?<![\d.])(\d+(?:\.\d+)?)\s*(km|m|kilomet\w+|met\w+)\b|@\s*(\d+(?:\.\d+)?)"
)
_OTHER_FIGURE = re.compile(r"mean|median|average|\bavg|error|std|distance|score")
_VALUE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")


class Record(NamedTuple):
    """One row of cells as text."""

    number: int  # the first below the header is 1
    after_blank: bool  # whether the line above is blank
    cells: list[str]


# --- telling lines from data --------------------------------------------------------------------


def leave_out(
    records: Iterable[Record], opened: Opened, columns: list[str], where: str
) -> Iterator[Record]:
    """Yield the rows of data; lines after them that are a summary are put into `opened.summary`.

    `columns` are those that are read. In a table without coordinates nothing is left out, because
    texts may be as any summary. A ValueError names a last row that is called like a summary and has
    coordinates.
    """
    places = opened.places(columns)
    if not places:
        yield from records
        return
    waiting: deque[Record] = deque()
    after_blank = False
    for record in records:
        if not any(map(str.strip, record.cells)):  # a blank line, as spreadsheets write it
            after_blank = True
            continue
        waiting.append(record._replace(after_blank=after_blank or record.after_blank))
        after_blank = False
        if len(waiting) > _MOST_LINES:
            yield waiting.popleft()
    tail = _Tail(list(waiting), places, len(opened.names))
    cut = tail.start(where)
    opened.summary = [record.cells for record in tail.records[cut:]]
    yield from tail.records[:cut]


class _Tail:
    """The last rows of a table."""

    def __init__(
        self, records: list[Record], places: Sequence[tuple[int, int]], width: int
    ) -> None:
        self.records, self.places, self.width = records, places, width

    def start(self, where: str) -> int:
        """The position of the first line that is no row of data."""
        for at, record in enumerate(self.records):
            if self._may_begin(record) and self._all_summary(at):
                return at
        if self.records and self._has_place(last := self.records[-1]):
            label = _first(last)
            if _LABEL.fullmatch(label):
                raise ValueError(
                    f"{where}: row {last.number} is called {shortened(label)} and has coordinates; "
                    "if it is a summary, remove it or write it behind a blank line"
                )
        return len(self.records)

    def _coordinates(self, record: Record) -> list[list[str]]:
        cells = record.cells + [""] * (self.width - len(record.cells))
        return [[with_point(cells[at]) for at in pair] for pair in self.places]

    def _has_place(self, record: Record) -> bool:
        """Whether it may be a row with coordinates, in the columns of the header."""
        if any(cell.strip() for cell in record.cells[self.width :]):
            return False
        pairs = (map(parse_number, pair) for pair in self._coordinates(record))
        return any(all(one is not None and one == one for one in pair) for pair in pairs)

    def _may_begin(self, record: Record) -> bool:
        if self._has_place(record):
            return False
        filled, first = _filled(record), _first(record)
        half = any(cell.strip() for pair in self._coordinates(record) for cell in pair)
        if len(filled) > 1 and (_LABEL.fullmatch(first) or (half and _key(first))):
            return True
        if not record.after_blank or len(filled) >= self.width > 1 and not _is_labels(record):
            return False
        # a row with an id and empty coordinates is a photo without a prediction
        return len(filled) == 1 or half

    def _all_summary(self, start: int) -> bool:
        lines = self.records[start:]
        below_labels = False
        for line in lines:
            if self._has_place(line) and not below_labels:
                return False
            below_labels = _is_labels(line)
        return any(_METRIC.search(cell) for line in lines for cell in line.cells) or all(
            len(filled) == 2 and not any(map(_is_number, filled)) for filled in map(_filled, lines)
        )


def _filled(record: Record) -> list[str]:
    return [cell.strip() for cell in record.cells if cell.strip()]


def _is_number(cell: str) -> bool:
    return parse_number(with_point(cell)) is not None


def _first(record: Record) -> str:
    return next(iter(_filled(record)), "")


def _is_labels(record: Record) -> bool:
    """Whether a row names figures, such as `1 km, 25 km`, and has none."""
    filled = _filled(record)
    if len(filled) < 2 or any(map(_is_number, filled)):
        return False
    return any(_METRIC.search(cell) for cell in filled)


# --- accuracies ---------------------------------------------------------------------------------


class Stated(NamedTuple):
    """An accuracy that a file states."""

    percent: float
    rounding: float  # by how much it may differ from the exact figure, in percent points


def stated_accuracies(lines: Iterable[Sequence[str]]) -> dict[str, Stated]:
    """The accuracies in the lines of a summary, by the keys of results: `acc@25km`."""
    texts: dict[str, tuple[str, bool]] = {}
    labels: Sequence[str] = ()
    for cells in lines:
        pairs = [*_beside(cells), *zip(labels, cells, strict=False)]
        for label, value in pairs:
            key, match = _key(label), _VALUE.fullmatch(with_point(value.strip()))
            if key and match:
                texts[key] = (match[1], bool(match[2] or "%" in label or "percent" in label))
        labels = cells
    in_percent = any(marked or float(text) > 1 for text, marked in texts.values())
    return {key: _stated(text, in_percent) for key, (text, _) in texts.items()}


def _beside(cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Labels with the value in the next cell, or in the same one: `acc@25km: 0.27`."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    yield from zip(filled, filled[1:], strict=False)
    for cell in filled:
        label, sign, value = cell.rpartition(":" if ":" in cell else "=")
        if sign:
            yield label, value


def _key(label: str) -> str | None:
    label = label.lower()
    found = _DISTANCE.search(label)
    if not found or (_OTHER_FIGURE.search(label) and "acc" not in label):
        return None
    distance, unit, bare = found.groups()
    if bare and "acc" not in label:
        return None
    return f"acc@{float(distance or bare):g}{'m' if (unit or 'km').startswith('m') else 'km'}"


def _stated(text: str, in_percent: bool) -> Stated:
    decimals = len(text.partition(".")[2])
    factor = 1 if in_percent else 100
    return Stated(float(text) * factor, factor * 0.5 * 10.0**-decimals)


def compare_summary(
    name: str, lines: Sequence[Sequence[str]], scores: Mapping[str, Any]
) -> list[str]:
    """A note on the lines that were left out, and on how their accuracies differ from `scores`."""
    if not lines:
        return []
    last = "line is" if len(lines) == 1 else f"{len(lines):,} lines are"
    left_out = f"{name}: the last {last} left out as a summary"
    known = {key: one for key, one in stated_accuracies(lines).items() if key in scores}
    wrong = [
        f"{key} is {one.percent:.4g} % there and {100 * scores[key]:.4g} % here"
        for key, one in known.items()
        if abs(one.percent - 100 * scores[key]) > one.rounding + 1e-9
    ]
    if wrong:
        return [f"WARNING: {left_out}; {'; '.join(wrong)}"]
    if known:
        return [f"{left_out}; its accuracies equal those computed here ({', '.join(known)})"]
    return [f"{left_out} (first: {shortened(', '.join(lines[0]))})"]
