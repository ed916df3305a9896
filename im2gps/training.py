"""Samples of training shards: those that `im2gps build` wrote, and those from elsewhere.

A sample is a photo and a JSON file of the same name, in any order. In our shards the JSON comes
first, so that photos of the other split are skipped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from gcd_metric.names import counted
from geoload.files import read_json
from geoload.jpeg import PhotoError
from geoload.remote import open_binary
from geoload.report import Findings, Kind
from geoload.tar import Member, ShardError, members, read_member
from im2gps.packs import MAX_PHOTO
from im2gps.photo import usable

BROKEN = Kind("unusable_sample", "unusable samples")
UNPAIRED = Kind("unpaired", "samples without a photo or without a JSON")
OTHERS = Kind("other_member", "members outside of samples")
VALIDATION_FRACTION = 0.01
_NAME = re.compile(r"im2gps-[0-9]{5,}\.tar")
_PHOTOS = ("jpg", "jpeg", "png", "webp")
_MAX_JSON = 2**20
_SPELLINGS = {
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
}
_BOUNDS = {"latitude": 90, "longitude": 180}
_log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """A photo and its JSON; `key` is the shard and the offset of the photo's TAR header."""

    key: str
    name: str
    latitude: float
    longitude: float
    record: dict[str, Any]
    data: bytes


def find_shards(folder: str) -> list[str]:
    """Return the shards that `im2gps build` wrote into a folder, in order."""
    if not os.path.isdir(folder):
        return []
    return sorted(entry.path for entry in os.scandir(folder) if _NAME.fullmatch(entry.name))


def warn_of_missing_shards(folder: str, count: int) -> None:
    """Warn if shards of a build are missing."""
    manifest = Path(folder, "build.json")
    if not manifest.exists():
        return
    try:
        build = read_json(manifest)
        planned = -(-int(build["rows"]) // int(build["shard_size"]))
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        _log.warning("%s does not say how many shards there should be (%s).", manifest, error)
        return
    if count < planned:
        _log.warning("%s: %d of %d shards are there; `im2gps build` makes the others.",
                     folder, count, planned)  # fmt: skip


def in_validation(owner: str, fraction: float) -> bool:
    """Return whether a photographer is in the validation split, independently of all others.

    A larger `fraction` of photographers only adds some to the split.
    """
    # JSON can contain lone surrogates, which UTF-8 cannot.
    digest = hashlib.blake2b(owner.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def samples(
    path: str,
    wanted: Callable[[dict[str, Any]], bool] | None,
    report: Findings,
    original_bytes: bool = False,
    token: str | bool | None = None,
) -> Iterator[Sample]:
    """Yield the wanted samples of a shard, a TAR file at a path or an address.

    `wanted` takes a sample's JSON and returns whether to read its photo. Metadata are removed
    from JPEGs unless `original_bytes` is set. Raises ShardError if the file is damaged or has no
    sample at all.
    """
    photos: dict[str, Member] = {}
    records: dict[str, dict[str, Any] | None] = {}
    paired = False
    with open_binary(path, token) as file:
        for member, _ in members(file, lambda name: False, label=path):
            name, _, kind = member.name.rpartition(".")
            is_record = kind.lower() == "json"
            if member.kind == "dir":
                continue
            if member.kind != "file" or not (is_record or kind.lower() in _PHOTOS):
                report.add(OTHERS, f"{path}: {member.name}")
            elif name in (records if is_record else photos):
                report.add(BROKEN, f"{path}: {member.name}: a second one of this name")
            elif is_record:
                records[name] = _record(file, path, member, report)
            else:
                photos[name] = member
            if name in photos and name in records:
                paired = True
                photo, record = photos.pop(name), records.pop(name)
                if record is not None and (wanted is None or wanted(record)):
                    yield from _sample(file, path, photo, record, report, original_bytes)
    if not paired and (photos or records):
        raise ShardError(
            f"{path} has {counted(len(photos), 'photos')} and {counted(len(records), 'JSONs')}, "
            "but no two of the same name: each photo needs a JSON with its latitude and longitude."
        )
    for name in (*photos, *records):
        report.add(UNPAIRED, f"{path}: {name}")


def read_records(path: str, report: Findings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the contents of each JSON of a shard, without reading photos."""
    with open_binary(path) as file:
        for member, _ in members(file, lambda name: False, label=path):
            if member.kind == "file" and member.name.lower().endswith(".json"):
                record = _record(file, path, member, report)
                if record is not None:
                    yield member.name, record


def _record(file: BinaryIO, path: str, member: Member, report: Findings) -> dict[str, Any] | None:
    """Return the contents of a JSON, with `latitude` and `longitude` as numbers."""
    try:
        if member.size > _MAX_JSON:
            raise ValueError(f"it is larger than {_MAX_JSON:,} bytes")
        text = read_member(file, member, path)
        record = _decoder.decode(text.decode(json.detect_encoding(text), "surrogatepass"))
        if not isinstance(record, dict):
            raise ValueError("it is not a JSON object")
        place = {name: _coordinate(record, name) for name in _SPELLINGS}
        if not any(place.values()):
            raise ValueError("its coordinates are 0, 0, which means an unknown place")
        return {**record, **place}
    except (ValueError, RecursionError) as error:
        report.add(BROKEN, f"{path}: {member.name}: {error}")
        return None


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise ValueError if it gives the coordinates or the owner twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = [name for name in ("owner", *chain(*_SPELLINGS.values())) if counts[name] > 1]
        if twice:
            raise ValueError(f"the key {twice[0]} occurs more than once")
    return found


# json.loads would make a new decoder for each JSON.
_decoder = json.JSONDecoder(object_pairs_hook=_unambiguous)


def _coordinate(record: dict[str, Any], name: str) -> float:
    spellings = _SPELLINGS[name]
    keys = [key for key in record if key.lower() in spellings]
    if len(keys) != 1:
        raise ValueError(f"{len(keys)} keys for the {name} ({', '.join(_SPELLINGS[name])})")
    value = record[keys[0]]
    try:
        if isinstance(value, bool) or "_" in str(value):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{keys[0]} is {str(value)[:40]!r}, not a number of degrees") from None
    if not math.isfinite(number) or abs(number) > _BOUNDS[name]:
        raise ValueError(f"{keys[0]} {number} is not on the globe")
    return number


def _sample(
    file: BinaryIO, path: str, member: Member, record: dict[str, Any], report: Findings,
    original_bytes: bool,
) -> Iterator[Sample]:  # fmt: skip
    """Yield one sample, or none where its photo cannot be used."""
    try:
        if member.size > MAX_PHOTO:
            raise PhotoError(f"it is larger than {MAX_PHOTO:,} bytes")
        data = usable(read_member(file, member, path), original_bytes)
    except PhotoError as error:
        report.add(BROKEN, f"{path}: {member.name}: {error}")
        return
    # Not os.path.basename: while streaming, `datasets` has a slow one of its own.
    name = member.name.rpartition("/")[2]
    key = f"{path}:{member.offset}"
    yield Sample(key, name, record["latitude"], record["longitude"], record, data)
