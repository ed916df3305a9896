"""The page by gradio: the form, the order of results, how they look. Reads and scores nothing.

It needs no network: gradio's scripts and fonts and plotly's lie in their packages, and coasts in
this folder.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported

import gradio as gr

from . import charts, figures, look, sample, text
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
from .labels import as_html
from .report import html_table, worst_rows
from .scoring import Run, Scored

_LONGEST_MESSAGE = 1_000
_WORST_ROWS = 20
_KEPT_SECONDS = 3600

_STYLE = """
#figures, #pictures, #pictures > *, .map, .map > * { min-width: 0 !important; max-width: 100% }
.js-plotly-plot .main-svg text { fill: var(--body-text-color) !important }
.js-plotly-plot .hoverlayer .hovertext text { fill: #ffffff !important }
.modebar-btn--logo { display: none !important }
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
    pictures: gr.Column  # what is below; hidden while there is nothing
    curve: gr.Plot
    maps: list[tuple[gr.Column, gr.HTML, gr.Plot, gr.HTML]]  # group, caption, map, worst rows

    @property
    def outputs(self) -> list[Any]:
        """All of them."""
        return [*self[:4], *(part for parts in self.maps for part in parts)]

    def nothing(self, status: str) -> dict[Any, Any]:
        """What shows no result, whatever was there before."""
        return {self.status: status, self.figures: "", self.pictures: gr.update(visible=False)}


_EMPTY = [None, "", None, "", None, "", OWN, AUTOMATIC, False]  # the form's inputs


def build() -> gr.Blocks:
    """The page, ready to be launched."""
    made = tempfile.TemporaryDirectory(prefix="gcd-metric-")  # as long as the page lives
    sample.write_sample(made.name)
    with gr.Blocks(
        title="GCD metric: how far off are the guesses?",
        analytics_enabled=False,
        delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
    ) as page:
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
        # who presses it again before the pictures have come means it
        form.go.click(**shown, trigger_mode="always_last").then(**go_there)
        form.clear.click(forget, None, [*form.inputs, *results.outputs], **private)
    return page


def _form() -> _Form:
    choices = [("my own photos (no published results)", OWN)]
    for name, n in benchmarks().items():
        here = "truth is here" if truth_of(name) else "bring its truth"
        choices.append((f"{TITLES.get(name, name)}: {n:,} photos, {here}", name))
    thresholds = [("of the benchmark, else standard", AUTOMATIC)]
    for name, configuration in figures.CONFIGURATIONS.items():
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
    inputs = [*predictions, *others, *truth, benchmark, config_name, count_missing]
    with gr.Row():
        return _Form(
            inputs,
            second,
            gr.Button("Score", variant="primary", elem_id="score"),
            gr.Button("Example (synthetic)", elem_id="example"),
            gr.Button("Clear", elem_id="clear"),
        )


def _table_input(label: str) -> tuple[gr.File, gr.Textbox]:
    name = label.lower()
    return (
        gr.File(label=f"{label} (CSV)", height=150, elem_id=f"{name.replace(' ', '-')}-file"),
        gr.Textbox(
            label=f"or paste {name}",
            placeholder="image_id,latitude,longitude\nphoto1.jpg,48.86,2.35",
            lines=2,
            max_lines=6,
        ),
    )


def _results() -> _Results:
    status = gr.HTML(
        "",
        html_template='<div role="status" aria-live="polite">${value}</div>',
        js_on_load=None,
        elem_id="status",
    )
    figures = gr.HTML("", js_on_load=None, elem_id="figures")
    maps = []
    with gr.Column(visible=False, elem_id="pictures") as pictures:
        gr.Markdown("## Error curve")
        curve = gr.Plot(show_label=False, container=False, elem_id="curve")
        for number in (1, 2):
            with gr.Column(elem_id=f"map-{number}", elem_classes="map") as group:
                caption = gr.HTML(js_on_load=None)
                picture = gr.Plot(show_label=False, container=False)
                maps.append((group, caption, picture, gr.HTML(js_on_load=None)))
    return _Results(status, figures, pictures, curve, maps)


# --- what is shown ------------------------------------------------------------------------------


def _show(results: _Results, inputs: Sequence[Any], narrow: bool) -> Iterator[dict[Any, Any]]:
    """The tables as soon as there are any, then the pictures; or one clear error."""
    try:
        report = _score(*inputs)
    except Exception as error:
        if not isinstance(error, ValueError):  # a fault of ours: the log has it, the page says so
            traceback.print_exc()
            error = RuntimeError(
                "the page failed at this input; that is its fault, please report it"
            )
        yield results.nothing(_message(error))
        return
    status = as_html(f"Scored {report.title}: {text.scope(report)}.")
    tables = {
        results.status: f'<p class="done">{status}</p>' + _paragraphs(report.notes),
        results.figures: _figures(report),
    }
    yield tables
    pictures: dict[Any, Any] = {
        results.pictures: gr.update(visible=True),
        results.curve: charts.error_curve(report, narrow),
    }
    for index, (group, caption, picture, worst) in enumerate(results.maps):
        pictures[group] = gr.update(visible=index < len(report.runs))
        if index < len(report.runs):
            run = report.runs[index]
            pictures[caption] = _caption(run)
            pictures[picture] = charts.error_map(report, run, narrow)
            pictures[worst] = _worst(run, report)
    yield pictures


def _score(
    file: str | None,
    pasted: str,
    other_file: str | None,
    other_pasted: str,
    truth_file: str | None,
    truth_pasted: str,
    benchmark: str,
    config_name: str,
    count_missing: bool,
) -> Scored:
    return score(
        Given("predictions", file, pasted),
        Given("second predictions", other_file, other_pasted),
        Given("truth", truth_file, truth_pasted),
        benchmark,
        config_name,
        count_missing,
    )


def _message(error: BaseException) -> str:
    message = " ".join(str(error).split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " …"
    return f'<p class="error" role="alert"><strong>Not scored.</strong> {as_html(message)}</p>'


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f'<p class="remark">{as_html(line)}</p>' for line in lines)


def _figures(report: Scored) -> str:
    parts = [
        "<h2>Accuracy in percent within each distance</h2>",
        _table(*text.table(report)),
        _paragraphs(text.remarks(report)),
    ]
    if report.comparison:
        parts += [
            f"<h2>{as_html(text.paired_title(report))}</h2>",
            _table(*text.paired_table(report.comparison)),
            _paragraphs([text.PAIRED]),
        ]
    return "".join(parts)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of figures with each interval below its figure, which a phone has room for."""
    below = [[name, *(cell.replace(" [", "\n[") for cell in cells)] for name, *cells in rows]
    return html_table(headers, below)


def _caption(run: Run) -> str:
    return (
        f"<h2>Map of the errors of {as_html(run.name)}</h2><p>Each line goes from the truth "
        "(the dot) to the prediction by the shortest way; point at one to read it.</p>"
        + _paragraphs([charts.arcs_line(run.measured)])
    )


def _worst(run: Run, report: Scored) -> str:
    headers, rows = worst_rows(run, report, _WORST_ROWS)
    # the error second, where a phone still shows it
    rows = [[image, error, truth, guess] for image, truth, guess, error in [headers, *rows]]
    return f"<h3>Worst predictions of {as_html(run.name)}</h3>" + html_table(rows[0], rows[1:])


# --- the server ---------------------------------------------------------------------------------


def main() -> None:
    """Serve the page until it is stopped."""
    build().queue(max_size=20, default_concurrency_limit=2).launch(
        # as `css` it would reach only what is inside the page
        head=f"<style>{look.STYLE}{_STYLE}</style>",
        theme=look.theme(),
        max_file_size=MOST_MEGABYTES * 1024 * 1024,
        footer_links=["gradio", "settings"],
        ssr_mode=False,
        share=False,
    )
