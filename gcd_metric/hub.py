"""Benchmarks and small files on the Hub. What repositories contain is not trusted.

A data set with a file `eval.yaml` is a benchmark. The rules for the file and for results in model
repositories are those of https://huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .names import listed, shortened
from .yaml_files import load_yaml, split_card

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
EVAL_FILE = "eval.yaml"
_SMALL = 2**16  # bytes of a file with a few entries
_CARD = 2**20  # bytes


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options with which a command sends its score."""
    add = parser.add_argument_group("results on the Hub").add_argument
    help_text = "open a pull request with the result in this model repository"
    add("--push", metavar="MODEL", help=help_text)
    help_text = "benchmark on the Hub (default: --references, if it is a repository there)"
    add("--dataset", metavar="REPO[@REVISION]", help=help_text)
    help_text = "data set repository for the predictions, so that anybody can score them again"
    add("--predictions-repo", metavar="REPO", help=help_text)
    help_text = "only print what --push would send"
    add("--dry-run", action="store_true", help=help_text)


def check_repository(name: str, option: str) -> None:
    """Raise a ValueError if a name is not that of a repository."""
    if not REPOSITORY.fullmatch(name):
        raise ValueError(f"{option} {shortened(name)}: write OWNER/NAME, as on the Hub")


def client() -> Any:
    """The API of the Hub, or an ImportError for a version that knows no benchmarks."""
    try:
        from huggingface_hub import EvalResultEntry, HfApi  # noqa: F401

        return HfApi()
    except ImportError:
        raise ImportError(
            "results on the Hub need huggingface_hub 2.4: pip install -U huggingface_hub"
        ) from None


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Replace errors of the client by one line: a ValueError, or ConnectionError for no answer."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        try:
            yield
        except LocalEntryNotFoundError as error:  # a download failed; the cause says why
            raise (error.__cause__ or error) from None
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise ValueError(f"{what}: the Hub has none, or does not let you read it") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status and status >= 500:
            raise ConnectionError(f"{what}: the Hub has an error ({status})") from error
        login = "; log in with `hf auth login`" if status in (401, 403) else ""
        raise ValueError(f"{what}: the Hub refuses ({status}){login}") from error
    except Exception as error:
        if not isinstance(error, OSError) and "httpx" not in type(error).__module__:
            raise
        # the libraries for HTTP differ between versions of the client
        raise ConnectionError(f"{what}: no connection to {constants.ENDPOINT}: {error}") from error


# --- files --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """The files of a folder, or of a repository at one commit; `sizes` are bytes, by path."""

    name: str  # in messages
    sizes: dict[str, int]
    open: Callable[[str], str]  # returns the local path

    def path(self, name: str, most: int) -> Path:
        """The local path of a file of at most `most` bytes; else a ValueError."""
        if name not in self.sizes:
            raise ValueError(f"{self.name}: there is no file {shortened(name)}")
        if self.sizes[name] > most:
            raise ValueError(f"{self.name}: {name} has more than {most:,} bytes")
        return Path(self.open(name))

    def read(self, name: str, most: int = _SMALL) -> bytes:
        """The content of a small file."""
        return self.path(name, most).read_bytes()

    def yaml(self, name: str) -> Any:
        """The content of a small YAML file."""
        content = self.read(name)
        try:
            return load_yaml(content)
        except ValueError as error:
            raise ValueError(f"{self.name}, {name}: {error}") from None


def resolve(name: str) -> tuple[str, str]:
    """The repository and the commit of a data set, `OWNER/NAME` or `OWNER/NAME@REVISION`."""
    repository, _, revision = name.partition("@")
    with explained(f"data set {repository}"):
        return repository, str(client().dataset_info(repository, revision=revision or None).sha)


def local_files(folder: str) -> Files:
    """The files two folders below a folder; links that lead out of it are left out."""
    root = Path(folder).resolve()
    found = {
        path.relative_to(root).as_posix(): path.stat().st_size
        for path in sorted(root.glob("*/*/*"))
        if path.is_file() and path.resolve().is_relative_to(root)
    }
    return Files(folder, found, lambda name: os.path.join(root, name))


