"""The columns of the table of photos, made from the text values of many blocks at once.

What a value must look like is decided here, for all that comes after: what could name another host
or folder in an address is not let in.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from im2gps.flickr.ids import OWNER, PATTERNS, SECRET
from im2gps.photo_table import SCHEMA

# What an address is made of. Nothing else comes through: no slash, no dot, no control character.
PHOTO = " ".join(f"(?P<{name}>{PATTERNS[name]})" for name in ("photo_id", "secret", "server"))

_COLUMNS = pa.schema([field for field in SCHEMA if field.name != "query"])
# Columns that may be null: their key in the lists, and what a value must look like.
_NUMBERS = {
    "date_upload": ("dateupload", pa.int64(), 0, 2**53),
    "license": ("license", pa.int8(), 0, 127),
    "accuracy": ("accuracy", pa.int8(), 0, 16),
    "original_width": ("o_width", pa.int32(), 1, 2**31 - 1),
    "original_height": ("o_height", pa.int32(), 1, 2**31 - 1),
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


def to_columns(fields: dict[str, pa.Array]) -> tuple[pa.Table, dict[int, str], Counter[str]]:
    """Turn text values into the columns of `SCHEMA` but `query`.

    Parameters
    ----------
    fields : dict of str to pyarrow.BinaryArray
        The values of many blocks by their keys; null where a block has no such line.

    Returns
    -------
    table : pyarrow.Table
        A row for each block that a photo can be read from.
    bad : dict of int to str
        The numbers of the other blocks, and why.
    unread : Counter
        Optional values that were left empty because they make no sense, and texts that are not
        UTF-8, by what they are.
    """
    columns, conditions = _required(fields)
    bad: dict[int, str] = {}
    for reason, met in conditions:
        for row in np.flatnonzero(~met.fill_null(False).to_numpy(zero_copy_only=False)).tolist():
            bad.setdefault(row, reason)
    if bad:
        whole = pa.array(np.delete(np.arange(len(fields["photo"])), list(bad)))
        columns = {name: column.take(whole) for name, column in columns.items()}
        fields = {key: values.take(whole) for key, values in fields.items()}
    unread: Counter[str] = Counter()
    columns |= _optional(fields, unread)
    return pa.table([columns[name] for name in _COLUMNS.names], schema=_COLUMNS), bad, unread


def _required(
    fields: dict[str, pa.Array],
) -> tuple[dict[str, pa.Array], list[tuple[str, pa.Array]]]:
    """Return the columns that each row must have, and the conditions on them with their reasons."""
    photo = pc.extract_regex(fields["photo"], f"^{PHOTO}$")
    columns = {
        name: photo.field(name).cast(pa.string()) for name in ("photo_id", "secret", "server")
    }
    known_owner = pc.match_substring_regex(fields["owner"], f"^{OWNER}$")
    columns["owner"] = pc.if_else(known_owner, fields["owner"], b"").cast(pa.string())
    columns["latitude"] = _numbers(fields["latitude"], pa.float64(), -90, 90)
    columns["longitude"] = _numbers(fields["longitude"], pa.float64(), -180, 180)
    nowhere = pc.and_(pc.equal(columns["latitude"], 0), pc.equal(columns["longitude"], 0))
    return columns, [
        ("its photo line is not an id, a secret and a server", photo.is_valid()),
        ("its photo id has more than 64 bits", photo_ids(columns["photo_id"]).is_valid()),
        ("its owner is missing or not like 12345678@N00", known_owner),
        ("its latitude is missing or not within ±90", columns["latitude"].is_valid()),
        ("its longitude is missing or not within ±180", columns["longitude"].is_valid()),
        ("its latitude and longitude are both 0", pc.invert(nowhere)),
    ]


def _optional(fields: dict[str, pa.Array], unread: Counter[str]) -> dict[str, pa.Array]:
    """Return the other columns; what cannot be read becomes null, and is counted."""
    columns = {}
    for name, (key, kind, low, high) in _NUMBERS.items():
        columns[name] = _numbers(fields[key], kind, low, high)
    for name, (key, pattern) in _CODES.items():
        fits = pc.match_substring_regex(fields[key], f"^{pattern}$")
        columns[name] = pc.if_else(fits, fields[key], None).cast(pa.string())
    for name, column in columns.items():
        key = _NUMBERS[name][0] if name in _NUMBERS else _CODES[name][0]
        given = pc.sum(pc.greater(pc.binary_length(fields[key]), 0)).as_py() or 0
        unread[f"values of {key} that make no sense, left empty"] += (
            given - len(column) + column.null_count
        )
    for name in ("title", "tags"):
        columns[name], others = _texts(fields[name])
        unread[f"values of {name} that are not UTF-8, read as Latin-1"] += others
    return columns


def photo_ids(texts: pa.Array) -> pa.Array:
    """Return photo ids as unsigned 64-bit numbers, null where one is larger."""
    try:
        return texts.cast(pa.uint64())
    except pa.ArrowInvalid:
        ids = [int(text) if text and int(text) < 2**64 else None for text in texts.to_pylist()]
        return pa.array(ids, pa.uint64())


def _numbers(values: pa.Array, kind: pa.DataType, low: int, high: int) -> pa.Array:
    """Return numbers, null where a value is empty, no number, or outside its limits."""
    wide = pa.float64() if pa.types.is_floating(kind) else pa.int64()
    given = pc.if_else(pc.equal(pc.binary_length(values), 0), None, values)
    try:
        numbers = given.cast(pa.string()).cast(wide)
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(given, _PLAIN[wide])
        numbers = pc.if_else(plain, given, None).cast(pa.string()).cast(wide)
        odd = pc.invert(plain).fill_null(False)
        mended = [_number(value, wide) for value in given.filter(odd).to_pylist()]
        numbers = pc.replace_with_mask(numbers, odd, pa.array(mended, wide))
    inside = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high))
    return pc.if_else(inside, numbers, None).cast(kind)


def _number(value: bytes, kind: pa.DataType) -> float | int | None:
    """Read one value as Arrow reads a column of them, but with blanks around it."""
    try:
        return pa.scalar(value.strip().decode("ascii")).cast(kind).as_py()
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None


def _texts(values: pa.Array) -> tuple[pa.Array, int]:
    """Return values as text, and how many of them are not UTF-8; those are read as Latin-1."""
    try:
        return values.cast(pa.string()), 0
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        others = 0
        for value in values.to_pylist():
            try:
                texts.append(value if value is None else value.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(value.decode("latin-1"))
                others += 1
        return pa.array(texts, pa.string()), others
