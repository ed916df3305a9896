"""The command `im2gps audit`: has a training set seen the photos of test sets?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from geoload.commands import add_subcommand
from geoload.files import atomic_write, explain_disk_errors

if TYPE_CHECKING:
    from im2gps.audit.overlap import Overlap
    from im2gps.audit.sources import Source

_KINDS = {  # in words, and what must be known on both sides
    "id": ("same photo id", "photo ids"),
    "time": ("same second, and same photographer or nearby", "capture times"),
    "place": ("same coordinates", "coordinates"),
    "near": ("at most {near:g} m apart", "coordinates"),
    "photographer": ("same photographer", "photographers"),
}
_SOURCES = (
    "a table with ids and coordinates, Flickr lists, shards, or a folder or ZIP file of photos; "
    "or the name of a configuration"
)


def add_command(commands: Any) -> None:
    """Add `audit` to the subcommands of `im2gps`."""
    text = "find photos of test sets, and photos like them, in a training set"
    add = add_subcommand(commands, "audit", _run, text).add_argument
    add("train", nargs="+", metavar="TRAIN", help=f"the training set: {_SOURCES}, as for --test")
    add("--test", action="append", required=True, metavar="NAME[=PATH]",
        help="a test set: the name of a configuration, with the folder of its files, as in "
        f"im2gps3k=FOLDER; or {_SOURCES.partition(';')[0]}; can be repeated")  # fmt: skip
    add("--near", type=float, default=10.0, metavar="METRES",
        help="largest distance of photos that count as near (default %(default)g)")  # fmt: skip
    add("--kinds", nargs="+", choices=list(_KINDS), default=list(_KINDS),
        help="kinds of overlap to look for (default: all)")  # fmt: skip
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
    train: list[str], test: list[str], near: float, kinds: list[str], plain_ids: bool,
    pairs: str | None, exclude: str | None, json: bool,
) -> None:  # fmt: skip
    # Imported here, because no other command needs their libraries.
    from im2gps.audit.overlap import find_overlap
    from im2gps.audit.sources import open_source

    sources = [open_source(path, plain_ids) for path in train]
    found = find_overlap(sources, [open_source(path, plain_ids) for path in test], near, kinds)
    print((_as_json if json else _text)(sources, found, near, kinds))
    written = []
    if pairs:
        written.append(f"Wrote {_write_pairs(found, pairs):,} pairs to {pairs}")
    if exclude:
        written.append(_write_exclusions(found, exclude))
    if written and not json:
        print("\n" + "\n".join(written))


def _rows(
    train: Sequence[Source], found: Overlap, kinds: Sequence[str]
) -> list[list[tuple[str, int, int] | None]]:
    """Return for each test set the counts of each kind; None if something is unknown."""
    in_train = [sum(counts) for counts in zip(*(s.known().values() for s in train), strict=True)]
    known = dict(zip(train[0].known(), in_train, strict=True))
    rows = []
    for number, source in enumerate(found.tests):
        counts: list[tuple[str, int, int] | None] = []
        for kind in [*kinds, "any"]:
            what = _KINDS[kind][1] if kind != "any" else ""
            missing = what and not (known[what] and source.known()[what])
            photos = found.test_photos(number, kind), found.train_photos[number, kind]
            counts.append(None if missing else (kind, *photos))
        rows.append(counts)
    return rows


def _text(train: Sequence[Source], found: Overlap, near: float, kinds: Sequence[str]) -> str:
    lines = []
    for source, counts in zip(found.tests, _rows(train, found, kinds), strict=True):
        for kind, count in zip([*kinds, "any"], counts, strict=True):
            words = _KINDS[kind][0].format(near=near) if kind != "any" else "any of these"
            cells = ("unknown", "", "") if count is None else (
                f"{count[1]:,}", f"{count[1] / source.photos:.1%}", f"{count[2]:,}"
            )  # fmt: skip
            lines.append((source.name if kind == kinds[0] else "", words, *cells))
    headers = ("test set", "overlap", "test photos", "share", "training photos")
    align = ("left", "left", "right", "right", "right")
    table: str = tabulate(lines, headers, colalign=align, disable_numparse=True)
    return "\n".join([*(f"{source}" for source in [*train, *found.tests]), "", table])


def _as_json(train: Sequence[Source], found: Overlap, near: float, kinds: Sequence[str]) -> str:
    tests = []
    for source, counts in zip(found.tests, _rows(train, found, kinds), strict=True):
        overlap = {
            kind: count and {"test_photos": count[1], "train_photos": count[2]}
            for kind, count in zip([*kinds, "any"], counts, strict=True)
        }
        tests.append(_described(source) | {"overlap": overlap})
    return json.dumps({"near_m": near, "train": [*map(_described, train)], "test": tests}, indent=2)


def _described(source: Source) -> dict[str, Any]:
    known = {what.replace(" ", "_"): count for what, count in source.known().items()}
    return {
        "name": source.name, "photos": source.photos, **known, "photo_ids_from": dict(source.ids),
        "plain_numbers": source.plain_numbers, "findings": source.findings.as_dict(),
    }  # fmt: skip


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
    write_exclusions(path, photos, sorted(found.owners))
    text = f"Wrote {len(photos):,} photo ids and {len(found.owners):,} photographers to {path}"
    return text + (f"; {without_id:,} pairs have no id of the training photo" if without_id else "")
