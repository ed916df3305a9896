"""Pictures of a score: error curve, map of errors, one HTML or PNG file. Computes no figure."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import text
from .files import atomic_write
from .labels import as_html, for_matplotlib
from .scoring import Run, Scored

_METRES_PER_DEGREE = 111_195.0
_WORLD_FROM = 40.0  # degrees; data that spread further are shown on the whole world
COASTS_FROM = 5.0  # degrees; below, coastlines at 1:110 million say nothing
_MOST_ARCS = 3000
_HEADING = 120  # columns of a heading; tables have the whole names
_COLOURS = ("#1f5fa8", "#d1691c")


def write_report(path: str | Path, report: Scored) -> None:
    """Write a report that needs no other file and no network.

    Parameters
    ----------
    path : path-like
        Ends in `.html` or `.png`.
    report : Scored

    Raises
    ------
    ValueError
        For another ending, or if it cannot be written.
    ImportError
        If matplotlib is not installed.
    """
    check_report_path(path)
    with _own_looks():
        if Path(path).suffix.lower() == ".png":
            content = _overview(report)
        else:
            content = _page(report).encode()
    atomic_write(path, content)


def check_report_path(path: str | Path) -> None:
    """Refuse, before any work, a report that could not be written in the end."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm", ".png"):
        raise ValueError(f"{path}: a report's name ends in .html or .png")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder; give the report another name")
    if not os.path.isdir(path.parent):
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: the folder {path.parent} cannot be written to")
    new_figure("a report", 1, 1)


@contextlib.contextmanager
def _own_looks() -> Iterator[None]:
    """matplotlib as it is delivered: whoever makes it, the same report looks the same."""
    from matplotlib import rc_context, style

    # a fixed salt: the same scores give the same file
    with style.context("default"), rc_context({"svg.hashsalt": "gcd_metric"}):
        yield


