"""The command `gcd-metric`, which scores a table of predictions."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import groups, report, scoring, tables, text
from .columns import ROLES, find_columns
from .names import listed
from .options import CONFIGURATIONS, make_options
from .scoring import Run, Scored, Task, Wording, published
from .terminal import run_command

_WORDING = Wording(
    "choose one with --{}-column", "choose the column with --id-column", "--missing miss"
)
# prefixes of the options that choose columns
_TABLES = {
    "": "predictions",
    "compare-": "predictions of --compare",
    "reference-": "references",
}
# extensions of files that are neither tables nor data sets
_OTHER_FILES = frozenset(
    [".json", ".jsonl", ".ndjson", ".txt", ".xlsx", ".xls", ".ods", ".feather", ".arrow", ".npy"]
    + [".npz", ".pkl", ".pickle", ".pt", ".h5", ".zip", ".tar", ".geojson", ".gpx", ".kml", ".md"]
)
_NUMBERS = re.compile(r"^[-+.,\deE]*\d[-+.,\deE]*$")
_DATASET_DEFAULTS = {"justzoomin": ("metadata", "validation")}
# files by which a folder in the original layout of a data set is recognised
_LAYOUTS = {
    "im2gps": ("*_test.zip", "gps_query_imgs*"),
    "justzoomin": ("metadata/large_area_*_map.csv", "archives/streetview_images_*.tar"),
}
# what to suggest for names that are close to these; a configuration is not a data set
_CLOSE_TO = {
    **{name: name for name in _LAYOUTS},
    "im2gps3k": "im2gps --config im2gps3k",
    "just_zoom_in": "justzoomin",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the arguments of the process.

    Returns 0, or 2 (with one line on stderr) for input that cannot be scored, or 141 if the reader
    of the output has closed it.
    """
    return run_command(lambda: _status(sys.argv[1:] if argv is None else argv))


