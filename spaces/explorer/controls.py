"""Parts that the tabs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from catalogue import Collection

# No listener is for programs: a game's answers are for its visitor, after the guess.
HIDDEN: dict[str, Any] = {"api_visibility": "private"}
# What reading a photo may raise when it lies far away, or is damaged.
READ_ERRORS = (ValueError, OSError, KeyError)


def collection_choice(collections: Mapping[str, Collection], elem_id: str) -> gr.Radio:
    """Which data set."""
    choices = [(collection.title, name) for name, collection in collections.items()]
    return gr.Radio(choices, value=choices[0][1], label="Data set", elem_id=elem_id, min_width=260)


def live(elem_id: str) -> gr.HTML:
    """A line whose changes are read aloud."""
    return gr.HTML(
        "",
        html_template='<div role="status" aria-live="polite">${value}</div>',
        js_on_load=None,
        elem_id=elem_id,
    )


def plain(elem_id: str, value: str = "") -> gr.HTML:
    """HTML that does nothing."""
    return gr.HTML(value, js_on_load=None, elem_id=elem_id)
