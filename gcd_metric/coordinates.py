"""Reads coordinates of any accepted form into one array. checks.py decides what can be scored."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import re
import reprlib
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .columns import Unclear, find_pair, plain

# names of columns that contain ids, lower case without punctuation, the most reliable first
IDS = ("imageid", "imgid", "photoid", "id", "filename", "image", "key")
_ATTRIBUTES = ("latitude", "lat", "longitude", "lon", "lng")
_ID_ATTRIBUTES = ("image_id", "img_id", "photo_id", "id", "filename", "file_name", "key")
_LABEL = (str, bytes, os.PathLike, uuid.UUID)  # types of row labels; a row number is not a label
# integer types that are too small for anything but rounded coordinates
_SMALL = ("int8", "uint8", "int16", "uint16")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_DECIMAL_COMMA = re.compile(r"^(\s*[-+\u2010-\u2015\u2212]?\d+),(\d+(?:\s*°)?\s*)$")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
# what models, spreadsheets, databases and C write for a missing number
_NOTHING = frozenset(
    [
        *("", "nan", "-nan", "+nan", "nan(ind)", "-nan(ind)", "1.#ind", "-1.#ind", "1.#qnan"),
        *("-1.#qnan", "nat", "none", "null", "nil", "<null>", "(null)", "[null]", r"\n", "<na>"),
        *("na", "n/a", "n.a.", "n.a", "#n/a", "#na", "#n/a n/a", "#num!", "#value!", "#ref!"),
        *("#div/0!", "#name?", "#null!", "-", "--", "---", "?", "??", ".", "*", "unknown", "unk"),
        *("undefined", "missing", "empty", "no answer", "no data", "not available"),
    ]
)
_SAMPLE = 256  # rows that are looked at before all others

Ids = dict[str, Callable[[], list[Any]]]


class Coordinates(NamedTuple):
    """Coordinates as an array, with the ids and the number type that they were passed with."""

    degrees: np.ndarray  # latitude and longitude, shape (n, 2), float64; NaN for None or masked
    ids: Ids  # for each column that may contain ids, a function that returns n values
    stored: str = ""  # the type of the numbers ("float16"), or "" for Python's own
    step: float = 0.0  # degrees between neighbouring values of a small integer type, or 0


def read(values: Any, name: str = "coordinates") -> Coordinates:
    """Read pairs, an array or tensor (n, 2), a data frame, or rows with named coordinates.

    For `name` "predictions", columns marked as ground truth (`gt_lat`) are left out, and for
    "references" columns marked as predictions. The range is not checked. A ValueError says which
    row is not a pair of numbers, or which columns are unclear. An array of the right type and shape
    is not copied.
    """
    if isinstance(values, Coordinates):
        return values
    if values is None:
        raise ValueError(f"{name}: none were given")
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got text")
    if isinstance(values, (set, frozenset)):
        raise ValueError(f"{name}: a set has no order of rows; pass a list of pairs")
    if hasattr(values, "readline"):
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got a file; read it first")
    if hasattr(values, "dims") and hasattr(values, "to_pandas"):  # xarray
        values = values.to_pandas()
    if hasattr(values, "detach"):
        return _from_tensor(values, name)
    names = _column_names(values)
    if names is not None:
        return _from_columns(values, names, name)
    if hasattr(values, "select_columns") and values.column_names:
        # a streamed data set: select columns, so that its photos are not decoded
        wanted = [*_find(tuple(values.column_names), name), *_id_columns(values)]
        values = values.select_columns(wanted)
    if hasattr(values, "to_list") and not hasattr(values, "iloc"):  # a polars Series
        values = values.to_list()
    if not hasattr(values, "iloc") and hasattr(values, "__array__"):
        values = np.ma.asanyarray(values)
        if values.dtype.kind in "fiu":
            array = np.ma.getdata(_filled(values)).astype(np.float64, copy=False)
            small = float(values.dtype.name in _SMALL)
            return Coordinates(_checked_shape(array, name), {}, values.dtype.name, small)
        return _from_rows(values.tolist(), name)._replace(stored=values.dtype.name)
    index = values.index if hasattr(values, "iloc") else None
    if not isinstance(values, Iterable):
        got = reprlib.repr(values)
        raise ValueError(f"{name}: expected pairs (latitude, longitude), got {got}")
    given = _from_rows(values if isinstance(values, (list, tuple)) else list(values), name)
    if index is not None:
        given.ids.update(_index_ids(index, given.ids))
    return given


# --- arrays -------------------------------------------------------------------------------------


def _from_tensor(values: Any, name: str) -> Coordinates:
    values = _dense(values, name)
    stored, step = str(values.dtype).removeprefix("torch."), 0.0
    if values.is_quantized:
        per_tensor = "tensor" in str(values.qscheme())
        step = float(values.q_scale() if per_tensor else values.q_per_channel_scales().max())
        values = values.dequantize()
    elif stored in _SMALL:
        step = 1.0
    elif stored.startswith(("bool", "complex")):
        return _from_rows(values.tolist(), name)  # raises: these are not degrees
    return Coordinates(_checked_shape(values.double().numpy(), name), {}, stored, step)


def _dense(tensor: Any, name: str) -> Any:
    if tensor.is_meta or tensor.is_nested or str(tensor.layout) != "torch.strided":
        raise ValueError(f"{name}: pass a dense tensor (n, 2), not a sparse, nested or meta one")
    return tensor.detach().cpu()


def _filled(array: np.ndarray) -> np.ndarray:
    """Numbers with NaN where they are masked."""
    if not np.ma.is_masked(array):
        return array
    return np.ma.filled(array.astype(np.float64), np.nan)


def within_180(degrees: np.ndarray) -> tuple[np.ndarray, int]:
    """Change longitudes of 0 to 360 into -180 to 180; also return how many were changed."""
    if not runs_to_360(degrees[:, 1]):
        return degrees, 0
    west = degrees[:, 1] > 180
    degrees = degrees.copy()
    degrees[west, 1] -= 360
    return degrees, int(west.sum())


def runs_to_360(longitude: np.ndarray) -> bool:
    """Whether longitudes run from 0 to 360, with some above 180.

    A value above 180 among negative ones fits neither range. It is probably wrong, so it is not
    converted, and the range check refuses it.
    """
    # the first rows are enough for nearly every input
    if (longitude[:_SAMPLE] < 0).any() or not 180 < np.nanmax(longitude, initial=0) <= 360:
        return False
    return bool(np.nanmin(longitude, initial=0) >= 0)


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


# --- named columns ------------------------------------------------------------------------------


def _column_names(values: Any) -> list[Any] | None:
    """Names of the columns of a data set, frame, table, record array or mapping, or None."""
    if isinstance(values, Mapping):
        return list(values)
    if getattr(getattr(values, "dtype", None), "names", None):  # an array of records
        return list(values.dtype.names)
    # a Dataset; a streamed one has column names too, but only rows can be read from it
    names = getattr(values, "column_names", None) if hasattr(values, "__len__") else None
    if names is None and len(getattr(values, "shape", ())) == 2:
        names = getattr(values, "columns", None)  # a data frame of pandas or polars
    return None if names is None else list(names)


def _find(names: tuple[Any, ...], name: str) -> tuple[Any, Any]:
    """The names of latitude and longitude, which must form one pair."""
    texts = [str(key) for key in names]
    of = name if name in ("predictions", "references") else None
    try:
        found = find_pair(texts, of=of)
    except Unclear as unclear:
        raise ValueError(
            f"{name}: found no single pair of 'latitude' and 'longitude': {unclear}; rename the "
            "columns, or pass an array of shape (n, 2)"
        ) from None
    return names[texts.index(found["latitude"])], names[texts.index(found["longitude"])]


def _id_columns(values: Any) -> list[Any]:
    """The columns of a data set that may contain ids; columns of images do not."""
    kinds = values.features or {}
    return [
        key
        for key in values.column_names
        if plain(key) in IDS and type(kinds.get(key)).__name__ in ("Value", "NoneType")
    ]


def _from_columns(values: Any, names: list[Any], name: str) -> Coordinates:
    unnamed = not isinstance(values, Mapping) and not any(isinstance(key, str) for key in names)
    # an unnamed frame is read as an array
    keys = tuple(names) if len(names) == 2 and unnamed else _find(tuple(names), name)
    columns = [_as_column(values[key], f"{name}, column {key!r}") for key in keys]
    if len(columns[0]) != len(columns[1]):
        raise ValueError(f"{name}: {len(columns[0])} latitudes and {len(columns[1])} longitudes")
    known = _id_columns(values) if hasattr(values, "features") else names
    ids = _ids_of(known, lambda key: lambda: list(values[key]), name)
    if hasattr(values, "iloc"):
        ids.update(_index_ids(values.index, ids))
    kinds = {column.dtype for column in columns}
    stored = min(kinds, key=lambda kind: kind.itemsize)
    degrees = np.column_stack(columns).astype(np.float64, copy=False)
    return Coordinates(degrees, ids, stored.name, float(stored.name in _SMALL))


def _ids_of(
    keys: Iterable[Any], values_of: Callable[[Any], Callable[[], list[Any]]], name: str
) -> Ids:
    ids: Ids = {}
    for key in keys:
        known = plain(key)
        if known in IDS:
            ids[known] = partial(_refuse_twice, key, name) if known in ids else values_of(key)
    return ids


def _refuse_twice(key: Any, name: str) -> list[Any]:
    # raised only if rows are to be paired by these columns
    raise ValueError(f"{name}: two columns are called {key!r}, or nearly so; keep one of them")


def _index_ids(index: Any, ids: Ids) -> Ids:
    """Ids in the index of a frame: levels that are named as ids, else the row labels."""
    found = {
        plain(key): index.get_level_values(level).tolist
        for level, key in enumerate(index.names)
        if plain(key) in IDS
    }
    free = IDS[0] not in ids if index.name is None else not ids
    first = next((one for one in index if not _is_nothing(one)), None)
    if not found and free and isinstance(first, _LABEL):
        found[IDS[0]] = index.tolist
    return found


def _as_column(values: Any, name: str) -> np.ndarray:
    if isinstance(values, Mapping):
        raise ValueError(f"{name}: expected a list, got a mapping; use to_dict('list') of a frame")
    if hasattr(values, "detach"):
        values = _dense(values, name)
        is_number = not str(values.dtype).startswith(("torch.bool", "torch.complex"))
        values = values.double() if is_number else values.numpy()
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    elif not hasattr(values, "__array__") and hasattr(values, "__getitem__"):
        values = values[:]  # a column of a data set, to a list
    array = np.ma.asanyarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one value per row, got shape {array.shape}")
    if array.dtype.kind in "fiu":
        return np.ma.getdata(_filled(array))
    cells = array.tolist()
    return np.fromiter((_number(cell, name, row) for row, cell in enumerate(cells)), np.float64)


# --- rows ---------------------------------------------------------------------------------------


def _from_rows(rows: list[Any] | tuple[Any, ...], name: str) -> Coordinates:
    plain = set(map(type, rows)) <= {list, tuple} and set(map(len, rows)) <= {2}
    if plain and all(map(_is_number_type, set(map(type, chain.from_iterable(rows))))):
        with contextlib.suppress(OverflowError):
            flat = np.fromiter(chain.from_iterable(rows), np.float64, 2 * len(rows))
            return Coordinates(flat.reshape(-1, 2), {}, _stored(rows))
    degrees = np.empty((len(rows), 2))
    find = lru_cache(_find)
    for index, row in enumerate(rows):
        degrees[index] = _pair(row, name, index, find)
    first = next((row for row in rows if not _is_nothing(row)), None)
    ids = _ids_of(_names_of(first) or (), lambda key: _cells_of(rows, key), name)
    # itertuples and iterrows give rows an Index or a name
    label = "Index" if hasattr(first, "_fields") else "name" if hasattr(first, "iloc") else None
    if label and IDS[0] not in ids and isinstance(getattr(first, label, None), _LABEL):
        ids[IDS[0]] = lambda: [None if _is_nothing(row) else getattr(row, label) for row in rows]
    return Coordinates(degrees, ids, _stored(rows))


def _stored(rows: list[Any] | tuple[Any, ...]) -> str:
    """The number type of the first row, or of the first number in it, if it has one."""
    first = rows[0] if rows else None
    if isinstance(first, (list, tuple)) and first:
        first = first[0]
    return str(getattr(first, "dtype", "")).removeprefix("torch.")


def _cells_of(rows: Iterable[Any], key: Any) -> Callable[[], list[Any]]:
    return lambda: [None if _is_nothing(row) else _cell(row, key) for row in rows]


def _names_of(row: Any) -> tuple[Any, ...] | None:
    """The names in a mapping, named tuple, record or object; None for a pair."""
    if type(row) in (list, tuple):
        return None
    if hasattr(row, "keys"):
        return tuple(row.keys())
    names = getattr(getattr(row, "dtype", None), "names", None) or getattr(row, "_fields", None)
    if names:
        return tuple(names)
    named = tuple(name for name in _ATTRIBUTES if hasattr(row, name))
    return named + tuple(name for name in _ID_ATTRIBUTES if named and hasattr(row, name)) or None


def _cell(row: Any, key: Any) -> Any:
    if isinstance(row, tuple) or not hasattr(row, "__getitem__"):
        return getattr(row, key, None)
    with contextlib.suppress(KeyError):
        return row[key]
    return None


def _pair(row: Any, name: str, index: int, find: Any) -> tuple[float, float]:
    if _is_nothing(row):
        return (math.nan, math.nan)
    names = _names_of(row)
    if names and any(isinstance(key, str) for key in names):
        try:
            keys = find(names, name)
        except ValueError as error:
            raise ValueError(f"{name}: row {index}: {str(error).partition(': ')[2]}") from None
        row = [_cell(row, key) for key in keys]
    else:
        for method in ("tolist", "to_list", "as_py"):
            row = getattr(row, method)() if hasattr(row, method) else row
    if not isinstance(row, (list, tuple)) or len(row) != 2:
        what = f"{len(row)} values" if isinstance(row, (list, tuple)) else reprlib.repr(row)
        raise ValueError(f"{name}: row {index} is not a pair (latitude, longitude) but {what}")
    return _number(row[0], name, index), _number(row[1], name, index)


def _number(value: Any, name: str, index: int) -> float:
    if _is_nothing(value):
        return math.nan
    number = value
    for method in ("item", "as_py"):
        with contextlib.suppress(TypeError, ValueError):
            number = getattr(number, method)() if hasattr(number, method) else number
    if isinstance(number, str):
        number = parse_number(number)
    if not isinstance(number, (bytes, bool)):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return float(number)
    what = reprlib.repr(value)
    raise ValueError(f"{name}: row {index} contains {what}, which is not a number of degrees")


def with_point(cell: str) -> str:
    """A number with a decimal point in place of a decimal comma; other text as it is."""
    return _DECIMAL_COMMA.sub(r"\1.\2", cell)


def parse_number(cell: Any) -> float | None:
    """A number from text, which may have a typeset minus or a degree sign; NaN for "no value"."""
    text = unicodedata.normalize("NFKC", str(cell)).translate(_DASHES).casefold().strip()
    if text in _NOTHING:
        return math.nan
    text = text.removesuffix("°").rstrip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _is_nothing(value: Any) -> bool:
    # pandas.NA and NaT, by name so that pandas need not be imported here
    return (
        value is None
        or value is np.ma.masked
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _is_number_type(kind: type) -> bool:
    return issubclass(kind, numbers.Real) and not issubclass(kind, bool)
