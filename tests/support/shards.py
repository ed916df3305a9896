"""WebDataset shards of tiny photos, each with a JSON before it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from PIL import Image as PillowImage


def jpeg(number: int = 0, **options) -> bytes:
    buffer = io.BytesIO()
    colour = (number % 256, number // 256, 99)
    PillowImage.new("RGB", (32, 24), colour).save(buffer, options.pop("kind", "JPEG"), **options)
    return buffer.getvalue()


def write_shard(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def pair(name: str, record, photo: bytes, suffix: str = "jpg") -> list[tuple[str, bytes]]:
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    return [(f"{name}.json", text), (f"{name}.{suffix}", photo)]
