"""The command `gcd-metric`: score a table of predictions. Scoring itself is gcd_metric.py."""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import gcd_metric, report, tables, text
from .comparison import compare

_OPTIONS = "choose one with --{}-column"
_REFERENCE_OPTIONS = "choose one with --reference-{}-column"
_NUMBERS = re.compile(r"^[-+.,\deE]*\d[-+.,\deE]*$")
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
    arguments = _parser().parse_args(_with_one_value(sys.argv[1:] if argv is None else argv))
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
    add(
        "--thresholds",
        type=_distances,
        metavar="DISTANCES",
        help="instead of the configuration's, in its unit: 1,25,200 or 1 25 200",
    )
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
        help="whose published results to print (default: that of --config or --references)",
    )
    add("--compare", metavar="FILE", help="other predictions for the same images")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--report", metavar="FILE", help="also write a report, .html or .png")
    return parser


def _distances(argument: str) -> list[float]:
    try:
        return [float(part) for part in argument.split(",") if part.strip()]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{argument!r} is no list of distances; write them as in 1,25,200"
        ) from None


def _with_one_value(arguments: Sequence[str]) -> list[str]:
    """`--thresholds 1 25 x.csv` as `--thresholds=1,25 x.csv`: argparse would take the file too."""
    found: list[str] = []
    waiting = list(arguments)
    while waiting:
        found.append(waiting.pop(0))
        if found[-1] != "--thresholds":
            continue
        values = []
        while waiting and _NUMBERS.match(waiting[0]):
            values.append(waiting.pop(0))
        if values:
            found[-1] += "=" + ",".join(values)
    return found


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
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    if not tables.is_table(path):
        raise ValueError(f"{path}: predictions are a .csv or .parquet file")
    table = tables.read_coordinates(path, *chosen, allow_missing=True, advice=_OPTIONS)
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
        table = tables.read_coordinates(name, *chosen.values(), advice=_REFERENCE_OPTIONS)
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
        columns = tables.find_columns(names, chosen, where=name, advice=_REFERENCE_OPTIONS)
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


def _join(
    name: str,
    path: str,
    table: pd.DataFrame,
    arguments: argparse.Namespace,
    references: pd.DataFrame,
) -> Joined:
    left, right = list(table["image_id"]), list(references["image_id"])
    match = tables.match_ids(left, right)
    for predictions, wanted in match.ambiguous:
        if len(predictions) > 1 and len(wanted) == 1:
            raise ValueError(f"{path}: several predictions for {wanted[0]}: {predictions}")
    if not len(match.left):
        why = tables.why_none_match(left, right) or "choose the column with --id-column"
        raise ValueError(
            f"{path}: none of its {len(left)} ids (first: {left[0]}) is among the {len(right)} "
            f"of {_references_name(arguments)} (first: {right[0]}); {why}"
        )
    found = table[["latitude", "longitude"]].to_numpy(dtype=np.float64)[match.left]
    positions = match.right
    if arguments.missing == "miss":
        everyone = np.full((len(right), 2), np.nan)
        everyone[match.right] = found
        positions, found = np.arange(len(right)), everyone
    return Joined(
        name,
        path,
        positions,
        found,
        [left[index] for index in match.unmatched_left],
        [right[index] for index in match.unmatched_right],
        match.ambiguous,
    )


# --- published results --------------------------------------------------------------------------


def _references_name(arguments: argparse.Namespace) -> str:
    """The data set, with the configuration where one was chosen and says more."""
    name, config = arguments.references, arguments.config
    return f"{name} ({config})" if config and config != name else name


