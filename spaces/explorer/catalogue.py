"""The two data sets behind the page: their rows, photos and overhead views, from wherever they lie.

A collection keeps of each split the ids and coordinates, and reads one photo or view when it is
asked for. Splits are opened when they are first looked at.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from datasets import (
    Image,
    get_dataset_config_names,
    get_dataset_split_names,
    load_dataset,
    load_dataset_builder,
)
from miniature import WALKS, write_miniatures
from published import ParquetRows

import justzoomin
from gcd_metric.tables import match_ids
from im2gps import Im2GPS
from justzoomin.sources import TABLES, Folder
from justzoomin.views import Prefix, Views, find_rendered, open_views

_log = logging.getLogger("explorer")
TITLES = {"im2gps": "Im2GPS", "justzoomin": "Just Zoom In"}
VARIABLES = {"im2gps": "IM2GPS_REPO", "justzoomin": "JUSTZOOMIN_REPO"}
# Of these is the page's first look, and a game's photos.
_FIRST_SPLITS = ("test", "validation")
_MOST_LOOSE = 10_000  # ids among which one is also sought as the literature's files write it
_PLACE = ["image_id", "latitude", "longitude"]


@dataclass(frozen=True)
class Rows:
    """What is known of a split's photos, one entry a photo.

    Attributes
    ----------
    ids : ndarray of str, shape (n,)
    places : ndarray of shape (n, 2)
        Latitude and longitude in degrees.
    sequences : ndarray of int, shape (n, depth), or None
        The zoom actions, where the data set has them.
    """

    ids: np.ndarray
    places: np.ndarray
    sequences: np.ndarray | None

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        """Take the columns of a table."""
        places = [table.column(name).to_numpy() for name in ("latitude", "longitude")]
        sequences = None
        if "sequence" in table.column_names:
            lists = table.column("sequence").combine_chunks()
            flat = pa.concat_arrays(lists.chunks) if hasattr(lists, "chunks") else lists
            numbers = flat.flatten().to_numpy(zero_copy_only=False)
            sequences = numbers.reshape(len(table), -1).astype(np.int8)
        ids = np.array(table.column("image_id").to_pylist(), dtype=str)
        return cls(ids, np.column_stack(places).astype(float), sequences)

    def find(self, text: str) -> int | None:
        """Return the row of an id, which may come with or without folder and ending."""
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


class Source(Protocol):
    """Where a data set lies."""

    def split_names(self) -> list[str]:
        """Return the names of its splits."""

    def rows(self, split: str) -> Rows:
        """Read what is known of a split's photos."""

    def photo(self, split: str, image_id: str, row: int) -> bytes:
        """Read one photo's file."""

    def view(self, prefix: Prefix) -> bytes | None:
        """Read or draw the overhead view after some actions; None where there are none."""


class Prepared:
    """A folder in a data set's original layout, opened by its builder."""

    def __init__(self, name: str, folder: str) -> None:
        self._name, self._folder = name, folder
        self._rows: dict[str, Any] = {}
        self._views: Views | None = None
        self._drawing = threading.Lock()

    def split_names(self) -> list[str]:
        """See `Source`."""
        return ["test"] if self._name == "im2gps" else ["validation", "train"]

    def rows(self, split: str) -> Rows:
        """See `Source`."""
        rows = self._dataset(split)
        return Rows.of(rows.remove_columns("image").with_format("arrow")[:])

    def photo(self, split: str, image_id: str, row: int) -> bytes:
        """See `Source`."""
        entry = self._dataset(split).cast_column("image", Image(decode=False))[row]["image"]
        return entry["bytes"] or _read(entry["path"])

    def view(self, prefix: Prefix) -> bytes | None:
        """See `Source`."""
        if self._name == "im2gps":
            return None
        with self._drawing:
            if self._views is None:
                self._views = open_views(find_rendered(Folder(self._folder)) or self._folder)
            return self._views.jpeg(prefix)

    def _dataset(self, split: str) -> Any:
        if split not in self._rows:
            if self._name == "im2gps":
                name = Im2GPS.DEFAULT_CONFIG_NAME
                found = load_dataset("im2gps", name, data_dir=self._folder, split=split)
            else:
                found = justzoomin.photos(split, data_dir=self._folder)
            self._rows[split] = found
        return self._rows[split]


