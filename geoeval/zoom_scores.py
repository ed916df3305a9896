"""Scores of zoom runs: sequences, steps and distances as for Just Zoom In, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import justzoomin
from gcd_metric.groups import JUSTZOOMIN as PLACES
from gcd_metric.intervals import wilson_interval
from justzoomin import zoom
from justzoomin.scores import Scores

BINS = 15
# The names under which the authors' evaluation prints these figures.
_AUTHORS = {
    "r@1 strict": "r@1", "r@40m": "acc@40m", "r@50m": "acc@50m", "r@100m": "acc@100m",
}  # fmt: skip


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
        candidates; `authors`, those that the authors' evaluation prints, under its names; and, if
        there are log-probabilities, `ece` and `reliability` (see `calibration`). Photos with an
        error are left out, and `n_references` is then the number of all photos. Empty if there is
        no answer.
    """
    answered = [record for record in records if "sequence" in record]
    if not answered:
        return {}
    ids = [record["image_id"] for record in answered]
    sequences = np.array([record["sequence"] for record in answered])
    options: dict[str, Any] = {"ids": ids, "allow_partial": True, "groups": PLACES}
    scores = justzoomin.score(sequences, references, "sequences", **options)
    if all("candidates" in record for record in answered):
        least = min(len(record["candidates"]) for record in answered)
        places = np.array([record["candidates"][:least] for record in answered])
        ranked = zoom.encode(places[..., 0], places[..., 1], sequences.shape[1], outside="clip")[0]
        found = justzoomin.score(ranked, references, "ranked", **options)
        scores.update({key: found[key] for key in found if key.startswith("r@")})
    result = {
        "scores": dict(scores),
        "authors": {name: scores[key] for name, key in _AUTHORS.items()},
    }
    if all("log_probability" in record for record in answered):
        truth = dict(zip(map(str, references["image_id"]), references["sequence"], strict=True))
        right = [
            list(truth.get(record["image_id"], ()))[: len(record["sequence"])] == record["sequence"]
            for record in answered
        ]
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
    """Return the scores of a run as text for the terminal."""
    from tabulate import tabulate

    if not result:
        return "No photo has an answer."
    parts = [str(Scores(result["scores"]))]
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
