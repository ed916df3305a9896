"""Sends a score to the Hub as the result of a model on a benchmark.

The result is an entry in `.eval_results/` of the model, in a pull request. The predictions go into
a data set repository, as TASK/OWNER--MODEL/predictions.csv with submission.json beside them, so
that `gcd-metric leaderboard` can score them again.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import pandas as pd
import yaml

from . import text
from .hub import Benchmark, check_repository, client, explained, find_benchmark
from .layout import WIDTH
from .options import Options, make_options, usual_configuration
from .scoring import Run, Scored
from .slices import ranked_by
from .tables import TIDY

PREDICTIONS, SUBMISSION = "predictions.csv", "submission.json"
# a stated value has two digits after the point
ROUNDING = 0.005
WHOLE = "--push is for a run over the whole benchmark"


@dataclass(frozen=True)
class Target:
    """Where a result goes."""

    model: str
    benchmark: Benchmark
    predictions_repo: str | None
    dry_run: bool

    @property
    def folder(self) -> str:
        """The folder of the submission in the repository of predictions."""
        return folder_of(self.benchmark.task.id, self.model)


def folder_of(task: str, model: str) -> str:
    """The folder of a submission."""
    return f"{task}/{model.replace('/', '--')}"


def usual_options(task: str) -> Options:
    """How the results of a task are measured; predictions that are missing count as wrong."""
    return make_options(usual_configuration(task), missing="miss")


def find_target(arguments: argparse.Namespace) -> Target | None:
    """Check the options of `hub.add_options` before anything is scored; None without --push.

    If the references are the benchmark itself, its configuration and split are set in `arguments`.
    """
    if not arguments.push:
        for option in ("dataset", "predictions_repo", "dry_run"):
            if getattr(arguments, option):
                raise ValueError(f"--{option.replace('_', '-')} is for --push MODEL")
        return None
    if len(arguments.predictions) > 1 or arguments.compare:
        raise ValueError("--push is for one file of predictions")
    for option in ("allow_partial", "exclude"):
        if getattr(arguments, option):
            raise ValueError(f"{WHOLE}: leave out --{option.replace('_', '-')}")
    check_repository(arguments.push, "--push")
    if arguments.predictions_repo:
        check_repository(arguments.predictions_repo, "--predictions-repo")
    name = arguments.dataset or arguments.references
    if not name or (not arguments.dataset and "/" not in name):
        raise ValueError("--push needs the benchmark on the Hub: --dataset OWNER/NAME")
    benchmark = find_benchmark(name, arguments.benchmark, arguments.config)
    if not arguments.dataset:
        arguments.config, arguments.split = benchmark.task.config, benchmark.task.split
    return Target(arguments.push, benchmark, arguments.predictions_repo, arguments.dry_run)


def push(scored: Scored, target: Target) -> list[str]:
    """Send a score, or with `dry_run` only describe it; returns the lines to print."""
    _refuse_other(scored, target.benchmark)
    predictions = _predictions(scored)
    name = f"{target.benchmark.repository.replace('/', '--')}--{target.benchmark.task.id}.yaml"
    path = f".eval_results/{name}"
    if target.dry_run:
        entry = _entry(scored, target, "main").rstrip()
        lines = [f"Would open a pull request to {target.model} with {path}:", entry]
        if target.predictions_repo:
            lines += [
                f"Would send {PREDICTIONS} ({len(predictions):,} bytes) and {SUBMISSION} to "
                f"{target.predictions_repo}, {target.folder}"
            ]
        return lines
    commit = ""
    if target.predictions_repo:
        files = {PREDICTIONS: predictions, SUBMISSION: _submission(scored, target)}
        files = {f"{target.folder}/{name}": content for name, content in files.items()}
        commit = _commit(target.predictions_repo, files, f"Add the predictions of {target.model}")
    entry = _entry(scored, target, commit)
    with explained(f"pull request to {target.model}"):
        done = client().create_commit(
            target.model,
            _operations({path: entry.encode()}),
            commit_message=f"Add the result on {target.benchmark.repository}",
            create_pr=True,
        )
    known = f"{target.model} has this result already"
    lines = [f"Opened {done.pr_url}" if done.pr_url else known]
    if commit:
        lines.append(f"Predictions: {_address(target, commit)}")
    return lines


def _refuse_other(scored: Scored, benchmark: Benchmark) -> None:
    """Refuse a score that is not of all photos of the benchmark, or is measured otherwise."""
    usual = usual_options(benchmark.task.id)
    if scored.options._replace(missing=usual.missing) != usual:
        thresholds = ", ".join(f"{one:,.15g}" for one in usual.thresholds)
        raise ValueError(
            f"results of {benchmark.task.id} have the thresholds {thresholds} {usual.unit} on a "
            "sphere: leave out --metric-config, --thresholds, --unit, --method and --strict"
        )
    n = {len(scored.ids), scored.n_references}
    if n != {benchmark.n}:
        raise ValueError(
            f"{WHOLE}: this one is over {min(n):,} photos, and {benchmark.task.id} of "
            f"{benchmark.repository} has {benchmark.n:,}"
        )


def _predictions(scored: Scored) -> bytes:
    """The coordinates as they were read, with the ids of the references, and exact."""
    latitude, longitude = scored.runs[0].predictions.T
    columns = dict(zip(TIDY, (scored.ids, latitude, longitude), strict=True))
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n").encode()


def _figures(run: Run) -> dict[str, float]:
    """The figures of a run that a submission states, without intervals."""
    return {
        key: float(value)
        for key, value in run.scores.items()
        if isinstance(value, (int, float)) and math.isfinite(value) and not key.startswith("n_")
    }


def _submission(scored: Scored, target: Target) -> bytes:
    options = scored.options
    document = {
        "model": target.model,
        "benchmark": target.benchmark.task.id,
        "dataset": target.benchmark.repository,
        "revision": target.benchmark.commit,
        "date": _today(),
        "options": {
            "thresholds": list(options.thresholds), "unit": options.unit,
            "earth_radius": options.earth_radius, "method": options.method,
        },
        "figures": _figures(scored.runs[0]),
    }  # fmt: skip
    return (json.dumps(document, indent=2) + "\n").encode()


def _entry(scored: Scored, target: Target, commit: str) -> str:
    """The YAML of the result, by the rules of the Hub."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    run, benchmark = scored.runs[0], target.benchmark
    key = ranked_by(scored.options)
    source: dict[str, Any] = {}
    if target.predictions_repo:
        owner = target.predictions_repo.partition("/")[0]
        source = {"source_url": _address(target, commit), "source_user": owner}
        source["source_name"] = "Predictions"
    entry = EvalResultEntry(
        benchmark.repository,
        benchmark.task.id,
        round(100 * run.scores[key], 2),
        dataset_revision=benchmark.commit,
        date=_today(),
        notes=_notes(scored),
        **source,
    )
    entries = eval_result_entries_to_yaml([entry])
    return str(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=WIDTH))


