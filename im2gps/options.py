"""The options of `load_dataset("im2gps", …)`, and the files that each configuration reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from geoload.builder import Config, row_modules
from geoload.files import is_clutter, is_remote, local_path, signature
from im2gps import metadata, osv5m
from im2gps.packs import find_pack, folder_photos, only_pack
from im2gps.sets import SETS, PhotoSet, fetch_by_hand
from im2gps.training import VALIDATION_FRACTION, find_shards
from im2gps.truth import Columns, Truth, read_truth

PROJECT_PAGE = "http://graphics.cs.cmu.edu/projects/im2gps/"
DEFAULT = "im2gps"
VERSION = datasets.Version("1.0.0")
NO_TRAINING_SET = """\
The 6,472,304 training photos of Im2GPS cannot be downloaded: they exist only as lists of Flickr \
ids. Build shards once: `im2gps search` gets lists from Flickr, `im2gps lists` makes a table, \
and `im2gps build PHOTOS.parquet -o FOLDER` fetches the photos. Then load_dataset("im2gps", \
data_dir="FOLDER") has the splits train, validation and test. To load other shards, with \
coordinates in their JSON files: load_dataset("im2gps", data_files="their/*.tar"). Without shards, \
and in all other configurations, the only split is "test"."""
_TABLES = (".csv", ".parquet")


@dataclass
class Im2GPSConfig(Config):
    """The options for loading photos.

    Parameters
    ----------
    coordinates : str, optional
        Path of the CSV or Parquet file with the coordinates, if there are several.
    columns : bool or list of str
        Names of further columns of that table that rows get, such as `AUTHOR`, or True for all.
    original_bytes : bool
        Give the files as they are, with the coordinates, owner and title inside.
    skip_broken : bool
        Leave out and count photos that cannot be used, instead of raising an error.
    strict : bool
        Raise an error for everything that would be counted and reported.
    base_url : str
        Where the ZIP files are downloaded from.
    records : bool
        Add the column `record`: JSON text with everything else that is known of a photo. For
        training photos these are the fields of Flickr's list (photographer, title, tags, dates,
        licence number), for test photos the fields of their comments.
    validation_fraction : float
        Share of the photographers whose training photos form the split validation.
    splits : list of str, optional
        The splits to prepare. Without streaming, `datasets` prepares all splits by default.
    repository, revision : str, optional
        The dataset repository of `osv5m`, or a copy of it, and its commit, branch or tag.
    """

    coordinates: str | None = None
    columns: Columns = False
    original_bytes: bool = False
    skip_broken: bool = False
    records: bool = False
    base_url: str = PROJECT_PAGE
    validation_fraction: float = VALIDATION_FRACTION
    splits: list[str] | None = None
    repository: str | None = None
    revision: str | None = None

    ROW_MODULES: ClassVar[tuple[str, ...]] = row_modules(
        gcd_metric="binary_files columns coordinates csv_files json_files matching names opened "
        "readers summaries tables",
        geoload="builder files jpeg remote tables tar",
        im2gps="im2gps metadata options osv5m packs photo photo_table rows sets training truth",
    )  # fmt: skip

    @property
    def known(self) -> PhotoSet:
        """What is published of the set."""
        return SETS.get(self.name, PhotoSet(self.description or ""))

    def shards(self) -> dict[str, list[str]]:
        """Return the training shards of each split; those of `data_dir` contain both splits."""
        if self.data_files is not None:
            return {split: list(files) for split, files in self.data_files.items()}
        if self.data_dir is None or self.name != DEFAULT:
            return {}
        found = find_shards(self.data_dir)
        return {"train": found, "validation": found} if found else {}

    def files(self, token: Any = None) -> osv5m.Files:
        """Return where the files of `osv5m` are, and what is read of them."""
        repository = self.repository or osv5m.REPOSITORY
        where = repository, str(self.revision), self.data_dir, token
        return osv5m.Files(*where, self.columns, self.original_bytes, self.skip_broken)

    def features(self) -> datasets.Features:
        """Return the columns of the rows."""
        if self.name == metadata.NAME:
            return metadata.features()
        number, text = datasets.Value("float64"), datasets.Value("string")
        features = datasets.Features({"image": datasets.Image(), "image_id": text})
        features.update(dict.fromkeys(("latitude", "longitude"), number))
        if self.records:
            features["record"] = text
        if self.name == osv5m.NAME:
            features.update(osv5m.features(self.columns))
        elif self.columns and (truth := self.truth()):
            features.update(truth.features)
        return features

    def source(self) -> str:
        """Return the path of the local ZIP or folder, or the address of the ZIP."""
        archive = self.known.archive
        address = self.base_url.rstrip("/") + "/" + archive
        if self.data_dir is None:
            return address
        if not archive:
            return only_pack(self.data_dir)
        try:
            return find_pack(
                self.data_dir, archive, {s.archive for s in SETS.values()} - {archive, ""}
            )
        except FileNotFoundError as error:
            if self.shards():
                return address
            if self.known.coordinates_only and self.table():
                return ""
            if self.known.table and folder_photos(self.data_dir):
                return str(self.data_dir)  # the table says which of them belong to the set
            hint = _right_folder(self.data_dir, archive)
            if not hint and self.name == DEFAULT:
                hint = "It may also contain training shards, as `im2gps build` writes them."
            if not hint and self.known.table:
                hint = fetch_by_hand(self.name)
            raise FileNotFoundError(f"{error} {hint}".strip()) from None

    def table(self) -> str | None:
        """Return the path of the table of coordinates, or None if they are in the photos."""
        if not self.known.table:
            return None
        if self.data_dir is None:
            raise ValueError(fetch_by_hand(self.name))
        try:
            return self.coordinates or find_coordinates(self.data_dir, self.known.table)
        except FileNotFoundError as error:
            hint = fetch_by_hand(self.name) if self.known.archive else ""
            raise FileNotFoundError(f"{error} {hint}".rstrip()) from None

    def truth(self) -> Truth | None:
        """Return the table of coordinates, or None if they are in the photos."""
        path = self.table()
        return None if path is None else read_truth(path, self.columns, self.skip_broken)

    def source_key(self) -> Any:
        """Return names, sizes and times of all files read, or their addresses."""
        if self.name == metadata.NAME:
            return metadata.key(self.data_dir)
        if self.name == osv5m.NAME:
            return self.files().key()
        shards = sorted({file for files in self.shards().values() for file in files})
        if self.data_files is not None:
            # `datasets` adds the time or the ETag of remote files to the key itself.
            return signature([file for file in shards if not is_remote(file)], "/")
        source = self.source()
        if self.data_dir is None:
            return source
        files = [source] if source and not is_remote(source) else []
        if files and os.path.isdir(source):
            files = [str(photo) for photo in folder_photos(source)]
        table = self.table()
        return [source, signature([*files, *([table] if table else []), *shards], self.data_dir)]


_DESCRIPTIONS = {
    **{name: known.description for name, known in SETS.items()},
    osv5m.NAME: osv5m.DESCRIPTION,
    metadata.NAME: "What Flickr's lists say of the training photos, without photos.",
}
CONFIGS = [
    Im2GPSConfig(name=name, version=VERSION, description=text)
    for name, text in _DESCRIPTIONS.items()
]


def find_coordinates(folder: str, usual: str = "") -> str:
    """Return the path of the one CSV or Parquet file in a folder, or beside a ZIP.

    Of several, it is the one with the `usual` name.
    """
    where = Path(folder) if os.path.isdir(folder) else Path(folder).parent
    if usual and (where / usual).is_file():
        return str(where / usual)
    files = [path for path in where.iterdir() if not is_clutter(path.name)]
    tables = sorted(path for path in files if path.suffix.lower() in _TABLES)
    if len(tables) == 1:
        return str(tables[0])
    found = ", ".join(p.name for p in tables[:5]) or "none"
    raise FileNotFoundError(
        f"{where} should contain one CSV or Parquet file of coordinates; found: {found}. Name the "
        "right one with coordinates='path/to/it.csv'."
    )


def resolve_paths(options: dict[str, Any]) -> None:
    """Make `data_dir` and `coordinates` absolute; `coordinates` may name a file in `data_dir`."""
    folder = options.get("data_dir")
    if folder is not None:
        options["data_dir"] = folder = local_path(folder)
    table = options.get("coordinates")
    if table is not None:
        beside = ""
        if folder is not None:
            where = folder if os.path.isdir(folder) else os.path.dirname(folder)
            beside = os.path.join(where, table)
        found = beside if os.path.isfile(beside) else local_path(table, "coordinates")
        options["coordinates"] = found


def check_options(options: dict[str, Any]) -> None:
    """Raise ValueError for options that make no sense, alone or with the others."""
    if options.get("config_name") == metadata.NAME:
        metadata.check_options(options, Im2GPSConfig)
    columns = options.get("columns")
    if isinstance(columns, str):
        options["columns"] = columns = [columns]
    if not isinstance(columns, (bool, type(None))):
        columns = list(columns) if isinstance(columns, Iterable) else [columns]
        if not all(isinstance(name, str) for name in columns):
            raise ValueError(f"columns={columns}: give names of columns, or True for all.")
        options["columns"] = columns
    if options.get("config_name") == osv5m.NAME:
        osv5m.check_options(options)
    elif options.get("repository") or options.get("revision") not in (None, "main"):
        raise ValueError(
            f"im2gps has no revisions but for {osv5m.NAME!r}: other files come from the project "
            "page or from data_dir=. Leave revision= and repository= out."
        )
    else:
        options.pop("revision", None)
    fraction = options.get("validation_fraction")
    if fraction is None:
        return
    if not 0 <= fraction <= 1:
        raise ValueError(f"validation_fraction={fraction}: must be from 0 to 1.")
    if options.get("data_files") is not None:
        raise ValueError(
            "validation_fraction= is for a folder that `im2gps build` wrote. With data_files= name "
            'the splits: {"train": "a/*.tar", "validation": "b/*.tar"}.'
        )


def check_resolved(config: Im2GPSConfig) -> None:
    """Raise ValueError for a table that is not used, or `data_files` that are not TAR files."""
    for option in ("coordinates", "columns"):
        has_columns = option == "columns" and config.name == osv5m.NAME
        if getattr(config, option) and not (config.known.table or has_columns):
            names = ", ".join(name for name, known in SETS.items() if known.table)
            raise ValueError(
                f"{option}= is for the configurations with a table ({names}); {config.name!r} has "
                "none."
            )
    for split, files in (config.data_files or {}).items():
        others = [file for file in files if not file.endswith(".tar")]
        if others or not files:
            raise ValueError(
                f"data_files=, split {split}: {others[0] if others else 'no file'} found, but "
                "these should be WebDataset shards, as in data_files='shards/*.tar'."
            )


def _right_folder(folder: str, archive: str) -> str:
    """Return a hint if a folder was written by `im2gps publish`, or is one level too high."""
    if not os.path.isdir(folder):
        return ""
    here = Path(folder)
    if (here / "README.md").is_file() and any(here.glob("*/*-[0-9]*-of-[0-9]*.*")):
        return f'This folder was written by `im2gps publish`: load_dataset("{folder}").'
    for below in sorted(path for path in here.iterdir() if path.is_dir()):
        if (below / archive).is_file() or find_shards(str(below)):
            return f'Did you mean data_dir="{below}"?'
    return ""
