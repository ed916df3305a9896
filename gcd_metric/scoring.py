"""Tables of predictions against references: joined, scored, and what may stand beside.

The command (cli.py) and the page (app.py) both ask here. Nothing is read but the published
results, nothing is drawn or printed, and the figures themselves come from figures.py.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from . import figures, tables
from .checks import examine
from .comparison import compare_distances
from .coordinates import Given
from .names import listed, shortened

_MOST_GROUPS = 10  # of ambiguous ids that are listed


class Wording(NamedTuple):
    """What messages advise, which differs between a command and a page.

    Attributes
    ----------
    column : str
        What to do where a column is not found; `{}` stands for id, latitude or longitude.
    id_column : str
        What to do where ids have nothing in common.
    count_missing : str
        What makes photos without a prediction count as wrong.
    """

    column: str
    id_column: str
    count_missing: str


@dataclass
class Run:
    """One model's predictions in the order of the references, and how far off they are."""

    name: str
    predictions: np.ndarray  # degrees, shape (n, 2); NaN where the model gave no answer
    file: str = ""
    columns: dict[str, str] = field(default_factory=dict)  # that were read
    notes: list[str] = field(default_factory=list)  # what was changed in reading
    positions: np.ndarray = field(default_factory=lambda: np.empty(0, int))  # of the references
    unmatched_predictions: list[str] = field(default_factory=list)
    unmatched_references: list[str] = field(default_factory=list)
    ambiguous: list[tuple[list[str], list[str]]] = field(default_factory=list)
    measured: np.ndarray = field(default_factory=lambda: np.empty(0))  # distances, shape (n,)
    scores: dict[str, Any] = field(default_factory=dict)  # as `compute` returns them


@dataclass
class Scored:
    """One run, or two that are compared, with every figure: what table, report and page show.

    Attributes
    ----------
    title : str
    runs : list of Run
    references : ndarray of shape (n, 2)
        Degrees, of the images that are scored.
    ids : list of str
    options : Options
        Distances of the runs are in `options.unit`.
    n_references : int
        Scored or not.
    reference_columns : dict of str to str
        The columns that were read.
    published : list of dict
        Published rows that are over the same images.
    comparison : dict or None
        Of two runs, as `compare` returns it.
    notes : list of str
        What was not scored and why, and what is doubtful, a line each.
    """

    title: str
    runs: list[Run]
    references: np.ndarray
    ids: list[str]
    options: figures.Options
    n_references: int = 0
    reference_columns: dict[str, str] = field(default_factory=dict)
    published: list[dict[str, str]] = field(default_factory=list)
    comparison: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


# --- joining ------------------------------------------------------------------------------------


def check_predictions(table: pd.DataFrame, where: str, missing: str, wording: Wording) -> None:
    """Refuse empty coordinates, where they do not count as wrong, and ids that occur twice.

    Parameters
    ----------
    table : pandas.DataFrame
        As `tables.read_coordinates` returns it.
    where : str
        What an error calls it.
    missing : {"error", "miss"}
    wording : Wording

    Raises
    ------
    ValueError
        Names the first such row, or the ids.
    """
    empty = table[["latitude", "longitude"]].isna().any(axis=1).to_numpy()
    if missing == "error" and empty.any():
        first = int(empty.argmax())
        raise ValueError(
            f"{where}: row {first + 1} ({shortened(table['image_id'].iloc[first])}) has no "
            f"coordinates, as have {int(empty.sum()):,} of {len(table):,} rows; "
            f"{wording.count_missing} counts them as wrong"
        )
    tables.refuse_duplicates(table["image_id"].tolist(), where)


