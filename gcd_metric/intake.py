"""Reads and scores the files and pasted text that visitors of the page send.

Files are read as by the command, but sizes are limited, since input is not trusted.

The package does not contain the truth of a benchmark. If the operator of the page puts it beside
this file as `references/im2gps.csv` (or into the folder named by GCD_METRIC_REFERENCES), visitors
need not send it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pandas as pd

from . import groups, inputs, leaderboard, scoring, tables, text
from .columns import ROLES
from .inputs import has_answers
from .opened import COMPRESSED, Opened, suffix_of
from .options import CONFIGURATIONS, Options, make_options, usual_configuration
from .readers import is_table, open_table
from .scoring import Scored, benchmarks

FORMATS = ".csv, .tsv, .txt, .json, .jsonl, .parquet, .npz or .xlsx"
COLUMNS = "Columns of the files"
MOST_MEGABYTES = 32
MOST_ROWS = 300_000
MOST_PASTED = 2_000_000  # characters
OWN = ""  # no benchmark: the visitor's own photos
AUTOMATIC = ""  # the distances of the benchmark
UNANSWERED = "Include photos without a prediction"
TITLES = {
    "im2gps": "Im2GPS",
    "im2gps3k": "Im2GPS3k",
    "yfcc4k": "YFCC4k",
    "yfcc26k": "YFCC26k",
    "gws15k": "GWS15k",
    "osv5m": "OSV-5M",
    "justzoomin": "Just Zoom In",
}
_FOLDER = "GCD_METRIC_REFERENCES"  # an environment variable
_MOST_COLUMNS = 100
_MOST_BY = 3  # columns for whose values scores are computed
_MOST_DISTANCES = 8
_LONGEST_ID = 255  # characters, as in a file name
_ADVICE = f"choose one under “{COLUMNS}”"
_UNCLEAR = "unclear"  # the end of errors about the columns of predictions and truth
_WORDING = scoring.Wording(
    _ADVICE, "both need the names of the same photos", f"ticking “{UNANSWERED}”"
)
# advice in messages that names options of the command
_OPTIONS = re.compile(r"^--by: |; [^;()]*--[a-z][^;()]*")


# --- what a visitor sends -----------------------------------------------------------------------


@dataclass
class Upload:
    """A file that a visitor sent, or text that they pasted; either may be missing."""

    what: str  # "predictions"
    file: str | None
    pasted: str | None
    columns: Mapping[str, str | None] = field(default_factory=dict)  # chosen, by role

    @property
    def is_nothing(self) -> bool:
        """Whether there is neither a file nor text."""
        return not self.file and not (self.pasted or "").strip()

    @property
    def name(self) -> str:
        """The name in tables and messages."""
        return Path(self.file).name if self.file else f"pasted {self.what}"


class Choices(NamedTuple):
    """What a visitor chose beside the files."""

    benchmark: str = OWN
    distances: str = AUTOMATIC  # a key of `CONFIGURATIONS`, or as in `1, 10, 100 km`
    count_missing: bool = False
    by: str = ""  # columns of the truth, separated by commas
    groups: str = ""  # as for `find_labels`

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Choices:
        """The choices in the address of a page; what is no choice is left out."""
        benchmark = query.get("benchmark", OWN)
        return cls(
            benchmark if benchmark in benchmarks() else OWN,
            query.get("distances", AUTOMATIC)[:_LONGEST_ID],
            query.get("missing") == "wrong",
            *(query.get(name, "")[:_LONGEST_ID] for name in ("by", "groups")),
        )

    @property
    def query(self) -> str:
        """The end of the address of a page with these choices."""
        missing = "wrong" if self.count_missing else ""
        values = {**self._asdict(), "missing": missing, "count_missing": ""}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def options(self) -> Options:
        """The options of the metric."""
        usual = usual_configuration(self.benchmark)
        missing = "miss" if self.count_missing else "error"
        if not self.distances or self.distances in CONFIGURATIONS:
            return make_options(self.distances or usual, missing=missing)
        match = re.fullmatch(r"([\d.,;\s]+?)\s*(km|m)?", self.distances.strip().lower())
        numbers = re.findall(r"\d+(?:\.\d+)?", match[1]) if match else []
        if not match or not 0 < len(numbers) <= _MOST_DISTANCES:
            raise ValueError(
                f"distances {self.distances!r}: write up to {_MOST_DISTANCES}, as in 1, 10, 100 km"
            )
        unit = match[2] or make_options(usual).unit
        return make_options(usual, list(map(float, numbers)), unit, missing=missing)


NO_CHOICES = Choices()


def place_of(upload: Upload, made: ExitStack) -> Path:
    """The file with what a visitor sent; pasted text is in a folder that `made` removes."""
    if upload.file and (upload.pasted or "").strip():
        raise ValueError(f"{upload.what}: there is a file and pasted text; remove one of them")
    if upload.file:
        return Path(upload.file)
    pasted = (upload.pasted or "").strip()
    if len(pasted) > MOST_PASTED:
        raise ValueError(
            f"{upload.name}: {len(pasted):,} characters; send more than {MOST_PASTED:,} as a file"
        )
    path = Path(made.enter_context(tempfile.TemporaryDirectory()), "pasted.txt")
    path.write_text(pasted + "\n", encoding="utf-8", newline="")
    return path


def headers(upload: Upload) -> list[str]:
    """The columns among which a visitor may choose; empty if the file cannot be opened."""
    with ExitStack() as made, suppress(ValueError):
        if not upload.is_nothing:
            return _open(place_of(upload, made), upload.name).names
    return []


def _open(path: Path, name: str) -> Opened:
    """Open a file that is not too large and of a format that this page reads."""
    if not is_table(path) or suffix_of(path) == ".eval":
        raise ValueError(f"{name}: this page reads {FORMATS}")
    if path.suffix.lower() in COMPRESSED:
        raise ValueError(f"{name}: this page reads no compressed files; unpack it")
    limit = "the command gcd-metric has no such limit"
    if path.stat().st_size > MOST_MEGABYTES * 1024 * 1024:
        raise ValueError(f"{name}: larger than {MOST_MEGABYTES} MB; {limit}")
    opened = open_table(path, name)
    columns = len(opened.names)
    if columns > _MOST_COLUMNS:
        raise ValueError(f"{name}: {columns:,} columns; leave only id, latitude and longitude")
    if sum(1 for _ in islice(_first_cells(opened), MOST_ROWS + 1)) > MOST_ROWS:
        raise ValueError(f"{name}: more than {MOST_ROWS:,} rows; {limit}")
    return opened


def _first_cells(opened: Opened) -> Iterator[object]:
    """One item for each row, until one that cannot be read."""
    with suppress(ValueError):
        yield from opened.read(opened.names[:1] * len(ROLES))


def _chosen(upload: Upload, names: Sequence[str]) -> dict[str, str | None]:
    """The columns that were chosen; those of a former file are left out."""
    known = {role: name for role, name in upload.columns.items() if name in names}
    return {role: known.get(role) for role in ROLES}


def _read(upload: Upload, path: Path, also: Sequence[str]) -> pd.DataFrame:
    names = _open(path, upload.name).names
    is_truth = upload.what == "truth"
    answer = upload.columns.get("answer")
    return tables.read_coordinates(
        path,
        *_chosen(upload, names).values(),
        of="references" if is_truth else "predictions",
        allow_missing=not is_truth,
        advice=_ADVICE,
        where=upload.name,
        also=also,
        lenient=True,
        answers=None if is_truth else tables.AnswerOptions(answer if answer in names else None),
    )


def _read_both(
    upload: Upload, truth: Upload, path: Path, also: Sequence[str], lacking: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and truth of one file."""
    names = _open(path, upload.name).names
    answer = upload.columns.get("answer")
    answers = tables.AnswerOptions(answer if answer in names else None)
    options = tables.ReadOptions(upload.name, also=also, answers=answers)
    chosen = _chosen(upload, names), _chosen(truth, names)
    try:
        return tables.read_both(path, *chosen, options, _UNCLEAR)
    except ValueError as error:
        unclear = str(error).removesuffix(f"; {_UNCLEAR}")
        if unclear == str(error):
            raise
        upload_it = f"upload it, or choose the columns of both under “{COLUMNS}”"
        raise ValueError(f"{lacking}; {upload_it} ({unclear})") from None