class Published:
    """A repository of Parquet files with the features of our builders, on the Hub or in a folder.

    Only the columns without pictures are read whole: of the configuration `metadata` where there
    is one. A photo or view is read from its place.
    """

    def __init__(self, name: str, where: str) -> None:
        path, _, revision = (where, "", "") if Path(where).is_dir() else where.partition("@")
        self._path, self._revision = path, revision or None
        names = get_dataset_config_names(path, revision=self._revision)
        photos = {"im2gps": "im2gps", "justzoomin": "streetview"}[name]
        self._photos_config = photos if photos in names else names[0]
        # of Just Zoom In the same rows without photos; of Im2GPS what Flickr's lists say
        same = name == "justzoomin" and "metadata" in names
        self._rows_config = "metadata" if same else self._photos_config
        self._has_views = "views" in names
        self._opened: dict[tuple[str, str], ParquetRows] = {}
        self._opening = threading.Lock()

    def split_names(self) -> list[str]:
        """See `Source`."""
        names = get_dataset_split_names(self._path, self._photos_config, revision=self._revision)
        return sorted(names, key=lambda n: (*_FIRST_SPLITS, n).index(n))

    def rows(self, split: str) -> Rows:
        """See `Source`."""
        files = self._files(self._rows_config, split)
        wanted = [*_PLACE, "sequence"] if self._has_sequences() else _PLACE
        return Rows.of(files.columns(wanted))

    def photo(self, split: str, image_id: str, row: int) -> bytes:
        """See `Source`."""
        entry = self._files(self._photos_config, split).value("image_id", image_id, "image")
        return entry["bytes"]

    def view(self, prefix: Prefix) -> bytes | None:
        """See `Source`."""
        if not self._has_views:
            return None
        files = self._files("views", "train")
        return files.value("prefix", tuple(prefix), "view")["bytes"]

    def _has_sequences(self) -> bool:
        return self._photos_config == "streetview"

    def _files(self, config: str, split: str) -> ParquetRows:
        with self._opening:
            key = config, split
            if key not in self._opened:
                builder = load_dataset_builder(self._path, config, revision=self._revision)
                self._opened[key] = ParquetRows(builder.config.data_files[split])
            return self._opened[key]


class Collection:
    """One data set as the page knows it.

    Parameters
    ----------
    name : {"im2gps", "justzoomin"}
    source : Source
    synthetic : bool
        Whether it is a miniature.
    depth : int
        How many actions may lead to a view that a map shows beneath; -1 for no views.
    walks : int, optional
        How many photos of the first split, in the order of their ids, have all views of their
        zoom. None: all.
    """

    def __init__(
        self, name: str, source: Source, synthetic: bool, depth: int, walks: int | None = None
    ) -> None:
        self.name, self.title, self.synthetic = name, TITLES[name], synthetic
        self.depth, self.walks = depth, walks
        self.splits = source.split_names()
        self._source = source
        self._rows: dict[str, Rows] = {}
        self._reading = threading.Lock()

    def rows(self, split: str) -> Rows:
        """Return what is known of a split's photos; read once, for all visitors."""
        if split not in self.splits:
            raise ValueError(f"{self.title} has no split {split!r}: {', '.join(self.splits)}")
        if split in self._rows:  # nobody waits for another split that is being read
            return self._rows[split]
        with self._reading:
            if split not in self._rows:
                self._rows[split] = self._source.rows(split)
            return self._rows[split]

    def photo(self, split: str, row: int) -> bytes:
        """Return a photo's file as it is published.

        Raises
        ------
        OSError
            Says no more than that, since visitors read it; the log has the rest.
        """
        image_id = str(self.rows(split).ids[row])
        with self._telling(f"photo {image_id}"):
            return self._source.photo(split, image_id, row)

    def view(self, prefix: Prefix) -> bytes | None:
        """Return the overhead view after some actions, if there is one; errors as of `photo`."""
        with self._telling("overhead view"):
            return self._source.view(prefix)

    def walk_rows(self) -> np.ndarray:
        """Rows of the first split whose zoom has all its views, in the order of their ids."""
        return np.argsort(self.rows(self.splits[0]).ids, kind="stable")[: self.walks]

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any library on the way to a file, here or far away
            _log.warning("%s, %s: %r", self.name, what, error)
            raise OSError(f"{self.title}: the {what} cannot be read at present") from error

    def find(self, text: str) -> tuple[str, int] | None:
        """Return split and row of an id; the splits that were looked at before come first."""
        for split in sorted(self.splits, key=lambda split: split not in self._rows):
            row = self.rows(split).find(text)
            if row is not None:
                return split, row
        return None


