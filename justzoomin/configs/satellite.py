"""The configuration `satellite`: the overhead tiles themselves, each with the ground it covers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from geoload.files import is_clutter, read_exactly
from geoload.remote import open_binary
from geoload.report import Findings
from geoload.tar import members
from justzoomin.findings import BROKEN, OFF_THE_MAP, TWICE, Done, is_jpeg
from justzoomin.members import MAX_PICTURE, NOT_FILES, OUTSIDE, shown, tile_of
from justzoomin.options import JustZoomInConfig, Row
from justzoomin.source import Archive, Source

if TYPE_CHECKING:
    from justzoomin.layout import Layout

_SLICES = 16


class Satellite(JustZoomInConfig):
    """The tiles of some levels, in the order of the files."""

    def split_names(self) -> list[str]:
        return ["train"]

    def features(self, source: Source) -> dict[str, Any]:
        whole, number = datasets.Value("int64"), datasets.Value("float64")
        box = ("south", "west", "north", "east", "latitude", "longitude", "ground_size_m")
        address = dict.fromkeys(("level", "x", "y"), whole)
        return {"image": datasets.Image(), **address, **dict.fromkeys(box, number)}

    def source_key(self) -> Any:
        source = self.source()

        def files() -> list[str]:
            tiles = source.tiles(self.levels)
            return [source.layout(), *(file for archive in tiles for file in archive.files())]

        return source.key(files)

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        """TAR files, or slices of folders of extracted tiles."""
        archives = source.tiles(self.levels)
        if dl_manager is not None:
            archives = source.download(archives, dl_manager, cache_dir)
        parts = []
        for archive in archives:
            slices = min(_SLICES, len(os.listdir(archive.path))) if archive.extracted else 0
            parts += archive.cut(max(1, slices)) if archive.extracted else [archive]
        return parts

    def rows(self, source: Source, parts: list[Any], split: str, done: Done) -> Iterator[Row]:
        # Importing it raises ImportError with what to install if pyproj is missing.
        from justzoomin.layout import Layout

        layout = Layout.read(source.layout())
        for part in parts:
            report, found = Findings(), set[str]()
            for key, path, data in _read(source, part, report):
                tile = tile_of(path)
                assert tile is not None
                name = "/".join(map(str, tile))
                if name in found:
                    report.add(TWICE, path)
                elif not is_jpeg(data):
                    report.add(BROKEN, path)
                elif (row := _row(layout, tile, data)) is None:
                    report.add(OFF_THE_MAP, path)
                else:
                    found.add(name)
                    yield key, row
            report.raise_or_log(part.label, self.strict)
            done(part.label, report, np.array(sorted(found), str))

    def combine_findings(
        self, source: Source, split: str, findings: Findings, found: list[np.ndarray]
    ) -> Findings:
        """Adds the tiles that more than one part contains."""
        names, counts = np.unique(np.concatenate([*found, np.empty(0, str)]), return_counts=True)
        twice = names[counts > 1].tolist()
        findings.add_many(TWICE, len(twice), twice)
        return findings


def _row(layout: Layout, tile: tuple[int, int, int], data: bytes) -> dict[str, Any] | None:
    level, x, y = tile
    try:
        square = layout.square(level, x, y)
    except ValueError:
        return None
    image = {"bytes": data, "path": layout.member(level, x, y)}
    return {"image": image, "level": level, "x": x, "y": y, **square._asdict()}


def _read(source: Source, archive: Archive, report: Findings) -> Iterator[tuple[str, str, bytes]]:
    """Yield key, path in the layout, and bytes of each tile."""
    if archive.extracted:
        yield from _extracted(archive, report)
        return

    def wanted(name: str) -> bool:
        tile = tile_of(name.removeprefix("./"))
        return tile is not None and tile[0] == archive.level

    with open_binary(archive.path, source.token) as file:
        for member, data in members(file, wanted, label=archive.path, max_size=MAX_PICTURE):
            if data is not None:
                yield f"{archive.name}:{member.offset}", member.name.removeprefix("./"), data
            elif member.kind != "dir":
                report.add(OUTSIDE if member.kind == "file" else NOT_FILES, shown(member.name))


def _extracted(archive: Archive, report: Findings) -> Iterator[tuple[str, str, bytes]]:
    columns = _in_order(archive.path)
    for column in columns[archive.share(len(columns))]:
        folder = os.path.join(archive.path, column)
        for name in _in_order(folder) if os.path.isdir(folder) else [""]:
            path, file = f"{archive.name}/{column}/{name}", os.path.join(folder, name)
            if tile_of(path) is None or not os.path.isfile(file):
                report.add(OUTSIDE, shown(path))
                continue
            with open(file, "rb", buffering=0) as opened:
                yield path, path, read_exactly(opened.read, MAX_PICTURE)


def _in_order(folder: str) -> list[str]:
    """Return the names in a folder in the order of their numbers."""

    def number(name: str) -> tuple[int, str]:
        stem = name.removesuffix(".jpg")
        return (int(stem) if stem.removeprefix("-").isdecimal() else 0), name

    return sorted((name for name in os.listdir(folder) if not is_clutter(name)), key=number)
