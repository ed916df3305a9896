"""What a visitor of the page may send: files and pasted text within bounds, read and scored.

Nothing of it is trusted: sizes are checked before a parser sees them. The form is page.py.

The truth of a benchmark is not part of the package. Whoever runs the page may lay it beside this
file, as `references/im2gps.csv` or the like (or in the folder that GCD_METRIC_REFERENCES names):
the benchmark then needs no references from the visitor.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from . import scoring, tables, text
from .scoring import Scored, benchmarks

MOST_MEGABYTES = 32
MOST_ROWS = 300_000
MOST_PASTED = 2_000_000  # characters
OWN = ""  # no benchmark: the visitor's own photos
AUTOMATIC = ""  # the distances of the benchmark
UNANSWERED = "Score unanswered photos too"
TITLES = {"im2gps": "Im2GPS", "im2gps3k": "Im2GPS3k", "justzoomin": "Just Zoom In"}
_FOLDER = "GCD_METRIC_REFERENCES"  # the variable that names it
_MOST_COLUMNS = 100
_LONGEST_ID = 255  # as long as a file's name can be
_WORDING = scoring.Wording(
    "rename the right column to {}, and others of such names to something else",
    "both need the names of the same photos",
    f"ticking “{UNANSWERED}”",
)


# --- what a visitor sends -----------------------------------------------------------------------


class Given(NamedTuple):
    """A file that a visitor sent, or text that they pasted; either may be nothing."""

    what: str  # "predictions"
    file: str | None
    pasted: str | None

    @property
    def is_nothing(self) -> bool:
        """Whether neither a file nor text was given."""
        return not self.file and not (self.pasted or "").strip()

    @property
    def name(self) -> str:
        """What tables and messages call it."""
        return Path(self.file).name if self.file else f"pasted {self.what}.csv"


def read(given: Given, allow_missing: bool) -> pd.DataFrame:
    """Read a visitor's table, within bounds.

    Parameters
    ----------
    given : Given
        Not nothing.
    allow_missing : bool
        Whether an empty coordinate becomes NaN instead of an error.

    Returns
    -------
    pandas.DataFrame
        As `tables.read_coordinates` returns it.

    Raises
    ------
    ValueError
        For what is no CSV, too large, or wrong in a cell, which is named.
    """
    if given.file and (given.pasted or "").strip():
        raise ValueError(f"{given.what}: there is a file and pasted text; remove one of them")
    if given.file:
        return _read_file(Path(given.file), given, allow_missing)
    pasted = given.pasted or ""
    if len(pasted) > MOST_PASTED:
        raise ValueError(
            f"{given.name}: {len(pasted):,} characters; more than {MOST_PASTED:,} are sent as a "
            "file"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pasted.csv")
        path.write_text(pasted.strip() + "\n", encoding="utf-8", newline="")
        return _read_file(path, given, allow_missing)


def _read_file(path: Path, given: Given, allow_missing: bool) -> pd.DataFrame:
    name = given.name
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise ValueError(
            f"{name}: this page reads .csv and .tsv; the command gcd-metric also reads Parquet and "
            "compressed files"
        )
    _check_bounds(path, name)
    of = "references" if given.what == "truth" else "predictions"
    table = tables.read_coordinates(
        path, of=of, allow_missing=allow_missing, advice=_WORDING.column, where=name
    )
    long = table["image_id"].str.len().to_numpy() > _LONGEST_ID
    if long.any():
        raise ValueError(
            f"{name}: row {int(long.argmax()) + 1} has an id of more than {_LONGEST_ID} characters"
        )
    return table


def _check_bounds(path: Path, name: str) -> None:
    """Refuse what would take much memory or time, before a parser sees it."""
    if path.stat().st_size > MOST_MEGABYTES * 1024 * 1024:
        raise ValueError(f"{name}: larger than {MOST_MEGABYTES} MB; {_instead()}")
    data = path.read_bytes()
    if b"\0" in data:
        raise ValueError(f"{name}: this is no text; save it as CSV in UTF-8")
    rows = max(data.count(b"\n"), data.count(b"\r"))
    if rows > MOST_ROWS + 1:
        raise ValueError(f"{name}: more than {MOST_ROWS:,} rows; {_instead()}")
    header = re.split(rb"[\r\n]", data.lstrip(b"\xef\xbb\xbf\r\n"), maxsplit=1)[0]
    columns = 1 + max(header.count(separator) for separator in (b",", b";", b"\t"))
    if columns > _MOST_COLUMNS:
        raise ValueError(f"{name}: {columns:,} columns; leave only id, latitude and longitude")
    if header.count(b'"') % 2:
        raise ValueError(f"{name}: the header has a quotation mark that is not closed")


def _instead() -> str:
    return "the command gcd-metric has no such limit"


# --- the truth ----------------------------------------------------------------------------------


def truth_of(benchmark: str) -> Path | None:
    """The table of a benchmark's truth, if whoever runs the page has laid one there."""
    folder = Path(os.environ.get(_FOLDER) or Path(__file__).with_name("references"))
    path = folder / f"{benchmark}.csv"
    return path if benchmark in benchmarks() and path.is_file() else None


