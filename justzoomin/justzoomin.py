"""Just Zoom In: street photos of Washington, D.C., where each was taken, and the zoom to there.

On disk: TAR shards of photos and a CSV for each split that names them; or the same, extracted.
This file is the data set builder, and on datasets 3 the loading script.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import datasets
import numpy as np

from geoload.builder import Builder, Config, row_modules
from geoload.files import local_path, signature, write_json
from geoload.hub import resolve_commit
from geoload.pictures import Size, check_size
from geoload.report import Findings
from justzoomin import satellite
from justzoomin.archives import WHITE
from justzoomin.covered import Covered, covered_signature, read_covered
from justzoomin.overhead import cell_parts, cell_rows, overhead_files, view_rows
from justzoomin.sources import REPOSITORY, REVISION, TABLES, Folder, Hub, Part, other_split
from justzoomin.streetview import Join, Pass, split_report, table_report
from justzoomin.table import Table, read_table
from justzoomin.views import (
    SIZE,
    WHITE_PHOTOS,
    DrawnViews,
    RenderedViews,
    Views,
    check_view_size,
    find_rendered,
    open_views,
    white_views,
    zoom_record,
)
from justzoomin.zoom import DEPTH, GRID

_CITATION = """\
@article{erzurumlu2026justzoomin,
  title   = {Just Zoom In: Cross-View Geo-Localization via Autoregressive Zooming},
  author  = {Erzurumlu, Yunus Talha and Kwag, Jiyong and Yilmaz, Alper},
  journal = {arXiv preprint arXiv:2603.25686},
  year    = {2026}
}"""
_log = logging.getLogger(__name__)
_PLACES = "shards.json"
_TILES_ONLY = ("views", "cells", "satellite")
_WITH_IDS = ("streetview", "metadata", "zoom")
_SPLITS = {"train": datasets.Split.TRAIN, "validation": datasets.Split.VALIDATION}


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
        Folder of the two CSV files, where it is not `metadata/` under the data_dir.
    shards : list of int, optional
        Numbers of the TAR shards to read; the others are not even downloaded.
    splits : list of str, optional
        The splits to prepare. Without streaming, `datasets` prepares all, whichever is asked for.
    in_place : bool
        Without streaming: leave the photos in their files and read each when a row is asked for,
        instead of copying all of them into the cache. The files must stay where they are.
    image_size : int or (int, int), optional
        Give the photos at this size: the shorter side in pixels (nothing is enlarged), or height
        and width. They are decoded at a fraction of their size, which is fast, and coded anew.
    strict : bool
        Make everything that would be reported an error.
    views : str, optional
        Path of the shard that `justzoomin render` wrote, where it is not `views/views_384.tar`
        of the source. For `zoom`, `views` and `cells`.
    size : int, optional
        Side of the overhead views in pixels, 8 to 16,384. By default 384; for cells of four
        actions 96, which is what a cell has in the view before it.
    depth : int
        How many actions lead to a cell of `cells`.
    levels : list of int, optional
        Zoom levels of `satellite`; the others are not even downloaded.
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
    in_place: bool = False
    image_size: Size | None = None
    photos: bool = True
    views: str | None = None
    size: int | None = None
    depth: int = DEPTH
    levels: list[int] | None = None
    covered: bool | str = False
    covered_id: str | None = None

    ROW_MODULES: ClassVar[tuple[str, ...]] = row_modules(
        gcd_metric="names",
        geoload="builder files jpeg output_folder pictures remote tar tar_index tar_reader",
        justzoomin="archives covered decoded justzoomin layout mosaic overhead plan predictions satellite "
        "selection side_files sources streetview table tile_files tiles views zoom",
    )  # fmt: skip

    @property
    def pixels(self) -> int:
        """The side of the overhead views in pixels."""
        return self.size or (SIZE // GRID if self.name == "cells" and self.depth == DEPTH else SIZE)

    def source(self, token: Any = None) -> Hub | Folder:
        """Return where the files lie; `token` is for the Hub."""
        hub = Hub(self.repository, self.revision or REVISION, token, self.metadata_dir)
        return Folder(self.data_dir, self.metadata_dir, hub) if self.data_dir else hub

    def covered_table(self, token: Any = None) -> Covered | None:
        """Return the table of `covered`, or None where it is not asked for."""
        if not self.covered:
            return None
        taken = _features(self.name)
        return read_covered(self.source(token), self.covered, self.covered_id, taken)

    def source_key(self) -> Any:
        """Return the commit, or the names, sizes and times of all files read."""
        if self.name in ("streetview", "metadata"):
            key = self.source().key(self.shards, self.photos)
            return [key, covered_signature(self.source(), self.covered)] if self.covered else key
        if self.name == "satellite":
            return satellite.source_key(self.source(), self.levels)
        # `zoom` is only streamed, so nothing of it is kept.
        files = [self.views] if self.views else overhead_files(self.data_dir)
        return [self.repository, self.revision, self.data_dir, signature(files, "/")]


class JustZoomIn(Builder):
    """Street photos with the coordinates and the zoom actions that lead to them.

    Rows of `streetview` have `image`, `image_id`, `latitude`, `longitude` (decimal degrees,
    WGS 84) and `sequence` (the actions, row · 4 + column of a 4 × 4 grid); rows of `metadata`
    have the same without the image. Rows of `satellite` are the overhead tiles: `image`, `level`,
    `x`, `y`, the box around it in degrees (`south`, `west`, `north`, `east`), its centre
    (`latitude`, `longitude`) and its side, `ground_size_m`.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = JustZoomInConfig
    BUILDER_CONFIGS = [
        JustZoomInConfig(
            name="streetview",
            version=VERSION,
            description="Street photos with coordinates and zoom actions.",
        ),
        JustZoomInConfig(
            name="metadata",
            version=VERSION,
            description="Coordinates and zoom actions, without the photos.",
            photos=False,
        ),
        JustZoomInConfig(
            name="zoom",
            version=VERSION,
            description="Street photos with the overhead views along their zoom path.",
        ),
        JustZoomInConfig(
            name="views",
            version=VERSION,
            description="The overhead views along all zoom paths, rendered once.",
            photos=False,
        ),
        JustZoomInConfig(
            name="cells",
            version=VERSION,
            description="Every cell of a depth with its view: a retrieval data base.",
            photos=False,
        ),
        JustZoomInConfig(
            name="satellite",
            version=VERSION,
            description="The overhead tiles, with where each lies.",
            photos=False,
        ),
    ]
    DEFAULT_CONFIG_NAME = "streetview"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("size") is not None:
            kwargs["size"] = check_view_size(kwargs["size"])
        for option in ("data_dir", "metadata_dir", "views"):
            if kwargs.get(option) is not None:
                kwargs[option] = local_path(kwargs[option], option)
        if kwargs.get("splits") is not None:
            kwargs["splits"] = _known_splits(kwargs["splits"])
        if kwargs.get("data_dir") is not None and kwargs.get("config_name") not in _TILES_ONLY:
            folder = Folder(kwargs["data_dir"], kwargs.get("metadata_dir"))
            folder.check(photos=kwargs.get("config_name") != "metadata")
        for option in ("shards", "levels"):
            if kwargs.get(option) is not None:
                kwargs[option] = _numbers(kwargs[option], option)
        _check_options(kwargs)
        if kwargs.get("image_size") is not None:
            kwargs["image_size"] = check_size(kwargs["image_size"])
            if kwargs.get("config_name") not in (None, "streetview", "zoom"):
                raise ValueError(
                    f"image_size= is for street photos; {kwargs['config_name']!r} has none."
                )
            if kwargs.get("in_place"):
                raise ValueError(
                    "in_place=True leaves the photos as they are: leave image_size= out, and "
                    "resize them when they are read, with the transform justzoomin.Resize."
                )
        _pin(kwargs)
        self._passes: dict[str, Pass] = {}
        self._tile_pass: satellite.TilePass | None = None
        self._opened: Views | None = None
        self._compared: set[str] = set()
        super().__init__(*args, **kwargs)

    def split_names(self) -> list[str]:
        """Return the splits that will be prepared."""
        if self.config.name in _TILES_ONLY:
            return ["train"]
        return list(self.config.splits or TABLES)

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """See `datasets.DatasetBuilder`; refuses `zoom`, whose pictures would be stored doubly."""
        if self.config.name == "zoom":
            raise ValueError(
                'load_dataset("justzoomin", "zoom") without streaming would store 1.2 million '
                "pictures, each view again for every photo. Use streaming=True; or load "
                '"streetview" and add the views when a row is read: '
                "rows.with_transform(justzoomin.ZoomViews(source))."
            )
        if self._are_gone():
            kwargs["download_mode"] = datasets.DownloadMode.REUSE_CACHE_IF_EXISTS
        super().download_and_prepare(*args, **kwargs)

    def _are_gone(self) -> bool:
        """Tell whether cached rows point to shards that the Hub's cache no longer holds."""
        file = os.path.join(self.cache_dir, _PLACES)
        if not self.config.in_place or not os.path.isfile(file):
            return False
        with open(file, encoding="utf-8") as places:
            return not all(map(os.path.exists, json.load(places)))

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.config.description or "",
            features=datasets.Features(self._features()),
            homepage="https://osupcvlab.github.io/just-zoom-in/",
            license="cc-by-sa-4.0",
            citation=_CITATION,
        )

    def _features(self) -> dict[str, Any]:
        covered = self.config.covered_table(self.token)
        return {**_features(self.config.name), **(covered.features() if covered else {})}

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        parts = self._parts(dl_manager)
        folder = self.findings_folder(dl_manager)
        arguments = {"parts": parts, "count": len(parts), "findings": folder}
        return [
            datasets.SplitGenerator(_SPLITS[split], gen_kwargs={**arguments, "split": split})
            for split in self.split_names()
        ]

    def _parts(self, dl_manager: Any) -> list[Any]:
        source = self.config.source(self.token)
        if self.config.name == "satellite":
            if dl_manager.is_streaming:
                return satellite.tile_parts(source, self.config.levels)
            levels, cache = self.config.levels, self.cache_dir
            return satellite.download_tiles(source, levels, dl_manager, cache)
        if self.config.name == "metadata":
            return [Part("", "metadata")]
        if self.config.name == "views":
            path = self._rendered(needed=True)
            RenderedViews(path, self.config.size)
            return [Part(path, "views")]
        if self.config.name == "cells":
            parts = cell_parts(self.config.depth)
            self._views()  # what is wrong with it shows here, before any work
            return parts
        if self.config.name == "zoom":
            self._views()
        shards, in_place = self.config.shards, self.config.in_place
        if dl_manager.is_streaming:
            parts = source.parts(shards)
        else:
            parts = source.download(shards, dl_manager, None if in_place else self.cache_dir)
        places = sorted({part.path for part in parts})
        if in_place and not dl_manager.is_streaming:
            write_json(os.path.join(self._output_dir, _PLACES), places)
        if not in_place or os.path.isdir(places[0]):
            return parts
        return [Part("", "photos in place", shards=tuple(places))]

    def _generate_examples(
        self, parts: list[Any], count: int, split: str, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        rows = self._rows(parts, count, split, findings)
        covered = self.config.covered_table(self.token)
        if covered is None:
            yield from rows
            return
        if findings is None and split not in self._compared:
            self._compared.add(split)
            covered.say(split, *self._tables(split), self.config.strict)
        for place, record in rows:
            yield place, {**record, **covered.record(record["image_id"])}

    def _rows(
        self, parts: list[Any], count: int, split: str, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.config.name == "metadata":
            yield from self._metadata_rows(split, findings)
        elif self.config.name == "satellite":
            yield from self._tile_rows(parts, count, findings)
        elif self.config.name in ("views", "cells"):
            yield from self._view_rows(parts, findings)
        else:
            yield from self._street_rows(parts, count, split, findings)

    def _view_rows(
        self, parts: list[Part], findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        views = self._views() if self.config.name == "cells" else None
        for part in parts:
            rows = cell_rows(part, self.config.depth, views) if views else view_rows(part.path)
            report = Findings()
            for name, record in rows:
                if record["white"]:
                    report.add(WHITE, name)
                yield name, record
            report.raise_or_log(part.name, self.config.strict, _log if findings is None else None)
            self.save_findings(findings, f"train-{part.name}".replace("/", "-"), report)

    def _metadata_rows(
        self, split: str, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        table, others = self._tables(split)
        for row in range(len(table)):
            yield str(row), table.record(row)
        report = table_report(table, others)
        log = _log if findings is None else None
        report.raise_or_log(f"justzoomin, split {split}", self.config.strict, log)
        self.save_findings(findings, f"{split}-table", report)

    def _street_rows(
        self, parts: list[Part], count: int, split: str, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        white = Findings()

        def keep(part: Part, report: Findings, found: np.ndarray) -> None:
            name = f"{split}-{part.name}".replace("/", "-")
            self.save_findings(findings, name, report, found)

        def leave_streamed(part: Part, report: Findings, found: np.ndarray) -> None:
            white.raise_or_log(f"{part.name}, split {split}", self.config.strict)
            report.merge(white)
            white.clear()
            self._passes[split].leave(part, report, found)

        source = self.config.source(self.token)
        if split not in self._passes:
            some = self.config.shards is not None
            self._passes[split] = Pass(source, split, count, self.config.strict, some)
        leave = leave_streamed if findings is None else keep
        views = self._views() if self.config.name == "zoom" else None
        join = Join(source, split, self.config, leave)
        for row, place, name, data in join.samples(parts):
            # Not os.path.basename: while streaming, `datasets` has a slow one of its own here.
            record = join.table.record(row)
            path = name if data is None else name.rpartition("/")[2]
            record["image"] = {"bytes": data, "path": path}
            if views is not None:
                record.update(zoom_record(join.table.sequence[row], views))
                if white_views(join.table.sequence[row], views):
                    white.add(WHITE_PHOTOS, join.table.image_id[row])
            yield place, record

    def _tile_rows(
        self, parts: list[Any], count: int, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        def keep(part: satellite.TilePart, report: Findings, found: np.ndarray) -> None:
            self.save_findings(findings, f"train-{part.name}".replace("/", "-"), report, found)

        if self._tile_pass is None:
            self._tile_pass = satellite.TilePass(count, self.config.strict)
        leave = self._tile_pass.leave if findings is None else keep
        source = self.config.source(self.token)
        yield from satellite.Tiles(source, self.config.strict, leave).rows(parts)

    def _tables(self, split: str) -> tuple[Table, Table]:
        source = self.config.source(self.token)
        return read_table(source.table(split)), read_table(source.table(other_split(split)))

    def _rendered(self, needed: bool = False) -> str:
        """Return the path of the rendered shard, or nothing where there is none."""
        source = self.config.source(self.token)
        found = self.config.views or find_rendered(source, self.config.pixels)
        if found is None and needed:
            folder, pixels = self.config.data_dir, self.config.pixels
            command = "justzoomin render" + (f" --data-dir {folder}" if folder else "")
            command += f" --size {pixels}" if pixels != SIZE else ""
            raise FileNotFoundError(
                f"There is no views/views_{pixels}.tar in {folder or source.repository}: render it "
                f"once with `{command}`, or name one that lies elsewhere with views=."
            )
        return found or ""

    def _views(self) -> Views:
        """Return the overhead views, which all parts share."""
        if self._opened is None:
            self._opened = self._open_views()
        return self._opened

    def _open_views(self) -> Views:
        config, rendered = self.config, self._rendered()
        source = config.source(self.token)
        tiles = config.data_dir or source
        if config.name == "zoom":
            if rendered:
                return RenderedViews(rendered, config.size)
            sequences = read_table(source.table("validation")).sequence
            return open_views(tiles, config.pixels, len(sequences[0]) if sequences else DEPTH)
        if rendered and config.depth < DEPTH:
            return RenderedViews(rendered, config.size)
        return DrawnViews(tiles, config.pixels, [config.depth])

    def combine_findings(self, split: str, findings: Findings, found: list[np.ndarray]) -> Findings:
        """Add rows without a picture and ids that occur twice to the parts' findings."""
        if self.config.name == "satellite":
            findings.merge(satellite.twice(found))
        report = findings
        if self.config.photos:
            some = self.config.shards is not None
            report = split_report(*self._tables(split), findings, found, some)
        covered = self.config.covered_table(self.token)
        if covered is not None:
            report.merge(covered.compare(*self._tables(split)))
        return report


def _features(name: str) -> dict[str, Any]:
    """Return the columns of a configuration."""
    number = datasets.Value("float64")
    place = {"latitude": number, "longitude": number}
    actions = datasets.Sequence(datasets.Value("int64"))
    white = {"width_m": number, "white": datasets.Value("bool")}
    if name == "views":
        return {"prefix": actions, "view": datasets.Image(), **place, **white}
    if name == "satellite":
        whole, edges = datasets.Value("int64"), ("south", "west", "north", "east")
        tile = {"image": datasets.Image(), **dict.fromkeys(("level", "x", "y"), whole)}
        return {**tile, **dict.fromkeys(edges, number), **place, "ground_size_m": number}
    if name == "cells":
        return {"sequence": actions, "image": datasets.Image(), **place, **white}
    features = {"image_id": datasets.Value("string"), **place, "sequence": actions}
    if name != "metadata":
        features = {"image": datasets.Image(), **features}
    if name == "zoom":
        features["views"] = datasets.Sequence(datasets.Image())
        features["view_centers"] = datasets.Sequence(datasets.Sequence(number))
        features["view_widths_m"] = datasets.Sequence(number)
    return features


def _pin(kwargs: dict[str, Any]) -> None:
    """Turn a branch or tag into the commit it names now: rows are cached by commit."""
    repository = kwargs.get("repository") or REPOSITORY
    revision = kwargs.get("revision")
    if kwargs.get("data_dir") is not None:
        if revision is not None or kwargs.get("repository") is not None:
            raise ValueError(
                "data_dir= and revision= or repository= contradict each other: rows come from the "
                "folder or from the Hub. Leave one out."
            )
        return
    if revision is None and repository == REPOSITORY:
        return
    kwargs["revision"] = resolve_commit(repository, str(revision or "main"), kwargs.get("token"))


def _numbers(value: Any, option: str) -> list[int]:
    numbers = [value] if isinstance(value, int) else value
    if isinstance(numbers, str) or not all(type(number) is int for number in numbers):
        raise ValueError(
            f"{option}={value!r}: name the {option} by their numbers, as in {option}=[0]."
        )
    return sorted(set(numbers))


def _check_options(kwargs: dict[str, Any]) -> None:
    """Refuse options that the configuration would pass over in silence."""
    name = kwargs.get("config_name") or "streetview"
    if kwargs.get("levels") is not None and name != "satellite":
        raise ValueError(f'levels= is an option of "satellite", not of "{name}".')
    covered = kwargs.get("covered")
    if isinstance(covered, (str, os.PathLike)):
        kwargs["covered"] = local_path(covered, "covered")
    elif not isinstance(covered, (bool, type(None))):
        raise ValueError(f"covered={covered!r}: give True, or the path of a table.")
    if kwargs.get("covered_id") is not None and not covered:
        raise ValueError("covered_id= names a column of the table that covered=True joins.")
    if covered and name not in _WITH_IDS:
        raise ValueError(f'covered= is an option of {", ".join(_WITH_IDS)}, not of "{name}".')


def _known_splits(splits: Any) -> list[str]:
    names = [splits] if isinstance(splits, str) else [str(split) for split in splits]
    unknown = [name for name in names if name not in TABLES]
    if unknown or not names:
        raise ValueError(f"splits={names}: the splits are {', '.join(TABLES)}.")
    return [name for name in TABLES if name in names]
