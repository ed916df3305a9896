"""Writes and changes TAR files, such as WebDataset shards of tiny photos."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image as PillowImage


def jpeg(number: int = 0, **options) -> bytes:
    buffer = io.BytesIO()
    colour = (number % 256, number // 256, 99)
    PillowImage.new("RGB", (32, 24), colour).save(buffer, options.pop("kind", "JPEG"), **options)
    return buffer.getvalue()


def write_shard(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.type == tarfile.REGTYPE:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def rewrite(path: Path, change: Callable[[list[tuple[str, bytes]]], Iterable]) -> None:
    """Let `change` edit the list of names and bytes of a TAR file."""
    with tarfile.open(path) as archive:
        entries = [(member.name, archive.extractfile(member).read()) for member in archive]
    write_shard(path, change(entries))


def pair(name: str, record, photo: bytes, suffix: str = "jpg") -> list[tuple[str, bytes]]:
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    return [(f"{name}.json", text), (f"{name}.{suffix}", photo)]
