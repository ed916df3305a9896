"""The configuration `zoom`: street photos with the overhead views along their zoom paths."""

from __future__ import annotations

from typing import Any

import datasets

from geoload.report import Findings
from justzoomin.configs.overhead import find_views, overhead_key
from justzoomin.configs.streetview import StreetView
from justzoomin.findings import WHITE_PHOTOS
from justzoomin.source import Source
from justzoomin.table import read_table
from justzoomin.views import SIZE, RenderedViews, Views, open_views, white_views, zoom_record
from justzoomin.zoom import DEPTH


class Zoom(StreetView):
    """Street photos with the views before each action. It can only be streamed."""

    _views: Views | None = None

    def own_features(self) -> dict[str, Any]:
        number = datasets.Value("float64")
        return {
            **super().own_features(),
            "views": datasets.Sequence(datasets.Image()),
            "view_centers": datasets.Sequence(datasets.Sequence(number)),
            "view_widths_m": datasets.Sequence(number),
        }

    def source_key(self) -> Any:
        """Rows are not cached, so the photos need no signature."""
        return overhead_key(self)

    def parts(self, source: Source, dl_manager: Any, cache_dir: str | None) -> list[Any]:
        self._open(source)  # an error about the views is raised before any work
        return super().parts(source, dl_manager, cache_dir)

    def add_columns(self, source: Source, record: dict[str, Any], report: Findings) -> None:
        views = self._open(source)
        record.update(zoom_record(record["sequence"], views))
        if white_views(record["sequence"], views):
            report.add(WHITE_PHOTOS, record["image_id"])

    def _open(self, source: Source) -> Views:
        """Return the views, which all parts share."""
        if self._views is not None:
            return self._views
        if rendered := find_views(self, source, self.size or SIZE):
            self._views = RenderedViews(rendered, self.size)
        else:
            sequences = read_table(source.table("validation")).sequence
            depth = len(sequences[0]) if sequences else DEPTH
            self._views = open_views(self.data_dir or source, self.size or SIZE, depth)
        return self._views
