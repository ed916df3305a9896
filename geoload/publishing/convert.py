"""Writes rows as shards that load without code of ours, and goes on where it was stopped.

Each split has a manifest that names its finished shards and the place in the source after them.
What the shards look like inside is `shard_writers.py`; sending them is `upload.py`.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import datasets
from tqdm import tqdm

from geoload.files import sha256
from geoload.jpeg import PhotoError, clean
from geoload.publishing.shard_writers import FORMATS
from geoload.report import read_json, write_json
from geoload.writing import naming, whole_file

WORK = ".publish"
CREDITS = "attribution.csv"
NO_JPEG = "no JPEG whose metadata can be taken out"
_SHARD = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.(parquet|tar)")


class Screened(NamedTuple):
    """A row as it is published, or why it is not; and its line of the attribution table.

    `remark` is what is counted of a row that is published all the same.
    """

    row: dict[str, Any] | None
    left_out: str = ""
    credit: dict[str, Any] | None = None
    remark: str = ""


def without_metadata(picture: dict[str, Any]) -> dict[str, Any] | None:
    """Return a stored picture as it may be published; None where it is no JPEG that is whole."""
    try:
        return {**picture, "bytes": clean(picture["bytes"])}
    except PhotoError:
        return None


@dataclass(frozen=True)
class Split:
    """One split of one configuration, to be published.

    Attributes
    ----------
    config, name : str
    features : datasets.Features
        As the builder states them.
    key : str
        Differs whenever the rows could.
    stream : datasets.IterableDataset
        The rows, pictures undecoded.
    screen : callable
        Given a row, says what of it is published.
    """

    config: str
    name: str
    features: datasets.Features
    key: str
    stream: Any
    screen: Callable[[dict[str, Any]], Screened] = Screened


@dataclass
class Shard:
    """A finished shard: rows, bytes of its rows, size of the file in bytes, and its SHA-256.

    `credits` is the SHA-256 of the file with its attribution lines, if it has any.
    """

    rows: int
    bytes: int
    size: int
    sha256: str
    credits: str = ""


@dataclass
class Manifest:
    """What is finished of a split, and the state of the stream after it."""

    key: str
    shards: list[Shard] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    state: dict[str, Any] | None = None
    complete: bool = False

    @property
    def rows(self) -> int:
        """Rows of all finished shards."""
        return sum(shard.rows for shard in self.shards)

    def names(self, split: str, suffix: str) -> list[str]:
        """Return the shards' file names, once all are known."""
        count = len(self.shards)
        return [f"{split}-{i:05d}-of-{count:05d}.{suffix}" for i in range(count)]


def convert(
    split: Split, folder: Path, form: str, shard_bytes: int, say: Callable[[str], None]
) -> Manifest:
    """Write a split's shards into `folder/CONFIG/`, or the ones that are still missing.

    Parameters
    ----------
    split : Split
    folder : Path
        The repository's folder.
    form : {"parquet", "webdataset"}
    shard_bytes : int
        A shard is closed when its rows weigh this much.
    say : callable
        Told when earlier shards are kept, or thrown away.

    Returns
    -------
    Manifest
        With `complete` set.
    """
    key = json.dumps([split.key, form, shard_bytes])
    work = _work(folder, split)
    work.mkdir(parents=True, exist_ok=True)
    suffix = FORMATS[form].suffix
    manifest = _known(folder, split, key, suffix, say)
    if not manifest.complete:
        _write(split, work, form, shard_bytes, manifest)
    _name(folder, split, manifest, suffix)
    return manifest


def found(folder: Path, split: Split, form: str, shard_bytes: int) -> Manifest | None:
    """Return the manifest of a split whose conversion is whole and up to date, if there is one."""
    key = json.dumps([split.key, form, shard_bytes])
    manifest = _read(folder, split)
    if manifest is None or manifest.key != key or not manifest.complete:
        return None
    changed = _changed(folder, split, manifest, FORMATS[form].suffix)
    return None if changed else manifest


def write_credits(folder: Path, config: str, splits: list[str]) -> str | None:
    """Join the splits' attribution lines into `CONFIG/attribution.csv`; return its name.

    A title that a spreadsheet would take for a formula gets an apostrophe in front. None where
    the rows have no lines.
    """
    return write_lines(folder, config, _credits(folder, config, splits))


def _credits(folder: Path, config: str, splits: list[str]) -> Iterator[dict[str, Any]]:
    for split in splits:
        for path in sorted((folder / WORK / config / split).glob("*.credits")):
            with open(path, encoding="utf-8", newline="\n") as file:
                yield from ({"split": split, **json.loads(text)} for text in file)


