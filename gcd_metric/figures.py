"""Computes every figure of a score from the distances."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .checks import examine
from .distances import measure
from .intervals import wilson_interval
from .matching import pair
from .options import PER_KM, Options

GEOSCORE_MAX = 5000.0
GEOSCORE_SCALE_KM = 1492.7
SIDES = ("predictions", "references")


def score(
    predictions: Any, references: Any, options: Options, *, stacklevel: int = 2
) -> tuple[dict[str, Any], np.ndarray]:
    """Pair, check, measure and summarise coordinates of any form.

    Returns the figures, and the distances in the order of the references. Coordinates that cannot
    be scored are a ValueError; what is doubtful is a UserWarning (at `stacklevel`).
    """
    checked = examine(*pair(predictions, references, SIDES), options.missing, options.finest_km)
    for note in checked.notes:
        warnings.warn(note, stacklevel=stacklevel + 1)
    measured = measure(checked.predictions, checked.references, options)
    return summarise(measured, options), measured


def summarise(measured: np.ndarray, options: Options) -> dict[str, Any]:
    """Every figure, as `GcdMetric.compute` returns them.

    `measured` are distances of shape (n,) in the unit of `options`, NaN for missing predictions.
    """
    n, unit = len(measured), options.unit
    unanswered = np.isnan(measured)
    n_missing = int(np.count_nonzero(unanswered))
    answered = measured[~unanswered] if n_missing else measured
    result: dict[str, Any] = {}
    for key, threshold in zip(options.keys, options.thresholds, strict=True):
        hits = int(np.count_nonzero(answered <= threshold))
        result[key] = hits / n
        result[f"{key}_ci95"] = wilson_interval(hits, n)
    result[f"mean_{unit}"] = float(answered.mean()) if answered.size else math.nan
    result[f"median_{unit}"] = float(np.median(answered)) if answered.size else math.nan
    decay = answered * (-1 / (GEOSCORE_SCALE_KM * PER_KM[unit]))
    result["geoscore"] = GEOSCORE_MAX * float(np.exp(decay, out=decay).sum()) / n
    result["n"] = n
    if options.missing == "miss":
        result["n_missing"] = n_missing
    return result
