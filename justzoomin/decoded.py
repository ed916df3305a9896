"""The rendered views, decoded once into a file that all workers map into their memory.

Every training sample shows four of the same few thousand views, and decoding those costs more than
decoding its photo; uncompressed they are two gigabytes, which the system keeps once for everybody.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import simplejpeg
from tqdm import tqdm

from geoload.files import atomic_write
from geoload.tar_index import index_path
from geoload.tar_reader import TarReader
from justzoomin.views import Prefix, lacks, view_name


class DecodedViews:
    """Views of a shard that `render` wrote, as arrays.

    Picklable; the file is made by the first process that asks for a view.

    Parameters
    ----------
    path : str
        The shard.
    cache_dir : path, optional
        Where the decoded views are kept; by default in the cache of `datasets`.
    """

    def __init__(self, path: str, cache_dir: str | Path | None = None) -> None:
        self._archive = TarReader(path)
        self._cache_dir = cache_dir
        self._mapped: np.ndarray | None = None
        self._row: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None, "_row": {}}

    def arrays(self, prefixes: Sequence[Prefix]) -> np.ndarray:
        """Return the views after some actions: uint8 RGB of shape (n, size, size, 3).

        Ask for many at once: they come in one block of memory, and the system takes as long to
        give fresh memory out in many small ones as copying takes.

        Raises
        ------
        ValueError
            When the shard has no such view, or holds what is none.
        OSError
            When the disk has no room for the decoded views.
        """
        if self._mapped is None:
            self._open()
        assert self._mapped is not None
        return self._mapped[[self._row_of(prefix) for prefix in prefixes]]

    def _row_of(self, prefix: Prefix) -> int:
        name = f"{view_name(prefix)}.jpg"
        if name not in self._row:
            raise lacks(self._archive.path, prefix)
        return self._row[name]

    def _open(self) -> None:
        files = (member.name for member in self._archive.index if member.kind == "file")
        names = sorted(name for name in files if name.endswith(".jpg"))
        if not names:
            raise ValueError(f"{self._archive.path} holds no pictures. Render it anew.")
        place = self._place()
        mapped = _load(place, len(names))
        if mapped is None:
            mapped = self._make(names, place)
        self._row = {name: row for row, name in enumerate(names)}
        self._mapped = mapped

    def _place(self) -> Path:
        """Name the file by the shard's size and times: another shard has another file."""
        index = index_path(self._archive.path, self._cache_dir)
        stat = os.stat(self._archive.path)
        name = f"{index.stem}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}.npy"
        return index.with_name(name)

    def _make(self, names: list[str], place: Path) -> np.ndarray:
        stem = index_path(self._archive.path).stem
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            # One process decodes and the others wait; what an earlier one left half done, or made
            # of another state of the shard, goes.
            with filelock.FileLock(place.with_name(f"{stem}.npy.lock")):
                mapped = _load(place, len(names))
                if mapped is not None:
                    return mapped
                ours = re.compile(rf"\.?{re.escape(stem)}(-\d+){{3}}\.npy(\.[0-9a-f]{{8}}\.part)?")
                for old in place.parent.iterdir():
                    if ours.fullmatch(old.name):
                        old.unlink()
                self._decode(names, place)
        except OSError as error:
            raise OSError(
                f"The decoded views cannot be kept in {place.parent} ({error.strerror or error}). "
                "Give another folder with cache_dir=, or leave arrays=True out."
            ) from error
        mapped = _load(place, len(names))
        assert mapped is not None
        return mapped

    def _decode(self, names: list[str], place: Path) -> None:
        first = self._picture(names[0])
        need, free = len(names) * first.nbytes, shutil.disk_usage(place.parent).free
        if need > free:
            raise OSError(f"they take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), *first.shape)}
        # Written and not mapped: on a full disk a mapped file ends the process without a word.
        with atomic_write(place) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for name in tqdm(names, "Decoding views", unit="view", delay=2):
                picture = self._picture(name)
                if picture.shape != first.shape:
                    raise ValueError(
                        f"{self._archive.path}: {name} is {picture.shape[1]} x {picture.shape[0]} "
                        f"pixels, {names[0]} {first.shape[1]} x {first.shape[0]}. Render it anew."
                    )
                file.write(picture.tobytes())

    def _picture(self, name: str) -> np.ndarray:
        data = self._archive.read(name) or b""
        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as error:
            raise ValueError(
                f"{self._archive.path}: {name} cannot be decoded ({error}). Render it anew."
            ) from error


def _load(place: Path, count: int) -> np.ndarray | None:
    """Map the decoded views, or return None where they are not there, or not whole."""
    try:
        mapped = np.load(place, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return mapped if len(mapped) == count else None
