"""A local TAR file whose members are read by name, with an index that is kept in the cache.

Judging what members hold is the caller's affair. An index never outlives its file: its key is the
file's size and times.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from geoload.files import read_exactly
from geoload.tar import MAX_MEMBER, ShardError
from geoload.tar_index import TarIndex

_log = logging.getLogger(__name__)
_pread = getattr(os, "pread", None)  # not on Windows


def index_of(path: str | Path, cache_dir: str | Path | None = None) -> TarIndex:
    """Return the index of a local TAR file, from the cache or, once a file, from its headers.

    Parameters
    ----------
    path : path
        The TAR file.
    cache_dir : path, optional
        Where indexes are kept; by default a folder in the cache of `datasets`.

    Returns
    -------
    TarIndex

    Raises
    ------
    ShardError
        Where the TAR is cut or damaged.
    """
    path = os.path.abspath(path)
    with open(path, "rb", buffering=0) as file:
        state = _state(os.fstat(file.fileno()))
        return _index_of(file, path, state, cache_dir)


def _index_of(
    file: BinaryIO, path: str, state: tuple[int, int, int], cache_dir: str | Path | None
) -> TarIndex:
    def scan() -> TarIndex:
        index = TarIndex.scan(file, path, state[0])
        if _state(os.fstat(file.fileno())) != state:
            raise ShardError(
                f"{path} changed while its headers were read. Try again when it is done."
            )
        return index

    return kept_or_made(place_of(path, cache_dir), [path, *state], state[0], scan)


def kept_or_made(place: Path, key: list, file_size: int, make: Callable[[], TarIndex]) -> TarIndex:
    """Return the index that is kept at a place for a key, or make it and keep it there.

    Of several processes that want it at once, one makes it and the others wait.
    """
    before = _written(place)
    index = kept(place, key, file_size)
    if index is not None:
        return index
    with _sole_maker(place):
        if _written(place) != before:  # by another process in the meantime
            index = kept(place, key, file_size)
        if index is None:
            index = make()
            keep(index, place, key)
        return index


def _written(place: Path) -> int | None:
    try:
        return place.stat().st_mtime_ns
    except OSError:
        return None


@contextlib.contextmanager
def _sole_maker(place: Path) -> Iterator[None]:
    """Let one process in at a time."""
    lock = filelock.FileLock(f"{place}.lock")
    try:
        os.makedirs(place.parent, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # `keep` says that nothing can be kept there
        pass
    try:
        yield
    finally:
        lock.release()


def keep(index: TarIndex, place: Path, key: list) -> None:
    """Write an index to the cache, or say that this cannot be done."""
    try:
        index.save(place, key)
    except OSError as error:
        _log.warning(
            "The index of %s cannot be kept in %s (%s): it will be made anew each time. Give "
            "another folder with cache_dir=.", key[0], place.parent, error.strerror,
        )  # fmt: skip


def kept(place: Path, key: list, file_size: int) -> TarIndex | None:
    """Return the index in the cache, or None where there is none of this file as it is now."""
    try:
        return TarIndex.load(place, key, file_size)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        _log.warning(
            "The index of %s in the cache (%s) is damaged: %s. It is made anew.",
            key[0], place, error,
        )  # fmt: skip
        return None


def place_of(path: str, cache_dir: str | Path | None = None) -> Path:
    """Return where the index of a file, by its path or address, is kept."""
    if cache_dir is None:
        # Importing datasets costs a second that a caller with his own folder need not wait.
        from datasets import config

        cache_dir = Path(config.HF_DATASETS_CACHE) / "tar_index"
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    return Path(cache_dir) / f"{os.path.basename(path)}-{digest}.index"


def _state(stat: os.stat_result) -> tuple[int, int, int]:
    # With the time of the last status change, because `cp -p` and `rsync -t` keep the other.
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class IndexedTar:
    """A local TAR file whose members are read by name, in any order and from several threads.

    The file is opened when the first member is read, in each process anew: no handle crosses a
    fork or a pickle.

    Parameters
    ----------
    path : path
    cache_dir : path, optional
        As for `index_of`.
    """

    def __init__(self, path: str | Path, cache_dir: str | Path | None = None) -> None:
        self.path = os.path.abspath(path)
        self._cache_dir = cache_dir
        self._forget()

    def _forget(self) -> None:
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._opened: tuple[int, BinaryIO, tuple[int, int, int], TarIndex] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_cache_dir": self._cache_dir}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def index(self) -> TarIndex:
        """The index of the file as it was when this process opened it."""
        return self._open()[3]

    def read(self, name: str, max_size: int = MAX_MEMBER) -> bytes | None:
        """Return a member's bytes, or None if there is no member of that name.

        Raises
        ------
        ShardError
            When the file is no longer the one that was indexed, or the member is too large.
        """
        found = self._open()[3].find(name)
        return None if found is None else self.read_at(*found, name, max_size)

    def read_first(self, name: str, max_size: int = MAX_MEMBER) -> bytes | None:
        """Return the bytes of the first member of a name, as a pass over the file meets it."""
        found = self._open()[3].find(name, last=False)
        return None if found is None else self.read_at(*found, name, max_size)

    def read_at(self, offset: int, size: int, name: str, max_size: int = MAX_MEMBER) -> bytes:
        """Return the bytes of the member whose contents lie there; raises as `read`."""
        if size > max_size:
            raise ShardError(
                f"{self.path}: {name} is {size:,} bytes, more than the {max_size:,} allowed."
            )
        _, file, state, _ = self._open()
        if min(offset, size) < 0 or offset + size > state[0]:
            raise ShardError(f"{self.path} ends before {name} does. Get the file again.")
        # Before and after: bytes that were overwritten in between are noticed as well.
        self._check_unchanged(file, state)
        data = self._read_at(file, offset, size)
        self._check_unchanged(file, state)
        if len(data) < size:
            raise ShardError(f"{self.path} is cut inside {name}. Get the file again.")
        return data

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened[1].close()
                self._opened = None

    def __del__(self) -> None:
        opened = self.__dict__.get("_opened")
        if opened is not None:
            opened[1].close()

    def _open(self) -> tuple[int, BinaryIO, tuple[int, int, int], TarIndex]:
        opened = self._opened
        if opened is not None and opened[0] == os.getpid():
            return opened
        if self._pid != os.getpid():
            # A lock that another thread held at the fork stays locked in the child for ever.
            self._pid, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = self._open_anew(self._opened)
            return self._opened

    def _open_anew(self, inherited: tuple | None) -> tuple:
        file = open(self.path, "rb", buffering=0)  # noqa: SIM115 - kept open
        try:
            state = _state(os.fstat(file.fileno()))
            if inherited is not None:
                inherited[1].close()
                if inherited[2] == state:
                    return os.getpid(), file, state, inherited[3]
            return os.getpid(), file, state, _index_of(file, self.path, state, self._cache_dir)
        except BaseException:
            file.close()
            raise

    def _check_unchanged(self, file: BinaryIO, state: tuple[int, int, int]) -> None:
        # Not the time of the last status change: a rename over the open file or a new hard link
        # moves that, and the bytes that are open here stay what they were.
        if _state(os.fstat(file.fileno()))[:2] != state[:2]:
            raise ShardError(
                f"{self.path} was changed while it was in use, so its index points anywhere. "
                "Leave files in place while they are read, and open the folder again."
            )

    def _read_at(self, file: BinaryIO, offset: int, size: int) -> bytes:
        if _pread is not None:
            stop = offset + size
            return read_exactly(lambda rest: _pread(file.fileno(), rest, stop - rest), size)
        with self._lock:
            file.seek(offset)
            return read_exactly(file.read, size)


def shared_tar(path: str) -> IndexedTar:
    """Return an open TAR file that this process shares; another one when the file has changed."""
    state = _state(os.stat(path))
    with _sharing:
        known = _shared.pop(path, None)
        if known is None or known[0] != state:
            known = state, IndexedTar(path)
        _shared[path] = known
        if len(_shared) > _MAX_SHARED:
            del _shared[next(iter(_shared))]
        return known[1]


# In the order in which they were last asked for. An older state of a file is let go: its handle
# would keep the disk's space.
_shared: dict[str, tuple[tuple[int, int, int], IndexedTar]] = {}
_sharing = threading.Lock()
_MAX_SHARED = 64
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_sharing.acquire, after_in_parent=_sharing.release,
                        after_in_child=_sharing.release)  # fmt: skip
