"""Compares the countries, regions, areas and cities of predicted and true places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .figures import accuracies
from .groups import Groups
from .intervals import NONE
from .places import LEVELS, UNKNOWN, Level, as_table, look_up


def true_places(references: np.ndarray, method: str) -> dict[str, Level]:
    """Look up the references, in degrees of shape (n, 2); a ValueError if none is in a country."""
    truth = look_up(references, method)
    if (truth["country"].codes == UNKNOWN).all():
        latitude, longitude = references[0].tolist()
        raise ValueError(
            f"none of the {len(references):,} references is in a country or near its coast; the "
            f"first is at latitude {latitude:g}, longitude {longitude:g}"
        )
    return truth


def score_places(
    predictions: np.ndarray,
    truth: dict[str, Level],
    groups: Groups | None,
    method: str,
    return_places: bool = False,
) -> dict[str, Any]:
    """Look up predictions, in degrees of shape (n, 2), and compare their names with the true ones.

    A level is the same if its name and the names of all levels above are the same. Pairs whose true
    place has no name at a level are left out there; a prediction without one is wrong. With
    "nearest_place" this is how OSV-5M's metrics/utils.py and distance_based.py compare (what is
    called a sub-region there is the area here); PLONK's distance_based.py does the same.

    A row of `predictions` with NaN is a missing one, and wrong at each level.
    """
    guess = look_up(predictions, method)
    result: dict[str, Any] = {}
    for level in LEVELS:
        true = truth[level].codes
        known = true != UNKNOWN
        hits = guess[level].codes == true
        if level == "city":  # a city near the border of two regions is the nearest in both
            hits &= guess["region"].codes == truth["region"].codes
        result |= hit_rate(f"acc_{level}", hits[known], groups and groups.take(known))
        result[f"n_{level}"] = int(np.count_nonzero(known))
    result["n"] = len(predictions)
    result["n_missing"] = int(np.count_nonzero(np.isnan(predictions).any(axis=1)))
    if return_places:  # as lists, because evaluate.save writes JSON
        result["prediction_places"] = as_table(guess).to_dict("list")
        result["reference_places"] = as_table(truth).to_dict("list")
    return result


def hit_rate(name: str, hits: np.ndarray, groups: Groups | None) -> dict[str, Any]:
    """The share of hits, bool of shape (n,), with its interval; NaN if there are no pairs."""
    if len(hits):
        return accuracies({name: hits}, groups)
    result = {name: math.nan, f"{name}_ci95": NONE}
    return result | {f"{name}_n_effective": math.nan} if groups else result
