"""From the body of an HTTP answer to a training photo.

A training photo is a JPEG with at most 1,024 pixels on its longest side, never enlarged, upright,
RGB or grey, with no metadata but the colour profile.
"""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

import simplejpeg
from PIL import Image, ImageOps

from geoload.jpeg import PhotoError, clean
from im2gps.building import missing
from im2gps.building.missing import Missing
from im2gps.flickr.ids import LONGEST_SIDE

QUALITY = 90
SHORTEST_SIDE = 64  # Flickr's smallest square icons have 75 pixels
MAX_PIXELS = 80_000_000
_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF"}
_FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF"}
_MODES = ("RGB", "L", "CMYK", "P", "RGBA", "LA", "1")
# Width and height, 500 and 374, of the `photo_unavailable.gif` that Flickr has served for years.
_PLACEHOLDER = b"\xf4\x01\x76\x01"
_ORIENTATION = 0x0112
# Exceptions of Pillow for broken pictures, besides its own errors, which are OSErrors.
_BROKEN = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error,
           OverflowError, MemoryError, PhotoError)  # fmt: skip


class Picture(NamedTuple):
    """A JPEG file, its size in pixels, and whether its pixels were encoded again."""

    data: bytes
    width: int
    height: int
    recoded: bool


def training_jpeg(body: bytes, suffix: str) -> Picture:
    """Make a training photo from the body of an answer.

    The pixels of a JPEG that fits are kept losslessly. It is decoded all the same, because a file
    with a valid structure can have damaged data.

    Parameters
    ----------
    body : bytes
        JPEG, PNG or GIF; of an animation the first picture is taken.
    suffix : str
        What the address promised: "jpg", "jpeg", "png" or "gif".

    Raises
    ------
    Missing
        With the reason why there is no usable picture in it.
    """
    kind = next((kind for magic, kind in _MAGIC.items() if body.startswith(magic)), "")
    if kind != _FORMATS[suffix]:
        placeholder = body[:4] == b"GIF8" and body[6:10] == _PLACEHOLDER
        raise Missing(missing.PLACEHOLDER if placeholder else missing.WRONG_TYPE)
    try:
        if kind == "JPEG":
            body = clean(body)
        with Image.open(io.BytesIO(body), formats=[kind]) as image:
            _check_header(image)
            if kind != "JPEG":
                return _recode(image)
            decoded = _decode_jpeg(body, image)
            if _fits(image):
                return Picture(body, image.width, image.height, recoded=False)
            return _recode(decoded)
    except Image.DecompressionBombError:
        raise Missing(missing.TOO_MANY_PIXELS) from None
    except _BROKEN:
        raise Missing(missing.DAMAGED) from None


def _check_header(image: Image.Image) -> None:
    """Refuse pictures that must not be decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise Missing(missing.TOO_MANY_PIXELS)
    if min(_target_size(image.size)) < SHORTEST_SIDE:
        raise Missing(missing.TOO_SMALL)
    if image.mode not in _MODES:
        raise Missing(missing.WRONG_TYPE)


def _decode_jpeg(body: bytes, image: Image.Image) -> Image.Image:
    """Decode a JPEG; ValueError where Pillow would fill the rest with grey after a warning.

    All data are read, but at a scale that libjpeg computes cheaply: the smallest if the file will
    be kept, else at least 1.4 times the size of the result. Lanczos resampling then gives nearly
    the same as from the full size: 51 dB, where a bicubic filter on the full size has 49 dB.
    """
    by_pillow = image.mode == "CMYK"  # it handles Adobe's inverted CMYK
    scale = 0.0 if by_pillow or _fits(image) else 1.4
    width, height = (max(1, int(scale * side)) for side in _target_size(image.size))
    colours = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}[image.mode]
    pixels = simplejpeg.decode_jpeg(body, colours, min_height=height, min_width=width)
    if by_pillow:
        return image
    decoded = Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels)
    decoded.info.update(image.info)
    return decoded


def _fits(image: Image.Image) -> bool:
    upright = image.getexif().get(_ORIENTATION, 1) not in range(2, 9)
    return upright and max(image.size) <= LONGEST_SIDE and image.mode in ("RGB", "L")


def _recode(image: Image.Image) -> Picture:
    profile = image.info.get("icc_profile", b"")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    upright = _rgb_or_grey(ImageOps.exif_transpose(image))
    # The profile must be one of the colour space that the picture has now.
    if profile[16:20] != {"RGB": b"RGB ", "L": b"GRAY"}[upright.mode]:
        profile = b""
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", quality=QUALITY, icc_profile=profile)
    # Pillow carries comments over.
    return Picture(clean(buffer.getvalue()), *upright.size, recoded=True)


def _rgb_or_grey(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB or grey; transparent pixels become white."""
    if image.mode in ("RGB", "L"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _target_size(size: tuple[int, int]) -> tuple[float, float]:
    scale = min(1.0, LONGEST_SIDE / max(size))
    return size[0] * scale, size[1] * scale
