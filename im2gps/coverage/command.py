"""The command `im2gps coverage`: where on the land the photos of a table were taken."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from gcd_metric.names import counted
from geoload.commands import add_subcommand
from geoload.files import atomic_write, write_json
from geoload.report import Findings

if TYPE_CHECKING:
    import pandas as pd

    from im2gps.coverage.density import Coverage

COAST_KM = 10.0
_WIDTH = 100  # of the text, in characters
_MAP_DPI = 150
_MAP_WIDTH, _MAP_HEIGHT = 13.0, 6.6  # inches


def add_command(commands: Any) -> None:
    """Add `coverage` to the subcommands of `im2gps`."""
    text = "count photos by country and by grid cell, and draw a world map"
    parser = add_subcommand(
        commands, "coverage", lambda **options: run(argparse.Namespace(**options)), text
    )
    add = parser.add_argument
    add("source", help="CSV, TSV or Parquet file with a latitude and a longitude in each row, or "
        "the folder that contains photos.parquet")  # fmt: skip
    text = "print one row per country (default) or per cell"
    add("--by", choices=["country", "cell"], default="country", help=text)
    add("--top", type=int, default=20, metavar="N", help="number of rows to print (default 20)")
    text = "side of the cells in degrees (default 1)"
    add("--cell-degrees", type=float, default=1.0, metavar="D", help=text)
    text = f"assign photos at most this far off land to the nearest country (default {COAST_KM:g})"
    add("--coast-km", type=float, default=COAST_KM, metavar="KM", help=text)
    add("--map", metavar="PNG", help="draw a world map of the density (needs the extra `report`)")
    add("--csv", metavar="FILE", help="write the whole table")
    add("--json", metavar="FILE", help="write all statistics and the whole table")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    # Imported here, because no other command needs their libraries.
    from im2gps.coverage import density

    wanted = [path for path in (arguments.csv, arguments.json, arguments.map) if path]
    for path in wanted:
        if not Path(path).absolute().parent.is_dir():
            raise ValueError(f"{path}: there is no folder {Path(path).parent}")
    if arguments.map:
        if Path(arguments.map).suffix.lower() != ".png":
            raise ValueError(f"{arguments.map}: the name of a map should end in .png")
        _new_figure()  # raises before any work if matplotlib is missing
    source, findings = density.find_table(arguments.source), Findings()
    batches = density.read_batches(source, findings)
    coverage = density.count(batches, arguments.cell_degrees, arguments.coast_km)
    if not coverage.photos:
        raise ValueError(f"{source}: no photo has coordinates; {findings or 'there are no rows'}")
    found = density.figures(coverage)
    table = (density.by_country if arguments.by == "country" else density.by_cell)(coverage)
    if arguments.csv:
        with atomic_write(arguments.csv, "w", encoding="utf-8", newline="") as file:
            table.to_csv(file, index=False)
    if arguments.json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        document = {"source": str(source), "coast_km": arguments.coast_km, **found}
        document |= {"left_out": findings.as_dict(), f"by_{arguments.by}": rows}
        write_json(arguments.json, document)
    if arguments.map:
        with atomic_write(arguments.map) as file:
            _draw_map(coverage, file, source.name)
    print("\n".join(_lines(found, source.name, findings, arguments.coast_km)))
    print("\n" + _table(table, arguments.top))
    print("".join(f"Wrote {path}\n" for path in wanted), end="")
    return 0


# --- text ---------------------------------------------------------------------------------------


def _lines(found: dict[str, Any], name: str, findings: Findings, coast_km: float) -> list[str]:
    paper, spread = found["published"], found["over_land_cells"]
    land, cells = found["land_km2"] / 1e6, found["land_cells"]
    lines = [
        f"{name}: {counted(found['photos'], 'photos')}",
        f"in countries: {found['in_countries']:,}, {found['of_these_off_the_coast']:,} of them "
        f"up to {coast_km:g} km off the coast; off land: {found['off_land']:,}",
        f"photos per km² of land: {found['photos_per_km2_of_land']:.3g} on {land:.1f} million km² "
        f"({paper['source']}: {paper['photos_per_km2_of_land']} on average)",
    ]
    if spread:
        densest = ", ".join(
            f"the densest {at} contain {_percent(share)}"
            for at, share in spread["share_in_densest"].items()
        )
        lines += [
            f"of {cells:,} land cells of {found['cell_degrees']:g}°, by area: {densest} of the "
            f"photos there; Gini coefficient {spread['gini']:.3f}",
            f"land cells without a photo: {found['land_cells_without_photos']:,}, "
            f"{_percent(spread['empty'])} of the area",
        ]
    without = found["countries_without_photos"]
    if without:
        more = ", …" if len(without) > 8 else ""
        lines.append(f"countries without a photo: {len(without)} ({', '.join(without[:8])}{more})")
    if findings:
        lines.append(f"left out: {findings}")
    return [textwrap.fill(line, _WIDTH, subsequent_indent="  ") for line in lines]


def _table(table: pd.DataFrame, top: int) -> str:
    """The first rows as text, and how many more there are."""
    filled = table[table["photos"] > 0]
    shown = filled.head(max(top, 0))
    columns = [name for name in shown if name in _COLUMNS]
    cells = [[_COLUMNS[name][1](cell) for cell in shown[name]] for name in columns]
    headers = [_COLUMNS[name][0] for name in columns]
    align = ["left" if name == "country" else "right" for name in columns]
    text: str = tabulate(
        list(zip(*cells, strict=True)), headers, colalign=align, disable_numparse=True
    )
    rest = len(filled) - len(shown)
    return text + (f"\n… and {rest:,} more (--top, --csv)" if rest else "")


def _percent(share: float) -> str:
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "country": ("country", str),
    "south": ("south (°)", "{:g}".format),
    "west": ("west (°)", "{:g}".format),
    "photos": ("photos", "{:,}".format),
    "share": ("share", _percent),
    "land_km2": ("land (km²)", _number),
    "area_km2": ("area (km²)", _number),
    "photos_per_km2": ("photos per km²", _number),
}


# --- map ----------------------------------------------------------------------------------------


def _new_figure() -> Any:
    from gcd_metric.report import new_figure

    return new_figure("a map", _MAP_WIDTH, _MAP_HEIGHT)


def _draw_map(coverage: Coverage, file: Any, name: str) -> None:
    """Draw photos per km² in each cell as a PNG, in colours on a logarithmic scale."""
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm

    cells = coverage.cells
    density = coverage.by_cell / cells.area_km2[:, None]
    filled = density[density > 0]
    low, high = filled.min(), max(filled.max(), filled.min() * 10)
    figure = _new_figure()
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
        f"{name}: {counted(coverage.photos, 'photos')}, cells of {cells.degrees:g}°; "
        "cells without a photo are left blank",
        fontsize=11,
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.01, aspect=30)
    bar.set_label("photos per km² (logarithmic)", fontsize=9)
    bar.set_ticks(_ticks(low, high))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    bar.ax.yaxis.set_minor_formatter(lambda value, _: "")
    # At least a pixel for each cell.
    dots = max(_MAP_DPI, math.ceil(cells.shape[1] / _MAP_WIDTH * 1.25))
    figure.savefig(file, format="png", dpi=dots, bbox_inches="tight", pad_inches=0.15)


def _ticks(low: float, high: float) -> list[float]:
    """Return powers of ten; also 2 and 5 times these if there are few on the scale."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), 9)]
    ticks = [value for value in powers if low <= value <= high]
    if len(ticks) > 2:
        return ticks
    return [step * value for value in powers for step in (1, 2, 5) if low <= step * value <= high]
