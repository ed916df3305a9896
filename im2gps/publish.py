"""The command `im2gps publish`: photos whose licence allows it, with who took them beside."""

from __future__ import annotations

import argparse
from typing import Any

from geoload.convert import Screened
from geoload.publish import Offer, Settings, add_options, publish
from im2gps.im2gps import Im2GPS
from im2gps.licences import UNKNOWN, credit, licence_of
from im2gps.photo import PhotoError, clean, fields

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
    parser.add_argument("--skip-broken", action="store_true",
                        help="leave out photos that cannot be used")  # fmt: skip
    parser.add_argument("--include-unlicensed", action="store_true",
                        help="also photos whose licence forbids redistribution or is unknown: only "
                        "into a private repository of your own")  # fmt: skip
    parser.set_defaults(run=run)


def run(
    data_dir: str | None = None,
    coordinates: str | None = None,
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
        options: dict[str, Any] = {"data_dir": data_dir, "skip_broken": skip_broken}
        if coordinates is not None:
            options["coordinates"] = coordinates
        return Im2GPS(config_name=config, original_bytes=True, **options)

    def screen(row: dict[str, Any]) -> Screened:
        return screened(row, include_unlicensed)

    offer = Offer(
        "im2gps",
        # The others are the user's own photos, or fetched by hand: published when they are named.
        [c.name for c in Im2GPS.BUILDER_CONFIGS if c.archive and not c.labelled_by_table],
        builder,
        Im2GPS.DEFAULT_CONFIG_NAME,
        screen,
        key=f"unlicensed={include_unlicensed}",
        note=_NOTE if include_unlicensed else "",
        only_private=include_unlicensed,
    )
    publish(offer, Settings(**settings))


def screened(row: dict[str, Any], include_unlicensed: bool) -> Screened:
    """Take a photo's metadata out of it and into the attribution table, if it may be published."""
    data, name = row["image"]["bytes"], row["image_id"]
    try:
        known = fields(data)
        bare = clean(data)
    except PhotoError as error:
        return Screened(None, f"no JPEG whose metadata can be taken out ({error})")
    licence = licence_of(known)
    if not (licence.redistributable or include_unlicensed):
        unknown = licence is UNKNOWN
        return Screened(None, "under an unknown licence" if unknown else "all rights reserved")
    image = {"bytes": bare, "path": row["image"]["path"]}
    return Screened({**row, "image": image}, credit=credit(name, known, licence))
