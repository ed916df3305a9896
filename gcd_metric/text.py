"""Formats scores as text: the tables and lines that the command, reports and the page show."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .groups import Labels
from .intervals import wilson_interval
from .layout import grid, stacked
from .names import joined, shortened
from .options import Options
from .places import LEVELS
from .scoring import Run, Scored
from .slices import FEWEST_GROUPS, FEWEST_PHOTOS, Slice, ranked_by

Table = tuple[list[str], list[list[str]]]  # headers, rows

_PUBLISHED = "published: "  # before the name of a method
_MOST_PUBLISHED = 15  # rows on a terminal
_MOST_SLICES = 50  # with more, only some are listed
PLACES = "Predictions in the same place as the truth, in percent"
_ENDS = 10  # slices that are listed at each end
_UNNAMED = Labels((), "groups", "")
# ways to write an interval: 50.0 [44.1, 55.9]; 50.0 ± 5.9, or 10.0 +3.4/−2.6; 50.0
INTERVALS = ("brackets", "plusminus", "none")

_INDEPENDENT = (
    "Intervals: 95 %, for independent photos (accuracies: Wilson; median: Woodruff; mean and "
    "GeoScore: Student's t)."
)
_SMALLEST_P = 0.0001  # smaller ones are printed as <0.0001
LEVEL = 0.05  # of the tests
_UNCLEAR = "no clear difference at"
_CLEAR = f"A difference is clear if its interval excludes 0 and p is below {LEVEL}."
_PAIRED = f"Intervals: Newcombe's score interval{{medians}}; p: exact McNemar test. {_CLEAR}"
_PAIRED_GROUPS = (
    "Intervals{medians} and p account for {what} as groups of photos; p: exact test that exchanges "
    f"the models in each group. {_CLEAR}"
)
_HOLM = (
    "p is corrected for the {} pairs at each distance by Holm's method (Scandinavian Journal of "
    "Statistics 6, 1979); the intervals are not corrected."
)


def names_of(paths: Sequence[str]) -> list[str]:
    """Short names that tell files apart: the stem, or as much of the path as differs."""
    whole = [Path(os.path.abspath(path)) for path in paths]
    stems = [path.with_suffix("").parts for path in whole]
    for parts in (stems, [path.parts for path in whole]):  # a.csv and a.parquet have one stem
        for count in range(1, max(map(len, parts)) + 1):
            names = ["/".join(part[-count:]) for part in parts]
            if len(set(names)) == len(names):
                return names
    return [f"{part[-1]} ({index})" for index, part in enumerate(stems, 1)]  # one file, twice


# --- lines --------------------------------------------------------------------------------------


def scope(scored: Scored) -> str:
    """Over how many images: `n = 200 of 237; model: 7 without a prediction`."""
    missing = [
        f"{run.name}: {run.scores['n_missing']:,} without a prediction"
        for run in scored.runs
        if run.scores.get("n_missing")
    ]
    return "; ".join([f"n = {_photos(scored)}", *missing])


def _count(scored: Scored) -> str:
    n, whole = len(scored.ids), scored.n_references
    return f"{n:,}" if n == whole else f"{n:,} of {whole:,}"


def _photos(scored: Scored) -> str:
    """The number of images and of groups: `2,997 photos by 198 photographers`."""
    if not scored.labels:
        return _count(scored)
    groups = scored.labels.described(scored.runs[0].scores["n_groups"])
    return f"{_count(scored)} photos {groups}"


def summary(scored: Scored, run: Run) -> str:
    """One line of the figures that a terminal's table has no room for."""
    unit, missing = scored.options.unit, run.scores.get("n_missing")
    mean, geoscore = (
        _with_interval(*_figure(run.scores, key)) for key in (f"mean_{unit}", "geoscore")
    )
    n = _photos(scored) + (f", {missing:,} without a prediction" if missing else "")
    mean = f"mean error {mean} {unit}, " if mean else ""  # nothing was answered
    return f"{run.name}: {mean}GeoScore {geoscore}, n = {n}"


