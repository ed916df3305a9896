"""Questions to the Hub: which commit, which files, how large, and is there room for them."""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled

from geoload.files import CACHE_ADVICE, explain_disk_errors, is_disk_error
from geoload.messages import without_token
from geoload.remote import is_transport_error, with_retries

_COMMIT = re.compile(r"[0-9a-f]{40}")
# Smaller downloads are over before one has read how large they are.
ANNOUNCE_FROM = 10**8
_log = logging.getLogger(__name__)


class HubFile(NamedTuple):
    """A file of a dataset repository at one commit.

    `size` is in bytes; `digest` the SHA-256 of its content or, for a file that git itself holds,
    its SHA-1 as a git blob.
    """

    repository: str
    commit: str
    path: str
    size: int
    digest: str = ""

    @property
    def url(self) -> str:
        """The address that `datasets` and fsspec open."""
        return f"hf://datasets/{self.repository}@{self.commit}/{self.path}"


def resolve_commit(repository: str, revision: str, token: str | bool | None = None) -> str:
    """Return the 40-digit commit that a branch or tag of a dataset repository names now.

    Raises
    ------
    ConnectionError
        When the Hub cannot be asked; a commit given in full needs no asking.
    FileNotFoundError
        When the repository or the revision does not exist.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    what = f"revision {revision!r} of the dataset repository {repository!r}"
    try:
        commit = HfApi(token=token).dataset_info(repository, revision=revision).sha
    except HfHubHTTPError as error:
        raise FileNotFoundError(
            f"The Hub does not give {what}: {_first_line(error)}. Check both names; a private or "
            "gated repository needs `token=` or `hf auth login`."
        ) from error
    except (OfflineModeIsEnabled, OSError, RuntimeError) as error:
        raise ConnectionError(_unreachable(what, error)) from error
    except Exception as error:
        if is_transport_error(error):
            raise ConnectionError(_unreachable(what, error)) from error
        raise
    assert commit is not None
    return commit


def list_files(
    repository: str, commit: str, folder: str, token: str | bool | None = None
) -> list[HubFile]:
    """List the files directly in a folder of a dataset repository, with their sizes."""
    try:
        entries = list(
            HfApi(token=token).list_repo_tree(
                repository, path_in_repo=folder, revision=commit, repo_type="dataset"
            )
        )
    except HfHubHTTPError as error:
        raise FileNotFoundError(
            f"The dataset repository {repository!r} has no folder {folder!r} at commit {commit}: "
            f"{_first_line(error)}."
        ) from error
    except Exception as error:
        if isinstance(error, (OfflineModeIsEnabled, OSError)) or is_transport_error(error):
            raise ConnectionError(_unreachable(f"the files of {repository!r}", error)) from error
        raise
    return [
        HubFile(repository, commit, entry.path, entry.size, _digest(entry))
        for entry in entries
        if hasattr(entry, "size")
    ]


def _digest(entry: Any) -> str:
    lfs = getattr(entry, "lfs", None)
    return (getattr(lfs, "sha256", None) if lfs else entry.blob_id) or ""


def download_small(repository: str, commit: str, path: str, token: str | bool | None = None) -> str:
    """Download one small file, such as a table, into the Hub's cache and return its path there."""
    with explain_disk_errors(constants.HF_HUB_CACHE, CACHE_ADVICE):
        return _download_small(repository, commit, path, token)


def _download_small(repository: str, commit: str, path: str, token: str | bool | None) -> str:
    try:
        return with_retries(hf_hub_download)(
            repository, path, revision=commit, repo_type="dataset", token=token
        )
    except EntryNotFoundError as error:
        if not isinstance(error, HfHubHTTPError):  # not in the cache, and the Hub out of reach
            raise ConnectionError(_unreachable(path, error)) from error
        raise FileNotFoundError(
            f"The dataset repository {repository!r} has no {path} at commit {commit}."
        ) from error
    except Exception as error:
        known = isinstance(error, (OfflineModeIsEnabled, OSError)) or is_transport_error(error)
        if not known or is_disk_error(error):
            raise
        raise ConnectionError(
            _unreachable(f"{path} of the dataset repository {repository!r}", error)
        ) from error


def announce_download(files: list[HubFile], copies_to: str | None) -> None:
    """Say how many bytes are about to be downloaded, and refuse what the disk cannot hold.

    `copies_to` is the folder that will hold the prepared copy of about the same size, if any.
    """
    missing = sum(f.size for f in files if not _is_cached(f))
    if not missing:
        return
    copy = sum(f.size for f in files) if copies_to is not None else 0
    hub_cache = Path(constants.HF_HUB_CACHE)
    needs = {hub_cache: missing}
    if copies_to is not None:
        needs[Path(copies_to)] = needs.get(Path(copies_to), 0) + copy
    by_device: dict[int, tuple[int, Path]] = {}
    for folder, size in needs.items():
        device = os.stat(_existing(folder)).st_dev
        by_device[device] = (by_device.get(device, (0, folder))[0] + size, folder)
    for need, folder in by_device.values():
        free = shutil.disk_usage(_existing(folder)).free
        if need > free:
            raise OSError(
                f"About {_gigabytes(missing)} would be downloaded from {files[0].repository} and "
                f"{_gigabytes(copy)} prepared, but {folder} has only {_gigabytes(free)} free. Use "
                "streaming=True, fewer shards (shards=[0]), or another disk (HF_HOME, cache_dir=)."
            )
    if missing < ANNOUNCE_FROM:
        return
    _log.warning(
        "Downloading %s from %s (%d files)%s.", _gigabytes(missing), files[0].repository,
        len(files), " and preparing about as much again; the disk holds both" if copy else "",
    )  # fmt: skip


def _is_cached(file: HubFile) -> bool:
    found = try_to_load_from_cache(
        file.repository, file.path, revision=file.commit, repo_type="dataset"
    )
    return isinstance(found, str)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _first_line(error: Exception) -> str:
    said = without_token(str(error).strip()) or type(error).__name__
    return said.splitlines()[0]


def _unreachable(what: str, error: Exception) -> str:
    return (
        f"Cannot get {what} from the Hub at {constants.ENDPOINT} "
        f"({type(error).__name__}: {_first_line(error)}). Check the connection, or give a folder "
        "that holds the files with data_dir=."
    )
