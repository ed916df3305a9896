"""Im2GPS for `load_dataset`: importing this package makes the name "im2gps" known.

import im2gps
from datasets import load_dataset
photos = load_dataset("im2gps", split="test")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gcd_metric.registration  # noqa: F401  so that `evaluate.load` knows our metrics, too
from geoload.pictures import Resize
from geoload.registry import register

if TYPE_CHECKING:
    from im2gps.pipeline import Pipeline

register("im2gps", "im2gps.im2gps")

from im2gps.im2gps import Im2GPS, Im2GPSConfig  # noqa: E402

__all__ = ["Im2GPS", "Im2GPSConfig", "Resize", "webdataset"]


def webdataset(split: str, **options: Any) -> Pipeline:
    """Return one split of the training photos as a webdataset pipeline.

    Parameters
    ----------
    split : str
        "train" or "validation"; of `data_files`, as they name them.
    **options
        As for `load_dataset("im2gps", …)`: `data_dir` or `data_files`, `validation_fraction`,
        `original_bytes`, `skip_broken`, `strict`, `token`.

    Returns
    -------
    Pipeline
        A `webdataset.DataPipeline` with the fluent methods (`shuffle`, `decode`, `to_tuple`,
        `batched`, …). Samples have `__key__`, `__url__` (the shard), `jpg` (bytes) and `json`
        (bytes: image_id, latitude, longitude, and whatever else the shard says of the photo).
        Shards are shared among nodes and DataLoader workers, so that every sample comes once.

    Examples
    --------
    >>> pipeline = im2gps.webdataset("train", data_dir="shards")  # doctest: +SKIP
    >>> for image, row in pipeline.decode("pil").to_tuple("jpg", "json"):  # doctest: +SKIP
    ...     print(image.size, row["latitude"], row["owner"])
    """
    # webdataset imports torch where it is installed: seconds that other users need not wait.
    from im2gps.pipeline import pipeline

    return pipeline(split, **options)
