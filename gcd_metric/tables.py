"""Tables of coordinates: read CSV and Parquet, find columns, join by image id. No scoring here."""

from __future__ import annotations

import lzma
import re
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

USUAL_NAMES = {
    "id": ("image_id", "img_id", "id", "image", "filename", "file_name", "name", "photo_id", "key"),
    "latitude": (
        *("latitude", "lat", "pred_lat", "lat_pred", "predicted_latitude", "pred_latitude"),
        *("predicted_lat", "gt_lat", "lat_gt", "gt_latitude", "true_lat", "true_latitude"),
    ),
    "longitude": (
        *("longitude", "lon", "lng", "long", "pred_lon", "pred_lng", "pred_long", "lon_pred"),
        *("lng_pred", "predicted_longitude", "pred_longitude", "predicted_lon", "predicted_lng"),
        *("gt_lon", "gt_lng", "gt_long", "lon_gt", "lng_gt", "gt_longitude", "true_lon"),
        *("true_lng", "true_longitude"),
    ),
}
_ADVICE = "rename the right column to {}, and others of such names to something else"
_LIMITS = {"latitude": 90, "longitude": 180}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_DECIMAL_COMMA = re.compile(r"^(\s*[-+]?\d+),(\d+\s*)$")
# what spreadsheets and data frames make of long ids; short ones with ".0" lost nothing
_SPOILT = re.compile(r"^\d(?:[.,]\d+)?E\+\d+$|^\d{6,}\.0$", re.IGNORECASE)
_NOTHING = {"", "nan", "none", "null", "na", "n/a", "<na>"}
_LONG_ROW = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # as pandas says it
# what pandas raises at a CSV that is none, or whose compression is broken
UNREADABLE = (pd.errors.ParserError, UnicodeError, EOFError, OSError, zlib.error, lzma.LZMAError)
_NO_TEXT = "this is no text in UTF-8; save it as UTF-8 CSV"
_NUMBER = re.compile(r"^\s*[-+]?\d+[.,]\d+\s*$")  # of degrees; a column may well be called 2
_FLICKR_PARTS = re.compile(r"^(?:.+_\d{5}_)?(\d+_[0-9a-zA-Z]+_\d+_[^_@]+@N\d+)$")
_ANY_EXTENSION = re.compile(r"\.[0-9A-Za-z]{1,5}$")
_SPOILT_SHORT = re.compile(r"^\d+\.0$")
_LARGEST_EXACT = 2**53  # beyond it a float has lost digits of an integer


def is_table(path: str | Path) -> bool:
    """Whether the file's name says that `read_coordinates` can read it."""
    return _suffix(path) in (*_SEPARATORS, ".parquet")


def _suffix(path: str | Path) -> str:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz", ".zst"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_coordinates(
    path: str | Path,
    id_column: str | None = None,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    *,
    allow_missing: bool | str = False,
    advice: str = _ADVICE,
    where: str | None = None,
) -> pd.DataFrame:
    """Read the coordinates of images from a CSV, TSV or Parquet file.

    Parameters
    ----------
    path : path-like
        The file; CSV and TSV have a header and may be compressed.
    id_column, latitude_column, longitude_column : str, optional
        Names of the columns; by default they are found by their usual names.
    allow_missing : bool or "any"
        Whether an empty coordinate becomes NaN instead of an error. With "any", so does whatever
        else is no coordinate, and ids are not checked.
    advice : str
        What an error about a column recommends; `{}` stands for id, latitude or longitude.
    where : str, optional
        What an error calls the file; by default its path.

    Returns
    -------
    pandas.DataFrame
        Columns `image_id` (text, as it stands in the file), `latitude` and `longitude` (float64,
        degrees), in the file's order.

    Raises
    ------
    ValueError
        For a file or column that cannot be read; a bad cell is named by file, row and column.
    """
    path = Path(path)
    where = str(path) if where is None else where
    if not path.is_file():
        raise ValueError(f"{where}: no such file")
    read, names = (_open_parquet if _suffix(path) == ".parquet" else _open_csv)(path, where)
    chosen = {"id": id_column, "latitude": latitude_column, "longitude": longitude_column}
    columns = find_columns(names, chosen, where=where, advice=advice)
    return tidy(read(list(columns.values())), columns, where, allow_missing)


