"""The state of a search on disk: its lists, and `search.json`, which says how far each has come.

A list on disk is complete up to the size in `search.json`. Bytes after that are from an interrupted
run and are cut off when the search continues.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from geoload.files import filename_in_errors, read_json, write_json
from geoload.report import Findings
from im2gps.flickr.ids import PHOTO_ID
from im2gps.lists.records import list_name

STATE = "search.json"
FLICKR_OPENED = "2004-02-10"
_PHOTO_LINE = re.compile(rf"photo: ({PHOTO_ID}) ".encode())


@dataclass
class Progress:
    """How far the list of one keyword has come.

    Attributes
    ----------
    next, width : int
        Unix second at which the next slice starts, and how many seconds to ask for; 0 at first.
    size, sha256
        Bytes of the list that are whole slices, and their digest (empty in earlier versions).
    photos, slices : int
        What they contain.
    hidden, beyond : int
        Photos that Flickr counts but does not show, and those after the last result it gives.
    """

    next: int
    width: int = 0
    size: int = 0
    sha256: str = ""
    photos: int = 0
    slices: int = 0
    hidden: int = 0
    beyond: int = 0
    done: bool = False


class SearchState:
    """The lists of a search in a folder, and how far each has come.

    `start` and `stop` are Unix seconds, both included; None takes those with which the search
    began. Raises ValueError if the folder contains a search with other terms.
    """

    def __init__(
        self, folder: str | Path, start: int | None, stop: int | None, exclusions: list[str]
    ) -> None:
        self.folder = Path(folder)
        self.report = Findings()
        self.lists: dict[str, Progress] = {}
        self._digests: dict[str, Any] = {}
        given = {"from": start, "to": stop, "exclusions": exclusions}
        default = {"from": day(FLICKR_OPENED), "to": int(time.time())}
        self.search: dict[str, Any] = given | default
        saved = self._load()
        for name, value in given.items():
            if value is not None and value != saved.get(name, value):
                raise ValueError(
                    f"{folder} contains a search with {name}: {shown(saved[name])}, not "
                    f"{shown(value)}. Continue that one, or give another folder."
                )
            self.search[name] = saved.get(name, self.search[name] if value is None else value)
        if self.search["from"] > self.search["to"]:
            raise ValueError("--from is later than --to, so there is nothing to search.")

    def _load(self) -> dict[str, Any]:
        """Load the state of an earlier run and return the terms of its search."""
        path = self.folder / STATE
        if not path.exists():
            return {}
        try:
            state = read_json(path)
            self.report = Findings.from_dict(state["report"])
            self.lists = {word: Progress(**entry) for word, entry in state["lists"].items()}
            return {name: state["search"][name] for name in self.search}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}): give another folder."
            ) from None

    def begin(self, word: str) -> Progress:
        """Return the progress of a keyword's list, and cut off an incomplete slice at its end.

        Raises ValueError if the list is not as this search wrote it.
        """
        path = self.path(word)
        size = path.stat().st_size if path.exists() else 0
        if word not in self.lists:
            if size:
                raise ValueError(f"{path} exists, but was not written by this search: move it.")
            self.lists[word] = Progress(self.search["from"])
            self._digests[word] = hashlib.sha256()
            self.append(word, b"")  # so that `search.json` names the list before it has content
        progress = self.lists[word]
        self._digests[word] = digest = _digest(path, progress.size)
        if size < progress.size or progress.sha256 not in ("", digest.hexdigest()):
            raise ValueError(
                f"{path} is not as this search wrote it ({size:,} bytes, but {STATE} says "
                f"{progress.size:,}): restore it, or give another folder."
            )
        if not progress.done:
            with open(path, "ab") as file:
                file.truncate(progress.size)
        return progress

    def path(self, word: str) -> Path:
        """Return the path of a keyword's list."""
        return self.folder / list_name(word)

    def photo_ids(self, word: str) -> set[str]:
        """Return the ids of the photos in a list."""
        with open(self.path(word), "rb") as file:
            return {found[1].decode() for line in file if (found := _PHOTO_LINE.match(line))}

    def append(self, word: str, text: bytes, **changes: Any) -> None:
        """Append whole slices to a list and then save how far it has come."""
        progress = self.lists[word]
        with filename_in_errors(self.path(word)), open(self.path(word), "ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # the state on disk must never be ahead of the list
        self._digests[word].update(text)
        changes |= {"size": progress.size + len(text), "sha256": self._digests[word].hexdigest()}
        for name, value in changes.items():
            setattr(progress, name, value)
        lists = {word: asdict(progress) for word, progress in self.lists.items()}
        state = {"search": self.search, "report": self.report.as_dict(), "lists": lists}
        write_json(self.folder / STATE, state)


def _digest(path: Path, size: int) -> Any:
    """Return a SHA-256 object that has read the first bytes of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size and (piece := file.read(min(size, 2**20))):
            digest.update(piece)
            size -= len(piece)
    return digest


def day(text: str) -> int:
    """Return the Unix second at which a day such as 2008-12-31 begins."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2008-12-31") from None


def shown(value: Any) -> str:
    """Return a Unix second, or a list of words, as text."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return " ".join(value) or "none"
