"""What a pass over the data left out: counted, named, and said."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geoload.writing import whole_file

_NAMED = 5


class Report:
    """Counts of things by kind, with the first few names of each.

    Kinds are plain sentences such as "pictures that belong to no split", so that a line of the
    log reads without a legend.

    Parameters
    ----------
    keep : int
        How many names of each kind to keep; a line says the first few all the same.
    """

    def __init__(self, keep: int = _NAMED) -> None:
        self._keep = keep
        self.counts: Counter[str] = Counter()
        self.names: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, name: str) -> None:
        """Count one thing of a kind."""
        self.add_many(kind, 1, [name])

    def add_many(self, kind: str, count: int, names: Iterable[str] = ()) -> None:
        """Count several things of a kind, naming those of `names` that there is room for."""
        if count:
            self.counts[kind] += count
            room = self._keep - len(self.names[kind])
            self.names[kind] += list(names)[: max(room, 0)]

    def merge(self, other: Report) -> None:
        """Add another report's counts to this one's."""
        for kind, count in other.counts.items():
            self.add_many(kind, count, other.names[kind])

    def clear(self) -> None:
        """Forget everything."""
        self.counts.clear()
        self.names.clear()

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return "; ".join(self.line(kind) for kind in self.counts)

    def line(self, kind: str) -> str:
        """Say one kind in a few words."""
        names = self.names[kind][:_NAMED]
        more = ", …" if self.counts[kind] > len(names) else ""
        return f"{self.counts[kind]:,} {kind}" + (f" ({', '.join(names)}{more})" if names else "")

    def settle(self, what: str, strict: bool, log: logging.Logger | None = None) -> None:
        """Say what was found, or raise with it; where nothing was found, do nothing.

        Parameters
        ----------
        what : str
            Where it was found: a part, a split.
        strict : bool
            Raise ValueError.
        log : logging.Logger, optional
            Warned instead, if there is one.
        """
        if self and strict:
            raise ValueError(f"{what}: {self} (strict=True).")
        if self and log is not None:
            log.warning("%s: %s", what, self)

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Return the report as plain data for a JSON file."""
        return {kind: {"count": n, "first": self.names[kind]} for kind, n in self.counts.items()}

    @classmethod
    def from_dict(cls, data: dict[str, dict]) -> Report:
        """Read back what `as_dict` gave."""
        report = cls()
        for kind, entry in data.items():
            report.add_many(kind, entry["count"], entry["first"])
        return report


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote.

    Raises
    ------
    ValueError
        When it holds no JSON object; the file is named.
    FileNotFoundError
        When it is not there.
    """
    try:
        data = json.loads(Path(path).read_bytes())
        if isinstance(data, dict):
            return data
        reason = "it holds no JSON object"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise ValueError(f"{path} is damaged: {reason}.")


def write_json(path: str | Path, data: object, indent: int | None = 2) -> None:
    """Write a JSON file so that half of one is never seen."""
    # Half a character, which has no UTF-8, becomes an escape of JSON.
    with whole_file(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps(data, indent=indent, ensure_ascii=indent is None) + "\n")
