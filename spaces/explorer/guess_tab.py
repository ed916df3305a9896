"""The tab with the game: a photo, a map, ten guesses, the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import game as rules
import gradio as gr
import numpy as np
import words
from catalogue import Collection
from controls import HIDDEN, READ_ERRORS, collection_choice, live, plain
from game import Game, distance_text
from pictures import bare, figure
from worldmap import arcs_between, around, map_component, mark, scene_of

_ALTERNATIVE = "The photo of round {}. Where was it taken?"
_MAPS = {"im2gps": "Map of the world.", "justzoomin": "Map of Washington, D.C., with zoom grid."}
_CLOSE = 60.0  # degrees; two places as near as that are shown on their part of the map
# On a phone photo and result are above or below what is in sight.
_SHOW_NEXT = """() => {
    const result = document.querySelector('#result table');
    if (result) document.querySelector('#result').scrollIntoView();
    else document.querySelector('#guess-status').scrollIntoView({block: 'nearest'});
}"""

# What becomes of the tab's parts, by their names in `build`.
Changes = dict[str, Any]


# --- what each stage of a game shows ------------------------------------------------------------


def asked(game: Game, collection: Collection) -> Changes:
    """A photo, and a map that waits for a pin. Nothing here says where the photo was taken."""
    line = words.done(
        f"Round {game.round} of {len(game.rows)}: where was this photo taken? Click on the map to "
        "set your pin (zoom in for a closer one), then press Guess."
    )
    try:
        data = bare(collection.photo(game.split, game.rows[game.round - 1]))
        picture = figure(data, _ALTERNATIVE.format(game.round))
    except READ_ERRORS:
        picture = ""
        line = words.failed("This round's photo cannot be read at present: guess it blindly.")
    empty: dict[str, Any] = {"value": None, "interactive": True, "visible": True}
    return {
        "state": game,
        "status": line,
        "photo": picture,
        "credit": words.credit(collection),
        "world": _waiting(game, collection),
        "latitude": gr.update(**empty),  # an update each: gradio changes what it is given
        "longitude": gr.update(**empty),
        "answer": gr.update(visible=True),
        "onward": gr.update(visible=False),
        "result": "",
        "again": gr.update(visible=False),
    }


def _waiting(game: Game, collection: Collection, *pin: float) -> dict[str, Any]:
    marks = [mark("guess", pin)] if pin else []
    turn = [game.seed, game.round, "asked"]
    return scene_of(collection, "guess", _MAPS[game.collection], marks=marks, turn=turn)


def answered(game: Game, collection: Collection) -> Changes:
    """How far off the last guess was."""
    truth, guess = rules.truths(game, collection)[-1], np.array(game.guesses[-1])
    off = rules.measured(game, collection)[-1:]
    far = distance_text(off[0], rules.options_of(game.collection).unit)
    score = rules.figures(off, game.collection)["geoscore"]
    image_id = collection.rows(game.split).ids[game.rows[len(game.guesses) - 1]]
    city = game.collection == "justzoomin"
    remark = " (it is made for the whole world: in one city it hardly falls)" if city else ""
    line = (
        f"Round {len(game.guesses)} of {len(game.rows)}: {far} off, GeoScore {score:,.0f} of 5,000"
        f"{remark}. It was taken at {words.place(*truth)}; you guessed {words.place(*guess)}. "
        f"(Photo {image_id}.)"
    )
    arcs = arcs_between(guess[None], truth[None])
    way = np.concatenate([arc[:, ::-1] for arc in arcs])
    close = np.ptp(way, axis=0).max() < _CLOSE and np.abs(way[:, 1]).max() <= 180
    marks = [mark("guess", guess, "your guess"), mark("truth", truth, f"here, {far} off")]
    scene = scene_of(
        collection,
        None,
        f"{_MAPS[game.collection]} Your guess and the truth, {far} apart.",
        marks=marks,
        arcs=arcs,
        fit=around(way) if close else None,
        turn=[game.seed, len(game.guesses), "answered"],
    )
    following = "See the result" if game.finished else "Next photo"
    return {
        "state": game,
        "status": words.done(line),
        "world": scene,
        "latitude": gr.update(interactive=False),
        "longitude": gr.update(interactive=False),
        "answer": gr.update(visible=False),
        "onward": gr.update(visible=True, value=following),
    }


def over(game: Game, collection: Collection) -> Changes:
    """The metric's figures of all guesses, and each of them."""
    found = rules.result(game, collection)
    truths, guesses = rules.truths(game, collection), np.array(game.guesses)
    whole = scene_of(collection, None, "")["extent"]
    scene = scene_of(
        collection,
        None,
        f"{_MAPS[game.collection]} All guesses, each joined with the truth.",
        marks=[mark("truth", place) for place in truths],
        arcs=arcs_between(guesses, truths),
        fit=whole,
        turn=[game.seed, "over"],
    )
    line = (
        f"Game {game.seed} on {collection.title} is over. Your result stands below; on the map "
        "each line goes from a guess to the truth (the diamond)."
    )
    return {
        "status": words.done(line),
        "world": scene,
        "latitude": gr.update(visible=False),
        "longitude": gr.update(visible=False),
        "onward": gr.update(visible=False),
        "result": "<h2>Your result, in percent within each distance</h2>"
        + words.table(found.headers, found.rows, "Your result")
        + words.remark(*found.notes)
        + "<h3>Round by round</h3>"
        + words.table(*_rounds(game, collection, truths), "Round by round"),
        "again": gr.update(visible=True),
    }


