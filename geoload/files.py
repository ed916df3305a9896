"""Local files: find and sign them, write them atomically, lock them, and explain a full disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

try:
    import fcntl
except ImportError:  # not a POSIX system: unfinished files are not removed
    fcntl = None  # type: ignore[assignment]

CACHE_ADVICE = (
    "Free some space there, or name another folder: HF_HOME for all caches, cache_dir= for rows."
)
_log = logging.getLogger(__name__)

# Metadata files of macOS, thumbnails of Windows and Synology disks, and PAX headers that a program
# unpacked as files.
_CLUTTER = re.compile(
    r"(?:^|/)(?:\._|\.DS_Store$|(?:eh)?[Tt]humbs\.db$|[Dd]esktop\.ini$"
    r"|(?:__MACOSX|\.AppleDouble|@eaDir|PaxHeaders?(?:\.[0-9]+)?)(?:/|$))"
)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}


def is_remote(path: str) -> bool:
    """Return whether a path is an address (`hf://`, `https://`)."""
    return "://" in path


def read_exactly(read: Callable[[int], bytes | None], size: int) -> bytes:
    """Call `read` until it has returned `size` bytes, or the file ends.

    Pipes, FUSE and network disks may return fewer bytes than requested.
    """
    pieces, rest = [], size
    while rest > 0 and (data := read(rest) or b""):
        pieces.append(data)
        rest -= len(data)
    if rest < 0:  # from a server that does not support ranges
        raise OSError(f"{size - rest:,} bytes were received instead of {size:,}")
    return b"".join(pieces)


def is_clutter(name: str) -> bool:
    """Return whether an operating system added the file: `._x`, `__MACOSX/`, `Thumbs.db`."""
    # A regular expression for each member of a TAR file would take as long as its header.
    if "/." in name or name[:1] in ".@_P" or "/_" in name or "/@" in name or "/P" in name:
        return _CLUTTER.search(name) is not None
    return name.endswith((".db", ".ini")) and _CLUTTER.search(name) is not None


def files_below(folder: str | Path) -> list[Path]:
    """List the files below a folder, sorted, without clutter. Links are followed, once each."""
    found: list[Path] = []
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        place = os.path.realpath(where)
        if place in seen:  # a link, perhaps to a folder above itself
            folders.clear()
        else:
            found += [Path(where, name) for name in names if not is_clutter(name)]
        seen.add(place)
    return sorted(path for path in found if path.is_file())


def signature(paths: Sequence[str | Path], base: str | Path) -> list[tuple[str, int, int, int]]:
    """Return names, sizes and times of files, to detect changes.

    The time of the last status change is included: `cp -p` and `rsync -t` keep only the mtime.
    """
    entries = []
    start = os.path.join(base, "")
    for path in [os.fspath(path) for path in paths]:
        stat = os.stat(path)
        # relpath would take seconds for hundreds of thousands of files.
        name = path[len(start) :] if path.startswith(start) else os.path.relpath(path, base)
        entries.append((printable(name), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return sorted(entries)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a local file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def printable(name: str) -> str:
    """Return the name of a file as text that UTF-8 can encode."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def local_path(path: str | os.PathLike[str], option: str = "data_dir") -> str:
    """Return the absolute path that a user gave for an option.

    Raises FileNotFoundError when it does not exist, ValueError when it is an address.
    """
    text = os.fspath(path)
    if is_remote(text):
        raise ValueError(
            f"{option}={text!r} is an address; {option} takes a local path. To load from the Hub, "
            "leave it out."
        )
    absolute = os.path.abspath(os.path.expanduser(text))
    if not os.path.exists(absolute):
        raise FileNotFoundError(f"{option}={text!r}: there is nothing at {absolute}.")
    return absolute


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb", **options: Any) -> Iterator[Any]:
    """Open a file for writing that replaces `path` when the block ends without an error.

    Until then it is called `.NAME.XXXXXXXX.part` (hexadecimal digits), in the same folder. After an
    error it is deleted; if the process is killed, the next write deletes it. `options` are those of
    `open`. An OSError names `path`. A pipe or device, such as `/dev/stdout`, is written to.
    """
    path = Path(path)
    if path.exists() and (path.parent == Path("/dev") or not path.is_file()):
        with filename_in_errors(path), open(path, mode, **options) as file:
            yield file
        return
    with filename_in_errors(path, path.parent):
        _delete_unfinished(path)
    part, file = _create_unfinished(path, mode, options)
    try:
        with filename_in_errors(path, part), contextlib.ExitStack() as until_renamed:
            if fcntl is not None:
                until_renamed.callback(os.close, os.dup(file.fileno()))  # keeps the lock
            with file:
                yield file
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _create_unfinished(path: Path, mode: str, options: dict[str, Any]) -> tuple[Path, Any]:
    """Create an unfinished file, which is locked as long as this process has it open."""
    while True:
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        with filename_in_errors(path, part):
            file = open(part, mode.replace("w", "x"), **options)  # noqa: SIM115
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()  # deleted by another process before it was locked


