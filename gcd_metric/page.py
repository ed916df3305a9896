"""The page, with gradio: the form and the results. Reading and scoring are in intake.py.

It needs no network: the scripts and fonts of gradio and plotly are in their packages, and the
coastlines are in this folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported

import gradio as gr

from . import charts, options, output, plot_data, ranking, report, sample, text, theme
from .columns import ROLES
from .intake import (
    AUTOMATIC,
    COLUMNS,
    FORMATS,
    MOST_MEGABYTES,
    MOST_ROWS,
    OWN,
    TITLES,
    UNANSWERED,
    Choices,
    Upload,
    headers,
    score,
    truth_of,
)
from .labels import as_html
from .places import find_places
from .plot_data import MOST_POINTS
from .scoring import Run, Scored, benchmarks

_KEPT_SECONDS = 3600
# gradio keeps what it sent, such as figures, for so many visitors, also when they have left
_MOST_SESSIONS = 32
_COUNTRY = "country"
_DOWNLOADS = {
    **{"csv": "scores.csv", "latex": "scores.tex"},
    **{"markdown": "scores.md", "json": "scores.json"},
}
_SCRIPT = Path(__file__).with_name("map.js").read_text(encoding="utf-8")

_TITLE = "# Score predicted photo locations"
_INTRO = f"""
Upload the predictions of a model and the true locations, each as a table with an id, a latitude and
a longitude, or both in one file ({FORMATS}). The page shows the share of photos within each
distance **with its 95 % confidence interval**, the error curve, and the errors on a map.
"""

_ABOUT = f"""
Distances are great-circle distances on a sphere. A file can have up to {MOST_ROWS:,} rows and
{MOST_MEGABYTES} MB. Files are deleted from this server after an hour. To compute the same scores
on your machine, use the command `gcd-metric predictions.csv --references truth.csv` or, in Python,
`evaluate.load("gcd_metric")`. Coastlines: Natural Earth, public domain.
"""

_SCORE, _SCORING, _MAKE = "Score", "Scoring …", "Make files to download"
_BUSY = f"() => ['{_SCORING}', '<p class=\"done\">{_SCORING}</p>']"
_SHOW_RESULTS = f"""() => {{
    document.querySelector('#figures h2')?.scrollIntoView()
    const link = document.querySelector('#status a')
    if (link) history.replaceState(null, '', link.href)
    return '{_SCORE}'
}}"""
# the three files: what they are, and the columns that a visitor may choose
_FILES = {
    "predictions": (*ROLES, "answer"),
    "second predictions": (*ROLES, "answer"),
    "truth": ROLES,
}


class _Form(NamedTuple):
    files: list[Any]  # a file and a text for each of `_FILES`
    menus: list[Any]  # of columns, in the order of `_FILES`
    choices: list[Any]  # in the order of `Choices`
    columns: gr.Accordion
    second: gr.Accordion
    go: gr.Button
    example: gr.Button
    clear: gr.Button

    @property
    def inputs(self) -> list[Any]:
        """All that a visitor fills in."""
        return [*self.files, *self.menus, *self.choices]

    @property
    def empty(self) -> list[Any]:
        """The values of `inputs` at the start."""
        return [*[None, ""] * len(_FILES), *[""] * len(self.menus), *Choices()]


class _Map(NamedTuple):
    group: gr.Column
    caption: gr.HTML
    bands: gr.Radio
    plot: gr.Plot
    countries: gr.HTML
    worst: gr.HTML


class _Results(NamedTuple):
    status: gr.HTML
    figures: gr.HTML
    pictures: gr.Column  # the curve, the maps and the downloads; hidden while there are none
    curve: gr.Plot
    downloads: gr.File
    scored: gr.State  # the inputs of the last score
    make: gr.Button
    maps: list[_Map]

    @property
    def outputs(self) -> list[Any]:
        """What a score changes."""
        return [*self[:6], *(part for parts in self.maps for part in parts)]

    def nothing(self, status: str) -> dict[Any, Any]:
        """The update that shows no result, whatever was there before."""
        return {self.status: status, self.figures: "", self.pictures: gr.update(visible=False)}


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
        gr.Markdown(_TITLE)
        with gr.Tabs():
            with gr.Tab("Score"):
                gr.Markdown(_INTRO)
                form, results = _form(), _results()
                gr.Markdown(_ABOUT)
            with gr.Tab("Leaderboard", elem_id="leaderboard"):
                ranking.build_tab()

        def show(request: gr.Request, *inputs: Any) -> Iterator[dict[Any, Any]]:
            narrow = "Mobi" in (request.headers.get("user-agent") or "")
            yield from _show(form, results, inputs, narrow)

        def fill() -> list[Any]:
            truth, a, b = (os.path.join(made.name, name) for name in sample.NAMES)
            return [gr.update(open=True), a, "", b, "", truth, *form.empty[5:]]

        def forget() -> dict[Any, Any]:
            emptied = dict(zip(form.inputs, form.empty, strict=True))
            return {**emptied, form.columns: gr.update(visible=False), **results.nothing("")}

        def choose(request: gr.Request) -> list[Any]:
            return list(Choices.from_query(request.query_params))

        private: dict[str, Any] = {"api_visibility": "private"}
        outputs = [*form.menus, form.columns, *results.outputs]
        shown = {"fn": show, "inputs": form.inputs, "outputs": outputs, **private}
        busy = {"fn": None, "js": _BUSY, "outputs": [form.go, results.status], **private}
        done = {"fn": None, "js": _SHOW_RESULTS, "outputs": form.go, **private}
        filled = form.example.click(fill, None, [form.second, *form.inputs], **private)
        filled.then(**busy).then(**shown).then(**done)
        form.go.click(**busy)
        # a second press before the pictures are there starts a new score
        form.go.click(**shown, trigger_mode="always_last").then(**done)
        emptied = [*form.inputs, form.columns, *results.outputs]
        form.clear.click(forget, None, emptied, **private)
        page.load(choose, None, form.choices, **private)
        for number, one in enumerate(results.maps, 1):
            band = f"name => {{ window.errorMaps.show({number}, name) }}"
            one.bands.input(None, one.bands, None, js=band, **private)
        making = f"() => '{_MAKE} …'"
        results.make.click(None, None, results.make, js=making, **private)
        made_files = results.make.click(_files, results.scored, results.downloads, **private)
        made_files.then(None, None, results.make, js=f"() => '{_MAKE}'", **private)
    return page


def _form() -> _Form:
    files, menus = [], []
    with gr.Row():
        for name in ("predictions", "truth"):
            with gr.Column(min_width=300):
                files.append(_table_input(name))
    with gr.Accordion("Compare with a second model (optional)", open=False) as second:
        files.insert(1, _table_input("second predictions"))
    with gr.Accordion(COLUMNS, open=False, visible=False, elem_id="columns") as columns:
        gr.Markdown("They are found by their names, unless you choose others here.")
        for name, roles in _FILES.items():
            with gr.Row():
                for role in roles:
                    label = f"{name.capitalize()}: {role}"
                    menus.append(
                        gr.Dropdown([], label=label, allow_custom_value=True, min_width=160)
                    )
    choices = _choices()
    with gr.Row():
        go = gr.Button(_SCORE, variant="primary", elem_id="score")
        example = gr.Button("Example (synthetic)", elem_id="example")
        clear = gr.Button("Clear", elem_id="clear")
    return _Form(sum(files, []), menus, choices, columns, second, go, example, clear)


def _choices() -> list[Any]:
    """The inputs of `Choices`."""
    titles = [("none: my own photos (no published results)", OWN)]
    for name, n in benchmarks().items():
        here = "truth available" if truth_of(name) else "upload its truth"
        titles.append((f"{TITLES.get(name, name)}: {n:,} photos, {here}", name))
    distances = [("default of the benchmark", AUTOMATIC)]
    for name, configuration in options.CONFIGURATIONS.items():
        listed = ", ".join(f"{threshold:,g}" for threshold in configuration.thresholds)
        distances.append((f"{listed} {configuration.unit} ({name})", name))
    with gr.Row():
        benchmark = gr.Dropdown(titles, value=OWN, label="Benchmark", min_width=300)
        given = gr.Dropdown(
            distances,
            value=AUTOMATIC,
            label="Distances (or write some: 1, 10, 100 km)",
            allow_custom_value=True,
            min_width=300,
        )
    missing = gr.Checkbox(label=UNANSWERED, info="They count as wrong at every distance.")
    with gr.Row():
        by = gr.Textbox(
            label="Also score by (optional)",
            placeholder="continent, scene",
            info="Columns of the truth, separated by commas; continent needs no column.",
            max_lines=1,
            min_width=300,
            elem_id="by",
        )
        groups = gr.Textbox(
            label="Photos that belong together (optional)",
            placeholder="AUTHOR",
            info="A column of photographers, place:500m or none; the intervals account for it.",
            max_lines=1,
            min_width=300,
        )
    return [benchmark, given, missing, by, groups]


def _table_input(name: str) -> list[Any]:
    sample_rows = "image_id,latitude,longitude\nphoto1.jpg,48.86,2.35"
    return [
        gr.File(label=name.capitalize(), height=150, elem_id=f"{name.replace(' ', '-')}-file"),
        gr.Textbox(label=f"or paste {name}", placeholder=sample_rows, lines=2, max_lines=6),
    ]


def _results() -> _Results:
    status = gr.HTML("", html_template=ranking.LIVE, js_on_load=None, elem_id="status")
    tables = gr.HTML("", js_on_load=None, elem_id="figures")
    scored = gr.State()
    plot: dict[str, Any] = {"show_label": False, "container": False}
    maps = []
    with gr.Column(visible=False, elem_id="pictures") as pictures:
        gr.Markdown("## Error curve")
        curve = gr.Plot(elem_id="curve", **plot)
        for number in (1, 2):
            with gr.Column(elem_id=f"map-{number}", elem_classes="map") as group:
                caption = gr.HTML(js_on_load=None)
                bands = gr.Radio([], label="Errors on the map", elem_classes="bands")
                with gr.Row():
                    with gr.Column(scale=3, min_width=440):
                        picture = gr.Plot(**plot)
                    with gr.Column(scale=2, min_width=320):
                        countries = gr.HTML(js_on_load=None, elem_classes="countries")
                worst = gr.HTML(js_on_load=None, elem_classes="worst")
                maps.append(_Map(group, caption, bands, picture, countries, worst))
        gr.Markdown("## Downloads")
        gr.Markdown(
            "The table as CSV, LaTeX and Markdown, all figures as JSON, a report as one HTML file, "
            "and the pictures as SVG."
        )
        make = gr.Button(_MAKE, elem_id="make")
        downloads = gr.File(
            label="Files",
            file_count="multiple",
            interactive=False,
            visible=False,
            elem_id="downloads",
        )
    return _Results(status, tables, pictures, curve, downloads, scored, make, maps)


def _sent(inputs: Sequence[Any]) -> list[Any]:
    """What the form contains: an `Upload` for each of `_FILES`, and the `Choices`."""
    files, rest = inputs[: 2 * len(_FILES)], list(inputs[2 * len(_FILES) :])
    sent: list[Any] = []
    for at, (name, roles) in enumerate(_FILES.items()):
        chosen = {role: rest.pop(0) for role in roles}
        sent.append(Upload(name, files[2 * at], files[2 * at + 1], chosen))
    values: list[Any] = [value or "" for value in rest]  # a menu that was emptied is None
    return [*sent, Choices(*values)]


def _menus(form: _Form, uploads: Sequence[Upload]) -> dict[Any, Any]:
    """The menus of columns, with the columns of the files; truth may be beside predictions."""
    menus = iter(form.menus)
    names = [headers(one) for one in uploads]
    updates = {}
    for upload, found in zip(uploads, names, strict=True):
        beside = names[0] if upload.what == "truth" and upload.is_nothing else []
        for role in _FILES[upload.what]:
            known = found or beside
            value = upload.columns[role] if upload.columns[role] in known else ""
            choices = [("by its name", ""), *((name, name) for name in known)]
            updates[next(menus)] = gr.update(choices=choices, value=value, visible=bool(known))
    return updates


def _show(
    form: _Form, results: _Results, inputs: Sequence[Any], narrow: bool
) -> Iterator[dict[Any, Any]]:
    """The tables as soon as there are any, then the pictures; or one clear error."""
    *uploads, choices = sent = _sent(inputs)
    menus = _menus(form, uploads)
    try:
        scored = score(*sent)
    except Exception as error:
        status = ranking.failure(error, "Not scored.")
        shown = gr.update(visible=any(map(headers, uploads)), open=COLUMNS in status)
        yield {**menus, form.columns: shown, **results.nothing(status)}
        return
    status = as_html(f"Scored {scored.title}: {text.scope(scored)}.")
    link = f'<a href="{as_html(choices.query or "?")}">Link with these options</a>'
    yield {
        **menus,
        form.columns: gr.update(visible=True),
        results.status: f'<p class="done">{status} {link}</p>' + report.paragraphs(scored.notes),
        results.figures: report.tables_html(scored, [_COUNTRY]),
        results.scored: list(inputs),
        results.downloads: gr.update(value=None, visible=False),
    }
    pictures: dict[Any, Any] = {
        results.pictures: gr.update(visible=True),
        results.curve: charts.error_curve(scored, narrow),
    }
    for index, one in enumerate(results.maps):
        pictures[one.group] = gr.update(visible=index < len(scored.runs))
        if index < len(scored.runs):
            pictures |= _map(one, scored, scored.runs[index], narrow)
    yield pictures


def _map(parts: _Map, scored: Scored, run: Run, narrow: bool) -> dict[Any, Any]:
    """The map of one run, and what stands beside and below it."""
    heading = f"<h2>Map of the errors of {as_html(run.name)}</h2>"
    help_text = (
        "Each point is a true place. Choose a distance to see the lines to the predictions, or "
        "press a point to see its own."
    )
    lines = report.paragraphs([help_text, plot_data.left_out(run.measured, MOST_POINTS)])
    figure = charts.error_map(scored, run, narrow)
    counts = {
        trace.name: f"{trace.name} ({len(trace.x):,})"
        for trace in figure.data
        if trace.mode == "markers"
    }
    bands = [("all, as points", ""), *((label, name) for name, label in counts.items())]
    return {
        parts.caption: heading + lines,
        parts.bands: gr.update(choices=bands, value=""),
        parts.plot: figure,
        parts.countries: report.brief_slices_html(scored, run, _COUNTRY),
        parts.worst: report.worst_html(scored, run),
    }


def _files(inputs: Sequence[Any] | None) -> Iterator[Any]:
    """The files to download, of what was scored last."""
    if not inputs:  # kept for the last visitors only
        raise gr.Error("Press Score again: the page has forgotten these scores.")
    choices = (sent := _sent(inputs))[-1]
    scored = score(*sent)
    settings = {"benchmark": choices.benchmark or None, "distances": choices.distances or None}
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in _DOWNLOADS.items():
            content = output.formatted(scored, output.Output(kind, published=True), settings)
            Path(folder, name).write_text(content + "\n", encoding="utf-8")
        for name, picture in report.figures_svg(scored).items():
            Path(folder, name).write_bytes(picture)
        report.write_report(Path(folder, "report.html"), scored)
        # gradio copies them before it asks for more
        yield gr.update(value=sorted(map(str, Path(folder).iterdir())), visible=True)


def main() -> None:
    """Serve the page until it is stopped."""
    find_places([[0.0, 0.0]], levels=[_COUNTRY])  # loads the borders, which takes seconds
    serve(build())


def serve(page: gr.Blocks, **options: Any) -> str:
    """Serve the page, and return its address; `options` are for gradio's `launch`."""
    _, url, _ = page.queue(max_size=20, default_concurrency_limit=2).launch(
        # as `css` it would reach only what is inside the page
        head=f"<style>{theme.STYLE}</style><script>{_SCRIPT}</script>",
        theme=theme.make_theme(),
        max_file_size=MOST_MEGABYTES * 1024 * 1024,
        footer_links=["gradio"],
        ssr_mode=False,
        share=False,
        state_session_capacity=_MOST_SESSIONS,
        **options,
    )
    return str(url)
