"""The command `gcd-metric`, which scores a table of predictions."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import groups, hub, inputs, leaderboard, output, report, scoring, submissions, text
from .columns import ROLES
from .inputs import WORDING
from .layout import wrapped
from .names import listed, visible
from .options import CONFIGURATIONS, make_options, usual_configuration
from .places import METHODS
from .readers import FORMATS
from .scoring import Run, Scored, Task, published
from .terminal import refuse_empty, run_command

_NUMBERS = re.compile(r"^[-+.,\deE]*\d[-+.,\deE]*$")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the arguments of the process.

    Returns 0, or 1 if a leaderboard has a value that does not follow from its file, or 2 (with one
    line on stderr) for input that cannot be scored, or 141 if the reader of the output has closed
    it.
    """
    return run_command(lambda: _status(sys.argv[1:] if argv is None else argv))


def _status(argv: Sequence[str]) -> int:
    try:
        try:
            if argv[:1] == ["leaderboard"]:
                return _leaderboard(argv[1:])
            run(parse(argv))
            return 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (ValueError, ImportError, ConnectionError) as error:
        print(f"gcd-metric: {visible(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except OSError as error:
        message = f"{error.filename or 'output'}: {error.strerror or error}"
        print(f"gcd-metric: {message}", file=sys.stderr)
        return 2


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of the command."""
    arguments = _parser().parse_intermixed_args(_with_one_value(argv))
    refuse_empty(vars(arguments))
    return arguments


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
        epilog="gcd-metric leaderboard REPO scores all results again, and ranks them.",
    )
    add = parser.add_argument
    add("--version", action=_Version, nargs=0, help="show the version and exit")
    expand = os.path.expanduser
    help_text = (
        f"file ({FORMATS}; text may be compressed) with an id, a latitude and a longitude for each "
        "image, and perhaps the truth; - is standard input; several files make one table"
    )
    add("predictions", type=expand, nargs="+", help=help_text)
    help_text = (
        "such a file, or any name that load_dataset opens (im2gps, a folder, …); not needed if the "
        "predictions are beside the truth (pred_lat, pred_lon, true_lat, true_lon)"
    )
    add("--references", metavar="NAME", type=expand, help=help_text)
    _add_data_set(parser)
    for prefix, what in inputs.TABLES.items():
        for role in ROLES:
            help_text = f"{role} column of the {what}"
            add(f"--{prefix}{role}-column", metavar="COLUMN", help=help_text)
        if prefix != "reference-":
            help_text = f"column of the {what} with answers of a model as texts"
            add(f"--{prefix}answer-column", metavar="COLUMN", help=help_text)
    help_text = "look up places that texts name without coordinates (extra [geonames])"
    add("--answer-places", choices=["geonames"], help=help_text)
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
    help_text = (
        "images without a prediction are an error (default) or count as wrong (miss, the default "
        "if predictions are texts)"
    )
    add("--missing", choices=["error", "miss"], help=help_text)
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
    help_text = "also compare countries, regions and cities (nearest_place: as OSV-5M and PLONK do)"
    add("--places", choices=METHODS, nargs="?", const=METHODS[0], help=help_text)
    help_text = (
        "also score the photos of each value of this column of the references, worst first; may be "
        "repeated (country and continent need no column)"
    )
    add("--by", metavar="COLUMN", action="append", default=[], help=help_text)
    help_text = (
        "also score without the photos of this CSV file with a column image_id, such as the pairs "
        "that `im2gps audit` and `justzoomin audit` write"
    )
    add("--exclude", metavar="FILE", type=expand, help=help_text)
    help_text = (
        "test the paired differences of all pairs of files, with p-values that are corrected for "
        "the number of pairs by Holm's method"
    )
    add("--differences", action="store_true", help=help_text)
    help_text = "predictions of a second model for the same images, to test the differences"
    add("--compare", metavar="FILE", type=expand, help=help_text)
    _add_output(parser)
    hub.add_options(parser)
    return parser


def _add_data_set(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", help="configuration of the data set (default for justzoomin: metadata)")
    help_text = "split of the data set (default: the only one, else test; justzoomin: validation)"
    add("--split", help=help_text)
    add("--data-dir", type=os.path.expanduser, help="folder with the files of the data set")


def _leaderboard_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gcd-metric leaderboard",
        description="Score all submissions again, rank them, and say which stated values do not "
        "follow from their files (exit status 1).",
    )
    add = parser.add_argument
    help_text = (
        "benchmark on the Hub, whose results name their predictions; or a repository or folder of "
        "predictions that --push sent"
    )
    add("source", metavar="REPO|FOLDER", help=help_text)
    help_text = "the truth: a file, or any name that load_dataset opens (default: the benchmark)"
    expand = os.path.expanduser
    add("--references", "--truth", metavar="NAME", type=expand, help=help_text)
    _add_data_set(parser)
    for role in ROLES:
        add(f"--reference-{role}-column", metavar="COLUMN", help=f"{role} column of the references")
    add("--benchmark", metavar="NAME", help="task, if there are several")
    add("--groups", metavar="COLUMN", help="photos hit or missed together, as for gcd-metric")
    _add_format(parser)
    return parser


def _add_format(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group()
    help_text = "what to print (default: table); latex needs the package booktabs"
    kinds.add_argument("--format", choices=output.FORMATS, default="table", help=help_text)
    help_text = "print JSON, as --format json"
    kinds.add_argument("--json", action="store_const", const="json", dest="format", help=help_text)
    add = parser.add_argument
    help_text = (
        "how markdown and latex write intervals: in brackets (the default), or plusminus, with two "
        "distances where they differ"
    )
    add("--intervals", choices=text.INTERVALS, default="brackets", help=help_text)


def _add_output(parser: argparse.ArgumentParser) -> None:
    _add_format(parser)
    add = parser.add_argument
    help_text = (
        "with published results in markdown, latex and csv (table and json have them always)"
    )
    add("--published", action="store_true", help=help_text)
    add(
        "--report",
        metavar="FILE",
        type=os.path.expanduser,
        help="also write a report (.html or .png)",
    )


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


# --- published results --------------------------------------------------------------------------


def _references_name(arguments: argparse.Namespace) -> str:
    """The name of the data set, with its configuration if that differs."""
    name, config = inputs.named(inputs.references(arguments)), arguments.config
    return f"{name} ({config})" if config and config != name else name


def _benchmark(arguments: argparse.Namespace) -> tuple[str | None, str | None]:
    """The benchmark of these references, and a note if it has no published results."""
    name, config = inputs.references(arguments), arguments.config
    if arguments.benchmark:
        return arguments.benchmark, None
    if config and published(config):
        return config, None
    if not published(name):
        return None, None
    if config in (None, name, inputs.DATASET_DEFAULTS.get(name, (None, None))[0]):
        return name, None
    return None, f"no published results of {_references_name(arguments)} are known here"


# --- output -------------------------------------------------------------------------------------


def run(
    arguments: argparse.Namespace, names: Sequence[str] = (), references_name: str = ""
) -> Scored:
    """Score files of predictions, print the result and write the report, as `arguments` say.

    `names` are those of the models, by default made from the files' names, and `references_name`
    is what the result calls the references.
    """
    shown = output.Output(arguments.format, arguments.intervals, arguments.published)
    shown.check()
    files = _files(arguments)
    if arguments.report:
        report.check_report_path(arguments.report)
    if arguments.groups and groups.is_place(arguments.groups):
        groups.parse_size(arguments.groups)
    benchmark, none_known = _benchmark(arguments)
    references_name = references_name or _references_name(arguments)
    inputs.check(arguments, files)
    target = submissions.find_target(arguments)
    if target:
        benchmark = target.benchmark.task.id
    photos = "justzoomin" if arguments.references == "justzoomin" else benchmark
    config_name = arguments.metric_config or usual_configuration(photos)
    options = make_options(
        config_name,
        arguments.thresholds,
        arguments.unit,
        method=arguments.method,
        missing=arguments.missing or "error",
        strict=arguments.strict,
    )
    excluded = inputs.read_excluded(arguments.exclude) if arguments.exclude else None
    predictions, references = inputs.read(arguments, files)
    if arguments.missing is None and inputs.has_answers(predictions):
        options = options._replace(missing="miss")
    paths = [inputs.named(path) for _, path in files]
    task = Task(references, references_name, options, WORDING, benchmark, none_known)
    task.groups = arguments.groups or groups.usual_groups(photos)
    task.places, task.by = arguments.places, arguments.by
    task.excluded = excluded
    task.differences = bool(arguments.differences or arguments.compare)
    names = names or text.names_of(paths)
    runs = scoring.join(list(zip(names, paths, predictions, strict=True)), task)
    if not arguments.allow_partial:
        _refuse_partial(runs, len(references))
    scored = scoring.score_runs(runs, task)
    if arguments.report:  # written before printing, because the reader may close the output
        report.write_report(arguments.report, scored)
    settings = {
        "references": {
            "name": inputs.named(inputs.references(arguments)),
            "config": arguments.config,
            "n": scored.n_references,
            "columns": scored.reference_columns,
        },
        "metric_config": config_name,
        "benchmark": benchmark,
    }
    _print(scored, shown, settings)
    told = sys.stdout if shown.format == "table" else sys.stderr
    if arguments.report:
        print(f"Wrote {arguments.report}", file=told)
    if target:
        print("\n".join(submissions.push(scored, target)), file=told)
    return scored


def _leaderboard(argv: Sequence[str]) -> int:
    """Print a leaderboard; the status is 1 if a stated value does not follow from its file."""
    arguments = _leaderboard_parser().parse_args(argv)
    refuse_empty(vars(arguments))
    shown = output.Output(arguments.format, arguments.intervals)
    shown.check()
    found = leaderboard.collect(arguments.source, arguments.benchmark)
    also = [arguments.groups] if arguments.groups else [*groups.COLUMNS]
    if arguments.references:
        inputs.check(arguments, [])
        name = _references_name(arguments)
        truth = inputs.read_references(arguments, Path, also)
    elif found.benchmark:
        name, truth = found.benchmark.repository, inputs.load_benchmark(found.benchmark, also)
    else:
        raise ValueError("predictions do not say what the truth is; name it with --references")
    scored = leaderboard.score(found, truth, name, arguments.groups)
    scored = scored if shown.format in ("csv", "json") else leaderboard.marked(scored)
    settings = {"source": arguments.source, "references": {"name": name, "n": len(truth)}}
    _print(scored, shown, {**settings, "benchmark": found.task})
    return int(bool(found.faults))


def _print(scored: Scored, shown: output.Output, settings: dict[str, Any]) -> None:
    print(output.formatted(scored, shown, settings))
    for note in scored.notes:
        print(wrapped(note, "gcd-metric: "), file=sys.stderr)


def _files(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """The files of predictions, each with the prefix of the options that choose its columns."""
    files = [("", path) for path in arguments.predictions]
    if arguments.compare:
        if len(files) > 1:
            raise ValueError(
                "--compare is for one file of predictions; name all files without it, and add "
                "--differences"
            )
        return [*files, ("compare-", arguments.compare)]
    if arguments.differences and len(files) == 1:
        raise ValueError("--differences needs at least two files of predictions")
    return files


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
