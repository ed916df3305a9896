"""Files that are written beside their place and renamed, so that half of one is never seen."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_file(path: str | Path, mode: str = "wb", **options: Any) -> Iterator[Any]:
    """Open a file for writing that gets its name when the block ends without an error.

    Until then it is called `.NAME.XXXXXXXX.part`, with eight hexadecimal digits, in the same
    folder. After an error nothing is left of it, and what was there under the name stays.

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
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with naming(path, part):
            with open(part, mode.replace("w", "x"), **options) as file:
                yield file
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


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
