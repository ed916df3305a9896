"""The command `im2gps`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geoload.commands import run
from im2gps import publish
from im2gps.building import build
from im2gps.coverage import command as coverage
from im2gps.flickr import search
from im2gps.lists import table as lists
from im2gps.lists.owners import read_owners
from im2gps.lists.sample import write_lists
from im2gps.sample import PACKS, write_sample


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status, as `geoload.commands.run` says."""
    parser = argparse.ArgumentParser(prog="im2gps", description="Tools for Im2GPS.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_sample(commands)
    for module in (search, lists, build, coverage, publish):
        module.add_command(commands)
    return run(parser, argv, _run)


def _run(options: dict[str, Any]) -> int | None:
    work = options.pop("run")
    del options["command"]
    return work(**options)


def _add_sample(commands: Any) -> None:
    sample = commands.add_parser("sample", help="write a miniature in the original layout")
    sample.add_argument("folder", help="where to write; made if need be")
    for name, (archive, usual) in PACKS.items():
        option = "--" + name.replace("_", "-")
        text = f"photos in {archive} (default {usual})"
        sample.add_argument(option, type=int, default=usual, metavar="N", help=text)
    sample.add_argument("--lists", type=int, default=0, metavar="N",
                        help="also Flickr lists with N records, some of them by the packs' "
                        "photographers, some broken (default 0)")  # fmt: skip
    sample.add_argument(
        "--width", type=int, default=160, help="longest side of the largest pictures, in pixels"
    )
    sample.add_argument("--seed", type=int, default=0, help="another seed, other photos")
    sample.set_defaults(run=_sample)


def _sample(folder: str, width: int, seed: int, lists: int, **counts: int) -> None:
    write_sample(folder, counts, width, seed)
    print(f"Wrote {sum(counts.values())} synthetic photos in {len(counts)} packs to {folder}")
    if lists:
        owners = sorted(read_owners(folder)[0]) if any(counts.values()) else []
        written = write_lists(Path(folder, "lists"), lists, seed, lists // 500, test_owners=owners)
        print(f"and {written.lists} Flickr lists with {written.records:,} records of "
              f"{written.photos:,} photos, and {written.broken:,} broken ones, to "
              f"{Path(folder, 'lists')}")  # fmt: skip