def _refuse_long_ids(table: pd.DataFrame, name: str) -> None:
    long = table["image_id"].str.len().to_numpy() > _LONGEST_ID
    if long.any():
        raise ValueError(
            f"{name}: row {int(long.argmax()) + 1} has an id of more than {_LONGEST_ID} characters"
        )


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


# --- scoring ------------------------------------------------------------------------------------


def score(
    predictions: Upload, others: Upload, references: Upload, choices: Choices = NO_CHOICES
) -> Scored:
    """Score what a visitor sent; a ValueError says why it cannot be scored.

    `others` are the predictions of a second model. They and the references may be missing. The
    benchmark decides which truth to use, if the page has it, and which published results to show.
    Without a truth, the first predictions may contain it. Scores by country are always computed.
    """
    with ExitStack() as made:
        try:
            scored = _score(predictions, others, references, choices, made)
        except ValueError as error:
            raise ValueError(_OPTIONS.sub("", str(error))) from error
    scored.notes = [_OPTIONS.sub("", note) for note in scored.notes]
    return scored


def _read_all(
    uploads: list[Upload], references: Upload, benchmark: str, also: list[str], made: ExitStack
) -> tuple[list[pd.DataFrame], pd.DataFrame, str]:
    """The predictions, the truth and its name; the first file may contain both."""
    paths = [place_of(one, made) for one in uploads]
    ours = truth_of(benchmark)
    found = []
    if references.is_nothing and not ours:
        title, name = TITLES.get(benchmark, benchmark), uploads[0].name
        lacking = f"the truth of {title} is not on this page" if benchmark else "there is no truth"
        table, truth = _read_both(uploads[0], references, paths[0], also, lacking)
        found.append(table)
    rest = list(zip(uploads, paths, strict=True))[len(found) :]
    found += [_read(upload, path, also) for upload, path in rest]
    if not references.is_nothing:
        truth, name = _read(references, place_of(references, made), also), references.name
    elif ours:
        name = ours.name
        truth = tables.read_coordinates(ours, of="references", where=name, also=also)
    return found, truth, name


