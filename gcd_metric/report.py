"""Writes a score as one HTML file, or one PNG, with matplotlib."""

from __future__ import annotations

import base64
import io
import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from . import plot_data, text
from .files import atomic_write
from .labels import as_html, for_matplotlib
from .scoring import Run, Scored
from .slices import ranked_by

_HEADING = 120  # columns of a heading; tables have the whole names
_WORST_ROWS = 20
_MOST_MAPS = 3  # of more files, only the first have a map, to keep a report small
_MOST_SHARES = 2  # of more files, the curve has no numbers, only the table
_BORDERS = {"solid": "solid", "dashed": "dashed", "dotted": "dotted", "dashdot": "double"}  # in CSS
MAP_LINE = "Each line is the shortest path from the truth (dot) to the prediction."


def write_report(path: str | Path, scored: Scored) -> None:
    """Write a report that needs no other file and no network.

    Parameters
    ----------
    path : path-like
        Ends in `.html` or `.png`.
    scored : Scored

    Raises
    ------
    ValueError
        For another ending, or if it cannot be written.
    ImportError
        If matplotlib is not installed.
    """
    check_report_path(path)
    from matplotlib import rc_context, style

    # the same scores give the same file, regardless of the user's settings
    with style.context("default"), rc_context({"svg.hashsalt": "gcd_metric"}):
        if Path(path).suffix.lower() == ".png":
            content = _overview(scored)
        else:
            content = _page(scored).encode()
    atomic_write(path, content)


def check_report_path(path: str | Path) -> None:
    """Raise, before any work, for a report that could not be written in the end."""
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


# --- drawing ------------------------------------------------------------------------------------


