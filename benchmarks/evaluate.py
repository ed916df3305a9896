"""Measures a whole run of `geoeval` against the loops that users write.

Pictures have the size and the spectrum of real ones, and the model is so small that decoding
dominates. It gets photos of 224 pixels.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

import im2gps  # noqa: F401  registers the name
from benchmarks.files import natural
from benchmarks.timing import QUICK, compare

PHOTOS = 40 if QUICK else 400
DISTINCT = 20
SIZE = 224
BATCH = 32


class Tiny:
    """A linear model of the photo at 8 x 8 pixels."""

    image_size = SIZE

    def __init__(self) -> None:
        self.weights = np.random.default_rng(0).normal(0, 0.1, (8 * 8 * 3, 2))

    def predict(self, photos: list[Image.Image]) -> np.ndarray:
        small = [np.asarray(photo.resize((8, 8)), np.float64).ravel() / 255 for photo in photos]
        return np.stack(small) @ self.weights


def main() -> None:
    """Write photos with a table of coordinates, and print the comparison."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        print("Evaluation: torch is not installed here.")
        return
    from geoeval import runner
    from geoeval.benchmarks import open_benchmark
    from geoeval.records import Predictions, batches_of
    from geoload.models import loading

    datasets.disable_progress_bars()
    model = Tiny()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        benchmark = open_benchmark("photos", folder)
        rows = datasets.load_dataset("im2gps", "photos", data_dir=folder, split="test")

        def records(photos: list[Image.Image]) -> list[dict[str, Any]]:
            return loading.records(model.predict(photos), len(photos), "tiny")

        loaded = loading.Model("tiny", model, records, loading.ModelOptions())
        numbers = itertools.count()

        def ours() -> None:
            batches = batches_of(len(benchmark), BATCH)
            path = Path(folder, f"{next(numbers)}.jsonl")
            predictions = Predictions(path, benchmark.ids, batches)
            runner.run(loaded, benchmark, predictions, batches, runner.How())

        def plain() -> None:
            for start in range(0, PHOTOS, BATCH):
                batch = rows[start : start + BATCH]["image"]
                model.predict([pillow(photo) for photo in batch])

        def workers() -> None:
            small = Photos(rows)
            for batch in DataLoader(small, BATCH, collate_fn=list, num_workers=2):
                model.predict(batch)

        compare(
            f"{PHOTOS} photos of 1024 x 768 to predictions, decoded at {SIZE} pixels",
            ours,
            {"plain loop": plain, "Pillow in 2 workers": workers},
            warm_up=False,
        )


class Photos:
    """A map-style data set of photos that Pillow resizes."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Image.Image:
        return pillow(self.rows[number]["image"])


def pillow(photo: Image.Image) -> Image.Image:
    return photo.convert("RGB").resize((SIZE * 1024 // 768, SIZE))


def write(folder: Path) -> None:
    """Write the same few pictures under many names, and a table of coordinates."""
    rng = np.random.default_rng(0)
    pictures = [natural(rng, 1024, 768, quality=85) for _ in range(DISTINCT)]
    lines = ["image_id,latitude,longitude"]
    for number in range(PHOTOS):
        name = f"{number:05d}.jpg"
        (folder / name).write_bytes(pictures[number % DISTINCT])
        lines.append(f"{name},{rng.uniform(-60, 60)},{rng.uniform(-180, 180)}")
    (folder / "places.csv").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
