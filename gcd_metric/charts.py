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

from . import text
from .labels import for_plotly
from .plot_data import MOST_POINTS, RUN_COLOURS, curve_data, map_data
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
        at = {"x": math.log10(threshold), "y": 1, "text": text.distance(threshold, unit)}
        figure.add_annotation(textangle=-45, **at, **above)
    figure.update_layout(
        hovermode="x unified",
        margin={"t": 56, "l": 44, "r": 8 if narrow else 44, "b": 48},
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
    """The truths as points in a colour for each class of errors; `narrow` is for a phone.

    Each point carries its prediction, to which map.js draws a line; the last trace is for lines.
    """
    shown = map_data(scored, run, MOST_POINTS, with_arcs=False)
    west, east, south, north = shown.extent
    figure = _new_figure(narrow, 280 if narrow else 420)
    coasts = _joined([np.round(line, 2) for line in shown.coasts])
    figure.add_scatter(x=coasts[:, 0], y=coasts[:, 1], mode="lines", **_grey_line(0.7))
    if shown.scale:
        x, y, length, name = shown.scale
        figure.add_scatter(x=[x, x + length], y=[y, y], mode="lines", **_grey_line(4))
        start = {"showarrow": False, "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(x=x, y=y, text=name, **start)
    size = 4.0 if narrow else float(np.clip(2500 / max(shown.count, 1), 5, 8))
    for group in shown.classes:
        latitude, longitude = scored.references[group.rows].T
        marker = {"color": group.colour, "size": size, "opacity": 0.85}
        figure.add_scatter(
            x=longitude,
            y=latitude,
            text=[_label(scored, run, row) for row in group.rows],
            customdata=run.predictions[group.rows],
            mode="markers",
            marker=marker,
            name=group.name,
            hovertemplate="%{text}<extra></extra>",
            hoverlabel={"bgcolor": "#1c2733", "bordercolor": group.colour, "font_color": "#ffffff"},
        )
    line = {"color": _GREY, "width": 1.6}
    figure.add_scatter(x=[], y=[], mode="lines", name="lines", line=line, **_SILENT)
    figure.update_layout(
        hovermode="closest",
        margin={"t": 8, "l": 44, "r": 8, "b": 28},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0, "itemclick": False},
        xaxis={"range": [west, east], "nticks": 5 if narrow else 9},
        yaxis={"range": [south, north], "scaleanchor": "x", "scaleratio": shown.aspect},
        yaxis_constraintoward="top",
    )
    figure.update_layout(legend_itemdoubleclick=False, showlegend=True)
    figure.update_xaxes(ticksuffix="°", constrain="domain")
    figure.update_yaxes(ticksuffix="°", constrain="domain")
    if shown.is_world:
        figure.update_xaxes(dtick=60, minallowed=west, maxallowed=east)
        figure.update_yaxes(dtick=30, minallowed=south, maxallowed=north)
    return figure


def _label(scored: Scored, run: Run, row: int) -> str:
    name = for_plotly(str(scored.ids[row]))
    truth, guess = map(text.place, (scored.references[row], run.predictions[row]))
    error = f"{text.fixed(run.measured[row])} {scored.options.unit}"
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