def _score(
    predictions: Upload, others: Upload, references: Upload, choices: Choices, made: ExitStack
) -> Scored:
    if predictions.is_nothing:
        raise ValueError("there are no predictions: upload a file or paste them")
    options, benchmark = choices.options(), choices.benchmark
    by = [part.strip() for part in choices.by.split(",") if part.strip()]
    if len(by) > _MOST_BY:
        raise ValueError(f"scores by {len(by)} columns; name at most {_MOST_BY}")
    by += [] if "country" in map(str.lower, by) else ["country"]
    asked = choices.groups.strip()
    also = [*([asked] if asked else groups.COLUMNS), *by]
    uploads = [one for one in (predictions, others) if not one.is_nothing]
    found, truth, truth_name = _read_all(uploads, references, benchmark, also, made)
    if has_answers(found) and options.missing == "error":
        options = options._replace(missing="miss")
        found[0].attrs["notes"].append("answers without coordinates count as wrong")
    names = [one.name for one in uploads]
    hint = "" if options.missing == "miss" else _WORDING.count_missing
    for name, table in zip(names, found, strict=True):
        _refuse_long_ids(table, name)
        tables.refuse_unscorable(table, name, hint)
    tables.refuse_unscorable(truth, truth_name)
    shown = list(zip(names, found, strict=True))
    tables.choose_ids(shown, (truth_name, truth), _ADVICE)
    named = list(zip(text.names_of(names), names, found, strict=True))
    task = scoring.Task(truth, truth_name, options, _WORDING, benchmark or None, differences=True)
    task.by = by
    task.groups = asked or groups.usual_groups(benchmark)
    return scoring.score_runs(scoring.join(named, task), task)


def rank(repository: str, files: Sequence[str], truth: str | None, benchmark: str) -> Scored:
    """Rank the models of a repository on the Hub, or of files; a ValueError says what is lacking.

    The truth is what the visitor sent, else the benchmark itself, else that of the page.
    """
    if bool(repository) == bool(files):
        raise ValueError("name a repository, or upload predictions; one of the two")
    also, given = [*groups.COLUMNS], Upload("truth", truth, None)
    if repository:
        read = leaderboard.collect_from_hub(repository, benchmark or None)
    else:
        read = _sent(files, benchmark)
    if not given.is_nothing:
        references, name = _read(given, Path(str(truth)), also), given.name
    elif read.benchmark:
        references, name = inputs.load_benchmark(read.benchmark, also), read.benchmark.repository
    elif ours := truth_of(read.task):
        references, name = tables.read_coordinates(ours, of="references", also=also), ours.name
    else:
        raise ValueError("there is no truth: upload it")
    return leaderboard.score(read, references, name)


def _sent(files: Sequence[str], benchmark: str) -> leaderboard.Submissions:
    """The predictions in files of a visitor, and what is wrong with the others."""
    read = leaderboard.Submissions(benchmark)
    names = text.names_of([Path(file).name for file in files])
    for file, name in zip(files, names, strict=True):
        with read.noting_faults(name):
            table = _read(Upload("predictions", file, None), Path(file), [])
            _refuse_long_ids(table, name)
            read.valid.append(leaderboard.Submission(name, name, table))
    return read
