"""Reads the file of the world's regions; `geo_attributes.bundle` writes its own version of this."""

from pathlib import Path


def read_regions() -> bytes:
    """The content of regions.npz, which tools/make_regions.py makes."""
    return Path(__file__).with_name("regions.npz").read_bytes()
