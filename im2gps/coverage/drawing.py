"""A world map of photo density as a PNG file. Counts nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from gcd_metric.report import new_figure
from im2gps.coverage.density import Coverage

_DPI = 150
_WIDTH, _HEIGHT = 13.0, 6.6  # inches


def check(path: str) -> None:
    """Refuse, before any work, a map that could not be written in the end.

    Raises
    ------
    ValueError
        For a name that does not end in `.png`.
    ImportError
        If matplotlib is not installed.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"{path}: a map's name ends in .png")
    _figure()


def _figure() -> Any:
    return new_figure("a map", _WIDTH, _HEIGHT)


def draw(coverage: Coverage, path: str, name: str) -> None:
    """Draw photos per square kilometre in each cell, in colours on a logarithmic scale.

    Parameters
    ----------
    coverage : Coverage
        With at least one photo.
    path : str
        Where to write, as PNG.
    name : str
        Of the table; it stands in the title.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm

    cells = coverage.cells
    density = coverage.by_cell / cells.area_km2[:, None]
    filled = density[density > 0]
    low, high = filled.min(), max(filled.max(), filled.min() * 10)
    figure = _figure()
    axes = figure.subplots()
    axes.set_facecolor("#f4f7fa")
    image = axes.imshow(
        np.where(density > 0, density, np.nan),
        origin="lower",
        extent=(-180, 180, -90, 90),
        norm=LogNorm(low, high),
        cmap="viridis_r",
        interpolation="nearest",
        zorder=1,
    )
    outlines = LineCollection(coverage.countries.outlines(), colors="0.4", lw=0.3, zorder=2)
    axes.add_collection(outlines)
    axes.set(xlim=(-180, 180), ylim=(-90, 90))
    axes.set_xticks(range(-180, 181, 60))
    axes.set_yticks(range(-90, 91, 30))
    axes.tick_params(labelsize=8)
    axes.set_xlabel("longitude (°)", fontsize=9)
    axes.set_ylabel("latitude (°)", fontsize=9)
    axes.set_axisbelow(True)
    axes.grid(color="0.88", lw=0.5, zorder=0)
    axes.set_title(
        f"{name}: {coverage.photos:,} photos, cells of {cells.degrees:g}°; "
        "cells without a photo are left blank",
        fontsize=11,
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.01, aspect=30)
    bar.set_label("photos per km² (logarithmic)", fontsize=9)
    bar.set_ticks(_ticks(low, high))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    bar.ax.yaxis.set_minor_formatter(lambda value, _: "")
    # a pixel at least for each cell, or small ones would be lost
    dots = max(_DPI, math.ceil(cells.shape[1] / _WIDTH * 1.25))
    figure.savefig(path, format="png", dpi=dots, bbox_inches="tight", pad_inches=0.15)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten; also 2 and 5 times these where there are few of them on the scale."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), 9)]
    ticks = [value for value in powers if low <= value <= high]
    if len(ticks) > 2:
        return ticks
    return [step * value for value in powers for step in (1, 2, 5) if low <= step * value <= high]
