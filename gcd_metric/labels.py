"""Makes any name of a file or photo safe to draw or to put on a page."""

from __future__ import annotations

import html
import unicodedata
from functools import lru_cache
from typing import Any

from .names import escaped, visible

LONGEST_LABEL = 40  # columns; a picture has no room for more


def ellipsized(text: str, longest: int = LONGEST_LABEL) -> str:
    """Text of at most so many columns, with `…` in the middle if it was longer.

    Both ends of a name tell it from others. A Chinese or Japanese character takes two columns.
    """
    if sum(map(_columns, text)) <= longest:
        return text
    room = longest - 1
    end = _fitting(text[::-1], room // 2)[::-1]
    return f"{_fitting(text, room - room // 2)}…{end}"


def as_html(text: str, longest: int | None = None) -> str:
    """Text for a page, escaped and visible; for a heading, of at most so many columns."""
    text = visible(text)
    return html.escape(ellipsized(text, longest) if longest else text)


def for_plotly(text: str) -> str:
    """A short label for plotly, which reads tags, entities and, between `$`, mathematics."""
    escaped = html.escape(ellipsized(visible(text)), quote=False)
    return escaped.replace("$", "&#36;")  # plotly looks for `$` before it reads entities


def for_matplotlib(text: str, longest: int = LONGEST_LABEL) -> tuple[str, dict[str, Any]]:
    """A short label, and the properties of a Text with which matplotlib draws it as it is.

    Characters that no installed font has, or that this version of matplotlib draws in the wrong
    order, become escapes like `\\u4e2d`. The properties are the fonts, and no mathematics.
    """
    from matplotlib import __version_info__

    text = visible(text)
    disordered = set() if __version_info__ >= (3, 11) else set(filter(_right_to_left, text))
    families, lacking = _fonts(frozenset(text) - disordered)
    unsafe = disordered | lacking
    text = "".join(escaped(char) if char in unsafe else char for char in text)
    if any(map(_right_to_left, text)):
        text = f"\u200e{text}"  # what follows the name must still run from left to right
    properties = {"parse_math": False, "usetex": False, "fontfamily": families}
    return ellipsized(text, longest), properties


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fitting(text: str, room: int) -> str:
    """As much of the beginning of a text as fits into so many columns."""
    for index, char in enumerate(text):
        room -= _columns(char)
        if room < 0:
            return text[:index]
    return text


def _right_to_left(char: str) -> bool:
    return unicodedata.bidirectional(char) in ("R", "AL")


@lru_cache(maxsize=8)
def _fonts(characters: frozenset[str]) -> tuple[list[str], set[str]]:
    """Installed font families that have these characters, and the characters that none has."""
    from matplotlib import font_manager

    families, missing = ["DejaVu Sans"], set(characters)  # it comes with matplotlib
    paths: dict[str, Any] = {families[0]: font_manager.findfont(families[0])}
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: font.name):
        # the Last Resort font has a box for every character
        if font.style == "normal" and font.weight == 400 and "Last Resort" not in font.name:
            paths.setdefault(font.name, font.fname)
    for family, path in paths.items():
        if not missing:
            break
        try:
            face = font_manager.get_font(path)
        except (OSError, RuntimeError):  # the file is not a font after all
            continue
        found = {char for char in missing if face.get_char_index(ord(char))}
        if found and family not in families:
            families.append(family)
        missing -= found
    return families, missing
