"""One photo of Im2GPS: where it was taken, and the other fields in its comments."""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from typing import Any

from PIL import Image

from geoload.jpeg import COM, PhotoError, Segment, Value, clean, is_plain, read_exif, segments

_GPS_IFD = 0x8825
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_FIELD = re.compile(r"\s*(latitude|longitude)\s*:(.*)", re.DOTALL | re.IGNORECASE)


def coordinates(data: bytes) -> tuple[float, float]:
    """Read where a photo was taken.

    Parameters
    ----------
    data : bytes
        A JPEG file with `latitude: …` and `longitude: …` in comment segments of their own, in
        any order and encoding, possibly with NULs at the end, or else with GPS coordinates in its
        EXIF. Coordinates 0, 0 count as missing, and so does EXIF with the status void (`V`).

    Returns
    -------
    latitude, longitude : float
        Decimal degrees, WGS 84.

    Raises
    ------
    PhotoError
        If the JPEG is broken or has no usable coordinates.
    """
    parts = list(segments(data))
    for read in (_from_comments, _from_exif):
        found = read(parts)
        # Flickr and cameras write 0, 0 if they do not know the place.
        if found is not None and found != (0, 0):
            latitude, longitude = found
            if not (abs(latitude) <= 90 and abs(longitude) <= 180):
                raise PhotoError(f"coordinates {latitude}, {longitude} are not on the globe")
            return found
    raise PhotoError("no coordinates, or only 0, 0, in its comment fields or its EXIF")


def fields(data: bytes) -> dict[str, str]:
    """Return the comment fields of a photo (owner, title, license, …) by lower-case key.

    A field with two different values is left out. Raises PhotoError if the JPEG is broken.
    """
    found: dict[str, set[str]] = {}
    for segment in segments(data):
        if segment.marker == COM:
            key, colon, value = _text(segment.payload).partition(":")
            if colon:
                found.setdefault(key.strip().lower(), set()).add(value.strip("\0 \t\r\n"))
    return {key: values.pop() for key, values in found.items() if len(values) == 1}


def usable(data: bytes, original_bytes: bool = False) -> bytes:
    """Return a photo without its metadata, or with `original_bytes` as it is.

    Raises PhotoError if Pillow cannot read the picture's header (decoding all of it would take 100
    times as long), or if it is not a JPEG, whose metadata alone can be removed.
    """
    is_jpeg = data.startswith(b"\xff\xd8")
    found = list(segments(data)) if is_jpeg else []
    # Pillow would read all of the metadata.
    bare = clean(data, found) if is_jpeg else data
    if not is_plain(found):
        try:
            Image.open(io.BytesIO(bare)).close()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # Without its message, which contains a memory address.
            raise PhotoError(f"Pillow cannot read it ({type(error).__name__})") from error
    if original_bytes:
        return data
    if not is_jpeg:
        raise PhotoError(
            "not a JPEG file, so its metadata cannot be removed: use original_bytes=True"
        )
    return bare


def _from_comments(parts: list[Segment]) -> tuple[float, float] | None:
    """Each field is a comment of its own, so that `latitude:` inside a title does not count."""
    found: dict[str, float] = {}
    for segment in parts:
        match = _FIELD.fullmatch(_text(segment.payload)) if segment.marker == COM else None
        if match is None:
            continue
        key, text = match[1].lower(), match[2].strip("\0 \t\r\n")
        try:
            value = _number(text)
        except ValueError:
            raise PhotoError(f"its comment field {key} has {text[:40]!r}, not a number") from None
        if not math.isfinite(value) or found.get(key, value) != value:
            raise PhotoError(f"its comment field {key} is {text[:40]!r}, or occurs twice")
        found[key] = value
    if len(found) == 1:
        raise PhotoError(f"its comment fields have only the {next(iter(found))}")
    return (found["latitude"], found["longitude"]) if found else None


def _from_exif(parts: list[Segment]) -> tuple[float, float] | None:
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
    """Return decimal degrees, or None without a hemisphere or usable numbers.

    The value is degrees and perhaps minutes and seconds. Its sign is ignored, because the
    hemisphere gives it.
    """
    sign = {north: 1, north[0]: 1, south: -1, south[0]: -1}.get(hemisphere)
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
    degrees = sum(part / 60**power for power, part in enumerate(parts))
    return None if sign is None else sign * degrees


def _number(text: str) -> float:
    """Parse a plain decimal number; its minus may be U+2212."""
    text = text.replace("\u2212", "-")
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a decimal number")
    return float(text)


def _text(payload: bytes) -> str:
    """Decode a comment: Latin-1 in old photos, else UTF-8, or UTF-16 with a byte order mark."""
    marked = payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = payload.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        text = payload.decode("latin-1")
    return text.strip("\0 \t\r\n")


def make_row(
    name: str,
    place: tuple[float, float],
    image: bytes | None,
    record: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the columns of a row; `place` is latitude and longitude in decimal degrees."""
    row = {
        "image": None if image is None else {"bytes": image, "path": name},
        "image_id": name,
        "latitude": place[0],
        "longitude": place[1],
    }
    if record is not None:
        row["record"] = json.dumps(record)  # as ASCII, because texts can have lone surrogates
    return row
