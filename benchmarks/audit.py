"""`im2gps audit` on a generated training set of the size of Im2GPS: seconds and peak memory.

python -m benchmarks.audit                   # 6,472,304 training photos, 30,000 test photos
python -m benchmarks.audit 1000000 10000
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.lists import TRAINING, run_measured
from benchmarks.timing import QUICK, verdict
from im2gps.photo_table import SCHEMA
from im2gps.sample import CITIES

TEST = 30_000
SECONDS, MEMORY = 60, 2 * 10**9
_ROWS = 65_536
_PLANTED = 100  # one in so many test photos, of each kind


def main(train: int = TRAINING // 10 if QUICK else TRAINING, test: int = TEST) -> None:
    """Print the figures, and how many of the planted overlaps were found."""
    print(f"im2gps audit: {train:,} training photos, {test:,} test photos")
    with tempfile.TemporaryDirectory() as folder:
        planted = write_sets(Path(folder), train, test)
        command = [sys.executable, "-m", "im2gps", "audit", f"{folder}/photos.parquet",
                   "--test", f"{folder}/test.csv", "--json"]  # fmt: skip
        usage, output = run_measured(command)
    overlap = json.loads(output)["test"][0]["overlap"]
    for kind, count in planted.items():
        print(f"  {kind}: {overlap[kind]['test_photos']:,} test photos, {count:,} of them planted, "
              f"and {overlap[kind]['train_photos']:,} training photos")  # fmt: skip
    took = f"im2gps audit: {usage.wall:.1f} s ({usage.cores:.1f} s of all cores)"
    verdict(took, f"less than {SECONDS} s", usage.wall < SECONDS)
    peak, most = (f"{number / 2**20:,.0f} MiB" for number in (usage.memory, MEMORY))
    verdict(f"im2gps audit: peak memory {peak}", f"less than {most}", usage.memory < MEMORY)


def write_sets(folder: Path, train: int, test: int) -> dict[str, int]:
    """Write photos.parquet and test.csv; return how many overlaps of each kind were planted.

    The planted test photos are a training photo itself, another photo 6 m away, another by the same
    photographer, and another of the same second by the same photographer.
    """
    rng = np.random.default_rng(0)
    sources = rng.choice(train, 4 * (test // _PLANTED), replace=False)
    copied: list[pa.Table] = []
    with pq.ParquetWriter(folder / "photos.parquet", SCHEMA, compression="zstd") as writer:
        for first in range(0, train, _ROWS):
            table = _photos(rng, 10**9 + first, min(_ROWS, train - first), train)
            rows = sources[(sources >= first) & (sources < first + len(table))] - first
            copied.append(table.take(pa.array(rows)))
            writer.write_table(table)
    tests = _photos(rng, 10**10, test, test, 90_000_000).to_pandas()
    planted = pa.concat_tables(copied).to_pandas()
    planted["latitude"] += 5e-5
    step = test // _PLANTED
    shared = {"id": ["photo_id"], "near": ["latitude", "longitude"], "photographer": ["owner"],
              "time": ["owner", "date_taken"]}  # fmt: skip
    for number, columns in enumerate(shared.values()):
        rows = tests.index[number * step : (number + 1) * step]
        tests.loc[rows, columns] = planted.loc[rows, columns]
    tests["image_id"] = tests["photo_id"] + "_0123456789_12_" + tests["owner"] + ".jpg"
    columns = ["image_id", "latitude", "longitude", "date_taken"]
    tests[columns].to_csv(folder / "test.csv", index=False)
    return {kind: step * (1 + (kind == "photographer")) for kind in shared}


def _photos(
    rng: np.random.Generator, first: int, count: int, records: int, owner: int = 10_000_000
) -> pa.Table:
    """Return rows of the table; every tenth photo is at a place of a grid of about 100 m."""
    cities = np.array([*CITIES.values()])[rng.integers(0, len(CITIES), count)]
    places = cities + rng.normal(0, 0.15, (count, 2))
    places[::10] = places[::10].round(3)
    owners = owner + 37 * (max(records // 60, 1) * rng.random(count) ** 4).astype(np.int64)
    taken = 1_100_000_000 + rng.integers(0, 10**8, count)
    columns = {
        "photo_id": np.arange(first, first + count).astype(str),
        "owner": np.char.add(owners.astype(str), "@N00"),
        "date_taken": np.char.replace(taken.astype("datetime64[s]").astype(str), "T", " "),
        "latitude": places[:, 0].round(6),
        "longitude": places[:, 1].round(6),
    }
    kinds = ((columns.get(field.name), field.type) for field in SCHEMA)
    arrays = [
        pa.nulls(count, kind) if cells is None else pa.array(cells, kind) for cells, kind in kinds
    ]
    return pa.table(arrays, schema=SCHEMA)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
