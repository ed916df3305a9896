"""One line for a disk that is full or read-only."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
CACHES = "Make room there, or name another folder: HF_HOME for all caches, cache_dir= for rows."


def is_full(error: OSError) -> bool:
    """Tell a full disk, a quota and a limit on files' sizes from other errors."""
    return error.errno in _FULL


def is_disk_error(error: BaseException) -> bool:
    """Tell a full disk, and one on which nothing may be written, from other errors."""
    return isinstance(error, OSError) and error.errno in _FULL | _CLOSED


@contextlib.contextmanager
def clear_errors(place: str | os.PathLike, advice: str) -> Iterator[None]:
    """Say in one line where a file cannot be written, why, and what to do.

    Parameters
    ----------
    place : path
        The file or folder that is written. Errors about files elsewhere are left as they are.
    advice : str
        What to do about it.

    Raises
    ------
    OSError
        Instead of the system's, where the disk is full or nothing may be written there.
    """
    try:
        yield
    except OSError as error:
        place = os.path.abspath(place)
        where = place if error.filename is None else os.path.abspath(os.fsdecode(error.filename))
        if not is_disk_error(error) or not (where.startswith(place) or place.startswith(where)):
            raise
        raise OSError(f"{where} cannot be written ({error.strerror}). {advice}") from error
