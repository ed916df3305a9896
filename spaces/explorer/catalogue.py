"""The two data sets behind the page: ids, coordinates, photos and overhead views.

The ids and coordinates of a split are read once, when it is first shown. A photo or view is read
when it is requested.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from datasets import (
    Image,
    get_dataset_config_names,
    get_dataset_split_names,
    load_dataset,
    load_dataset_builder,
)
from rival import BASELINE, Rival, read_rival, write_baseline

import im2gps.sample
import justzoomin.sample
from gcd_metric.matching import match_ids
from geoload.publishing import photo_table
from justzoomin.sample_tiles import write_views
from justzoomin.source import TABLES
from justzoomin.views import Prefix, Views, open_views

_log = logging.getLogger("explorer")
TITLES = {"im2gps": "Im2GPS", "justzoomin": "Just Zoom In"}
VARIABLES = {"im2gps": "IM2GPS_REPO", "justzoomin": "JUSTZOOMIN_REPO"}
RIVALS = {"im2gps": "IM2GPS_PREDICTIONS", "justzoomin": "JUSTZOOMIN_PREDICTIONS"}
# The page opens with these splits, and games draw their photos from them.
_FIRST_SPLITS = ("test", "validation")
_MOST_LOOSE = 10_000  # ids among which the spellings of published files are tried, too
_READS_AT_ONCE = 16
_VIEWS = "views/views_384.tar"
_MINIATURE_WIDTH = 320  # of its photos, in pixels


@dataclass(frozen=True)
class Rows:
    """The photos of a split.

    `ids` are strings; `places` latitudes and longitudes in degrees, shape (n, 2); `sequences` the
    zoom actions, shape (n, depth), or None if the data set has none.
    """

    ids: np.ndarray
    places: np.ndarray
    sequences: np.ndarray | None

    @classmethod
    def from_table(cls, table: pa.Table) -> Rows:
        """Take the columns of an Arrow table."""
        places = [table.column(name).to_numpy() for name in ("latitude", "longitude")]
        sequences = None
        if "sequence" in table.column_names:
            numbers = table.column("sequence").combine_chunks().flatten().to_numpy()
            sequences = numbers.astype(np.int8).reshape(len(table), -1)
        ids = np.array(table.column("image_id").to_pylist(), dtype=str)
        return cls(ids, np.column_stack(places).astype(float), sequences)

    def find(self, text: str) -> int | None:
        """Return the row of an id, which may be given with or without folder and extension."""
        name = text.strip().replace("\\", "/").rpartition("/")[2]
        bare = name.removesuffix(".jpg").removesuffix("_undistorted")
        for form in (name, bare, f"{bare}.jpg"):
            rows = np.flatnonzero(self.ids == form)
            if len(rows):
                return int(rows[0])
        if name and len(self.ids) <= _MOST_LOOSE:
            match = match_ids([name], self.ids.tolist())
            if len(match.right):
                return int(match.right[0])
        return None


class Collection:
    """A data set; subclasses define `_read_rows`, `_read_photo` and `_read_view`.

    Parameters
    ----------
    name : {"im2gps", "justzoomin"}
    splits : sequence of str
    """

    synthetic = False
    depth = -1  # actions before the deepest views that maps show; -1 without views
    rival: Rival | None = None  # for the photos of the first split

    def __init__(self, name: str, splits: Sequence[str]) -> None:
        self.name, self.title, self.splits = name, TITLES[name], list(splits)
        self._rows: dict[str, Rows] = {}
        self._reading = threading.Lock()

    def _read_rows(self, split: str) -> Rows:
        raise NotImplementedError

    def _read_photo(self, split: str, image_id: str, row: int) -> bytes:
        raise NotImplementedError

    def _read_view(self, prefix: Prefix) -> bytes | None:
        return None

    def rows(self, split: str) -> Rows:
        """Return the photos of a split; they are read once, for all visitors."""
        if split not in self.splits:
            raise ValueError(f"{self.title} has no split {split!r}: {', '.join(self.splits)}")
        if split not in self._rows:
            with self._reading:
                if split not in self._rows:
                    self._rows[split] = self._read_rows(split)
        return self._rows[split]

    def photo(self, split: str, row: int) -> bytes:
        """Return the file of a photo; OSError, with a message for visitors, if that fails."""
        image_id = str(self.rows(split).ids[row])
        with self._logged_errors(f"photo {image_id}"):
            return self._read_photo(split, image_id, row)

    def view(self, prefix: Prefix) -> bytes | None:
        """Return the overhead view after the actions `prefix`, if any; errors as for `photo`."""
        with self._logged_errors("overhead view"):
            return self._read_view(prefix)

    @contextmanager
    def _logged_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any library that reads files, here or on the Hub
            _log.warning("%s, %s: %r", self.name, what, error)
            raise OSError(f"{self.title}: the {what} cannot be read at present") from error

    def walk_rows(self) -> np.ndarray:
        """Return the rows of the first split, ordered by id."""
        return np.argsort(self.rows(self.splits[0]).ids, kind="stable")

    def find(self, text: str) -> tuple[str, int] | None:
        """Return split and row of an id; splits that were read already are searched first."""
        for split in sorted(self.splits, key=lambda split: split not in self._rows):
            row = self.rows(split).find(text)
            if row is not None:
                return split, row
        return None


class OriginalFolder(Collection):
    """A folder in the layout of the data set's authors."""

    def __init__(self, name: str, folder: str, depth: int = 3) -> None:
        super().__init__(name, ["test"] if name == "im2gps" else ["validation", "train"])
        self._folder = folder
        self._data: dict[str, Any] = {}
        self._views: Views | None = None
        self._drawing = threading.Lock()
        tiles = ("archives/satellite_level_*.tar", "satellite/*/*", _VIEWS)
        if name == "justzoomin" and any(any(Path(folder).glob(tile)) for tile in tiles):
            self.depth = depth

    def _read_rows(self, split: str) -> Rows:
        return Rows.from_table(self._dataset(split).remove_columns("image").with_format("arrow")[:])

    def _read_photo(self, split: str, image_id: str, row: int) -> bytes:
        entry = self._dataset(split).cast_column("image", Image(decode=False))[row]["image"]
        if entry["bytes"]:
            return bytes(entry["bytes"])
        with fsspec.open(entry["path"], "rb") as file:
            return bytes(file.read())

    def _read_view(self, prefix: Prefix) -> bytes | None:
        if self.name == "im2gps":
            return None
        with self._drawing:
            if self._views is None:
                rendered = os.path.join(self._folder, _VIEWS)
                self._views = open_views(rendered if os.path.exists(rendered) else self._folder)
            return self._views.jpeg(prefix)

    def _dataset(self, split: str) -> Any:
        if split not in self._data:
            if self.name == "im2gps":
                found = load_dataset("im2gps", "im2gps", data_dir=self._folder, split=split)
            else:
                found = justzoomin.photos(split, data_dir=self._folder)
            self._data[split] = found
        return self._data[split]


