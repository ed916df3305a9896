"""The rules of the game: ten photos, ten guesses, and the figures that a model would get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from catalogue import Collection

from gcd_metric import text
from gcd_metric.distances import measure
from gcd_metric.figures import GEOSCORE_MAX, GEOSCORE_SCALE_KM, summarise
from gcd_metric.options import Options, make_options
from gcd_metric.scoring import Run, Scored, published
from justzoomin.zoom import WASHINGTON

ROUNDS = 10
LARGEST_SEED = 2**32 - 1
MOST_POINTS = GEOSCORE_MAX  # of a round
# Points fall by a factor of e over this distance, in the unit of the configuration. GeoScore's is a
# tenth of the diagonal of GeoGuessr's map of the world; the other is a tenth of the city map's.
FALLS = {"im2gps": GEOSCORE_SCALE_KM, "justzoomin": WASHINGTON.width_m * 2**0.5 / 10}
_CONFIGURATIONS = {"im2gps": "standard", "justzoomin": "justzoomin"}


@dataclass(frozen=True)
class Game:
    """One visitor's game. It stays on the server, because it knows the answers.

    `rows` are the photos in the order of the rounds, `guesses` the latitude and longitude of each
    round that was played. While `open`, the photo of the next round is shown and waits for a
    guess; otherwise the answer of the last round is shown.
    """

    collection: str
    split: str
    seed: int
    rows: tuple[int, ...]
    guesses: tuple[tuple[float, float], ...] = ()
    open: bool = True

    @property
    def round(self) -> int:
        """Number of the round that is shown, from 1."""
        return len(self.guesses) + self.open

    @property
    def finished(self) -> bool:
        """Whether all rounds were played."""
        return len(self.guesses) == len(self.rows)


def new_game(collection: Collection, seed: int) -> Game:
    """Draw the photos of a game; the same seed draws the same, in any order of the rows."""
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"a seed is a whole number from 0 to {LARGEST_SEED:,}, not {seed}")
    split = collection.splits[0]
    ids = collection.rows(split).ids
    if not len(ids):
        raise ValueError(f"{collection.title}, split {split}, has no photos")
    count = min(ROUNDS, len(ids))
    drawn = np.random.default_rng(seed).choice(len(ids), count, replace=False)
    return Game(collection.name, split, seed, tuple(np.argsort(ids)[drawn].tolist()))


def saved(game: Game) -> dict[str, Any]:
    """Return what the visitor's browser keeps of a game, without any answer."""
    return {
        "data": game.collection,
        "seed": game.seed,
        "guesses": [list(place) for place in game.guesses],
        "open": game.open,
    }


def resumed(collection: Collection, seed: int, kept: Any) -> Game:
    """Return the game that a browser kept if it has this data set and seed, else a new one.

    `kept` comes from the visitor, so it may be anything.
    """
    game = new_game(collection, seed)
    try:
        if (kept["data"], kept["seed"]) != (game.collection, game.seed):
            return game
        played = game
        for latitude, longitude in kept["guesses"][: len(game.rows)]:
            played = guess(next_round(played), float(latitude), float(longitude))
        return next_round(played) if kept["open"] else played
    except (KeyError, TypeError, ValueError):
        return game


def guess(game: Game, latitude: float | None, longitude: float | None) -> Game:
    """Answer the open round; a second answer to the same round changes nothing.

    Raises ValueError if a coordinate is missing or not on Earth.
    """
    if not game.open:
        return game
    if latitude is None or longitude is None:
        raise ValueError("there is no pin yet: click on the map, or type latitude and longitude")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise ValueError(
            f"latitude {latitude:g}, longitude {longitude:g} is not on Earth: latitudes are within "
            "±90 degrees, longitudes within ±180"
        )
    place = float(latitude), float(longitude)
    return replace(game, guesses=(*game.guesses, place), open=False)


def reopened(game: Game) -> Game:
    """Return the game before its last answer, if that is shown."""
    return game if game.open else replace(game, guesses=game.guesses[:-1], open=True)


def next_round(game: Game) -> Game:
    """Open the next round, if there is one."""
    return replace(game, open=not game.finished)


def points(values: np.ndarray, collection: str) -> np.ndarray:
    """Return the points for distances: at most 5,000, on the scale of the data set's map."""
    gained: np.ndarray = np.round(MOST_POINTS * np.exp(-values / FALLS[collection]))
    return gained


def rival_guesses(game: Game, collection: Collection) -> np.ndarray:
    """Return the model's guesses of the rounds played, NaN where it has none, shape (rounds, 2)."""
    played = list(game.rows[: len(game.guesses)])
    if collection.rival is None:
        return np.full((len(played), 2), np.nan)
    return collection.rival.guesses[played]


def truths(game: Game, collection: Collection) -> np.ndarray:
    """Return where the photos of the rounds played were taken, shape (rounds, 2)."""
    return collection.rows(game.split).places[list(game.rows[: len(game.guesses)])]


def options_of(collection: str) -> Options:
    """Return the metric's options for a data set."""
    return make_options(_CONFIGURATIONS[collection])


def distances(game: Game, collection: Collection, guesses: Any = None) -> np.ndarray:
    """Return how far off guesses are (the visitor's by default), in the configuration's unit."""
    guesses = np.array(game.guesses if guesses is None else guesses).reshape(-1, 2)
    return measure(guesses, truths(game, collection), options_of(game.collection))


def result(game: Game, collection: Collection) -> tuple[list[str], list[list[str]], list[str]]:
    """Return headers and rows of the metric's table of a game, and notes."""
    beside, note = _comparable_results(collection, game.split)
    options = options_of(game.collection)
    players = [("you", np.array(game.guesses))]
    theirs = rival_guesses(game, collection)
    if collection.rival and not np.isnan(theirs).any():
        players.append((collection.rival.name, theirs))
    runs = []
    for name, guesses in players:
        # `compute` is not used, as it would mistake ten guesses near (0, 0) for radians.
        values = distances(game, collection, guesses)
        runs.append(Run(name, guesses, measured=values, scores=summarise(values, options)))
    ids = [str(row) for row in game.rows]
    scored = Scored(
        "", runs, truths(game, collection), ids, options, len(ids), published=beside
    )  # fmt: skip
    sources = [text.sources(scored)] if beside else []
    return (*text.table(scored), [text.intervals(scored), note, *sources])


def _comparable_results(collection: Collection, split: str) -> tuple[list[dict[str, str]], str]:
    """Return published results that can be compared with a game, and why, or why there are none.

    A game's photos are a random sample of the split, so its figures estimate those on the whole
    split, and can only be compared with published results on the same photos.
    """
    if collection.synthetic:
        return [], (
            "These photos are synthetic, so published results, which are for real photos, are not "
            "shown."
        )
    rows = published(collection.name)
    whole, here = int(rows[0]["n"]), len(collection.rows(split).ids)
    if here != whole:
        return [], (
            f"Published results of {collection.title} are for its {whole:,} photos, but these "
            f"were drawn from {here:,}, so they are not shown."
        )
    return rows, (
        f"Published results are for all {whole:,} photos. Yours are for ten of them, drawn at "
        "random, so only published values outside your intervals (in brackets) show a difference."
    )


def distance_text(value: float, unit: str) -> str:
    """Return a distance in kilometres or metres as text."""
    metres = value * 1000 if unit == "km" else value
    if metres < 1000:
        return f"{metres:,.0f} m"
    return f"{metres / 1000:,.1f} km" if metres < 100_000 else f"{metres / 1000:,.0f} km"
