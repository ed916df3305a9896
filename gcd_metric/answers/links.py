"""Reads coordinates in links, WKT points and plus codes."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from .prose import Pair, pairs

# alternatives begin with a letter, so that `re` skips all other characters quickly
_LINK = re.compile(
    r"https?://[^\s<>|]{1,2000}|geo:(?<![A-Za-z]geo:)[^\s<>|]{1,2000}|www\.[^\s<>|]{1,2000}"
)
_N = r"(-?[0-9]{1,3}(?:\.[0-9]{1,20})?)"
_LATITUDE_FIRST = (
    rf"!3d{_N}!4d{_N}",  # Google's pin, before the centre of its map
    rf"[?&/#](?:q|query|ll|sll|cp|center|destination|daddr|viewpoint|cbll|marker|mlat|coords?)="
    rf"(?:loc:|geo:)?{_N}(?:[, ~]|&mlon=|, ){_N}",
    rf"[?&](?:m?lat|latitude)={_N}&(?:m?lon|lng|long|longitude)={_N}",
    rf"(?:map=)?[0-9]{{1,2}}(?:\.[0-9]{{1,2}})?/{_N}/{_N}",  # OpenStreetMap: zoom first
    rf"@{_N},{_N}",
    rf"/(?:place|search|dir)/{_N},\s?\+?{_N}",
    rf"geo:{_N},{_N}",
)
_LINKS = [re.compile(pattern) for pattern in _LATITUDE_FIRST]
_EMBEDDED = re.compile(rf"!2d{_N}!3d{_N}")  # Google's embedded maps: longitude first
_WKT = re.compile(
    rf"(?:POINT|Point|point)\s?(?:Z|M|ZM)?\s?\(\s{{0,5}}{_N}[\s,]{{1,5}}{_N}"
    rf"(?:[\s,]{{1,5}}{_N}){{0,2}}\s{{0,5}}\)"
)
_CODE = "23456789CFGHJMPQRVWX"
_PLUS_CODE = re.compile(
    rf"(?<![A-Z0-9+])(?:[{_CODE}]{{8}}\+(?:[{_CODE}]{{2,7}})?|[{_CODE}]{{4,6}}0{{2,4}}\+)"
    r"(?![A-Z0-9+])"
)
SHORT_CODE = re.compile(rf"(?<![A-Z0-9+])[{_CODE}]{{4,6}}\+[{_CODE}]{{2,3}}(?![A-Z0-9+])")


def linked_pairs(text: str) -> tuple[list[Pair], str]:
    """The pairs of links, WKT and plus codes, and the text with blanks in their place."""
    found: list[Pair] = []
    for pattern, read in ((_LINK, _link), (_WKT, _point), (_PLUS_CODE, _plus_code)):
        if pattern is _PLUS_CODE and "+" not in text:
            continue
        parts, last = [], 0
        for match in pattern.finditer(text):
            pair = read(match)
            if pair is not None:
                found.append(pair)
            # numbers in other links are no coordinates
            parts += [text[last : match.start()], " " * (match.end() - match.start())]
            last = match.end()
        text = "".join(parts) + text[last:] if parts else text
    return found, text


def _link(match: re.Match[str]) -> Pair | None:
    link = unquote_plus(match.group())
    for pattern in _LINKS:
        if found := pattern.search(link):
            return Pair(float(found[1]), float(found[2]), *match.span())
    if found := _EMBEDDED.search(link):
        return Pair(float(found[2]), float(found[1]), *match.span())
    inside = pairs(link) if "maps" in link else []  # a place in degrees, minutes and seconds
    return inside[-1]._replace(start=match.start(), end=match.end()) if inside else None


def _point(match: re.Match[str]) -> Pair:
    return Pair(float(match[2]), float(match[1]), *match.span())


def _plus_code(match: re.Match[str]) -> Pair | None:
    from openlocationcode import openlocationcode as plus_codes  # Google's own, in pure Python

    if not plus_codes.isFull(match.group()):
        return None
    area = plus_codes.decode(match.group())
    return Pair(area.latitudeCenter, area.longitudeCenter, *match.span())
