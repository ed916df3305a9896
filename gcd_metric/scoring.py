"""Tables of predictions against references: joined, scored, and what may stand beside.

The command (cli.py) and the page (app.py) both ask here. Nothing is read but the published
results, nothing is drawn or printed, and the figures themselves come from figures.py.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from . import figures, report, tables, text
from .checks import examine
from .comparison import compare_distances
from .coordinates import Given
from .names import listed, shortened


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
class Joined:
    """Predictions in the order of the references that they are scored against."""

    name: str
    file: str
    columns: dict[str, str]  # that were read
    notes: list[str]  # what was changed in reading
    positions: np.ndarray  # of the references
    coordinates: np.ndarray
    unmatched_predictions: list[str]
    unmatched_references: list[str]
    ambiguous: list[tuple[list[str], list[str]]]


@dataclass
class Scored:
    """One run, or two that are compared, with every figure and the lines that explain them.

    Attributes
    ----------
    runs : list of Joined
    truth : ndarray of shape (n, 2)
        Degrees, of the references that are scored.
    ids : list of str
    n_references : int
        Scored or not.
    options : Options
    results : list of dict
        What the metric says of each run.
    measured : list of ndarray of shape (n,)
        Distances in the unit of `options`; NaN where a run gave no answer.
    published : list of dict
        Rows that may stand beside.
    comparison : dict or None
        Of two runs, as `compare` returns it.
    notes : list of str
    columns : str
        A line that names the columns that were read.
    headers, rows : the table of figures, as text
    """

    runs: list[Joined]
    truth: np.ndarray
    ids: list[str]
    n_references: int
    options: figures.Options
    results: list[dict[str, Any]]
    measured: list[np.ndarray]
    published: list[dict[str, str]]
    comparison: dict[str, Any] | None
    notes: list[str]
    columns: str
    headers: list[str]
    rows: list[list[str]]


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
) -> Joined:
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
    Joined

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
    return Joined(
        name,
        file,
        table.attrs["columns"],
        table.attrs["notes"],
        positions,
        found,
        [left[index] for index in match.unmatched_left],
        [right[index] for index in match.unmatched_right],
        match.ambiguous,
    )


def restrict_to_common(runs: Sequence[Joined]) -> None:
    """Keep what both runs answer, so that two columns of a table are of the same images."""
    if len(runs) < 2:
        return
    common = np.intersect1d(runs[0].positions, runs[1].positions)
    if not len(common):
        raise ValueError(f"{runs[0].file} and {runs[1].file} have no image in common")
    for run in runs:
        keep = np.isin(run.positions, common)
        run.positions, run.coordinates = run.positions[keep], run.coordinates[keep]


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
    runs: list[Joined],
    references: pd.DataFrame,
    settings: dict[str, Any],
    benchmark: str | None,
    wording: Wording,
    *,
    none_known: str | None = None,
) -> Scored:
    """Score one run, or two and their paired differences.

    Parameters
    ----------
    runs : list of Joined
        On the same references, as `restrict_to_common` leaves them.
    references : pandas.DataFrame
    settings : dict
        Arguments of `make_options`.
    benchmark : str, optional
        Whose published results are to stand beside, where they may.
    wording : Wording
    none_known : str, optional
        A line for a benchmark without any.

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
    measured, doubts = zip(*(_measure(run, truth, options) for run in runs), strict=True)
    results = [figures.summarise(distances, options) for distances in measured]
    beside, why = _published_beside(benchmark, len(positions), options)
    notes = text.notes(runs, results, len(references), options, wording.count_missing)
    comparison = None
    if len(runs) > 1:
        comparison = compare_distances(list(measured), options)
        if np.array_equal(runs[0].coordinates, runs[1].coordinates, equal_nan=True):
            notes.append("WARNING: both files hold the same predictions")
    read = (run.notes for run in runs)
    notes += dict.fromkeys(chain(*read, references.attrs["notes"], *doubts))
    notes += [line for line in (why or none_known,) if line]
    return Scored(
        runs,
        truth,
        references["image_id"].to_numpy()[positions].tolist(),
        len(references),
        options,
        results,
        list(measured),
        beside,
        comparison,
        notes,
        text.columns(runs, references.attrs["columns"]),
        *text.table(runs, results, beside, options, len(references)),
    )


def _measure(
    run: Joined, truth: np.ndarray, options: figures.Options
) -> tuple[np.ndarray, list[str]]:
    """The distance of each pair, and what is doubtful."""
    sides = Given(run.coordinates, {}), Given(truth, {})
    try:
        checked = examine(*sides, options.missing, figures.finest_km(options))
    except ValueError as error:
        raise ValueError(f"{run.file}: {error}") from None
    notes = [f"WARNING: {run.file}: {note}" for note in checked.notes]
    return figures.measure(checked.predictions, checked.references, options), notes


def as_report(scored: Scored, title: str) -> report.Report:
    """What pictures and pages show of a score; they need nothing else."""
    return report.Report(
        title,
        [
            report.Run(run.name, run.coordinates, measured)
            for run, measured in zip(scored.runs, scored.measured, strict=True)
        ],
        scored.truth,
        scored.ids,
        scored.options.thresholds,
        scored.options.unit,
        scored.headers,
        scored.rows,
        scored.notes,
        scope=_scope(scored),
        remarks=[
            text.INTERVALS,
            scored.columns,
            *([text.sources(scored.published)] if scored.published else []),
        ],
        paired=_paired(scored),
    )


def _scope(scored: Scored) -> str:
    """Over how many images, for a picture that may be passed on alone."""
    missing = [
        f"{run.name}: {text.unanswered(result).removeprefix(', ')}"
        for run, result in zip(scored.runs, scored.results, strict=True)
        if result.get("n_missing")
    ]
    return "; ".join([f"n = {text.scope(scored.results[0]['n'], scored.n_references)}", *missing])


def _paired(scored: Scored) -> report.Table | None:
    if scored.comparison is None:
        return None
    title = text.paired_title([run.name for run in scored.runs])
    return report.Table(title, *text.paired_table(scored.comparison), text.PAIRED)
