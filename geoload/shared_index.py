"""Indexes of TAR files that lie on the Hub: published beside them, or kept from an earlier pass.

The published form is the one that tools on the Hub know (hfutils): beside `x.tar` a file `x.json`
with the archive's size and, by name, the offset and size of each member's contents.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from geoload.hub import download_small
from geoload.tar_index import TarIndex, check_places

_MAX_FILE = 2**30


def published_name(archive: str) -> str:
    """Return the name of the index that is published beside a TAR file."""
    return archive.removesuffix(".tar") + ".json"


def publish(index: TarIndex, archive_size: int, path: str | Path) -> None:
    """Write an index in the form in which it is published."""
    files = {
        name: {"offset": int(offset), "size": int(size)}
        for name, offset, size in zip(index.names(), index.offsets, index.sizes, strict=True)
    }
    part = f"{path}.{os.getpid()}.part"
    text = json.dumps({"filesize": archive_size, "files": files}, ensure_ascii=True)
    Path(part).write_text(text, encoding="ascii")
    os.replace(part, path)


def read_published(path: str | Path, archive_size: int) -> TarIndex:
    """Read a published index; `archive_size` is the size in bytes of the TAR file beside it.

    Raises
    ------
    ValueError
        When it is none, or of another file.
    """
    try:
        if os.path.getsize(path) > _MAX_FILE:
            raise ValueError(f"it is larger than {_MAX_FILE:,} bytes")
        content = json.loads(Path(path).read_bytes())
        if content["filesize"] != archive_size:
            raise ValueError(f"it is of a TAR of {content['filesize']} bytes, not {archive_size:,}")
        return _index(content["files"], archive_size)
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        OverflowError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"{path} is no index of the TAR file beside it ({type(error).__name__}: {error}). "
            "Publish it anew with `justzoomin index`, or remove it there."
        ) from error


def published_index(
    repository: str, commit: str, archive: str, archive_size: int, token: Any = None
) -> TarIndex:
    """Download and read the index that is published beside a TAR file on the Hub."""
    path = download_small(repository, commit, published_name(archive), token)
    return read_published(path, archive_size)


def _index(files: dict[str, dict[str, int]], archive_size: int) -> TarIndex:
    found = []
    for name, place in files.items():
        offset, size = place["offset"], place["size"]
        if type(offset) is not int or type(size) is not int:
            raise ValueError(f"{name!r} has no whole numbers for its place")
        found.append((name.encode("utf-8", "surrogateescape"), offset, size))
    index = TarIndex(found)
    check_places(index.offsets, index.sizes, archive_size)
    return index
