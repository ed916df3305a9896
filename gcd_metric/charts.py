"""Draws the error curve and the map of errors for the page, with plotly.

Maps are SVG lines on plain axes, because plotly's own maps fetch coastlines from a server and
WebGL is not available everywhere. Backgrounds are transparent and the colours can be seen on light
and on dark.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .labels import for_plotly
from .plot_data import RUN_COLOURS, ErrorClass, MapData, curve_data, map_data
from .scoring import Run, Scored

_GREY, _FAINT, _CLEAR = "#808080", "rgba(128,128,128,0.25)", "rgba(0,0,0,0)"
_FONT = "system-ui, sans-serif"
_SILENT: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False}


def error_curve(scored: Scored, narrow: bool = False) -> go.Figure:
    """The share of images within each distance; `narrow` is for a phone."""
    curve, unit = curve_data(scored), scored.options.unit
    figure = _new_figure(narrow, 320 if narrow else 420)
    styles = zip(RUN_COLOURS, ("solid", "dash"), strict=False)
    for run, (x, y), (colour, dash) in zip(scored.runs, curve.lines, styles, strict=False):
        figure.add_scatter(
            x=x,
            y=y,
            name=for_plotly(run.name),
            mode="lines",
            line={"shape": "hv", "width": 2.5, "color": colour, "dash": dash},
            hovertemplate=f"%{{y:.1f}} % within %{{x:,.4~g}} {unit}",
        )
    above = {"yref": "paper", "showarrow": False, "xanchor": "left", "yanchor": "bottom"}
    for threshold in scored.options.thresholds:
        figure.add_vline(threshold, line={"color": _GREY, "width": 1, "dash": "dot"})
        name = f"{threshold:g} {unit}"
        figure.add_annotation(x=math.log10(threshold), y=1, text=name, textangle=-45, **above)
    figure.update_layout(
        hovermode="x unified",
        margin={"t": 56, "l": 52, "r": 16 if narrow else 72, "b": 48},
        legend={"x": 0.99, "y": 0.02, "xanchor": "right", "yanchor": "bottom"},
        xaxis={
            "type": "log",
            "range": [math.log10(end) for end in curve.limits],
            "title": f"great-circle error ({unit})",
            "dtick": 1,
            "tickformat": ",~r",
        },
        yaxis={"range": [0, 100.5], "title": "photos within this distance (%)"},
        showlegend=len(scored.runs) > 1,
    )
    return figure


def error_map(scored: Scored, run: Run, narrow: bool = False) -> go.Figure:
    """An arc from each truth (a dot) to its prediction; `narrow` is for a phone."""
    shown = map_data(scored, run)
    west, east, south, north = shown.extent
    figure = _new_figure(narrow, 280 if narrow else 620)
    coasts = _joined([np.round(line, 2) for line in shown.coasts])
    figure.add_scatter(x=coasts[:, 0], y=coasts[:, 1], mode="lines", **_grey_line(0.7))
    if shown.scale:
        x, y, length, name = shown.scale
        figure.add_scatter(x=[x, x + length], y=[y, y], mode="lines", **_grey_line(4))
        start = {"showarrow": False, "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(x=x, y=y, text=name, **start)
    for group in shown.classes:
        _add_class(figure, scored, run, shown, group)
    figure.update_layout(
        hovermode="closest",
        margin={"t": 8, "l": 44, "r": 16, "b": 28},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
        xaxis={"range": [west, east], "nticks": 5 if narrow else 9},
        yaxis={"range": [south, north], "scaleanchor": "x", "scaleratio": shown.aspect},
        yaxis_constraintoward="top",
    )
    figure.update_xaxes(ticksuffix="°", constrain="domain")
    figure.update_yaxes(ticksuffix="°", constrain="domain")
    if shown.is_world:
        figure.update_xaxes(dtick=60, minallowed=west, maxallowed=east)
        figure.update_yaxes(dtick=30, minallowed=south, maxallowed=north)
    return figure


def _add_class(
    figure: go.Figure, scored: Scored, run: Run, shown: MapData, group: ErrorClass
) -> None:
    """Add the arcs of one class, the truths they start from, and their hover text, as one group."""
    common = {"legendgroup": group.name, "name": group.name}
    lines = _joined([piece for arc in group.arcs for piece in arc])
    figure.add_scatter(
        x=lines[:, 0],
        y=lines[:, 1],
        mode="lines",
        line={"color": group.colour, "width": 1.6},
        opacity=float(np.clip(20 / math.sqrt(shown.arcs), 0.7, 0.95)),
        hoverinfo="skip",
        **common,
    )
    # every fourth point is enough to hover over; each has the full label
    arcs = [np.concatenate(pieces) for pieces in group.arcs]
    stops = [arc if len(arc) <= 4 else arc[[*range(0, len(arc) - 1, 4), -1]] for arc in arcs]
    places = np.concatenate(stops)
    labels = [_label(scored, run, row) for row in group.rows]
    figure.add_scatter(
        x=places[:, 0],
        y=places[:, 1],
        text=np.repeat(labels, [len(stop) for stop in stops]),
        mode="lines",
        line={"color": _CLEAR, "width": 0},
        hovertemplate="%{text}<extra></extra>",
        hoverlabel={"bgcolor": "#1c2733", "bordercolor": group.colour, "font_color": "#ffffff"},
        showlegend=False,
        **common,
    )
    dots = np.array([arc[0] for arc in arcs])
    size = float(np.clip(1500 / shown.arcs, 4, 7))
    marker = {"color": group.colour, "size": size}
    figure.add_scatter(
        x=dots[:, 0], y=dots[:, 1], mode="markers", marker=marker, **_SILENT, **common
    )


def _label(scored: Scored, run: Run, row: int) -> str:
    name = for_plotly(str(scored.ids[row]))
    truth, guess = (
        f"{latitude:.5f}, {longitude:.5f}"
        for latitude, longitude in (scored.references[row], run.predictions[row])
    )
    error = f"{run.measured[row]:,.1f} {scored.options.unit}"
    return f"<b>{name}</b><br>{error} off<br>truth {truth}<br>prediction {guess}"


def _joined(lines: list[np.ndarray]) -> np.ndarray:
    """Lines one after the other, with a gap (NaN) after each."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([gap, *(part for line in lines for part in (line, gap))])


def _grey_line(width: float) -> dict[str, Any]:
    return {"line": {"color": _GREY, "width": width}, **_SILENT}


def _new_figure(narrow: bool, height: int) -> go.Figure:
    axis = {
        "gridcolor": _FAINT,
        "linecolor": _GREY,
        "zeroline": False,
        "fixedrange": narrow,
        "showline": True,
        "mirror": True,
    }
    # no autoScale: it would show less than the whole map
    removed = ["select2d", "lasso2d", "autoScale2d", *(["toImage"] if narrow else [])]
    colours = {"bgcolor": _CLEAR, "color": _GREY, "activecolor": RUN_COLOURS[0]}
    return go.Figure(
        layout={
            "autosize": True,
            "height": height,
            "paper_bgcolor": _CLEAR,
            "plot_bgcolor": _CLEAR,
            "font": {"color": _GREY, "size": 11 if narrow else 13, "family": _FONT},
            "legend": {"bgcolor": _CLEAR},
            # on a phone a finger on the picture scrolls the page, and a tap shows the row
            "dragmode": False if narrow else "zoom",
            "modebar": {"orientation": "v", "remove": removed, **colours},
            "xaxis": axis,
            "yaxis": axis,
        }
    ).update_layout(template=None)
