"""What `verify` found in a folder: kinds of findings, and how they are said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from geoload.report import Findings
from justzoomin.streetview import BROKEN

ABSENT = "pictures of the TAR files that are not here"
OTHER_SIZE = "pictures of another size than in the TAR files"
OTHER_BYTES = "pictures that differ from those in the TAR files"
UNKNOWN = "pictures that no TAR file holds"
NO_TABLE = "pictures that no table names"
BROKEN_TOO = "pictures that are no whole JPEG in the TAR files either"
NOT_DECODED = "pictures that do not decode"
NO_FILE = "files that are not here"
OTHER_FILE = "files that differ from the source's"
NO_TAR = "TAR files that are not here"
UNREADABLE = "files that cannot be read"
UNFINISHED = "extractions that did not finish"

ALL_NAMES = 10**9


@dataclass
class Verdict:
    """What `verify` found.

    Attributes
    ----------
    folder : str
    compared : str or None
        The source of the TAR files that it was compared with.
    extracted : bool
        Whether it is an extracted folder, not one of TAR files.
    groups : list of (str, int or None, int)
        What, how many there should be (None where nothing tells), how many there are.
    wrong, notes : Findings
        What is missing, doubled or broken; and what is worth knowing.
    """

    folder: str
    compared: str | None = None
    extracted: bool = True
    groups: list[tuple[str, int | None, int]] = field(default_factory=list)
    wrong: Findings = field(default_factory=lambda: Findings(ALL_NAMES))
    notes: Findings = field(default_factory=lambda: Findings(ALL_NAMES))

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for a JSON file, with all names."""
        groups = [dict(zip(("what", "expected", "there"), g, strict=True)) for g in self.groups]
        kinds = {
            key: {k: {"count": n, "names": report.names[k]} for k, n in report.counts.items()}
            for key, report in (("wrong", self.wrong), ("notes", self.notes))
        }
        return {
            "folder": self.folder, "whole": self.whole, "compared_with": self.compared,
            "groups": groups, **kinds,
        }  # fmt: skip


def summary(verdict: Verdict) -> str:
    """Say what was found: a table, a line for each kind of finding, and what to do."""
    lines = [verdict.folder + (f", compared with {verdict.compared}" if verdict.compared else "")]
    rows = [[what, "" if n is None else f"{n:,}", f"{m:,}"] for what, n, m in verdict.groups]
    headers = ["", "should be there", "is there"]
    lines += [
        "",
        tabulate(rows, headers, colalign=("left", "right", "right"), disable_numparse=True),
    ]
    lines += ["", *(f"Wrong: {verdict.wrong.line(kind)}" for kind in verdict.wrong.counts)]
    lines += [f"Note: {verdict.notes.line(kind)}" for kind in verdict.notes.counts]
    kinds = set(verdict.wrong.counts)
    if verdict.extracted and kinds & {BROKEN, NOT_DECODED, OTHER_BYTES}:
        lines.append("Delete pictures that are broken (--json FILE names all), for `extract` keeps "
                     "what has the right size.")  # fmt: skip
    if verdict.extracted and kinds & {ABSENT, OTHER_SIZE, UNFINISHED, NO_FILE}:
        lines.append(f"Run `justzoomin extract {verdict.folder}` again, as before: it gets what is "
                     "missing.")  # fmt: skip
    if verdict.extracted and verdict.compared is None:
        lines.append("Missing tiles, and sizes, show only beside the TAR files (--data-dir, "
                     "--repository).")  # fmt: skip
    if verdict.whole:
        lines.append("Nothing is wrong.")
    return "\n".join(lines)
