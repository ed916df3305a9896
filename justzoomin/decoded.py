"""The rendered views, decoded once into a file that all workers map into their memory.

Every training sample shows four of the same few thousand views, and decoding those costs more than
decoding its photo; uncompressed they are two gigabytes, which the system keeps once for everybody.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import simplejpeg
from tqdm import tqdm

from geoload.indexed_tar import IndexedTar, place_of
from justzoomin.views import Prefix, name_of

_FOLDER = "decoded_views"


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
        self._archive = IndexedTar(path)
        self._cache_dir = cache_dir
        self._mapped: np.ndarray | None = None
        self._row: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None, "_row": {}}

    def array(self, prefix: Prefix) -> np.ndarray:
        """Return the view after some actions: uint8 RGB of shape (size, size, 3).

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
        name = f"{name_of(prefix)}.jpg"
        if name not in self._row:
            raise ValueError(
                f"{self._archive.path} holds no view {name_of(prefix)}: it was rendered for fewer "
                "actions, or is another file. Render it anew with `justzoomin render`."
            )
        return np.array(self._mapped[self._row[name]])

    def _open(self) -> None:
        names = [name for name in self._archive.index.names() if name.endswith(".jpg")]
        if not names:
            raise ValueError(f"{self._archive.path} holds no pictures. Render it anew.")
        place = self._place()
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{place}.lock"):
                if not place.exists():
                    self._decode(names, place)
        self._row = {name: row for row, name in enumerate(names)}
        self._mapped = np.load(place, mmap_mode="r", allow_pickle=False)

    def _place(self) -> Path:
        """Name the file by the shard's size and times: another shard has another file."""
        index = place_of(self._archive.path, self._cache_dir)
        stat = os.stat(self._archive.path)
        name = f"{index.stem}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}.npy"
        return index.parent.parent / _FOLDER / name

    def _decode(self, names: list[str], place: Path) -> None:
        first = self._picture(names[0])
        shape = (len(names), *first.shape)
        free = shutil.disk_usage(place.parent).free
        if int(np.prod(shape)) > free:
            raise OSError(
                f"The decoded views take {np.prod(shape) / 1e9:.1f} GB, but {place.parent} has "
                f"{free / 1e9:.1f} GB free. Give another folder with cache_dir=, or leave "
                "arrays=True out."
            )
        part = place.with_suffix(f".{os.getpid()}.part")
        try:
            pictures = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
            for row, name in enumerate(tqdm(names, "Decoding views", unit="view", delay=2)):
                picture = self._picture(name)
                if picture.shape != first.shape:
                    raise ValueError(
                        f"{self._archive.path}: {name} is {picture.shape[1]} x {picture.shape[0]} "
                        f"pixels, {names[0]} {first.shape[1]} x {first.shape[0]}. Render it anew."
                    )
                pictures[row] = picture
            pictures.flush()
            os.replace(part, place)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _picture(self, name: str) -> np.ndarray:
        data = self._archive.read(name) or b""
        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as error:
            raise ValueError(
                f"{self._archive.path}: {name} cannot be decoded ({error}). Render it anew."
            ) from error