def new_figure(what: str, width: float, height: float) -> Any:
    """An empty figure, in inches; without matplotlib an ImportError that says who needs it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            f"{what} needs matplotlib: pip install 'im2gps-justzoomin[report]'"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _render(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    # and no date, for the same reason
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type")) if kind == "svg" else None
    figure.savefig(
        buffer, format=kind, dpi=150, metadata=nothing, bbox_inches="tight", pad_inches=0.15
    )
    return buffer.getvalue()


def _overview(report: Scored) -> bytes:
    paired = report.comparison
    heights = [4.2] + [5.8] * len(report.runs)
    heights += [0.7 + 0.3 * len(text.paired_table(paired)[1])] if paired else []
    figure = new_figure("a report", 11, 0.4 + sum(heights))
    axes = figure.subplots(len(heights), 1, height_ratios=heights)
    draw_curve(axes[0], report)
    norm = colour_scale(report.runs)
    for index, run in enumerate(report.runs):
        draw_map(axes[1 + index], run, report.references, report.options.unit, norm)
    if paired:
        _draw_paired(axes[-1], report)
    _draw_title(figure, [report.title, text.scope(report)])
    return _render(figure, "png")


def _draw_title(figure: Any, lines: list[str]) -> None:
    drawn = [for_matplotlib(line, 100) for line in lines]
    title = "\n".join(line for line, _ in drawn)
    families = dict.fromkeys(family for _, plain in drawn for family in plain["fontfamily"])
    if "\\u" in title.lower():
        title += "\n(\\u… stands for a character that cannot be drawn here)"
    figure.suptitle(title, fontsize=13, **drawn[0][1] | {"fontfamily": list(families)})


def _draw_paired(axes: Any, report: Scored) -> None:
    assert report.comparison
    axes.axis("off")
    title, plain = for_matplotlib(text.paired_title(report), 110)
    axes.set_title(title, fontsize=11, **plain)
    headers, rows = text.paired_table(report.comparison)
    cells = axes.table(rows, colLabels=headers, loc="upper center")
    cells.auto_set_font_size(False)
    cells.set_fontsize(9)
    remark = textwrap.fill(text.PAIRED, 120)
    axes.text(0.5, 0, remark, ha="center", va="top", fontsize=8, transform=axes.transAxes)


# --- the error curve ----------------------------------------------------------------------------


def draw_curve(axes: Any, report: Scored) -> None:
    """Share of photos within each distance, with the thresholds marked.

    Parameters
    ----------
    axes : matplotlib Axes
    report : Scored
    """
    unit, n = report.options.unit, len(report.references)
    answered = [run.measured[~np.isnan(run.measured)] for run in report.runs]
    low, high = curve_limits(answered, report.options.thresholds)
    for index, values in enumerate(answered):
        distance = np.concatenate([[low], np.sort(np.clip(values, low, None)), [high]])
        share = np.concatenate([[0], np.arange(1, len(values) + 1), [len(values)]]) / n * 100
        axes.step(
            distance, share, where="post", color=_COLOURS[index % 2], lw=1.8, label=str(index)
        )
    for threshold in report.options.thresholds:
        shares = [np.count_nonzero(values <= threshold) / n for values in answered]
        axes.axvline(threshold, color="0.45", lw=0.8, ls="--", zorder=0)
        axes.annotate(
            f"{threshold:g} {unit}: {' | '.join(f'{share:.1%}' for share in shares)}",
            (threshold, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2, 4),
            textcoords="offset points",
            rotation=60,
            fontsize=8,
            ha="left",
            va="bottom",
        )
    axes.set(xscale="log", xlim=(low, high), ylim=(0, 100))
    axes.set_xlabel(f"great-circle error ({unit})")
    axes.set_ylabel("photos within it (%)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(color="0.9", lw=0.6)
    legend = axes.legend(loc="upper left", frameon=True, fontsize=9)
    # not as labels: one that begins with _ would be left out
    for entry, run in zip(legend.get_texts(), report.runs, strict=True):
        name, plain = for_matplotlib(run.name)
        entry.set(text=name, **plain)


def curve_limits(answered: list[np.ndarray], thresholds: tuple[float, ...]) -> tuple[float, float]:
    """Ends of the curve's axis, in the unit of both: positive, though errors may be 0."""
    values = np.concatenate([*answered, thresholds])
    values = values[values > 0]
    typical = np.quantile(values, 0.02)
    low = 10 ** math.floor(math.log10(min(typical, min(thresholds) / 2)))
    high = max(values.max(), max(thresholds)) * 1.3
    return max(low, high / 1e7), high


# --- the map ------------------------------------------------------------------------------------


def colour_scale(runs: Sequence[Run]) -> Any:
    """One scale of errors for all maps of a report, so that a colour means one distance.

    Parameters
    ----------
    runs : sequence of Run

    Returns
    -------
    matplotlib.colors.LogNorm
    """
    from matplotlib.colors import LogNorm

    measured = np.concatenate([run.measured for run in runs])
    positive = measured[measured > 0]
    top = float(positive.max()) if positive.size else 1.0
    bottom = float(np.quantile(positive, 0.02)) if positive.size else 0.1
    return LogNorm(max(min(bottom, top / 10), top / 1e5), top)