def intervals(scored: Scored) -> str:
    """One line that says for what the intervals account."""
    if not scored.labels:
        return _INDEPENDENT
    n_groups, (_, what, source) = scored.runs[0].scores["n_groups"], scored.labels
    if n_groups == 1:
        return f"No intervals: all photos are in one group (from {source})."
    return f"Intervals: 95 %, with {n_groups:,} {what} as groups of photos (from {source})."


def columns(scored: Scored) -> str:
    """One line that names the columns that were read."""
    files = [(run.file, run.columns) for run in scored.runs]
    files.append(("references", scored.reference_columns))
    read = (f"{name} ({', '.join(map(shortened, of.values()))})" for name, of in files)
    return f"Columns read: {'; '.join(read)}"


def sources(scored: Scored) -> str:
    """One line that names where published rows come from."""
    found = dict.fromkeys(row["source"] for row in scored.published)
    return (
        f"Published figures as printed in: {'; '.join(found)}. Their intervals are approximate "
        "(Wilson's, from the percentage and n, as if the photos were independent)."
    )


def remarks(scored: Scored) -> list[str]:
    """Lines below the table of a report: intervals, columns and sources."""
    if scored.remarks:
        return [*scored.remarks, intervals(scored)]
    return [intervals(scored), columns(scored), *([sources(scored)] if scored.published else [])]


def paired_title(scored: Scored) -> str:
    """Which differences the paired table contains."""
    if len(scored.differences) > 1:
        return (
            "Paired differences of accuracies in percentage points; positive: the first is better"
        )
    a, b, _ = scored.differences[0]
    return f"Paired difference: gain of {b.name} (B) over {a.name} (A)"


def verdicts(scored: Scored) -> list[str]:
    """Of two models, the sentence `b is better at 1 and 25 km; no clear difference at 200 km.`"""
    if len(scored.differences) != 1:
        return []
    a, b, figures = scored.differences[0]
    found: dict[str, list[str]] = {}
    for key, threshold in zip(scored.options.keys, scored.options.thresholds, strict=True):
        one = figures[key]
        low, high = one["ci95"]
        is_clear = (low > 0 or high < 0) and one["p_value"] < LEVEL
        better = b.name if one["difference"] < 0 else a.name
        said = f"{better} is better at" if is_clear else _UNCLEAR
        found.setdefault(said, []).append(f"{threshold:,.15g}")
    if at := found.pop(_UNCLEAR, None):  # in the end
        found[_UNCLEAR if found else _UNCLEAR.capitalize()] = at
    parts = (f"{said} {joined(at)} {scored.options.unit}" for said, at in found.items())
    return [f"{'; '.join(parts)}."]


def paired_remark(scored: Scored) -> str:
    """How the paired differences were tested."""
    n_pairs = len(scored.differences)
    remark, what = (_PAIRED_GROUPS, scored.labels.what) if scored.labels else (_PAIRED, "")
    if n_pairs == 1:
        return remark.format(medians=" (medians: bootstrap)", what=what)
    # the table of several pairs has no medians
    return f"{remark.format(medians='', what=what)} {_HOLM.format(n_pairs)}"


def slice_title(run: Run, name: str) -> str:
    """The title of a table of slices."""
    return f"{run.name} by {shortened(name)}"


# --- tables -------------------------------------------------------------------------------------


def fixed(value: float, digits: int = 1) -> str:
    """A figure with so many digits after the point; a small negative one is not `-0.0`."""
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def _p(value: float) -> str:
    """A p-value, which is never 0."""
    return f"{value:.2g}" if value >= _SMALLEST_P else f"<{_SMALLEST_P:f}".rstrip("0")


def distance(threshold: float, unit: str) -> str:
    """A threshold as `2,500 km`."""
    return f"{threshold:,.15g} {unit}"


def ranked_distance(options: Options) -> str:
    """The threshold by whose accuracy slices and models are ranked."""
    return _distances(options)[options.keys.index(ranked_by(options))]


def _distances(options: Options) -> list[str]:
    return [distance(threshold, options.unit) for threshold in options.thresholds]


def place(degrees: Sequence[float]) -> str:
    """A latitude and a longitude in degrees, to about a metre."""
    return ", ".join(fixed(value, 5) for value in degrees)


