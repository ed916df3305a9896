"""OpenStreetView-5M: street photos in ZIP files on the Hub, joined with a CSV file for each split.

The ZIP files are read in ranges. The CSV files have up to five million rows, so they are kept as
Arrow columns and joined by sorted ids.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.csv

from gcd_metric.opened import one_line
from geoload.files import is_clutter, signature
from geoload.hub import HubFile, announce_download, download_small, list_files, resolve_commit
from geoload.jpeg import PhotoError
from geoload.registry import requested
from geoload.remote import with_retries
from geoload.report import Findings, Kind
from geoload.tables import Row
from im2gps.packs import UNUSABLE, PackError, explained, folder_photos, open_pack
from im2gps.photo import make_row, usable

NAME = "osv5m"
DESCRIPTION = "OpenStreetView-5M (CVPR 2024): street photos of Mapillary, from the Hub."
REPOSITORY = "osv5m/osv5m"
SPLITS = ("test", "train")
ROWS = {"test": 210_122}  # published
SLICES = 8  # parts of a ZIP file; each reads the file's directory again, which is 4 MB
_BLOCK = 24 * 2**20  # bytes; each becomes a chunk, and a join of many chunks is slow
_PLACE = ("id", "latitude", "longitude")
_TEXTS = "thumb_original_url country sequence captured_at cell region sub-region city \
unique_region unique_sub-region unique_city unique_country creator_username creator_id"
_NUMBERS = "lon_bin lat_bin land_cover road_index drive_side climate soil dist_sea"
_CELLS = [f"quadtree_10_{size}" for size in (500, 1000, 2500, 5000, 10000, 12500, 25000, 50000)]
COLUMNS = {
    **dict.fromkeys(_TEXTS.split(), pa.string()),
    **dict.fromkeys(_NUMBERS.split(), pa.float64()),
    **dict.fromkeys(_CELLS, pa.float64()),
}
NO_PHOTO = Kind("no_photo", "rows of the table without a photo")
NO_ROW = Kind("no_row", "photos without a row in the table")
TWICE = Kind("repeated_picture", "repeated photos")
NOT_FOR = ("coordinates", "records", "base_url", "validation_fraction")  # options
Part = tuple[str, int]  # a ZIP file or a folder, and the number of a slice
# Called after each part with its label, its path, its report, and the numbers of its rows.
Done = Callable[[str, str, Findings, np.ndarray], None]


class Files(NamedTuple):
    """Where the files are, in a folder or a dataset repository at one commit, and what is read."""

    repository: str
    commit: str
    folder: str | None = None
    token: Any = None
    columns: bool | Sequence[str] = False
    original_bytes: bool = False
    skip_broken: bool = False

    def archives(self, split: str) -> list[HubFile]:
        """List the ZIP files of a split; raises FileNotFoundError if there are none."""
        below = f"images/{split}"
        if self.folder is None:
            found = list_files(self.repository, self.commit, below, self.token)
            zips = [file for file in found if re.fullmatch(r".*/[0-9]+\.zip", file.path)]
            return sorted(zips, key=lambda file: file.path)
        where = Path(self.folder, below)
        names = [str(path) for path in sorted(where.glob("*.zip")) if not is_clutter(path.name)]
        if not names and where.is_dir() and folder_photos(str(where)):
            names = [str(where)]  # they were extracted
        if not names or not os.path.isfile(self.table(split)):
            raise FileNotFoundError(
                f"{self.folder} should contain {below}/00.zip, … and {split}.csv, as {REPOSITORY} "
                f"does. Get them with `hf download {REPOSITORY} --repo-type dataset --local-dir "
                f"FOLDER --include '{below}/*' {split}.csv`."
            )
        return [HubFile("", "", name, 0) for name in names]

    def table(self, split: str) -> str:
        """Return the path of the CSV of a split; that of the Hub is downloaded."""
        name = f"{split}.csv"
        if self.folder is not None:
            return os.path.join(self.folder, name)
        files = list_files(self.repository, self.commit, "", self.token)
        announce_download([file for file in files if file.path == name], None)
        return download_small(self.repository, self.commit, name, self.token)

    def read_table(self, split: str) -> Table:
        """Read the ids and places of a split, and the columns that are asked for.

        The last tables that did not change are kept in memory, also in processes that are forked
        later. Raises ValueError for a damaged file, or one that lacks a column.
        """
        path, columns = self.table(split), tuple(_types(self.columns).items())
        return _read_table(path, columns, tuple(signature([path], "/")))

    def key(self) -> Any:
        """Return plain data that changes when the files do."""
        if self.folder is None:
            return [self.repository, self.commit]
        paths = [Path(self.folder, f"{split}.csv") for split in SPLITS]
        files = Path(self.folder, "images").glob("*/*")
        return signature([*filter(os.path.exists, paths), *files], self.folder)


class Table(NamedTuple):
    """The table of a split, and its ids in ascending order."""

    rows: pa.Table
    ids: np.ndarray
    order: np.ndarray  # the row of each of these ids

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return the row of each id, or -1."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        at = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self.order[at], -1)


def check_options(options: dict[str, Any]) -> None:
    """Refuse options without effect; turn the revision into a commit, by which rows are cached.

    Raises ValueError, and ConnectionError or FileNotFoundError if the Hub does not answer.
    """
    for option in NOT_FOR:
        if options.get(option) not in (None, False):
            raise ValueError(f"{option}= has no effect on {NAME!r}.")
    columns = options.get("columns") or []
    if columns is not True and (unknown := [name for name in columns if name not in COLUMNS]):
        raise ValueError(f"columns={unknown}: {NAME} has {', '.join(COLUMNS)}.")
    if (names := options.get("splits")) is not None and not {*names} <= {*SPLITS}:
        raise ValueError(f"splits={names}: the splits are {', '.join(SPLITS)}.")
    if options.get("data_dir") is None:
        repository = options.get("repository") or REPOSITORY
        revision = str(options.get("revision") or "main")
        options["revision"] = resolve_commit(repository, revision, options.get("token"))
    elif options.get("revision") or options.get("repository"):
        raise ValueError("data_dir= and revision= or repository= contradict each other.")


def _types(columns: bool | Sequence[str]) -> dict[str, pa.DataType]:
    return {name: COLUMNS[name] for name in (COLUMNS if columns is True else columns or ())}


def features(columns: bool | Sequence[str]) -> datasets.Features:
    """Return the features of the columns that are asked for."""
    return datasets.Features.from_arrow_schema(pa.schema(list(_types(columns).items())))


def split_parts(
    files: Files, splits: list[str] | None, dl_manager: Any, copies_to: str
) -> dict[str, list[Part]]:
    """Return the parts of the splits that are read: slices of ZIP files.

    The files are downloaded unless rows are streamed; `copies_to` is the folder of the prepared
    rows, whose disk is checked. Tables are read now, so that processes that are forked later have
    them too.
    """
    if not dl_manager.is_streaming and splits is None:
        raise ValueError(
            f"Without streaming, {NAME} would download and prepare all of its 5 million photos. "
            "Use streaming=True, or name the splits to prepare: splits=['test']."
        )
    found = {}
    asked = {*re.findall(r"\w+", str(requested().get("split") or ""))} & {*SPLITS}
    for split in splits or SPLITS:
        if asked and split not in asked:
            continue
        archives = files.archives(split)
        paths = [file.url if files.folder is None else file.path for file in archives]
        if files.folder is None and not dl_manager.is_streaming:
            announce_download(archives, copies_to)
            paths = with_retries(dl_manager.download)(paths)
        found[split] = [(path, number) for path in paths for number in range(SLICES)]
        if asked or not dl_manager.is_streaming:
            files.read_table(split)
    return found


@functools.lru_cache(maxsize=2)
def _read_table(path: str, columns: tuple[tuple[str, pa.DataType], ...], state: object) -> Table:
    place = zip(_PLACE, (pa.int64(), pa.float64(), pa.float64()), strict=True)
    types = {**dict(place), **dict(columns)}
    options = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), strings_can_be_null=True
    )
    try:
        rows = pa.csv.read_csv(path, pa.csv.ReadOptions(block_size=_BLOCK), convert_options=options)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        text = one_line(error).rstrip(".")
        raise ValueError(f"{path} is not a table of {NAME}: {text}. Get it again.") from error
    rows = rows.filter(rows["id"].is_valid())
    ids = rows["id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    return Table(rows, ids[order], order)


def rows(files: Files, split: str, parts: list[Part], done: Done) -> Iterator[Row]:
    """Yield the photos of parts that have a row in the table, with the columns asked for.

    Raises PackError after a part with photos that cannot be used, unless they may be skipped.
    """
    table = files.read_table(split)
    for path, number in parts:
        file, report = path.rpartition("/")[2], Findings()
        once = report if number == 0 else Findings()  # for what every slice finds
        with explained(path, file), open_pack(path, once, files.token) as photos:
            first, stop = (at * len(photos) // SLICES for at in (number, number + 1))
            share = photos[first:stop]
            rows = table.find(np.array([_id_of(name) for name, _ in share], np.int64))
            found = rows[rows >= 0]
            records = iter(table.rows.take(found).to_pylist())
            for (name, read), row in zip(share, rows.tolist(), strict=True):
                if row < 0:
                    report.add(NO_ROW, name)
                    continue
                try:
                    place, others = _place(next(records))
                    image = usable(read(), files.original_bytes)
                except (PhotoError, PackError) as error:
                    report.add(UNUSABLE, f"{name}: {error}")
                    continue
                yield f"{file}-{number}/{name}", {**make_row(name, place, image), **others}
        if report.counts[UNUSABLE] and not files.skip_broken:
            raise PackError(
                f"{path}: {report.line(UNUSABLE)}. Get the file again, or leave these photos out "
                "with skip_broken=True."
            )
        done(f"{file}-{number}", path, report, found)


def _id_of(name: str) -> int:
    stem = name.rpartition(".")[0]
    return int(stem) if re.fullmatch("[0-9]{1,18}", stem) else -1


def _place(record: dict[str, Any]) -> tuple[tuple[float, float], dict[str, Any]]:
    latitude, longitude = (record.pop(name) for name in _PLACE[1:])
    del record["id"]
    if latitude is None or longitude is None or not (latitude or longitude):
        raise PhotoError("no coordinates, or only 0, 0, in its row")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise PhotoError(f"coordinates {latitude}, {longitude} are not on the globe")
    return (latitude, longitude), record


def whole(files: Files, split: str, found: list[np.ndarray]) -> Findings:
    """Count rows, rows without a photo, and repeated photos, which only all parts together show."""
    report, table = Findings(), files.read_table(split)
    count = len(table.order)
    if count != ROWS.get(split, count):
        text = f"rows in {split}.csv instead of {ROWS[split]:,}"
        report.add_many(Kind("other_number", text), count)
    times = np.bincount(np.concatenate([*found, np.empty(0, int)]), minlength=count)
    for kind, rows in ((NO_PHOTO, np.flatnonzero(times == 0)), (TWICE, np.flatnonzero(times > 1))):
        names = [f"{one}.jpg" for one in table.rows["id"].take(rows[:5]).to_pylist()]
        report.add_many(kind, len(rows), names)
    return report
