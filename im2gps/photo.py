"""One photo of Im2GPS: where it was taken, and what else is written into it.

The coordinates stand in JPEG comment segments, one `key: value` line each. This module works on
the bytes of one JPEG; which photos there are is not its concern.
"""

from __future__ import annotations

import codecs
import io
import math
import re

from PIL import Image

from geoload.exif import Value
from geoload.jpeg import COM, PhotoError, Segment, clean, read_exif, segments

_GPS_IFD = 0x8825
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_FIELD = re.compile(r"\s*(latitude|longitude)\s*:(.*)", re.DOTALL | re.IGNORECASE)


def coordinates(data: bytes) -> tuple[float, float]:
    """Read where a photo was taken.

    Parameters
    ----------
    data : bytes
        A JPEG file with `latitude: …` and `longitude: …` in comment segments of their own, in
        any order and encoding, possibly ended by NULs; else with GPS coordinates in its EXIF.
        Coordinates 0, 0 count as none, and EXIF whose status is void (`V`), too.

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
        When the JPEG is broken, or Pillow does not know the picture.
    """
    # Without its metadata, all of which Pillow would read.
    bare = clean(data) if data.startswith(b"\xff\xd8") else data
    try:
        Image.open(io.BytesIO(bare)).close()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Not its message: that names a place in memory.
        raise PhotoError(f"Pillow cannot read it ({type(error).__name__})") from error


def _coordinates(parts: list[Segment]) -> tuple[float, float]:
    for read in (_from_comments, _from_exif):
        found = read(parts)
        # 0, 0 is what Flickr and cameras write of photos whose place they do not know.
        if found not in (None, (0, 0)):
            break
    else:
        raise PhotoError("no coordinates, or only 0, 0, in its comment fields or its EXIF")
    assert found is not None
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
        match = _FIELD.fullmatch(_text(segment.payload))
        if match is None:
            continue
        key, text = match[1].lower(), match[2].strip("\0 \t\r\n")
        try:
            value = _number(text)
        except ValueError:
            raise PhotoError(f"its comment field {key} holds {text[:40]!r}, not a number") from None
        if not math.isfinite(value) or found.get(key, value) != value:
            raise PhotoError(f"its comment field {key} is {text[:40]!r}, or there are two of it")
        found[key] = value
    if len(found) == 1:
        raise PhotoError(f"its comment fields hold only the {next(iter(found))}")
    return (found["latitude"], found["longitude"]) if found else None


def _from_exif(parts: list[Segment]) -> tuple[float, float] | None:
    """A hemisphere must be given: without it, half of the world would be the wrong half."""
    gps = read_exif(parts, {1, 2, 3, 4, 9}, below=_GPS_IFD)
    if _letters(gps.get(9)) == "V":
        return None  # void: the camera had no fix
    latitude = _angle(gps.get(2), _letters(gps.get(1)), "NORTH", "SOUTH")
    longitude = _angle(gps.get(4), _letters(gps.get(3)), "EAST", "WEST")
    return None if latitude is None or longitude is None else (latitude, longitude)


def _letters(value: Value | None) -> str:
    text = value.partition(b"\0")[0] if isinstance(value, bytes) else b""
    return text.decode("latin-1").strip().upper()


def _angle(value: Value | None, hemisphere: str, north: str, south: str) -> float | None:
    sign = {north: 1, north[0]: 1, south: -1, south[0]: -1}.get(hemisphere)
    degrees = _degrees(value)
    return None if sign is None or degrees is None else sign * degrees


def _degrees(value: Value | None) -> float | None:
    """Return decimal degrees of degrees, minutes and seconds, of which the last may be lacking.

    A sign is dropped, as the hemisphere stands beside it. Without a value that can be used, None.
    """
    if isinstance(value, bytes):
        try:
            value = tuple(_number(part) for part in _text(value).replace(":", " ").split())
        except ValueError:
            return None
    parts = [abs(part) for part in value or ()]
    while len(parts) > 1 and math.isnan(parts[-1]):  # 0/0: not given
        del parts[-1]
    finite = all(math.isfinite(part) for part in parts)
    if not (1 <= len(parts) <= 3 and finite and all(part <= 60 for part in parts[1:])):
        return None
    return sum(part / 60**power for power, part in enumerate(parts))


def _number(text: str) -> float:
    """Return a plain decimal number, possibly with U+2212 as its minus, or raise ValueError."""
    text = text.replace("\u2212", "-")
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no decimal number")
    return float(text)


def _text(payload: bytes) -> str:
    """Old photos have Latin-1 there, newer ones UTF-8, or UTF-16 with a byte order mark."""
    marked = payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = payload.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        text = payload.decode("latin-1")
    return text.strip("\0 \t\r\n")
