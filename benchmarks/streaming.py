"""Compares streaming and preparing photos with webdataset and `load_dataset("webdataset")`."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import webdataset as wds

import im2gps  # noqa: F401 - registers the name
import justzoomin
from benchmarks.timing import QUICK, compare
from benchmarks.training import natural

SHARDS = 2
PHOTOS = 200 if QUICK else 2000  # a shard
FORMATS = ("arrow", "numpy", "torch")
MEAN_SIZE = 70_000  # bytes: 5,438,074,880 in the first real shard, of about 77,000 photos


def main() -> None:
    """Print times for every member wanted, and for one in ten."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        compare_with_peers(folder, "every member wanted", "train", "everything")
        compare_with_peers(folder, "one in ten wanted", "validation", "metadata")
        compare_ways(folder)
    with tempfile.TemporaryDirectory() as folder:
        training_shards(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        preparing(Path(folder))


def compare_with_peers(folder: str, title: str, split: str, tables: str) -> None:
    """Print one comparison; `tables` names the folder of the split tables."""
    files = shards(folder)
    options = {"data_dir": folder, "metadata_dir": str(Path(folder, tables))}
    rows = undecoded("justzoomin", split=split, **options)
    pipeline = justzoomin.webdataset(split, **options)
    stock = undecoded("webdataset", "jpg", data_files=files, split="train")
    medians = compare(
        f"Streaming {SHARDS * PHOTOS} members in {SHARDS} local shards, {title}",
        lambda: count(rows),
        {
            "justzoomin.webdataset": lambda: count(pipeline),
            "bare webdataset, all members": lambda: count(bare(files)),
            'load_dataset("webdataset"), all members': lambda: count(stock),
        },
    )
    ratio = medians["bare webdataset, all members"] / medians["ours"]
    print(f"  members a second, ours divided by plain webdataset's: {ratio:.2f} x")


def compare_ways(folder: str) -> None:
    """Print times for batches and formats, all with undecoded pictures."""
    options = {"data_dir": folder, "metadata_dir": str(Path(folder, "everything"))}
    rows = undecoded("justzoomin", split="train", **options)
    files = shards(folder)
    ways = {f"with_format({name!r}), batches": rows.with_format(name) for name in FORMATS}
    medians = compare(
        f"Streaming {SHARDS * PHOTOS} members in batches of 64",
        lambda: count(rows.iter(64)),
        {
            **{name: lambda w=way: count(w.iter(64)) for name, way in ways.items()},  # type: ignore[misc]
            "bare webdataset, single": lambda: count(bare(files)),
        },
    )
    for name, seconds in medians.items():
        ratio = medians["bare webdataset, single"] / seconds
        print(f"  members a second divided by plain webdataset's, {name}: {ratio:.2f} x")


def training_shards(folder: Path) -> None:
    """Print times for shards as `im2gps build` writes them, whose photos are checked."""
    rng = np.random.default_rng(0)
    photos = [natural(rng, 640, 480, quality=85) for _ in range(50)]
    for shard in range(SHARDS):
        with tarfile.open(folder / f"im2gps-{shard:05d}.tar", "w") as tar:
            for i in range(PHOTOS // 2):
                record = {
                    "owner": f"{i % 400}@N00",
                    "title": "street",
                    "latitude": 1,
                    "longitude": i / 100,
                }
                for suffix, data in (
                    ("json", json.dumps(record).encode()),
                    ("jpg", photos[i % 50]),
                ):
                    add(tar, f"{shard}{i:06d}.{suffix}", data)
    rows = undecoded("im2gps", data_dir=str(folder), split="train", validation_fraction=0)
    files = [str(path) for path in folder.iterdir()]
    medians = compare(
        f"Streaming {SHARDS * PHOTOS // 2} photos of Im2GPS training shards",
        lambda: count(rows),
        {"bare webdataset": lambda: count(bare(files))},
    )
    ratio = medians["bare webdataset"] / medians["ours"]
    print(f"  photos a second, ours divided by plain webdataset's: {ratio:.2f} x")


def preparing(folder: Path) -> None:
    """Print times for preparing photos of five shards in two processes, without streaming."""
    write(folder, shards=5)
    options = {"data_dir": str(folder), "metadata_dir": str(folder / "everything")}

    def prepare(name: str, **options: Any) -> None:
        cache = tempfile.mkdtemp(dir=folder)
        datasets.load_dataset(name, split="train", cache_dir=cache, num_proc=2, **options)
        shutil.rmtree(cache)

    compare(
        f"Preparing {5 * PHOTOS} photos in two processes",
        lambda: prepare("justzoomin", splits=["train"], **options),
        {
            'load_dataset("webdataset")': lambda: prepare("webdataset", data_files=shards(folder)),
        },
        rounds=3,
    )


def undecoded(name: str, column: str = "image", **options: Any) -> Any:
    """Return a stream whose pictures are bytes."""
    rows = datasets.load_dataset(name, streaming=True, **options)
    return rows.cast_column(column, datasets.Image(decode=False))


def shards(folder: str | Path) -> list[str]:
    """Return the shards that `write` wrote."""
    return sorted(str(path) for path in Path(folder, "archives").iterdir())


def bare(files: list[str]) -> wds.WebDataset:
    """Plain webdataset, without decoding."""
    return wds.WebDataset(files, shardshuffle=False, empty_check=False)


def count(samples: Iterable) -> int:
    """Go through all samples."""
    return sum(1 for _ in samples)


def write(folder: Path, shards: int = SHARDS) -> None:
    """Write shards of real-sized members, every tenth of them of the validation split."""
    rng = np.random.default_rng(0)
    (folder / "archives").mkdir()
    tables: dict[str, list] = {"train": [], "val": []}
    for shard in range(shards):
        with tarfile.open(folder / "archives" / f"streetview_images_{shard:03d}.tar", "w") as tar:
            for i in range(PHOTOS):
                image_id = str(10**15 + shard * PHOTOS + i)
                size = int(rng.integers(MEAN_SIZE * 6 // 10, MEAN_SIZE * 14 // 10))
                picture = b"\xff\xd8" + rng.bytes(size - 4) + b"\xff\xd9"
                add(tar, f"streetview/images/{image_id}_undistorted.jpg", picture)
                table = tables["train" if i % 10 else "val"]
                table.append([image_id, 38.9, -77.0, "[1, 2, 3, 4]"])
    write_tables(folder / "metadata", tables)
    write_tables(folder / "everything", {"train": tables["train"] + tables["val"], "val": []})


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_tables(folder: Path, tables: dict[str, list]) -> None:
    """Write the two split tables."""
    folder.mkdir()
    for name, rows in tables.items():
        path = folder / f"large_area_{name}_map.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["image_id", "latitude", "longitude", "sequence"], *rows])


if __name__ == "__main__":
    main()
