"""Refuses coordinates that cannot be scored, and notes what is doubtful in others."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .coordinates import Coordinates, within_180
from .distances import sphere_distances
from .options import KM_PER_DEGREE

_EARTH_RADIUS_KM = 6371.0
_SWAPPED_WITHIN_KM = 500
_SAMPLE = 256  # rows that answer most questions about all of them
_CHUNK = 16_384  # rows that are checked at a time
# binary digits of a number
_DIGITS = {"float8_e5m2": 3, "float8_e4m3": 4, "bfloat16": 8, "float16": 11, "float32": 24}
_FLOAT32_KM = 0.002  # places closer than this may be equal in float32
_RADIANS_FROM = 10  # rows
_RADIANS_SPREAD = (0.25, 0.5)  # of latitudes and longitudes: 14 and 29 degrees


class Checked(NamedTuple):
    """Coordinates that can be scored: arrays (n, 2) of degrees, longitudes within ±180."""

    predictions: np.ndarray
    references: np.ndarray
    notes: list[str]  # what was changed, and what is doubtful


def examine(
    predictions: Coordinates,
    references: Coordinates,
    missing: str = "miss",
    finest_km: float = math.inf,
) -> Checked:
    """Refuse coordinates that cannot be scored, and note what is doubtful.

    Both sides must be paired row by row. With `missing` "error", a row of predictions with NaN is
    refused. The numbers should be exact enough for thresholds of `finest_km`. A ValueError names
    the first bad row, how many there are, and the likely cause.
    """
    sides, notes = [], []
    for name, side in (("predictions", predictions), ("references", references)):
        degrees, count = within_180(side.degrees)
        sides.append(degrees)
        if count:
            notes.append(
                f"{name}: longitudes run from 0 to 360; {count:,} above 180 are taken as west"
            )
    guess, truth = sides
    if not len(truth):
        raise ValueError("predictions and references are empty: there is nothing to score")
    _check_range(guess, "predictions", missing == "miss")
    _check_range(truth, "references", False)
    _check_radians(guess, truth)
    _check_swapped(guess, truth)
    if finest_km < math.inf:
        notes += _coarse(predictions, "predictions", finest_km)
        notes += _coarse(references, "references", finest_km)
    return Checked(guess, truth, notes + _both_in_radians(guess, truth))


def number_digits(given: Coordinates) -> int:
    """Binary digits of the type that the numbers were passed in; 0 for small integer types."""
    return 0 if given.step else _DIGITS.get(given.stored.removesuffix("fn"), 53)


# --- ranges and order ---------------------------------------------------------------------------


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
        elif (np.abs(rows[:, 0]) <= 90).all() and (np.abs(rows[:, 1]) <= 360).all():
            cause = "longitudes are either all within ±180 or all from 0 to 360"
        elif not np.isfinite(rows).all():
            cause = "a division by zero or an overflow in the model"
        elif (np.abs(np.radians(rows)) <= (90, 180)).all():
            cause = "swapped columns, or radians converted to degrees twice"
        else:
            cause = "swapped columns, or numbers that are not degrees (radians, metres, pixels)"
    return (
        f"{name}: row {first} {fault}: ({latitude}, {longitude}); "
        f"bad rows: {int(bad.sum())} of {len(array)}. Likely cause: {cause}."
    )


def _check_radians(predictions: np.ndarray, references: np.ndarray) -> None:
    """Refuse a side that is in radians, which only the comparison with the other side shows."""
    inside = _fits_radians(predictions), _fits_radians(references)
    if inside[0] == inside[1]:
        return
    name, array, other = (
        ("predictions", predictions, references)
        if inside[0]
        else ("references", references, predictions)
    )
    before, after = _distances_km(array, other), _distances_km(np.degrees(array), other)
    answered = ~np.isnan(before)
    if answered.sum() < 3:  # with fewer rows it can be chance
        return
    if np.median(after[answered]) < np.median(before[answered]) / 2:
        raise ValueError(
            f"{name}: row 0 is {tuple(array[0].tolist())}; all {len(array)} rows are "
            "within ±pi/2 and ±pi, and interpreted as radians they are much closer to the "
            "other side. Likely cause: radians; pass degrees."
        )


def _check_swapped(predictions: np.ndarray, references: np.ndarray) -> None:
    """Refuse swapped columns where both orders are in range, as in Europe."""
    if (np.abs(predictions[:_SAMPLE, 1]) > 90).any():
        return
    both = np.flatnonzero(~np.isnan(predictions).any(axis=1))
    for rows in (both[:_SAMPLE], both):  # the sample is enough for nearly every input
        here, there = predictions[rows], references[rows]
        if len(rows) < 3 or (np.abs(here[:, 1]) > 90).any():  # with fewer rows it can be chance
            return
        before = np.median(_distances_km(here, there))
        after = np.median(_distances_km(here[:, ::-1], there))
        if not (after < before / 10 and after < _SWAPPED_WITHIN_KM):
            return
    raise ValueError(
        f"predictions: row {rows[0]} is {tuple(here[0].tolist())} and its reference "
        f"{tuple(there[0].tolist())}; with latitude and longitude exchanged on one side the "
        f"median error of {len(rows)} rows falls from {before:,.0f} to {after:,.0f} km. Likely "
        "cause: swapped columns on one side; pairs are (latitude, longitude)."
    )


def _distances_km(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return sphere_distances(a, b, _EARTH_RADIUS_KM)


def _fits_radians(array: np.ndarray) -> bool:
    limits = (math.pi / 2, math.pi)
    # the first rows are enough for nearly every input; all NaN is not radians
    if (np.abs(array[:_SAMPLE]) > limits).any():
        return False
    return not (np.abs(array) > limits).any() and not np.isnan(array).any(axis=1).all()


# --- doubts -------------------------------------------------------------------------------------


def _both_in_radians(predictions: np.ndarray, references: np.ndarray) -> list[str]:
    """Note that both sides look like radians.

    There is no land within ±pi/2 degrees of latitude and ±pi of longitude, so photos of several
    places there must be in radians. One place is not enough: 0, 0 stands for "unknown", and made-up
    test data is often near it.
    """
    if not (_fits_radians(references) and _fits_radians(predictions)):
        return []
    answered = references[~np.isnan(predictions).any(axis=1)]
    if len(answered) < _RADIANS_FROM or (np.ptp(answered, axis=0) < _RADIANS_SPREAD).any():
        return []
    return [
        f"all {len(references):,} predictions and references are within ±pi/2 and ±pi, in the sea "
        "off West Africa. Likely cause: radians on both sides; pass degrees"
    ]


def _coarse(given: Coordinates, name: str, finest_km: float) -> list[str]:
    """Note that numbers were rounded to a type too coarse for `finest_km`."""
    stored = given.stored
    digits: int | np.ndarray = number_digits(given)
    if digits >= 24:  # the numbers may have been in a smaller type before
        found = [_looks_like(given.degrees, finest_km)]
        if found[0][1] >= 24:  # one column may be coarser than the other
            found = [
                min(found[0], _looks_like(column, finest_km), key=lambda kind: kind[1])
                for column in given.degrees.T
            ]
        stored, coarsest = min(found, key=lambda kind: kind[1])
        if coarsest == 53:
            return []
        digits = np.array([kind[1] for kind in found])
    degrees = given.degrees[~np.isnan(given.degrees).any(axis=1)]
    step: np.ndarray = np.full(2, given.step) if given.step else _steps(degrees, digits)
    north, east = np.broadcast_to(step, degrees.shape).T
    apart = np.hypot(north, east * np.cos(np.radians(degrees[:, 0])))
    apart_km = KM_PER_DEGREE * float(apart.max(initial=0))
    if apart_km <= finest_km:
        return []
    return [
        f"{name}: the numbers have been rounded to {stored}, by up to {apart_km / 2:.2g} km at "
        f"these coordinates, so thresholds below {apart_km:.2g} km mean little; keep coordinates "
        "in float64 or float32"
    ]


def _looks_like(degrees: np.ndarray, finest_km: float) -> tuple[str, int]:
    """The smallest type that contains the numbers exactly, and its binary digits.

    Numbers on an even grid, such as whole degrees or the centres of cells, count as float64.
    """
    exact = ("float64", 53)
    sample = _digits(degrees[:_SAMPLE])  # the first rows are enough for nearly every input
    if sample > 24 or (sample > 11 and finest_km > _FLOAT32_KM):
        return exact
    digits = _digits(degrees)
    degrees = degrees[~np.isnan(degrees)]
    for stored in ("bfloat16", "float16", "float32"):
        most = _DIGITS[stored]
        if digits <= most:
            coarsest = _steps(degrees, most).max(initial=0)
            even = not coarsest or not (degrees % coarsest).any()
            return exact if even else (stored, most)
    return exact


def _digits(degrees: np.ndarray) -> int:
    """The number of binary digits that the numbers need, at most 53."""
    whole = (np.frexp(degrees[~np.isnan(degrees)])[0] * 2.0**53).astype(np.int64)
    last = (whole & -whole)[whole != 0].min(initial=2**53)
    return 54 - int(last).bit_length()


def _steps(degrees: np.ndarray, digits: int | np.ndarray) -> np.ndarray:
    """The distance from each number to the next one with that many binary digits (per column)."""
    return np.where(degrees == 0, 0.0, np.exp2(np.frexp(degrees)[1] - digits))
