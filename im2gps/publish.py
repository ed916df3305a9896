"""The command `im2gps publish`: photos whose licence allows it, with who took them beside."""

from __future__ import annotations

import argparse
import json
from typing import Any

from geoload.publishing.convert import NO_JPEG, Screened, without_metadata
from geoload.publishing.publish import Offer, Settings, add_options, names, publish
from im2gps import metadata
from im2gps.im2gps import Im2GPS
from im2gps.licences import UNKNOWN, credit, licence_of
from im2gps.training import VALIDATION_FRACTION, find_shards

_NOTE = (
    "**Private copy.** This repository holds photos whose licence does not allow them to be handed "
    "on. It must stay private."
)


def add_command(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "publish", help="convert to a repository that loads without this package, and upload it"
    )
    add_options(parser)
    parser.add_argument("--coordinates", help="table of im2gps3k and photos; see load_dataset")
    parser.add_argument("--validation-fraction", type=float, metavar="SHARE",
                        help="share of photographers whose training photos become the split "
                        f"validation ({VALIDATION_FRACTION})")  # fmt: skip
    parser.add_argument("--splits", metavar="NAMES", type=names,
                        help="of train, validation and test, with commas (all)")  # fmt: skip
    parser.add_argument("--skip-broken", action="store_true",
                        help="leave out photos that cannot be used")  # fmt: skip
    parser.add_argument("--include-unlicensed", action="store_true",
                        help="also photos whose licence forbids redistribution or is unknown: only "
                        "into a private repository of your own")  # fmt: skip
    parser.set_defaults(run=run)


def run(
    data_dir: str | None = None,
    coordinates: str | None = None,
    validation_fraction: float | None = None,
    splits: list[str] | None = None,
    skip_broken: bool = False,
    include_unlicensed: bool = False,
    **settings: Any,
) -> None:
    """Publish; the arguments are the command's options.

    Raises
    ------
    ValueError, OSError
        With one message for the user.
    """

    def builder(config: str) -> Im2GPS:
        if config == metadata.NAME:
            raise ValueError(f"{config} is one Parquet file and has no photos: upload that file.")
        options: dict[str, Any] = {"data_dir": data_dir, "skip_broken": skip_broken}
        given: dict[str, Any] = {"coordinates": coordinates}
        if config == Im2GPS.DEFAULT_CONFIG_NAME:
            given |= {"splits": splits, "validation_fraction": validation_fraction}
        elif splits is not None and "test" not in splits:
            raise FileNotFoundError(f"it has no split but test, and --splits {','.join(splits)}")
        options |= {name: value for name, value in given.items() if value is not None}
        return Im2GPS(config_name=config, original_bytes=True, records=True, **options)

    def screen(row: dict[str, Any]) -> Screened:
        return screened(row, include_unlicensed)

    offer = Offer(
        "im2gps",
        # The others are the user's own photos, or fetched by hand: published when they are named.
        [c.name for c in Im2GPS.BUILDER_CONFIGS if c.archive and not c.labelled_by_table],
        builder,
        Im2GPS.DEFAULT_CONFIG_NAME,
        screen,
        aside=("record",),
        key=f"unlicensed={include_unlicensed}",
        note=_NOTE if include_unlicensed else "",
    )
    try:
        publish(offer, Settings(**settings))
    except ConnectionError as error:
        if data_dir is None or splits or not find_shards(data_dir):
            raise
        alone = "Or publish the training photos alone: --splits train,validation."
        raise ConnectionError(f"{error} {alone}") from error


def screened(row: dict[str, Any], include_unlicensed: bool) -> Screened:
    """Take a photo's metadata out of it and into the attribution table, if it may be published."""
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
