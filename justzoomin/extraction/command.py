"""The commands `justzoomin extract` and `justzoomin verify`."""

from __future__ import annotations

import argparse
from typing import Any

from geoload.files import write_json
from justzoomin.sources import REPOSITORY, TABLES, Folder, Hub


def add_commands(commands: Any) -> None:
    """Add both to an argument parser's commands."""
    extract = commands.add_parser("extract", help="write the layout that the authors' code reads")
    extract.add_argument("folder", help="where to write; made if need be")
    _add_source(extract, "folder with the TAR files (archives/); default: the Hub")
    _add_selection(extract, "-7 -5 -3 -1, which the authors' code reads")
    extract.add_argument("--workers", type=int, metavar="N",
                         help="TAR files read at a time (4 of the Hub, 1 of a folder)")  # fmt: skip

    verify = commands.add_parser("verify", help="find what is missing, doubled or broken")
    verify.add_argument("folder", help="an extracted one, or one as on the Hub (archives/)")
    _add_source(verify, "compare with the TAR files of this folder")
    _add_selection(verify, "what was extracted")
    verify.add_argument("--deep", action="store_true",
                        help="decode every picture, and compare it byte for byte with TAR files "
                        "on this machine")  # fmt: skip
    verify.add_argument("--workers", type=int, metavar="N", help="threads (all cores)")
    verify.add_argument("--json", metavar="FILE", help="write the findings there, all names too")


def _add_source(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--data-dir", help=what)
    parser.add_argument("--repository", help=f"of the Hub, {REPOSITORY} or a fork of it")
    parser.add_argument("--revision", help="commit, branch or tag of the repository")
    parser.add_argument("--metadata-dir", help="folder of the two CSV files, if not metadata/")


def _add_selection(parser: argparse.ArgumentParser, levels: str) -> None:
    parser.add_argument("--levels", nargs="+", type=_level, metavar="Z",
                        help=f"zoom levels of the tiles, or `all` ({levels})")  # fmt: skip
    parser.add_argument("--no-tiles", action="store_true", help="street photos only")
    parser.add_argument("--no-photos", action="store_true", help="tiles only")
    parser.add_argument("--splits", nargs="+", choices=list(TABLES), help="photos of these only")
    parser.add_argument("--shards", nargs="+", type=int, metavar="N", help="photos of these TARs")


def _level(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a level nor `all`") from None


def _extract(folder: str, **options: Any) -> int:
    from justzoomin.extraction.extract import extract, summary

    source = _source(options)
    assert source is not None
    try:
        result = extract(folder, source, **_selection(options))
    except KeyboardInterrupt:
        print(f"\nInterrupted. What is in {folder} is whole; run the same command to go on.")
        return 130
    print(summary(result))
    return 0


def _verify(folder: str, json: str | None, **options: Any) -> int:
    from justzoomin.extraction.verdict import summary
    from justzoomin.extraction.verify import verify

    asked = any(options[name] is not None for name in ("data_dir", "repository", "revision"))
    metadata_dir, source = options["metadata_dir"], _source(options, asked)
    verdict = verify(folder, source, metadata_dir=metadata_dir, **_selection(options))
    if json is not None:
        write_json(json, verdict.as_dict())
    print(summary(verdict))
    return 0 if verdict.whole else 1


COMMANDS = {"extract": _extract, "verify": _verify}


def _source(options: dict[str, Any], asked: bool = True) -> Hub | Folder | None:
    """Take the options that name a source out, and return it, if it is asked for."""
    import justzoomin

    names = ("data_dir", "repository", "revision", "metadata_dir")
    given = {name: options.pop(name) for name in names}
    if not asked:
        return None
    given = {name: value for name, value in given.items() if value is not None}
    # Of all configurations the one that looks for nothing yet, not even for the tables.
    builder = justzoomin.JustZoomIn(config_name="views", **given)
    source = builder.config.source(builder.token)
    if isinstance(source, Folder):
        source.check(photos=False)
    return source


def _selection(options: dict[str, Any]) -> dict[str, Any]:
    """Turn what the user typed into the arguments of `extract` and `verify`."""
    given = dict(options)
    no_tiles, no_photos = given.pop("no_tiles"), given.pop("no_photos")
    if no_tiles and given["levels"]:
        raise ValueError("--levels and --no-tiles contradict each other: leave one out.")
    if no_photos and (given["splits"] or given["shards"]):
        raise ValueError("--no-photos and --splits or --shards contradict each other.")
    if no_tiles and no_photos:
        raise ValueError("Without photos and tiles there is nothing left.")
    if no_tiles:
        given["levels"] = ()
    elif given["levels"] and "all" in given["levels"]:
        given["levels"] = "all"
    return {**given, "photos": not no_photos}
