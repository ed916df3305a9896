"""Compares streaming street photos with webdataset and `load_dataset("webdataset")`."""

from __future__ import annotations

import csv
import io
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np
import webdataset as wds

import justzoomin
from benchmarks.timing import compare

SHARDS = 2
PHOTOS = 2000  # a shard
MEAN_SIZE = 70_000  # bytes: 5,438,074,880 in the first real shard, of about 77,000 photos


def main() -> None:
    """Print times for every member wanted, and for one in ten."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        compare_with_peers(folder, "every member wanted", "train", "everything")
        compare_with_peers(folder, "one in ten wanted", "validation", "metadata")


def compare_with_peers(folder: str, title: str, split: str, tables: str) -> None:
    """Print one comparison; `tables` names the folder of the split tables."""
    files = sorted(str(path) for path in Path(folder, "archives").iterdir())
    options = {"data_dir": folder, "metadata_dir": str(Path(folder, tables))}
    rows = datasets.load_dataset("justzoomin", split=split, streaming=True, **options)
    rows = rows.cast_column("image", datasets.Image(decode=False))
    pipeline = justzoomin.webdataset(split, **options)
    stock = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
    stock = stock.cast_column("jpg", datasets.Image(decode=False))
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


def bare(files: list[str]) -> wds.WebDataset:
    """Plain webdataset, without decoding."""
    return wds.WebDataset(files, shardshuffle=False, empty_check=False)


def count(samples: Iterable) -> int:
    """Go through all samples."""
    return sum(1 for _ in samples)


def write(folder: Path) -> None:
    """Write shards of real-sized members, every tenth of them of the validation split."""
    rng = np.random.default_rng(0)
    (folder / "archives").mkdir()
    tables: dict[str, list] = {"train": [], "val": []}
    for shard in range(SHARDS):
        with tarfile.open(folder / "archives" / f"streetview_images_{shard:03d}.tar", "w") as tar:
            for i in range(PHOTOS):
                image_id = str(10**15 + shard * PHOTOS + i)
                info = tarfile.TarInfo(f"streetview/images/{image_id}_undistorted.jpg")
                info.size = int(rng.integers(MEAN_SIZE * 6 // 10, MEAN_SIZE * 14 // 10))
                picture = b"\xff\xd8" + rng.bytes(info.size - 4) + b"\xff\xd9"
                tar.addfile(info, io.BytesIO(picture))
                table = tables["train" if i % 10 else "val"]
                table.append([image_id, 38.9, -77.0, "[1, 2, 3, 4]"])
    write_tables(folder / "metadata", tables)
    write_tables(folder / "everything", {"train": tables["train"] + tables["val"], "val": []})


def write_tables(folder: Path, tables: dict[str, list]) -> None:
    """Write the two split tables."""
    folder.mkdir()
    for name, rows in tables.items():
        path = folder / f"large_area_{name}_map.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["image_id", "latitude", "longitude", "sequence"], *rows])


if __name__ == "__main__":
    main()
