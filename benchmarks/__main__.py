"""Every comparison in one process run: `make bench`."""

from importlib import import_module

# The lists first, and nothing imported before: the system counts a child's peak memory from what
# its parent held when it was started.
NAMES = ("lists", "streaming", "training", "tiles", "metric", "build")

print("Times are medians of several rounds, taken in turn; (lowest-highest).\n")
for name in NAMES:
    import_module(f"benchmarks.{name}").main()
    print()
