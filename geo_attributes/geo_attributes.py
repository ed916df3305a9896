"""Metric that compares attributes of predicted and true places: names, or a raster map's values.

Coordinates are read and checked as in gcd_metric; raster.py looks up the cells, and place_scores.py
compares countries, regions and cities.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

# absolute imports, because evaluate loads a copy of this file; bundle.py makes a folder that needs
# no installed package
from gcd_metric.checks import examine
from gcd_metric.figures import SIDES
from gcd_metric.groups import Groups, labels_of, make_groups
from gcd_metric.matching import pair
from gcd_metric.options import MISSING, as_numbers, check_choice, refuse_unknown
from gcd_metric.pair_metric import PairMetric
from gcd_metric.place_scores import hit_rate, score_places, true_places
from gcd_metric.places import METHODS
from geo_attributes.raster import Raster

_DESCRIPTION = """\
Compares attributes of predicted and true places: their country, region and city, or what a \
raster map shows there: agreement of classes (land cover, urban or rural), error of quantities \
(population density, elevation) and of the terrain's gradient.
"""

_INPUTS = """
Args:
    predictions: n pairs (latitude, longitude) in decimal degrees: a list, an array or tensor of
        shape (n, 2), a data frame, or rows with `latitude` and `longitude`.
    references: the true coordinates, in the same forms.
    raster: path of a GeoTIFF on this disk, or of a `.vrt` that puts several together.
    kind: "classes", "quantity", or "gradient" (of an elevation raster, in metres per metre) for a
        raster; "places" for names of places, which needs no raster.
    band: which band of the raster, from 1.
    classes: names of classes: {code: name} for a raster of codes, where several codes may have
        one name; or the names between thresholds, from the lowest up.
    threshold: a number, or several in ascending order, that divide a quantity into classes.
    log: also compare log10(1 + value) of quantities and gradients.
    nodata: a value, or several, that the raster uses for "no value" without declaring it.
    fill_value: the value of cells without a value, such as 0 people at sea.
    missing: "error", or "miss" to count a prediction of None or NaN as one without a value.
    groups: for classes and places, groups of photos, such as those of one photographer, for which
        the intervals account: labels, a column or `place:500m`, as in `gcd_metric`.
    return_values: also return the values at predictions and references.
    method: of places: "polygons" (the default) looks up the country and region that contain the
        point; "nearest_place" takes all names from the nearest populated place, as OSV-5M and
        PLONK do.
    return_places: also return the names of places.

Returns:
    For places `acc_country`, `acc_region`, `acc_area` and `acc_city` (0 to 1), each with
    `acc_country_ci95` … (low, high) and `n_country` …, the number of pairs whose true place has a
    name at that level; `n` and `n_missing`; with groups `acc_country_n_effective` … and `n_groups`;
    with return_places `prediction_places` and `reference_places`.
    For classes `accuracy` (0 to 1), `accuracy_ci95` (low, high), `balanced_accuracy`, `labels`,
    `confusion_matrix` (rows: references) and `per_class`; otherwise `mean_absolute_error`,
    `median_absolute_error`, `mean_error`, `spearman`, and with log
    `mean_absolute_error_log10`, `median_absolute_error_log10`. Always `n` and the counts
    `n_references_outside`, `n_references_nodata`, `n_predictions_outside`,
    `n_predictions_nodata`, `n_missing`; with return_values `prediction_values` and
    `reference_values`; for classes with groups `accuracy_n_effective` and `n_groups`.

Examples:
    >>> import evaluate
    >>> metric = evaluate.load("geo_attributes")
    >>> result = metric.compute(
    ...     predictions=[[48.86, 2.35]], references=[[45.76, 4.84]], kind="places"
    ... )
    >>> result["acc_country"], result["acc_region"]
    (1.0, 0.0)
    >>> result = metric.compute(
    ...     predictions=[[48.86, 2.35]],
    ...     references=[[51.51, -0.13]],
    ...     raster="density.tif",
    ...     kind="classes",
    ...     threshold=300,
    ...     classes=["rural", "urban"],
    ... )
