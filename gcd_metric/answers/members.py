"""Finds coordinates and place names in the members of an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .angles import Angle, single_angle
from .geonames import Place
from .objects import Node, Scalar
from .prose import Pair, pair_of, pairs
from .words import compass_letter, is_doubt, is_nothing, is_refusal, words_of

_LONGEST_NAME = 200
_MOST = 2000  # members that are looked at in one object
_PARTS = 20  # members, among which degrees, minutes and seconds are looked for
_FIRST = 50  # members, among which a confidence, a type or an error is looked for
_SMALL = r"[^\W\d_A-Z]"  # also of other alphabets
_WORDS = re.compile(rf"[A-Z]+(?!{_SMALL})|[A-Z]?{_SMALL}+")  # of camelCase
_LATITUDE = words_of("lat latitude latitud latitudine breite breitengrad")
_LONGITUDE = words_of(
    "lon long lng longitude longitud longitudine länge laenge längengrad laengengrad"
)
_AXES = _LATITUDE | _LONGITUDE
_BOTH = re.compile(r"lat_?l(?:on|ng|ong)|latitude_?longitude")
_REVERSED = re.compile(r"l(?:on|ng|ong)_?lat|longitude_?latitude")
_COORDINATES = words_of(
    "coordinates coordinate coords coord gps geo geolocation location position point center "
    "centre answer prediction predicted guess result output koordinaten coordenadas coordonnées "
    "coordonnees"
)
_SIDE = words_of("dir direction hemisphere ref")
_DERIVED = words_of("error uncertainty std confidence min max")
_ANOTHER = words_of(
    "alternative alternatives alternate other others bbox bounding box bounds viewport "
    "northeast southwest second secondary runner example examples truth gt previous rejected "
    "excluded min max landmark landmarks reference references nearby actual"
)
_RANKED = re.compile(  # guess_2
    r"(?i:top|guess|candidate|option|rank|prediction|location|choice)[_ -]?(?:[2-9]|[1-9][0-9])$"
)
_FINAL = words_of(
    "final answer best primary guess prediction predicted pred result estimate estimated "
    "selected main top"
)
_CONFIDENCE = words_of("confidence probability prob score likelihood certainty")
_LEVELS = {"very high": 0.95, "high": 0.9, "medium": 0.5, "moderate": 0.5, "low": 0.1}
_FIELDS = {
    "city": "city town village municipality locality settlement stadt ort ciudad cidade ville",
    "state": "state province region county prefecture bundesland estado provincia région regione",
    "country": "country nation land país pais pays paese",
    "name": "place location address landmark name",
}
_FIELD_OF = {word: name for name, words in _FIELDS.items() for word in words.split()}


class Candidate(NamedTuple):
    """What one object offers: a pair, a place, or both empty where its coordinates say nothing."""

    node: Node
    words: frozenset[str]  # of the keys above it
    siblings: int  # which list it is an element of, 0 for none
    confidence: float
    pair: Pair | None = None
    place: Place | None = None
    asked: bool = False  # has members for coordinates, whatever they hold
    digits: bool = False  # they hold digits
    blank: bool = False  # has members for a place that say nothing


def _words(key: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(key)]


def _below(root: Node) -> Iterator[tuple[Node, frozenset[str], int, float]]:
    """Objects in an object, itself first: keys above, list that holds it, its confidence."""
    waiting: list[tuple[Node, frozenset[str], int, float]] = [(root, frozenset(), 0, 0.0)]
    seen = 0
    while waiting and (seen := seen + 1) <= _MOST:
        node, words, siblings, confidence = waiting.pop()
        if not node.is_list:
            confidence = _confidence(node) or confidence
            yield node, words, siblings, confidence
        for key, member in reversed(node.items[-_MOST:]):
            if isinstance(member, Node):
                inner = id(node) if node.is_list else siblings
                above = {*_words(key), *(["other"] if _RANKED.search(key) else [])}
                waiting.append((member, words | above, inner, confidence))


def _scalars(node: Node, most: int = _FIRST) -> list[tuple[str, Scalar]]:
    """The members without members of their own, among the first ones."""
    return [(key, one) for key, one in node.items[:most] if isinstance(one, Scalar)]


def _confidence(node: Node) -> float:
    for key, member in _scalars(node):
        if _CONFIDENCE.intersection(_words(key)):
            level = _LEVELS.get(member.text.strip().lower())
            if level is not None:
                return level
            found = re.match(r"\s{0,3}([0-9]{1,3}(?:\.[0-9]{1,9})?)", member.text)
            return float(found[1]) if found else 0.0
    return 0.0


def candidates(root: Node, whole: str) -> list[Candidate]:
    """What the objects in an object offer, in their order."""
    found = []
    for node, words, siblings, confidence in _below(root):
        pair, asked = _pair(node, whole)
        place, blank = _place(node)
        if pair is not None or asked or place is not None or blank:
            digits = asked and pair is None and _has_digits(node)
            found.append(
                Candidate(node, words, siblings, confidence, pair, place, asked, digits, blank)
            )
    return found


def _has_digits(node: Node) -> bool:
    return any(
        not _AXES.isdisjoint(_words(key)) and re.search(r"[0-9]", one.text)
        for key, one in _scalars(node)
    )


def chosen(
    found: list[Candidate], has: Callable[[Candidate], bool]
) -> tuple[Candidate | None, str]:
    """The candidate that counts among those that have what is wanted, and a note."""
    fitting = [one for one in found if has(one)]
    for keep in (
        lambda one: not _ANOTHER & one.words,
        lambda one: one.node.end >= 0,
        lambda one: bool(_FINAL & one.words),
    ):
        fitting = [one for one in fitting if keep(one)] or fitting
    if not fitting:
        return None, ""
    last = fitting[-1]
    same = [one for one in fitting if one.siblings == last.siblings != 0]
    if len(same) < 2:
        return last, ""
    best = max(same, key=lambda one: one.confidence)  # of equal ones the first
    how = "most confident" if best.confidence else "first"
    return best, f"a list of candidates: the {how} was taken"


# --- coordinates --------------------------------------------------------------------------------


def _pair(node: Node, whole: str) -> tuple[Pair | None, bool]:
    """The pair that an object holds itself, and whether it has members for one."""
    axes: dict[str, Node | Scalar] = {}
    sides: dict[str, str] = {}
    for key, member in node.items[-_MOST:]:
        words = set(_words(key))
        axis = "latitude" if words & _LATITUDE else "longitude" if words & _LONGITUDE else ""
        if words & _LATITUDE and words & _LONGITUDE or not axis or words & _DERIVED:
            continue
        if words & _SIDE:
            sides[axis] = compass_letter(member.text.strip()) if isinstance(member, Scalar) else ""
        else:
            axes[axis] = member
    if len(axes) == 2:
        latitude, longitude = (
            _angle(axes[axis], sides.get(axis, ""), axis) for axis in ("latitude", "longitude")
        )
        if latitude is not None and longitude is not None:
            return pair_of(latitude, longitude, whole), True
        return None, True
    return _listed(node, whole)


def _angle(member: Node | Scalar, side: str, axis: str) -> Angle | None:
    """The angle of a member: a number, a text, or an object with degrees and minutes."""
    if isinstance(member, Node):
        text, own_side = _written(member)
        side = side or own_side
    else:
        text = member.plain()
    angle = single_angle(text)
    if angle is None:
        return None
    angle.start, angle.end, angle.label, angle.parts = member.start, member.end, axis, None
    angle.letter = angle.letter or side
    return angle


def _written(node: Node) -> tuple[str, str]:
    """The text of an angle that an object holds in parts, and the letter of its hemisphere."""
    parts = {word: one.text for key, one in _scalars(node, _PARTS) for word in _words(key)}
    side = next((compass_letter(one.strip()) for word, one in parts.items() if word in _SIDE), "")
    text = next((parts[w] for w in ("decimal", "value", "degrees", "deg") if w in parts), "")
    if "minutes" in parts:
        text = f"{text}°{parts['minutes']}'{parts.get('seconds', '0')}\""
    return text, side


def _listed(node: Node, whole: str) -> tuple[Pair | None, bool]:
    """A pair in one member: `"coordinates": [48.85, 2.29]` or `"gps": "48.85, 2.29"`."""
    # GeoJSON: longitude first
    is_point = any(
        key.lower() == "type" and one.text.lower() == "point" for key, one in _scalars(node)
    )
    for key, member in reversed(node.items[-_MOST:]):
        words = frozenset(_words(key))
        wanted = words & _COORDINATES or _BOTH.search(key.lower()) or _REVERSED.search(key.lower())
        if not wanted or words & _ANOTHER:
            continue
        if isinstance(member, Scalar):
            found = pairs(member.plain(), whole) if len(member.text) < 2000 else []
            if found:
                return found[-1]._replace(start=member.start, end=member.end), True
            continue
        values = [one for _, one in member.items[:4]]
        if member.is_list and len(values) in (2, 3) and all(isinstance(v, Scalar) for v in values):
            angles = [_angle(value, "", "") for value in values[:2]]
            if angles[0] is not None and angles[1] is not None:
                first, second = angles[0], angles[1]
                if is_point or _REVERSED.search(key.lower()):
                    first.label, second.label = "longitude", "latitude"
                return pair_of(first, second, whole), True
    return None, False


# --- places -------------------------------------------------------------------------------------


def is_error(root: Node) -> bool:
    """Whether an object reports an error and nothing else."""
    for key, member in root.items[:_FIRST]:
        if key.lower() in ("error", "errors", "exception"):
            return isinstance(member, Node) or not is_nothing(member.text)
    return any(key == "type" and one.text == "error" for key, one in _scalars(root))


def _place(node: Node) -> tuple[Place | None, bool]:
    """The place that an object names itself, and whether all its members for one say nothing."""
    fields: dict[str, str] = {}
    blank = []
    for key, member in node.items[:200]:
        words = _words(key)
        if not words or not isinstance(member, Scalar) or len(member.text) > _LONGEST_NAME:
            continue
        name = _FIELD_OF.get(words[0] if words[-1] == "name" else words[-1])
        value = member.plain().strip()
        if name is None or (words == ["name"] and "," not in value):
            continue
        blank.append(is_nothing(value))
        if not blank[-1] and _is_name(value, name):
            fields.setdefault(name, value)
    return (Place(**fields) if fields else None), bool(blank) and all(blank)


def _is_name(value: str, field: str) -> bool:
    if is_refusal(value) or is_doubt(value) or re.search(r"[0-9]{3}|\?", value):
        return False
    # "outdoor" is no location, but a model may write a city or a country without capitals
    return value[0].isalpha() and (field != "name" or not value[0].islower())
