"""The metric: what a raster map says at predicted and at true places, compared.

Coordinates are read and checked as gcd_metric does, cells are looked up by raster.py. How far
predictions are from the truth is another question, which gcd_metric answers.
"""

from __future__ import annotations

import difflib
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import evaluate
import numpy as np
import pandas as pd

from gcd_metric.checks import check_coordinates, examine
from gcd_metric.intervals import wilson_interval
from gcd_metric.pairs import pair

# by its whole name: evaluate loads this file from a copy, with the package installed
from geo_attributes.raster import Raster, as_numbers

_DESCRIPTION = """\
Compares what a raster map says at predicted and at true places: agreement of classes (land cover, \
urban or rural), error of quantities (population density, elevation) and of the terrain's gradient.
"""

_CITATION = """\
@inproceedings{hays2008im2gps,
  author = {Hays, James and Efros, Alexei A.},
  title = {{IM2GPS}: estimating geographic information from a single image},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2008}
}
"""

_INPUTS = """
Args:
    predictions: n pairs (latitude, longitude) in decimal degrees: a list, an array or tensor of
        shape (n, 2), a data frame, or rows with `latitude` and `longitude`.
    references: the true coordinates, in the same forms.
    raster: path of a GeoTIFF on this disk, or of a `.vrt` that puts several together.
    kind: "classes", "quantity", or "gradient" (of an elevation raster, in metres per metre).
    band: which band of the raster, from 1.
    classes: names of classes: {code: name} for a raster of codes, where one name may stand for
        several codes; or the names between thresholds, from the lowest up.
    threshold: a number, or several in ascending order, that part a quantity into classes.
    log: of quantities and gradients also compare log10(1 + value).
    nodata: a value, or several, that the raster uses for "none" without declaring it.
    fill_value: the value of cells without one, such as 0 people at sea.
    missing: "error", or "miss" to count a prediction of None or NaN as without a value.
    return_values: also return the values at predictions and references.

Returns:
    For classes `accuracy` (0 to 1), `accuracy_ci95` (low, high), `balanced_accuracy`, `labels`,
    `confusion_matrix` (rows: references) and `per_class`; otherwise `mean_absolute_error`,
    `median_absolute_error`, `mean_error`, `spearman`, and with log
    `mean_absolute_error_log10`, `median_absolute_error_log10`. Always `n` and the counts
    `n_references_outside`, `n_references_nodata`, `n_predictions_outside`,
    `n_predictions_nodata`, `n_missing`; with return_values `prediction_values` and
    `reference_values`.

Examples:
    >>> import evaluate
    >>> metric = evaluate.load("geo_attributes")
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
_FINEST_CELL_KM = 0.03  # of maps of the world; coordinates should tell such cells apart


# --- classes ------------------------------------------------------------------------------------


class Classes(NamedTuple):
    """What stands for a class: a code of the raster, or an interval between thresholds."""

    names: dict[float, str] | None = None
    thresholds: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


def make_classes(classes: Any = None, threshold: Any = None) -> Classes:
    """Check what parts the values into classes.

    Parameters
    ----------
    classes : dict, or sequence of str, optional
        Code to name; or with `threshold` the names between thresholds, from the lowest up.
    threshold : number or sequence of numbers, optional
        Ascending; a value at a threshold is above it.

    Returns
    -------
    Classes

    Raises
    ------
    ValueError
        If they do not fit together.
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
            f"{len(at)} thresholds part {len(at) + 1} classes: give as many names, from the lowest "
            f"up, not {classes!r:.80}"
        )
    else:
        labels = [str(name) for name in classes]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two classes have one name: {labels!r:.80}")
    return Classes(thresholds=tuple(at.tolist()), labels=tuple(labels))


def classify(
    predictions: np.ndarray, references: np.ndarray, classes: Classes, path: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Turn values into classes.

    Parameters
    ----------
    predictions, references : ndarray of shape (n,)
        Values of the raster; NaN where there is none.
    classes : Classes
    path : str
        Of the raster, for an error.

    Returns
    -------
    labels : list of str
    predicted, true : ndarray of int, shape (n,)
        Index of `labels`, -1 where there is no value.

    Raises
    ------
    ValueError
        For values that are no codes, or codes without a name.
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
            _code_names(unnamed, path)  # or they are no codes at all
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
            f"{path}: holds values such as {example:g}, which look like a quantity, not codes of "
            "classes; part them with threshold=, or choose kind='quantity'"
        )
    return {code: f"{code:.0f}" for code in codes.tolist()}


