"""Score predictions of any kind as the paper and the retrieval baselines do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from gcd_metric.figures import accuracies
from gcd_metric.figures import score as measure
from gcd_metric.groups import labels_of, make_groups
from gcd_metric.names import listed
from gcd_metric.options import make_options
from justzoomin import zoom
from justzoomin.predictions import (
    COLUMNS,
    ID,
    columns_of,
    image_ids,
    pair,
    refuse_similar,
)
from justzoomin.table import as_array

RANKS = (1, 5, 10, 50, 100)
_log = logging.getLogger(__name__)


class Scores(dict[str, Any]):
    """Scores by name, which print as a table with 95 % intervals."""

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = []
        for name, value in self.items():
            if name.endswith(("_ci95", "_n_effective")):
                continue
            interval = self.get(f"{name}_ci95")
            if interval is None:
                rows.append([name, f"{value:,}", ""])
                continue
            is_length = name.endswith("_m")
            figure, low, high = (x if is_length else 100 * x for x in (value, *interval))
            unit = "m" if is_length else "%"
            ends = "" if np.isnan(low) else f"{low:,.1f}–{high:,.1f} {unit}"
            rows.append([name, f"{figure:,.1f} {unit}", ends])
        headers, align = ["", "", "95 % interval"], ("left", "right", "left")
        return str(tabulate(rows, headers, colalign=align))


def score(
    predictions: Any,
    references: Any,
    kind: str | None = None,
    ids: Any = None,
    allow_partial: bool = False,
    groups: Any = None,
) -> Scores:
    """Score zoom predictions against rows of the data set.

    Predictions and references are paired by image id, because configurations and shuffled loaders
    have different orders. They are paired by position only if neither side has ids.

    Parameters
    ----------
    predictions : array-like or rows
        Sequences, int of shape (n, depth), compared with the first `depth` actions of the
        references; coordinates, float of shape (n, 2), decimal degrees; or ranked candidates, int
        of shape (n, k, depth), best first. Or rows with `image_id` and a column `sequence`,
        `latitude` and `longitude`, or `candidates`; or a dict from image ids to predictions.
    references : rows with `image_id`, `latitude`, `longitude` and `sequence`
        A `datasets.Dataset` or its batch, a data frame, a list of rows or a mapping of columns.
    kind : {"sequences", "coordinates", "ranked"}, optional
        By default, shape and type, or the columns, decide.
    ids : sequence of str or int, length n, optional
        The image id of each prediction, if they are not rows.
    allow_partial : bool
        Ignore references without a prediction and predictions without a reference;
        `n_references` and `n_predictions` are then the numbers of each.
    groups : sequence of length n, or str, optional
        One label for each reference, the name of a column of the references, or a size of cells of
        the true places, as "place:500m". The intervals then account for photos that are right or
        wrong together, such as frames of one drive. The command uses "place:500m".

    Returns
    -------
    Scores
        A dict: `r@1` (the whole sequence is right); for sequences `step1` … (all actions up to a
        step are right), for ranked candidates `r@5` … up to their number; the distance of the
        predicted coordinates, or the centre of the predicted cell, as `acc@40m`, `acc@50m`,
        `acc@100m`, `median_m`, `mean_m`; `n`; `depth`, the number of actions compared. Shares and
        distances have intervals, `…_ci95`. With groups, `n_groups`, and the effective sample size
        of each share, `…_n_effective`.

    Raises
    ------
    ValueError
        When shapes do not fit any kind, only one side has ids, or an id is on one side only.
    """
    wanted, truth, places = _references(references)
    labels = labels_of(groups, references)
    grouped = None if labels is None else make_groups(labels, places)
    kind, found, named = _predictions(predictions, kind, ids)
    pairs = pair(named, wanted, allow_partial)
    result = Scores()
    if pairs is not None and (len(pairs[0]), len(pairs[1])) != (len(found), len(truth)):
        result.update(n_predictions=len(found), n_references=len(truth))
    if pairs is not None:
        found, truth, places = found[pairs[0]], truth[pairs[1]], places[pairs[1]]
        grouped = grouped and grouped.take(pairs[1])
    _check_shape(found, truth, kind)
    if kind == "coordinates":
        best, _ = zoom.encode(found[:, 0], found[:, 1], truth.shape[1], outside="clip")
        coordinates = found
    else:
        best = found[:, 0] if kind == "ranked" else found
        coordinates = np.stack(zoom.decode(best), -1)
        truth = truth[:, : found.shape[-1]]
    result["depth"] = truth.shape[1]
    shares = {"r@1": (best == truth).all(1)}
    if kind == "sequences":
        right = np.logical_and.accumulate(best == truth, axis=1)
        shares |= {f"step{step + 1}": right[:, step] for step in range(truth.shape[1])}
    if kind == "ranked":
        hits = (found == truth[:, None]).all(2)
        shares |= {f"r@{k}": hits[:, :k].any(1) for k in RANKS[1:] if k <= found.shape[1]}
    result.update(accuracies(shares, grouped))
    if kind == "coordinates" and (coordinates == places).all():
        _log.warning("Every prediction equals its reference: are they the references themselves?")
    measured = measure(coordinates, places, make_options("justzoomin"), grouped)[0]
    result.update({key: value for key, value in measured.items() if "geoscore" not in key})
    return result


def _references(rows: Any) -> tuple[list[str] | None, np.ndarray, np.ndarray]:
    """Return the references' ids, if any, their sequences and coordinates."""
    columns = columns_of(rows) or {}
    names = ("sequence", "latitude", "longitude")
    if missing := [name for name in names if name not in columns]:
        raise ValueError(
            f"references must have the columns {', '.join(names)}, as rows of the data set have; "
            f"they have no {missing[0]}"
        )
    if not len(columns["sequence"]):
        raise ValueError("references are empty: there is nothing to score")
    ids = image_ids(columns[ID], "references") if ID in columns else None
    degrees = [as_array(columns[name], name).astype(float) for name in names[1:]]
    truth = as_array(columns["sequence"], "sequence")
    if truth.ndim != 2:
        raise ValueError(f"sequences of the references have shape {truth.shape}, not (n, depth)")
    return ids, truth, np.stack(degrees, -1)


