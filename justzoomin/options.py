"""The options of `load_dataset("justzoomin", …)`, and what every configuration defines."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gcd_metric.options import check_choice
from geoload.builder import Config, row_modules
from geoload.files import local_path
from geoload.hub import resolve_commit
from geoload.pictures import Size, check_size
from geoload.report import Findings
from justzoomin.findings import Done, StreamedFindings
from justzoomin.source import REPOSITORY, REVISION, TABLES, Folder, Hub, Source
from justzoomin.splits import SPLIT_BY
from justzoomin.views import check_view_size
from justzoomin.zoom import DEPTH

Row = tuple[str, dict[str, Any]]

_PHOTOS = ("streetview", "zoom")
_WITH_IDS = ("streetview", "metadata", "zoom")
# Options that other configurations would ignore.
_ONLY_FOR = {
    "levels": ("satellite",),
    "covered": _WITH_IDS,
    "split_by": _WITH_IDS,
    "image_size": _PHOTOS,
}


@dataclass
class JustZoomInConfig(Config):
    """What to load, and from where.

    Parameters
    ----------
    repository : str
        The dataset repository on the Hub, or a fork of it.
    revision : str, optional
        Its commit, branch or tag. None is the commit that this package was made for, or the
        newest commit of a fork.
    metadata_dir : str, optional
        Folder of the two CSV files, if it is not `metadata/` under the data_dir.
    shards : list of int, optional
        Numbers of the TAR shards to read; the others are not downloaded.
    splits : list of str, optional
        The splits to prepare. Without streaming, `datasets` prepares all, even if one is requested.
    split_by : {"table", "blocks"}
        How photos are divided: as the tables say, or by blocks of the city (see
        `justzoomin.splits`), so that no validation photo has a training photo within 100 m.
    in_place : bool
        Without streaming: leave the photos in their files and read each when its row is accessed,
        instead of copying all of them into the cache. The files must stay where they are.
    image_size : int or (int, int), optional
        Give the photos at this size: the shorter side in pixels (nothing is enlarged), or height
        and width. They are decoded at a fraction of their size, which is fast, and encoded again.
    strict : bool
        Raise an error for everything that would be reported.
    views : str, optional
        Path of the shard that `justzoomin render` wrote, if it is not `views/views_384.tar`
        of the source. For `zoom`, `views` and `cells`.
    size : int, optional
        Side of the overhead views in pixels, 8 to 16,384. By default 384; for cells of four
        actions 96, which is the size of a cell in the view before it.
    depth : int
        Number of actions that lead to a cell of `cells`.
    levels : list of int, optional
        Zoom levels of `satellite`; the others are not downloaded.
    covered : bool or str
        Join the columns of `streetview/metadata_satellite_covered`, or of the CSV or Parquet file
        of that path, to the photos' rows by image_id. A photo without a row there gets None, and a
        column whose name the rows have already gets the prefix `covered_`.
    covered_id : str, optional
        The column there that names the photo, if it is not found by its name.
    """

    repository: str = REPOSITORY
    revision: str | None = None
    metadata_dir: str | None = None
    shards: list[int] | None = None
    splits: list[str] | None = None
    split_by: str = "table"
    in_place: bool = False
    image_size: Size | None = None
    views: str | None = None
    size: int | None = None
    depth: int = DEPTH
    levels: list[int] | None = None
    covered: bool | str = False
    covered_id: str | None = None

    ROW_MODULES: ClassVar[tuple[str, ...]] = row_modules(
        gcd_metric="columns coordinates distances matching names options yaml_files",
        geoload="builder files jpeg pictures remote tables tar tar_index tar_reader",
        justzoomin="configs.covered configs.overhead configs.satellite configs.streetview "
        "configs.zoom findings justzoomin layout members mosaic options source splits table tiles "
        "view_table views zoom",
    )  # fmt: skip

    def source(self, token: Any = None) -> Source:
        """Return where the files are; `token` is for the Hub."""
        hub = Hub(
            self.repository, self.revision or REVISION, token, self.metadata_dir, self.split_by
        )
        if not self.data_dir:
            return hub
        return Folder(self.data_dir, self.metadata_dir, hub, self.split_by)

    # Methods that the configurations in `configs` override.

    def split_names(self) -> list[str]:
        """Return the splits to prepare."""
        return list(self.splits or TABLES)

    def features(self, source: Source) -> dict[str, Any]:
        """Return the columns and their types."""
        raise NotImplementedError

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        """Return the parts of the data, which are divided among workers.

        `dl_manager` is that of `datasets`, with which files are downloaded, or None to stream.
        """
        raise NotImplementedError

    def left_in_place(self, parts: list[Any]) -> list[str]:
        """Return the files that rows will point into."""
        return []

    def rows(self, source: Source, parts: list[Any], split: str, done: Done) -> Iterator[Row]:
        """Yield the rows of parts with their keys, and call `done` after each part."""
        raise NotImplementedError

    def combine_findings(
        self, source: Source, split: str, findings: Findings, found: list[np.ndarray]
    ) -> Findings:
        """Return the report of a split from the findings of its parts."""
        return findings

    def streamed_findings(self, source: Source, split: str, count: int) -> StreamedFindings:
        """Return what collects the findings of a streamed pass over `count` parts of a split."""
        combine = functools.partial(self.combine_findings, source, split)
        return StreamedFindings(f"split {split}", count, self.strict, combine)


def check_options(options: dict[str, Any]) -> None:
    """Check the options that a user gave, and normalize them in place.

    A branch or tag becomes the commit that it names now, because rows are cached by commit.

    Raises
    ------
    ValueError
        For an option that is invalid, contradicts another, or does not apply.
    FileNotFoundError
        For a path where there is nothing.
    """
    name = options.get("config_name") or "streetview"
    given = {option: value for option, value in options.items() if value is not None}
    covered = given.get("covered", False)
    if isinstance(covered, os.PathLike):
        covered = given["covered"] = os.fspath(covered)
    if not isinstance(covered, (bool, str)):
        raise ValueError(f"covered={covered!r}: give True, or the path of a table.")
    for option in ("data_dir", "metadata_dir", "views", "covered"):
        if isinstance(given.get(option), (str, os.PathLike)):
            options[option] = given[option] = local_path(given[option], option)
    if "data_dir" in given and name in _WITH_IDS:
        folder = Folder(given["data_dir"], given.get("metadata_dir"))
        folder.check(photos=name != "metadata")
    for option, configurations in _ONLY_FOR.items():
        if given.get(option) not in (None, False) and name not in configurations:
            listed = ", ".join(f'"{one}"' for one in configurations)
            raise ValueError(f'{option}= is an option of {listed}, not of "{name}".')
    if "covered_id" in given and not covered:
        raise ValueError("covered_id= names a column of the table that covered=True joins.")
    for option in ("shards", "levels"):
        if option in given:
            options[option] = _numbers(given[option], option)
    if given.get("split_by", "table") != "table":
        check_choice("split_by", given["split_by"], SPLIT_BY)
    if "size" in given:
        options["size"] = check_view_size(given["size"])
    if "splits" in given:
        options["splits"] = check_splits(given["splits"])
    if "image_size" in given:
        options["image_size"] = check_size(given["image_size"])
        if given.get("in_place"):
            raise ValueError(
                "in_place=True leaves the photos as they are: leave image_size= out, and resize "
                "them when they are read, with the transform justzoomin.Resize."
            )
    _pin(options, given)


def _pin(options: dict[str, Any], given: dict[str, Any]) -> None:
    if "data_dir" in given:
        if "revision" in given or "repository" in given:
            raise ValueError(
                "data_dir= and revision= or repository= contradict each other: rows come from the "
                "folder or from the Hub. Leave one out."
            )
        return
    repository = given.get("repository", REPOSITORY)
    if "revision" in given or repository != REPOSITORY:
        revision = str(given.get("revision", "main"))
        options["revision"] = resolve_commit(repository, revision, given.get("token"))


def _numbers(value: Any, option: str) -> list[int]:
    numbers = [value] if isinstance(value, int) else value
    if isinstance(numbers, str) or not all(type(number) is int for number in numbers):
        raise ValueError(
            f"{option}={value!r}: name the {option} by their numbers, as in {option}=[0]."
        )
    return sorted(set(numbers))


def check_splits(splits: Any) -> list[str]:
    """Return names of splits in their usual order; raises ValueError for one that is unknown."""
    names = [splits] if isinstance(splits, str) else [str(split) for split in splits]
    if not names or not {*names} <= {*TABLES}:
        raise ValueError(f"splits={names}: the splits are {', '.join(TABLES)}.")
    return [name for name in TABLES if name in names]
