"""Find training photos like test photos by the embeddings of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from geoload.messages import progress_bar
from geoload.models.photos import Embedder
from geoload.pictures import PictureError
from geoload.processes import ahead
from geoload.report import Findings
from im2gps.audit.pictures import UNREADABLE
from im2gps.packs import PackError, Photo

_BLOCK = 8192  # test photos that are compared at once with a batch of training photos
_ROUNDING = 1e-6  # of the product of an embedding with itself, in single precision
_MOST_PAIRS = 1_000_000


class Similar(NamedTuple):
    """A training photo that is like a test photo, and the cosine similarity of the embeddings."""

    test: int  # position among the test photos
    train: str
    similarity: float

    @property
    def likeness(self) -> float:
        """A number that is larger for more similar photos."""
        return self.similarity


def find_similar(
    test: Sequence[Photo],
    train: Iterable[Photo],
    report: Findings,
    embedder: Embedder,
    least: float,
    found: Callable[[Similar, bytes], object] | None = None,
) -> list[Similar]:
    """Return the training photos that are like test photos, the most similar first.

    The search is exact. Memory: 4 · d bytes for each test photo, for embeddings of d numbers, and
    twice that while they are gathered.

    Parameters
    ----------
    test, train, report, found
        As in `find_copies`.
    embedder : Embedder
    least : float
        Cosine similarity of the embeddings from which photos are similar.

    Raises
    ------
    ModelError
        If the model fails, or does not return embeddings.
    ValueError
        If there are more than 1,000,000 pairs.
    """
    photos = progress_bar("Test photos", len(test), "photo", items=test)
    batches = [
        ([number for number, _, _ in photos], embeddings)
        for photos, embeddings in _embedded(photos, embedder, report)
    ]
    if not batches:
        return []
    numbers = np.concatenate([numbers for numbers, _ in batches])
    embeddings = np.concatenate([embeddings for _, embeddings in batches])
    pairs: list[Similar] = []
    photos = progress_bar("Training photos", unit="photo", items=train)
    for batch, queries in _embedded(photos, embedder, report):
        for start in range(0, len(numbers), _BLOCK):
            products = queries @ embeddings[start : start + _BLOCK].T
            for row, column in np.argwhere(products >= least - _ROUNDING).tolist():
                _, name, data = batch[row]
                similarity = min(1.0, float(products[row, column]))
                pairs.append(Similar(int(numbers[start + column]), name, similarity))
                if found:
                    found(pairs[-1], data)
        if len(pairs) > _MOST_PAIRS:
            raise ValueError(
                f"there are more than {_MOST_PAIRS:,} pairs of similar photos: give a larger "
                f"--similarity than {least:g}"
            )
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.test, pair.train))


def _embedded(
    photos: Iterable[Photo], embedder: Embedder, report: Findings
) -> Iterator[tuple[list[tuple[int, str, bytes]], np.ndarray]]:
    """Yield the positions, names and files of each batch of photos, and their embeddings."""

    def read(numbered: tuple[int, Photo]) -> tuple[int, str, bytes, Any]:
        number, (name, read) = numbered
        try:
            data = read()
            return number, name, data, embedder.decode(data)
        except (PictureError, PackError, OSError) as error:
            return number, name, b"", str(error)

    def usable() -> Iterator[tuple[tuple[int, str, bytes], Any]]:
        for number, name, data, photo in ahead(read, enumerate(photos)):
            if isinstance(photo, str):
                report.add(UNREADABLE, f"{name}: {photo}")
            else:
                yield (number, name, data), embedder.prepare(photo)

    rows = usable()
    while batch := list(islice(rows, embedder.batch_size)):
        yield [photo for photo, _ in batch], embedder.embed([inputs for _, inputs in batch])
