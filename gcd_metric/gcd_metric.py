"""Great-circle distance metric for image geolocation: its description, arguments and features.

The loader of the Hub copies the files that this file imports relatively, but not the files that
those import. So this file imports every module that it needs indirectly.
"""

from __future__ import annotations

from typing import Any

import evaluate

from .checks import examine
from .columns import find_pair
from .coordinates import read
from .distances import geodesic, haversine
from .figures import score
from .groups import labels_of
from .intervals import wilson_interval
from .matching import match_ids
from .names import listed
from .options import CONFIGURATIONS, Options, get_configuration, make_options, refuse_unknown
from .pair_metric import PairMetric

__all__ = ["CONFIGURATIONS", "GcdMetric", "geodesic", "haversine", "wilson_interval"]

_DESCRIPTION = """\
Scores image geolocation: the share of predictions within a great-circle distance of the truth, \
the mean and median error, and the GeoScore, each with a 95 % confidence interval. The intervals \
account for groups of photos, such as those of one photographer.
"""

_INPUTS = """
Args:
    predictions: n pairs (latitude, longitude) in decimal degrees: a list, an array or tensor of
        shape (n, 2), a data frame, or rows with `latitude` and `longitude`.
    references: the true coordinates, in the same forms. Rows are paired by id if both sides have
        ids (a column `image_id`, `id`, `filename`, ...), otherwise by position.
    thresholds: distances in `unit` at which to count hits. Default: the configuration's.
    unit: "km" or "m". Default: the configuration's.
    earth_radius: radius of the sphere, always in kilometres. Default: the configuration's.
    method: "haversine" on the sphere, or "geodesic" on the WGS 84 ellipsoid (needs pyproj).
    missing: "error", or "miss" to count a prediction of None or NaN as wrong at every threshold.
    strict: count a distance that equals the threshold as a miss. Default: as a hit.
    groups: one label for each pair, in the order of the references; the name of a column of the
        references; or "place:500m" for cells of that size in which the true places lie. Photos
        with the same label, such as photos of one photographer, are hit or missed together, so
        the intervals become wider. A pair without a label (None) is a group of its own. Without
        groups, the pairs are taken as independent.
    return_distances: also return the distance of each pair.

Returns:
    `acc@200km` … (fractions 0 to 1), `mean_km`, `median_km`, `geoscore` (0 to 5000), each with its
    interval as `acc@200km_ci95` … (low, high), and `n`; with metres `acc@40m` …, `mean_m`,
    `median_m`; with missing="miss" `n_missing`, and the shares of the answered pairs alone as
    `acc@200km_answered` …; with groups `n_groups`, and for each threshold the
    number of independent photos that would have the same variance, `acc@200km_n_effective` …; with
    return_distances `distances_km` or `distances_m`, a list in the order of the references.

Examples:
    >>> import evaluate
    >>> metric = evaluate.load("gcd_metric")
    >>> result = metric.compute(predictions=[[48.86, 2.35]], references=[[51.51, -0.13]])
    >>> round(result["median_km"], 1), result["acc@200km"], result["acc@750km"]
    (343.5, 0.0, 1.0)
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class GcdMetric(PairMetric):
    """Great-circle distance metric for image geolocation.

    Parameters
    ----------
    config_name : {"standard", "im2gps", "justzoomin"}
        Thresholds, unit and radius: 1, 25, 200, 750, 2500 km; 200, 750, 2500 km; both with
        R = 6371 km; or 40, 50, 100 m with R = 6378.137 km.
    **kwargs
        The arguments of any `evaluate.Metric`.
    """

    texts = _DESCRIPTION, _INPUTS

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        config_name = config_name or "standard"
        get_configuration(config_name)
        super().__init__(config_name, **kwargs)

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
        strict: bool = False,
        groups: Any = None,
        return_distances: bool = False,
        **unknown: Any,
    ) -> dict[str, Any] | None:
        """Score predictions that are given here or were added before.

        Added rows are kept until a `compute` succeeds. An unknown option is a TypeError that
        suggests a known one.
        """
        refuse_unknown(unknown, GcdMetric.compute.__kwdefaults__)
        asked = (thresholds, unit, earth_radius, method, missing, strict)
        options = make_options(self.config_name, *asked)
        settings = {"options": options, "return_distances": return_distances}
        settings["groups"] = labels_of(groups, references)
        return self._score(predictions, references, **settings)

    def _compute(
        self,
        predictions: Any,
        references: Any,
        options: Options,
        groups: Any,
        return_distances: bool,
    ) -> dict[str, Any]:
        result, measured = score(predictions, references, options, groups, stacklevel=4)
        if return_distances:
            result[f"distances_{options.unit}"] = measured.tolist()  # for evaluate.save, as JSON
        return result
