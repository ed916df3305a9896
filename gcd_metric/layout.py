"""Arranges text and tables within the width of a terminal."""

from __future__ import annotations

import textwrap
from itertools import pairwise

from .names import visible

WIDTH = 100  # of a line
_NARROWEST_NAME = 16


def wrapped(text: str, prefix: str = "") -> str:
    """Text in lines of at most `WIDTH`; a single word may be longer, so that it can be copied."""
    return textwrap.fill(
        visible(" ".join(text.splitlines())),
        WIDTH,
        initial_indent=prefix,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def stacked(headers: list[str], rows: list[list[str]], notes: list[str]) -> str:
    """Rows in two lines within `WIDTH`: name and figures above, a note and intervals below."""
    first_header, *headers = (header.removeprefix("% ") for header in headers)
    figures = [
        [cell.replace(" [", "\n").rstrip("]").replace(", ", "\u2013") for cell in cells]
        for _, *cells in rows
    ]
    padded = [f"{header}  " for header in headers]  # as tabulate does
    widths = [
        2 + max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(padded, *figures, strict=True)
    ]
    starts, used = [0], 0
    for index, width in enumerate(widths):
        if used + width > WIDTH - _NARROWEST_NAME and used:  # many thresholds: several tables
            starts.append(index)
            used = 0
        used += width
    tables = []
    for start, end in pairwise([*starts, len(widths)]):
        part = slice(start, end)
        room = max(WIDTH - sum(widths[part]), _NARROWEST_NAME)
        lines = []
        for (name, *_), cells, note in zip(rows, figures, notes, strict=True):
            first = textwrap.wrap(name, room, subsequent_indent="  ")
            below = "\n" * len(first)
            first += textwrap.wrap(note, room, subsequent_indent="  ")
            lines.append(["\n".join(first), *(cell.replace("\n", below) for cell in cells[part])])
        tables.append(grid([first_header, *headers[part]], lines))
    return "\n\n".join(tables)


def grid(headers: list[str], rows: list[list[str]]) -> str:
    """Aligned columns; the first one to the left."""
    from tabulate import tabulate

    aligned = ("left", *["right"] * (len(headers) - 1))
    return str(tabulate(rows, headers, disable_numparse=True, colalign=aligned))
