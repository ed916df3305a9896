"""Pictures decoded at the size at which they are trained on.

A JPEG is coded in blocks that can be decoded at a half, a quarter, … of their size for a fraction
of the work (simplejpeg does it, with libjpeg-turbo); only the rest of the way is resampled.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fsspec
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

QUALITY = 90
_JPEGS = ("jpg", "jpeg")
# Turning a picture upright swaps its sides.
_SWAPPED = (5, 6, 7, 8)

Size = int | Sequence[int]


class PictureError(ValueError):
    """A picture that cannot be decoded."""


def decode(data: bytes, size: Size) -> np.ndarray:
    """Decode a picture at a size, upright.

    Parameters
    ----------
    data : bytes
        A JPEG file, or another format that Pillow reads.
    size : int or (int, int)
        The shorter side in pixels, the other in proportion and nothing enlarged; or height and
        width, whatever the picture's own.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB. Grey pictures have three equal channels, CMYK is converted as Pillow does it.

    Raises
    ------
    PictureError
        When the picture is damaged, or claims more pixels than Pillow allows.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
            height, width = _target(picture.size[::-1], size, orientation in _SWAPPED)
            if picture.format == "JPEG" and picture.mode in ("RGB", "L"):
                scaled = _decode_scaled(data, picture.size[::-1], (height, width))
                pixels = _resample(Image.fromarray(scaled), height, width)
            else:
                pixels = _resample(picture.convert("RGB"), height, width)
            return np.array(_upright(pixels, orientation))  # torch wants arrays it may write to
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"it cannot be decoded ({error})") from error


def shrink(data: bytes, size: Size, quality: int = QUALITY) -> bytes:
    """Return a picture as a JPEG file of a size; as it is, where it is no larger and upright.

    Arguments and errors are those of `decode`.
    """
    if _fits(data, size):
        return data
    pixels = np.ascontiguousarray(decode(data, size))
    return simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")


class Resize:
    """A transform that decodes pictures at a size, several times as fast as decoding them whole.

    For `datasets` it takes a batch, so it goes into `with_transform`, or into `map` with
    `batched=True`; `image_bytes` is the like for a webdataset pipeline's `decode`.

    Parameters
    ----------
    size : int or (int, int)
        The shorter side in pixels (nothing is enlarged), or height and width.
    column : str
        The column of pictures. Cast it to `datasets.Image(decode=False)` first: what comes decoded
        is resized all the same, but has cost the time already.

    Examples
    --------
    >>> rows = rows.cast_column("image", Image(decode=False))  # doctest: +SKIP
    >>> rows.with_transform(Resize(384))[0]["image"].shape  # doctest: +SKIP
    (384, 512, 3)
    """

    def __init__(self, size: Size, column: str = "image") -> None:
        self._size, self._column = check_size(size), column

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        """Return the batch with arrays of uint8, shape (height, width, 3), for pictures."""
        if self._column not in batch:
            raise KeyError(f"There is no column {self._column!r}; there are {', '.join(batch)}.")
        return {**batch, self._column: [self._array(entry) for entry in batch[self._column]]}

    def image_bytes(self, key: str, data: bytes) -> np.ndarray | None:
        """Decode a webdataset sample's JPEG: a handler for `pipeline.decode`."""
        if key.lower().rpartition(".")[2] not in _JPEGS:
            return None
        return decode(data, self._size)

    def _array(self, entry: Any) -> np.ndarray:
        if isinstance(entry, Image.Image):
            height, width = _target(entry.size[::-1], self._size, False)
            return np.array(_resample(entry.convert("RGB"), height, width))
        data = entry["bytes"]
        if data is None:
            with fsspec.open(entry["path"], "rb") as file:
                data = file.read()
        try:
            return decode(data, self._size)
        except PictureError as error:
            raise PictureError(f"{entry['path']}: {error}") from error


def check_size(size: Any) -> Size:
    """Return a size as a number or a tuple of two, or raise ValueError."""
    numbers = [size] if isinstance(size, int) else size
    right = isinstance(numbers, (list, tuple)) and (isinstance(size, int) or len(numbers) == 2)
    if not right or not all(type(n) is int and 1 <= n <= 65_500 for n in numbers):
        raise ValueError(
            f"A picture's size is its shorter side in pixels, or (height, width), not {size!r}."
        )
    return size if isinstance(size, int) else tuple(size)


def _target(shape: tuple[int, int], size: Size, swapped: bool) -> tuple[int, int]:
    """Return height and width to decode to, of a picture as it is stored."""
    if not isinstance(size, int):
        height, width = size
        return (width, height) if swapped else (height, width)
    scale = min(1.0, size / min(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _decode_scaled(data: bytes, shape: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Decode a JPEG to the smallest of 1, ½, ¼ and ⅛ of its shape that covers the target.

    Other eighths exist, but libjpeg-turbo is several times slower at them.
    """
    scale = next(s for s in (8, 4, 2, 1) if s == 1 or _covers(shape, target, s))
    least = -(-shape[0] // scale), -(-shape[1] // scale)
    return simplejpeg.decode_jpeg(data, "RGB", min_height=least[0], min_width=least[1])


def _covers(shape: tuple[int, int], target: tuple[int, int], scale: int) -> bool:
    return all(-(-side // scale) >= wanted for side, wanted in zip(shape, target, strict=True))


def _resample(picture: Image.Image, height: int, width: int) -> Image.Image:
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    if orientation == 1:
        return picture
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(picture)


def _fits(data: bytes, size: Size) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            upright = picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
            same = _target(picture.size[::-1], size, False) == picture.size[::-1]
            return upright and same and picture.format == "JPEG"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"it cannot be decoded ({error})") from error
