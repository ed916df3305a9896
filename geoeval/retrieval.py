"""Retrieval baselines for Just Zoom In: the cells whose overhead views are most like a photo."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from geoload.files import atomic_write
from geoload.messages import progress_bar
from geoload.models.loading import ModelError
from geoload.models.photos import normalized
from geoload.processes import ahead
from justzoomin import zoom
from justzoomin.views import Views

_log = logging.getLogger(__name__)


class RetrievalModel(Protocol):
    """A model that embeds photos and overhead views in one space.

    As for models of photos, `preprocess`, `device`, `batch_size`, `image_size` and `checkpoint` are
    optional.
    """

    def embed_photos(self, photos: list[Any]) -> Any:
        """Return the embeddings of photos (or of what `preprocess` returned), shape (n, d)."""

    def embed_views(self, views: np.ndarray) -> Any:
        """Return the embeddings of views, uint8 RGB of shape (n, size, size, 3): shape (n, d)."""


def embed_cells(
    model: RetrievalModel, views: Views, cells: np.ndarray, batch_size: int, file: str | Path
) -> np.ndarray:
    """Return the embeddings of all cells, read from a file or computed and written to it.

    Parameters
    ----------
    model : RetrievalModel
    views : Views
    cells : ndarray of int, shape (n, depth)
        Their sequences.
    batch_size : int
        Number of views of a batch.
    file : path
        A `.npy` file. Its name must stand for the model and the views (see `cells_key`).

    Returns
    -------
    ndarray of float32, shape (n, d)
        Of length 1.
    """
    try:
        kept: np.ndarray = np.load(file, allow_pickle=False)
        if len(kept) == len(cells):
            _log.info("The embeddings of the cells are read from %s.", file)
            return kept
    except (OSError, ValueError, EOFError):
        pass  # missing or damaged
    batches = [cells[start : start + batch_size] for start in range(0, len(cells), batch_size)]
    found = []
    with progress_bar("Embedding cells", len(cells), "cell") as bar:
        for pictures in ahead(views.of, batches):
            found.append(normalized(model.embed_views(pictures), len(pictures), "embed_views"))
            bar.update(len(pictures))
    embeddings = np.concatenate(found)
    with atomic_write(file) as opened:
        np.save(opened, embeddings, allow_pickle=False)
    return embeddings


def cells_key(*parts: Any) -> str:
    """Return a short digest of plain data that identifies a model, its views and the cells."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def predictor(
    model: RetrievalModel, embeddings: np.ndarray, cells: np.ndarray, count: int = 10
) -> Callable[[list[Any]], list[dict[str, Any]]]:
    """Return the function that predicts a batch of photos, as a list of records.

    A record has the most similar cell's `sequence`, and the `latitude` and `longitude` of its
    centre in degrees; and as `candidates` the `count` most similar cells: latitude, longitude and
    cosine similarity, the best first.
    """
    centres = np.stack(zoom.decode(cells), axis=-1)

    def predict(photos: list[Any]) -> list[dict[str, Any]]:
        queries = normalized(model.embed_photos(photos), len(photos), "embed_photos")
        if queries.shape[1] != embeddings.shape[1]:
            raise ModelError(
                f"embed_photos returned {queries.shape[1]} dimensions, embed_views "
                f"{embeddings.shape[1]}"
            )
        return [
            {
                "sequence": cells[rows[0]].tolist(),
                **dict(zip(("latitude", "longitude"), centres[rows[0]].tolist(), strict=True)),
                "candidates": np.column_stack([centres[rows], scores]).tolist(),
            }
            for rows, scores in nearest(embeddings, queries, count)
        ]

    return predict


def nearest(
    embeddings: np.ndarray, queries: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each query the rows of the largest inner products, and these products.

    Of equal products, such as those of cells that are all white, the first rows are taken.
    """
    products = queries @ embeddings.T
    count = min(count, len(embeddings))
    least = np.partition(products, -count, axis=1)[:, -count]
    for row, limit in zip(products, least, strict=True):
        found = np.flatnonzero(row >= limit)
        best = found[np.argsort(-row[found], kind="stable")[:count]]
        yield best, row[best]
