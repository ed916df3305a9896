"""The bytes of a JPEG: its segments, and the same picture without what was written into it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from PIL import Image

from geoload.exif import ORIENTATION, Value, orientation, read_fields

COM = 0xFE
# Real files have some hundred segments at most, and some ten scans. Each scan costs a decoder a
# pass over the whole picture.
MAX_SEGMENTS = 10_000
MAX_SCANS = 100
_SOI = b"\xff\xd8"
_EOI = 0xD9
_SOS = 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
# Frames, tables, scans, restart intervals and the end: all that decoding needs.
_CODING = {*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xD9, 0xDC), 0xDD}
# In entropy-coded data FF is followed by 00 (a literal FF), a restart mark or FF (filling).
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


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
    turned = _orientation_segment(found)
    for segment in found:
        if turned and segment.marker != _APP0:
            pieces.append(turned)
            turned = b""
        pieces.append(_picture_part(data, segment))
    return b"".join(pieces)


def segments(data: bytes) -> Iterator[Segment]:
    """Walk a JPEG from its first marker to its end-of-image mark; what follows that is dropped.

    A scan's coded data belong to the segment that starts it. Comments may stand between scans,
    and stray bytes, fillings and marks without a length between segments, which are passed over.

    Raises
    ------
    PhotoError
        When the JPEG is broken, or has more segments or scans than any real one.
    """
    if not data.startswith(_SOI):
        raise PhotoError("not a JPEG file" if data else "the file is empty")
    stop, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        # What stands between two segments, libjpeg passes over as well.
        found = _MARKER.search(data, stop)
        if found is None:
            raise PhotoError(f"the JPEG is cut or broken at byte {stop} of {len(data)}")
        marker, start, position = data[found.end() - 1], found.start(), found.end()
        if marker == _EOI:
            if not scans:
                raise PhotoError("the JPEG holds no picture")
            yield Segment(marker, start, position, b"")
            return
        length = int.from_bytes(data[position : position + 2], "big")
        stop = position + length
        if length < 2 or stop > len(data):
            raise PhotoError(f"the JPEG is cut or broken at byte {position} of {len(data)}")
        payload = data[position + 2 : stop]
        if marker == _SOS:
            scans += 1
            following = _MARKER.search(data, stop)
            if following is None:
                raise PhotoError("the JPEG is cut inside its picture")
            if scans > MAX_SCANS:
                raise PhotoError(f"the JPEG has more than {MAX_SCANS} scans")
            stop = following.start()
        yield Segment(marker, start, stop, payload)
    raise PhotoError(f"the JPEG has more than {MAX_SEGMENTS:,} segments")


def read_exif(
    found: list[Segment], wanted: Collection[int], below: int | None = None
) -> dict[int, Value]:
    """Return fields of the EXIF in a JPEG's segments; arguments are those of `exif.read_fields`."""
    return read_fields(_exif(found), wanted, below)


def _exif(found: list[Segment]) -> bytes:
    """Return the EXIF, put together where it is spread over several segments."""
    parts = [s.payload[6:] for s in found if s.marker == _APP1 and s.payload.startswith(_EXIF)]
    # The first part is the one with a header, wherever it stands.
    parts.sort(key=lambda part: not part.startswith((b"II", b"MM")))
    return b"".join(parts)


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
    """Keep the one field that changes how the picture is seen, in an EXIF of its own."""
    xmp = [s.payload for s in found if s.marker == _APP1 and s.payload.startswith(_XMP)]
    value = orientation(_exif(found), b"".join(xmp[-1:]))
    if value == 1:
        return b""
    alone = Image.Exif()
    alone[ORIENTATION] = value
    return _segment(_APP1, alone.tobytes())
