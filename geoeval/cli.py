"""The command `geoeval`: runs a model over a benchmark, and reports or merges runs."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from gcd_metric.hub import add_options
from geoload.commands import run
from geoload.files import file_lock


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, as `geoload.commands.run` says."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["report"]:
        return run(_report_parser(), argv[1:], _report)
    if argv[:1] == ["merge"]:
        return run(_merge_parser(), argv[1:], _merge)
    command = shlex.join(["geoeval", *argv])
    return run(_parser(), argv, lambda options: _evaluate(options, command))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geoeval",
        description="Run a model over a benchmark and score it. A run that was stopped goes on "
        "when the same command is given again.",
        epilog="geoeval report RUNS… puts several runs into one table and figure; geoeval merge "
        "OUT PARTS… joins the shards of a run.",
    )
    add = parser.add_argument
    add("model", help="FILE.py:NAME, package.module:NAME, geoclip, clip:NAME or hf:NAME")
    add("--benchmark", required=True, metavar="NAME",
        help="im2gps, im2gps3k, justzoomin, …, or photos for a folder of your own")  # fmt: skip
    add("-o", "--output", required=True, metavar="DIR", help="folder of the run")
    add("--data-dir", metavar="DIR", help="folder with the files of the data set")
    add("--coordinates", metavar="FILE", help="table of the places of your own photos")
    add("--batch-size", type=_positive, metavar="N", help="photos of a batch (default: the "
        "model's own, or 32)")  # fmt: skip
    add("--workers", type=_count, metavar="N", help="processes that read photos (default: one a "
        "core)")  # fmt: skip
    add("--device", help="where the model runs: cpu, cuda, cuda:1, mps")
    add("--amp", choices=["bfloat16", "float16"], help="mixed precision")
    add("--limit", type=_positive, metavar="N", help="only the first N photos")
    add("--shard", type=_shard, default=(1, 1), metavar="K/N",
        help="only the Kth of N parts, for several machines")  # fmt: skip
    add("--retry-errors", action="store_true", help="predict photos with an error again")
    group = parser.add_argument_group(
        "options of adapters, and of models that have such attributes"
    )
    add = group.add_argument
    add("--prompt", help="what a model of texts is asked")
    add("--gallery", help="places among which a model chooses")
    add("--revision", help="commit, branch or tag of the checkpoint")
    add("--dtype", choices=["float32", "bfloat16", "float16"], help="type of the weights")
    add("--max-new-tokens", type=_positive, metavar="N", help="the longest answer")
    add = parser.add_argument_group("zoom and retrieval models (justzoomin)").add_argument
    add("--beam", type=_positive, metavar="N", help="width of the beam (default: 1, greedy)")
    add("--views", metavar="PATH", help="rendered shard of overhead views, or folder with tiles "
        "(default: those of the data set)")  # fmt: skip
    add("--size", type=_positive, metavar="PIXELS", help="side of the views (default: the "
        "model's view_size, or 384; 96 for cells of four actions)")  # fmt: skip
    add("--retrieval", action="store_true", help="rank all cells with a model that has "
        "embed_photos and embed_views")  # fmt: skip
    add("--depth", type=int, choices=[3, 4], help="actions of these cells (default: 4)")
    add("--candidates", type=_positive, metavar="N", help="cells that are kept for each photo "
        "(default: 10)")  # fmt: skip
    add_options(parser)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not 1 <= int(number) <= int(count):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard; write 3/8 for the third of 8")
    return int(number), int(count)


def _merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geoeval merge", description="Join the finished shards of a run, and score it."
    )
    parser.add_argument("output", metavar="OUT", help="new folder")
    parser.add_argument("parts", metavar="PARTS", nargs="+", help="folders of all shards")
    return parser


def _report_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geoeval report", description="Put runs over the same photos into one table and one "
        "figure. `gcd-metric` reads the same files and has more options.",
    )  # fmt: skip
    add = parser.add_argument
    add("runs", metavar="RUNS", nargs="+", help="folders of runs")
    add("-o", "--output", metavar="FILE", default="geoeval-report.html",
        help=".html or .png (default: %(default)s)")  # fmt: skip
    add("--format", choices=["table", "markdown", "latex", "csv", "json"], default="table",
        help="of the table (default: %(default)s)")  # fmt: skip
    add("--differences", action="store_true", help="test the differences of all pairs of runs")
    add("--by", metavar="COLUMN", action="append", default=[],
        help="also score each country or continent")  # fmt: skip
    return parser


def _report(options: dict[str, Any]) -> None:
    from geoeval.results import report_runs

    passed = ["--format", options["format"], *["--differences"] * options["differences"]]
    passed += [word for column in options["by"] for word in ("--by", column)]
    report_runs(options["runs"], options["output"], passed)


def _merge(options: dict[str, Any]) -> None:
    from geoeval.results import merge

    merge(options["output"], options["parts"])


def _evaluate(options: dict[str, Any], command: str) -> None:
    from geoeval import runner, zoom_run
    from geoeval.benchmarks import open_benchmark
    from geoeval.records import Predictions, batches_of
    from geoeval.results import Folder, check_push
    from geoload.models import loading

    names = [field.name for field in dataclasses.fields(loading.ModelOptions)]
    chosen = loading.ModelOptions(**{name: options[name] for name in names})
    folder = Folder(options["output"])
    pushing = check_push(folder, options)
    busy = ValueError(f"{folder.path}: another process is writing this run")
    with file_lock(folder.path / ".lock", busy):
        model = loading.load(options["model"], chosen)
        zooms = zoom_run.ZoomOptions.of(model, options)
        paths = options["data_dir"], options["coordinates"]
        benchmark = open_benchmark(options["benchmark"], *paths)
        n = min(len(benchmark), options["limit"] or len(benchmark))
        size = options["batch_size"] or model.batch_size
        batches = batches_of(n, size, options["shard"])
        benchmark = benchmark.part(range(batches[0].start, batches[-1].stop))
        decisive = ("benchmark", "limit", "shard", "amp")
        settings = {
            **model.settings(),
            **{name: options[name] for name in decisive},
            **(zooms.settings() if zooms else {}),
            "batch_size": size,
            "data_revision": benchmark.revision,
            "n": len(benchmark),
        }
        folder.begin(settings, benchmark.table())
        predictions = Predictions(
            folder.predictions, benchmark.ids, batches_of(len(benchmark), size)
        )
        todo = predictions.failed if options["retry_errors"] else []
        if todo := todo + predictions.remaining:
            folder.start(command)
            how = runner.How(options["workers"], options["amp"])
            if zooms:
                photos = sum(map(len, todo))
                model.records = zoom_run.predictor(model, zooms, photos, size, folder, how)
            runner.run(model, benchmark, predictions, todo, how)
        folder.finish(pushing)
        if zooms:
            zoom_run.draw_cases(folder, benchmark, zooms)
