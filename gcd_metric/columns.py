"""Finds the columns that contain an image's id, latitude and longitude, by their names.

A name such as `pred_lat`, `latGT` or `Longitude (deg)` is split into words. One word names the
axis; others may mark the column as ground truth or as a prediction. Latitude and longitude always
come from one pair. If two pairs fit, the result is an error, not a guess.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .names import listed, shortened

ROLES = ("id", "latitude", "longitude")
ADVICE = "rename the right column to {}, and similar columns to something else"


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_IDS = _of("imageid imgid id image filename name photoid key")
# names that are ids where there is none of the above, or where they join better
_OTHER_IDS = _of(
    "imagefile imagefilename imagename imagepath imagekey imgfile imgname imgpath img file "
    "filepath path photo photofile photoname photopath picture sampleid uid uuid ids imageids "
    "imgids photoids filenames paths"
)
# columns of texts that models returned
_TEXTS = _of(
    "rawresponse response responses modelresponse llmresponse responsetext answer answers "
    "modelanswer rawanswer output rawoutput modeloutput outputtext completion generatedtext "
    "prediction predictions predictiontext rawprediction"
)
# "answer" and "query" are not here, because they may be on either side
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
# words in names of columns that describe a coordinate but are none
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
# columns of predictions without an axis, or with the axis in the same word: ypred, predy, yhat
_ANSWER = re.compile(
    r"(?:^|[\W\d_])(?:pred|guess|answer|response)|pred(?:$|[\W\d_])|^[xy]hat$|^p_?\d+$"
)
_NUMBER = re.compile(r"^\s*[-+]?\d+[.,]\d+\s*$")  # with a fraction: a column may be called 2


class Unclear(ValueError):
    """No column, or more than one, fits `role` (id, latitude or longitude)."""

    def __init__(self, message: str, role: str) -> None:
        super().__init__(message)
        self.role = role


class _Coordinate(NamedTuple):
    """A column whose name says latitude or longitude."""

    column: str
    axis: str  # "latitude" or "longitude"
    words: tuple[str, ...]  # the other words, sorted; equal in both columns of a pair
    certain: bool  # or it needs its partner, as `long_side` needs `lat_side` and `y` needs `x`
    grid: bool = False  # called y or x

    @property
    def marks(self) -> frozenset[str]:
        """Whether the name says "truth", "prediction", both or neither."""
        return _marks(self.words)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal in both columns of a pair, even if one says `pred` and the other `predicted`."""
        return self.marks, tuple(word for word in self.words if not _marks([word]))


def plain(name: object) -> str:
    """A name in lower case without punctuation, so that `IMG_ID` and `imgId` are equal."""
    return re.sub(r"[\W_]+", "", str(name)).lower()


# --- reading names ------------------------------------------------------------------------------


def _split(name: str, pattern: re.Pattern[str] = _WORDS[0]) -> list[str]:
    return [word.lower() for word in pattern.findall(unicodedata.normalize("NFKC", name))]


def _marks(words: Iterable[str]) -> frozenset[str]:
    words = list(words)
    return frozenset(mark for mark, known in _MARKS.items() if not known.isdisjoint(words))


def _coordinate(name: str) -> _Coordinate | None:
    """Interpret a column's name; None if it does not name a coordinate."""
    for pattern in _WORDS:
        words = _split(name, pattern)
        if not _DERIVED.isdisjoint(words):
            return None
        found = [(at, match) for at, word in enumerate(words) if (match := _AXIS.match(word))]
        # prefer a whole word: `lat` in `lat_platform`
        found = [(at, match) for at, match in found if not match[1] + match[3]] or found
        if len(found) > 1:  # both axes, as in lat_lon
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
    """The coordinate that is named by the word with the axis and the other words."""
    before, axis, after = match.groups()
    if _AXIS.match(after):  # both axes, as in latlon
        return None
    affixes = [word for word in (before, after) if word]
    words = tuple(sorted(word for word in (*affixes, *others) if word not in _GENERIC))
    certain = all(word in _GENERIC or _marks([word]) for word in affixes)
    if axis == "long":  # also an ordinary English word
        certain = certain and all(_marks([word]) for word in words)
    return _Coordinate(name, "latitude" if axis[:2] == "la" else "longitude", words, certain)


def _coordinates(names: Iterable[str]) -> list[_Coordinate]:
    """Columns named as latitude or longitude; uncertain names only if their partner exists."""
    found = [one for name in names if (one := _coordinate(name))]
    keys = {(one.axis, one.grid, one.words) for one in found}
    return [one for one in found if one.certain or (_ACROSS[one.axis], one.grid, one.words) in keys]


