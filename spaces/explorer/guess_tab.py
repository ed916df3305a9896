"""The tab with the game: a photo, a map, ten guesses, the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import elements
import game as rules
import gradio as gr
import numpy as np
from catalogue import Collection
from elements import PRIVATE, READ_ERRORS, button, coordinates, done, failed
from game import Game
from worldmap import arcs_between, box_around, map_component, mark, scene_of

from gcd_metric.report import html_table, paragraphs

_MAPS = {"im2gps": "Map of the world.", "justzoomin": "Map of Washington, D.C., with zoom grid."}
_CLOSE = 60.0  # degrees; a guess this near to the truth is shown with it on an enlarged map
# On a phone, photo and result can be outside the screen.
_SHOW_NEXT = """() => {
    const result = document.querySelector('#result table');
    if (result) document.querySelector('#result').scrollIntoView();
    else document.querySelector('#guess-status').scrollIntoView({block: 'nearest'});
}"""

# New values of the tab's components, by their names in `_components`.
Changes = dict[str, Any]


# --- what each stage of a game shows ------------------------------------------------------------


def ask(game: Game, collection: Collection) -> Changes:
    """Show a photo, and a map for the guess. Nothing here says where the photo was taken."""
    line = done(
        f"Round {game.round} of {len(game.rows)}: where was this photo taken? Click on the map to "
        "set your pin (zoom in to set it precisely), then press Guess."
    )
    picture = ""
    try:
        data = elements.shrunk(collection.photo(game.split, game.rows[game.round - 1]))
        picture = elements.figure(data, f"The photo of round {game.round}. Where was it taken?")
    except READ_ERRORS:
        line = failed("The photo of this round cannot be read at the moment. Guess without it.")
    return {
        "state": game,
        "status": line,
        "photo": picture,
        "credit": elements.credit(collection),
        "world": _map_for_guess(game, collection),
        # An update for each, because gradio changes what it is given.
        "latitude": gr.update(value=None, interactive=True, visible=True),
        "longitude": gr.update(value=None, interactive=True, visible=True),
        "answer": gr.update(visible=True),
        "onward": gr.update(visible=False),
        "result": "",
        "again": gr.update(visible=False),
    }


def _map_for_guess(game: Game, collection: Collection, *pin: float) -> dict[str, Any]:
    marks = [mark("guess", pin)] if pin else []
    turn = [game.seed, game.round, "asked"]
    return scene_of(collection, "guess", _MAPS[game.collection], marks=marks, turn=turn)


def show_answer(game: Game, collection: Collection) -> Changes:
    """Show how far off the last guess was."""
    truth, guess = rules.truths(game, collection)[-1], np.array(game.guesses[-1])
    number, far, score, *_, image_id = _rounds(game, collection)[-1]
    city = game.collection == "justzoomin"
    remark = " (GeoScore is meant for the whole world and hardly varies in a city)" if city else ""
    line = (
        f"Round {number} of {len(game.rows)}: {far} off, GeoScore {score} of 5,000{remark}. The "
        f"photo {image_id} was taken at {coordinates(*truth)}; you guessed {coordinates(*guess)}."
    )
    arcs = arcs_between(guess[None], truth[None])
    way = np.concatenate([arc[:, ::-1] for arc in arcs])
    close = np.ptp(way, axis=0).max() < _CLOSE and np.abs(way[:, 1]).max() <= 180
    scene = scene_of(
        collection,
        None,
        f"{_MAPS[game.collection]} Your guess and the truth, {far} apart.",
        marks=[mark("guess", guess, "your guess"), mark("truth", truth, f"truth, {far} away")],
        arcs=arcs,
        fit=box_around(way) if close else None,
        turn=[game.seed, number, "answered"],
    )
    following = "See the result" if game.finished else "Next photo"
    return {
        "state": game,
        "status": done(line),
        "world": scene,
        "latitude": gr.update(interactive=False),
        "longitude": gr.update(interactive=False),
        "answer": gr.update(visible=False),
        "onward": gr.update(visible=True, value=following),
    }


def show_result(game: Game, collection: Collection) -> Changes:
    """Show the metric's figures of all guesses, and each guess."""
    headers, rows, notes = rules.result(game, collection)
    truths = rules.truths(game, collection)
    scene = scene_of(
        collection,
        None,
        f"{_MAPS[game.collection]} All guesses, each joined with the truth.",
        marks=[mark("truth", place) for place in truths],
        arcs=arcs_between(np.array(game.guesses), truths),
        fit=scene_of(collection, None, "")["extent"],
        turn=[game.seed, "over"],
    )
    line = (
        f"Game {game.seed} on {collection.title} is finished. Your result is below. On the map, "
        "each line connects a guess with the true location (diamond)."
    )
    rounds = ["round", "distance", "GeoScore", "truth", "your guess", "photo"]
    return {
        "status": done(line),
        "world": scene,
        "latitude": gr.update(visible=False),
        "longitude": gr.update(visible=False),
        "onward": gr.update(visible=False),
        "result": "<h2>Your result, in percent within each distance</h2>"
        + html_table(headers, rows, "Your result")
        + paragraphs(notes)
        + "<h3>Round by round</h3>"
        + html_table(rounds, _rounds(game, collection), "Round by round"),
        "again": gr.update(visible=True),
    }


