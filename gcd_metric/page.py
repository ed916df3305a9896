"""The page, with gradio: the form and the results. Reading and scoring are in intake.py.

It needs no network: the scripts and fonts of gradio and plotly are in their packages, and the
coastlines are in this folder.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported

import gradio as gr

from . import charts, options, plot_data, report, sample, text, theme
from .intake import (
    AUTOMATIC,
    MOST_MEGABYTES,
    MOST_ROWS,
    OWN,
    TITLES,
    UNANSWERED,
    Upload,
    score,
    truth_of,
)
from .labels import as_html
from .scoring import benchmarks

_LONGEST_MESSAGE = 1_000
_KEPT_SECONDS = 3600
# gradio keeps what it sent, such as figures, for so many visitors, also when they have left
_MOST_SESSIONS = 32

_INTRO = """
# Score predicted photo locations

Upload the predictions of a model and the true locations, each as a CSV file with the columns
`image_id`, `latitude` and `longitude`. The page shows the share of photos within each distance
**with its 95 % confidence interval**, the error curve, and the errors on a map.
"""

_ABOUT = f"""
Distances are great-circle distances on a sphere. A file can have up to {MOST_ROWS:,} rows and
{MOST_MEGABYTES} MB. Files are deleted from this server after an hour. To compute the same scores
on your machine, use the command `gcd-metric predictions.csv --references truth.csv` or, in Python,
`evaluate.load("gcd_metric")`. Coastlines: Natural Earth, public domain.
"""

_SHOW_RESULTS = "() => { document.querySelector('#figures h2')?.scrollIntoView() }"


class _Form(NamedTuple):
    inputs: list[Any]  # in the order of `_score`'s arguments
    second: gr.Accordion
    go: gr.Button
    example: gr.Button
    clear: gr.Button


class _Results(NamedTuple):
    status: gr.HTML
    figures: gr.HTML
    pictures: gr.Column  # the curve and the maps; hidden while there are none
    curve: gr.Plot
    maps: list[tuple[gr.Column, gr.HTML, gr.Plot, gr.HTML]]  # group, caption, map, worst rows

    @property
    def outputs(self) -> list[Any]:
        """All of them."""
        return [*self[:4], *(part for parts in self.maps for part in parts)]

    def nothing(self, status: str) -> dict[Any, Any]:
        """The update that shows no result, whatever was there before."""
        return {self.status: status, self.figures: "", self.pictures: gr.update(visible=False)}


_EMPTY = [None, "", None, "", None, "", OWN, AUTOMATIC, False, ""]  # the form's inputs


def build() -> gr.Blocks:
    """The page, ready to be launched."""
    made = tempfile.TemporaryDirectory(prefix="gcd-metric-")  # as long as the page lives
    sample.write_sample(made.name)
    page = gr.Blocks(
        title="GCD metric: score predicted photo locations",
        analytics_enabled=False,
        delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
    )
    with page:
        gr.Markdown(_INTRO)
        form, results = _form(), _results()
        gr.Markdown(_ABOUT)

        def show(request: gr.Request, *inputs: Any) -> Iterator[dict[Any, Any]]:
            yield from _show(results, inputs, "Mobi" in (request.headers.get("user-agent") or ""))

        def fill() -> list[Any]:
            truth, a, b = (os.path.join(made.name, name) for name in sample.NAMES)
            return [gr.update(open=True), a, "", b, "", truth, *_EMPTY[5:]]

        def forget() -> dict[Any, Any]:
            return {**dict(zip(form.inputs, _EMPTY, strict=True)), **results.nothing("")}

        private: dict[str, Any] = {"api_visibility": "private"}
        shown = {"fn": show, "inputs": form.inputs, "outputs": results.outputs, **private}
        go_there = {"fn": None, "js": _SHOW_RESULTS, **private}
        filled = form.example.click(fill, None, [form.second, *form.inputs], **private)
        filled.then(**shown).then(**go_there)
        # a second press before the pictures are there starts a new score
        form.go.click(**shown, trigger_mode="always_last").then(**go_there)
        form.clear.click(forget, None, [*form.inputs, *results.outputs], **private)
    return page


def _form() -> _Form:
    choices = [("none: my own photos (no published results)", OWN)]
    for name, n in benchmarks().items():
        here = "truth available" if truth_of(name) else "upload its truth"
        choices.append((f"{TITLES.get(name, name)}: {n:,} photos, {here}", name))
    thresholds = [("default of the benchmark", AUTOMATIC)]
    for name, configuration in options.CONFIGURATIONS.items():
        distances = ", ".join(f"{threshold:g}" for threshold in configuration.thresholds)
        thresholds.append((f"{distances} {configuration.unit} ({name})", name))
    with gr.Row():
        with gr.Column(min_width=300):
            predictions = _table_input("Predictions")
        with gr.Column(min_width=300):
            truth = _table_input("Truth")
    with gr.Accordion("Compare with a second model (optional)", open=False) as second:
        others = _table_input("Second predictions")
    with gr.Row():
        benchmark = gr.Dropdown(choices, value=OWN, label="Benchmark", min_width=300)
        config_name = gr.Dropdown(thresholds, value=AUTOMATIC, label="Distances", min_width=300)
    count_missing = gr.Checkbox(label=UNANSWERED, info="They count as wrong at every distance.")
    by = gr.Textbox(
        label="Also score by (optional)",
        placeholder="country, continent",
        info="Columns of the truth, separated by commas; country and continent need no column.",
        max_lines=1,
        elem_id="by",
    )
    with gr.Row():
        go = gr.Button("Score", variant="primary", elem_id="score")
        example = gr.Button("Example (synthetic)", elem_id="example")
        clear = gr.Button("Clear", elem_id="clear")
    inputs = [*predictions, *others, *truth, benchmark, config_name, count_missing, by]
    return _Form(inputs, second, go, example, clear)


def _table_input(label: str) -> tuple[gr.File, gr.Textbox]:
    name = label.lower()
    sample_rows = "image_id,latitude,longitude\nphoto1.jpg,48.86,2.35"
    return (
        gr.File(label=f"{label} (CSV)", height=150, elem_id=f"{name.replace(' ', '-')}-file"),
        gr.Textbox(label=f"or paste {name}", placeholder=sample_rows, lines=2, max_lines=6),
    )


def _results() -> _Results:
    live = '<div role="status" aria-live="polite">${value}</div>'
    status = gr.HTML("", html_template=live, js_on_load=None, elem_id="status")
    tables = gr.HTML("", js_on_load=None, elem_id="figures")
    plot: dict[str, Any] = {"show_label": False, "container": False}
    maps = []
    with gr.Column(visible=False, elem_id="pictures") as pictures:
        gr.Markdown("## Error curve")
        curve = gr.Plot(elem_id="curve", **plot)
        for number in (1, 2):
            with gr.Column(elem_id=f"map-{number}", elem_classes="map") as group:
                parts = gr.HTML(js_on_load=None), gr.Plot(**plot), gr.HTML(js_on_load=None)
                maps.append((group, *parts))
    return _Results(status, tables, pictures, curve, maps)


def _show(results: _Results, inputs: Sequence[Any], narrow: bool) -> Iterator[dict[Any, Any]]:
    """The tables as soon as there are any, then the pictures; or one clear error."""
    file, pasted, other_file, other_pasted, truth_file, truth_pasted, *choices = inputs
    try:
        scored = score(
            Upload("predictions", file, pasted),
            Upload("second predictions", other_file, other_pasted),
            Upload("truth", truth_file, truth_pasted),
            *choices,
        )
    except Exception as error:
        message = " ".join(str(error).split())
        if not isinstance(error, ValueError):  # the log has the details
            traceback.print_exc()
            message = "the page failed on this input. This is a fault of the page: please report it"
        if len(message) > _LONGEST_MESSAGE:
            message = message[:_LONGEST_MESSAGE] + " …"
        start = '<p class="error" role="alert"><strong>Not scored.</strong>'
        yield results.nothing(f"{start} {as_html(message)}</p>")
        return
    status = as_html(f"Scored {scored.title}: {text.scope(scored)}.")
    yield {
        results.status: f'<p class="done">{status}</p>' + report.paragraphs(scored.notes),
        results.figures: report.tables_html(scored),
    }
    pictures: dict[Any, Any] = {
        results.pictures: gr.update(visible=True),
        results.curve: charts.error_curve(scored, narrow),
    }
    for index, (group, caption, picture, worst) in enumerate(results.maps):
        pictures[group] = gr.update(visible=index < len(scored.runs))
        if index < len(scored.runs):
            run = scored.runs[index]
            heading = f"<h2>Map of the errors of {as_html(run.name)}</h2>"
            more = "Point at a line to see its distance."
            lines = f"{report.MAP_LINE} {more}", plot_data.left_out(run.measured)
            pictures[caption] = heading + report.paragraphs(lines)
            pictures[picture] = charts.error_map(scored, run, narrow)
            pictures[worst] = report.worst_html(scored, run)
    yield pictures


def main() -> None:
    """Serve the page until it is stopped."""
    serve(build())


def serve(page: gr.Blocks, **options: Any) -> str:
    """Serve the page, and return its address; `options` are for gradio's `launch`."""
    _, url, _ = page.queue(max_size=20, default_concurrency_limit=2).launch(
        # as `css` it would reach only what is inside the page
        head=f"<style>{theme.STYLE}</style>",
        theme=theme.make_theme(),
        max_file_size=MOST_MEGABYTES * 1024 * 1024,
        footer_links=["gradio", "settings"],
        ssr_mode=False,
        share=False,
        state_session_capacity=_MOST_SESSIONS,
        **options,
    )
    return str(url)