def write_lines(folder: Path, config: str, lines: Iterable[dict[str, Any]]) -> str | None:
    """Write `CONFIG/attribution.csv`, if there is a line for it, and return its name."""
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        return None
    with whole_file(folder / config / CREDITS, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        for line in itertools.chain([first], lines):
            writer.writerow({name: _harmless(value) for name, value in line.items()})
    return f"{config}/{CREDITS}"


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.encode("utf-8", "replace").decode()  # a JSON can hold half a character
    return f"'{value}" if value[:1] in tuple("=+-@\t\r") else value


def drop_others(folder: Path, splits: dict[str, list[str]]) -> None:
    """Remove what earlier runs left of configurations besides these splits."""
    for config, names in splits.items():
        for path in (folder / config).iterdir():
            match = _SHARD.search(path.name)
            if match and match.end() == len(path.name) and path.name[: match.start()] not in names:
                path.unlink()
        for state in (folder / WORK / config).glob("*.json"):
            if state.stem not in names:
                state.unlink()
                shutil.rmtree(state.with_suffix(""), ignore_errors=True)


def _work(folder: Path, split: Split) -> Path:
    return folder / WORK / split.config / split.name


def _read(folder: Path, split: Split) -> Manifest | None:
    """Return a split's manifest; None where there is none, or one that cannot be read."""
    try:
        data = read_json(_work(folder, split).with_suffix(".json"))
        return Manifest(**{**data, "shards": [Shard(**shard) for shard in data["shards"]]})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _keep(work: Path, manifest: Manifest) -> None:
    shards = [vars(shard) for shard in manifest.shards]
    write_json(work.with_suffix(".json"), {**vars(manifest), "shards": shards})


def _known(
    folder: Path, split: Split, key: str, suffix: str, say: Callable[[str], None]
) -> Manifest:
    """Return what earlier runs finished; of another source or with damaged files, nothing."""
    manifest = _read(folder, split)
    work, name = _work(folder, split), f"{split.config}, {split.name}"
    state = work.with_suffix(".json")
    if manifest is not None and manifest.key != key:
        say(f"{name}: the source or the settings have changed: starting anew")
    elif changed := _changed(folder, split, manifest, suffix) if manifest else [state.name]:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        if state.exists():
            say(
                f"{name}: {changed[0]}{more} changed or removed since it was written: starting anew"
            )
    else:
        assert manifest is not None
        if not manifest.complete and manifest.shards:
            say(f"{name}: going on after {len(manifest.shards)} finished shards")
        return manifest
    shutil.rmtree(work)
    work.mkdir()
    for form in FORMATS.values():
        for _, shard in _places(folder, split, manifest or Manifest(key), form.suffix):
            shard.unlink(missing_ok=True)
    return Manifest(key)


def _changed(folder: Path, split: Split, manifest: Manifest, suffix: str) -> list[str]:
    """Return the names of finished files that do not hold what was written; all are read."""
    changed = []
    places = _places(folder, split, manifest, suffix)
    for (before, after), shard in zip(places, manifest.shards, strict=True):
        path, credits = before if before.exists() else after, before.with_suffix(".credits")
        if _size(path) != shard.size or sha256(path) != shard.sha256:
            changed.append(path.name)
        if shard.credits and (_size(credits) < 0 or sha256(credits) != shard.credits):
            changed.append(credits.name)
    return changed


def _places(folder: Path, split: Split, manifest: Manifest, suffix: str) -> list[tuple[Path, Path]]:
    """Return where each shard lies before all are finished, and after."""
    work = _work(folder, split)
    names = manifest.names(split.name, suffix)
    return [(work / f"{i:05d}.{suffix}", folder / split.config / n) for i, n in enumerate(names)]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _write(split: Split, work: Path, form: str, shard_bytes: int, manifest: Manifest) -> None:
    stream, left_out = split.stream, Counter(manifest.left_out)
    remarks = Counter(manifest.remarks)
    if manifest.state is not None:
        stream.load_state_dict(manifest.state)
    part: _Part | None = None
    label = f"{split.config}, {split.name}"

    def finish() -> None:
        if part is not None:
            manifest.shards.append(part.finish())
        manifest.left_out, manifest.remarks = dict(left_out), dict(remarks)
        manifest.state = stream.state_dict()
        _keep(work, manifest)

    try:
        for row in tqdm(stream, desc=label, unit="row", initial=manifest.rows, delay=2):
            screened = split.screen(row)
            if screened.row is None:
                left_out[screened.left_out] += 1
                continue
            part = part or _Part(work, len(manifest.shards), form, split.features)
            part.add(screened.row, screened.credit)
            if screened.remark:
                remarks[screened.remark] += 1
            if part.weight >= shard_bytes:
                finish()
                part = None
        manifest.complete = True
        finish()
    except BaseException:
        if part is not None:
            part.abandon()
        raise


def _name(folder: Path, split: Split, manifest: Manifest, suffix: str) -> None:
    """Give all shards their final names; done again after a break, it finds the rest."""
    (folder / split.config).mkdir(exist_ok=True)
    for before, after in _places(folder, split, manifest, suffix):
        if before.exists():
            os.replace(before, after)


class _Part:
    """A shard in the making, beside its place, and the attribution lines of its rows."""

    def __init__(self, work: Path, number: int, form: str, features: datasets.Features) -> None:
        self._path = work / f"{number:05d}.{FORMATS[form].suffix}"
        self._part = self._path.with_suffix(".part")
        self._shard = FORMATS[form](self._part, features)
        self._credits: list[str] = []
        self._rows = 0

    @property
    def weight(self) -> int:
        return self._shard.weight

    def add(self, row: dict[str, Any], credit: dict[str, Any] | None) -> None:
        with naming(self._path):
            self._shard.add(row)
        self._rows += 1
        if credit is not None:
            self._credits.append(json.dumps(credit))

    def finish(self) -> Shard:
        with naming(self._path):
            self._shard.close()
        credits = self._path.with_suffix(".credits")
        if self._credits:
            with whole_file(credits, "w", encoding="utf-8") as file:
                file.write("\n".join(self._credits))
        os.replace(self._part, self._path)
        size = self._path.stat().st_size
        lines = sha256(credits) if self._credits else ""
        return Shard(self._rows, self._shard.weight, size, sha256(self._path), lines)

    def abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the disk may be full
            self._shard.close()
        self._part.unlink(missing_ok=True)
