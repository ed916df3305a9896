"""A model's guesses for the photos of a game, which a visitor plays against."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gcd_metric.matching import match_ids
from gcd_metric.tables import read_coordinates

BASELINE = "nearest-neighbour.jsonl"
_SIDE = 16  # pixels of the pictures that the baseline compares


class Rival(NamedTuple):
    """A model: its name, and its guesses for the photos of a split, shape (n, 2), or NaN."""

    name: str
    guesses: np.ndarray


def read_rival(path: str | Path, ids: Iterable[str]) -> Rival:
    """Read a file of predictions, as `geoeval` writes it, for photos with these ids.

    A file called predictions is named after its folder. ValueError if it has no guess for them.
    """
    path, ids = Path(path), list(ids)
    table = read_coordinates(path, of="predictions", allow_missing="any")
    match = match_ids(ids, table["image_id"].tolist())
    if not len(match.left):
        raise ValueError(f"{path}: no prediction for any of the {len(ids):,} photos")
    guesses = np.full((len(ids), 2), np.nan)
    guesses[match.left] = table[["latitude", "longitude"]].to_numpy()[match.right]
    name = path.parent.name if path.stem == "predictions" else path.stem
    return Rival(name.replace("-", " ").replace("_", " "), guesses)


def write_baseline(path: Path, train: Iterable[Any], test: Iterable[Any]) -> None:
    """Write guesses for the rows of `test`: the place of the most similar photo in `train`."""
    rows = [(_tiny(row["image"]), row["latitude"], row["longitude"]) for row in train]
    known = np.array([look for look, *_ in rows])
    with open(path, "w", encoding="utf-8") as file:
        for row in test:
            nearest = np.square(known - _tiny(row["image"])).sum(axis=1).argmin()
            _, latitude, longitude = rows[nearest]
            guess = {"image_id": row["image_id"], "latitude": latitude, "longitude": longitude}
            file.write(json.dumps(guess) + "\n")


def _tiny(image: Any) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE)), np.float32).ravel()
