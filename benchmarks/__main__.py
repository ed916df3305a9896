"""Every comparison in one process run: `make bench`."""

from benchmarks import build, lists, metric, streaming, tiles, training

print("Times are medians of several rounds, taken in turn; (lowest-highest).\n")
for module in (streaming, training, tiles, metric, lists, build):
    module.main()
    print()