"""

_MOST_CLASSES = 1000
# Coordinates should be exact enough for the cells of global maps, and for the polygons of regions.
_FINEST_CELL_KM, _FINEST_PLACE_KM = 0.03, 1.0


# --- classes ------------------------------------------------------------------------------------


class Classes(NamedTuple):
    """Names of classes: of the codes of a raster, or of the intervals between thresholds."""

    names: dict[float, str] | None = None
    thresholds: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


def make_classes(classes: Any = None, threshold: Any = None) -> Classes:
    """Check `classes` and `threshold`, as in `GeoAttributes.compute`; a ValueError says what fails.

    A value at a threshold belongs to the class above it.
    """
    if threshold is None:
        if classes is None:
            return Classes()
        if not isinstance(classes, Mapping) or not classes:
            raise ValueError(
                "classes must be {code: name} for a raster of codes; a list of names goes with "
                f"threshold=, not {classes!r:.80}"
            )
        codes = as_numbers("the codes of classes", list(classes))
        names = [str(name) for name in classes.values()]
        return Classes(names=dict(zip(codes.tolist(), names, strict=True)))
    at = as_numbers("threshold", threshold)
    if not len(at) or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise ValueError(f"threshold must be finite and ascending, not {threshold!r:.80}")
    if classes is None:
        between = [f"{low:g} to {high:g}" for low, high in zip(at, at[1:], strict=False)]
        labels = [f"< {at[0]:g}", *between, f">= {at[-1]:g}"]
    elif (
        isinstance(classes, (str, bytes, Mapping, set, frozenset))
        or not hasattr(classes, "__len__")
        or len(classes) != len(at) + 1
    ):
        raise ValueError(
            f"give {len(at) + 1} names of classes, one more than thresholds, from the lowest "
            f"up, not {classes!r:.80}"
        )
    else:
        labels = [str(name) for name in classes]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two classes have the same name: {labels!r:.80}")
    return Classes(thresholds=tuple(at.tolist()), labels=tuple(labels))


def classify(
    predictions: np.ndarray, references: np.ndarray, classes: Classes, path: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Assign values of the raster, NaN for none, to classes.

    Returns the labels, and for both sides the index of the label, -1 where there is no value. A
    ValueError names values that are not codes, and codes without a name.
    """
    both = np.concatenate([predictions, references])
    known = ~np.isnan(both)
    index = np.full(len(both), -1)
    if classes.thresholds:
        labels = list(classes.labels)
        index[known] = np.digitize(both[known], classes.thresholds)
    else:
        codes, inverse = np.unique(both[known], return_inverse=True)
        names = classes.names or _code_names(codes, path)
        unnamed = codes[[code not in names for code in codes.tolist()]]
        if len(unnamed):
            _code_names(unnamed, path)  # raises if they are not codes at all
            some = ", ".join([f"{code:.0f}" for code in unnamed[:10]] + ["…"] * (len(unnamed) > 10))
            raise ValueError(
                f"{path}: `classes` has no name for code {some}, found at "
                f"{np.isin(both, unnamed).sum()} places; name every code that occurs, or give it "
                "as nodata="
            )
        labels = list(dict.fromkeys(names.values()))
        of_code = np.array([labels.index(names[code]) for code in codes.tolist()], dtype=int)
        index[known] = of_code[inverse.ravel()]
    return labels, index[: len(predictions)], index[len(predictions) :]


def _code_names(codes: np.ndarray, path: str) -> dict[float, str]:
    if (codes != np.floor(codes)).any() or len(codes) > _MOST_CLASSES:
        example = codes[(codes != np.floor(codes)).argmax()] if len(codes) else 0
        raise ValueError(
            f"{path}: contains values such as {example:g}, which look like a quantity, not codes "
            "of classes; divide them with threshold=, or choose kind='quantity'"
        )
    return {code: f"{code:.0f}" for code in codes.tolist()}


# --- figures ------------------------------------------------------------------------------------


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; equal values get the mean of their ranks.

    Parameters
    ----------
    a, b : ndarray of shape (n,)

    Returns
    -------
    float
        -1 to 1; NaN where one side is constant.

    References
    ----------
    C. Spearman, "The proof and measurement of association between two things", The American
    Journal of Psychology 15 (1), 1904, pp. 72-101.
    """
    # pandas is installed with `datasets`; scipy would be one more dependency
    first, second = (pd.Series(side).rank().to_numpy(dtype=np.float64) for side in (a, b))
    if any(side.size == 0 or side.min() == side.max() for side in (first, second)):
        return math.nan
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1, 1))


def agreement(labels: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Figures of each class, from the index of each label; a prediction of -1 (no value) is wrong.

    A class without references has no recall (NaN), and one that is never predicted no precision.
    """
    k = len(labels)
    answered = predicted >= 0
    pairs = true[answered] * k + predicted[answered]
    confusion = np.bincount(pairs, minlength=k * k).reshape(k, k)
    support, guessed = np.bincount(true, minlength=k), confusion.sum(axis=0)
    hits = np.diag(confusion)
    with np.errstate(invalid="ignore"):
        recall, precision = hits / support, hits / guessed
    return {
        "balanced_accuracy": float(recall[support > 0].mean()),
        "labels": list(labels),
        "confusion_matrix": confusion.tolist(),
        "per_class": {
            label: {
                "n": int(support[i]),
                "recall": float(recall[i]),
                "precision": float(precision[i]),
            }
            for i, label in enumerate(labels)
        },
    }


