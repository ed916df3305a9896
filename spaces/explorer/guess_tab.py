"""The tab with the game: a photo, a map, ten guesses, the result."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import elements
import game as rules
import gradio as gr
import numpy as np
from atlas import near
from catalogue import Collection
from elements import PRIVATE, READ_ERRORS, button, coordinates, done, failed
from game import Game
from worldmap import arcs_between, box_around, map_component, mark, scene_of

from gcd_metric.report import html_table, paragraphs

_MAPS = {"im2gps": "Map of the world.", "justzoomin": "Map of Washington, D.C., with zoom grid."}
_CLOSE = 60.0  # degrees; a guess this near to the truth is shown with it on an enlarged map
_BUTTON, _MAP = "#onward", "#guess-map canvas"
_TO_ANSWER = f"() => window.explorerGoOn('{_BUTTON}', '{_MAP}')"
_TO_PHOTO = f"() => {{ window.explorerCard(); window.explorerGoOn('#result h2', '{_MAP}') }}"

# New values of the tab's components, by their names in `_components`.
Changes = dict[str, Any]


# --- what each stage of a game shows ------------------------------------------------------------


def ask(game: Game, collection: Collection) -> Changes:
    """Show a photo, and a map for the guess. Nothing here says where the photo was taken."""
    so_far = f", {_total(game, collection)} so far" if game.guesses else ""
    line = done(
        "Where was this photo taken? Click on the map to set your pin, then press Guess.",
        f"Round {game.round} of {len(game.rows)}{so_far}.",
    )
    picture = ""
    try:
        data = elements.shrunk(collection.photo(game.split, game.rows[game.round - 1]))
        picture = elements.figure(data, f"The photo of round {game.round}. Where was it taken?")
    except READ_ERRORS:
        line = failed("The photo of this round cannot be read at the moment. Guess without it.")
    return {
        "state": game,
        "saved": rules.saved(game),
        "status": line,
        "photo": picture,
        "credit": elements.credit(collection),
        "world": _map_for_guess(game, collection),
        # An update for each, because gradio changes what it is given.
        "latitude": gr.update(value=None, visible=True),
        "longitude": gr.update(value=None, visible=True),
        "answer": gr.update(visible=True),
        "onward": gr.update(visible=False),
        "result": "",
        "save_card": gr.update(visible=False),
        "again": gr.update(visible=False),
    }


def _map_for_guess(game: Game, collection: Collection, *pin: float) -> dict[str, Any]:
    marks = [mark("guess", pin)] if pin else []
    turn = [game.seed, game.round, "asked"]
    label, whole = _MAPS[game.collection], scene_of(collection, None, "")["extent"]
    return scene_of(collection, "guess", label, marks=marks, fit=whole, turn=turn)


def show_answer(game: Game, collection: Collection) -> Changes:
    """Show how far off the last guess was, and the model's."""
    truth, guess = rules.truths(game, collection)[-1], np.array(game.guesses[-1])
    number, theirs = len(game.guesses), rules.rival_guesses(game, collection)[-1]
    far, points = _off(game, collection, game.guesses)[-1]
    where = "" if game.collection == "justzoomin" else f"It was taken {near(*truth)}. "
    marks = [mark("guess", guess, "you"), mark("truth", truth, f"truth, {far} away")]
    versus = ""
    if collection.rival and not np.isnan(theirs).any():
        name = collection.rival.name
        their_far, their_points = _off(game, collection, [*game.guesses[:-1], theirs])[-1]
        versus = f"The model ({name}) was {their_far} off: {their_points} points. "
        marks.insert(0, mark("rival", theirs, name))
    total = f"After round {number} of {len(game.rows)} you have {_total(game, collection)}"
    total += f", the model {rivals}." if (rivals := _total(game, collection, True)) else "."
    arcs = arcs_between(guess[None], truth[None])
    way = np.concatenate([arc[:, ::-1] for arc in arcs])
    close = np.ptp(way, axis=0).max() < _CLOSE and np.abs(way[:, 1]).max() <= 180
    scene = scene_of(
        collection,
        None,
        f"{_MAPS[game.collection]} Your guess and the truth, {far} apart.",
        marks=marks,
        arcs=arcs,
        fit=box_around(way) if close else None,
        turn=[game.seed, number, "answered"],
    )
    image_id = collection.rows(game.split).ids[game.rows[number - 1]]
    record = f"The photo {image_id} was taken at {coordinates(*truth)}."
    following = "See the result" if game.finished else "Next photo"
    return {
        "state": game,
        "saved": rules.saved(game),
        "status": done(f"{where}{versus}{total}", f"{far} off: {points} points."),
        "credit": elements.credit(collection, record),
        "world": scene,
        "latitude": gr.update(visible=False),
        "longitude": gr.update(visible=False),
        "answer": gr.update(visible=False),
        "onward": gr.update(visible=True, value=following),
    }


