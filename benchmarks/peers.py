"""Compares what a training loop receives with litdata, mosaicml-streaming and torch's decoders.

The peers decode with torchvision. None is installed with this package, and what is missing is left
out: `pip install litdata mosaicml-streaming torchvision torchcodec`.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import numpy as np

import justzoomin
from benchmarks.files import consume
from benchmarks.timing import QUICK, compare
from benchmarks.training import photos, write_photos
from justzoomin.cli import main as command

COUNT, BATCH, SIZES = (160, 16, (384,)) if QUICK else (320, 32, (384, 224))
PEERS = {"torchvision": "torchvision", "torchcodec": "torchcodec", "litdata": "litdata",
         "mosaicml-streaming": "streaming"}  # fmt: skip


def main() -> None:
    """Write the photos in each format, and print the comparisons."""
    missing = [name for name, module in PEERS.items() if find_spec(module) is None]
    if missing:
        print(f"Left out, because they are not installed: {', '.join(missing)}.")
    if find_spec("torch") is None or "torchvision" in missing:
        print("Peers: torch and torchvision are needed for all comparisons.")
        return
    import torch

    torch.set_num_threads(1)  # as in the workers of a DataLoader
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        loaders = _write(Path(folder), missing)
        for size in [(side, round(side * 4 / 3)) for side in SIZES]:
            for workers in (0, 2):
                epochs = {n: partial(_epoch, load, size, workers) for n, load in loaders.items()}
                title = f"Photos as tensors of {size[0]} x {size[1]}, {workers} worker(s)"
                ours, items = epochs.pop("ours"), COUNT * 9 // 10
                compare(title, ours, epochs, items=items, warm_up=False)
        states = {name: _state(load, size) for name, load in loaders.items()}
        for when, known in (("", dict.fromkeys(states)), (" after half an epoch", states)):
            firsts = {n: partial(_first, o, size, known[n]) for n, o in loaders.items()}
            compare(f"The first batch{when}, one worker", firsts.pop("ours"), firsts)
        pixels = {name: _pixels(_first(load, size)) for name, load in loaders.items()}
        for name, load in loaders.items():
            off = np.abs(pixels[name] - pixels["torchvision"]).mean()
            print(f"  {name}: a worker's {_memory(load, size)}; {off:.2f} of 255 from torchvision")


def _write(folder: Path, missing: list[str]) -> dict[str, Callable]:
    """Write each format, print the time that takes, and return what makes the loaders."""
    pictures = write_photos(folder, COUNT)
    files = [folder / f"{number}.jpg" for number in range(COUNT) if number % 10]
    for path in files:
        path.write_bytes(pictures[int(path.stem) % len(pictures)])
    options = {"data_dir": str(folder), "cache_dir": str(folder / "cache")}
    shards = str(folder / "parquet")
    for side, more in {"": [], **{str(n): ["--image-size", str(n)] for n in SIZES}}.items():
        where = ["--to", shards + side, "--data-dir", str(folder), "--configs", "streetview"]
        with _timed(" ".join(["justzoomin publish", *more])):
            command(["publish", *where, "--max-shard-size", "30MB", *more])
    rows = partial(datasets.load_dataset, split="train", cache_dir=options["cache_dir"])
    stream = partial(rows, streaming=True)
    found = {
        "ours": partial(_rows, lambda size: photos(options)),
        "ours, streamed": partial(_stream, lambda size: stream("justzoomin", data_dir=str(folder))),
        "ours, Parquet streamed": partial(_stream, lambda size: stream(shards)),
        "ours, published at size": partial(_rows, lambda size: rows(f"{shards}{size[0]}")),
        "the same, streamed": partial(_stream, lambda size: stream(f"{shards}{size[0]}")),
        "torchvision": partial(_files, files, _torchvision),
    }
    if "torchcodec" not in missing:
        found["torchcodec"] = partial(_files, files, _torchcodec)
    if "litdata" not in missing:
        import litdata

        to = str(folder / "litdata")
        with _timed("litdata.optimize, one worker"):
            litdata.optimize(_item, list(map(str, files)), to, chunk_bytes="30MB", num_workers=1)
        found["litdata"] = partial(_litdata, to)
    if "mosaicml-streaming" not in missing:
        from streaming import MDSWriter

        to = str(folder / "mds")
        with (
            _timed("streaming.MDSWriter"),
            MDSWriter(out=to, columns={"image": "bytes"}, size_limit=30 * 10**6) as writer,
        ):
            for path in files:
                writer.write(_item(str(path)))
        found["mosaicml-streaming"] = partial(_mosaic, to)
    return found


def _rows(rows: Callable, size: Any, done: int | None, **pool: Any) -> Any:
    from torch.utils.data import DataLoader

    from justzoomin.torch import ZoomPhotos

    data = ZoomPhotos(rows(size), size)
    return DataLoader(data, BATCH, sampler=range(done or 0, len(data)), **pool)


def _stream(rows: Callable, size: Any, state: Any, **pool: Any) -> Any:
    from torchdata.stateful_dataloader import StatefulDataLoader

    stream = rows(size).cast_column("image", datasets.Image(decode=False))
    stream = stream.map(justzoomin.Resize(size), batched=True, batch_size=BATCH)
    return _resumed(StatefulDataLoader(stream, BATCH, **pool), state)


def _files(files: list[Path], decode: Callable, size: Any, done: int | None, **pool: Any) -> Any:
    from torch.utils.data import DataLoader

    class Files(list):
        def __getitem__(self, number: Any) -> Any:
            return decode(_item(str(super().__getitem__(number))), size)

    return DataLoader(Files(files), BATCH, sampler=range(done or 0, len(files)), **pool)


def _litdata(folder: str, size: Any, state: Any, **pool: Any) -> Any:
    import litdata

    data = litdata.StreamingDataset(folder, transform=partial(_torchvision, size=size))
    return _resumed(litdata.StreamingDataLoader(data, batch_size=BATCH, **pool), state)


def _mosaic(folder: str, size: Any, state: Any, **pool: Any) -> Any:
    import streaming

    class Photos(streaming.StreamingDataset):
        def __getitem__(self, number: Any) -> Any:
            return _torchvision(super().__getitem__(number), size)

    streaming.base.util.clean_stale_shared_memory()
    data = Photos(local=folder, batch_size=BATCH)
    return _resumed(streaming.StreamingDataLoader(data, batch_size=BATCH, **pool), state)


def _resumed(loader: Any, state: Any) -> Any:
    if state is not None:
        loader.load_state_dict(state)
    return loader


def _item(path: str) -> dict[str, Any]:
    return {"image": Path(path).read_bytes()}


def _torchvision(item: dict[str, Any], size: Any) -> dict[str, Any]:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    data = torch.frombuffer(bytearray(item["image"]), dtype=torch.uint8)
    return {"image": _resize(decode_jpeg(data, ImageReadMode.RGB), size)}


def _torchcodec(item: dict[str, Any], size: Any) -> dict[str, Any]:
    from torchcodec.decoders import decode_jpeg

    return {"image": _resize(decode_jpeg(item["image"]), size)}


def _resize(picture: Any, size: Any) -> Any:
    from torchvision.transforms.v2 import InterpolationMode, functional

    return functional.resize(picture, size, InterpolationMode.BICUBIC, antialias=True)


def _open(load: Callable, size: Any, workers: int, state: Any = None, **more: Any) -> Any:
    if workers:  # litdata.optimize changes the default of the process
        more["multiprocessing_context"] = "fork"
    return load(size, state, num_workers=workers, **more)


def _epoch(load: Callable, size: Any, workers: int) -> int:
    return consume(_open(load, size, workers))


def _first(load: Callable, size: Any, state: Any = None) -> Any:
    return next(iter(_open(load, size, 1, state)))


def _state(load: Callable, size: Any) -> Any:
    """Return the state after half an epoch, or the number of photos for data with a sampler."""
    loader = _open(load, size, 1)
    batches = consume(itertools.islice(iter(loader), COUNT // BATCH // 2))
    return loader.state_dict() if hasattr(loader, "state_dict") else batches * BATCH


def _pixels(batch: dict[str, Any]) -> np.ndarray:
    """Return the first picture, channels last."""
    picture = batch["image"][0].numpy().astype(int)
    return picture.transpose(1, 2, 0) if len(picture) == 3 else picture


def _memory(load: Callable, size: Any) -> str:
    """Return the peak memory of a worker, and what it does not share with its parent at the end."""
    loader = _open(load, size, 1, persistent_workers=True)
    consume(loader)
    process, found = Path("/proc", str(loader._iterator._workers[0].pid)), []
    for file, field in (("status", "VmHWM"), ("smaps_rollup", "Private_Dirty")):
        match = re.search(rf"{field}:\s+(\d+)", (process / file).read_text())
        found.append(int(match[1]) / 1e3 if match else 0.0)
    return "peak is {:.0f} MB, {:.0f} MB its own".format(*found)


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
    print(f"{what}: {time.perf_counter() - start:.1f} s for {COUNT} photos")


if __name__ == "__main__":
    main()
