"""Reads the photos of training and test sets, in batches of columns.

A source is a table, Flickr lists, training shards, or photos in a folder or a ZIP file. Only what
identifies a photo is read: its name, Flickr ids, coordinates and capture time.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from gcd_metric.columns import Unclear, find_ids, find_pair, plain
from gcd_metric.groups import COLUMNS
from gcd_metric.names import counted, listed
from gcd_metric.opened import one_line
from gcd_metric.readers import is_table, open_table
from geoload.files import files_below
from geoload.jpeg import PhotoError
from geoload.messages import progress_bar
from geoload.report import Findings
from im2gps import metadata, osv5m
from im2gps.flickr.ids import OWNER, PHOTO_ID, SECRET, SERVER
from im2gps.lists.columns import photo_ids
from im2gps.lists.table import Counts, Result, find_lists, read_lists
from im2gps.options import CONFIGS, Im2GPSConfig
from im2gps.packs import UNUSABLE, PackError, Photo, explained, folder_photos, open_pack
from im2gps.photo import coordinates, fields
from im2gps.photo_table import open_parquet
from im2gps.rows import check_count
from im2gps.sets import SETS
from im2gps.training import read_records, samples

_ROWS = 65_536
_TIMES = ("datetaken", "taken", "timetaken", "capturedat", "capturetime", "datetimeoriginal")
_FLICKR_IDS = ("photoid", "flickrid", "flickrphotoid")
_START, _END = r"(?:^|[/\\])", r"(?:\.[0-9A-Za-z]{1,5})?$"
_ID = rf"(?P<id>{PHOTO_ID})"
# Names that contain a Flickr photo id, and how they are described.
_NAMES = {
    "names {id}_{secret}_{server}_{owner}": (
        rf"{_START}(?:[^/\\]+_[0-9]{{5}}_)?{_ID}_{SECRET}_{SERVER}_(?P<owner>{OWNER}){_END}"
    ),
    "names {id}_{secret}": rf"{_START}{_ID}_[0-9a-f]{{10}}(?:_[0-9a-z]{{1,2}})?{_END}",
    "names xx/yy/{id}": rf"{_START}[0-9a-f]{{2}}[/\\_][0-9a-f]{{2}}[/\\_]{_ID}{_END}",
}
_PLAIN_NUMBERS = "plain numbers"
_PLAIN = f"{_START}{_ID}{_END}"
_SECONDS = pa.timestamp("s")
_TIME = r"^(\d{4})[-:](\d{2})[-:](\d{2})[ T](\d{2}:\d{2}:\d{2}).*$"
_AXES = ("latitude", "longitude")
_warn = functools.partial(logging.getLogger(__name__).warning, "%s")
Columns = Mapping[str, Any]  # cells by role: name, photo_id, owner, latitude, longitude, taken
# What photos are compared by, and the columns of batches that have it.
_KNOWN = {
    "photo ids": "photo_id",
    "photographers": "owner",
    "coordinates": "latitude",
    "capture times": "taken",
}


@dataclass
class Source:
    """A training or test set, and for how many of its photos each thing is known."""

    name: str
    path: str
    config: Im2GPSConfig | None = None
    plain_ids: bool = False
    photos: int = 0
    known: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_KNOWN, 0))
    ids: Counter[str] = field(default_factory=Counter)  # by the form in which they were found
    plain_numbers: int = 0  # names that are not taken as ids
    findings: Findings = field(default_factory=Findings)

    def batches(self) -> Iterator[pd.DataFrame]:
        """Read all photos, and count them; raise ValueError if there are none.

        The columns are `name` and `owner` (text), `photo_id` (UInt64), `latitude` and `longitude`
        in degrees, and `taken` (local times in seconds); empty where something is unknown.
        """
        with progress_bar(self.name, unit="photo") as bar:
            for columns in _read(self):
                batch = self._batch(columns)
                bar.update(len(batch))
                yield batch
        if not self.photos:
            raise ValueError(f"{self.name} contains no photos")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        known = {what.replace(" ", "_"): count for what, count in self.known.items()}
        return {
            "name": self.name, "photos": self.photos, **known, "photo_ids_from": dict(self.ids),
            "plain_numbers": self.plain_numbers, "findings": self.findings.as_dict(),
        }  # fmt: skip

    def __str__(self) -> str:
        parts = []
        for what, count in self.known.items():
            share = "all" if count == self.photos else f"{count:,}" if count else "none"
            how = ", ".join(f"{n:,} from {form}" for form, n in self.ids.most_common())
            if len(self.ids) == 1:
                how = f"from {next(iter(self.ids))}"
            parts.append(f"{what} {share}" + (f" ({how})" if how and what == "photo ids" else ""))
        text = f"{self.name}: {counted(self.photos, 'photos')}; {', '.join(parts)}"
        if self.plain_numbers:
            text += (
                f"\n  {counted(self.plain_numbers, 'names')} that are plain numbers are not taken "
                "as photo ids; if they are, add --plain-ids"
            )
        return text + (f"\n  {self.findings}" if self.findings else "")

    def _batch(self, columns: Columns) -> pd.DataFrame:
        names = _texts(columns["name"])
        ids, owners = _find_ids(names, columns, self)
        latitude, longitude = _places(columns, self)
        taken = _times(columns.get("taken"), len(names))
        cells = [names, ids, owners, latitude, longitude, taken]
        table = pa.table(cells, ["name", "photo_id", "owner", "latitude", "longitude", "taken"])
        batch: pd.DataFrame = table.to_pandas(types_mapper={pa.uint64(): pd.UInt64Dtype()}.get)
        self.photos += len(batch)
        for what, column in _KNOWN.items():
            self.known[what] += int(batch[column].count())
        return batch


def open_source(text: str, plain_ids: bool = False) -> Source:
    """Find out what a path, the name of a configuration, or `name=path` means.

    Raises ValueError or FileNotFoundError if it is none of them.
    """
    name, equals, path = text.partition("=")
    config = next((one for one in CONFIGS if one.name == name), None)
    if config is None or (not equals and Path(text).exists()):
        if not Path(text).exists():
            names = listed(one.name for one in CONFIGS)
            raise FileNotFoundError(
                f"{text}: there is no such file or folder, and no such test set ({names})"
            )
        return Source(Path(text).absolute().name or text, text, None, plain_ids)
    if path and not Path(path).exists():
        raise FileNotFoundError(f"{text}: there is no such file or folder")
    if not path and (name not in SETS or SETS[name].table):
        raise ValueError(f"{name} is fetched by hand: give its folder, as in {name}=FOLDER")
    folder: dict[str, Any] = {"data_dir": path or None}
    return Source(name, path, replace(config, **folder), plain_ids)


@contextlib.contextmanager
def open_photos(source: Source) -> Iterator[Iterable[Photo]]:
    """Return the name of each photo, as in the batches, and a function that reads it.

    It is for a second pass: what `batches` counts in a pack is not counted again. Raises ValueError
    if a source, such as a table, has no photos.
    """
    form, path = _form(source)
    if form == "shards":
        report = Findings()
        found = (one for tar in _tars(path) for one in samples(tar, None, report, True))
        yield ((_stem(sample.name), functools.partial(bytes, sample.data)) for sample in found)
        source.findings = report  # it contains what was found in the JSONs alone
        return
    if form == "table" and source.config and source.config.known.table:
        form, path = "photos", source.config.source()
    if form != "photos" or not path:
        raise ValueError(f"{source.name} has no photos, which --pictures and --embeddings compare")
    with explained(path, source.name), open_pack(path, Findings()) as photos:
        yield photos


def _read(source: Source) -> Iterator[Columns]:
    form, path = _form(source)
    read = {"table": _table, "shards": _shards, "lists": _lists, "photos": _photos}[form]
    return read(path, source)


def _form(source: Source) -> tuple[str, str]:
    """Return what a source is, and the path or address that is read."""
    if config := source.config:
        if config.name == metadata.NAME:
            return "table", metadata.find_table(config.data_dir)
        table = config.files().table("test") if config.name == osv5m.NAME else config.table()
        # A table has all that is compared, so the photos need not be there.
        return ("table", table) if table else ("photos", config.source())
    path = Path(source.path)
    if path.is_dir():
        if any(path.glob("*.tar")):
            return "shards", source.path
        if (path / metadata.TABLE).is_file():
            return "table", str(path / metadata.TABLE)
        if folder_photos(source.path):
            return "photos", source.path
        if any(file.suffix.lower() == ".txt" for file in files_below(path)):
            return "lists", source.path
        raise FileNotFoundError(
            f"{path} contains no shards (*.tar), {metadata.TABLE}, photos or Flickr lists (*.txt)"
        )
    if path.suffix in (".tar", ".txt"):
        return "shards" if path.suffix == ".tar" else "lists", source.path
    if is_table(path):
        return "table", source.path
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return "photos", source.path
    raise ValueError(
        f"{path}: give a table (.parquet, .csv, …), Flickr lists (.txt), shards (.tar), or a "
        "folder or ZIP file of photos"
    )


def _tars(path: str) -> list[str]:
    return sorted(map(str, Path(path).glob("*.tar"))) if os.path.isdir(path) else [path]


def _stem(name: str) -> str:
    """Return the name of a sample without its folder and suffix."""
    return name.rpartition("/")[2].rpartition(".")[0]


def _table(path: str, source: Source) -> Iterator[Columns]:
    if path.lower().endswith(".parquet"):
        with open_parquet(path, pre_buffer=False) as file:
            names = [one.name for one in file.schema_arrow if not pa.types.is_nested(one.type)]
            roles = _roles(tuple(names), path)
            for batch in file.iter_batches(_ROWS, columns=[*set(roles.values())]):
                yield {role: batch.column(name) for role, name in roles.items()}
        return
    opened = open_table(Path(path), path)
    roles = _roles(tuple(opened.names), path)
    if (reader := _open_csv(path, roles)) is not None:
        with _csv_errors(path), reader:
            for batch in reader:
                yield {role: batch.column(name) for role, name in roles.items()}
        return
    # read() takes the columns of id, latitude and longitude first
    axes = [roles.get(axis, roles["name"]) for axis in _AXES]
    others = [name for role, name in roles.items() if role not in _AXES]
    wanted = [roles["name"], *axes, *others]
    rows = opened.read(wanted)
    while batch := list(islice(rows, _ROWS)):
        cells = dict(zip(wanted, zip(*batch, strict=True), strict=True))
        yield {role: cells[name] for role, name in roles.items()}


def _open_csv(path: str, roles: dict[str, str]) -> Any:
    """Open an ordinary CSV file with Arrow, which is five times as fast; None for other files."""
    if not path.lower().endswith(".csv"):
        return None
    try:
        return csv.open_csv(
            path,
            read_options=csv.ReadOptions(block_size=2**24),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                include_columns=[*set(roles.values())],
                column_types=dict.fromkeys(roles.values(), pa.string()),
            ),
        )
    except (pa.ArrowException, KeyError):  # other separators or encodings, or damaged
        return None


@contextlib.contextmanager
def _csv_errors(path: str) -> Iterator[None]:
    """Replace pyarrow's error for a damaged CSV file."""
    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(f"{path}: {one_line(error)}") from None