def _benchmark(arguments: argparse.Namespace) -> tuple[str | None, str | None]:
    """Whose published results fit these references, and a line where there are none."""
    name, config = arguments.references, arguments.config
    if arguments.benchmark:
        return arguments.benchmark, None
    if config and published(config):
        return config, None
    if not published(name):
        return None, None
    if config in (None, name, _DATASET_DEFAULTS.get(name, (None, None))[0]):
        return name, None
    return None, f"no published results of {_references_name(arguments)} are known here"


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
    benchmark, none_known = _benchmark(arguments)
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
    runs, references = _read(arguments)
    positions = runs[0].positions
    truth = references[["latitude", "longitude"]].to_numpy(dtype=np.float64)[positions]
    scored = [gcd_metric.score(run.coordinates, truth, options) for run in runs]
    results = [result for result, _ in scored]
    beside, why = _published_beside(benchmark, len(positions), options)
    comparison = None
    if arguments.compare:
        comparison = compare(runs[0].coordinates, runs[1].coordinates, truth, **settings)
    notes = text.notes(runs, results, len(references), arguments.missing)
    notes += [line for line in (why or none_known,) if line]
    headers, rows = text.table(runs, results, beside, options, len(references))
    if arguments.json:
        document = {
            "references": {
                "name": arguments.references,
                "config": arguments.config,
                "n": len(references),
            },
            "metric_config": config_name,
            "method": options.method,
            "runs": [_json_run(run, result) for run, result in zip(runs, results, strict=True)],
            "comparison": comparison,
            "benchmark": benchmark,
            "published": beside,
            "notes": notes,
        }
        print(json.dumps(_without_nan(document), indent=2))
    else:
        _print_tables(headers, rows, beside, comparison, runs)
    for note in notes:
        print(text.wrapped(note, "gcd-metric: "), file=sys.stderr)
    if arguments.report:
        drawn = [
            report.Run(run.name, run.coordinates, measured)
            for run, (_, measured) in zip(runs, scored, strict=True)
        ]
        report.write_report(
            arguments.report,
            report.Report(
                f"{' and '.join(run.name for run in runs)} on {_references_name(arguments)}",
                drawn,
                truth,
                [references["image_id"].iloc[index] for index in positions],
                options.thresholds,
                options.unit,
                headers,
                rows,
                notes,
                scope=_scope(runs, results, len(references)),
                remarks=[text.INTERVALS, *([text.sources(beside)] if beside else [])],
                paired=_paired(runs, comparison),
            ),
        )
        # JSON on stdout stays JSON
        print(f"Wrote {arguments.report}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _read(arguments: argparse.Namespace) -> tuple[list[Joined], pd.DataFrame]:
    """Predictions first, since references may have to be downloaded."""
    paths = [path for path in (arguments.predictions, arguments.compare) if path]
    read = [_read_predictions(path, arguments) for path in paths]
    references = _read_references(arguments)
    runs = [
        _join(*given, arguments, references)
        for given in zip(text.names_of(paths), paths, read, strict=True)
    ]
    if len(runs) > 1:
        _restrict_to_common(runs)
    return runs, references


def _scope(runs: list[Joined], results: list[dict[str, Any]], n_references: int) -> str:
    """Over how many images, for a picture that may be passed on alone."""
    missing = [
        f"{run.name}: {text.unanswered(result).removeprefix(', ')}"
        for run, result in zip(runs, results, strict=True)
        if result.get("n_missing")
    ]
    return "; ".join([f"n = {text.scope(results[0]['n'], n_references)}", *missing])


def _paired(runs: list[Joined], comparison: dict[str, Any] | None) -> report.Table | None:
    if comparison is None:
        return None
    title = text.paired_title([run.name for run in runs])
    return report.Table(title, *text.paired_table(comparison), text.PAIRED)


def _restrict_to_common(runs: list[Joined]) -> None:
    """Keep what both runs answer, so that two columns of a table are of the same images."""
    common = np.intersect1d(runs[0].positions, runs[1].positions)
    if not len(common):
        raise ValueError(f"{runs[0].file} and {runs[1].file} have no image in common")
    for run in runs:
        keep = np.isin(run.positions, common)
        run.positions, run.coordinates = run.positions[keep], run.coordinates[keep]


def _print_tables(
    headers: list[str],
    rows: list[list[str]],
    beside: list[dict[str, str]],
    comparison: dict[str, Any] | None,
    runs: list[Joined],
) -> None:
    count = sum(header.startswith("% ") for header in headers)
    print("Accuracy in percent within each distance")
    print(text.narrow(headers, rows, count))
    for name, *cells in rows[: len(runs)]:
        _, mean, geoscore, n = cells[count:]
        unit = headers[count + 1].rpartition(" ")[2]
        print(text.wrapped(f"{name}: mean error {mean} {unit}, GeoScore {geoscore}, n = {n}"))
    if beside:
        print(text.wrapped(text.sources(beside)))
    if comparison is not None:
        print("\n" + text.wrapped(text.paired_title([run.name for run in runs])))
        print(text.grid(*text.paired_table(comparison)))
        print(text.wrapped(text.PAIRED))


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