def _rounds(
    game: Game, collection: Collection, truths: np.ndarray
) -> tuple[list[str], list[list[str]]]:
    unit, ids = rules.options_of(game.collection).unit, collection.rows(game.split).ids
    lines = []
    for number, off in enumerate(rules.measured(game, collection)):
        score = rules.figures(np.array([off]), game.collection)["geoscore"]
        places = words.place(*truths[number]), words.place(*game.guesses[number])
        image_id = str(ids[game.rows[number]])
        far = distance_text(off, unit)
        lines.append([str(number + 1), far, f"{score:,.0f}", *places, image_id])
    return ["round", "off", "GeoScore", "truth", "your guess", "photo"], lines


# --- the form -----------------------------------------------------------------------------------


def build(page: gr.Blocks, collections: Mapping[str, Collection]) -> None:
    """Fill the tab.

    Parameters
    ----------
    page : gr.Blocks
        When it loads, a game begins.
    collections : mapping of str to Collection
    """
    with gr.Row(equal_height=True):
        name = collection_choice(collections, "guess-data")
        seed = gr.Number(
            1,
            label="Game number",
            info="The same number asks for the same photos.",
            precision=0,
            minimum=0,
            maximum=rules.LARGEST_SEED,
            elem_id="seed",
            min_width=160,
        )
        new = gr.Button(
            "New game", elem_id="new-game", elem_classes="beside", min_width=120, scale=0
        )
    parts = _parts(collections)
    state, world, coordinates = parts["state"], parts["world"], _coordinates(parts)

    def changed(changes: Changes) -> dict[Any, Any]:
        return {parts[part]: value for part, value in changes.items()}

    def start(name: str, seed: float | None) -> dict[Any, Any]:
        collection = collections[name]
        try:
            game = rules.new_game(collection, int(seed if seed is not None else 1))
            return changed(asked(game, collection))
        except READ_ERRORS as error:
            return changed({"status": words.failed(error)})

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
        return _waiting(game, collections[game.collection], latitude, longitude)

    def take(game: Game | None, latitude: float | None, longitude: float | None) -> dict[Any, Any]:
        if game is None:
            return changed({"status": words.failed("There is no game: press New game.")})
        try:
            game = rules.guess(game, latitude, longitude)
        except ValueError as error:
            return changed({"status": words.failed(f"Not taken: {error}.")})
        return changed(answered(game, collections[game.collection]))

    def go_on(game: Game | None) -> dict[Any, Any]:
        if game is None or game.open:
            return {}
        following = over if game.finished else asked
        return changed(following(rules.next_round(game), collections[game.collection]))

    outputs = list(parts.values())
    begin: dict[str, Any] = {"fn": start, "inputs": [name, seed], "outputs": outputs, **HIDDEN}
    guess: dict[str, Any] = {
        "fn": take, "inputs": [state, *coordinates], "outputs": outputs, **HIDDEN
    }  # fmt: skip
    quiet: dict[str, Any] = {"show_progress": "hidden", **HIDDEN}
    page.load(**begin)
    new.click(**begin)
    name.input(**begin)
    parts["again"].click(start_next, [name, seed], [*outputs, seed], **HIDDEN).then(
        None, js=_SHOW_NEXT, **HIDDEN
    )
    world.select(set_pin, None, coordinates, **quiet)
    for box in coordinates:
        box.input(move_pin, [state, *coordinates], world, **quiet)
        box.submit(**guess)
    parts["answer"].click(**guess)
    parts["onward"].click(go_on, state, outputs, **HIDDEN).then(None, js=_SHOW_NEXT, **HIDDEN)


def _parts(collections: Mapping[str, Collection]) -> dict[str, Any]:
    """What a game changes, by name."""
    first = next(iter(collections.values()))
    parts: dict[str, Any] = {"state": gr.State(None), "status": live("guess-status")}
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            parts["photo"] = plain("guess-photo")
            parts["credit"] = plain("guess-credit")
        with gr.Column(scale=6, min_width=300):
            parts["world"] = map_component(collections, scene_of(first, None, ""), "guess-map")
            with gr.Row(equal_height=True):
                for name in ("latitude", "longitude"):
                    parts[name] = gr.Number(
                        None, label=name.capitalize(), elem_id=name, min_width=110
                    )
                common: dict[str, Any] = {"variant": "primary", "min_width": 130}
                parts["answer"] = gr.Button("Guess", elem_id="answer", **common)
                parts["onward"] = gr.Button("Next photo", elem_id="onward", visible=False, **common)
    parts["result"] = plain("result")
    parts["again"] = gr.Button("Play the next game", elem_id="again", visible=False)
    return parts


def _coordinates(parts: Mapping[str, Any]) -> list[gr.Number]:
    return [parts["latitude"], parts["longitude"]]
