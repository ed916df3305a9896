"""Parts that the tabs share: components, pictures, and HTML in which all data are escaped."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from catalogue import Collection
from PIL import Image, ImageOps

from justzoomin.preview import ATTRIBUTION

# Listeners are not offered as an API, through which programs could read a game's answers.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# Exceptions from reading a photo that is on the Hub, or damaged.
READ_ERRORS = (ValueError, OSError, KeyError)
_LONGEST = 800  # pixels
_QUALITY = 85
_CREDITS = {
    "im2gps": "Photos: Im2GPS (Hays and Efros, CVPR 2008), each with the licence that its "
    "photographer chose on Flickr.",
    "justzoomin": ATTRIBUTION,
}


# --- components ---------------------------------------------------------------------------------


def collection_choice(collections: Mapping[str, Collection], elem_id: str) -> gr.Radio:
    """Return the choice of a data set."""
    choices = [(collection.title, name) for name, collection in collections.items()]
    return gr.Radio(choices, value=choices[0][1], label="Data set", elem_id=elem_id, min_width=260)


def button(text: str, elem_id: str, width: int, beside: bool = False, **options: Any) -> gr.Button:
    """Return a button; `beside` aligns it with the boxes in its row."""
    if beside:
        options |= {"elem_classes": "beside", "scale": 0}
    return gr.Button(text, elem_id=elem_id, min_width=width, **options)


def id_box(elem_id: str, placeholder: str, width: int) -> gr.Textbox:
    """Return the box for an image id."""
    return gr.Textbox(
        label="Image id", placeholder=placeholder, elem_id=elem_id, min_width=width,
        max_length=300, scale=2,
    )  # fmt: skip


def status_line(elem_id: str) -> gr.HTML:
    """Return a line whose changes screen readers read aloud."""
    template = '<div role="status" aria-live="polite">${value}</div>'
    return gr.HTML("", html_template=template, js_on_load=None, elem_id=elem_id)


def plain(elem_id: str, value: str = "") -> gr.HTML:
    """Return HTML without any script."""
    return gr.HTML(value, js_on_load=None, elem_id=elem_id)


# --- pictures -----------------------------------------------------------------------------------


def shrunk(data: bytes, longest: int = _LONGEST) -> bytes:
    """Return a picture as a small upright JPEG without metadata; ValueError if it is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (longest, longest))
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture cannot be decoded ({error})") from error
    upright.thumbnail((longest, longest))
    return jpeg(upright)


def jpeg(picture: Image.Image) -> bytes:
    """Encode pixels as a JPEG. Pillow would also write the comment of the file it read."""
    fresh = Image.new("RGB", picture.size)
    fresh.paste(picture)
    buffer = io.BytesIO()
    fresh.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    """Return a JPEG as a data URL, which needs no request and shows no file name."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def figure(data: bytes, alternative: str, caption: str = "") -> str:
    """Return a JPEG as HTML, with its alternative text."""
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    text = html.escape(alternative, quote=True)
    return f'<figure class="picture"><img src="{data_url(data)}" alt="{text}">{below}</figure>'


# --- text ---------------------------------------------------------------------------------------


def credit(collection: Collection) -> str:
    """Return the attribution of the photos and imagery, or a note that they are synthetic."""
    line = _CREDITS[collection.name]
    if collection.synthetic:
        line = f"SYNTHETIC: painted by a program. The real data: {line}"
    return small_print(line)


def small_print(*paragraphs: str) -> str:
    """Return paragraphs in small print."""
    return "".join(f'<p class="remark">{html.escape(line)}</p>' for line in paragraphs)


def done(text: str) -> str:
    """Return a line that says what happened or what to do."""
    return f'<p class="done">{html.escape(text)}</p>'


def failed(error: BaseException | str) -> str:
    """Return a line that says what is wrong."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return f'<p class="error" role="alert">{html.escape(" ".join(text.split())[:600])}</p>'


def unknown_id(collection: Collection, text: str) -> str:
    """Return a line that says that no photo has this id."""
    if not text.strip():
        return failed("Type an image id first.")
    example = collection.rows(collection.splits[0]).ids[:1].tolist()
    return failed(
        f"{collection.title} has no photo {text.strip()!r} in its splits "
        f"{', '.join(collection.splits)}; ids look like {' '.join(example)}."
    )


def record(entries: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a table, one pair per line."""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in entries
    )
    return f'<table class="record">{rows}</table>'


def coordinates(latitude: float, longitude: float) -> str:
    """Return a place as `48.85660, 2.35220`."""
    return f"{latitude:.5f}, {longitude:.5f}"
