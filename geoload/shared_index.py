"""Indexes of TAR files that lie on the Hub: published beside them, or kept from an earlier pass.

The published form is the one that tools on the Hub know (hfutils): beside `x.tar` a file `x.json`
with the archive's size and digests and, by name, the offset and size of each member's contents.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geoload.hub import download_small
from geoload.indexed_tar import index_of
from geoload.report import write_json
from geoload.tar_index import TarIndex, check_places

_MAX_FILE = 2**30


def published_name(archive: str) -> str:
    """Return the name of the index that is published beside a TAR file."""
    return archive.removesuffix(".tar") + ".json"


def write_index(archive: str | Path) -> tuple[str, int]:
    """Write the index of a TAR file beside it; return its path and how many members it has.

    Raises
    ------
    ValueError
        When members occur twice or are no files, of which the published form cannot tell.
    """
    index = index_of(archive)
    for kind, names in (("occur twice", index.repeated()), ("are no files", index.not_files)):
        if names:
            raise ValueError(
                f"{archive}: {len(names)} members {kind} ({names[0]!r}, …), which an index for "
                "the Hub cannot tell. Pack the shard without them."
            )
    files = {
        name: {"offset": int(offset), "size": int(size)}
        for name, offset, size in zip(index.names(), index.offsets, index.sizes, strict=True)
    }
    size = os.path.getsize(archive)
    content = {"filesize": size, **_digests(archive, size), "files": files}
    path = published_name(os.fspath(archive))
    write_json(path, content, indent=None)
    return path, len(index)


def _digests(archive: str | Path, size: int) -> dict[str, str]:
    blob, content = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
    title = f"Reading {os.path.basename(archive)}"
    with open(archive, "rb") as file, tqdm(total=size, desc=title, unit="B", unit_scale=True,
                                           delay=2) as bar:  # fmt: skip
        while piece := file.read(2**20):
            blob.update(piece)
            content.update(piece)
            bar.update(len(piece))
    return {"hash": blob.hexdigest(), "hash_lfs": content.hexdigest()}


def read_published(path: str | Path, archive_size: int, digest: str) -> TarIndex:
    """Read a published index.

    Parameters
    ----------
    path : path
    archive_size : int
        Size in bytes of the TAR file beside it.
    digest : str
        What the Hub gives as the digest of that file.

    Raises
    ------
    ValueError
        When it is none, or of another file: one packed anew has the same size often enough.
    """
    try:
        if os.path.getsize(path) > _MAX_FILE:
            raise ValueError(f"it is larger than {_MAX_FILE:,} bytes")
        content = json.loads(Path(path).read_bytes())
        if content["filesize"] != archive_size:
            raise ValueError(
                f"it is of a TAR of {content['filesize']!s:.20} bytes, not {archive_size:,}"
            )
        if digest not in (content["hash"], content["hash_lfs"]):
            raise ValueError("the TAR has another digest than the one that it is of")
        return _index(content["files"], archive_size)
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        OverflowError,
        AttributeError,
    ) as error:
        reason = f"{type(error).__name__}: {str(error):.200}"
        raise ValueError(
            f"{path} is no index of the TAR file beside it ({reason}). "
            "Publish it anew with `justzoomin index`, or remove it there."
        ) from error


def published_index(
    repository: str, commit: str, archive: str, size: int, digest: str, token: Any = None
) -> TarIndex:
    """Download and read the index that is published beside a TAR file on the Hub."""
    path = download_small(repository, commit, published_name(archive), token)
    return read_published(path, size, digest)


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
