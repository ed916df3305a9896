"""The addresses of a photo, from rows good and hostile."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from im2gps.flickr.ids import addresses, file_stem, invalid_field

HOST = "https://live.staticflickr.com"
ROW = {
    "photo_id": "231521295", "secret": "0a1b2c3d4e", "server": "97", "owner": "12345678@N00",
    "latitude": 41.89, "longitude": 12.49, "date_upload": 1157112345,
    "original_secret": "ffff", "original_format": "jpg",
    "original_width": 1600, "original_height": 1200,
}  # fmt: skip


def asked(**fields) -> list[str]:
    return [suffix for suffix, _ in addresses(ROW | fields, HOST)]


def test_addresses_follow_the_form_of_flickr():
    assert addresses(ROW, HOST) == [
        ("_b", f"{HOST}/97/231521295_0a1b2c3d4e_b.jpg"),
        ("_o", f"{HOST}/97/231521295_ffff_o.jpg"),
        ("_z", f"{HOST}/97/231521295_0a1b2c3d4e_z.jpg"),
        ("", f"{HOST}/97/231521295_0a1b2c3d4e.jpg"),
    ]
    assert file_stem(ROW) == "231521295_0a1b2c3d4e_97_12345678@N00"


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({"original_secret": None}, ["_b", "_z", ""]),
        ({"original_format": "exe"}, ["_b", "_z", ""]),
        ({"original_width": None, "original_height": None}, ["_b", "_o", "_z", ""]),
        ({"original_width": 1024, "original_height": 768}, ["_o", "_b", "_z", ""]),
        ({"original_width": 600, "original_height": 640}, ["_o", "_b", ""]),
        ({"date_upload": 1400000000}, ["_b", "_o", "_c", "_z", ""]),
        ({"date_upload": None}, ["_b", "_o", "_c", "_z", ""]),
        ({"date_upload": 1400000000, "original_width": 800, "original_height": 10},
         ["_o", "_b", "_z", ""]),
    ],
)  # fmt: skip
def test_addresses_start_with_the_best_existing_size(fields, order):
    assert asked(**fields) == order


NASTY = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "../../etc",
            "1/../../x",
            "a@evil.example",
            "x#",
            "x?y",
            "%2e%2e",
            "1\n",
            "１２",
            "//e",
            ".",
        ]
    ),
    st.integers(),
)


@given(st.fixed_dictionaries({name: NASTY for name in ("photo_id", "secret", "server", "owner")}),
       st.fixed_dictionaries({name: st.one_of(st.none(), st.text(max_size=12))
                              for name in ("original_secret", "original_format")}),
       st.sampled_from(["photo_id", "secret", "server", "owner", ""]))  # fmt: skip
def test_a_hostile_row_cannot_name_another_host(fields, original, kept):
    row = {**ROW, **original, **({kept: fields[kept]} if kept else {})}
    if invalid_field(row):
        return
    assert re.fullmatch(r"[0-9A-Za-z@_-]+", file_stem(row))
    for _, address in addresses(row, HOST):
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}" == HOST and not parts.query
        assert re.fullmatch(r"/[0-9]+/[0-9]+_[0-9A-Za-z]+(_[a-z])?\.[a-z]+", parts.path)


@pytest.mark.parametrize(
    "fields",
    [
        {"photo_id": "12a"}, {"photo_id": "1\n"}, {"photo_id": None}, {"photo_id": 12},
        {"secret": ""}, {"secret": "../../x"}, {"server": "97/.."}, {"server": "http://e"},
        {"owner": "a/b"}, {"owner": "é"}, {"latitude": None}, {"latitude": 90.1},
        {"longitude": float("nan")}, {"longitude": float("inf")},
    ],
)  # fmt: skip
def test_rows_without_address_or_place_are_refused_by_field(fields):
    assert invalid_field(ROW | fields).startswith(f"{next(iter(fields))} ")
