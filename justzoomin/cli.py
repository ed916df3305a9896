"""The command `justzoomin`."""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from json import dumps
from pathlib import Path
from typing import Any

from gcd_metric.groups import JUSTZOOMIN
from gcd_metric.names import counted
from geoload.commands import add_subcommand, run
from geoload.files import check_outputs, local_path, write_json
from geoload.messages import format_bytes
from geoload.tar_reader import TarReader
from justzoomin import audit
from justzoomin.predictions import COLUMNS, read_predictions
from justzoomin.sample import write_sample
from justzoomin.source import REPOSITORY, TABLES, Folder, Source
from justzoomin.splits import SPLIT_BY, read_tables
from justzoomin.views import QUALITY, SIZE

_SOURCE = ("data_dir", "repository", "revision", "metadata_dir")


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status, as `geoload.commands.run` says.

    `verify` returns 1 if it finds something wrong.
    """
    chosen = (sys.argv[1:] if argv is None else argv)[:1]
    return run(_parser(chosen), argv)


def _parser(chosen: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="justzoomin", description="Tools for Just Zoom In.")
    commands = parser.add_subparsers(dest="command", required=True)

    command = functools.partial(add_subcommand, commands)

    sample = command("sample", _sample, "write a small synthetic data set in the layout of the Hub")
    sample.add_argument("folder", help="output folder; created if needed")
    for option, default, text in (
        ("train", 270, "number of training photos"),
        ("validation", 30, "number of validation photos"),
        ("shards", 4, "number of TAR files"),
        ("width", 128, "width of the pictures in pixels"),
        ("seed", 0, "random seed of the pictures"),
    ):
        sample.add_argument(f"--{option}", type=int, default=default, metavar="N",
                            help=f"{text} (default {default})")  # fmt: skip
    sample.add_argument("--tiles", action="store_true",
                        help="also write the overhead tiles for the zoom paths of the validation "
                        "photos (needs the extra `tiles`)")  # fmt: skip
    sample.add_argument("--views", type=int, metavar="SIZE",
                        help="also write all overhead views with sides of SIZE pixels (needs the "
                        "extra `tiles`)")  # fmt: skip

    render = command("render", _render, "render the overhead views of all zoom paths into a shard")
    _add_source(render)
    render.add_argument("--output", help="output file (default: views/views_SIZE.tar in "
                        "--data-dir or in the current folder)")  # fmt: skip
    render.add_argument("--size", type=int, default=SIZE,
                        help=f"side of the views in pixels (default {SIZE})")  # fmt: skip
    render.add_argument("--quality", type=int, default=QUALITY,
                        help=f"JPEG quality (default {QUALITY})")  # fmt: skip
    render.add_argument("--strict", action="store_true", help="fail if a view is white")
    render.add_argument("--workers", type=int, help="number of processes (default: all cores)")

    preview = command("preview", _preview, "draw the zoom paths of several photos as a picture, or "
                      "that of one photo as an animation")  # fmt: skip
    _add_source(preview)
    preview.add_argument("output", help=".png for a picture, .gif or .webp for an animation")
    preview.add_argument("--split", default="validation", choices=list(TABLES),
                         help="split of the photos (default validation)")  # fmt: skip
    preview.add_argument("--size", type=int, default=SIZE,
                         help=f"side of the views in pixels (default {SIZE})")  # fmt: skip
    preview.add_argument("--count", type=int, default=4,
                         help="number of photos in the picture (default 4)")  # fmt: skip
    preview.add_argument("--skip", type=int, default=0, help="number of photos to skip first")

    score = command("score", _score, "score predictions for the photos of a split")
    score.add_argument("file", help="CSV, TSV, Parquet or JSON lines with image_id, and sequence, "
                       "or latitude and longitude, or candidates (best first)")  # fmt: skip
    _add_source(score)
    score.add_argument("--split", default="validation", choices=list(TABLES),
                       help="split of the photos (default validation)")  # fmt: skip
    _add_split_by(score)
    score.add_argument("--kind", choices=list(COLUMNS),
                       help="what to score, if the file has columns of several kinds")  # fmt: skip
    score.add_argument("--allow-partial", action="store_true",
                       help="score only photos that are in the file and in the split")  # fmt: skip
    score.add_argument("--groups", default=JUSTZOOMIN, metavar="place:SIZE",
                       help="size of the cells whose photos the intervals take as alike, or none "
                       "(default: %(default)s)")  # fmt: skip
    score.add_argument("--json", action="store_true", help="print JSON instead of a table")

    audited = command("audit", _audit, "measure how near validation photos are to training "
                      "photos, and what a model scores that copies the nearest one")  # fmt: skip
    _add_source(audited)
    _add_split_by(audited)
    audited.add_argument("--pairs", metavar="FILE.csv",
                       help="write each validation photo with its nearest training photo; "
                       "gcd-metric --exclude reads this file")  # fmt: skip
    audited.add_argument("--within", type=float, default=audit.WITHIN_M, metavar="METRES",
                       help="largest distance of these pairs (default %(default)g)")  # fmt: skip
    audited.add_argument("--figure", metavar="FILE", help="draw the distances (.png, .svg or .pdf)")
    audited.add_argument("--json", action="store_true", help="print JSON instead of a table")

    index = command("index", _index, "write an index next to each shard, so that published shards "
                    "can be streamed without reading all of them")  # fmt: skip
    index.add_argument("folder", help="folder with archives/streetview_images_*.tar")

    extract = command("extract", _extract, "extract the files that the authors' code reads")
    extract.add_argument("folder", help="output folder; created if needed")
    _add_source(extract, "folder with the TAR files (archives/); default: the Hub", True)
    _add_selection(extract, "-7 -5 -3 -1, which the authors' code reads")
    extract.add_argument("--workers", type=int, metavar="N",
                         help="TAR files read at the same time (default: 4 from the Hub, 1 from a "
                         "folder)")  # fmt: skip

    verify = command("verify", _verify, "find files that are missing, repeated or broken")
    verify.add_argument("folder", help="extracted folder, or folder with TAR files (archives/)")
    _add_source(verify, "compare with the TAR files in this folder", True)
    _add_selection(verify, "all extracted levels")
    verify.add_argument("--deep", action="store_true",
                        help="decode every picture, and compare it byte for byte with local TAR "
                        "files")  # fmt: skip
    verify.add_argument("--workers", type=int, metavar="N",
                        help="number of threads (default: all cores)")  # fmt: skip
    verify.add_argument("--json", metavar="FILE", help="write the findings with all file names")

    if not commands.choices.keys() & chosen:  # other commands need not wait for `datasets`
        from justzoomin import publish

        publish.add_command(commands)
    return parser


def _add_source(
    parser: argparse.ArgumentParser, data_dir: str = "folder of the data set; default: the Hub",
    tables: bool = False,
) -> None:  # fmt: skip
    parser.add_argument("--data-dir", help=data_dir)
    parser.add_argument("--repository", help=f"repository on the Hub (default {REPOSITORY})")
    parser.add_argument("--revision", help="commit, branch or tag of the repository")
    if tables:
        parser.add_argument(
            "--metadata-dir", help="folder of the two CSV files (default metadata/)"
        )


def _add_split_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split-by", choices=SPLIT_BY, default=SPLIT_BY[0],
                        help="the split of the tables (the default), or one by blocks of the city "
                        "that keeps validation photos 100 m from training photos")  # fmt: skip


def _add_selection(parser: argparse.ArgumentParser, levels: str) -> None:
    parser.add_argument("--levels", nargs="+", type=_level, metavar="Z",
                        help=f"zoom levels of the tiles, or `all` (default: {levels})")  # fmt: skip
    parser.add_argument("--no-tiles", action="store_true", help="only street photos")
    parser.add_argument("--no-photos", action="store_true", help="only tiles")
    parser.add_argument("--splits", nargs="+", choices=list(TABLES),
                        help="only the photos of these splits")  # fmt: skip
    parser.add_argument("--shards", nargs="+", type=int, metavar="N",
                        help="only the photos of these TAR files")  # fmt: skip


def _level(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a level nor `all`") from None


def _sample(folder: str, tiles: bool, views: int | None, **options: Any) -> None:
    write_sample(folder, **options)
    print(f"Wrote {options['train']} train and {options['validation']} validation photos in "
          f"{options['shards']} shards to {folder}")  # fmt: skip
    if tiles:
        from justzoomin.sample_tiles import write_tiles

        rows = _rows("metadata", "validation", data_dir=folder)
        write_tiles(folder, around=[(row["latitude"], row["longitude"]) for row in rows])
        print(f"and the tiles around the validation photos to {folder}/archives")
    if views:
        from justzoomin.sample_tiles import write_views

        print(f"and all overhead views to {write_views(folder, size=views)}")


def _render(
    output: str | None, size: int, quality: int, workers: int | None, strict: bool,
    data_dir: str | None, **where: Any,
) -> None:  # fmt: skip
    from justzoomin.rendering import render

    source = data_dir or _source("metadata", where)
    if output is None:
        output = str(Path(data_dir or ".", "views", f"views_{size}.tar"))
    count = render(source, output, size, quality, workers=workers, strict=strict)
    written = format_bytes(Path(output).stat().st_size)
    print(f"Rendered {counted(count, 'views')} of {size} pixels to {output} ({written})")


def _preview(output: str, split: str, size: int, count: int, skip: int, **where: Any) -> None:
    from justzoomin import preview

    animated = output.lower().endswith((".gif", ".webp"))
    if not animated and not output.lower().endswith(".png"):
        raise ValueError(f"{output}: a preview is a .png, .gif or .webp file")
    stream = iter(_rows("zoom", split, size=size, **where))
    rows = list(itertools.islice(stream, skip, skip + (1 if animated else count)))
    if not rows:
        raise ValueError(f"there are no samples after the first {skip}")
    white = sum(preview.is_white(view) for row in rows for view in row["views"])
    credit = preview.attribution(_source("metadata", where))
    if animated:
        preview.animation(rows[0], output, credit=credit)
    else:
        preview.sheet(rows, output, credit)
    count = sum(len(row["views"]) for row in rows)
    print(f"Drew {len(rows)} of split {split} into {output}; white views: {white} of {count}")


def _score(
    file: str,
    split: str,
    kind: str | None,
    allow_partial: bool,
    groups: str,
    json: bool,
    **where: Any,
) -> None:
    from justzoomin.scores import score

    table, _ = read_tables(_source("metadata", where), split)
    asked = None if groups.lower() == "none" else groups
    result = score(read_predictions(file), table.columns(), kind, None, allow_partial, asked)
    if json:
        print(dumps({"file": file, "split": split, **result}, indent=2))
    else:
        print(f"{file} against split {split}, paired by image_id\n{result}")
        alike = f"with cells of {groups.partition(':')[2]} as groups of photos"
        print(f"Intervals: 95 %, {alike if asked else 'for independent photos'}")


def _audit(pairs: str | None, within: float, figure: str | None, json: bool, **where: Any) -> None:
    check_outputs({"--pairs": pairs, "--figure": figure}, [])
    found = audit.audit(_source("metadata", where))
    if pairs is not None:
        count = found.write_pairs(pairs, within)
    if figure is not None:
        audit.draw(found, figure)
    print(dumps(found.as_dict(), indent=2) if json else found)
    if pairs is not None:
        print(f"Wrote {counted(count, 'pairs')} within {within:g} m to {pairs}", file=sys.stderr)


def _index(folder: str) -> None:
    for archive in Folder(local_path(folder)).photos(tar_only=True):
        index = TarReader(archive.path).index
        print(f"{index.publish()}: {counted(len(index.files()), 'members')}")


def _extract(folder: str, **options: Any) -> int:
    from justzoomin.extraction.extract import extract

    where = {name: options.pop(name) for name in _SOURCE}
    # The configuration that needs no files of the source.
    source = _source("views", where)
    source.check(photos=False)
    try:
        print(extract(folder, source, **_selection(options)))
    except KeyboardInterrupt:
        print(f"\nInterrupted. All files in {folder} are complete; run it again to continue.")
        return 130
    return 0


def _verify(folder: str, json: str | None, **options: Any) -> int:
    from justzoomin.extraction.verify import verify

    where = {name: options.pop(name) for name in _SOURCE}
    source = None
    if any(where[name] is not None for name in _SOURCE[:3]):
        source = _source("views", where)
        source.check(photos=False)
    selection = _selection(options)
    verdict = verify(folder, source, metadata_dir=where["metadata_dir"], **selection)
    if json is not None:
        write_json(json, verdict.as_dict())
    print(verdict)
    return 0 if verdict.whole else 1


def _selection(options: dict[str, Any]) -> dict[str, Any]:
    """Turn the options of the command line into arguments of `extract` and `verify`."""
    no_tiles, no_photos = options.pop("no_tiles"), options.pop("no_photos")
    if no_tiles and options["levels"]:
        raise ValueError("--levels and --no-tiles contradict each other: leave one out.")
    if no_photos and (options["splits"] or options["shards"]):
        raise ValueError("--no-photos and --splits or --shards contradict each other.")
    if no_tiles and no_photos:
        raise ValueError("Nothing is selected: leave out --no-photos or --no-tiles.")
    if no_tiles:
        options["levels"] = ()
    elif "all" in (options["levels"] or ()):
        options["levels"] = "all"
    return {**options, "photos": not no_photos}


def _source(config_name: str, where: dict[str, Any]) -> Source:
    """Return the source that the options of a command name."""
    from justzoomin.justzoomin import JustZoomIn

    builder = JustZoomIn(config_name=config_name, **_given(where))
    return builder.config.source(builder.token)


def _rows(name: str, split: str, **where: Any) -> Any:
    from datasets import load_dataset

    return load_dataset("justzoomin", name, split=split, streaming=True, **_given(where))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
