"""The map component and the scenes that it shows; map.js draws them in the browser.

A scene is plain data. A limited number of dots stands for the photos in view.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import atlas
import gradio as gr
import numpy as np
from catalogue import Collection
from elements import data_url, shrunk

from gcd_metric.plot_data import great_circle_arcs
from justzoomin import zoom

MOST_DOTS = 1500
_BINS = (50, 30)  # across and down; their product is MOST_DOTS
_VIEW_PIXELS = 384
_LIMITS = (-180, -180, -90, -90), (180, 180, 90, 90)  # of west, east, south and north
_HERE = Path(__file__).parent
_SCRIPTS = ("map.js", "world.js", "card.js")
_TEMPLATE = """
<div class="map-frame">
  <canvas tabindex="0" role="application"></canvas>
  <div class="map-buttons">
    <button type="button" data-job="in" aria-label="Zoom in">+</button>
    <button type="button" data-job="out" aria-label="Zoom out">−</button>
    <button type="button" data-job="whole" aria-label="Show the whole map">⤢</button>
  </div>
</div>
<p class="map-remark" aria-live="polite"></p>
"""
_ON_LOAD = "window.explorerMap(element, props, trigger, server, watch, %s) // 'select'"
_KEYS = "Arrow keys move the cross, plus and minus zoom, Enter {}."


def head() -> str:
    """Return what the page's head must contain for maps: the scripts and the world."""
    parts = [(_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    world = json.dumps(atlas.world(), separators=(",", ":")).replace("<", "\\u003c")
    return "<script>window.explorerWorld = {};\n{}</script>".format(world, "\n".join(parts))


def map_component(
    collections: Mapping[str, Collection], scene: dict[str, Any], elem_id: str
) -> gr.HTML:
    """Return a map that shows a scene. A listener changes it by returning another scene.

    It triggers `select` with a `row`, or with a latitude and longitude, and requests dots and
    views of the given collections.
    """

    def dots(request: dict[str, Any]) -> dict[str, Any]:
        """Return the dots of the photos in view, and a sentence about them."""
        try:
            places = collections[request["collection"]].rows(request["split"]).places
            sight = _sight(request)
        except (KeyError, TypeError, ValueError):  # not a request of our page
            return {"dots": [], "remark": ""}
        return dots_in_sight(places, sight)

    def land(request: dict[str, Any]) -> dict[str, Any] | None:
        """Return land and cities for a view, in the detail that its scale shows."""
        try:
            west, east, south, north = np.clip(_sight(request), *_LIMITS).tolist()
            step = float(request["step"])
            if not 0 < step <= 1 or west >= east or south >= north:
                return None
        except (KeyError, TypeError, ValueError):
            return None
        # Not finer than about 2,000 pixels across, whatever the browser says of its size.
        return atlas.sheet(west, south, east, north, max(step, (east - west) / 4000))

    def view(prefix: list[int]) -> str:
        """Return the overhead view after the actions as a data URL; empty if there is none."""
        collection = collections["justzoomin"]
        actions = [int(action) for action in prefix if type(action) is int and 0 <= action < 16]
        if len(actions) != len(prefix) or len(actions) > collection.depth:
            return ""
        data = collection.view(tuple(actions))
        return data_url(shrunk(data, _VIEW_PIXELS)) if data else ""

    return gr.HTML(
        scene,
        html_template=_TEMPLATE,
        js_on_load=_ON_LOAD % json.dumps(elem_id),
        server_functions=[dots, land, view],
        elem_id=elem_id,
        elem_classes="map",
    )


def _sight(request: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return west, east, south and north of a request; ValueError if nothing is in view."""
    west, east, south, north = (float(value) for value in request["sight"])
    if not (-math.inf < west < east < math.inf and -math.inf < south < north < math.inf):
        raise ValueError("nothing is in view")
    return west, east, south, north


def scene_of(
    collection: Collection,
    click: str | None,
    what: str,
    *,
    marks: Sequence[dict[str, Any]] = (),
    arcs: Sequence[np.ndarray] = (),
    fit: Sequence[float] | None = None,
    split: str | None = None,
    turn: Any = None,
) -> dict[str, Any]:
    """Return what a map shows.

    Parameters
    ----------
    collection : Collection
    click : {"guess", "pick", None}
        What a click does: set a pin, or pick a photo's dot.
    what : str
        A description for people who cannot see the map.
    marks : sequence of dict
        From `mark`.
    arcs : sequence of ndarray of shape (n, 2)
        Longitudes and latitudes.
    fit : (west, east, south, north), optional
        What to show, in degrees.
    split : str, optional
        Whose photos are shown as dots; None for no dots.
    turn : JSON value
        A new value moves the map to `fit`; with the same it stays where the visitor moved it.
    """
    city = collection.name == "justzoomin"
    corners = np.column_stack(zoom.corners(np.empty(0, int))) if city else np.empty((0, 2))
    extent = box_around(corners, 0.02) if city else [-180.0, 180.0, -90.0, 90.0]
    middle = math.radians((extent[2] + extent[3]) / 2)
    does = {"guess": "sets your pin at the cross", "pick": "opens the photo at the cross"}
    keys = _KEYS.format(does[click]) if click else _KEYS.partition(", Enter")[0] + "."
    return {
        "place": collection.name,
        "extent": extent,
        "squeeze": math.cos(middle) if city else 1.0,
        "deepest": 100 if city else 4000,
        "grid": {"corners": corners[:, ::-1].tolist(), "depth": collection.depth} if city else None,
        "click": click,
        "label": f"{what} {keys}",
        "marks": list(marks),
        "arcs": [np.round(arc, 6).tolist() for arc in arcs],
        "fit": list(fit) if fit is not None else None,
        "dots": {"collection": collection.name, "split": split} if split else None,
        "turn": turn,
    }


def mark(kind: str, place: Iterable[float], label: str = "") -> dict[str, Any]:
    """Return a mark of kind `guess`, `rival`, `truth` or `chosen` at latitude and longitude."""
    latitude, longitude = map(float, place)
    return {"kind": kind, "latitude": latitude, "longitude": longitude, "label": label}


def arcs_between(guesses: np.ndarray, truths: np.ndarray) -> list[np.ndarray]:
    """Return great-circle arcs between places, longitude first; both of shape (n, 2)."""
    return list(great_circle_arcs(np.asarray(truths, float), np.asarray(guesses, float)))


def box_around(places: np.ndarray, margin: float = 0.35) -> list[float]:
    """Return west, east, south and north of a box around places, shape (n, 2), with a margin."""
    low, high = places.min(axis=0), places.max(axis=0)
    more = np.maximum((high - low) * margin, 1e-4)
    (south, west), (north, east) = low - more, high + more
    return [float(west), float(east), float(south), float(north)]


def dots_in_sight(
    places: np.ndarray, sight: tuple[float, float, float, float], most: int = MOST_DOTS
) -> dict[str, Any]:
    """Choose the dots for the photos in view, and a sentence about them.

    `places` are latitudes and longitudes, shape (n, 2); `sight` is west, east, south and north in
    degrees. `dots` are lists of row, latitude, longitude and the number of photos: if there are
    more photos than `most`, one photo stands for each cell of a grid.
    """
    west, east, south, north = sight
    latitude, longitude = places.T
    inside = (latitude >= south) & (latitude <= north) & (longitude >= west) & (longitude <= east)
    rows = np.flatnonzero(inside)
    counts = np.ones(len(rows), int)
    remark = f"{len(rows):,} of {len(places):,} photos in view, one dot each."
    if len(rows) > most:
        across, down = _BINS
        column = np.minimum((longitude[rows] - west) / (east - west) * across, across - 1)
        line = np.minimum((latitude[rows] - south) / (north - south) * down, down - 1)
        cells = line.astype(int) * across + column.astype(int)
        total = len(rows)
        _, first, counts = np.unique(cells, return_index=True, return_counts=True)
        rows = rows[first]
        remark = (
            f"{total:,} of {len(places):,} photos in view, drawn as {len(rows):,} dots. A large "
            "dot represents several photos and opens one of them. Zoom in to separate them."
        )
    found = zip(rows.tolist(), places[rows].round(6).tolist(), counts.tolist(), strict=True)
    return {"dots": [[row, *place, count] for row, place, count in found], "remark": remark}
