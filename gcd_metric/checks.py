"""Refuses coordinates that cannot be scored, with the likely cause."""

from __future__ import annotations

import math

import numpy as np

from .distances import haversine

_SWAPPED_WITHIN_KM = 500
_SAMPLE = 256  # rows that settle most questions about all of them
_CHUNK = 16_384  # rows looked at in one go


def check_coordinates(predictions: np.ndarray, references: np.ndarray, missing: str) -> None:
    """Refuse coordinates that cannot be scored.

    Parameters
    ----------
    predictions, references : ndarray of shape (n, 2)
        Degrees. A row of `predictions` with NaN is a missing one.
    missing : {"error", "miss"}
        Whether a missing prediction is refused.

    Raises
    ------
    ValueError
        Names the first offending row, how many there are, and the likely cause.
    """
    if len(predictions) != len(references):
        raise ValueError(
            f"predictions and references must have the same length: predictions has "
            f"{len(predictions)} rows, references has {len(references)}"
        )
    if not len(references):
        raise ValueError("predictions and references are empty: there is nothing to score")
    _check_range(predictions, "predictions", missing == "miss")
    _check_range(references, "references", False)
    _check_radians(predictions, references)
    _check_swapped(predictions, references)


def _check_range(array: np.ndarray, name: str, may_miss: bool) -> None:
    limits = np.tile((90.0, 180.0), (min(_CHUNK, len(array)), 1))
    for start in range(0, len(array), _CHUNK):
        chunk = array[start : start + _CHUNK]
        if not (np.abs(chunk) <= limits[: len(chunk)]).all():
            break
    else:
        return
    bad = ~(np.abs(array) <= (90, 180)).all(axis=1)
    if may_miss:
        bad &= ~np.isnan(array).any(axis=1)
    if bad.any():
        raise ValueError(_explain(array, bad, name))


def _explain(array: np.ndarray, bad: np.ndarray, name: str) -> str:
    first = int(bad.argmax())
    latitude, longitude = array[first].tolist()
    rows = array[~np.isnan(array).any(axis=1)]
    if math.isnan(latitude) or math.isnan(longitude):
        fault = "is missing (None or NaN)"
        cause = (
            "a model that gave no answer; missing='miss' counts it as wrong"
            if name == "predictions"
            else "a photo without ground truth; leave it out on both sides"
        )
    else:
        if math.isinf(latitude) or math.isinf(longitude):
            fault = "is infinite"
        elif abs(latitude) > 90:
            fault = "has a latitude beyond 90 degrees"
        else:
            fault = "has a longitude beyond 180 degrees"
        if (np.abs(rows[:, ::-1]) <= (90, 180)).all():
            cause = "swapped columns; pairs are (latitude, longitude)"
        elif not np.isfinite(rows).all():
            cause = "a division by zero or an overflow in the model"
        elif (np.abs(np.radians(rows)) <= (90, 180)).all():
            cause = "swapped columns, or radians converted to degrees twice"
        else:
            cause = "swapped columns, or numbers that are not degrees (radians, metres, pixels)"
    return (
        f"{name}: row {first} {fault}: ({latitude}, {longitude}); "
        f"{int(bad.sum())} of {len(array)} rows are bad. Likely cause: {cause}."
    )


def _check_radians(predictions: np.ndarray, references: np.ndarray) -> None:
    """Refuse one side in radians: those are all in range, so only the other side can tell."""
    inside = _fits_radians(predictions), _fits_radians(references)
    if inside[0] == inside[1]:
        return
    name, array, other = (
        ("predictions", predictions, references)
        if inside[0]
        else ("references", references, predictions)
    )
    before, after = haversine(array, other), haversine(np.degrees(array), other)
    answered = ~np.isnan(before)
    if answered.sum() < 3:  # fewer can be chance
        return
    if np.median(after[answered]) < np.median(before[answered]) / 2:
        raise ValueError(
            f"{name}: row 0 is {tuple(array[0].tolist())}; all {len(array)} of {len(array)} rows "
            "lie within ±pi/2 and ±pi, and taken as radians they are far closer to the other "
            "side. Likely cause: radians; pass degrees."
        )


def _check_swapped(predictions: np.ndarray, references: np.ndarray) -> None:
    """Refuse one side with its columns swapped where both orders are in range, as in Europe."""
    if (np.abs(predictions[:_SAMPLE, 1]) > 90).any():
        return
    both = np.flatnonzero(~np.isnan(predictions).any(axis=1))
    for rows in (both[:_SAMPLE], both):  # nearly every input is settled by the sample
        here, there = predictions[rows], references[rows]
        if len(rows) < 3 or (np.abs(here[:, 1]) > 90).any():  # fewer can be chance
            return
        before, after = (
            np.median(haversine(here, there)),
            np.median(haversine(here[:, ::-1], there)),
        )
        if not (after < before / 10 and after < _SWAPPED_WITHIN_KM):
            return
    raise ValueError(
        f"predictions: row {rows[0]} is {tuple(here[0].tolist())} and its reference "
        f"{tuple(there[0].tolist())}; with latitude and longitude exchanged on one side the "
        f"median error of {len(rows)} rows falls from {before:,.0f} to {after:,.0f} km. Likely "
        "cause: swapped columns on one side; pairs are (latitude, longitude)."
    )


def _fits_radians(array: np.ndarray) -> bool:
    limits = (math.pi / 2, math.pi)
    # the first rows settle it for nearly every input; all NaN is not radians
    if (np.abs(array[:_SAMPLE]) > limits).any():
        return False
    return not (np.abs(array) > limits).any() and not np.isnan(array).any(axis=1).all()
