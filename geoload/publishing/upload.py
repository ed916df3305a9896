"""Sends a folder's files to a dataset repository on the Hub: in parts, and only what is missing.

What is there already is told by size and digest, so a repeated upload goes on where it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
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
from huggingface_hub.utils import HfHubHTTPError, RepositoryNotFoundError

from geoload.files import is_transport_error
from geoload.publishing.card import megabytes

# A commit holds this much, so that little is sent again after a break, and the Hub's limit on
# commits per hour is far.
COMMIT_BYTES = 4 * 10**9
COMMIT_FILES = 25
_SHARD = re.compile(r"([^/]+)/[^/]+-[0-9]{5}-of-[0-9]{5}\.(?:parquet|tar)")


@dataclass(frozen=True)
class File:
    """A file to send: its name in the repository, where it lies, its size and its SHA-256."""

    name: str
    path: Path
    size: int
    sha256: str


class Repository:
    """A dataset repository that is written to.

    Parameters
    ----------
    repo_id : str
        `owner/name`, or the name alone for one of the user's own.
    """

    def __init__(self, repo_id: str) -> None:
        self.repo_id = repo_id
        self._api = HfApi()
        self._head: str | None = None

    def create(self, private: bool) -> None:
        """Make the repository if it is not there.

        Raises
        ------
        PermissionError
            When nobody is logged in, or the login may not write there.
        """
        if get_token() is None:
            raise PermissionError(
                "Nobody is logged in to the Hub: `hf auth login`, or set HF_TOKEN to a token that "
                "may write."
            )
        try:
            url = self._api.create_repo(
                self.repo_id, repo_type="dataset", private=private, exist_ok=True
            )
            self.repo_id = url.repo_id
        except Exception as error:
            raise _explained(error, f"make the dataset repository {self.repo_id!r}") from error

    def check_readers(self, private: bool, must_be_private: bool) -> bool:
        """Refuse a repository that others can read unexpectedly; tell whether it is private.

        Parameters
        ----------
        private : bool
            It was to be private.
        must_be_private : bool
            What it holds or shall hold may not be handed on.

        Raises
        ------
        ValueError
            When it is public.
        """
        try:
            seen = bool(self._api.dataset_info(self.repo_id).private)
        except Exception as error:
            raise _explained(error, f"look at {self.repo_id!r}") from error
        if seen:
            return True
        if must_be_private:
            raise ValueError(
                f"{self.repo_id} is public, and photos in it may not be redistributed: make it "
                "private in its settings, or leave --include-unlicensed out."
            )
        if private:
            raise ValueError(
                f"{self.repo_id} exists and is public: say --public, or make it private in its "
                "settings."
            )
        return False

    def listing(self) -> dict[str, tuple[int, str]]:
        """Return size and digest of each file that is there; of a missing repository, nothing.

        The digest is the SHA-256 of a large file, the git object's id of a small one. What is sent
        later builds on this state, and is refused if somebody else has changed it.
        """
        try:
            self._head = self._api.dataset_info(self.repo_id).sha
            entries = list(
                self._api.list_repo_tree(
                    self.repo_id, recursive=True, repo_type="dataset", revision=self._head
                )
            )
        except RepositoryNotFoundError:
            return {}
        except Exception as error:
            raise _explained(error, f"list the files of {self.repo_id!r}") from error
        return {
            entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    def card(self, there: dict[str, Any]) -> str:
        """Return the repository's card, or nothing."""
        if "README.md" not in there:
            return ""
        path = hf_hub_download(self.repo_id, "README.md", repo_type="dataset", revision=self._head)
        return Path(path).read_text(encoding="utf-8")

    def send(
        self,
        files: list[File],
        missing: list[File],
        card: str,
        until_then: str,
        there: dict[str, tuple[int, str]],
        check: Callable[[], Any],
        say: Callable[[str], None],
    ) -> None:
        """Send the files that are missing (see `lacking`), a few a commit, and last the card.

        Until the last commit the repository has the card `until_then`, under which what is half
        there does not load. Shards of the same configurations that are no longer part of them are
        removed. `check` is called before each commit, and may raise.
        """
        stale = _stale(files, there)
        parts = list(_parts(missing))
        say(
            f"{self.repo_id}: {len(files) - len(missing)} of {len(files)} files are there; "
            f"{len(missing)} to send ({megabytes(sum(file.size for file in missing))})"
        )
        for number, part in enumerate(parts, 1):
            operations: list[Any] = [CommitOperationAdd(f.name, str(f.path)) for f in part]
            if number == 1:
                operations.append(CommitOperationAdd("README.md", until_then.encode()))
            self._commit(operations, f"Add data, part {number} of {len(parts)}", check)
            size = megabytes(sum(file.size for file in part))
            say(f"{self.repo_id}: sent part {number} of {len(parts)}: {len(part)} files, {size}")
        last: list[Any] = [CommitOperationDelete(name) for name in stale]
        blob = card.encode()
        if parts or stale or there.get("README.md") != (len(blob), _git_id(blob)):
            self._commit([*last, CommitOperationAdd("README.md", blob)], "Add the card", check)

    def _commit(self, operations: list[Any], message: str, check: Callable[[], Any]) -> None:
        additions = [one for one in operations if isinstance(one, CommitOperationAdd)]
        try:
            # What has come but is in no commit, nobody can read; so the check is in between.
            self._api.preupload_lfs_files(self.repo_id, additions, repo_type="dataset")
        except Exception as error:
            raise _explained(error, f"send to {self.repo_id!r}") from error
        check()
        try:
            done = self._api.create_commit(
                self.repo_id, operations, commit_message=message, repo_type="dataset",
                parent_commit=self._head,
            )  # fmt: skip
        except Exception as error:
            if getattr(_response(error), "status_code", None) == 412:
                raise ValueError(
                    f"{self.repo_id} was changed by somebody else meanwhile. Give the same command "
                    "again: what has arrived is not sent twice."
                ) from error
            raise _explained(error, f"send to {self.repo_id!r}") from error
        self._head = done.oid


