"""The photos of a test pack, in a ZIP file or a folder, one after the other.

Knows nothing of coordinates: it gives names and bytes. A ZIP is read where it lies, on this
machine or another, and never unpacked.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from geoload.files import open_binary
from geoload.report import Report

MAX_PHOTO = 64 * 2**20
OTHER_FILES = "files that are no JPEG photos"
_SUFFIXES = (".jpg", ".jpeg")
# An encrypted member is a RuntimeError, an unknown compression a NotImplementedError.
_UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)

Photo = tuple[str, Callable[[], bytes]]


class PackError(ValueError):
    """A pack that cannot be read, or photos in it that cannot be used."""


@contextlib.contextmanager
def open_pack(source: str, report: Report) -> Iterator[list[Photo]]:
    """Open a ZIP or a folder and give the file name and a reader of the bytes of each photo.

    Parameters
    ----------
    source : str
        Path or address of a ZIP file, or path of a folder (searched to any depth).
    report : Report
        Counts the files that are not photos.

    Raises
    ------
    PackError
        When the ZIP cannot be read. A reader raises it when its photo cannot.
    """
    if os.path.isdir(source):
        yield [(path.name, path.read_bytes) for path in folder_photos(source)]
        return
    with open_binary(source) as file, _archive(source, file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        for info in infos:
            if not _is_photo(info.filename):
                report.add(OTHER_FILES, info.filename)
        yield [
            (PurePosixPath(info.filename).name, _member_reader(archive, info))
            for info in infos
            if _is_photo(info.filename)
        ]


def folder_photos(folder: str) -> list[Path]:
    """List the photos of a folder, at any depth, in the order of their paths."""
    return sorted(p for p in Path(folder).rglob("*") if _is_photo(p.as_posix()) and p.is_file())


def find_pack(folder: str, archive: str, others: Collection[str]) -> str:
    """Find a pack under a folder: its ZIP file, the folder it unpacks to, or the photos alone.

    `others` names the other packs' ZIP files, whose unpacked photos must not be taken for it.

    Raises
    ------
    FileNotFoundError
        When there is none, or when it cannot be told which.
    """
    if os.path.isfile(folder):
        return folder
    path = os.path.join(folder, archive)
    if os.path.isfile(path):
        return path
    unpacked = path.removesuffix(".zip")
    if os.path.isdir(unpacked) and folder_photos(unpacked):
        return unpacked
    foreign = {name.removesuffix(".zip") for name in others}
    parents = {p.parent for p in folder_photos(folder)}
    parents = {p for p in parents if foreign.isdisjoint(p.relative_to(folder).parts)}
    if len(parents) == 1:
        return str(parents.pop())
    found = "several folders with photos" if parents else "neither"
    raise FileNotFoundError(
        f"{folder} should hold {archive} or its unpacked photos, but holds {found}. Point data_dir "
        "at the folder of just these photos."
    )


def _archive(source: str, file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise PackError(
            f"{source} is no whole ZIP file ({error}). Delete it and get it again."
        ) from error


def _member_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        # The size in the directory is a claim: read no more than one byte past the bound.
        try:
            with archive.open(info) as member:
                data = member.read(MAX_PHOTO + 1)
        except _UNPACKING_ERRORS as error:
            raise PackError(f"it cannot be unpacked ({error})") from error
        if len(data) > MAX_PHOTO:
            raise PackError(f"it is larger than {MAX_PHOTO:,} bytes")
        return data

    return read


def _is_photo(path: str) -> bool:
    # macOS packs a shadow `._name.jpg` of every file, often under __MACOSX/.
    name = path.rsplit("/", 1)[-1]
    return name.lower().endswith(_SUFFIXES) and not name.startswith("._")
