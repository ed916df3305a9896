"""Runs the command: `python -m justzoomin`."""

import sys

from justzoomin.cli import main

sys.exit(main())
