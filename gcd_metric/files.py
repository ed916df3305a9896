"""Writes files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file beside its place, then rename it, so that its name never holds a part of it.

    Parameters
    ----------
    path : path-like
        A file that is there is replaced; one that is a link is written where the link leads.
    content : bytes

    Raises
    ------
    ValueError
        If it cannot be written, with the reason; what was there before is still there.
    """
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some disks say only now that they are full
        beside.replace(place)
    except OSError as error:
        raise ValueError(f"{path} was not written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
