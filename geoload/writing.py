"""Files that are written beside their place and renamed, so that half of one is never seen."""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing is swept
    fcntl = None  # type: ignore[assignment]
_MOMENT = 60  # seconds


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
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with naming(path, part), contextlib.ExitStack() as until_renamed:
            with open(part, mode.replace("w", "x"), **options) as file:
                if fcntl is not None:
                    until_renamed.callback(os.close, _lock(file))
                yield file
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _lock(file: Any) -> int:
    """Mark a file as being written, for as long as the returned descriptor is open."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_SH)
    return os.dup(file.fileno())


def _sweep(path: Path) -> None:
    """Remove unfinished files of this name that nobody is writing."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    for name in filter(unfinished.fullmatch, os.listdir(path.parent) if fcntl else ()):
        left = path.with_name(name)
        with contextlib.suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(file.fileno())
            # One that was begun this moment may not be locked yet.
            if found.st_size or time.time() - found.st_mtime > _MOMENT:
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
