"""The main job, offline, on miniatures: load both benchmarks, predict, score, draw.

The predictor is the simplest that the 2008 paper tries: each photo gets the coordinates of the
training photo that looks most like it at 16 × 16 pixels. The photos are synthetic, so its figures
say nothing about any method.

    python examples/demo.py demo
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import datasets
import evaluate
import numpy as np
from datasets import load_dataset
from tqdm import tqdm

import gcd_metric.cli
import im2gps.sample
import justzoomin.sample

MARK = "SYNTHETIC"


def main() -> None:
    """Run the demo in the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    datasets.disable_progress_bars()

    packs, zoom = str(folder / "im2gps"), str(folder / "justzoomin")
    im2gps.sample.write_sample(packs)
    justzoomin.sample.write_sample(zoom)
    print(f"Wrote synthetic copies of both benchmarks, in the original layouts, to {folder}/")
    print("They are smaller than the published data, so messages about their size are expected.\n")

    # Prepared: rows in a table on disk, read once and kept.
    train = load_dataset("im2gps", "random_2k", data_dir=packs, split="test")
    test = load_dataset("im2gps", data_dir=packs, split="test")
    print(f"im2gps: {len(test)} test photos, {len(train)} training photos")
    score(folder, "im2gps", packs, test, predict(train, test))

    # Streamed: straight from the TAR shards, joined with the labels on the way.
    train = list(load_dataset("justzoomin", data_dir=zoom, split="train", streaming=True))
    test = list(load_dataset("justzoomin", data_dir=zoom, split="validation", streaming=True))
    print(f"justzoomin: {len(test)} validation photos, {len(train)} training photos")
    predictions = predict(train, test)
    score(folder, "justzoomin", zoom, test, predictions)

    metric = evaluate.load("gcd_metric", "justzoomin")
    references = [(row["latitude"], row["longitude"]) for row in test]
    result = metric.compute(predictions=predictions, references=references)
    print(f'evaluate.load("gcd_metric", "justzoomin") gives the same median: '
          f"{result['median_m']:.0f} m, {MARK}")  # fmt: skip


def predict(train, test) -> np.ndarray:
    """Give each test row the coordinates of the nearest training row; shape (n, 2)."""
    known = np.array(
        [tiny(row["image"]) for row in tqdm(train, desc="training", delay=2, disable=None)]
    )
    places = np.array([(row["latitude"], row["longitude"]) for row in train])
    looks = np.array([tiny(row["image"]) for row in tqdm(test, desc="test", delay=2, disable=None)])
    nearest = [np.argmin(np.square(known - look).sum(1)) for look in looks]
    return places[nearest]


def tiny(image) -> np.ndarray:
    """Shrink a photo to 16 × 16 pixels of three colours, as one vector."""
    return np.asarray(image.convert("RGB").resize((16, 16)), np.float32).ravel()


def score(folder: Path, name: str, data_dir: str, test, predictions: np.ndarray) -> None:
    """Write predictions as a file and score it as the command line does."""
    path = folder / f"{MARK}-{name}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "latitude", "longitude"])
        for row, (latitude, longitude) in zip(test, predictions, strict=True):
            writer.writerow([row["image_id"], latitude, longitude])
    picture = path.with_suffix(".png")
    command = [str(path), "--references", name, "--data-dir", data_dir, "--report", str(picture)]
    print(f"\n{MARK}: gcd-metric {' '.join(command)}\n")
    gcd_metric.cli.main(command)
    print(f"\nThe report is {picture}. For a page with the worst errors, use --report x.html.\n")


if __name__ == "__main__":
    main()