def _colour_ticks(low: float, high: float) -> list[float]:
    """Powers of ten; also 2 and 5 times these where a scale holds few of them."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), 16)]
    ticks = [value for value in powers if low <= value <= high]
    if len(ticks) > 2:
        return ticks
    return [step * value for value in powers for step in (1, 2, 5) if low <= step * value <= high]


def draw_map(
    axes: Any, run: Run, references: np.ndarray, unit: str, norm: Any | None = None
) -> None:
    """Great-circle arcs from each truth to its prediction, coloured by distance.

    The world, or only the region of the data where they are close together.

    Parameters
    ----------
    axes : matplotlib Axes
    run : Run
    references : ndarray of shape (n, 2)
        Degrees.
    unit : {"km", "m"}
    norm : matplotlib.colors.LogNorm, optional
        The scale of the colours; by default the run's own.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap

    west, east, south, north = map_extent(run.predictions, references)
    _draw_background(axes, (west, east, south, north))
    shown = _spread(run.measured)
    colour_of = run.measured[shown]
    norm = norm or colour_scale([run])
    bottom = norm.vmin
    colours = LinearSegmentedColormap.from_list(
        "error", ["#2166ac", "#7b3294", "#d7301f", "#fc8d1c"]
    )
    lines = great_circle_arcs(references[shown], run.predictions[shown])
    alpha = float(np.clip(8 / math.sqrt(max(len(shown), 1)), 0.25, 0.85))
    segments, values = [], []
    for line, value in zip(lines, np.maximum(colour_of, bottom), strict=True):
        # a line over the antimeridian leaves on one side and a copy of it comes in on the other
        shifts = [0.0]
        shifts += [-360.0] if line[:, 0].max() > 180 else []
        shifts += [360.0] if line[:, 0].min() < -180 else []
        segments += [line + (shift, 0) for shift in shifts]
        values += [value] * len(shifts)
    arcs = LineCollection(segments, cmap=colours, norm=norm, lw=0.9, alpha=alpha, zorder=3)
    arcs.set_array(np.array(values))
    axes.add_collection(arcs)
    axes.scatter(
        references[shown, 1],
        references[shown, 0],
        c=np.maximum(colour_of, bottom),
        cmap=colours,
        norm=norm,
        s=float(np.clip(3000 / max(len(shown), 1), 5, 22)),
        edgecolors="black",
        linewidths=0.3 if len(shown) < 500 else 0,
        zorder=4,
    )
    # inside the map's own frame, which keeps its shape whatever the figure's is
    bar = axes.figure.colorbar(arcs, cax=axes.inset_axes((1.015, 0.08, 0.022, 0.84)))
    bar.solids.set_alpha(1)
    bar.ax.set_title(unit, fontsize=9)
    bar.set_ticks(_colour_ticks(norm.vmin, norm.vmax))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    bar.ax.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set(xlim=(west, east), ylim=(south, north))
    middle = math.radians((south + north) / 2) if east - west < _WORLD_FROM else 0.0
    axes.set_aspect(1 / math.cos(middle))
    name, plain = for_matplotlib(run.name)
    axes.set_title(_map_title(name, run.measured), fontsize=10, **plain)


def _map_title(name: str, measured: np.ndarray) -> str:
    answered = int(np.count_nonzero(~np.isnan(measured)))
    shown = len(_spread(measured))
    some = f" ({shown:,} of {answered:,} arcs, evenly over the errors)" if shown < answered else ""
    return f"Errors of {name}, from the truth (dot) to the prediction{some}"


def _spread(measured: np.ndarray) -> np.ndarray:
    """Positions of at most `_MOST_ARCS` answered rows, evenly over the errors, worst last."""
    order = np.argsort(measured)[: int(np.count_nonzero(~np.isnan(measured)))]
    if len(order) > _MOST_ARCS:
        order = order[np.linspace(0, len(order) - 1, _MOST_ARCS).round().astype(int)]
    return order


def map_extent(
    predictions: np.ndarray, references: np.ndarray
) -> tuple[float, float, float, float]:
    """West, east, south and north of a map, in degrees: the world, or the region of the data."""
    answered = predictions[~np.isnan(predictions).any(axis=1)]
    low, high = references.min(axis=0), references.max(axis=0)
    if len(answered):  # a few predictions far away must not shrink the region to a dot
        low = np.minimum(low, np.quantile(answered, 0.01, axis=0))
        high = np.maximum(high, np.quantile(answered, 0.99, axis=0))
    if (high - low).max() > _WORLD_FROM or np.abs([low[0], high[0]]).max() > 85:
        return -180.0, 180.0, -90.0, 90.0
    centre, half = (low + high) / 2, np.maximum((high - low) / 2 * 1.06, 1e-4)
    wide = 1 / math.cos(math.radians(centre[0]))
    # neither a strip nor a needle: at most twice as wide as high, on the ground
    half[0] = max(half[0], half[1] / wide / 2)
    half[1] = max(half[1], half[0] * wide)
    return centre[1] - half[1], centre[1] + half[1], centre[0] - half[0], centre[0] + half[0]


