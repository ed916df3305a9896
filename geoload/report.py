"""What a pass over the data left out: counted, named, and said."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable

_NAMED = 5


class Findings:
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

    def merge(self, other: Findings) -> None:
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

    def raise_or_log(self, what: str, strict: bool, log: logging.Logger | None = None) -> None:
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
    def from_dict(cls, data: dict[str, dict]) -> Findings:
        """Read back what `as_dict` gave."""
        report = cls()
        for kind, entry in data.items():
            report.add_many(kind, entry["count"], entry["first"])
        return report
