"""Load the model that a user names, and turn what it returns into records.

A model is a callable, or an object with `predict`. It gets a list of photos (PIL, RGB, upright,
without metadata) and returns coordinates, texts, or several candidates for each photo.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from geoload.files import sha256

ADAPTERS = ("geoclip", "clip", "hf")
BATCH_SIZE = 32
RETURNS = (
    "for n photos, return an array of shape (n, 2) with latitude and longitude in degrees, a list "
    "of n texts, or an array of shape (n, k, 3) with latitude, longitude and score of k "
    "candidates, best first"
)
_LIMITS = (90, 180)
Record = dict[str, Any]


class ModelError(ValueError):
    """A model that cannot be loaded or used, or returns something else than it should."""


@dataclass
class ModelOptions:
    """Options of the command for the model; None means that the option was not given.

    Adapters read them. In other models they become attributes, which must exist.
    """

    device: str | None = None
    dtype: str | None = None  # of the weights: float32, bfloat16, float16
    revision: str | None = None  # of the checkpoint
    prompt: str | None = None
    gallery: str | None = None
    max_new_tokens: int | None = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class Model:
    """A loaded model, with the defaults for what it does not say."""

    spec: str
    source: Any  # the callable or object itself
    records: Callable[[list[Any]], list[Record]]  # predicts a batch
    code: str | None = None  # SHA-256 of FILE.py

    @property
    def preprocess(self) -> Callable[[Any], Any] | None:
        """What the workers apply to each photo."""
        return getattr(self.source, "preprocess", None)

    @property
    def image_size(self) -> int | None:
        """The shorter side at which photos are decoded; None for their own size."""
        return getattr(self.source, "image_size", None)

    @property
    def batch_size(self) -> int:
        """The number of photos of a batch, if the user does not choose it."""
        return int(getattr(self.source, "batch_size", BATCH_SIZE))

    @property
    def is_zoom(self) -> bool:
        """Whether this is a model of zoom actions, as `geoeval.zoom_model` defines it."""
        return hasattr(self.source, "encode") and hasattr(self.source, "step")

    def identity(self) -> dict[str, Any]:
        """Return what a run must have in common with the run that it continues."""
        checkpoint = getattr(self.source, "checkpoint", None)
        prompt = getattr(self.source, "prompt", None)
        return {"model": self.spec, "code": self.code, "checkpoint": checkpoint, "prompt": prompt}


def load(spec: str, options: ModelOptions) -> Model:
    """Load `FILE.py:NAME`, `package.module:NAME`, or `ADAPTER` or `ADAPTER:NAME`.

    Raises ModelError if that is not a model, and ImportError if an adapter needs a library.
    """
    place, _, name = spec.rpartition(":")
    adapter, _, checkpoint = spec.partition(":")
    code = None
    if adapter in ADAPTERS:
        source = importlib.import_module(f"geoeval.adapters.{adapter}").load(checkpoint, options)
    elif not place:
        raise ModelError(
            f"{spec}: a model is FILE.py:NAME, package.module:NAME, or one of the adapters "
            f"{', '.join(ADAPTERS)}"
        )
    else:
        if place.endswith(".py"):
            module, code = _import_file(place), sha256(place)
        else:
            module = _import(place)
        source = _instance(_attribute(module, name, spec), spec)
        _set(source, spec, options)
    model = Model(spec, source, lambda photos: [], code)
    predict = getattr(source, "predict", source)
    if callable(predict):
        model.records = lambda photos: records(predict(photos), len(photos), spec)
    elif not model.is_zoom:
        raise ModelError(f"{spec} can neither be called nor has it a method predict(photos)")
    return model


def _import_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise ModelError(f"{path}: no such file")
    file = Path(path).absolute()
    # as if the file were run: it may import its neighbours
    sys.path.insert(0, str(file.parent))
    # a name of its own, because file.stem may be the name of a library
    name = f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None and found.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    _explained(path, lambda: found.loader.exec_module(module))  # type: ignore[union-attr]
    return module


def _import(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    module: ModuleType = _explained(name, lambda: importlib.import_module(name))
    return module


def _explained(what: str, work: Callable[[], Any]) -> Any:
    """Do some work of the user's code, and say in one line where it fails."""
    try:
        return work()
    except Exception as error:
        raise ModelError(f"{what}: {described(error)}") from error


