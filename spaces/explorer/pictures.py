"""Pictures for a page: small, bare of everything but pixels, and inside the HTML."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image, ImageOps

LONGEST = 800  # pixels
_QUALITY = 85


def bare(data: bytes, longest: int = LONGEST) -> bytes:
    """Return a picture as a JPEG of new pixels: upright, no larger, with no metadata at all.

    Raises
    ------
    ValueError
        When it cannot be decoded, or is far too large.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (longest, longest))
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture cannot be decoded ({error})") from error
    upright.thumbnail((longest, longest))
    return jpeg(upright)


def jpeg(picture: Image.Image) -> bytes:
    """Code pixels as a JPEG; Pillow would write a comment that it has read along with them."""
    fresh = Image.new("RGB", picture.size)
    fresh.paste(picture)
    buffer = io.BytesIO()
    fresh.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def address(data: bytes) -> str:
    """Return a JPEG as an address that needs no request, and no name of a file."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def figure(data: bytes, alternative: str, caption: str = "") -> str:
    """Return a picture as HTML, with the text for those who do not see it."""
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    text = html.escape(alternative, quote=True)
    return f'<figure class="picture"><img src="{address(data)}" alt="{text}">{below}</figure>'
