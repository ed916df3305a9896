"""Members of local TAR files as files of their own, for `datasets` and whatever opens with fsspec.

`tarmember:///data/x.tar!/photos/1.jpg` is the member `photos/1.jpg` of /data/x.tar. Its bytes are
read where they lie, with an index; fsspec's own `tar` reads every header of the archive each time.
"""

from __future__ import annotations

import io
import os
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import fsspec

from geoload.indexed_tar import shared_tar

PROTOCOL = "tarmember"
_BETWEEN = "!/"


def member_address(archive: str, name: str) -> str:
    """Return the address of a member of a local TAR file; of several of a name, the first."""
    return f"{PROTOCOL}://{_quoted(os.path.abspath(archive))}{_BETWEEN}{_quoted(name)}"


def _quoted(path: str) -> str:
    """Hide what `datasets`, fsspec or we would read a meaning into: `::`, `*`, `!`, `./` ."""
    parts = quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="/").split("/")
    return "/".join(part.replace(".", "%2E") if part in (".", "..") else part for part in parts)


def _plain(path: str) -> str:
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")


class MemberFileSystem(fsspec.AbstractFileSystem):
    """Reads single members; lists nothing and writes nothing."""

    protocol = PROTOCOL

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        # `datasets` makes two slashes of three, so the path comes with or without its first one.
        plain = path.removeprefix(f"{PROTOCOL}://")
        return plain if os.path.isabs(plain) else f"/{plain}"

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        """Return a member's bytes.

        Raises
        ------
        FileNotFoundError
            When there is no such archive, or no such member in it.
        ShardError
            When the archive is cut or damaged.
        """
        archive, found, name = self._strip_protocol(path).partition(_BETWEEN)
        if not found:
            raise FileNotFoundError(f"{path} names no member: {PROTOCOL}:///x.tar!/member does.")
        archive, name = _plain(archive), _plain(name)
        if not os.path.exists(archive):
            raise FileNotFoundError(
                f"There is no {archive} any more, in which {name} was left. Put it back, or load "
                "the data set again from where it is now."
            )
        data = shared_tar(archive).read_first(name)
        if data is None:
            raise FileNotFoundError(f"{archive} holds no {name} any more. Load the data set again.")
        return data[start:end]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, size and type of a member."""
        return {"name": path, "size": len(self.cat_file(path)), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        if mode not in ("rb", "r"):
            raise ValueError(f"{path}: members of a TAR file are read only, not {mode!r}.")
        return io.BytesIO(self.cat_file(path))


# Processes that never import us, such as spawned workers, know it by the entry point.
fsspec.register_implementation(PROTOCOL, MemberFileSystem, clobber=True)
