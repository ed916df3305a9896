"""The tab that zooms: the overhead views of a photo's path, one at a time, beside the photo."""

from __future__ import annotations

from typing import Any

import gradio as gr
import words
from catalogue import Collection
from controls import HIDDEN, READ_ERRORS, live, plain
from pictures import bare, figure
from zoomwalk import depth, step_of


def build(tab: gr.Tab, collection: Collection) -> tuple[gr.State, dict[str, Any]]:
    """Fill the tab.

    Returns
    -------
    (state, show)
        Which photo is walked (collection, split, row), and the arguments of a listener that shows
        it from its first view.
    """
    place = gr.State(None)
    number = gr.State(0)
    with gr.Row(equal_height=True):
        wanted = gr.Textbox(
            label="Image id", placeholder="of any split", elem_id="walk-id", min_width=220,
            max_length=300, scale=2,
        )  # fmt: skip
        find = gr.Button(
            "Show its zoom", elem_id="walk-find", elem_classes="beside", min_width=130, scale=0
        )
        another = gr.Button(
            "Another photo", elem_id="walk-another", elem_classes="beside", min_width=130, scale=0
        )
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            photo = plain("walk-photo")
        with gr.Column(scale=5, min_width=300):
            status = live("walk-status")
            view = plain("walk-view")
            with gr.Row():
                back = gr.Button("Previous view", elem_id="walk-back", min_width=120)
                onward = gr.Button(
                    "Next view", variant="primary", elem_id="walk-onward", min_width=120
                )
    plain("walk-credit", words.credit(collection))
    outputs = [place, number, status, photo, view, back, onward]

    def show(where: tuple[str, str, int] | None, step: int = 0) -> dict[Any, Any]:
        _, split, row = where or _first()
        try:
            drawn = _view(split, row, step)
        except READ_ERRORS as error:
            return {status: words.failed(error)}
        found = {place: (collection.name, split, row), **drawn}
        if step == 0:
            found[photo] = _photo(split, row)
        return found

    def _first() -> tuple[str, str, int]:
        return collection.name, collection.splits[0], int(collection.walk_rows()[0])

    def _photo(split: str, row: int) -> str:
        rows = collection.rows(split)
        try:
            data = bare(collection.photo(split, row))
        except READ_ERRORS as error:
            return words.failed(error)
        text = f"Street photo {rows.ids[row]}, split {split}, taken at "
        text += words.place(*rows.places[row])
        return figure(data, f"{text}.", text)

    def _view(split: str, row: int, step: int) -> dict[Any, Any]:
        steps = depth(collection, split)
        drawn = step_of(collection, split, row, step)
        shown = {
            status: words.done(drawn.caption),
            view: figure(drawn.picture, drawn.alternative),
        }
        buttons = {
            back: gr.update(interactive=step > 0),
            onward: gr.update(interactive=step + 1 < steps),
        }
        return {number: step, **shown, **buttons}

    def turn(by: int) -> Any:
        def go(where: tuple[str, str, int] | None, step: int) -> dict[Any, Any]:
            split = where[1] if where else collection.splits[0]
            last = depth(collection, split) - 1
            return show(where, min(max(step + by, 0), last) if where else 0)

        return go

    def next_photo(where: tuple[str, str, int] | None) -> dict[Any, Any]:
        rows = collection.walk_rows().tolist()
        known = where is not None and where[1] == collection.splits[0] and where[2] in rows
        following = (rows.index(where[2]) + 1) % len(rows) if where and known else 0
        return show((collection.name, collection.splits[0], rows[following]))

    def seek(text: str) -> dict[Any, Any]:
        found = collection.find(text) if text.strip() else None
        if found is None:
            example = collection.rows(collection.splits[0]).ids[:1].tolist()
            return {
                status: words.failed(
                    f"{collection.title} has no photo {text.strip()!r}; ids look like "
                    f"{' '.join(example)}."
                )
            }
        return show((collection.name, *found))

    def enter(where: tuple[str, str, int] | None) -> dict[Any, Any]:
        return show(None) if where is None else {status: gr.skip()}

    tab.select(enter, place, outputs, **HIDDEN)
    find.click(seek, wanted, outputs, **HIDDEN)
    wanted.submit(seek, wanted, outputs, **HIDDEN)
    another.click(next_photo, place, outputs, **HIDDEN)
    back.click(turn(-1), [place, number], outputs, **HIDDEN)
    onward.click(turn(1), [place, number], outputs, **HIDDEN)
    return place, {"fn": show, "inputs": [place], "outputs": outputs, **HIDDEN}
