"""What the painted photos of both miniatures share: their grain, and the word SYNTHETIC."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

MARK = "SYNTHETIC"
_LEAST_WIDTH = 56  # pixels; the word could not be read on a narrower picture


def finish(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return an RGB picture with noise, and with the word SYNTHETIC if there is room for it."""
    width, height = picture.size
    # A part of one sheet, because to draw noise takes longer than all the rest.
    sheet = _noise(-(-max(width, height) // 256) * 512)
    left, top = rng.integers(0, sheet.width - max(width, height), 2).tolist()
    grain = sheet.crop((left, top, left + width, top + height))
    picture = ImageChops.add(picture, grain, offset=-128)
    if width >= _LEAST_WIDTH:
        word = _mark(max(8, min(width, height) // 11))
        picture.paste(word, (width - word.width - 2, height - word.height - 1), word)
    return picture


@functools.lru_cache(maxsize=2)
def _noise(side: int) -> Image.Image:
    levels = np.random.default_rng(0).normal(128, 5, (side, side))
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


@functools.lru_cache(maxsize=64)
def _mark(height: int) -> Image.Image:
    """Write the word in white with a dark outline."""
    font = ImageFont.load_default(height)
    left, top, right, bottom = font.getbbox(MARK, stroke_width=1)
    picture = Image.new("RGBA", (int(right - left), int(bottom - top)))
    pen = ImageDraw.Draw(picture)
    pen.text((-left, -top), MARK, "white", font, stroke_width=1, stroke_fill="#222")
    return picture
