"""Measures what building and reading training shards costs: time per core, memory of the driver.

It prints the figures of docs/scale.md. Some are CPU seconds, because these hardly depend on what
else runs on the machine.
"""

from __future__ import annotations

import contextlib
import cProfile
import functools
import io
import json
import multiprocessing
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import im2gps
from benchmarks.files import bare, consume, undecoded
from benchmarks.timing import QUICK, ROUNDS, at_least, compare
from geoload.files import sha256
from geoload.tar import write_tar
from im2gps.building.recode import training_jpeg
from im2gps.building.shard import Job, make_shard
from im2gps.flickr.http import RequestPolicy
from im2gps.flickr.ids import file_stem
from tests.support.flickr_photos import SCHEMA, FlickrPhotos, row, write_list

PICTURES = 24  # different ones, used repeatedly
PHOTOS = 100 if QUICK else 1000  # a shard
MILLIONS = () if QUICK else (1, 2)
_GROUPS = {
    "aiohttp": ("aiohttp", "yarl", "multidict", "tenacity", "fetch.py", "http.py"),
    "asyncio, sockets": ("asyncio", "selectors", "socket", "_contextvars", "method 'send'",
                         "method 'recv", "epoll", "concurrent", "threading"),
    "JSON and TAR": ("tarfile", "json", "shard.py", "_io.", "blake2b"),
    "reading the list": ("pyarrow", "photo_table.py", "ids.py"),
}  # fmt: skip