def require_matplotlib(what: str) -> None:
    """Raise an ImportError that says what needs matplotlib, if it is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{what} needs matplotlib: pip install 'im2gps-justzoomin[report]'"
        ) from None


def new_figure(what: str, width: float, height: float) -> Any:
    """An empty figure, in inches; without matplotlib an ImportError that says what needs it."""
    require_matplotlib(what)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curve(axes: Any, scored: Scored) -> None:
    """Draw the share of photos within each distance on matplotlib axes, with the thresholds."""
    curve, unit = plot_data.curve_data(scored), scored.options.unit
    styles = plot_data.run_styles(len(scored.runs))
    for (distances, percent), (colour, dash) in zip(curve.lines, styles, strict=True):
        axes.step(distances, percent, where="post", color=colour, ls=dash, lw=1.8)
    for key, threshold in zip(scored.options.keys, scored.options.thresholds, strict=True):
        name = text.distance(threshold, unit)
        if len(scored.runs) <= _MOST_SHARES:
            name += ": " + " | ".join(f"{run.scores[key]:.1%}" for run in scored.runs)
        axes.axvline(threshold, color="0.45", lw=0.8, ls="--", zorder=0)
        axes.annotate(
            name,
            (threshold, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2, 4),
            textcoords="offset points",
            rotation=60,
            fontsize=8,
            ha="left",
            va="bottom",
        )
    axes.set(xscale="log", xlim=curve.limits, ylim=(0, 100))
    axes.set(xlabel=f"great-circle error ({unit})", ylabel="photos within this distance (%)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(color="0.9", lw=0.6)


def draw_legend(axes: Any, scored: Scored) -> None:
    """Name the lines that `draw_curve` drew."""
    names = [run.name for run in scored.runs]
    legend = axes.legend(axes.lines[: len(names)], names, loc="lower right", fontsize=9)
    # set afterwards, since a label that begins with _ would be left out
    for entry, name in zip(legend.get_texts(), names, strict=True):
        shown, plain = for_matplotlib(name)
        entry.set(text=shown, **plain)


def draw_map(axes: Any, scored: Scored, run: Run) -> None:
    """Draw an arc from each truth to its prediction on matplotlib axes, coloured by its length."""
    from matplotlib.collections import LineCollection

    shown = plot_data.map_data(scored, run)
    west, east, south, north = shown.extent
    axes.add_collection(LineCollection(shown.coasts, colors="0.6", lw=0.6, zorder=1))
    if shown.scale:
        x, y, length, name = shown.scale
        axes.plot([x, x + length], [y, y], color="black", lw=2.5, zorder=6)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
        axes.text(x, y + (north - south) * 0.015, name, fontsize=9, zorder=6, bbox=box)
    size = float(np.clip(3000 / max(shown.count, 1), 5, 22))
    alpha = float(np.clip(8 / max(shown.count, 1) ** 0.5, 0.25, 0.85))
    for group in shown.classes:
        lines = [piece for arc in group.arcs for piece in arc]
        axes.add_collection(
            LineCollection(lines, colors=group.colour, lw=0.9, alpha=alpha, zorder=3)
        )
        latitude, longitude = scored.references[group.rows].T
        axes.scatter(longitude, latitude, c=group.colour, s=size, lw=0, label=group.name, zorder=4)
    axes.set(xlim=(west, east), ylim=(south, north), aspect=shown.aspect, facecolor="#f4f7fa")
    if shown.is_world:
        axes.set(xticks=range(-180, 181, 60), yticks=range(-90, 91, 30))
    else:
        axes.locator_params(nbins=5)
        axes.ticklabel_format(useOffset=False, style="plain")
    axes.tick_params(labelsize=8)
    axes.set_xlabel("longitude (°)", fontsize=9)
    axes.set_ylabel("latitude (°)", fontsize=9)
    axes.grid(color="0.88", lw=0.5, zorder=0)
    if shown.classes:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.01)}
        look = {"alignment": "left", "fontsize": 8, "markerscale": 1.5, "frameon": False}
        axes.legend(title="error", **place, **look)


def _overview(scored: Scored) -> bytes:
    """All pictures and the paired differences as one PNG."""
    paired = text.paired_table(scored) if scored.differences else None
    mapped = scored.runs[:_MOST_MAPS]
    heights = [4.2] + [5.8] * len(mapped) + ([1.0 + 0.22 * len(paired[1])] if paired else [])
    figure = new_figure("a report", 11, 0.4 + sum(heights))
    curve, *others = figure.subplots(len(heights), 1, height_ratios=heights)
    draw_curve(curve, scored)
    draw_legend(curve, scored)
    for axes, run in zip(others, mapped, strict=False):
        draw_map(axes, scored, run)
        name, plain = for_matplotlib(run.name)
        more = plot_data.left_out(run.measured)
        title = f"Errors of {name}, from the truth (dot) to the prediction"
        axes.set_title("\n".join(filter(None, [title, more])), fontsize=10, **plain)
    if paired:
        _draw_paired(others[-1], scored, *paired)
    lines = filter(None, (scored.title, text.scope(scored), _unmapped(scored)))
    drawn = [for_matplotlib(line, 100) for line in lines]
    title = "\n".join(line for line, _ in drawn)
    families = dict.fromkeys(family for _, plain in drawn for family in plain["fontfamily"])
    if "\\u" in title.lower():
        title += "\n(\\u… stands for a character that cannot be drawn here)"
    figure.suptitle(title, fontsize=13, **drawn[0][1] | {"fontfamily": list(families)})
    return _render(figure, "png")


def _draw_paired(axes: Any, scored: Scored, headers: list[str], rows: list[list[str]]) -> None:
    axes.axis("off")
    title, plain = for_matplotlib(text.paired_title(scored), 110)
    axes.set_title(title, fontsize=11, **plain)
    cells = axes.table(rows, colLabels=headers, loc="upper center")
    cells.auto_set_column_width(list(range(len(headers))))
    for index, (name, *_) in enumerate(rows, 1):
        shown, plain = for_matplotlib(name, 50)
        cells[index, 0].get_text().set(text=shown, **plain)
    cells.auto_set_font_size(False)
    cells.set_fontsize(9)
    remark = textwrap.fill(text.paired_remark(scored), 120)
    axes.text(0.5, 0, remark, ha="center", va="top", fontsize=8, transform=axes.transAxes)


def _render(figure: Any, kind: str) -> bytes:
    # The solver of the layout adds numbers in the order of memory addresses, so that the last bits
    # of a position differ from one drawing to the next, and with them single pixels.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(side, 6) for side in axes.get_position(original=True).bounds])
    buffer = io.BytesIO()
    # without the date, so that the same scores give the same file
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type")) if kind == "svg" else None
    figure.savefig(
        buffer, format=kind, dpi=150, metadata=nothing, bbox_inches="tight", pad_inches=0.15
    )
    return buffer.getvalue()


# --- HTML ---------------------------------------------------------------------------------------


def _page(scored: Scored) -> str:
    parts = [paragraphs([text.scope(scored), *scored.notes]), tables_html(scored)]
    parts += ["<h2>Error curve</h2>", _curve(scored)]
    parts += [paragraphs([_unmapped(scored)])]
    for run in scored.runs[:_MOST_MAPS]:
        title = f"Map of the errors of {as_html(run.name, _HEADING)}"
        lines = paragraphs([MAP_LINE, plot_data.left_out(run.measured)])
        figure = new_figure("a report", 11, 5.8)
        draw_map(figure.subplots(), scored, run)
        data = base64.b64encode(_render(figure, "png")).decode()
        parts += [f"<h2>{title}</h2>", lines]
        parts.append(f'<img alt="{title}" src="data:image/png;base64,{data}">')
        parts.append(worst_html(scored, run))
    page = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    return page.substitute(title=as_html(scored.title, _HEADING), body="\n".join(parts))


def _unmapped(scored: Scored) -> str:
    """One sentence on the files that have no map; empty if all have one."""
    if len(scored.runs) <= _MOST_MAPS:
        return ""
    return (
        f"Maps and worst predictions are of the first {_MOST_MAPS} of {len(scored.runs)} files, to "
        "keep the report small."
    )


def _curve(scored: Scored) -> str:
    """The curve, with its legend as text of the page, which has fonts for any name."""
    figure = new_figure("a report", 10, 4.4)
    draw_curve(figure.subplots(), scored)
    legend = "<br>".join(
        f'<span style="display:inline-block;width:2em;vertical-align:middle;border-top:3px '
        f'{_BORDERS[dash]} {colour}"></span> {as_html(run.name, _HEADING)}'
        for run, (colour, dash) in zip(
            scored.runs, plot_data.run_styles(len(scored.runs)), strict=True
        )
    )
    curve = _render(figure, "svg").decode()
    return f"<p>{legend}</p>{curve[curve.index('<svg') :]}"


def tables_html(scored: Scored, but: Sequence[str] = ()) -> str:
    """The figures and the paired differences, with the remarks below them.

    Scores by the columns `but` are left out.
    """
    title = "Accuracy in percent within each distance"
    parts = [f"<p><strong>{as_html(line)}</strong></p>" for line in text.verdicts(scored)]
    parts += [f"<h2>{title}</h2>", html_table(*text.table(scored), title)]
    parts.append(paragraphs(text.remarks(scored)))
    if scored.differences:
        title = text.paired_title(scored)
        parts.append(f"<h2>{as_html(title, _HEADING)}</h2>")
        parts.append(html_table(*text.paired_table(scored), title))
        parts.append(paragraphs([text.paired_remark(scored)]))
    if scored.runs[0].places:
        parts.append(f"<h2>{text.PLACES}</h2>{html_table(*text.place_table(scored), text.PLACES)}")
    for run in scored.runs:
        for name, found in run.by.items():
            if name in but:
                continue
            title = text.slice_title(run, name)
            table = text.slice_table(name, found, scored.options, scored.labels)
            parts.append(f"<h2>{as_html(title, _HEADING)}</h2>{html_table(*table, title)}")
            parts.append(paragraphs([text.slice_remark(found, scored.options)]))
    return "".join(parts)


def brief_slices_html(scored: Scored, run: Run, name: str) -> str:
    """The scores by a column, with only one accuracy, to stand beside a map."""
    headers, rows = text.slice_table(name, run.by[name], scored.options, scored.labels, "none")
    at = 1 + scored.options.keys.index(ranked_by(scored.options))
    rows = [[row[0], row[at], *row[-2:]] for row in rows]
    title = text.slice_title(run, name)
    table = html_table([headers[0], headers[at], *headers[-2:]], rows, title)
    remark = paragraphs([text.slice_remark(run.by[name], scored.options)])
    return f"<h3>{as_html(title, _HEADING)}</h3>{table}{remark}"


def figures_svg(scored: Scored) -> dict[str, bytes]:
    """The error curve and the maps of the first runs as SVG files, by name."""
    from matplotlib import rc_context, style

    found = {}
    with style.context("default"), rc_context({"svg.hashsalt": "gcd_metric"}):
        figure = new_figure("a figure", 10, 4.4)
        draw_curve(axes := figure.subplots(), scored)
        draw_legend(axes, scored)
        found["error-curve.svg"] = _render(figure, "svg")
        for number, run in enumerate(scored.runs[:_MOST_MAPS], 1):
            figure = new_figure("a figure", 11, 5.8)
            draw_map(figure.subplots(), scored, run)
            found[f"map-{number}.svg"] = _render(figure, "svg")
    return found


def worst_html(scored: Scored, run: Run) -> str:
    """The photos without a prediction and those with the largest errors, as a table."""
    title = f"Worst predictions of {run.name}"
    table = html_table(*text.worst_rows(scored, run, _WORST_ROWS), title)
    return f"<h3>{as_html(title, _HEADING)}</h3>{table}"


def paragraphs(lines: Iterable[str]) -> str:
    """Lines of text as HTML, escaped; empty ones are left out."""
    return "".join(f'<p class="remark">{as_html(line)}</p>' for line in lines if line)


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    """A table of text as HTML, escaped, with each interval below its figure to fit on a phone."""
    lines = ["".join(f'<th scope="col">{as_html(header)}</th>' for header in headers)]
    for name, *others in rows:
        cells = [as_html(name), *(as_html(cell).replace(" [", "<br>[") for cell in others)]
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    # the tab index makes it possible to scroll a wide table without a mouse
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{as_html(title)}">'
        f"<table>{body}</table></div>"
    )
