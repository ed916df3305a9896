"""Rows of the overhead configurations: the rendered views, and the cells of a depth."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from typing import Any

from geoload.remote import open_binary
from geoload.tar import ShardError, members
from justzoomin import zoom
from justzoomin.sources import Part
from justzoomin.views import Views, footprint, record_is_white, view_name

Row = tuple[str, dict[str, Any]]


def overhead_files(folder: str | None) -> list[str]:
    """List a local folder's files from which overhead views come, for the cache key."""
    if folder is None:
        return []
    patterns = ("archives/satellite_level_*.tar", "satellite/layout.yaml", "views/*.tar")
    return [path for pattern in patterns for path in glob.glob(os.path.join(folder, pattern))]


def view_rows(path: str, token: Any = None) -> Iterator[Row]:
    """Yield the views of a rendered shard in its order.

    Raises
    ------
    ShardError
        Where the shard is damaged or holds a picture without its record.
    """
    picture: tuple[str, bytes] | None = None
    with open_binary(path, token) as file:
        for member, data in members(file, label=path):
            stem, _, suffix = member.name.rpartition(".")
            if suffix == "jpg":
                picture = stem, data or b""
            elif suffix == "json":
                if picture is None or picture[0] != stem:
                    raise ShardError(f"{path}: {member.name} follows no picture of its name.")
                yield stem, _view_row(path, member.name, picture[1], data or b"")
                picture = None


def _view_row(path: str, name: str, picture: bytes, record: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(record)
        return {
            "prefix": [int(action) for action in fields["prefix"]],
            "view": {"bytes": picture, "path": name.replace(".json", ".jpg")},
            "latitude": float(fields["latitude"]),
            "longitude": float(fields["longitude"]),
            "width_m": float(fields["width_m"]),
            "white": record_is_white(fields),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path}: {name} is no record of a view ({type(error).__name__}: {error}). Render the "
            "shard anew with `justzoomin render`."
        ) from error


def cell_parts(depth: int) -> list[Part]:
    """Share the cells of a depth out by their first action."""
    if not 1 <= depth <= zoom.DEPTH:
        raise ValueError(f"depth={depth}: cells have 1 to {zoom.DEPTH} actions.")
    count = zoom.GRID**2
    return [Part("", f"cells {i + 1}/{count}", i, count) for i in range(count)]


def cell_rows(part: Part, depth: int, views: Views) -> Iterator[Row]:
    """Yield every cell of a depth that begins with the part's action, with its view."""
    for rest in zoom.cells(depth - 1).tolist():
        sequence = (part.number, *rest)
        latitude, longitude, width = footprint(sequence)
        name = view_name(sequence)
        image = {"bytes": views.jpeg(sequence), "path": f"{name}.jpg"}
        yield (
            name,
            {
                "sequence": list(sequence),
                "image": image,
                "latitude": latitude,
                "longitude": longitude,
                "width_m": width,
                "white": views.is_white(sequence),
            },
        )
