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

_TITLE = "# Where was this photo taken?"
_ABOUT = """
**Im2GPS** has photos from all over the world, **Just Zoom In** street photos of Washington, D.C.,
which are located by zooming into aerial imagery. Distances are great-circle distances on a sphere.
Scores are computed with the metric `gcd_metric`, with 95 % confidence intervals. A perfect guess
has 5,000 points, and points fall by a factor of e every 1,492.7 km (this is GeoScore) or, in
Washington, every 1.414 km: a tenth of the map's diagonal in both cases. Maps show latitude and
longitude without projection. Countries are from Natural Earth (public domain), cities from GeoNames
(CC BY 4.0). The page uses no tile server. Only your browser keeps the game that you play, so that
you can go on after a reload.
"""


def build(collections: Mapping[str, Collection]) -> gr.Blocks:
    """Return the page."""
    page: gr.Blocks = gr.Blocks(title="Where was this photo taken?", analytics_enabled=False)
    with page:
        gr.Markdown(_TITLE)
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
        footer_links=["gradio"],
        ssr_mode=False,
        share=False,
    )
