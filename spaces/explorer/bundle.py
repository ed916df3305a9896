"""Writes the folder that is uploaded as the Space: this folder and the packages that it uses.

    python spaces/explorer/bundle.py OUT
    hf upload --repo-type space OWNER/NAME OUT

The packages are not on PyPI, and a Space installs its requirements before its own files are there.
So their source is copied beside app.py, where Python finds it first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

PACKAGES = ("geoload", "im2gps", "justzoomin", "gcd_metric")
_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
# gcd_metric is also a Space of its own, with these files.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "README.md", "app.py", "requirements.txt")


def bundle(folder: Path) -> None:
    """Write the folder; FileExistsError if it exists and is not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(_HERE, part, ignore=shutil.ignore_patterns("__pycache__", Path(__file__).name))
    for package in PACKAGES:
        shutil.copytree(_ROOT / package, part / package, ignore=_LEFT_OUT)
    shutil.copy(_ROOT / "LICENSE", part)
    os.replace(part, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the folder to upload as a Space.")
    parser.add_argument("folder", type=Path, help="where to write it; must not exist yet")
    target = parser.parse_args().folder
    try:
        bundle(target)
    except OSError as error:
        sys.exit(f"bundle: {error}")
    print(f"Wrote the Space to {target}")
