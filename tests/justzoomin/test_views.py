"""The views of predicted prefixes: one by one, in a table of all, and the rows of the table."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import justzoomin
from justzoomin import zoom

pytest.importorskip("cv2")

PIXELS = 32
ACTIONS = st.integers(0, 15)
PREFIXES = st.lists(st.lists(ACTIONS, max_size=3).map(tuple), max_size=20)
SOME = [(), (7,), (7, 6), (0, 15), (), (15, 15)]  # of different lengths, one twice


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> Path:
    """The tiles that views of 32 pixels before three actions are drawn from."""
    from justzoomin.sample_tiles import write_tiles

    folder = tmp_path_factory.mktemp("city")
    write_tiles(folder, levels=(-9, -7), whole=-7)
    return folder


@pytest.fixture(scope="module")
def shard(city, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("rendered") / "views_32.tar"
    assert justzoomin.render(str(city), output, PIXELS, depth=3, workers=1) == 273
    return output


@pytest.fixture(params=["rendered", "drawn"])
def views(request, city, shard, tmp_path):
    if request.param == "rendered":
        return justzoomin.open_views(shard, cache_dir=tmp_path)
    return justzoomin.open_views(city, PIXELS, depth=3, cache_dir=tmp_path)


@given(PREFIXES)
def test_rows_are_those_of_the_cells_in_order(prefixes):
    views = justzoomin.views.Views.__new__(justzoomin.views.RenderedViews)
    views.depth = 4
    rows = views.index(prefixes)
    assert rows.shape == (len(prefixes),) and rows.dtype == np.int64
    for prefix, row in zip(prefixes, rows.tolist(), strict=True):
        before = zoom.view_count(len(prefix))
        assert zoom.cells(len(prefix))[row - before].tolist() == list(prefix)


@given(st.lists(ACTIONS, min_size=1, max_size=8))
def test_a_row_follows_from_the_one_before(actions):
    indexes = zoom.view_indexes(actions)
    assert indexes[0] == 0 and len(indexes) == len(actions) + 1
    for before, action, after in zip(indexes, actions, indexes[1:], strict=False):
        assert after == 16 * before + 1 + action
    # Backwards, too: an index says which actions lead to its view.
    assert [int(i - 1) % 16 for i in indexes[1:]] == actions


def test_every_row_is_taken_once():
    rows = [zoom.view_indexes(zoom.cells(length))[:, -1] for length in range(4)]
    assert np.array_equal(np.concatenate(rows), np.arange(zoom.view_count()))
    assert zoom.view_count() == 4369


def test_a_table_equals_the_views_one_by_one(views, tmp_path):
    before = views.of(SOME)  # decoded or drawn, as there is no table yet
    assert not list(tmp_path.glob("*.npy"))
    table = views.table()
    assert table.shape == (273, PIXELS, PIXELS, 3) and table.dtype == np.uint8
    assert not table.flags.writeable  # it is shared
    assert np.array_equal(before, table[views.index(SOME)])
    assert np.array_equal(before, views.of(SOME))
    assert np.array_equal(before, np.concatenate([views.of([prefix]) for prefix in SOME]))
    everything = [tuple(p) for length in range(3) for p in zoom.cells(length).tolist()]
    again = pickle.loads(pickle.dumps(views))  # as in the worker of a DataLoader
    assert np.array_equal(again.of(everything), table)
    assert len(pickle.dumps(views)) < 100_000
    arrays = np.array([[7, 6], [0, 15]])
    assert np.array_equal(views.of(arrays), before[[2, 3]])
    assert views.of([]).shape == views.of(np.empty((0, 2), int)).shape == (0, PIXELS, PIXELS, 3)
    before[:] = 0  # a copy
    assert views.of(SOME).any()


def test_the_views_are_those_of_their_places(views, city):
    pyramid = justzoomin.TilePyramid(city)
    for prefix, view in zip(SOME, views.of(SOME), strict=True):
        latitude, longitude, widths = zoom.path(np.array(prefix, int))
        drawn = pyramid.view(latitude[-1], longitude[-1], widths[-1] / PIXELS, PIXELS)
        assert np.abs(view.astype(int) - drawn).mean() < 4  # JPEG


def test_a_table_of_another_size(shard, city, tmp_path):
    rendered = justzoomin.open_views(shard, cache_dir=tmp_path)
    small = rendered.table(12)
    assert small.shape == (273, 12, 12, 3)
    view = Image.fromarray(rendered.of([(7, 6)])[0])
    assert np.array_equal(
        small[rendered.index([(7, 6)])[0]], view.resize((12, 12), Image.Resampling.BICUBIC)
    )
    drawn = justzoomin.open_views(city, PIXELS, depth=2, cache_dir=tmp_path)
    pyramid = justzoomin.TilePyramid(city)
    assert np.array_equal(drawn.table(12)[0], pyramid.view(*_whole_region(12)))
    assert len(list(tmp_path.glob("*.npy"))) == 2
    with pytest.raises(ValueError, match=r"not enlarged to 64\. Render .*--size 64"):
        rendered.table(64)
    with pytest.raises(FileNotFoundError, match=r"up to \d+ pixels can be drawn"):
        drawn.table(2_000)
    with pytest.raises(ValueError, match="size=4: give the side"):
        drawn.table(4)


def _whole_region(size: int) -> tuple[float, float, float, int]:
    latitude, longitude, widths = zoom.path(np.empty(0, int))
    return float(latitude[0]), float(longitude[0]), widths[0] / size, size


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        ([(7,), (1, 2, 3)], "no view 1-2-3"),
        ([(7,), (1, 16)], r"sequence \[1, 16\] has an action that is not in 0"),
        ([(7,), (-1,)], r"sequence \[-1\] has an action that is not in 0"),
        ([(7.5,)], "sequences are whole numbers"),
    ],
)
def test_prefixes_without_a_view_are_named(views, prefixes, message):
    for ask in (views.of, views.index):
        with pytest.raises(ValueError, match=message):
            ask(prefixes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:50],
        lambda data: b"",
        lambda data: data.replace(b"(273, ", b"(272, ", 1),
        lambda data: data.replace(b"'|u1'", b"'|i1'", 1),
    ],
)
def test_a_damaged_table_is_made_again(views, tmp_path, spoil):
    expected = np.array(views.table())
    (kept,) = tmp_path.glob("*.npy")
    spoiled = spoil(kept.read_bytes())
    kept.unlink()
    kept.write_bytes(spoiled)
    again = pickle.loads(pickle.dumps(views))
    assert np.array_equal(again.of(SOME), expected[views.index(SOME)])
    assert np.array_equal(again.table(), expected)


KILLED = """
import os, signal, sys
import justzoomin
from justzoomin.views import RenderedViews

