"""Walk the segments of a JPEG, read EXIF fields, and remove metadata without loss."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

COM = 0xFE
ORIENTATION = 0x0112
# Real files have at most a few hundred segments and about ten scans. For each scan, a decoder
# passes over the whole picture.
MAX_SEGMENTS = 10_000
MAX_SCANS = 100
_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_DHT, _DQT, _DRI = 0xC4, 0xDB, 0xDD
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
# Frames, tables, scans, restart intervals and the end: all that decoding needs.
_CODING = {*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xD9, 0xDC), 0xDD}
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
# In entropy-coded data FF is followed by 00 (a literal FF), a restart marker or FF (padding).
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
# A segment is found sooner in these than with a regular expression.
_MARKERS = {m for m in (bytes([0xFF, n]) for n in range(256)) if _MARKER.match(m)}
# Bytes. Most pictures have one scan, and fit into a block; progressive ones have short scans, too.
_FIRST_SCAN, _SHORT_SCAN, _BLOCK = 2**10, 2**14, 2**17
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_IN_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")
_ORDERS = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">"}
# Types of EXIF fields: bytes, text and undefined, then numbers. Two numbers make a rational one.
_TYPES = {1: "s", 2: "s", 7: "s", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii",
          11: "f", 12: "d", 13: "I"}  # fmt: skip
_MAX_VALUE = 64  # bytes

Value = bytes | tuple[float, ...]


class PhotoError(ValueError):
    """A photo that is not a complete JPEG, or lacks something that is needed."""


class Segment(NamedTuple):
    """A marker segment; `start` and `stop` are its bytes in the file, marker included."""

    marker: int
    start: int
    stop: int
    payload: bytes


def clean(data: bytes, found: list[Segment] | None = None) -> bytes:
    """Return the same picture without comments, EXIF, XMP, IPTC or any other metadata.

    Lossless: the coded pixels, the colour profile and the orientation are kept. Data hidden in the
    pixels or in a forged colour profile are not found. `found` are the segments, if they are known.
    Without metadata, `data` is returned itself. Raises PhotoError when the JPEG is broken.
    """
    found = list(segments(data)) if found is None else found
    orientation = _orientation_segment(found)
    others = [_replacement(segment) for segment in found]
    if not orientation and others.count(None) == len(found):
        size = sum(segment.stop - segment.start for segment in found)
        if size == len(data) - len(_SOI):  # with nothing between segments or behind them
            return data
    pieces: list[bytes | memoryview] = [_SOI]
    whole = memoryview(data)  # slices of it are not copied
    for segment, other in zip(found, others, strict=True):
        if orientation and segment.marker != _APP0:
            pieces.append(orientation)
            orientation = b""
        pieces.append(whole[segment.start : segment.stop] if other is None else other)
    return b"".join(pieces)


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG up to its end-of-image marker.

    The coded data of a scan belong to the segment that starts it. Stray bytes, padding and
    markers without a length are skipped. Raises PhotoError when the JPEG is broken, or has more
    segments or scans than any real one.
    """
    if not data.startswith(_SOI):
        raise PhotoError("not a JPEG file" if data else "the file is empty")
    stop, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        start, position = stop, stop + 2
        if data[start:position] not in _MARKERS:  # libjpeg also skips bytes between two segments
            found = _next_marker(data, start)
            if found is None:
                raise PhotoError(f"the JPEG is cut or broken at byte {stop} of {len(data)}")
            start, position = found.span()
        marker = data[position - 1]
        if marker == _EOI:
            if not scans:
                raise PhotoError("the JPEG contains no picture")
            yield Segment(marker, start, position, b"")
            return
        length = int.from_bytes(data[position : position + 2], "big")
        stop = position + length
        if length < 2 or stop > len(data):
            raise PhotoError(f"the JPEG is cut or broken at byte {position} of {len(data)}")
        payload = data[position + 2 : stop]
        if marker == _SOS:
            scans += 1
            is_long = scans == 1 and len(data) > 2 * _SHORT_SCAN
            following = _next_marker(data, stop, _FIRST_SCAN if is_long else _SHORT_SCAN)
            if following is None:
                raise PhotoError("the JPEG is cut inside its picture")
            if scans > MAX_SCANS:
                raise PhotoError(f"the JPEG has more than {MAX_SCANS} scans")
            stop = following.start()
        yield Segment(marker, start, stop, payload)
    raise PhotoError(f"the JPEG has more than {MAX_SEGMENTS:,} segments")


def _next_marker(data: bytes, start: int, short: int = _SHORT_SCAN) -> re.Match[bytes] | None:
    """Find the next marker. In long scans NumPy is faster than `re`, which stops at every FF."""
    stop = start + short
    found = _MARKER.search(data, start, stop)
    while found is None and stop < len(data):
        start, stop = stop - 1, stop - 1 + _BLOCK  # a marker may lie across two blocks
        block = np.frombuffer(data, np.uint8, min(stop, len(data)) - start, start)
        candidates = block[:-1] == 0xFF
        # The smaller of 1 and the following byte is 0 for a literal FF.
        np.minimum(numbers := candidates.view(np.uint8), block[1:], out=numbers)
        first = int(candidates.argmax())
        if candidates[first]:
            # Often the marker; else padding or restart markers, of which there are many.
            return _MARKER.search(data, start + first)
    return found


