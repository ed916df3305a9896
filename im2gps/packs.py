"""Finds test packs and reads their photos, from a ZIP file (local or remote) or a folder."""

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
from typing import Any

import aiohttp

from geoload.files import files_below, is_clutter, is_remote, printable
from geoload.remote import is_transport_error, open_binary
from geoload.report import Findings, Kind

MAX_PHOTO = 64 * 2**20
UNUSABLE = Kind("unusable_photo", "unusable photos")
_OTHER_FILES = Kind("not_a_photo", "files other than JPEG photos")
_IS_UTF8 = 0x800
_UNICODE_PATH = 0x7075
# With other methods zipfile unpacks more than requested: gigabytes from 4 kB of bzip2.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUFFIXES = (".jpg", ".jpeg")
_NETWORK_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError)
# RuntimeError for an encrypted member, NotImplementedError for an unknown compression.
_UNPACKING_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError,
    ValueError, IndexError, OverflowError, struct.error,
)  # fmt: skip

Photo = tuple[str, Callable[[], bytes]]


class PackError(ValueError):
    """A pack that cannot be read, or photos in it that cannot be used."""


@contextlib.contextmanager
def open_pack(source: str, report: Findings, token: Any = None) -> Iterator[list[Photo]]:
    """Return the file name of each photo and a function that reads it.

    `source` is the path or address of a ZIP file, or the path of a folder, which is searched at
    any depth; `token` is for the Hub. PackError is raised if the ZIP cannot be read, and by the
    functions for a photo.
    """
    if os.path.isdir(source):
        yield [(printable(path.name), path.read_bytes) for path in folder_photos(source)]
        return
    with open_binary(source, token) as file:
        try:
            # Buffered, because zipfile mistakes a short read for the end of the file.
            archive = zipfile.ZipFile(io.BufferedReader(file))  # type: ignore[type-var]
        except (*_UNPACKING_ERRORS, OSError) as error:
            if _of_network(error):
                raise
            raise PackError(f"{source} is not a valid ZIP file ({error}). Get it again.") from error
        photos = []
        for info in archive.infolist():
            path = _path_of(info)
            if _is_photo(path) and not stat.S_ISLNK(info.external_attr >> 16):
                photos.append((PurePosixPath(path).name, _member_reader(archive, info)))
            elif not path.endswith("/") and not is_clutter(path):
                report.add(_OTHER_FILES, path)
        yield photos


def folder_photos(folder: str) -> list[Path]:
    """Return the photos of a folder at any depth, following links, in the order of their paths."""
    return [path for path in files_below(folder) if _is_photo(path.name)]


def find_pack(folder: str, archive: str, others: Collection[str]) -> str:
    """Return the path of a pack in a folder: its ZIP file, the unpacked folder, or `folder` itself.

    `others` are the other packs' ZIP files, whose unpacked photos must not be taken for this pack.
    Raises FileNotFoundError if there is none.
    """
    if os.path.isfile(folder):
        return _only_zip(folder, others)
    path = os.path.join(folder, archive)
    if os.path.isfile(path):
        return path
    unpacked = path.removesuffix(".zip")
    if os.path.isdir(unpacked) and folder_photos(unpacked):
        return unpacked
    # Only in this folder: photos in subfolders could be from any source.
    foreign = {name.removesuffix(".zip") for name in others}
    if os.path.basename(folder) not in foreign and any(
        _is_photo(name) for name in os.listdir(folder)
    ):
        return folder
    raise FileNotFoundError(
        f"{folder} should contain {archive}, a folder {os.path.basename(unpacked)} of its unpacked "
        "photos, or the photos themselves, but contains none of them."
    )


def only_pack(folder: str) -> str:
    """Return the path of the one ZIP file of a folder, or of the folder if it has no ZIP file."""
    if os.path.isfile(folder):
        return _only_zip(folder, ())
    names = [name for name in os.listdir(folder) if not is_clutter(name)]
    archives = sorted(name for name in names if name.lower().endswith(".zip"))
    if len(archives) > 1:
        raise FileNotFoundError(
            f"{folder} has several ZIP files ({', '.join(archives[:5])}): point data_dir at one."
        )
    return os.path.join(folder, archives[0]) if archives else folder


@contextlib.contextmanager
def explained(source: str, archive: str) -> Iterator[None]:
    """Replace a network error by a ConnectionError that says what to do."""
    try:
        yield
    # The clause names no global of this module: at the end of Python they are gone before a stream
    # that is still open is closed.
    except Exception as error:
        if not isinstance(error, (OSError, *_NETWORK_ERRORS)) or not is_remote(source):
            raise
        raise ConnectionError(
            f"Cannot get {source} ({_cause(error, source)}). Check the connection, or get "
            f"{archive} by other means and give its folder with data_dir=."
        ) from error


def _cause(error: BaseException, source: str) -> str:
    """Return the text of the innermost network error: clients wrap it in one with the address."""
    found = ""
    one: BaseException | None = error
    while one is not None:
        text = getattr(one, "strerror", None) or str(one)
        if isinstance(one, aiohttp.ClientResponseError):
            text = f"{one.status} {one.message}"
        if isinstance(one, FileNotFoundError) and source in text:
            text = "there is no such file"
        if isinstance(one, (OSError, *_NETWORK_ERRORS)):
            found = text or found or type(one).__name__
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found


def _only_zip(path: str, others: Collection[str]) -> str:
    name = os.path.basename(path)
    if name in others:
        raise ValueError(f"{path} is another pack: choose its configuration.")
    if not name.lower().endswith(".zip"):
        raise ValueError(f"{path} is not a ZIP file: data_dir is a folder, or a ZIP of photos.")
    return path


def _of_network(error: BaseException) -> bool:
    return isinstance(error.__cause__, _NETWORK_ERRORS) or is_transport_error(error)


def _member_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        # The size in the directory may be wrong, so no more than one byte too many is read.
        try:
            if info.compress_type not in _METHODS:
                raise NotImplementedError(f"method {info.compress_type}: compress it by deflate")
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
    """Return a member's path; zipfile decodes names that are not marked as UTF-8 as CP437."""
    path = info.orig_filename
    if not info.flag_bits & _IS_UTF8:
        raw = path.encode("cp437")
        with contextlib.suppress(UnicodeDecodeError):
            path = (_unicode_path(info.extra, raw) or raw).decode("utf-8")
    # Some programs on Windows write backslashes.
    return path.partition("\0")[0].replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> bytes:
    """Return the name in Info-ZIP's extra field, if it belongs to the name in the directory."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        field = extra[position + 4 : position + 4 + size]
        if kind == _UNICODE_PATH and field[:5] == b"\1" + struct.pack("<I", zlib.crc32(raw)):
            return field[5:]
        position += 4 + size
    return b""


def _is_photo(path: str) -> bool:
    return path.lower().endswith(_SUFFIXES) and not is_clutter(path)
