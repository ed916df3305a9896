"""The command `im2gps build`: its options, and its report as text."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from im2gps.building import missing
from im2gps.building.build import PACKAGES, SHARD_SIZE, build


def as_table(report: dict[str, Any]) -> str:
    """Return a report as text: how many came, and why the others did not."""
    entries = [("in the list", report["rows"])]
    entries.append((f"in {report['shards']:,} shards ({_size(report['bytes'])})", report["photos"]))
    entries += report["missing"].items()
    lines = [
        (f"{count:,}", f"{count / max(report['rows'], 1):.1%}", what) for what, count in entries
    ]
    return tabulate(lines, tablefmt="plain", colalign=("right", "right", "left"))


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def add_command(commands: Any) -> None:
    """Add `im2gps build` to the command line."""
    parser = commands.add_parser(
        "build",
        help="fetch the photos of a list into shards",
        description="Fetch the photos of a list into WebDataset shards. Stopped and run again it "
        "goes on where it was.",
    )
    parser.add_argument("table", metavar="PHOTOS.parquet", help="what `im2gps lists` writes")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="for the shards")
    text = "this machine's cores (default), or a cluster that sees the same files"
    parser.add_argument("--engine", choices=list(PACKAGES), default="local", help=text)
    text = "shards in the making at once (all cores, or all that the cluster has)"
    parser.add_argument("--processes", type=int, metavar="N", help=text)
    text = f"rows of the list to a shard ({SHARD_SIZE:,})"
    parser.add_argument("--shard-size", type=int, default=SHARD_SIZE, metavar="N", help=text)
    text = "ask again for photos of finished shards that had no proper answer"
    parser.add_argument("--again", action="store_true", help=text)
    _add_manners(parser.add_argument_group("behaviour towards the photo host, of each process"))
    parser.set_defaults(run=_run)


def _add_manners(group: Any) -> None:
    group.add_argument("--rate", type=float, metavar="N", help="requests a second (20; 0: any)")
    group.add_argument("--concurrency", type=int, metavar="N", help="requests at once (16)")
    group.add_argument("--tries", type=int, metavar="N", help="of one address (5)")
    text = "seconds before the second try, doubled before each other (1)"
    group.add_argument("--backoff", type=float, metavar="S", help=text)
    text = "seconds to wait for a host that does not answer at all (3600)"
    group.add_argument("--patience", type=float, metavar="S", help=text)
    text = "default: https://live.staticflickr.com"
    group.add_argument("--photo-host", dest="host", metavar="URL", help=text)


def _run(**options: Any) -> None:
    report = build(**options)
    print(as_table(report))
    if report["missing"]:
        print(f"\nWhich did not come stands in {options['output']}/im2gps-*.json, by reason.")
    again = sum(n for reason, n in report["missing"].items() if missing.may_mend(reason))
    if again:
        print(f"{again:,} had no proper answer: run it with --again to ask once more.")
    if report["alike"]:
        print(f"{report['alike']:,} photos share their very picture with other photographers' "
              "photos: look at some.")  # fmt: skip