def _status(argv: Sequence[str]) -> int:
    try:
        try:
            return _run(_parser().parse_args(_with_one_value(argv)))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.filename or 'output'}: {error.strerror or error}"
        print(f"gcd-metric: {message}", file=sys.stderr)
        return 2
    except (ValueError, ImportError) as error:
        print(f"gcd-metric: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


class _Version(argparse.Action):
    """Print the version of the installed package, which is looked up only on request."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"gcd-metric {version('im2gps-justzoomin')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gcd-metric",
        description="Score predicted coordinates against a benchmark or a table, with 95 % "
        "confidence intervals and published results.",
    )
    add = parser.add_argument
    add("--version", action=_Version, nargs=0, help="show the version and exit")
    expand = os.path.expanduser
    help_text = "CSV or Parquet file with an id, a latitude and a longitude for each image"
    add("predictions", type=expand, help=help_text)
    help_text = "a CSV or Parquet file, or any name that load_dataset opens (im2gps, a folder, …)"
    add("--references", required=True, metavar="NAME", type=expand, help=help_text)
    add("--config", help="configuration of the data set (default for justzoomin: metadata)")
    help_text = "split of the data set (default: the only one, else test; justzoomin: validation)"
    add("--split", help=help_text)
    add("--data-dir", type=expand, help="folder with the files of the data set")
    for prefix, what in _TABLES.items():
        for role in ROLES:
            help_text = f"{role} column of the {what}"
            add(f"--{prefix}{role}-column", metavar="COLUMN", help=help_text)
    help_text = (
        "thresholds, unit and radius (default: justzoomin for that benchmark, otherwise standard, "
        "the five thresholds of published results)"
    )
    add("--metric-config", choices=list(CONFIGURATIONS), help=help_text)
    help_text = "other thresholds, in the unit of the configuration: 1,25,200 or 1 25 200"
    add("--thresholds", type=_distances, metavar="DISTANCES", help=help_text)
    add("--unit", choices=["km", "m"], help="unit of thresholds and errors")
    help_text = "distance on a sphere (haversine, the default) or on the WGS 84 ellipsoid"
    add("--method", choices=["haversine", "geodesic"], default="haversine", help=help_text)
    help_text = "count an error that equals the distance as a miss (default: as a hit)"
    add("--strict", action="store_true", help=help_text)
    help_text = "images without a prediction are an error (default) or count as wrong (miss)"
    add("--missing", choices=["error", "miss"], default="error", help=help_text)
    help_text = "score only the images that have a prediction"
    add("--allow-partial", action="store_true", help=help_text)
    help_text = (
        "show published results of this benchmark (default: that of --config or --references)"
    )
    add("--benchmark", metavar="NAME", help=help_text)
    help_text = (
        "photos that are hit or missed together, for the intervals: a column of the references or "
        "predictions (AUTHOR), place:500m for cells of that size, or none (default: photographers "
        "or sequences, where columns or Flickr file names tell them; justzoomin: place:500m)"
    )
    add("--groups", metavar="COLUMN", help=help_text)
    help_text = "predictions of a second model for the same images, to test the differences"
    add("--compare", metavar="FILE", type=expand, help=help_text)
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--report", metavar="FILE", type=expand, help="also write a report (.html or .png)")
    return parser


def _distances(argument: str) -> list[float]:
    try:
        return [float(part) for part in argument.split(",") if part.strip()]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{argument!r} is not a list of distances; write them as in 1,25,200"
        ) from None


def _with_one_value(arguments: Sequence[str]) -> list[str]:
    """Join the values of --thresholds by commas, or argparse would take a file after them too."""
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
    return {role: getattr(arguments, f"{prefix}{role}_column".replace("-", "_")) for role in ROLES}


def _advice(prefix: str) -> str:
    return f"choose one with --{prefix}{{}}-column"


def _check_predictions(path: str) -> None:
    """Refuse what cannot be predictions, before anything is read."""
    if not path.strip():
        raise ValueError("the name of the predictions is empty; give a .csv or .parquet file")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; predictions are one .csv or .parquet file")
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    if not tables.is_table(path):
        raise ValueError(f"{path}: predictions are a .csv or .parquet file")


def _check_references(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be references, before anything is read."""
    name = arguments.references
    if not name.strip():
        raise ValueError("--references is empty; give a .csv or .parquet file, or a data set")
    if tables.is_table(name):
        for option in ("config", "split", "data_dir"):
            if (value := getattr(arguments, option)) is not None:
                raise ValueError(
                    f"--{option.replace('_', '-')} is for data sets, and {name} is a "
                    f"file{_thresholds_hint(value)}"
                )
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


def _thresholds_hint(config: str | None) -> str:
    if config not in CONFIGURATIONS:
        return ""
    return f"; --metric-config {config} chooses the thresholds of that name"


def _load_references(
    arguments: argparse.Namespace, chosen: dict[str, str | None], also: list[str]
) -> pd.DataFrame:
    """Read id, latitude and longitude of a data set, and the columns `also`, without its images."""
    import datasets

    name = arguments.references
    if _is_module(name):
        importlib.import_module(name)  # registers the builder of that name
    config, split = _DATASET_DEFAULTS.get(name, (None, None))
    where = {"name": arguments.config or config, "data_dir": arguments.data_dir}
    try:
        split = arguments.split or split or _only_split(name, where)
        rows = datasets.load_dataset(name, split=split, streaming=True, **where)
        # a column of images may be named like an id, so only columns of plain values count
        features = rows.features or dict.fromkeys(next(iter(rows)), datasets.Value("null"))
        names = [key for key, kind in features.items() if isinstance(kind, datasets.Value)]
        columns = find_columns(
            names, chosen, of="references", where=name, advice=_advice("reference-")
        )
        if rows.info.builder_name == "csv":  # read ids as text, or they lose leading zeros
            converters = {"converters": {columns["id"]: str}}
            rows = datasets.load_dataset(name, split=split, streaming=True, **where, **converters)
        kept = tables.others(names, also)
        wanted = [*columns.values(), *kept]
        table = [tuple(map(row.get, wanted)) for row in rows.select_columns(wanted)]
    except Exception as error:  # a builder may raise anything; the user gets one line
        message = error if isinstance(error, ValueError) else f"--references {name}: {error}"
        hint = _thresholds_hint(arguments.config) if "BuilderConfig" in str(error) else ""
        raise ValueError(f"{message}{hint}") from error
    return tables.tidy(table, columns, name, kept=kept)


def _refuse_mistaken(name: str) -> None:
    """Refuse a name that is not of a data set, before searching the Hub."""
    path = Path(name)
    if name in _LAYOUTS:  # even if there is a folder of that name, which --data-dir would choose
        return
    if path.is_dir():
        for original, signs in _LAYOUTS.items():
            if any(any(path.glob(sign)) for sign in signs):
                raise ValueError(
                    f"{name} is a folder in the original layout: use --references {original} "
                    f"--data-dir {shlex.quote(name)}"
                )
    elif not (path.exists() or "/" in name or _is_module(name)):  # owner/im2gps may be on the Hub
        for close in difflib.get_close_matches(name.lower(), _CLOSE_TO, n=1, cutoff=0.8):
            raise ValueError(
                f"--references {name}: no such data set; did you mean {_CLOSE_TO[close]}?"
            )


def _is_module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def _only_split(name: str, where: dict[str, Any]) -> str:
    import datasets

    splits: list[str] = datasets.get_dataset_split_names(
        name, config_name=where["name"], data_dir=where["data_dir"]
    )
    if len(splits) == 1:
        return splits[0]
    if "test" in splits:
        return "test"
    raise ValueError(f"{name} has the splits {', '.join(splits)}; choose one with --split")


# --- published results --------------------------------------------------------------------------


def _references_name(arguments: argparse.Namespace) -> str:
    """The name of the data set, with its configuration if that differs."""
    name, config = arguments.references, arguments.config
    return f"{name} ({config})" if config and config != name else name


def _benchmark(arguments: argparse.Namespace) -> tuple[str | None, str | None]:
    """The benchmark of these references, and a note if it has no published results."""
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
    files = {"": arguments.predictions} | (
        {"compare-": arguments.compare} if arguments.compare else {}
    )
    if arguments.report:
        report.check_report_path(arguments.report)
    if arguments.groups and groups.is_place(arguments.groups):
        groups.parse_size(arguments.groups)
    benchmark, none_known = _benchmark(arguments)
    references_name = _references_name(arguments)
    _check_references(arguments)
    for path in files.values():
        _check_predictions(path)
    is_justzoomin = "justzoomin" in (arguments.references, benchmark)
    config_name = arguments.metric_config or ("justzoomin" if is_justzoomin else "standard")
    options = make_options(
        config_name,
        arguments.thresholds,
        arguments.unit,
        method=arguments.method,
        missing=arguments.missing,
        strict=arguments.strict,
    )
    predictions, references = _read(arguments, files)
    paths = list(files.values())
    asked = arguments.groups or (groups.JUSTZOOMIN if is_justzoomin else None)
    task = Task(references, references_name, options, _WORDING, benchmark, none_known, groups=asked)
    runs = scoring.join(list(zip(text.names_of(paths), paths, predictions, strict=True)), task)
    if not arguments.allow_partial:
        _refuse_partial(runs, len(references))
    scored = scoring.score_runs(runs, task)
    if arguments.report:  # written before printing, because the reader may close the output
        report.write_report(arguments.report, scored)
    if arguments.json:
        _print_json(scored, arguments, config_name, benchmark)
    else:
        _print_tables(scored)
    for note in scored.notes:
        print(text.wrapped(note, "gcd-metric: "), file=sys.stderr)
    if arguments.report:
        print(f"Wrote {arguments.report}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _read(
    arguments: argparse.Namespace, files: dict[str, str]
) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Predictions, then references, which may have to be downloaded."""
    hint = "" if arguments.missing == "miss" else _WORDING.count_missing
    ways = [(path, _columns(arguments, prefix), _advice(prefix)) for prefix, path in files.items()]
    name, chosen = arguments.references, _columns(arguments, "reference-")
    reference_advice = _advice("reference-")
    also = [arguments.groups] if arguments.groups else [*groups.COLUMNS]
    predictions = []
    for path, columns, advice in ways:
        table = tables.read_coordinates(
            path,
            *columns.values(),
            of="predictions",
            allow_missing=True,
            advice=advice,
            also=also,
        )
        tables.refuse_unscorable(table, path, hint)
        predictions.append(table)
    if tables.is_table(name):
        table = tables.read_coordinates(
            name, *chosen.values(), of="references", advice=reference_advice, also=also
        )
    else:
        table = _load_references(arguments, chosen, also)
    tables.refuse_unscorable(table, name)
    return predictions, table


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


def _print_tables(scored: Scored) -> None:
    print("Accuracy in percent within each distance")
    print(text.terminal_table(scored))
    for run in scored.runs:
        print(text.wrapped(text.summary(scored, run)))
    print(text.wrapped(text.intervals(scored)))
    print(text.wrapped(text.columns(scored)))
    if scored.published:
        print(text.wrapped(text.sources(scored)))
    if scored.comparison is not None:
        print("\n" + text.wrapped(text.paired_title(scored)))
        print(text.grid(*text.paired_table(scored.comparison)))
        print(text.wrapped(text.paired_remark(scored)))


def _print_json(
    scored: Scored, arguments: argparse.Namespace, config_name: str, benchmark: str | None
) -> None:
    document = {
        "references": {
            "name": arguments.references,
            "config": arguments.config,
            "n": scored.n_references,
            "columns": scored.reference_columns,
        },
        "metric_config": config_name,
        "method": scored.options.method,
        "strict": scored.options.strict,
        "runs": [
            {
                "name": run.name,
                "predictions": run.file,
                "columns": run.columns,
                "scores": run.scores,
                "unmatched_predictions": run.unmatched_predictions,
                "unmatched_references": run.unmatched_references,
                "ambiguous": run.ambiguous,
            }
            for run in scored.runs
        ],
        "comparison": scored.comparison,
        "groups": scored.labels and {"what": scored.labels.what, "source": scored.labels.source},
        "benchmark": benchmark,
        "published": [
            {key: _published_value(key, value) for key, value in row.items() if value}
            for row in scored.published
        ],
        "notes": scored.notes,
    }
    # JSON has no NaN and no infinity: they become null
    document = json.loads(json.dumps(document), parse_constant=lambda _: None)
    print(json.dumps(document, indent=2))


def _published_value(key: str, value: str) -> Any:
    """A number as a number; an accuracy as a fraction, like those of `scores`."""
    if key.startswith("acc@"):
        return round(float(value) / 100, 6)
    if key.startswith("median_"):
        return float(value)
    return int(value) if key in ("n", "year") else value
