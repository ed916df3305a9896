"""Measures what a training loop receives: resized pictures, shared shards, views.

Pictures have the size and the spectrum of real ones; the same ones are written repeatedly.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

import datasets
import numpy as np

import justzoomin
from benchmarks.files import bare, consume, natural, street_file, undecoded, write_tables
from benchmarks.timing import QUICK, at_least, compare
from geoload.tar import write_tar
from justzoomin import zoom
from justzoomin.cli import main as command
from justzoomin.views import all_prefixes, view_name

PHOTOS = 100 if QUICK else 300
DISTINCT = 20
SOME = 40 if QUICK else 100
SIZE = 384
SHARD = "archives/streetview_images_000.tar"


def main() -> None:
    """Write one shard of photos and one of views, and print the comparisons."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        options = {"data_dir": folder, "cache_dir": str(Path(folder, "cache"))}
        decoding(folder, options)
        published(folder, options)
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


def published(folder: str, options: dict[str, str]) -> None:
    """Photos of a repository published at training size, compared with the originals."""
    to = str(Path(folder, "published"))
    with contextlib.redirect_stdout(io.StringIO()):
        command(["publish", "--to", to, "--data-dir", folder, "--configs", "streetview",
                 "--image-size", str(SIZE)])  # fmt: skip
    kept = {"split": "train", "cache_dir": options["cache_dir"]}
    ways = {
        "random access": (datasets.load_dataset(to, **kept), photos(options)),
        "streamed": (
            datasets.load_dataset(to, streaming=True, **kept),
            datasets.load_dataset("justzoomin", split="train", streaming=True, **options),
        ),
    }
    for way, (small, originals) in ways.items():
        medians = compare(
            f"{SOME} photos published with --image-size {SIZE}, {way}",
            lambda rows=small: consume(resized(rows)),  # type: ignore[misc]
            {"the originals": lambda rows=originals: consume(resized(rows))},  # type: ignore[misc]
        )
        ratio = medians["the originals"] / medians["ours"]
        at_least(f"speed of photos published at {SIZE}, {way} / the originals", ratio, 4)


def resized(rows: Any) -> Iterable:
    """Return the first photos of rows as arrays."""
    rows = rows.cast_column("image", datasets.Image(decode=False)).take(SOME)
    resize = justzoomin.Resize(SIZE)
    if isinstance(rows, datasets.Dataset):
        return rows.with_transform(resize)
    return rows.map(resize, batched=True)


def validation_only(options: dict[str, str]) -> None:
    """Reading one photo in ten, compared with reading all, without decoding."""
    train = undecoded("justzoomin", split="train", **options)
    validation = undecoded("justzoomin", split="validation", **options)
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
    rows = undecoded("justzoomin", split="train", **options).map(resize, batched=True)

    def peer() -> Any:
        return bare([str(Path(folder, SHARD))]).decode(resize.image_bytes)

    compare(
        f"{PHOTOS} photos of one shard, decoded in two workers of a DataLoader",
        lambda: consume(DataLoader(rows, None, num_workers=2)),
        {"webdataset": lambda: consume(DataLoader(peer(), None, num_workers=2))},
    )


def complete_samples(folder: str, options: dict[str, str]) -> None:
    """Photos at training size with their four views, compared with the photos alone."""
    rows = photos(options).cast_column("image", datasets.Image(decode=False))
    resize = justzoomin.Resize(SIZE)
    shard = str(Path(folder, "views", f"views_{SIZE}.tar"))
    views = justzoomin.ZoomViews(shard, arrays=True, cache_dir=Path(folder, "index"))
    medians = compare(
        f"{PHOTOS} photos with their four views as arrays",
        lambda: consume(rows.with_transform(lambda batch: views(resize(batch)))),
        {"the photos alone": lambda: consume(rows.with_transform(resize))},
    )
    ratio = medians["the photos alone"] / medians["ours"]
    at_least("speed of photos with views as arrays / the photos alone", ratio, 0.95)


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
    medians = compare(
        f"{PHOTOS} photos with their four views in batches of 32, two workers, rows looked up",
        lambda: consume(table[batch["views"]] for batch in load(None)),
        {"pictures sent": lambda: consume(load(views)), "rows alone": lambda: consume(load(None))},
    )
    ratio = medians["rows alone"] / medians["ours"]
    at_least("speed of photos with views looked up / the photos with rows alone", ratio, 0.95)


def photos(options: dict[str, str]) -> Any:
    return justzoomin.photos("train", **options)


def pillow(batch: dict[str, list]) -> dict[str, list]:
    """Plain Pillow: decode the whole picture, then resize it."""
    height, width = SIZE, SIZE * 1024 // 768
    images = [image.convert("RGB").resize((width, height)) for image in batch["image"]]
    return {**batch, "image": [np.asarray(image) for image in images]}


def write(folder: Path) -> None:
    """Write the photos, their table, and a shard of views."""
    pictures = write_photos(folder, PHOTOS)
    rng = np.random.default_rng(1)
    views = [natural(rng, SIZE, SIZE) for _ in range(DISTINCT)]
    (folder / "views").mkdir()
    names = [f"{view_name(prefix)}.jpg" for prefix in all_prefixes()]
    write_tar(folder / "views" / f"views_{SIZE}.tar", zip(names, cycle(views)))
    size = sum(map(len, pictures)) / DISTINCT, sum(map(len, views)) / DISTINCT
    print(f"Photos of {size[0] / 1e3:.0f} kB, views of {size[1] / 1e3:.0f} kB on average")


def write_photos(folder: Path, count: int) -> list[bytes]:
    """Write a shard of photos and their tables; return the pictures, which take turns."""
    rng = np.random.default_rng(0)
    pictures = [natural(rng, 1024, 768, quality=85) for _ in range(min(DISTINCT, count))]
    ids = [str(10**15 + i) for i in range(count)]
    (folder / SHARD).parent.mkdir()
    write_tar(folder / SHARD, zip(map(street_file, ids), cycle(pictures)))
    sequences = rng.integers(zoom.GRID**2, size=(count, zoom.DEPTH))
    rows = [[i, 38.9, -77.0, str(s)] for i, s in zip(ids, sequences.tolist(), strict=True)]
    train = [row for i, row in enumerate(rows) if i % 10]
    write_tables(folder / "metadata", {"train": train, "validation": rows[::10]})
    return pictures


if __name__ == "__main__":
    main()
