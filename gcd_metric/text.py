"""Formats scores as text: the tables and lines that the command, reports and the page show."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .figures import label
from .names import shortened
from .scoring import Scored

WIDTH = 100  # of a line on a terminal
_NARROWEST_NAME = 16

INTERVALS = "Intervals in brackets are 95 % Wilson intervals."
PAIRED = (
    "Intervals: Newcombe's score interval (medians: bootstrap); p: exact McNemar test. They are "
    "two methods and can disagree at the edge, where an interval just leaves out 0."
)


def names_of(paths: Sequence[str]) -> list[str]:
    """Short names that tell files apart: the stem, or as much of the path as differs."""
    parts = [Path(os.path.abspath(path)).with_suffix("").parts for path in paths]
    if len(set(paths)) > 1 and len(set(parts)) == 1:  # a.csv and a.parquet
        return [Path(path).name for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]} ({index})" for index, part in enumerate(parts, 1)]  # one file, twice


def wrapped(text: str, prefix: str = "") -> str:
    """Text in lines of at most `WIDTH`; a single word may be longer, so that it can be copied."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=prefix,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


# --- lines --------------------------------------------------------------------------------------


def scope(scored: Scored) -> str:
    """Over how many images: `n = 200 of 237; model: 7 without an answer`."""
    missing = [
        f"{run.name}: {run.scores['n_missing']:,} without an answer"
        for run in scored.runs
        if run.scores.get("n_missing")
    ]
    return "; ".join([f"n = {_count(scored)}", *missing])


def _count(scored: Scored) -> str:
    n, whole = len(scored.ids), scored.n_references
    return f"{n:,}" if n == whole else f"{n:,} of {whole:,}"


def columns(scored: Scored) -> str:
    """One line that names the columns that were read."""
    files = [(run.file, run.columns) for run in scored.runs]
    files.append(("references", scored.reference_columns))
    read = (f"{name} ({', '.join(map(shortened, of.values()))})" for name, of in files)
    return f"Columns read: {'; '.join(read)}"


def sources(scored: Scored) -> str:
    """One line that names where published rows come from."""
    found = dict.fromkeys(row["source"] for row in scored.published)
    return f"Published figures as printed in: {'; '.join(found)}"


def remarks(scored: Scored) -> list[str]:
    """Lines below the table of a report: intervals, columns and sources."""
    return [INTERVALS, columns(scored), *([sources(scored)] if scored.published else [])]


# --- tables -------------------------------------------------------------------------------------


def _spaced(distance: str) -> str:
    """`25km` as `25 km`."""
    return distance.replace("km", " km") if distance.endswith("km") else distance[:-1] + " m"


def _percent(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def table(scored: Scored) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the figures: the runs, then published results."""
    options = scored.options
    keys = [label(threshold, options.unit) for threshold in options.thresholds]
    median, mean = f"median_{options.unit}", f"mean_{options.unit}"
    headers = ["", *(f"% {_spaced(key[4:])}" for key in keys), *(median, mean, "GeoScore", "n")]
    headers = [header.replace("_", " ") for header in headers]
    rows = []
    for run in scored.runs:
        accuracies = [_percent(run.scores[key], run.scores[f"{key}_ci95"]) for key in keys]
        others = [f"{run.scores[key]:,.1f}" for key in (median, mean, "geoscore")]
        missing = run.scores.get("n_missing")
        n = _count(scored) + (f", {missing:,} without an answer" if missing else "")
        rows.append([run.name, *accuracies, *others, n])
    for row in scored.published:
        name = f"{row['method']} ({row['year']})" if row["year"] else row["method"]
        accuracies = [row.get(key) or "" for key in keys]
        n = f"{int(row['n']):,}"
        rows.append([f"published: {name}", *accuracies, row.get(median) or "", "", "", n])
    return headers, rows


def paired_table(comparison: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the paired differences.

    Parameters
    ----------
    comparison : dict
        As `compare` returns it.

    Returns
    -------
    (headers, rows)
    """
    rows = []
    for key, value in comparison.items():
        if not isinstance(value, dict):
            continue
        if key.startswith("acc@"):
            difference = _percent(value["difference"], value["ci95"]) + " points"
            alone = f"{value['only_a']:,} : {value['only_b']:,}"
            rows.append([_spaced(key[4:]), difference, alone, f"{value['p_value']:.3g}"])
        else:
            low, high = value["ci95"]
            difference = f"{value['difference']:,.1f} [{low:,.1f}, {high:,.1f}]"
            rows.append([key.replace("_", " "), difference, "", ""])
    return ["", "difference", "only A : only B", "McNemar p"], rows


def paired_title(scored: Scored) -> str:
    """What the paired differences are of."""
    a, b = scored.runs
    return f"Paired difference: {a.name} minus {b.name} (A - B)"


def narrow(headers: list[str], rows: list[list[str]], count: int) -> str:
    """The table for a terminal's width: intervals stand below, and long names are wrapped.

    Parameters
    ----------
    headers, rows
        As `table` returns them.
    count : int
        Of thresholds.

    Returns
    -------
    str
    """
    headers = [header.removeprefix("% ") for header in headers[: count + 2]]
    figures = [[c.partition(" [")[0] for c in cells[: count + 1]] for _, *cells in rows]
    ends = [
        [c.partition(" [")[2].rstrip("]").replace(", ", "\u2013") for c in cells[:count]]
        for _, *cells in rows
    ]
    padded = [header + "  " for header in headers[1:]]  # as tabulate does
    texts = zip(padded, *figures, *([*end, ""] for end in ends), strict=True)
    widths = [2 + max(map(len, column)) for column in texts]
    fits = max((WIDTH - _NARROWEST_NAME) // max(widths), 1)
    if sum(widths) > WIDTH - _NARROWEST_NAME and count > fits:  # many thresholds: two tables
        left = [[*row[: fits + 1], ""] for row in rows]
        right = [[row[0], *row[fits + 1 :]] for row in rows]
        above = narrow([*headers[: fits + 1], ""], left, fits)
        return above + "\n\n" + narrow([headers[0], *headers[fits + 1 :]], right, count - fits)
    room = max(WIDTH - sum(widths), _NARROWEST_NAME)
    lines = []
    for row, shown, below in zip(rows, figures, ends, strict=True):
        first, *more = textwrap.wrap(row[0], room, subsequent_indent="  ")
        lines.append([first, *shown])
        lines += [[text, *[""] * len(shown)] for text in more]
        if any(below):
            lines.append(["  95 % interval", *below, ""])
    if not headers[-1]:  # the first of two tables has no median
        headers, lines = headers[:-1], [line[:-1] for line in lines]
    return grid(headers, lines)


def grid(headers: list[str], rows: list[list[str]]) -> str:
    """Aligned columns; the first one to the left."""
    from tabulate import tabulate

    aligned = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, disable_numparse=True, colalign=aligned)
