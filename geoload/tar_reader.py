"""Read members of TAR files in any order: by name from local files, and in ranges over HTTP.

`tarmember:///data/x.tar!/photos/1.jpg` is the member `photos/1.jpg` of /data/x.tar for fsspec.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import fsspec

from geoload.files import is_remote, read_exactly
from geoload.remote import open_binary, with_retries
from geoload.tar import MAX_MEMBER, Member, ShardError, check_size
from geoload.tar_index import TarIndex

PROTOCOL = "tarmember"
_BETWEEN = "!/"
# Over a network, a request takes as long as a few hundred kilobytes.
_MAX_GAP = 256 * 2**10
_MAX_RANGE = 4 * 2**20
_MAX_SHARED = 64
_pread = getattr(os, "pread", None)  # not on Windows
_seeking = threading.Lock()

State = tuple[int, int, int]


class _Opened(NamedTuple):
    file: BinaryIO
    state: State
    tar_index: TarIndex


class TarReader:
    """A local TAR file whose members are read by name, in any order and from several threads.

    The file is opened, and indexed if `cache_dir` (by default in the cache of `datasets`) has no
    index of it, when it is first used. Readers can be pickled.
    """

    def __init__(self, path: str | Path, cache_dir: str | Path | None = None) -> None:
        self.path = os.path.abspath(path)
        self._cache_dir = cache_dir

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_cache_dir": self._cache_dir}

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading opens it again."""
        opened = self.__dict__.pop("_opened", None)
        if opened is not None:
            opened.file.close()

    @property
    def index(self) -> TarIndex:
        """The index of the file as it was opened; ShardError when the file is damaged."""
        return self._open().tar_index

    def read(self, name: str, max_size: int = MAX_MEMBER, last: bool = True) -> bytes | None:
        """Return the bytes of a member, the last or the first of its name; None without one.

        Raises ShardError when the file has changed since it was opened, or the member is too large.
        """
        found = self.index.find(name, last)
        return None if found is None else self.read_at(found.data, found.size, name, max_size)

    def read_at(self, offset: int, size: int, name: str, max_size: int = MAX_MEMBER) -> bytes:
        """Return `size` bytes at an offset, which belong to the member `name`; raises as `read`."""
        check_size(self.path, name, size, max_size)
        file, state, _ = self._open()
        if min(offset, size) < 0 or offset + size > state[0]:
            raise ShardError(f"{self.path} ends before {name} does. Get the file again.")
        data = _read_at(file, offset, size)
        # Checked afterwards, to notice also bytes that were overwritten while they were read.
        self._check_unchanged(file, state)
        if len(data) < size:
            raise ShardError(f"{self.path} is cut inside {name}. Get the file again.")
        return data

    def _open(self) -> _Opened:
        opened: _Opened | None = self.__dict__.get("_opened")
        if opened is not None:
            return opened
        with contextlib.ExitStack() as on_error:
            file = on_error.enter_context(open(self.path, "rb", buffering=0))
            state = _state(os.fstat(file.fileno()))
            index = TarIndex(self.path, state[0], [self.path, *state], self._cache_dir)
            index.scan(file)
            if _state(os.fstat(file.fileno())) != state:
                raise ShardError(
                    f"{self.path} changed while it was indexed. Try again when it is complete."
                )
            # If several threads open it, the first file is kept.
            opened = self.__dict__.setdefault("_opened", _Opened(file, state, index))
            if opened.file is file:
                on_error.pop_all()
        return opened

    def _check_unchanged(self, file: BinaryIO, state: State) -> None:
        # The time of the last status change is ignored: a rename over the open file, or a new hard
        # link, changes it, but not the bytes that are open here.
        if _state(os.fstat(file.fileno()))[:2] != state[:2]:
            raise ShardError(
                f"{self.path} was changed while it was in use, so its index is no longer right. "
                "Do not change files while they are read, and load the data set again."
            )


def _state(stat: os.stat_result) -> State:
    # With the time of the last status change, because `cp -p` and `rsync -t` keep the mtime.
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    if _pread is not None:
        stop = offset + size
        return read_exactly(lambda rest: _pread(file.fileno(), rest, stop - rest), size)
    with _seeking:
        file.seek(offset)
        return read_exactly(file.read, size)