def _rounds(game: Game, collection: Collection) -> list[list[str]]:
    """Return number, distance, GeoScore, truth, guess and photo of each round."""
    unit, ids = rules.options_of(game.collection).unit, collection.rows(game.split).ids
    truths, lines = rules.truths(game, collection), []
    for number, off in enumerate(rules.distances(game, collection)):
        score = rules.figures(np.array([off]), game.collection)["geoscore"]
        places = coordinates(*truths[number]), coordinates(*game.guesses[number])
        far, image_id = rules.distance_text(off, unit), str(ids[game.rows[number]])
        lines.append([str(number + 1), far, f"{score:,.0f}", *places, image_id])
    return lines


# --- components and listeners -------------------------------------------------------------------


def build(page: gr.Blocks, collections: Mapping[str, Collection]) -> None:
    """Fill the tab. A game begins when the page loads."""
    with gr.Row(equal_height=True):
        name = elements.collection_choice(collections, "guess-data")
        seed = gr.Number(
            1, label="Game number", info="The same number gives the same photos.", precision=0,
            minimum=0, maximum=rules.LARGEST_SEED, elem_id="seed", min_width=160,
        )  # fmt: skip
        new = button("New game", "new-game", 120, beside=True)
    parts = _components(collections)
    state, world = parts["state"], parts["world"]
    coordinate_boxes = [parts["latitude"], parts["longitude"]]

    def changed(changes: Changes) -> dict[Any, Any]:
        return {parts[part]: value for part, value in changes.items()}

    def start(name: str, seed: float | None) -> dict[Any, Any]:
        try:
            game = rules.new_game(collections[name], int(seed if seed is not None else 1))
            return changed(ask(game, collections[name]))
        except READ_ERRORS as error:
            return changed({"status": failed(error)})

    def start_next(name: str, number: float | None) -> dict[Any, Any]:
        following = (int(number or 0) + 1) % (rules.LARGEST_SEED + 1)
        return {seed: following, **start(name, following)}

    def set_pin(event: gr.EventData) -> tuple[float, float]:
        return event.latitude, event.longitude

    def move_pin(game: Game | None, latitude: float | None, longitude: float | None) -> Any:
        if game is None or not game.open or latitude is None or longitude is None:
            return gr.skip()
        if abs(latitude) > 90 or abs(longitude) > 180:
            return gr.skip()
        return _map_for_guess(game, collections[game.collection], latitude, longitude)

    def take(game: Game | None, latitude: float | None, longitude: float | None) -> dict[Any, Any]:
        if game is None:
            return changed({"status": failed("There is no game: press New game.")})
        try:
            game = rules.guess(game, latitude, longitude)
        except ValueError as error:
            return changed({"status": failed(f"Not accepted: {error}.")})
        return changed(show_answer(game, collections[game.collection]))

    def go_on(game: Game | None) -> dict[Any, Any]:
        if game is None or game.open:
            return {}
        following = show_result if game.finished else ask
        return changed(following(rules.next_round(game), collections[game.collection]))

    outputs = list(parts.values())
    begin: dict[str, Any] = {"fn": start, "inputs": [name, seed], "outputs": outputs, **PRIVATE}
    inputs = [state, *coordinate_boxes]
    guess: dict[str, Any] = {"fn": take, "inputs": inputs, "outputs": outputs, **PRIVATE}
    quiet: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
    scroll: dict[str, Any] = {"fn": None, "js": _SHOW_NEXT, **PRIVATE}
    page.load(**begin)
    new.click(**begin)
    name.input(**begin)
    parts["again"].click(start_next, [name, seed], [*outputs, seed], **PRIVATE).then(**scroll)
    world.select(set_pin, None, coordinate_boxes, **quiet)
    for box in coordinate_boxes:
        box.input(move_pin, inputs, world, **quiet)
        box.submit(**guess)
    parts["answer"].click(**guess)
    parts["onward"].click(go_on, state, outputs, **PRIVATE).then(**scroll)


def _components(collections: Mapping[str, Collection]) -> dict[str, Any]:
    """Return the components that a game changes, by name."""
    first = next(iter(collections.values()))
    parts: dict[str, Any] = {
        "state": gr.State(None), "status": elements.status_line("guess-status"),
    }  # fmt: skip
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            parts["photo"] = elements.plain("guess-photo")
            parts["credit"] = elements.plain("guess-credit")
        with gr.Column(scale=6, min_width=300):
            parts["world"] = map_component(collections, scene_of(first, None, ""), "guess-map")
            with gr.Row(equal_height=True):
                for name in ("latitude", "longitude"):
                    label = name.capitalize()
                    parts[name] = gr.Number(None, label=label, elem_id=name, min_width=110)
                parts["answer"] = button("Guess", "answer", 130, variant="primary")
                parts["onward"] = button(
                    "Next photo", "onward", 130, variant="primary", visible=False
                )
    parts["result"] = elements.plain("result")
    parts["again"] = button("Play the next game", "again", 130, visible=False)
    return parts
