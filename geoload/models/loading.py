"""Load the model that a user names, and turn what it returns into records.

A model is a callable, or an object with `predict`. It gets a list of photos (PIL, RGB, upright,
without metadata) and returns coordinates, texts, or several candidates for each photo.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gcd_metric.names import listed
from geoload.files import sha256

ADAPTERS = ("geoclip", "clip", "hf")
BATCH_SIZE = 32
RETURNS = (
    "for n photos, return an array of shape (n, 2) with latitude and longitude in degrees, a list "
    "of n texts, or an array of shape (n, k, 3) with latitude, longitude and score of k "
    "candidates, best first"
)
_LIMITS = (90, 180)
# frames of libraries and of this project, which are not where the user's code fails
_PACKAGES = [str(Path(__file__).parents[2] / name) for name in ("geoload", "geoeval", "im2gps")]
_NOT_OWN = ("site-packages", "<frozen", os.path.dirname(os.__file__), *_PACKAGES)
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


@dataclass
class Model:
    """A loaded model, with the defaults for what it does not say."""

    spec: str
    source: Any  # the callable or object itself
    records: Callable[[list[Any]], list[Record]]  # predicts a batch
    options: ModelOptions
    code: str | None = None  # SHA-256 of its file

    def __post_init__(self) -> None:
        self.preprocess = getattr(self.source, "preprocess", None)  # called for each photo
        self.batch_size = getattr(self.source, "batch_size", BATCH_SIZE)
        # the shorter side at which photos are decoded; None for their own size
        self.image_size = getattr(self.source, "image_size", None)
        # whether it predicts zoom actions, as `geoeval.zoom_model` says
        self.is_zoom = hasattr(self.source, "encode") and hasattr(self.source, "step")
        self.checkpoint = getattr(self.source, "checkpoint", None)  # for `run.json`
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ModelError(f"{self.spec}: batch_size is {self.batch_size!r}, not a number")
        try:
            json.dumps(self.checkpoint)
        except (TypeError, ValueError):
            raise ModelError(
                f"{self.spec}: checkpoint is a dict of texts and numbers that name the weights, "
                f"not {type(self.checkpoint).__name__} with other values"
            ) from None

    def settings(self) -> dict[str, Any]:
        """Return what a run must have in common with the run that it continues.

        The device is not among it, so that another machine may continue a run.
        """
        options = {name: value for name, value in vars(self.options).items() if name != "device"}
        options["prompt"] = getattr(self.source, "prompt", self.options.prompt)
        own = {"model": self.spec, "code": self.code, "checkpoint": self.checkpoint}
        return {**own, "zoom": self.is_zoom, **options}


def load(spec: str, options: ModelOptions) -> Model:
    """Load `FILE.py:NAME`, `package.module:NAME`, or `ADAPTER` or `ADAPTER:NAME`.

    Raises ModelError if that is not a model, and ImportError if an adapter needs a library.
    """
    place, _, name = spec.rpartition(":")
    adapter, _, checkpoint = spec.partition(":")
    code = None
    if adapter in ADAPTERS:
        module = importlib.import_module(f"geoload.models.adapters.{adapter}")
        source = module.load(checkpoint, options)
    elif not place:
        raise ModelError(
            f"{spec}: a model is FILE.py:NAME, package.module:NAME, or one of the adapters "
            f"{', '.join(ADAPTERS)}"
        )
    else:
        module = explained(place, lambda: _import(place))
        code = sha256(module.__file__) if module.__file__ else None
        source = _attribute(module, name, spec)
        if isinstance(source, type):
            source = explained(f"{spec}()", source)
        _set(source, spec, options)
    predict = getattr(source, "predict", source)
    model = Model(spec, source, lambda photos: records(predict(photos), len(photos), spec),
                  options, code)  # fmt: skip
    if not (callable(predict) or model.is_zoom or hasattr(source, "embed_photos")):
        raise ModelError(f"{spec} can neither be called nor has it a method predict(photos)")
    return model


def _import(place: str) -> ModuleType:
    """Import a module by its name, or from a file, which may import its neighbours."""
    if not place.endswith(".py"):
        sys.path.insert(0, os.getcwd())
        return importlib.import_module(place)
    file = Path(place).absolute()
    if not file.is_file():
        raise ModelError("no such file")
    sys.path.insert(0, str(file.parent))
    # a name of its own, because file.stem may be the name of a library
    name = f"geoeval_model_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def explained(what: str, work: Callable[[], Any]) -> Any:
    """Do some work of the user's code, and say in one line where it fails."""
    try:
        return work()
    except ModelError as error:
        raise ModelError(f"{what}: {error}") from None
    except Exception as error:
        raise ModelError(f"{what}: {described(error)}") from error


def described(error: BaseException) -> str:
    """Return type, text and place of an error in the user's code, in one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if not any(part in frame[0] for part in _NOT_OWN)]
    return f"{text} ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else text


def _attribute(module: ModuleType, name: str, spec: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        known = listed(key for key, value in vars(module).items() if callable(value))
        raise ModelError(f"{spec}: there is no {name!r} in it, but {known or 'nothing'}") from None


def _set(source: Any, spec: str, options: ModelOptions) -> None:
    for name, value in vars(options).items():
        if value is None:
            continue
        try:
            getattr(source, name)
            setattr(source, name, value)
        except AttributeError:
            option = name.replace("_", "-")
            raise ModelError(
                f"--{option} has no effect: {spec} has no attribute {name!r} that can be set"
            ) from None


# --- what a model returns -----------------------------------------------------------------------


def records(answers: Any, n: int, spec: str) -> list[Record]:
    """Turn what `predict` returned for n photos into n records; raises ModelError."""
    if isinstance(answers, (list, tuple)) and any(isinstance(one, str) for one in answers):
        return _texts(answers, n, spec)
    if hasattr(answers, "detach"):  # a tensor, perhaps of bfloat16, which numpy does not have
        answers = answers.detach().cpu().double().numpy()
    got = type(answers).__name__
    try:
        array = np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"{spec} returned {got} that is no array of numbers; {RETURNS}") from None
    shape = array.shape
    if len(shape) not in (2, 3) or shape[0] != n or shape[-1] != len(shape) or not array.size:
        raise ModelError(f"{spec} returned {got} of shape {shape} for n = {n} photos; {RETURNS}")
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
