"""The rows that the builder yields: from the photos of a test pack, or from training shards."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from geoload.jpeg import PhotoError, clean
from geoload.report import Report
from im2gps.labels import Labeller, find_table
from im2gps.packs import PackError, explained, open_pack
from im2gps.photo import check_header, fields
from im2gps.training import BROKEN, Sample, in_validation, samples

if TYPE_CHECKING:
    from im2gps.im2gps import Im2GPSConfig

UNUSABLE = "photos that cannot be used"
_log = logging.getLogger(__name__)

# Key and contents of a row.
Row = tuple[str, dict[str, Any]]
# Given the name of a part and its report, when it is through.
Leave = Callable[[str, Report], None]


def pack_rows(config: Im2GPSConfig, source: str, downloaded: bool, leave: Leave) -> Iterator[Row]:
    """Yield the rows of a test pack, and raise at the end if photos could not be used."""
    report = Report()
    with explained(source, config.archive), open_pack(source, report) as photos:
        _check_count(config, len(photos), downloaded)
        names = [name for name, _ in photos]
        label = Labeller(names, config.table(), report, config.skip_broken)
        seen: set[str] = set()
        for name, read in photos:
            if not label.wants(name):
                continue
            try:
                if name in seen:
                    raise PhotoError("a second photo of this name")
                seen.add(name)
                data = read()
                latitude, longitude = label.coordinates(name, data)
                check_header(data)
                handed_out = data if config.original_bytes else clean(data)
            except (PhotoError, PackError) as error:
                report.add(UNUSABLE, f"{name}: {error}")
                continue
            record = _fields(data) if config.records else None
            yield name, _row(name, latitude, longitude, handed_out, record)
    if report.counts[UNUSABLE] and not config.skip_broken:
        raise PackError(
            f"{source}: of {len(photos)} photos, {report.line(UNUSABLE)}. Get the files again, or "
            f"leave these photos out with skip_broken=True.{_table_hint(config, report)}"
        )
    leave("test-0", report)


def _table_hint(config: Im2GPSConfig, report: Report) -> str:
    """Point to coordinates that lie in a table beside photos that hold none."""
    bare = any("no coordinates" in name for name in report.names[UNUSABLE])
    if config.data_dir is None or config.labelled_by_table or not bare:
        return ""
    try:
        table = os.path.basename(find_table(config.data_dir))
    except FileNotFoundError:
        return ""
    return (
        f' To take the coordinates from {table}: load_dataset("im2gps", "photos", '
        f'data_dir="{config.data_dir}").'
    )


def shard_rows(
    config: Im2GPSConfig, shards: list[str], split: str, token: Any, leave: Leave
) -> Iterator[Row]:
    """Yield the rows of a split from shards, raising after each shard that has broken samples."""
    for shard in shards:
        for sample in shard_samples(config, shard, split, token, leave):
            record = sample.record if config.records else None
            coordinates = sample.latitude, sample.longitude
            yield sample.place, _row(sample.name, *coordinates, sample.data, record)


def shard_samples(
    config: Im2GPSConfig, shard: str, split: str, token: Any, leave: Leave
) -> Iterator[Sample]:
    """Yield one shard's samples of a split: of all photographers, where it is someone else's."""
    report = Report()
    wanted: Callable[[dict[str, Any]], bool] = _all
    if config.data_files is None:
        wanted = functools.partial(_on_side, split == "validation", config.validation_fraction)
    yield from samples(shard, wanted, report, config.original_bytes, token)
    if report.counts[BROKEN] and not config.skip_broken:
        raise PackError(
            f"{report.line(BROKEN)}. Get the shards again, or leave these samples out with "
            "skip_broken=True."
        )
    leave(f"{split}-{shard.rpartition('/')[2]}", report)


def _all(record: dict[str, Any]) -> bool:
    return True


def _on_side(validation: bool, fraction: float, record: dict[str, Any]) -> bool:
    return in_validation(str(record.get("owner")), fraction) is validation


def _row(
    name: str, latitude: float, longitude: float, data: bytes, record: dict[str, Any] | None
) -> dict[str, Any]:
    row = {
        "image": {"bytes": data, "path": name},
        "image_id": name,
        "latitude": latitude,
        "longitude": longitude,
    }
    if record is not None:
        row["record"] = json.dumps(record)  # half a character, escaped, passes where text does not
    return row


def _fields(data: bytes) -> dict[str, Any]:
    try:
        return fields(data)
    except PhotoError:  # a photo of the user's own that is no JPEG, handed out as it is
        return {}


def _check_count(config: Im2GPSConfig, count: int, downloaded: bool) -> None:
    """A pack from the project page is whole or an error; one of the user's own may differ."""
    expected = config.photos
    if not expected or count == expected:
        return
    if downloaded:
        raise PackError(
            f"{config.archive} from {config.base_url} holds {count} photos, not the "
            f"published {expected}. Load it again with download_mode='force_redownload'; if "
            "the count stays, the pack has changed: give your copy with data_dir=."
        )
    text = (
        f"{config.name}: {count} photos under {config.data_dir}, where the published pack has "
        f"{expected}"
    )
    if config.strict:
        raise PackError(f"{text} (strict=True).")
    _log.warning("%s.", text)
