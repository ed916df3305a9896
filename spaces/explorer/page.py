"""The page by gradio: its three tabs, what happens in them, how they look.

A visitor's game and choices are in `gr.State`; what all share is only read. It needs no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import browse_tab
import gradio as gr
import guess_tab
import walk_tab
import words
import worldmap
from catalogue import Collection
from controls import HIDDEN

from gcd_metric import look


def build(collections: Mapping[str, Collection]) -> gr.Blocks:
    """The page, ready to be launched."""
    with gr.Blocks(title="Where was this photo taken?", analytics_enabled=False) as page:
        gr.Markdown(words.INTRO)
        with gr.Tabs() as tabs:  # of short names, or a phone hides the last in a menu
            with gr.Tab("Guess", id="guess"):
                guess_tab.build(page, collections)
            with gr.Tab("Browse", id="browse"):
                chosen, walk_button = browse_tab.build(collections)
            with gr.Tab("Zoom", id="walk") as walk:
                to_walk, show_walk = walk_tab.build(walk, collections["justzoomin"])
        gr.Markdown(words.ABOUT)
        walk_button.click(
            lambda place: (gr.update(selected="walk"), place), chosen, [tabs, to_walk], **HIDDEN
        ).then(**show_walk)
    return page


def serve(collections: Mapping[str, Collection]) -> None:
    """Serve the page until it is stopped."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    build(collections).queue(max_size=40, default_concurrency_limit=4).launch(
        head=f"<style>{look.STYLE}{style}</style>{worldmap.head()}",
        theme=look.theme(),
        max_file_size=1,  # nobody has anything to upload
        footer_links=["gradio", "settings"],
        ssr_mode=False,
        share=False,
    )
