"""The protocol of models that zoom, and their encodings, which a search repeats and reorders."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from geoload.models.loading import ModelError


class ZoomModel(Protocol):
    """A model that zooms from view to view to where a photo was taken.

    As for models of photos, `preprocess`, `device`, `batch_size`, `image_size` and `checkpoint` are
    optional.
    """

    def encode(self, photos: list[Any]) -> Any:
        """Return the state of a batch of photos.

        Parameters
        ----------
        photos : list of PIL.Image, or what `preprocess` returned for each

        Returns
        -------
        state : tensor, ndarray, list, tuple, dict or None
            A tensor, array or list has one entry for each photo; a tuple or dict contains such
            states. Another type must have a length and accept an array of rows as an index.
        """

    def step(self, state: Any, views: np.ndarray, actions: np.ndarray) -> Any:
        """Score the next actions of n hypotheses, of which a photo has up to `beam`.

        Parameters
        ----------
        state : as `encode` returned it, with one entry for each hypothesis
        views : ndarray of uint8, shape (n, size, size, 3)
            The view after the actions, RGB.
        actions : ndarray of int, shape (n, t)
            The actions so far; t is 0 in the first step.

        Returns
        -------
        scores : tensor or ndarray, shape (n, 16)
            Logits or log-probabilities. -inf excludes an action.
        state : optional, second of a tuple
            The state for the next step, if it changes: for example with the tokens of this view.
        """


def take(state: Any, rows: np.ndarray) -> Any:
    """Return the entries of a state in some rows; all rows in their order are not copied."""
    if isinstance(state, Mapping):
        taken: Any = copy.copy(state)  # of the same class, such as an output of `transformers`
        for key, value in state.items():
            taken[key] = take(value, rows)
        return taken
    if isinstance(state, tuple):
        parts = [take(value, rows) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if state is None or np.array_equal(rows, np.arange(len(state))):
        return state
    if isinstance(state, list):
        return [state[row] for row in rows]
    return state[rows]


def check_state(state: Any, count: int, what: str) -> None:
    """Raise ModelError unless every part of a state has `count` entries."""
    if isinstance(state, (Mapping, tuple)):
        for value in state.values() if isinstance(state, Mapping) else state:
            check_state(value, count, what)
        return
    try:
        length = count if state is None else len(state)
    except TypeError as error:
        raise ModelError(f"{what}: the state is a {type(state).__name__}: {_STATE}") from error
    if length != count:
        raise ModelError(f"{what}: a state of {count} has {length} entries: {_STATE}")


_STATE = (
    "give a tensor, an array or a list with one entry for each, or a tuple or dict of these, so "
    "that the search can repeat and reorder them"
)
