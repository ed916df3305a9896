"""Writes files atomically."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename it, so that `path` is always complete.

    A symbolic link is followed. A ValueError gives the reason if the file cannot be written; a
    previous file is then unchanged.
    """
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a full disk may be reported only here
        beside.replace(place)
    except OSError as error:
        raise ValueError(f"{path} was not written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
