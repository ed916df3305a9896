"""The command `gcd-metric`: score a table of predictions. Scoring itself is gcd_metric.py."""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import gcd_metric, report, tables
from .comparison import compare

_REFERENCE_OPTIONS = "--reference-{}-column"
_DATASET_DEFAULTS = {"justzoomin": ("metadata", "validation")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 for input that cannot be scored, with one line on stderr that says why.
    """
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (ValueError, ImportError) as error:
        print(f"gcd-metric: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gcd-metric",
        description="Score predicted coordinates against a benchmark or a table, with 95 % "
        "intervals, beside published results.",
    )
    add = parser.add_argument
    add("predictions", help="CSV or Parquet with an id, a latitude and a longitude for each image")
    add(
        "--references",
        required=True,
        metavar="NAME",
        help="a CSV or Parquet file, or any name that load_dataset opens (im2gps, a folder, …)",
    )
    add("--config", help="configuration of the data set (justzoomin: metadata)")
    add(
        "--split",
        help="split of the data set (default: the only one, else test; justzoomin: validation)",
    )
    add("--data-dir", help="where the data set's files are")
    for prefix, what in (("", "predictions"), ("reference-", "references")):
        for role in tables.USUAL_NAMES:
            add(f"--{prefix}{role}-column", metavar="COLUMN", help=f"the {role} in the {what}")
    add(
        "--metric-config",
        choices=list(gcd_metric.CONFIGURATIONS),
        help="thresholds, unit and radius (default: justzoomin for that benchmark, otherwise "
        "standard, the five thresholds that published results use)",
    )
    add("--thresholds", type=float, nargs="+", help="instead of the configuration's, in its unit")
    add("--unit", choices=["km", "m"], help="of thresholds and errors")
    add("--method", choices=["haversine", "geodesic"], default="haversine")
    add(
        "--missing",
        choices=["error", "miss"],
        default="error",
        help="miss: images without a prediction count as wrong; error: an empty prediction is an "
        "error, and the score is over the images that have one",
    )
    add(
        "--benchmark",
        metavar="NAME",
        help="whose published results to print (default: the name given to --references)",
    )
    add("--compare", metavar="FILE", help="other predictions for the same images")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--report", metavar="FILE", help="also write a report, .html or .png")
    return parser


# --- input --------------------------------------------------------------------------------------


@dataclass
class Joined:
    """Predictions in the order of the references that they are scored against."""

    name: str
    file: str
    positions: np.ndarray  # of the references
    coordinates: np.ndarray
    unmatched_predictions: list[str]
    unmatched_references: list[str]
    ambiguous: list[tuple[list[str], list[str]]]


def _read_predictions(path: str, arguments: argparse.Namespace) -> pd.DataFrame:
    chosen = (arguments.id_column, arguments.latitude_column, arguments.longitude_column)
    if not tables.is_table(path):
        raise ValueError(f"{path}: predictions are a .csv or .parquet file")
    table = tables.read_coordinates(path, *chosen, allow_missing=True)
    empty = table[["latitude", "longitude"]].isna().any(axis=1).to_numpy()
    if arguments.missing == "error" and empty.any():
        first = int(empty.argmax())
        raise ValueError(
            f"{path}: row {first + 1} ({table['image_id'].iloc[first]}) has no coordinates, as "
            f"have {int(empty.sum())} of {len(table)} rows; --missing miss counts them as wrong"
        )
    tables.refuse_duplicates(list(table["image_id"]), path)
    return table


def _read_references(arguments: argparse.Namespace) -> pd.DataFrame:
    name = arguments.references
    chosen = {role: getattr(arguments, f"reference_{role}_column") for role in tables.USUAL_NAMES}
    if tables.is_table(name):
        table = tables.read_coordinates(name, *chosen.values(), options=_REFERENCE_OPTIONS)
    else:
        table = _load_references(name, arguments, chosen)
    tables.refuse_duplicates(list(table["image_id"]), name)
    return table


def _load_references(
    name: str, arguments: argparse.Namespace, chosen: dict[str, str | None]
) -> pd.DataFrame:
    """Read id, latitude and longitude of a data set; no picture is decoded."""
    import datasets

    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        importlib.import_module(name)  # a package of that name makes its builder known
    config, split = _DATASET_DEFAULTS.get(name, (None, None))
    where = {"name": arguments.config or config, "data_dir": arguments.data_dir}
    try:
        split = arguments.split or split or _only_split(name, where)
        rows = datasets.load_dataset(name, split=split, streaming=True, **where)
        # a column of pictures may be called as an id is, so only plain values are looked at
        features = rows.features or dict.fromkeys(next(iter(rows)), datasets.Value("null"))
        names = [key for key, kind in features.items() if isinstance(kind, datasets.Value)]
        columns = tables.find_columns(names, chosen, where=name, options=_REFERENCE_OPTIONS)
        if rows.info.builder_name == "csv":  # as text: its reader would strip an id's zeros
            text = {"converters": {columns["id"]: str}}
            rows = datasets.load_dataset(name, split=split, streaming=True, **where, **text)
        table = pd.DataFrame(list(rows.select_columns(list(columns.values()))), dtype=object)
    except ValueError:
        raise
    except Exception as error:  # whatever a builder raises, the user gets one line
        raise ValueError(f"--references {name}: {error}") from error
    return tables.tidy(table, columns, name)


def _only_split(name: str, where: dict[str, Any]) -> str:
    import datasets

    splits = datasets.get_dataset_split_names(
        name, config_name=where["name"], data_dir=where["data_dir"]
    )
    if len(splits) == 1:
        return splits[0]
    if "test" in splits:
        return "test"
    raise ValueError(f"{name} has the splits {', '.join(splits)}; choose one with --split")


def _join(path: str, arguments: argparse.Namespace, references: pd.DataFrame) -> Joined:
    table = _read_predictions(path, arguments)
    left, right = list(table["image_id"]), list(references["image_id"])
    match = tables.match_ids(left, right)
    for predictions, wanted in match.ambiguous:
        if len(predictions) > 1 and len(wanted) == 1:
            raise ValueError(f"{path}: several predictions for {wanted[0]}: {predictions}")
    if not len(match.left):
        raise ValueError(
            f"{path}: none of its {len(left)} ids (first: {left[0]}) is among the {len(right)} "
            f"of {arguments.references} (first: {right[0]}); choose the column with --id-column"
        )
    found = table[["latitude", "longitude"]].to_numpy(dtype=np.float64)[match.left]
    positions = match.right
    if arguments.missing == "miss":
        everyone = np.full((len(right), 2), np.nan)
        everyone[match.right] = found
        positions, found = np.arange(len(right)), everyone
    return Joined(
        Path(path).stem,
        path,
        positions,
        found,
        [left[index] for index in match.unmatched_left],
        [right[index] for index in match.unmatched_right],
        match.ambiguous,
    )


# --- published results --------------------------------------------------------------------------


def published(benchmark: str) -> list[dict[str, str]]:
    """Rows of published_results.csv for one benchmark; accuracies in percent, as text."""
    path = Path(__file__).with_name("published_results.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["benchmark"] == benchmark]


def _published_beside(
    benchmark: str | None, n: int, options: gcd_metric.Options
) -> tuple[list[dict[str, str]], str | None]:
    """Published rows that may stand beside this score, and a line that says why not or what."""
    rows = published(benchmark) if benchmark else []
    if not rows:
        return [], f"no published results of {benchmark} are known here" if benchmark else None
    whole = int(rows[0]["n"])
    if n != whole:
        return [], (
            f"published results of {benchmark} are over its {whole:,} images and this score is "
            f"over {n:,}, so they are not shown"
        )
    if options.method != "haversine":
        return [], f"published results of {benchmark} use haversine, so they are not shown"
    keys = [gcd_metric.label(threshold, options.unit) for threshold in options.thresholds]
    rows = [row for row in rows if any(row.get(key) for key in keys)]
    if not rows:
        return [], f"published results of {benchmark} use other thresholds, so they are not shown"
    return rows, None


# --- output -------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    if arguments.report:
        report.check_report_path(arguments.report)
    benchmark = arguments.benchmark
    if benchmark is None and published(arguments.references):
        benchmark = arguments.references
    config_name = arguments.metric_config or (
        "justzoomin" if "justzoomin" in (arguments.references, benchmark) else "standard"
    )
    settings: dict[str, Any] = {
        "config_name": config_name,
        "thresholds": arguments.thresholds,
        "unit": arguments.unit,
        "method": arguments.method,
        "missing": arguments.missing,
    }
    options = gcd_metric.make_options(**settings)
    references = _read_references(arguments)
    truth = references[["latitude", "longitude"]].to_numpy(dtype=np.float64)
    runs = [_join(arguments.predictions, arguments, references)]
    if arguments.compare:
        runs.append(_join(arguments.compare, arguments, references))
        _restrict_to_common(runs)
    positions = runs[0].positions
    scored = [gcd_metric.score(run.coordinates, truth[positions], options) for run in runs]
    beside, why = _published_beside(benchmark, len(positions), options)
    comparison = None
    if arguments.compare:
        a, b = (run.coordinates for run in runs)
        comparison = compare(a, b, truth[positions], **settings)

    notes = _notes(runs, arguments, len(references), why)
    headers, rows = _table(runs, [result for result, _ in scored], beside, options)
    if arguments.json:
        document = {
            "references": {"name": arguments.references, "n": len(references)},
            "metric_config": config_name,
            "method": options.method,
            "runs": [_json_run(run, result) for run, (result, _) in zip(runs, scored, strict=True)],
            "comparison": comparison,
            "benchmark": benchmark,
            "published": beside,
            "notes": notes,
        }
        print(json.dumps(_without_nan(document), indent=2))
    else:
        _print_tables(headers, rows, beside, comparison, runs)
    for note in notes:
        print(f"gcd-metric: {note}", file=sys.stderr)
    if arguments.report:
        title = f"{' and '.join(run.name for run in runs)} on {arguments.references}"
        drawn = [
            report.Run(run.name, run.coordinates, measured)
            for run, (_, measured) in zip(runs, scored, strict=True)
        ]
        ids = [references["image_id"].iloc[index] for index in positions]
        report.write_report(
            arguments.report,
            report.Report(
                title,
                drawn,
                truth[positions],
                ids,
                options.thresholds,
                options.unit,
                headers,
                rows,
                notes,
            ),
        )
    return 0


def _restrict_to_common(runs: list[Joined]) -> None:
    """Keep what both runs answer, so that two columns of a table are of the same images."""
    common = np.intersect1d(runs[0].positions, runs[1].positions)
    if not len(common):
        raise ValueError(f"{runs[0].file} and {runs[1].file} have no image in common")
    for run in runs:
        keep = np.isin(run.positions, common)
        run.positions, run.coordinates = run.positions[keep], run.coordinates[keep]


def _notes(
    runs: list[Joined], arguments: argparse.Namespace, n_references: int, why: str | None
) -> list[str]:
    notes = []
    for run in runs:
        if run.unmatched_predictions:
            notes.append(
                f"{run.file}: {_listed(run.unmatched_predictions, 'predictions')} have no "
                "reference and are not scored"
            )
        if run.unmatched_references:
            wrong = "count as wrong" if arguments.missing == "miss" else "are not scored"
            notes.append(
                f"{run.file}: {_listed(run.unmatched_references, 'references')} have no "
                f"prediction and {wrong}"
            )
        for predictions, wanted in run.ambiguous[:10]:
            notes.append(
                f"{run.file}: ambiguous ids, not matched: {', '.join(predictions)} could be "
                f"{', '.join(wanted)}"
            )
    n = len(runs[0].positions)
    if n < n_references:
        notes.insert(
            0,
            f"WARNING: the score is over {n:,} of {n_references:,} references; "
            "--missing miss counts the others as wrong",
        )
    return notes + ([why] if why else [])


def _listed(ids: list[str], what: str, most: int = 10) -> str:
    more = ", …" if len(ids) > most else ""
    return f"{len(ids):,} {what} ({', '.join(ids[:most])}{more})"


def _spaced(distance: str) -> str:
    """`25km` as `25 km`."""
    return distance.replace("km", " km") if distance.endswith("km") else distance[:-1] + " m"


def _percent(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _table(
    runs: list[Joined],
    results: list[dict[str, Any]],
    beside: list[dict[str, str]],
    options: gcd_metric.Options,
) -> tuple[list[str], list[list[str]]]:
    keys = [gcd_metric.label(threshold, options.unit) for threshold in options.thresholds]
    median, mean = f"median_{options.unit}", f"mean_{options.unit}"
    headers = ["", *(f"% {_spaced(key[4:])}" for key in keys), *(median, mean, "GeoScore", "n")]
    headers = [header.replace("_", " ") for header in headers]
    rows = []
    for run, result in zip(runs, results, strict=True):
        accuracies = [_percent(result[key], result[f"{key}_ci95"]) for key in keys]
        others = [f"{result[key]:,.1f}" for key in (median, mean, "geoscore")]
        rows.append([run.name, *accuracies, *others, f"{result['n']:,}"])
    for row in beside:
        name = f"{row['method']} ({row['year']})" if row["year"] else row["method"]
        accuracies = [row.get(key) or "" for key in keys]
        n = f"{int(row['n']):,}"
        rows.append([f"published: {name}", *accuracies, row.get(median) or "", "", "", n])
    return headers, rows


def _print_tables(
    headers: list[str],
    rows: list[list[str]],
    beside: list[dict[str, str]],
    comparison: dict[str, Any] | None,
    runs: list[Joined],
) -> None:
    from tabulate import tabulate

    print("Accuracy in percent within each distance")
    count = sum(header.startswith("% ") for header in headers)
    print(_grid(tabulate, *_narrow(headers, rows, count)))
    for name, *cells in rows[: len(runs)]:
        _, mean, geoscore, n = cells[count:]
        unit = headers[count + 1].rpartition(" ")[2]
        print(f"{name}: mean error {mean} {unit}, GeoScore {geoscore}, n = {n}")
    if beside:
        print("Published figures as printed in:", "; ".join(_sources(beside)))
    if comparison is None:
        return
    print(f"\nPaired difference, {runs[0].name} - {runs[1].name}")
    lines = []
    for key, value in comparison.items():
        if not isinstance(value, dict):
            continue
        if key.startswith("acc@"):
            difference = _percent(value["difference"], value["ci95"]) + " points"
            alone = f"{value['only_a']:,} : {value['only_b']:,}"
            lines.append([_spaced(key[4:]), difference, alone, f"{value['p_value']:.3g}"])
        else:
            low, high = value["ci95"]
            difference = f"{value['difference']:,.1f} [{low:,.1f}, {high:,.1f}]"
            lines.append([key.replace("_", " "), difference, "", ""])
    print(_grid(tabulate, ["", "difference", "one alone", "McNemar p"], lines))


def _narrow(
    headers: list[str], rows: list[list[str]], count: int
) -> tuple[list[str], list[list[str]]]:
    """The table for a terminal's width: each interval stands below its figure."""
    lines = []
    for name, *cells in rows:
        figures, brackets, intervals = zip(*(c.partition(" [") for c in cells[:count]), strict=True)
        lines.append([name, *figures, cells[count]])
        if any(brackets):
            ends = [interval.rstrip("]").replace(", ", "\u2013") for interval in intervals]
            lines.append(["  95 % interval", *ends])
    return [header.removeprefix("% ") for header in headers[: count + 2]], lines


def _grid(tabulate: Any, headers: list[str], rows: list[list[str]]) -> str:
    aligned = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, disable_numparse=True, colalign=aligned)


def _sources(rows: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(row["source"] for row in rows))


def _json_run(run: Joined, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": run.name,
        "predictions": run.file,
        "scores": result,
        "unmatched_predictions": run.unmatched_predictions,
        "unmatched_references": run.unmatched_references,
        "ambiguous": run.ambiguous,
    }


def _without_nan(value: Any) -> Any:
    """NaN has no form in JSON: it becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
