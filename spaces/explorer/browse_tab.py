"""The tab for browsing: photos as dots on a map, each with its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import elements
import gradio as gr
from catalogue import Collection
from elements import PRIVATE, READ_ERRORS, button, done, failed
from worldmap import map_component, mark, scene_of

from gcd_metric.names import counted
from justzoomin.views import footprint


class Chosen(NamedTuple):
    """The photo that is shown."""

    collection: str
    split: str
    row: int


def build(collections: Mapping[str, Collection]) -> tuple[gr.State, gr.Button]:
    """Fill the tab; return the state with the chosen photo, and the button for its zoom."""
    first = next(iter(collections.values()))
    chosen = gr.State(None)
    with gr.Row(equal_height=True):
        name = elements.collection_choice(collections, "browse-data")
        split = gr.Dropdown(
            first.splits, value=first.splits[0], label="Split", elem_id="split", min_width=140
        )
        wanted = elements.id_box("image-id", "of any split, with or without .jpg", 260)
        find = button("Find", "find", 90, beside=True)
    status = elements.status_line("browse-status")
    with gr.Row():
        with gr.Column(scale=6, min_width=300):
            world = map_component(collections, _scene(first, first.splits[0]), "browse-map")
        with gr.Column(scale=4, min_width=300):
            with gr.Row():
                back = button("Previous photo", "previous-photo", 120)
                onward = button("Next photo", "next-photo", 120)
            photo = elements.plain("browse-photo")
            credit = elements.plain("browse-credit", elements.credit(first))
            walk = button("Show its overhead views", "walk-its-zoom", 120, visible=False)
    outputs = [chosen, split, status, world, photo, credit, walk]

    def show(name: str, split_name: str, row: int, fit: bool = False) -> dict[Any, Any]:
        collection = collections[name]
        rows = collection.rows(split_name)
        image_id = str(rows.ids[row])
        latitude, longitude = map(float, rows.places[row])
        line = done(f"{image_id}, {collection.title}, split {split_name}.")
        picture = ""
        try:
            data = elements.shrunk(collection.photo(split_name, row))
            where = elements.coordinates(latitude, longitude)
            picture = elements.figure(data, f"Photo {image_id}, taken at {where}.")
        except READ_ERRORS as error:
            line = failed(f"{image_id}: {error}")
        city = name == "justzoomin"
        map_options: dict[str, Any] = {"marks": [mark("chosen", (latitude, longitude))]}
        if fit:
            reach = 0.004 if city else 12.0
            box = [longitude - reach, longitude + reach, latitude - reach, latitude + reach]
            map_options |= {"fit": box, "turn": [split_name, row]}
        return {
            chosen: Chosen(name, split_name, row),
            split: gr.update(choices=collection.splits, value=split_name),
            status: line,
            world: _scene(collection, split_name, **map_options),
            photo: picture + elements.record(_record(collection, split_name, row)),
            credit: elements.credit(collection),
            walk: gr.update(visible=city and rows.sequences is not None),
        }

    def open_split(name: str, split_name: str | None) -> dict[Any, Any]:
        collection = collections[name]
        split_name = split_name if split_name in collection.splits else collection.splits[0]
        count = counted(len(collection.rows(split_name).ids), "photos")
        line = f"{collection.title}, split {split_name}: {count}. Click on a dot to see one."
        return {
            chosen: None,
            split: gr.update(choices=collection.splits, value=split_name),
            status: done(line),
            world: _scene(collection, split_name),
            photo: "",
            credit: elements.credit(collection),
            walk: gr.update(visible=False),
        }

    def pick(name: str, split_name: str, event: gr.EventData) -> dict[Any, Any]:
        row = event.row
        if type(row) is not int or not 0 <= row < len(collections[name].rows(split_name).ids):
            return {status: failed("This photo does not exist.")}
        return show(name, split_name, row)

    def seek(name: str, text: str) -> dict[Any, Any]:
        found = collections[name].find(text) if text.strip() else None
        if found is None:
            return {status: elements.unknown_id(collections[name], text)}
        return show(name, *found, fit=True)

    def step(by: int) -> Any:
        def go(now: Chosen | None, name: str, split_name: str) -> dict[Any, Any]:
            count = len(collections[name].rows(split_name).ids)
            if not count:
                return {status: failed("This split has no photos.")}
            here = now and now[:2] == (name, split_name)
            return show(name, split_name, (now.row + by) % count if now and here else 0)

        return go

    name.input(open_split, [name, split], outputs, **PRIVATE)
    split.input(open_split, [name, split], outputs, **PRIVATE)
    world.select(pick, [name, split], outputs, **PRIVATE)
    find.click(seek, [name, wanted], outputs, **PRIVATE)
    wanted.submit(seek, [name, wanted], outputs, **PRIVATE)
    back.click(step(-1), [chosen, name, split], outputs, **PRIVATE)
    onward.click(step(1), [chosen, name, split], outputs, **PRIVATE)
    return chosen, walk


def _scene(collection: Collection, split: str, **options: Any) -> dict[str, Any]:
    label = f"Map of the photos of {collection.title}, split {split}."
    return scene_of(collection, "pick", label, split=split, **options)


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
        entries.append(("sequence", f"{actions}, which leads to a cell {width:,.4g} m wide"))
    return entries
