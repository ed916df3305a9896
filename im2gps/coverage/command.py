"""The command `im2gps coverage`: where on the land the photos of a table were taken.

Its options and what it prints and writes. The figures are density.py, the map drawing.py.
"""

from __future__ import annotations

import argparse
import math
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from geoload.files import filename_in_errors, write_json
from geoload.report import Findings

if TYPE_CHECKING:
    import pandas as pd

COAST_KM = 10.0
_WIDTH = 100


def add_command(commands: Any) -> None:
    """Add `coverage` to the subcommands of `im2gps`."""
    text = "where photos were taken: density by country and cell, concentration, a world map"
    parser = commands.add_parser("coverage", help=text, description=f"Say {text}.")
    add = parser.add_argument
    add("source", help="CSV, TSV or Parquet with a latitude and a longitude in each row, or the "
        "folder of photos.parquet")  # fmt: skip
    add("--by", choices=["country", "cell"], default="country", help="rows of the table (country)")
    add("--top", type=int, default=20, metavar="N", help="rows to print (20)")
    add("--cell-degrees", type=float, default=1.0, metavar="D", help="side of the cells (1)")
    add("--coast-km", type=float, default=COAST_KM, metavar="KM",
        help=f"photos this near to land count to the nearest country ({COAST_KM:g})")  # fmt: skip
    add("--map", metavar="PNG", help="draw a world map of the density (needs the extra `report`)")
    add("--csv", metavar="FILE", help="write the whole table")
    add("--json", metavar="FILE", help="write all figures and the whole table")
    parser.set_defaults(run=lambda **options: run(argparse.Namespace(**options)))


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises
    ------
    ValueError, OSError
        For a table that cannot be read, or options that make no sense.
    ImportError
        If shapely, or for a map matplotlib, is not installed.
    """
    # here and not above: they bring libraries along that no other command needs
    from im2gps.coverage import coordinates, density, drawing

    wanted = [path for path in (arguments.csv, arguments.json, arguments.map) if path]
    for path in wanted:
        if not Path(path).absolute().parent.is_dir():
            raise ValueError(f"{path}: there is no folder {Path(path).parent}")
    if arguments.map:
        drawing.check(arguments.map)
    source, report = coordinates.find_table(arguments.source), Findings()
    batches = coordinates.read_batches(source, report)
    coverage = density.count(batches, arguments.cell_degrees, arguments.coast_km)
    if not coverage.photos:
        raise ValueError(f"{source}: no photo has coordinates; {report or 'there are no rows'}")
    found = density.figures(coverage)
    table = (density.by_country if arguments.by == "country" else density.by_cell)(coverage)
    if arguments.csv:
        with _renamed(arguments.csv) as part:
            table.to_csv(part, index=False)
    if arguments.json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        left_out = report.as_dict()
        document = {"source": str(source), "coast_km": arguments.coast_km, **found}
        write_json(arguments.json, {**document, "left_out": left_out, f"by_{arguments.by}": rows})
    if arguments.map:
        with _renamed(arguments.map) as part:
            drawing.draw(coverage, part, source.name)
    print("\n".join(_lines(found, source.name, report, arguments.coast_km)))
    print("\n" + _table(table, arguments.top))
    print("".join(f"Wrote {path}\n" for path in wanted), end="")
    return 0


@contextmanager
def _renamed(path: str) -> Iterator[str]:
    """Give a name to write to, and rename what is there when it is whole."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with filename_in_errors(path, part):
            yield part
            os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(part)


# --- text ---------------------------------------------------------------------------------------


def _lines(found: dict[str, Any], name: str, report: Findings, coast_km: float) -> list[str]:
    paper, spread = found["published"], found["over_land_cells"]
    land, cells = found["land_km2"] / 1e6, found["land_cells"]
    lines = [
        f"{name}: {found['photos']:,} photos",
        f"in countries: {found['in_countries']:,}, {found['of_these_off_the_coast']:,} of them "
        f"up to {coast_km:g} km off the coast; off land: {found['off_land']:,}",
        f"photos per km² of land: {found['photos_per_km2_of_land']:.3g} on {land:.1f} million km² "
        f"({paper['source']}: {paper['photos_per_km2_of_land']} on average)",
    ]
    if spread:
        densest = ", ".join(
            f"the densest {at} hold {_percent(share)}"
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
    if report:
        lines.append(f"left out: {report}")
    return [textwrap.fill(line, _WIDTH, subsequent_indent="  ") for line in lines]


def _table(table: pd.DataFrame, top: int) -> str:
    """The first rows as text, and how many more there are."""
    filled = table[table["photos"] > 0]
    shown = filled.head(max(top, 0))
    columns = [name for name in shown if name in _COLUMNS]
    cells = [[_COLUMNS[name][1](cell) for cell in shown[name]] for name in columns]
    headers = [_COLUMNS[name][0] for name in columns]
    align = ["left" if name == "country" else "right" for name in columns]
    text = tabulate(list(zip(*cells, strict=True)), headers, colalign=align, disable_numparse=True)
    rest = len(filled) - len(shown)
    return text + (f"\n… and {rest:,} more rows (--top, --csv)" if rest else "")


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
