"""Copies of test photos are found by picture, and written to a sheet."""

import io
import re
from base64 import b64decode
from datetime import datetime

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from geoload.report import Findings
from im2gps.audit.hamming import HammingIndex
from im2gps.audit.pictures import PLAIN, UNREADABLE, find_copies
from im2gps.audit.sheet import Sheet, write_sheet
from im2gps.landscape import paint
from im2gps.packs import PackError

SECRET = b"latitude: 48.8584"


def jpeg(picture, quality=90, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def photo(name, data):
    return name, lambda: data


@pytest.fixture(scope="module")
def pictures():
    """Landscapes of different parts of the world."""
    rng = np.random.default_rng(0)
    places = [(40, -100), (52, 10), (-20, 130), (8, 5), (60, 25), (35, 138), (-3, -60), (28, 77)]
    return [paint(*place, datetime(2008, 6, 2, 11), (240, 180), rng) for place in places]


@pytest.fixture(scope="module")
def test_set(pictures):
    return [photo(f"{n}.jpg", jpeg(one, comment=SECRET)) for n, one in enumerate(pictures)]


def cropped(picture, left, top, right, bottom):
    width, height = picture.size
    return picture.crop((left * width, top * height, width * (1 - right), height * (1 - bottom)))


def turned(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    return jpeg(picture.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())


CHANGES = {
    "the same": jpeg,
    "re-encoded": lambda one: jpeg(one, 30),
    "half the size": lambda one: jpeg(one.resize((120, 90))),
    "darker": lambda one: jpeg(ImageEnhance.Brightness(one).enhance(0.7)),
    "cropped at the left": lambda one: jpeg(cropped(one, 0.1, 0, 0, 0)),
    "cropped at each side": lambda one: jpeg(cropped(one, 0.1, 0.1, 0.1, 0.1)),
    "cropped unevenly": lambda one: jpeg(cropped(one, 0.03, 0.06, 0.02, 0.08)),
    "with a border": lambda one: jpeg(ImageOps.expand(one, 20, "white")),
    "grey": lambda one: jpeg(one.convert("L")),
    "CMYK": lambda one: jpeg(one.convert("CMYK")),
    "turned by its orientation": turned,
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_and_other_pictures_are_not(pictures, test_set, change):
    train = [photo(str(n), CHANGES[change](one)) for n, one in enumerate(pictures)]
    copies = find_copies(test_set, train, Findings())
    assert sorted((copy.test, copy.train) for copy in copies) == [(n, str(n)) for n in range(8)]
    assert [copy.bits for copy in copies] == sorted(copy.bits for copy in copies)


def test_a_border_of_the_test_photo_does_not_matter(pictures):
    framed = photo("framed", jpeg(ImageOps.expand(pictures[0], (0, 25), "black")))
    (copy,) = find_copies([framed], [photo("plain", jpeg(pictures[0]))], Findings())
    assert copy.train == "plain"


def test_a_picture_of_the_same_scene_from_another_direction_is_not_a_copy(pictures, test_set):
    moved = [photo(str(n), jpeg(cropped(one, 0.3, 0, 0, 0))) for n, one in enumerate(pictures)]
    assert find_copies(test_set, moved, Findings()) == []


def test_fewer_bits_can_be_allowed(pictures, test_set):
    train = [
        photo("same", test_set[0][1]()),
        photo("cut", jpeg(cropped(pictures[0], 0.03, 0, 0, 0))),
    ]
    strict = find_copies(test_set, train, Findings(), max_bits=0)
    assert [(copy.train, copy.bits) for copy in strict] == [("same", 0)]
    with pytest.raises(ValueError, match="max_bits=300: must be from 0 to 128"):
        find_copies(test_set, train, Findings(), max_bits=300)


def test_unusable_photos_are_counted_and_the_others_compared(pictures, test_set):
    def unpacked():
        raise PackError("it cannot be unpacked")

    good, report = test_set[3][1](), Findings()
    huge = good.replace(
        b"\xff\xc0\x00\x11\x08\x00\xb4\x00\xf0", b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff"
    )
    assert huge != good
    train = [
        photo("cut", good[: len(good) // 2]), photo("text", b"no picture"), photo("empty", b""),
        photo("huge", huge), ("packed", unpacked),
        photo("white", jpeg(Image.new("RGB", (99, 99), "white"))), photo("good", good),
    ]  # fmt: skip
    night = photo("night", jpeg(Image.new("RGB", (99, 99))))
    copies = find_copies([*test_set, night], train, report)
    assert [(copy.test, copy.train) for copy in copies] == [(3, "good")]
    assert report.counts == {UNREADABLE: 5, PLAIN: 1}
    assert report.names[PLAIN] == ["night"]


def test_nothing_to_compare():
    assert find_copies([], [], Findings()) == []


def test_the_index_finds_exactly_the_words_nearby():
    rng = np.random.default_rng(0)
    centres = rng.integers(2**64, size=20, dtype=np.uint64)
    flips = np.zeros((400, 20, 64), bool)
    for flip in flips.reshape(-1, 64):
        flip[rng.choice(64, rng.integers(5, 12), replace=False)] = True
    words = (centres ^ np.packbits(flips, axis=-1).view(np.uint64)[..., 0]).ravel()
    index = HammingIndex(words, 8)
    for centre in centres:
        distances = np.unpackbits((words ^ centre)[:, None].view(np.uint8), axis=1).sum(1)
        assert index.near(centre).tolist() == np.flatnonzero(distances <= 8).tolist()


def test_the_sheet_shows_the_nearest_pairs_and_nothing_of_the_metadata(
    pictures, test_set, tmp_path
):
    train = [
        photo(f"<b>{n}&", jpeg(one, 95 - 8 * n, comment=SECRET)) for n, one in enumerate(pictures)
    ]
    sheet = Sheet(limit=3)
    copies = find_copies(test_set, train, Findings(), found=sheet.add)
    write_sheet(tmp_path / "sheet.html", [sheet], test_set)
    page = (tmp_path / "sheet.html").read_text()
    assert "8 pairs, the most similar first. The 5 least similar are left off." in page
    assert "<b>" not in page
    rows = re.findall(r"<tr><td>(\d+)</td>", page)
    assert [int(bits) for bits in rows] == [copy.bits for copy in copies[:3]]
    shown = [b64decode(text) for text in re.findall(r"base64,([^\"]+)", page)]
    assert len(shown) == 6
    assert not any(SECRET in picture for picture in shown)
    first = np.asarray(Image.open(io.BytesIO(shown[0])), float)
    original = np.asarray(pictures[copies[0].test].resize(first.shape[1::-1]), float)
    assert np.abs(first - original).mean() < 8