def join(
    name: str,
    file: str,
    table: pd.DataFrame,
    references: pd.DataFrame,
    references_name: str,
    missing: str,
    wording: Wording,
) -> Run:
    """Bring predictions into the order of their references, by id.

    Parameters
    ----------
    name, file : str
        What tables and messages call the predictions.
    table, references : pandas.DataFrame
        As `tables.tidy` returns them.
    references_name : str
        What messages call the references.
    missing : {"error", "miss"}
        Whether references without a prediction are left out, or kept with NaN.
    wording : Wording

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If no id is in both, or several predictions are for one reference.
    """
    left, right = table["image_id"].tolist(), references["image_id"].tolist()
    match = tables.match_ids(left, right)
    for predictions, wanted in match.ambiguous:
        if len(predictions) > 1 and len(wanted) == 1:
            several = listed(predictions)
            raise ValueError(f"{file}: several predictions for {shortened(wanted[0])}: {several}")
    if not len(match.left):
        why = tables.why_none_match(left, right) or wording.id_column
        raise ValueError(
            f"{file}: none of its {len(left):,} ids (first: {shortened(left[0])}) is among the "
            f"{len(right):,} of {references_name} (first: {shortened(right[0])}); {why}"
        )
    found = table[["latitude", "longitude"]].to_numpy(dtype=np.float64)[match.left]
    positions = match.right
    if missing == "miss":
        everyone = np.full((len(right), 2), np.nan)
        everyone[match.right] = found
        positions, found = np.arange(len(right)), everyone
    return Run(
        name,
        found,
        file,
        table.attrs["columns"],
        table.attrs["notes"],
        positions,
        [left[index] for index in match.unmatched_left],
        [right[index] for index in match.unmatched_right],
        match.ambiguous,
    )


def restrict_to_common(runs: Sequence[Run]) -> None:
    """Keep what both runs answer, so that two columns of a table are of the same images."""
    if len(runs) < 2:
        return
    common = np.intersect1d(runs[0].positions, runs[1].positions)
    if not len(common):
        raise ValueError(f"{runs[0].file} and {runs[1].file} have no image in common")
    for run in runs:
        keep = np.isin(run.positions, common)
        run.positions, run.predictions = run.positions[keep], run.predictions[keep]


# --- published results --------------------------------------------------------------------------


def published(benchmark: str) -> list[dict[str, str]]:
    """Rows of published_results.csv for one benchmark; accuracies in percent, as text."""
    return [row for row in _published_rows() if row["benchmark"] == benchmark]


def benchmarks() -> dict[str, int]:
    """Benchmarks with published results, each with its number of photos."""
    return {row["benchmark"]: int(row["n"]) for row in _published_rows()}


