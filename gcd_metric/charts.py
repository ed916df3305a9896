"""The page's pictures, by plotly: the error curve and the map of errors. Computes no figure.

Drawn as SVG lines on plain axes: plotly's own maps fetch their coasts from a server, and WebGL is
not everywhere; lines of a bounded number need neither. Backgrounds are left clear and the colours
hold on light and on dark.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import plotly.graph_objects as go

from .distances import haversine
from .labels import for_plotly
from .report import (
    COASTS_FROM,
    coastlines,
    curve_limits,
    great_circle_arcs,
    map_extent,
    scale_bar,
)
from .scoring import Run, Scored

MOST_ARCS = 1000
WORST_ARCS = 200
# from near to far; found by a search for colours of which any two differ for every kind of colour
# vision, and each shows on white and on nearly black
ERROR_COLOURS = ("#009af8", "#6a45ff", "#bd00b0", "#b179a1", "#f4004f", "#dd7a00")
RUN_COLOURS = ("#1f83d8", "#dd7a00")
_GREY, _FAINT = "#808080", "rgba(128,128,128,0.25)"
_CURVE_POINTS = 2000
_ARC_POINTS = (2, 4, 8, 16, 32, 64)
_ARC_STEPS = 120  # across the map; the longest arc has about half as many points


# --- the error curve ----------------------------------------------------------------------------


def error_curve(report: Scored, narrow: bool = False) -> go.Figure:
    """Cumulative share of photos within each distance, on a logarithmic axis.

    Parameters
    ----------
    report : Scored
    narrow : bool
        Whether it is for a phone.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    unit, n = report.options.unit, len(report.references)
    answered = [np.sort(run.measured[~np.isnan(run.measured)]) for run in report.runs]
    low, high = curve_limits(answered, report.options.thresholds)
    figure = go.Figure()
    for index, (run, values) in enumerate(zip(report.runs, answered, strict=True)):
        distance, count = _steps(np.clip(values, low, high), report.options.thresholds, (low, high))
        figure.add_scatter(
            x=distance,
            y=count / n * 100,
            name=for_plotly(run.name),
            mode="lines",
            line={
                "shape": "hv",
                "width": 2.5,
                "color": RUN_COLOURS[index % 2],
                "dash": ("solid", "dash")[index % 2],
            },
            hovertemplate=f"%{{y:.1f}} % within %{{x:,.4~g}} {unit}",
        )
    for threshold in report.options.thresholds:
        figure.add_vline(threshold, line={"color": _GREY, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=math.log10(threshold),
            y=1,
            yref="paper",
            text=f"{threshold:g} {unit}",
            textangle=-45,
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
        )
    _style(figure, narrow, 320 if narrow else 420)
    figure.update_layout(
        hovermode="x unified",
        margin={"t": 56, "l": 52, "r": 16 if narrow else 72, "b": 48},
        legend={"x": 0.99, "y": 0.02, "xanchor": "right", "yanchor": "bottom"},
        xaxis={
            "type": "log",
            "range": [math.log10(low), math.log10(high)],
            "title": f"great-circle error ({unit})",
            "dtick": 1,
            "tickformat": ",~r",
        },
        yaxis={"range": [0, 100.5], "title": "photos within it (%)"},
        showlegend=len(report.runs) > 1,
    )
    return figure


def _steps(
    values: np.ndarray, thresholds: tuple[float, ...], ends: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances, and how many of the sorted `values` are within each: every one if they are few.

    Of many only some are kept, evenly over the ranks, and the thresholds, where the curve must be
    what the table says.
    """
    kept = np.linspace(0, len(values) - 1, min(_CURVE_POINTS, len(values))).round().astype(int)
    distance = np.unique(np.concatenate([values[kept], thresholds, ends]))
    return distance, np.searchsorted(values, distance, side="right")


# --- the map ------------------------------------------------------------------------------------


def chosen_arcs(measured: np.ndarray, seed: int = 0) -> np.ndarray:
    """Which errors a map draws: all, or the worst and a random sample of the others.

    Parameters
    ----------
    measured : ndarray of shape (n,)
        Distances; NaN where there was no answer.
    seed : int
        Of the sample.

    Returns
    -------
    ndarray of int
        At most `MOST_ARCS` positions, the worst last.
    """
    order = np.argsort(measured)[: int(np.count_nonzero(~np.isnan(measured)))]
    if len(order) <= MOST_ARCS:
        return order
    ranks = np.random.default_rng(seed).choice(
        len(order) - WORST_ARCS, MOST_ARCS - WORST_ARCS, replace=False
    )
    return np.concatenate([order[np.sort(ranks)], order[-WORST_ARCS:]])


def arcs_line(measured: np.ndarray) -> str:
    """What a map shows and what it leaves out, as a sentence or two."""
    answered = int(np.count_nonzero(~np.isnan(measured)))
    if answered > MOST_ARCS:
        line = (
            f"The map draws {MOST_ARCS:,} of {answered:,} errors: the {WORST_ARCS} worst, and "
            f"{MOST_ARCS - WORST_ARCS} of the others at random. Table and curve are of all."
        )
    else:
        line = f"The map draws all {answered:,} errors."
    lost = len(measured) - answered
    return line + (f" {lost:,} photos without an answer have no arc." if lost else "")


def error_map(report: Scored, run: Run, narrow: bool = False) -> go.Figure:
    """Each error as a great-circle arc from the truth (a dot) to the prediction.

    Parameters
    ----------
    report : Scored
    run : Run
        One of the report's.
    narrow : bool
        Whether it is for a phone.

    Returns
    -------
    plotly.graph_objects.Figure
        An arc's colour says between which two of the report's thresholds its length lies.
    """
    extent = west, east, south, north = map_extent(run.predictions, report.references)
    figure = go.Figure()
    _add_background(figure, extent)
    shown = chosen_arcs(run.measured)
    classes = np.searchsorted(sorted(report.options.thresholds), run.measured[shown], side="left")
    names = class_names(report.options.thresholds, report.options.unit)
    for index, name in enumerate(names):
        rows = shown[classes == index]
        if len(rows):
            colour = ERROR_COLOURS[round(index * 5 / max(len(names) - 1, 1))]
            _add_class(figure, report, run, rows, extent, name, colour, len(shown))
    _style(figure, narrow, 280 if narrow else 620)
    world = east - west >= 360
    figure.update_layout(
        hovermode="closest",
        margin={"t": 8, "l": 44, "r": 16, "b": 28},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
        xaxis={"range": [west, east], "ticksuffix": "°"},
        yaxis={
            "range": [south, north],
            "ticksuffix": "°",
            "scaleanchor": "x",
            # a degree of longitude is shorter away from the equator
            "scaleratio": 1.0 if world else 1 / math.cos(math.radians((south + north) / 2)),
            "constrain": "domain",
            "constraintoward": "top",
        },
    )
    figure.update_xaxes(constrain="domain", nticks=5 if narrow else 9)
    if world:
        figure.update_xaxes(dtick=60, minallowed=west, maxallowed=east)
        figure.update_yaxes(dtick=30, minallowed=south, maxallowed=north)
    return figure


def class_names(thresholds: tuple[float, ...], unit: str) -> list[str]:
    """`up to 1 km`, `1 to 25 km` … and `over 2,500 km`: one more than there are thresholds."""
    ends = [f"{threshold:,.10g}" for threshold in sorted(thresholds)]
    between = [f"{low} to {high} {unit}" for low, high in itertools.pairwise(ends)]
    return [f"up to {ends[0]} {unit}", *between, f"over {ends[-1]} {unit}"]


def _add_background(figure: go.Figure, extent: tuple[float, float, float, float]) -> None:
    west, east, south, north = extent
    if east - west > COASTS_FROM:
        coasts = _joined([np.round(line, 2) for line in coastlines()])
        figure.add_scatter(
            x=coasts[:, 0],
            y=coasts[:, 1],
            mode="lines",
            line={"color": _GREY, "width": 0.7},
            hoverinfo="skip",
            showlegend=False,
        )
        return
    x, length, label = scale_bar(extent)
    y = south + (north - south) * 0.05
    figure.add_scatter(
        x=[x, x + length],
        y=[y, y],
        mode="lines",
        line={"color": _GREY, "width": 4},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_annotation(x=x, y=y, text=label, showarrow=False, xanchor="left", yanchor="bottom")


def _add_class(
    figure: go.Figure,
    report: Scored,
    run: Run,
    rows: np.ndarray,
    extent: tuple[float, float, float, float],
    name: str,
    colour: str,
    total: int,
) -> None:
    """The arcs of one class, the truths they start from, and what hovering says, as one group."""
    step = (extent[1] - extent[0]) / _ARC_STEPS
    arcs = _arcs(report.references[rows], run.predictions[rows], step)
    digits = max(2, math.ceil(6 - math.log10(extent[1] - extent[0])))
    lines = _joined([piece for arc in arcs for piece in break_at_antimeridian(arc)])
    labels = [_label(report, run, row) for row in rows]
    # every fourth point is enough to be hit by a pointer; each carries the whole label
    stops = [arc if len(arc) <= 4 else arc[[*range(0, len(arc) - 1, 4), -1]] for arc in arcs]
    places = np.concatenate(stops)
    group = {"legendgroup": name, "name": name}
    figure.add_scatter(
        x=np.round(lines[:, 0], digits),
        y=np.round(lines[:, 1], digits),
        mode="lines",
        line={"color": colour, "width": 1.6},
        opacity=float(np.clip(20 / math.sqrt(total), 0.7, 0.95)),
        hoverinfo="skip",
        **group,
    )
    figure.add_scatter(
        x=np.round((places[:, 0] + 180) % 360 - 180, digits),
        y=np.round(places[:, 1], digits),
        text=np.repeat(labels, [len(stop) for stop in stops]),
        mode="lines",
        line={"color": "rgba(0,0,0,0)", "width": 0},
        hovertemplate="%{text}<extra></extra>",
        hoverlabel={"bgcolor": "#1c2733", "bordercolor": colour, "font": {"color": "#ffffff"}},
        showlegend=False,
        **group,
    )
    figure.add_scatter(
        x=np.round(report.references[rows, 1], digits),
        y=np.round(report.references[rows, 0], digits),
        mode="markers",
        marker={"color": colour, "size": float(np.clip(1500 / total, 4, 7))},
        hoverinfo="skip",
        showlegend=False,
        **group,
    )


def _label(report: Scored, run: Run, row: int) -> str:
    name = for_plotly(str(report.ids[row]))
    truth, guess = (
        f"{latitude:.5f}, {longitude:.5f}"
        for latitude, longitude in (report.references[row], run.predictions[row])
    )
    error = f"{run.measured[row]:,.1f} {report.options.unit}"
    return f"<b>{name}</b><br>{error} off<br>truth {truth}<br>prediction {guess}"


def _arcs(start: np.ndarray, end: np.ndarray, step: float) -> list[np.ndarray]:
    """Arcs with a point about every `step` degrees, so that short ones have few."""
    angle = np.degrees(haversine(start, end, 1.0))
    wanted = np.searchsorted(_ARC_POINTS[:-1], angle / step + 1)
    arcs: list[np.ndarray] = [np.empty((0, 2))] * len(start)
    for choice, points in enumerate(_ARC_POINTS):
        rows = np.flatnonzero(wanted == choice)
        for row, arc in zip(rows, great_circle_arcs(start[rows], end[rows], points), strict=True):
            arcs[row] = arc
    return arcs


def break_at_antimeridian(arc: np.ndarray) -> list[np.ndarray]:
    """Cut a line whose longitude runs on past ±180 where it leaves the map.

    Parameters
    ----------
    arc : ndarray of shape (points, 2)
        Longitude and latitude in degrees, as `great_circle_arcs` returns them.

    Returns
    -------
    list of ndarray
        Pieces within ±180; where one ends on a side, the next begins on the other.
    """
    world = np.floor((arc[:, 0] + 180) / 360)  # which copy of the map a point lies on
    pieces, points = [], [arc[0]]
    for here, there in itertools.pairwise(range(len(arc))):
        if world[here] != world[there]:
            seam = 360 * max(world[here], world[there]) - 180
            part = (seam - arc[here, 0]) / (arc[there, 0] - arc[here, 0])
            crossing = np.array([seam, arc[here, 1] + part * (arc[there, 1] - arc[here, 1])])
            pieces.append(np.array([*points, crossing]) - (360 * world[here], 0))
            points = [crossing]
        points.append(arc[there])
    return [*pieces, np.array(points) - (360 * world[-1], 0)]


def _joined(lines: list[np.ndarray]) -> np.ndarray:
    """Lines one after the other, with a gap (NaN) between them."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([part for line in lines for part in (line, gap)])


# --- what both share ----------------------------------------------------------------------------


def _style(figure: go.Figure, narrow: bool, height: int) -> None:
    axis = {
        "gridcolor": _FAINT,
        "linecolor": _GREY,
        "zeroline": False,
        "fixedrange": narrow,
        "showline": True,
        "mirror": True,
    }
    figure.update_layout(
        template=None,
        autosize=True,
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _GREY, "size": 11 if narrow else 13, "family": "system-ui, sans-serif"},
        legend={"bgcolor": "rgba(0,0,0,0)"},
        # on a phone a finger on the picture scrolls the page, and a tap shows the row
        dragmode=False if narrow else "zoom",
        modebar={
            "orientation": "v",
            "remove": ["select2d", "lasso2d", "autoScale2d", *(["toImage"] if narrow else [])],
            "bgcolor": "rgba(0,0,0,0)",
            "color": _GREY,
            "activecolor": RUN_COLOURS[0],
        },
        xaxis=axis,
        yaxis=axis,
    )