def is_plain(found: list[Segment]) -> bool:
    """Return whether Pillow is sure to read the header once metadata are removed.

    This is so for ordinary photos: baseline or progressive, with eight bits, and not so large that
    Pillow warns. Other headers have to be checked with Pillow, which takes longer.
    """
    frames = 0
    for marker, _, _, payload in found:
        if marker == _SOS:
            break
        if marker in _FRAMES:
            frames += 1
            fits = _is_plain_frame(payload)
        elif marker == _DQT:
            fits = len(payload) % 65 == 0 and max(payload[::65], default=0) < 16
        elif marker == _APP2:
            fits = len(payload) >= 14
        else:
            fits = marker in (_DHT, _DRI) or marker not in _CODING
        if not fits:
            return False
    return frames == 1


def _is_plain_frame(payload: bytes) -> bool:
    if len(payload) not in (9, 15) or payload[0] != 8 or len(payload) != 6 + 3 * payload[5]:
        return False
    height, width = struct.unpack_from(">HH", payload, 1)
    return bool(0 < height * width <= (Image.MAX_IMAGE_PIXELS or 0))


def read_exif(
    found: list[Segment], wanted: Collection[int], below: int | None = None
) -> dict[int, Value]:
    """Return EXIF fields by tag: text and undefined bytes as bytes, everything else as numbers.

    With `below`, the tag of a pointer to another directory, that one is read instead of the first.
    A rational number with a denominator of zero is NaN. Damaged fields, and those of more than 64
    bytes, are left out.
    """
    # Not with Pillow, which trusts the length that a field claims: 64 kB of EXIF can take hundreds
    # of megabytes. EXIF may be split over segments; only the first part has a header.
    parts = [s.payload[6:] for s in found if s.marker == _APP1 and s.payload.startswith(_EXIF)]
    parts.sort(key=lambda part: not part.startswith((b"II", b"MM")))
    tiff = b"".join(parts)
    order = _ORDERS.get(tiff[:4])
    try:
        if order is None:
            return {}
        (place,) = struct.unpack_from(order + "I", tiff, 4)
        if below is not None:
            pointer = dict(_directory(tiff, order, place, {below})).get(below)
            if not isinstance(pointer, tuple):
                return {}
            place = int(pointer[0])
        return dict(_directory(tiff, order, place, wanted))
    except (struct.error, ValueError, IndexError):
        return {}


def _directory(
    tiff: bytes, order: str, place: int, wanted: Collection[int]
) -> Iterator[tuple[int, Value]]:
    (count,) = struct.unpack_from(order + "H", tiff, place)
    for at in range(place + 2, min(place + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, at)
        if tag not in wanted or kind not in _TYPES or not number:
            continue
        size = struct.calcsize("=" + _TYPES[kind]) * number
        (start,) = (at + 8,) if size <= 4 else struct.unpack_from(order + "I", tiff, at + 8)
        if size <= _MAX_VALUE and start + size <= len(tiff):
            yield tag, _value(tiff[start : start + size], order, _TYPES[kind])


def _value(data: bytes, order: str, code: str) -> Value:
    if code == "s":
        return data
    numbers = list(struct.iter_unpack(order + code, data))
    if len(code) == 1:
        return tuple(number for (number,) in numbers)
    return tuple(over / under if under else math.nan for over, under in numbers)


def _replacement(segment: Segment) -> bytes | None:
    """Return what to write instead of a segment; None if all of it is needed for the picture."""
    marker, _, _, payload = segment
    if marker in _CODING or (marker == _APP2 and payload.startswith(b"ICC_PROFILE\0")):
        return None
    if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        bare = payload[:12] + b"\0\0"  # without its thumbnail
    elif marker == _APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
        bare = payload[:12]
    else:
        return b""
    return None if payload == bare else _segment(marker, bare)


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def _orientation_segment(found: list[Segment]) -> bytes:
    """Return an EXIF segment with only the orientation; empty if the picture is upright."""
    found = [segment for segment in found if segment.marker == _APP1]
    if not found:
        return b""
    value = read_exif(found, {ORIENTATION}).get(ORIENTATION)
    if value is not None:
        orientation = int(value[0]) if value and value[0] in range(1, 9) else 1
    else:
        xmp = [s.payload for s in found if s.payload.startswith(_XMP)]
        in_xmp = _IN_XMP.search(b"".join(xmp[-1:]))
        orientation = int(in_xmp[1]) if in_xmp else 1
    if orientation == 1:
        return b""
    alone = Image.Exif()
    alone[ORIENTATION] = orientation
    return _segment(_APP1, alone.tobytes())
