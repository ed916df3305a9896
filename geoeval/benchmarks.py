"""The benchmarks: photos, ids, the truth, and how it is scored."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoload.files import atomic_write, local_path

OWN = "photos"  # the benchmark of one's own photos


@dataclass
class Benchmark:
    """The photos of a benchmark, and where each was taken."""

    name: str
    photos: Any  # a `datasets.Dataset` whose column `image` is not decoded
    ids: list[str]
    truth: list[tuple[float, float]] | None  # latitude, longitude in degrees
    revision: str  # of the data set

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scoring(self) -> list[str]:
        """Options of `gcd-metric` for this benchmark."""
        return [] if self.name == OWN else ["--benchmark", self.name]

    def part(self, rows: Sequence[int]) -> Benchmark:
        """Return the photos with these numbers."""
        truth = self.truth and [self.truth[row] for row in rows]
        ids = [self.ids[row] for row in rows]
        return Benchmark(self.name, self.photos.select(rows), ids, truth, self.revision)

    def digest(self) -> str:
        """Return a SHA-256 of the ids and the truth, which is that of the same files anywhere."""
        content = repr([self.ids, self.truth]).encode()
        return hashlib.sha256(content).hexdigest()

    def write_truth(self, path: str | Path) -> None:
        """Write the truth as a table that `gcd-metric --references` reads."""
        with atomic_write(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["image_id", "latitude", "longitude"])
            for name, place in zip(self.ids, self.truth or (), strict=True):
                writer.writerow([name, *place])


def names() -> list[str]:
    """Return the names of all benchmarks."""
    from im2gps.metadata import NAME
    from im2gps.options import CONFIGS

    return [*(config.name for config in CONFIGS if config.name != NAME), "justzoomin"]


def open_benchmark(
    name: str, data_dir: str | None = None, coordinates: str | None = None
) -> Benchmark:
    """Open the test split of a benchmark; `coordinates` is the table of one's own photos."""
    import datasets

    if name not in names():
        raise ValueError(f"--benchmark {name}: the benchmarks are {', '.join(names())}")
    if name == "justzoomin":
        import justzoomin
        from justzoomin.source import REVISION

        rows = justzoomin.photos("validation", data_dir=data_dir)
        revision = REVISION if data_dir is None else rows.info.config_name
    elif name == OWN and data_dir and coordinates is None and not _has_table(data_dir):
        return _bare(data_dir)
    else:
        import im2gps  # noqa: F401  registers the name

        options = {"data_dir": data_dir, "coordinates": coordinates, "splits": ["test"]}
        rows = datasets.load_dataset("im2gps", name, split="test", **options)
        revision = str(rows.info.version)
    rows = rows.cast_column("image", datasets.Image(decode=False))
    table = rows.select_columns(["image_id", "latitude", "longitude"])[:]
    truth = list(zip(table["latitude"], table["longitude"], strict=True))
    return Benchmark(name, rows.select_columns(["image"]), table["image_id"], truth, revision)


def _has_table(folder: str) -> bool:
    where = local_path(folder)
    endings = (".csv", ".parquet")
    return os.path.isfile(where) or any(n.lower().endswith(endings) for n in os.listdir(where))


def _bare(folder: str) -> Benchmark:
    """A folder of photos without a table: there is nothing to score."""
    import datasets

    from im2gps.packs import folder_photos

    folder = local_path(folder)
    paths = folder_photos(folder)
    if not paths:
        raise ValueError(f"{folder} contains no photos: only .jpg and .jpeg files count")
    kind = datasets.Features({"image": datasets.Image(decode=False)})
    column = {"image": [{"path": str(path), "bytes": None} for path in paths]}
    ids = [path.relative_to(folder).as_posix() for path in paths]
    return Benchmark(OWN, datasets.Dataset.from_dict(column, kind), ids, None, "")