# --- figures out --------------------------------------------------------------------------------


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    pandas ranks, which `datasets` brings along; scipy would be one more library for this alone.

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
    first, second = (pd.Series(side).rank().to_numpy(dtype=np.float64) for side in (a, b))
    if any(side.size == 0 or side.min() == side.max() for side in (first, second)):
        return math.nan
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1, 1))


def agreement(labels: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Figures of classes.

    Parameters
    ----------
    labels : sequence of str
    predicted, true : ndarray of int, shape (n,)
        Index of `labels`; a prediction of -1, one without a value, is wrong.

    Returns
    -------
    dict
        See `GeoAttributes.compute`. A class that no reference has is without a recall (NaN), and
        one that is never predicted without a precision.
    """
    k, n = len(labels), len(true)
    answered = predicted >= 0
    pairs = true[answered] * k + predicted[answered]
    confusion = np.bincount(pairs, minlength=k * k).reshape(k, k)
    support, guessed = np.bincount(true, minlength=k), confusion.sum(axis=0)
    hits = np.diag(confusion)
    with np.errstate(invalid="ignore"):
        recall, precision = hits / support, hits / guessed
    return {
        "accuracy": float(hits.sum() / n),
        "accuracy_ci95": wilson_interval(int(hits.sum()), n),
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
    """Figures of quantities, in the raster's unit.

    Parameters
    ----------
    predictions, references : ndarray of shape (n,)
        Without gaps.
    log : bool
        Also compare log10(1 + value), so that a factor counts the same at any size.

    Returns
    -------
    dict
        See `GeoAttributes.compute`; NaN where n is 0.

    Raises
    ------
    ValueError
        If a logarithm is asked for and there are negative values.
    """
    difference = predictions - references
    result = {
        "mean_absolute_error": _mean(np.abs(difference)),
        "median_absolute_error": _median(np.abs(difference)),
        "mean_error": _mean(difference),
        "spearman": spearman(predictions, references),
    }
    if log:
        least = min(predictions.min(initial=0), references.min(initial=0))
        if least < 0:
            raise ValueError(
                f"log= needs values of 0 or more, and there is {least:g}; if that means none, give "
                "it as nodata="
            )
        decades = np.abs(np.log10(1 + predictions) - np.log10(1 + references))
        result["mean_absolute_error_log10"] = _mean(decades)
        result["median_absolute_error_log10"] = _median(decades)
    return result


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else math.nan


# --- from places to figures ---------------------------------------------------------------------

KINDS = ("classes", "quantity", "gradient")


class Options(NamedTuple):
    """What to compute."""

    kind: str
    classes: Classes
    log: bool
    missing: str
    return_values: bool


def make_options(
    kind: Any, classes: Any, threshold: Any, log: bool, missing: str, return_values: bool
) -> Options:
    """Check options, as in `GeoAttributes.compute`, against each other.

    Raises
    ------
    ValueError
        For an unknown kind, or options that do not belong to it.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, not {kind!r:.80}")
    if missing not in ("error", "miss"):
        raise ValueError(f"missing must be one of 'error', 'miss', not {missing!r:.80}")
    if kind != "classes" and not (classes is None and threshold is None):
        raise ValueError(f"classes and threshold belong to kind='classes', not to {kind!r:.80}")
    if kind == "classes" and log:
        raise ValueError("log belongs to kind='quantity' and kind='gradient'")
    made = make_classes(classes, threshold) if kind == "classes" else Classes()
    return Options(kind, made, bool(log), missing, bool(return_values))


def score(
    predictions: np.ndarray, references: np.ndarray, raster: Raster, options: Options
) -> dict[str, Any]:
    """Look up both sides, count what has no value, and compare the rest.

    Parameters
    ----------
    predictions, references : ndarray of shape (n, 2)
        Degrees; a row of `predictions` with NaN is a missing one.
    raster : Raster
    options : Options

    Returns
    -------
    dict
        See `GeoAttributes.compute`.

    Raises
    ------
    ValueError
        If no reference has a value.
    """
    measure = raster.gradients if options.kind == "gradient" else raster.values
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
    if options.kind == "classes":
        labels, predicted, true = classify(guess[known], truth[known], options.classes, raster.path)
        result = agreement(labels, predicted, true)
        result["n"] = int(known.sum())
    else:
        both = known & ~np.isnan(guess)
        result = errors(guess[both], truth[both], options.log)
        result["n"] = int(both.sum())
    result |= counted
    if options.return_values:
        # lists, for evaluate.save writes JSON
        result |= {"prediction_values": guess.tolist(), "reference_values": truth.tolist()}
    return result


# --- the metric ---------------------------------------------------------------------------------


class GeoAttributes(evaluate.Metric):
    """Agreement of predicted and true places on a raster map.

    Rows may also be added before, with `add` and `add_batch`. They are kept in memory until a
    `compute` succeeds, so that a wrong option costs nothing.

    Parameters
    ----------
    config_name : str, optional
        Not used; there is one configuration.
    **kwargs
        As of any `evaluate.Metric`, but `num_process`: gather coordinates in one process.
    """

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        if kwargs.get("num_process", 1) != 1:
            raise ValueError("geo_attributes scores in one process: gather the coordinates there")
        super().__init__(config_name=config_name, **kwargs)
        self._added: list[tuple[np.ndarray, np.ndarray]] = []

    def _info(self) -> evaluate.MetricInfo:
        pair = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": pair, "references": pair}),
            reference_urls=["http://graphics.cs.cmu.edu/projects/im2gps/"],
        )

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        raster: str | os.PathLike | None = None,
        kind: str | None = None,
        band: int = 1,
        classes: Any = None,
        threshold: Any = None,
        log: bool = False,
        nodata: Any = None,
        fill_value: float | None = None,
        missing: str = "error",
        return_values: bool = False,
        **unknown: Any,
    ) -> dict[str, Any]:
        """Score predictions, given here or added before.

        Raises
        ------
        ValueError
            For coordinates, a raster or options that cannot be used; a bad row is named.
        TypeError
            For an option that there is not, with the one that was meant.
        ImportError
            If rasterio is not installed.
        """
        _refuse_unknown(unknown, GeoAttributes.compute.__kwdefaults__ or ())
        options = make_options(kind, classes, threshold, log, missing, return_values)
        if raster is None:
            raise ValueError(
                "raster is the path of the map to look values up in, such as a GeoTIFF"
            )
        rows = list(self._added)
        if predictions is not None or references is not None:
            rows.append(_pair_up(predictions, references))
        if not rows:
            raise ValueError("nothing to score: pass predictions and references, or add some")
        sides = [np.concatenate(side) for side in zip(*rows, strict=True)]
        check_coordinates(sides[0], sides[1], missing)
        scaled = kind != "classes" or threshold is not None  # codes are no quantity
        with Raster(raster, band, nodata, fill_value, scaled) as opened:
            result = self._compute(sides[0], sides[1], opened, options)
        self._added = []
        return result

    def _compute(
        self, predictions: Any, references: Any, raster: Raster, options: Options
    ) -> dict[str, Any]:
        return score(predictions, references, raster, options)

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add rows to be scored later; nothing is added if one of them is bad."""
        rows = _pair_up(predictions, references)
        if len(rows[0]):
            self._added.append(rows)

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        predictions: Any = None,
        references: Any = None,
    ) -> None:
        """Add one row to be scored later; a prediction of None is a missing one.

        `predictions` and `references` stand for the same, as `evaluate.combine` calls them.
        """
        prediction = predictions if prediction is None else prediction
        reference = references if reference is None else reference
        self.add_batch(predictions=[prediction], references=[reference])


def _refuse_unknown(unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in unknown:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known)}"
        raise TypeError(f"compute has no option {name!r}; {hint}")


def _pair_up(predictions: Any, references: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both sides, paired and checked as gcd_metric does; predictions may be missing."""
    sides = pair(predictions, references, ("predictions", "references"))
    if not any(len(side.degrees) for side in sides):
        return sides[0].degrees, sides[1].degrees
    checked = examine(*sides, "miss", _FINEST_CELL_KM)
    for note in checked.notes:
        warnings.warn(note, stacklevel=3)
    return checked.predictions, checked.references
