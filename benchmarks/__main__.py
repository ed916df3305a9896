"""Runs comparisons in one process: `make bench` all, `python -m benchmarks tiles metric` some."""

import sys
import time
from importlib import import_module

# The lists come first, with nothing imported before: the peak memory of a child process counts from
# what its parent used when it started the child.
NAMES = (
    "lists", "audit", "streaming", "training", "peers", "evaluate", "tiles", "metric", "places",
    "build", "starts", "intervals",
)  # fmt: skip

unknown = set(sys.argv[1:]) - set(NAMES)
if unknown:
    sys.exit(f"benchmarks: {', '.join(unknown)}: the parts are {', '.join(NAMES)}")

print("Times are medians of several rounds, (lowest-highest); the candidates take turns.\n")
for name in sys.argv[1:] or NAMES:
    begin = time.perf_counter()
    import_module(f"benchmarks.{name}").main()
    print(f"({name}: {time.perf_counter() - begin:.0f} s)\n", flush=True)
