"""A table of views: pictures of one size as one array in a file, which all processes map.

Decoding the four views of a sample takes longer than decoding its photo. Uncompressed, the 4,369
views of 384 pixels are two gigabytes, which the system keeps in memory once for all processes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geoload.files import atomic_write, file_lock
from geoload.messages import format_bytes, progress_bar
from geoload.processes import ahead
from geoload.tar_index import index_path


class TableFile(NamedTuple):
    """The file of a table: `stem` stands for the source, `state` for its present content."""

    folder: Path
    stem: str
    state: str
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, source: str, state: Any, shape: tuple[int, ...], cache_dir: str | Path | None
    ) -> TableFile:
        """Return the file for views of a source, whose `state` is plain data."""
        index = index_path(source, cache_dir)
        digest = hashlib.blake2b(json.dumps(state).encode(), digest_size=8).hexdigest()
        return cls(index.parent, index.stem, digest, shape)

    @property
    def path(self) -> Path:
        """Where the array is kept."""
        return self.folder / f"{self.stem}-{self.shape[1]}-{self.state}.npy"

    def load(self) -> np.ndarray | None:
        """Map the array, or return None if the file is missing or incomplete."""
        try:
            mapped: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return mapped if mapped.shape == self.shape and mapped.dtype == np.uint8 else None

    def make(self, draw: Callable[[Any], np.ndarray], keys: Sequence[Any]) -> np.ndarray:
        """Map the array; if there is none, write the pictures that `draw` returns for the keys.

        Raises OSError when there is no room for it on the disk.
        """
        table = self.load()
        if table is not None:
            return table
        try:
            # One process writes and the others wait.
            with file_lock(self.folder / f"{self.stem}.npy.lock"):
                table = self.load()
                if table is None:
                    self._remove_old()
                    self._write(draw, keys)
                    table = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise OSError(
                f"The table of views cannot be kept in {self.folder} ({error.strerror or error}). "
                "Give another folder with cache_dir=, or do without it (arrays=False)."
            ) from error
        return table

    def _remove_old(self) -> None:
        """Remove tables of earlier states of the source, and incomplete ones."""
        ours = re.compile(rf"\.?{re.escape(self.stem)}-\d+-(\w+)\.npy(\.[0-9a-f]{{8}}\.part)?")
        for old in self.folder.iterdir():
            match = ours.fullmatch(old.name)
            if match and (match[1] != self.state or match[2]):
                old.unlink()

    def _write(self, draw: Callable[[Any], np.ndarray], keys: Sequence[Any]) -> None:
        need, free = int(np.prod(self.shape)), shutil.disk_usage(self.folder).free
        if need > free:
            raise OSError(f"it takes {format_bytes(need)}, and {format_bytes(free)} are free")
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        bar = progress_bar("Table of views", len(keys), "view")
        # Written, not mapped: on a full disk, a process that writes to a mapped file is killed.
        with atomic_write(self.path) as array, bar:
            np.lib.format.write_array_header_1_0(array, header)
            for picture in ahead(draw, keys):
                array.write(picture.tobytes())
                bar.update()
