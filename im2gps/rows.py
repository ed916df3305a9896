"""The rows of Im2GPS: from the photos of a test pack, and from training shards."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

from gcd_metric.names import counted
from geoload.files import is_remote
from geoload.jpeg import PhotoError
from geoload.report import Findings
from geoload.tables import Row
from im2gps.options import Im2GPSConfig, find_coordinates
from im2gps.packs import UNUSABLE, PackError, explained, open_pack
from im2gps.photo import coordinates, fields, make_row, usable
from im2gps.training import BROKEN, Sample, in_validation, samples
from im2gps.truth import Truth, find_rows


def pack_rows(
    config: Im2GPSConfig, source: str, report: Findings, warn: Callable[[str], None]
) -> Iterator[Row]:
    """Yield the rows of a test pack, and raise PackError at the end if photos cannot be used.

    Without a `source`, they are those of the table, and have no image.
    """
    known, truth, rows = config.known, config.truth(), {}
    with explained(source, known.archive), _open(source, truth, report) as photos:
        if source:
            check_count(config, len(photos), "photos", known.photos, warn)
        else:
            warn(f"{config.name}: {config.data_dir} contains no photos, so image is None")
        if truth is not None:
            for note in truth.notes:
                warn(note)
            file = os.path.basename(truth.path)
            check_count(config, len(truth.image_id), f"rows of {file}", known.rows, warn)
            rows = find_rows(truth, [name for name, _ in photos], report, config.skip_broken)
        seen: set[str] = set()
        for name, read in photos:
            if truth is not None and name not in rows:
                continue
            try:
                if name in seen:
                    raise PhotoError("a second photo of this name")
                seen.add(name)
                data = read()
                place = coordinates(data) if truth is None else _place(truth, rows[name])
                image = usable(data, config.original_bytes) if source else None
            except (PhotoError, PackError) as error:
                report.add(UNUSABLE, f"{name}: {error}")
                continue
            record = None
            if config.records:  # with original_bytes, a photo of any kind that Pillow knows
                record = fields(data) if data.startswith(b"\xff\xd8") else {}
            extra = {} if truth is None else truth.extra(rows[name])
            yield name, {**make_row(name, place, image, record), **extra}
    if report.counts[UNUSABLE] and not config.skip_broken:
        raise PackError(
            f"{source or config.table()}: of {len(photos)} photos, {report.line(UNUSABLE)}. Get "
            "the files again, or leave these photos out with skip_broken=True."
            f"{_table_hint(config, report)}"
        )


def _open(source: str, truth: Truth | None, report: Findings) -> Any:
    """Open a pack, or stand in for one without photos by the names in the table."""
    if source or truth is None:
        return open_pack(source, report)
    names = dict.fromkeys(filter(None, truth.image_id))
    return contextlib.nullcontext([(name, bytes) for name in names])


def shard_samples(
    config: Im2GPSConfig, shard: str, split: str, token: Any, report: Findings
) -> Iterator[Sample]:
    """Yield the samples of a split in a shard; raise PackError at the end for broken ones."""
    validation, fraction = split == "validation", config.validation_fraction

    def wanted(record: dict[str, Any]) -> bool:
        return in_validation(str(record.get("owner")), fraction) is validation

    own = config.data_files is None  # each of other people's shards belongs to one split
    yield from samples(shard, wanted if own else None, report, config.original_bytes, token)
    if report.counts[BROKEN] and not config.skip_broken:
        raise PackError(
            f"{report.line(BROKEN)}. Get the shards again, or leave these samples out with "
            "skip_broken=True."
        )


def shard_rows(
    config: Im2GPSConfig, split: str, shards: list[str], token: Any,
    done: Callable[[str, str, Findings], None],
) -> Iterator[Row]:  # fmt: skip
    """Yield the rows of a split in shards; `done` is called after each with its report."""
    for shard in shards:
        report = Findings()
        for sample in shard_samples(config, shard, split, token, report):
            record = sample.record if config.records else None
            place = sample.latitude, sample.longitude
            yield sample.key, make_row(sample.name, place, sample.data, record)
        done(shard.rpartition("/")[2], shard, report)


def check_count(
    config: Im2GPSConfig, count: int, what: str, expected: int, warn: Callable[[str], None]
) -> None:
    """A downloaded pack must be complete; a pack of the user may have another size."""
    if not expected or count == expected:
        return
    found = counted(count, what)
    if is_remote(config.source()):
        raise PackError(
            f"{config.known.archive} from {config.base_url} contains {found}, not the published "
            f"{expected}. Load it again with download_mode='force_redownload'; if the number "
            "stays the same, the pack has changed: give your copy with data_dir=."
        )
    text = f"{config.name}: {found} under {config.data_dir}, but the published set has {expected}"
    if config.strict:
        raise PackError(f"{text} (strict=True).")
    warn(text)


def _table_hint(config: Im2GPSConfig, report: Findings) -> str:
    """Point to a table of coordinates beside photos that have none."""
    bare = any("no coordinates" in name for name in report.names[UNUSABLE])
    if config.data_dir is None or config.known.table or not bare:
        return ""
    try:
        table = os.path.basename(find_coordinates(config.data_dir))
    except FileNotFoundError:
        return ""
    return (
        f' To take the coordinates from {table}: load_dataset("im2gps", "photos", '
        f'data_dir="{config.data_dir}").'
    )


def _place(truth: Truth, row: int) -> tuple[float, float]:
    latitude, longitude = truth.places[row]
    file = os.path.basename(truth.path)
    if math.isnan(latitude) or math.isnan(longitude):
        raise PhotoError(f"no coordinates in its row of {file}")
    if not (latitude or longitude):  # as in comments and EXIF
        raise PhotoError(f"only 0, 0 in its row of {file}")
    return latitude, longitude
