"""Draw samples: several photos with their zoom on a sheet, or one zoom as an animation."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from geoload.files import atomic_write, explain_disk_errors
from geoload.messages import needed_for
from justzoomin import zoom

ATTRIBUTION = (
    "Street view: Mapillary, CC BY-SA 4.0.  Aerial imagery: Open Data DC / Government of the "
    "District of Columbia, CC BY 4.0."
)
_ADVICE = "Give another path."
_GRID, _CHOSEN, _TRUTH = (255, 255, 255), (255, 210, 0), (230, 30, 60)
_STEPS = 12  # frames between two views
_FRAME_MS, _HOLD_MS = 70, 420  # how long a frame is shown, and a view


def sheet(rows: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw samples of the `zoom` configuration, one below the other, into a PNG.

    Parameters
    ----------
    rows : sequence of dict
        Rows of `zoom`: the photo and its views, with grid, chosen cell and true position.
    path : path
        The PNG to write. Its last line has the attributions that the licences require.

    Raises
    ------
    ImportError
        Without matplotlib (the extra `report`).
    """
    with needed_for("A sheet of samples", "report"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    columns = 1 + len(rows[0]["views"])
    figure = Figure(figsize=(2.4 * columns, 2.55 * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        line[0].imshow(ImageOps.pad(row["image"].convert("RGB"), (384, 384), color="white"))
        line[0].set_title(row["image_id"], fontsize=8)
        for step, cell in enumerate(line[1:]):
            cell.imshow(annotated(row, step))
            width = row["view_widths_m"][step]
            cell.set_title(f"{width:,.6g} m wide, action {row['sequence'][step]}", fontsize=8)
        for cell in line:
            cell.set_axis_off()
    figure.supxlabel(ATTRIBUTION, fontsize=7)
    with explain_disk_errors(path, _ADVICE), atomic_write(Path(path)) as file:
        figure.savefig(file, format="png", dpi=130)


def animation(row: dict[str, Any], path: str | os.PathLike[str], size: int = 384) -> None:
    """Draw the zoom of one sample as an animated GIF or WebP; the path's ending decides."""
    kind = Path(path).suffix.lower()
    if kind not in (".gif", ".webp"):
        raise ValueError(f"{path}: the name of an animation should end in .gif or .webp")
    # Opened first, so that a path that cannot be written is an error before the work.
    with explain_disk_errors(path, _ADVICE), atomic_write(Path(path)) as file:
        frames, durations = zip(*_frames(row, size), strict=True)
        frames[0].save(file, format=kind[1:].upper(), save_all=True, append_images=frames[1:],
                       duration=durations, loop=0)  # fmt: skip


def annotated(row: dict[str, Any], step: int) -> Image.Image:
    """Return a view with its grid, the cell that the action picks, and the true position."""
    view: Image.Image = row["views"][step].convert("RGB")
    draw = ImageDraw.Draw(view)
    side, line = view.width, max(1, view.width // 190)
    for i in range(1, zoom.GRID):
        at = i * side / zoom.GRID
        draw.line([(at, 0), (at, side)], _GRID, line)
        draw.line([(0, at), (side, at)], _GRID, line)
    left, top = _cell(row["sequence"][step], side)
    draw.rectangle([left, top, left + side / zoom.GRID, top + side / zoom.GRID],
                   outline=_CHOSEN, width=3 * line)  # fmt: skip
    x, y = _position(row, step, side)
    radius = side / 60
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], _TRUTH, "white", line)
    return view


def is_white(view: Image.Image) -> bool:
    """Return whether a view is blank."""
    return bool(np.asarray(view.convert("L")).min() >= 254)


def _cell(action: int, side: float) -> tuple[float, float]:
    row, column = divmod(action, zoom.GRID)
    return column * side / zoom.GRID, row * side / zoom.GRID


def _position(row: dict[str, Any], step: int, side: float) -> tuple[float, float]:
    """Return where in a view the photo was taken, in pixels from its upper left corner."""
    latitude, longitude = row["view_centers"][step]
    east, north = zoom.offset(latitude, longitude, row["latitude"], row["longitude"])
    scale = side / row["view_widths_m"][step]
    return float(side / 2 + east * scale), float(side / 2 - north * scale)


def _frames(row: dict[str, Any], size: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield each view, and frames that enlarge the chosen cell until it is the next view.

    With each frame comes how long it is shown, in milliseconds.
    """
    for step, view in enumerate(row["views"]):
        picture = annotated(row, step).resize((size, size), Image.Resampling.LANCZOS)
        yield _captioned(picture, row, step), _HOLD_MS
        if step + 1 == len(row["views"]):
            return
        left, top = _cell(row["sequence"][step], view.width)
        for share in np.linspace(0, 1, _STEPS, endpoint=False)[1:]:
            # Each width is the same fraction of the last one, for a steady zoom.
            width = view.width * zoom.GRID**-share
            progress = (view.width - width) / (view.width - view.width / zoom.GRID)
            box = (left * progress, top * progress)
            crop = view.convert("RGB").resize(
                (size, size), Image.Resampling.BICUBIC, (*box, box[0] + width, box[1] + width)
            )
            yield _captioned(crop, row, step), _FRAME_MS


def _captioned(picture: Image.Image, row: dict[str, Any], step: int) -> Image.Image:
    """Put the photo, the attribution and the width below the picture."""
    size, band = picture.width, picture.width // 3
    frame = Image.new("RGB", (size, size + band), "white")
    frame.paste(picture, (0, 0))
    photo = ImageOps.contain(row["image"].convert("RGB"), (size // 2 - 8, band - 8))
    frame.paste(photo, (4, size + 4))
    draw = ImageDraw.Draw(frame)
    for i, width in enumerate(row["view_widths_m"]):
        at = size // 2 + 4, size + 4 + i * size // 26
        text = f"{'>' if i == step else '  '} {width:,.6g} m wide"
        draw.text(at, text, "black", font_size=size // 32)
    at = size // 2 + 4, size + band // 2 + 4
    draw.text(at, textwrap.fill(ATTRIBUTION, 36), "dimgray", font_size=size // 42)
    return frame
