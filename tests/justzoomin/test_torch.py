"""Training samples: photos with the rows of their views, or the views, in resumable epochs."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import justzoomin
from justzoomin import zoom

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader

from justzoomin.torch import ZoomPhotos, quarter_turn

PIXELS = 64


@pytest.fixture
def photos(city, cache):
    return justzoomin.photos("train", data_dir=str(city), cache_dir=cache)


@pytest.fixture(scope="module")
def drawn(city):
    return justzoomin.open_views(city, PIXELS, depth=2)


def cut(photos):
    """Leave two actions of each sequence: the tiles are too coarse for all four."""
    return photos.map(lambda row: {"sequence": row["sequence"][:2]})


def loaded(data, **options) -> dict:
    """Return all batches of a data set, joined."""
    batches = list(DataLoader(data, batch_size=7, **options))
    return {
        name: torch.cat([batch[name] for batch in batches]).numpy()
        if isinstance(batches[0][name], torch.Tensor)
        else sum((batch[name] for batch in batches), [])
        for name in batches[0]
    }


def test_samples_are_the_rows(photos):
    data = loaded(ZoomPhotos(photos, 16))
    assert data["image_id"] == photos["image_id"][:]
    assert data["actions"].tolist() == photos["sequence"][:]
    assert data["image"].shape == (40, 16, 16, 3) and data["image"].dtype == np.uint8
    assert data["latitude"].tolist() == photos["latitude"][:]
    assert np.array_equal(data["views"], zoom.view_indexes(data["actions"])[:, :4])
    assert np.array_equal(ZoomPhotos(photos, 16)[3]["image"], data["image"][3])
    # In the centre of the photo, which is 32 x 24 and read at 18/24 of that.
    whole = ZoomPhotos(photos, (18, 24))[3]["image"]
    assert np.array_equal(whole[1:17, 4:20], data["image"][3])
    with pytest.raises(ValueError, match=r"photo of 32 x 24 pixels has no crop of size=25.*give"):
        ZoomPhotos(photos, 25)[0]


def test_a_row_looks_up_the_picture(city, photos, drawn, tmp_path):
    short = cut(photos)
    rows = loaded(ZoomPhotos(short, 16))["views"]
    pictures = loaded(ZoomPhotos(short, 16, drawn))["views"]
    assert pictures.shape == (40, 2, PIXELS, PIXELS, 3)
    table = justzoomin.open_views(city, PIXELS, depth=2, cache_dir=tmp_path).table()
    assert np.array_equal(table[rows], pictures)


@pytest.mark.parametrize("world", [1, 3])
def test_an_epoch_is_every_photo_in_its_own_order(photos, world):
    data = ZoomPhotos(photos, 16, train=True, seed=5)
    orders = []
    for epoch in (0, 1):
        shares = [data.epoch(epoch, rank, world) for rank in range(world)]
        assert len({len(share) for share in shares}) == 1
        orders.append([name for share in shares for name in loaded(share)["image_id"]])
        assert sorted({*orders[-1]}) == sorted(photos["image_id"])
        assert len(orders[-1]) == -(-len(photos) // world) * world
    assert orders[0] != orders[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_has_the_same_samples(photos, workers):
    def share():
        return ZoomPhotos(photos, 16, train=True, seed=5).epoch(1, rank=1, world_size=2)

    whole = loaded(share())
    done = 14  # samples before the interruption: two batches
    rest = loaded(share(), sampler=range(done, len(share())), num_workers=workers)
    for name, values in whole.items():
        assert np.array_equal(values[done:], rest[name])
    other = loaded(ZoomPhotos(photos, 16, train=True, seed=5).epoch(2, rank=1, world_size=2))
    again = [
        whole["image_id"].index(name) for name in other["image_id"] if name in whole["image_id"]
    ]
    both = [other["image_id"].index(whole["image_id"][i]) for i in again]
    assert not np.array_equal(whole["image"][again], other["image"][both])  # other crops


def test_turned_views_are_cut_around_the_turned_cells(drawn):
    latitude, longitude = 38.9, -77.0
    straight, actions = drawn.turned(latitude, longitude, 0.0)
    assert np.array_equal(straight, drawn.of([(), actions[:1]]))
    assert actions.tolist() == zoom.encode(latitude, longitude, 2).tolist()
    east_up, turned = drawn.turned(latitude, longitude, 90.0)
    views, expected = quarter_turn(torch.from_numpy(straight), torch.from_numpy(actions), 1)
    assert turned.tolist() == expected.tolist()
    # Except for half a pixel: an even number of pixels is not turned about a pixel.
    moved = views.numpy()[:, :-1].astype(int)
    assert (
        np.abs(east_up[:, 1:] - moved).mean() < np.abs(east_up[:, 1:] - straight[:, 1:]).mean() / 4
    )


def test_training_turns_views_with_their_actions(photos, drawn):
    make = functools.partial(ZoomPhotos, cut(photos.select(range(8))), 16, drawn)
    straight, turned = (loaded(make(train=train)) for train in (False, True))
    assert np.array_equal(turned["views"], loaded(make(train=True))["views"])
    assert turned["views"].shape == straight["views"].shape
    assert not np.array_equal(turned["views"], straight["views"])
    assert not np.array_equal(turned["actions"], straight["actions"])


@pytest.mark.parametrize("turns", range(-1, 5))
def test_quarter_turns_move_the_cells(turns):
    views = torch.arange(16).view(1, 4, 4, 1)  # each cell is one pixel with its action
    actions = torch.arange(16).view(1, 16)
    turned, cells = quarter_turn(views, actions, turns)
    assert torch.equal(turned.flatten()[cells[0]], actions[0])
    back, before = quarter_turn(turned, cells, -turns)
    assert torch.equal(back, views) and torch.equal(before, actions)
