"""The command `im2gps`."""

from __future__ import annotations

import argparse
import sys

from im2gps import coverage
from im2gps.sample import PACKS, write_sample


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="im2gps", description="Tools for Im2GPS.")
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="write a miniature in the original layout")
    sample.add_argument("folder", help="where to write; made if need be")
    for name, (archive, usual) in PACKS.items():
        option = "--" + name.replace("_", "-")
        text = f"photos in {archive} (default {usual})"
        sample.add_argument(option, type=int, default=usual, metavar="N", help=text)
    sample.add_argument("--width", type=int, default=160, help="of the pictures, in pixels")
    sample.add_argument("--seed", type=int, default=0, help="another seed, other photos")
    coverage.add_command(commands)
    arguments = parser.parse_args(argv)
    try:
        if "run" in arguments:
            return arguments.run(arguments)
        counts = {name: getattr(arguments, name) for name in PACKS}
        write_sample(arguments.folder, counts, arguments.width, arguments.seed)
    except (ValueError, ImportError, OSError) as error:
        print(f"im2gps: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"Wrote {sum(counts.values())} synthetic photos in {len(counts)} packs to "
          f"{arguments.folder}")  # fmt: skip
    return 0
