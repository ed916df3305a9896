"""The tab of the page with a leaderboard: of a repository on the Hub, or of files that are sent."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import gradio as gr

from . import leaderboard, report, text
from .intake import OWN, TITLES, rank
from .labels import as_html
from .scoring import benchmarks

LIVE = '<div role="status" aria-live="polite">${value}</div>'  # read aloud when it changes
_LONGEST_MESSAGE = 1_000
_RANK, _RANKING = "Rank", "Ranking …"
_INTRO = """
Name a benchmark on the Hub, and the results that models state there are scored again from their
predictions. Or name a repository of predictions that `gcd-metric --push` sent, or upload
predictions, one file for each model. Models that are **not distinguishable from the best** by a
paired test, and stated values that do not follow from the predictions, are marked.
"""


def failure(error: Exception, start: str) -> str:
    """Why nothing can be shown, as HTML; the log has the details of an error of the page."""
    message = " ".join(str(error).split())
    if not isinstance(error, (ValueError, ConnectionError)):
        traceback.print_exception(error)
        message = "the page failed on this input. This is a fault of the page: please report it"
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " …"
    return f'<p class="error" role="alert"><strong>{start}</strong> {as_html(message)}</p>'


def build_tab() -> None:
    """Make the tab's parts inside the current block."""
    gr.Markdown(_INTRO)
    titles = [("the only task, or my own photos", OWN)]
    titles += [(TITLES.get(name, name), name) for name in benchmarks()]
    with gr.Row():
        repository = gr.Textbox(
            label="Repository on the Hub", placeholder="OWNER/NAME", max_lines=1, min_width=300,
            elem_id="ranked-repository",
        )  # fmt: skip
        task = gr.Dropdown(titles, value=OWN, label="Task", min_width=300)
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(
                label="or predictions, one file for each model", file_count="multiple",
                height=150, elem_id="ranked-files",
            )  # fmt: skip
        with gr.Column(min_width=300):
            truth = gr.File(
                label="Truth (not needed for a benchmark on the Hub)", height=150,
                elem_id="ranked-truth",
            )  # fmt: skip
    go = gr.Button(_RANK, variant="primary", elem_id="rank")
    status = gr.HTML("", html_template=LIVE, js_on_load=None, elem_id="rank-status")
    table = gr.HTML("", js_on_load=None, elem_id="ranked")
    private: dict[str, Any] = {"api_visibility": "private"}
    busy = f"() => ['{_RANKING}', '<p class=\"done\">{_RANKING}</p>']"
    go.click(None, None, [go, status], js=busy, **private)
    shown = go.click(
        _show, [repository, files, truth, task], [status, table], trigger_mode="always_last",
        **private,
    )  # fmt: skip
    shown.then(None, None, go, js=f"() => '{_RANK}'", **private)


def _show(
    repository: str | None, files: list[str] | None, truth: str | None, task: str | None
) -> Iterator[tuple[str, str]]:
    try:
        scored = rank((repository or "").strip(), files or [], truth, task or OWN)
    except Exception as error:
        yield failure(error, "Not ranked."), ""
        return
    done = f'<p class="done">{as_html(f"{scored.title}: {text.scope(scored)}.")}</p>'
    marked = leaderboard.marked(scored)
    yield done + report.paragraphs(scored.notes), report.tables_html(marked)
