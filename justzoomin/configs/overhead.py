"""The configurations `views` and `cells`: rendered overhead views, and the cells of a depth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import datasets

from geoload.files import signature
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar import ShardError, members
from justzoomin import zoom
from justzoomin.findings import WHITE, Done
from justzoomin.options import JustZoomInConfig, Row
from justzoomin.source import Source, overhead_files
from justzoomin.views import (
    SIZE,
    DrawnViews,
    RenderedViews,
    Views,
    find_rendered,
    footprint,
    record_is_white,
    view_name,
)


def overhead_key(config: JustZoomInConfig) -> Any:
    """Return plain data that changes when the files of a configuration's views do."""
    files = [config.views] if config.views else overhead_files(config.data_dir)
    return [config.repository, config.revision, config.data_dir, signature(files, "/")]


def find_views(config: JustZoomInConfig, source: Source, size: int) -> str | None:
    """Return the path of the rendered shard, or None if there is none."""
    return config.views or find_rendered(source, size)


class _Overhead(JustZoomInConfig):
    """Views of the whole region, which are all in one split."""

    # Names of the columns of the actions and of the picture.
    actions: ClassVar[str]
    picture: ClassVar[str]

    def split_names(self) -> list[str]:
        return ["train"]

    def source_key(self) -> Any:
        return overhead_key(self)

    def features(self, source: Source) -> dict[str, Any]:
        number, white = datasets.Value("float64"), datasets.Value("bool")
        place = dict.fromkeys(("latitude", "longitude", "width_m"), number)
        actions = datasets.Sequence(datasets.Value("int64"))
        return {self.actions: actions, self.picture: datasets.Image(), **place, "white": white}

    def rows(self, source: Source, parts: list[Any], split: str, done: Done) -> Iterator[Row]:
        for part in parts:
            name, report = f"{self.name}-{part}".rpartition("/")[2], Findings()
            for key, record in self.part_rows(source, part):
                if record["white"]:
                    report.add(WHITE, key)
                yield key, record
            report.raise_or_log(name, self.strict)
            done(name, report, None)

    def part_rows(self, source: Source, part: Any) -> Iterator[Row]:
        """Yield the rows of one part."""
        raise NotImplementedError


class RenderedGrid(_Overhead):
    """Every view along every zoom path, as `justzoomin render` drew it."""

    actions, picture = "prefix", "view"

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        """The path of the rendered shard."""
        size = self.size or SIZE
        path = find_views(self, source, size)
        if path is None:
            command = "justzoomin render" + (
                f" --data-dir {self.data_dir}" if self.data_dir else ""
            )
            command += f" --size {size}" if size != SIZE else ""
            raise FileNotFoundError(
                f"There is no views/views_{size}.tar in {source.name}: render it once with "
                f"`{command}`, or name one that is elsewhere with views=."
            )
        RenderedViews(path, self.size)  # checks the size
        return [path]

    def part_rows(self, source: Source, part: str) -> Iterator[Row]:
        """Yield the views of a rendered shard in its order.

        Raises
        ------
        ShardError
            If the shard is damaged or contains a picture without its record.
        """
        picture: tuple[str, bytes] | None = None
        with open_binary(part) as file:
            for member, data in members(file, label=part):
                stem, _, suffix = member.name.rpartition(".")
                if suffix == "jpg":
                    picture = stem, data or b""
                elif suffix == "json":
                    if picture is None or picture[0] != stem:
                        raise ShardError(
                            f"{part}: no picture of the same name precedes {member.name}."
                        )
                    yield stem, _view_row(part, member.name, picture[1], data or b"")
                    picture = None


def _view_row(path: str, name: str, picture: bytes, record: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(record)
        return {
            "prefix": [int(action) for action in fields["prefix"]],
            "view": {"bytes": picture, "path": name.replace(".json", ".jpg")},
            "latitude": float(fields["latitude"]),
            "longitude": float(fields["longitude"]),
            "width_m": float(fields["width_m"]),
            "white": record_is_white(fields),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path}: {name} is not a record of a view ({type(error).__name__}: {error}). Render "
            "the shard again with `justzoomin render`."
        ) from error


class Cells(_Overhead):
    """Every cell of a depth with its view: the database of a retrieval baseline."""

    actions, picture = "sequence", "image"
    _views: Views | None = None

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        """The first actions of the cells."""
        if not 1 <= self.depth <= zoom.DEPTH:
            raise ValueError(f"depth={self.depth}: cells have 1 to {zoom.DEPTH} actions.")
        self._open(source)  # an error about the views is raised before any work
        return list(range(zoom.GRID**2))

    def part_rows(self, source: Source, part: int) -> Iterator[Row]:
        """Yield the cells that begin with an action."""
        views = self._open(source)
        for rest in zoom.cells(self.depth - 1).tolist():
            sequence = (part, *rest)
            latitude, longitude, width = footprint(sequence)
            name = view_name(sequence)
            row = {
                "sequence": list(sequence),
                "image": {"bytes": views.jpeg(sequence), "path": f"{name}.jpg"},
                "latitude": latitude,
                "longitude": longitude,
                "width_m": width,
                "white": views.is_white(sequence),
            }
            yield name, row

    def _open(self, source: Source) -> Views:
        """Return the views, which all parts share."""
        if self._views is None:
            # By default a cell of the last action is as large as it is in the view before it.
            last = self.depth == zoom.DEPTH
            size = self.size or (SIZE // zoom.GRID if last else SIZE)
            rendered = None if last else find_views(self, source, size)
            self._views = (
                RenderedViews(rendered, self.size)
                if rendered
                else DrawnViews(self.data_dir or source, size, [self.depth])
            )
        return self._views
