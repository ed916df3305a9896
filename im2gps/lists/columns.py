"""The columns of the table of photos, from the text values of many blocks at once.

Ids must match the patterns of `im2gps.flickr.ids`, so that no row can name another host or folder.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoload.report import Kind
from im2gps.flickr.ids import OWNER, PATTERNS, SECRET
from im2gps.photo_table import SCHEMA

_COLUMNS = pa.schema([field for field in SCHEMA if field.name != "query"])
_PHOTO = " ".join(f"(?P<{name}>{PATTERNS[name]})" for name in ("photo_id", "secret", "server"))
# Columns that may be null: their key in the lists, and the range or the pattern of their values.
_NUMBERS = {
    "date_upload": ("dateupload", 0, 2**53),
    "license": ("license", 0, 127),
    "accuracy": ("accuracy", 0, 16),
    "original_width": ("o_width", 1, 2**31 - 1),
    "original_height": ("o_height", 1, 2**31 - 1),
}
_CODES = {
    "date_taken": ("datetaken", "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"),
    "original_secret": ("originalsecret", SECRET),
    "original_format": ("originalformat", "[0-9A-Za-z]{1,8}"),
}
_PLAIN = {
    pa.int64(): r"^-?[0-9]{1,15}$",
    pa.float64(): r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$",
}


def to_columns(fields: dict[str, pa.Array]) -> tuple[pa.Table, dict[int, Kind], Counter[Kind]]:
    """Turn text values into the columns of `SCHEMA` except `query`.

    Parameters
    ----------
    fields : dict of str to pyarrow.BinaryArray
        The values of many blocks by their keys; null where a block has no such line.

    Returns
    -------
    table : pyarrow.Table
        A row for each valid block.
    invalid : dict of int to Kind
        The numbers of the other blocks, and the reasons.
    unread : Counter
        Number of optional values that could not be read, by kind.
    """
    columns, conditions = _required(fields)
    invalid: dict[int, Kind] = {}
    for reason, met in conditions.items():
        for row in np.flatnonzero(~met.fill_null(False).to_numpy(zero_copy_only=False)).tolist():
            invalid.setdefault(row, reason)
    if invalid:
        valid = pa.array(np.delete(np.arange(len(fields["photo"])), list(invalid)))
        columns = {name: column.take(valid) for name, column in columns.items()}
        fields = {key: values.take(valid) for key, values in fields.items()}
    unread: Counter[Kind] = Counter()
    for name, (key, low, high) in _NUMBERS.items():
        columns[name] = _numbers(fields[key], SCHEMA.field(name).type, low, high)
        unread[_invalid(key)] += _lost(fields[key], columns[name])
    for name, (key, pattern) in _CODES.items():
        fits = pc.match_substring_regex(fields[key], f"^{pattern}$")
        columns[name] = pc.if_else(fits, fields[key], None).cast(pa.string())
        unread[_invalid(key)] += _lost(fields[key], columns[name])
    for name in ("title", "tags"):
        columns[name], count = _texts(fields[name])
        unread[Kind(f"not_utf8_{name}", f"values of {name} not in UTF-8, read as Latin-1")] += count
    return pa.table([columns[name] for name in _COLUMNS.names], schema=_COLUMNS), invalid, unread


def _required(fields: dict[str, pa.Array]) -> tuple[dict[str, pa.Array], dict[Kind, pa.Array]]:
    """Return the columns that each row must have, and the conditions on them by reason."""
    photo = pc.extract_regex(fields["photo"], f"^{_PHOTO}$")
    columns = {
        name: photo.field(name).cast(pa.string()) for name in ("photo_id", "secret", "server")
    }
    valid_owner = pc.match_substring_regex(fields["owner"], f"^{OWNER}$")
    columns["owner"] = pc.if_else(valid_owner, fields["owner"], b"").cast(pa.string())
    columns["latitude"] = _numbers(fields["latitude"], pa.float64(), -90, 90)
    columns["longitude"] = _numbers(fields["longitude"], pa.float64(), -180, 180)
    zero = pc.and_(pc.equal(columns["latitude"], 0), pc.equal(columns["longitude"], 0))
    return columns, {
        Kind("bad_photo", "no id, secret and server in the photo line"): photo.is_valid(),
        Kind("bad_id", "a photo id of over 64 bits"): photo_ids(columns["photo_id"]).is_valid(),
        Kind("bad_owner", "no owner such as 12345678@N00"): valid_owner,
        Kind("bad_latitude", "no latitude within ±90"): columns["latitude"].is_valid(),
        Kind("bad_longitude", "no longitude within ±180"): columns["longitude"].is_valid(),
        Kind("zero_coordinates", "latitude and longitude are 0"): pc.invert(zero),
    }


def photo_ids(texts: pa.Array) -> pa.Array:
    """Return photo ids as unsigned 64-bit numbers, null where one is larger."""
    try:
        return texts.cast(pa.uint64())
    except pa.ArrowInvalid:
        ids = [int(text) if text and int(text) < 2**64 else None for text in texts.to_pylist()]
        return pa.array(ids, pa.uint64())


def _invalid(key: str) -> Kind:
    return Kind(f"invalid_{key}", f"invalid values of {key}, left empty")


def _lost(values: pa.Array, column: pa.Array) -> int:
    """Return how many values that are not empty became null."""
    given = pc.sum(pc.greater(pc.binary_length(values), 0)).as_py() or 0
    return int(given - len(column) + column.null_count)


def _numbers(values: pa.Array, kind: pa.DataType, low: int, high: int) -> pa.Array:
    """Return numbers, null where a value is empty, not a number, or out of range."""
    wide = pa.float64() if pa.types.is_floating(kind) else pa.int64()
    given = pc.if_else(pc.equal(pc.binary_length(values), 0), None, values)
    try:
        numbers = given.cast(pa.string()).cast(wide)
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(given, _PLAIN[wide])
        numbers = pc.if_else(plain, given, None).cast(pa.string()).cast(wide)
        odd = pc.invert(plain).fill_null(False)
        parsed = pa.array([_number(value, wide) for value in given.filter(odd).to_pylist()], wide)
        numbers = pc.replace_with_mask(numbers, odd, parsed)
    inside = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high))
    return pc.if_else(inside, numbers, None).cast(kind)


def _number(value: bytes, kind: pa.DataType) -> float | None:
    """Parse one value as Arrow parses a column, but ignore blanks around it."""
    try:
        number: float = pa.scalar(value.strip().decode("ascii")).cast(kind).as_py()
        return number
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None


def _texts(values: pa.Array) -> tuple[pa.Array, int]:
    """Return values as text, and how many are not UTF-8 and were read as Latin-1."""
    try:
        return values.cast(pa.string()), 0
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        count = 0
        for value in values.to_pylist():
            try:
                texts.append(value if value is None else value.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(value.decode("latin-1"))
                count += 1
        return pa.array(texts, pa.string()), count
