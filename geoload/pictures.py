"""Decode pictures at the size at which a model is trained on them.

simplejpeg (libjpeg-turbo) decodes a JPEG at a half, a quarter or an eighth of its size at a
fraction of the cost; only the remaining reduction is done by resampling.
"""

from __future__ import annotations

import contextlib
import io
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fsspec
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from geoload.jpeg import clean

QUALITY = 90
_PLAIN = ("RGB", "L")

Size = int | Sequence[int]
Resample = Callable[[np.ndarray, int, int], np.ndarray]


class PictureError(ValueError):
    """A picture that cannot be decoded."""


def resample_with_pillow(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample RGB pixels, uint8 of shape (height, width, 3), with Pillow's bicubic filter."""
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(picture)  # a copy, since torch needs to write to it


def resample_with_torch(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample with the same filter in torch: several times as fast, values differ by at most 2."""
    from torch import from_numpy
    from torch.nn.functional import interpolate

    batch = from_numpy(pixels)[None].permute(0, 3, 1, 2)
    batch = interpolate(batch, (height, width), mode="bicubic", antialias=True)
    return np.ascontiguousarray(batch.permute(0, 2, 3, 1)[0].numpy())


def decode(data: bytes, size: Size, resample: Resample = resample_with_pillow) -> np.ndarray:
    """Decode a picture at a size (see `Resize`), upright, to uint8 RGB of shape (height, width, 3).

    Grey pictures have three equal channels; CMYK is converted as Pillow does it. Raises
    PictureError when the picture is damaged, or claims more pixels than Pillow allows.
    """
    size = check_size(size)
    with _opened(data) as (picture, cleaned):
        return _decode(picture, cleaned, size, resample)


def shrink(data: bytes, size: Size, quality: int = QUALITY) -> bytes:
    """Return a picture as a grey or RGB JPEG file of a size, with its colour profile.

    A picture that has the size and is upright is returned as it is. Errors are those of `decode`.
    """
    size = check_size(size)
    with _opened(data) as (picture, cleaned):
        grey, shape = picture.mode == "L", picture.size[::-1]
        plain = picture.format == "JPEG" and picture.mode in _PLAIN
        if plain and _orientation(picture) == 1 and _target(shape, size, False) == shape:
            return data
        pixels = _decode(picture, cleaned, size, resample_with_pillow)
        profile = picture.info.get("icc_profile") if picture.mode in _PLAIN else None
    if profile is None and not grey:
        return bytes(simplejpeg.encode_jpeg(pixels, quality, "RGB", "420"))
    buffer, small = io.BytesIO(), Image.fromarray(pixels).convert("L" if grey else "RGB")
    small.save(buffer, "JPEG", quality=quality, icc_profile=profile)
    return buffer.getvalue()


class Resize:
    """A transform that decodes pictures at a reduced size, which is several times faster.

    It takes a batch of `datasets`: use it with `with_transform` or, while streaming, with
    `map(…, batched=True)`. In a webdataset pipeline, use `decode(resize.image_bytes)`.
    If torch has been imported, it resamples JPEGs instead of Pillow: several times as fast, with
    values that differ by at most 2 of 255.

    Parameters
    ----------
    size : int or (int, int)
        The shorter side in pixels (nothing is enlarged), or height and width.
    column : str
        The column of pictures. Cast it to `datasets.Image(decode=False)` first. Pictures that
        are already decoded are resized too, but without the gain in speed.

    Examples
    --------
    >>> rows = rows.cast_column("image", Image(decode=False))  # doctest: +SKIP
    >>> rows.with_transform(Resize(384))[0]["image"].shape  # doctest: +SKIP
    (384, 512, 3)
    """

    def __init__(self, size: Size, column: str = "image") -> None:
        self._size, self._column = check_size(size), column

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the batch with arrays of uint8, shape (height, width, 3), for pictures."""
        if self._column not in batch:
            raise KeyError(f"There is no column {self._column!r}; there are {', '.join(batch)}.")
        pictures = [self._array(*row) for row in enumerate(batch[self._column])]
        return {**batch, self._column: pictures}

    def image_bytes(self, key: str, data: bytes) -> np.ndarray | None:
        """Decode the JPEG of a webdataset sample: a handler for `pipeline.decode`."""
        is_jpeg = key.lower().rpartition(".")[2] in ("jpg", "jpeg")
        return self.decode(data) if is_jpeg else None

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the file of a picture; raises PictureError if it is damaged."""
        fast = "torch" in sys.modules
        return decode(data, self._size, resample_with_torch if fast else resample_with_pillow)

    def _array(self, row: int, entry: Any) -> np.ndarray:
        decoded = isinstance(entry, Image.Image)
        path = getattr(entry, "filename", None) if decoded else entry.get("path")
        try:
            if decoded:
                with _picture_errors():
                    return np.array(_resized(entry, self._size))
            data = entry["bytes"]
            if data is None:
                with fsspec.open(path, "rb") as file:
                    data = file.read()
            return self.decode(data)
        except PictureError as error:
            place = path or f"row {row} of the batch (counted from 0)"
            raise PictureError(f"{place}: {error}") from error


def check_size(size: Any) -> Size:
    """Return a size as a number or a tuple of two; raise ValueError if it is not a size."""
    several = isinstance(size, (list, tuple, np.ndarray)) and len(size) == 2
    given = size if several else [size]
    try:
        numbers = [0 if isinstance(n, bool) else operator.index(n) for n in given]
    except TypeError:
        numbers = [0]
    if not all(1 <= n <= 65_500 for n in numbers):
        raise ValueError(
            f"A picture's size is its shorter side in pixels, or (height, width), not {size!r}."
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _target(shape: tuple[int, int], size: Size, swapped: bool) -> tuple[int, int]:
    """Return the height and width at which to decode a picture, before it is turned upright."""
    if not isinstance(size, int):
        return (size[1], size[0]) if swapped else (size[0], size[1])
    scale = min(1.0, size / min(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[tuple[Image.Image, bytes]]:
    """Open a picture; of the metadata of a JPEG, only the orientation is kept."""
    with _picture_errors():
        if data.startswith(b"\xff\xd8"):
            data = clean(data)
        with Image.open(io.BytesIO(data)) as picture:
            yield picture, data


@contextlib.contextmanager
def _picture_errors() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:  # its message contains a memory address
        raise PictureError("it cannot be decoded (not a format that Pillow reads)") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"it cannot be decoded ({error})") from error


def _decode(picture: Image.Image, data: bytes, size: Size, resample: Resample) -> np.ndarray:
    if picture.format != "JPEG" or picture.mode not in _PLAIN:
        return np.array(_resized(picture, size))
    orientation = _orientation(picture)
    height, width = _target(picture.size[::-1], size, swapped=orientation in (5, 6, 7, 8))
    pixels = _decode_scaled(picture, data, height, width)
    if pixels.shape[:2] != (height, width):
        pixels = resample(pixels, height, width)
    if orientation == 1:
        return pixels
    scaled = Image.fromarray(pixels)
    scaled.getexif()[ExifTags.Base.Orientation] = orientation
    return np.array(ImageOps.exif_transpose(scaled))


def _decode_scaled(picture: Image.Image, data: bytes, height: int, width: int) -> np.ndarray:
    """Decode a JPEG at the smallest of 1, ½, ¼ and ⅛ of its size that covers height and width.

    Other eighths exist, but libjpeg-turbo is several times slower at them.
    """
    for scale in (8, 4, 2, 1):
        rows, columns = -(-picture.height // scale), -(-picture.width // scale)
        if rows >= height and columns >= width:
            break
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", min_height=rows, min_width=columns)
    except ValueError:
        # Pillow accepts stray bytes, and raises if something is missing.
        pixels = np.array(picture.convert("RGB"))
    return pixels


def _resized(picture: Image.Image, size: Size) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"its pixels are of mode {picture.mode}, not of eight bits")
    # Pillow knows which formats it has already turned upright, such as TIFF.
    upright = ImageOps.exif_transpose(picture).convert("RGB")
    height, width = _target(upright.size[::-1], size, False)
    if upright.size == (width, height):
        return upright
    return upright.resize((width, height), Image.Resampling.BICUBIC)


def _orientation(picture: Image.Image) -> int:
    return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
