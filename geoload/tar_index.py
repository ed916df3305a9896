"""Where each member of a TAR file lies: the table, and its file in the cache.

Which file it belongs to, and reading members with it, is `indexed_tar.py`. An index in the cache
carries a digest of itself and a key of the file that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from geoload.tar import Member, members
from geoload.writing import whole_file

_FORMAT = b"TAR index 3\n"
_NUMBER = np.dtype("<i8")
_DIGEST_SIZE = 32


class TarIndex:
    """Names, offsets and sizes of a TAR file's regular members, sorted by name, then by offset.

    Parameters
    ----------
    found : iterable of (bytes, int, int)
        Of each regular member its name, the byte at which its contents start, and their length.
    not_files : sequence of str
        Names of the members that are neither files nor folders.
    """

    def __init__(
        self, found: Iterable[tuple[bytes, int, int]], not_files: Sequence[str] = ()
    ) -> None:
        entries = sorted(found)
        names = [name for name, _, _ in entries]
        places = np.array([entry[1:] for entry in entries], np.int64).reshape(-1, 2)
        ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._set(b"".join(names), ends, places[:, 0].copy(), places[:, 1].copy(), not_files)

    def _set(
        self, blob: bytes, ends: np.ndarray, offsets: np.ndarray, sizes: np.ndarray,
        not_files: Sequence[str],
    ) -> None:  # fmt: skip
        self._blob, self._ends = blob, ends
        self.offsets, self.sizes = offsets, sizes
        self.not_files = list(not_files)

    @classmethod
    def of(cls, found: Iterable[Member]) -> TarIndex:
        """Make the index of the members that a pass over a whole TAR file met."""
        files, others = [], []
        for member in found:
            if member.kind == "file":
                name = member.name.encode("utf-8", "surrogateescape")
                files.append((name, member.data, member.size))
            elif member.kind != "dir":
                others.append(member.name)
        return cls(files, others)

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

    def file_order(self) -> np.ndarray:
        """Return the places, in the order of names, in the order in which members lie."""
        return np.argsort(self.offsets, kind="stable")

    def repeated(self) -> list[str]:
        """Return the names that several members bear."""
        names = self.names()
        return sorted(
            {name for name, after in zip(names, names[1:], strict=False) if name == after}
        )

    def find(self, name: str, last: bool = True) -> tuple[int, int] | None:
        """Return offset and size in bytes of a member's contents, or None.

        Of several members of one name it is the last, as extraction would leave it, or the first.
        """
        wanted = name.encode("utf-8", "surrogateescape")
        if last:
            number = bisect_right(range(len(self)), wanted, key=self._bytes) - 1
        else:
            number = bisect_left(range(len(self)), wanted, key=self._bytes)
        if not 0 <= number < len(self) or self._bytes(number) != wanted:
            return None
        return int(self.offsets[number]), int(self.sizes[number])

    def _bytes(self, number: int) -> bytes:
        start = int(self._ends[number - 1]) if number else 0
        return self._blob[start : int(self._ends[number])]

    @classmethod
    def scan(cls, file: BinaryIO, label: str, size: int = 0) -> TarIndex:
        """Read every header of a TAR file.

        Raises
        ------
        ShardError
            Where the file is cut or damaged.
        """

        def seen() -> Iterable[Member]:
            title = f"Indexing {os.path.basename(label)}"
            with tqdm(total=size, desc=title, unit="B", unit_scale=True, delay=2) as bar:
                for member, _ in members(file, wanted=lambda name: False, label=label):
                    bar.update(member.data + member.size - bar.n)
                    yield member

        return cls.of(seen())

    def save(self, path: str | Path, key: list) -> None:
        """Write the index beside its place and rename it, so that half of one is never seen."""
        header = json.dumps([key, self.not_files, len(self)]).encode()
        columns = (self._ends, self.offsets, self.sizes)
        numbers = [column.astype(_NUMBER).tobytes() for column in columns]
        body = b"".join([_FORMAT, header, b"\n", *numbers, self._blob])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with whole_file(path) as file:
            file.write(_digest(body) + body)

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
        if not body.startswith(_FORMAT):
            return None
        header, _, rest = body[len(_FORMAT) :].partition(b"\n")
        try:
            its_key, not_files, count = json.loads(header)
            if its_key != key:
                return None
            numbers = np.frombuffer(rest, _NUMBER, 3 * count).astype(np.int64)
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"its header does not make sense ({error})") from None
        ends, offsets, sizes = numbers.reshape(3, count)
        blob = rest[numbers.nbytes :]
        _check(blob, ends, offsets, sizes, file_size)
        index = cls.__new__(cls)
        index._set(blob, ends, offsets, sizes, not_files)
        return index


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest()


def _check(
    blob: bytes, ends: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, file_size: int
) -> None:
    """An index with a fitting digest is still refused if it points outside of its file."""
    if len(ends) == 0:
        return
    if ends[-1] != len(blob) or ends[0] < 0 or (np.diff(ends) < 0).any():
        raise ValueError("its names do not fit together")
    check_places(offsets, sizes, file_size)


def check_places(offsets: np.ndarray, sizes: np.ndarray, file_size: int) -> None:
    """Raise ValueError where an index points outside of its file."""
    if not len(offsets):
        return
    if offsets.min() < 0 or sizes.min() < 0 or (offsets > file_size - sizes).any():
        raise ValueError("it points outside of the file")
