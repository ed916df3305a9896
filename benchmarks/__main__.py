"""Runs comparisons in one process: `make bench` all, `python -m benchmarks tiles metric` some."""

import os
import sys
import time
from importlib import import_module

from benchmarks.timing import print_summary

# The lists come first, with nothing imported before: the peak memory of a child process counts from
# what its parent used when it started the child.
NAMES = (
    "lists", "audit", "streaming", "training", "peers", "evaluate", "tiles", "metric", "places",
    "build", "starts", "intervals",
)  # fmt: skip

unknown = set(sys.argv[1:]) - set(NAMES)
if unknown:
    sys.exit(f"benchmarks: {', '.join(unknown)}: the parts are {', '.join(NAMES)}")


def spent() -> tuple[float, float]:
    """Return seconds, and CPU seconds of this process and of those that it started."""
    return time.perf_counter(), sum(os.times()[:4])


def since(begin: tuple[float, float]) -> str:
    """Say how much time has passed; CPU seconds depend less on what else runs on the machine."""
    seconds, cores = (now - then for now, then in zip(spent(), begin, strict=True))
    return f"{seconds:.0f} s, {cores:.0f} s of CPU"


print("Times are medians of several rounds, (lowest-highest); the candidates take turns.\n")
begin = spent()
for name in sys.argv[1:] or NAMES:
    part = spent()
    import_module(f"benchmarks.{name}").main()
    print(f"({name}: {since(part)})\n", flush=True)
print_summary()
print(f"Everything: {since(begin)}")
