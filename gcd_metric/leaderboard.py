"""Scores submissions again, ranks them, and finds stated values that do not follow from them.

Submissions are folders as submissions.py sends them, in a data set repository or a local folder. A
benchmark on the Hub lists the models that state a result; each result names the commit with its
predictions. Nothing in them is trusted: files are small, of one format, and read as text.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import hub, scoring, tables, text
from .comparison import holm, paired_p_value
from .groups import make_groups, usual_groups
from .inputs import WORDING
from .names import counted, listed, shortened
from .scoring import Run, Scored
from .slices import ranked_by
from .submissions import PREDICTIONS, ROUNDING, SUBMISSION, folder_of, usual_options

_MOST_SUBMISSIONS = 500
_MOST_BYTES = 32 * 2**20  # of predictions
_STATEMENT = 2**16  # bytes of what is stated beside them
_FOLDER = re.compile(r"([\w.-]+)/[\w.-]+/" + re.escape(SUBMISSION), re.ASCII)
_RESULTS = re.compile(r"\.eval_results/[\w.-]+\.ya?ml", re.ASCII)
_SOURCE = r"/datasets/({})/tree/([0-9a-f]{{40}})/([\w.-]+/[\w.-]+)/?"


@dataclass
class Submission:
    """The predictions of a model, and what is stated about them."""

    model: str
    file: str  # in messages
    table: pd.DataFrame  # as `tables.read_coordinates` returns it
    stated: dict[str, float] = field(default_factory=dict)  # figures, by the keys of scores
    value: float | None = None  # in percent, as the model's repository states it


@dataclass
class Submissions:
    """What was found for one task."""

    task: str
    benchmark: hub.Benchmark | None = None
    valid: list[Submission] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # what could not be read, or does not follow
    unchecked: list[str] = field(default_factory=list)  # models that name no predictions

    @contextlib.contextmanager
    def noting_faults(self, name: str) -> Iterator[None]:
        """Note what is wrong, and continue, if the submission, called `name`, cannot be read."""
        try:
            yield
        except ValueError as error:
            self.faults.append(str(error) if str(error).startswith(name) else f"{name}: {error}")


# --- reading ------------------------------------------------------------------------------------


def collect(source: str, task: str | None = None) -> Submissions:
    """Read all submissions for a task of a benchmark, a repository of predictions or a folder."""
    if Path(source).is_dir():
        return _of_folders(hub.local_files(source), task)
    return collect_from_hub(source, task)


def collect_from_hub(source: str, task: str | None = None) -> Submissions:
    """Read all submissions for a task of a benchmark, or of a repository of predictions."""
    if not hub.REPOSITORY.fullmatch(source.partition("@")[0]):
        raise ValueError(f"{source}: no such folder, and no repository on the Hub (OWNER/NAME)")
    repository, commit = hub.resolve(source)
    if benchmark := hub.benchmark_at(repository, commit, task):
        return _of_benchmark(benchmark)
    return _of_folders(hub.remote_files(repository, commit), task)


def _of_folders(files: hub.Files, task: str | None) -> Submissions:
    found = [match for match in map(_FOLDER.fullmatch, files.sizes) if match]
    tasks = sorted({match[1] for match in found})
    if not tasks:
        raise ValueError(f"{files.name}: there are no submissions (TASK/MODEL/{SUBMISSION})")
    if len(tasks) > 1 and task is None:
        raise ValueError(f"{files.name} is for {listed(tasks)}; choose one with --benchmark")
    task = task or tasks[0]
    folders = [match[0].rpartition("/")[0] for match in found if match[1] == task]
    if not folders:
        raise ValueError(f"{files.name} has nothing for {task}, only for {listed(tasks)}")
    _refuse_many(len(folders), files.name)
    read = Submissions(task)
    for folder in folders:
        with read.noting_faults(files.name):
            read.valid.append(_read(files, folder))
    return read


def _of_benchmark(benchmark: hub.Benchmark) -> Submissions:
    repository = benchmark.repository
    with hub.explained(f"leaderboard of {repository}"):
        entries = hub.client().get_dataset_leaderboard(repository, base_model_only=False)
    _refuse_many(len(entries), repository)
    read = Submissions(benchmark.task.id, benchmark)
    results = sorted({(e.model_id, e.pull_request or 0, e.filename) for e in entries})
    often = Counter(model for model, *_ in results)
    for model, number, file in results:
        revision = f"refs/pr/{number}" if number else "main"
        name = f"{model} (pull request {number})" if number and often[model] > 1 else model
        with read.noting_faults(name):
            found = _of_model(read, model, revision, file)
            read.valid += [replace(one, model=name) for one in found]
    return read


def _of_model(read: Submissions, model: str, revision: str, file: str) -> list[Submission]:
    """The predictions that the results of a model on this task name."""
    from huggingface_hub import constants, parse_eval_result_entries

    if not hub.REPOSITORY.fullmatch(model) or not _RESULTS.fullmatch(file):
        raise ValueError(f"{shortened(file)} is not a file of results")
    assert read.benchmark
    content = hub.remote_files(model, revision, [file], "model").yaml(file)
    try:
        entries = parse_eval_result_entries(content)
    except (AttributeError, KeyError, TypeError):
        raise ValueError(f"{file} is not a list of results") from None
    submissions = []
    wanted = (read.benchmark.repository, read.task)
    for entry in entries:
        if (entry.dataset_id, entry.task_id) != wanted:
            continue
        pattern = re.escape(constants.ENDPOINT) + _SOURCE.format(hub.REPOSITORY.pattern)
        match = re.fullmatch(pattern, str(entry.source_url), re.ASCII)
        if not match:
            read.unchecked.append(model)
            continue
        repository, commit, folder = match.groups()
        names = [f"{folder}/{name}" for name in (PREDICTIONS, SUBMISSION)]
        found = _read(hub.remote_files(repository, commit, names), folder)
        if found.model != model or folder != folder_of(read.task, model):
            raise ValueError(f"its predictions are those of {found.model} for {folder}")
        submissions.append(replace(found, value=_number(entry.value, "value")))
    return submissions


def _read(files: hub.Files, folder: str) -> Submission:
    """Read the predictions in a folder, and what is stated beside them."""
    said = f"{folder}/{SUBMISSION}"
    content = files.read(said, _STATEMENT)
    try:
        document = json.loads(content)
        model, figures = str(document["model"]), dict(document["figures"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(f"{said} has no model and figures") from None
    if not hub.REPOSITORY.fullmatch(model) or folder != folder_of(folder.partition("/")[0], model):
        raise ValueError(f"{said} is of the model {shortened(model)}")
    if not figures:
        raise ValueError(f"{said} states no figures")
    stated = {str(key): _number(value, f"{said}: {key}") for key, value in figures.items()}
    name = f"{files.name}, {folder}/{PREDICTIONS}"
    path = files.path(f"{folder}/{PREDICTIONS}", _MOST_BYTES)
    with open(path, "rb") as file:  # millions of columns would take all memory
        if len(file.readline(_STATEMENT + 1)) > _STATEMENT:
            raise ValueError(f"{name}: the first line has more than {_STATEMENT:,} bytes")
    table = tables.read_coordinates(
        path, *tables.TIDY, of="predictions", allow_missing=True, where=name
    )
    return Submission(model, name, table, stated)


def _number(value: Any, name: object) -> float:
    with contextlib.suppress(OverflowError):  # an int with hundreds of digits
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    raise ValueError(f"{shortened(name)} is {shortened(repr(value))}, not a number")


def _refuse_many(count: int, name: str) -> None:
    if count > _MOST_SUBMISSIONS:
        raise ValueError(f"{name}: {count:,} submissions; at most {_MOST_SUBMISSIONS} are read")


# --- scoring ------------------------------------------------------------------------------------


def score(read: Submissions, truth: pd.DataFrame, name: str, groups: str | None = None) -> Scored:
    """Score submissions against the same truth, called `name`, and rank them.

    The scores of each run also have `rank`; `p_best`, the p-value of the paired test against the
    best model, corrected by Holm's method; `like_best`, whether that test finds no difference;
    `stated_percent`; and `follows`, whether every stated value follows from the predictions. Values
    that do not are added to `read.faults`.
    """
    tables.refuse_unscorable(truth, name)
    task = scoring.Task(truth, name, usual_options(read.task), WORDING)
    task.groups = groups or usual_groups(read.task)
    true = truth[["latitude", "longitude"]].to_numpy(dtype=np.float64)
    runs, submissions = [], []
    for one in sorted(read.valid, key=lambda one: one.model):
        with read.noting_faults(one.model):
            # each has a row for every reference, because missing predictions count as wrong
            (run,) = scoring.join([(one.model, one.file, one.table)], task)
            scoring.check_run(run, true, task.options)
            runs.append(run)
            submissions.append(one)
    if not runs:
        raise ValueError(f"no submission can be scored. {' '.join(read.faults)}")
    scored = scoring.score_runs(runs, task)
    for run, one in zip(runs, submissions, strict=True):
        wrong = list(_not_following(run, one, ranked_by(task.options)))
        read.faults += wrong
        run.scores["follows"] = not wrong
    _rank(scored)
    unchecked = [f"not ranked, because they name no predictions: {listed(read.unchecked)}"]
    faults = [f"WARNING: {fault}" for fault in read.faults]
    scored.notes = [*faults, *(unchecked if read.unchecked else []), *scored.notes]
    scored.title = f"{counted(len(runs), 'models')} on {name}"
    return scored


def _not_following(run: Run, submission: Submission, key: str) -> Iterator[str]:
    """What is stated and does not follow from the file, one line for each statement."""
    percent, value = 100 * run.scores[key], submission.value
    run.scores["stated_percent"] = value
    if value is None:
        run.scores["stated_percent"] = 100 * submission.stated.get(key, math.nan)
    elif abs(value - percent) > ROUNDING + 1e-9:
        yield f"{run.name} states {value:g} % ({key}), and its file gives {percent:.2f} %"
    wrong = [
        f"{name} {value:g} (from the file: {run.scores[name]:g})"
        for name, value in submission.stated.items()
        if isinstance(found := run.scores.get(name), (int, float))
        and not math.isclose(value, found, rel_tol=1e-6, abs_tol=1e-6)
    ]
    if wrong:
        yield f"{run.name}: {SUBMISSION} states {listed(wrong)}"


def _rank(scored: Scored) -> None:
    """Sort the runs, best first, and compare each with the best."""
    key, options = ranked_by(scored.options), scored.options
    scored.runs.sort(key=lambda run: (-run.scores[key], -run.scores["geoscore"], run.name))
    best, *others = scored.runs
    groups = make_groups(scored.labels.values, scored.references) if scored.labels else None
    hits = [options.hits(run.measured)[key] for run in scored.runs]
    differences = (hits[0].astype(np.int8) - one for one in hits[1:])
    p_values = holm(np.array([paired_p_value(one, groups) for one in differences]))
    for run, p_value in zip([best, *others], [math.nan, *p_values.tolist()], strict=True):
        better = sum(one.scores[key] > run.scores[key] for one in scored.runs)
        like_best = run is best or p_value >= text.LEVEL
        run.scores |= {"rank": 1 + better, "p_best": p_value, "like_best": like_best}


def marked(scored: Scored) -> Scored:
    """The same with ranks and marks in the names of the runs, and lines that explain them."""
    runs = []
    for run in scored.runs:
        like_best = run.scores["like_best"] and run is not scored.runs[0]
        marks = ["†"] * like_best + ["‡"] * (not run.scores["follows"])
        runs.append(replace(run, name=" ".join([f"{run.scores['rank']}. {run.name}", *marks])))
    n, at = len(runs) - 1, text.ranked_distance(scored.options)
    remarks = [f"Ranked by the accuracy at {at}."]
    if n:
        test = "exact paired test"
        if scored.labels:
            test += f" that exchanges the models in groups of {scored.labels.what}"
        if n > 1:
            test += f", corrected for {n:,} comparisons by Holm's method"
        remarks.append(f"† Not distinguishable from the best at {at} ({test}; p ≥ {text.LEVEL}).")
    if not all(run.scores["follows"] for run in scored.runs):
        remarks.append("‡ A stated value does not follow from the file of predictions.")
    return replace(scored, runs=runs, remarks=remarks)
