"""The tab in which to look around: photos as dots on a map, each with its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr
import words
from catalogue import Collection
from controls import HIDDEN, READ_ERRORS, collection_choice, live, plain
from pictures import bare, figure
from worldmap import map_component, mark, scene_of

from justzoomin.views import footprint


class Chosen(NamedTuple):
    """The photo that is shown."""

    collection: str
    split: str
    row: int


def build(collections: Mapping[str, Collection]) -> tuple[gr.State, gr.Button]:
    """Fill the tab.

    Returns
    -------
    (state, button)
        The chosen photo, and the button that asks for its zoom.
    """
    first = next(iter(collections.values()))
    chosen = gr.State(None)
    with gr.Row(equal_height=True):
        name = collection_choice(collections, "browse-data")
        split = gr.Dropdown(
            first.splits, value=first.splits[0], label="Split", elem_id="split", min_width=140
        )
        wanted = gr.Textbox(
            label="Image id", placeholder="of any split, with or without .jpg",
            elem_id="image-id", min_width=260, max_length=300, scale=2,
        )  # fmt: skip
        find = gr.Button("Find", elem_id="find", elem_classes="beside", min_width=90, scale=0)
    status = live("browse-status")
    with gr.Row():
        with gr.Column(scale=6, min_width=300):
            world = map_component(collections, scene(first, first.splits[0]), "browse-map")
        with gr.Column(scale=4, min_width=300):
            with gr.Row():
                back = gr.Button("Previous photo", elem_id="previous-photo", min_width=120)
                onward = gr.Button("Next photo", elem_id="next-photo", min_width=120)
            photo = plain("browse-photo")
            credit = plain("browse-credit", words.credit(first))
            walk = gr.Button("Walk its zoom", elem_id="walk-its-zoom", visible=False)

    outputs = [chosen, split, status, world, photo, credit, walk]

    def show(name: str, split_name: str, row: int, fit: bool = False) -> dict[Any, Any]:
        collection = collections[name]
        rows = collection.rows(split_name)
        place, image_id = rows.places[row], str(rows.ids[row])
        try:
            data = bare(collection.photo(split_name, row))
            alternative = f"Photo {image_id}, taken at {words.place(*place)}."
            picture, line = figure(data, alternative), ""
        except READ_ERRORS as error:
            picture, line = "", words.failed(f"{image_id}: {error}")
        city = name == "justzoomin"
        reach = 0.004 if city else 12.0
        latitude, longitude = map(float, place)
        sight = [longitude - reach, longitude + reach, latitude - reach, latitude + reach]
        return {
            chosen: Chosen(name, split_name, row),
            split: gr.update(choices=collection.splits, value=split_name),
            status: line or words.done(f"{image_id}, {collection.title}, split {split_name}."),
            world: scene(
                collection, split_name, [mark("chosen", place)],
                sight if fit else None, [split_name, row] if fit else None,
            ),
            photo: picture + words.record(_record(collection, split_name, row)),
            credit: words.credit(collection),
            walk: gr.update(visible=city and rows.sequences is not None),
        }  # fmt: skip

    def open_split(name: str, split_name: str | None) -> dict[Any, Any]:
        collection = collections[name]
        split_name = split_name if split_name in collection.splits else collection.splits[0]
        count = len(collection.rows(split_name).ids)
        line = f"{collection.title}, split {split_name}: {count:,} photos. Pick a dot on the map."
        return {
            chosen: None,
            split: gr.update(choices=collection.splits, value=split_name),
            status: words.done(line),
            world: scene(collection, split_name),
            photo: "",
            credit: words.credit(collection),
            walk: gr.update(visible=False),
        }

    def pick(name: str, split_name: str, event: gr.EventData) -> dict[Any, Any]:
        row = event.row
        if type(row) is not int or not 0 <= row < len(collections[name].rows(split_name).ids):
            return {status: words.failed("There is no such photo.")}
        return show(name, split_name, row)

    def seek(name: str, text: str) -> dict[Any, Any]:
        collection = collections[name]
        if not text.strip():
            return {status: words.failed("Type an image id first.")}
        found = collection.find(text)
        if found is None:
            example = collection.rows(collection.splits[0]).ids[:1].tolist()
            return {
                status: words.failed(
                    f"{collection.title} has no photo {text.strip()!r} in its splits "
                    f"{', '.join(collection.splits)}; ids look like {' '.join(example)}."
                )
            }
        return show(name, *found, fit=True)

    def step(by: int) -> Any:
        def go(now: Chosen | None, name: str, split_name: str) -> dict[Any, Any]:
            count = len(collections[name].rows(split_name).ids)
            if not count:
                return {status: words.failed("This split has no photos.")}
            here = now and now[:2] == (name, split_name)
            row = (now.row + by) % count if now and here else 0
            return show(name, split_name, row)

        return go

    name.input(open_split, [name, split], outputs, **HIDDEN)
    split.input(open_split, [name, split], outputs, **HIDDEN)
    world.select(pick, [name, split], outputs, **HIDDEN)
    find.click(seek, [name, wanted], outputs, **HIDDEN)
    wanted.submit(seek, [name, wanted], outputs, **HIDDEN)
    back.click(step(-1), [chosen, name, split], outputs, **HIDDEN)
    onward.click(step(1), [chosen, name, split], outputs, **HIDDEN)
    return chosen, walk


def scene(
    collection: Collection,
    split: str,
    marks: list[dict[str, Any]] | None = None,
    fit: list[float] | None = None,
    turn: Any = None,
) -> dict[str, Any]:
    """The map of a split's photos."""
    what = f"Map of the photos of {collection.title}, split {split}."
    return scene_of(collection, "pick", what, marks=marks or (), split=split, fit=fit, turn=turn)


def _record(collection: Collection, split: str, row: int) -> list[tuple[str, str]]:
    rows = collection.rows(split)
    latitude, longitude = rows.places[row]
    entries = [
        ("image_id", str(rows.ids[row])),
        ("latitude", f"{latitude:.6f}"),
        ("longitude", f"{longitude:.6f}"),
        ("split", split),
    ]
    if rows.sequences is not None:
        actions = rows.sequences[row].tolist()
        width = footprint(tuple(actions))[2]
        entries.append(("sequence", f"{actions}, to a cell {width:,.4g} m wide"))
    return entries
