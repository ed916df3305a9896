"""The command `publish` of both data sets: rows to shards, card, and upload to the Hub.

What may be published of a data set, and how its rows are screened, the data set says itself in an
`Offer`.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import filelock

from geoload.builder import Builder
from geoload.files import sha256
from geoload.publishing import convert
from geoload.publishing.card import Entry, find_card, meanwhile, megabytes, render
from geoload.publishing.convert import Manifest, Screened, Split
from geoload.publishing.features import undecoded
from geoload.publishing.place import Place
from geoload.publishing.shard_writers import FORMATS
from geoload.publishing.upload import File, Repository, lacking
from geoload.writing import whole_file

SHARD_BYTES = 400 * 10**6
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_REPOSITORY = re.compile(r"([\w.-]+/)?[\w.-]+")


@dataclass
class Offer:
    """What a data set has to publish.

    Attributes
    ----------
    package : str
        The data set's name, and where its card lies.
    configs : list of str
        Published when none is named, as far as their files are there.
    builder : callable
        Given the name of a configuration, returns the builder that reads it.
    default : str
        Configuration that is loaded when none is named.
    screen : callable
        Given a row, says what of it is published.
    credits : callable
        Given the name of a configuration, returns lines for its attribution table, where the rows
        have none of their own.
    estimate : callable, optional
        Given a builder and a split, returns rows and bytes without reading the photos, or None.
    aside : tuple of str
        Columns that are there for the screening alone, and are not published.
    key : str
        Of all that decides, besides the builder, which rows there are.
    note : str
        A sentence for the card, with which nobody else may read the repository.
    """

    package: str
    configs: list[str]
    builder: Callable[[str], Builder]
    default: str
    screen: Callable[[dict[str, Any]], Screened] = Screened
    credits: Callable[[str], list[dict[str, Any]]] = lambda config: []
    estimate: Callable[[Builder, str], tuple[int, int] | None] = lambda builder, split: None
    aside: tuple[str, ...] = ()
    key: str = ""
    note: str = ""


@dataclass
class Settings:
    """What the command was told; see `add_options`."""

    repo_id: str | None = None
    to: str | None = None
    configs: list[str] | None = None
    form: str = "parquet"
    shard_bytes: int = SHARD_BYTES
    private: bool = True
    replace: bool = False
    dry_run: bool = False
    say: Callable[[str], None] = field(default=lambda text: print(text, flush=True))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both data sets' commands have."""
    parser.add_argument("repo_id", nargs="?", metavar="REPO_ID",
                        help="dataset repository on the Hub, made if need be")  # fmt: skip
    parser.add_argument("--to", metavar="DIR", help="convert into this folder; without REPO_ID "
                        "nothing is sent (default: a folder in the cache of datasets)")  # fmt: skip
    parser.add_argument("--data-dir", help="folder of the data set; default: downloaded")
    parser.add_argument("--configs", metavar="NAMES", type=names,
                        help="configurations, with commas (all that are there)")  # fmt: skip
    parser.add_argument("--format", dest="form", choices=list(FORMATS), default="parquet",
                        help="parquet (default), or TAR files for webdataset")  # fmt: skip
    parser.add_argument("--max-shard-size", dest="shard_bytes", type=_bytes, metavar="SIZE",
                        default=SHARD_BYTES, help="of a file (400MB)")  # fmt: skip
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--private", action="store_true", default=True, dest="private",
                      help="only you can read the repository (default)")  # fmt: skip
    seen.add_argument("--public", action="store_false", dest="private", help="everybody can")
    parser.add_argument("--replace", action="store_true",
                        help="take away splits that were published earlier and are not among "
                        "these, and a README.md that is not of this command")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true",
                        help="only say what would be published, and how large it is")  # fmt: skip


def names(text: str) -> list[str]:
    """Read names with commas or spaces between them."""
    return text.replace(",", " ").split()


def publish(offer: Offer, settings: Settings) -> None:
    """Convert, and send where a repository is named.

    Raises
    ------
    ValueError, OSError
        With one message for the user.
    """
    _check(offer, settings)
    folder = _folder(offer, settings)
    if settings.dry_run:
        _dry_run(offer, settings, folder)
        return
    repository = None
    if settings.repo_id is not None:
        # Before hours of work: may one write there at all?
        repository = Repository(settings.repo_id)
        repository.create(settings.private)
    suffix = FORMATS[settings.form].suffix
    place = Place(
        folder, repository, suffix, settings.private, bool(offer.note), settings.replace
    )  # fmt: skip
    place.look(settings.configs or offer.configs)
    (folder / convert.WORK).mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / convert.WORK / "lock")
    try:
        held = lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ValueError(f"{folder}: another `publish` is writing there") from None
    with held:
        entries, files = _convert(offer, settings, place)
        if not entries:
            raise ValueError(_nothing(offer, settings))
        _finish(offer, settings, place, entries, files)


