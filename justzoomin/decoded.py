"""Decode all pictures of a TAR file once into an array file that all processes map into memory.

Decoding the four views of a sample takes longer than decoding its photo. Uncompressed, the views of
a shard are two gigabytes, which the system keeps in memory once for all workers.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import simplejpeg

from geoload.files import atomic_write, file_lock
from geoload.messages import format_bytes, progress_bar
from geoload.tar_index import index_path
from geoload.tar_reader import TarReader


def decoded_pictures(
    archive: TarReader, cache_dir: str | Path | None = None
) -> tuple[np.ndarray, dict[str, int]]:
    """Return the JPEG members of a TAR file as one array.

    Parameters
    ----------
    archive : TarReader
    cache_dir : path, optional
        Where the array file is kept; by default in the cache of `datasets`.

    Returns
    -------
    pictures : ndarray of uint8, shape (n, height, width, 3)
        Mapped from the file.
    rows : dict
        The row of each member, by its name.

    Raises
    ------
    ValueError
        When there are no pictures, one cannot be decoded, or they have several sizes.
    OSError
        When there is no room for the array on the disk.
    """
    files = (member.name for member in archive.index if member.kind == "file")
    names = sorted(name for name in files if name.endswith(".jpg"))
    if not names:
        raise ValueError(f"{archive.path} has no pictures. Render it again.")
    index = index_path(archive.path, cache_dir)
    # A changed shard has another array file.
    stat = os.stat(archive.path)
    file = index.with_name(f"{index.stem}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}.npy")
    pictures = _load(file, len(names))
    if pictures is None:
        try:
            # One process decodes and the others wait.
            with file_lock(file.with_name(f"{index.stem}.npy.lock")):
                pictures = _load(file, len(names))
                if pictures is None:
                    _remove_old_files(file.parent, index.stem)
                    _decode(archive, names, file)
                    pictures = np.load(file, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise OSError(
                f"The decoded views cannot be kept in {file.parent} ({error.strerror or error}). "
                "Give another folder with cache_dir=, or leave arrays=True out."
            ) from error
    return pictures, {name: row for row, name in enumerate(names)}


def _load(file: Path, count: int) -> np.ndarray | None:
    """Map the array, or return None if the file is missing or incomplete."""
    try:
        mapped: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return mapped if len(mapped) == count else None


def _remove_old_files(folder: Path, stem: str) -> None:
    """Remove the arrays of earlier states of the shard, and incomplete ones."""
    ours = re.compile(rf"\.?{re.escape(stem)}(-\d+){{3}}\.npy(\.[0-9a-f]{{8}}\.part)?")
    for old in folder.iterdir():
        if ours.fullmatch(old.name):
            old.unlink()


def _decode(archive: TarReader, names: list[str], file: Path) -> None:
    first = _picture(archive, names[0])
    need, free = len(names) * first.nbytes, shutil.disk_usage(file.parent).free
    if need > free:
        raise OSError(f"they take {format_bytes(need)}, and {format_bytes(free)} are free")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), *first.shape)}
    # Written, not mapped: on a full disk, a process that writes to a mapped file is killed.
    with atomic_write(file) as array:
        np.lib.format.write_array_header_1_0(array, header)
        for name in progress_bar("Decoding views", unit="view", items=names):
            picture = _picture(archive, name)
            if picture.shape != first.shape:
                raise ValueError(
                    f"{archive.path}: {name} has {picture.shape[1]} x {picture.shape[0]} pixels, "
                    f"{names[0]} {first.shape[1]} x {first.shape[0]}. Render it again."
                )
            array.write(picture.tobytes())


def _picture(archive: TarReader, name: str) -> np.ndarray:
    try:
        picture: np.ndarray = simplejpeg.decode_jpeg(archive.read(name) or b"", "RGB")
        return picture
    except ValueError as error:
        raise ValueError(
            f"{archive.path}: {name} cannot be decoded ({error}). Render it again."
        ) from error
