"""The pictures of a local folder, extracted or in TAR files: which exist, and what is in them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NamedTuple

import simplejpeg
from PIL import Image

from geoload.files import is_clutter, is_remote, read_exactly
from geoload.jpeg import clean
from geoload.output_folder import UNFINISHED
from geoload.remote import open_binary
from geoload.report import Findings, Kind
from geoload.tar import ShardError
from geoload.tar_index import TarIndex
from justzoomin.findings import END_OF_IMAGE
from justzoomin.members import image_id_of, path_of, refusal, shown, tile_of
from justzoomin.source import Archive, Source

REPEATED = Kind("repeated_member", "repeated members")
DAMAGED = Kind("damaged_tar", "damaged TAR files")
LINKS = Kind("special_file", "links and special files")
PARTS = Kind("unfinished_file", f"unfinished {UNFINISHED} files")
STRAY = Kind("other_file", "files outside the layout")
_MAX_PIXELS = 100_000_000


class Picture(NamedTuple):
    """The place of a picture: its file, or a TAR file and an offset; and its size in bytes."""

    file: str
    offset: int
    size: int

    def read(self, files: dict[str, BinaryIO], whole: bool) -> bytes:
        """Return the picture, or without `whole` its first and last bytes.

        `files` contains the file that was opened last, because the next picture may be in it. No
        link is followed.
        """
        if self.file not in files:
            while files:
                files.popitem()[1].close()
            files[self.file] = open(self.file, "rb", buffering=0, opener=_no_link)  # noqa: SIM115
        file = files[self.file]
        size = self.size if whole else min(2, self.size)
        file.seek(self.offset)
        data = read_exactly(file.read, size)
        if not whole:
            tail = min(END_OF_IMAGE, self.size)
            file.seek(self.offset + self.size - tail)
            data += read_exactly(file.read, tail)
        return data


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def find_extracted(folder: str, tops: Iterable[str], report: Findings) -> dict[str, Picture]:
    """Find pictures that are files, by their path in the layout.

    `tops` are the folders that contain them (`streetview/images`, `satellite/-7`); what does not
    belong there is reported.
    """
    found: dict[str, Picture] = {}
    folders = list(reversed(list(tops)))
    while folders:
        top = folders.pop()
        place = os.path.join(folder, top)
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
            if is_clutter(name):
                continue
            path, file = f"{top}/{name}", os.path.join(place, name)
            state = os.lstat(file)
            if stat.S_ISREG(state.st_mode):
                if image_id_of(path) is not None or tile_of(path) is not None:
                    found[path] = Picture(file, 0, state.st_size)
                else:
                    report.add(PARTS if name.endswith(UNFINISHED) else STRAY, shown(path))
            elif not stat.S_ISDIR(state.st_mode):
                report.add(LINKS, shown(path))
            elif path.startswith("satellite/") and top.count("/") < 2:
                folders.append(path)
            else:
                report.add(STRAY, shown(path))
    return found


def find_archived(
    source: Source, archives: list[Archive], report: Findings, passed: Callable[[int], Any]
) -> dict[str, Picture]:
    """Find pictures in TAR files, by their path in the layout; the first of a path counts.

    Damaged TAR files, and members that do not belong there, are reported. `passed` is called with
    the number of bytes of the TAR files that were passed.
    """
    found: dict[str, Picture] = {}
    for archive in archives:
        remote = is_remote(archive.path)
        # In a damaged local file, all members before the damage are listed.
        index = source.index(archive) if remote else TarIndex(archive.path, archive.size)
        position = 0
        try:
            with open_binary(archive.path, source.token) as file:
                for member, _ in index.read(file):
                    path = path_of(member.name, archive.level)
                    if refused := refusal(member, archive.level):
                        report.add(refused, shown(member.name))
                    elif member.kind == "file" and path is not None:
                        if path in found:
                            report.add(REPEATED, path)
                        else:
                            found[path] = Picture(archive.path, member.data, member.size)
                    passed(member.data + member.size - position)
                    position = member.data + member.size
        except ShardError as error:
            report.add(DAMAGED, str(error))
        passed(archive.size - position)
    return found


def decode(data: bytes, shape: tuple[int, int] | None) -> None:
    """Decode a JPEG with simplejpeg, which detects damage that Pillow ignores.

    Raises
    ------
    ValueError
        If it cannot be decoded, or its (width, height) is not `shape`.
    """
    data = clean(data)  # without stray bytes between its segments, which are harmless
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            width, height = picture.size
            if width * height > _MAX_PIXELS or shape not in (None, (width, height)):
                wanted = f", not {shape[0]} x {shape[1]}" if shape else ""
                raise ValueError(f"{width} x {height} pixels{wanted}")
            if picture.mode == "CMYK":
                picture.load()
            else:
                simplejpeg.decode_jpeg(data, "GRAY")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
