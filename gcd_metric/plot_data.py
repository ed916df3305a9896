"""Computes what the error curve and the map of errors show; charts.py and report.py draw it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .distances import unit_vectors
from .names import counted
from .options import KM_PER_DEGREE
from .scoring import Run, Scored

MOST_ARCS = 1000
MOST_POINTS = 3000  # of a map without arcs
WORST_ARCS = 200
# From small to large errors. Any two differ for every kind of colour vision, and each can be seen
# on white and on nearly black; the tests check both.
ERROR_COLOURS = ("#009af8", "#6a45ff", "#bd00b0", "#b179a1", "#f4004f", "#dd7a00")
# the first ones differ most
RUN_COLOURS = (
    *("#1f83d8", "#dd7a00", "#8738ff", "#516749"),
    *("#a1945a", "#b53109", "#af188b", "#ff4195"),
)
RUN_DASHES = ("solid", "dashed", "dotted", "dashdot")
_CURVE_POINTS = 2000
_ARC_SEGMENTS = 64  # of the longest arcs, a power of two
_SEGMENTS_ACROSS = 120  # how many segments of an arc the width of a map has room for
_REGION_DEGREES = 40.0  # data that extend further are shown on a map of the world
_COAST_DEGREES = 5.0  # narrower maps get a scale; coastlines at 1:110 million are too coarse


@dataclass
class CurveData:
    """The share of images within each distance."""

    limits: tuple[float, float]  # of the axis, in the unit of the score
    lines: list[tuple[np.ndarray, np.ndarray]]  # of each run: distances, and percent from there on


@dataclass
class ErrorClass:
    """The errors between two thresholds."""

    name: str  # such as `1 to 25 km`
    colour: str
    rows: np.ndarray  # positions in the score
    # of each row the line from truth to prediction, longitude and latitude in degrees, in two
    # pieces where it crosses the antimeridian; empty for a map without arcs
    arcs: list[list[np.ndarray]]


@dataclass
class MapData:
    """A map of the errors of one run; a small region has a scale bar instead of coasts."""

    extent: tuple[float, float, float, float]  # west, east, south, north in degrees
    aspect: float  # height of a degree of latitude divided by the width of one of longitude
    coasts: list[np.ndarray]  # longitude and latitude, each (points, 2)
    scale: tuple[float, float, float, str] | None  # longitude, latitude, length in degrees, label
    classes: list[ErrorClass]  # from small to large errors, without empty ones
    count: int  # of the errors that are drawn

    @property
    def is_world(self) -> bool:
        """Whether the map shows all of the world."""
        return self.extent[1] - self.extent[0] >= 360


# --- the error curve ----------------------------------------------------------------------------


def run_styles(count: int) -> list[tuple[str, str]]:
    """A colour and a dash of matplotlib for each run; no two of up to 32 runs have the same."""
    n = len(RUN_COLOURS)
    return [
        (RUN_COLOURS[index % n], RUN_DASHES[index // n % len(RUN_DASHES)]) for index in range(count)
    ]


def curve_data(scored: Scored) -> CurveData:
    """The error curve of each run; of many errors only some, evenly over the ranks."""
    answered = [np.sort(run.measured[~np.isnan(run.measured)]) for run in scored.runs]
    thresholds = scored.options.thresholds
    limits = _curve_limits(np.concatenate([*answered, thresholds]), min(thresholds))
    lines = []
    for values in answered:
        values = np.clip(values, *limits)
        kept = np.linspace(0, len(values) - 1, min(len(values), _CURVE_POINTS)).round().astype(int)
        # at the thresholds the curve must show what the table says
        distances = np.unique(np.concatenate([values[kept], thresholds, limits]))
        counts = np.searchsorted(values, distances, side="right")
        lines.append((distances, counts / len(scored.ids) * 100))
    return CurveData(limits, lines)


def _curve_limits(values: np.ndarray, threshold: float) -> tuple[float, float]:
    values = values[values > 0]
    low = 10 ** math.floor(math.log10(min(np.quantile(values, 0.02), threshold / 2)))
    high = float(values.max()) * 1.3
    return max(low, high / 1e7), high


# --- the map ------------------------------------------------------------------------------------


def map_data(scored: Scored, run: Run, most: int = MOST_ARCS, with_arcs: bool = True) -> MapData:
    """At most so many errors of a run, each in a class between two thresholds, perhaps as arcs."""
    extent = west, east, south, north = map_extent(run.predictions, scored.references)
    width = east - west
    digits = max(2, math.ceil(6 - math.log10(width)))
    shown = chosen_errors(run.measured, most)
    position = np.searchsorted(sorted(scored.options.thresholds), run.measured[shown])
    names = class_names(scored.options.thresholds, scored.options.unit)
    classes = []
    for index, name in enumerate(names):
        rows = shown[position == index]
        if len(rows):
            ends = scored.references[rows], run.predictions[rows]
            arcs = _arcs(*ends, width / _SEGMENTS_ACROSS, digits) if with_arcs else []
            colour = ERROR_COLOURS[round(index * 5 / max(len(names) - 1, 1))]
            classes.append(ErrorClass(name, colour, rows, arcs))
    aspect = 1.0 if width >= 360 else 1 / math.cos(math.radians((south + north) / 2))
    scale = scale_bar(extent) if width <= _COAST_DEGREES else None
    return MapData(extent, aspect, [] if scale else coastlines(), scale, classes, len(shown))


def chosen_errors(measured: np.ndarray, most: int = MOST_ARCS) -> np.ndarray:
    """Positions of the errors that a map draws, the worst last: all, or the worst and a sample."""
    order = np.argsort(measured)[: int(np.count_nonzero(~np.isnan(measured)))]
    if len(order) <= most:
        return order
    random = np.random.default_rng(0)
    ranks = random.choice(len(order) - WORST_ARCS, most - WORST_ARCS, replace=False)
    return np.concatenate([order[np.sort(ranks)], order[-WORST_ARCS:]])


def left_out(measured: np.ndarray, most: int = MOST_ARCS) -> str:
    """One or two sentences on the errors that a map does not draw; empty if it draws all."""
    answered = int(np.count_nonzero(~np.isnan(measured)))
    lines = []
    if answered > most:
        lines.append(
            f"The map draws {most:,} of {answered:,} errors: the {WORST_ARCS} worst, and "
            f"{most - WORST_ARCS:,} of the others at random. The table and the curve show all."
        )
    if answered < len(measured):
        missing = counted(len(measured) - answered, "photos without a prediction")
        lines.append(f"The map does not contain {missing}.")
    return " ".join(lines)


def class_names(thresholds: tuple[float, ...], unit: str) -> list[str]:
    """`up to 1 km`, `1 to 25 km` … and `over 2,500 km`: one more than there are thresholds."""
    ends = [f"{threshold:,.10g}" for threshold in sorted(thresholds)]
    between = [f"{low} to {high} {unit}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]} {unit}", *between, f"over {ends[-1]} {unit}"]


def map_extent(
    predictions: np.ndarray, references: np.ndarray
) -> tuple[float, float, float, float]:
    """West, east, south and north of a map, in degrees: the world, or the region of the data."""
    answered = predictions[~np.isnan(predictions).any(axis=1)]
    low, high = references.min(axis=0), references.max(axis=0)
    if len(answered):  # a few predictions far away must not shrink the region to a dot
        low = np.minimum(low, np.quantile(answered, 0.01, axis=0))
        high = np.maximum(high, np.quantile(answered, 0.99, axis=0))
    if (high - low).max() > _REGION_DEGREES or np.abs([low[0], high[0]]).max() > 85:
        return -180.0, 180.0, -90.0, 90.0
    centre, half = (low + high) / 2, np.maximum((high - low) / 2 * 1.06, 1e-4)
    wide = 1 / math.cos(math.radians(centre[0]))
    # at most twice as wide as high on the ground, and never higher than wide
    half[0] = max(half[0], half[1] / wide / 2)
    half[1] = max(half[1], half[0] * wide)
    return centre[1] - half[1], centre[1] + half[1], centre[0] - half[0], centre[0] + half[0]


def coastlines() -> list[np.ndarray]:
    """The world's coasts as lines of longitude and latitude in degrees, each (points, 2)."""
    text = Path(__file__).with_name("coastlines.json").read_text(encoding="utf-8")
    return [np.array(line) for line in json.loads(text)["polylines"]]


