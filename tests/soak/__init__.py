"""Tests commands with faults while they write: `make soak`, or `python -m tests.soak --help`."""
