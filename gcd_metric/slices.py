"""Scores the photos of each value of a column, to show where a model fails."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .coordinates import parse_number
from .figures import distances, flattened, summarise
from .groups import Groups, factorize, labels_of
from .options import Options, as_numbers, make_options

if TYPE_CHECKING:
    import pandas as pd

# With fewer photos, Wilson's interval of an accuracy of 50 % is wider than ±20 points. With fewer
# groups, Student's t is above 2.77, so intervals are over 40 % wider than with many groups.
FEWEST_PHOTOS = 20
FEWEST_GROUPS = 5
QUANTILES = 4  # ranges into which numbers are cut
NO_VALUE = "(none)"
_MOST_NUMBERS = 40  # whole numbers, such as years, that are values of their own
_LEADING_ZERO = re.compile(r"\s*0\d")  # a code, not a number


class Column(NamedTuple):
    """The values by which photos are sliced."""

    name: str
    codes: np.ndarray  # the value of each photo, a position in `values`, shape (n,)
    values: list[Any]  # the last is None, for photos without a value
    is_cut: bool = False  # whether the values are ranges of numbers, in ascending order


class Slice(NamedTuple):
    """The photos of one value, and their scores."""

    value: Any  # None for photos without a value
    scores: dict[str, Any]  # as `summarise` returns them
    is_small: bool

    @property
    def is_ranked(self) -> bool:
        """Whether there are enough photos, of a known value."""
        return not self.is_small and self.value is not None

    @property
    def label(self) -> Any:
        """The value, or "(none)"."""
        return NO_VALUE if self.value is None else self.value


def slices(
    predictions: Any,
    references: Any,
    by: Any,
    *,
    config_name: str = "standard",
    thresholds: Any = None,
    unit: str | None = None,
    earth_radius: float | None = None,
    method: str = "haversine",
    missing: str = "error",
    strict: bool = False,
    groups: Any = None,
    edges: Any = None,
    quantiles: int | None = QUANTILES,
) -> pd.DataFrame:
    """Score the photos of each value of a column, such as the country or the scene.

    Parameters
    ----------
    predictions, references : coordinates of shape (n, 2)
        Latitude and longitude in degrees, in any form that the metric accepts. Rows are paired by
        id if both sides carry ids, otherwise by position.
    by : str or sequence of length n
        The name of a column of the references, or one value for each pair, in the order of the
        references. None, NaN and empty text are missing values.
    config_name, thresholds, unit, earth_radius, method, missing, strict, groups
        As in the metric. If `groups` and `by` divide the photos in the same way, as in slices by
        photographer, photos within a slice are taken as independent.
    edges : sequence of float, optional
        Cut numbers into ranges at these values; each range includes its upper edge.
    quantiles : int, optional
        Cut numbers at their quantiles into so many ranges with about equally many photos. Whole
        numbers are not cut if there are at most 40 different ones, such as years, nor are other
        numbers if there are at most `quantiles` different ones. None does not cut. Numbers may be
        written as text; codes with leading zeros and pandas categories are not cut.

    Returns
    -------
    DataFrame
        One row for each value, which is in the index. Columns: `n`; with groups `n_groups`; with
        missing="miss" `n_missing`; `small`; and the figures of the metric, `acc@200km`, each with
        the ends of its 95 % interval, `acc@200km_low` and `acc@200km_high`. The worst value is
        first: the lowest accuracy at the middle threshold (the lower one of two), then the largest
        median. Small slices, with fewer than 20 photos or 5 effective groups, follow unranked,
        the largest first. The last row, "(none)", holds the photos without a value. The index of
        ranges is categorical, so `sort_index()` puts them in ascending order.

    Raises
    ------
    ValueError
        For bad coordinates, options or values.

    Notes
    -----
    The intervals are those of each slice alone. Of many slices some are far from the average by
    chance, so the first and the last look more extreme than they are.

    Examples
    --------
    >>> truth = {"latitude": [48.85, 40.4], "longitude": [2.35, -3.7], "scene": ["city", "park"]}
    >>> table = slices([[48.86, 2.35], [48.86, 2.35]], truth, by="scene")
    >>> table.loc["city", "acc@25km"]
    1.0
    """
    options = make_options(config_name, thresholds, unit, earth_radius, method, missing, strict)
    values, labels = labels_of(by, references, "by"), labels_of(groups, references)
    name = by if isinstance(by, str) else getattr(by, "name", None)
    measured, made = distances(predictions, references, options, labels)
    name = "slice" if name is None else str(name)
    column = make_column(values, len(measured), name, edges, quantiles)
    return _as_frame(column, slice_distances(measured, column, options, made))


# --- values -------------------------------------------------------------------------------------


def make_column(
    values: Any, n: int, name: str, edges: Any = None, quantiles: int | None = QUANTILES
) -> Column:
    """Number the values of n photos, and cut numbers into ranges, as `slices` explains."""
    if quantiles is not None and (not isinstance(quantiles, Integral) or quantiles < 2):
        raise ValueError(f"quantiles must be a whole number from 2, or None, not {quantiles!r}")
    codes, found = factorize(values, n, "by")
    distinct = found.tolist()
    is_category = hasattr(found, "categories") and edges is None
    numbers = None if is_category else _as_numbers(found)
    if edges is not None and distinct and numbers is None:
        raise ValueError(f"edges cut numbers, but the values of {name} are not: {distinct[0]!r}")
    cuts = np.empty(0)
    if numbers is not None:
        of_each = np.append(numbers, np.nan)[codes]  # -1 is the last
        cuts = _edges(edges) if edges is not None else _quantiles(of_each, quantiles)
    if len(cuts):
        missing = np.isnan(of_each)
        codes, distinct = np.searchsorted(cuts, of_each), _ranges(cuts)
    else:
        missing = codes < 0
        distinct = [_plain(value) for value in distinct]
    codes[missing] = len(distinct)
    return Column(name, codes, [*distinct, None], bool(len(cuts)))


def _as_numbers(distinct: Any) -> np.ndarray | None:
    """Different values as numbers, NaN for missing ones; None if they are labels, or none."""
    if distinct.dtype.kind in "iuf":
        return np.asarray(distinct, dtype=np.float64) if len(distinct) else None
    parsed = distinct.tolist()
    if all(isinstance(value, str) for value in parsed):
        parsed = [None if _LEADING_ZERO.match(text) else parse_number(text) for text in parsed]
    if not all(isinstance(one, (Real, Decimal)) and not isinstance(one, bool) for one in parsed):
        return None
    numbers = np.array(parsed, dtype=np.float64)
    return None if np.isnan(numbers).all() else numbers


def _edges(edges: Any) -> np.ndarray:
    cuts = as_numbers("edges", edges)
    if not len(cuts) or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise ValueError(f"edges must be finite and ascending, not {edges!r}")
    return cuts


def _quantiles(of_each: np.ndarray, quantiles: int | None) -> np.ndarray:
    """The values at which to cut; none if there are few different ones, or if it is not asked."""
    known = of_each[~np.isnan(of_each)]
    distinct = np.unique(known)
    is_whole = bool((np.floor(distinct) == distinct).all())
    if quantiles is None or len(distinct) <= (_MOST_NUMBERS if is_whole else quantiles):
        return np.empty(0)
    cuts = np.quantile(known, np.arange(1, quantiles) / quantiles, method="inverted_cdf")
    # a range includes its upper edge, so nothing would be above the largest value
    return np.unique(np.minimum(cuts, distinct[-2]))


def _ranges(cuts: np.ndarray) -> list[str]:
    """Names of the ranges between cuts: `up to 3`, `over 3, up to 10`, `over 10`."""
    for digits in range(4, 18):  # as many as tell them apart
        texts = [
            f"{cut:.0f}"
            if cut.is_integer()
            else np.format_float_positional(cut, digits, fractional=False, trim="-")
            for cut in cuts.tolist()
        ]
        if len(set(texts)) == len(texts):
            break
    between = [f"over {low}, up to {high}" for low, high in zip(texts, texts[1:], strict=False)]
    return [f"up to {texts[0]}", *between, f"over {texts[-1]}"]


def _plain(value: Any) -> Any:
    """2004 for 2004.0, to which a missing value turns the years of a column."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# --- scores -------------------------------------------------------------------------------------


