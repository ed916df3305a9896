"""Starts the page, in a Space or by hand: `python app.py`. What it shows is named by variables.

IM2GPS_REPO, JUSTZOOMIN_REPO: a data set repository on the Hub (`owner/name`, or
`owner/name@revision`) or a folder; without them the page shows miniatures, which it writes into
EXPLORER_FOLDER, or into a temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported


def main() -> int:
    """Serve the page until it is stopped; 2, with one line why, if it cannot start."""
    try:
        import catalogue
        import page
    except ModuleNotFoundError as error:
        print(
            f"explorer: the page needs {error.name}, which is not installed: pip install "
            "'.[space]' in a checkout, or pip install -r requirements.txt beside app.py in a "
            "folder that bundle.py wrote",
            file=sys.stderr,
        )
        return 2
    folder = os.environ.get("EXPLORER_FOLDER") or os.path.join(
        tempfile.gettempdir(), f"geolocation-explorer-{os.getuid()}"
    )
    try:
        found = catalogue.open_collections(os.environ, Path(folder))
    except (ValueError, OSError, ImportError) as error:
        print(f"explorer: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    page.serve(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
