"""Where each member of a TAR file lies, found once from the headers and kept in the cache.

`IndexedTar` reads members by name from the file where it lies; judging what they hold is the
caller's affair. An index never outlives its file: it carries the size and times of the file that
it was made from, and a digest of itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import threading
from bisect import bisect_right
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from geoload.shards import MAX_MEMBER, ShardError, members

_FORMAT = 1
_DIGEST_SIZE = 32
_log = logging.getLogger(__name__)
_pread = getattr(os, "pread", None)  # not on Windows


class TarIndex:
    """Names, offsets and sizes of a TAR file's regular members, sorted by name.

    Parameters
    ----------
    names : list of bytes
        Sorted, each once.
    offsets, sizes : array-like of int
        The byte at which a member's contents start, and their length.
    """

    def __init__(self, names: list[bytes], offsets: Any, sizes: Any) -> None:
        ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._set(b"".join(names), ends, np.asarray(offsets, np.int64), np.asarray(sizes, np.int64))

    def _set(self, blob: bytes, ends: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> None:
        self._blob, self._ends = blob, ends
        self.offsets, self.sizes = offsets, sizes

    def __len__(self) -> int:
        return len(self.offsets)

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def name(self, number: int) -> str:
        """Return the name of the member with that place in the order of names."""
        return self._bytes(number).decode("utf-8", "surrogateescape")

    def names(self) -> list[str]:
        """Return all names, sorted by their bytes."""
        return [self.name(number) for number in range(len(self))]

    def find(self, name: str) -> tuple[int, int] | None:
        """Return offset and size in bytes of a member's contents, or None."""
        wanted = name.encode("utf-8", "surrogateescape")
        number = bisect_right(range(len(self)), wanted, key=self._bytes) - 1
        if number < 0 or self._bytes(number) != wanted:
            return None
        return int(self.offsets[number]), int(self.sizes[number])

    def _bytes(self, number: int) -> bytes:
        start = int(self._ends[number - 1]) if number else 0
        return self._blob[start : int(self._ends[number])]

    @classmethod
    def scan(cls, file: BinaryIO, label: str, size: int = 0) -> TarIndex:
        """Read every header of a TAR file; of two members of one name the later counts.

        Raises
        ------
        ShardError
            Where the file is cut or damaged.
        """
        found: dict[bytes, tuple[int, int]] = {}
        title = f"Indexing {os.path.basename(label)}"
        with tqdm(total=size, desc=title, unit="B", unit_scale=True, delay=2) as bar:
            for member, _ in members(file, wanted=lambda name: False, label=label):
                bar.update(member.data + member.size - bar.n)
                if member.kind == "file":
                    name = member.name.encode("utf-8", "surrogateescape")
                    found[name] = (member.data, member.size)
        names = sorted(found)
        places = np.array([found[name] for name in names], dtype=np.int64).reshape(-1, 2)
        return cls(names, places[:, 0], places[:, 1])

    def save(self, path: str | Path, key: list) -> None:
        """Write the index beside its place and rename it, so that half of one is never seen."""
        buffer = io.BytesIO()
        header = json.dumps([_FORMAT, key]).encode()
        parts = (header, self._blob)
        arrays = [np.frombuffer(part, np.uint8) for part in parts]
        for array in (*arrays, self._ends, self.offsets, self.sizes):
            np.save(buffer, array, allow_pickle=False)
        body = buffer.getvalue()
        part = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(_digest(body) + body)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path, key: list, file_size: int) -> TarIndex | None:
        """Read an index back; None if it is of another file, or of another version of ours.

        Raises
        ------
        ValueError
            When the index file is damaged.
        FileNotFoundError
        """
        data = Path(path).read_bytes()
        body = data[_DIGEST_SIZE:]
        if data[:_DIGEST_SIZE] != _digest(body):
            raise ValueError("its digest does not fit")
        buffer = io.BytesIO(body)
        header = json.loads(np.load(buffer, allow_pickle=False).tobytes())
        if header != [_FORMAT, key]:
            return None
        blob = np.load(buffer, allow_pickle=False).tobytes()
        ends, offsets, sizes = (np.load(buffer, allow_pickle=False) for _ in range(3))
        _check(blob, ends, offsets, sizes, file_size)
        index = cls.__new__(cls)
        index._set(blob, ends, offsets, sizes)
        return index


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest()


def _check(
    blob: bytes, ends: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, file_size: int
) -> None:
    """An index with a fitting digest is still refused if it points outside of its file."""
    for array in (ends, offsets, sizes):
        if array.dtype != np.int64 or array.shape != ends.shape:
            raise ValueError("its columns do not fit together")
    if len(ends) == 0:
        return
    if ends[-1] != len(blob) or ends[0] < 0 or (np.diff(ends) < 0).any():
        raise ValueError("its names do not fit together")
    if offsets.min() < 0 or sizes.min() < 0 or (offsets > file_size - sizes).any():
        raise ValueError("it points outside of the file")


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
    place = _place(path, cache_dir)
    key = [path, *state]
    index = _kept(place, key, state[0])
    if index is not None:
        return index
    index = TarIndex.scan(file, path, state[0])
    if _state(os.fstat(file.fileno())) != state:
        raise ShardError(f"{path} changed while its headers were read. Try again when it is done.")
    try:
        index.save(place, key)
    except OSError as error:
        _log.warning(
            "The index of %s cannot be kept in %s (%s): it will be made anew each time. Give "
            "another folder with cache_dir=.", path, place.parent, error.strerror,
        )  # fmt: skip
    return index


def _kept(place: Path, key: list, file_size: int) -> TarIndex | None:
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


def _place(path: str, cache_dir: str | Path | None) -> Path:
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
        _, file, state, index = self._open()
        found = index.find(name)
        if found is None:
            return None
        offset, size = found
        if size > max_size:
            raise ShardError(
                f"{self.path}: {name} is {size:,} bytes, more than the {max_size:,} allowed."
            )
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
            return _pread(file.fileno(), size, offset)
        with self._lock:
            file.seek(offset)
            return file.read(size) or b""
