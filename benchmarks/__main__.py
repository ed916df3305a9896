"""Every comparison in one process run: `make bench`."""

from benchmarks import lists, metric, streaming, tiles, training

print("Times are medians of several rounds, taken in turn; (lowest-highest).\n")
for module in (streaming, training, tiles, metric, lists):
    module.main()
    print()
