"""The page: its three tabs, and how they look. It needs no network.

A visitor's game and choices are kept in `gr.State`; what visitors share is only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import browse_tab
import gradio as gr
import guess_tab
import worldmap
import zoom_tab
from catalogue import Collection
from elements import PRIVATE

from gcd_metric import theme

_INTRO = """
# Where was this photo taken?

This page shows two image-geolocation benchmarks: **Im2GPS**, photos from all over the world, and
**Just Zoom In**, street photos of Washington, D.C., which are located by zooming into aerial
imagery. You can guess where ten photos were taken and get the scores that a model would get,
browse the photos, and view the overhead images of a zoom.
"""
_ABOUT = """
Distances are great-circle distances on a sphere. Scores are computed with the metric `gcd_metric`,
with 95 % confidence intervals. GeoScore is 5,000 for a perfect guess and falls by a factor of e
every 1,492.7 km. Maps show latitude and longitude without projection, with coastlines from Natural
Earth (public domain). The page uses no tile server and stores no data about visitors.
"""


def build(collections: Mapping[str, Collection]) -> gr.Blocks:
    """Return the page."""
    page: gr.Blocks = gr.Blocks(title="Where was this photo taken?", analytics_enabled=False)
    with page:
        gr.Markdown(_INTRO)
        with gr.Tabs() as tabs:  # with short names, or a phone hides the last in a menu
            with gr.Tab("Guess", id="guess"):
                guess_tab.build(page, collections)
            with gr.Tab("Browse", id="browse"):
                chosen, walk_button = browse_tab.build(collections)
            with gr.Tab("Zoom", id="walk") as walk:
                to_walk, show_walk = zoom_tab.build(walk, collections["justzoomin"])
        gr.Markdown(_ABOUT)
        walk_button.click(
            lambda place: (gr.update(selected="walk"), place), chosen, [tabs, to_walk], **PRIVATE
        ).then(**show_walk)
    return page


def serve(collections: Mapping[str, Collection]) -> None:
    """Serve the page until it is stopped."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    build(collections).queue(max_size=40, default_concurrency_limit=4).launch(
        head=f"<style>{theme.STYLE}{style}</style>{worldmap.head()}",
        theme=theme.make_theme(),
        max_file_size=1,  # nothing is uploaded
        footer_links=["gradio", "settings"],
        ssr_mode=False,
        share=False,
    )
