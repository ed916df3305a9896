"""Write complete files into a folder, and none outside of it, even through links."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from geoload.files import filename_in_errors

try:
    import fcntl
except ImportError:  # not a POSIX system, refused below
    fcntl = None  # type: ignore[assignment]

UNFINISHED = ".part"
# Our own ending, so that files of other programs are not mistaken for unfinished ones.
_PART = ".extracted.part"


class OutputFolder:
    """Files below one folder, written under a temporary name and renamed when they are complete.

    Subfolders are opened by descriptor, one inside the other, and never through a link, so a link
    that somebody puts in the place of a subfolder cannot redirect a write. The folder itself may be
    a link; it is created if it does not exist. Not thread-safe.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if fcntl is None or os.open not in os.supports_dir_fd:
            raise OSError("This works on Linux, macOS and other POSIX systems only.")
        os.makedirs(folder, exist_ok=True)
        self.folder = os.path.realpath(folder)
        self._root = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self._last: tuple[str, int] | None = None

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close_last()
        os.close(self._root)

    def lock(self) -> None:
        """Lock the folder until it is closed; OSError if another process holds the lock."""
        try:
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"Another process is writing into {self.folder}. Wait for it, or use another "
                "folder."
            ) from None
        except OSError:
            pass  # a file system without locks

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, or None if there is no regular file."""
        try:
            at, name = self._place(path)
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read(self, path: str, limit: int) -> bytes | None:
        """Return up to `limit` bytes of a file, or None if there is no regular file."""
        if self.size(path) is None:
            return None
        at, name = self._place(path)
        with open(name, "rb", opener=_opener(at, os.O_RDONLY | os.O_NOFOLLOW)) as file:
            return file.read(limit)

    def names(self, folder: str) -> list[str]:
        """Return the names in a subfolder, sorted; empty if it does not exist."""
        try:
            return sorted(os.listdir(self._open(folder)))
        except FileNotFoundError:
            return []

    def write(self, path: str, data: bytes) -> None:
        """Write a file; see `create`."""
        with self.create(path) as file, filename_in_errors(os.path.join(self.folder, path)):
            file.write(data)

    @contextlib.contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for writing that replaces `path`, even a link, when the block succeeds.

        After an OSError (a full disk, a link in place of a subfolder) no part of the file is left.
        """
        at, name = self._place(path, make=True)
        full, part = os.path.join(self.folder, path), name + _PART
        at = os.dup(at)  # stays open while other folders are used
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=at)  # left by a run that was killed
            with filename_in_errors(full, part):
                file = open(part, "wb", opener=_opener(at, flags))  # noqa: SIM115
            try:
                yield file
                with filename_in_errors(full, part):
                    file.close()
                    os.replace(part, name, src_dir_fd=at, dst_dir_fd=at)
            finally:
                with contextlib.suppress(OSError):
                    file.close()
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=at)
            raise
        finally:
            os.close(at)

    def rename(self, path: str, new_path: str) -> None:
        """Rename a file; the new path may be in another subfolder."""
        at, name = self._place(path)
        at = os.dup(at)
        try:
            to, new_name = self._place(new_path, make=True)
            os.replace(name, new_name, src_dir_fd=at, dst_dir_fd=to)
        finally:
            os.close(at)

    def remove(self, path: str) -> None:
        """Delete a file if it exists."""
        with contextlib.suppress(FileNotFoundError):
            at, name = self._place(path)
            os.unlink(name, dir_fd=at)

    def _place(self, path: str, make: bool = False) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._open(folder, make), name

    def _open(self, folder: str, make: bool = False) -> int:
        """Return the descriptor of a subfolder, open until another one is opened."""
        if not folder:
            return self._root
        if self._last is not None and self._last[0] == folder:
            return self._last[1]
        self._close_last()
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
            raise ValueError(f"{path!r} is not a path of a folder")
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=at)
        try:
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise OSError(
                f"{os.path.join(self.folder, path)} is a link or not a folder, and nothing is "
                "written through links. Replace it with a folder, or use another disk."
            ) from None

    def _close_last(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


def _opener(at: int, flags: int) -> Any:
    return lambda name, _: os.open(name, flags, 0o666, dir_fd=at)