def _lists(path: str, source: Source) -> Iterator[Columns]:
    files = find_lists([Path(path)])
    result = Result({str(file): Counts() for file in files})
    for table in read_lists(files, result):
        if len(table):
            roles = _roles(tuple(table.column_names), path)
            yield {role: table[name].combine_chunks() for role, name in roles.items()}
    source.findings.merge(result.report)


def _shards(path: str, source: Source) -> Iterator[Columns]:
    records = (
        _named(_stem(name), record)
        for shard in _tars(path)
        for name, record in read_records(shard, source.findings)
    )
    return _in_batches(records)


def _photos(path: str, source: Source) -> Iterator[Columns]:
    with explained(path, source.name), open_pack(path, source.findings) as photos:
        if source.config:
            check_count(source.config, len(photos), "photos", source.config.known.photos, _warn)
        yield from _in_batches(_photo(name, read, source) for name, read in photos)


def _photo(name: str, read: Any, source: Source) -> dict[str, Any]:
    """Return what the comments and the EXIF of a photo say."""
    record: dict[str, Any] = {}
    try:
        data = read()
        record |= fields(data)
        record["latitude"], record["longitude"] = coordinates(data)
    except PackError as error:
        source.findings.add(UNUSABLE, f"{name}: {error}")
    except PhotoError:  # as in training photos, from which metadata were removed
        record |= {"latitude": None, "longitude": None}
    return _named(name, record)