def slice_distances(
    measured: np.ndarray, column: Column, options: Options, groups: Groups | None = None
) -> list[Slice]:
    """Score each value by the distances of its photos; in the order of `slices`.

    `measured` are distances of shape (n,) in the unit of `options`, NaN for missing predictions.
    """
    # small integers are sorted much faster
    codes = column.codes.astype(np.min_scalar_type(len(column.values)))
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(column.values))).tolist()
    parts = [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    if groups and _same_division(parts, groups):
        groups = None
    found = []
    for value, rows in zip(column.values, parts, strict=True):
        if not len(rows):
            continue
        within = groups.take(rows) if groups else None
        small = len(rows) < FEWEST_PHOTOS or bool(within and within.effective < FEWEST_GROUPS)
        found.append(Slice(value, summarise(measured[rows], options, within), small))
    return sorted(found, key=lambda one: _rank(one, options))


def _same_division(parts: list[np.ndarray], groups: Groups) -> bool:
    """Whether each value is one whole group, and photos without a value are without a group."""
    *known, unknown = parts
    whole = all(
        len(rows) == groups.sizes[groups.codes[rows[0]]]
        and (groups.codes[rows] == groups.codes[rows[0]]).all()
        for rows in known
        if len(rows)
    )
    return whole and bool((groups.sizes[groups.codes[unknown]] == 1).all())


def ranked_by(options: Options) -> str:
    """The key of the accuracy by which slices are ranked, that of the middle threshold."""
    ordered = sorted(zip(options.thresholds, options.keys, strict=True))
    return ordered[(len(ordered) - 1) // 2][1]


def _rank(one: Slice, options: Options) -> tuple[float, ...]:
    if not one.is_ranked:
        return 2 if one.value is None else 1, -one.scores["n"]
    median = one.scores[f"median_{options.unit}"]
    return 0, one.scores[ranked_by(options)], -math.inf if math.isnan(median) else -median


def _as_frame(column: Column, found: list[Slice]) -> pd.DataFrame:
    import pandas as pd

    records = []
    for one in found:
        counts = {key: value for key, value in one.scores.items() if key.startswith("n")}
        records.append({**counts, "small": one.is_small, **flattened(one.scores)})
    labels = [one.label for one in found]
    index = pd.Index(labels, name=column.name, tupleize_cols=False)
    if column.is_cut:
        ranges = [*column.values[:-1], NO_VALUE]
        index = pd.CategoricalIndex(labels, ranges, ordered=True, name=column.name)
    return pd.DataFrame(records, index)
