"""What a TAR file holds, in the order of the file, kept in the cache as far as it was read.

Unlike an index (`tar_index.py`) it may be of the beginning of a file, so that a pass over HTTP goes
on where the last one broke off; and it tells of links, and of members that occur twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from geoload.tar import Member, members
from geoload.writing import whole_file

# A pass that was killed reads this much again, at most.
KEEP_EVERY = 256 * 2**20
_FORMAT = 2  # raised whenever the same file would give other members
_DIGEST_SIZE = 32
_log = logging.getLogger(__name__)


class Contents:
    """The members of one TAR file, read from its headers once.

    Parameters
    ----------
    label : str
        What errors call the file.
    size : int
        Of the file, in bytes.
    key : str, optional
        An address whose content never changes, such as a file's on the Hub at a commit: with it
        the contents are kept. Without it they are this object's alone.
    cache_dir : path, optional
        Where they are kept; by default a folder in the cache of `datasets`.

    Attributes
    ----------
    members : list of Member
        Those that are known, in the order of the file.
    complete : bool
        Whether they are all.
    """

    def __init__(
        self, label: str, size: int, key: str | None = None, cache_dir: str | Path | None = None
    ) -> None:
        self.label, self.size = label, size
        self.members: list[Member] = []
        self.complete = False
        self._key = key
        self._place = _place(key, cache_dir) if key is not None else None
        if self._place is not None:
            self._load(self._place)
        self._kept = self.position

    @property
    def position(self) -> int:
        """The byte up to which the file is known."""
        if self.complete:
            return self.size
        return self.members[-1].data + self.members[-1].size if self.members else 0

    def read(self, file: BinaryIO) -> Iterator[Member]:
        """Yield every member, the known ones first and then those that the headers tell of.

        Raises
        ------
        ShardError
            Where the file is cut or damaged.
        """
        known = len(self.members)
        yield from self.members[:known]
        if self.complete:
            return
        try:
            # From the last one on, because only reading it tells where the next one starts.
            start = self.members[-1].offset if known else 0
            for member, _ in members(file, lambda name: False, start, label=self.label):
                if known and member.offset == start:
                    continue
                self.members.append(member)
                if self.position - self._kept >= KEEP_EVERY:
                    self._keep()
                yield member
            self.complete = True
        finally:
            self._keep()

    def _keep(self) -> None:
        if self._place is None or self._kept == self.position:
            return
        self._kept = self.position
        body = json.dumps([_FORMAT, self._key, self.complete, self.members]).encode()
        try:
            os.makedirs(self._place.parent, exist_ok=True)
            with whole_file(self._place) as file:
                file.write(_digest(body) + body)
        except OSError as error:
            _log.warning(
                "What %s holds cannot be kept in %s (%s): another run will read it again.",
                self.label, self._place.parent, error.strerror,
            )  # fmt: skip

    def _load(self, place: Path) -> None:
        try:
            data = place.read_bytes()
        except OSError:
            return
        body = data[_DIGEST_SIZE:]
        try:
            if data[:_DIGEST_SIZE] != _digest(body):
                raise ValueError
            form, key, complete, found = json.loads(body)
            if (form, key) == (_FORMAT, self._key):
                self.members = _checked(found, self.size)
                self.complete = complete is True
        except (ValueError, TypeError, RecursionError):
            _log.warning("%s is damaged; %s will be read again.", place, self.label)


def _checked(found: list, file_size: int) -> list[Member]:
    """Return kept members, or raise ValueError or TypeError where they cannot be the file's."""
    result, least = [], 0
    for entry in found:
        member = Member(*entry)
        if not least <= member.offset < member.data <= file_size - member.size <= file_size:
            raise ValueError
        least = member.data
        result.append(member)
    return result


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest()


def _place(key: str, cache_dir: str | Path | None) -> Path:
    if cache_dir is None:
        # Importing datasets costs a second that a caller with his own folder need not wait.
        from datasets import config

        cache_dir = Path(config.HF_DATASETS_CACHE) / "tar_contents"
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return Path(cache_dir) / f"{key.rpartition('/')[2]}-{digest}.json"
