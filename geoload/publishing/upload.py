"""Uploads files to a dataset repository on the Hub, a few per commit and only missing ones."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_download,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.sha import git_hash

from gcd_metric.names import counted
from geoload.messages import format_bytes
from geoload.publishing import photo_table
from geoload.remote import is_transport_error

# Small enough that little is sent again after an interruption, and large enough to stay far below
# the Hub's limit on commits per hour.
COMMIT_BYTES = 4 * 10**9
COMMIT_FILES = 25
_say = functools.partial(print, flush=True)
_SHARD = re.compile(
    r"([^/]+)/(?:[^/]+-[0-9]{5}-of-[0-9]{5}\.(?:parquet|tar)|" + re.escape(photo_table.FILE) + ")"
)


@dataclass(frozen=True)
class File:
    """A file to send: its name in the repository, local path, size in bytes and SHA-256."""

    name: str
    path: Path
    size: int
    sha256: str


class Repository:
    """A dataset repository that is written to; `files` are those of the last `refresh`."""

    def __init__(self, repo_id: str) -> None:
        self.repo_id = repo_id
        # Size and digest: the SHA-256 of a large file, the git object's id of a small one.
        self.files: dict[str, tuple[int, str]] = {}
        self._api = HfApi()
        self._head: str | None = None

    def create(self, private: bool) -> None:
        """Create the repository if it does not exist; PermissionError if that is forbidden."""
        if get_token() is None:
            raise PermissionError(
                "You are not logged in to the Hub: run `hf auth login`, or set HF_TOKEN to a token "
                "with write access."
            )
        where: dict[str, Any] = {"repo_type": "dataset", "exist_ok": True}
        with _explained(f"create the dataset repository {self.repo_id!r}"):
            self.repo_id = self._api.create_repo(self.repo_id, private=private, **where).repo_id

    def is_private(self) -> bool:
        """Ask the Hub whether only its owner can read the repository."""
        with _explained(f"look at {self.repo_id!r}"):
            return bool(self._api.dataset_info(self.repo_id).private)

    def refresh(self) -> None:
        """List the repository's files; empty if it does not exist.

        Later commits build on this state, and are refused if somebody else has changed it.
        """
        name = self.repo_id
        where: dict[str, Any] = {"repo_type": "dataset", "recursive": True}
        with _explained(f"list the files of {name!r}"):
            try:
                self._head = self._api.dataset_info(name).sha
                entries = list(self._api.list_repo_tree(name, revision=self._head, **where))
            except RepositoryNotFoundError:
                self._head, entries = None, []
        self.files = {
            entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    def read(self, name: str) -> bytes:
        """Return the content of a small file; empty if there is none."""
        if name not in self.files:
            return b""
        path = hf_hub_download(self.repo_id, name, repo_type="dataset", revision=self._head)
        return Path(path).read_bytes()

    def missing(self, files: list[File]) -> list[File]:
        """Return the files that the repository does not have with the same content."""
        return [file for file in files if not _is_same(file, self.files.get(file.name))]

    def send(
        self, files: list[File], card: str, placeholder: str, check: Callable[[], object]
    ) -> None:
        """Send the missing files, a few per commit, and the card last.

        Until the last commit the repository has the card `placeholder`, with which unfinished
        configurations cannot be loaded. Older shards of the same configurations are removed.
        `check` is called before each commit, and may raise.
        """
        missing = self.missing(files)
        parts, there = list(_parts(missing)), len(files) - len(missing)
        state = f"{there} of {counted(len(files), 'files')} there; {len(missing)} to send"
        _say(f"{self.repo_id}: {state} ({_size(missing)})")
        for number, part in enumerate(parts, 1):
            operations: list[Any] = [CommitOperationAdd(f.name, str(f.path)) for f in part]
            if number == 1:
                operations.append(CommitOperationAdd("README.md", placeholder.encode()))
            self._commit(operations, f"Add data, part {number} of {len(parts)}", check)
            sent = (
                f"sent part {number} of {len(parts)}: {counted(len(part), 'files')}, {_size(part)}"
            )
            _say(f"{self.repo_id}: {sent}")
        stale = _stale_shards(files, self.files)
        content = card.encode()
        if parts or stale or self.files.get("README.md") != (len(content), git_hash(content)):
            last: list[Any] = [CommitOperationDelete(name) for name in stale]
            self._commit([*last, CommitOperationAdd("README.md", content)], "Add the card", check)

    def _commit(self, operations: list[Any], message: str, check: Callable[[], object]) -> None:
        what = f"send to {self.repo_id!r}"
        where: dict[str, Any] = {"repo_type": "dataset", "commit_message": message}
        additions = [one for one in operations if isinstance(one, CommitOperationAdd)]
        with _explained(what):
            self._api.preupload_lfs_files(self.repo_id, additions, repo_type="dataset")
        check()  # here, because uploaded files cannot be read before they are in a commit
        with _explained(what):
            done = self._api.create_commit(
                self.repo_id, operations, parent_commit=self._head, **where
            )
        self._head = done.oid


def _size(files: list[File]) -> str:
    return format_bytes(sum(file.size for file in files))


def _is_same(file: File, found: tuple[int, str] | None) -> bool:
    if found is None or found[0] != file.size:
        return False
    if len(found[1]) == len(file.sha256):
        return found[1] == file.sha256
    return found[1] == git_hash(file.path.read_bytes())


def _stale_shards(files: list[File], there: Iterable[str]) -> list[str]:
    """Return the shards of an earlier publication of the files' configurations."""
    names = {file.name for file in files}
    configs = {match[1] for match in map(_SHARD.fullmatch, names) if match}
    found = ((name, _SHARD.fullmatch(name)) for name in there)
    return sorted(n for n, match in found if match and match[1] in configs and n not in names)


def _parts(files: list[File]) -> Iterator[list[File]]:
    part: list[File] = []
    for file in files:
        full = len(part) == COMMIT_FILES or sum(f.size for f in part) + file.size > COMMIT_BYTES
        if part and full:
            yield part
            part = []
        part.append(file)
    if part:
        yield part


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Replace errors of the client by errors that say what to do."""
    again = "Run the same command again: uploaded files are not sent again."
    try:
        yield
    except Exception as error:
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
            chain.append(cause)
        response = next((r for e in chain if (r := getattr(e, "response", None)) is not None), None)
        status = getattr(response, "status_code", None)
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if status in (401, 403):
            raise PermissionError(
                f"The Hub does not let you {what} ({status}). Is this your repository, and does "
                "the token have write access? `hf auth login` sets another token."
            ) from error
        if status == 412:
            raise ValueError(
                f"Cannot {what}: somebody else changed the repository in the meantime. {again}"
            ) from error
        transport = any(isinstance(e, OSError) or is_transport_error(e) for e in chain)
        if transport and (status is None or status >= 500):
            where = constants.ENDPOINT
            raise ConnectionError(f"Could not {what} at {where} ({first}). {again}") from error
        refused = next((e for e in chain if isinstance(e, HfHubHTTPError)), None)
        if refused is not None:
            reason = str(refused).strip().splitlines()[0]
            raise ValueError(f"The Hub refuses to {what}: {reason}") from error
        raise
