"""Scores tables of predictions against a table of references, for the command and for the page."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .checks import Checked, examine
from .columns import plain
from .comparison import compare_distances, holm
from .coordinates import Coordinates
from .distances import measure
from .figures import approximate_accuracies, summarise
from .groups import COLUMNS, Groups, Labels, factorize, find_labels, make_groups
from .intervals import FEW_GROUPS
from .matching import match_ids, why_none_match
from .names import joined, listed, shortened
from .options import Options
from .place_scores import score_places, true_places
from .places import Level, find_places
from .slices import QUANTILES, Column, Slice, make_column, slice_distances
from .summaries import compare_summary

_MOST_GROUPS = 10  # of ambiguous ids that are listed


class Wording(NamedTuple):
    """Advice in messages, which differs because the command and the page have other controls."""

    column: str  # where a column is unclear; `{}` stands for id, latitude or longitude
    id_column: str  # where no ids match
    count_missing: str  # what counts photos without a prediction as wrong


class Excluded(NamedTuple):
    """Photos without which predictions are also scored."""

    file: str
    ids: list[str]


@dataclass
class Task:
    """What the predictions are scored against, and how."""

    references: pd.DataFrame  # as `tables.read_coordinates` returns them
    name: str  # of the references
    options: Options
    wording: Wording
    benchmark: str | None = None  # whose published results are shown if they are comparable
    none_known: str | None = None  # a note for a benchmark without published results
    groups: str | None = None  # as for `find_labels`
    places: str | None = None  # a method of places.py, to compare the names of places
    by: Sequence[str] = ()  # columns of the references, for whose values scores are computed
    excluded: Excluded | None = None
    differences: bool = False  # whether runs are compared in pairs


@dataclass
class Run:
    """One model's predictions in the order of the references, and how far off they are."""

    name: str
    predictions: np.ndarray  # degrees, shape (n, 2); NaN where the model gave no answer
    file: str = ""
    columns: dict[str, str] = field(default_factory=dict)  # that were read
    notes: list[str] = field(default_factory=list)  # what was changed in reading
    positions: np.ndarray = field(default_factory=lambda: np.empty(0, int))  # of the references
    table: pd.DataFrame = field(default_factory=pd.DataFrame)  # as read, in the same order
    unmatched_predictions: list[str] = field(default_factory=list)
    unmatched_references: list[str] = field(default_factory=list)
    ambiguous: list[tuple[list[str], list[str]]] = field(default_factory=list)
    summary: list[list[str]] = field(default_factory=list)  # lines after the data, left out
    measured: np.ndarray = field(default_factory=lambda: np.empty(0))  # distances, shape (n,)
    scores: dict[str, Any] = field(default_factory=dict)  # as `compute` returns them
    places: dict[str, Any] = field(default_factory=dict)  # as `score_places` returns them
    by: dict[str, list[Slice]] = field(default_factory=dict)  # scores for the values of columns


class Difference(NamedTuple):
    """The paired differences of two runs, a - b."""

    a: Run
    b: Run
    # as `compare` returns them; each accuracy of several pairs also has a `p_holm`
    figures: dict[str, Any]


@dataclass
class Scored:
    """Runs over the same images, with every figure that the table and the report show."""

    title: str
    runs: list[Run]
    references: np.ndarray  # degrees, shape (n, 2), of the images that are scored
    ids: list[str]
    options: Options
    n_references: int = 0  # scored or not
    reference_columns: dict[str, str] = field(default_factory=dict)  # that were read
    published: list[dict[str, str]] = field(default_factory=list)  # rows over the same images
    differences: list[Difference] = field(default_factory=list)  # of all pairs, if asked for
    labels: Labels | None = None  # the groups for which the intervals account
    notes: list[str] = field(default_factory=list)  # what was not scored, and what is doubtful
    # what stands below a leaderboard, whose table has one row for each run
    remarks: list[str] = field(default_factory=list)


# --- joining ------------------------------------------------------------------------------------