def check_references_folder() -> None:
    """Refuse, as a ValueError, a folder of truths that was named and is not there."""
    named = os.environ.get(_FOLDER)
    if named and not Path(named).is_dir():
        raise ValueError(
            f"{_FOLDER}={named}: there is no such folder; it holds the truth of benchmarks, as "
            "im2gps.csv"
        )


def _read_references(benchmark: str, given: Given) -> tuple[pd.DataFrame, str]:
    if given.is_nothing:
        path = truth_of(benchmark)
        if path is None:
            lacking = f"the truth of {TITLES.get(benchmark, benchmark)} is not on this page"
            raise ValueError(
                f"{lacking if benchmark else 'there is no truth to compare with'}; give it as a "
                "CSV with image_id, latitude and longitude"
            )
        table, name = tables.read_coordinates(path, of="references", where=path.name), path.name
    else:
        table, name = read(given, allow_missing=False), given.name
    tables.refuse_duplicates(table["image_id"].tolist(), name)
    return table, name


# --- scoring ------------------------------------------------------------------------------------


def score(
    predictions: Given,
    others: Given,
    references: Given,
    benchmark: str = OWN,
    config_name: str = AUTOMATIC,
    count_missing: bool = False,
) -> Scored:
    """Score what a visitor gave.

    Parameters
    ----------
    predictions, others, references : Given
        `others` are a second model's predictions, `references` the truth; both may be nothing.
    benchmark : str
        Whose truth, where it is here, and whose published results.
    config_name : str
        A key of `CONFIGURATIONS`; by default the benchmark's.
    count_missing : bool
        Whether photos without a prediction count as wrong.

    Returns
    -------
    Scored

    Raises
    ------
    ValueError
        For input that cannot be scored.
    """
    if predictions.is_nothing:
        raise ValueError("there are no predictions: drop a CSV and let it upload, or paste one")
    missing = "miss" if count_missing else "error"
    given = [one for one in (predictions, others) if not one.is_nothing]
    read_tables = [read(one, allow_missing=True) for one in given]
    for one, table in zip(given, read_tables, strict=True):
        scoring.check_predictions(table, one.name, missing, _WORDING)
    truth, truth_name = _read_references(benchmark, references)
    names = text.names_of([one.name for one in given])
    runs = [
        scoring.join(name, one.name, table, truth, truth_name, missing, _WORDING)
        for name, one, table in zip(names, given, read_tables, strict=True)
    ]
    scoring.restrict_to_common(runs)
    settings = {
        "config_name": config_name or ("justzoomin" if benchmark == "justzoomin" else "standard"),
        "missing": missing,
    }
    return scoring.score_runs(runs, truth, truth_name, settings, benchmark or None, _WORDING)
