"""The metric as a `torchmetrics.Metric`, for training loops on one device or several processes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from .checks import examine
from .distances import measure
from .figures import SIDES, summarise
from .groups import factorize, make_groups
from .matching import pair
from .options import make_options

try:
    import torch
    import torchmetrics
except ImportError as error:
    raise ImportError(
        f"{error.name} is missing; install it with pip install 'im2gps-justzoomin[torchmetrics]'"
    ) from None


_NO_LABEL = -1


class GeolocationAccuracy(torchmetrics.Metric):
    """Accuracies within great-circle distances, the mean and median error, and the GeoScore.

    The figures are those of `evaluate.load("gcd_metric")`. The metric keeps the distance of each
    pair, so processes may have different numbers of pairs, and the median is exact. Pairs that a
    distributed sampler repeats to make batches equal are counted as often as they are added.

    Parameters
    ----------
    config_name : {"standard", "im2gps", "justzoomin"}
        Thresholds, unit and radius, as in the metric.
    thresholds, unit, earth_radius, method, missing, strict
        As in the metric.
    **kwargs
        The arguments of any `torchmetrics.Metric`, such as `sync_on_compute`.

    Examples
    --------
    >>> import torch
    >>> from gcd_metric.torch import GeolocationAccuracy
    >>> accuracy = GeolocationAccuracy()
    >>> accuracy.update(torch.tensor([[48.86, 2.35]]), torch.tensor([[48.85, 2.29]]))
    >>> accuracy.compute()["acc@25km"]
    1.0
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    distances: list[torch.Tensor]
    labels: list[torch.Tensor]

    def __init__(
        self,
        config_name: str = "standard",
        *,
        thresholds: Any = None,
        unit: str | None = None,
        earth_radius: float | None = None,
        method: str = "haversine",
        missing: str = "error",
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        asked = (thresholds, unit, earth_radius, method, missing, strict)
        self.options = make_options(config_name, *asked)
        self._has_warned = False
        self.add_state("distances", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(
        self, predictions: Any, references: Any, groups: Iterable[Any] | None = None
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        predictions, references : tensor of shape (n, 2)
            Latitude and longitude in degrees, of any type and on any device, or any other form that
            the metric accepts. Missing predictions are NaN or None.
        groups : iterable of length n, optional
            One label for each pair, such as its photographer: texts or numbers. A pair without a
            label (None) is a group of its own. Either all batches have labels, or none.

        Raises
        ------
        ValueError
            For bad coordinates, or if only some batches have labels.
        """
        options = self.options
        checked = examine(*pair(predictions, references, SIDES), options.missing, options.finest_km)
        if checked.notes and not self._has_warned:  # once, not in every batch
            self._has_warned = True
            warnings.warn("; ".join(checked.notes), stacklevel=2)
        measured = measure(checked.predictions, checked.references, options)
        if self.distances and (groups is None) == bool(self.labels):
            raise ValueError("groups: give labels for all batches, or for none")
        if groups is not None:
            codes, found = factorize(groups, len(measured), "groups")
            numbers = np.array([*map(_number, found.tolist()), _NO_LABEL])[codes]
            self.labels.append(torch.from_numpy(numbers).to(self.device))
        # Apple's GPUs have no float64
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        self.distances.append(torch.from_numpy(measured).to(self.device, kind))

    def compute(self) -> dict[str, Any]:
        """Compute every figure, as `GcdMetric.compute` returns them, of all processes together."""
        measured = _joined(self.distances).astype(np.float64)
        if not measured.size:
            raise ValueError("nothing to score: call update first")
        labels = pd.Series(_joined(self.labels))
        labels = labels.astype("Int64").mask(labels == _NO_LABEL)
        groups = make_groups(labels, np.empty((len(measured), 2))) if labels.size else None
        return summarise(measured, self.options, groups)


def _joined(parts: Any) -> np.ndarray:
    """All batches as one array; after a synchronization they are one tensor already."""
    if isinstance(parts, list):
        parts = torch.cat(parts) if parts else torch.empty(0)
    array: np.ndarray = parts.cpu().numpy()
    return array


def _number(label: Any) -> int:
    """A number for a label that is the same in every process."""
    if isinstance(label, float) and label.is_integer():  # a missing label makes floats of integers
        label = int(label)
    digest = hashlib.blake2b(f"{type(label).__name__}:{label!r}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
