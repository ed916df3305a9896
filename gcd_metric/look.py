"""How this project's pages look: gradio's own theme and a few rules, without any page."""

from __future__ import annotations

import gradio as gr

# Of tables, of remarks and messages, and of a phone's width. `!important`, where gradio's own rules
# for the text of a page would win.
STYLE = """
.wide { overflow-x: auto }
.prose .wide table {
  border-collapse: collapse; border: 0 !important; font-size: 14px; width: 100%; margin: 0
}
.prose .wide tr { border: 0 !important }
.prose .wide :is(th, td) {
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important;
  padding: .35em .7em !important; text-align: right !important; white-space: pre
}
.prose .wide :is(th, td):first-child { text-align: left !important }
.prose .wide td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 9em }
.remark { font-size: 13px; line-height: 1.45; opacity: .85; margin: .4em 0 0 }
.remark { overflow-wrap: anywhere }
.error, .done { padding: .5em .9em; overflow-wrap: anywhere; margin: 0 }
.error { border-left: 4px solid #d1361f }
.done { border-left: 4px solid #1f83d8 }
@media (max-width: 640px) { .gradio-container .main.app { padding: 12px !important } }
"""


def theme() -> gr.themes.Base:
    """Gradio's own looks with the system's fonts, and greys that can be read."""
    return gr.themes.Default(
        primary_hue="blue",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