def show_result(game: Game, collection: Collection) -> Changes:
    """Show the points, a picture to share, the metric's figures of all guesses, and each guess."""
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
    most = f"of {rules.MOST_POINTS * len(game.rows):,.0f} points"
    mine, theirs = (sum(_points(game, collection, rival)) for rival in (False, True))
    score, verdict = [f"{mine:,.0f}", most], f"You have {mine:,.0f} {most}"
    if collection.rival:
        name, ahead = collection.rival.name, mine - theirs
        score.append(f"{name}: {theirs:,.0f}")
        verdict += f"; the model ({name}) has {theirs:,.0f}. "
        verdict += (
            f"You {'win' if ahead > 0 else 'lose'} by {abs(ahead):,.0f}" if ahead else "A draw"
        )
    line = "On the map, each line connects a guess with the truth (diamond)."
    lines, columns = _rounds(game, collection)
    return {
        "status": done(line, f"{verdict}."),
        "world": scene,
        "latitude": gr.update(visible=False),
        "longitude": gr.update(visible=False),
        "onward": gr.update(visible=False),
        "result": '<h2 tabindex="-1">Your result</h2>'
        + _card(game, collection, score, verdict)
        + "<h3>Scores, as a model would get them (percent within each distance)</h3>"
        + html_table(["player", *headers[1:]], rows, "Your result")
        + paragraphs(notes)
        + "<h3>Round by round</h3>"
        + html_table(columns, lines, "Round by round"),
        "save_card": gr.update(visible=True),
        "again": gr.update(visible=True),
    }


def _card(game: Game, collection: Collection, score: list[str], verdict: str) -> str:
    """Return the canvas on which card.js draws the picture to share."""
    mine, theirs = (_points(game, collection, rival) for rival in (False, True))
    name = f"{collection.title}{', synthetic photos' if collection.synthetic else ''}"
    data = {
        "title": f"{name}, game {game.seed}",
        "score": score,
        "rounds": list(zip(mine, theirs, strict=True)) if theirs else [[each] for each in mine],
        "players": ["you", *([collection.rival.name] if collection.rival else [])],
    }
    text = html.escape(json.dumps(data), quote=True)
    label = html.escape(f"A picture to share: {verdict}, with the map of all guesses.", quote=True)
    return f'<canvas id="card" role="img" aria-label="{label}" data-card="{text}"></canvas>'


def _off(game: Game, collection: Collection, guesses: Any) -> list[tuple[str, str]]:
    """Return how far off guesses of the rounds are, and their points, as text."""
    unit = rules.options_of(game.collection).unit
    off = rules.distances(game, collection, guesses)
    points = rules.points(off, game.collection)
    return [
        (rules.distance_text(far, unit), f"{gained:,.0f}") if far == far else ("", "")
        for far, gained in zip(off, points, strict=True)
    ]


def _points(game: Game, collection: Collection, rival: bool = False) -> list[float]:
    """Return the points of each round; the model gets none where it has no guess."""
    if rival and not collection.rival:
        return []
    guesses = rules.rival_guesses(game, collection) if rival else None
    off = rules.distances(game, collection, guesses)
    found: list[float] = np.nan_to_num(rules.points(off, game.collection)).tolist()
    return found


def _total(game: Game, collection: Collection, rival: bool = False) -> str:
    points = _points(game, collection, rival)
    return f"{sum(points):,.0f} points" if points else ""


def _rounds(game: Game, collection: Collection) -> tuple[list[list[str]], list[str]]:
    """Return a line for each round, and the names of its columns."""
    ids, truths = collection.rows(game.split).ids, rules.truths(game, collection)
    mine = _off(game, collection, game.guesses)
    theirs = _off(game, collection, rules.rival_guesses(game, collection))
    world, lines = game.collection == "im2gps", []
    for number, (far, points) in enumerate(mine):
        places = coordinates(*truths[number]), coordinates(*game.guesses[number])
        beside = list(theirs[number]) if collection.rival else []
        where = [near(*truths[number])] if world else []
        image_id = str(ids[game.rows[number]])
        lines.append([str(number + 1), far, points, *beside, *where, *places, image_id])
    rival = ["model", "model's points"] if collection.rival else []
    where = ["place"] if world else []
    return lines, ["round", "distance", "points", *rival, *where, "truth", "your guess", "photo"]


