"""Groups of photos that are hit or missed together, such as the photos of one photographer.

The intervals of grouped photos are in intervals.py. Here, labels become groups, and are found in
file names and in columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .columns import plain
from .options import KM_PER_DEGREE

if TYPE_CHECKING:
    import pandas as pd

# columns that hold groups, in lower case without punctuation, and what they hold
COLUMNS = {
    **dict.fromkeys(["author", "photographer", "owner", "ownerid", "ownernsid"], "photographers"),
    **dict.fromkeys(["user", "userid", "usernsid", "uploader", "uploaderid"], "photographers"),
    **dict.fromkeys(["sequenceid", "sequencekey"], "sequences"),
}
# Photos of Just Zoom In are frames of drives. A cell is five times as wide as the largest threshold
# of the benchmark, so photos that a model confuses are mostly in one cell. It is small enough that
# the city has hundreds of cells.
JUSTZOOMIN = "place:500m"
_FLICKR_OWNER = re.compile(r"_(\d+@N\d{2})(?:\.[0-9A-Za-z]{1,5})?$")


class Groups(NamedTuple):
    """Which group each pair belongs to.

    `codes` numbers the group of each pair, from 0, shape (n,); `sizes` counts the pairs of each
    group, shape (n_groups,).
    """

    codes: np.ndarray
    sizes: np.ndarray

    @property
    def effective(self) -> float:
        """The effective number of groups, (sum of sizes)² / (sum of squared sizes), after Kish."""
        return float(self.sizes.sum() ** 2 / np.square(self.sizes, dtype=np.float64).sum())

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of `values`, shape (n,), in each group."""
        return np.bincount(self.codes, values, minlength=len(self.sizes))

    def take(self, kept: np.ndarray) -> Groups:
        """The groups of the pairs where `kept`, a mask of shape (n,), is true, or at positions."""
        codes = self.codes[kept]
        sizes = np.bincount(codes, minlength=len(self.sizes))
        numbers = np.cumsum(sizes > 0) - 1
        return Groups(numbers[codes], sizes[sizes > 0])


def make_groups(labels: Any, places: np.ndarray) -> Groups:
    """Number the groups of labels; a pair without a label is a group of its own.

    `places` are the true coordinates, shape (n, 2), in degrees. Labels are those of `factorize`, or
    `place:500m` for the cells of that size in which the places lie.
    """
    if isinstance(labels, Groups):
        return labels
    if isinstance(labels, str):
        labels = place_cells(places, parse_size(labels))
    codes, found = factorize(labels, len(places), "groups")
    alone = codes < 0
    codes[alone] = len(found) + np.arange(np.count_nonzero(alone))
    return Groups(codes, np.bincount(codes))


def factorize(labels: Any, n: int, name: str) -> tuple[np.ndarray, Any]:
    """Number n labels; return the codes, -1 for a missing label, and the labels by their codes.

    None, NaN and empty text are missing. Labels are any hashable values, in a list, an array, a
    tensor, a column of a data set or a pandas Series. A ValueError, with the `name` of the
    argument, says if there are not n, or if one is not hashable.
    """
    import pandas as pd

    if isinstance(labels, (str, bytes, set, frozenset, Mapping)) or not isinstance(
        labels, Iterable
    ):
        raise ValueError(f"{name}: pass one label for each of the {n:,} pairs, in their order")
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    elif hasattr(labels, "to_pandas"):
        labels = labels.to_pandas()
    elif isinstance(labels, np.ma.MaskedArray):
        labels = pd.Series(labels.tolist(), dtype=object)
    elif not isinstance(labels, (np.ndarray, pd.Series)):
        # two tensors are never the same label; a list of tuples would become a table
        values = [one.item() if hasattr(one, "detach") else one for one in labels]
        labels = pd.Series(values, dtype=None if n else object)
    if np.ndim(labels) != 1 or len(labels) != n:
        got = "x".join(f"{length:,}" for length in np.shape(labels))
        raise ValueError(f"{name}: {got} labels for {n:,} pairs; pass one label for each pair")
    try:
        codes, found = pd.factorize(labels)
    except TypeError:
        raise ValueError(f"{name}: labels must be hashable, such as texts or numbers") from None
    if found.dtype.kind == "O":
        filled = np.array([not isinstance(one, str) or bool(one.strip()) for one in found], bool)
        if not filled.all():
            codes = np.append(np.where(filled, np.cumsum(filled) - 1, -1), -1)[codes]
            found = found[filled]
    return codes, found


def labels_of(labels: Any, references: Any, name: str = "groups") -> Any:
    """The labels themselves, where `labels`, the argument `name`, names a column of references."""
    if not isinstance(labels, str) or is_place(labels):
        return labels
    if references is None:
        raise ValueError(
            f"{name}={labels!r} names a column of the references; rows were added without it, so "
            "pass one label for each pair"
        )
    with suppress(KeyError, TypeError, IndexError, ValueError):
        if hasattr(references, "select_columns"):  # a data set, whose photos are not decoded
            references = references.select_columns([labels])
        elif not isinstance(references, (list, tuple)):
            return references[labels]  # a table, or a mapping of columns
        return [row[labels] for row in references]
    raise ValueError(f"{name}={labels!r}: the references have no column of that name")


def photographers(image_ids: Iterable[object]) -> list[str | None]:
    """Return the photographer of each photo from its Flickr file name.

    Photos of Im2GPS and Im2GPS3k are named `{photo id}_{secret}_{server}_{owner}.jpg`, where the
    owner is an id such as 19355699@N00. A photo with another file name has None.

    Parameters
    ----------
    image_ids : iterable of str, length n

    Returns
    -------
    list of length n

    Examples
    --------
    >>> photographers(["299886566_3b8a8b9a33_103_19355699@N00.jpg", "cat.jpg"])
    ['19355699@N00', None]
    """
    found = (_FLICKR_OWNER.search(str(one)) for one in image_ids)
    return [match and match[1] for match in found]


