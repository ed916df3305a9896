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
from justzoomin import zoom
from justzoomin.source import LAYOUT, SYNTHETIC, SYNTHETIC_TILES, Source

_STREET = "Street view: Mapillary, CC BY-SA 4.0."
_AERIAL = "Aerial imagery: Open Data DC / Government of the District of Columbia, CC BY 4.0."
ATTRIBUTION = f"{_STREET}  {_AERIAL}"
_ADVICE = "Give another path."
_GRID, _CHOSEN, _TRUTH, _MISSING = (255, 255, 255), (255, 210, 0), (230, 30, 60), (222, 222, 222)
_CELL, _PLACE = "the cell that the action picks", "where the photo was taken"
_READABLE = 20  # pixels of a cell, in which its number can be read
_STEPS = 9  # frames between two views
_FRAME_MS, _HOLD_MS = 120, 1800  # how long a frame is shown, and a view


def attribution(source: Source) -> str:
    """Return the text below pictures of a source: what licences require, or SYNTHETIC."""
    layout = source.find(LAYOUT)
    painted = layout is not None and SYNTHETIC_TILES in Path(layout).read_text("utf-8", "replace")
    street = "Street view: SYNTHETIC." if source.find(SYNTHETIC) else _STREET
    return f"{street}  {'Aerial imagery: SYNTHETIC.' if painted else _AERIAL}"


def sheet(
    rows: Sequence[dict[str, Any]], path: str | os.PathLike[str], credit: str = ATTRIBUTION
) -> None:
    """Draw samples of the `zoom` configuration, one below the other, into a PNG.

    Parameters
    ----------
    rows : sequence of dict
        Rows of `zoom`. Each line has the photo, its views with grid, chosen cell and true position,
        and the cell of the last action, enlarged.
    path : path
        The PNG to write.
    credit : str
        The last line, see `attribution`.

    Raises
    ------
    ImportError
        Without matplotlib (the extra `report`).
    """
    from gcd_metric.report import new_figure  # takes longer than all other imports

    columns = 2 + len(rows[0]["views"])
    figure = new_figure("A sheet of samples", 2.4 * columns, 2.55 * len(rows) + 0.75)
    from matplotlib.lines import Line2D

    # Without ticks, because their layout is computed for axes that are off too, and takes a third
    # of the time.
    bare: dict[str, Any] = {"xticks": [], "yticks": []}
    axes = figure.subplots(len(rows), columns, squeeze=False, subplot_kw=bare)
    for line, row in zip(axes, rows, strict=True):
        line[0].imshow(ImageOps.pad(row["image"].convert("RGB"), (384, 384), color="white"))
        line[0].set_title(row["image_id"], fontsize=8)
        for step, cell in enumerate(line[1:-1]):
            cell.imshow(annotated(row, step))
            width = row["view_widths_m"][step]
            cell.set_title(f"{width:,.6g} m wide, action {row['sequence'][step]}", fontsize=8)
        line[-1].imshow(_marked(row, len(row["views"]) - 1, row["views"][-1].width, 1.0))
        line[-1].set_title(f"the cell, {_cell_width(row):,.3g} m wide", fontsize=8)
        for cell in line:
            cell.set_axis_off()
    colours = [[part / 255 for part in colour] for colour in (_CHOSEN, _TRUTH)]
    keys = [
        Line2D([], [], linestyle="", marker=marker, markersize=9, label=label, **style)
        for marker, label, style in (
            ("s", _CELL, {"markerfacecolor": "none", "markeredgecolor": colours[0],
                          "markeredgewidth": 3}),
            ("o", _PLACE, {"markerfacecolor": colours[1], "markeredgecolor": "white"}),
        )
    ]  # fmt: skip
    figure.legend(handles=keys, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    figure.supxlabel(credit, fontsize=7)
    with explain_disk_errors(path, _ADVICE), atomic_write(Path(path)) as file:
        # The default level takes three times as long, for a file 2 % smaller.
        figure.savefig(file, format="png", dpi=130, pil_kwargs={"compress_level": 4})


def animation(
    row: dict[str, Any],
    path: str | os.PathLike[str],
    size: int = 384,
    credit: str = ATTRIBUTION,
) -> None:
    """Draw the zoom of one sample as an animated GIF or WebP; the path's ending decides."""
    kind = Path(path).suffix.lower()
    if kind not in (".gif", ".webp"):
        raise ValueError(f"{path}: the name of an animation should end in .gif or .webp")
    # Opened first, so that a path that cannot be written is an error before the work.
    with explain_disk_errors(path, _ADVICE), atomic_write(Path(path)) as file:
        drawn, durations = zip(*_frames(row, size, credit), strict=True)
        frames = _with_palette(drawn) if kind == ".gif" else drawn
        frames[0].save(file, format=kind[1:].upper(), save_all=True, append_images=frames[1:],
                       duration=durations, loop=0, method=2)  # fmt: skip


def annotated(row: dict[str, Any], step: int) -> Image.Image:
    """Return a view with its numbered grid, the cell that the action picks, and the true place."""
    return _marked(row, step, row["views"][step].width)


def is_white(view: Image.Image) -> bool:
    """Return whether a view is blank."""
    return bool(np.asarray(view.convert("L")).min() >= 254)


def _cell(action: int, side: float) -> tuple[float, float]:
    row, column = divmod(action, zoom.GRID)
    return column * side / zoom.GRID, row * side / zoom.GRID


def _cell_width(row: dict[str, Any]) -> float:
    """Return the width of the cell of the last action, in metres."""
    return float(row["view_widths_m"][-1]) / zoom.GRID


def _position(row: dict[str, Any], step: int, side: float) -> tuple[float, float]:
    """Return where in a view the photo was taken, in pixels from its upper left corner."""
    latitude, longitude = row["view_centers"][step]
    east, north = zoom.offset(latitude, longitude, row["latitude"], row["longitude"])
    scale = side / row["view_widths_m"][step]
    return float(side / 2 + east * scale), float(side / 2 - north * scale)


def _marked(row: dict[str, Any], step: int, size: int, share: float = 0.0) -> Image.Image:
    """Return a view, or what is left of it on the way to the chosen cell, with all marks.

    `share` is 0 for the whole view and 1 for the cell. `size` is the side of the picture.
    """
    view: Image.Image = row["views"][step].convert("RGB")
    # Each width is the same fraction of the last one, for a steady zoom.
    part = zoom.GRID**-share
    chosen = _cell(row["sequence"][step], 1)
    left, top = (edge * (1 - part) / (1 - 1 / zoom.GRID) for edge in chosen)
    box = tuple(view.width * edge for edge in (left, top, left + part, top + part))
    missing = is_white(view)
    picture = (
        Image.new("RGB", (size, size), _MISSING)
        if missing
        else view.resize((size, size), Image.Resampling.BICUBIC, box)
    )
    draw, line, side = ImageDraw.Draw(picture), max(1, size // 190), size / part

    def at(x: float, y: float) -> tuple[float, float]:
        return x - left * side, y - top * side

    for i in range(1, zoom.GRID):
        edge = i * side / zoom.GRID
        draw.line([at(edge, 0), at(edge, side)], _GRID, line)
        draw.line([at(0, edge), at(side, edge)], _GRID, line)
    cell = side / zoom.GRID
    for action in range(zoom.GRID**2 if cell >= _READABLE else 0):
        x, y = _cell(action, side)
        draw.text(at(x + cell / 16, y + cell / 20), str(action), _GRID, font_size=size / 20,
                  stroke_width=line, stroke_fill="black")  # fmt: skip
    if missing:
        draw.text((size / 2, size * 5 / 8), "no imagery here", "dimgray", anchor="mm",
                  font_size=size / 12)  # fmt: skip
    x, y = _cell(row["sequence"][step], side)
    draw.rectangle([*at(x, y), *at(x + cell, y + cell)], outline=_CHOSEN, width=3 * line)
    x, y = at(*_position(row, step, side))
    radius = size / 60
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], _TRUTH, "white", line)
    return picture


