"""`python -m gcd_metric`: the command line of cli.py, nothing else."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