def _delete_unfinished(path: Path) -> None:
    """Delete unfinished files of this name that no process is writing."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    for name in filter(unfinished.fullmatch, os.listdir(path.parent) if fcntl else ()):
        left = path.with_name(name)
        with contextlib.suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def check_outputs(outputs: Mapping[str, str | None], inputs: Iterable[str | Path]) -> None:
    """Raise ValueError or FileNotFoundError for outputs that cannot be right, before long work.

    `outputs` are paths by option. They must be in folders that exist, and differ from the files
    `inputs` and from each other.
    """
    taken = {os.path.realpath(path): f"{path} is read" for path in inputs}
    for option, output in outputs.items():
        if output is None or (Path(output).exists() and not Path(output).is_file()):
            continue
        path = Path(os.path.realpath(output))
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{option} {output}: there is no folder {path.parent}")
        if why := taken.get(str(path)):
            raise ValueError(f"{option} {output} would overwrite a file: {why}; give another path")
        taken[str(path)] = f"{option} is written there"


@contextlib.contextmanager
def filename_in_errors(path: str | Path, instead_of: str | Path | None = None) -> Iterator[None]:
    """Set the file name of system errors that have none, or have the name `instead_of`.

    Writing to a full disk raises errors without a name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(instead_of or "")):
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error


def is_disk_full(error: OSError) -> bool:
    """Return whether the error is caused by a full disk, a quota or a file size limit."""
    return error.errno in _FULL


def is_disk_error(error: BaseException) -> bool:
    """Return whether the disk is full or cannot be written to."""
    return isinstance(error, OSError) and error.errno in _FULL | _CLOSED


@contextlib.contextmanager
def explain_disk_errors(place: str | os.PathLike[str], advice: str) -> Iterator[None]:
    """Replace errors of a full or read-only disk by one line that ends with the advice.

    Errors about files outside of `place`, the file or folder written to, are not replaced.
    """
    try:
        yield
    except OSError as error:
        place = os.path.abspath(place)
        where = place if error.filename is None else os.path.abspath(os.fsdecode(error.filename))
        if not is_disk_error(error) or not (where.startswith(place) or place.startswith(where)):
            raise
        raise OSError(f"{where} cannot be written ({error.strerror}). {advice}") from error


@contextlib.contextmanager
def file_lock(path: str | Path, busy: Exception | None = None) -> Iterator[None]:
    """Run a block in one process at a time; on file systems without locks, warn.

    If another process holds the lock file, raise `busy`, or wait if it is None.
    """
    os.makedirs(Path(path).parent, exist_ok=True)
    lock = filelock.FileLock(path, timeout=-1 if busy is None else 0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise busy or error from None
    except NotImplementedError:
        _log.warning("%s: this file system has no locks. Run one command at a time.", path)
    try:
        yield
    finally:
        lock.release()


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object from a file; raise ValueError if the file is damaged."""
    try:
        data = json.loads(Path(path).read_bytes())
        if not isinstance(data, dict):
            raise ValueError("it does not contain a JSON object")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    return data


def write_json(path: str | Path, data: object, indent: int | None = 2) -> None:
    """Write a JSON file atomically."""
    # Lone surrogates, which UTF-8 cannot encode, become JSON escapes.
    with atomic_write(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps(data, indent=indent, ensure_ascii=indent is None) + "\n")
