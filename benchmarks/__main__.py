"""Every comparison in one process run: `make bench`."""

from benchmarks import metric, streaming

print("Times are medians of several rounds, taken in turn; (lowest-highest).\n")
streaming.main()
print()
metric.main()