def _may_hold_places(name: str) -> bool:
    """Whether a column without an axis may contain predictions: `prediction`, `output_0`."""
    words = [word for word in _split(name) if word != "model"]  # "model" only says who predicted
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
    several_ids: bool = False,
) -> dict[str, str]:
    """Find the columns of id, latitude and longitude; a ValueError names what is unclear.

    `chosen` contains the columns that a user chose, by role. `of` is "predictions" or "references":
    columns marked as ground truth are never taken for predictions, nor those marked as predictions
    for references. Errors name the table as `where` and end with `advice`, in which `{}` stands for
    the role. With `several_ids`, the first of `find_ids` is taken; the caller compares them all.
    """
    names = list(names)
    if any("\0" in name for name in names):
        raise ValueError(f"{where}: this is not UTF-8 text; save it as a UTF-8 CSV")
    try:
        found = {role: _named(names, name, role) for role, name in (chosen or {}).items() if name}
        found["id"] = find_id(names, found.get("id"), several_ids)
        pair = {role: name for role, name in found.items() if role != "id"}
        found |= find_pair(names, pair, of=of)
        for name in found.values():
            roles = [role for role in ROLES if found[role] == name]
            if len(roles) > 1:
                raise Unclear(f"column {name} cannot be {' and '.join(roles)} at once", roles[-1])
    except Unclear as unclear:
        no_header = any(map(_NUMBER.match, names))
        hint = "the first line does not look like a header; " if no_header else ""
        raise ValueError(f"{where}: {unclear}; {hint}{advice.format(unclear.role)}") from None
    return {role: found[role] for role in ROLES}


def find_ids(names: Iterable[str]) -> list[str]:
    """The columns that may contain ids of images, the usual names first."""
    names = list(names)
    return [name for known in (_IDS, _OTHER_IDS) for name in names if _is_called(name, known)]


def find_id(names: Sequence[str], wanted: str | None = None, several: bool = False) -> str:
    """The column of ids that a user chose, or the only one; else raise Unclear.

    With `several`, it is the first of several.
    """
    if wanted:
        return _named(names, wanted, "id")
    ids = find_ids(names)
    usual = [name for name in ids if is_usual_id(name)]
    return ids[0] if ids and several else _only(usual or ids, "id", names)


def is_usual_id(name: str) -> bool:
    """Whether a column of this name contains ids, not only perhaps."""
    return _is_called(name, _IDS)


def _is_called(name: str, known: frozenset[str]) -> bool:
    return "".join(_split(name, _WORDS[1])) in known


def find_texts(names: Sequence[str], wanted: str | None = None) -> list[str]:
    """The columns that may contain answers of a model as texts, or the one that a user chose."""
    if wanted:
        return [_named(names, wanted, "answer")]
    return [name for name in names if _is_called(name, _TEXTS)]


def find_both(
    names: Sequence[str],
    chosen: Mapping[str, str],
    chosen_truth: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Find the pair of predictions and that of the truth in one table; else raise Unclear.

    Without marks on one side, the marks of the other tell them apart. `chosen` and `chosen_truth`
    are the columns of latitude and longitude that a user chose.
    """
    names = [name for name in names if not _is_called(name, _TEXTS)]
    truth = find_pair(names, chosen_truth) if chosen_truth else None
    rest = [name for name in names if truth is None or name not in truth.values()]
    if chosen:
        predictions = find_pair(rest, chosen, of="predictions")
    else:
        marked = [one.column for one in _coordinates(rest) if one.marks == {"prediction"}]
        predictions = find_pair(marked or rest, of="predictions")
    if truth is None:
        rest = [name for name in names if name not in predictions.values()]
        truth = find_pair(rest, of="references")
    return {axis: predictions[axis] for axis in _ACROSS}, {axis: truth[axis] for axis in _ACROSS}


def find_pair(
    names: Sequence[str], chosen: Mapping[str, str] | None = None, *, of: str | None = None
) -> dict[str, str]:
    """Find the columns of latitude and longitude, which must form one pair; else raise Unclear.

    `chosen` and `of` are as in `find_columns`.
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
    # y and x without a mark may be pixels: never read, but they may contain the predictions
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
            raise Unclear(f"no {axis} of {of}, only {listed(refused)}, marked as {wrong}", axis)
        _only([one.column for one in here], axis, names)
        pair += here
    latitude, longitude = (one.column for one in pair)
    both = f"{shortened(latitude)} and {shortened(longitude)}"
    if pair[0].kind != pair[1].kind:
        raise Unclear(f"{both} do not look like a pair", "longitude")
    others = [name for name in names if name in plain_grid or _may_hold_places(name)]
    if of == "predictions" and others and not pair[0].marks:
        raise Unclear(f"the predictions may be in {both}, or in {listed(others)}", "latitude")
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
        raise Unclear(f"{both} do not form a pair", "longitude")


def has_coordinates(names: Iterable[str], of: str = "") -> bool:
    """Whether a column names a coordinate that may be of this side."""
    return any(_OPPOSITE.get(of) not in one.marks for one in _coordinates(names))


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
