"""Counts of what a pass over the data left out, for the log and for `report.json`."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from gcd_metric.names import counted, visible

_NAMED = 5


class Kind(str):
    """A kind of findings: a stable code for JSON files, with a text such as `repeated pictures`.

    The text starts with a plural in s and has no verb, so that it follows any count.
    """

    text: str

    def __new__(cls, code: str, text: str = "") -> Kind:
        """Return the code as a str whose attribute `text` is, by default, the code itself."""
        kind = super().__new__(cls, code)
        kind.text = text or code
        return kind


class Findings:
    """Counts by kind, with the first `keep` names of each kind.

    A line of text shows five names at most.
    """

    def __init__(self, keep: int = _NAMED) -> None:
        self._keep = keep
        self.counts: Counter[Kind] = Counter()
        self.names: dict[Kind, list[str]] = defaultdict(list)

    def add(self, kind: Kind, name: str) -> None:
        """Count one case of a kind."""
        self.add_many(kind, 1, [name])

    def add_many(self, kind: Kind, count: int, names: Iterable[str] = ()) -> None:
        """Count several cases of a kind, and store their names up to `keep`."""
        if count:
            self.counts[kind] += count
            room = self._keep - len(self.names[kind])
            self.names[kind] += list(names)[: max(room, 0)]

    def merge(self, other: Findings) -> None:
        """Add the counts of other findings."""
        for kind, count in other.counts.items():
            self.add_many(kind, count, other.names[kind])

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return "; ".join(self.line(kind) for kind in self.counts)

    def line(self, kind: Kind) -> str:
        """Describe one kind: `2 rows without a picture (a, b)`."""
        names = list(map(visible, self.names[kind][:_NAMED]))
        more = ", …" if self.counts[kind] > len(names) else ""
        text = counted(self.counts[kind], kind.text)
        return text + (f" ({', '.join(names)}{more})" if names else "")

    def raise_or_log(self, what: str, strict: bool, log: logging.Logger | None = None) -> None:
        """Raise ValueError if `strict`, or else warn in `log`; `what` names what was read."""
        if self and strict:
            raise ValueError(f"{what}: {self} (strict=True).")
        if self and log is not None:
            log.warning("%s: %s", what, self)

    def as_dict(self, names: str = "first") -> dict[str, dict[str, Any]]:
        """Return plain data for a JSON file, with the names under the key `names`."""
        return {
            kind: {"text": kind.text, "count": count, names: self.names[kind]}
            for kind, count in self.counts.items()
        }

    @classmethod
    def from_dict(cls, data: dict[str, dict[str, Any]]) -> Findings:
        """Read what `as_dict` returned, also in versions that had no codes."""
        findings = cls()
        for kind, entry in data.items():
            findings.add_many(Kind(kind, entry.get("text", "")), entry["count"], entry["first"])
        return findings
