"""Retrieval baselines: cells embedded once, and exact search among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("torch")

from geoeval import retrieval
from geoload.models.loading import ModelError
from justzoomin import zoom

CELLS = zoom.cells(2)


class Numbered:
    """Stands for the views: one of the cells' numbers as a picture."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def of(self, cells):
        self.asked += np.asarray(cells).tolist()
        numbers = np.asarray(cells) @ [16, 1]
        return np.broadcast_to(numbers[:, None, None, None], (len(numbers), 8, 8, 3)).astype("u1")


class Model:
    """Embeds a cell's number, or a photo that is one, as an angle."""

    def embed_views(self, views):
        return self.embed_photos(views[:, 0, 0, 0])

    def embed_photos(self, photos):
        angle = np.asarray(photos, float) * 2 * np.pi / 300
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (1 + angle[:, None])


SMALL = arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3)),
                      elements=st.integers(-2, 2).map(float))  # fmt: skip


@given(SMALL, SMALL, st.integers(1, 12))
def test_nearest_cells_are_those_of_a_full_sort(embeddings, queries, count):
    products = queries @ embeddings.T
    for row, (found, scores) in enumerate(retrieval.nearest(embeddings, queries, count)):
        wanted = sorted(range(len(embeddings)), key=lambda cell: (-products[row, cell], cell))
        assert found.tolist() == wanted[:count]
        assert scores.tolist() == products[row, found].tolist()


def test_each_cell_is_embedded_once_and_the_embeddings_are_kept(tmp_path):
    views, file = Numbered(), tmp_path / "cells.npy"
    first = retrieval.embed_cells(Model(), views, CELLS, 60, file)
    assert sorted(views.asked) == CELLS.tolist()
    assert np.allclose(np.linalg.norm(first, axis=1), 1)
    again = retrieval.embed_cells(Model(), views, CELLS, 60, file)
    assert (again == first).all()
    assert len(views.asked) == len(CELLS)
    # In the order of the cells, whichever thread was first.
    found = [rows[0] for rows, _ in retrieval.nearest(first, first, 1)]
    assert found == list(range(256))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_damaged_file_of_embeddings_is_written_again(tmp_path, content):
    views, file = Numbered(), tmp_path / "cells.npy"
    first = retrieval.embed_cells(Model(), views, CELLS, 60, file)
    file.write_bytes(file.read_bytes()[:-8] if content is None else content)
    assert (retrieval.embed_cells(Model(), views, CELLS, 60, file) == first).all()
    assert len(views.asked) == 2 * len(CELLS)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.npy"]


def test_records_name_the_most_similar_cells(tmp_path):
    embeddings = retrieval.embed_cells(Model(), Numbered(), CELLS, 100, tmp_path / "cells.npy")
    records = retrieval.predictor(Model(), embeddings, CELLS, 3)([70, 200.1])
    assert [record["sequence"] for record in records] == [[4, 6], [12, 8]]
    for record in records:
        places = np.array(record["candidates"])
        assert record["candidates"][0][:2] == [record["latitude"], record["longitude"]]
        assert (np.diff(places[:, 2]) <= 0).all()
    found = zoom.encode(*np.array(records[1]["candidates"])[:, :2].T, depth=2)
    assert (found @ [16, 1]).tolist() == [200, 201, 199]


class Wrong(Model):
    def embed_photos(self, photos):
        return {
            1: np.zeros((1, 5)), 2: np.zeros(2), 3: np.full((3, 2), np.nan)
        }.get(len(photos), super().embed_photos(photos))  # fmt: skip


@pytest.mark.parametrize(("n", "text"), [(1, "5 dimensions"), (2, r"shape \(2,\)"), (3, "NaN")])
def test_embeddings_of_another_shape_are_an_error(tmp_path, n, text):
    embeddings = retrieval.embed_cells(Wrong(), Numbered(), CELLS, 100, tmp_path / "cells.npy")
    with pytest.raises(ModelError if n < 3 else ValueError, match=text):
        retrieval.predictor(Wrong(), embeddings, CELLS)([0] * n)
