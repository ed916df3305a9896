"""Finds angles such as `48.8584° N`, `48°51'30"N`, `N 48 51.5` or `lat: 48,8584` in a text.

lat-lon-parser and geopy read one angle that has been cut out of its text, take any symbol between
degrees and minutes, and know English only. Here the angle has to be found among other numbers, in
six languages; what is left of the arithmetic is one line.

Every repetition in the expressions is bounded, so that the time is linear in the length of a text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .words import AMBIGUOUS, COMPASS, LATITUDE, LONGITUDE, compass_letter

_NUMBER = r"(?:[0-9]{1,3}(?:\.[0-9]{1,20})?|[0-9]{4,6}\.[0-9]{1,20})(?:e-[0-9]{2})?(?![0-9])"
_DECIMAL_COMMA = r"[0-9]{1,3},[0-9]{1,20}(?![0-9]|[.,][0-9])"
_PART = rf"(?:[0-9]{{1,2}},[0-9]{{1,20}}|{_NUMBER})"  # minutes or seconds
_DEGREES = (
    r"°|度|(?i:deg(?:rees?|\.)?(?![a-z])|degrés?|grados?|graus?|gradi|grad(?![a-z]))|d(?![a-z])"
    r"|\^\s?\{?\s?\\?circ\s?\}?|\\degree|&deg;|&\#176;|\\u00[bB]0|\\xb0"
)
_MINUTES = (
    r"'(?!')|\\?'(?!')|\\prime|\^\s?\{?\\prime\}?|&prime;|&\#39;|\\u2032"
    r"|分|(?i:min(?:ut(?:e[ns]?|os?|i))?\.?(?![a-z])|primi)|m(?![a-z])"
)
_SECONDS = (
    r"\\?\"|''|\\?'\\?'|\^\s?\{?\\prime\\prime\}?|&Prime;|&quot;|\\u2033"
    r"|秒|(?i:se[cgk](?:ond[eis]?s?|undos?|unden?)?\.?|secs?\.?)(?![a-z])|s(?![a-z])"
)
_LABEL = rf"(?:{LATITUDE}|{LONGITUDE})"
_VALUE_AHEAD = r"[\s:=\"'(|]{0,6}(?:(?:is|of|about|approximately|ist|est|es|è|é)\s)?[-+]?\s?[0-9]"

_ANGLE = re.compile(
    rf"""
    (?:(?<![0-9A-Za-z_.])(?<![NE]/)|(?<=[a-z]\.)(?=-)|(?<=[0-9°'"][NSEWOL])|(?<=(?i:lat|lon|lng|ude))|(?<=_)(?=-)
      |(?<=[0-9])(?=[NSEWOL][0-9]))
    (?:(?P<before>[NSEWOL])[\s:=]{{0,3}})?
    (?P<sign>[-+](?<![0-9°][-+])(?<![0-9]['"NSEWOL][-+]))?
    (?P<degrees>{_DECIMAL_COMMA}|{_NUMBER})
    (?:
        \s{{0,3}}(?P<mark>{_DEGREES})
        (?:
            [\s,]{{0,3}}(?P<minutes>{_PART})\s{{0,3}}(?:{_MINUTES}|(?=[NSEWOL](?![A-Za-z])))
            (?:[\s,]{{0,3}}(?:(?:and|und|et|y|e)\s)?(?P<seconds>{_PART})
               \s{{0,3}}(?:{_SECONDS}|(?=[NSEWOL](?![A-Za-z]))))?
        )?
        |[ :](?P<minutes2>[0-9]{{1,2}}(?:\.[0-9]{{1,20}})?)(?:\s?'|(?![0-9]))
        (?:[ :](?P<seconds2>[0-9]{{1,2}}(?:\.[0-9]{{1,20}})?)(?:\s?"|(?![0-9])))?
        (?(before)(?![0-9.])|(?=\s?[NSEWOL](?![A-Za-z])))
    )?
    (?(before)|(?:
        [\s(]{{0,3}}(?:(?:de|di)\s)?(?:{_LABEL}\s{{1,2}})?
        (?P<after>[NSEWOL](?![A-Za-zÀ-ÿ0-9'])|(?<=[0-9°'"])[NSEWOLnsew](?![A-Za-zÀ-ÿ])
          |(?i:{COMPASS})(?![A-Za-zà-ÿ]))
        (?:\s{{1,2}}(?i:{_LABEL}|br|l)(?![A-Za-z])\.?(?!{_VALUE_AHEAD}))?
      |\s{{0,2}}[\s(](?:(?:de|di)\s)?(?P<label>(?i:{_LABEL})(?![A-Za-z_]))
       (?!{_VALUE_AHEAD}|\s{{0,4}}[:=|]|\s?[,/&]\s?l)
    )?)
    """,
    re.VERBOSE,
)
_STOP = re.compile(r"\s{0,2}(?:[,.;)\n]|\Z)")
_DIGITS = re.compile(r"[0-9]{1,1000}")
_LEAD = re.compile(r"(?:[NSEWOL][\s:=]{0,3})?[-+]?\Z")
_LABELS = re.compile(
    rf"""
    (?<![A-Za-zà-ÿ])(?<!</)
    (?:
        (?P<both>lat(?:itude)?[\s_/,&|]{{0,3}}l(?:on|ng|ong)(?:itude)?(?![a-z]))
      | (?P<reversed>l(?:on|ng|ong)(?:itude)?[\s_/,&|]{{0,3}}lat(?:itude)?(?![a-z]))
      | (?:(?P<latitude>{LATITUDE})|(?P<longitude>{LONGITUDE}))(?![a-zà-ÿ])
        (?:\s?\((?P<side>(?-i:[NSEWO]))\))?
      | (?P<point>{COMPASS})(?![a-zà-ÿ])
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s{0,2}(?:%|[€£]|°\s?[CF]\b|kilomet|met(?:er|re)|feet|percent|pixel|Hz|x\s?[0-9]"
    r"|(?:km|m|cm|mm|mi|miles?|ft|[CF]|px|h|hours?|years?|kg|k|am|pm|st|nd|rd|th)\b"
    r"|(?:stars?|points?|people)\b)"
)
_AXES = {"N": "latitude", "S": "latitude"}
_HYPHEN_NOTE = "a hyphen right behind a word was not taken as a minus"
_SIGN_NOTE = "a hemisphere contradicts the sign; the sign was taken"


@dataclass(slots=True)
class Angle:
    """An angle of a text, in degrees, with what marks it as a latitude or a longitude."""

    start: int
    end: int
    value: float  # signed by "-" only
    letter: str = ""  # N, S, E, W, O or L
    label: str = ""  # "latitude" or "longitude", by the words beside it
    sure: bool = True  # a compass word before the number may belong to the sentence
    decimals: int = 0
    marked: bool = False  # has a degree mark
    parts: tuple[str, str] | None = None  # the digits on both sides of a comma
    merged: bool = False  # the middle of a range
    notes: list[str] = field(default_factory=list)

    @property
    def axis(self) -> str:
        """What the hemisphere says, else the label."""
        return _AXES.get(self.letter, "longitude") if self.letter else self.label

    def signed(self) -> float:
        """The value with the sign of its hemisphere; NaN for an O that is still open."""
        if self.letter == "O":
            return math.nan
        negative = math.copysign(1, self.value) < 0
        if self.letter in ("S", "W") and not negative:
            return -self.value
        if self.letter in ("N", "E", "L") and negative and self.value:
            self.notes.append(_SIGN_NOTE)
        return self.value


class Label(NamedTuple):
    """A word for an axis, such as "latitude" or "north"."""

    end: int
    axis: str
    letter: str = ""  # of the compass, if it names one


def _float(digits: str) -> float:
    return float(digits.replace(",", "."))


def angles(text: str) -> Iterator[Angle | None]:
    """All angles of a text; None for a number that looks like one and is none."""
    at = 0
    while (digits := _DIGITS.search(text, at)) is not None:
        lead = _LEAD.search(text, max(at, digits.start() - 5), digits.start())
        number = digits.start()
        # in "FINAL: -22.3" the L is no hemisphere, but the sign is one
        sign = number - (number > at and text[number - 1] in "+-")
        starts = (lead.start() if lead else sign, sign, number)
        match = next(filter(None, (_ANGLE.match(text, start) for start in starts)), None)
        if match is None:
            at = digits.end()
            continue
        at = match.end()
        found = _angle_of(match)
        if found and sign < number and match.start() == number and text[sign] == "-":
            found.notes += [_HYPHEN_NOTE] if text[sign - 1 : sign].isalpha() else []
        yield found


def _angle_of(match: re.Match[str]) -> Angle | None:
    """The angle of a match, or None where minutes or seconds are not below 60."""
    part = match.group
    digits = part("degrees")
    minutes = part("minutes") or part("minutes2")
    seconds = part("seconds") or part("seconds2")
    after, end = part("after") or "", match.end()
    plain = after.islower() and after in AMBIGUOUS and not part("mark")
    if plain and not _STOP.match(match.string, end):
        after, end = "", match.start("after")
    value = _float(digits)
    if minutes is not None:
        sixtieths = _float(minutes), _float(seconds or "0")
        if max(sixtieths) >= 60 or value % 1:
            return None
        value += sixtieths[0] / 60 + sixtieths[1] / 3600
    letter = compass_letter(part("before") or after)
    found = Angle(match.start(), end, -value if part("sign") == "-" else value, letter)
    found.marked = bool(part("mark") or minutes)
    fraction = digits.replace(",", ".").partition(".")[2]
    found.decimals = 9 if minutes or "e" in digits else len(fraction)
    if part("label"):
        found.label = axis_of(part("label"))
    if "," in digits and not (found.marked or letter or found.label):
        whole, fraction = digits.split(",")
        found.parts = (whole, fraction)
    return found


def axis_of(word: str) -> str:
    """The axis of a word for latitude or longitude."""
    return "latitude" if re.fullmatch(LATITUDE, word, re.IGNORECASE) else "longitude"


def has_unit(text: str, angle: Angle) -> bool:
    """Whether the number counts something else: kilometres, per cent, degrees Celsius."""
    after = text[angle.end : angle.end + 1]
    return not angle.letter and (after.isalpha() or _UNIT.match(text, angle.end) is not None)


def labels(text: str, start: int, end: int) -> Iterator[Label]:
    """The words for an axis between two places in a text."""
    for match in _LABELS.finditer(text, start, end):
        word = match.group()
        if match["both"] or match["reversed"]:
            order = ("latitude", "longitude") if match["both"] else ("longitude", "latitude")
            yield from (Label(match.end(), axis) for axis in order)
        elif match["point"]:
            if word not in AMBIGUOUS:
                letter = compass_letter(word)
                yield Label(match.end(), _AXES.get(letter, "longitude"), letter)
        else:
            axis = "latitude" if match["latitude"] else "longitude"
            yield Label(match.end(), axis, match["side"] or "")


def single_angle(text: str) -> Angle | None:
    """The angle of a value that holds one latitude or longitude only, or None."""
    if len(text) > 200:
        return None
    if re.fullmatch(r"\s*[-+]?[0-9]{4,15}(?:\.[0-9]*)?\s*", text):  # beyond any angle
        return Angle(0, len(text), float(text))
    found = [one for one in angles(text) if one is not None]
    if len(found) != 1 or has_unit(text, found[0]):
        return None
    if re.search(r"[0-9]", text[: found[0].start] + text[found[0].end :]):
        return None
    return found[0]