def main() -> None:
    """Measure and print everything."""
    datasets.disable_progress_bars()
    shrinking()
    with tempfile.TemporaryDirectory() as folder:
        reading(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        building(Path(folder))
    for millions in MILLIONS:
        with tempfile.TemporaryDirectory() as folder:
            memory(Path(folder), millions)


def photo(width: int, height: int, seed: int, quality: int = 85) -> bytes:
    """Return a JPEG with about as many bytes as a photo of that size."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth) + random.normal(0, 3, (height, width, 1))
    buffer = io.BytesIO()
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def shrinking() -> None:
    """Print how many photos a second one core checks, or makes smaller."""
    print("Checking and shrinking, one core")
    for width, height, times in ((1024, 768, 40), (1280, 960, 20), (4000, 3000, 4)):
        body = photo(width, height, 0)
        seconds = min(
            cpu(functools.partial(training_jpeg, body, "jpg"), times) for _ in range(ROUNDS)
        )
        what = "recoded" if width > 1024 else "kept"
        print(f"  {width} x {height}, {len(body) / 1e3:5.0f} kB, {what:>7}: {1 / seconds:6.0f}/s")
    # Of the largest, which come last.
    at_least(f"photos of {width} x {height} recoded in a CPU second", 1 / seconds, 40)


def cpu(call: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def reading(folder: Path) -> None:
    """Stream two shards, compared with webdataset."""
    pictures = [photo(1024, 768, seed) for seed in range(PICTURES)]
    for shard in range(2):
        contents = []
        for number in range(shard * PHOTOS, (shard + 1) * PHOTOS):
            # One of 2,000 rows would be at 0, 0 without this, which is an error.
            record = row(number, owner=f"{number}@N00", longitude=2.35)
            contents.append((f"{file_stem(record)}.json", json.dumps(record).encode()))
            contents.append((f"{file_stem(record)}.jpg", pictures[number % PICTURES]))
        write_tar(folder / f"im2gps-{shard:05d}.tar", contents)
    files = sorted(str(path) for path in folder.glob("*.tar"))
    train = undecoded("im2gps", data_dir=str(folder), split="train")
    validation = undecoded("im2gps", data_dir=str(folder), split="validation")
    pipeline = im2gps.webdataset("train", data_dir=str(folder))
    stock = undecoded("webdataset", "jpg", data_files=files, split="train")
    decoded = datasets.load_dataset("im2gps", data_dir=str(folder), split="train", streaming=True)
    size = sum(Path(file).stat().st_size for file in files)
    medians = compare(
        f"Streaming {2 * PHOTOS:,} photos ({size / 1e6:.0f} MB), split train, not decoded",
        lambda: consume(train),
        {
            "im2gps.webdataset": lambda: consume(pipeline),
            "split validation, 1 % of photographers": lambda: consume(validation),
            "bare webdataset": lambda: consume(bare(files)),
            'load_dataset("webdataset")': lambda: consume(stock),
        },
    )
    ratio = medians["bare webdataset"] / medians["ours"]
    at_least("speed of streaming training shards / bare webdataset", ratio, 1.2)
    ways = {"train": train, "validation": validation, "train, decoded by Pillow": decoded}
    for name, rows in ways.items():
        seconds = cpu(functools.partial(pixels, rows), 1)
        print(f"  split {name}: past {2 * PHOTOS / seconds:,.0f} photos in a CPU second")


def pixels(rows: Any) -> None:
    """Go through all samples, and load the pictures of those that have some."""
    for sample in rows:
        if isinstance(sample["image"], Image.Image):
            sample["image"].load()


def building(folder: Path) -> None:
    """Make one shard from a photo host in another process, and say where the time goes."""
    rows = [row(number) for number in range(PHOTOS)]
    table = write_list(folder / "photos.parquet", rows)
    with serving(rows) as endpoint:
        policy = RequestPolicy(rate=0)
        make_shard(Job(table, str(folder), 100, endpoint, policy), 1)  # everything imported
        profile = cProfile.Profile()
        start, whole, here = time.perf_counter(), time.process_time(), time.thread_time()
        profile.enable()
        make_shard(Job(table, str(folder), PHOTOS, endpoint, policy), 0)
        profile.disable()
        here = time.thread_time() - here
        whole = time.process_time() - whole
        start = time.perf_counter() - start
    size = (folder / "im2gps-00000.tar").stat().st_size
    print(f"One shard of {PHOTOS:,} photos ({size / 1e6:.0f} MB) from loopback, one process")
    print(
        f"  {PHOTOS / start:.0f} photos/s; {whole / PHOTOS * 1e3:.1f} ms of CPU a photo, of which"
    )
    print(f"  {(whole - here) / whole:6.1%}  checking the picture, in a thread")
    groups = grouped(profile)
    total = sum(groups.values())
    for name, seconds in groups.most_common():
        print(f"  {seconds / total * here / whole:6.1%}  {name}")


@contextlib.contextmanager
def serving(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Run a photo host in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, rows))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("enough")
        process.join()


def serve(pipe: Connection, rows: list[dict[str, Any]]) -> None:
    pictures = [photo(1024, 768, seed) for seed in range(PICTURES)]
    bodies = {row["photo_id"]: pictures[i % PICTURES] for i, row in enumerate(rows)}
    with FlickrPhotos(rows, bodies=bodies) as host:
        pipe.send(host.endpoint)
        pipe.recv()


def grouped(profile: cProfile.Profile) -> Counter[str]:
    """Add up the time spent in functions themselves, by category."""
    groups: Counter[str] = Counter()
    stats: dict[tuple[str, int, str], tuple] = pstats.Stats(profile).stats  # type: ignore
    for (file, _, function), (_, _, own, _, _) in stats.items():
        if "poll" in function and "epoll" in function:
            continue  # waiting
        where = f"{file} {function}"
        parts = (name for name, marks in _GROUPS.items() if any(mark in where for mark in marks))
        groups[next(parts, "everything else")] += own
    return groups


def memory(folder: Path, millions: int) -> None:
    """Print the peak memory of a driver for a list of `millions` of rows, with one shard left."""
    rows = millions * 10**6
    table = folder / "photos.parquet"
    write_large_list(table, rows)
    script = f"import benchmarks.build as b; b.drive({str(folder)!r}, {rows})"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if said.returncode:
        raise RuntimeError(said.stderr)
    print(
        f"A list of {millions} million rows ({table.stat().st_size / 1e6:.0f} MB): {said.stdout}",
        end="",
    )


def drive(folder: str, rows: int) -> None:
    """Plan, make the last shard and report, as the driver of a build does."""
    from im2gps.building.build import build

    shards = rows // PHOTOS
    out = Path(folder, "out")
    table = Path(folder, "photos.parquet")
    before = peak_memory()
    with FlickrPhotos([]) as host:
        options: dict[str, Any] = {"host": host.endpoint, "rate": 0, "processes": 1}
        out.mkdir()
        pretend(out, shards - 1)
        # The photo host has no photos, so that the last shard takes little time.
        begun = {"list": sha256(table), "rows": rows, "shard_size": PHOTOS,
                 "photo_host": host.endpoint}  # fmt: skip
        (out / "build.json").write_text(json.dumps(begun), encoding="utf-8")
        start = time.perf_counter()
        report = build(table, out, shard_size=PHOTOS, **options)
        seconds = time.perf_counter() - start
    assert report["rows"] == rows
    peak = peak_memory()
    print(f"driver's peak {peak:.0f} MB ({peak - before:.0f} more than before its plan), "
          f"{seconds:.0f} s to plan, make one shard and report on {shards:,}")  # fmt: skip


def peak_memory() -> float:
    """Return the most memory that this process has had, in MB.

    getrusage is not used: after fork and exec it still reports the peak of the parent.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def pretend(folder: Path, shards: int) -> None:
    """Write placeholder shards and their statistics; a fifth of the photos are missing."""
    lost = {"gone (404 or 410)": [str(231500000 + number) for number in range(PHOTOS // 5)]}
    numbers = dict.fromkeys(("recoded", "alike", "requests", "retries", "bytes received"), 0)
    statistics = {**numbers, "rows": PHOTOS, "photos": PHOTOS - PHOTOS // 5, "bytes": 1,
                  "seconds": 1.0, "sizes": {"_b": 800}, "missing": lost}  # fmt: skip
    text = json.dumps(statistics)
    for number in range(shards):
        (folder / f"im2gps-{number:05d}.json").write_text(text, encoding="utf-8")
        (folder / f"im2gps-{number:05d}.tar").write_bytes(b"?")


def write_large_list(path: Path, rows: int, group: int = 100_000) -> None:
    """Write a list whose rows differ in their photo's id and place, in row groups."""
    block = pa.Table.from_pylist([row(number) for number in range(group)], SCHEMA)
    random = np.random.default_rng(0)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for first in range(0, rows, group):
            ids = pa.array([str(10**10 + number) for number in range(first, first + group)])
            place = {"latitude": random.uniform(-90, 90, group),
                     "longitude": random.uniform(-180, 180, group)}  # fmt: skip
            changed = block.set_column(0, "photo_id", ids)
            for name, values in place.items():
                number = changed.schema.get_field_index(name)
                changed = changed.set_column(number, name, pa.array(values))
            writer.write_table(changed)


if __name__ == "__main__":
    main()
