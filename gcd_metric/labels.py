"""Names of files and photos as text that can be drawn or put on a page, whatever they hold."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

LONGEST_LABEL = 40  # columns; a picture has no room for more
_UNSEEN = ("Cc", "Cn", "Co", "Cs", "Zl", "Zp")
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def visible(text: str) -> str:
    """Text with control characters, and those that turn the direction, as escapes like `\\n`."""
    return "".join(
        _escaped(char)
        if unicodedata.category(char) in _UNSEEN or unicodedata.bidirectional(char) in _TURNING
        else char
        for char in text
    )


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """Text of at most so many columns, with `…` in the middle where it was longer.

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
    return html.escape(shortened(text, longest) if longest else text)


def for_plotly(text: str) -> str:
    """A short label for plotly, which reads tags, entities and `$` for mathematics."""
    escaped = html.escape(shortened(visible(text)), quote=False)
    return escaped.replace("$", "&#36;")  # it looks for `$` before it reads entities


def for_matplotlib(text: str, longest: int = LONGEST_LABEL) -> tuple[str, dict[str, Any]]:
    """A short label, and the properties with which matplotlib draws it as it is.

    Parameters
    ----------
    text : str
    longest : int
        Columns.

    Returns
    -------
    text : str
        Characters that no installed font has, or that this version of matplotlib draws in the
        wrong order, are escapes like `\\u4e2d`.
    properties : dict
        Of a matplotlib Text: its fonts, and no mathematics.
    """
    families = []
    text = visible(text)
    missing = set(text)
    lacking = {char for char in missing if not _in_order(char)}
    missing -= lacking
    for family, characters in _fonts(frozenset(missing)):
        families.append(family)
        missing -= characters
    lacking |= missing
    text = "".join(_escaped(char) if char in lacking else char for char in text)
    if not all(map(_left_to_right, text)):
        text = f"\u200e{text}"  # or a name that is written to the left would turn what follows
    plain = {"parse_math": False, "usetex": False, "fontfamily": families}
    return shortened(text, longest), plain


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fitting(text: str, room: int) -> str:
    """As much of the beginning of a text as fits into so many columns."""
    for index, char in enumerate(text):
        room -= _columns(char)
        if room < 0:
            return text[:index]
    return text


def _left_to_right(char: str) -> bool:
    return unicodedata.bidirectional(char) not in ("R", "AL")


def _in_order(char: str) -> bool:
    from matplotlib import __version_info__

    return __version_info__ >= (3, 11) or _left_to_right(char)


@lru_cache(maxsize=8)
def _fonts(characters: frozenset[str]) -> list[tuple[str, set[str]]]:
    """Installed families that together have most of these characters, each with what it adds."""
    found: list[tuple[str, set[str]]] = []
    missing = set(characters)
    for family, path in _installed():
        if found and not missing:
            break
        have = {char for char in missing if _has(path, char)}
        if have or not found:  # the first is for all that any font has
            found.append((family, have))
            missing -= have
    return found


def _installed() -> Iterator[tuple[str, str]]:
    """Families and files: matplotlib's own first, then what the machine has."""
    from matplotlib import font_manager

    own = "DejaVu Sans"
    yield own, font_manager.findfont(own)
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: font.name):
        # the last resort has a box for every character
        if font.style == "normal" and font.weight == 400 and "Last Resort" not in font.name:
            yield font.name, font.fname


def _has(path: str, char: str) -> bool:
    from matplotlib import font_manager

    try:
        return font_manager.get_font(path).get_char_index(ord(char)) > 0
    except (OSError, RuntimeError):  # a file that is no font after all
        return False
