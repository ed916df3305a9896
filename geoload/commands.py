"""What the commands of both data sets say when something is wrong."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection

_ADVICE = {
    errno.ENOSPC: "the disk is full: make room, or write to another one",
    errno.EDQUOT: "your quota is used up: make room, or write elsewhere",
    errno.EFBIG: "the file would be larger than the system allows here",
    errno.EROFS: "nothing can be written there: name another folder",
}
_CALLS = re.compile(r"(load_dataset\([^)]*\))")


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

    parts = _CALLS.split(" ".join(said(error).split()))
    return "".join(p if _CALLS.fullmatch(p) else option.sub(typed, p) for p in parts)


def said(error: BaseException) -> str:
    """Return an error's text: of one of the system without its number, but with what to do."""
    if not isinstance(error, OSError) or error.errno is None or not error.strerror:
        return str(error)
    advice = _ADVICE.get(error.errno, error.strerror)
    return f"{error.filename}: {advice}" if error.filename else advice