def join(files: Sequence[tuple[str, str, pd.DataFrame]], task: Task) -> list[Run]:
    """Put predictions in the order of the references, by id.

    `files` are names, paths and tables of predictions, as `tables.read_coordinates` returns them.
    If missing predictions count as misses, references without a prediction are kept with NaN.
    Otherwise all files keep only the references that all of them predict. Raises ValueError if
    nothing matches, or if several predictions are for one reference.
    """
    runs = []
    truth_ids = task.references["image_id"].tolist()
    for name, file, table in files:
        ids = table["image_id"].tolist()
        match = match_ids(ids, truth_ids)
        for predictions, wanted in match.ambiguous:
            if len(predictions) > 1 and len(wanted) == 1:
                raise ValueError(
                    f"{file}: several predictions for {shortened(wanted[0])}: {listed(predictions)}"
                )
        if not len(match.left):
            why = why_none_match(ids, truth_ids) or task.wording.id_column
            raise ValueError(
                f"{file}: none of its ids (first: {shortened(ids[0])}) is among the "
                f"{len(truth_ids):,} of {task.name} (first: {shortened(truth_ids[0])}); {why}"
            )
        positions = match.right
        ordered = table.iloc[match.left].set_index(positions)
        if task.options.missing == "miss":
            positions = np.arange(len(truth_ids))
            ordered = ordered.reindex(positions)
        lost = [ids[at] for at in match.unmatched_left]
        unanswered = [truth_ids[at] for at in match.unmatched_right]
        columns, notes = table.attrs["columns"], table.attrs["notes"]
        run = Run(name, np.empty(0), file, columns, notes, positions, ordered)
        run.unmatched_predictions, run.unmatched_references = lost, unanswered
        run.summary = table.attrs.get("summary", [])
        run.ambiguous = match.ambiguous
        runs.append(run)
    if len(runs) > 1:
        common = reduce(np.intersect1d, [run.positions for run in runs])
        if not len(common):
            raise ValueError(f"{joined([run.file for run in runs])} have no image in common")
        for run in runs:
            run.positions, run.table = common, run.table.loc[common]
    for run in runs:
        run.predictions = run.table[["latitude", "longitude"]].to_numpy(dtype=np.float64)
    return runs


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


def _published_beside(
    benchmark: str | None, n: int, options: Options, places: str | None
) -> tuple[list[dict[str, str]], str | None]:
    """Published rows that are comparable with this score, and a note if there are none."""
    if not benchmark:
        return [], None
    rows = published(benchmark)
    # a GeoScore has no threshold, so it can always be compared
    keys = (*options.keys, "geoscore")
    comparable = [row for row in rows if any(row.get(key) for key in keys)]
    if options.method == "geodesic":
        comparable = [row for row in comparable if row["distance"] == "WGS 84"]
    if places != "nearest_place":  # the method of OSV-5M; polygons give other names
        comparable = [
            {key: value for key, value in row.items() if not key.startswith("acc_")}
            for row in comparable
        ]
    of = f"published results of {benchmark}"
    if not rows:
        return [], f"no {of} are known here, only of {', '.join(benchmarks())}"
    if n != int(rows[0]["n"]):
        whole = int(rows[0]["n"])
        why = f"are for all {whole:,} images, and this score is for {n:,}"
    elif comparable:
        return comparable, None
    else:
        ellipsoid = " or are not of the WGS 84 ellipsoid" if options.method == "geodesic" else ""
        why = f"use other thresholds{ellipsoid}"
    return [], f"{of} {why}, so they are not shown"


# --- scoring ------------------------------------------------------------------------------------


def score_runs(runs: list[Run], task: Task) -> Scored:
    """Score runs, and compare them if the task says so; sets `measured` and `scores` of the runs.

    `runs` are as `join` returns them.
    """
    positions, options = runs[0].positions, task.options
    references = task.references.iloc[positions]
    truth = references[["latitude", "longitude"]].to_numpy(dtype=np.float64)
    labels = find_labels(task.groups, {run.file: run.table for run in runs}, references)
    groups = make_groups(labels.values, truth) if labels else None
    columns = [_column(name, references) for name in task.by]
    if task.excluded:
        columns.append(_excluded_column(task.excluded, references["image_id"].tolist()))
    places, doubts = _true_places(truth, task.places)
    for run in runs:
        checked = check_run(run, truth, options)
        doubts += [f"WARNING: {run.file}: {note}" for note in checked.notes]
        run.measured = measure(checked.predictions, checked.references, options)
        run.scores = summarise(run.measured, options, groups)
        if places and task.places:
            run.places = score_places(checked.predictions, places, groups, task.places)
        run.by = {
            column.name: slice_distances(run.measured, column, options, groups)
            for column in columns
        }
    beside, why = _published_beside(task.benchmark, len(positions), options, task.places)
    notes = _notes(runs, task)
    if labels:
        notes += _unlabelled(labels, len(truth))
    if labels and groups and len(groups.sizes) > 1:
        notes += _approximate(runs, options, groups, labels.what)
    read = (run.notes for run in runs)
    notes += dict.fromkeys(chain(*read, task.references.attrs["notes"], doubts))
    notes += [line for line in (why or task.none_known,) if line]
    return Scored(
        f"{joined([run.name for run in runs])} on {task.name}",
        runs,
        truth,
        references["image_id"].tolist(),
        options,
        len(task.references),
        task.references.attrs["columns"],
        beside,
        compare_runs(runs, options, groups) if task.differences else [],
        labels,
        notes,
    )


def check_run(run: Run, truth: np.ndarray, options: Options) -> Checked:
    """Check the predictions of a run beside the truth; a ValueError names its file.

    `truth` is in degrees, shape (n, 2), in the order of the run.
    """
    sides = Coordinates(run.predictions, {}), Coordinates(truth, {})
    try:
        return examine(*sides, options.missing, options.finest_km)
    except ValueError as error:
        raise ValueError(f"{run.file}: {error}") from None