# --- components and listeners -------------------------------------------------------------------


def build(page: gr.Blocks, collections: Mapping[str, Collection]) -> None:
    """Fill the tab. When the page loads, it goes on with the game that the browser keeps."""
    with gr.Row(equal_height=True):
        name = elements.collection_choice(collections, "guess-data")
        seed = gr.Number(
            1, label="Game number", precision=0, minimum=0, maximum=rules.LARGEST_SEED,
            elem_id="seed", min_width=160,
        )  # fmt: skip
        new = button("New game", "new-game", 120, beside=True)
    parts = _components(collections)
    state, world = parts["state"], parts["world"]
    coordinate_boxes = [parts["latitude"], parts["longitude"]]

    def changed(changes: Changes) -> dict[Any, Any]:
        return {parts[part]: value for part, value in changes.items()}

    def load(kept: Any, request: gr.Request) -> dict[Any, Any]:
        asked = {**(kept if isinstance(kept, dict) else {}), **_asked(request.query_params)}
        data, number = str(asked.get("data")), asked.get("seed")
        chosen = data if data in collections else next(iter(collections))
        try:
            game = rules.resumed(collections[chosen], number if type(number) is int else 1, kept)
        except ValueError:  # no such seed
            game = rules.new_game(collections[chosen], 1)
        changes = ask(rules.reopened(game), collections[chosen])
        if not game.open:
            changes |= show_answer(game, collections[chosen])
        return {**changed(changes), name: chosen, seed: game.seed}

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
    to_answer: dict[str, Any] = {"fn": None, "js": _TO_ANSWER, **PRIVATE}
    to_photo: dict[str, Any] = {"fn": None, "js": _TO_PHOTO, **PRIVATE}
    address: dict[str, Any] = {
        "fn": None, "js": "window.explorerAddress", "inputs": [name, seed], **PRIVATE
    }  # fmt: skip
    page.load(load, parts["saved"], [*outputs, name, seed], **PRIVATE).then(**address)
    new.click(**begin).then(**address).then(**to_photo)
    name.input(**begin).then(**address)
    again = parts["again"].click(start_next, [name, seed], [*outputs, seed], **PRIVATE)
    again.then(**address).then(**to_photo)
    parts["save_card"].click(None, js="window.explorerSaveCard", **PRIVATE)
    # Without the queue, so that a pin is there before Guess is pressed.
    world.select(set_pin, None, coordinate_boxes, queue=False, **quiet)
    for box in coordinate_boxes:
        box.input(move_pin, inputs, world, **quiet)
        box.submit(**guess).then(**to_answer)
    parts["answer"].click(**guess).then(**to_answer)
    parts["onward"].click(go_on, state, outputs, **PRIVATE).then(**to_photo)


def _asked(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the data set and seed that a link names."""
    seed = parameters.get("game", "")
    named = {"data": parameters["data"]} if "data" in parameters else {}
    return named | ({"seed": int(seed)} if seed.isdecimal() and len(seed) < 11 else {})


def _components(collections: Mapping[str, Collection]) -> dict[str, Any]:
    """Return the components that a game changes, by name."""
    first = next(iter(collections.values()))
    parts: dict[str, Any] = {
        "state": gr.State(None), "saved": gr.BrowserState(None, storage_key="explorer-game"),
    }  # fmt: skip
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            parts["photo"] = elements.plain("guess-photo")
        with gr.Column(scale=6, min_width=300):
            parts["status"] = elements.status_line("guess-status")
            parts["world"] = map_component(collections, scene_of(first, None, ""), "guess-map")
            with gr.Row(equal_height=True):
                for name in ("latitude", "longitude"):
                    label = name.capitalize()
                    parts[name] = gr.Number(
                        None, label=label, show_label=False, placeholder=label, container=False,
                        elem_id=name, min_width=90,
                    )  # fmt: skip
                parts["answer"] = button("Guess", "answer", 130, variant="primary")
                parts["onward"] = button(
                    "Next photo", "onward", 130, variant="primary", visible=False
                )
    parts["credit"] = elements.plain("guess-credit")
    parts["result"] = elements.plain("result")
    with gr.Row():
        parts["save_card"] = button("Save the picture", "save-card", 130, visible=False)
        parts["again"] = button(
            "Play the next game", "again", 130, variant="primary", visible=False
        )
    return parts
