"""Writes the rows of a split as shards, and continues where an earlier run was stopped."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import datasets

from gcd_metric.names import counted
from geoload.files import filename_in_errors, read_json, sha256
from geoload.jpeg import PhotoError, clean
from geoload.messages import progress_bar
from geoload.output_folder import OutputFolder
from geoload.pictures import PictureError, shrink
from geoload.publishing.formats import FORMATS

WORK = ".publish"
_LAYOUT = 2  # version of the layout of files; shards of another version are written again
NO_JPEG = "not a JPEG whose metadata can be removed"
_SHARD = re.compile(r"(.+)-[0-9]{5}-of-[0-9]{5}\.(parquet|tar)")


class Screened(NamedTuple):
    """A row as it is published, or None."""

    row: dict[str, Any] | None
    left_out: str = ""  # why it is None
    credit: dict[str, Any] | None = None  # its line of the attribution table
    remark: str = ""  # rows with the same one are counted


def without_metadata(picture: dict[str, Any]) -> dict[str, Any] | None:
    """Return a stored picture without its metadata; None if it is not a complete JPEG."""
    try:
        return {**picture, "bytes": clean(picture["bytes"])}
    except PhotoError:
        return None


def reduced(screened: Screened, size: int) -> Screened:
    """Return a row whose photo has a shorter side of at most `size` pixels; leave views alone."""
    row = screened.row
    if row is None or not {"image_id", "image"} <= row.keys():
        return screened
    data = row["image"]["bytes"]
    try:
        small = shrink(data, size)
    except PictureError:
        return Screened(None, "that cannot be decoded")
    if small == data:
        return screened
    row = {**row, "image": {**row["image"], "bytes": small}}
    return screened._replace(row=row, remark=f"photos reduced to {size} pixels, the shorter side")


@dataclass
class Split:
    """One split of one configuration, to be published. Its first row is read at once."""

    config: str
    name: str
    features: datasets.Features
    key: str  # changes whenever the rows could change
    stream: Any  # of rows with undecoded pictures
    screen: Callable[[dict[str, Any]], Screened] = Screened  # returns what is published of a row

    def __post_init__(self) -> None:
        rows = iter(self.stream)
        self._rows = itertools.chain(list(itertools.islice(rows, 1)), rows)

    def rows(self, state: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Return the rows from the start, or after the state of an earlier stream. Call it once."""
        if state is None:
            return self._rows  # opening the source again would repeat its log lines
        self.stream.load_state_dict(state)
        return iter(self.stream)


@dataclass
class Shard:
    """A finished shard."""

    rows: int
    bytes: int  # of its rows
    size: int  # of its file, in bytes
    sha256: str
    credits: str = ""  # SHA-256 of the file with its attribution lines, if it has any


@dataclass
class Manifest:
    """The finished shards of a split, and the state of the stream after them."""

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

    @property
    def bytes(self) -> int:
        """Bytes of the rows of all finished shards."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def size(self) -> int:
        """Bytes of all finished shards' files."""
        return sum(shard.size for shard in self.shards)

    def names(self, split: str, suffix: str) -> list[str]:
        """Return the shards' file names, once all are known."""
        count = len(self.shards)
        return [f"{split}-{i:05d}-of-{count:05d}.{suffix}" for i in range(count)]


def total(written: dict[str, Manifest], what: str) -> dict[str, int]:
    """Return the sum of the splits' counts of `left_out` or `remarks`."""
    return sum((Counter(getattr(manifest, what)) for manifest in written.values()), Counter())


