"""The command `im2gps publish`: photos whose licence allows it, with a table of attributions."""

from __future__ import annotations

import json
from typing import Any

from geoload.publishing import spec
from geoload.publishing.convert import NO_JPEG, Screened, without_metadata
from geoload.publishing.croissant import Component
from geoload.publishing.publish import publish
from im2gps import metadata
from im2gps.im2gps import Im2GPS
from im2gps.licences import LICENCES, UNKNOWN, credit, licence_of
from im2gps.sets import SETS
from im2gps.training import VALIDATION_FRACTION, find_shards

_PRIVATE_OPTION = "--include-unlicensed"
_NOTE = (
    "**Private copy.** This repository contains photos whose licence does not allow "
    "redistribution. It must stay private."
)
_EVALUATION = spec.Evaluation(
    "Im2GPS",
    "Where on Earth was this photo taken? Photos of Flickr; the value is the percentage of photos "
    "within 200 km of the true place. Run it with `inspect eval geoeval/im2gps`, or score a table "
    "of predictions with `gcd-metric --push`.",
    {name: (name, "test") for name in ("im2gps", "im2gps3k")},
    {"config_name": "standard"},
)


def add_command(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser = spec.add_command(commands, run)
    parser.add_argument("--coordinates", help="table of coordinates of a set that has one")
    parser.add_argument("--validation-fraction", type=float, metavar="SHARE",
                        help="share of the photographers whose training photos become the split "
                        f"validation (default: {VALIDATION_FRACTION})")  # fmt: skip
    parser.add_argument("--splits", metavar="NAMES", type=spec.names,
                        help="splits to publish, separated by commas (default: train, validation "
                        "and test)")  # fmt: skip
    parser.add_argument("--skip-broken", action="store_true",
                        help="leave out photos that cannot be used")  # fmt: skip
    parser.add_argument(_PRIVATE_OPTION, action="store_true",
                        help="include photos whose licence forbids redistribution or is unknown; "
                        "only for a private repository")  # fmt: skip


def run(
    data_dir: str | None = None,
    coordinates: str | None = None,
    validation_fraction: float | None = None,
    splits: list[str] | None = None,
    skip_broken: bool = False,
    include_unlicensed: bool = False,
    **settings: Any,
) -> None:
    """Publish; the arguments are the command's options."""

    def builder(config: str) -> Im2GPS:
        if config == metadata.NAME:
            raise ValueError(f"{config} is one Parquet file and has no photos: upload that file.")
        given: dict[str, Any] = {"data_dir": data_dir, "coordinates": coordinates}
        if config == Im2GPS.DEFAULT_CONFIG_NAME:
            given |= {"splits": splits, "validation_fraction": validation_fraction}
        elif splits is not None and "test" not in splits:
            raise FileNotFoundError(f"it has only the split test, not {','.join(splits)}")
        options = {name: value for name, value in given.items() if value is not None}
        options |= {"original_bytes": True, "records": True, "skip_broken": skip_broken}
        return Im2GPS(config_name=config, **options)

    ours = spec.PublishSpec(
        "im2gps",
        # Photos of the user's own, or downloaded by hand, are published only when named.
        [name for name, known in SETS.items() if not known.table],
        builder,
        Im2GPS.DEFAULT_CONFIG_NAME,
        screen=lambda row: screen(row, include_unlicensed),
        screening_columns=("record",),
        key=f"unlicensed={include_unlicensed}",
        private_option=_PRIVATE_OPTION if include_unlicensed else "",
        note=_NOTE if include_unlicensed else "",
        components=lambda configs: components(include_unlicensed),
        evaluation=_EVALUATION,
    )
    try:
        publish(ours, spec.Settings(**settings))
    except ConnectionError as error:
        if data_dir is None or splits or not find_shards(data_dir):
            raise
        alone = "Or publish only the training photos: --splits train,validation."
        raise ConnectionError(f"{error} {alone}") from error


def components(include_unlicensed: bool) -> list[Component]:
    """Return the licences that published photos can have."""
    what = "The photos for which attribution.csv says so."
    found = [one for one in LICENCES.values() if one.redistributable or include_unlicensed]
    return [Component(one.name, one.link, what) for one in found]


def screen(row: dict[str, Any], include_unlicensed: bool) -> Screened:
    """Remove a photo's metadata, and return its attribution, if it may be published."""
    name, record = row["image_id"], json.loads(row["record"])
    image = without_metadata(row["image"])
    if image is None:
        return Screened(None, NO_JPEG)
    licence = licence_of(record)
    if not (licence.redistributable or include_unlicensed):
        unknown = licence is UNKNOWN
        return Screened(None, "under an unknown licence" if unknown else "all rights reserved")
    published = {column: value for column, value in row.items() if column != "record"}
    return Screened({**published, "image": image}, credit=credit(name, record, licence))
