"""`im2gps lists` on generated Flickr lists: records a second and peak memory.

python -m benchmarks.lists          # a million records
python -m benchmarks.lists 1 2 4    # these millions; 4 of them are 1.3 GB of text
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import QUICK, verdict
from im2gps.lists.sample import write_lists

MILLION = 1_000_000
TARGET = 150_000  # records a second a core
TRAINING = 6_472_304  # records of Im2GPS


class Usage(NamedTuple):
    """Seconds, seconds of all cores together, and bytes at most, of one process."""

    wall: float
    cores: float
    memory: int


def main(millions: Sequence[float] = (0.2,) if QUICK else (1,)) -> None:
    """Print the figures for each size, without the time that the command takes to start."""
    print("im2gps lists: text lists to a Parquet table (all cores)")
    with tempfile.TemporaryDirectory() as folder:
        start = min(table(Path(folder), 44) for _ in range(3))
        for million in millions:
            print_row(table(Path(folder), int(million * MILLION)), start, million)


def table(folder: Path, records: int) -> Usage:
    """Generate lists and time the command on them, in a process of its own."""
    write_lists(folder / "lists", records)
    command = [sys.executable, "-m", "im2gps", "lists", str(folder / "lists"),
               "-o", str(folder / "photos.parquet")]  # fmt: skip
    return run_measured(command)[0]


def run_measured(command: list[str]) -> tuple[Usage, bytes]:
    """Run a command; return what it used and what it printed."""
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command[1:4])} failed")
        seconds = time.perf_counter() - begin
        output.seek(0)
        # Linux counts in KiB.
        used = Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        return used, output.read()


def print_row(usage: Usage, start: Usage, million: float) -> None:
    records = million * MILLION
    wall, cores = usage.wall - start.wall, usage.cores - start.cores
    print(f"  {million:g} million records: {usage.wall:.1f} s, {records / wall:,.0f} a second")
    print(
        f"    peak memory {usage.memory / 2**20:,.0f} MiB, {start.memory / 2**20:,.0f} of them "
        f"before it reads; {TRAINING:,} records: {start.wall + TRAINING / records * wall:.0f} s"
    )
    rate = records / cores
    verdict(
        f"im2gps lists: {rate:,.0f} records a second a core", f"at least {TARGET:,}", rate >= TARGET
    )


if __name__ == "__main__":
    main(*filter(None, [[float(text) for text in sys.argv[1:]]]))