def usual_groups(benchmark: str | None) -> str | None:
    """The groups of a benchmark's photos; None to look for photographers and sequences."""
    return JUSTZOOMIN if benchmark == "justzoomin" else None


def is_place(asked: str) -> bool:
    """Whether groups are asked for by place, and not by a column."""
    return asked.lower().startswith("place:")


def parse_size(asked: str) -> float:
    """The metres in `place:500m` or `place:1km`; a ValueError says how to write them."""
    match = re.fullmatch(r"place:(\d+(?:\.\d+)?)\s*(m|km)", asked.lower())
    metres = float(match[1]) * (1000 if match[2] == "km" else 1) if match else 0.0
    if not 0 < metres < math.inf:
        raise ValueError(
            f"groups {asked!r}: write the size of a cell as in place:500m or place:1km"
        )
    return metres


def place_cells(coordinates: np.ndarray, metres: float) -> np.ndarray:
    """Number the cells of a grid on the sphere in which points lie.

    The grid has bands of latitude, `metres` high, which are divided into cells that are `metres`
    wide or slightly wider. The grid starts at the south pole and at the antimeridian, so that
    every user gets the same cells.

    Parameters
    ----------
    coordinates : ndarray of shape (n, 2)
        Latitude and longitude in degrees.
    metres : float
        The size of a cell.

    Returns
    -------
    ndarray of shape (n,), int64
        Equal for points in one cell.
    """
    if not 0 < metres < math.inf:
        raise ValueError(f"metres: the size of a cell must be positive and finite, not {metres!r}")
    latitude, longitude = np.asarray(coordinates, dtype=np.float64).T
    height = metres / (1000 * KM_PER_DEGREE)
    band = np.minimum((latitude + 90) // height, math.ceil(180 / height) - 1)
    middle = np.radians(np.clip((band + 0.5) * height - 90, -90, 90))
    per_band = np.maximum(360 * np.cos(middle) // height, 1)
    cell = np.floor((longitude + 180) % 360 / 360 * per_band)
    widest = max(360 // height, 1) + 1
    numbers: np.ndarray = band * widest + np.minimum(cell, per_band - 1)
    return numbers.astype(np.int64)


# --- finding labels -----------------------------------------------------------------------------


class Labels(NamedTuple):
    """The groups of a score's photos."""

    values: Any  # as for `make_groups`
    what: str  # "photographers"
    source: str  # "the column AUTHOR of the references"

    def described(self, n: int) -> str:
        """How many: "by 198 photographers"."""
        if n == 1:
            return "in one group"
        link = {"photographers": "by", "values": "with"}.get(self.what.split()[0], "in")
        return f"{link} {n:,} {self.what}"


def find_labels(
    asked: str | None, tables: Mapping[str, pd.DataFrame], references: pd.DataFrame
) -> Labels | None:
    """Find which photos belong together.

    Parameters
    ----------
    asked : str, optional
        The name of a column; `none`; `place:500m`, for cells of the true places; or None, to look
        for a column of photographers or sequences in the references, for Flickr file names, and
        for such a column in the predictions. Columns without any label are left out, and so are
        columns of the predictions with only one label.
    tables : mapping of name to DataFrame
        The predictions, in the order of the references.
    references : DataFrame
        With `image_id`, `latitude`, `longitude`, and the columns that may hold labels.

    Raises
    ------
    ValueError
        If there is no column of that name.
    """
    if asked and asked.lower() == "none":
        return None
    if asked and is_place(asked):
        return Labels(asked, f"cells of {parse_size(asked):,.10g} m", "the true places")
    in_references = _from_columns(asked, {"the references": references})
    # one label may be the author of the predictions
    in_predictions = _from_columns(asked, tables, fewest=2)
    found = in_references or (not asked and _from_names(references["image_id"])) or in_predictions
    if asked and not found:
        raise ValueError(
            f"groups: no column {asked!r} in the references or in {' or '.join(tables)}; name "
            "another column, a size as in place:500m, or none"
        )
    return found or None


def _from_columns(
    asked: str | None, tables: Mapping[str, pd.DataFrame], fewest: int = 1
) -> Labels | None:
    """Labels from the first such column; where it is empty, from a column of that name elsewhere.

    A column that was not asked for must have at least `fewest` different labels.
    """
    wanted = [plain(asked)] if asked else [*COLUMNS]
    found: list[tuple[str, pd.Series]] = []
    for source, table in tables.items():
        for name in table.columns:
            if plain(name) not in wanted or (found and plain(name) != plain(found[0][1].name)):
                continue
            if asked or _count_labels(table[name]) >= fewest:
                found.append((source, table[name]))
                break
    if not found:
        return None
    values = found[0][1]
    for _, others in found[1:]:
        values = values.where(values.notna(), others)
    sources = " and ".join(source for source, _ in found)
    what = COLUMNS.get(plain(values.name), f"values of {values.name}")
    return Labels(values, what, f"the column {values.name} of {sources}")


def _count_labels(values: pd.Series) -> int:
    try:
        return len(factorize(values, len(values), "groups")[1])
    except ValueError:  # not labels
        return 0


def _from_names(image_ids: pd.Series) -> Labels | None:
    owners = photographers(image_ids)
    known = len(owners) - owners.count(None)
    return Labels(owners, "photographers", "the file names") if known >= len(owners) / 2 else None
