"""The command `im2gps`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from gcd_metric.names import counted
from geoload.commands import add_subcommand, run

_MODULES = {
    "sample": "im2gps.cli",
    "search": "im2gps.flickr.search",
    "lists": "im2gps.lists.table",
    "build": "im2gps.building.build",
    "audit": "im2gps.audit.command",
    "coverage": "im2gps.coverage.command",
    "publish": "im2gps.publish",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status, as `geoload.commands.run` says."""
    parser = argparse.ArgumentParser(prog="im2gps", description="Tools for Im2GPS.")
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = (sys.argv[1:] if argv is None else argv)[:1]
    # Only the module of the command is imported, because all of them take more than a second.
    for name in _MODULES.keys() & chosen or _MODULES:
        importlib.import_module(_MODULES[name]).add_command(commands)
    return run(parser, argv)


def add_command(commands: Any) -> None:
    """Add the command `sample` to a parser's commands."""
    from im2gps.sample import COUNTS

    text = "write a small synthetic data set in the original file format"
    add = add_subcommand(commands, "sample", _sample, text).add_argument
    add("folder", help="output folder; created if needed")
    for name, usual in COUNTS.items():
        text = f"number of photos of {name} (default {usual})"
        add("--" + name.replace("_", "-"), type=int, default=usual, metavar="N", help=text)
    text = (
        "also write Flickr lists with N records, some of them by the packs' photographers, some "
        "broken (default 0)"
    )
    add("--lists", type=int, default=0, metavar="N", help=text)
    add("--width", type=int, default=160, help="longest side of the largest pictures, in pixels")
    add("--seed", type=int, default=0, help="random seed of the photos")


def _sample(folder: str, width: int, seed: int, lists: int, **counts: int) -> None:
    from im2gps.lists.owners import read_owners
    from im2gps.lists.sample import write_lists
    from im2gps.sample import write_sample
    from im2gps.sets import SETS

    write_sample(folder, counts, width, seed)
    sets = [
        name for name, count in counts.items() if count or (name in SETS and not SETS[name].table)
    ]
    photos, packs = counted(sum(counts.values()), "synthetic photos"), counted(len(sets), "packs")
    print(f"Wrote {photos} in {packs} to {folder}")
    if lists:
        owners = sorted(read_owners(folder)[0]) if any(counts.values()) else []
        written = write_lists(Path(folder, "lists"), lists, seed, lists // 500, test_owners=owners)
        print(f"and {counted(written.lists, 'Flickr lists')} to {Path(folder, 'lists')}, with "
              f"{counted(written.records, 'records')} of {counted(written.photos, 'photos')} and "
              f"{counted(written.broken, 'broken records')}")  # fmt: skip
