"""What command and page say: tables, notes and names as text. Scores nothing, reads no file."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .figures import Options, label
from .names import listed, shortened

WIDTH = 100  # of a line on a terminal
_NARROWEST_NAME = 16
_MOST_GROUPS = 10

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


# --- notes --------------------------------------------------------------------------------------


def scope(n: int, n_references: int) -> str:
    """`237`, or `200 of 237` where some references are not scored."""
    return f"{n:,}" if n == n_references else f"{n:,} of {n_references:,}"


def unanswered(result: dict[str, Any]) -> str:
    """`, 7 without an answer`, or nothing."""
    count = result.get("n_missing", 0)
    return f", {count:,} without an answer" if count else ""


def notes(
    runs: Sequence[Any],
    results: Sequence[dict[str, Any]],
    n_references: int,
    options: Options,
    count_missing: str,
) -> list[str]:
    """What was not scored and why, and what is doubtful, a line each.

    Parameters
    ----------
    runs : sequence of scoring.Joined
    results : sequence of dict
        What the metric says of each run.
    n_references : int
    options : Options
    count_missing : str
        What would make references without a prediction count as wrong.

    Returns
    -------
    list of str
    """
    found = []
    n = results[0]["n"]
    if n < n_references:
        found.append(
            f"WARNING: the score is over {n:,} of {n_references:,} references; "
            f"{count_missing} counts the others as wrong"
        )
    for run, result in zip(runs, results, strict=True):
        if result[f"mean_{options.unit}"] == 0:
            found.append(
                f"WARNING: every error of {run.name} is exactly 0: the truth may have been taken "
                f"for predictions; read were {_read(run.columns)}"
            )
        if result.get("n_missing"):
            found.append(
                f"{run.name}: n = {n:,}{unanswered(result)}, which count as wrong; mean and "
                "median are of the others"
            )
        wrong = "count as wrong" if options.missing == "miss" else "are not scored"
        if run.unmatched_predictions:
            count, ids = len(run.unmatched_predictions), listed(run.unmatched_predictions)
            found.append(
                f"{run.file}: {count:,} predictions ({ids}) have no reference and are not scored"
            )
        if run.unmatched_references:
            found.append(f"{lacking(run)} and {wrong}")
        found += _ambiguous(run)
    return found


def lacking(run: Any) -> str:
    """Which references have no prediction."""
    count, ids = len(run.unmatched_references), listed(run.unmatched_references)
    return f"{run.file}: {count:,} references ({ids}) have no prediction"


def _ambiguous(run: Any) -> list[str]:
    groups = [
        f"{run.file}: ambiguous ids, not matched: {listed(predictions)} could be {listed(wanted)}"
        for predictions, wanted in run.ambiguous[:_MOST_GROUPS]
    ]
    more = len(run.ambiguous) - len(groups)
    return [*groups, *([f"{run.file}: {more:,} more such groups"] if more else [])]


def columns(runs: Sequence[Any], references: dict[str, str]) -> str:
    """One line that names the columns that were read."""
    files = [f"{run.file} ({_read(run.columns)})" for run in runs]
    return f"Columns read: {'; '.join(files)}; references ({_read(references)})"


def _read(names: dict[str, str]) -> str:
    return ", ".join(map(shortened, names.values()))


def sources(rows: Sequence[dict[str, str]]) -> str:
    """One line that names where published rows come from."""
    return "Published figures as printed in: " + "; ".join(
        dict.fromkeys(row["source"] for row in rows)
    )


# --- tables -------------------------------------------------------------------------------------


def _spaced(distance: str) -> str:
    """`25km` as `25 km`."""
    return distance.replace("km", " km") if distance.endswith("km") else distance[:-1] + " m"


def _percent(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def table(
    runs: Sequence[Any],
    results: Sequence[dict[str, Any]],
    beside: Sequence[dict[str, str]],
    options: Options,
    n_references: int,
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the figures: the runs, then published results.

    Parameters
    ----------
    runs : sequence of scoring.Joined
    results : sequence of dict
        What the metric says of each run.
    beside : sequence of dict
        Published rows.
    options : Options
    n_references : int

    Returns
    -------
    (headers, rows)
    """
    keys = [label(threshold, options.unit) for threshold in options.thresholds]
    median, mean = f"median_{options.unit}", f"mean_{options.unit}"
    headers = ["", *(f"% {_spaced(key[4:])}" for key in keys), *(median, mean, "GeoScore", "n")]
    headers = [header.replace("_", " ") for header in headers]
    rows = []
    for run, result in zip(runs, results, strict=True):
        accuracies = [_percent(result[key], result[f"{key}_ci95"]) for key in keys]
        others = [f"{result[key]:,.1f}" for key in (median, mean, "geoscore")]
        n = scope(result["n"], n_references) + unanswered(result)
        rows.append([run.name, *accuracies, *others, n])
    for row in beside:
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


def paired_title(names: Sequence[str]) -> str:
    """What the paired differences are of."""
    return f"Paired difference, {names[0]} - {names[1]} (A - B)"


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
