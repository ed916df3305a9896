"""Which columns hold an image's id, latitude and longitude; where that is unclear, an error asks.

A name such as `pred_lat`, `latGT` or `Longitude (deg)` is split into words. One of them names the
axis; others may mark the column as ground truth or as a prediction. Latitude and longitude always
come from one pair, and of two pairs none is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .names import listed, shortened

ROLES = ("id", "latitude", "longitude")
ADVICE = "rename the right column to {}, and others of such names to something else"


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_IDS = _of("imageid imgid id image filename name photoid key")
# only words that are clear: an answer or a query may be on either side
_MARKS = {
    "truth": _of(
        "gt ground groundtruth truth true target targets tgt label labels labeled labelled ref "
        "refs reference references actual real orig original gold golden correct expected "
        "observed annotated annotation"
    ),
    "prediction": _of(
        "pred preds predict predicts predicted prediction predictions prd guess guesses guessed "
        "output outputs out est estimate estimates estimated estimation model hat inferred "
        "inference retrieved generated top"
    ),
}
_OPPOSITE = {"predictions": "truth", "references": "prediction"}
_GENERIC = _of(
    "deg degs degree degrees decimal dec dd wgs wgs84 84 epsg 4326 coord coords coordinate "
    "coordinates geo gps location loc position pos point value"
)
# columns about a coordinate, which are none themselves
_DERIVED = _of(
    "std sigma err error errors var variance uncertainty accuracy min max diff delta bin idx index "
    "name description sin cos"
)
_AXIS = re.compile(r"^(.*?)(latt?itudes?|lats?|longt?itudes?|longs?|lons?|lngs?)(.*)$")
_GRID = {"y": "latitude", "x": "longitude"}
_ACROSS = {"latitude": "longitude", "longitude": "latitude"}
_WORDS = (
    re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+"),  # of camelCase
    re.compile(r"[^\W_]+"),  # LATpred
)
# what is predicted in words, or marked so in one word with the axis: ypred, predy, yhat
_ANSWER = re.compile(
    r"(?:^|[\W\d_])(?:pred|guess|answer|response)|pred(?:$|[\W\d_])|^[xy]hat$|^p_?\d+$"
)
_NUMBER = re.compile(r"^\s*[-+]?\d+[.,]\d+\s*$")  # of degrees; a column may well be called 2


class Unclear(ValueError):
    """A column that is missing or not the only one; `role` is what it was wanted for."""

    def __init__(self, message: str, role: str) -> None:
        super().__init__(message)
        self.role = role


class _Coordinate(NamedTuple):
    """A column whose name says latitude or longitude.

    Attributes
    ----------
    column : str
        The name as it stands in the table.
    axis : {"latitude", "longitude"}
    words : tuple of str
        The other words, without those that say nothing; equal in both columns of a pair.
    certain : bool
        Whether the name is enough; `long_side` or `y` need a `lat_side` or `x` beside them.
    grid : bool
        Whether the column is called y or x.
    """

    column: str
    axis: str
    words: tuple[str, ...]
    certain: bool
    grid: bool = False

    @property
    def marks(self) -> frozenset[str]:
        """Of "truth" and "prediction", what the name says."""
        return _marks(self.words)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal in both columns of a pair, also where one says `pred` and the other `predicted`."""
        return self.marks, tuple(word for word in self.words if not _marks([word]))


# --- reading names ------------------------------------------------------------------------------


def _split(name: str, pattern: re.Pattern[str] = _WORDS[0]) -> list[str]:
    return [word.lower() for word in pattern.findall(unicodedata.normalize("NFKC", name))]


def _marks(words: Iterable[str]) -> frozenset[str]:
    words = list(words)
    return frozenset(mark for mark, known in _MARKS.items() if not known.isdisjoint(words))


