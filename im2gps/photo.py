"""One photo of Im2GPS: where it was taken, and what else is written into it.

The coordinates stand in JPEG comment segments, one `key: value` line each. This module works on
the bytes of one JPEG; which photos there are is not its concern.
"""

from __future__ import annotations

import io
import math
import re

from PIL import Image

from geoload.jpeg import BROKEN_EXIF, COM, PhotoError, Segment, read_exif, segments

_GPS_IFD = 0x8825
_FIELD = re.compile(r"\s*(latitude|longitude)\s*:(.*)", re.DOTALL | re.IGNORECASE)


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
    return _coordinates(list(segments(data)))


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
    for segment in segments(data):
        if segment.marker == COM:
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


def _coordinates(parts: list[Segment]) -> tuple[float, float]:
    found = _from_comments(parts)
    if found is None:
        found = _from_exif(parts)
    if found is None:
        raise PhotoError("no coordinates in its comment fields or its EXIF")
    latitude, longitude = found
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise PhotoError(f"coordinates {latitude}, {longitude} are not on the globe")
    return latitude, longitude


def _from_comments(parts: list[Segment]) -> tuple[float, float] | None:
    """Each field is a comment of its own, so `latitude:` inside a title is not taken for one."""
    found: dict[str, float] = {}
    for segment in parts:
        if segment.marker != COM:
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


def _from_exif(parts: list[Segment]) -> tuple[float, float] | None:
    exif = read_exif(parts)
    if exif is None:
        return None
    try:
        gps = exif.get_ifd(_GPS_IFD)
        latitude = _degrees(gps[2]) * _sign(gps[1], "N", "S")
        longitude = _degrees(gps[4]) * _sign(gps[3], "E", "W")
    except (*BROKEN_EXIF, TypeError, IndexError, ZeroDivisionError):
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