def _draw_background(axes: Any, extent: tuple[float, float, float, float]) -> None:
    west, east, south, north = extent
    axes.set_facecolor("#f4f7fa")
    axes.tick_params(labelsize=8)
    axes.set_xlabel("longitude (°)", fontsize=9)
    axes.set_ylabel("latitude (°)", fontsize=9)
    if east - west >= 360:
        axes.set_xticks(range(-180, 181, 60))
        axes.set_yticks(range(-90, 91, 30))
    else:
        axes.locator_params(nbins=5)
        axes.ticklabel_format(useOffset=False, style="plain")
    if east - west > COASTS_FROM:
        from matplotlib.collections import LineCollection

        axes.add_collection(LineCollection(coastlines(), colors="0.6", lw=0.6, zorder=1))
    else:
        _draw_scale(axes, extent)
    axes.grid(color="0.88", lw=0.5, zorder=0)


def coastlines() -> list[np.ndarray]:
    """The world's coasts as polylines of (longitude, latitude) in degrees, each (points, 2)."""
    document = Path(__file__).with_name("coastlines.json").read_text(encoding="utf-8")
    return [np.array(line) for line in json.loads(document)["polylines"]]


def _draw_scale(axes: Any, extent: tuple[float, float, float, float]) -> None:
    west, east, south, north = extent
    x, length, label = scale_bar(extent)
    y = south + (north - south) * 0.05
    axes.plot([x, x + length], [y, y], color="black", lw=2.5, zorder=6)
    axes.text(
        x,
        y + (north - south) * 0.015,
        label,
        fontsize=9,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )


def scale_bar(extent: tuple[float, float, float, float]) -> tuple[float, float, str]:
    """Where a map's scale begins, how long it is (degrees of longitude), and what it says."""
    west, east, south, north = extent
    metres_per_degree = _METRES_PER_DEGREE * math.cos(math.radians((south + north) / 2))
    wanted = (east - west) * metres_per_degree / 4
    power = 10 ** math.floor(math.log10(wanted))
    metres = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    return west + (east - west) * 0.04, metres / metres_per_degree, label


def great_circle_arcs(start: np.ndarray, end: np.ndarray, points: int = 48) -> list[np.ndarray]:
    """Shortest arcs on the sphere.

    Parameters
    ----------
    start, end : ndarray of shape (n, 2)
        Latitude and longitude in degrees.
    points : int
        Of each arc.

    Returns
    -------
    list of ndarray of shape (points, 2)
        Longitude and latitude in degrees, as plots want them; the longitude runs on past ±180
        instead of jumping.
    """
    if not len(start):
        return []
    a, b = _unit_vectors(start), _unit_vectors(end)
    along = b - (a * b).sum(axis=1, keepdims=True) * a
    # no direction from a point to itself or its antipode: take any that is at right angles
    lost = np.linalg.norm(along, axis=1) < 1e-12
    along[lost] = np.cross(a[lost], np.eye(3)[np.abs(a[lost]).argmin(axis=1)])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(axis=1))
    steps = angle[:, None] * np.linspace(0, 1, points)
    x, y, z = np.moveaxis(
        a[:, None] * np.cos(steps)[..., None] + along[:, None] * np.sin(steps)[..., None], -1, 0
    )
    longitude = np.degrees(np.unwrap(np.arctan2(y, x), axis=1))
    latitude = np.degrees(np.arcsin(np.clip(z, -1, 1)))
    return list(np.stack([longitude, latitude], axis=-1))


def _unit_vectors(coordinates: np.ndarray) -> np.ndarray:
    latitude, longitude = np.radians(coordinates).T
    return np.column_stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ]
    )


