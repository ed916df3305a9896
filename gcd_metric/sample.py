"""Writes a small synthetic data set: places on coasts, and predictions of two made-up models."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from .plot_data import coastlines

NAMES = ("SYNTHETIC-truth.csv", "SYNTHETIC-model-a.csv", "SYNTHETIC-model-b.csv")
_ERRORS_KM = (8.0, 300.0)  # typical errors for an easy and a hard photo
_RADIUS_KM = 6371.0


def write_sample(folder: str | Path, count: int = 300, seed: int = 6) -> tuple[Path, ...]:
    """Write the CSV files `NAMES` of truth and two models, the second one worse, to a folder.

    The same seed gives the same `count` photos.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    shores = np.concatenate(coastlines())[:, ::-1]
    shores = shores[shores[:, 0] > -60]
    truth = random.choice(shores, count, replace=False)
    # the same photos are hard for both models
    hard = random.choice(3, count, p=(0.5, 0.35, 0.15))
    paths = tuple(folder / name for name in NAMES)
    _write(paths[0], truth)
    for path, worse in zip(paths[1:], (1.0, 2.0), strict=True):
        spread = np.array([*_ERRORS_KM, 0.0])[hard] * worse
        guess = _moved(truth, random.lognormal(np.log(np.maximum(spread, 1e-3)), 1.2), random)
        lost = (hard == 2) | (random.random(count) < 0.05 * worse)
        guess[lost] = random.choice(shores, int(lost.sum()))
        _write(path, guess)
    return paths


def _moved(places: np.ndarray, distance_km: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each place moved by a distance, in a random direction along a great circle."""
    latitude, longitude = np.radians(places).T
    angle = np.minimum(distance_km / _RADIUS_KM, np.pi)
    bearing = random.uniform(0, 2 * np.pi, len(places))
    sine = np.sin(latitude) * np.cos(angle) + np.cos(latitude) * np.sin(angle) * np.cos(bearing)
    east = np.sin(bearing) * np.sin(angle) * np.cos(latitude)
    turned = longitude + np.arctan2(east, np.cos(angle) - np.sin(latitude) * sine)
    latitude, longitude = np.arcsin(np.clip(sine, -1, 1)), (turned + np.pi) % (2 * np.pi) - np.pi
    moved: np.ndarray = np.degrees(np.column_stack([latitude, longitude]))
    return moved


def _write(path: Path, places: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image_id", "latitude", "longitude"])
        for index, (latitude, longitude) in enumerate(places):
            table.writerow([f"synthetic_{index:03}.jpg", f"{latitude:.5f}", f"{longitude:.5f}"])