def lacking(files: list[File], there: dict[str, tuple[int, str]]) -> list[File]:
    """Return the files that are not in a repository as they are here."""
    return [file for file in files if not _same(file, there.get(file.name))]


def _same(file: File, found: tuple[int, str] | None) -> bool:
    if found is None or found[0] != file.size:
        return False
    if len(found[1]) == len(file.sha256):
        return found[1] == file.sha256
    return found[1] == _git_id(file.path.read_bytes())


def _git_id(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _stale(files: list[File], there: Iterable[str]) -> list[str]:
    """Shards of an earlier publication of these configurations; nothing that is not a shard."""
    now = {file.name for file in files}
    configs = {match[1] for match in map(_SHARD.fullmatch, now) if match}
    found = ((name, _SHARD.fullmatch(name)) for name in there)
    return sorted(n for n, match in found if match and match[1] in configs and n not in now)


def _parts(files: list[File]) -> Iterable[list[File]]:
    part: list[File] = []
    for file in files:
        full = len(part) == COMMIT_FILES or sum(f.size for f in part) + file.size > COMMIT_BYTES
        if part and full:
            yield part
            part = []
        part.append(file)
    if part:
        yield part


def _explained(error: Exception, what: str) -> Exception:
    """Turn an error of the client into one of ours that says what to do."""
    response = _response(error)
    status = getattr(response, "status_code", None)
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if status in (401, 403):
        return PermissionError(
            f"The Hub does not let you {what} ({status}). Is this your repository, and may the "
            "token write? `hf auth login` gives another."
        )
    if _broke_off(error):
        return ConnectionError(
            f"Could not {what} at {constants.ENDPOINT} ({first}). Give the same command again: "
            "what has arrived is not sent twice."
        )
    refused = next((e for e in _chain(error) if isinstance(e, HfHubHTTPError)), None)
    if refused is not None:
        first = str(refused).strip().splitlines()[0]
        return ValueError(f"The Hub refuses to {what}: {first}")
    return error


def _chain(error: BaseException) -> Iterable[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _response(error: BaseException) -> Any:
    return next((r for e in _chain(error) if (r := getattr(e, "response", None)) is not None), None)


def _broke_off(error: BaseException) -> bool:
    return any(isinstance(e, OSError) or is_transport_error(e) for e in _chain(error)) and (
        getattr(_response(error), "status_code", 500) >= 500
    )