# --- the page -----------------------------------------------------------------------------------

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px }
th, td { border-bottom: 1px solid #ddd; padding: .3em .7em; text-align: right }
th:first-child, td:first-child { text-align: left }
td:first-child { min-width: 12em; overflow-wrap: anywhere }
svg, img { max-width: 100%; height: auto }
h1, h2, h3, p { overflow-wrap: anywhere }
.wide { overflow-x: auto }
"""


def _page(report: Scored, worst: int = 20) -> str:
    title = as_html(report.title, _HEADING)
    parts = [
        f"<h1>{title}</h1>",
        *map(_paragraph, [text.scope(report), *report.notes]),
        html_table(*text.table(report)),
        *map(_paragraph, text.remarks(report)),
        *(_paired(report) if report.comparison else ()),
        "<h2>Error curve</h2>",
        _curve(report),
        "<h2>Map of errors</h2>",
    ]
    norm = colour_scale(report.runs)
    for run in report.runs:
        parts += _map(run, report, norm)
    for run in report.runs:
        parts.append(f"<h2>Worst predictions: {as_html(run.name, _HEADING)}</h2>")
        parts.append(html_table(*worst_rows(run, report, worst)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _curve(report: Scored) -> str:
    """The curve, with its legend as text of the page, which has fonts for any name."""
    figure = new_figure("a report", 10, 4.4)
    axes = figure.subplots()
    draw_curve(axes, report)
    axes.get_legend().remove()
    legend = [
        f'<span style="color:{_COLOURS[index % 2]}">&#9632;</span> {as_html(run.name, _HEADING)}'
        for index, run in enumerate(report.runs)
    ]
    curve = _render(figure, "svg").decode()
    return f"<p>{'<br>'.join(legend)}</p>{curve[curve.index('<svg') :]}"


def _map(run: Run, report: Scored, norm: Any) -> list[str]:
    figure = new_figure("a report", 11, 5.8)
    axes = figure.subplots()
    draw_map(axes, run, report.references, report.options.unit, norm)
    axes.set_title("")
    data = base64.b64encode(_render(figure, "png")).decode()
    title = as_html(_map_title(run.name, run.measured), _HEADING)
    return [f"<h3>{title}</h3>", f'<img alt="{title}" src="data:image/png;base64,{data}">']


def _paragraph(line: str) -> str:
    return f"<p>{as_html(line)}</p>"


def _paired(report: Scored) -> list[str]:
    assert report.comparison
    heading = f"<h2>{as_html(text.paired_title(report), _HEADING)}</h2>"
    return [heading, html_table(*text.paired_table(report.comparison)), _paragraph(text.PAIRED)]


def worst_rows(run: Run, report: Scored, count: int) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the photos without an answer and of the largest errors, as text."""
    unanswered = np.flatnonzero(np.isnan(run.measured))
    order = np.argsort(run.measured)[: len(run.measured) - len(unanswered)][::-1]
    # no answer is worse than any, but must not push all errors off the list
    first = unanswered[: max(count // 2, count - len(order))]
    rows = []
    for index in [*first, *order[: count - len(first)]]:
        truth, prediction = (
            f"{latitude:.5f}, {longitude:.5f}"
            for latitude, longitude in (report.references[index], run.predictions[index])
        )
        error = run.measured[index]
        given = ["no answer", ""] if np.isnan(error) else [prediction, f"{error:,.1f}"]
        rows.append([str(report.ids[index]), truth, *given])
    if len(first) < len(unanswered):
        more = f"and {len(unanswered) - len(first):,} more without an answer"
        rows.insert(len(first), [more, "", "no answer", ""])
    return ["image", "truth", "prediction", f"error ({report.options.unit})"], rows


def _lines(cell: str) -> str:
    return "\n".join(map(as_html, cell.split("\n")))


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text as HTML, every cell escaped, in an element of the class `wide`."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{_lines(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    # reached by Tab, so that a wide one can be scrolled without a mouse
    return f'<div class="wide" tabindex="0"><table>{line("th", headers)}{body}</table></div>'