def _coordinate(name: str) -> _Coordinate | None:
    """Read one name; None where it is no coordinate's."""
    for pattern in _WORDS:
        words = _split(name, pattern)
        if not _DERIVED.isdisjoint(words):
            return None
        found = [(at, match) for at, word in enumerate(words) if (match := _AXIS.match(word))]
        # `lat` in `lat_platform`
        found = [(at, match) for at, match in found if not match[1] + match[3]] or found
        if len(found) > 1:  # both, as in lat_lon
            return None
        if found:
            ((at, match),) = found
            return _around(name, match, words[:at] + words[at + 1 :])
    words = _split(name)
    axes = [_GRID[word] for word in words if word in _GRID]
    others = tuple(sorted(word for word in words if word not in _GRID and word not in _GENERIC))
    if len(axes) == 1 and all(_marks([word]) for word in others):
        return _Coordinate(name, axes[0], others, certain=False, grid=True)
    return None


def _around(name: str, match: re.Match[str], others: list[str]) -> _Coordinate | None:
    """A coordinate from the word that names its axis and the other words."""
    before, axis, after = match.groups()
    if _AXIS.match(after):  # both, as in latlon
        return None
    affixes = [word for word in (before, after) if word]
    words = tuple(sorted(word for word in (*affixes, *others) if word not in _GENERIC))
    certain = all(word in _GENERIC or _marks([word]) for word in affixes)
    if axis == "long":  # an ordinary word, too
        certain = certain and all(_marks([word]) for word in words)
    return _Coordinate(name, "latitude" if axis[:2] == "la" else "longitude", words, certain)


def _coordinates(names: Iterable[str]) -> list[_Coordinate]:
    """Columns whose names say latitude or longitude; a doubtful one only beside its partner."""
    found = [one for name in names if (one := _coordinate(name))]
    there = {(one.axis, one.grid, one.words) for one in found}
    return [
        one for one in found if one.certain or (_ACROSS[one.axis], one.grid, one.words) in there
    ]


def _may_hold_places(name: str) -> bool:
    """Whether predicted places may be in a column without an axis: `prediction`, `output_0`."""
    words = [word for word in _split(name) if word != "model"]  # which says who predicted
    if _ANSWER.search(name.lower()) and "truth" not in _marks(words):
        return True
    return _marks(words) == {"prediction"} and all(
        word.isdigit()
        or any(word in known for known in (_GENERIC, _GRID, _DERIVED))
        or _AXIS.match(word)
        or _marks([word])
        for word in words
    )


# --- choosing -----------------------------------------------------------------------------------


def find_columns(
    names: Iterable[str],
    chosen: Mapping[str, str | None] | None = None,
    *,
    of: str | None = None,
    where: str = "table",
    advice: str = ADVICE,
) -> dict[str, str]:
    """Find the columns of id, latitude and longitude.

    Parameters
    ----------
    names : iterable of str
        The table's columns, as they stand there.
    chosen : dict, optional
        A column's name for `id`, `latitude` or `longitude`, where a user chose it.
    of : {"predictions", "references"}, optional
        What the table is read for: columns marked as ground truth are never taken for predictions,
        nor those marked as predictions for references.
    where, advice : str
        What an error calls the table, and recommends; `{}` stands for id, latitude or longitude.

    Returns
    -------
    dict
        `id`, `latitude` and `longitude`, each with the name as it stands in the table.

    Raises
    ------
    ValueError
        If a column is not there, several fit, or latitude and longitude are not of one pair.
    """
    names = list(names)
    if any("\0" in name for name in names):
        raise ValueError(f"{where}: this is no text in UTF-8; save it as UTF-8 CSV")
    try:
        found = {role: _named(names, name, role) for role, name in (chosen or {}).items() if name}
        if "id" not in found:
            ids = [name for name in names if "".join(_split(name, _WORDS[1])) in _IDS]
            found["id"] = _only(ids, "id", names)
        pair = {role: name for role, name in found.items() if role != "id"}
        found |= find_pair(names, pair, of=of)
        for name in found.values():
            roles = [role for role in ROLES if found[role] == name]
            if len(roles) > 1:
                raise Unclear(f"column {name} cannot be {' and '.join(roles)} at once", roles[-1])
    except Unclear as unclear:
        hint = "the first line seems to be no header; " if any(map(_NUMBER.match, names)) else ""
        raise ValueError(f"{where}: {unclear}; {hint}{advice.format(unclear.role)}") from None
    return {role: found[role] for role in ROLES}


