"""The rows of Im2GPS: from the photos of a test pack, and from training shards."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from gcd_metric.matching import match_ids
from gcd_metric.names import counted, refuse_duplicates
from gcd_metric.tables import read_coordinates
from geoload.files import is_remote
from geoload.jpeg import PhotoError, clean
from geoload.report import Findings, Kind
from im2gps.options import Im2GPSConfig, find_coordinates
from im2gps.packs import PackError, explained, open_pack
from im2gps.photo import check_header, coordinates, fields
from im2gps.training import BROKEN, Sample, in_validation, samples

UNUSABLE = Kind("unusable_photo", "unusable photos")
Row = tuple[str, dict[str, Any]]  # the key and the columns


def pack_rows(
    config: Im2GPSConfig, source: str, report: Findings, warn: Callable[[str], None]
) -> Iterator[Row]:
    """Yield the rows of a test pack, and raise PackError at the end if photos cannot be used."""
    with explained(source, config.archive), open_pack(source, report) as photos:
        _check_count(config, len(photos), warn)
        table, names = config.table(), [name for name, _ in photos]
        labels = {}
        if table is not None:
            labels = _read_labels(table, names, report, config.skip_broken, warn)
        seen: set[str] = set()
        for name, read in photos:
            if table is not None and name not in labels:
                continue
            try:
                if name in seen:
                    raise PhotoError("a second photo of this name")
                seen.add(name)
                data = read()
                place = coordinates(data) if table is None else _checked(labels[name], table)
                check_header(data)
                image = data if config.original_bytes else clean(data)
            except (PhotoError, PackError) as error:
                report.add(UNUSABLE, f"{name}: {error}")
                continue
            record = None
            if config.records:  # with original_bytes, a photo of any kind that Pillow knows
                record = fields(data) if data.startswith(b"\xff\xd8") else {}
            yield name, make_row(name, place, image, record)
    if report.counts[UNUSABLE] and not config.skip_broken:
        raise PackError(
            f"{source}: of {len(photos)} photos, {report.line(UNUSABLE)}. Get the files again, or "
            f"leave these photos out with skip_broken=True.{_table_hint(config, report)}"
        )


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


def make_row(
    name: str, place: tuple[float, float], image: bytes, record: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the columns of a row; `place` is latitude and longitude in decimal degrees."""
    row = {
        "image": {"bytes": image, "path": name},
        "image_id": name,
        "latitude": place[0],
        "longitude": place[1],
    }
    if record is not None:
        row["record"] = json.dumps(record)  # as ASCII, because texts can have lone surrogates
    return row


def _check_count(config: Im2GPSConfig, count: int, warn: Callable[[str], None]) -> None:
    """A downloaded pack must be complete; a pack of the user may have another size."""
    if not config.photos or count == config.photos:
        return
    photos = counted(count, "photos")
    if is_remote(config.source()):
        raise PackError(
            f"{config.archive} from {config.base_url} contains {photos}, not the published "
            f"{config.photos}. Load it again with download_mode='force_redownload'; if the number "
            "stays the same, the pack has changed: give your copy with data_dir=."
        )
    text = (
        f"{config.name}: {photos} under {config.data_dir}, but the published pack has "
        f"{config.photos}"
    )
    if config.strict:
        raise PackError(f"{text} (strict=True).")
    warn(text)


def _table_hint(config: Im2GPSConfig, report: Findings) -> str:
    """Point to a table of coordinates beside photos that have none."""
    bare = any("no coordinates" in name for name in report.names[UNUSABLE])
    if config.data_dir is None or config.labelled_by_table or not bare:
        return ""
    try:
        table = os.path.basename(find_coordinates(config.data_dir))
    except FileNotFoundError:
        return ""
    return (
        f' To take the coordinates from {table}: load_dataset("im2gps", "photos", '
        f'data_dir="{config.data_dir}").'
    )


def _checked(place: tuple[float, float], table: str) -> tuple[float, float]:
    if any(map(math.isnan, place)):
        raise PhotoError(f"no coordinates in its row of {os.path.basename(table)}")
    if not any(place):  # as in comments and EXIF
        raise PhotoError(f"only 0, 0 in its row of {os.path.basename(table)}")
    return place


def _read_labels(
    table: str, names: list[str], report: Findings, skip_broken: bool, warn: Callable[[str], None]
) -> dict[str, tuple[float, float]]:
    """Return latitude and longitude by the photos' names; count photos and rows without the other.

    With `skip_broken`, coordinates may be missing (NaN), and photos with several rows are counted.
    """
    if not names:
        raise ValueError(f"There are no photos for {table}: only .jpg and .jpeg files count.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} names belong to more than one photo, in different folders ({twice[0]}, "
            f"…), so the rows of {table} are ambiguous. Rename these photos."
        )
    truth = read_coordinates(table, of="references", allow_missing="any" if skip_broken else False)
    for note in truth.attrs["notes"]:
        warn(note)
    named = truth["image_id"].tolist()
    if not skip_broken:
        refuse_duplicates(named, table)
    counts = Counter(named)
    truth = truth[[bool(name) and counts[name] == 1 for name in named]]
    ids = truth["image_id"].tolist()
    match = match_ids(names, ids)
    repeated = match_ids(names, [name for name, count in counts.items() if name and count > 1])
    if not len(match.left) and not len(repeated.left):
        if match.ambiguous:
            photos, rows = match.ambiguous[0]
            raise ValueError(
                f"{table}: it is ambiguous which photo a row means: {', '.join(rows[:3])} could be "
                f"any of {', '.join(photos[:3])}. Write the full file names into the table."
            )
        raise ValueError(
            f"{table}: none of its {len(named)} rows names any of the {len(names)} photos "
            f"(rows: {named[0]!r}, …; photos: {names[:1]}, …)."
        )
    file = os.path.basename(table)
    unclear = {name for group, _ in match.ambiguous for name in group}
    unclear |= {names[i] for i in repeated.left}
    without_row = [names[i] for i in match.unmatched_left if names[i] not in unclear]
    without_photo = [ids[i] for i in match.unmatched_right]
    for kind, left_out in (
        (Kind("no_row", f"photos without a row in {file}"), without_row),
        (Kind("ambiguous", f"photos that several rows of {file} could mean"), sorted(unclear)),
        (Kind("no_photo", f"rows of {file} without a photo"), without_photo),
        (Kind("no_id", f"rows of {file} without an id"), [""] * counts[""]),
    ):
        report.add_many(kind, len(left_out), filter(None, left_out))
    pairs = truth[["latitude", "longitude"]].to_numpy()[match.right].tolist()
    return {names[i]: (row[0], row[1]) for i, row in zip(match.left, pairs, strict=True)}