class Conversion:
    """Writes shards of about `shard_bytes` of a split into `CONFIG/` of an output folder."""

    def __init__(self, split: Split, out: OutputFolder, form: str, shard_bytes: int) -> None:
        self._split, self._out, self._shard_bytes = split, out, shard_bytes
        self._format = FORMATS[form]
        self._work = work_folder(split.config, split.name)
        self._key = json.dumps([split.key, form, shard_bytes, _LAYOUT])
        self._label = f"{split.config}, {split.name}"

    def run(self) -> Manifest:
        """Write the missing shards, and return the complete manifest."""
        manifest = self._read_manifest()
        stale = self._why_stale(manifest)
        if stale:
            print(f"{self._label}: {stale}: starting again", flush=True)
        if stale or manifest is None:
            _empty(self._out, self._work)
            for form in FORMATS.values():
                for _, final in self._paths(manifest, form.suffix) if manifest else ():
                    self._out.remove(final)
            manifest = Manifest(self._key)
        elif manifest.shards and not manifest.complete:
            count = len(manifest.shards)
            done = counted(count, "finished shards")
            print(f"{self._label}: continuing after {done}", flush=True)
        if not manifest.complete:
            self._write(manifest)
        for path, final in self._paths(manifest, self._format.suffix):
            if self._out.size(path) is not None:
                self._out.rename(path, final)
        return manifest

    def finished(self) -> Manifest | None:
        """Return the manifest if the conversion is complete and up to date."""
        manifest = self._read_manifest()
        complete = manifest is not None and manifest.complete
        return manifest if complete and not self._why_stale(manifest) else None

    def _read_manifest(self) -> Manifest | None:
        """Return the manifest of an earlier run; None if it is missing or unreadable."""
        try:
            data = read_json(os.path.join(self._out.folder, f"{self._work}.json"))
            return Manifest(**{**data, "shards": [Shard(**shard) for shard in data["shards"]]})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _why_stale(self, manifest: Manifest | None) -> str:
        """Return why earlier shards cannot be kept; empty if they can. All files are read."""
        if manifest is not None:
            if manifest.key != self._key:
                return "the source or the settings have changed"
            changed = self._changed(manifest)
        else:
            there = self._out.size(f"{self._work}.json") is not None
            changed = [f"{self._split.name}.json"] * there
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{changed[0]}{more} changed or removed since it was written" if changed else ""

    def _changed(self, manifest: Manifest) -> list[str]:
        """Return the names of finished files that have changed since they were written."""
        changed = []
        paths = self._paths(manifest, self._format.suffix)
        for (work, final), shard in zip(paths, manifest.shards, strict=True):
            path = work if self._out.size(work) is not None else final
            if self._out.size(path) != shard.size or self._sha256(path) != shard.sha256:
                changed.append(os.path.basename(path))
            credits = _credits_of(work)
            if shard.credits and self._sha256(credits) != shard.credits:
                changed.append(os.path.basename(credits))
        return changed

    def _sha256(self, path: str) -> str:
        if self._out.size(path) is None:
            return "missing"
        return sha256(os.path.join(self._out.folder, path))

    def _paths(self, manifest: Manifest, suffix: str) -> list[tuple[str, str]]:
        """Return each shard's path before all shards are finished, and after."""
        names = manifest.names(self._split.name, suffix)
        return [
            (f"{self._work}/{number:05d}.{suffix}", f"{self._split.config}/{name}")
            for number, name in enumerate(names)
        ]

    def _write(self, manifest: Manifest) -> None:
        rows = self._published_rows(manifest)
        while not manifest.complete:
            first = next(rows, None)
            if first is None:
                manifest.complete = True
            else:
                shard = self._write_shard(len(manifest.shards), itertools.chain([first], rows))
                manifest.shards.append(shard)
            manifest.state = self._split.stream.state_dict()
            data = {**vars(manifest), "shards": [vars(shard) for shard in manifest.shards]}
            self._out.write(f"{self._work}.json", json.dumps(data, indent=2).encode())

    def _published_rows(self, manifest: Manifest) -> Iterator[Screened]:
        """Yield the rows to publish; count the others, and remarks, in the manifest."""
        left_out, remarks = manifest.left_out, manifest.remarks
        rows = self._split.rows(manifest.state)
        for row in progress_bar(self._label, unit="row", initial=manifest.rows, items=rows):
            screened = self._split.screen(row)
            if screened.row is None:
                left_out[screened.left_out] = left_out.get(screened.left_out, 0) + 1
                continue
            if screened.remark:
                remarks[screened.remark] = remarks.get(screened.remark, 0) + 1
            yield screened

    def _write_shard(self, number: int, rows: Iterable[Screened]) -> Shard:
        path, count = f"{self._work}/{number:05d}.{self._format.suffix}", 0
        credits: list[str] = []
        name = os.path.join(self._out.folder, path)
        with self._out.create(path) as file:
            shard = self._format(file, self._split.features)
            try:
                for row, _, credit, _ in rows:
                    assert row is not None
                    with filename_in_errors(name):
                        shard.add(row)
                    count += 1
                    if credit is not None:
                        credits.append(json.dumps(credit))
                    if shard.bytes >= self._shard_bytes:
                        break
            finally:
                with filename_in_errors(name):
                    shard.close()
        if credits:
            self._out.write(_credits_of(path), "\n".join(credits).encode())
        digests = self._sha256(path), self._sha256(_credits_of(path)) if credits else ""
        return Shard(count, shard.bytes, self._out.size(path) or 0, *digests)


def work_folder(config: str, split: str) -> str:
    """Return where a split's shards are until all of them are finished."""
    return f"{WORK}/{config}/{split}"


def _credits_of(shard: str) -> str:
    return f"{os.path.splitext(shard)[0]}.credits"


def credit_lines(out: OutputFolder, config: str, splits: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the attribution lines of all rows of these splits."""
    for split in splits:
        work = work_folder(config, split)
        for name in out.names(work):
            if name.endswith(".credits"):
                path = os.path.join(out.folder, work, name)
                with open(path, encoding="utf-8", newline="\n") as file:
                    yield from ({"split": split, **json.loads(text)} for text in file)


def write_attribution(
    out: OutputFolder, config: str, lines: Iterable[dict[str, Any]]
) -> str | None:
    """Write `CONFIG/attribution.csv` and return its path; None if there are no lines."""
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        return None
    path = f"{config}/attribution.csv"
    with (
        out.create(path) as binary,
        filename_in_errors(os.path.join(out.folder, path)),
        io.TextIOWrapper(binary, encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        for line in itertools.chain([first], lines):
            writer.writerow({name: _spreadsheet_safe(value) for name, value in line.items()})
    return path


def encodable(value: Any) -> Any:
    """Replace lone surrogates, which JSON can contain, in a text."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _spreadsheet_safe(value: Any) -> Any:
    value = encodable(value)
    if not isinstance(value, str):
        return value
    # A spreadsheet would treat it as a formula.
    return f"'{value}" if value[:1] in tuple("=+-@\t\r") else value


def drop_other_splits(out: OutputFolder, splits: dict[str, list[str]]) -> None:
    """Remove files of other splits of these configurations that earlier runs wrote."""
    for config, kept in splits.items():
        for name in out.names(config):
            match = _SHARD.fullmatch(name)
            if match and match[1] not in kept:
                out.remove(f"{config}/{name}")
        for name in out.names(f"{WORK}/{config}"):
            split, suffix = os.path.splitext(name)
            if suffix == ".json" and split not in kept:
                _empty(out, work_folder(config, split))
                out.remove(f"{WORK}/{config}/{name}")


def _empty(out: OutputFolder, folder: str) -> None:
    for name in out.names(folder):
        out.remove(f"{folder}/{name}")