def shared_reader(path: str) -> TarReader:
    """Return the reader of a TAR file that this process shares; a new one if the file changed."""
    state = _state(os.stat(path))
    with _sharing:
        known = _shared.pop(path, None)
        if known is None or known[0] != state:
            known = state, TarReader(path)
        _shared[path] = known
        if len(_shared) > _MAX_SHARED:
            del _shared[next(iter(_shared))]
        return known[1]


# Least recently used first. The reader of a replaced file is dropped, since its open handle would
# keep the old file on disk.
_shared: dict[str, tuple[State, TarReader]] = {}
_sharing = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_sharing.acquire, after_in_parent=_sharing.release,
                        after_in_child=_sharing.release)  # fmt: skip


def read_members(
    path: str, wanted: Sequence[Member], token: str | bool | None = None
) -> Iterator[bytes]:
    """Yield the bytes of members, given in file order; over a network, close ones with one request.

    Raises ShardError when the file ends before a member does, or a member is too large.
    """
    if not is_remote(path):
        reader = shared_reader(path)
        for member in wanted:
            yield reader.read_at(member.data, member.size, member.name)
        return
    for member in wanted:
        check_size(path, member.name, member.size)
    with open_binary(path, token, read_ahead=False) as file:
        for group in _ranges(wanted):
            start = group[0].data
            data = _read_range(file, start, max(m.data + m.size for m in group) - start)
            for member in group:
                stop = member.data + member.size - start
                if stop > len(data):
                    raise ShardError(
                        f"{path} is cut inside {member.name}, or its index belongs to another file."
                    )
                yield data[member.data - start : stop]


@with_retries
def _read_range(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return read_exactly(file.read, size)


def _ranges(wanted: Sequence[Member]) -> Iterator[list[Member]]:
    """Group members if reading the gaps between them is cheaper than another request."""
    group: list[Member] = []
    for member in wanted:
        if group:
            gap = member.data - group[-1].data - group[-1].size
            if gap > _MAX_GAP or member.data + member.size - group[0].data > _MAX_RANGE:
                yield group
                group = []
        group.append(member)
    if group:
        yield group


def member_address(archive: str, name: str) -> str:
    """Return the address of a member of a local TAR file; if several have the name, the first."""
    return f"{PROTOCOL}://{_quoted(os.path.abspath(archive))}{_BETWEEN}{_quoted(name)}"


def _quoted(path: str) -> str:
    """Quote what has a meaning for `datasets`, fsspec or this module: `::`, `*`, `!`, `./`."""
    parts = quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="/").split("/")
    return "/".join(part.replace(".", "%2E") if part in (".", "..") else part for part in parts)


class MemberFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Reads single members of local TAR files by the index; fsspec's `tar` reads every header."""

    protocol = PROTOCOL

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        # `datasets` shortens `///` to `//`, so the path may lack its first slash.
        plain = path.removeprefix(f"{PROTOCOL}://")
        return plain if os.path.isabs(plain) else f"/{plain}"

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        """Return the bytes of a member.

        Raises FileNotFoundError if archive or member is gone, ShardError if the archive is damaged.
        """
        quoted = self._strip_protocol(path).partition(_BETWEEN)
        parts = [unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in quoted]
        archive, found, name = parts
        if not found:
            raise FileNotFoundError(
                f"{path} does not name a member, as {PROTOCOL}:///x.tar!/member does."
            )
        if not os.path.exists(archive):
            raise FileNotFoundError(
                f"{archive} with {name} does not exist any more. Put it back, or load the data "
                "set again from its new place."
            )
        data = shared_reader(archive).read(name, last=False)
        if data is None:
            raise FileNotFoundError(
                f"{archive} does not contain {name} any more. Load the data set again."
            )
        return data[start:end]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, size and type of a member."""
        return {"name": path, "size": len(self.cat_file(path)), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        if mode not in ("rb", "r"):
            raise ValueError(f"{path}: members of a TAR file are read only, not {mode!r}.")
        return io.BytesIO(self.cat_file(path))


# Processes that never import this module, such as spawned workers, find it through the entry point.
fsspec.register_implementation(PROTOCOL, MemberFileSystem, clobber=True)
