"""Names in messages: a few of many, and the first characters of a long one."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 10
_LONGEST = 100  # characters


def shortened(name: object) -> str:
    """A name or a cell as text in one line, cut where it is long."""
    text = " ".join(str(name).splitlines())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def listed(names: Iterable[object]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = [f"… and {len(names) - _MOST:,} more"] if len(names) > _MOST else []
    return ", ".join([*map(shortened, names[:_MOST]), *more])
