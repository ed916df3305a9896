"""Run a model over photos: decode them in workers, predict batches, and record what it says."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoeval.benchmarks import Benchmark
from geoeval.records import Predictions, Record, error_record
from geoload.messages import needed_for, progress_bar
from geoload.models.loading import Model, ModelError, described
from geoload.models.photos import resize_to

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]
with needed_for("geoeval", "eval"):
    import torch
    from torch.utils.data import DataLoader

# Errors of torch after which an accelerator has no room, or cannot be used any more.
_OF_DEVICE = ("OutOfMemoryError", "AcceleratorError")
_ALL_FAIL = 8  # photos after which a model that raises on every one is stopped


@dataclass
class How:
    """How a model is run."""

    workers: int | None = None  # None for one a core
    amp: str | None = None  # bfloat16 or float16


class _Failed(str):
    """Why a photo could not be decoded or preprocessed."""


class _Photos:
    """Photos by their number, as a model gets them: RGB, upright, without metadata."""

    def __init__(self, benchmark: Benchmark, model: Model) -> None:
        self._benchmark, self._preprocess = benchmark, model.preprocess
        self._resize = resize_to(model.image_size)

    def __getitem__(self, number: int) -> Any:
        seed(number)
        try:
            photo = self._benchmark.photo(number, self._resize)
            return photo if self._preprocess is None else self._preprocess(photo)
        except Exception as error:
            return _Failed(described(error))


def run(
    model: Model, benchmark: Benchmark, predictions: Predictions, batches: Sequence[range], how: How
) -> None:
    """Predict batches, which must be in their order, and add them to the predictions.

    A photo on which the model raises gets a record of its error. Raises ModelError if the model
    returns something wrong, or raises on all of the first photos.
    """
    done = len(benchmark) - sum(map(len, batches))
    answered = len(predictions) > 0
    with progress_bar(benchmark.name, len(benchmark), " photos", done) as bar, mode(model, how):
        for batch, photos in zip(batches, _loaded(benchmark, model, batches, how), strict=True):
            found = _predict(model, photos, batch.start)
            predictions.add(batch, found)
            bar.update(len(batch))
            answered = answered or any("error" not in record for record in found)
            tried = len(predictions)
            if not answered and (tried >= _ALL_FAIL or tried == len(benchmark)):
                predictions.forget()
                why = found[-1]["error"]
                raise ModelError(f"{model.spec} failed on all of the first {tried} photos: {why}")


def seed(number: int) -> None:
    """Seed what models draw from, so that a run that is continued draws the same."""
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


@contextlib.contextmanager
def mode(model: Model, how: How) -> Iterator[None]:
    """Compute without gradients, and in mixed precision if that was chosen."""
    device = str(getattr(model.source, "device", "")).partition(":")[0]
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kind = getattr(torch, how.amp) if how.amp else None
    with torch.inference_mode(), torch.autocast(device, kind, enabled=kind is not None):
        yield


def _loaded(
    benchmark: Benchmark, model: Model, batches: Sequence[range], how: How
) -> Iterator[list[Any]]:
    """Yield the photos of each batch."""
    workers = how.workers
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    workers = min(workers, len(batches))
    photos: Any = _Photos(benchmark, model)
    # forked, because the functions of a file cannot be pickled
    context = "fork" if workers and sys.platform == "linux" else None
    options: dict[str, Any] = {"num_workers": workers, "multiprocessing_context": context}
    _allow_many_files()
    loader = DataLoader(photos, batch_sampler=batches, collate_fn=list, **options)  # type: ignore[arg-type]
    try:
        yield from loader
    except RuntimeError as error:  # not of the model, whose errors are not raised in here
        raise ModelError(f"reading photos failed: {described(error)}") from error


def _allow_many_files() -> None:
    """Raise the limit on open files: each tensor from a worker is one."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _predict(model: Model, photos: Sequence[Any], start: int) -> list[Record]:
    """Predict a batch; if the model raises, photo by photo."""
    found: list[Record] = [error_record(p) if isinstance(p, _Failed) else {} for p in photos]
    usable = [number for number, photo in enumerate(photos) if not isinstance(photo, _Failed)]

    def predict(numbers: Sequence[int]) -> None:
        seed(start)
        answers = model.records([photos[number] for number in numbers])
        for number, answer in zip(numbers, answers, strict=True):
            found[number] = answer

    try:
        if usable:
            predict(usable)
    except Exception as error:
        _refuse(error, len(usable))
        for number in usable:
            try:
                predict([number])
            except Exception as error:
                _refuse(error, 1)
                found[number] = error_record(described(error))
    return found


def _refuse(error: Exception, n: int) -> None:
    """Raise again what is wrong with the model or the machine, and not with a photo."""
    if isinstance(error, ModelError):
        raise error
    if isinstance(error, MemoryError) or type(error).__name__ in _OF_DEVICE:
        raise ModelError(
            f"the device fails on a batch of {n:,} photos ({described(error)}); if its memory does "
            "not suffice, choose a smaller --batch-size"
        ) from error
