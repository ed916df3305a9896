"""Measures how near validation photos are to training photos, from the tables alone.

A model that finds the nearest training photo and copies its answer has learned nothing about other
streets. What it would score is a baseline for scores on this split.
"""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_metric.groups import JUSTZOOMIN
from geoload.files import atomic_write, explain_disk_errors
from justzoomin.scores import Scores, score
from justzoomin.source import Source
from justzoomin.splits import nearest, places_of, read_tables

DISTANCES_M = (5, 10, 25, 50, 100)
WITHIN_M = 25.0
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ADVICE = "Give another path."


@dataclass(frozen=True)
class Audit:
    """The nearest training photo of each of n validation photos."""

    split_by: str
    n_train: int
    image_id: list[str]
    nearest_id: list[str]
    metres: np.ndarray  # shape (n,)
    coordinates: Scores  # of a model that answers the coordinates of that training photo
    cells: Scores  # of a model that answers its zoom actions

    def within(self) -> dict[int, float]:
        """Return the share of validation photos with a training photo within each distance."""
        return {metres: float(np.mean(self.metres <= metres)) for metres in DISTANCES_M}

    def quantiles(self) -> dict[str, float]:
        """Return quantiles of the distances in metres, such as `50%`, the median."""
        values = np.quantile(self.metres, _QUANTILES).tolist()
        return {f"{share:.0%}": value for share, value in zip(_QUANTILES, values, strict=True)}

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "split_by": self.split_by,
            "n_train": self.n_train,
            "n_validation": len(self.image_id),
            "distance_to_nearest_m": self.quantiles(),
            "share_within_m": {str(metres): share for metres, share in self.within().items()},
            "nearest_photo": self.coordinates,
            "cell_of_nearest_photo": self.cells,
        }

    def __str__(self) -> str:
        found = self.quantiles()
        shares = ", ".join(f"{metres} m: {share:.1%}" for metres, share in self.within().items())
        return (
            f"{len(self.image_id):,} validation and {self.n_train:,} training photos, "
            f"split by {self.split_by}\n"
            f"Distance to the nearest training photo: median {found['50%']:,.1f} m, "
            f"5 % below {found['5%']:,.1f} m, 5 % above {found['95%']:,.1f} m\n"
            f"Validation photos with a training photo within {shares}\n\n"
            f"If a model answers the coordinates of that photo:\n{self.coordinates}\n\n"
            f"If it answers the zoom actions of that photo:\n{self.cells}"
        )

    def write_pairs(self, path: str | os.PathLike[str], within_m: float = WITHIN_M) -> int:
        """Write the pairs up to a distance as CSV, nearest first, and return their number."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["image_id", "train_image_id", "metres"])
        order = np.argsort(self.metres, kind="stable")
        near = order[self.metres[order] <= within_m].tolist()
        for row in near:
            rows.writerow([self.image_id[row], self.nearest_id[row], f"{self.metres[row]:.2f}"])
        with explain_disk_errors(path, _ADVICE), atomic_write(Path(path)) as file:
            file.write(text.getvalue().encode())
        return len(near)


def audit(source: Source) -> Audit:
    """Find the nearest training photo of each validation photo, and score its answers.

    Raises
    ------
    ValueError
        If a split has no photos.
    """
    validation, train = read_tables(source, "validation")[0], read_tables(source, "train")[0]
    if not len(validation) or not len(train):
        empty = "train" if len(validation) else "validation"
        raise ValueError(f"{source.name}, split by {source.split_by}: split {empty} has no photos")
    places = places_of(train)
    rows, metres = nearest(places_of(validation), places)
    return Audit(
        source.split_by,
        len(train),
        validation.image_id,
        [train.image_id[row] for row in rows.tolist()],
        metres,
        *(
            score(answers[rows], validation.columns(), kind, validation.image_id, groups=JUSTZOOMIN)
            for kind, answers in (("coordinates", places), ("sequences", np.array(train.sequence)))
        ),
    )


def draw(found: Audit, path: str | os.PathLike[str]) -> None:
    """Draw the share of validation photos by distance to the nearest training photo."""
    from gcd_metric.report import new_figure  # takes longer than all other imports

    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"{path}: a figure is a .png, .svg or .pdf file")
    figure = new_figure("A figure", 7, 4)
    axes = figure.subplots()
    metres = np.sort(found.metres)
    axes.step(metres, np.arange(1, len(metres) + 1) / len(metres), where="post")
    axes.set_xscale("log")
    axes.set_xticks([0.1, 1, *DISTANCES_M, 250, 500, 1000], minor=False)
    axes.set_xticks([], minor=True)
    axes.grid(color="lightgrey")
    axes.set(
        title=f"{len(metres):,} validation and {found.n_train:,} training photos, "
        f"split by {found.split_by}",
        xlabel="distance to the nearest training photo (m)",
        ylabel="share of validation photos",
        xlim=(0.1, 1000),
        ylim=(0, 1.02),
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    with explain_disk_errors(path, _ADVICE), atomic_write(Path(path)) as file:
        figure.savefig(file, format=suffix[1:], dpi=150)
