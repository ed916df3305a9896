"""The page by gradio: the form, the order of results, how they look. Reads and scores nothing.

It needs no network: gradio's scripts and fonts and plotly's lie in their packages, and coasts in
this folder.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported

import gradio as gr

from . import charts, gcd_metric, sample
from .intake import (
    AUTOMATIC,
    MOST_MEGABYTES,
    MOST_ROWS,
    OWN,
    TITLES,
    UNANSWERED,
    Given,
    benchmarks,
    score,
    truth_of,
)
from .report import Report, html_table, worst_rows

_LONGEST_MESSAGE = 1_000
_WORST_ROWS = 20
_KEPT_SECONDS = 3600


_STYLE = """
#results, #results > *, .map, .map > * { min-width: 0 !important; max-width: 100% }
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
.remark { font-size: 13px; opacity: .8; margin: .5em 0 }
.error, .done { padding: .5em .9em; overflow-wrap: anywhere }
.error { border-left: 4px solid #d1361f }
.done { border-left: 4px solid #1f83d8 }
.js-plotly-plot .main-svg text { fill: var(--body-text-color) !important }
.js-plotly-plot .hoverlayer .hovertext text { fill: #ffffff !important }
.modebar-btn--logo { display: none !important }
@media (max-width: 640px) { .gradio-container .main.app { padding: 12px !important } }
"""

_INTRO = """
# How far off are the guesses?

A model has guessed where photos were taken. Drop its guesses and the truth here, each a CSV with
`image_id`, `latitude` and `longitude`, and see the share of photos within each distance **with its
95 % interval**, the whole error curve, and every error on a map.
"""

_ABOUT = f"""
Great-circle distances on a sphere. Up to {MOST_ROWS:,} rows or {MOST_MEGABYTES} MB a file; files
are deleted from this server after an hour. The same as a command and in Python:
`gcd-metric predictions.csv --references truth.csv`, `evaluate.load("gcd_metric")`. Coastlines:
Natural Earth, public domain.
"""

_SHOW_RESULTS = "() => { document.querySelector('#results')?.scrollIntoView() }"


def _paragraphs(lines: list[str], kind: str) -> str:
    return "".join(f'<p class="{kind}">{html.escape(line)}</p>' for line in lines)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of figures with each interval below its figure, which a phone has room for."""
    return html_table(headers, [[cell.replace(" [", "\n[") for cell in row] for row in rows])


def _message(error: BaseException) -> str:
    message = " ".join(str(error).split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " …"
    return f'<p class="error" role="alert"><strong>Not scored.</strong> {html.escape(message)}</p>'


def _is_phone(request: gr.Request | None) -> bool:
    return "Mobi" in ((request.headers.get("user-agent") or "") if request else "")


def build() -> gr.Blocks:
    """The page, ready to be launched."""
    known = benchmarks()
    choices = [("my own photos (no published results)", OWN)]
    for name, n in known.items():
        here = "truth is here" if truth_of(name) else "bring its truth"
        choices.append((f"{TITLES.get(name, name)}: {n:,} photos, {here}", name))
    thresholds = [("the benchmark's; for my own photos the standard ones", AUTOMATIC)]
    for name, configuration in gcd_metric.CONFIGURATIONS.items():
        distances = ", ".join(f"{threshold:g}" for threshold in configuration.thresholds)
        thresholds.append((f"{distances} {configuration.unit} ({name})", name))

    with gr.Blocks(
        title="GCD metric: how far off are the guesses?",
        analytics_enabled=False,
        delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
    ) as page:
        gr.Markdown(_INTRO)
        with gr.Row():
            with gr.Column(min_width=300):
                file, pasted = _table_input("Predictions")
            with gr.Column(min_width=300):
                reference_file, reference_pasted = _table_input("Truth")
        with gr.Accordion("Compare with a second model (optional)", open=False) as second:
            other_file, other_pasted = _table_input("Second predictions")
        with gr.Row():
            benchmark = gr.Dropdown(choices, value=OWN, label="Benchmark", min_width=300)
            config_name = gr.Dropdown(thresholds, value=AUTOMATIC, label="Distances", min_width=300)
        count_missing = gr.Checkbox(label=UNANSWERED, info="They count as wrong at every distance.")
        with gr.Row():
            go = gr.Button("Score", variant="primary", elem_id="score")
            example = gr.Button("Example (synthetic)", elem_id="example")
            clear = gr.Button("Clear", elem_id="clear")
        status = gr.HTML(
            "",
            html_template='<div role="status" aria-live="polite">${value}</div>',
            js_on_load=None,
            elem_id="status",
        )
        with gr.Column(visible=False, elem_id="results") as results:
            figures = gr.HTML(js_on_load=None, elem_id="figures")
            gr.Markdown("## Error curve")
            curve = gr.Plot(show_label=False, container=False, elem_id="curve")
            groups, captions, maps, tables = [], [], [], []
            for number in (1, 2):
                with gr.Column(elem_id=f"map-{number}", elem_classes="map") as group:
                    captions.append(gr.HTML(js_on_load=None))
                    maps.append(gr.Plot(show_label=False, container=False))
                    tables.append(gr.HTML(js_on_load=None))
                groups.append(group)
        gr.Markdown(_ABOUT)

        inputs = [
            *(file, pasted, other_file, other_pasted, reference_file, reference_pasted),
            *(benchmark, config_name, count_missing),
        ]
        outputs = [status, results, figures, curve, *groups, *captions, *maps, *tables]
        nothing: list[Any] = [gr.update()] * (len(outputs) - 2)

        def show(
            file: str | None,
            pasted: str,
            other_file: str | None,
            other_pasted: str,
            reference_file: str | None,
            reference_pasted: str,
            benchmark: str,
            config_name: str,
            count_missing: bool,
            request: gr.Request,
        ) -> list[Any]:
            try:
                report = score(
                    Given("predictions", file, pasted),
                    Given("second predictions", other_file, other_pasted),
                    Given("truth", reference_file, reference_pasted),
                    benchmark,
                    config_name,
                    count_missing,
                )
            except (ValueError, ImportError) as error:
                return [_message(error), gr.update(visible=False), *nothing]
            return _shown(report, _is_phone(request))

        made = tempfile.TemporaryDirectory(prefix="gcd-metric-")  # as long as the page lives
        sample.write_sample(made.name)

        def try_it() -> list[Any]:
            truth, a, b = (os.path.join(made.name, name) for name in sample.NAMES)
            return [gr.update(open=True), a, "", b, "", truth, "", OWN, AUTOMATIC, False]

        def forget() -> list[Any]:
            empty = [None, "", None, "", None, "", OWN, AUTOMATIC, False]
            return [*empty, "", gr.update(visible=False)]

        common: dict[str, Any] = {"api_visibility": "private"}
        shown = {"fn": show, "inputs": inputs, "outputs": outputs, **common}
        go.click(**shown).then(None, js=_SHOW_RESULTS, **common)
        example.click(try_it, None, [second, *inputs], **common).then(**shown).then(
            None, js=_SHOW_RESULTS, **common
        )
        clear.click(forget, None, [*inputs, status, results], **common)
    return page


def _table_input(label: str) -> tuple[gr.File, gr.Textbox]:
    name = label.lower()
    file = gr.File(label=f"{label} (CSV)", height=150, elem_id=f"{name.replace(' ', '-')}-file")
    pasted = gr.Textbox(
        label=f"or paste {name}",
        placeholder="image_id,latitude,longitude\nphoto1.jpg,48.86,2.35",
        lines=2,
        max_lines=6,
        elem_id=f"{name.replace(' ', '-')}-pasted",
    )
    return file, pasted


def _shown(report: Report, narrow: bool) -> list[Any]:
    """Values of the outputs, in their order."""
    parts = [
        "<h2>Accuracy in percent within each distance</h2>",
        _table(report.headers, report.rows),
        _paragraphs(list(report.remarks), "remark"),
    ]
    if report.paired:
        parts += [
            f"<h2>{html.escape(report.paired.title)}</h2>",
            _table(report.paired.headers, report.paired.rows),
            _paragraphs([report.paired.remark], "remark"),
        ]
    captions, maps, worst = ["", ""], [None, None], ["", ""]
    for index, run in enumerate(report.runs):
        name = html.escape(run.name)
        captions[index] = (
            f"<h2>Map of the errors of {name}</h2><p>Each line goes from the truth (the dot) to "
            "the prediction by the shortest way; point at one to read it.</p>"
            + _paragraphs([charts.arcs_line(run.measured)], "remark")
        )
        maps[index] = charts.error_map(report, run, narrow)
        headers, rows = worst_rows(run, report, _WORST_ROWS)
        rows = [[image, error, truth, guess] for image, truth, guess, error in [headers, *rows]]
        worst[index] = f"<h3>Worst predictions of {name}</h3>" + html_table(rows[0], rows[1:])
    status = f"Scored {report.title}: {report.scope}."
    return [
        f'<p class="done">{html.escape(status)}</p>' + _paragraphs(list(report.notes), "remark"),
        gr.update(visible=True),
        "".join(parts),
        charts.error_curve(report, narrow),
        *(gr.update(visible=index < len(report.runs)) for index in (0, 1)),
        *captions,
        *maps,
        *worst,
    ]


def _theme() -> gr.themes.Base:
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


def main() -> None:
    """Serve the page until it is stopped."""
    build().queue(max_size=20, default_concurrency_limit=2).launch(
        head=f"<style>{_STYLE}</style>",  # as `css` it would reach only what is inside the page
        theme=_theme(),
        max_file_size=MOST_MEGABYTES * 1024 * 1024,
        footer_links=["gradio", "settings"],
        ssr_mode=False,
        share=False,
    )
