"""The body of an answer becomes a clean JPEG of the data set's size, or gives a reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("simplejpeg")

from im2gps.building.missing import Missing
from im2gps.building.recode import training_jpeg

RED, BLUE = (200, 40, 40), (40, 40, 200)


def coded(width: int, height: int, mode: str = "RGB", kind: str = "JPEG", **options) -> bytes:
    """A picture, red on its left and blue on its right."""
    pixels = np.full((height, width, 3), RED, np.uint8)
    pixels[:, width // 2 :] = BLUE
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(pixel, colour) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() < 40)


@settings(max_examples=25, deadline=None)
@given(st.integers(64, 2500), st.integers(64, 2500))
def test_the_longest_side_is_1024_at_most_and_nothing_is_enlarged(width, height):
    scale = min(1, 1024 / max(width, height))
    body = coded(width, height)
    if min(width, height) * scale < 64:
        with pytest.raises(Missing, match="too small"):
            training_jpeg(body, "jpg")
        return
    picture = training_jpeg(body, "jpg")
    image = opened(picture.data)
    assert image.size == (picture.width, picture.height)
    assert abs(image.width - width * scale) <= 1 and abs(image.height - height * scale) <= 1
    assert picture.recoded == (scale < 1)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_of_the_right_size_keeps_its_pixels_bit_for_bit(mode):
    body = coded(300, 200, mode, quality=80)
    picture = training_jpeg(body, "jpg")
    assert not picture.recoded
    assert np.array_equal(np.asarray(opened(body)), np.asarray(opened(picture.data)))


def test_large_photos_of_any_mode_are_shrunk():
    for mode, colour in (("RGB", RED), ("L", 86), ("CMYK", RED)):
        picture = training_jpeg(coded(3000, 1500, mode), "jpg")
        image = opened(picture.data)
        assert image.size == (1024, 512) and image.mode == ("L" if mode == "L" else "RGB")
        assert near(image.getpixel((100, 100)), colour)


@pytest.mark.parametrize("width", [300, 1500])
def test_metadata_are_removed_and_the_colour_profile_is_kept(width):
    exif = Image.Exif()
    exif[0x010E] = "latitude: 41.89"
    profile = b"\0" * 16 + b"RGB " + b"\0" * 108
    body = coded(width, 200, exif=exif, comment=b"latitude: 41.89", icc_profile=profile)
    picture = training_jpeg(body, "jpg")
    assert b"itude" not in picture.data
    assert opened(picture.data).info["icc_profile"] == profile


@pytest.mark.parametrize("width", [400, 2000])
def test_orientation_is_applied_to_pixels(width):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    picture = training_jpeg(coded(width, width // 2, exif=exif), "jpg")
    image = opened(picture.data)
    assert image.height == 2 * image.width == picture.height and not image.getexif()
    assert near(image.getpixel((10, 10)), RED)
    assert near(image.getpixel((10, image.height - 10)), BLUE)


@pytest.mark.parametrize(
    ("mode", "kind", "suffix"),
    [("CMYK", "JPEG", "jpg"), ("RGBA", "PNG", "png"), ("P", "GIF", "gif"), ("RGB", "PNG", "png")],
)
def test_other_modes_and_formats_become_rgb_jpegs(mode, kind, suffix):
    picture = training_jpeg(coded(400, 300, mode, kind), suffix)
    image = opened(picture.data)
    assert (image.format, image.mode, image.size, picture.recoded) == (
        "JPEG", "RGB", (400, 300), True,
    )  # fmt: skip
    assert near(image.getpixel((10, 10)), RED) and near(image.getpixel((390, 10)), BLUE)


def test_transparent_pixels_become_white():
    buffer = io.BytesIO()
    Image.new("RGBA", (100, 100), (0, 0, 0, 0)).save(buffer, "PNG")
    assert near(opened(training_jpeg(buffer.getvalue(), "png").data).getpixel((50, 50)), (255,) * 3)


@pytest.mark.parametrize("width", [400, 2000])
def test_stray_bytes_between_segments_are_dropped(width):
    body = coded(width, 200)
    picture = training_jpeg(body[:20] + b"hello" + body[20:], "jpg")
    assert picture == training_jpeg(body, "jpg") and b"hello" not in picture.data


@pytest.mark.parametrize("width", [400, 2000])
def test_an_orientation_in_xmp_is_applied_to_pixels(width):
    body = coded(width, 200)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>"
    body = body[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + body[2:]
    image = opened(training_jpeg(body, "jpg").data)
    assert image.height > image.width and not image.getexif()


def bomb(width: int, height: int) -> bytes:
    data = bytearray(coded(100, 100))
    frame = data.find(b"\xff\xc0")
    data[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def holed() -> bytes:
    """A JPEG with an intact structure and damaged image data."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    data = buffer.getvalue()
    return data[: len(data) // 2] + data[-1000:]


@pytest.mark.parametrize(
    ("body", "suffix", "reason"),
    [
        (b"", "jpg", "no picture of the right type"),
        (b"<html>gone</html>", "jpg", "no picture of the right type"),
        (coded(300, 300, kind="PNG"), "jpg", "no picture of the right type"),
        (coded(300, 300), "png", "no picture of the right type"),
        (coded(500, 374, "P", "GIF"), "jpg", "placeholder"),
        (coded(300, 300)[:-500], "jpg", "truncated"),
        (coded(300, 300)[:-500] + b"\xff\xd9", "jpg", "truncated"),
        (coded(300, 300, kind="PNG")[:-50], "png", "truncated"),
        (holed(), "jpg", "truncated"),
        (b"\xff\xd8\xff\xd9", "jpg", "truncated"),
        (coded(75, 60), "jpg", "too small"),
        (coded(8000, 100), "jpg", "too small"),
        (bomb(60_000, 60_000), "jpg", "too many pixels"),
        (bomb(10_000, 10_000), "jpg", "too many pixels"),
    ],
)  # fmt: skip
def test_unusable_pictures_are_refused_with_a_reason(body, suffix, reason):
    with pytest.raises(Missing, match=reason):
        training_jpeg(body, suffix)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_a_picture_or_a_reason(data):
    body = bytearray(coded(120, 90, kind=data.draw(st.sampled_from(["JPEG", "PNG", "GIF"]))))
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        opened(training_jpeg(bytes(body), data.draw(st.sampled_from(["jpg", "png", "gif"]))).data)
    except Missing as error:
        assert error.reason
