"""Files that are written beside their place and renamed, so that half of one is never seen."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing is swept
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def whole_file(path: str | Path, mode: str = "wb", **options: Any) -> Iterator[Any]:
    """Open a file for writing that gets its name when the block ends without an error.

    Until then it is called `.NAME.XXXXXXXX.part`, with eight hexadecimal digits, in the same
    folder. After an error nothing is left of it, and what was there under the name stays. What a
    process left that was killed is removed when the file is written again.

    Parameters
    ----------
    path : path
    mode : {"wb", "w"}
    **options
        As for `open`.

    Raises
    ------
    OSError
        When the file cannot be written; it names `path`.
    """
    path = Path(path)
    with naming(path, path.parent):
        _sweep(path)
    part, file = _begin(path, mode, options)
    try:
        with naming(path, part), contextlib.ExitStack() as until_renamed:
            if fcntl is not None:
                until_renamed.callback(os.close, os.dup(file.fileno()))  # keeps the lock
            with file:
                yield file
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _begin(path: Path, mode: str, options: dict[str, Any]) -> tuple[Path, Any]:
    """Create an unfinished file and lock it, for as long as this process has it open."""
    while True:
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        with naming(path, part):
            file = open(part, mode.replace("w", "x"), **options)  # noqa: SIM115
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()  # swept away by another process, before it was locked


def _sweep(path: Path) -> None:
    """Remove unfinished files of this name that nobody is writing."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    for name in filter(unfinished.fullmatch, os.listdir(path.parent) if fcntl else ()):
        left = path.with_name(name)
        with contextlib.suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


@contextlib.contextmanager
def naming(path: str | Path, instead_of: str | Path | None = None) -> Iterator[None]:
    """Name a file in errors of the system that name none: a write to a full disk, for example.

    Parameters
    ----------
    path : path
        What errors shall name.
    instead_of : path, optional
        What they may name and shall not.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(instead_of or "")):
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
