"""The command `justzoomin`."""

from __future__ import annotations

import argparse

from justzoomin.sample import write_sample


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="justzoomin", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="write a miniature in the Hub's layout")
    sample.add_argument("folder")
    sample.add_argument("--train", type=int, default=270, metavar="N", help="photos (270)")
    sample.add_argument("--validation", type=int, default=30, metavar="N", help="photos (30)")
    sample.add_argument("--shards", type=int, default=4, metavar="N", help="TAR files (4)")
    sample.add_argument("--width", type=int, default=128, help="of the pictures, in pixels")
    sample.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args(argv))
    del options["command"]
    folder = options.pop("folder")
    write_sample(folder, **options)
    print(f"Wrote {options['train']} train and {options['validation']} validation photos in "
          f"{options['shards']} shards to {folder}")  # fmt: skip
    return 0
