"""The street photos of the miniature show the colours of the overhead pictures around them."""

from __future__ import annotations

import numpy as np
import pytest

from justzoomin import zoom
from justzoomin.painting import paint, street, surroundings
from justzoomin.sample import LAYOUT

RNG = np.random.default_rng(0)
SEQUENCES = RNG.integers(16, size=(60, 4))
PLACES = zoom.move(*zoom.decode(SEQUENCES), *RNG.uniform(-15, 15, (2, 60)))


def test_surroundings_are_the_colours_of_the_map(tmp_path):
    pytest.importorskip("pyproj")
    from justzoomin.layout import Layout

    (tmp_path / "layout.yaml").write_text(LAYOUT)
    east, north = Layout.read(tmp_path / "layout.yaml").project(*PLACES)
    cell = 10_000 / 4**4
    expected = paint(east[:, None] + cell, north[:, None] - 0.4 * cell, 0, 0.3 * cell)[:, 0]
    shown = surroundings(*PLACES)[:, 3, 1, 4]
    np.testing.assert_allclose(shown, np.clip(128 + 1.3 * (expected - 128), 0, 255), atol=0.01)


@pytest.mark.parametrize("step", range(4))
def test_a_photo_tells_the_cell_of_each_step(step):
    cells = zoom.cells(1)[None].repeat(60, 0)
    cells = np.concatenate([SEQUENCES[:, None, :step].repeat(16, 1), cells], -1)
    choices = surroundings(*(part.ravel() for part in zoom.decode(cells)))
    shown = np.stack([bands(street(colours, 32, RNG)) for colours in surroundings(*PLACES)])
    wanted = np.stack([bands(street(colours, 32, RNG)) for colours in choices])
    differences = np.abs(shown[:, None] - wanted.reshape(60, 16, 4, -1))[:, :, step].mean(-1)
    assert (differences.argmin(1) == SEQUENCES[:, step]).mean() > 0.6  # chance: 0.06


def bands(photo) -> np.ndarray:
    """Return the colours of sky, far houses, near houses and road, shape (4, 60)."""
    pixels = np.asarray(photo.resize((5, 24), 4), float)
    rows = [0, 1, 3, 4], [7, 8, 9, 10], [13, 14, 15, 16], [19, 20, 21, 22]
    return np.stack([pixels[some].reshape(-1) for some in rows])


@pytest.mark.parametrize("width", [8, 9, 32, 64, 321])
def test_any_width_gives_a_photo_of_three_quarters_its_height(width):
    (colours,) = surroundings(38.9, -77.0)
    photo = street(colours, width, np.random.default_rng(0))
    assert (photo.size, photo.mode) == ((width, width * 3 // 4), "RGB")
    assert photo == street(colours, width, np.random.default_rng(0))
    assert photo != street(colours, width, np.random.default_rng(1))


def test_a_photo_says_that_it_is_synthetic():
    (colours,) = surroundings(38.9, -77.0)
    corner = np.asarray(street(colours, 128, np.random.default_rng(0)))[-12:, -70:]
    assert (corner.min(-1) > 170).sum() > 30  # white letters
    assert (corner.max(-1) < 60).sum() > 60  # and their outline


def test_painted_views_are_those_of_the_tiles(city, tmp_path):
    from justzoomin.sample_tiles import write_views
    from justzoomin.views import open_views

    prefixes = [(), (7,)]
    shard = write_views(tmp_path, [[7, 6, 6, 12]], 96)
    drawn, painted = (
        open_views(source, 96, depth=2, cache_dir=tmp_path).of(prefixes) for source in (city, shard)
    )
    difference = blocks(drawn) - blocks(painted)
    assert np.abs(difference).mean() < 2
    assert np.abs(blocks(np.roll(drawn, 2, 1)) - blocks(painted)).mean() > 4
    views = open_views(shard, cache_dir=tmp_path)
    assert views.of([(7, 6, 6)]).shape == (1, 96, 96, 3) and not views.is_white((7, 6, 6))
    with pytest.raises(ValueError, match="7-7"):
        views.of([(7, 7)])


def blocks(views: np.ndarray) -> np.ndarray:
    return views.reshape(-1, 24, 4, 24, 4, 3).mean((2, 4))
