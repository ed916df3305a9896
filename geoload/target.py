"""A folder that files are extracted into: each whole or not there, and none outside of it.

What may be written where is the caller's affair; that it lands below the folder is decided here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any

try:
    import fcntl
except ImportError:  # not a POSIX system, and refused below
    fcntl = None  # type: ignore[assignment]

UNFINISHED = ".part"
# Of the files here, so that those of other programs are not taken for one.
_PART = ".extracted.part"


class Target:
    """Files below one folder, written beside their place and renamed when they are whole.

    A file under its final name is therefore whole, whenever the process or the machine stopped:
    its presence and its size are all that a second run needs to know.

    Folders are opened one in another and never through a link, so that a link that somebody put
    below the folder leads nothing out of it. The folder itself may be one.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Notes
    -----
    One thread each: it keeps the folder open that was used last.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        if fcntl is None or os.open not in os.supports_dir_fd:
            raise OSError("Files are extracted on Linux, macOS and other POSIX systems only.")
        os.makedirs(folder, exist_ok=True)
        self.folder = os.path.realpath(folder)
        self._root = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self._last: tuple[str, int] | None = None

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *exc: object) -> None:
        self._forget()
        os.close(self._root)

    def lock(self) -> None:
        """Keep others from extracting into the folder until this process ends or closes it.

        Raises
        ------
        OSError
            When another process does.
        """
        try:
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"Another process is extracting into {self.folder}. Wait for it, or take another "
                "folder."
            ) from None
        except OSError:
            pass  # a file system without locks

    def size(self, path: str) -> int | None:
        """Return the size in bytes of a file, or None where there is no regular file."""
        folder, _, name = path.rpartition("/")
        try:
            found = os.stat(name, dir_fd=self._open(folder, make=False), follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read(self, path: str, limit: int) -> bytes | None:
        """Return up to `limit` bytes of a file, or None where there is no regular file."""
        if self.size(path) is None:
            return None
        folder, _, name = path.rpartition("/")
        at = self._open(folder, make=False)
        with open(name, "rb", opener=_opener(at, os.O_RDONLY | os.O_NOFOLLOW)) as file:
            return file.read(limit)

    def write(self, path: str, data: bytes) -> None:
        """Write a file; what is there under its name, even a link, gives way to it.

        Raises
        ------
        OSError
            When the disk is full, or a link or a file stands where a folder should be. Then
            nothing of the file is left.
        """
        folder, _, name = path.rpartition("/")
        at = self._open(folder, make=True)
        part = name + _PART
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=at)  # of a run that was killed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with open(part, "wb", buffering=0, opener=_opener(at, flags)) as file:
                _write_all(file, data)
            os.replace(part, name, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=at)
            raise

    def _open(self, folder: str, make: bool) -> int:
        """Return the descriptor of a folder below the root, which stays open until the next."""
        if not folder:
            return self._root
        if self._last is not None and self._last[0] == folder:
            return self._last[1]
        self._forget()
        at = self._root
        names = folder.split("/")
        for depth, name in enumerate(names, 1):
            try:
                below = self._step(at, name, "/".join(names[:depth]), make)
            finally:
                if at != self._root:
                    os.close(at)
            at = below
        self._last = folder, at
        return at

    def _step(self, at: int, name: str, path: str, make: bool) -> int:
        if name in ("", ".", ".."):
            raise ValueError(f"{path!r} is no path of a folder")
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=at)
        try:
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise OSError(
                f"{os.path.join(self.folder, path)} is a link or no folder, and nothing is "
                "written through links. Put a folder in its place, or extract to another disk."
            ) from None

    def _forget(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


def _opener(at: int, flags: int) -> Any:
    return lambda name, _: os.open(name, flags, 0o666, dir_fd=at)


def _write_all(file: Any, data: bytes) -> None:
    """A raw file may take less than it is given, just before the disk is full."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
