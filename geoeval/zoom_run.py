"""Runs of zoom and retrieval models: their options, overhead views, and the picture of cases."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from datasets import config
from PIL import Image

from geoeval import retrieval, runner, search
from geoeval.benchmarks import Benchmark
from geoeval.fetch import Fetcher
from geoeval.results import Folder
from geoload.models.loading import Model, ModelError, Record
from geoload.models.photos import resize_to
from justzoomin import preview, zoom
from justzoomin.source import as_source
from justzoomin.views import SIZE, DrawnViews, Views, find_rendered, open_views

CANDIDATES = 10
_log = logging.getLogger(__name__)


@dataclass
class ZoomOptions:
    """The options of the command for zoom and retrieval models; None for the defaults."""

    data_dir: str | None = None
    views: str | None = None  # a rendered shard, or a folder with tiles
    size: int | None = None  # side of the views in pixels
    beam: int | None = None
    retrieval: bool = False
    depth: int | None = None  # of the cells that are ranked
    candidates: int | None = None  # cells that are kept for each photo

    @classmethod
    def of(cls, model: Model, options: dict[str, Any]) -> ZoomOptions | None:
        """Return the options for a zoom or retrieval model, or None for another model.

        Raises ModelError when options and model do not fit together.
        """
        chosen = cls(**{field.name: options[field.name] for field in fields(cls)})
        embeds = hasattr(model.source, "embed_photos") and hasattr(model.source, "embed_views")
        used = {"data_dir"}
        if chosen.retrieval and embeds:
            used |= {"views", "size", "retrieval", "depth", "candidates"}
        elif model.is_zoom:
            used |= {"views", "size", "beam"}
        elif embeds and not callable(getattr(model.source, "predict", model.source)):
            raise ModelError(f"{model.spec} embeds photos and views: add --retrieval")
        for name, value in asdict(chosen).items():
            if value and name not in used:
                raise ModelError(f"--{name} has no effect on {model.spec}")
        if len(used) == 1:
            return None
        if options["benchmark"] != "justzoomin":
            raise ModelError(f"{model.spec} zooms: it needs --benchmark justzoomin")
        chosen.size = chosen.size or getattr(model.source, "view_size", None)
        return chosen

    def settings(self) -> dict[str, Any]:
        """Return what decides the predictions."""
        decisive = {**asdict(self), "view_size": self.size, "zoom": True}
        return {name: decisive[name] for name in decisive if name not in ("data_dir", "size")}

    def _where(self) -> Any:
        """Return the rendered shard, of this size if there is one, or the source of tiles."""
        source = as_source(self.data_dir)
        sizes = dict.fromkeys([self.size or SIZE, SIZE])
        rendered = (find_rendered(source, size) for size in sizes)
        return self.views or next(filter(None, rendered), None) or source

    def open_views(self) -> Views:
        """Open the views. A shard may have another size, from which a table is resampled."""
        where = self._where()
        return open_views(where, None if str(where).endswith(".tar") else self.size)

    def open_cells(self, depth: int) -> Views:
        """Open the views of the cells of a depth, as the configuration `cells` has them."""
        if depth < zoom.DEPTH:
            return open_views(self._where(), self.size)
        source = self.views or as_source(self.data_dir)
        return DrawnViews(source, self.size or SIZE // zoom.GRID, [depth])


def predictor(
    model: Model,
    options: ZoomOptions,
    photos: int,
    batch_size: int,
    folder: Folder,
    how: runner.How,
) -> Callable[[list[Any]], list[Record]]:
    """Return what predicts a batch, of a run over so many photos.

    For retrieval, all cells are embedded first. The embeddings are kept in the cache, for all runs
    of a model that names its checkpoint, or otherwise in the folder of the run.
    """
    if not options.retrieval:
        beam = options.beam or 1
        expected = 1 + photos * beam * (zoom.DEPTH - 1)
        fetcher = Fetcher(options.open_views(), options.size, expected)
        return search.predictor(model.source, fetcher, beam)
    depth = options.depth or zoom.DEPTH
    views, cells, own = options.open_cells(depth), zoom.cells(depth), model.settings()
    key = retrieval.cells_key(own, how.amp, views.source_state(), views.size, depth)
    place = folder.path
    if own["checkpoint"]:
        place = Path(config.HF_DATASETS_CACHE) / "cell_embeddings"
        place.mkdir(parents=True, exist_ok=True)
    file = place / f"cells-{key}.npy"
    with runner.mode(model, how):
        embeddings = retrieval.embed_cells(model.source, views, cells, batch_size, file)
    count = options.candidates or CANDIDATES
    return retrieval.predictor(model.source, embeddings, cells, count)


def draw_cases(folder: Folder, benchmark: Benchmark, options: ZoomOptions) -> None:
    """Draw the worst and the median cases of a finished run, `cases.png` in its folder.

    Views that are not there, or a missing matplotlib, are only logged.
    """
    from geoeval import zoom_scores, zoom_sheet

    resize, rows = resize_to(SIZE), {name: row for row, name in enumerate(benchmark.ids)}

    def photo(name: str) -> Image.Image:
        return benchmark.photo(rows[name], resize)

    path = folder.path / "cases.png"
    try:
        views = options.open_views()
        credit = preview.attribution(as_source(options.data_dir))
        found = zoom_scores.read(folder.predictions, folder.photos)
        zoom_sheet.draw_cases(*found, photo, views, path, credit=credit)
    except (ImportError, FileNotFoundError) as error:
        _log.warning("No picture of cases was drawn: %s", error)
