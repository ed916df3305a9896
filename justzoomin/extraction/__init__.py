"""The layout that the authors' code reads: writing it from the TARs, and checking it."""
