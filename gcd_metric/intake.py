"""Reads and scores the files and pasted text that visitors of the page send.

Input is not trusted: sizes are checked before it is parsed.

The package does not contain the truth of a benchmark. If the operator of the page puts it beside
this file as `references/im2gps.csv` (or into the folder named by GCD_METRIC_REFERENCES), visitors
need not send it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from . import groups, scoring, tables, text
from .columns import ADVICE
from .options import make_options
from .scoring import Scored, benchmarks

MOST_MEGABYTES = 32
MOST_ROWS = 300_000
MOST_PASTED = 2_000_000  # characters
OWN = ""  # no benchmark: the visitor's own photos
AUTOMATIC = ""  # the distances of the benchmark
UNANSWERED = "Include photos without a prediction"
TITLES = {"im2gps": "Im2GPS", "im2gps3k": "Im2GPS3k", "justzoomin": "Just Zoom In"}
_FOLDER = "GCD_METRIC_REFERENCES"  # an environment variable
_MOST_COLUMNS = 100
_MOST_BY = 3  # columns for whose values scores are computed
_LONGEST_ID = 255  # characters, as in a file name
_WORDING = scoring.Wording(
    ADVICE, "both need the names of the same photos", f"ticking “{UNANSWERED}”"
)


# --- what a visitor sends -----------------------------------------------------------------------


class Upload(NamedTuple):
    """A file that a visitor sent, or text that they pasted; either may be missing."""

    what: str  # "predictions"
    file: str | None
    pasted: str | None

    @property
    def is_nothing(self) -> bool:
        """Whether there is neither a file nor text."""
        return not self.file and not (self.pasted or "").strip()

    @property
    def name(self) -> str:
        """The name in tables and messages."""
        return Path(self.file).name if self.file else f"pasted {self.what}.csv"


def read(upload: Upload, also: Sequence[str] = ()) -> pd.DataFrame:
    """Read a visitor's table, and its columns `also`, if it has them.

    A ValueError says why it is not a good CSV, or too large.
    """
    if upload.file and (upload.pasted or "").strip():
        raise ValueError(f"{upload.what}: there is a file and pasted text; remove one of them")
    if upload.file:
        return _read_file(Path(upload.file), upload, also)
    pasted = upload.pasted or ""
    if len(pasted) > MOST_PASTED:
        raise ValueError(
            f"{upload.name}: {len(pasted):,} characters; send more than {MOST_PASTED:,} as a file"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pasted.csv")
        path.write_text(pasted.strip() + "\n", encoding="utf-8", newline="")
        return _read_file(path, upload, also)


def _read_file(path: Path, upload: Upload, also: Sequence[str]) -> pd.DataFrame:
    name = upload.name
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise ValueError(
            f"{name}: this page reads .csv and .tsv; the command gcd-metric also reads Parquet and "
            "compressed files"
        )
    _check_bounds(path, name)
    is_truth = upload.what == "truth"
    table = tables.read_coordinates(
        path,
        of="references" if is_truth else "predictions",
        allow_missing=not is_truth,
        answers=None if is_truth else tables.AnswerOptions(),
        where=name,
        also=[*groups.COLUMNS, *also],
    )
    long = table["image_id"].str.len().to_numpy() > _LONGEST_ID
    if long.any():
        raise ValueError(
            f"{name}: row {int(long.argmax()) + 1} has an id of more than {_LONGEST_ID} characters"
        )
    return table


def _check_bounds(path: Path, name: str) -> None:
    """Refuse files that would take much memory or time to parse."""
    limit = "the command gcd-metric has no such limit"
    if path.stat().st_size > MOST_MEGABYTES * 1024 * 1024:
        raise ValueError(f"{name}: larger than {MOST_MEGABYTES} MB; {limit}")
    data = path.read_bytes()
    if b"\0" in data:
        raise ValueError(f"{name}: this is not text; save it as a UTF-8 CSV")
    rows = max(data.count(b"\n"), data.count(b"\r"))
    if rows > MOST_ROWS + 1:
        raise ValueError(f"{name}: more than {MOST_ROWS:,} rows; {limit}")
    header = re.split(rb"[\r\n]", data.lstrip(b"\xef\xbb\xbf\r\n"), maxsplit=1)[0]
    columns = 1 + max(header.count(separator) for separator in (b",", b";", b"\t"))
    if columns > _MOST_COLUMNS:
        raise ValueError(f"{name}: {columns:,} columns; leave only id, latitude and longitude")
    if header.count(b'"') % 2:
        raise ValueError(f"{name}: the header has a quotation mark that is not closed")


# --- the truth ----------------------------------------------------------------------------------


def truth_of(benchmark: str) -> Path | None:
    """The table of a benchmark's truth, if the operator of the page has provided it."""
    folder = Path(os.environ.get(_FOLDER) or Path(__file__).with_name("references"))
    path = folder / f"{benchmark}.csv"
    return path if benchmark in benchmarks() and path.is_file() else None


