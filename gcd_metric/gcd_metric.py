"""The metric: its description, arguments and features; the figures come from figures.py.

The Hub's loader copies the files that this one imports relatively, and not those that they import
in turn: whatever is needed indirectly is imported here, too.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import datasets
import evaluate
import numpy as np

from .checks import examine, is_coarse
from .columns import find_pair
from .coordinates import Given
from .distances import geodesic, haversine
from .figures import CONFIGURATIONS, Options, get_configuration, make_options, score_pairs
from .intervals import wilson_interval
from .matching import match_ids
from .names import listed
from .pairs import pair

__all__ = ["CONFIGURATIONS", "GcdMetric", "geodesic", "haversine", "wilson_interval"]

_DESCRIPTION = """\
Scores image geolocation: the share of predictions within a great-circle distance of the truth, \
for each threshold with its 95 % Wilson interval, the mean and median error, and the GeoScore.
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
    references: the true coordinates, in the same forms. Rows are paired by id where both sides
        carry ids (a column `image_id`, `id`, `filename`, ...), otherwise by position.
    thresholds: distances in `unit` at which to count hits. Default: the configuration's.
    unit: "km" or "m". Default: the configuration's.
    earth_radius: radius of the sphere in kilometres, whatever `unit` is. Default: the
        configuration's.
    method: "haversine" on the sphere, or "geodesic" on the WGS 84 ellipsoid (needs pyproj).
    missing: "error", or "miss" to count a prediction of None or NaN as wrong everywhere.
    return_distances: also return the distance of each pair.

Returns:
    `acc@200km` … (fractions 0 to 1), `acc@200km_ci95` … (low, high), `mean_km`, `median_km`,
    `geoscore` (0 to 5000), `n`; with metres `acc@40m` …, `mean_m`, `median_m`; with
    missing="miss" `n_missing`; with return_distances `distances_km` or `distances_m`, a list in
    the order of the references.

Examples:
    >>> import evaluate
    >>> metric = evaluate.load("gcd_metric")
    >>> result = metric.compute(predictions=[[48.86, 2.35]], references=[[51.51, -0.13]])
    >>> round(result["median_km"], 1), result["acc@200km"], result["acc@750km"]
    (343.5, 0.0, 1.0)
"""


_SIDES = ("predictions", "references")


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class GcdMetric(evaluate.Metric):
    """Great-circle distance metric for image geolocation.

    Parameters
    ----------
    config_name : {"standard", "im2gps", "justzoomin"}
        Thresholds, unit and radius: 1, 25, 200, 750, 2500 km; 200, 750, 2500 km; both with
        R = 6371 km; or 40, 50, 100 m with R = 6378.137 km.
    **kwargs
        As of any `evaluate.Metric`.
    """

    # of the base class, which does not say their types
    writer: Any
    filelock: Any
    rendez_vous_lock: Any
    cache_file_name: Any

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(config_name=config_name or "standard", **kwargs)
        self._coarse: dict[str, Given] = {}

    def _info(self) -> evaluate.MetricInfo:
        get_configuration(self.config_name)
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
        thresholds: Any = None,
        unit: str | None = None,
        earth_radius: float | None = None,
        method: str = "haversine",
        missing: str = "error",
        return_distances: bool = False,
        **unknown: Any,
    ) -> dict[str, Any] | None:
        """Score predictions, given here or added before.

        Rows added before are kept when an option is wrong, and dropped when they turn out to
        hold missing predictions that were not allowed. An option that there is not is a
        TypeError, with the one that was meant.
        """
        _refuse_unknown(unknown, GcdMetric.compute.__kwdefaults__ or ())
        asked = (thresholds, unit, earth_radius, method, missing)
        options = make_options(self.config_name, *asked)
        given = predictions is not None or references is not None
        if given and self.num_process == 1 and self.writer is None:
            return _report(*pair(predictions, references, _SIDES), options, return_distances)
        if given:
            self.add_batch(predictions=predictions, references=references)
        elif self.num_process == 1 and self.writer is None:
            raise ValueError("nothing to score: pass predictions and references, or add some")
        try:
            result = super().compute(options=options, return_distances=return_distances)
        except BaseException:
            self._discard()
            raise
        self.filelocks = self.file_paths = None  # released and deleted by now
        self._coarse = {}
        return result

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add rows to be scored later; nothing is added if one of them is bad."""
        rows = self._checked(predictions, references)
        if rows["predictions"]:
            self._guarded(super().add_batch, **rows)

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
        rows = self._checked([prediction], [reference])
        row = {"prediction": rows["predictions"][0], "reference": rows["references"][0]}
        self._guarded(super().add, **row)

    def _checked(self, predictions: Any, references: Any) -> dict[str, list[Any]]:
        """Pair and check rows to be added; as lists, since the writer is slower with arrays."""
        sides = pair(predictions, references, _SIDES)
        if not any(len(side.degrees) for side in sides):
            return {name: [] for name in _SIDES}
        checked = examine(*sides, "miss")
        for note in checked.notes:
            warnings.warn(note, stacklevel=3)
        for name, side in zip(_SIDES, sides, strict=True):
            if is_coarse(side):  # the files of evaluate do not keep the type
                self._coarse[name] = side._replace(degrees=np.empty((0, 2)), ids={})
        return {
            "predictions": checked.predictions.tolist(),
            "references": checked.references.tolist(),
        }

    def _guarded(self, write: Any, **rows: list[Any]) -> None:
        try:
            write(**rows)
        except BaseException:
            self._discard()
            raise

    def _compute(
        self, predictions: Any, references: Any, options: Options, return_distances: bool
    ) -> dict[str, Any]:
        sides = pair(predictions, references, _SIDES)
        known = {
            name: self._coarse.get(name, side)._replace(degrees=side.degrees)
            for name, side in zip(_SIDES, sides, strict=True)
        }
        return _report(known["predictions"], known["references"], options, return_distances)

    def _discard(self) -> None:
        """Drop what was added, with its files and locks, so that the object can start anew."""
        writer, self.writer, self.buf_writer, self.data = self.writer, None, None, None
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.close()
        locks = [*(self.filelocks or ()), self.filelock]
        paths = [*(self.file_paths or ()), self.cache_file_name]
        for lock, path in zip(locks, paths, strict=True):
            if lock is not None and lock.is_locked:
                with contextlib.suppress(OSError):
                    os.remove(path)
                lock.release()
        if self.rendez_vous_lock is not None:
            self.rendez_vous_lock.release()
        self.filelock = self.filelocks = self.file_paths = self.cache_file_name = None
        self.rendez_vous_lock = self.selected_feature_format = None
        self._coarse = {}


def _refuse_unknown(unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in unknown:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]}=?" if close else f"there are {listed(known)}"
        raise TypeError(f"compute has no option {name!r}; {hint}")


def _report(
    predictions: Given, references: Given, options: Options, return_distances: bool
) -> dict[str, Any]:
    result, measured = score_pairs(predictions, references, options)
    if return_distances:
        result[f"distances_{options.unit}"] = measured.tolist()  # evaluate.save writes JSON
    return result
