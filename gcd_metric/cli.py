"""The command `gcd-metric`: score a table of predictions. Scoring itself is scoring.py."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import figures, report, scoring, tables, text
from .columns import ROLES
from .names import listed
from .scoring import Run, Wording, published

_WORDING = Wording(
    "choose one with --{}-column", "choose the column with --id-column", "--missing miss"
)
# the options that choose columns begin so
_TABLES = {
    "": "predictions",
    "compare-": "predictions of --compare",
    "reference-": "references",
}
# endings of files that are neither tables nor data sets
_OTHER_FILES = frozenset(
    [".json", ".jsonl", ".ndjson", ".txt", ".xlsx", ".xls", ".ods", ".feather", ".arrow", ".npy"]
    + [".npz", ".pkl", ".pickle", ".pt", ".h5", ".zip", ".tar", ".geojson", ".gpx", ".kml", ".md"]
)
_NUMBERS = re.compile(r"^[-+.,\deE]*\d[-+.,\deE]*$")
_DATASET_DEFAULTS = {"justzoomin": ("metadata", "validation")}
# by what a folder of each data set is known, as its authors lay it out
_LAYOUTS = {
    "im2gps": ("*_test.zip", "gps_query_imgs*"),
    "justzoomin": ("metadata/large_area_*_map.csv", "archives/streetview_images_*.tar"),
}
# what is meant by names that come close to these; a configuration is no data set
_CLOSE_TO = {
    **{name: name for name in _LAYOUTS},
    "im2gps3k": "im2gps --config im2gps3k",
    "just_zoom_in": "justzoomin",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 for input that cannot be scored, with one line on stderr that says why; 141 where
        whoever reads the output has gone.
    """
    _prepare_output()
    try:
        return _status(sys.argv[1:] if argv is None else argv)
    except BrokenPipeError:  # nobody reads on, so there is nobody to tell
        return 141
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # it would be written, and fail, again at the exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_output() -> None:
    """Escape what the terminal's encoding lacks, and drop what goes to a closed stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _status(argv: Sequence[str]) -> int:
    try:
        try:
            return _run(_parser().parse_args(_with_one_value(argv)))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        said = f"{error.filename or 'output'}: {error.strerror or error}"
        print(f"gcd-metric: {said}", file=sys.stderr)
        return 2
    except (ValueError, ImportError) as error:
        print(f"gcd-metric: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


class _Version(argparse.Action):
    """Prints the version of the installed package; it is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"gcd-metric {version('im2gps-justzoomin')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gcd-metric",
        description="Score predicted coordinates against a benchmark or a table, with 95 % "
        "intervals, beside published results.",
    )
    add = parser.add_argument
    add("--version", action=_Version, nargs=0, help="show the version and exit")
    add(
        "predictions",
        type=os.path.expanduser,
        help="CSV or Parquet with an id, a latitude and a longitude for each image",
    )
    add(
        "--references",
        required=True,
        metavar="NAME",
        type=os.path.expanduser,
        help="a CSV or Parquet file, or any name that load_dataset opens (im2gps, a folder, …)",
    )
    add("--config", help="configuration of the data set (justzoomin: metadata)")
    add(
        "--split",
        help="split of the data set (default: the only one, else test; justzoomin: validation)",
    )
    add("--data-dir", type=os.path.expanduser, help="where the data set's files are")
    for prefix, what in _TABLES.items():
        for role in ROLES:
            add(f"--{prefix}{role}-column", metavar="COLUMN", help=f"the {role} in the {what}")
    add(
        "--metric-config",
        choices=list(figures.CONFIGURATIONS),
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
        help="whether images without a prediction are an error, or count as wrong",
    )
    add(
        "--allow-partial",
        action="store_true",
        help="score the images that have a prediction and leave the others out",
    )
    add(
        "--benchmark",
        metavar="NAME",
        help="whose published results to print (default: that of --config or --references)",
    )
    add(
        "--compare",
        metavar="FILE",
        type=os.path.expanduser,
        help="other predictions for the same images",
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    add(
        "--report",
        metavar="FILE",
        type=os.path.expanduser,
        help="also write a report, .html or .png",
    )
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


def _columns(arguments: argparse.Namespace, prefix: str) -> dict[str, str | None]:
    options = (f"{prefix}{role}-column".replace("-", "_") for role in ROLES)
    return dict(zip(ROLES, (getattr(arguments, option) for option in options), strict=True))


def _advice(prefix: str) -> str:
    return f"choose one with --{prefix}{{}}-column"


def _read_predictions(path: str, arguments: argparse.Namespace, prefix: str) -> pd.DataFrame:
    if not path.strip():
        raise ValueError("the name of the predictions is empty; give a .csv or .parquet file")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; predictions are one .csv or .parquet file")
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    if not tables.is_table(path):
        raise ValueError(f"{path}: predictions are a .csv or .parquet file")
    chosen = _columns(arguments, prefix).values()
    table = tables.read_coordinates(
        path, *chosen, of="predictions", allow_missing=True, advice=_advice(prefix)
    )
    scoring.check_predictions(table, path, arguments.missing, _WORDING)
    return table


def _read_references(arguments: argparse.Namespace) -> pd.DataFrame:
    name, chosen = arguments.references, _columns(arguments, "reference-")
    if tables.is_table(name):
        table = tables.read_coordinates(
            name, *chosen.values(), of="references", advice=_advice("reference-")
        )
    else:
        table = _load_references(name, arguments, chosen)
    tables.refuse_duplicates(table["image_id"].tolist(), name)
    return table


def _check_references(arguments: argparse.Namespace) -> None:
    """Refuse, before anything is read, what cannot be references."""
    name = arguments.references
    if not name.strip():
        raise ValueError("--references is empty; give a .csv or .parquet file, or a data set")
    if tables.is_table(name):
        _refuse_data_set_options(arguments)
    elif Path(name).is_file() or (_is_named_as_a_file(name) and not Path(name).is_dir()):
        raise ValueError(f"{name}: references are a .csv or .parquet file, or a data set's name")
    elif name.startswith((".", "/", "~")) and not Path(name).exists():
        raise ValueError(f"{name}: no such file or folder")
    else:
        _refuse_mistaken(name)


def _is_named_as_a_file(name: str) -> bool:
    ending = Path(name).suffix.lower()
    # owner/data.v2 may be on the Hub
    return ending in _OTHER_FILES or ("/" not in name and ending[1:].isalpha())


def _refuse_data_set_options(arguments: argparse.Namespace) -> None:
    for option in ("config", "split", "data_dir"):
        value = getattr(arguments, option)
        if value is not None:
            raise ValueError(
                f"--{option.replace('_', '-')} is of a data set, and {arguments.references} is a "
                f"file{_thresholds_hint(value)}"
            )


def _thresholds_hint(config: str | None) -> str:
    if config not in figures.CONFIGURATIONS:
        return ""
    return f"; --metric-config {config} chooses the thresholds of that name"


def _load_references(
    name: str, arguments: argparse.Namespace, chosen: dict[str, str | None]
) -> pd.DataFrame:
    """Read id, latitude and longitude of a data set; no picture is decoded."""
    import datasets

    if _is_module(name):
        importlib.import_module(name)  # a package of that name makes its builder known
    config, split = _DATASET_DEFAULTS.get(name, (None, None))
    where = {"name": arguments.config or config, "data_dir": arguments.data_dir}
    try:
        split = arguments.split or split or _only_split(name, where)
        rows = datasets.load_dataset(name, split=split, streaming=True, **where)
        # a column of pictures may be called as an id is, so only plain values are looked at
        features = rows.features or dict.fromkeys(next(iter(rows)), datasets.Value("null"))
        names = [key for key, kind in features.items() if isinstance(kind, datasets.Value)]
        columns = tables.find_columns(
            names, chosen, of="references", where=name, advice=_advice("reference-")
        )
        if rows.info.builder_name == "csv":  # as text: its reader would strip an id's zeros
            text = {"converters": {columns["id"]: str}}
            rows = datasets.load_dataset(name, split=split, streaming=True, **where, **text)
        names = list(columns.values())
        table = [tuple(map(row.get, names)) for row in rows.select_columns(names)]
    except Exception as error:  # whatever a builder raises, the user gets one line
        said = error if isinstance(error, ValueError) else f"--references {name}: {error}"
        hint = _thresholds_hint(arguments.config) if "BuilderConfig" in str(error) else ""
        raise ValueError(f"{said}{hint}") from error
    return tables.tidy(table, columns, name)


def _refuse_mistaken(name: str) -> None:
    """Refuse what is no name of a data set, before anything is asked of the Hub."""
    path = Path(name)
    if name in _LAYOUTS:  # even where a folder here is called so: --data-dir says which
        return
    if path.is_dir():
        for original, signs in _LAYOUTS.items():
            if any(any(path.glob(sign)) for sign in signs):
                raise ValueError(
                    f"{name} is a folder in the authors' layout: --references {original} "
                    f"--data-dir {shlex.quote(name)}"
                )
    elif not (path.exists() or "/" in name or _is_module(name)):  # owner/im2gps may well be
        for close in difflib.get_close_matches(name.lower(), _CLOSE_TO, n=1, cutoff=0.8):
            raise ValueError(
                f"--references {name}: there is no such data set; did you mean {_CLOSE_TO[close]}?"
            )


def _is_module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


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
    options = figures.make_options(**settings)  # a wrong one is said before any file is read
    runs, references = _read(arguments)
    scored = scoring.score_runs(
        runs,
        references,
        _references_name(arguments),
        settings,
        benchmark,
        _WORDING,
        none_known=none_known,
    )
    if arguments.report:  # before anything is printed, since who reads that may leave
        report.write_report(arguments.report, scored)
    if arguments.json:
        document = {
            "references": {
                "name": arguments.references,
                "config": arguments.config,
                "n": len(references),
                "columns": references.attrs["columns"],
            },
            "metric_config": config_name,
            "method": options.method,
            "runs": list(map(_json_run, runs)),
            "comparison": scored.comparison,
            "benchmark": benchmark,
            "published": list(map(_json_published, scored.published)),
            "notes": scored.notes,
        }
        print(json.dumps(_without_nan(document), indent=2, allow_nan=False))
    else:
        _print_tables(scored)
    for note in scored.notes:
        print(text.wrapped(note, "gcd-metric: "), file=sys.stderr)
    if arguments.report:
        # JSON on stdout stays JSON
        print(f"Wrote {arguments.report}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _read(arguments: argparse.Namespace) -> tuple[list[Run], pd.DataFrame]:
    """Predictions first, since references may have to be downloaded."""
    _check_references(arguments)
    files = {"": arguments.predictions, "compare-": arguments.compare}
    if not arguments.compare:
        del files["compare-"]
    paths = list(files.values())
    read = [_read_predictions(path, arguments, prefix) for prefix, path in files.items()]
    references = _read_references(arguments)
    runs = [
        scoring.join(*given, references, _references_name(arguments), arguments.missing, _WORDING)
        for given in zip(text.names_of(paths), paths, read, strict=True)
    ]
    scoring.restrict_to_common(runs)
    if not arguments.allow_partial:
        _refuse_partial(runs, len(references))
    return runs, references


def _refuse_partial(runs: list[Run], n_references: int) -> None:
    n = len(runs[0].positions)
    if n == n_references:
        return
    missing = [scoring.lacking(run) for run in runs if run.unmatched_references]
    for run in runs:
        for predictions, wanted in run.ambiguous[:1]:
            missing.append(f"among ambiguous ids {listed(predictions)} could be {listed(wanted)}")
    raise ValueError(
        f"the score would be over {n:,} of {n_references:,} references. {'; '.join(missing)}. "
        "--missing miss counts those without a prediction as wrong, --allow-partial leaves them out"
    )


def _print_tables(scored: scoring.Scored) -> None:
    headers, rows = text.table(scored)
    count = len(scored.options.thresholds)
    print("Accuracy in percent within each distance")
    print(text.terminal_table(scored))
    for name, *cells in rows[: len(scored.runs)]:
        _, mean, geoscore, n = cells[count:]
        unit = scored.options.unit
        print(text.wrapped(f"{name}: mean error {mean} {unit}, GeoScore {geoscore}, n = {n}"))
    print(text.wrapped(text.columns(scored)))
    if scored.published:
        print(text.wrapped(text.sources(scored)))
    if scored.comparison is not None:
        print("\n" + text.wrapped(text.paired_title(scored)))
        print(text.grid(*text.paired_table(scored.comparison)))
        print(text.wrapped(text.PAIRED))


def _json_run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "predictions": run.file,
        "columns": run.columns,
        "scores": run.scores,
        "unmatched_predictions": run.unmatched_predictions,
        "unmatched_references": run.unmatched_references,
        "ambiguous": run.ambiguous,
    }


def _json_published(row: dict[str, str]) -> dict[str, Any]:
    """A published row with numbers for text, accuracies as fractions like those of `scores`."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key.startswith("acc@") and value:
            found[key] = round(float(value) / 100, 6)
        elif key.startswith("median_") and value:
            found[key] = float(value)
        elif key in ("n", "year") and value:
            found[key] = int(value)
        elif value:
            found[key] = value
    return found


def _without_nan(value: Any) -> Any:
    """NaN and infinity have no form in JSON: they become null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
