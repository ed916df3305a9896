"""The overview LICENSES.md: how many rows of each configuration are under which licence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

FILE = "LICENSES.md"
Licence = tuple[str, str]  # its name, and the address of its text
_HEAD = """# Licences

What is published here, by licence. The attributions that the licences require are in the file
`attribution.csv` in the folder of each configuration.

| configuration | licence | rows | text |
|---|---|---|---|
"""
_ROW = re.compile(
    r"^\| `([\w.-]+)` \| ([^|\n]+) \| ([\d,]+) \| (?:<(https?://[^>\s|]+)>)? ?\|$", re.M
)


def licence_of(line: Mapping[str, Any]) -> Licence:
    """Return the licence that an attribution line names."""
    return line["licence"], line["licence_link"]


def counting(lines: Iterable[dict[str, Any]], counts: Counter[Licence]) -> Iterator[dict[str, Any]]:
    """Yield attribution lines, and count their licences."""
    for line in lines:
        counts[licence_of(line)] += 1
        yield line


def overview(
    found: Mapping[str, Mapping[Licence, int]], earlier: str, kept: Collection[str]
) -> str:
    """Return the text of the file.

    Parameters
    ----------
    found : mapping
        Rows by licence of each configuration that is published now.
    earlier : str
        The text of the file that is there. It is not trusted: only rows of its table are read.
    kept : collection of str
        Configurations that were published earlier, whose rows of that table are kept.
    """
    rows = [row.groups() for row in _ROW.finditer(earlier) if row[1] in kept]
    for config, counts in found.items():
        ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        rows += [(config, name, f"{count:,}", link) for (name, link), count in ordered]
    lines = [
        f"| `{config}` | {name} | {count} | {f'<{link}>' if link else ''} |"
        for config, name, count, link in sorted(rows, key=lambda row: row[0])
    ]
    if unknown := sorted(set(kept) - {row[0] for row in rows}):
        names = ", ".join(f"`{config}`" for config in unknown)
        lines += ["", f"Not counted, because they were published without this file: {names}."]
    return _HEAD + "\n".join(lines) + "\n"
