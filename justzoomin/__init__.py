"""Just Zoom In for `load_dataset`: importing this package registers the name "justzoomin".

import justzoomin
from datasets import load_dataset
rows = load_dataset("justzoomin", split="validation", streaming=True)
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

import gcd_metric.registration  # noqa: F401  registers the metrics with `evaluate.load`
from geoload.processes import equal_share
from geoload.registry import register
from justzoomin import zoom

if TYPE_CHECKING:
    from datasets import Dataset

    from geoload.pictures import Resize
    from justzoomin.justzoomin import JustZoomIn
    from justzoomin.options import JustZoomInConfig
    from justzoomin.pipeline import Pipeline
    from justzoomin.rendering import render
    from justzoomin.scores import score
    from justzoomin.tiles import TilePyramid
    from justzoomin.views import open_views
    from justzoomin.zoom_views import ZoomViews

register("justzoomin", "justzoomin.justzoomin")

__all__ = [
    "JustZoomIn",
    "JustZoomInConfig",
    "Resize",
    "TilePyramid",
    "ZoomViews",
    "equal_share",
    "open_views",
    "photos",
    "render",
    "score",
    "webdataset",
    "zoom",
]

# Imported on first use: commands would have to wait for `datasets`, and views need OpenCV and
# pyproj (the extra `tiles`), which loading photos does not.
_LAZY = {
    "JustZoomIn": "justzoomin.justzoomin",
    "JustZoomInConfig": "justzoomin.options",
    "Resize": "geoload.pictures",
    "TilePyramid": "justzoomin.tiles",
    "ZoomViews": "justzoomin.zoom_views",
    "open_views": "justzoomin.views",
    "render": "justzoomin.rendering",
    "score": "justzoomin.scores",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'justzoomin' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def photos(split: str, **options: Any) -> Dataset:
    """Return one split of the street photos for random access, read on access.

    Nothing is copied: rows point into the TAR shards (or extracted files), which must stay where
    they are. Global shuffles, samplers and `select` are therefore fast.

    Parameters
    ----------
    split : str
        "train" or "validation", or a slice of one, as for `load_dataset` ("train[:1000]").
    **options
        As for `load_dataset("justzoomin", …)`. Without `data_dir` the shards are downloaded.

    Returns
    -------
    datasets.Dataset
        The features of the configuration `streetview`, in the order of the split's table, as
        `metadata` has it. (Photos that are streamed or copied out of shards come in the shards'
        order.)

    Examples
    --------
    >>> rows = justzoomin.photos("validation", data_dir="justzoomin")  # doctest: +SKIP
    >>> rows.shuffle(seed=0)[17]["image"].size  # doctest: +SKIP
    (1024, 768)
    """
    from datasets import load_dataset

    for option in ("name", "streaming", "in_place"):
        if option in options:
            raise ValueError(f"photos() decides about {option}= itself; see load_dataset.")
    names = [part.strip() for part in re.sub(r"\[[^]]*\]", "", str(split)).split("+")]
    if set(names) <= {"train", "validation"}:
        options = {"splits": names, **options}
    return load_dataset("justzoomin", "streetview", split=str(split), in_place=True, **options)


def webdataset(split: str, **options: Any) -> Pipeline:
    """Return one split of the street photos as a webdataset pipeline.

    Parameters
    ----------
    split : str
        "train" or "validation".
    **options
        As for `load_dataset("justzoomin", …)`: `data_dir`, `metadata_dir`, `repository`,
        `revision`, `shards`, `covered`, `covered_id`, `strict`, `token`.

    Returns
    -------
    Pipeline
        A `webdataset.DataPipeline` with the fluent methods (`shuffle`, `decode`, `to_tuple`,
        `batched`, …). Samples have `__key__` (the image id), `__url__` (the shard), `jpg` (bytes)
        and `json` (bytes: image_id, latitude, longitude, sequence). Shards are shared among nodes
        and DataLoader workers, so that every sample comes once.

    Examples
    --------
    >>> pipeline = justzoomin.webdataset("train").shuffle(1000).decode("pil")  # doctest: +SKIP
    >>> for image, row in pipeline.to_tuple("jpg", "json"):  # doctest: +SKIP
    ...     print(image.size, row["latitude"], row["longitude"])
    """
    # Imported here because webdataset imports torch if it is installed, which takes seconds.
    from justzoomin.pipeline import pipeline

    return pipeline(split, **options)