def _true_places(truth: np.ndarray, method: str | None) -> tuple[dict[str, Level], list[str]]:
    """The names of the true places, if they are asked for, or a note why there are none."""
    try:
        return (true_places(truth, method) if method else {}), []
    except ValueError as error:  # photos at sea
        return {}, [f"WARNING: no countries, regions and cities: {error}"]


def _column(name: str, references: pd.DataFrame) -> Column:
    """The column of the references with that name, or the countries or continents of the places."""
    for known in references.columns:
        if plain(known) == plain(name):
            # the number of a photographer is not a quantity
            quantiles = None if plain(known) in COLUMNS else QUANTILES
            values = references[known]
            return make_column(values, len(references), str(known), quantiles=quantiles)
    if plain(name) in ("country", "continent"):
        places = find_places(references[["latitude", "longitude"]].to_numpy(), levels=["country"])
        names = places["country_name" if plain(name) == "country" else "continent"]
        return make_column(names, len(references), name)
    there = listed(references.attrs.get("names", references.columns))
    raise ValueError(f"--by: the references have no column {name!r}; they have {there}")


def _excluded_column(excluded: Excluded, ids: list[str]) -> Column:
    """Divide the photos into those in the file, which may also name others, and the rest."""
    found = match_ids(excluded.ids, ids).right
    if not len(found):
        raise ValueError(
            f"--exclude {excluded.file}: none of its {len(excluded.ids):,} ids is among the "
            f"{len(ids):,} references"
        )
    values = np.full(len(ids), "others", object)
    values[found] = "excluded"
    return make_column(values, len(ids), f"photos in {excluded.file}")


def compare_runs(
    runs: Sequence[Run], options: Options, groups: Groups | None = None
) -> list[Difference]:
    """The paired differences of all pairs, with p-values that are corrected for their number.

    At each threshold, the pairs are one family of tests.
    """
    differences = [
        Difference(a, b, compare_distances([a.measured, b.measured], options, groups))
        for a, b in combinations(runs, 2)
    ]
    if len(differences) > 1:
        for key in options.keys:
            found = [one.figures[key] for one in differences]
            corrected = holm(np.array([figures["p_value"] for figures in found]))
            for figures, p_value in zip(found, corrected.tolist(), strict=True):
                figures["p_holm"] = p_value
    return differences


def _notes(runs: Sequence[Run], task: Task) -> list[str]:
    notes = []
    options, wording = task.options, task.wording
    n, n_references = len(runs[0].positions), len(task.references)
    if n < n_references:
        notes.append(
            f"WARNING: the score is over {n:,} of {n_references:,} references; "
            f"{wording.count_missing} counts the others as wrong"
        )
    for run in runs:
        notes += compare_summary(run.file, run.summary, run.scores)
        if run.scores[f"mean_{options.unit}"] == 0:
            columns = ", ".join(map(shortened, run.columns.values()))
            notes.append(
                f"WARNING: every error of {run.name} is exactly 0: the file may contain the truth, "
                f"not predictions; the columns read are {columns}"
            )
        if run.scores.get("n_missing"):
            notes.append(
                f"{run.name}: n = {n:,}, {run.scores['n_missing']:,} without a prediction, scored "
                "as wrong; mean and median are of the others"
            )
        if run.unmatched_predictions:
            count, ids = len(run.unmatched_predictions), listed(run.unmatched_predictions)
            notes.append(
                f"{run.file}: predictions without a reference, not scored: {count:,} ({ids})"
            )
        if run.unmatched_references:
            wrong = "scored as wrong" if options.missing == "miss" else "not scored"
            notes.append(f"{lacking(run)}, {wrong}")
        notes += [
            f"{run.file}: ambiguous ids, not matched: {listed(predictions)} could be "
            f"{listed(wanted)}"
            for predictions, wanted in run.ambiguous[:_MOST_GROUPS]
        ]
        if len(run.ambiguous) > _MOST_GROUPS:
            more = len(run.ambiguous) - _MOST_GROUPS
            notes.append(f"{run.file}: {more:,} more such groups")
    notes += [
        f"WARNING: {a.name} and {b.name} contain the same predictions"
        for a, b in combinations(runs, 2)
        if np.array_equal(a.predictions, b.predictions, equal_nan=True)
    ]
    return notes


def _unlabelled(labels: Labels, n: int) -> Iterator[str]:
    if isinstance(labels.values, str):
        return
    codes, _ = factorize(labels.values, n, "groups")
    if count := int(np.count_nonzero(codes < 0)):
        yield (
            f"photos without a label in {labels.source}: {count:,}; each of them counts as a group"
        )


def _approximate(runs: Sequence[Run], options: Options, groups: Groups, what: str) -> Iterator[str]:
    for run in runs:
        if few := approximate_accuracies(options.hits(run.measured), groups):
            yield (
                f"{run.name}: the intervals of {', '.join(few)} are approximate: fewer than "
                f"{FEW_GROUPS} {what} have a hit, or a miss"
            )


def lacking(run: Run) -> str:
    """Which references have no prediction."""
    count, ids = len(run.unmatched_references), listed(run.unmatched_references)
    return f"{run.file}: references without a prediction: {count:,} ({ids})"
