"""Opening a file wherever it lies, and the signature by which a changed one is noticed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import aiohttp
import fsspec
import tenacity

# One request's worth: large enough that a pass makes few requests, small enough that the first
# sample of a remote shard comes after little more than this.
READ_AHEAD = 4 * 2**20


def is_remote(path: str) -> bool:
    """Tell an address (`hf://`, `https://`) from a path."""
    return "://" in path


def open_binary(path: str, token: str | bool | None = None) -> BinaryIO:
    """Open a local file unbuffered, or an address with reads in ranges, seekable either way.

    A dropped connection is taken up again where it broke. From a server that knows no ranges the
    file is fetched whole, into a temporary file.
    """
    if not is_remote(path):
        return open(path, "rb", buffering=0)
    if path.startswith("hf://"):
        # Retries by itself.
        return fsspec.open(path, "rb", block_size=READ_AHEAD, token=token).open()
    file = fsspec.open(path, "rb", block_size=READ_AHEAD).open()
    if getattr(file, "size", None) is None or type(file).__name__ == "HTTPStreamingFile":
        file.close()
        return _persistent(fsspec.open)(f"simplecache::{path}", "rb").open()
    file.read = _persistent(file.read)
    return file


# aiohttp's errors are no OSErrors; those that a second try can mend all derive from these.
_persistent = tenacity.retry(
    retry=tenacity.retry_if_exception_type((aiohttp.ClientError, asyncio.TimeoutError)),
    stop=tenacity.stop_after_attempt(6),
    wait=tenacity.wait_exponential(multiplier=0.5, max=30),
    reraise=True,
)


def signature(paths: Sequence[str | Path], base: str | Path) -> list[tuple[str, int, int, int]]:
    """Return name, size and times of files: what must change for cached rows to be made anew.

    The time of the last status change is in it as well as that of the last write, because a
    copy that keeps times (`cp -p`, `rsync -t`) would otherwise pass for the old file.
    """
    entries = []
    for path in paths:
        stat = os.stat(path)
        name = os.path.relpath(path, base)
        entries.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return sorted(entries)


def local_path(path: str | os.PathLike, option: str = "data_dir") -> str:
    """Return the absolute path that a user gave for an option, or raise with what to do.

    Raises
    ------
    FileNotFoundError
        When there is nothing at that path.
    ValueError
        When it is an address.
    """
    text = os.fspath(path)
    if is_remote(text):
        raise ValueError(
            f"{option}={text!r} is an address; {option} takes a local path. To load from the Hub, "
            "leave it out (another repository: repository='owner/name')."
        )
    absolute = os.path.abspath(os.path.expanduser(text))
    if not os.path.exists(absolute):
        raise FileNotFoundError(f"{option}={text!r}: there is nothing at {absolute}.")
    return absolute
