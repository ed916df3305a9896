"""The command `im2gps audit`: has a training set seen the photos of test sets?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from geoload.commands import add_subcommand
from geoload.files import atomic_write, check_outputs, explain_disk_errors

if TYPE_CHECKING:
    from im2gps.audit.overlap import Overlap
    from im2gps.audit.sources import Source

_KINDS = {  # in words, and what must be known on both sides
    "id": ("same photo id", "photo ids"),
    "time": ("same second and photographer or place", "capture times"),
    "place": ("same coordinates", "coordinates"),
    "near": ("at most {near:g} m apart", "coordinates"),
    "photographer": ("same photographer", "photographers"),
    "picture": ("copy of the picture", "photos"),
    "similar": ("similarity of embeddings {similarity:g} or more", "photos"),
}
_FROM_COLUMNS = [kind for kind in _KINDS if kind not in ("picture", "similar")]
_SIMILARITY = 0.95
_FILES = "a table with ids and coordinates, Flickr lists, shards, or a folder or ZIP file of photos"


def add_command(commands: Any) -> None:
    """Add `audit` to the subcommands of `im2gps`."""
    text = "find photos of test sets, and photos like them, in a training set"
    add = add_subcommand(commands, "audit", _run, text).add_argument
    add("train", nargs="+", metavar="TRAIN",
        help=f"the training set: {_FILES}; or the name of a configuration, as for "
        "--test")  # fmt: skip
    add("--test", action="append", required=True, metavar="NAME[=PATH]",
        help="a test set: the name of a configuration, with the folder of its files, as in "
        f"im2gps3k=FOLDER; or {_FILES}; can be repeated")  # fmt: skip
    add("--near", type=float, default=10.0, metavar="METRES",
        help="largest distance of photos that count as near (default %(default)g)")  # fmt: skip
    add("--kinds", default=",".join(_FROM_COLUMNS), metavar="id,time,…",
        help="kinds of overlap to look for (default: %(default)s)")  # fmt: skip
    add("--pictures", action="store_true",
        help="also compare the pictures, to find photos that were re-encoded, resized or slightly "
        "cropped; both sides must have photos")  # fmt: skip
    add("--embeddings", metavar="MODEL",
        help="also compare the photos by the embeddings of a model, named as for geoeval: "
        "FILE.py:NAME with a method embed_photos, clip:NAME or geoclip; both sides must have "
        "photos")  # fmt: skip
    add("--similarity", type=float, metavar="COSINE",
        help="with --embeddings, the smallest cosine similarity of photos that count as similar "
        f"(default {_SIMILARITY:g})")  # fmt: skip
    add("--sheet", metavar="FILE.html",
        help="with --pictures or --embeddings, a page of the pairs to look at")  # fmt: skip
    add("--plain-ids", action="store_true",
        help="take names that are plain numbers, such as 231521295.jpg, as Flickr photo ids; by "
        "default they are not, because they could be any numbers")  # fmt: skip
    add(
        "--pairs",
        metavar="FILE.csv",
        help="write the pairs of test and training photos; gcd-metric --exclude reads this file",
    )
    add("--exclude", metavar="FILE",
        help="write the ids of the training photos and photographers that were found; the option "
        "--exclude of `im2gps lists` and `im2gps build` reads this file")  # fmt: skip
    add("--json", action="store_true", help="print JSON instead of a table")


def _run(
    train: list[str], test: list[str], near: float, kinds: str, plain_ids: bool,
    pictures: bool, embeddings: str | None, similarity: float | None, sheet: str | None,
    pairs: str | None, exclude: str | None, json: bool,
) -> None:  # fmt: skip
    # Imported here, because no other command needs their libraries.
    from im2gps.audit.copies import add_copies, check_photos
    from im2gps.audit.overlap import find_overlap
    from im2gps.audit.sources import open_source

    sources = [open_source(path, plain_ids) for path in train]
    tests = [open_source(path, plain_ids) for path in test]
    wanted = kinds.split(",")
    if not set(wanted) <= {*_FROM_COLUMNS}:
        raise ValueError(f"--kinds {kinds}: choose from {','.join(_FROM_COLUMNS)}")
    paths = [source.path for source in (*sources, *tests) if source.path]
    paths += [embeddings.rpartition(":")[0]] if embeddings else []
    check_outputs({"--sheet": sheet, "--pairs": pairs, "--exclude": exclude}, paths)
    searches = _searches(pictures, embeddings, similarity)
    if sheet and not searches:
        raise ValueError("--sheet is a page of photos, so it needs --pictures or --embeddings")
    if searches:
        check_photos([*sources, *tests])
    found = find_overlap(sources, tests, near, wanted)
    if searches:
        add_copies(found, sources, searches, sheet)
        wanted += searches
    report = _report(sources, found, near, wanted)
    if embeddings:
        report |= {"embeddings": embeddings, "similarity": similarity or _SIMILARITY}
    if json:
        print(dumps(report, indent=2))
    else:
        print("\n".join(map(str, (*sources, *found.tests))), _text(report), sep="\n\n")
    written = []
    if sheet:
        written.append(f"Wrote the pairs of pictures to {sheet}")
    if pairs:
        written.append(f"Wrote {_write_pairs(found, pairs):,} pairs to {pairs}")
    if exclude:
        written.append(_write_exclusions(found, exclude))
    if written and not json:
        print("\n" + "\n".join(written))


def _searches(
    pictures: bool, embeddings: str | None, similarity: float | None
) -> dict[str, Callable[..., Any]]:
    """Return the searches for pairs of photos, by kind; the model is loaded."""
    from geoload.models.photos import Embedder
    from im2gps.audit.pictures import find_copies
    from im2gps.audit.similar import find_similar

    if similarity is not None and not embeddings:
        raise ValueError("--similarity is that of embeddings, so it needs --embeddings MODEL")
    least = _SIMILARITY if similarity is None else similarity
    if not 0 < least <= 1:
        raise ValueError(f"--similarity {least:g}: give a number above 0, up to 1")
    searches: dict[str, Callable[..., Any]] = {"picture": find_copies} if pictures else {}
    if embeddings:
        searches["similar"] = partial(find_similar, embedder=Embedder(embeddings), least=least)
    return searches


def _report(
    train: Sequence[Source], found: Overlap, near: float, kinds: Sequence[str]
) -> dict[str, Any]:
    """Return all figures as plain data; the overlap is None where it is unknown."""
    document: dict[str, Any] = {"near_m": near, "train": [one.as_dict() for one in train]}
    document["test"] = [one.as_dict() for one in found.tests]
    for number, test in enumerate(document["test"]):
        test["overlap"] = {}
        for kind in kinds:
            what = _KINDS[kind][1].replace(" ", "_")
            known = test[what] and any(one[what] for one in document["train"])
            test["overlap"][kind] = found.counts(number, kind) if known else None
        if any(test["overlap"].values()):
            test["overlap"]["any"] = {"test_photos": found.counts(number)["test_photos"]}
    return document


def _text(report: dict[str, Any]) -> str:
    lines = []
    numbers = {"near": report["near_m"], "similarity": report.get("similarity", _SIMILARITY)}
    words = {kind: text.format_map(numbers) for kind, (text, _) in _KINDS.items()}
    for test in report["test"]:
        name = test["name"]
        for kind, counts in test["overlap"].items():
            cells = ["unknown", "", ""]
            if counts:
                photos = counts["test_photos"]
                cells = [f"{photos:,}", f"{photos / test['photos']:.1%}"]
                cells.append(f"{counts['train_photos']:,}" if "train_photos" in counts else "")
            lines.append([name, words.get(kind, "any of these"), *cells])
            name = ""
    headers = ("test set", "overlap", "photos", "share", "training")
    align = ("left", "left", "right", "right", "right")
    table: str = tabulate(lines, headers, colalign=align, disable_numparse=True)
    return table


def _write_pairs(found: Overlap, path: str) -> int:
    """Write the pairs as CSV and return their number."""
    from pyarrow import csv

    table = found.table()
    with explain_disk_errors(path, "Give another path."), atomic_write(path) as file:
        csv.write_csv(table, file)
    return len(table)


def _write_exclusions(found: Overlap, path: str) -> str:
    """Write the photos and the photographers to leave out, and return what was written."""
    from im2gps.exclusions import write_exclusions

    photos, without_id = found.train_ids()
    owners = write_exclusions(path, photos, found.owners)
    text = f"Wrote {len(photos):,} photo ids and {owners:,} ids of photographers to {path}"
    return text + (f"; {without_id:,} pairs have no id of the training photo" if without_id else "")