def _published_rows() -> list[dict[str, str]]:
    path = Path(__file__).with_name("published_results.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _none_published(benchmark: str) -> str:
    """A line for a benchmark without published results, with those that have some."""
    known = ", ".join(benchmarks())
    return f"no published results of {benchmark} are known here, only of {known}"


def _published_beside(
    benchmark: str | None, n: int, options: figures.Options
) -> tuple[list[dict[str, str]], str | None]:
    """Published rows that may stand beside this score, and a line that says why not or what."""
    rows = published(benchmark) if benchmark else []
    if not rows:
        return [], _none_published(benchmark) if benchmark else None
    whole = int(rows[0]["n"])
    if n != whole:
        return [], (
            f"published results of {benchmark} are over its {whole:,} images and this score is "
            f"over {n:,}, so they are not shown"
        )
    if options.method != "haversine":
        return [], f"published results of {benchmark} use haversine, so they are not shown"
    keys = [figures.label(threshold, options.unit) for threshold in options.thresholds]
    rows = [row for row in rows if any(row.get(key) for key in keys)]
    if not rows:
        return [], f"published results of {benchmark} use other thresholds, so they are not shown"
    return rows, None


# --- scoring ------------------------------------------------------------------------------------


def score_runs(
    runs: list[Run],
    references: pd.DataFrame,
    references_name: str,
    settings: dict[str, Any],
    benchmark: str | None,
    wording: Wording,
    *,
    none_known: str | None = None,
) -> Scored:
    """Score one run, or two and their paired differences.

    Parameters
    ----------
    runs : list of Run
        On the same references, as `restrict_to_common` makes them; `measured` and `scores` are
        set here.
    references : pandas.DataFrame
    references_name : str
        For the title.
    settings : dict
        Arguments of `make_options`.
    benchmark : str, optional
        Whose published results to show, if they are over the same images.
    wording : Wording
    none_known : str, optional
        A line for a benchmark without published results.

    Returns
    -------
    Scored

    Raises
    ------
    ValueError
        For coordinates or options that cannot be scored.
    """
    options = figures.make_options(**settings)
    positions = runs[0].positions
    truth = references[["latitude", "longitude"]].to_numpy(dtype=np.float64)[positions]
    doubts = [_measure(run, truth, options) for run in runs]
    beside, why = _published_beside(benchmark, len(positions), options)
    notes = _notes(runs, len(references), options, wording)
    comparison = None
    if len(runs) > 1:
        comparison = compare_distances([run.measured for run in runs], options)
        if np.array_equal(runs[0].predictions, runs[1].predictions, equal_nan=True):
            notes.append("WARNING: both files hold the same predictions")
    read = (run.notes for run in runs)
    notes += dict.fromkeys(chain(*read, references.attrs["notes"], *doubts))
    notes += [line for line in (why or none_known,) if line]
    return Scored(
        f"{' and '.join(run.name for run in runs)} on {references_name}",
        runs,
        truth,
        references["image_id"].to_numpy()[positions].tolist(),
        options,
        len(references),
        references.attrs["columns"],
        beside,
        comparison,
        notes,
    )


def _measure(run: Run, truth: np.ndarray, options: figures.Options) -> list[str]:
    """Set the distances and scores of a run; returns what is doubtful."""
    sides = Given(run.predictions, {}), Given(truth, {})
    try:
        checked = examine(*sides, options.missing, figures.finest_km(options))
    except ValueError as error:
        raise ValueError(f"{run.file}: {error}") from None
    run.measured = figures.measure(checked.predictions, checked.references, options)
    run.scores = figures.summarise(run.measured, options)
    return [f"WARNING: {run.file}: {note}" for note in checked.notes]


def _notes(
    runs: Sequence[Run], n_references: int, options: figures.Options, wording: Wording
) -> list[str]:
    notes = []
    n = len(runs[0].positions)
    if n < n_references:
        notes.append(
            f"WARNING: the score is over {n:,} of {n_references:,} references; "
            f"{wording.count_missing} counts the others as wrong"
        )
    for run in runs:
        if run.scores[f"mean_{options.unit}"] == 0:
            columns = ", ".join(map(shortened, run.columns.values()))
            notes.append(
                f"WARNING: every error of {run.name} is exactly 0: the truth may have been taken "
                f"for predictions; read were {columns}"
            )
        if run.scores.get("n_missing"):
            notes.append(
                f"{run.name}: n = {n:,}, {run.scores['n_missing']:,} without an answer, which "
                "count as wrong; mean and median are of the others"
            )
        if run.unmatched_predictions:
            count, ids = len(run.unmatched_predictions), listed(run.unmatched_predictions)
            notes.append(
                f"{run.file}: {count:,} predictions ({ids}) have no reference and are not scored"
            )
        if run.unmatched_references:
            wrong = "count as wrong" if options.missing == "miss" else "are not scored"
            notes.append(f"{lacking(run)} and {wrong}")
        notes += [
            f"{run.file}: ambiguous ids, not matched: {listed(predictions)} could be "
            f"{listed(wanted)}"
            for predictions, wanted in run.ambiguous[:_MOST_GROUPS]
        ]
        if len(run.ambiguous) > _MOST_GROUPS:
            more = len(run.ambiguous) - _MOST_GROUPS
            notes.append(f"{run.file}: {more:,} more such groups")
    return notes


def lacking(run: Run) -> str:
    """Which references have no prediction."""
    count, ids = len(run.unmatched_references), listed(run.unmatched_references)
    return f"{run.file}: {count:,} references ({ids}) have no prediction"
