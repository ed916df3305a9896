"""Parse the members of a TAR file in file order, and read the bytes of those that are wanted."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from geoload.files import atomic_write, is_clutter, read_exactly

BLOCK = 512
MAX_MEMBER = 256 * 2**20
_MAX_EXTENDED_HEADER = 2**20  # bytes
_MAX_EXTENDED_HEADERS = 8  # of one member
_MAX_DIGITS = 20
_MAX_TRAILER_READ = 2**20
_EMPTY = bytes(BLOCK)
_COMPRESSED = {
    "gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"
}  # fmt: skip
# D is a folder of GNU's incremental archives; its contents are a list of the files in it.
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "link", b"5": "dir",
          b"D": "dir"}  # fmt: skip
_WITHOUT_DATA = b"123456"  # links, devices, folders and pipes: their size field is ignored


class ShardError(ValueError):
    """A TAR file that is damaged, cut short, or has members that it should not have."""


class Member(NamedTuple):
    """The place of a member in its TAR file.

    `kind` is "file", "dir", "link" (hard or symbolic) or "other" (devices, pipes, sparse files).
    """

    name: str
    offset: int  # where its first header starts, a value for `start`
    data: int  # where its contents start
    size: int  # bytes
    kind: str


def members(
    file: BinaryIO,
    wanted: Callable[[str], bool] | None = None,
    start: int = 0,
    label: str = "the TAR file",
    max_size: int = MAX_MEMBER,
) -> Iterator[tuple[Member, bytes | None]]:
    """Yield every member of a TAR file, with its bytes if it is wanted, or else None.

    `file` is seekable: a raw local file, or a remote one that reads ranges. `wanted` is called with
    the name of each regular file; without it, all files are read. `start` is the offset of the
    first member to read, `label` the name of the file in errors. Links are never followed, and
    files that operating systems add to a folder (`._x`, `.DS_Store`) are left out.

    Raises ShardError when the file is cut, a header is broken or claims more than the file has, a
    wanted member is larger than `max_size` bytes, or more data follows the end of the archive.
    """
    position, last = start, None
    end = file.seek(0, 2)
    while True:
        file.seek(position)
        header = read_exactly(file.read, BLOCK)
        if len(header) < BLOCK:
            raise ShardError(_compressed(label, header) or _cut_after(last, label, end))
        if header == _EMPTY:
            _check_trailer(file, label, position + BLOCK)
            return
        member = _plain_member(header, position)
        if member is None:
            member, position = _extended_member(file, label, position, header)
        else:
            position = member.data + _round_up(member.size)
        # This also prevents seeking to an impossible size.
        if member.data + member.size > end or position - BLOCK > end:
            raise ShardError(_cut_inside(label, member, end - member.data))
        last = member
        if is_clutter(member.name):
            continue
        data = None
        if member.kind == "file" and (wanted is None or wanted(member.name)):
            data = read_member(file, member, label, max_size)
        yield member, data


def read_member(
    file: BinaryIO, member: Member, label: str = "the TAR file", max_size: int = MAX_MEMBER
) -> bytes:
    """Return the bytes of a regular file that `members` found.

    Raises ShardError when the file is cut, or the member is larger than `max_size` bytes.
    """
    check_size(label, member.name, member.size, max_size)
    file.seek(member.data)
    data = read_exactly(file.read, member.size)
    if len(data) < member.size:
        raise ShardError(_cut_inside(label, member, len(data)))
    return data


def check_size(label: str, name: str, size: int, max_size: int = MAX_MEMBER) -> None:
    """Raise ShardError for a member that is too large to be read."""
    if size > max_size:
        raise ShardError(
            f"{label}: {_printable(name)} is {size:,} bytes, more than the {max_size:,} allowed."
        )


def _plain_member(header: bytes, position: int) -> Member | None:
    """Parse the header of an ordinary file or folder, fast; None for `_extended_member`."""
    kind = header[156]
    if kind not in b"0\x005" or header[345] or header[124] & 0x80:
        return None
    try:
        size = int(header[124:136].rstrip(b"\0 "), 8)
        checksum = int(header[148:156].rstrip(b"\0 "), 8)
    except ValueError:
        return None
    # Adding up all bytes would take more time than all else here. Adler-32 has their sum plus 1,
    # modulo 65,521, in its lower half. Headers with a larger sum are left to `_extended_member`.
    if size < 0 or zlib.adler32(header) % 2**16 != checksum + sum(header[148:156]) - 255:
        return None
    name = header[:100].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    if kind == 0x35 or name.endswith("/"):
        return Member(name, position, position + BLOCK, 0, "dir")
    return Member(name, position, position + BLOCK, size, "file")


def _extended_member(file: BinaryIO, label: str, start: int, header: bytes) -> tuple[Member, int]:
    """Parse a member with a GNU or PAX name, a large size, or a link; and the next one's offset.

    The tarfile module is not used because, before the fix of CVE-2024-6232, some PAX headers take
    it quadratic time.
    """
    position, known = start, dict[bytes, bytes]()
    try:
        for _ in range(_MAX_EXTENDED_HEADERS):
            kind, size = _kind_and_size(header)
            if kind not in b"LKxXg":
                return _last_header(file, start, position, header, known)
            if size > _MAX_EXTENDED_HEADER:
                raise ValueError(f"it claims a {size:,}-byte name")
            content = read_exactly(file.read, _round_up(size))[:size]
            if kind == b"L":
                known.setdefault(b"path", content.partition(b"\0")[0])
            elif kind != b"K":
                # If two headers set one value, the first counts.
                known = {**_pax_records(content, kind == b"g"), **known}
            position += BLOCK + _round_up(size)
            header = read_exactly(file.read, BLOCK)
        raise ValueError("too many extended headers in a row")
    except ValueError as error:
        damaged = f"{label}: no valid TAR header at byte {position} ({error}). The file is damaged"
        packed = _compressed(label, header) if position == 0 else None
        raise ShardError(packed or f"{damaged}: get it again.") from error


def _last_header(
    file: BinaryIO, start: int, position: int, header: bytes, known: dict[bytes, bytes]
) -> tuple[Member, int]:
    """Parse the header that follows the extended ones, with the values `known` from those."""
    kind, size = _kind_and_size(header)
    name = header[:100].partition(b"\0")[0]
    # Instead of a prefix, GNU headers have times, and old headers arbitrary bytes.
    prefix = header[345:500].partition(b"\0")[0]
    if prefix and header[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    name = known.get(b"GNU.sparse.name") or known.get(b"path") or name
    if known.get(b"size"):
        size = _decimal(known[b"size"])
    data = position + BLOCK
    if kind == b"S" and header[482]:
        data += _sparse_headers(file)
    text = name.decode("utf-8", "backslashreplace")
    if kind in b"0\0" and text.endswith("/"):
        kind = b"5"
    if kind in _WITHOUT_DATA:
        size = 0
    sparse = kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in known)
    member = Member(text, start, data, size, "other" if sparse else _KINDS.get(kind, "other"))
    return member, data + _round_up(size)


def _kind_and_size(header: bytes) -> tuple[bytes, int]:
    """Return the type of a header and the length of what follows it, or raise ValueError."""
    if len(header) < BLOCK:
        raise ValueError("the file ends in it")
    checksum = _octal(header[148:156])
    rest = header[:148] + b" " * 8 + header[156:]
    # Some old programs added the bytes up as signed numbers.
    if checksum not in (sum(rest), sum(rest) - 256 * sum(byte > 127 for byte in rest)):
        raise ValueError("its checksum is wrong")
    field = header[124:136]
    if field[0] == 0x80:  # GNU: a large number, in bytes instead of digits
        return header[156:157], int.from_bytes(field[1:], "big")
    return header[156:157], _octal(field)


def _octal(field: bytes) -> int:
    digits = field.partition(b"\0")[0].strip() or b"0"
    if not digits.isdigit():
        raise ValueError(f"{digits!r} is not a number")
    return int(digits, 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise ValueError(f"{digits[:40]!r} is not a size")
    return int(digits)


def _pax_records(content: bytes, for_all: bool) -> dict[bytes, bytes]:
    """Parse records `length key=value`. A header for all members must not set name or size."""
    found, position = {}, 0
    content = content.rstrip(b"\0")
    while position < len(content):
        space = content.find(b" ", position, position + _MAX_DIGITS)
        stop = position + _decimal(content[position : max(space, position)])
        key, equals, value = content[space + 1 : stop - 1].partition(b"=")
        if not equals or content[stop - 1 : stop] != b"\n":
            raise ValueError("its PAX records are broken")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse."):
            found[key] = value
        position = stop
    if for_all and found:
        raise ValueError("one name or size is set for all members")
    return found


def _sparse_headers(file: BinaryIO) -> int:
    """Skip the further headers of a GNU sparse file; return their length in bytes."""
    length, more = 0, 1
    while more:
        block = read_exactly(file.read, BLOCK)
        if len(block) < BLOCK:
            raise ValueError("the file ends in it")
        length, more = length + BLOCK, block[504]
    return length


def _check_trailer(file: BinaryIO, label: str, position: int) -> None:
    """Raise ShardError if more than some zeros follow the end of the archive.

    That would be a second archive, or an incomplete download whose file was given its full length
    at the start.
    """
    file.seek(position)
    trailer = read_exactly(file.read, _MAX_TRAILER_READ)
    if len(trailer) == _MAX_TRAILER_READ and file.read(1) and not trailer.strip(b"\0"):
        raise ShardError(
            f"{label} is all zeros from byte {position - BLOCK} on: the download may not be "
            "complete. Get the file again."
        )
    if trailer.strip(b"\0"):
        raise ShardError(
            f"{label} continues after its end-of-archive mark at byte {position - BLOCK}: it may "
            "be two archives in one file. Split them, or write one archive."
        )


def _compressed(label: str, header: bytes) -> str | None:
    kind = next((kind for kind, magic in _COMPRESSED.items() if header.startswith(magic)), None)
    return kind and f"{label} is compressed ({kind}), not a plain TAR file: unpack it first."


def _cut_inside(label: str, member: Member, there: int) -> str:
    return (
        f"{label} is cut inside {_printable(member.name)}: {max(there, 0):,} of {member.size:,} "
        "bytes are there. Get the file again."
    )


def _cut_after(last: Member | None, label: str, end: int) -> str:
    if last is None:
        return f"{label} is empty or not a TAR file ({end:,} bytes). Get the file again."
    return (
        f"{label} is cut after {_printable(last.name)}, with no end-of-archive mark: {end:,} bytes "
        "are there. Get the file again."
    )


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:300])


def _round_up(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def write_tar(path: str | Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write a TAR file of names and bytes; the same contents give the same bytes."""
    with (
        atomic_write(path) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, data in contents:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
