"""Runs a model over a benchmark and scores its answers."""