def _predictions(
    given: Any, kind: str | None, ids: Any
) -> tuple[str, np.ndarray, list[str] | None]:
    """Return the predictions' kind, the predictions as an array, and their ids."""
    if kind is not None and kind not in COLUMNS:
        raise ValueError(f"kind={kind!r}: the kinds are {', '.join(COLUMNS)}")
    columns = columns_of(given)
    if isinstance(given, Mapping) and not columns:
        columns, ids, given = None, list(given), list(given.values())
    if columns is not None:
        refuse_similar(columns)
        kind = _kind_of_columns(columns, kind)
        arrays = [as_array(columns[name], name) for name in COLUMNS[kind]]
        found = np.stack(arrays, -1) if kind == "coordinates" else arrays[0]
        ids = columns.get(ID) if ids is None else ids
    else:
        found = as_array(given, "predictions")
        kind = kind or _kind(found)
    named = None if ids is None else image_ids(ids, "predictions")
    if named is not None and len(named) != len(found):
        raise ValueError(f"there are {len(named)} ids and {len(found)} predictions")
    if kind == "coordinates" and found.dtype.kind == "f" and found.dtype.itemsize < 4:
        raise ValueError(
            f"coordinates of type {found.dtype} are kilometres apart: compute them as float32"
        )
    return kind, found, named


def _kind_of_columns(columns: Mapping[str, Any], kind: str | None) -> str:
    """Return the kind of predictions that the columns contain."""
    there = [name for name, needed in COLUMNS.items() if columns.keys() >= {*needed}]
    if kind is not None:
        there = [name for name in there if name == kind]
    if not there:
        needed = "; or ".join(" and ".join(COLUMNS[name]) for name in ([kind] if kind else COLUMNS))
        raise ValueError(f"predictions have no column {needed}; they have {listed(columns)}")
    if len(there) > 1:
        raise ValueError(
            f"predictions have columns of {' and of '.join(there)}: choose one with kind="
        )
    return there[0]


def _kind(found: np.ndarray) -> str:
    if found.ndim == 3 and found.dtype.kind in "iu":
        return "ranked"
    if found.ndim == 2 and found.dtype.kind in "iu":
        return "sequences"
    if found.ndim == 2 and found.shape[1] == 2 and found.dtype.kind == "f":
        actions = (found >= 0) & (found < zoom.GRID**2) & (found == np.floor(found))
        if found.size and actions.all():
            raise ValueError(
                "predictions are whole numbers from 0 to 15 as float, shape (n, 2): sequences of "
                "two actions or coordinates? Give sequences as int; for coordinates pass "
                'kind="coordinates"'
            )
        return "coordinates"
    raise ValueError(
        f"predictions of shape {found.shape} and type {found.dtype} are neither sequences (int, "
        "(n, depth)), ranked candidates (int, (n, k, depth)) nor coordinates (float, (n, 2))"
    )


def _check_shape(found: np.ndarray, truth: np.ndarray, kind: str) -> None:
    (n, depth), own = truth.shape, found.shape[-1] if found.ndim > 1 else 0
    own = own if 1 <= own <= depth else depth
    wanted = {
        "sequences": (n, own), "coordinates": (n, 2),
        "ranked": (n, max(*found.shape[1:2], 1, 1), own),
    }[kind]  # fmt: skip
    if found.shape != wanted:
        raise ValueError(f"{kind}: expected shape {wanted} for these references, got {found.shape}")