def _percent(
    value: float, interval: tuple[float, float], unit: str = "", intervals: str = "brackets"
) -> str:
    low, high = interval
    return _with_interval(100 * value, (100 * low, 100 * high), unit, intervals)


def _with_interval(
    value: float, interval: tuple[float, float], unit: str = "", intervals: str = "brackets"
) -> str:
    """A figure with its interval, if it has one, in one of the ways of `INTERVALS`; "" for NaN."""
    if np.isnan(value):
        return ""
    figure, (low, high) = fixed(value), interval
    if np.isnan(low) or intervals == "none":
        return f"{figure}{unit}"
    if intervals == "brackets":
        return f"{figure}{unit} [{fixed(low)}, {fixed(high)}]"
    up, down = fixed(high - value), fixed(value - low)
    return f"{figure} \u00b1 {up}{unit}" if up == down else f"{figure} +{up}/\u2212{down}{unit}"


def _figure(scores: Mapping[str, Any], key: str) -> tuple[float, tuple[float, float]]:
    return scores[key], scores[f"{key}_ci95"]


def table(scored: Scored, intervals: str = "brackets") -> Table:
    """The figures of the runs, then published results; `intervals` is one of `INTERVALS`."""
    options = scored.options
    keys = options.keys
    median, mean = f"median_{options.unit}", f"mean_{options.unit}"
    headers = ["model", *(f"% {name}" for name in _distances(options))]
    headers += [median, mean, "GeoScore", "n"]
    headers = [header.replace("_", " ") for header in headers]
    rows = []
    for run in scored.runs:
        accuracies = [_percent(*_figure(run.scores, key), "", intervals) for key in keys]
        others = [
            _with_interval(*_figure(run.scores, key), "", intervals)
            for key in (median, mean, "geoscore")
        ]
        missing = run.scores.get("n_missing")
        n = _count(scored) + (f", {missing:,} missing" if missing else "")
        rows.append([run.name, *accuracies, *others, n])
        if missing and not scored.remarks:
            shares = (run.scores[f"{key}_answered"] for key in keys)
            answered = "" if missing == len(scored.ids) else f"{len(scored.ids) - missing:,}"
            figures = [f"{100 * share:.1f}" for share in shares] if answered else [""] * len(keys)
            rows.append([f"{run.name}, answered only", *figures, "", "", "", answered])
    for row in scored.published:
        accuracies = [_approximate(row.get(key), int(row["n"]), intervals) for key in keys]
        others = [_as_printed(row.get(key)) for key in (median, mean, "geoscore")]
        rows.append([_published_name(row), *accuracies, *others, f"{int(row['n']):,}"])
    return headers, rows


def _published_name(row: dict[str, str]) -> str:
    return f"{_PUBLISHED}{row['method']}" + (f" ({row['year']})" if row["year"] else "")


def _as_printed(figure: str | None) -> str:
    return f"{float(figure):,g}" if figure else ""


def _approximate(percent: str | None, n: int, intervals: str) -> str:
    """A percentage of n photos as printed, with the interval that independent photos have."""
    if not percent:
        return ""
    share = float(percent) / 100
    cell = _percent(share, wilson_interval(share * n, n), "", intervals)
    return percent + cell.removeprefix(f"{100 * share:,.1f}")


def paired_table(scored: Scored, intervals: str = "brackets") -> Table:
    """The paired differences of two runs, with that of the medians, or those of several pairs."""
    if len(scored.differences) > 1:
        return _pairs_table(scored, intervals)
    comparison = scored.differences[0].figures
    rows = []
    for key, name in zip(scored.options.keys, _distances(scored.options), strict=True):
        value = comparison[key]
        alone = f"{value['only_b']:,} : {value['only_a']:,}"
        gain = _accuracy_gain(value, " points", intervals)
        rows.append([name, gain, alone, _p(value["p_value"])])
    unit = scored.options.unit
    value = comparison[f"median_{unit}"]  # a - b is by how much the median of b is smaller
    gain = _with_interval(value["difference"], value["ci95"], f" {unit}", intervals)
    rows.append(["median", gain, "", ""])
    p_value = "p, groups" if "n_groups" in comparison else "McNemar p"
    return ["distance", "gain of B", "only B : only A", p_value], rows