def _open_csv(path: Path, where: str) -> tuple[Any, list[str]]:
    usual = _SEPARATORS.get(_suffix(path), ",")
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):  # and not compressed
        with path.open("rb") as file:
            if b"\0" in file.read(4096):  # UTF-16, of which some versions of pandas make columns
                raise ValueError(f"{where}: {_NO_TEXT}")
    names = list(_read_csv(path, where, usual, nrows=0).columns)
    separator = usual
    if len(names) < len(USUAL_NAMES):  # too few for an id and a place: another separator?
        headers = {sep: list(_read_csv(path, where, sep, nrows=0).columns) for sep in ",;\t"}
        separator = max(headers, key=lambda sep: (len(headers[sep]), sep == usual))
        names = headers[separator]

    def read(columns: list[str]) -> pd.DataFrame:
        # all columns, since pandas drops surplus fields silently when it is asked for some
        table = _read_csv(path, where, separator)[columns]
        if separator != ",":  # a table of a country that writes 48,86
            for column in columns[1:]:
                table[column] = table[column].str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
        return table

    return read, names


def _read_csv(path: Path, where: str, separator: str, **more: Any) -> pd.DataFrame:
    # as text and without guesses: ids keep their zeros and their digits
    text: dict[str, Any] = {
        "dtype": str,
        "keep_default_na": False,
        "sep": separator,
        "encoding": "utf-8-sig",
        "index_col": False,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, **text, **more)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{where}: the file is empty") from None
    except pd.errors.ParserWarning:
        raise ValueError(
            f"{where}: rows have more fields than the header (decimal commas need semicolons "
            "between the columns)"
        ) from None
    except UNREADABLE as error:
        raise ValueError(f"{where}: {why_unreadable(error)}") from None


def why_unreadable(error: BaseException) -> str:
    """One line for what pandas raises at a CSV, in our words where they say more."""
    if isinstance(error, UnicodeError):
        return _NO_TEXT
    long_row = _LONG_ROW.search(str(error))
    if long_row:
        expected, line, saw = long_row.groups()
        return (
            f"line {line} has {saw} fields, and the lines before it {expected}; put quotation "
            "marks around what holds a separator"
        )
    return _one_line(error)


