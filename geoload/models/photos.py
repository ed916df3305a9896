"""Photos as models get them, and the embeddings that models return for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from geoload.models.loading import ModelError
from geoload.pictures import Resize

_WHOLE = 65_500  # as the shorter side of a photo: nothing is enlarged


def resize_to(size: int | None) -> Resize:
    """Return what decodes photos for `photo_of`.

    `size` is their shorter side in pixels at most, or None for their own size.
    """
    return Resize(size or _WHOLE)


def photo_of(entry: Any, resize: Resize) -> Image.Image:
    """Return a photo as models get it: RGB, upright, and without metadata.

    `entry` is an undecoded picture of `datasets`: a dict of its `bytes` and its `path`. Raises
    PictureError if it cannot be decoded.
    """
    # made from pixels, so that nothing else of the file is left
    return Image.fromarray(resize({"image": [entry]})["image"][0])


def normalized(embeddings: Any, count: int, what: str) -> np.ndarray:
    """Return embeddings, shape (n, d), as float32 of length 1; raises ModelError if not."""
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().float().cpu()
    array = np.asarray(embeddings, np.float32)
    if array.ndim != 2 or len(array) != count:
        raise ModelError(f"{what} returned shape {array.shape}, not ({count}, d)")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} returned NaN or infinity")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    found: np.ndarray = array / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found
