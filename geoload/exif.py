"""The few EXIF fields that matter here, read within bounds whatever the others claim.

Pillow reads all fields of a directory, each as long as it claims to be: 64 kB of EXIF can make it
take hundreds of megabytes.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Iterator

ORIENTATION = 0x0112
_ORDERS = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">"}
# Bytes, text and undefined; then numbers, of which two make a rational one.
_TYPES = {1: "s", 2: "s", 7: "s", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii",
          11: "f", 12: "d", 13: "I"}  # fmt: skip
_MAX_VALUE = 64  # bytes
_IN_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")

Value = bytes | tuple[float, ...]


def read_fields(tiff: bytes, wanted: Collection[int], below: int | None = None) -> dict[int, Value]:
    """Read fields of EXIF's first directory, or of the one that a field of it points to.

    Parameters
    ----------
    tiff : bytes
        The EXIF, from its byte order (`II` or `MM`) on.
    wanted : collection of int
        Tags of the fields.
    below : int, optional
        Tag of the field that points to another directory.

    Returns
    -------
    dict
        By tag, text and undefined bytes as bytes, everything else as numbers. A rational number
        with a denominator of zero is NaN. What is damaged, or longer than 64 bytes, is left out.
    """
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


def orientation(tiff: bytes, xmp: bytes) -> int:
    """Return the orientation of a picture, 1 to 8, from its EXIF or else from its XMP."""
    value = read_fields(tiff, {ORIENTATION}).get(ORIENTATION)
    if value is not None:
        return int(value[0]) if value and value[0] in range(1, 9) else 1
    found = _IN_XMP.search(xmp)
    return int(found[1]) if found else 1


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
