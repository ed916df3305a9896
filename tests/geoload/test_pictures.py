"""Pictures decoded at a size agree with decoding them completely and resampling."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from datasets import Dataset, Features, load_dataset
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, features

import justzoomin
from geoload.pictures import PictureError, Resize, decode, resample_with_torch, shrink

needs_avif = pytest.mark.skipif(
    "avif" not in features.get_supported_modules(), reason="this Pillow has no AVIF"
)
FILTERS = [Image.Resampling(n) for n in (1, 2, 3, 4, 5)]  # all but "nearest"


def photo(width: int, height: int, mode: str = "RGB", **options) -> bytes:
    """A picture with the spectrum of a natural one: amplitudes fall with the frequency."""
    rng = np.random.default_rng(width * height)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    grey = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) / frequency).real
    slope = np.linspace(-30, 30, width)[None, :, None] * [1, 0, -1]
    pixels = np.clip(grey[..., None] / max(grey.std(), 1e-9) * 40 + 128 + slope, 0, 255).astype(
        np.uint8
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def whole(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def difference(a, b) -> float:
    return float(np.abs(np.asarray(a).astype(int) - np.asarray(b)).mean())


@pytest.mark.parametrize("size", [384, 300, 192, 100, (384, 384), (224, 224), 500])
def test_differs_no_more_than_resampling_filters_differ(size):
    data = photo(1024, 768)
    ours = decode(data, size)
    height, width = ours.shape[:2]
    theirs = [whole(data).resize((width, height), kind) for kind in FILTERS]
    among = max(difference(a, b) for a, b in itertools.combinations(theirs, 2))
    assert min(difference(ours, picture) for picture in theirs) < among


@pytest.mark.parametrize("size", [300, 100, (224, 224), (13, 500)])
def test_torch_resamples_as_pillow_does(size):
    pytest.importorskip("torch")
    data = photo(1024, 768)
    ours, theirs = decode(data, size, resample_with_torch), decode(data, size)
    assert difference(ours, theirs) < 0.01
    assert np.abs(ours.astype(int) - theirs).max() <= 2
    assert ours.flags.writeable and ours.flags.c_contiguous


def test_half_the_size_is_the_mean_of_two_by_two():
    data = photo(1024, 768)
    box = whole(data).resize((512, 384), Image.Resampling.BOX)
    assert difference(decode(data, 384), box) < 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 120), st.sampled_from(range(1, 9)))
def test_shapes(width, height, size, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = photo(width, height, exif=exif.tobytes())
    upright = whole(data)
    ours = decode(data, size)
    assert ours.dtype == np.uint8 and ours.shape[2] == 3
    assert min(ours.shape[:2]) == min(size, min(upright.size))
    wanted = max(upright.size) * min(size, min(upright.size)) / min(upright.size)
    assert abs(max(ours.shape[:2]) - wanted) <= 1
    assert (ours.shape[0] - ours.shape[1]) * (upright.height - upright.width) >= 0
    assert decode(data, (20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = photo(120, 80, exif=exif.tobytes())
    upright = whole(data)
    ours = decode(data, 40)
    theirs = upright.resize((ours.shape[1], ours.shape[0]), Image.Resampling.BOX)
    assert difference(ours, theirs) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("MPO", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        pytest.param("AVIF", {"quality": 100}, marks=needs_avif),
    ],
    ids=str,
)
def test_orientation_is_applied_in_every_format(kind, options, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    pixels = whole(photo(80, 40))
    pixels.save(file := io.BytesIO(), kind, exif=exif, **options)
    right = whole(file.getvalue())
    for ours in (
        decode(file.getvalue(), 1000),
        Resize(1000)({"image": [Image.open(file)]})["image"][0],
        Image.open(io.BytesIO(shrink(file.getvalue(), 39))).resize(right.size),
    ):
        assert np.shape(ours) == np.shape(right)
        assert difference(ours, right) < 10
    assert difference(right, right.rotate(180)) > 20


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_in_xmp_is_applied(kind, orientation):
    text = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    options = {"xmp": text.encode()}
    if kind == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", text)
    whole(photo(80, 40)).save(file := io.BytesIO(), kind, **options)
    data = file.getvalue()
    if kind == "JPEG" and b"xmpmeta" not in data:  # Pillow 10 does not write it
        xmp = b"http://ns.adobe.com/xap/1.0/\0" + text.encode()
        data = data[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + data[2:]
    right = whole(data)
    assert decode(data, 1000).shape == np.shape(right)
    assert difference(decode(data, 1000), right) < 3


def bomb(kind: str) -> bytes:
    """A small file that claims 60,000 x 60,000 pixels."""
    Image.new("RGB", (60, 60)).save(file := io.BytesIO(), kind)
    data = file.getvalue()
    if kind == "PNG":
        head = b"IHDR" + struct.pack(">II", 60_000, 60_000) + data[24:29]
        return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", 60_000, 60_000) + data[at + 4 :]
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", 60)) + 8
        data = data[:at] + struct.pack("<I", 60_000) + data[at + 4 :]
    return data


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_picture_of_too_many_pixels_is_an_error(kind):
    with pytest.raises(PictureError, match="decompression bomb"):
        decode(bomb(kind), 100)


def test_too_many_scans_are_an_error():
    data = photo(64, 48, progressive=True)
    scan = data.rfind(b"\xff\xda")
    with pytest.raises(PictureError, match="more than 100 scans"):
        decode(data[:scan] + data[scan:-2] * 200 + data[-2:], 48)


@pytest.mark.parametrize(("mode", "kind"), [("L", "BOX"), ("CMYK", "BICUBIC")])
def test_grey_and_cmyk(mode, kind):
    data = photo(120, 80, mode)
    theirs = whole(data).resize((60, 40), Image.Resampling[kind])
    assert difference(decode(data, 40), theirs) < 1
    assert Image.open(io.BytesIO(shrink(data, 40))).size == (60, 40)


def test_other_formats_are_decoded_too():
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 48), (200, 100, 50, 255)).save(buffer, "PNG")
    assert (decode(buffer.getvalue(), 24)[12, 16] == [200, 100, 50]).all()


def test_pictures_are_never_enlarged_and_small_ones_stay_unchanged():
    data = photo(64, 48)
    assert shrink(data, 48) is data and shrink(data, 500) is data
    assert decode(data, 500).shape == (48, 64, 3)


@pytest.mark.parametrize("broken", [b"", b"\xff\xd8\xff\xd9", b"GIF89a", "cut"])
def test_a_damaged_picture_is_an_error(broken):
    data = photo(300, 200)[:5000] if broken == "cut" else broken
    with pytest.raises(PictureError, match="it cannot be decoded"):
        decode(data, 100)


def test_stray_bytes_are_ignored_as_in_pillow():
    data = photo(300, 200)
    stray = data[:-2] + b"\x00" * 40 + data[-2:]
    assert difference(decode(stray, 100), decode(data, 100)) < 4  # two filters


def test_numpy_numbers_are_accepted():
    data = photo(120, 80)
    assert decode(data, np.int64(40)).shape == decode(data, (np.int32(40), 60)).shape
    assert Resize(np.int16(40))({"image": [{"bytes": data}]})["image"][0].shape == (40, 60, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [20, 80])
def test_shrinking_keeps_the_profile_and_the_mode(mode, size):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = shrink(photo(120, 80, mode, icc_profile=profile), size)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size[1] == size
        assert picture.mode == mode and picture.info["icc_profile"] == profile


def test_sixteen_bits_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 30000, np.uint16)).save(buffer, "PNG")
    with pytest.raises(PictureError, match="not of eight bits"):
        decode(buffer.getvalue(), 4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_batch_refuses_sixteen_bits_in_every_form(dtype):
    picture = Image.fromarray(np.full((8, 8), 30000, dtype))
    picture.save(buffer := io.BytesIO(), "TIFF")
    good = Image.new("RGB", (8, 8))
    for entry in (picture, {"bytes": buffer.getvalue(), "path": None}):
        with pytest.raises(PictureError, match=r"^row 1 of the batch .*: .*not of eight bits"):
            Resize(4)({"image": [good, entry]})


def test_a_damaged_picture_of_a_batch_is_named():
    with pytest.raises(PictureError, match=r"a\.jpg: it cannot be decoded"):
        Resize(100)({"image": [{"bytes": b"\xff\xd8", "path": "a.jpg"}]})
    with pytest.raises(KeyError, match="no column 'image'; there are photo"):
        Resize(100)({"photo": []})


@pytest.mark.parametrize("size", [0, -1, 2.5, "384", (1, 2, 3), (0, 5), True, None, 10**9])
def test_a_wrong_size_is_an_error(size):
    with pytest.raises(ValueError, match="A picture's size is its shorter side"):
        Resize(size)


def test_as_a_transform_of_bytes_and_of_decoded_pictures():
    entries = [{"bytes": photo(120, 80), "path": None}] * 2
    rows = Dataset.from_dict({"image": entries}, features=Features({"image": ImageFeature()}))
    fast = rows.cast_column("image", ImageFeature(decode=False)).with_transform(Resize(40))
    slow = rows.with_transform(Resize(40))
    assert fast[0]["image"].shape == slow[0]["image"].shape == (40, 60, 3)
    assert difference(fast[0]["image"], slow[1]["image"]) < 4


def test_in_a_webdataset_pipeline(zoom):
    resize = Resize(12)
    pipeline = justzoomin.webdataset("train", data_dir=str(zoom)).decode(resize.image_bytes)
    samples = list(pipeline.to_tuple("jpg", "json"))
    assert len(samples) == 40
    image, record = samples[0]
    assert image.shape == (12, 16, 3) and len(record["sequence"]) == 4


def test_the_option_image_size(zoom, cache):
    options = {"data_dir": str(zoom), "split": "train"}
    small = load_dataset("justzoomin", image_size=12, cache_dir=cache, **options)
    full = load_dataset("justzoomin", cache_dir=cache, **options)
    assert small.features == full.features
    assert small[0]["image"].size == (16, 12) and full[0]["image"].size == (32, 24)
    assert small["image_id"][:] == full["image_id"][:]
    streamed = load_dataset("justzoomin", image_size=[10, 10], streaming=True, **options)
    assert next(iter(streamed))["image"].size == (10, 10)
    with pytest.raises(ValueError, match="shorter side"):
        load_dataset("justzoomin", image_size=-3, cache_dir=cache, **options)
