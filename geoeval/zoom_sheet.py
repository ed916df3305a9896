"""Draw cases of a zoom run on a sheet: the true path of a photo above, the predicted path below."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from gcd_metric.figures import distances
from gcd_metric.options import make_options
from justzoomin import preview
from justzoomin.views import SIZE, Views, footprint, prefixes_of


def draw_cases(
    records: Sequence[dict[str, Any]],
    references: Any,
    photo: Callable[[str], Image.Image],
    views: Views,
    path: str | os.PathLike[str],
    count: int = 3,
    credit: str = preview.ATTRIBUTION,
) -> list[str]:
    """Draw the worst cases of a run and those around the median into a PNG.

    Parameters
    ----------
    records : sequence of dict
        With `image_id`, and `sequence`, `latitude` and `longitude` if the photo has an answer.
    references : rows with `image_id`, `latitude`, `longitude` and `sequence`
    photo : callable
        Returns the photo of an image id.
    views : Views
    path : path
        The PNG to write.
    count : int
        How many cases of each kind.
    credit : str
        The last line, see `preview.attribution`.

    Returns
    -------
    list of str
        The image ids of the cases from the top: the worst, with the longest distance first, and
        those around the median. Without answers nothing is drawn.
    """
    columns = ("latitude", "longitude", "sequence")
    truth = {
        str(name): dict(zip(columns, values, strict=True))
        for name, *values in zip(*(references[key] for key in ("image_id", *columns)), strict=True)
    }
    answered = [record for record in records if "sequence" in record]
    if not answered:
        return []
    places = np.array([[record[key] for key in columns[:2]] for record in answered])
    true = np.array([[truth[one["image_id"]][key] for key in columns[:2]] for one in answered])
    metres = distances(places, true, make_options("justzoomin"))[0]
    rows, names = [], []
    for title, number in _cases(metres, count):
        record, name = answered[number], answered[number]["image_id"]
        place, picture = truth[name], photo(name)
        place["sequence"] = place["sequence"][: len(record["sequence"])]
        answer = {**place, "sequence": record["sequence"]}
        away = f"predicted path,\n{metres[number]:,.0f} m away"
        rows.append(_row(place, picture, views, f"{title}: {name},\ntrue path"))
        rows.append(_row(answer, picture, views, away))
        names.append(name)
    preview.sheet(rows, path, credit)
    return names


def _cases(metres: np.ndarray, count: int) -> list[tuple[str, int]]:
    """Return titles and positions of the longest distances, and of those around the median."""
    order = np.argsort(-metres, kind="stable").tolist()
    worst, rest = order[:count], order[count:]
    start = max(0, min(len(order) // 2 - count // 2 - len(worst), len(rest) - count))
    titles = ["worst"] * len(worst) + ["median"] * len(rest[start : start + count])
    return list(zip(titles, worst + rest[start : start + count], strict=True))


def _row(place: dict[str, Any], picture: Image.Image, views: Views, title: str) -> dict[str, Any]:
    """Return a row as of the configuration `zoom`, with the views along a path."""
    prefixes = prefixes_of(place["sequence"])
    spots = [footprint(prefix) for prefix in prefixes]
    return {
        **place, "image_id": title, "image": picture,
        # Enlarged, because marks on small views would hide them.
        "views": [Image.fromarray(view).resize((SIZE, SIZE)) for view in views.of(prefixes)],
        "view_centers": [spot[:2] for spot in spots], "view_widths_m": [spot[2] for spot in spots],
    }  # fmt: skip
