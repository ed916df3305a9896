"""Lists of Flickr photos and photographers to leave out of a training set.

A list is a text file with one photo id or one photographer's id on each line. Lines that start with
`#` are comments. `im2gps audit` writes such lists; `im2gps lists` and `im2gps build` read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from geoload.files import atomic_write
from im2gps.flickr.ids import OWNER, PHOTO_ID

HELP = (
    "leave out the photos, and all photos by the photographers, whose ids are in this text file; "
    "`im2gps audit --exclude` writes one"
)
_LINE = re.compile(rf"(?P<photos>{PHOTO_ID})|(?P<owners>{OWNER})|#.*|")


class Exclusions(NamedTuple):
    """Ids of photos and of photographers."""

    photos: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()


def read_exclusions(path: str | Path) -> Exclusions:
    """Read a list; raise ValueError if a line is neither an id nor a comment."""
    found: dict[str, set[str]] = {"photos": set(), "owners": set()}
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise ValueError(
                    f"{path}: line {number} is {line.strip()[:40]!r}; each line should be a photo "
                    "id such as 231521295, or a photographer's id such as 12345678@N00"
                )
            if match.lastgroup:
                found[match.lastgroup].add(match[0])
    return Exclusions(frozenset(found["photos"]), frozenset(found["owners"]))


def write_exclusions(path: str | Path, photos: Iterable[str], owners: Iterable[str]) -> int:
    """Write a list; return how many photographers are in it, because other texts are left out."""
    ids = sorted(owner for owner in owners if re.fullmatch(OWNER, owner))
    lines = ["# Flickr photos and photographers to leave out", *photos, *ids, ""]
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return len(ids)
