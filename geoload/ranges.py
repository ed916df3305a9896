"""Many pieces of one file, local or remote, in as few reads as pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from geoload.files import is_remote, open_binary, persistently, read_exactly
from geoload.indexed_tar import shared_tar
from geoload.tar import MAX_MEMBER, ShardError

# Over a network a request costs as much as some hundred kilobytes; locally it costs nothing.
_GAP = 256 * 2**10
_SPAN = 4 * 2**20

Piece = tuple[int, int, str]


def read_pieces(path: str, pieces: Sequence[Piece], token: str | bool | None) -> Iterator[bytes]:
    """Yield the bytes of each piece: its offset and size in bytes, and a name for errors.

    Parameters
    ----------
    path : str
        A local TAR file, or the address of a file.
    pieces : sequence of (int, int, str)
        In the order of their offsets.
    token : str or bool, optional
        For the Hub.

    Raises
    ------
    ShardError
        Where the file ends before a piece does, or a piece is too large.
    """
    if not is_remote(path):
        archive = shared_tar(path)
        for piece in pieces:
            yield archive.read_at(*piece)
        return
    for offset, size, name in pieces:
        if min(offset, size) < 0 or size > MAX_MEMBER:
            raise ShardError(
                f"{path}: {name} is {size:,} bytes at {offset:,}; {MAX_MEMBER:,} are allowed."
            )
    # What is worth reading ahead is in the spans.
    with open_binary(path, token, read_ahead=False) as file:
        for span in _spans(pieces):
            start = span[0][0]
            end = max(offset + size for offset, size, _ in span)
            data = _read(file, start, end - start)
            for offset, size, name in span:
                if offset + size - start > len(data):
                    raise ShardError(f"{path} is cut inside {name}, or its index is of another.")
                yield data[offset - start : offset + size - start]


@persistently
def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return read_exactly(file.read, size)


def _spans(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Group pieces whose gaps are cheaper to read than to ask around."""
    span: list[Piece] = []
    for piece in pieces:
        if span:
            end = span[-1][0] + span[-1][1]
            if piece[0] - end > _GAP or piece[0] + piece[1] - span[0][0] > _SPAN:
                yield span
                span = []
        span.append(piece)
    if span:
        yield span
