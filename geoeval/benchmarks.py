"""The benchmarks: photos, their ids, and the truth."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from geoload.files import local_path
from geoload.models.photos import photo_of
from geoload.pictures import Resize

OWN = "photos"  # the benchmark of one's own photos
OSV5M_COLUMNS = ["country", "land_cover", "climate", "drive_side"]
_COLUMNS = ["image_id", "latitude", "longitude"]
_SEQUENCE = "sequence"


@dataclass
class Benchmark:
    """The photos of a benchmark, and where each was taken."""

    name: str
    photos: Any  # a `datasets.Dataset` whose column `image` is not decoded
    ids: list[str]
    truth: list[tuple[float, float]] | None  # latitude, longitude in degrees, if known
    revision: str | None = None  # of the data set on the Hub
    sequences: list[list[int]] | None = None  # zoom actions, of justzoomin
    # Photographers and scenes, where the table has them: for `gcd-metric --by` and groups.
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def photo(self, number: int, resize: Resize) -> Image.Image:
        """Return a photo as models get it: RGB, upright, and without metadata."""
        return photo_of(self.photos[number]["image"], resize)

    def part(self, rows: Sequence[int]) -> Benchmark:
        """Return the photos with these numbers."""
        truth = self.truth and [self.truth[row] for row in rows]
        sequences = self.sequences and [self.sequences[row] for row in rows]
        ids, photos = [self.ids[row] for row in rows], self.photos.select(rows)
        columns = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        return Benchmark(self.name, photos, ids, truth, self.revision, sequences, columns)

    def table(self) -> bytes:
        """Return a CSV file of the ids and the truth, which `gcd-metric --references` reads."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        names = _COLUMNS if self.truth else _COLUMNS[:1]
        writer.writerow([*names, *[_SEQUENCE] * bool(self.sequences), *self.columns])
        for row, name in enumerate(self.ids):
            place = self.truth[row] if self.truth else ()
            cells = [column[row] for column in self.columns.values()]
            writer.writerow([name, *place, *(self.sequences or ())[row : row + 1], *cells])
        return file.getvalue().encode()


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

    from im2gps.sets import SETS, TRUTH_COLUMNS, fetch_by_hand

    if name not in names():
        raise ValueError(f"--benchmark {name}: the benchmarks are {', '.join(names())}")
    revision = None
    if name == "justzoomin":
        import justzoomin
        from justzoomin.source import REVISION

        rows = justzoomin.photos("validation", data_dir=data_dir)
        revision = None if data_dir else REVISION
    elif name == OWN and data_dir and coordinates is None and not _has_table(data_dir):
        return _bare(local_path(data_dir))
    else:
        columns = OSV5M_COLUMNS if name == "osv5m" else bool(SETS[name].table)
        options = {"data_dir": data_dir, "coordinates": coordinates, "columns": columns}
        rows = datasets.load_dataset("im2gps", name, split="test", splits=["test"], **options)
    if not len(rows):
        raise ValueError(f"{data_dir} contains no photos of {name}")
    rows = rows.cast_column("image", datasets.Image(decode=False))
    if rows[0]["image"] is None:
        raise ValueError(f"{data_dir} contains no photos: {fetch_by_hand(name)}")
    table = rows.remove_columns("image")[:]
    truth = list(zip(table["latitude"], table["longitude"], strict=True))
    photos, sequences = rows.select_columns(["image"]), table.get(_SEQUENCE)
    others = {key: table[key] for key in (*TRUTH_COLUMNS, *OSV5M_COLUMNS) if key in table}
    return Benchmark(name, photos, table["image_id"], truth, revision, sequences, others)


def _has_table(folder: str) -> bool:
    where = local_path(folder)
    endings = (".csv", ".parquet")
    return os.path.isfile(where) or any(n.lower().endswith(endings) for n in os.listdir(where))


def _bare(folder: str) -> Benchmark:
    """A folder of photos without a table: there is nothing to score."""
    import datasets

    from im2gps.packs import folder_photos

    paths = folder_photos(folder)
    if not paths:
        raise ValueError(f"{folder} contains no photos: only .jpg and .jpeg files count")
    features = datasets.Features({"image": datasets.Image(decode=False)})
    column = {"image": [{"path": str(path), "bytes": None} for path in paths]}
    ids = [path.relative_to(folder).as_posix() for path in paths]
    return Benchmark(OWN, datasets.Dataset.from_dict(column, features), ids, None)