views = justzoomin.open_views(sys.argv[1], cache_dir=sys.argv[2])
draw = RenderedViews._draw
def until_killed(self, prefix, size):
    if prefix == (9, 9):
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(self, prefix, size)
RenderedViews._draw = until_killed
views.table()
"""


def test_the_table_of_a_killed_process_is_not_used(shard, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, shard, tmp_path], timeout=170)
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".*.part")) and not list(tmp_path.glob("*.npy"))
    table = justzoomin.open_views(shard, cache_dir=tmp_path).table()
    assert np.array_equal(table[-1], justzoomin.open_views(shard).of([(15, 15)])[0])
    assert not list(tmp_path.glob(".*.part"))


def test_tables_of_an_earlier_shard_are_removed(shard, tmp_path):
    own = tmp_path / "views_32.tar"
    own.write_bytes(shard.read_bytes())
    first = justzoomin.open_views(own, cache_dir=tmp_path)
    first.table(), first.table(12)
    other = tmp_path / "other.tar"
    other.write_bytes(shard.read_bytes())
    justzoomin.open_views(other, cache_dir=tmp_path).table(12)
    before = set(tmp_path.glob("*.npy"))
    assert len(before) == 3
    os.utime(own, ns=(1, 1))
    justzoomin.open_views(own, cache_dir=tmp_path).table(12)
    assert len(set(tmp_path.glob("*.npy")) & before) == 1 and len([*tmp_path.glob("*.npy")]) == 2
