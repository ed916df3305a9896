"""Whether the disk has room for what is to be extracted, and what to leave out if it has not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from geoload.output_folder import OutputFolder
from geoload.tar import Member
from geoload.tar_index import TarIndex
from justzoomin.archives import Archive
from justzoomin.sources import IMAGES

Place = Callable[[Archive, Member], "str | None"]
_HOW = {"photos": "--no-photos, fewer --shards, or --splits validation", "tables": ""}


@dataclass
class Need:
    """What is still to be written of a group: bytes, in whole blocks of the disk, and files.

    `unknown` are bytes of TAR files whose headers were not read yet, `there` those of known members
    that lie in the folder.
    """

    level: int | None = None
    bytes: int = 0
    files: int = 0
    unknown: int = 0
    there: int = 0

    def add(self, size: int, block: int) -> None:
        """Count one file."""
        self.bytes += -(-size // block) * block
        self.files += 1


def check_room(
    target: OutputFolder,
    archives: list[Archive],
    indexes: list[TarIndex],
    place: Place,
    share: float,
    side_files: dict[str, str],
) -> None:
    """Raise OSError when the disk has no room for all that is not there yet.

    A TAR file of the Hub whose headers are not known yet is taken to need its own size, or the
    `share` of it that the wanted splits have of all photos, less what lies in the folder and is
    of no known member. The others need what their members need.
    """
    disk = os.statvfs(target.folder)
    block = disk.f_frsize or 4096
    needs = {"tables": Need()}
    for path, file in side_files.items():
        if target.size(path) is None:
            needs["tables"].add(os.stat(file).st_size, block)
    for archive, known in zip(archives, indexes, strict=True):
        need = needs.setdefault(archive.group, Need(archive.level))
        _add_known(need, target, archive, known, place, block)
        need.unknown += int(
            (archive.size - known.position) * (share if archive.level is None else 1)
        )
    for need in needs.values():
        if need.unknown:
            there = _bytes_below(target.folder, need.level) - need.there
            need.bytes += max(need.unknown - max(there, 0), 0)
    _compare(target.folder, needs, disk)


def _compare(folder: str, needs: dict[str, Need], disk: os.statvfs_result) -> None:
    total = sum(need.bytes for need in needs.values())
    files = sum(need.files for need in needs.values())
    free = shutil.disk_usage(folder).free
    if total > free:
        raise OSError(
            f"{folder} has {gigabytes(free)} free, and {gigabytes(total)} are still to be written: "
            f"{gigabytes(total - free)} are missing. {_advice(needs)}"
        )
    if disk.f_files and files > disk.f_favail:
        raise OSError(
            f"The disk of {folder} takes {disk.f_favail:,} more files, and {files:,} are still to "
            f"be written. {_advice(needs)}"
        )


def _add_known(
    need: Need, target: OutputFolder, archive: Archive, known: TarIndex, place: Place, block: int
) -> None:
    seen = set()
    for member in known:
        path = place(archive, member)
        if path is None or path in seen:
            continue
        seen.add(path)
        if target.size(path) == member.size:
            need.there += member.size
        else:
            need.add(member.size, block)


def _bytes_below(folder: str, level: int | None) -> int:
    top = os.path.join(folder, IMAGES if level is None else f"satellite/{level}")
    return sum(
        os.lstat(os.path.join(below, name)).st_size
        for below, _, names in os.walk(top)
        for name in names
    )


def _advice(needs: dict[str, Need]) -> str:
    parts = []
    for group, need in sorted(needs.items(), key=lambda item: -item[1].bytes):
        how = _HOW.get(group, "--levels without it")
        if need.bytes and how:
            parts.append(f"{group}: {gigabytes(need.bytes)} ({how})")
    return f"Take another disk, or leave something out: {'; '.join(parts)}."


def gigabytes(size: int) -> str:
    """Return a number of bytes as text."""
    if size < 1e5:
        return f"{size / 1e3:,.1f} kB"
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
