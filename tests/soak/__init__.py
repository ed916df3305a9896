"""Faults while the commands write: `make soak`, or `python -m tests.soak --help`."""
