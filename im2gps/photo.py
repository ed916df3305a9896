"""One photo of Im2GPS: where it was taken, and its bytes with that answer taken out.

The coordinates stand in JPEG comment segments, one `key: value` line each. This module works on
the bytes of one JPEG; which photos there are is not its concern.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

_SOI = b"\xff\xd8"
_EOI = 0xD9
_SOS = 0xDA
_COM = 0xFE
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
# Frames, tables, scans, restarts and the end: all that decoding needs.
_CODING = {*range(0xC0, 0xC8), *range(0xC9, 0xDC), 0xDD}
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
# In entropy-coded data FF is followed by 00 (a literal FF), a restart mark or FF (filling).
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_EXIF = b"Exif\0\0"
# What Pillow raises where EXIF is damaged.
_BROKEN_EXIF = (SyntaxError, ValueError, OSError, KeyError, struct.error)
_ORIENTATION = 0x0112
_GPS_IFD = 0x8825
_FIELD = re.compile(r"\s*(latitude|longitude)\s*:(.*)", re.DOTALL | re.IGNORECASE)


class PhotoError(ValueError):
    """A photo that is no whole JPEG, or says nowhere where it was taken."""


class Segment(NamedTuple):
    """A marker segment: `start` and `stop` are its bytes in the file, marker included."""

    marker: int
    start: int
    stop: int
    payload: bytes


def coordinates(data: bytes) -> tuple[float, float]:
    """Read where a photo was taken.

    Parameters
    ----------
    data : bytes
        A JPEG file with `latitude: …` and `longitude: …` in comment segments of their own, in
        any order and encoding, possibly ended by NULs; else with GPS coordinates in its EXIF.

    Returns
    -------
    latitude, longitude : float
        Decimal degrees, WGS 84.

    Raises
    ------
    PhotoError
        When the JPEG is broken or has no usable coordinates.
    """
    return _coordinates(list(_segments(data)))


def clean(data: bytes) -> bytes:
    """Return the same picture without comments, EXIF, XMP, IPTC or anything else that tells.

    Lossless: the coded pixels, the colour profile and the orientation stay as they are. What a
    forger hides inside the coded pixels or a made-up colour profile is not looked for.

    Raises
    ------
    PhotoError
        When the JPEG is broken.
    """
    return _clean(data, list(_segments(data)))


def fields(data: bytes) -> dict[str, str]:
    """Read the comment fields of a photo: who took it, its title, its licence, and so on.

    Returns
    -------
    dict of str to str
        By lower-case key. A field that stands there twice with different values is left out.

    Raises
    ------
    PhotoError
        When the JPEG is broken.
    """
    found: dict[str, set[str]] = {}
    for segment in _segments(data):
        if segment.marker == _COM:
            key, colon, value = _text(segment.payload).partition(":")
            if colon:
                found.setdefault(key.strip().lower(), set()).add(value.strip("\0 \t\r\n"))
    return {key: values.pop() for key, values in found.items() if len(values) == 1}


def check_header(data: bytes) -> None:
    """Let Pillow read the picture's header; decoding all of it would cost 100 times as much.

    Raises
    ------
    PhotoError
        When Pillow does not know the picture.
    """
    try:
        Image.open(io.BytesIO(data)).close()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Not its message: that names a place in memory.
        raise PhotoError(f"Pillow cannot read it ({type(error).__name__})") from error


def _coordinates(segments: list[Segment]) -> tuple[float, float]:
    found = _from_comments(segments)
    if found is None:
        found = _from_exif(segments)
    if found is None:
        raise PhotoError("no coordinates in its comment fields or its EXIF")
    latitude, longitude = found
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise PhotoError(f"coordinates {latitude}, {longitude} are not on the globe")
    return latitude, longitude


def _from_comments(segments: list[Segment]) -> tuple[float, float] | None:
    """Each field is a comment of its own, so `latitude:` inside a title is not taken for one."""
    found: dict[str, float] = {}
    for segment in segments:
        if segment.marker != _COM:
            continue
        match = _FIELD.fullmatch(segment.payload.decode("latin-1").strip("\0 \t\r\n"))
        if match is None:
            continue
        key, text = match[1].lower(), match[2].strip("\0 \t\r\n")
        try:
            value = float(text)
        except ValueError:
            raise PhotoError(f"its comment field {key} holds {text[:40]!r}, not a number") from None
        if not math.isfinite(value) or found.get(key, value) != value:
            raise PhotoError(f"its comment field {key} is {text[:40]!r}, or there are two of it")
        found[key] = value
    if len(found) == 1:
        raise PhotoError(f"its comment fields hold only the {next(iter(found))}")
    return (found["latitude"], found["longitude"]) if found else None


def _from_exif(segments: list[Segment]) -> tuple[float, float] | None:
    exif = _exif(segments)
    if exif is None:
        return None
    try:
        gps = exif.get_ifd(_GPS_IFD)
        latitude = _degrees(gps[2]) * _sign(gps[1], "N", "S")
        longitude = _degrees(gps[4]) * _sign(gps[3], "E", "W")
    except (*_BROKEN_EXIF, TypeError, IndexError, ZeroDivisionError):
        return None
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None
    return latitude, longitude


def _text(payload: bytes) -> str:
    """Old photos have Latin-1 there, newer ones UTF-8."""
    try:
        return payload.strip(b"\0 \t\r\n").decode("utf-8")
    except UnicodeDecodeError:
        return payload.strip(b"\0 \t\r\n").decode("latin-1")


def _sign(reference: str | bytes, positive: str, negative: str) -> int:
    """Without its hemisphere a coordinate is none: half of the world would be the wrong half."""
    text = reference.decode("latin-1") if isinstance(reference, bytes) else str(reference)
    return {positive: 1, negative: -1}[text.strip("\0 ").upper()]


def _degrees(parts: tuple) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    return degrees + minutes / 60 + seconds / 3600


def _exif(segments: list[Segment]) -> Image.Exif | None:
    for segment in segments:
        if segment.marker == _APP1 and segment.payload.startswith(_EXIF):
            exif = Image.Exif()
            try:
                exif.load(segment.payload)
            except _BROKEN_EXIF:
                return None
            return exif
    return None


def _clean(data: bytes, segments: list[Segment]) -> bytes:
    """Copy all but the metadata; what remains is on a list, so that nothing new slips through."""
    pieces = [_SOI]
    orientation = _orientation_segment(segments)
    for segment in segments:
        if orientation and segment.marker != _APP0:
            pieces.append(orientation)
            orientation = b""
        pieces.append(_picture_part(data, segment))
    return b"".join(pieces)


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


def _orientation_segment(segments: list[Segment]) -> bytes:
    """Keep the one EXIF field that changes how the picture is seen, in an EXIF of its own."""
    exif = _exif(segments)
    try:
        orientation = exif.get(_ORIENTATION) if exif is not None else None
    except _BROKEN_EXIF:
        return b""
    if orientation not in range(2, 9):
        return b""
    alone = Image.Exif()
    alone[_ORIENTATION] = orientation
    return _segment(_APP1, alone.tobytes())


def _segments(data: bytes) -> Iterator[Segment]:
    """Walk a JPEG from its first marker to its end-of-image mark; what follows that is dropped.

    A scan's coded data belong to the segment that starts it. Comments may stand between scans.
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