def described(error: BaseException) -> str:
    """Return type, text and place of an error in the user's code, in one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return text
    return f"{text} ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"


def _attribute(module: ModuleType, name: str, spec: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        own = [
            key
            for key, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not key.startswith("_")
        ]
        raise ModelError(
            f"{spec}: there is no {name!r} in it, but {', '.join(own) or 'nothing'}"
        ) from None


def _instance(source: Any, spec: str) -> Any:
    return _explained(f"{spec}()", source) if isinstance(source, type) else source


def _set(source: Any, spec: str, options: ModelOptions) -> None:
    for name, value in options.given().items():
        if not hasattr(source, name):
            option = name.replace("_", "-")
            raise ModelError(f"--{option} has no effect: {spec} has no attribute {name!r}")
        setattr(source, name, value)


# --- what a model returns -----------------------------------------------------------------------


def records(answers: Any, n: int, spec: str) -> list[Record]:
    """Turn what `predict` returned for n photos into n records; raises ModelError."""
    if isinstance(answers, (list, tuple)) and any(isinstance(one, str) for one in answers):
        return _texts(answers, n, spec)
    if hasattr(answers, "detach"):  # a tensor, perhaps of bfloat16, which numpy does not have
        answers = answers.detach().cpu().double().numpy()
    try:
        array = np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError):
        got = type(answers).__name__
        raise ModelError(f"{spec} returned {got} that is no array of numbers; {RETURNS}") from None
    shape = array.shape
    if len(shape) not in (2, 3) or shape[0] != n or shape[-1] != len(shape) or not array.size:
        raise ModelError(f"{spec} returned shape {shape} for n = {n} photos; {RETURNS}")
    _check(array, spec)
    if array.ndim == 2:
        return [_place(*row) for row in array.tolist()]
    return [{**_place(*row[0][:2]), "candidates": row} for row in array.tolist()]


def _place(latitude: float, longitude: float) -> Record:
    return {"latitude": latitude, "longitude": longitude}


def _texts(answers: Sequence[Any], n: int, spec: str) -> list[Record]:
    others = [type(one).__name__ for one in answers if not isinstance(one, str)]
    if others:
        raise ModelError(f"{spec} returned {others[0]} in a list of texts; {RETURNS}")
    if len(answers) != n:
        raise ModelError(f"{spec} returned {len(answers)} texts for n = {n} photos; {RETURNS}")
    return [{"response": str(text)} for text in answers]


def _check(array: np.ndarray, spec: str) -> None:
    """Check that all numbers are finite, on the globe, and best first."""
    if not np.isfinite(array).all():
        raise ModelError(f"{spec} returned NaN or infinity; {RETURNS}")
    places = np.abs(array[..., :2])
    beyond = places > _LIMITS
    if beyond.any():
        row = tuple(int(at[0]) for at in np.nonzero(beyond.any(-1)))
        latitude, longitude = array[row][:2]
        swapped = not (places > _LIMITS[::-1]).any()
        hint = "; they look swapped: latitude comes first" if swapped else ""
        raise ModelError(
            f"{spec} returned latitude {latitude:g} and longitude {longitude:g}, beyond ±90 and "
            f"±180 degrees{hint}"
        )
    if array.ndim == 3 and (np.diff(array[..., 2], axis=1) > 0).any():
        raise ModelError(f"{spec} returned candidates whose scores increase: the best comes first")


def settings(options: ModelOptions) -> dict[str, Any]:
    """Return the options that decide the answers; the device may differ when a run continues."""
    chosen = dataclasses.asdict(options)
    return {name: value for name, value in chosen.items() if name not in ("device", "prompt")}