def _finish(
    offer: Offer, settings: Settings, place: Place, entries: list[Entry], files: list[File]
) -> None:
    """Write the card, and send."""
    splits = {entry.name: list(entry.splits) for entry in entries}
    place.look(splits)  # anew: others may have written there meanwhile
    place.check_splits(splits)
    text = find_card(offer.package).replace("REPO_ID", place.name)
    card = render(text, entries, offer.default, place.old)
    if settings.replace:
        convert.drop_others(place.folder, splits)
    with whole_file(place.folder / "README.md", "w", encoding="utf-8") as file:
        file.write(card)
    if place.repository is None:
        settings.say(f'Wrote {place.folder}: load_dataset("{place.folder}")')
        return
    missing = lacking(files, place.there)
    unfinished = {file.name.partition("/")[0] for file in missing}
    until_then = meanwhile(text, unfinished, offer.default, place.old)
    check = functools.partial(place.check_readers, splits)
    place.repository.send(files, missing, card, until_then, place.there, check, settings.say)
    who = "you, and who else may read this private repository" if check() else "everybody"
    settings.say(f'load_dataset("{place.name}") gives these rows now to {who}. The converted files '
                 f"stay in {place.folder}; remove them when you like.")  # fmt: skip


def _check(offer: Offer, settings: Settings) -> None:
    if settings.repo_id is None and settings.to is None:
        raise ValueError("Name a repository, as in `publish owner/name`, or a folder with --to.")
    if settings.repo_id is not None and not _REPOSITORY.fullmatch(settings.repo_id):
        raise ValueError(f"{settings.repo_id!r} is no name of a repository, such as owner/name.")
    if offer.note and not settings.private:
        raise ValueError(
            "--include-unlicensed is for a private repository of yours: leave --public out."
        )


def _folder(offer: Offer, settings: Settings) -> Path:
    if settings.to is None:
        name = str(settings.repo_id).replace("/", "--")
        return Path(datasets.config.HF_DATASETS_CACHE, "publish", f"{offer.package}-{name}")
    folder = Path(os.path.abspath(os.path.expanduser(settings.to)))
    if folder.is_dir() and any(folder.iterdir()) and not (folder / convert.WORK).is_dir():
        raise ValueError(
            f"{folder} holds files that `publish` did not write: name a new folder with --to."
        )
    return folder


def _splits(offer: Offer, settings: Settings) -> list[list[Split]]:
    """Return the splits of each configuration; those that are not there are named."""
    found, left_out = [], {}
    for config in settings.configs or offer.configs:
        try:
            found.append(_open(offer, config))
        except (FileNotFoundError, ImportError) as error:
            if settings.configs:
                raise
            left_out[config] = " ".join(str(error).split())
            if isinstance(error, ImportError):
                settings.say(f"{config} is left out: {left_out[config]}")
    if not found:
        raise ValueError(f"there is nothing to publish: {next(iter(left_out.values()), '')}")
    if left_out:
        settings.say(f"Not there, or not asked for: {', '.join(left_out)} (--configs with a name "
                     "says what it needs)")  # fmt: skip
    return found


def _open(offer: Offer, config: str) -> list[Split]:
    builder = offer.builder(config)
    kept = {n: f for n, f in builder.info.features.items() if n not in offer.aside}
    splits = []
    # All at once: a split whose files cannot be had is not among them, though it has a name.
    for name, rows in builder.as_streaming_dataset().items():
        stream = undecoded(rows, builder.info.features)
        start = stream.state_dict()
        # Whether the files are there shows when the first row is read.
        next(iter(stream), None)
        stream.load_state_dict(start)
        key = f"{builder.config_id} {offer.key}"
        splits.append(Split(config, name, datasets.Features(kept), key, stream, offer.screen))
    return splits


