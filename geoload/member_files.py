"""Members of local TAR files as files of their own, for `datasets` and whatever opens with fsspec.

`tarmember:///data/x.tar!/photos/1.jpg` is the member `photos/1.jpg` of /data/x.tar. Its bytes are
read where they lie, with an index; fsspec's own `tar` reads every header of the archive each time.
"""

from __future__ import annotations

import io
import os
from typing import Any

import fsspec

from geoload.indexed_tar import shared_tar

PROTOCOL = "tarmember"
_BETWEEN = "!/"


def member_address(archive: str, name: str) -> str:
    """Return the address of a member of a local TAR file."""
    return f"{PROTOCOL}://{os.path.abspath(archive)}{_BETWEEN}{name}"


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
        address = self._strip_protocol(path)
        archive, found, name = address.partition(_BETWEEN)
        data = shared_tar(archive).read(name) if found else None
        if data is None:
            raise FileNotFoundError(
                f"{archive} holds no member {name!r}. Was it replaced? Load the data set again."
            )
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
