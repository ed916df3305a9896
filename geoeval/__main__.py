"""Runs the command: `python -m geoeval`."""

import sys

from geoeval.cli import main

sys.exit(main())