def find_pair(
    names: Sequence[str], chosen: Mapping[str, str] | None = None, *, of: str | None = None
) -> dict[str, str]:
    """Find the columns of latitude and longitude, which are always of one pair.

    Parameters
    ----------
    names : sequence of str
    chosen : dict, optional
        The column of `latitude`, of `longitude`, or of both, where a user chose them.
    of : {"predictions", "references"}, optional
        As in `find_columns`.

    Returns
    -------
    dict
        `latitude` and `longitude`.

    Raises
    ------
    Unclear
        If there is no pair, or more than one.
    """
    given = dict(chosen or {})
    columns = _coordinates(names)
    if len(given) == 2:
        _refuse_mixed(*given.values())
        return given
    if given:
        ((role, name),) = given.items()
        return given | {_ACROSS[role]: _partner(role, name, columns, names)}
    wrong = _OPPOSITE.get(of or "")
    # y and x without a mark may be places of a picture: never read, but predictions may be there
    plain_grid = [one.column for one in columns if one.grid and not one.marks]
    columns = [one for one in columns if one.column not in plain_grid]
    fits = [one for one in columns if wrong not in one.marks]
    marked = [one for one in fits if one.marks]
    if of == "references" and len({one.axis for one in marked}) == 2:
        fits = marked
    pair = []
    for axis in _ACROSS:
        here = [one for one in fits if one.axis == axis]
        refused = [one.column for one in columns if one.axis == axis and wrong in one.marks]
        if refused and not here:
            raise Unclear(f"no {axis} of {of}, only {listed(refused)}, named as {wrong}", axis)
        _only([one.column for one in here], axis, names)
        pair += here
    latitude, longitude = (one.column for one in pair)
    both = f"{shortened(latitude)} and {shortened(longitude)}"
    if pair[0].kind != pair[1].kind:
        raise Unclear(f"{both} do not look like one pair", "longitude")
    others = [name for name in names if name in plain_grid or _may_hold_places(name)]
    if of == "predictions" and others and not pair[0].marks:
        raise Unclear(f"the predictions may be {both}, or {listed(others)}", "latitude")
    return {"latitude": latitude, "longitude": longitude}


def _partner(role: str, name: str, columns: list[_Coordinate], names: Sequence[str]) -> str:
    """The other column of the pair of which a user chose one."""
    axis = _ACROSS[role]
    if any(one.column == name and one.axis == axis for one in columns):
        raise Unclear(f"{name} is named as the {axis}; if it is the {role}, choose both", axis)
    fits = [one for one in columns if one.axis == axis and one.column != name]
    known = _coordinate(name)
    if known and known.axis == role:
        fits = [one for one in fits if one.grid == known.grid]
        same = [one for one in fits if one.words == known.words]
        fits = same or [one for one in fits if one.kind == known.kind]
    else:
        fits = [one for one in fits if one.marks == _marks(_split(name))]
    if not fits:
        raise Unclear(f"no column for the {axis} forms a pair with {name}", axis)
    return _only([one.column for one in fits], axis, names)


def _refuse_mixed(latitude: str, longitude: str) -> None:
    marks = {_marks(_split(name)) for name in (latitude, longitude)} - {frozenset()}
    if len(marks) > 1:
        both = f"{shortened(latitude)} and {shortened(longitude)}"
        raise Unclear(f"{both} are not of one pair", "longitude")


def _named(names: Sequence[str], wanted: str, role: str) -> str:
    fits = [name for name in names if name == wanted] or [
        name for name in names if name.strip().lower() == wanted.strip().lower()
    ]
    if not fits:
        raise Unclear(f"no column {wanted!r} among {_quoted(names)}", role)
    return _only(fits, role, names)


def _only(fits: Sequence[str], role: str, names: Sequence[str]) -> str:
    if not fits:
        raise Unclear(f"no column for the {role} among {_quoted(names)}", role)
    if len(fits) > 1:
        raise Unclear(f"several columns fit the {role}: {listed(fits)}", role)
    return fits[0]


def _quoted(names: Sequence[str]) -> str:
    return f"[{listed(repr(shortened(name)) for name in names)}]"