def _accuracy_gain(value: Mapping[str, Any], unit: str, intervals: str) -> str:
    """The accuracy of b minus that of a, in percentage points."""
    low, high = value["ci95"]  # of a - b
    return _percent(-value["difference"], (-high, -low), unit, intervals)


def _pairs_table(scored: Scored, intervals: str) -> Table:
    """One row with the differences of each pair, and below it one with the p-values."""
    keys = scored.options.keys
    rows = []
    for a, b, figures in scored.differences:
        found = [figures[key] for key in keys]
        cells = [_accuracy_gain(one, "", intervals) for one in found]
        rows.append([f"{b.name} \u2212 {a.name}", *cells])
        rows.append(["p, corrected", *(_p(one["p_holm"]) for one in found)])
    return ["models", *_distances(scored.options)], rows


def slice_table(
    name: str,
    slices: Sequence[Slice],
    options: Options,
    labels: Labels | None = None,
    intervals: str = "brackets",
) -> Table:
    """The figures of each value of the column `name`, as `slice_distances` returns them.

    Of more than 50 values, the 10 worst and the 10 best are listed; the others are counted. The
    `labels` name the groups. `intervals` is one of `INTERVALS`.
    """
    median = f"median_{options.unit}"
    headers = [shortened(name), *(f"% {name}" for name in _distances(options))]
    headers += [median.replace("_", " "), "n"]
    ranked = [one for one in slices if one.is_ranked]
    small = [one for one in slices if one.is_small and one.value is not None]
    rest = [one for one in slices if one.value is None]
    parts: list[tuple[Sequence[Slice], str]] = [(ranked, ""), (small, ""), (rest, "")]
    if len(slices) > _MOST_SLICES:
        parts[1] = small, "small slices"
        if len(ranked) > 2 * _ENDS:
            middle = ranked[_ENDS:-_ENDS], "between"
            parts[:1] = [(ranked[:_ENDS], ""), middle, (ranked[-_ENDS:], "")]
    rows = []
    for some, together in parts:
        if together and some:
            n = sum(one.scores["n"] for one in some)
            empty = [""] * (len(headers) - 2)
            rows.append([f"\u2026 {len(some):,} {together} \u2026", *empty, f"{n:,}"])
            continue
        for one in some:
            figures = [_percent(*_figure(one.scores, key), "", intervals) for key in options.keys]
            figures.append(_with_interval(*_figure(one.scores, median), "", intervals))
            rows.append([shortened(one.label), *figures, _slice_count(one, labels)])
    return headers, rows


def _slice_count(one: Slice, labels: Labels | None) -> str:
    """How many photos a slice has: `235 by 12 photographers, 7 without a prediction, small`."""
    groups, missing = one.scores.get("n_groups"), one.scores.get("n_missing")
    count = f"{one.scores['n']:,}"
    if groups:
        count += f" {(labels or _UNNAMED).described(groups)}"
    if missing:
        count += f", {missing:,} without a prediction"
    return f"{count}, small" if one.is_small else count


def slice_remark(slices: Sequence[Slice], options: Options) -> str:
    """One line that explains the order of the slices, and which are small."""
    line = f"Worst first, by the accuracy at {ranked_distance(options)}."
    if not any(one.is_small for one in slices):
        return line
    grouped = any("n_groups" in one.scores for one in slices)
    groups = f" or {FEWEST_GROUPS} effective groups" if grouped else ""
    return f"{line} Small slices, of fewer than {FEWEST_PHOTOS} photos{groups}, are not ranked."