def _open_parquet(path: Path, where: str) -> tuple[Any, list[str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{where}: {_one_line(error)}") from None

    def read(columns: list[str]) -> pd.DataFrame:
        table = parquet.read_table(path, columns=columns)
        # via Python values: pandas would turn integers with a gap into floats
        data = {name: table[name].to_pylist() for name in columns}
        return pd.DataFrame(data, dtype=object)

    return read, names


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def find_columns(
    names: Iterable[str],
    chosen: dict[str, str | None] | None = None,
    *,
    where: str = "table",
    advice: str = _ADVICE,
) -> dict[str, str]:
    """Find the columns of id, latitude and longitude, whatever their case.

    Parameters
    ----------
    names : iterable of str
        The table's columns.
    chosen : dict, optional
        A column's name for `id`, `latitude` or `longitude`, where a user chose it.
    where, advice : str
        What an error calls the table, and recommends; `{}` stands for id, latitude or longitude.

    Returns
    -------
    dict
        `id`, `latitude` and `longitude`, each with the name as it stands in the table.

    Raises
    ------
    ValueError
        If a column is not there, or several fit.
    """
    names = list(names)
    if any("\0" in name for name in names):  # UTF-16
        raise ValueError(f"{where}: {_NO_TEXT}")
    found = {}
    for role, usual in USUAL_NAMES.items():
        wanted = (chosen or {}).get(role)
        advised = advice.format(role)
        if wanted is not None:
            fits = [name for name in names if name == wanted] or [
                name for name in names if name.strip().lower() == wanted.strip().lower()
            ]
        else:
            fits = [name for name in names if name.strip().lower() in usual]
        if not fits:
            missing = f"no column {wanted!r}" if wanted else f"no column for the {role}"
            if any(map(_is_number, names)):
                advised = f"the first line seems to be no header; {advised}"
            raise ValueError(f"{where}: {missing} among {names}; {advised}")
        if len(fits) > 1:
            raise ValueError(
                f"{where}: several columns fit the {role}: {', '.join(fits)}; {advised}"
            )
        found[role] = fits[0]
    return found


def _is_number(text: str) -> bool:
    return _NUMBER.match(text) is not None


def tidy(
    table: pd.DataFrame, columns: dict[str, str], where: str, allow_missing: bool | str = False
) -> pd.DataFrame:
    """Bring found columns into `image_id`, `latitude`, `longitude`, and check every cell.

    Parameters
    ----------
    table : pandas.DataFrame
    columns : dict
        As `find_columns` returns it.
    where : str
        What an error calls the table.
    allow_missing : bool or "any"
        As for `read_coordinates`.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        For the first bad cell, with its row (the first below the header is 1) and column.
    """
    if not len(table):
        raise ValueError(f"{where}: there are no rows")
    degrees = {role: _degrees(table[columns[role]], role, where, allow_missing) for role in _LIMITS}
    for role, values in degrees.items():
        if allow_missing == "any":
            values[~(np.abs(values) <= _LIMITS[role])] = np.nan
        _check_limits(values, role, columns[role], degrees, where)
    ids = _text(table[columns["id"]], where, check=allow_missing != "any")
    return pd.DataFrame({"image_id": ids, **degrees})


def _degrees(cells: pd.Series, role: str, where: str, allow_missing: bool | str) -> np.ndarray:
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if allow_missing == "any":
        return values.copy()
    for index in np.flatnonzero(np.isnan(values)):
        cell = cells.iloc[index]
        empty = str(cell).strip().lower() in _NOTHING
        if not (empty and allow_missing):
            fault = "is empty" if empty else f"holds {cell!r}, which is not a number"
            name = str(cells.name)
            column = name if role in name.lower() else f"{name} ({role})"
            raise ValueError(f"{where}: row {index + 1}, column {column} {fault}")
    return values


def _check_limits(
    values: np.ndarray, role: str, column: str, degrees: dict[str, np.ndarray], where: str
) -> None:
    limit, (latitude, longitude) = _LIMITS[role], degrees.values()
    bad = ~(np.abs(values) <= limit) & ~np.isnan(values)
    if not bad.any():
        return
    first = int(bad.argmax())
    swapped = np.nanmax(np.abs(longitude)) <= 90 and np.nanmax(np.abs(latitude)) <= 180
    hint = "; latitude and longitude look swapped" if swapped else ""
    raise ValueError(
        f"{where}: row {first + 1}, column {column} holds {values[first]:g}, beyond ±{limit} "
        f"degrees of {role} ({int(bad.sum())} of {len(values)} rows){hint}"
    )


def _text(cells: pd.Series, where: str, check: bool = True) -> list[str]:
    ids = []
    for row, cell in enumerate(cells.tolist(), 1):
        if isinstance(cell, float) and check:
            # a whole number that came as a float: only where no digit can be lost
            if not (cell.is_integer() and abs(cell) < _LARGEST_EXACT):
                raise ValueError(
                    f"{where}: row {row}, column {cells.name} holds the number {cell!r} as an id; "
                    "store ids as text, since a float loses digits"
                )
            cell = int(cell)
        text = "" if cell is None else str(cell).strip()
        if not text and check:
            raise ValueError(f"{where}: row {row}, column {cells.name} (id) is empty")
        if check and _SPOILT.match(text):
            raise ValueError(
                f"{where}: row {row}, column {cells.name} holds {text!r} as an id: numbers "
                "rounded by a spreadsheet or a data frame; keep ids as text"
            )
        ids.append(text)
    return ids


# --- joining by id ------------------------------------------------------------------------------


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

    Ids match as they stand; else without their folder; else without `.jpg` or `.jpeg`; else by
    the four parts `{photo id}_{secret}_{server}_{owner}`, without the `{Place}_{NNNNN}_` that
    some copies put before. A stricter match wins over a looser one, and nothing is guessed: where
    several partners fit, none is taken and the group is reported.

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
    for reduce in (_without_folder, _without_extension, _flickr_parts):
        if not waiting:
            break
        waiting, groups = _match_by(reduce, left, right, waiting, pairs)
        ambiguous += groups
    matched_right = np.array(sorted(pairs), dtype=np.intp)
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
    one, other = alike[0]
    if _SPOILT_SHORT.search(one) or _SPOILT_SHORT.search(other):
        return f"{one} and {other} differ by the .0 of a data frame: keep ids as text"
    return (
        f"the extensions differ: {len(alike)} would match without them (first: {one} and "
        f"{other}); write them alike on both sides"
    )


def refuse_duplicates(ids: Sequence[str], where: str) -> None:
    """Raise a ValueError that names the ids which `where` holds more than once."""
    if len(set(ids)) == len(ids):
        return
    twice = [text for text, count in Counter(ids).items() if count > 1]
    more = f" and {len(twice) - 10} more" if len(twice) > 10 else ""
    raise ValueError(f"{where}: {len(twice)} duplicate ids: {', '.join(twice[:10])}{more}")


def _match_by(
    reduce: Any, left: list[str], right: list[str], waiting: list[int], pairs: dict[int, int]
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
        else:
            still += lefts
    return still, ambiguous


def _without_folder(text: str) -> str:
    return re.split(r"[/\\]", text)[-1]


def _without_extension(text: str) -> str:
    return re.sub(r"\.jpe?g$", "", _without_folder(text), flags=re.IGNORECASE)


def _flickr_parts(text: str) -> str:
    stem = _without_extension(text)
    parts = _FLICKR_PARTS.match(stem)
    return parts[1] if parts else stem