class Published(Collection):
    """A repository of Parquet files that `publish` wrote, on the Hub or in a folder.

    Only columns without pictures are read whole: from the table of photos, or without one from the
    configuration `metadata` if that has the same rows.
    """

    def __init__(self, name: str, where: str) -> None:
        path, _, revision = (where, "", "") if Path(where).is_dir() else where.partition("@")
        self._path, self._revision = path, revision or None
        configs = get_dataset_config_names(path, revision=self._revision)
        photos = {"im2gps": "im2gps", "justzoomin": "streetview"}[name]
        self._photos = photos if photos in configs else configs[0]
        # For Just Zoom In these are the same rows, for Im2GPS what Flickr's lists say.
        same = name == "justzoomin" and "metadata" in configs
        self._metadata = "metadata" if same else self._photos
        self._has_views = "views" in configs
        self._opened: dict[str, dict[str, ParquetFiles]] = {}
        self._where: dict[str, tuple[pa.Array, pa.Array]] = {}  # file and row of each photo
        self._opening = threading.Lock()
        splits = get_dataset_split_names(path, self._photos, revision=self._revision)
        super().__init__(name, sorted(splits, key=lambda n: (*_FIRST_SPLITS, n).index(n)))
        if self._read_view(()):
            self.depth = 3

    def _read_rows(self, split: str) -> Rows:
        sequence = ["sequence"] if self._photos == "streetview" else []
        columns = ["image_id", "latitude", "longitude", *sequence]
        folder = self._files(self._photos, split).paths[0].rpartition("/")[0]
        try:
            photos = ParquetFiles([f"{folder}/{photo_table.FILE}"])
            table = photos.columns([*columns, "split", "file", "row"], split)
        except FileNotFoundError:  # published by an earlier version
            return Rows.from_table(self._files(self._metadata, split).columns(columns))
        table = table.filter(pa.compute.equal(table["split"], split))
        files = table["file"].combine_chunks().dictionary_encode()
        self._where[split] = files, table["row"].combine_chunks()
        return Rows.from_table(table)

    def _read_photo(self, split: str, image_id: str, row: int) -> bytes:
        files = self._files(self._photos, split)
        if split not in self._where:
            return bytes(files.entry("image_id", image_id, "image")["bytes"])
        name, place = (column[row].as_py() for column in self._where[split])
        return bytes(files.at(name, place, "image")["bytes"])

    def _read_view(self, prefix: Prefix) -> bytes | None:
        if not self._has_views:
            return None
        return bytes(self._files("views", "train").entry("prefix", tuple(prefix), "view")["bytes"])

    def _files(self, config: str, split: str) -> ParquetFiles:
        with self._opening:
            if config not in self._opened:
                builder = load_dataset_builder(self._path, config, revision=self._revision)
                found = builder.config.data_files.items()
                self._opened[config] = {name: ParquetFiles(paths) for name, paths in found}
            return self._opened[config][split]