def check_references_folder() -> None:
    """Raise a ValueError if the environment variable names a folder that does not exist."""
    named = os.environ.get(_FOLDER)
    if named and not Path(named).is_dir():
        raise ValueError(
            f"{_FOLDER}={named}: no such folder; it should contain the truth of benchmarks, for "
            "example as im2gps.csv"
        )


def _read_references(
    benchmark: str, upload: Upload, also: Sequence[str]
) -> tuple[pd.DataFrame, str]:
    path = truth_of(benchmark)
    if not upload.is_nothing:
        table, name = read(upload, also), upload.name
    elif path is not None:
        name, kept = path.name, [*groups.COLUMNS, *also]
        table = tables.read_coordinates(path, of="references", where=name, also=kept)
    else:
        lacking = f"the truth of {TITLES.get(benchmark, benchmark)} is not on this page"
        raise ValueError(
            f"{lacking if benchmark else 'there is no truth to compare with'}; give it as a "
            "CSV with image_id, latitude and longitude"
        )
    tables.refuse_unscorable(table, name)
    return table, name


# --- scoring ------------------------------------------------------------------------------------


def score(
    predictions: Upload,
    others: Upload,
    references: Upload,
    benchmark: str = OWN,
    config_name: str = AUTOMATIC,
    count_missing: bool = False,
    by: str = "",
) -> Scored:
    """Score what a visitor sent; a ValueError says why it cannot be scored.

    `others` are the predictions of a second model. They and the references may be missing. The
    benchmark decides which truth to use, if the page has it, and which published results to show.
    `config_name` is a key of `CONFIGURATIONS`, by default the benchmark's. With `count_missing`,
    photos without a prediction count as wrong. `by` are columns of the truth, separated by commas,
    for whose values scores are computed, too.
    """
    if predictions.is_nothing:
        raise ValueError("there are no predictions: upload a CSV file or paste one")
    default = "justzoomin" if benchmark == "justzoomin" else "standard"
    options = make_options(config_name or default, missing="miss" if count_missing else "error")
    hint = "" if count_missing else _WORDING.count_missing
    uploads = [one for one in (predictions, others) if not one.is_nothing]
    read_tables = [read(one) for one in uploads]
    files = [one.name for one in uploads]
    for file, table in zip(files, read_tables, strict=True):
        tables.refuse_unscorable(table, file, hint)
    columns = [part.strip() for part in by.split(",") if part.strip()]
    if len(columns) > _MOST_BY:
        raise ValueError(f"scores by {len(columns)} columns; name at most {_MOST_BY}")
    truth, truth_name = _read_references(benchmark, references, columns)
    named = list(zip(text.names_of(files), files, read_tables, strict=True))
    task = scoring.Task(truth, truth_name, options, _WORDING, benchmark or None, differences=True)
    task.by = columns
    if benchmark == "justzoomin":
        task.groups = groups.JUSTZOOMIN
    return scoring.score_runs(scoring.join(named, task), task)
