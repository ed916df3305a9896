"""Connect zoom and retrieval models with the overhead views that the command's options name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from datasets import config

from geoeval import retrieval, search
from geoeval.fetch import Fetcher
from geoeval.models import Model, Record
from justzoomin import zoom
from justzoomin.source import as_source
from justzoomin.views import SIZE, DrawnViews, Views, find_rendered, open_views

Predict = Callable[[list[Any]], list[Record]]


class ViewOptions(NamedTuple):
    """Where overhead views come from, and their size; None for the defaults."""

    data_dir: str | None = None
    views: str | None = None  # a rendered shard, or a folder with tiles
    size: int | None = None  # side in pixels

    def of_model(self, model: Model) -> ViewOptions:
        """Return these options with the size that the model asks for, if the user gives none."""
        return self._replace(size=self.size or getattr(model.source, "view_size", None))

    def _where(self) -> Any:
        """Return the rendered shard, of this size if there is one, or the source of tiles."""
        source = as_source(self.data_dir)
        sizes = dict.fromkeys([self.size or SIZE, SIZE])
        rendered = (find_rendered(source, size) for size in sizes)
        return self.views or next(filter(None, rendered), None) or source

    def open(self) -> Views:
        """Open the views. A shard may have another size, from which a table is resampled."""
        where = self._where()
        return open_views(where, None if str(where).endswith(".tar") else self.size)

    def open_cells(self, depth: int) -> Views:
        """Open the views of the cells of a depth, as the configuration `cells` has them."""
        if depth < zoom.DEPTH:
            return open_views(self._where(), self.size)
        source = self.views or as_source(self.data_dir)
        return DrawnViews(source, self.size or SIZE // zoom.GRID, [depth])


def zoom_predictor(model: Model, options: ViewOptions, beam: int, photos: int) -> Predict:
    """Return what predicts a batch with a zoom model; `photos` is how many there are in all."""
    options = options.of_model(model)
    expected = 1 + photos * beam * (zoom.DEPTH - 1)
    return search.predictor(model.source, Fetcher(options.open(), options.size, expected), beam)


def retrieval_predictor(
    model: Model, options: ViewOptions, depth: int, count: int, batch_size: int, folder: Path
) -> Predict:
    """Return what predicts a batch with a retrieval model, after embedding all cells.

    The embeddings are kept in the cache, for all runs of a model that names its checkpoint, or
    otherwise in `folder`, for this run.
    """
    views = options.of_model(model).open_cells(depth)
    checkpoint = getattr(model.source, "checkpoint", None)
    cells = zoom.cells(depth)
    of_views = views.source_state(), views.size, depth
    key = retrieval.cells_key(model.spec, model.code, checkpoint, of_views)
    if checkpoint:
        folder = Path(config.HF_DATASETS_CACHE) / "cell_embeddings"
        folder.mkdir(parents=True, exist_ok=True)
    embeddings = retrieval.embed_cells(
        model.source, views, cells, batch_size, folder / f"cells-{key}.npy"
    )
    return retrieval.predictor(model.source, embeddings, cells, count)
