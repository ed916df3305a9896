"""Photos as models get them, and the embeddings that models return for them."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import numpy as np
from PIL import Image

from geoload.models.loading import ModelError, ModelOptions, explained, load
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
    """Return embeddings, shape (n, d), as float32 of length 1.

    Raises ModelError if they are not an array of that shape, and ValueError for NaN or infinity.
    `what` names the method that returned them.
    """
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().float().cpu()
    try:
        array = np.asarray(embeddings, np.float32)
    except (TypeError, ValueError):
        got = type(embeddings).__name__
        raise ModelError(f"{what} returned {got} that is no array of numbers") from None
    if array.ndim != 2 or len(array) != count or not array.size:
        raise ModelError(f"{what} returned shape {array.shape}, not ({count}, d)")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} returned NaN or infinity")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    found: np.ndarray = array / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found


class Embedder:
    """Embeds photos with the model that a user names; raises ModelError if it cannot embed.

    Parameters
    ----------
    spec : str
        As for `load`. The model has a method `embed_photos(photos)` that returns an array of shape
        (n, d); `preprocess`, `image_size` and `batch_size` are optional, as for other models.
    """

    def __init__(self, spec: str) -> None:
        model = load(spec, ModelOptions())
        if not callable(getattr(model.source, "embed_photos", None)):
            raise ModelError(
                f"{spec} gives no embeddings: add a method embed_photos(photos), which returns an "
                "array of shape (n, d) for a list of n photos"
            )
        self._model, self._resize, self._size = model, resize_to(model.image_size), 0
        self.batch_size = model.batch_size

    def decode(self, data: bytes) -> Image.Image:
        """Return the photo in a file as `photo_of` does; raises PictureError."""
        return Image.fromarray(self._resize.decode(data))

    def prepare(self, photo: Image.Image) -> Any:
        """Return what the model's `preprocess` returns for a photo, or the photo."""
        preprocess = self._model.preprocess
        what = f"{self._model.spec}: preprocess"
        return explained(what, lambda: preprocess(photo)) if preprocess else photo

    def embed(self, photos: list[Any]) -> np.ndarray:
        """Return the embeddings of prepared photos, shape (n, d), as float32 of length 1."""
        what, torch = f"{self._model.spec}: embed_photos", sys.modules.get("torch")
        with torch.inference_mode() if torch else nullcontext():
            answer = explained(what, lambda: self._model.source.embed_photos(photos))
        try:
            found = normalized(answer, len(photos), what)
        except ValueError as error:
            raise ModelError(str(error)) from None
        if found.shape[1] != (self._size or found.shape[1]):
            raise ModelError(f"{what} returned {found.shape[1]} dimensions after {self._size}")
        self._size = found.shape[1]
        return found
