"""Guess the place: ten photos, ten guesses, the figures that a model would get. No page here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from catalogue import Collection

from gcd_metric import text
from gcd_metric.figures import Options, make_options, measure, summarise
from gcd_metric.scoring import Run, Scored, published

ROUNDS = 10
LARGEST_SEED = 2**32 - 1
_CONFIGURATIONS = {"im2gps": "standard", "justzoomin": "justzoomin"}


@dataclass(frozen=True)
class Game:
    """One visitor's game; it stays on the server, since it knows the answers.

    Attributes
    ----------
    collection, split : str
    seed : int
    rows : tuple of int
        The photos, in the order of the rounds.
    guesses : tuple of (float, float)
        Latitude and longitude, one for each round played.
    open : bool
        Whether the photo of the next round is shown and its guess awaited; otherwise the answer
        of the last one is.
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
        """Whether there is no photo left."""
        return len(self.guesses) == len(self.rows)


class Result(NamedTuple):
    """The figures of guesses as a table, and what to say of them."""

    headers: list[str]
    rows: list[list[str]]
    notes: list[str]


def new_game(collection: Collection, seed: int) -> Game:
    """Draw the photos of a game; the same seed draws the same ones, in whatever order rows lie.

    Raises
    ------
    ValueError
        For a seed that is none.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"a seed is a whole number from 0 to {LARGEST_SEED:,}, not {seed}")
    split = collection.splits[0]
    ids = collection.rows(split).ids
    if not len(ids):
        raise ValueError(f"{collection.title}, split {split}, has no photos")
    count = min(ROUNDS, len(ids))
    drawn = np.random.default_rng(seed).choice(len(ids), count, replace=False)
    return Game(collection.name, split, seed, tuple(np.argsort(ids)[drawn].tolist()))


def guess(game: Game, latitude: float | None, longitude: float | None) -> Game:
    """Answer the round that is open; a second answer to the same round changes nothing.

    Raises
    ------
    ValueError
        Where no place is given, or one that is not on Earth.
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


def next_round(game: Game) -> Game:
    """Open the next round, if there is one."""
    return replace(game, open=not game.finished)


def truths(game: Game, collection: Collection) -> np.ndarray:
    """Where the photos of the rounds played were taken, shape (rounds, 2)."""
    return collection.rows(game.split).places[list(game.rows[: len(game.guesses)])]


def options_of(collection: str) -> Options:
    """How the metric measures on a data set."""
    return make_options(_CONFIGURATIONS[collection])


def measured(game: Game, collection: Collection) -> np.ndarray:
    """Distances of all guesses, in the unit of the data set's configuration."""
    options = options_of(game.collection)
    return measure(np.array(game.guesses), truths(game, collection), options)


def figures(values: np.ndarray, collection: str) -> dict[str, Any]:
    """What the metric says of distances.

    Coordinates are not looked at, as its `compute` would: whoever guesses the middle of the map
    ten times does not mean radians.
    """
    return summarise(values, options_of(collection))


def result(game: Game, collection: Collection) -> Result:
    """The metric's table of a game, with published results where they may stand there."""
    distances = measured(game, collection)
    beside, note = published_beside(collection, game.split)
    scores = figures(distances, game.collection)
    run = Run("you", np.array(game.guesses), measured=distances, scores=scores)
    ids = [str(row) for row in game.rows]
    scored = Scored(
        "",
        [run],
        truths(game, collection),
        ids,
        options_of(game.collection),
        len(ids),
        published=beside,
    )
    notes = [text.INTERVALS, note]
    return Result(*text.table(scored), notes + ([text.sources(scored)] if beside else []))


def published_beside(collection: Collection, split: str) -> tuple[list[dict[str, str]], str]:
    """Published rows that may stand beside a game, and a sentence what they are, or why not.

    A game's photos are drawn from the split at random: its figures estimate what one would reach
    on the whole of it. So they may stand beside figures of just this whole, and of no other.
    """
    rows = published(collection.name)
    if collection.synthetic:
        return [], (
            "These photos are synthetic: published results, which are of real ones, are not shown."
        )
    whole, here = int(rows[0]["n"]), len(collection.rows(split).ids)
    if here != whole:
        return [], (
            f"Published results of {collection.title} are over its {whole:,} photos and these were "
            f"drawn from {here:,}, so they are not shown."
        )
    return rows, (
        f"Published results are over all {whole:,} photos, yours over ten drawn from them at "
        "random: only where a figure lies outside your brackets do ten photos tell a difference."
    )


def distance_text(value: float, unit: str) -> str:
    """A distance for people, of one in kilometres or metres."""
    metres = value * 1000 if unit == "km" else value
    if metres < 1000:
        return f"{metres:,.0f} m"
    return f"{metres / 1000:,.1f} km" if metres < 100_000 else f"{metres / 1000:,.0f} km"