def _frames(row: dict[str, Any], size: int, credit: str) -> Iterator[tuple[Image.Image, int]]:
    """Yield each view, and frames that enlarge the chosen cell until it is the next view.

    With each frame comes how long it is shown, in milliseconds. The last is the last cell.
    """
    for step in range(len(row["views"])):
        for share in np.linspace(0, 1, _STEPS, endpoint=False).tolist():
            picture = _marked(row, step, size, share)
            yield _captioned(picture, row, step, credit), _FRAME_MS if share else _HOLD_MS
    yield _captioned(_marked(row, step, size, 1.0), row, step + 1, credit), 2 * _HOLD_MS


def _with_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Convert frames to the colours of all views: Pillow would choose others for each, slowly."""
    width, height = frames[0].size
    held = frames[::_STEPS]
    montage = Image.new("RGB", (width * len(held), height))
    for i, frame in enumerate(held):
        montage.paste(frame, (i * width, 0))
    palette = montage.quantize(126)
    marks = [*_CHOSEN, *_TRUTH]  # with exactly these colours
    palette.putpalette((palette.getpalette() or [])[: 3 * 126] + marks)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def _captioned(picture: Image.Image, row: dict[str, Any], step: int, credit: str) -> Image.Image:
    """Put the photo, the widths, the legend and the attribution below the picture."""
    size, band = picture.width, picture.width * 2 // 5
    frame = Image.new("RGB", (size, size + band), "white")
    frame.paste(picture, (0, 0))
    photo = ImageOps.contain(row["image"].convert("RGB"), (size // 2 - 8, band - 8))
    frame.paste(photo, (4, size + 4))
    draw, left, height = ImageDraw.Draw(frame), size // 2 + 4, size // 26
    for i, width in enumerate([*row["view_widths_m"], _cell_width(row)]):
        action = f", action {row['sequence'][i]}" if i < len(row["views"]) else ""
        text = f"{'>' if i == step else '  '} {width:,.6g} m wide{action}"
        draw.text((left, size + 4 + i * height), text, "black", font_size=size // 32)
    for i, (text, colour) in enumerate(((_CELL, _CHOSEN), (_PLACE, _TRUTH)), 5):
        y, mark = size + 8 + i * height, size // 40
        outline = [left, y, left + mark, y + mark]
        if colour == _CHOSEN:
            draw.rectangle(outline, outline=colour, width=2)
        else:
            draw.ellipse(outline, colour)
        draw.text((left + 2 * mark, y - 2), text, "black", font_size=size // 36)
    at = left, size + 12 + 7 * height
    draw.text(at, textwrap.fill(credit, 44), "dimgray", font_size=size // 48)
    return frame
