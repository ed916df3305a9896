"""Base class of both metrics: `add`, `add_batch` and the description for `evaluate`."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from .checks import examine, number_digits
from .coordinates import Coordinates
from .figures import SIDES
from .matching import pair

_CITATION = """\
@inproceedings{hays2008im2gps,
  author = {Hays, James and Efros, Alexei A.},
  title = {{IM2GPS}: estimating geographic information from a single image},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2008}
}
"""

Pair = tuple[Coordinates, Coordinates]


class PairMetric(evaluate.Metric, abc.ABC):  # type: ignore[misc]  # evaluate has no types
    """A metric that compares predicted with true coordinates.

    Rows that were added are kept in memory until a `compute` succeeds.
    """

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(config_name=config_name, **kwargs)
        self._added: list[Pair] = []

    def __len__(self) -> int:
        return sum(len(predictions.degrees) for predictions, _ in self._added)

    def _info(self) -> evaluate.MetricInfo:
        pair = datasets.Sequence(datasets.Value("float64"))
        description, inputs = self.texts
        return evaluate.MetricInfo(
            description=description,
            citation=_CITATION,
            inputs_description=inputs,
            features=datasets.Features({"predictions": pair, "references": pair}),
            reference_urls=["http://graphics.cs.cmu.edu/projects/im2gps/"],
        )

    @property
    @abc.abstractmethod
    def texts(self) -> tuple[str, str]:
        """The description of the metric, and that of its inputs."""

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add rows to be scored later; nothing is added if one of them is bad."""
        rows = self._checked(predictions, references)
        if not len(rows[0].degrees):
            return
        if self.num_process == 1:
            self._added.append(rows)
        else:  # process 0 reads the rows of all processes from the files of evaluate
            super().add_batch(**{k: v.degrees.tolist() for k, v in zip(SIDES, rows, strict=True)})

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        predictions: Any = None,
        references: Any = None,
    ) -> None:
        """Add one row to be scored later; a prediction of None is a missing one.

        `predictions` and `references` are the names that `evaluate.combine` uses.
        """
        prediction = predictions if prediction is None else prediction
        reference = references if reference is None else reference
        self.add_batch(predictions=[prediction], references=[reference])

    def _checked(self, predictions: Any, references: Any) -> Pair:
        """Read, pair and check rows; predictions may be missing."""
        rows = pair(predictions, references, SIDES)
        if not any(len(side.degrees) for side in rows):
            return rows
        checked = examine(*rows)
        for note in checked.notes:
            warnings.warn(note, stacklevel=3)
        left, right = rows
        return (
            left._replace(degrees=checked.predictions, ids={}),
            right._replace(degrees=checked.references, ids={}),
        )

    def _score(self, predictions: Any, references: Any, **settings: Any) -> dict[str, Any] | None:
        """Compute from the rows added before and those given now; `settings` go to `_compute`."""
        result: dict[str, Any] | None
        if self.num_process > 1:
            result = super().compute(predictions=predictions, references=references, **settings)
            return result
        rows = list(self._added)
        if predictions is not None or references is not None:
            sides = predictions, references
            rows.append(self._checked(*sides) if rows else pair(*sides, SIDES))
        if not rows:
            raise ValueError("nothing to score: pass predictions and references, or add some")
        joined = (_joined(side) for side in zip(*rows, strict=True))
        result = self._compute(*joined, **settings)
        self._added = []
        return result


def _joined(batches: Sequence[Coordinates]) -> Coordinates:
    """All rows, with the coarsest type of any batch; they are paired, so ids are dropped."""
    if len(batches) == 1:
        return batches[0]._replace(ids={})
    coarsest = min(batches, key=number_digits)
    return coarsest._replace(degrees=np.concatenate([one.degrees for one in batches]), ids={})
