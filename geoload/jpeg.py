"""The bytes of a JPEG: its segments, and the same picture without what was written into it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

COM = 0xFE
# What Pillow raises where EXIF is damaged.
BROKEN_EXIF = (SyntaxError, ValueError, OSError, KeyError, struct.error)
_SOI = b"\xff\xd8"
_EOI = 0xD9
_SOS = 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
# Frames, tables, scans, restarts and the end: all that decoding needs.
_CODING = {*range(0xC0, 0xC8), *range(0xC9, 0xD8), *range(0xD9, 0xDC), 0xDD}
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
# In entropy-coded data FF is followed by 00 (a literal FF), a restart mark or FF (filling).
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112


class PhotoError(ValueError):
    """A photo that is no whole JPEG, or lacks what is asked of it."""


class Segment(NamedTuple):
    """A marker segment: `start` and `stop` are its bytes in the file, marker included."""

    marker: int
    start: int
    stop: int
    payload: bytes


def clean(data: bytes) -> bytes:
    """Return the same picture without comments, EXIF, XMP, IPTC or anything else that tells.

    Lossless: the coded pixels, the colour profile and the orientation stay as they are. What a
    forger hides inside the coded pixels or a made-up colour profile is not looked for.

    Raises
    ------
    PhotoError
        When the JPEG is broken.
    """
    found = list(segments(data))
    # What remains is on a list, so that nothing new slips through.
    pieces = [_SOI]
    orientation = _orientation_segment(found)
    for segment in found:
        if orientation and segment.marker != _APP0:
            pieces.append(orientation)
            orientation = b""
        pieces.append(_picture_part(data, segment))
    return b"".join(pieces)


def segments(data: bytes) -> Iterator[Segment]:
    """Walk a JPEG from its first marker to its end-of-image mark; what follows that is dropped.

    A scan's coded data belong to the segment that starts it. Comments may stand between scans.

    Raises
    ------
    PhotoError
        When the JPEG is broken.
    """
    if not data.startswith(_SOI):
        raise PhotoError("not a JPEG file" if data else "the file is empty")
    position = 2
    scanned = False
    while True:
        start = position
        while data[position : position + 2] == b"\xff\xff":
            position += 1
        if len(data) - position < 2 or data[position] != 0xFF:
            raise PhotoError(f"the JPEG is cut or broken at byte {position} of {len(data)}")
        marker = data[position + 1]
        position += 2
        if marker == _EOI:
            if not scanned:
                raise PhotoError("the JPEG holds no picture")
            yield Segment(marker, start, position, b"")
            return
        if marker in _STANDALONE:
            yield Segment(marker, start, position, b"")
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        payload = data[position + 2 : position + length]
        if length < 2 or len(payload) < length - 2:
            raise PhotoError(f"the JPEG is cut or broken at byte {position} of {len(data)}")
        position += length
        if marker == _SOS:
            scanned = True
            following = _NEXT_MARKER.search(data, position)
            if following is None:
                raise PhotoError("the JPEG is cut inside its picture")
            position = following.start()
        yield Segment(marker, start, position, payload)


def read_exif(found: list[Segment]) -> Image.Exif | None:
    """Return the EXIF of a JPEG's segments; None where there is none that can be read."""
    for segment in found:
        if segment.marker == _APP1 and segment.payload.startswith(_EXIF):
            exif = Image.Exif()
            try:
                exif.load(segment.payload)
            except BROKEN_EXIF:
                return None
            return exif
    return None


def _picture_part(data: bytes, segment: Segment) -> bytes:
    """Return what of a segment is needed to decode the picture, and no byte more."""
    marker, payload = segment.marker, segment.payload
    if marker in _CODING:
        return data[segment.start : segment.stop]
    if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        return _segment(marker, payload[:12] + b"\0\0")  # without its thumbnail
    if marker == _APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
        return _segment(marker, payload[:12])
    if marker == _APP2 and payload.startswith(b"ICC_PROFILE\0"):
        return data[segment.start : segment.stop]
    return b""


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def _orientation_segment(found: list[Segment]) -> bytes:
    """Keep the one EXIF field that changes how the picture is seen, in an EXIF of its own."""
    exif = read_exif(found)
    try:
        orientation = exif.get(_ORIENTATION) if exif is not None else None
    except BROKEN_EXIF:
        return b""
    if orientation not in range(2, 9):
        return b""
    alone = Image.Exif()
    alone[_ORIENTATION] = orientation
    return _segment(_APP1, alone.tobytes())
