"""Runs a command whose output may be closed, or unable to encode what is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def run_command(work: Callable[[], int]) -> int:
    """Call a function that prints and return its status, or 141 if the reader closed the output.

    Characters that the terminal cannot encode are escaped, and output to closed streams is
    discarded.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return work()
    except BrokenPipeError:
        return 141
    finally:
        # Python writes what remains at exit; that would fail again.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def refuse_empty(options: Mapping[str, Any]) -> None:
    """Raise a ValueError if an argument is an empty text, as from a variable that is not set."""
    for name, value in options.items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and not text.strip() for text in texts):
            raise ValueError(f"the argument {name.replace('_', '-')} is empty")
