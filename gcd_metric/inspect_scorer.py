"""Scores the text answers of models in inspect-ai, and reads its logs.

    from inspect_ai import Task
    from gcd_metric.inspect_scorer import great_circle

    Task(dataset=samples, scorer=great_circle())

The file is not named inspect.py, because a Space runs app.py in this folder, where it would hide
the standard library's `inspect`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .answers import KINDS, parse_answer
from .columns import plain
from .distances import sphere_distances
from .figures import GEOSCORE_MAX, GEOSCORE_SCALE_KM, flattened
from .figures import score as compute_figures
from .groups import COLUMNS, find_labels
from .names import counted
from .opened import Opened, Row, one_line
from .options import make_options

try:
    from inspect_ai.log import EvalSample, read_eval_log, read_eval_log_samples
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
    from inspect_ai.solver import TaskState
except ImportError as error:
    raise ImportError(
        f"{error.name} is missing; install it with pip install 'im2gps-justzoomin[inspect]'"
    ) from None

_UNREAD = {"attachments", "events", "messages", "store"}  # large fields of a log's samples


@metric(scores="unreduced")
def geolocation() -> Metric:
    """The figures of `GcdMetric.compute`, with the ends of intervals as `{key}_low` and `_high`.

    An answer without coordinates is wrong at every distance; `n_refusal`, `n_place` and so on count
    the kinds of answers. The options are those of `great_circle`. With several epochs, every answer
    counts, and the answers for one photo are one group.
    """

    def compute(scores: list[SampleScore]) -> dict[str, Any]:
        if not scores:
            return {}
        found = [one.score.metadata or {} for one in scores]
        predictions = np.array([one["prediction"] for one in found], np.float64)
        truth = np.array([one["truth"] for one in found], np.float64)
        groups = _groups(scores, found[0]["groups"], truth)
        options = make_options(found[0]["config_name"], missing="miss")
        figures, _ = compute_figures(predictions, truth, options, groups, stacklevel=2)
        kinds = Counter(one["kind"] for one in found)
        return flattened(figures) | {f"n_{kind}": kinds[kind] for kind in KINDS}

    return compute


def _groups(scores: list[SampleScore], asked: str | None, truth: np.ndarray) -> Any:
    """Labels of the answers, found as the command finds them; None if each is a group."""
    ids = [str(one.sample_id) for one in scores]
    table = pd.DataFrame([one.sample_metadata or {} for one in scores], index=range(len(ids)))
    table["image_id"] = ids
    labels = find_labels(asked, {}, table)
    values = labels.values if labels else None
    if isinstance(values, str) or len(set(ids)) == len(ids):
        return values
    alone = pd.Series(ids)
    return alone if values is None else pd.Series(values, dtype=object).fillna(alone)


@scorer(metrics=[geolocation()])
def great_circle(
    config_name: str = "standard", places: str | None = None, groups: str | None = None
) -> Scorer:
    """Score answers by their great-circle distance from the true coordinates.

    The target of a sample is text with coordinates, such as "48.8584, 2.2945". The value of a score
    is the GeoScore of the answer, from 0 to 5000; its metadata has the `kind` of the answer, the
    `prediction` and the `truth` in degrees, `distance_km` (None without coordinates) and `notes` on
    what was assumed.

    Parameters
    ----------
    config_name : {"standard", "im2gps", "justzoomin"}
        Thresholds, unit and radius, as in the metric.
    places : {None, "geonames"}
        Whether answers that are names of places get coordinates, as for `parse_answer`.
    groups : str, optional
        Groups for which the intervals account: a key of the samples' metadata, `place:500m` for
        cells of the true places, or `none`. By default `photographer`, `sequence_id` and the like
        in the metadata, or the Flickr names of photos as the ids of samples.
    """
    radius = make_options(config_name).earth_radius

    async def score(state: TaskState, target: Target) -> Score:
        truth = parse_answer(target.text)
        if truth.kind != "coordinates":
            raise ValueError(f"sample {state.sample_id}: {target.text!r} has no coordinates")
        answer = parse_answer(_text(state.output), places)
        ends = np.array([[one.latitude, one.longitude] for one in (answer, truth)])
        km = float(sphere_distances(ends[:1], ends[1:], radius)[0])
        answered = not math.isnan(km)
        return Score(
            value=GEOSCORE_MAX * math.exp(-km / GEOSCORE_SCALE_KM) if answered else 0.0,
            answer=f"{answer.latitude}, {answer.longitude}" if answered else answer.kind,
            explanation="; ".join([f"{km:,.3f} km" if answered else answer.kind, *answer.notes]),
            metadata={
                "kind": answer.kind,
                "prediction": ends[0].tolist() if answered else [None, None],
                "truth": ends[1].tolist(),
                "distance_km": km if answered else None,
                "notes": list(answer.notes),
                "config_name": config_name,
                "groups": groups,
            },
        )

    return score


def _text(output: ModelOutput) -> str:
    """What the model answered, or why the provider blocked it."""
    blocked = bool(output.choices) and output.stop_reason == "content_filter"
    return output.completion or (output.error or "content filter" if blocked else "")


def open_log(path: Path, where: str) -> Opened:
    """Open a log as a table of answers, with the truth of the samples.

    A photo of several epochs has a row for each, whose id ends with the number of the epoch. Of the
    metadata, what may be groups is kept.
    """
    try:
        header = read_eval_log(str(path), header_only=True)
        # read once, because the columns depend on all samples
        samples = read_eval_log_samples(
            str(path), all_samples_required=False, exclude_fields=_UNREAD
        )
        epochs = header.eval.config.epochs or 1
        rows = [_row(sample, epochs) for sample in samples]
    except Exception as error:
        raise ValueError(f"{where}: inspect-ai cannot read this log: {one_line(error)}") from None
    names = list(dict.fromkeys(name for row in rows for name in row))
    notes = []
    if epochs > 1:
        notes.append(
            f"{where}: {epochs} epochs are {epochs} rows for each photo; --groups photo makes them "
            "a group"
        )
    if header.status != "success":
        scored = counted(len(rows), "answers")
        notes.append(f"{where}: the evaluation ended with {header.status}; it has {scored}")

    def read(columns: list[str]) -> Iterator[Row]:
        for row in rows:
            yield tuple(row.get(name) for name in columns)

    return Opened(names, read, notes)


def _row(sample: EvalSample, epochs: int) -> dict[str, Any]:
    targets = [sample.target] if isinstance(sample.target, str) else sample.target
    truth = parse_answer(targets[0] if targets else "")
    error = sample.error and f"Error: {sample.error.message}"
    ids = {"image_id": str(sample.id)}
    if epochs > 1:
        ids = {"image_id": f"{sample.id} {sample.epoch}", "photo": str(sample.id)}
    return {
        **ids,
        "response": error or _text(sample.output),
        "true_latitude": truth.latitude,
        "true_longitude": truth.longitude,
        **{name: value for name, value in sample.metadata.items() if plain(name) in COLUMNS},
    }
