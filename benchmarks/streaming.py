"""Compares streaming and preparing photos with webdataset and `load_dataset("webdataset")`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np

import justzoomin
from benchmarks.files import bare, consume, street_file, undecoded, write_tables
from benchmarks.timing import QUICK, at_least, compare
from geoload.tar import write_tar

SHARDS = 2
PHOTOS = 200 if QUICK else 2000  # a shard
PASSES = 1 if QUICK else 5  # they are short
FORMATS = ("arrow", "numpy", "torch")
MEAN_SIZE = 70_000  # bytes: 5,438,074,880 in the first real shard, of about 77,000 photos


def main() -> None:
    """Print times for every member wanted, and for one in ten."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        compare_with_peers(folder, "every member wanted", "train", 1.8)
        compare_with_peers(folder, "one in ten wanted", "validation", 12)
        compare_ways(folder)
    with tempfile.TemporaryDirectory() as folder:
        preparing(Path(folder))


def compare_with_peers(folder: str, title: str, split: str, target: float) -> None:
    """Print one comparison of a pass over the shards."""
    files = shards(folder)
    tables = "everything" if split == "train" else "metadata"
    options = {"data_dir": folder, "metadata_dir": str(Path(folder, tables))}
    rows = undecoded("justzoomin", split=split, **options)
    pipeline = justzoomin.webdataset(split, **options)
    stock = undecoded("webdataset", "jpg", data_files=files, split="train")
    medians = compare(
        f"Streaming {SHARDS * PHOTOS} members in {SHARDS} local shards, {title}",
        lambda: consume(rows),
        {
            "justzoomin.webdataset": lambda: consume(pipeline),
            "bare webdataset": lambda: consume(bare(files)),
            'load_dataset("webdataset")': lambda: consume(stock),
        },
        PASSES,
    )
    ratio = medians["bare webdataset"] / medians["ours"]
    at_least(f"speed of streaming, {title} / bare webdataset", ratio, target)


def compare_ways(folder: str) -> None:
    """Print times for batches and formats, all with undecoded pictures."""
    options = {"data_dir": folder, "metadata_dir": str(Path(folder, "everything"))}
    rows = undecoded("justzoomin", split="train", **options)
    files = shards(folder)
    ways = {f"batches, {name}": partial(batches, rows.with_format(name)) for name in FORMATS}
    medians = compare(
        f"Streaming {SHARDS * PHOTOS} members in batches of 64, webdataset's one by one",
        lambda: batches(rows),
        {**ways, "bare webdataset": lambda: consume(bare(files))},
        PASSES,
    )
    peer = medians.pop("bare webdataset")
    for name, seconds in medians.items():
        what = name.replace("ours", "batches")
        at_least(f"speed of streaming in {what} / bare webdataset", peer / seconds, 1.8)


def batches(rows: Any) -> int:
    return consume(rows.iter(64))


def preparing(folder: Path) -> None:
    """Print times for preparing photos of five shards in two processes, without streaming."""
    write(folder, shards=5)
    options = {"data_dir": str(folder), "metadata_dir": str(folder / "everything")}

    def prepare(name: str, **options: Any) -> None:
        cache = tempfile.mkdtemp(dir=folder)
        datasets.load_dataset(name, split="train", cache_dir=cache, num_proc=2, **options)
        shutil.rmtree(cache)

    peer = 'load_dataset("webdataset")'
    medians = compare(
        f"Preparing {5 * PHOTOS} photos in two processes",
        lambda: prepare("justzoomin", splits=["train"], **options),
        {peer: lambda: prepare("webdataset", data_files=shards(folder))},
        warm_up=not QUICK,
    )
    at_least(f"speed of preparing / {peer}", medians[peer] / medians["ours"], 1.5)


def shards(folder: str | Path) -> list[str]:
    """Return the shards that `write` wrote."""
    return sorted(str(path) for path in Path(folder, "archives").iterdir())


def write(folder: Path, shards: int = SHARDS) -> None:
    """Write shards of real-sized members, every tenth of them of the validation split."""
    rng = np.random.default_rng(0)
    (folder / "archives").mkdir()
    tables: dict[str, list] = {"train": [], "validation": []}

    def contents(shard: int) -> Iterator[tuple[str, bytes]]:
        for i in range(PHOTOS):
            image_id = str(10**15 + shard * PHOTOS + i)
            size = int(rng.integers(MEAN_SIZE * 6 // 10, MEAN_SIZE * 14 // 10))
            yield street_file(image_id), b"\xff\xd8" + rng.bytes(size - 4) + b"\xff\xd9"
            table = tables["train" if i % 10 else "validation"]
            table.append([image_id, 38.9, -77.0, "[1, 2, 3, 4]"])

    for shard in range(shards):
        write_tar(folder / "archives" / f"streetview_images_{shard:03d}.tar", contents(shard))
    write_tables(folder / "metadata", tables)
    everything = tables["train"] + tables["validation"]
    write_tables(folder / "everything", {"train": everything, "validation": []})


if __name__ == "__main__":
    main()
