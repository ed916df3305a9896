"""Scores of zoom runs: sequences, steps and distances as for Just Zoom In, and calibration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import justzoomin
from gcd_metric.groups import JUSTZOOMIN as PLACES
from gcd_metric.intervals import wilson_interval
from justzoomin import zoom
from justzoomin.scores import Scores
from justzoomin.table import read_table

BINS = 15
# The names under which the authors' evaluation prints these figures.
_AUTHORS = {
    "r@1 strict": "r@1", "r@40m": "acc@40m", "r@50m": "acc@50m", "r@100m": "acc@100m",
}  # fmt: skip


def score(predictions: Path, photos: Path) -> dict[str, Any]:
    """Score and print a finished run, and return `score_zoom` for its `run.json`."""
    result = score_zoom(*read(predictions, photos))
    print(zoom_text(result))
    # JSON has no NaN, which is the interval of a share of few groups.
    found: dict[str, Any] = json.loads(json.dumps(result), parse_constant=lambda _: None)
    return found


def read(predictions: Path, photos: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the records of a file of predictions, and the table of photos as columns."""
    with predictions.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return records, read_table(str(photos)).columns()


def score_zoom(records: Sequence[dict[str, Any]], references: Any) -> dict[str, Any]:
    """Score the records of a run.

    Parameters
    ----------
    records : sequence of dict
        With `image_id` and, unless the photo has an error, `sequence`, and `candidates` (latitude,
        longitude and score, best first) or `log_probability`.
    references : rows with `image_id`, `latitude`, `longitude` and `sequence`

    Returns
    -------
    dict
        `scores` as `justzoomin.score` returns them for sequences, with `r@5` … if there are so many
        candidates; `authors`, those that the authors' evaluation prints, under its names, for
        sequences of four actions; and, if there are log-probabilities, `ece` and `reliability` (see
        `calibration`). Photos with an error count as wrong, and there are then no mean and median
        distance. Empty if there is no answer.
    """
    answered = [record for record in records if "sequence" in record]
    if not answered:
        return {}
    names = list(map(str, references["image_id"]))
    truth = dict(zip(names, references["sequence"], strict=True))
    depth = len(answered[0]["sequence"])
    # Two rows from the true cell at each step, so that it is right at no step and no distance.
    wrong = {name: [(action + 8) % 16 for action in truth[name][:depth]] for name in names}
    sequences = [record.get("sequence", wrong[record["image_id"]]) for record in records]
    options: dict[str, Any] = {"ids": [record["image_id"] for record in records], "groups": PLACES}
    scores = justzoomin.score(sequences, references, "sequences", **options)
    if all("candidates" in record for record in answered):
        least = min(len(record["candidates"]) for record in answered)
        ranked = np.repeat(np.array(sequences)[:, None], least, axis=1)
        places = np.array([record["candidates"][:least] for record in answered])
        found = zoom.encode(places[..., 0], places[..., 1], depth, outside="clip")[0]
        ranked[["candidates" in record for record in records]] = found
        ranks = justzoomin.score(ranked, references, "ranked", **options)
        scores.update({key: ranks[key] for key in ranks if key.startswith("r@")})
    if len(answered) < len(records):
        scores = Scores({key: scores[key] for key in scores if "_m" not in key})
    result: dict[str, Any] = {"scores": dict(scores)}
    if depth == zoom.DEPTH:
        result["authors"] = {name: scores[key] for name, key in _AUTHORS.items()}
    if all("log_probability" in record for record in answered):
        right = [list(truth[one["image_id"]])[:depth] == one["sequence"] for one in answered]
        confidence = np.exp([record["log_probability"] for record in answered])
        result |= calibration(confidence, np.array(right))
    return result


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """Compare how sure a model is with how often it is right.

    Parameters
    ----------
    confidence : ndarray, shape (n,)
        Probabilities of the answers.
    right : ndarray of bool, shape (n,)
    bins : int
        Number of equally wide bins of confidence, without their lower ends.

    Returns
    -------
    dict
        `ece`, the expected calibration error: the mean over all answers of the difference, in
        their bin, between mean confidence and share of right answers; and `reliability`, a list
        with `low`, `high`, `n`, mean `confidence`, share `right` and its 95 % interval
        `right_ci95` of each bin that has answers.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks.
    ICML 2017, equations 2 to 4.
    """
    numbers = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    table: list[dict[str, Any]] = []
    for number in np.unique(numbers).tolist():
        inside = numbers == number
        n, hits = int(inside.sum()), int(right[inside].sum())
        row = {"low": number / bins, "high": (number + 1) / bins, "n": n}
        row |= {"confidence": float(confidence[inside].mean()), "right": hits / n}
        table.append(row | {"right_ci95": wilson_interval(hits, n)})
    gaps = [row["n"] * abs(row["confidence"] - row["right"]) for row in table]
    return {"ece": sum(gaps) / len(right), "reliability": table}


def zoom_text(result: dict[str, Any]) -> str:
    """Return the scores of a run as text, without the distances, which `gcd-metric` prints."""
    from tabulate import tabulate

    if not result:
        return "No photo has an answer."
    shares = {k: v for k, v in result["scores"].items() if k.startswith(("r@", "step"))}
    parts = [str(Scores(shares))]
    if "authors" in result:
        named = ", ".join(f"{name} {100 * value:.1f}" for name, value in result["authors"].items())
        parts.append(f"As the authors' evaluation prints it: {named}")
    if "ece" in result:
        rows = [
            [f"{row['low']:.2f}–{row['high']:.2f}", row["n"], row["confidence"], row["right"],
             "{:.2f}–{:.2f}".format(*row["right_ci95"])]
            for row in result["reliability"]
        ]  # fmt: skip
        headers = ["confidence", "photos", "mean", "right", "95 % interval"]
        parts.append(f"Expected calibration error {result['ece']:.3f}")
        parts.append(tabulate(rows, headers, floatfmt=".2f"))
    return "\n\n".join(parts)
