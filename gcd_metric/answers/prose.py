"""Finds pairs of a latitude and a longitude in running text."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from .angles import Angle, Label, angles, has_unit, labels
from .words import letter_o

_LETTERS = re.compile(r"[^\W\d_]")
_LABEL_REACH = 60  # characters between "latitude" and its number
_PAIR_REACH = 200  # between two labelled numbers
_LETTER_REACH = 40  # between two numbers with hemispheres
SENTENCE = re.compile(r"[.!?]\s{1,3}(?=[A-ZÀ-Ý])|\n\s{0,20}\n")
_SEPARATOR = re.compile(
    r"[\s\"'\])}|]{0,6}(?P<mark>[,;/|&]|\\n|(?:and|und|et|y|e)(?=\s))?[\s\"'\[({|]{0,10}"
    r"(?P<reopened>\))?"
)
_RANGE = re.compile(r"\s?-\s?|\s(?:to|bis|à)\s")
_AND = re.compile(r"\s(?:and|und|et|y|e)\s")
_BETWEEN = re.compile(r"\b(?:between|and|zwischen|und|entre|et|y|e|tra|fra)\s$", re.IGNORECASE)
_COORDINATES = re.compile(
    r"(?<![a-z])(?:coord\w{0,10}|koord\w{0,10}|gps|lat\w{0,10}|location|position|answer|guess"
    r"|estimate\w?|point|ubicaci\w{0,4}|localiza\w{0,5}|posizione|standort|prediction|boxed)"
    r"[^0-9\n.;]{0,30}$",
    re.IGNORECASE,
)
_REVERSED = re.compile(r"[\s)\]}]{0,4}\(?l(?:on|ng|ong)(?:itude)?[\s,/&]{1,3}lat", re.IGNORECASE)
_RANGE_NOTE = "a range: its middle was taken"
_O_NOTES = {
    "E": "O was taken as east, as the other words are German",
    "W": "O was taken as west, as the other words are of a Romance language",
    "O": "O is east in German and west in Romance languages, and no other word decides it",
}
_SWAPPED_NOTE = "latitude beyond 90: latitude and longitude were taken as swapped"


class Pair(NamedTuple):
    """A latitude and a longitude, in degrees, and the place in the text that they come from."""

    latitude: float
    longitude: float
    start: int
    end: int
    notes: tuple[str, ...] = ()
    labelled: bool = False  # by words or keys for both

    @property
    def in_range(self) -> bool:
        """Whether it is a place on Earth; not if a hemisphere stays open (NaN)."""
        return abs(self.latitude) <= 90 and abs(self.longitude) <= 180


def pairs(text: str, whole: str = "") -> list[Pair]:
    """All pairs of a text, in their order; those out of range too.

    `whole` is the text that this one was cut from: its other words tell what O stands for.
    """
    found: list[Pair] = []
    for group in _groups(_angles(text)):
        found.extend(_pairs_of(text, group, whole or text))
    return found


def _angles(text: str) -> list[Angle]:
    """The angles of a text, with the labels beside them, ranges merged to their middle."""
    found: list[Angle] = []
    waiting: list[Label] = []  # for their number
    last = 0
    for angle in angles(text):
        if angle is None:
            waiting = []
            continue
        reach = max(last, angle.start - 4 * _LABEL_REACH)
        if _LETTERS.search(text, reach, angle.start):
            waiting.extend(labels(text, reach, angle.start + 1))
        if waiting:
            _take_label(text, angle, waiting)
        last = angle.end
        if abs(angle.value) >= 1000 and not angle.label:  # a price, a year
            continue
        if found and (merged := _merged(text, found[-1], angle)) is not None:
            found[-1] = merged
        else:
            found.append(angle)
    return found


def _take_label(text: str, angle: Angle, waiting: list[Label]) -> None:
    """Give an angle the first label that waits for it; labels too far away are dropped."""
    del waiting[:-4]
    while waiting:
        label = waiting.pop(0)
        gap = text[label.end : angle.start]
        table = "|-" in gap or "|:-" in gap or "| -" in gap
        reach = _PAIR_REACH if table else _LABEL_REACH
        if label.end > angle.start or len(gap) > reach or SENTENCE.search(gap):
            continue
        if table and not (angle.decimals or angle.marked):  # the number of the row
            waiting.insert(0, label)
            return
        while waiting and waiting[0].axis == label.axis and waiting[0].end <= angle.start:
            other = waiting.pop(0)  # "north latitude", "latitude north"
            label = other._replace(letter=label.letter or other.letter)
        if angle.label or angle.letter:
            angle.label = angle.label or label.axis
        else:
            angle.label, angle.parts = label.axis, None
            if label.letter:  # sure in "latitude (S)"
                angle.letter, angle.sure = label.letter, text[label.end - 1] == ")"
        return


def _merged(text: str, first: Angle, second: Angle) -> Angle | None:
    """The middle of a range such as `48-49° N`, or None."""
    between = text[first.end : second.start]
    if len(between) > 6 or first.merged or abs(first.value - second.value) > 30:
        return None
    if not _RANGE.fullmatch(between) and not (
        _AND.fullmatch(between) and _BETWEEN.search(text[max(0, first.start - 12) : first.start])
    ):
        return None
    if (first.letter and first.letter != second.letter) or (second.label and not first.label):
        return None
    sign = -1 if first.value < 0 and second.value > 0 else 1
    return replace(
        second,
        start=first.start,
        value=(first.value + sign * second.value) / 2,
        label=first.label or second.label,
        parts=None,
        decimals=max(first.decimals, second.decimals),
        merged=True,
        notes=[_RANGE_NOTE],
    )


def _groups(angles: list[Angle]) -> list[list[Angle]]:
    """Cut the angles where two neighbours are too far apart to be a pair."""
    groups: list[list[Angle]] = []
    for index, angle in enumerate(angles):
        if index and angle.start - angles[index - 1].end <= _PAIR_REACH:
            groups[-1].append(angle)
        else:
            groups.append([angle])
    return groups


def _pairs_of(text: str, angles: list[Angle], whole: str) -> list[Pair]:
    """Pairs in a row of angles: marked ones first, the rest by what separates them."""
    found: list[Pair] = []
    free: list[Angle] = []  # unmarked, since the last marked one
    half: Angle | None = None  # a marked angle without its other half
    for angle, following in zip(angles, _next_marked(angles), strict=True):
        if not angle.axis:
            # "35°41' N (35.69), 139°41' E" goes on behind the number in brackets
            goes_on = half and following and _fit(text, half, following)
            if half is not None and not goes_on and _beside(text, half, angle):
                found.append(pair_of(half, _other(half, angle), whole))
                half = None
            else:
                free.append(angle)
            continue
        # "48.85, 2.29° E"
        if half is None and free and angle.axis == "longitude" and _beside(text, free[-1], angle):
            found.append(pair_of(_other(angle, free.pop()), angle, whole))
            continue
        if half is not None and _fit(text, half, angle):
            found.append(pair_of(half, angle, whole))
            half = None
        else:
            half = angle
    found.extend(_bare_pairs(text, free, whole))
    return sorted(found, key=lambda pair: pair.start)


def _other(marked: Angle, angle: Angle) -> Angle:
    axis = "longitude" if marked.axis == "latitude" else "latitude"
    return replace(angle, label=axis, parts=None)


def _next_marked(angles: list[Angle]) -> list[Angle | None]:
    """For each angle the next one that is marked."""
    found: list[Angle | None] = []
    following = None
    for angle in reversed(angles):
        found.append(following)
        following = angle if angle.axis else following
    return found[::-1]


def _fit(text: str, first: Angle, second: Angle) -> bool:
    """Whether two marked angles are a latitude and a longitude that belong together."""
    if first.axis == second.axis:
        return False
    gap = text[first.end : second.start]
    if first.label and second.label:
        return len(gap) <= _PAIR_REACH
    return len(gap) <= _LETTER_REACH and not SENTENCE.search(gap)


def _beside(text: str, first: Angle, second: Angle) -> str:
    """What separates two neighbours, "" if they are not a pair."""
    gap = text[first.end : second.start]
    match = _SEPARATOR.fullmatch(gap) if len(gap) <= 16 else None
    if match is None or match["reopened"] or not gap:
        return ""
    # "(1, 2), (3, 4)" are two pairs, "(48.85), (2.29)" is one
    closed = re.search(r"[\])}][^\[({]*[\[({]", gap)
    return "" if closed and text[first.start - 1 : first.start] not in ("(", "[", "{") else gap


def _bare_pairs(text: str, angles: list[Angle], whole: str) -> list[Pair]:
    """Pairs of numbers with nothing but a separator between them."""
    angles = _with_decimal_commas(text, angles)
    runs: list[list[Angle]] = []
    for index, angle in enumerate(angles):
        joined = index and _beside(text, angles[index - 1], angle)
        # behind a whole pair a comma continues a list; anything else begins another pair
        if joined and (len(runs[-1]) < 2 or ("," in joined and "\n" not in joined)):
            runs[-1].append(angle)
        else:
            runs.append([angle])
    found = []
    for run in runs:
        if len(run) == 3 and not run[0].decimals and run[1].decimals and run[2].decimals:
            del run[0]  # "1) 48.85, 2.29"
        # a third number is an altitude or a confidence; four may be a bounding box
        if len(run) in (2, 3) and _is_pair(text, run[0], run[1], len(run)):
            if _REVERSED.match(text, run[-1].end):
                run[0].label, run[1].label = "longitude", "latitude"
            found.append(pair_of(run[0], run[1], whole))
    return found


def _with_decimal_commas(text: str, angles: list[Angle]) -> list[Angle]:
    """Read `48,8584` as a decimal beside another such number, else as two whole numbers."""
    if not any(angle.parts for angle in angles):
        return angles
    decimal = [False] * len(angles)
    for index, (first, second) in enumerate(pairwise(angles)):
        if first.parts and second.parts and _beside(text, first, second):
            decimal[index] = decimal[index + 1] = True
    found: list[Angle] = []
    for angle, is_decimal in zip(angles, decimal, strict=True):
        if angle.parts and not is_decimal:
            found += _split(angle)
        else:
            angle.parts = None
            found.append(angle)
    return found


def _split(angle: Angle) -> list[Angle]:
    """`48,2` as two whole numbers; nothing where the second is no number of degrees."""
    whole, fraction = angle.parts or ("", "")
    if len(fraction) > 3 or angle.marked:
        return []
    middle = angle.end - len(fraction)
    first = Angle(angle.start, middle - 1, math.copysign(float(whole), angle.value))
    return [first, Angle(middle, angle.end, float(fraction))]


def _is_pair(text: str, first: Angle, second: Angle, count: int) -> bool:
    """Whether two numbers without any mark are coordinates."""
    if has_unit(text, first) or has_unit(text, second):
        return False
    gap = text[first.end : second.start]
    mark = gap.strip(" \"'()[]{}")
    if first.decimals and second.decimals:
        return mark != "/" or min(first.decimals, second.decimals) > 1
    if first.marked and second.marked:
        return True
    if mark not in (",", ";", "and", "und", "et", "y", "e", "|", "\n", ""):
        return False
    if (first.decimals or second.decimals) and mark in (",", ";"):
        return True
    if mark in ("", "\n"):
        return False
    # whole numbers: only where the text calls them coordinates, in brackets or alone in a line
    left = text[max(0, first.start - 50) : first.start]
    right = text[second.end : second.end + 5]
    if _COORDINATES.search(left):
        return True
    if count > 2:
        return False
    if first.value < 0 or second.value < 0:
        return True
    if re.search(r"[(\[{]\s{0,2}$", left) and re.match(r"\s{0,2}[)\]}]", right):
        return True
    return re.search(r"(?:^|\n)[\s\"'>]{0,4}$", left) is not None and (
        re.match(r"[\s\"'.]{0,4}(?:\n|$)", right) is not None or not right.strip(" .\"'")
    )


def pair_of(first: Angle, second: Angle, whole: str) -> Pair:
    """The pair of two angles, by their hemispheres, else their labels, else their order."""
    if not (first.sure and second.sure) and not (first.letter and second.letter):
        first, second = (a if a.sure else replace(a, letter="") for a in (first, second))
    notes: list[str] = []
    if first.axis == "longitude" or second.axis == "latitude":
        latitude, longitude = second, first
    else:
        latitude, longitude = first, second
    if latitude.label == "longitude" and longitude.label == "latitude":
        notes.append("labels and hemispheres are swapped; the hemispheres were taken")
    if longitude.letter == "O":
        longitude = replace(longitude, letter=letter_o(whole) or "O")
        notes.append(_O_NOTES[longitude.letter])
    values = [latitude.signed(), longitude.signed()]
    notes = [*notes, *latitude.notes, *longitude.notes]
    labelled = bool(first.label and second.label)
    sure = labelled or (latitude.letter and longitude.letter)
    if 90 < abs(values[0]) <= 180 and abs(values[1]) <= 90 and not sure:
        values.reverse()
        notes.append(_SWAPPED_NOTE)
    start, end = min(first.start, second.start), max(first.end, second.end)
    return Pair(values[0], values[1], start, end, tuple(dict.fromkeys(notes)), labelled)