def _named(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the name as its first key, which `_roles` takes."""
    return {"image_id": name, **record} | {"image_id": name}


def _in_batches(records: Iterable[Mapping[str, Any]]) -> Iterator[Columns]:
    """Turn records into columns; the key `image_id` is the name of a photo."""
    rows = iter(records)
    while batch := list(islice(rows, _ROWS)):
        found = [(record, _roles(tuple(record), "the records")) for record in batch]
        cells = [{role: record[key] for role, key in roles.items()} for record, roles in found]
        names = {name for one in cells for name in one}
        yield {name: [_plain_cell(one.get(name)) for one in cells] for name in names}


def _plain_cell(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, float) else str(cell)


@functools.lru_cache(maxsize=1024)
def _roles(names: Sequence[str], where: str) -> dict[str, str]:
    """Return which column is the name, the Flickr id, the photographer, the place and the time."""
    ids = find_ids(names)
    roles = {"name": ids[0]} if ids else {}
    for name in names:
        known = plain(name)
        if known in _FLICKR_IDS:
            roles.setdefault("photo_id", name)
        elif COLUMNS.get(known) == "photographers":
            roles.setdefault("owner", name)
        elif known in _TIMES:
            roles.setdefault("taken", name)
    try:
        # shards have these beside other spellings
        roles |= {axis: axis for axis in _AXES} if {*_AXES} <= {*names} else find_pair(names)
    except Unclear as unclear:
        if not str(unclear).startswith("no column"):
            raise ValueError(f"{where}: {unclear}") from None
    if "name" not in roles:
        raise ValueError(f"{where}: no column of ids, such as image_id; it has {listed(names)}")
    return roles


# --- cells --------------------------------------------------------------------------------------


def _texts(values: Any) -> pa.Array:
    """Return cells as texts, null where they are empty."""
    if not isinstance(values, pa.Array):
        values = pa.array([None if cell is None else str(cell) for cell in values], pa.string())
    texts = values.cast(pa.string())
    if pa.types.is_floating(values.type):  # ids, where some are missing: 5e+10 would be the text
        whole = pc.if_else(pc.equal(pc.floor(values), values), values, None)
        texts = pc.coalesce(whole.cast(pa.int64(), safe=False).cast(pa.string()), texts)
    return pc.if_else(pc.equal(texts, ""), None, texts)


def flickr_ids(names: pa.Array) -> pa.Array:
    """Return the Flickr ids in names of photos, null where there is none."""
    return _find_ids(names, {}, Source("", ""))[0]


def _find_ids(names: pa.Array, columns: Columns, source: Source) -> tuple[pa.Array, pa.Array]:
    """Return Flickr's ids of photos and photographers, from their columns or from the names."""
    nothing = pa.nulls(len(names), pa.string())
    owners = _texts(columns["owner"]) if columns.get("owner") is not None else nothing
    ids = nothing
    if columns.get("photo_id") is not None:
        given = _texts(columns["photo_id"])
        if pc.any(pc.ends_with(given, ".0")).as_py():  # as pandas writes such a table
            given = pc.replace_substring_regex(given, r"\.0$", "")
        ids = pc.if_else(pc.match_substring_regex(given, f"^{PHOTO_ID}$"), given, None)
        source.ids["column photo_id"] += len(ids) - ids.null_count
    for form, pattern in {**_NAMES, _PLAIN_NUMBERS: _PLAIN}.items():
        if not ids.null_count:
            break
        found = pc.extract_regex(names, pattern)
        new = pc.if_else(ids.is_valid(), None, pc.struct_field(found, "id"))
        count = len(new) - new.null_count
        if form == _PLAIN_NUMBERS and not source.plain_ids:
            source.plain_numbers += count
        elif count:
            source.ids[form] += count
            ids = pc.coalesce(ids, new)
            if "owner" in pattern:
                owners = pc.coalesce(owners, pc.struct_field(found, "owner"))
    return photo_ids(ids), owners


def _places(columns: Columns, source: Source) -> np.ndarray:
    """Return latitudes and longitudes in degrees, shape (2, n)."""
    degrees = np.full((2, len(columns["name"])), np.nan)
    for axis, name in enumerate(_AXES):
        if (cells := columns.get(name)) is not None:
            if not isinstance(cells, pa.Array):
                cells = _texts(cells)
            numbers = pd.to_numeric(cells.to_pandas(), errors="coerce")
            degrees[axis] = numbers.to_numpy(np.float64, na_value=np.nan)
    if np.mean(np.abs(degrees[0]) > 90) > 0.01:
        raise ValueError(
            f"{source.name}: many latitudes are beyond ±90 degrees; latitude and longitude look "
            "swapped, or are not in degrees"
        )
    usable = (np.abs(degrees).T <= (90, 180)).all(axis=1) & degrees.any(axis=0)  # not 0, 0
    degrees[:, ~usable] = np.nan
    return degrees


def _times(cells: Any, count: int) -> pa.Array:
    """Return when photos were taken; midnight counts as unknown, because Flickr fills it in."""
    if cells is None:
        return pa.nulls(count, _SECONDS)
    if not (isinstance(cells, pa.Array) and pa.types.is_timestamp(cells.type)):
        texts = pc.replace_substring_regex(_texts(cells), _TIME, r"\1-\2-\3 \4")
        cells = pc.strptime(texts, "%Y-%m-%d %H:%M:%S", "s", error_is_null=True)
    taken = cells.cast(_SECONDS, safe=False)
    return pc.if_else(pc.equal(taken, pc.floor_temporal(taken, unit="day")), None, taken)
