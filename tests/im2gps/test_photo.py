"""Coordinates out of JPEG comments, and bytes without them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from geoload.jpeg import PhotoError, clean
from im2gps.photo import coordinates
from im2gps.sample import with_comments

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def jpeg(mode: str = "RGB", **options) -> bytes:
    rng = np.random.default_rng(3)
    channels = {"RGB": 3, "L": 1, "CMYK": 4}[mode]
    pixels = rng.integers(0, 255, (40, 56, channels), np.uint8).squeeze()
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode if mode == "CMYK" else None).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(latitude: float | None = None, longitude: float = 0, orientation: int = 1) -> bytes:
    fields = Image.Exif()
    fields[0x0112] = orientation
    fields[0x010F] = "A Camera"
    if latitude is not None:
        gps = fields.get_ifd(0x8825)
        gps[1], gps[2] = ("S" if latitude < 0 else "N"), (abs(latitude), 0.0, 0.0)
        gps[3], gps[4] = ("W" if longitude < 0 else "E"), (abs(longitude), 0.0, 0.0)
    return fields.tobytes()


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@settings(max_examples=100, deadline=None)
@given(LATITUDES, LONGITUDES, st.randoms())
def test_reads_fields_by_key_in_any_order(latitude, longitude, random):
    fields = [
        f"latitude: {latitude!r}",
        f"longitude: {longitude!r}",
        "title: latitude: 1.0",
        "tags: latitude: 2 longitude: 3",
        "owner: 1@N00",
    ]
    random.shuffle(fields)
    data = with_comments(jpeg(), [f.encode() for f in fields])
    assert coordinates(data) == (latitude, longitude)


@pytest.mark.parametrize(
    "fields",
    [
        [b"latitude: 41.89\0", b"longitude: 12.5\0\0"],
        [b"title: caf\xe9 \xfc\xdf", b"latitude:41.89", b"longitude:  12.5  "],
        ["title: Кафе".encode(), b"Latitude: 41.89\n", b"LONGITUDE: 12.5\r\n"],
        [b"tags: " + b"x" * 65527, b"latitude: 41.89", b"longitude: 12.5"],
        [b"latitude: 41.89" + b"\0" * 65518, b"longitude: 12.5"],
        [b"", b"title:", b"latitude: 41.89", b"longitude: 12.5", b"no colon"],
        [b"latitude: 41.890", b"latitude: 41.89", b"longitude: 1.25e1"],
    ],
    ids=["NUL-ended", "Latin-1", "UTF-8", "maximal", "NUL-filled", "odd fields", "twice the same"],
)
def test_reads_fields_however_they_are_written(fields):
    assert coordinates(with_comments(jpeg(), fields)) == (41.89, 12.5)


def test_reads_comments_between_the_scans_of_a_progressive_jpeg():
    data = jpeg(progressive=True, quality=90)
    scan = data.rfind(b"\xff\xda")
    comment = with_comments(b"\xff\xd8", [b"latitude: 1.5", b"longitude: 2.5"])[2:]
    assert coordinates(data[:scan] + comment + data[scan:]) == (1.5, 2.5)
    assert b"latitude" not in clean(data[:scan] + comment + data[scan:])


def test_falls_back_to_exif():
    assert coordinates(jpeg(exif=exif(-33.5, 151.25))) == (-33.5, 151.25)
    both = with_comments(jpeg(exif=exif(1, 1)), [b"latitude: 41.89", b"longitude: 12.5"])
    assert coordinates(both) == (41.89, 12.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"GIF89a", "not a JPEG"),
        (jpeg(), "no coordinates"),
        (jpeg(exif=exif()), "no coordinates"),
        (with_comments(jpeg(), [b"title: latitude: 1.0 longitude: 2.0"]), "no coordinates"),
        (with_comments(jpeg(), [b"latitude: 1.0"]), "only the latitude"),
        (with_comments(jpeg(), [b"latitude: north", b"longitude: 2"]), "'north', not a number"),
        (with_comments(jpeg(), [b"latitude: nan", b"longitude: 2"]), "latitude is 'nan'"),
        (with_comments(jpeg(), [b"latitude: 91", b"longitude: 2"]), "not on the globe"),
        (
            with_comments(jpeg(), [b"latitude: 1", b"latitude: 2", b"longitude: 2"]),
            "two of it",
        ),
        (with_comments(jpeg(), [b"latitude: 1", b"longitude: 2"])[:-300], "cut"),
        (with_comments(jpeg(), [b"latitude: 1", b"longitude: 2"])[:60], "cut or broken"),
    ],
)
def test_says_what_is_wrong_with_a_photo(data, message):
    with pytest.raises(PhotoError, match=message):
        coordinates(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_clean_keeps_the_picture_and_drops_all_that_tells(mode, progressive):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"icc_profile": profile, "exif": exif(41.89, 12.5, orientation=6)}
    data = jpeg(mode, progressive=progressive, **options)
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0 41.890400")
    iptc = segment(0xED, b"Photoshop 3.0\0 Rome 41.890400")
    data = data[:2] + xmp + iptc + data[2:] + b"trailer latitude: 41.890400"
    data = with_comments(data, [b"latitude: 41.890400", b"longitude: 12.492000", b"title: Rome"])

    cleaned = clean(data)

    assert coordinates(data) == (41.8904, 12.492)
    for secret in (b"41.89", b"12.49", b"itude", b"Rome", b"A Camera", b"xap", b"trailer"):
        assert secret not in cleaned
    image = Image.open(io.BytesIO(cleaned))
    assert image.info["icc_profile"] == profile
    assert dict(image.getexif()) == {0x0112: 6}
    assert np.array_equal(pixels(cleaned), pixels(data))
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(cleaned)
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    "carrier", [0xC8, 0xDC, 0xE0, 0xE5, 0xED, 0xEE, 0xF7, 0xFD, 0x02], ids=lambda m: f"{m:02X}"
)
def test_clean_leaves_no_room_beside_the_picture(carrier):
    secret = b" latitude: 41.8904 longitude: 12.492"
    head = {0xE0: b"JFIF\0\1\1\0\0\1\0\1\0\0", 0xEE: b"Adobe\0\x64\0\0\0\0\1"}.get(carrier, b"")
    data = jpeg()
    data = data[:2] + segment(carrier, head + secret) + data[2:]
    assert secret not in clean(data)


@pytest.mark.parametrize("reference", ["S", b"S", b"S\0", "s"])
def test_the_hemisphere_counts_however_it_is_written(reference):
    fields = Image.Exif()
    gps = fields.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = reference, (33.0, 0.0, 0.0), "W", (70.0, 0.0, 0.0)
    assert coordinates(jpeg(exif=fields.tobytes())) == (-33, -70)


def test_without_a_hemisphere_there_are_no_coordinates():
    fields = Image.Exif()
    gps = fields.get_ifd(0x8825)
    gps[2], gps[4] = (33.0, 0.0, 0.0), (70.0, 0.0, 0.0)
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(jpeg(exif=fields.tobytes()))


@pytest.mark.parametrize("payload", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff"])
def test_damaged_exif_is_no_exif(payload):
    data = with_comments(jpeg(), [b"latitude: 1", b"longitude: 2"])
    data = data[:2] + segment(0xE1, payload) + data[2:]
    assert coordinates(data) == (1, 2)
    assert b"Exif" not in clean(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_gives_one_kind_of_error(data):
    photo = bytearray(with_comments(jpeg(exif=exif(1, 2)), [b"latitude: 1", b"longitude: 2"]))
    for position in data.draw(st.lists(st.integers(0, 400), min_size=1, max_size=5)):
        photo[position] = data.draw(st.integers(0, 255))
    photo = photo[: data.draw(st.integers(0, len(photo)))]
    try:
        coordinates(bytes(photo))
        cleaned = clean(bytes(photo))
    except PhotoError:
        return
    assert b"itude: " not in cleaned
