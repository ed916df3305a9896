"""The command `justzoomin`."""

from __future__ import annotations

import argparse
import itertools
from json import dumps
from pathlib import Path
from typing import Any

from geoload.commands import run
from geoload.files import local_path
from geoload.tar_reader import TarReader
from justzoomin import publish as publish_command
from justzoomin.extraction import command as extraction
from justzoomin.predictions import COLUMNS, read_predictions
from justzoomin.sample import write_sample
from justzoomin.sources import TABLES, Folder
from justzoomin.table import COLUMNS as TABLE_COLUMNS
from justzoomin.table import read_table
from justzoomin.views import QUALITY, SIZE


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status, as `geoload.commands.run` says.

    `verify` returns 1 where it finds something wrong.
    """
    return run(_parser(), argv, _run)


def _run(options: dict[str, Any]) -> int | None:
    commands: dict[str, Any] = {
        "sample": _sample, "render": _render, "preview": _preview, "index": _index,
        "publish": publish_command.run, "score": _score,
    }  # fmt: skip
    commands.update(extraction.COMMANDS)
    return commands[options.pop("command")](**options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="justzoomin", description="Tools for Just Zoom In.")
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="write a miniature in the Hub's layout")
    sample.add_argument("folder", help="where to write; made if need be")
    sample.add_argument("--train", type=int, default=270, metavar="N", help="photos (270)")
    sample.add_argument("--validation", type=int, default=30, metavar="N", help="photos (30)")
    sample.add_argument("--shards", type=int, default=4, metavar="N", help="TAR files (4)")
    sample.add_argument("--width", type=int, default=128, help="of the pictures, in pixels")
    sample.add_argument("--seed", type=int, default=0, help="another seed, other photos")
    sample.add_argument("--tiles", action="store_true",
                        help="also the overhead tiles that zooming to the validation photos "
                        "needs (needs the extra `tiles`)")  # fmt: skip

    render = commands.add_parser("render", help="draw the views along all zoom paths into a shard")
    _add_source(render)
    render.add_argument("--output", help="default: views/views_SIZE.tar under --data-dir, or here")
    render.add_argument("--size", type=int, default=SIZE, help=f"pixels ({SIZE})")
    render.add_argument("--quality", type=int, default=QUALITY, help=f"of the JPEGs ({QUALITY})")
    render.add_argument("--strict", action="store_true", help="fail where a view is white")
    render.add_argument("--workers", type=int, help="processes (all cores)")

    preview = commands.add_parser("preview", help="draw samples as a sheet, or one as an animation")
    _add_source(preview)
    preview.add_argument("output", help=".png for a sheet, .gif or .webp for one zoom")
    preview.add_argument("--split", default="validation", choices=list(TABLES))
    preview.add_argument("--size", type=int, default=SIZE, help=f"of the views ({SIZE} pixels)")
    preview.add_argument("--count", type=int, default=4, help="samples on the sheet (4)")
    preview.add_argument("--skip", type=int, default=0, help="samples to pass over first")

    score = commands.add_parser("score", help="score predictions against the photos of a split")
    score.add_argument("file", help="CSV, TSV, Parquet or JSON lines: image_id with sequence, or "
                       "latitude and longitude, or candidates, the best first")  # fmt: skip
    _add_source(score)
    score.add_argument("--split", default="validation", choices=list(TABLES))
    score.add_argument("--kind", choices=list(COLUMNS), help="where a file has columns of several")
    score.add_argument("--allow-partial", action="store_true",
                       help="score what is both in the file and in the split")  # fmt: skip
    score.add_argument("--json", action="store_true", help="print JSON instead of a table")

    index = commands.add_parser("index", help="write the index of each shard beside it, so that "
                                "streaming from where they are published reads only what it "
                                "wants")  # fmt: skip
    index.add_argument("folder", help="in the Hub's layout, with archives/streetview_images_*.tar")
    extraction.add_commands(commands)
    publish_command.add_command(commands)
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", help="folder of the data set; default: the Hub")
    parser.add_argument("--repository", help="a fork on the Hub")
    parser.add_argument("--revision", help="commit, branch or tag of the repository")


def _sample(folder: str, tiles: bool, **options: Any) -> None:
    write_sample(folder, **options)
    print(f"Wrote {options['train']} train and {options['validation']} validation photos in "
          f"{options['shards']} shards to {folder}")  # fmt: skip
    if tiles:
        from justzoomin.sample_tiles import write_tiles

        rows = _rows("metadata", "validation", data_dir=folder)
        write_tiles(folder, around=[(row["latitude"], row["longitude"]) for row in rows])
        print(f"and the tiles around the validation photos to {folder}/archives")


def _render(
    output: str | None, size: int, quality: int, workers: int | None, strict: bool, **where: Any
) -> None:
    import justzoomin

    builder = justzoomin.JustZoomIn(config_name="metadata", **_given(where))
    source = where["data_dir"] or builder.config.source(builder.token)
    if output is None:
        output = str(Path(where["data_dir"] or ".", "views", f"views_{size}.tar"))
    count = justzoomin.render(source, output, size, quality, workers=workers, strict=strict)
    print(f"Rendered {count:,} views of {size} pixels to {output} "
          f"({Path(output).stat().st_size / 1e6:,.1f} MB)")  # fmt: skip


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
    if animated:
        preview.animation(rows[0], output)
    else:
        preview.sheet(rows, output)
    count = sum(len(row["views"]) for row in rows)
    print(f"Drew {len(rows)} of split {split} into {output}; {white} of {count} views are white")


def _score(
    file: str, split: str, kind: str | None, allow_partial: bool, json: bool, **where: Any
) -> None:
    import justzoomin

    builder = justzoomin.JustZoomIn(config_name="metadata", **_given(where))
    table = read_table(builder.config.source(builder.token).table(split))
    references = {name: getattr(table, name) for name in TABLE_COLUMNS}
    found = read_predictions(file)
    result = justzoomin.score(found, references, kind, allow_partial=allow_partial)
    if json:
        print(dumps({"file": file, "split": split, **result}, indent=2))
        return
    print(f"{file} against split {split}, paired by image_id\n{result}")


def _index(folder: str) -> None:
    archives = Folder(local_path(folder)).archives()
    if not archives:
        raise FileNotFoundError(f"{folder} holds no archives/streetview_images_000.tar, ….")
    for path in archives:
        index = TarReader(path).index
        print(f"{index.publish()}: {len(index.files()):,} members")


def _rows(name: str, split: str, **where: Any) -> Any:
    from datasets import load_dataset

    return load_dataset("justzoomin", name, split=split, streaming=True, **_given(where))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
