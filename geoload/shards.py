"""The one TAR reader: every member in file order, the wanted ones with their bytes.

Headers are read one by one and whatever nobody wants is sought past, so a pass over a shard
costs what its wanted members weigh. What it does not do: open files, extract, or judge names.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
MAX_MEMBER = 256 * 2**20
_MAX_EXTENDED_HEADER = 2**20
_MAX_TRAILER_READ = 2**20
_EMPTY = bytes(BLOCK)


class ShardError(ValueError):
    """A TAR file that is damaged, cut short, or holds what no shard should."""


class Member(NamedTuple):
    """Where a member lies in its TAR file.

    `offset` is the byte at which its first header block starts (a value for `start`), `data`
    the byte at which its contents start, `size` their length in bytes. `kind` is "file", "dir",
    "link" (hard or symbolic) or "other" (devices, pipes, sparse files).
    """

    name: str
    offset: int
    data: int
    size: int
    kind: str


def members(
    file: BinaryIO,
    wanted: Callable[[str], bool] | None = None,
    start: int = 0,
    stop: int | None = None,
    label: str = "the TAR file",
    max_size: int = MAX_MEMBER,
) -> Iterator[tuple[Member, bytes | None]]:
    """Yield every member of a TAR file, with its bytes if it is wanted.

    Parameters
    ----------
    file : seekable binary file
        A raw local file or a remote one that reads ranges.
    wanted : callable, optional
        Called with the name of each regular file; its bytes are read when it answers true.
        None wants them all.
    start, stop : int, optional
        Byte offsets of member headers: read from the member that starts at `start` up to, not
        including, the one that starts at `stop`. Without `stop` the archive's end is checked.
    label : str
        What errors call the file.
    max_size : int
        A wanted member larger than this many bytes is an error and is not read.

    Yields
    ------
    member : Member
    data : bytes or None
        None for a member that is not a regular file or not wanted. Links are never followed.

    Raises
    ------
    ShardError
        Where the file is cut (inside a member or between two), where a header is broken, where
        a wanted member is too large, or where more data follows the end of the archive.
    """
    position = start
    last = None
    while stop is None or position < stop:
        file.seek(position)
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            raise ShardError(_cut_message(file, label, position, last))
        if header == _EMPTY:
            if stop is not None:
                raise ShardError(
                    f"{label} ends at byte {position}, before byte {stop} where it was to be "
                    "read to: an index of another version of this file? Build the index anew."
                )
            _check_trailer(file, label, position + BLOCK)
            return
        member = _plain_member(header, position)
        if member is None:
            member, position = _extended_member(file, label, position)
        else:
            position = _next_header(member)
        last = member
        data = None
        if member.kind == "file" and (wanted is None or wanted(member.name)):
            data = read_member(file, member, label, max_size)
        yield member, data


def _plain_member(header: bytes, position: int) -> Member | None:
    """Parse the header of an ordinary file or folder; None sends it to the tarfile module.

    This is the hot path: `tarfile.TarInfo.frombuf` does the same at several times the cost.
    """
    kind = header[156]
    if kind not in b"0\x005" or header[345] or header[124] & 0x80:
        return None
    try:
        size = int(header[124:136].rstrip(b"\0 "), 8)
        checksum = int(header[148:156].rstrip(b"\0 "), 8)
    except ValueError:
        return None
    if size < 0 or sum(header) - sum(header[148:156]) + 256 != checksum:
        return None
    name = header[:100].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    if kind == 0x35 or name.endswith("/"):
        return Member(name, position, position + BLOCK, 0, "dir")
    return Member(name, position, position + BLOCK, size, "file")


def _extended_member(file: BinaryIO, label: str, position: int) -> tuple[Member, int]:
    """Let tarfile read GNU and PAX names, large sizes, links and the rest.

    Returns the member and the offset of the header after it.
    """
    try:
        _check_extended_size(file, label, position)
        file.seek(position)
        archive = tarfile.TarFile(fileobj=file, mode="r", errors="backslashreplace")
        found = archive.next()
    except ShardError:
        raise
    except (tarfile.TarError, ValueError, IndexError, RecursionError, OverflowError) as error:
        raise ShardError(
            f"{label}: no valid TAR header at byte {position} ({error}). The file is damaged: "
            "get it again."
        ) from error
    if found is None:
        raise ShardError(f"{label} ends inside the header at byte {position}: get it again.")
    after = archive.offset
    kind = "other"
    if found.isreg() and not found.issparse():
        kind = "file"
    elif found.isdir():
        kind = "dir"
    elif found.islnk() or found.issym():
        kind = "link"
    if found.size < 0 or after <= position:
        raise ShardError(f"{label}: the header at byte {position} gives an impossible size.")
    return Member(found.name, position, found.offset_data, found.size, kind), after


def _check_extended_size(file: BinaryIO, label: str, position: int) -> None:
    """tarfile reads extended headers whole, so bound what they claim before it does."""
    file.seek(position)
    for _ in range(8):
        header = file.read(BLOCK)
        if len(header) < BLOCK or header[156:157] not in (b"L", b"K", b"x", b"g", b"X"):
            return
        size = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace").size
        if not 0 <= size <= _MAX_EXTENDED_HEADER:
            raise ShardError(f"{label}: the header at byte {position} claims a {size}-byte name.")
        file.seek(_round_up(size), 1)
    raise ShardError(f"{label}: too many extended headers in a row at byte {position}.")


def read_member(
    file: BinaryIO, member: Member, label: str = "the TAR file", max_size: int = MAX_MEMBER
) -> bytes:
    """Return the bytes of a regular file that `members` found.

    Raises
    ------
    ShardError
        Where the file is cut inside it, or the member is larger than `max_size` bytes.
    """
    if member.size > max_size:
        raise ShardError(
            f"{label}: {member.name} is {member.size:,} bytes, more than the {max_size:,} allowed."
        )
    file.seek(member.data)
    data = file.read(member.size)
    if len(data) < member.size:
        raise ShardError(
            f"{label} is cut inside {member.name}: {len(data):,} of {member.size:,} bytes are "
            "there. Get the file again."
        )
    return data


def _cut_message(file: BinaryIO, label: str, position: int, last: Member | None) -> str:
    end = file.seek(0, 2)
    if last is None:
        return f"{label} is empty or no TAR file ({end:,} bytes). Get the file again."
    if end < last.data + last.size:
        where = f"inside {last.name}"
    else:
        where = f"after {last.name}, with no end-of-archive mark"
    return f"{label} is cut {where}: {end:,} bytes are there. Get the file again."


def _check_trailer(file: BinaryIO, label: str, position: int) -> None:
    """Nothing but a few zeros may follow the end, or something would be lost in silence.

    A second archive there would be, and so would the members of a download that was given its
    full length beforehand and never finished. Programs pad to a record, 10 KiB as a rule.
    """
    file.seek(position)
    trailer = file.read(_MAX_TRAILER_READ)
    if len(trailer) == _MAX_TRAILER_READ and file.read(1) and not trailer.strip(b"\0"):
        raise ShardError(
            f"{label} is all zeros from byte {position - BLOCK} on: a download that was not "
            "finished? Get the file again."
        )
    if trailer.strip(b"\0"):
        raise ShardError(
            f"{label} goes on after its end-of-archive mark at byte {position - BLOCK}: two "
            "archives in one file? Split them, or pack the members again."
        )


def _next_header(member: Member) -> int:
    return member.data + _round_up(member.size)


def _round_up(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
