"""The tasks: commands that write, with sample data and servers on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.flickr_photos import FlickrPhotos, row, write_list
from tests.support.hub_write import OWNER, TOKEN, WritableHub

# About the run, not about its result.
_VOLATILE = (
    "seconds",
    "process seconds",
    "requests",
    "retries",
    "bytes received",
    "counts",
    "times",
)
# Locks, and what `publish` documents as its own; they may stay.
_KEPT = re.compile(r"(^|/)(\.publish/|[^/]*\.lock$)")
_LOAD = """
import hashlib, sys, justzoomin
from datasets import load_dataset
rows = load_dataset("justzoomin", data_dir=sys.argv[1], cache_dir=sys.argv[2], split="train")
digest = hashlib.sha256()
for row in rows.with_format("arrow").iter(batch_size=100):
    digest.update(str(row.to_pylist()).encode())
open(sys.argv[2] + "/rows", "w").write(digest.hexdigest())
"""
# Two actions and not four: 17 views.
_RENDER = """
import sys, justzoomin
if __name__ == "__main__":
    justzoomin.render(*sys.argv[1:], depth=2, workers=2)
"""


class Task(NamedTuple):
    """A command that writes into a folder.

    Attributes
    ----------
    command : callable
        Given the folder, returns the command.
    begin : callable
        Puts into the folder what has to be there before.
    look : callable
        Given the folder, returns what was made: digests by name.
    folders : tuple of str
        Below the folder, that somebody may replace by links.
    python : bool
        Whether it is a call in Python, whose errors are exceptions.
    """

    command: Callable[[Path], list[str]]
    begin: Callable[[Path], Any] = lambda out: None
    look: Callable[[Path], dict[str, str]] = lambda out: tree(out)
    folders: tuple[str, ...] = ()
    python: bool = False


def tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, except locks and the like."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink()):
        name = path.relative_to(folder).as_posix()
        if not _KEPT.search(name):
            data = _lasting(path).replace(os.fsencode(folder), b"")  # cards name the folder
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def _lasting(path: Path) -> bytes:
    """Return a file's bytes without what differs from run to run."""
    data = path.read_bytes()
    if path.suffix != ".json":
        return data
    try:
        content = json.loads(data)
    except ValueError:
        return data
    return json.dumps({k: v for k, v in content.items() if k not in _VOLATILE}).encode()


class World:
    """Miniatures in a folder, a photo host and a Hub."""

    def __init__(self, folder: Path) -> None:
        self.hub = WritableHub()
        self._folder = folder
        self.environment = {
            **os.environ, "HF_HOME": str(folder / "home"), "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        rows = [row(i, original_width=1200, original_height=100) for i in range(600)]
        self._photos = FlickrPhotos(rows)
        self._list = write_list(folder / "photos.parquet", rows)
        self._run("im2gps", "sample", folder / "im2gps", "--width", "64", "--lists", "60000")
        self._run("justzoomin", "sample", folder / "zoom", "--tiles", "--width", "64")

    def __enter__(self) -> World:
        self._photos.__enter__()
        self.hub.__enter__()
        self.environment["HF_ENDPOINT"] = self.hub.endpoint
        self.hub.add("someone/zoom", self._folder / "zoom")
        return self

    def __exit__(self, *error: object) -> None:
        self._photos.__exit__(*error)
        self.hub.__exit__(*error)

    def _run(self, *arguments: object) -> None:
        command = [sys.executable, "-m", *map(str, arguments)]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def tasks(self) -> dict[str, Task]:
        """Return the tasks by name."""
        im2gps, zoom = (str(self._folder / name) for name in ("im2gps", "zoom"))
        us, they = ([sys.executable, "-m", name] for name in ("im2gps", "justzoomin"))
        fetch = ["--photo-host", self._photos.endpoint, "--shard-size", "60", "--processes", "2",
                 "--rate", "0", "--backoff", "0.01"]  # fmt: skip
        publish = ["--data-dir", im2gps, "--max-shard-size", "60KB", "--configs", "random_2k"]
        levels = ["--levels", "-5", "-7"]

        def repository(out: Path) -> str:
            return f"{OWNER}/{out.name}"

        return {
            "lists": Task(lambda out: [*us, "lists", f"{im2gps}/lists", "-o", f"{out}/t.parquet"]),
            "build": Task(lambda out: [*us, "build", self._list, "-o", str(out), *fetch]),
            "extract": Task(
                lambda out: [*they, "extract", str(out), "--data-dir", zoom, *levels],
                folders=("streetview/images", "satellite/-5", "satellite"),
            ),
            "extract-hub": Task(
                lambda out: [*they, "extract", str(out), "--repository", "someone/zoom", *levels],
                folders=("streetview/images", "satellite/-5", "satellite"),
            ),
            "render": Task(
                lambda out: [sys.executable, "-c", _RENDER, zoom, f"{out}/v.tar"], python=True
            ),
            "publish": Task(
                lambda out: [*us, "publish", "--to", f"{out}/x", *publish], folders=("x/random_2k",)
            ),
            "publish-zoom": Task(
                lambda out: [*they, "publish", "--to", f"{out}/x", "--data-dir", zoom, "--format",
                             "webdataset", "--max-shard-size", "100KB", "--configs", "streetview"],
                folders=("x/streetview", "x/.publish/streetview"),
            ),
            "publish-hub": Task(
                lambda out: [*us, "publish", repository(out), "--to", f"{out}/x", *publish],
                look=lambda out: self._published(repository(out)),
            ),
            "index": Task(
                lambda out: [*they, "index", str(out)],
                lambda out: shutil.copytree(f"{zoom}/archives", out / "archives"),
            ),
            "load": Task(
                lambda out: [sys.executable, "-c", _LOAD, zoom, str(out)],
                look=lambda out: {"rows": (out / "rows").read_text()},
                python=True,
            ),
        }  # fmt: skip

    def _published(self, repository: str) -> dict[str, str]:
        try:
            files = self.hub.files(repository)
        except KeyError:
            return {}
        name = repository.encode()
        return {path: hashlib.sha256(data.replace(name, b"")).hexdigest()
                for path, data in files.items()}  # fmt: skip