def _convert(
    offer: Offer, settings: Settings, place: Place
) -> tuple[list[Entry], list[File]]:  # fmt: skip
    entries, files, folder = [], [], place.folder
    found = _splits(offer, settings)
    place.check_splits({s[0].config: [split.name for split in s] for s in found if s})
    for splits in found:
        written = {
            split.name: convert.convert(
                split, folder, settings.form, settings.shard_bytes, settings.say
            )
            for split in splits
        }
        entry = _entry(splits, written, settings.form, offer.note)
        for reason, count in entry.left_out.items():
            settings.say(f"{entry.name}: {count:,} rows left out: {reason}")
        for what, count in entry.remarks.items():
            settings.say(f"{entry.name}: {count:,} {what}")
        if not entry.splits:
            settings.say(f"{entry.name}: no row is left to publish")
            continue
        entries.append(entry)
        for line in entry.lines():
            settings.say(" ".join(line.replace("|", " ").replace("`", "").split()[:5]))
        files += _files(offer, folder, entry, written, settings.form)
    return entries, files


def _entry(splits: list[Split], written: dict[str, Manifest], form: str, note: str) -> Entry:
    config, suffix = splits[0].config, FORMATS[form].suffix
    stated, left_out, remarks = {}, Counter(), Counter()  # type: ignore[var-annotated]
    for split, manifest in written.items():
        left_out.update(manifest.left_out)
        remarks.update(manifest.remarks)
        if manifest.shards:
            pattern = f"{config}/{split}-*-of-{len(manifest.shards):05d}.{suffix}"
            rows, on_disk = manifest.rows, sum(shard.size for shard in manifest.shards)
            stated[split] = pattern, rows, sum(shard.bytes for shard in manifest.shards), on_disk
    features = splits[0].features if form == "parquet" else None
    return Entry(config, features, stated, dict(left_out), dict(remarks), note)


def _files(
    offer: Offer, folder: Path, entry: Entry, written: dict[str, Manifest], form: str
) -> list[File]:
    files = []
    for split, manifest in written.items():
        names = manifest.names(split, FORMATS[form].suffix)
        for name, shard in zip(names, manifest.shards, strict=True):
            path = folder / entry.name / name
            files.append(File(f"{entry.name}/{name}", path, shard.size, shard.sha256))
    credits = convert.write_credits(folder, entry.name, list(entry.splits))
    credits = credits or convert.write_lines(folder, entry.name, offer.credits(entry.name))
    if credits is not None:
        path = folder / credits
        files.append(File(credits, path, path.stat().st_size, sha256(path)))
    return files


def _nothing(offer: Offer, settings: Settings) -> str:
    return (
        f"There is nothing to publish of {', '.join(settings.configs or offer.configs)}: see above."
    )


def _dry_run(offer: Offer, settings: Settings, folder: Path) -> None:
    """Say what would be published: as converted already, as estimated, or as counted now."""
    total = 0
    for splits in _splits(offer, settings):
        for split in splits:
            known = convert.found(folder, split, settings.form, settings.shard_bytes)
            rows, size, left_out, how = _measure(offer, split, known)
            total += size
            reasons = "".join(f"; left out: {n:,} {reason}" for reason, n in left_out.items())
            files = max(1, -(-size // settings.shard_bytes)) if rows else 0
            settings.say(f"{split.config}, {split.name}: {how}{rows:,} rows, {megabytes(size)}, "
                         f"shards: {files}{reasons}")  # fmt: skip
    who = "nobody but you can read" if settings.private else "everybody can read"
    where = f"{settings.repo_id}, which {who}" if settings.repo_id else str(folder)
    settings.say(f"In all {megabytes(total)} would go to {where}. Nothing was written or sent.")


def _measure(
    offer: Offer, split: Split, known: Manifest | None
) -> tuple[int, int, dict[str, int], str]:
    if known is not None:
        return known.rows, sum(shard.size for shard in known.shards), known.left_out, ""
    estimate = offer.estimate(offer.builder(split.config), split.name)
    if estimate is not None:
        return (*estimate, {}, "about ")
    rows = size = 0
    left_out: Counter[str] = Counter()
    for row in split.stream:
        screened = split.screen(row)
        if screened.row is None:
            left_out[screened.left_out] += 1
            continue
        rows += 1
        size += sum(len(v["bytes"]) for v in screened.row.values() if isinstance(v, dict))
    return rows, size, dict(left_out), ""


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)\s*([KMG]?B?)", text.strip().upper())
    if match is None or match[2] not in _UNITS or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 400MB")
    if not match[2]:
        raise argparse.ArgumentTypeError(f"{text!r} has no unit: {text}MB, or {text}B?")
    return int(match[1]) * _UNITS[match[2]]