def place_table(scored: Scored, intervals: str = "brackets") -> Table:
    """The shares of predictions in the same country, region, area and city."""
    rows = []
    for run in scored.runs:
        places = run.places
        shares = [
            _percent(*_figure(places, f"acc_{key}"), "", intervals) if places[f"n_{key}"] else ""
            for key in LEVELS
        ]
        rows.append([run.name, *shares])
    for row in scored.published:
        stated = [row.get(f"acc_{key}") for key in LEVELS]
        if any(stated):
            n = int(row["n"])
            cells = [_approximate(percent, n, intervals) for percent in stated]
            rows.append([_published_name(row), *cells])
    counts = (scored.runs[0].places[f"n_{key}"] for key in LEVELS)
    rows.append(["n, whose true place has a name", *(f"{count:,}" for count in counts)])
    return ["model", *(f"% {key}" for key in LEVELS)], rows


def worst_rows(scored: Scored, run: Run, count: int) -> Table:
    """The photos without a prediction, then those with the largest errors."""
    unanswered = np.flatnonzero(np.isnan(run.measured))
    order = np.argsort(run.measured)[: len(run.measured) - len(unanswered)][::-1]
    # a missing answer is the worst, but the list must also show errors
    first = unanswered[: max(count // 2, count - len(order))]
    rows = []
    for index in [*first, *order[: count - len(first)]]:
        truth, prediction = map(place, (scored.references[index], run.predictions[index]))
        error = run.measured[index]
        missing = np.isnan(error)
        distance = "no answer" if missing else f"{error:,.1f}"
        rows.append([str(scored.ids[index]), distance, truth, "" if missing else prediction])
    if len(first) < len(unanswered):
        more = f"and {len(unanswered) - len(first):,} more without a prediction"
        rows.insert(len(first), [more, "no answer", "", ""])
    # the error is second, where a phone still shows it
    return ["image", f"error ({scored.options.unit})", "truth", "prediction"], rows


def terminal_table(scored: Scored) -> str:
    """The accuracies and the median within `WIDTH`: intervals stand below, long names wrap.

    Of the published results, the newest are shown. If any has a GeoScore, a second table with mean
    and GeoScore follows.
    """
    headers, rows = table(scored)
    first = len(rows) - len(scored.published)
    rows = [*rows[:first], *rows[first:][-_MOST_PUBLISHED:]]
    shown = slice(len(scored.options.thresholds) + 2)
    accuracies = [row[shown] for row in rows if any(row[shown][1:])]
    tables = [stacked(headers[shown], accuracies, _notes(accuracies))]
    if any(row.get("geoscore") for row in scored.published):
        others = [[row[0], *row[-3:-1]] for row in rows if row[-2]]
        tables.append(stacked([headers[0], *headers[-3:-1]], others, _notes(others)))
    if len(scored.published) > _MOST_PUBLISHED:
        tables.append(
            f"The {_MOST_PUBLISHED} newest of {len(scored.published)} published results; "
            "--format markdown --published and --json have all."
        )
    return "\n\n".join(tables)


def terminal_places(scored: Scored) -> str:
    """The table of `place_table` within `WIDTH`, as `terminal_table`."""
    headers, rows = place_table(scored)
    return stacked(headers, rows, _notes(rows))


def _notes(rows: list[list[str]]) -> list[str]:
    """What stands below the name of a row: whether its intervals are approximate."""
    return [
        ("approximate " if row[0].startswith(_PUBLISHED) else "") + "95 % interval"
        if any(" [" in cell for cell in row[1:])
        else ""
        for row in rows
    ]


def terminal_differences(scored: Scored) -> str:
    """The paired differences within `WIDTH`; those of several pairs as `terminal_table`."""
    headers, rows = paired_table(scored)
    if len(scored.differences) == 1:
        return grid(headers, rows)
    notes = ["95 % interval" if " [" in row[1] else "" for row in rows]
    # a dash between the ends would look like another minus
    rows = [[name, *(cell.replace(", ", " to ") for cell in cells)] for name, *cells in rows]
    return stacked(headers, rows, notes)


def terminal_slices(
    name: str, slices: Sequence[Slice], options: Options, labels: Labels | None = None
) -> str:
    """The table of `slice_table` within `WIDTH`, as `terminal_table`, with n below each value."""
    headers, rows = slice_table(name, slices, options, labels)
    notes = [f"n = {row[-1]}" for row in rows]
    return stacked(headers[:-1], [row[:-1] for row in rows], notes)
