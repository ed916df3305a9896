"""The tab that zooms: the overhead views of a photo's path, one at a time, beside the photo."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import elements
import gradio as gr
import numpy as np
from catalogue import Collection
from elements import PRIVATE, READ_ERRORS, button, done, failed
from PIL import Image

from gcd_metric import haversine
from justzoomin import zoom
from justzoomin.preview import annotated
from justzoomin.views import footprint

_PIXELS = 768
_WHITE, _MUCH_WHITE = 254, 0.02
_NO_VIEW = (110, 116, 122)

Place = tuple[str, str, int]  # collection, split, row


class Step(NamedTuple):
    """One view of a zoom: its picture as a JPEG, alternative text and caption."""

    picture: bytes
    alternative: str
    caption: str


def draw_step(collection: Collection, split: str, row: int, number: int) -> Step:
    """Draw view `number`, from 0, of a photo's zoom with the grid and the chosen cell."""
    rows = collection.rows(split)
    if rows.sequences is None:
        raise ValueError(f"{collection.title}, split {split}, has no zoom sequences")
    actions = [int(action) for action in rows.sequences[row]]
    prefix, action = tuple(actions[:number]), actions[number]
    latitude, longitude, width = footprint(prefix)
    line, column = divmod(action, zoom.GRID)
    where = f"row {line + 1} from the north, column {column + 1} from the west (action {action})"
    caption = f"View {number + 1} of {len(actions)}, {width:,.6g} m wide. The photo (dot) is in "
    if number + 1 < len(actions):
        caption += f"{where}. The next view shows this cell."
    else:
        centre = np.array(zoom.decode(actions))
        off = haversine(centre[None], rows.places[row][None], zoom.EARTH_RADIUS_M)[0]
        caption += f"{where}. The cell is {footprint(tuple(actions))[2]:,.4g} m wide, and the "
        caption += f"photo was taken {off:.1f} m from its centre."
    data = collection.view(prefix)
    if data is None:
        view = Image.new("RGB", (_PIXELS, _PIXELS), _NO_VIEW)
        caption += " There is no overhead imagery for this view, so only the grid is shown."
    else:
        with Image.open(io.BytesIO(data)) as opened:
            view = opened.convert("RGB")
    if (np.asarray(view).min(axis=2) >= _WHITE).mean() > _MUCH_WHITE:
        caption += " White areas have no imagery."
    shown = {
        "views": {number: view.resize((_PIXELS, _PIXELS), Image.Resampling.BICUBIC)},
        "view_centers": {number: (latitude, longitude)},
        "view_widths_m": {number: width},
        "sequence": actions,
        "latitude": rows.places[row][0],
        "longitude": rows.places[row][1],
    }
    alternative = (
        f"Aerial view {width:,.6g} m wide with a grid of 4 by 4 cells; the chosen cell is {where}."
    )
    return Step(elements.jpeg(annotated(shown, number)), alternative, caption)


def build(tab: gr.Tab, collection: Collection) -> tuple[gr.State, dict[str, Any]]:
    """Fill the tab.

    Returns the state with the photo that is shown, and the arguments of a listener that shows it
    from its first view.
    """
    place = gr.State(None)
    number = gr.State(0)
    with gr.Row(equal_height=True):
        wanted = elements.id_box("walk-id", "of any split", 220)
        find = button("Show its zoom", "walk-find", 130, beside=True)
        another = button("Another photo", "walk-another", 130, beside=True)
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            photo = elements.plain("walk-photo")
        with gr.Column(scale=5, min_width=300):
            status = elements.status_line("walk-status")
            view = elements.plain("walk-view")
            with gr.Row():
                back = button("Previous view", "walk-back", 120)
                onward = button("Next view", "walk-onward", 120, variant="primary")
    elements.plain("walk-credit", elements.credit(collection))
    outputs = [place, number, status, photo, view, back, onward]
    first_split = collection.splits[0]

    def depth(split: str) -> int:
        sequences = collection.rows(split).sequences
        return 0 if sequences is None else sequences.shape[1]

    def show(where: Place | None, step: int = 0) -> dict[Any, Any]:
        _, split, row = where or (collection.name, first_split, int(collection.walk_rows()[0]))
        try:
            drawn = draw_step(collection, split, row, step)
        except READ_ERRORS as error:
            return {status: failed(error)}
        changes = {
            place: (collection.name, split, row),
            number: step,
            status: done(drawn.caption),
            view: elements.figure(drawn.picture, drawn.alternative),
            back: gr.update(interactive=step > 0),
            onward: gr.update(interactive=step + 1 < depth(split)),
        }
        return changes | ({photo: street_photo(split, row)} if step == 0 else {})

    def street_photo(split: str, row: int) -> str:
        rows = collection.rows(split)
        try:
            data = elements.shrunk(collection.photo(split, row))
        except READ_ERRORS as error:
            return failed(error)
        where = elements.coordinates(*rows.places[row])
        text = f"Street photo {rows.ids[row]}, split {split}, taken at {where}"
        return elements.figure(data, f"{text}.", text)

    def turn(by: int) -> Any:
        def go(where: Place | None, step: int) -> dict[Any, Any]:
            last = depth(where[1] if where else first_split) - 1
            return show(where, min(max(step + by, 0), last) if where else 0)

        return go

    def next_photo(where: Place | None) -> dict[Any, Any]:
        rows = collection.walk_rows().tolist()
        known = where is not None and where[1] == first_split and where[2] in rows
        following = (rows.index(where[2]) + 1) % len(rows) if where and known else 0
        return show((collection.name, first_split, rows[following]))

    def seek(text: str) -> dict[Any, Any]:
        found = collection.find(text) if text.strip() else None
        return (
            {status: elements.unknown_id(collection, text)}
            if found is None
            else show((collection.name, *found))
        )

    def enter(where: Place | None) -> dict[Any, Any]:
        return show(None) if where is None else {status: gr.skip()}

    tab.select(enter, place, outputs, **PRIVATE)
    find.click(seek, wanted, outputs, **PRIVATE)
    wanted.submit(seek, wanted, outputs, **PRIVATE)
    another.click(next_photo, place, outputs, **PRIVATE)
    back.click(turn(-1), [place, number], outputs, **PRIVATE)
    onward.click(turn(1), [place, number], outputs, **PRIVATE)
    return place, {"fn": show, "inputs": [place], "outputs": outputs, **PRIVATE}
