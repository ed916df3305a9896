"""Rows of two sides brought together: by id where both carry ids, otherwise by position."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable
from decimal import Decimal
from typing import Any

import numpy as np

from .coordinates import IDS, Given, read
from .matching import match_ids, refuse_duplicates
from .names import listed

_BY_POSITION = "pass arrays of shape (n, 2) to pair rows by position"


def pair(left: Any, right: Any, names: tuple[str, str]) -> tuple[Given, Given]:
    """Read both sides and bring the left one into the order of the right one.

    Parameters
    ----------
    left, right : coordinates of shape (n, 2)
        In any form that `as_coordinates` takes.
    names : (str, str)
        What to call the sides in an error.

    Returns
    -------
    (left, right) : tuple of Given
        Row by row of one photo each.

    Raises
    ------
    ValueError
        For other numbers of rows; where both sides carry ids, if these are not the same, or if one
        occurs twice.
    """
    return align(read(left, names[0]), read(right, names[1]), names)


def align(left: Given, right: Given, names: tuple[str, str]) -> tuple[Given, Given]:
    """Bring the left side into the order of the right one, as `pair` does."""
    order, used = None, ""
    for columns in _common_columns(left, right):
        left_ids = _texts(left.ids[columns[0]](), names[0], columns[0])
        right_ids = _texts(right.ids[columns[1]](), names[1], columns[1])
        if not (left_ids and right_ids):
            continue
        if not used:
            order, used = _order(left_ids, right_ids, names), columns[0]
            continue
        try:
            other = _order(left_ids, right_ids, names)
        except ValueError:  # of other rows: no ids to pair by
            continue
        if not np.array_equal(_places(order, left), _places(other, left)):
            raise ValueError(
                f"{names[0]} and {names[1]}: the columns {used!r} and {columns[0]!r} pair the rows "
                f"differently; keep one of them. {_BY_POSITION}"
            )
    if not used:
        _refuse_lengths(len(left.degrees), len(right.degrees), names)
    return (left if order is None else left._replace(degrees=left.degrees[order])), right


def _places(order: np.ndarray | None, given: Given) -> np.ndarray:
    return np.arange(len(given.degrees)) if order is None else order


def _common_columns(left: Given, right: Given) -> list[tuple[str, str]]:
    """Which columns hold the ids of the two sides, the surest first; of one name if possible."""
    if not (left.ids and right.ids):
        return []
    both = [(key, key) for key in IDS if key in left.ids and key in right.ids]
    return both or [(min(left.ids, key=IDS.index), min(right.ids, key=IDS.index))]


def _refuse_lengths(left: int, right: int, names: tuple[str, str]) -> None:
    if left != right:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same length: {names[0]} has {left} rows, "
            f"{names[1]} has {right}"
        )


def _texts(values: list[Any], name: str, column: str) -> list[str] | None:
    """Ids as text; None for pictures, or values all the same, which are no ids."""
    texts = []
    for row, value in enumerate(values):
        for method in ("item", "as_py"):
            value = getattr(value, method)() if hasattr(value, method) else value
        if isinstance(value, (float, Decimal)) and math.isfinite(value) and value % 1 == 0:
            value = int(value)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if value is None or value != value or value == "":
            raise ValueError(f"{name}: row {row} has no id, and others have; {_BY_POSITION}")
        if column == "image" and not isinstance(value, (str, int, os.PathLike)):
            return None
        if not isinstance(value, Hashable):
            raise ValueError(
                f"{name}: row {row} has a {type(value).__name__} for an id; write ids as text or "
                f"whole numbers, or {_BY_POSITION}"
            )
        texts.append(str(value).strip())
    return texts if len(set(texts)) > 1 or len(texts) == 1 else None


def _order(left: list[str], right: list[str], names: tuple[str, str]) -> np.ndarray | None:
    """Which row of the left side belongs to each of the right one; None if they are in order."""
    for ids, name in zip((left, right), names, strict=True):
        try:
            refuse_duplicates(ids, name)
        except ValueError as error:
            raise ValueError(f"{error}; {_BY_POSITION}") from None
    if left == right:
        return None
    match = match_ids(left, right)
    faults = [
        f"{len(lost)} of {len(ids)} ids of {name} are not among those of {other}"
        f" ({listed([ids[at] for at in lost[:3]])}{', …' if len(lost) > 3 else ''})"
        for ids, lost, name, other in (
            (left, match.unmatched_left, *names),
            (right, match.unmatched_right, *names[::-1]),
        )
        if len(lost)
    ]
    if faults:
        raise ValueError(
            f"{' and '.join(faults)}; both sides must be of the same photos. {_BY_POSITION}"
        )
    return match.left
