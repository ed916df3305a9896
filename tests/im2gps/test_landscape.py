"""The landscapes of the miniature show where and when they were taken."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from im2gps.landscape import paint
from im2gps.sample import CITIES

NOON = datetime(2006, 7, 1, 12)


def view(place: str, taken: datetime = NOON, size=(160, 120), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(paint(*CITIES[place], taken, size, rng), float)


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.datetimes(),
    st.tuples(st.integers(4, 90), st.integers(4, 90)),
)  # fmt: skip
def test_any_place_and_time_gives_a_picture(latitude, longitude, taken, size):
    photos = [paint(latitude, longitude, taken, size, np.random.default_rng(0)) for _ in "12"]
    assert photos[0].size == size and photos[0].mode == "RGB"
    assert photos[0] == photos[1]


def test_winter_is_white_in_the_north_and_noon_is_brighter_than_evening():
    def ground(taken):
        return view("Moscow", taken)[95:, 100:].mean()

    assert ground(datetime(2006, 1, 15, 12)) > ground(datetime(2006, 7, 15, 12)) + 40
    assert view("Cairo").mean() > view("Cairo", datetime(2006, 7, 1, 18)).mean() + 20


def test_a_picture_says_that_it_is_synthetic():
    corner = view("Paris")[-13:, -80:]
    assert (corner.min(-1) > 170).sum() > 30  # white letters
    assert (corner.max(-1) < 60).sum() > 60  # and their outline


def test_the_nearest_picture_is_often_of_the_same_city():
    rng, size = np.random.default_rng(0), (64, 48)
    months = [datetime(2006, month, 15, 9 + month % 8) for month in range(1, 13, 2)]
    known = [(city, view(city, taken, size, 1)) for city in CITIES for taken in months]
    pictures = np.stack([tiny(picture) for _, picture in known])
    right = 0
    for city in CITIES:
        taken = datetime(2006, int(rng.integers(1, 13)), 4, int(rng.integers(8, 18)))
        look = tiny(view(city, taken, size, 2))
        right += known[np.square(pictures - look).sum(1).argmin()][0] == city
    assert right > len(CITIES) / 3  # by chance, one


def tiny(picture: np.ndarray) -> np.ndarray:
    height, width = (side // 8 for side in picture.shape[:2])
    cells = picture[: 8 * height, : 8 * width].reshape(8, height, 8, width, 3)
    return cells.mean((1, 3)).ravel()
