"""Finds the place that a text names when it gives no coordinates.

A text that refuses names a place only where it is marked: `City: Lyon`, `Final answer: Lyon`.
"""

from __future__ import annotations

import re

from .geonames import Place
from .links import SHORT_CODE
from .words import FINAL, GUESS, is_nothing, words_of

_TAIL = 8_000  # characters that are searched
_SHORT_TEXT = 100
_FIELDS = {
    "city": "city|town|village|municipality|stadt|ort|ville|ciudad|cidade|citt(?:à|a')",
    "state": "state|province|region|county|bundesland|région|estado|regione",
    "country": "country|land|pays|pa[ií]s|paese|stato",
    "name": "location|place|address|landmark|standort|lieu|lugar|local|luogo|ubicación|localização",
}
_VALUES = {"name": r"([^\n|\"]{1,120})"}
_LABELLED = {
    name: re.compile(
        r"(?:^|\n|[;,|]\s)[\s>#+|-]{0,6}(?:[0-9]\.\s)?\"?"
        r"(?:(?:likely|exact|specific|estimated|predicted|possible|probable|nearest) )?"
        rf"(?:{words})(?: name)?\"?(?:\([^()\n]{{0,20}}\))?"
        r"(?:[\s|\"]{0,3}[:=|]| -)[\s:=|\"]{0,3}" + _VALUES.get(name, r"([^\n,;|\"(]{1,60})"),
        re.IGNORECASE,
    )
    for name, words in _FIELDS.items()
}
_WORD = r"[A-ZÀ-ÖØ-Þ][\w'.-]{0,30}"
_SMALL = r"(?:de|da|do|del|la|le|of|the|und|and|y|am|an der|du|des|di)"
_NAME = rf"{_WORD}(?: (?:{_SMALL} )?{_WORD}){{0,4}}"
_OTHER_SCRIPT = r"[^\W\d_a-zA-ZÀ-ÿ]{2,20}"
# words before "Lisbon, Portugal"
_BEFORE = (
    "in|at|near|of|is|be|from|around|to|was|likely|probably|possibly|perhaps|say|like|suggests?"
    "|bei|aus|à|en|em|a|dans|nahe|près de|cerca de|perto de|vicino a"
)
_IN = re.compile(
    rf"\b(?:{_BEFORE}) (?:the )?(?:city of |town of |stadt |[0-9]{{1,4}}[a-zA-Z]? )?"
    rf"({_NAME}(?:, {_NAME}){{1,3}})"
)
# words before a single name
_ALONE = re.compile(
    r"\b(?i:located|taken|situated|is|was|somewhere|likely|probably|possibly|it's|shot|captured)"
    rf" in (?:the )?({_NAME})"
)
_SHORT = re.compile(
    rf"(?:{_NAME}|{_OTHER_SCRIPT})"
    rf"(?:(?:\s?[,/]\s?| in | near )(?:{_NAME}|{_OTHER_SCRIPT})){{0,3}}\.?"
)
_MARKED = re.compile(
    r"[\s:=\"'({\[]{0,6}(?:(?:is|would be|it's|location is)\s)?[:=\s]{0,2}"
    rf"(?:(?:in|near|around|that this is)\s)?({_NAME}(?:, {_NAME}){{0,3}})(?=[\s.,;)\]}}<\"'(]|$)"
)
_LIKELY = re.compile(r"\b(?:most likely|probably)\b")
_NO_PLACE = words_of(
    "yes no sure none ok okay hello hi thanks thank image photo picture outdoor indoor urban rural "
    "street answer location coordinates latitude longitude error the this that here there i it "
    "somewhere earth world landscape hallo bonjour hola january february march april may june july "
    "august september october november december"
)


def named_place(text: str, refused: bool) -> Place | None:
    """The place that a text names; of a text that refuses only one that is marked."""
    text = text[-_TAIL:]
    place = _labelled(text) or _marked(text)
    if place is not None or refused:
        return place
    if code := SHORT_CODE.search(text):
        beside = re.match(rf",? ({_NAME}(?:, {_NAME}){{0,3}})", text[code.end() :])
        return Place(name=beside[1], code=code.group()) if beside else None
    whole = re.sub(r"\s\([^()]{1,60}\)\.?$", "", text.strip())
    whole = whole.strip(" \n\t'\"()[]").removeprefix("The ")
    if len(whole) <= _SHORT_TEXT and _SHORT.fullmatch(whole) and _is_name(whole):
        return Place(name=re.sub(r" (?:in|near) ", ", ", whole).rstrip("."))
    for pattern in (_IN, _ALONE):
        found = [name for name in pattern.findall(text) if _is_name(name)]
        if found:
            return Place(name=found[-1].rstrip("."))
    return None


def _labelled(text: str) -> Place | None:
    fields = {}
    for name, pattern in _LABELLED.items():
        found = [one.strip(" .'\"") for one in pattern.findall(text)]
        found = [one for one in found if _is_name(one)]
        if found:
            fields[name] = found[-1]
    if fields.get("city") or fields.get("country") or "," in fields.get("name", ""):
        return Place(**fields)
    return None


def _marked(text: str) -> Place | None:
    """A place directly behind "final answer", "best guess" or "most likely"."""
    for pattern in (FINAL, GUESS, _LIKELY):
        for marker in reversed(list(pattern.finditer(text))[-20:]):
            match = _MARKED.match(text, marker.end())
            if match is not None and _is_name(match[1]):
                return Place(name=match[1].rstrip("."))
    return None


def _is_name(text: str) -> bool:
    words = re.findall(r"[^\W\d_]{1,40}", text.casefold())
    if not words or words[0] in _NO_PLACE:
        return False
    return not is_nothing(text) and not is_nothing(words[0])
