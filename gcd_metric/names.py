"""Formats names and counts in messages, and refuses ids that occur twice."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

_MOST = 10
_LONGEST = 100  # characters
_INVISIBLE = ("Cc", "Cn", "Co", "Cs", "Zl", "Zp")
_DIRECTION_MARKS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def escaped(char: str) -> str:
    """A character as an escape like `\\n`."""
    return char.encode("unicode_escape").decode("ascii")


def visible(text: str) -> str:
    """Text with control characters, and those that turn the direction, as escapes like `\\n`."""
    return "".join(
        escaped(char)
        if unicodedata.category(char) in _INVISIBLE
        or unicodedata.bidirectional(char) in _DIRECTION_MARKS
        else char
        for char in text
    )


def shortened(name: object) -> str:
    """A name or a cell as one line of visible text, cut if it is long."""
    text = " ".join(str(name).splitlines())
    return visible(text[:_LONGEST]) + "…" * (len(text) > _LONGEST)


def listed(names: Iterable[object]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = [f"… and {len(names) - _MOST:,} more"] if len(names) > _MOST else []
    return ", ".join([*map(shortened, names[:_MOST]), *more])


def joined(names: Sequence[str]) -> str:
    """Names as in a sentence: `a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, plural: str) -> str:
    """A count with a noun whose plural ends in s: `1 row without an id`, `2,000 rows …`."""
    noun = re.sub(r"s\b", "", plural, count=1) if count == 1 else plural
    return f"{count:,} {noun}"


def refuse_duplicates(ids: Sequence[str], where: str) -> None:
    """Raise a ValueError that names the ids that occur in `where` more than once."""
    if len(set(ids)) < len(ids):
        twice = [text for text, count in Counter(ids).items() if count > 1]
        raise ValueError(f"{where}: {counted(len(twice), 'duplicate ids')}: {listed(twice)}")
