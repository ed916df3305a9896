"""One photo's zoom, view by view: overhead pictures with grid and chosen cell, and a caption."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from catalogue import Collection
from pictures import jpeg
from PIL import Image

from gcd_metric import haversine
from justzoomin import zoom
from justzoomin.preview import annotated
from justzoomin.views import footprint

_PIXELS = 768
_WHITE, _MUCH = 254, 0.02
_EMPTY = (110, 116, 122)


class Step(NamedTuple):
    """A view of a zoom: its picture, and what it shows."""

    picture: bytes
    alternative: str
    caption: str


def depth(collection: Collection, split: str) -> int:
    """How many views a zoom of the split has."""
    sequences = collection.rows(split).sequences
    return 0 if sequences is None else sequences.shape[1]


def step_of(collection: Collection, split: str, row: int, number: int) -> Step:
    """Draw one view of a photo's zoom.

    Parameters
    ----------
    collection : Collection
    split : str
    row : int
    number : int
        From 0.
    """
    rows = collection.rows(split)
    if rows.sequences is None:
        raise ValueError(f"{collection.title}, split {split}, has no zoom sequences")
    actions = [int(action) for action in rows.sequences[row]]
    prefix, action = tuple(actions[:number]), actions[number]
    latitude, longitude, width = footprint(prefix)
    line, column = divmod(action, zoom.GRID)
    where = f"row {line + 1} from the north, column {column + 1} from the west (action {action})"
    caption = f"View {number + 1} of {len(actions)}, {width:,.6g} m wide. "
    alternative = (
        f"Aerial view {width:,.6g} m wide with a grid of 4 by 4 cells; the chosen cell is {where}."
    )
    if number + 1 < len(actions):
        caption += f"The photo (dot) lies in {where}: that cell is the next view."
    else:
        caption += f"The photo (dot) lies in {where}. " + _end(actions, rows.places[row])
    data = collection.view(prefix)
    if data is None:
        view = Image.new("RGB", (_PIXELS, _PIXELS), _EMPTY)
        caption += " There are no overhead views here: the grid stands alone."
    else:
        with Image.open(io.BytesIO(data)) as opened:
            view = opened.convert("RGB")
    if (np.asarray(view).min(axis=2) >= _WHITE).mean() > _MUCH:
        caption += " What is white has no imagery"
        some = f": the miniature has all of it for {collection.walks} photos only (“Another photo”)"
        caption += (some if collection.walks else "") + "."
    shown = {
        "views": {number: view.resize((_PIXELS, _PIXELS), Image.Resampling.BICUBIC)},
        "view_centers": {number: (latitude, longitude)},
        "view_widths_m": {number: width},
        "sequence": actions,
        "latitude": rows.places[row][0],
        "longitude": rows.places[row][1],
    }
    return Step(jpeg(annotated(shown, number)), alternative, caption)


def _end(actions: list[int], place: np.ndarray) -> str:
    centre = np.array(zoom.decode(actions))
    off = haversine(centre[None], place[None], zoom.EARTH_RADIUS_M)[0]
    width = footprint(tuple(actions))[2]
    return f"The cell is {width:,.4g} m wide, its centre {off:.1f} m from where it was taken."