def scale_bar(extent: tuple[float, float, float, float]) -> tuple[float, float, float, str]:
    """The start of a map's scale bar (longitude, latitude), its length in degrees and its label."""
    west, east, south, north = extent
    metres_per_degree = 1000 * KM_PER_DEGREE * math.cos(math.radians((south + north) / 2))
    longest = (east - west) * metres_per_degree / 4
    power = 10 ** math.floor(math.log10(longest))
    metres = max(step * power for step in (1, 2, 5) if step * power <= longest)
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    x, y = west + (east - west) * 0.04, south + (north - south) * 0.05
    return x, y, metres / metres_per_degree, label


def great_circle_arcs(start: np.ndarray, end: np.ndarray, points: int = 48) -> np.ndarray:
    """Shortest arcs on the sphere.

    Parameters
    ----------
    start, end : ndarray of shape (n, 2)
        Latitude and longitude in degrees.
    points : int
        Of each arc.

    Returns
    -------
    ndarray of shape (n, points, 2)
        Longitude and latitude in degrees, in the order that plots use. The longitude continues
        beyond ±180 instead of jumping.
    """
    a, b = unit_vectors(*start.T), unit_vectors(*end.T)
    along = b - (a * b).sum(axis=1, keepdims=True) * a
    # from a point to itself or its antipode every direction is as short: take any
    lost = np.linalg.norm(along, axis=1) < 1e-12
    along[lost] = np.cross(a[lost], np.eye(3)[np.abs(a[lost]).argmin(axis=1)])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(axis=1))
    steps = (angle[:, None] * np.linspace(0, 1, points))[..., None]
    x, y, z = np.moveaxis(a[:, None] * np.cos(steps) + along[:, None] * np.sin(steps), -1, 0)
    longitude = np.degrees(np.unwrap(np.arctan2(y, x), axis=1))
    latitude = np.degrees(np.arcsin(np.clip(z, -1, 1)))
    return np.stack([longitude, latitude], axis=-1)


