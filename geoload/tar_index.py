"""Index of a TAR file: the names and places of its members, kept in the cache.

A pass over a TAR file saves how far it came, and the next one continues from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from geoload.files import atomic_write, file_lock, write_json
from geoload.messages import progress_bar
from geoload.tar import BLOCK, Member, members, read_member

SAVE_EVERY = 10.0  # seconds; what a killed process has to read again
_FORMAT = b"TAR index 4\n"  # changed whenever the same TAR file would give another index
_DIGEST_SIZE = 32
_KINDS = ("file", "dir", "link", "other")
_COLUMNS = 5  # for each member: offset, data, size, the end of its name, kind
_NUMBER = np.dtype("<i8")
_MAX_PUBLISHED = 2**30  # bytes
_log = logging.getLogger(__name__)


class TarIndex:
    """The members of a TAR file in file order; `index[number]` is a `Member`.

    With a `key`, JSON values that change when the content of the file does, the index starts with
    what is in the cache and is saved there. `complete` says whether all members are known.
    """

    def __init__(
        self,
        path: str,
        size: int,
        key: list[Any] | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        self.path, self.size = path, size
        self.complete = False
        self._numbers, self._names = array("q"), bytearray()
        self._by_name: array[int] | None = None
        self._key = key
        self._cache = None if key is None else index_path(path, cache_dir)
        self._load()
        self._saved = self.position

    def __len__(self) -> int:
        return len(self._numbers) // _COLUMNS

    def __getitem__(self, number: int) -> Member:
        start = number * _COLUMNS
        offset, data, size, _, kind = self._numbers[start : start + _COLUMNS]
        return Member(self.name(number), offset, data, size, _KINDS[kind])

    def __iter__(self) -> Iterator[Member]:
        return map(self.__getitem__, range(len(self)))

    @property
    def position(self) -> int:
        """The byte up to which the file is known."""
        if self.complete:
            return self.size
        return self._numbers[-4] + self._numbers[-3] if self._numbers else 0

    def name(self, number: int) -> str:
        """Return the name of a member."""
        return self._bytes(number).decode("utf-8", "surrogateescape")

    def files(self) -> list[int]:
        """Return the numbers of the regular files."""
        return [n for n, kind in enumerate(self._numbers[_COLUMNS - 1 :: _COLUMNS]) if kind == 0]

    def not_files(self) -> list[str]:
        """Return the names of the members that are neither files nor folders."""
        kinds = enumerate(self._numbers[_COLUMNS - 1 :: _COLUMNS])
        return [self.name(number) for number, kind in kinds if kind > 1]

    def find(self, name: str, last: bool = True) -> Member | None:
        """Return the regular file with a name, or None.

        If several files have the name, `last` selects the last, which extraction keeps.
        """
        wanted, order = bytearray(name, "utf-8", "surrogateescape"), self._sorted()
        bisect = bisect_right if last else bisect_left
        at = bisect(order, wanted, key=self._bytes) - last
        if not 0 <= at < len(order) or self._bytes(order[at]) != wanted:
            return None
        return self[order[at]]

    def read(
        self, file: BinaryIO, wanted: Callable[[str], bool] = lambda name: False
    ) -> Iterator[tuple[Member, bytes | None]]:
        """Yield members as `tar.members` does, with its errors; only unknown headers are read."""
        known, saved_at = len(self), time.monotonic()
        for number in range(known):
            member = self[number]
            read = member.kind == "file" and wanted(member.name)
            yield member, read_member(file, member, self.path) if read else None
        if self.complete:
            return
        # The last known member is parsed again, which gives the start of the next one.
        start = self[known - 1].offset if known else 0
        try:
            for member, data in members(file, wanted, start, label=self.path):
                if known and member.offset == start:
                    continue
                # Two passes in one process may add to the same index.
                if not self._numbers or member.offset > self._numbers[-_COLUMNS]:
                    self._add(member)
                if time.monotonic() - saved_at >= SAVE_EVERY:
                    self._save()
                    saved_at = time.monotonic()
                yield member, data
            self.complete = True
        finally:
            self._save()

    def scan(self, file: BinaryIO) -> None:
        """Read all headers that are not known yet; one of several processes reads them."""
        if self.complete:
            return
        with contextlib.ExitStack() as stack:
            if self._cache is not None:
                with contextlib.suppress(OSError):  # `_save` logs that the folder is read-only
                    stack.enter_context(file_lock(f"{self._cache}.lock"))
                self._load()  # another process may have finished it
            title = f"Indexing {os.path.basename(self.path)}"
            bar = stack.enter_context(progress_bar(title, self.size))
            for member, _ in self.read(file):
                bar.update(member.data + member.size - bar.n)

    def publish(self) -> str:
        """Write the index beside a local TAR file, as tools on the Hub read it; return its path.

        For `x.tar` that is `x.json` with the size and the digests of the TAR file and, by name, the
        offset and size of each file. Raises ValueError if names are repeated or
        members are not files, which it cannot describe.
        """
        found = [self[number] for number in self._sorted()]
        names = [member.name for member in found]
        repeated = [name for name, after in itertools.pairwise(names) if name == after]
        for problem, wrong in (
            ("repeated members", repeated),
            ("members other than files", self.not_files()),
        ):
            if wrong:
                raise ValueError(
                    f"{self.path}: {problem}: {len(wrong)} (first: {wrong[0]!r}); a "
                    "published index cannot describe them. Write the TAR file without them."
                )
        files = {member.name: {"offset": member.data, "size": member.size} for member in found}
        digests = _published_digests(self.path, self.size)
        content = {"filesize": self.size, **digests, "files": files}
        path = published_name(self.path)
        write_json(path, content, indent=None)
        return path

    @classmethod
    def from_published(cls, path: str | Path, archive: str, size: int, digest: str) -> TarIndex:
        """Read an index that `publish` or a tool of the Hub wrote, of a TAR file of this digest.

        The size alone is not enough: a TAR file that is written again often has the same size.
        Raises ValueError when `path` is not an index, or is the index of another TAR file.
        """
        try:
            if os.path.getsize(path) > _MAX_PUBLISHED:
                raise ValueError(f"it is larger than {_MAX_PUBLISHED:,} bytes")
            content = json.loads(Path(path).read_bytes())
            if content["filesize"] != size:
                raise ValueError(
                    f"it describes a TAR file of {content['filesize']!s:.20} bytes, not {size:,}"
                )
            if digest not in (content["hash"], content["hash_lfs"]):
                raise ValueError("it describes a TAR file with another digest")
            found = []
            for name, place in content["files"].items():
                data, length = place["offset"], place["size"]
                if type(data) is not int or type(length) is not int:
                    raise ValueError(f"offset and size of {name!r} are not whole numbers")
                found.append(Member(name, data - BLOCK, data, length, "file"))
            index = cls(archive, size)
            for member in sorted(found, key=lambda member: member.data):
                index._add(member)
            _check_places(np.array(index._numbers).reshape(-1, _COLUMNS), size)
        except _WRONG_JSON as error:
            reason = f"{type(error).__name__}: {str(error):.200}"
            raise ValueError(
                f"{path} is not an index of the TAR file beside it ({reason}). Publish a new "
                "index, or remove this one."
            ) from error
        index.complete = True
        return index

    def _add(self, member: Member) -> None:
        self._names += member.name.encode("utf-8", "surrogateescape")
        self._numbers.extend((*member[1:4], len(self._names), _KINDS.index(member.kind)))
        self._by_name = None

    def _bytes(self, number: int) -> bytearray:
        end = number * _COLUMNS + 3
        start = self._numbers[end - _COLUMNS] if number else 0
        return self._names[start : self._numbers[end]]

    def _sorted(self) -> array[int]:
        """Return the numbers of the regular files by name, those of one name in file order."""
        if self._by_name is None:
            self._by_name = array("q", sorted(self.files(), key=self._bytes))
        return self._by_name

    def _save(self) -> None:
        if self._cache is None or self._saved == self.position:
            return
        self._saved = self.position
        order = self._sorted() if self.complete else array("q")
        header = json.dumps([self._key, self.complete, len(self), len(order)]).encode()
        numbers = [np.array(part).astype(_NUMBER).tobytes() for part in (self._numbers, order)]
        body = b"".join([_FORMAT, header, b"\n", *numbers, self._names])
        try:
            os.makedirs(self._cache.parent, exist_ok=True)
            partial = not self.complete and self._cache.exists()
            if partial and self._cache.stat().st_size > len(body) + _DIGEST_SIZE:
                return  # another process has come further
            with atomic_write(self._cache) as file:
                file.write(_digest(body) + body)
        except OSError as error:
            _log.warning(
                "The index of %s cannot be saved in %s (%s), so it is rebuilt each time. Give "
                "another folder with cache_dir=.", self.path, self._cache.parent, error.strerror,
            )  # fmt: skip

    def _load(self) -> None:
        if self._cache is None:
            return
        try:
            self._parse(self._cache.read_bytes())
        except OSError:
            pass  # `_save` logs what is wrong with the folder
        except _WRONG_JSON as error:
            _log.warning(
                "The index of %s in the cache (%s) is damaged and is rebuilt: %s.",
                self.path, self._cache, error,
            )  # fmt: skip
            with contextlib.suppress(OSError):
                self._cache.unlink()

    def _parse(self, data: bytes) -> None:
        body = memoryview(data)[_DIGEST_SIZE:]
        if data[:_DIGEST_SIZE] != _digest(body):
            raise ValueError("its digest does not match")
        if body[: len(_FORMAT)] != _FORMAT:
            return  # of another version
        start = data.find(b"\n", _DIGEST_SIZE + len(_FORMAT)) + 1
        key, complete, count, sorted_count = json.loads(data[_DIGEST_SIZE + len(_FORMAT) : start])
        if key != self._key:
            return
        if not (0 <= count <= len(data) and 0 <= sorted_count <= count):
            raise ValueError("its header is wrong")
        numbers = np.frombuffer(data, _NUMBER, _COLUMNS * count + sorted_count, start)
        table, order = np.split(numbers.astype(np.int64), [_COLUMNS * count])
        names = data[start + numbers.nbytes :]
        rows = table.reshape(-1, _COLUMNS)
        ends, kinds = rows[:, 3], rows[:, 4]
        if (np.diff(ends, prepend=0) < 0).any() or len(names) != (ends[-1] if count else 0):
            raise ValueError("its names do not fit together")
        if not np.isin(kinds, range(len(_KINDS))).all():
            raise ValueError("it has members of unknown kinds")
        if complete and not np.array_equal(np.sort(order), np.flatnonzero(kinds == 0)):
            raise ValueError("its order of names is wrong")
        _check_places(rows, self.size)
        self._numbers, self._names = array("q", table.tobytes()), bytearray(names)
        self._by_name = array("q", order.tobytes()) if complete else None
        self.complete = complete is True


_WRONG_JSON = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def index_path(path: str, cache_dir: str | Path | None = None) -> Path:
    """Return the cache file for the index of a TAR file, from the file's path or address."""
    if cache_dir is None:
        # Importing datasets takes a second, which is not needed with a given folder.
        from datasets import config

        cache_dir = Path(config.HF_DATASETS_CACHE) / "tar_index"
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    return Path(cache_dir) / f"{os.path.basename(path)}-{digest}.index"


def published_name(archive: str) -> str:
    """Return the name of the index that is published beside a TAR file."""
    return archive.removesuffix(".tar") + ".json"


def _published_digests(archive: str, size: int) -> dict[str, str]:
    blob, content = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
    title = f"Reading {os.path.basename(archive)}"
    with open(archive, "rb") as file, progress_bar(title, size) as bar:
        while piece := file.read(2**20):
            blob.update(piece)
            content.update(piece)
            bar.update(len(piece))
    return {"hash": blob.hexdigest(), "hash_lfs": content.hexdigest()}


def _check_places(rows: np.ndarray, file_size: int) -> None:
    """Raise ValueError when members are not inside the file, one after the other."""
    offsets, data, sizes = rows[:, 0], rows[:, 1], rows[:, 2]
    if (sizes < 0).any() or (offsets < 0).any() or (data > file_size - sizes).any():
        raise ValueError("it points outside of the file")
    if (offsets >= data).any() or (offsets[1:] < data[:-1]).any():
        raise ValueError("its members overlap")


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest()