def _notes(scored: Scored) -> str:
    """What the value is, over how many photos, with all figures and their intervals."""
    run, within = scored.runs[0], text.ranked_distance(scored.options)
    headers, (cells, *_) = text.table(replace(scored, published=[]))
    pairs = zip(headers[1:-1], cells[1:-1], strict=True)
    shown = "; ".join(f"{header.removeprefix('% ')}: {cell}" for header, cell in pairs)
    groups = scored.labels and scored.labels.described(run.scores["n_groups"])
    n = f"{len(scored.ids):,} photos {groups or ''}".rstrip()
    return (
        f"The value is the percentage within {within}. n = {n}; without a prediction, and so wrong "
        f"at every distance: {run.scores.get('n_missing', 0):,}. With 95 % intervals: {shown}."
    )


def _address(target: Target, commit: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{target.predictions_repo}/tree/{commit}/{target.folder}"


def _commit(repository: str, files: dict[str, bytes], message: str) -> str:
    """Send files to a data set repository, which is created if it does not exist."""
    with explained(f"data set repository {repository}"):
        api = client()
        api.create_repo(repository, repo_type="dataset", exist_ok=True)
        done = api.create_commit(
            repository, _operations(files), commit_message=message, repo_type="dataset"
        )
    return str(done.oid)


def _operations(files: dict[str, bytes]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd

    return [CommitOperationAdd(name, io.BytesIO(content)) for name, content in files.items()]


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()