def _arcs(start: np.ndarray, end: np.ndarray, step: float, digits: int) -> list[list[np.ndarray]]:
    """Arcs with a point about every `step` degrees, so that short ones have few."""
    arcs = []
    for arc in great_circle_arcs(start, end, _ARC_SEGMENTS + 1):
        length = np.hypot(*np.diff(arc, axis=0).T).sum()
        every = _ARC_SEGMENTS
        while every > 1 and length * every > step * _ARC_SEGMENTS:
            every //= 2
        arcs.append([np.round(piece, digits) for piece in break_at_antimeridian(arc[::every])])
    return arcs


def break_at_antimeridian(arc: np.ndarray) -> list[np.ndarray]:
    """Cut a line from `great_circle_arcs` where it leaves the map: pieces within ±180 degrees."""
    world = np.floor((arc[:, 0] + 180) / 360)  # which copy of the map a point is on
    pieces, points = [], [arc[0]]
    for here, there in pairwise(range(len(arc))):
        if world[here] != world[there]:
            seam = 360 * max(world[here], world[there]) - 180
            part = (seam - arc[here, 0]) / (arc[there, 0] - arc[here, 0])
            crossing = np.array([seam, arc[here, 1] + part * (arc[there, 1] - arc[here, 1])])
            pieces.append(np.array([*points, crossing]) - (360 * world[here], 0))
            points = [crossing]
        points.append(arc[there])
    return [*pieces, np.array(points) - (360 * world[-1], 0)]
