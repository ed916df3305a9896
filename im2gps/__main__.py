"""Runs the command: `python -m im2gps`."""

import sys

from im2gps.cli import main

sys.exit(main())
