"""Where a search keeps its lists, and how far each has come: `search.json` beside them.

A list on disk is whole slices only, up to the size in `search.json`; what a stopped search wrote
beyond that is cut off when it goes on.
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

from geoload.report import Report, read_json, write_json
from geoload.writing import naming
from im2gps.lists.records import list_name

STATE = "search.json"
FLICKR_OPENED = "2004-02-10"
_ID_LINE = re.compile(rb"photo: ([0-9]+) ")


@dataclass
class Progress:
    """How far the list of one keyword has come.

    Attributes
    ----------
    next : int
        Unix second at which the next slice starts.
    width : int
        Seconds that it will hold, if it does not hold too many photos; 0 at the start.
    size : int
        Bytes of the list that are whole slices.
    sha256 : str
        Of these bytes; empty in what earlier versions left.
    photos, slices : int
        What they hold.
    hidden : int
        Photos that Flickr counts and does not show.
    beyond : int
        Photos of seconds that hold more than it gives.
    done : bool
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


class Folder:
    """The lists of a search and its state, which `search.json` keeps.

    Parameters
    ----------
    folder : path
    start, stop : int, optional
        Unix seconds, both included. A search that goes on has those that it began with.
    exclusions : list of str

    Raises
    ------
    ValueError
        When the folder holds lists of another search.
    """

    def __init__(
        self, folder: str | Path, start: int | None, stop: int | None, exclusions: list[str]
    ) -> None:
        self.folder = Path(folder)
        self.report = Report()
        self.lists: dict[str, Progress] = {}
        self._digests: dict[str, Any] = {}
        given = {"from": start, "to": stop, "exclusions": exclusions}
        usual = {"from": day(FLICKR_OPENED), "to": int(time.time())}
        self.search: dict[str, Any] = given | usual
        kept = self._kept()
        for name, value in given.items():
            if value is not None and value != kept.get(name, value):
                raise ValueError(
                    f"{folder} holds a search with {name}: {shown(kept[name])}, not "
                    f"{shown(value)}. Go on with that, or start in another folder."
                )
            self.search[name] = kept.get(name, self.search[name] if value is None else value)
        if self.search["from"] > self.search["to"]:
            raise ValueError("--from is later than --to: there is nothing in between.")

    def _kept(self) -> dict[str, Any]:
        """Take over the state of a search that was begun; returns its terms."""
        path = self.folder / STATE
        if not path.exists():
            return {}
        try:
            state = read_json(path)
            self.report = Report.from_dict(state["report"])
            self.lists = {word: Progress(**entry) for word, entry in state["lists"].items()}
            return {name: state["search"][name] for name in self.search}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}): start in another folder."
            ) from None

    def begin(self, word: str) -> Progress:
        """Return how far a keyword's list has come.

        What was written after the last whole slice of an unfinished list is cut off.

        Raises
        ------
        ValueError
            When the list is not as this search left it.
        """
        path = self.path(word)
        size = path.stat().st_size if path.exists() else 0
        if word not in self.lists:
            if size:
                raise ValueError(f"{path} is there, but not from this search: move it away.")
            self.lists[word] = Progress(self.search["from"])
            self._digests[word] = hashlib.sha256()
            self.append(word, b"")  # from here on the list is known to be ours
        progress = self.lists[word]
        self._digests[word] = digest = _digest(path, progress.size)
        if size < progress.size or progress.sha256 not in ("", digest.hexdigest()):
            raise ValueError(
                f"{path} is not as this search left it ({size:,} bytes, where {STATE} says "
                f"{progress.size:,}): put it back, or start in another folder."
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
            return {found[1].decode() for line in file if (found := _ID_LINE.match(line))}

    def append(self, word: str, text: bytes, **changes: Any) -> None:
        """Write whole slices at the end of a list, and then how far it has come."""
        progress = self.lists[word]
        with naming(self.path(word)), open(self.path(word), "ab") as file:
            file.write(text)
            file.flush()
            # The state must not be on disk before what it tells of.
            os.fsync(file.fileno())
        self._digests[word].update(text)
        changes |= {"size": progress.size + len(text), "sha256": self._digests[word].hexdigest()}
        for name, value in changes.items():
            setattr(progress, name, value)
        lists = {word: asdict(progress) for word, progress in self.lists.items()}
        state = {"search": self.search, "report": self.report.as_dict(), "lists": lists}
        write_json(self.folder / STATE, state)


def _digest(path: Path, size: int) -> Any:
    """Return the SHA-256 of the first bytes of a file, to go on with."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size and (piece := file.read(min(size, 2**20))):
            digest.update(piece)
            size -= len(piece)
    return digest


def day(text: str) -> int:
    """Return the Unix second at which a day begins."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2008-12-31") from None


def shown(value: Any) -> str:
    """Return a Unix second, or a list of words, as a person would write it."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return " ".join(value) or "none"