def errors(predictions: np.ndarray, references: np.ndarray, log: bool) -> dict[str, Any]:
    """Figures of quantities without gaps, in the unit of the raster; NaN if there are none.

    With `log`, also those of log10(1 + value), which needs values of 0 or more.
    """
    result: dict[str, Any] = {}
    absolute = {"": np.abs(predictions - references)}
    if log:
        least = min(predictions.min(initial=0), references.min(initial=0))
        if least < 0:
            raise ValueError(
                f"log= needs values of 0 or more, and there is {least:g}; if that means no value, "
                "give it as nodata="
            )
        absolute["_log10"] = np.abs(np.log10(1 + predictions) - np.log10(1 + references))
    for suffix, values in absolute.items():
        column = pd.Series(values, dtype=np.float64)  # its mean of nothing is NaN
        result[f"mean_absolute_error{suffix}"] = float(column.mean())
        result[f"median_absolute_error{suffix}"] = float(column.median())
    result["mean_error"] = float(pd.Series(predictions - references, dtype=np.float64).mean())
    result["spearman"] = spearman(predictions, references)
    return result


# --- from places to figures ---------------------------------------------------------------------

KINDS = ("classes", "quantity", "gradient", "places")


def score(
    predictions: np.ndarray,
    references: np.ndarray,
    raster: Raster,
    kind: str,
    classes: Classes,
    log: bool,
    groups: Groups | None = None,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Look up both sides, in degrees of shape (n, 2), and compare the values.

    A row of `predictions` with NaN is a missing one. Pairs without a value are counted. If no
    reference has a value, that is a ValueError. Returns the figures and the values of both sides.
    """
    measure = raster.gradients if kind == "gradient" else raster.values
    values, inside = measure(np.concatenate([predictions, references]))
    (guess, truth), (guess_inside, truth_inside) = np.split(values, 2), np.split(inside, 2)
    known, answered = ~np.isnan(truth), ~np.isnan(predictions).any(axis=1)
    counts = {
        "n_references_outside": ~truth_inside,
        "n_references_nodata": truth_inside & ~known,
        "n_predictions_outside": known & answered & ~guess_inside,
        "n_predictions_nodata": known & guess_inside & np.isnan(guess),
        "n_missing": known & ~answered,
    }
    counted = {name: int(np.count_nonzero(rows)) for name, rows in counts.items()}
    if not known.any():
        raise ValueError(
            f"{raster.path}: none of the {len(truth)} references has a value there: "
            f"{counted['n_references_outside']} are outside of the raster ({raster.extent}), "
            f"{counted['n_references_nodata']} in cells without one"
        )
    if kind == "classes":
        labels, predicted, true = classify(guess[known], truth[known], classes, raster.path)
        result = hit_rate("accuracy", predicted == true, groups and groups.take(known))
        result |= agreement(labels, predicted, true)
        result["n"] = int(known.sum())
    else:
        both = known & ~np.isnan(guess)
        result = errors(guess[both], truth[both], log)
        result["n"] = int(both.sum())
    return result | counted, guess, truth


# --- the metric ---------------------------------------------------------------------------------


Measure = Callable[[np.ndarray, np.ndarray, Groups | None], dict[str, Any]]


def _compare_places(
    method: str,
    return_places: bool,
    predictions: np.ndarray,
    references: np.ndarray,
    groups: Groups | None,
) -> dict[str, Any]:
    truth = true_places(references, method)
    return score_places(predictions, truth, groups, method, return_places)


class GeoAttributes(PairMetric):
    """Agreement of predicted and true places on a raster map, or of their names.

    Parameters
    ----------
    config_name : str, optional
        Not used; there is one configuration.
    **kwargs
        The arguments of any `evaluate.Metric` except `num_process`: collect the coordinates in one
        process.
    """

    texts = _DESCRIPTION, _INPUTS

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        if kwargs.get("num_process", 1) != 1:
            raise ValueError("geo_attributes runs in one process: collect the coordinates there")
        super().__init__(config_name, **kwargs)

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        raster: str | os.PathLike[str] | None = None,
        kind: str | None = None,
        band: int = 1,
        classes: Any = None,
        threshold: Any = None,
        log: bool = False,
        nodata: Any = None,
        fill_value: float | None = None,
        missing: str = "error",
        groups: Any = None,
        return_values: bool = False,
        method: str | None = None,
        return_places: bool = False,
        **unknown: Any,
    ) -> dict[str, Any] | None:
        """Score predictions that are given here or were added before.

        Added rows are kept until a `compute` succeeds.

        Raises
        ------
        ValueError
            For coordinates, a raster or options that cannot be used; a bad row is named.
        TypeError
            For an unknown option; the message suggests a known one.
        ImportError
            If rasterio, or a library for place names, is not installed.
        """
        defaults = GeoAttributes.compute.__kwdefaults__ or {}
        refuse_unknown(unknown, defaults)
        check_choice("kind", kind, KINDS)
        check_choice("missing", missing, MISSING)
        of_places: dict[str, Any] = {"method": method, "return_places": return_places}
        of_rasters: dict[str, Any] = {"raster": raster, "band": band, "nodata": nodata}
        of_rasters |= {"classes": classes, "threshold": threshold, "log": log}
        of_rasters |= {"fill_value": fill_value, "return_values": return_values}
        what, others = ("rasters", of_rasters) if kind == "places" else ("places", of_places)
        for name, value in others.items():
            if value is not defaults[name]:
                raise ValueError(f"{name} is an option for {what}, not for kind={kind!r}")
        if groups is not None and kind not in ("classes", "places"):
            raise ValueError(f"groups is for kind='classes' and kind='places', not for {kind!r}")
        measure: Measure
        if kind == "places":
            method = "polygons" if method is None else method
            check_choice("method", method, METHODS)
            measure = partial(_compare_places, method, return_places)
        else:
            made = _comparison(kind, classes, threshold, log)
            if raster is None:
                raise ValueError(
                    "raster is the path of the map to look values up in, such as a GeoTIFF"
                )
            scaled = kind != "classes" or threshold is not None  # codes are not quantities
            opened = (raster, band, nodata, fill_value, scaled)
            measure = partial(
                _score_raster, raster=opened, comparison=made, return_values=return_values
            )
        return self._score(
            predictions,
            references,
            measure=measure,
            finest_km=_FINEST_PLACE_KM if kind == "places" else _FINEST_CELL_KM,
            groups=labels_of(groups, references),
            missing=missing,
        )

    def _compute(
        self,
        predictions: Any,
        references: Any,
        measure: Measure,
        finest_km: float,
        groups: Any,
        missing: str,
    ) -> dict[str, Any]:
        sides = pair(predictions, references, SIDES)
        checked = examine(*sides, missing, finest_km)
        for note in checked.notes:
            warnings.warn(note, stacklevel=4)
        made = None if groups is None else make_groups(groups, checked.references)
        result = measure(checked.predictions, checked.references, made)
        return result if made is None else result | {"n_groups": len(made.sizes)}


def _comparison(
    kind: str | None, classes: Any, threshold: Any, log: bool
) -> tuple[str | None, Classes, bool]:
    """The options of a raster's kind, checked."""
    if kind != "classes" and not (classes is None and threshold is None):
        raise ValueError(f"classes and threshold are for kind='classes', not for {kind!r}")
    if kind == "classes" and log:
        raise ValueError("log is for kind='quantity' and kind='gradient'")
    return kind, make_classes(classes, threshold) if kind == "classes" else Classes(), log


def _score_raster(
    predictions: np.ndarray,
    references: np.ndarray,
    groups: Groups | None,
    raster: tuple[Any, ...],
    comparison: tuple[Any, ...],
    return_values: bool,
) -> dict[str, Any]:
    """The figures of `score`, with the values if asked for."""
    kind, classes, log = comparison
    with Raster(*raster) as opened:
        sides = predictions, references
        result, guess, truth = score(*sides, opened, kind, classes, log, groups)
    if return_values:  # as lists, because evaluate.save writes JSON
        result |= {"prediction_values": guess.tolist(), "reference_values": truth.tolist()}
    return result
