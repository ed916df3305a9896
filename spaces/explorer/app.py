"""Starts the page, in a Space or with `python app.py`. Environment variables set what it shows.

IM2GPS_REPO, JUSTZOOMIN_REPO: a data set repository on the Hub (`owner/name`, or
`owner/name@revision`) or a folder. Without them the page shows miniatures, which it writes into
EXPLORER_FOLDER, or into a temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported


def main() -> int:
    """Serve the page until it is stopped; return 2, after one line why, if it cannot start."""
    try:
        import catalogue
        import page

        default = os.path.join(tempfile.gettempdir(), f"geolocation-explorer-{os.getuid()}")
        folder = os.environ.get("EXPLORER_FOLDER") or default
        page.serve(catalogue.open_collections(os.environ, Path(folder)))
        return 0
    except ModuleNotFoundError as error:
        line = (
            f"the page needs {error.name}, which is not installed: pip install '.[space]' in a "
            "checkout, or pip install -r requirements.txt in a folder that bundle.py wrote"
        )
    except (ValueError, OSError, ImportError) as error:
        line = " ".join(str(error).split())
    print(f"explorer: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
