"""Ask the Hub for commits, files and sizes, download small files, and check free disk space."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    EntryNotFoundError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
)

from gcd_metric.names import counted
from geoload.files import CACHE_ADVICE, explain_disk_errors, is_disk_error
from geoload.messages import format_bytes, without_token
from geoload.remote import is_transport_error, with_retries

ANNOUNCE_FROM = 10**8  # bytes; smaller downloads are not announced
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger(__name__)


class HubFile(NamedTuple):
    """A file of a dataset repository at one commit."""

    repository: str
    commit: str
    path: str
    size: int  # bytes
    digest: str = ""  # SHA-256, or for a file in git itself the SHA-1 of its git blob

    @property
    def url(self) -> str:
        """The address that `datasets` and fsspec open."""
        return f"hf://datasets/{self.repository}@{self.commit}/{self.path}"


def resolve_commit(repository: str, revision: str, token: str | bool | None = None) -> str:
    """Return the 40-digit commit of a branch or tag of a dataset repository.

    A full commit is returned as it is. This and the functions below raise ConnectionError if the
    Hub cannot be reached, FileNotFoundError if it does not provide what is requested.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    what = f"revision {revision!r} of the dataset repository {repository!r}"
    with _hub_errors(what, "Check both names; a private or gated repository needs `token=` or "
                     "`hf auth login`."):  # fmt: skip
        commit = HfApi(token=token).dataset_info(repository, revision=revision).sha
    assert commit is not None
    return commit


def list_files(
    repository: str, commit: str, folder: str, token: str | bool | None = None
) -> list[HubFile]:
    """List the files directly in a folder of a dataset repository."""
    api = HfApi(token=token)
    with _hub_errors(f"folder {folder!r} of the dataset repository {repository!r} at {commit}"):
        entries = list(api.list_repo_tree(repository, folder, revision=commit, repo_type="dataset"))
    return [
        HubFile(repository, commit, e.path, e.size, (e.lfs.sha256 if e.lfs else e.blob_id) or "")
        for e in entries
        if isinstance(e, RepoFile)
    ]


def download_small(repository: str, commit: str, path: str, token: str | bool | None = None) -> str:
    """Download a small file, such as a table, into the cache of the Hub; return its path there.

    Raises OSError when the disk is full or read-only.
    """
    what = f"{path} of the dataset repository {repository!r} at {commit}"
    with explain_disk_errors(constants.HF_HUB_CACHE, CACHE_ADVICE), _hub_errors(what):
        return with_retries(hf_hub_download)(
            repository, path, revision=commit, repo_type="dataset", token=token
        )


@contextlib.contextmanager
def _hub_errors(what: str, advice: str = "") -> Iterator[None]:
    """Raise FileNotFoundError if the Hub refuses, ConnectionError if it cannot be reached."""
    try:
        yield
    except Exception as error:
        if isinstance(error, HfHubHTTPError) and not is_transport_error(error):
            raise FileNotFoundError(
                f"The Hub does not provide {what}: {_first_line(error)}. {advice}".rstrip()
            ) from error
        expected = (EntryNotFoundError, OfflineModeIsEnabled, OSError, RuntimeError)
        if is_disk_error(error) or not (isinstance(error, expected) or is_transport_error(error)):
            raise
        raise ConnectionError(
            f"Cannot get {what} from the Hub at {constants.ENDPOINT} ({type(error).__name__}: "
            f"{_first_line(error)}). Check the connection, or give a folder with the files in "
            "data_dir=."
        ) from error


def _first_line(error: Exception) -> str:
    text = without_token(str(error).strip()) or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def announce_download(
    files: list[HubFile], copies_to: str | None, advice: str = "Use streaming=True"
) -> None:
    """Log how many bytes will be downloaded; raise OSError if the disk has no room for them.

    `copies_to` is the folder for a prepared copy of about the same size; `advice` says how to
    download less.
    """
    missing = sum(file.size for file in files if not _is_cached(file))
    if not missing:
        return
    copy = sum(file.size for file in files) if copies_to is not None else 0
    needs = Counter[int]()  # bytes, by disk
    for folder, size in ((copies_to, copy), (constants.HF_HUB_CACHE, missing)):
        if folder is None:
            continue
        existing = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
        device, free = os.stat(existing).st_dev, shutil.disk_usage(existing).free
        needs[device] += size
        if needs[device] > free:
            raise OSError(
                f"About {format_bytes(missing)} would be downloaded from {files[0].repository} and "
                f"{format_bytes(copy)} prepared, but {folder} has only {format_bytes(free)} free. "
                f"{advice}, or another disk (HF_HOME, cache_dir=)."
            )
    if missing >= ANNOUNCE_FROM:
        _log.warning(
            "Downloading %s from %s (%s)%s.", format_bytes(missing), files[0].repository,
            counted(len(files), "files"),
            " and preparing about as much again; both stay on disk" if copy else "",
        )  # fmt: skip


def _is_cached(file: HubFile) -> bool:
    found = try_to_load_from_cache(
        file.repository, file.path, revision=file.commit, repo_type="dataset"
    )
    return isinstance(found, str)
