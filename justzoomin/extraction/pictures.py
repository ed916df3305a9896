"""The pictures of a folder, extracted or in its TAR files: which there are, and what is in them."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, Protocol

from PIL import Image

from geoload.files import is_clutter, read_exactly
from geoload.jpeg import clean
from geoload.output_folder import UNFINISHED
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar import Member, ShardError
from justzoomin.archives import (
    MAX_PICTURE,
    TWICE,
    Archive,
    image_id_of,
    place_of,
    refusal,
    shown,
    tile_of,
)

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

DAMAGED = "TAR files that are damaged"
LINKS = "links and other things that are no files"
PARTS = f"unfinished files ({UNFINISHED})"
STRAY = "files outside of the layout"
_ENDS = 4096
_MAX_PIXELS = 100_000_000


class Pictures(Protocol):
    """Pictures by their path in the layout, with their sizes in bytes."""

    sizes: dict[str, int]

    def ends(self, path: str) -> bytes:
        """Return a picture's first and last bytes."""

    def read(self, path: str) -> bytes:
        """Return a whole picture."""


class Extracted:
    """Pictures that are files of their own. No link is followed.

    Parameters
    ----------
    folder : str
    tops : iterable of str
        The folders below it that hold them: `streetview/images`, `satellite/-7`.
    report : Findings
        Told of what does not belong there.
    """

    def __init__(self, folder: str, tops: Iterable[str], report: Findings) -> None:
        self._folder = folder
        self.sizes: dict[str, int] = {}
        for top in tops:
            self._look(top, report)

    def _look(self, top: str, report: Findings) -> None:
        try:
            names = sorted(os.listdir(os.path.join(self._folder, top)))
        except FileNotFoundError:
            return
        for name in names:
            if is_clutter(name):
                continue
            path = f"{top}/{name}"
            found = os.lstat(os.path.join(self._folder, path))
            if stat.S_ISDIR(found.st_mode) and path.startswith("satellite/") and top.count("/") < 2:
                self._look(path, report)
            elif not stat.S_ISREG(found.st_mode):
                report.add(STRAY if stat.S_ISDIR(found.st_mode) else LINKS, shown(path))
            elif image_id_of(path) is not None or tile_of(path) is not None:
                self.sizes[path] = found.st_size
            else:
                report.add(PARTS if name.endswith(UNFINISHED) else STRAY, shown(path))

    def ends(self, path: str) -> bytes:
        """Return a picture's first and last bytes."""
        with self._open(path) as file:
            return _ends(file, 0, self.sizes[path])

    def read(self, path: str) -> bytes:
        """Return a whole picture."""
        with self._open(path) as file:
            return read_exactly(file.read, MAX_PICTURE)

    def _open(self, path: str) -> BinaryIO:
        return open(os.path.join(self._folder, path), "rb", buffering=0, opener=_no_link)


class Archived:
    """Pictures in TAR files; of several of one name the first counts.

    Parameters
    ----------
    archives : list of Archive
    token : object
        For the Hub.
    report : Findings
        Told of what TAR files should not hold, and of those that are damaged.
    passed : callable
        Told how many bytes of the TAR files were passed over.
    """

    def __init__(
        self, archives: list[Archive], token: Any, report: Findings, passed: Callable[[int], Any]
    ) -> None:
        self.sizes: dict[str, int] = {}
        self.damaged = False
        self._archives, self._token = archives, token
        self._places: dict[str, tuple[int, int]] = {}
        self._own = threading.local()
        for number, archive in enumerate(archives):
            try:
                self._list(number, archive, report, passed)
            except ShardError as error:
                self.damaged = True
                report.add(DAMAGED, str(error))

    def _list(
        self, number: int, archive: Archive, report: Findings, passed: Callable[[int], Any]
    ) -> None:
        position = 0
        with open_binary(archive.path, self._token) as file:
            for member, _ in archive.tar_index().read(file):
                self._add(number, archive, member, report)
                passed(member.data + member.size - position)
                position = member.data + member.size
        passed(archive.size - position)

    def _add(self, number: int, archive: Archive, member: Member, report: Findings) -> None:
        refused = refusal(archive, member)
        path = place_of(archive, member.name)
        if refused is not None:
            report.add(refused, shown(member.name))
        elif member.kind == "file" and path is not None:
            if path in self.sizes:
                report.add(TWICE, path)
            else:
                self.sizes[path] = member.size
                self._places[path] = number, member.data

    def ends(self, path: str) -> bytes:
        """Return a picture's first and last bytes."""
        number, data = self._places[path]
        return _ends(self._file(number), data, self.sizes[path])

    def read(self, path: str) -> bytes:
        """Return a whole picture."""
        number, data = self._places[path]
        file = self._file(number)
        file.seek(data)
        return read_exactly(file.read, self.sizes[path])

    def is_local(self, path: str) -> bool:
        """Tell whether the TAR file of a picture is on this machine."""
        return self._archives[self._places[path][0]].key is None

    def _file(self, number: int) -> BinaryIO:
        """Return a TAR file that this thread alone reads."""
        files = self._own.__dict__.setdefault("files", {})
        if number not in files:
            files[number] = open_binary(self._archives[number].path, self._token)
        return files[number]


def _ends(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    first = read_exactly(file.read, min(2, size))
    file.seek(start + max(size - _ENDS, 0))
    return first + read_exactly(file.read, min(_ENDS, size))


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def decode(data: bytes, shape: tuple[int, int] | None) -> None:
    """Decode a JPEG, by simplejpeg where it is installed: it minds damage that Pillow passes over.

    Raises
    ------
    ValueError
        When it does not decode, or has not the (width, height) that it should have.
    """
    data = clean(data)  # of stray bytes between its segments, which are no damage
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            width, height = picture.size
            if width * height > _MAX_PIXELS or shape not in (None, (width, height)):
                wanted = f", not {shape[0]} x {shape[1]}" if shape else ""
                raise ValueError(f"{width} x {height} pixels{wanted}")
            if simplejpeg is None or picture.mode == "CMYK":
                picture.load()
            else:
                simplejpeg.decode_jpeg(data, "GRAY")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
