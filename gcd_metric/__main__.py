"""Runs the command line: `python -m gcd_metric`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