def open_collections(settings: Mapping[str, str], folder: Path) -> dict[str, Collection]:
    """Open both data sets.

    Parameters
    ----------
    settings : mapping of str to str
        The environment: see app.py.
    folder : Path
        Where miniatures are written, or were.

    Returns
    -------
    dict of Collection by name

    Raises
    ------
    ValueError, OSError
        Names the variable whose data set cannot be opened.
    """
    places = {name: settings.get(variable, "").strip() for name, variable in VARIABLES.items()}
    if not all(places.values()):
        write_miniatures(folder)
    found = {}
    for name, where in places.items():
        if not where:
            depth = 1 if name == "justzoomin" else -1
            source: Source = Prepared(name, str(folder / name))
            found[name] = Collection(name, source, True, depth, WALKS)
            continue
        try:
            found[name] = _opened(name, where)
        except Exception as error:  # of any library that opens it; which variable is what helps
            raise ValueError(f"{VARIABLES[name]}={where}: {error}") from error
    return found


def _opened(name: str, where: str) -> Collection:
    folder = Path(where).expanduser()
    if folder.is_dir() and _is_original(name, folder):
        depth = 3 if name == "justzoomin" and _has_overhead(folder) else -1
        return _looked_at(Collection(name, Prepared(name, str(folder.resolve())), False, depth))
    if not folder.is_dir() and where.startswith((".", "/", "~")):
        raise FileNotFoundError("there is no such folder")
    if folder.is_dir() and not any(folder.rglob("*.parquet")):
        raise ValueError(  # of Im2GPS its builder says so
            f"this folder holds neither Parquet files as published nor, as the authors lay it out, "
            f"metadata/{TABLES['validation']}"
        )
    source = Published(name, str(folder.resolve()) if folder.is_dir() else where)
    return _looked_at(Collection(name, source, False, 3 if source.view(()) else -1))


def _looked_at(collection: Collection) -> Collection:
    collection.rows(collection.splits[0])  # what is wrong with it shows now, not to a visitor
    return collection


def _is_original(name: str, folder: Path) -> bool:
    """Tell the layout of a data set's authors from published Parquet files."""
    if name == "justzoomin":  # the authors have a Parquet file among others, too
        return (folder / "metadata" / TABLES["validation"]).is_file()
    return not any(folder.glob("*/*-of-*.parquet"))


def _has_overhead(folder: Path) -> bool:
    tiles = ("archives/satellite_level_*.tar", "satellite/*/*")  # as the Hub has them; extracted
    rendered = find_rendered(Folder(str(folder)))
    return rendered is not None or any(any(folder.glob(pattern)) for pattern in tiles)


def _read(path: str) -> bytes:
    import fsspec

    with fsspec.open(path, "rb") as file:
        return file.read()
