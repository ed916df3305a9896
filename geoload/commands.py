"""What the commands of both data sets have in common: paths, errors in one line, exit statuses."""

from __future__ import annotations

import argparse
import errno
import os
import re
import select
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from geoload import __version__
from geoload.hiding import hide

_ADVICE = {
    errno.ENOSPC: "the disk is full: make room, or write to another one",
    errno.EDQUOT: "your quota is used up: make room, or write elsewhere",
    errno.EFBIG: "the file would be larger than the system allows here",
    errno.EROFS: "nothing can be written there: name another folder",
}
_CALLS = re.compile(r"(load_dataset\([^)]*\))")


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


def one_line(error: BaseException, options: Collection[str]) -> str:
    """Say an error in one line, to somebody who typed a command.

    Parameters
    ----------
    error : Exception
        Its text names options as Python does, `data_dir=`.
    options : collection of str
        Those of the command, which are named as they are typed: `--data-dir`. What is to be typed
        into Python stays as it is.
    """
    option = re.compile(rf"\b({'|'.join(map(re.escape, options))})=(?:True\b)?(?=(.?))")

    def typed(match: re.Match[str]) -> str:
        space = " " if re.match(r"[\w'\"\[]", match[2]) else ""  # before a value
        return f"--{match[1].replace('_', '-')}{space}"

    parts = _CALLS.split(" ".join(without_token(said(error)).split()))
    return "".join(p if _CALLS.fullmatch(p) else option.sub(typed, p) for p in parts)


def without_token(text: str) -> str:
    """Return a text, which may be a server's, without the user's token for the Hub."""
    hub = sys.modules.get("huggingface_hub")
    if hub is None or not text:  # without it no token was sent
        return text
    return hide(text, hub.get_token()) or "The Hub's answer holds your token, and is not shown."


def said(error: BaseException) -> str:
    """Return an error's text: of one of the system without its number, but with what to do."""
    if not isinstance(error, OSError) or error.errno is None or not error.strerror:
        return str(error)
    advice = _ADVICE.get(error.errno, error.strerror)
    return f"{error.filename}: {advice}" if error.filename else advice
