"""Greedy and beam search for sequences of zoom actions, batched over photos and hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax

from geoeval.fetch import Fetcher, run
from geoeval.zoom_model import ZoomModel, check_state, take
from geoload.models.loading import ModelError
from justzoomin import zoom
from justzoomin.zoom import DEPTH, GRID


class Beams(NamedTuple):
    """The hypotheses of each photo, the most probable first.

    `sequences` have the shape (photos, beam, depth), `log_probabilities` (photos, beam).
    """

    sequences: np.ndarray
    log_probabilities: np.ndarray


def search(
    model: ZoomModel, photos: list[Any], beam: int = 1, depth: int = DEPTH, grid: int = GRID
) -> Generator[np.ndarray, np.ndarray, Beams]:
    """Search the most probable sequences of a batch of photos.

    A generator, so that the caller decides how views are fetched and what is done meanwhile: it
    yields actions of shape (n, t), is sent the views after them, (n, size, size, 3), and returns
    the beams.

    Parameters
    ----------
    model : ZoomModel
    photos : list
        As `model.encode` takes them.
    beam : int
        Hypotheses that are kept after each step; 1 is greedy search, and grid ** (2 · depth) is
        exhaustive.
    depth, grid : int
        Number of actions, and cells along a side of a view.

    Raises
    ------
    ModelError
        When scores or state of the model have another shape.
    ValueError
        When scores are not numbers, which may be true of some photos only.

    Notes
    -----
    The score of a hypothesis is the sum of the log-probabilities of its actions. Of equal ones the
    first in the order of `zoom.cells` is better, as with arg max.
    """
    count, options = len(photos), grid * grid
    state = model.encode(photos)
    check_state(state, count, "encode")
    actions, totals = np.empty((count, 0), np.int64), np.zeros((count, 1))
    for _ in range(depth):
        views = yield actions
        scores, state = _step(model, state, views, actions, options)
        grown = (totals[..., None] + scores.reshape(*totals.shape, options)).reshape(count, -1)
        best = np.argsort(-grown, axis=1, kind="stable")[:, :beam]
        # The hypotheses of a photo stay in the order of the cells, which decides between equals.
        best.sort(axis=1)
        totals, width = np.take_along_axis(grown, best, axis=1), totals.shape[1]
        rows = (best // options + width * np.arange(count)[:, None]).ravel()
        actions = np.concatenate([actions[rows], best.reshape(-1, 1) % options], axis=1)
        state = take(state, rows)
    order = np.argsort(-totals, axis=1, kind="stable")
    sequences = actions.reshape(*totals.shape, depth)
    return Beams(
        np.take_along_axis(sequences, order[..., None], axis=1),
        np.take_along_axis(totals, order, axis=1),
    )


def _step(
    model: ZoomModel, state: Any, views: np.ndarray, actions: np.ndarray, options: int
) -> tuple[np.ndarray, Any]:
    """Return the log-probabilities of the next actions, shape (n, options), and the next state."""
    answer = model.step(state, views, actions)
    scores, state = answer if isinstance(answer, tuple) else (answer, state)
    check_state(state, len(actions), "step")
    if hasattr(scores, "detach"):
        scores = scores.detach().double().cpu()
    scores = np.asarray(scores, float)
    if scores.shape != (len(actions), options):
        raise ModelError(
            f"step returned scores of shape {scores.shape}; for {len(actions)} hypotheses it "
            f"should be {(len(actions), options)}"
        )
    with np.errstate(invalid="ignore"):
        found: np.ndarray = log_softmax(scores, axis=1)
    if np.isnan(found).any():
        row = int(np.argwhere(np.isnan(found))[0, 0])
        raise ValueError(
            f"step returned scores that are not numbers, after actions {actions[row].tolist()}"
        )
    return found, state


def predictor(
    model: ZoomModel, fetcher: Fetcher, beam: int = 1
) -> Callable[[list[Any]], list[dict[str, Any]]]:
    """Return the function that predicts a batch of photos, as a list of records.

    A batch is searched in two halves: while the model works on one, views of the other are fetched.

    A record has the best `sequence`, the `latitude` and `longitude` of the centre of its cell in
    degrees, its `log_probability` and, if `beam` is more than 1, all hypotheses as `candidates`:
    latitude, longitude and log-probability, the best first.
    """

    def predict(photos: list[Any]) -> list[dict[str, Any]]:
        half = (len(photos) + 1) // 2
        searches = [search(model, part, beam) for part in (photos[:half], photos[half:]) if part]
        return [record for beams in run(searches, fetcher.fetch) for record in _records(beams)]

    return predict


def _records(beams: Beams) -> Iterator[dict[str, Any]]:
    degrees = np.stack([*zoom.decode(beams.sequences), beams.log_probabilities], axis=-1)
    for sequences, candidates in zip(beams.sequences.tolist(), degrees.tolist(), strict=True):
        latitude, longitude, log_probability = candidates[0]
        record = {
            "sequence": sequences[0], "latitude": latitude, "longitude": longitude,
            "log_probability": log_probability,
        }  # fmt: skip
        if len(candidates) > 1:
            # JSON has no infinity, which is the score of an excluded sequence.
            record["candidates"] = [row for row in candidates if row[2] > -np.inf]
        yield record
