"""Runs every comparison in one process: `make bench`."""

from importlib import import_module

# The lists come first, with nothing imported before: the peak memory of a child process counts from
# what its parent used when it started the child.
NAMES = (
    "lists", "audit", "streaming", "training", "evaluate", "tiles", "metric", "places", "build",
    "intervals",
)  # fmt: skip

print("Times are medians of several rounds, (lowest-highest); the candidates take turns.\n")
for name in NAMES:
    import_module(f"benchmarks.{name}").main()
    print()
