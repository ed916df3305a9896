"""What the commands of both data sets have in common: paths, errors in one line, exit statuses."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from geoload import __version__
from geoload.messages import one_line


def run(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    work: Callable[[dict[str, Any]], int | None],
) -> int:
    """Parse arguments, do what they ask for, and return the command's exit status.

    Parameters
    ----------
    parser : ArgumentParser
        It gets `--version`.
    argv : sequence of str, optional
        By default the arguments of the process. In paths `~` is the home folder.
    work : callable
        Given the options as a dict, returns the exit status, or None for 0.

    Returns
    -------
    int
        That of `work`; 2 for bad input, with one line on stderr that says why; 130 when stopped by
        the keyboard; 141 when whoever reads the output has left, as `head` does.
    """
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    try:
        return _status(parser, argv, work)
    except BrokenPipeError:  # nobody reads on, so there is nobody to tell
        return 141
    finally:
        _drop_output()


def _status(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    work: Callable[[dict[str, Any]], int | None],
) -> int:
    options: dict[str, Any] = {}
    try:
        try:
            given = vars(parser.parse_args(argv))
            options.update((name, _with_home(value)) for name, value in given.items())
            return work(options) or 0
        finally:
            sys.stdout.flush()  # here, since nobody could catch what is raised at the exit
    except (ValueError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            raise
        print(f"{parser.prog}: {one_line(error, options)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped", file=sys.stderr)
        return 130


def _drop_output() -> None:
    """Drop what cannot be written, which would fail again at the exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _with_home(value: Any) -> Any:
    """A path, or several, with the home folder in place of `~`, which `--option=~/x` keeps."""
    if isinstance(value, list):
        return list(map(_with_home, value))
    if isinstance(value, (str, Path)) and str(value).startswith("~/"):
        return type(value)(os.path.expanduser(value))
    return value


def _reader_left() -> bool:
    """Whether the pipe that broke is one to which this process prints."""
    output = select.poll()
    for stream in (sys.stdout, sys.stderr):
        output.register(stream.fileno())
    return any(event & select.POLLERR for _, event in output.poll(0))
