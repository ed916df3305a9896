"""Coordinates of any accepted form to one array; what cannot be scored is said in checks.py."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

_NAMES = {"latitude": ("latitude", "lat"), "longitude": ("longitude", "lon", "lng", "long")}


def as_coordinates(values: Any, name: str = "coordinates") -> np.ndarray:
    """Bring coordinates of any accepted form into one array.

    Parameters
    ----------
    values : list of pairs, array or tensor (n, 2), data frame, or rows with named coordinates
        Latitude and longitude in decimal degrees, in that order unless they are named.
    name : str
        What to call them in an error.

    Returns
    -------
    ndarray of shape (n, 2), float64
        NaN where a value was None. An array that has this form already is not copied.

    Raises
    ------
    ValueError
        If a row is not a pair of numbers; the range is not looked at.
    """
    if values is None:
        raise ValueError(f"{name}: none were given")
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got text")
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    names = _column_names(values)
    if names is None and hasattr(values, "select_columns") and values.column_names:
        # photos beside the coordinates need not be decoded
        values = values.select_columns(list(_find(values.column_names, name)))
    if names is not None:
        return _from_columns(values, names, name)
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    if not hasattr(values, "iloc") and hasattr(values, "__array__"):
        values = np.asarray(values)
        if values.dtype.kind in "fiu":
            return _checked_shape(values.astype(np.float64, copy=False), name)
        values = values.tolist()
    if not isinstance(values, Iterable):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got {values!r}")
    return _from_rows(values if isinstance(values, (list, tuple)) else list(values), name)


def _column_names(values: Any) -> list[Any] | None:
    if isinstance(values, Mapping):
        return list(values)
    # a Dataset; one that streams knows its columns too, but only its rows can be had
    names = getattr(values, "column_names", None) if hasattr(values, "__len__") else None
    if names is None and getattr(values, "ndim", 0) == 2:
        names = getattr(values, "columns", None)  # a data frame
    return None if names is None else list(names)


def _find(names: Iterable[Any], name: str) -> tuple[Any, Any]:
    by_lower = {str(key).strip().lower(): key for key in names}
    keys = [
        next((by_lower[usual] for usual in aliases if usual in by_lower), None)
        for aliases in _NAMES.values()
    ]
    if None in keys:
        raise ValueError(
            f"{name}: found no 'latitude' and 'longitude' among {list(by_lower.values())}; "
            "rename the columns, or pass an array of shape (n, 2)"
        )
    return keys[0], keys[1]


def _from_columns(values: Any, names: list[Any], name: str) -> np.ndarray:
    if len(names) == 2 and not any(isinstance(key, str) for key in names):
        keys = (names[0], names[1])  # an unnamed frame: as an array
    else:
        keys = _find(names, name)
    columns = [_as_column(values[key][:], f"{name}, column {key!r}") for key in keys]
    if len(columns[0]) != len(columns[1]):
        raise ValueError(f"{name}: {len(columns[0])} latitudes and {len(columns[1])} longitudes")
    return np.column_stack(columns)


def _as_column(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one value a row, got shape {array.shape}")
    if array.dtype.kind in "fiu":
        return array
    return np.fromiter((_number(value, name, row) for row, value in enumerate(array)), np.float64)


def _checked_shape(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 2:
        return array
    if array.size == 0:
        return np.empty((0, 2))
    hint = ""
    if array.shape == (2,):
        hint = "; for a single pair pass [pair]"
    elif array.ndim == 2 and array.shape[0] == 2:
        hint = "; did you mean its transpose?"
    raise ValueError(
        f"{name}: expected shape (n, 2), latitude and longitude, got {array.shape}{hint}"
    )


def _from_rows(rows: list[Any] | tuple[Any, ...], name: str) -> np.ndarray:
    plain = set(map(type, rows)) <= {list, tuple} and set(map(len, rows)) <= {2}
    if plain and all(map(_is_number_type, set(map(type, chain.from_iterable(rows))))):
        with contextlib.suppress(OverflowError):
            flat = np.fromiter(chain.from_iterable(rows), np.float64, 2 * len(rows))
            return flat.reshape(-1, 2)
    out = np.empty((len(rows), 2))
    for index, row in enumerate(rows):
        out[index] = _pair(row, name, index)
    return out


def _pair(row: Any, name: str, index: int) -> tuple[float, float]:
    if _is_nothing(row):
        return (math.nan, math.nan)
    if hasattr(row, "keys"):
        latitude, longitude = _find(row.keys(), f"{name}, row {index}")
        row = (row[latitude], row[longitude])
    elif hasattr(row, "tolist"):
        row = row.tolist()
    if not isinstance(row, (list, tuple)) or len(row) != 2:
        what = f"{len(row)} values" if isinstance(row, (list, tuple)) else repr(row)
        raise ValueError(f"{name}: row {index} is not a pair (latitude, longitude) but {what}")
    return _number(row[0], name, index), _number(row[1], name, index)


def _number(value: Any, name: str, index: int) -> float:
    if _is_nothing(value):
        return math.nan
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (str, bytes, bool)):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return float(value)
    raise ValueError(f"{name}: row {index} holds {value!r}, which is not a number of degrees")


def _is_nothing(value: Any) -> bool:
    # pandas.NA and NaT have no common ancestor with NaN, and pandas need not be loaded here
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _is_number_type(kind: type) -> bool:
    return issubclass(kind, numbers.Real) and kind is not bool