class ParquetFiles:
    """The rows of Parquet files, which are read in place, a row group at a time.

    Parameters
    ----------
    paths : iterable of str
        Paths, or addresses that fsspec can open.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = list(paths)
        self._footers: dict[int, pq.FileMetaData] = {}
        self._locks = [threading.Lock() for _ in self.paths]
        self._indexing = threading.Lock()
        self._index: dict[str, dict[Hashable, tuple[int, int]]] = {}  # file and row of each key

    def columns(self, names: Sequence[str], split: str | None = None) -> pa.Table:
        """Read whole columns of all files, except for row groups that have no row of `split`."""
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            footers = pool.map(self._footer, range(len(self.paths)))
            groups = [
                (number, group)
                for number, footer in enumerate(footers)
                for group in range(footer.num_row_groups)
                if split is None or _may_have(footer.row_group(group), split)
            ]
            return pa.concat_tables(pool.map(lambda one: self._read(one[0], one[1], names), groups))

    def at(self, name: str, row: int, column: str) -> Any:
        """Return one column's entry of a row of the file with this name."""
        number = next(i for i, path in enumerate(self.paths) if path.endswith(f"/{name}"))
        return self._entry(number, row, column)

    def entry(self, key_column: str, key: Hashable, column: str) -> Any:
        """Return one column's entry of the row with a key; KeyError if there is none.

        The first call reads the keys of all rows.
        """
        with self._indexing:
            if key_column not in self._index:
                keys = iter(self.columns([key_column]).column(0).to_pylist())
                self._index[key_column] = {
                    tuple(key) if isinstance(key, list) else key: (number, row)
                    for number in range(len(self.paths))
                    for row, key in enumerate(islice(keys, self._footer(number).num_rows))
                }
        return self._entry(*self._index[key_column][key], column)

    def _entry(self, number: int, row: int, column: str) -> Any:
        footer, group = self._footer(number), 0
        while row >= (rows := footer.row_group(group).num_rows):
            row, group = row - rows, group + 1
        return self._read(number, group, [column]).column(column)[row].as_py()

    def _read(self, number: int, group: int, names: Sequence[str]) -> pa.Table:
        with self._opened(number) as file:
            footer = self._footer(number)
            parquet = pq.ParquetFile(file, metadata=footer, pre_buffer=True)
            return parquet.read_row_group(group, columns=list(names))

    def _footer(self, number: int) -> pq.FileMetaData:
        with self._locks[number]:
            if number not in self._footers:
                with self._opened(number) as file:
                    self._footers[number] = pq.read_metadata(file)
            return self._footers[number]

    def _opened(self, number: int) -> Any:
        # Without a cache, which would fetch megabytes for a few ids.
        system, path = fsspec.core.url_to_fs(self.paths[number])
        return system.open(path, "rb", cache_type="none")


