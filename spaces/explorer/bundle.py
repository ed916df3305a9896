"""Writes the folder that is uploaded as the Space: this one, and the packages that it uses.

    python spaces/explorer/bundle.py OUT
    hf upload --repo-type space OWNER/NAME OUT

The packages are on no index, and a Space installs its requirements before its own files are there:
so they go beside app.py as source, whence Python takes them first.
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
# of gcd_metric, which is a Space of its own
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "README.md", "app.py", "requirements.txt")


def bundle(folder: Path) -> None:
    """Write the folder.

    Parameters
    ----------
    folder : Path
        Must not be there, or be empty.

    Raises
    ------
    FileExistsError
        When something is there.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(_HERE, part, ignore=shutil.ignore_patterns("__pycache__", Path(__file__).name))
    for package in PACKAGES:
        shutil.copytree(_ROOT / package, part / package, ignore=_LEFT_OUT)
    shutil.copy(_ROOT / "LICENSE", part)
    os.replace(part, folder)


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to; must not be there yet")
    folder = parser.parse_args().folder
    try:
        bundle(folder)
    except OSError as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 2
    print(f"Wrote the Space to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
