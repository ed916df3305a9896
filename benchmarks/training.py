"""Measures what a training loop receives: resized pictures, shared shards, views.

Pictures have the size and the spectrum of real ones; the same hundred are written repeatedly.
"""

from __future__ import annotations

import csv
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import webdataset as wds
from PIL import Image

import justzoomin
from benchmarks.timing import QUICK, compare
from justzoomin import zoom
from justzoomin.views import all_prefixes, to_jpeg, view_name

PHOTOS = 100 if QUICK else 1000
DISTINCT = 100
SOME = 40 if QUICK else 200
SIZE = 384
SHARD = "archives/streetview_images_000.tar"


def main() -> None:
    """Write one shard of photos and one of views, and print the comparisons."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        options = {"data_dir": folder, "cache_dir": str(Path(folder, "cache"))}
        decoding(folder, options)
        validation_only(options)
        workers(folder, options)
        complete_samples(folder, options)
        batches(folder, options)


def decoding(folder: str, options: dict[str, str]) -> None:
    """Photos at training size in one process, compared with plain Pillow."""
    rows = photos(options).select(range(SOME))
    bare = rows.cast_column("image", datasets.Image(decode=False))
    compare(
        f"{SOME} photos of 1024 x 768 as arrays of {SIZE} on the shorter side",
        lambda: consume(bare.with_transform(justzoomin.Resize(SIZE))),
        {"plain Pillow": lambda: consume(rows.with_transform(pillow))},
    )
    stream = {"split": "train", "streaming": True, **options}
    whole = datasets.load_dataset("justzoomin", **stream)
    small = datasets.load_dataset("justzoomin", image_size=SIZE, **stream)
    compare(
        f"{SOME} photos streamed as pictures of {SIZE}, image_size={SIZE}",
        lambda: consume(small.take(SOME)),
        {"plain Pillow": lambda: consume(whole.take(SOME).map(pillow, batched=True))},
    )


def validation_only(options: dict[str, str]) -> None:
    """Reading one photo in ten, compared with reading all, without decoding."""

    def stream(split: str) -> Iterable:
        rows = datasets.load_dataset("justzoomin", split=split, streaming=True, **options)
        return rows.cast_column("image", datasets.Image(decode=False))

    train, validation = stream("train"), stream("validation")
    compare(
        f"An epoch of validation, {PHOTOS // 10} of {PHOTOS} photos",
        lambda: consume(validation),
        {"a pass over the whole shard": lambda: (consume(train), consume(validation))},
    )


def workers(folder: str, options: dict[str, str]) -> None:
    """One shard shared by several workers, which decode it."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        print("Workers: torch is not installed here.")
        return
    resize = justzoomin.Resize(SIZE)
    rows = datasets.load_dataset("justzoomin", split="train", streaming=True, **options)
    rows = rows.cast_column("image", datasets.Image(decode=False)).map(resize, batched=True)
    path = str(Path(folder, SHARD))

    def peer() -> Any:
        samples = wds.WebDataset([path], shardshuffle=False, empty_check=False)
        return samples.decode(resize.image_bytes)

    for count in (2,) if QUICK else (1, 2, 4):
        compare(
            f"{PHOTOS} photos of one shard, decoded in {count} worker(s) of a DataLoader",
            lambda n=count: consume(DataLoader(rows, None, num_workers=n)),  # type: ignore[misc]
            {"webdataset": lambda n=count: consume(DataLoader(peer(), None, num_workers=n))},  # type: ignore[misc]
        )


def complete_samples(folder: str, options: dict[str, str]) -> None:
    """Photos at training size with their four views, compared with the photos alone."""
    rows = photos(options).cast_column("image", datasets.Image(decode=False))
    resize = justzoomin.Resize(SIZE)
    shard = str(Path(folder, "views", f"views_{SIZE}.tar"))
    kept = justzoomin.ZoomViews(shard, arrays=True, cache_dir=Path(folder, "index"))
    each = justzoomin.ZoomViews(shard)
    for title, views in (("decoded once", kept), ("decoded each time", decoded(each))):
        compare(
            f"{PHOTOS} photos with their four views as arrays, the views {title}",
            lambda v=views: consume(rows.with_transform(lambda batch: v(resize(batch)))),  # type: ignore[misc]
            {"the photos alone": lambda: consume(rows.with_transform(resize))},
        )