def remote_files(
    repository: str, revision: str, names: Sequence[str] | None = None, kind: str = "dataset"
) -> Files:
    """The files of a repository at a commit or branch; with `names`, only those that exist."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.hf_api import RepoFile

    api = client()
    where: dict[str, Any] = {"revision": revision, "repo_type": kind}
    with explained(f"{kind} {repository}"):
        if names is None:
            entries = list(api.list_repo_tree(repository, recursive=True, **where))
        else:
            entries = api.get_paths_info(repository, list(names), **where)

    def download(name: str) -> str:
        with explained(f"{repository}, {name}"):
            return str(hf_hub_download(repository, name, **where))

    sizes = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
    return Files(repository, sizes, download)


# --- benchmarks ---------------------------------------------------------------------------------


class EvalTask(NamedTuple):
    """A task of a benchmark, and the configuration and split of its photos."""

    id: str
    config: str
    split: str


@dataclass(frozen=True)
class Benchmark:
    """A task of a benchmark on the Hub, at one commit."""

    repository: str
    commit: str
    task: EvalTask
    n: int  # photos


def parse_eval_file(content: Any, where: str) -> list[EvalTask]:
    """Check what `eval.yaml` contains by the rules of the Hub, and return its tasks."""

    def refuse(what: str) -> ValueError:
        return ValueError(f"{where}: {what}; see https://huggingface.co/docs/hub/eval-results")

    def texts(of: Any, *names: str) -> list[str]:
        found = [of.get(name) if isinstance(of, dict) else None for name in names]
        for name, value in zip(names, found, strict=True):
            if not isinstance(value, str) or not value.strip():
                raise refuse(f"{name} is missing, or is not text")
        return list(map(str, found))

    *_, framework = texts(content, "name", "description", "evaluation_framework")
    given = content.get("tasks")
    if not isinstance(given, list) or not given:
        raise refuse("tasks is not a list with at least one task")
    tasks = []
    for one in given:
        (name,) = texts(one, "id")
        row = {"config": "default", "split": "test", **one}
        tasks.append(EvalTask(name, *texts(row, "config", "split")))
        if framework != "inspect-ai":
            continue
        texts(one.get("field_spec"), "input", "target")
        for part in ("solvers", "scorers"):
            if not isinstance(one.get(part), list) or not one[part]:
                raise refuse(f"{part} of task {shortened(name)} is not a list")
            for step in one[part]:
                texts(step, "name")
    if len({task.id for task in tasks}) < len(tasks):
        raise refuse("two tasks have the same id")
    return tasks


def benchmark_at(
    repository: str, commit: str, task: str | None, config: str | None = None
) -> Benchmark | None:
    """Find a task of a data set, and count its photos; None if the data set is not a benchmark.

    `task` is the task's id or configuration. Otherwise it is the task of the configuration
    `config`, or the only one.
    """
    files = remote_files(repository, commit, [EVAL_FILE, "README.md"])
    if EVAL_FILE not in files.sizes:
        return None
    tasks = parse_eval_file(files.yaml(EVAL_FILE), f"{repository}, {EVAL_FILE}")
    wanted = [one for one in tasks if (task or config) in (one.id, one.config)]
    if not wanted and not task:
        wanted = tasks
    if len(wanted) != 1:
        raise ValueError(
            f"{repository} has the tasks {listed(one.id for one in tasks)}; choose one with "
            "--benchmark"
        )
    return Benchmark(repository, commit, wanted[0], _count(files, wanted[0]))


def find_benchmark(name: str, task: str | None, config: str | None) -> Benchmark:
    """Find a task of a benchmark, `OWNER/NAME` or `OWNER/NAME@REVISION`, as `benchmark_at`."""
    check_repository(name.partition("@")[0], "--dataset")
    repository, commit = resolve(name)
    benchmark = benchmark_at(repository, commit, task, config)
    if benchmark is None:
        raise ValueError(f"{repository} is not a benchmark: it has no {EVAL_FILE}")
    return benchmark


def _count(files: Files, task: EvalTask) -> int:
    """The number of photos of a task, as the data set's card states it."""
    text = files.read("README.md", _CARD).decode(errors="replace")
    try:
        infos = split_card(text)[0].get("dataset_info")
    except ValueError as error:
        raise ValueError(f"{files.name}: {error}") from None
    for info in infos if isinstance(infos, list) else [infos]:
        if not isinstance(info, dict) or info.get("config_name", "default") != task.config:
            continue
        splits = info.get("splits")
        for split in splits if isinstance(splits, list) else []:
            n = split.get("num_examples") if isinstance(split, dict) else None
            if isinstance(n, int) and split.get("name") == task.split:
                return n
    raise ValueError(
        f"{files.name}: its README.md does not state how many rows {task.config}, {task.split} has "
        "(dataset_info: num_examples), so it is unknown whether a score is over all of them"
    )
