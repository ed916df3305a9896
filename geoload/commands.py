"""Run a command: paths, errors in one line, exit statuses, and output that cannot be written."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gcd_metric.names import visible
from gcd_metric.terminal import refuse_empty, run_command
from geoload import __version__
from geoload.messages import one_line

Work = Callable[[dict[str, Any]], int | None]


def add_subcommand(
    commands: Any, name: str, function: Callable[..., Any], text: str
) -> argparse.ArgumentParser:
    """Add a subcommand that `run` calls `function` for; `text` is its help, without a full stop."""
    description = f"{text[0].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=description)
    parser.set_defaults(run=function)
    return parser


def call_command(options: dict[str, Any]) -> int | None:
    """Call the function of the chosen subcommand with its options."""
    del options["command"]
    status: int | None = options.pop("run")(**options)
    return status


def run(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, work: Work = call_command
) -> int:
    """Parse arguments, call `work` with the options as a dict, and return the exit status.

    The status is that of `work`, where None counts as 0; 2 for bad input, with one line on stderr
    that says why; 130 after Ctrl-C; 141 if the reader closed the output, as `head` does.
    """
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    return run_command(lambda: _status(parser, argv, work))


def _status(parser: argparse.ArgumentParser, argv: Sequence[str] | None, work: Work) -> int:
    options: dict[str, Any] = {}
    try:
        try:
            given = vars(parser.parse_args(argv))
            refuse_empty(given)
            options.update((name, _with_home(value)) for name, value in given.items())
            return work(options) or 0
        finally:
            sys.stdout.flush()  # an error at exit could not be caught
    except (ValueError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            raise
        print(f"{parser.prog}: {visible(one_line(error, options))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped", file=sys.stderr)
        return 130


def _with_home(value: Any) -> Any:
    """Expand `~` in a path or a list of paths; the shell does not in `--option=~/x`."""
    if isinstance(value, list):
        return list(map(_with_home, value))
    if isinstance(value, (str, Path)) and str(value).startswith("~/"):
        return type(value)(os.path.expanduser(value))
    return value


def _output_is_closed() -> bool:
    output = select.poll()
    for stream in (sys.stdout, sys.stderr):
        output.register(stream.fileno())
    return any(event & select.POLLERR for _, event in output.poll(0))
