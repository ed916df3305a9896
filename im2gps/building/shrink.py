"""From what came over the network to the JPEG that goes into a shard, or the reason why not.

Longest side at most 1,024 pixels, never enlarged, upright, RGB or grey, and nothing in it but the
picture and its colour profile.
"""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

import simplejpeg
from PIL import Image, ImageOps

from geoload.jpeg import PhotoError, clean
from im2gps.building import missing
from im2gps.building.addresses import LONGEST
from im2gps.building.missing import Missing

QUALITY = 90
# Of the shorter side. Flickr's smallest square icons have 75.
SHORTEST = 64
MAX_PIXELS = 80_000_000
_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF"}
_TYPES = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF"}
_MODES = ("RGB", "L", "CMYK", "P", "RGBA", "LA", "1")
# Width and height, 500 and 374, of the `photo_unavailable.gif` that Flickr has served for years.
_PLACEHOLDER = b"\xf4\x01\x76\x01"
_ORIENTATION = 0x0112
# What Pillow raises at broken pictures, besides its own errors, which are OSErrors.
_BROKEN = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error,
           OverflowError, MemoryError)  # fmt: skip


class Picture(NamedTuple):
    """A JPEG file, its size in pixels, and whether its pixels were coded anew."""

    data: bytes
    width: int
    height: int
    recoded: bool


def shrink(body: bytes, suffix: str) -> Picture:
    """Make a photo of the data set from the body of an answer.

    A JPEG that needs no change of its pixels keeps them losslessly. It is decoded all the same,
    because a picture can be whole in its form and damaged in its data.

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
    if kind != _TYPES[suffix]:
        known = body[:4] == b"GIF8" and body[6:10] == _PLACEHOLDER
        raise Missing(missing.PLACEHOLDER if known else missing.WRONG_TYPE)
    try:
        if kind == "JPEG":
            body = clean(body)
        with Image.open(io.BytesIO(body), formats=[kind]) as image:
            _check(image)
            if kind != "JPEG":
                return _recode(image)
            decoded = _decode(body, image)
            if _fits(image):
                return Picture(body, image.width, image.height, recoded=False)
            return _recode(decoded)
    except Image.DecompressionBombError:
        raise Missing(missing.TOO_MANY_PIXELS) from None
    except (*_BROKEN, PhotoError):
        raise Missing(missing.DAMAGED) from None


def _check(image: Image.Image) -> None:
    """Judge by the header alone: what is refused here is never decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise Missing(missing.TOO_MANY_PIXELS)
    if min(_bounded(image.size)) < SHORTEST:
        raise Missing(missing.TOO_SMALL)
    if image.mode not in _MODES:
        raise Missing(missing.WRONG_TYPE)


def _decode(body: bytes, image: Image.Image) -> Image.Image:
    """Decode a JPEG, raising ValueError where Pillow would fill in grey after libjpeg's warning.

    All of the data are read, but no more pixels computed than are needed: an eighth of a side
    where the file will be kept, else half as many again as the result has.
    """
    inked = image.mode == "CMYK"  # which Pillow decodes, as it knows Adobe's inverted inks
    scale = 0.0 if inked or _fits(image) else 1.5
    width, height = (max(1, int(scale * side)) for side in _bounded(image.size))
    colours = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}[image.mode]
    pixels = simplejpeg.decode_jpeg(body, colours, min_height=height, min_width=width)
    if inked:
        return image
    decoded = Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels)
    decoded.info.update(image.info)
    return decoded


def _fits(image: Image.Image) -> bool:
    upright = image.getexif().get(_ORIENTATION, 1) not in range(2, 9)
    return upright and max(image.size) <= LONGEST and image.mode in ("RGB", "L")


def _recode(image: Image.Image) -> Picture:
    profile = image.info.get("icc_profile", b"")
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS, reducing_gap=2.0)
    upright = ImageOps.exif_transpose(image)
    coloured = _coloured(upright)
    # A profile of other colours than these would be a wrong one.
    if profile[16:20] != {"RGB": b"RGB ", "L": b"GRAY"}[coloured.mode]:
        profile = b""
    buffer = io.BytesIO()
    coloured.save(buffer, "JPEG", quality=QUALITY, icc_profile=profile)
    # Pillow carries comments over.
    return Picture(clean(buffer.getvalue()), *coloured.size, recoded=True)


def _coloured(image: Image.Image) -> Image.Image:
    """Turn any mode into RGB or grey; what was transparent becomes white."""
    if image.mode in ("RGB", "L"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _bounded(size: tuple[int, int]) -> tuple[float, float]:
    scale = min(1.0, LONGEST / max(size))
    return size[0] * scale, size[1] * scale
