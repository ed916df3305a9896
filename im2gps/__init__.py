"""Im2GPS for `load_dataset`: importing this package registers the name "im2gps".

import im2gps
from datasets import load_dataset
photos = load_dataset("im2gps", split="test")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import gcd_metric.registration  # noqa: F401 - registers the metrics with `evaluate.load`, too
from geoload.registry import register

if TYPE_CHECKING:
    from geoload.pictures import Resize
    from im2gps.im2gps import Im2GPS
    from im2gps.options import Im2GPSConfig
    from im2gps.pipeline import Pipeline

register("im2gps", "im2gps.im2gps")

__all__ = ["Im2GPS", "Im2GPSConfig", "Resize", "webdataset"]

# Imported on first use, because commands would have to wait for `datasets`, which these import.
_LAZY = {
    "Im2GPS": "im2gps.im2gps",
    "Im2GPSConfig": "im2gps.options",
    "Resize": "geoload.pictures",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'im2gps' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def webdataset(split: str, **options: Any) -> Pipeline:
    """Return one split of the training photos as a webdataset pipeline.

    Parameters
    ----------
    split : str
        "train" or "validation", or a split that `data_files` names.
    **options
        As for `load_dataset("im2gps", …)`: `data_dir` or `data_files`, `validation_fraction`,
        `original_bytes`, `skip_broken`, `strict`, `token`.

    Returns
    -------
    Pipeline
        A `webdataset.DataPipeline` with the fluent methods (`shuffle`, `decode`, `to_tuple`,
        `batched`, …). Samples have `__key__`, `__url__` (the shard), `jpg` (bytes) and `json`
        (bytes: image_id, latitude, longitude, and the other fields of the shard's JSON). Nodes and
        DataLoader workers share the shards, so that every sample comes once.

    Examples
    --------
    >>> pipeline = im2gps.webdataset("train", data_dir="shards")  # doctest: +SKIP
    >>> for image, row in pipeline.decode("pil").to_tuple("jpg", "json"):  # doctest: +SKIP
    ...     print(image.size, row["latitude"], row["owner"])
    """
    # Imported here because webdataset imports torch if it is installed, which takes seconds.
    from im2gps.pipeline import pipeline

    return pipeline(split, **options)