def batches(folder: str, options: dict[str, str]) -> None:
    """Rows of a table sent by the workers of a DataLoader, compared with sending the pictures."""
    try:
        from torch.utils.data import DataLoader

        from justzoomin.torch import ZoomPhotos
    except ImportError:
        print("Batches: torch is not installed here.")
        return
    shard, kept = Path(folder, "views", f"views_{SIZE}.tar"), Path(folder, "index")
    views = justzoomin.open_views(shard, cache_dir=kept)
    table, rows = views.table(), photos(options)

    def load(sent: Any) -> Iterable:
        return DataLoader(ZoomPhotos(rows, SIZE, sent), 32, num_workers=2, drop_last=True)

    pictures = next(iter(load(views)))["views"].numpy()
    assert np.array_equal(pictures, table[next(iter(load(None)))["views"]])
    compare(
        f"{PHOTOS} photos with their four views in batches of 32, two workers, rows looked up",
        lambda: consume(table[batch["views"]] for batch in load(None)),
        {"pictures sent": lambda: consume(load(views)), "rows alone": lambda: consume(load(None))},
    )


def decoded(views: Callable) -> Callable:
    def transform(batch: dict[str, list]) -> dict[str, list]:
        batch = views(batch)
        arrays = [[np.asarray(view) for view in row] for row in batch["views"]]
        return {**batch, "views": arrays}

    return transform


def photos(options: dict[str, str]) -> Any:
    return justzoomin.photos("train", **options)


def pillow(batch: dict[str, list]) -> dict[str, list]:
    """Plain Pillow: decode the whole picture, then resize it."""
    height, width = SIZE, SIZE * 1024 // 768
    images = [image.convert("RGB").resize((width, height)) for image in batch["image"]]
    return {**batch, "image": [np.asarray(image) for image in images]}


def consume(samples: Iterable) -> int:
    return sum(1 for _ in samples)


def write(folder: Path) -> None:
    """Write the photos, their table, and a shard of views."""
    pictures = write_photos(folder, PHOTOS)
    rng = np.random.default_rng(1)
    views = [natural(rng, SIZE, SIZE) for _ in range(DISTINCT)]
    path = folder / "views" / f"views_{SIZE}.tar"
    write_tar(path, [f"{view_name(prefix)}.jpg" for prefix in all_prefixes()], views)
    size = sum(map(len, pictures)) / DISTINCT, sum(map(len, views)) / DISTINCT
    print(f"Photos of {size[0] / 1e3:.0f} kB, views of {size[1] / 1e3:.0f} kB on average")


def write_photos(folder: Path, count: int) -> list[bytes]:
    """Write a shard of photos and their tables; return the pictures, which take turns."""
    rng = np.random.default_rng(0)
    pictures = [natural(rng, 1024, 768, quality=85) for _ in range(min(DISTINCT, count))]
    ids = [str(10**15 + i) for i in range(count)]
    names = [f"streetview/images/{image_id}_undistorted.jpg" for image_id in ids]
    write_tar(folder / SHARD, names, pictures)
    sequences = rng.integers(zoom.GRID**2, size=(count, zoom.DEPTH))
    rows = [[i, 38.9, -77.0, str(s)] for i, s in zip(ids, sequences.tolist(), strict=True)]
    (folder / "metadata").mkdir()
    for name, part in (("train", range(count)), ("val", range(0, count, 10))):
        path = folder / "metadata" / f"large_area_{name}_map.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            chosen = [rows[i] for i in part if name == "val" or i % 10]
            header = ["image_id", "latitude", "longitude", "sequence"]
            csv.writer(file).writerows([header, *chosen])
    return pictures


def write_tar(path: Path, names: list[str], pictures: list[bytes]) -> None:
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for i, name in enumerate(names):
            data = pictures[i % len(pictures)]
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def natural(rng: np.random.Generator, width: int, height: int, quality: int = 0) -> bytes:
    """A picture whose amplitudes decrease with frequency, as in real photos."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    grey = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) / frequency**1.2).real
    tint = rng.uniform(0.8, 1.2, 3)
    pixels = np.clip((grey[..., None] / grey.std() * 40 + 120) * tint, 0, 255).astype(np.uint8)
    if not quality:
        return to_jpeg(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