def _may_have(group: pq.RowGroupMetaData, split: str) -> bool:
    """Return whether a row group may have rows of a split."""
    columns = [group.column(i) for i in range(group.num_columns)]
    found = next(one.statistics for one in columns if one.path_in_schema == "split")
    return found is None or not found.has_min_max or found.min <= split <= found.max


# --- opening ------------------------------------------------------------------------------------


def open_collections(settings: Mapping[str, str], folder: Path) -> dict[str, Collection]:
    """Open both data sets; return them by name.

    `settings` is the environment (see app.py), `folder` where miniatures are written. ValueError
    names the variable whose data set cannot be opened.
    """
    found = {}
    for name, variable in VARIABLES.items():
        where = settings.get(variable, "").strip()
        if not where:
            found[name] = _open_miniature(name, folder)
            continue
        try:
            found[name] = _open(name, where)
            found[name].rows(found[name].splits[0])  # fails now rather than for a visitor
        except Exception as error:  # of any library that opens it
            raise ValueError(f"{variable}={where}: {error}") from error
    for name, variable in RIVALS.items():
        if file := settings.get(variable, "").strip():
            try:
                found[name].rival = read_rival(file, _first_ids(found[name]))
            except (ValueError, OSError) as error:
                raise ValueError(f"{variable}: {error}") from error
    return found


def _first_ids(collection: Collection) -> list[str]:
    ids: list[str] = collection.rows(collection.splits[0]).ids.tolist()
    return ids


def _open(name: str, where: str) -> Collection:
    folder = Path(where).expanduser()
    if not folder.is_dir():
        if where.startswith((".", "/", "~")):
            raise FileNotFoundError("there is no such folder")
        return Published(name, where)
    original = not any(folder.glob("*/*-of-*.parquet"))
    if name == "justzoomin":  # the authors have a Parquet file, too
        original = (folder / "metadata" / TABLES["validation"]).is_file()
        if not original and not any(folder.rglob("*.parquet")):
            raise ValueError(
                "this folder contains neither Parquet files of `publish` nor the authors' "
                f"metadata/{TABLES['validation']}"
            )
    return (OriginalFolder if original else Published)(name, str(folder.resolve()))


def _open_miniature(name: str, parent: Path) -> Collection:
    """Open a miniature; write it if it does not exist."""
    folder = parent / name
    if not folder.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent) as part:
            _write_miniature(name, Path(part, name))
            try:
                os.replace(Path(part, name), folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    collection = OriginalFolder(name, str(folder), depth=1)
    collection.synthetic = True
    if (folder / BASELINE).is_file():  # else a folder of an earlier version
        collection.rival = read_rival(folder / BASELINE, _first_ids(collection))
    return collection


def _write_miniature(name: str, folder: Path) -> None:
    if name == "im2gps":
        only = {"geo_uniform": 0, "human": 0}
        im2gps.sample.write_sample(folder, only, width=_MINIATURE_WIDTH)
        rows = [
            load_dataset("im2gps", config, data_dir=str(folder), split="test", streaming=True)
            for config in ("random_2k", "im2gps")
        ]
        write_baseline(folder / BASELINE, *rows)
        return
    justzoomin.sample.write_sample(folder, train=60, validation=30, width=_MINIATURE_WIDTH)
    photos = (justzoomin.photos(split, data_dir=str(folder)) for split in ("train", "validation"))
    write_baseline(folder / BASELINE, *photos)
    rows = load_dataset("justzoomin", "metadata", data_dir=str(folder))
    write_views(folder, [*rows["validation"]["sequence"], *rows["train"]["sequence"]])
