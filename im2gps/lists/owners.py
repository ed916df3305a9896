"""The photographers of a test set, whose photos must not be trained on.

Their ids are in the names of the test photos: `{photo id}_{secret}_{server}_{owner}.jpg`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from geoload.report import Report
from im2gps.lists.columns import OWNER
from im2gps.packs import open_pack

_IN_NAME = re.compile(rf"_({OWNER})\.jpe?g", re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?<![0-9]){OWNER}(?![0-9])")
_LINE = 2**16


def read_owners(source: str | Path) -> tuple[set[str], int]:
    """Return owner ids, and how many photos name none.

    Parameters
    ----------
    source : path
        A test pack as a ZIP file; a folder of photos, of ZIP files, or of both; or a text file,
        such as a CSV, with owner ids or such photo names anywhere in it.

    Raises
    ------
    FileNotFoundError
        When there is nothing at that path.
    ValueError
        When no owner is named there.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such test pack, folder or file.")
    if path.is_dir() or zipfile.is_zipfile(path):
        found = [_IN_NAME.search(name) for name in _photo_names(path)]
    else:
        found = [match for line in _lines(path) for match in _IN_TEXT.finditer(line)]
    owners = {match[match.lastindex or 0] for match in found if match}
    if not owners:
        raise ValueError(
            f"{path} names no photographers: give a test pack's ZIP or folder, with photos named "
            "like 104123223_7410c654ba_19_19355699@N00.jpg, or a text file with such owner ids."
        )
    return owners, found.count(None)


def _photo_names(path: Path) -> Iterator[str]:
    packs = [path, *sorted(path.rglob("*.zip"))] if path.is_dir() else [path]
    for pack in packs:
        with open_pack(str(pack), Report()) as photos:
            yield from (name for name, _ in photos)


def _lines(path: Path) -> Iterator[str]:
    """Read a text by lines, those without end by pieces."""
    with open(path, encoding="utf-8", errors="replace") as file:
        while line := file.readline(_LINE):
            yield line
