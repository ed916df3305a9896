"""Ids of images on two sides, joined as this field writes them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .names import listed, shortened

_FLICKR_PARTS = re.compile(r"^(?:.+_\d{5}_)?(\d+_[0-9a-zA-Z]+_\d+_[^_@]+@N\d+)$")
_ANY_EXTENSION = re.compile(r"\.[0-9A-Za-z]{1,5}$")
_SPOILT_SHORT = re.compile(r"^\d+\.0$")

_NOBODY = -1  # the partner of an id of which several may be


@dataclass
class Match:
    """How two lists of ids fit together.

    Attributes
    ----------
    left, right : ndarray of int
        Positions of the matched pairs, in the order of the right side.
    unmatched_left, unmatched_right : ndarray of int
        Positions without a partner, ambiguous ones among them.
    ambiguous : list of (left ids, right ids)
        Ids that reduce to the same key where more than one partner is possible.
    """

    left: np.ndarray
    right: np.ndarray
    unmatched_left: np.ndarray
    unmatched_right: np.ndarray
    ambiguous: list[tuple[list[str], list[str]]] = field(default_factory=list)


def match_ids(left: Iterable[str], right: Iterable[str]) -> Match:
    """Join ids as file names of photos are written in this field.

    Ids match as they stand; else whichever way their accents are encoded (Macs decompose them);
    else without their folder; else without `.jpg` or `.jpeg`; else by the four parts
    `{photo id}_{secret}_{server}_{owner}`, without the `{Place}_{NNNNN}_` that some copies put
    before. A stricter match wins over a looser one, and nothing is guessed: where several partners
    fit, none is taken and the group is reported.

    Parameters
    ----------
    left, right : iterable of str
        Ids, each side without duplicates.

    Returns
    -------
    Match

    Raises
    ------
    ValueError
        If one side holds an id twice; the duplicates are named.
    """
    left, right = list(left), list(right)
    for side, ids in (("left", left), ("right", right)):
        refuse_duplicates(ids, side)
    places = {text: index for index, text in enumerate(right)}
    # right position -> left position; first as they stand, as nearly all do
    pairs = {places[text]: index for index, text in enumerate(left) if text in places}
    waiting = [index for index, text in enumerate(left) if text not in places]
    ambiguous = []
    for reduce in (_composed, _without_folder, _without_extension, _flickr_parts):
        if not waiting:
            break
        waiting, groups = _match_by(reduce, left, right, waiting, pairs)
        ambiguous += groups
    matched_right = np.array(sorted(i for i in pairs if pairs[i] != _NOBODY), dtype=np.intp)
    matched_left = np.array([pairs[index] for index in matched_right], dtype=np.intp)
    return Match(
        matched_left,
        matched_right,
        np.setdiff1d(np.arange(len(left)), matched_left),
        np.setdiff1d(np.arange(len(right)), matched_right),
        ambiguous,
    )


def why_none_match(left: Sequence[str], right: Sequence[str]) -> str | None:
    """A likely cause why two lists of ids have nothing in common, if one can be seen.

    Parameters
    ----------
    left, right : sequence of str

    Returns
    -------
    str or None
    """
    by_stem = {_ANY_EXTENSION.sub("", _flickr_parts(text)): text for text in right}
    alike = [
        (text, by_stem[stem])
        for text in left
        if (stem := _ANY_EXTENSION.sub("", _flickr_parts(text))) in by_stem
    ]
    if not alike:
        return None
    one, other = map(shortened, alike[0])
    if _SPOILT_SHORT.search(one) or _SPOILT_SHORT.search(other):
        return f"{one} and {other} differ by the .0 of a data frame: keep ids as text"
    return (
        f"the extensions differ: {len(alike):,} would match without them (first: {one} and "
        f"{other}); write them alike on both sides"
    )


def refuse_duplicates(ids: Sequence[str], where: str) -> None:
    """Raise a ValueError that names the ids which `where` holds more than once."""
    if len(set(ids)) == len(ids):
        return
    twice = [text for text, count in Counter(ids).items() if count > 1]
    raise ValueError(f"{where}: {len(twice):,} duplicate ids: {listed(twice)}")


def _match_by(
    reduce: Callable[[str], str],
    left: list[str],
    right: list[str],
    waiting: list[int],
    pairs: dict[int, int],
) -> tuple[list[int], list[tuple[list[str], list[str]]]]:
    """Pair what waits by one kind of key; return what still waits, and the ambiguous groups."""
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
            pairs.update(dict.fromkeys(free, _NOBODY))  # or a looser key would choose one
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
