"""Pairs rows of two sides by the ids of their images, or by position if there are no ids."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from .coordinates import IDS, Coordinates, read
from .names import counted, listed, refuse_duplicates, shortened

_FLICKR_PARTS = re.compile(r"^(?:.+_\d{5}_)?(\d+_[0-9a-zA-Z]+_\d+_[^_@]+@N\d+)$")
_ANY_EXTENSION = re.compile(r"\.[0-9A-Za-z]{1,5}$")
_FLOAT_ID = re.compile(r"^\d+\.0$")
_AMBIGUOUS = -1  # in place of the partner of an ambiguous id
_BY_POSITION = "pass arrays of shape (n, 2) to pair rows by position"


class Match(NamedTuple):
    """How two lists of ids fit together."""

    left: np.ndarray  # positions of the matched pairs, in the order of the right side
    right: np.ndarray
    unmatched_left: np.ndarray  # positions without a partner, including ambiguous ones
    unmatched_right: np.ndarray
    ambiguous: list[tuple[list[str], list[str]]]  # ids with more than one possible partner


def match_ids(left: Iterable[str], right: Iterable[str]) -> Match:
    """Match ids that are written as file names of photos usually are.

    Ids are compared as they are; then with their accents composed (macOS decomposes them); then
    without folder; then without `.jpg` or `.jpeg`; then by the four parts
    `{photo id}_{secret}_{server}_{owner}`, without the prefix `{Place}_{NNNNN}_` of some copies.
    A stricter match wins over a looser one. If several partners are possible, none is chosen and
    the group is reported as ambiguous. A ValueError names ids that occur twice on one side.
    """
    left, right = list(left), list(right)
    for side, ids in (("left", left), ("right", right)):
        refuse_duplicates(ids, side)
    at = {text: index for index, text in enumerate(right)}
    # right position -> left position; nearly all ids are equal
    pairs = {at[text]: index for index, text in enumerate(left) if text in at}
    waiting = [index for index, text in enumerate(left) if text not in at]
    ambiguous = []
    for reduce in (_composed, _without_folder, _without_extension, _flickr_parts):
        if not waiting:
            break
        waiting, groups = _match_by(reduce, left, right, waiting, pairs)
        ambiguous += groups
    matched_right = np.array(sorted(i for i in pairs if pairs[i] != _AMBIGUOUS), dtype=np.intp)
    matched_left = np.array([pairs[index] for index in matched_right], dtype=np.intp)
    return Match(
        matched_left,
        matched_right,
        np.setdiff1d(np.arange(len(left)), matched_left),
        np.setdiff1d(np.arange(len(right)), matched_right),
        ambiguous,
    )


def why_none_match(left: Sequence[str], right: Sequence[str]) -> str | None:
    """A likely reason why two lists of ids have nothing in common, or None."""
    by_stem = {_ANY_EXTENSION.sub("", _flickr_parts(text)): text for text in right}
    stems = ((text, _ANY_EXTENSION.sub("", _flickr_parts(text))) for text in left)
    alike = [(text, by_stem[stem]) for text, stem in stems if stem in by_stem]
    if not alike:
        return None
    one, other = map(shortened, alike[0])
    if _FLOAT_ID.search(one) or _FLOAT_ID.search(other):
        return (
            f"{one} and {other} differ by .0, which a data frame adds to numbers: keep ids as text"
        )
    return (
        f"the extensions differ: {len(alike):,} would match without them (first: {one} and "
        f"{other}); use the same extensions on both sides"
    )


def _match_by(
    reduce: Callable[[str], str],
    left: list[str],
    right: list[str],
    waiting: list[int],
    pairs: dict[int, int],
) -> tuple[list[int], list[tuple[list[str], list[str]]]]:
    """Match by one kind of key; return the positions still unmatched, and the ambiguous groups."""
    on_right, on_left = defaultdict(list), defaultdict(list)
    for index, text in enumerate(right):
        on_right[reduce(text)].append(index)
    for index in waiting:
        on_left[reduce(left[index])].append(index)
    still, ambiguous = [], []
    for key, lefts in on_left.items():
        rights = on_right.get(key, [])
        free = [index for index in rights if index not in pairs]
        if len(lefts) == len(rights) == len(free) == 1:
            pairs[free[0]] = lefts[0]
        elif free and (len(rights) > 1 or len(lefts) > 1):
            ambiguous.append(([left[i] for i in lefts], [right[i] for i in rights]))
            pairs.update(dict.fromkeys(free, _AMBIGUOUS))  # so that no looser key chooses one
        else:
            still += lefts
    return still, ambiguous


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _without_folder(text: str) -> str:
    return re.split(r"[/\\]", _composed(text))[-1]


def _without_extension(text: str) -> str:
    return re.sub(r"\.jpe?g$", "", _without_folder(text), flags=re.IGNORECASE)


def _flickr_parts(text: str) -> str:
    stem = _without_extension(text)
    parts = _FLICKR_PARTS.match(stem)
    return parts[1] if parts else stem


# --- rows with coordinates ----------------------------------------------------------------------


def pair(left: Any, right: Any, names: tuple[str, str]) -> tuple[Coordinates, Coordinates]:
    """Read both sides in any accepted form, and put the left rows in the order of the right.

    If both sides carry ids, rows are paired by id, otherwise by position. Raises
    ValueError, with the sides' `names`, if the ids or the numbers of rows differ.
    """
    return align(read(left, names[0]), read(right, names[1]), names)


def align(
    left: Coordinates, right: Coordinates, names: tuple[str, str]
) -> tuple[Coordinates, Coordinates]:
    """Put the left rows in the order of the right ones, as `pair` does."""
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
        except ValueError:  # these ids belong to other rows and pair nothing
            continue
        in_order = np.arange(len(left.degrees))
        first, second = (in_order if one is None else one for one in (order, other))
        if not np.array_equal(first, second):
            raise ValueError(
                f"{names[0]} and {names[1]}: the columns {used!r} and {columns[0]!r} pair the rows "
                f"differently; keep one of them. {_BY_POSITION}"
            )
    if not used and len(left.degrees) != len(right.degrees):
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same length: {names[0]} has "
            f"{counted(len(left.degrees), 'rows')}, {names[1]} has {len(right.degrees)}"
        )
    return (left if order is None else left._replace(degrees=left.degrees[order])), right


def _common_columns(left: Coordinates, right: Coordinates) -> list[tuple[str, str]]:
    """The columns with the ids of both sides, most reliable first, of one name if possible."""
    if not (left.ids and right.ids):
        return []
    both = [(key, key) for key in IDS if key in left.ids and key in right.ids]
    return both or [(min(left.ids, key=IDS.index), min(right.ids, key=IDS.index))]


def _texts(values: list[Any], name: str, column: str) -> list[str] | None:
    """Ids as text; None for images, and for a column with one value only, which are not ids."""
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
    """The left row for each right row; None if they are in order already."""
    for ids, name in zip((left, right), names, strict=True):
        try:
            refuse_duplicates(ids, name)
        except ValueError as error:
            raise ValueError(f"{error}; {_BY_POSITION}") from None
    if left == right:
        return None
    match = match_ids(left, right)
    faults = [
        f"ids of {name} that are not in {other}: {len(lost)} of {len(ids)}"
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
