"""The photos of a test pack, in a ZIP file or a folder, one after the other.

Knows nothing of coordinates: it gives names and bytes. A ZIP is read where it lies, on this
machine or another, and never unpacked.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import aiohttp

from geoload.files import (
    files_below,
    is_clutter,
    is_remote,
    is_transport_error,
    open_binary,
    printable,
)
from geoload.report import Report

MAX_PHOTO = 64 * 2**20
OTHER_FILES = "files that are no JPEG photos"
_IS_UTF8 = 0x800
_UNICODE_PATH = 0x7075
# Of others zipfile unpacks more than it is asked for: from 4 kB of bzip2 it may make gigabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUFFIXES = (".jpg", ".jpeg")
# An encrypted member is a RuntimeError, an unknown compression a NotImplementedError.
_NETWORK_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError)
_UNPACKING_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError,
    ValueError, IndexError, OverflowError, struct.error,
)  # fmt: skip

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
        yield [(printable(path.name), path.read_bytes) for path in folder_photos(source)]
        return
    with open_binary(source) as file, _archive(source, file) as archive:
        photos = []
        for info in archive.infolist():
            path = _path_of(info)
            if _is_photo(path) and not stat.S_ISLNK(info.external_attr >> 16):
                photos.append((PurePosixPath(path).name, _member_reader(archive, info)))
            elif not path.endswith("/") and not is_clutter(path):
                report.add(OTHER_FILES, path)
        yield photos


def folder_photos(folder: str) -> list[Path]:
    """List the photos of a folder, at any depth and behind links, in the order of their paths."""
    return [path for path in files_below(folder) if _is_photo(path.name)]


def find_pack(folder: str, archive: str, others: Collection[str]) -> str:
    """Find a pack under a folder: its ZIP file, the folder it unpacks to, or the photos alone.

    `others` names the other packs' ZIP files, whose unpacked photos must not be taken for it.

    Raises
    ------
    FileNotFoundError
        When there is none, or when it cannot be told which.
    """
    if os.path.isfile(folder):
        return _only_zip(folder, others)
    path = os.path.join(folder, archive)
    if os.path.isfile(path):
        return path
    unpacked = path.removesuffix(".zip")
    if os.path.isdir(unpacked) and folder_photos(unpacked):
        return unpacked
    # Not deeper: the photos below could be anyone's.
    foreign = {name.removesuffix(".zip") for name in others}
    if os.path.basename(folder) not in foreign and any(
        _is_photo(name) for name in os.listdir(folder)
    ):
        return folder
    raise FileNotFoundError(
        f"{folder} should hold {archive}, a folder {os.path.basename(unpacked)} of its unpacked "
        "photos, or the photos themselves, but holds none of them."
    )


def only_pack(folder: str) -> str:
    """Return the one ZIP file of a folder, or the folder itself where its photos lie loose."""
    if os.path.isfile(folder):
        return _only_zip(folder, ())
    names = [name for name in os.listdir(folder) if not is_clutter(name)]
    archives = sorted(name for name in names if name.lower().endswith(".zip"))
    if len(archives) > 1:
        raise FileNotFoundError(
            f"{folder} holds several ZIP files ({', '.join(archives[:5])}): point data_dir at one."
        )
    return os.path.join(folder, archives[0]) if archives else folder


@contextlib.contextmanager
def explained(source: str, archive: str) -> Iterator[None]:
    """Let an error of the network say what to do instead."""
    try:
        yield
    except (OSError, *_NETWORK_ERRORS) as error:
        if not is_remote(source):
            raise
        raise ConnectionError(
            f"Cannot get {source} ({_cause(error, source)}). Check the connection, or get "
            f"{archive} by other means and give its folder with data_dir=."
        ) from error


def _cause(error: BaseException, source: str) -> str:
    """Say what an error of the network came from: the clients wrap it in one with the address."""
    said = ""
    one: BaseException | None = error
    while one is not None:
        text = getattr(one, "strerror", None) or str(one)
        if isinstance(one, aiohttp.ClientResponseError):
            text = f"{one.status} {one.message}"
        if isinstance(one, FileNotFoundError) and source in text:
            text = "there is no such file"
        if isinstance(one, (OSError, *_NETWORK_ERRORS)):
            said = text or said or type(one).__name__
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return said


def _only_zip(path: str, others: Collection[str]) -> str:
    name = os.path.basename(path)
    if name in others:
        raise ValueError(f"{path} is another pack: choose its configuration.")
    if not name.lower().endswith(".zip"):
        raise ValueError(f"{path} is no ZIP file: data_dir is a folder, or a ZIP of photos.")
    return path


def _archive(source: str, file: BinaryIO) -> zipfile.ZipFile:
    try:
        # Buffered, because zipfile takes a read that gives less than asked for the file's end.
        return zipfile.ZipFile(io.BufferedReader(file))  # type: ignore[type-var]
    except (*_UNPACKING_ERRORS, OSError) as error:
        if _of_network(error):
            raise
        raise PackError(f"{source} is no whole ZIP file ({error}). Get it again.") from error


def _of_network(error: BaseException) -> bool:
    return isinstance(error.__cause__, _NETWORK_ERRORS) or is_transport_error(error)


def _member_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        # The size in the directory is a claim: read no more than one byte past the bound.
        try:
            if info.compress_type not in _METHODS:
                raise NotImplementedError(f"method {info.compress_type}: pack it by deflate")
            with archive.open(info) as member:
                data = member.read(MAX_PHOTO + 1)
        except (*_UNPACKING_ERRORS, OSError) as error:
            if _of_network(error):
                raise
            raise PackError(f"it cannot be unpacked ({error})") from error
        if len(data) > MAX_PHOTO:
            raise PackError(f"it is larger than {MAX_PHOTO:,} bytes")
        return data

    return read


def _path_of(info: zipfile.ZipInfo) -> str:
    """Return a member's path. zipfile takes all names not marked as UTF-8 for DOS's, CP437."""
    path = info.orig_filename
    if not info.flag_bits & _IS_UTF8:
        raw = path.encode("cp437")
        with contextlib.suppress(UnicodeDecodeError):
            path = (_unicode_path(info.extra, raw) or raw).decode("utf-8")
    # Some programs on Windows write backslashes.
    return path.partition("\0")[0].replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> bytes:
    """Return the name in Info-ZIP's extra field, if it is of the name in the directory."""
    place = 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, place)
        field = extra[place + 4 : place + 4 + size]
        if kind == _UNICODE_PATH and field[:5] == b"\1" + struct.pack("<I", zlib.crc32(raw)):
            return field[5:]
        place += 4 + size
    return b""


def _is_photo(path: str) -> bool:
    return path.lower().endswith(_SUFFIXES) and not is_clutter(path)
