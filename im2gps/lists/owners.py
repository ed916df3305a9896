"""The photographers of a test set, whose photos must be left out of the training set.

Their ids are in the names of the test photos: `{photo id}_{secret}_{server}_{owner}.jpg`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from geoload.files import files_below
from geoload.report import Findings
from im2gps.flickr.ids import OWNER
from im2gps.packs import open_pack
from im2gps.photo_table import open_parquet

_IN_NAME = re.compile(rf"_({OWNER})\.jpe?g", re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?<![0-9]){OWNER}(?![0-9])")
_MAX_LINE = 2**16


def read_owners(source: str | Path) -> tuple[set[str], int]:
    """Return owner ids, and how many photos name none.

    Parameters
    ----------
    source : path
        A test pack as a ZIP file; a folder of photos, of ZIP files, or of both; a Parquet table
        with a column `owner`, such as `im2gps lists` writes; or a text file, such as a CSV, with
        owner ids or such photo names anywhere in it.

    Raises
    ------
    FileNotFoundError
        If there is nothing at that path.
    ValueError
        If no owner is named there, or the file is of another kind.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such test pack, folder or file.")
    found: Iterator[re.Match[str] | None]
    if path.is_dir() or zipfile.is_zipfile(path):
        found = (_IN_NAME.search(name) for name in _photo_names(path))
    elif _is_parquet(path):
        found = (re.fullmatch(OWNER, owner or "") for owner in _column(path))
    else:
        found = (match for line in _lines(path) for match in _IN_TEXT.finditer(line))
    owners, unnamed = set(), 0
    for match in found:
        if match:
            owners.add(match[match.lastindex or 0])
        else:
            unnamed += 1
    if not owners:
        raise ValueError(
            f"{path} names no photographers: give a test pack's ZIP or folder, with photos named "
            "like 104123223_7410c654ba_19_19355699@N00.jpg, a Parquet table with a column owner, "
            "or a text file with such owner ids."
        )
    return owners, unnamed


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PAR1"


def _photo_names(path: Path) -> Iterator[str]:
    zips = [file for file in files_below(path) if file.suffix == ".zip"]  # none below a file
    for pack in [path, *zips]:
        with open_pack(str(pack), Findings()) as photos:
            yield from (name for name, _ in photos)


def _column(path: Path) -> Iterator[str | None]:
    with open_parquet(path) as table:
        names = table.schema_arrow.names
        if "owner" not in names:
            raise ValueError(f"{path} has no column owner, but {', '.join(names[:20])}.")
        for batch in table.iter_batches(columns=["owner"]):
            yield from batch.column(0).cast(pa.string()).to_pylist()


def _lines(path: Path) -> Iterator[str]:
    """Read a text file; refuse others, in which random bytes can look like an owner id."""
    with open(path, encoding="utf-8", errors="replace") as file:
        while line := file.readline(_MAX_LINE):
            if "\0" in line:
                raise ValueError(
                    f"{path} is not plain text: give owner ids as UTF-8 text or a Parquet table "
                    "with a column owner, or a test pack as a ZIP or a folder."
                )
            yield line
