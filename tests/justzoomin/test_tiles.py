"""The tile pyramid against tiledwebmaps, against the painted colours, and with damaged files."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for _name in ("cv2", "pyproj", "simplejpeg", "yaml"):
    pytest.importorskip(_name)

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from justzoomin import zoom
from justzoomin.findings import WHITE
from justzoomin.layout import Layout
from justzoomin.painting import paint
from justzoomin.sample import LAYOUT
from justzoomin.sample_tiles import write_tiles
from justzoomin.source import Hub
from justzoomin.tiles import TilePyramid
from tests.support.shards import write_shard

SIZE = 384
RNG = np.random.default_rng(5)
# Corners of the region, where views reach past the tiles, and some anywhere.
SEQUENCES = [[0, 0, 0, 0], [15, 15, 15, 15], [3, 3, 12, 3]] + RNG.integers(16, size=(3, 4)).tolist()
POINTS = np.stack(zoom.decode(SEQUENCES), -1)


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the Hub's layout, several TARs a level; the finest levels have tiles here and there."""
    folder = tmp_path_factory.mktemp("tiles")
    write_tiles(folder, (-7, -5), per_archive=150)
    write_tiles(folder, (-3,), around=POINTS, radius_m=250)
    write_tiles(folder, (-1,), around=POINTS, per_archive=200)
    return folder


@pytest.fixture(scope="session")
def extracted(hub_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extracted")
    shutil.copytree(hub_folder / "satellite", folder / "satellite")
    for archive in (hub_folder / "archives").iterdir():
        with tarfile.open(archive) as tar:
            tar.extractall(folder)
    return folder


@pytest.fixture
def pyramid(hub_folder: Path) -> TilePyramid:
    return TilePyramid(hub_folder)


@pytest.fixture
def copy(hub_folder: Path, tmp_path: Path) -> Path:
    """A copy of the coarsest level, to be broken."""
    shutil.copytree(hub_folder / "satellite", tmp_path / "satellite")
    (tmp_path / "archives").mkdir()
    name = "satellite_level_m7_000.tar"
    shutil.copy(hub_folder / "archives" / name, tmp_path / "archives" / name)
    return tmp_path


def whole(pyramid: TilePyramid, size: int = SIZE) -> np.ndarray:
    """The first view."""
    latitude, longitude, width = zoom.path(SEQUENCES[0])
    return pyramid.view(latitude[0], longitude[0], width[0] / size, size)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours.astype(int) - theirs).mean())


# Against tiledwebmaps


@pytest.fixture(scope="session")
def peer(extracted: Path) -> Callable[..., np.ndarray]:
    twm = pytest.importorskip("tiledwebmaps", reason="no wheel of tiledwebmaps here")
    bare = twm.from_yaml(str(extracted / "satellite"), wait_after_last_modified=0)
    loader = twm.WithDefault(bare)

    def load(
        latitude: float, longitude: float, scale: float, size: int, bearing: float = 0.0
    ) -> np.ndarray:
        place = np.array([latitude, longitude])
        return loader.load(
            latlon=place, bearing=bearing, meters_per_pixel=scale, shape=(size, size)
        )

    return load


@pytest.mark.parametrize("sequence", SEQUENCES, ids=str)
@pytest.mark.parametrize("passes", [1, 3])
def test_the_four_views_agree_with_tiledwebmaps(
    pyramid: TilePyramid, peer: Callable, sequence: list[int], passes: int
) -> None:
    for _ in range(passes):
        views = pyramid.views(sequence)
    latitude, longitude, width = zoom.path(sequence)
    for step in range(4):
        expected = peer(latitude[step], longitude[step], width[step] / SIZE, SIZE)
        assert difference(views[step], expected) < 0.15
        assert np.abs(views[step].astype(int) - expected).max() <= 3


@pytest.mark.parametrize("bearing", [0.0, 33.0, 90.0, -120.0])
@pytest.mark.parametrize("size", [97, 384])
@pytest.mark.parametrize("scale", [0.33, 0.41, 0.63, 1.3, 2.5, 5.2, 6.5, 10.0, 21.0, 30.0, 40.0])
def test_any_view_agrees_with_tiledwebmaps(
    pyramid: TilePyramid, peer: Callable, bearing: float, size: int, scale: float
) -> None:
    latitude, longitude = POINTS[4]
    ours = pyramid.view(latitude, longitude, scale, size, bearing)
    assert difference(ours, peer(latitude, longitude, scale, size, bearing)) < 0.3


def test_missing_tiles_are_white(pyramid: TilePyramid, peer: Callable) -> None:
    latitude, longitude = zoom.move(*POINTS[4], -300, 250)
    ours = pyramid.view(latitude, longitude, 625 / SIZE, SIZE)
    share = (ours == 255).all(-1).mean()
    assert 0.3 < share < 0.95
    assert difference(ours, peer(latitude, longitude, 625 / SIZE, SIZE)) < 0.15


# Against the painted colours


def expected(
    layout: Layout, latitude: float, longitude: float, scale: float, size: int, level: int
) -> np.ndarray:
    """The colours of the places that a north-up view's pixels should show, blurred as it is."""
    place = layout.point(latitude, longitude)
    pixel = layout.pixel_size(level)[0]
    pixels = scale * layout.pixels_per_metre(place, level)
    # Our pictures put a pixel where its index is, so half a source pixel is between.
    down, right = np.mgrid[:size, :size] - size / 2
    angle = np.radians(place.convergence)
    step = pixels * pixel
    east = place.east + step * (right * np.cos(angle) - down * np.sin(angle)) + pixel / 2
    north = place.north - step * (right * np.sin(angle) + down * np.cos(angle)) - pixel / 2
    return paint(east, north, 4 * pixel, (pixels - 1) / 2 * pixel)


@pytest.mark.parametrize("step,level", list(enumerate([-7, -5, -3, -1])))
def test_a_view_shows_the_colours_of_its_place(pyramid: TilePyramid, step: int, level: int) -> None:
    latitude, longitude, width = zoom.path(SEQUENCES[4])
    place = latitude[step], longitude[step], width[step] / SIZE, SIZE
    view = pyramid.view(*place)
    painted = expected(pyramid.layout, *place, level)
    inside = ~(view == 255).all(-1)
    inside[:2] = inside[-2:] = inside[:, :2] = inside[:, -2:] = False
    assert difference(view[inside], painted[inside]) < 3
    # Not by chance: shifted by one pixel, the difference is larger.
    moved = np.roll(painted, 1, 1)
    assert difference(view[inside], moved[inside]) > 3 * difference(view[inside], painted[inside])


def test_turned_by_a_quarter_it_is_the_turned_picture(pyramid: TilePyramid) -> None:
    latitude, longitude = POINTS[4]
    north = pyramid.view(latitude, longitude, 0.4, 101)
    east = pyramid.view(latitude, longitude, 0.4, 101, bearing=90)
    # East is up: what was at the right edge is at the top. A pixel's place is its index less half
    # the size, so that turning moves the picture by one pixel.
    turned = np.rot90(north)
    assert difference(east[1:], turned[:-1]) < 1
    assert difference(east, np.rot90(north, -1)) > 10


@settings(max_examples=20, deadline=None)
@given(right=st.integers(-40, 40), down=st.integers(-40, 40))
def test_moved_by_pixels_it_is_the_moved_picture(hub_folder: Path, right: int, down: int) -> None:
    pyramid = TilePyramid(hub_folder)
    size, scale = 128, 0.35
    latitude, longitude = POINTS[4]
    here = pyramid.view(latitude, longitude, scale, size)
    there = pyramid.view(*zoom.move(latitude, longitude, right * scale, -down * scale), scale, size)
    ys, xs = max(down, 0), max(right, 0)
    height, width = size - abs(down), size - abs(right)
    part = here[ys : ys + height, xs : xs + width]
    ys, xs = max(-down, 0), max(-right, 0)
    # The tiles have another offset, so the pictures differ slightly.
    assert difference(there[ys : ys + height, xs : xs + width], part) < 2.5


def test_archives_and_extracted_tiles_give_the_same_pictures(
    pyramid: TilePyramid, extracted: Path
) -> None:
    other = TilePyramid(extracted)
    for sequence in SEQUENCES[2:5]:
        np.testing.assert_array_equal(pyramid.views(sequence), other.views(sequence))


def test_earlier_views_change_no_picture(hub_folder: Path, pyramid: TilePyramid) -> None:
    """For any state of the cache: empty, filled, tiny, or after views of other scales."""
    latitude, longitude = POINTS[4]
    fresh = TilePyramid(hub_folder).view(latitude, longitude, 0.41, 200)
    for scale in (0.41, 0.41, 0.45, 0.41, 0.41, 0.5, 0.5, 0.41):
        again = pyramid.view(latitude, longitude, scale, 200)
        if scale == 0.41:
            np.testing.assert_array_equal(again, fresh)
    tiny = TilePyramid(hub_folder, cache_bytes=1)
    for _ in range(3):
        np.testing.assert_array_equal(tiny.view(latitude, longitude, 0.41, 200), fresh)


def test_views_are_those_before_each_action(pyramid: TilePyramid) -> None:
    views = pyramid.views(SEQUENCES[3], size=260)
    assert views.shape == (4, 260, 260, 3)
    assert views.dtype == np.uint8
    np.testing.assert_array_equal(views[0], whole(pyramid, 260))
    views[0] = 0  # not shared with the cache
    np.testing.assert_array_equal(pyramid.views(SEQUENCES[4], 260)[0], whole(pyramid, 260))


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_tiles(tmp_path / name, (-6, -2), around=POINTS[:2], radius_m=100)
    files = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in "ab"
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3


# Threads, processes, the cache


def test_threads_share_one(hub_folder: Path) -> None:
    alone = {str(s): TilePyramid(hub_folder).views(s, 260) for s in SEQUENCES}
    shared = TilePyramid(hub_folder, cache_bytes=30 * 250 * 250 * 3)
    with ThreadPoolExecutor(8) as pool:
        work = [(s, pool.submit(shared.views, s, 260)) for s in SEQUENCES * 4]
        for sequence, future in work:
            np.testing.assert_array_equal(future.result(), alone[str(sequence)])


def test_a_pickle_is_small_and_draws_the_same(pyramid: TilePyramid) -> None:
    before = pyramid.views(SEQUENCES[3], 260)
    data = pickle.dumps(pyramid)
    assert len(data) < 5000
    np.testing.assert_array_equal(pickle.loads(data).views(SEQUENCES[3], 260), before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_draws_the_same(hub_folder: Path, tmp_path: Path) -> None:
    # In another process, because threads of other tests could hold a lock at the fork.
    script = tmp_path / "fork.py"
    script.write_text(FORKING, encoding="utf-8")
    command = [sys.executable, str(script), str(hub_folder)]
    subprocess.run(command, check=True, timeout=170)


FORKING = """
import multiprocessing, sys
import numpy as np
from justzoomin.tiles import TilePyramid

def draw(pyramid, results):
    results.put(pyramid.views([7, 6, 6, 5], 260))

pyramid = TilePyramid(sys.argv[1])
before = pyramid.views([7, 6, 6, 5], 260)
context = multiprocessing.get_context("fork")
results = context.Queue()
for _ in range(3):
    context.Process(target=draw, args=(pyramid, results), daemon=True).start()
for _ in range(3):
    assert np.array_equal(results.get(timeout=170), before)
assert np.array_equal(pyramid.views([7, 6, 6, 5], 260), before)
"""


@pytest.mark.parametrize("tiles", [0, 1, 10, 60])
def test_decoded_tiles_stay_within_their_bytes(hub_folder: Path, tiles: int) -> None:
    limit = tiles * 250 * 250 * 3
    pyramid = TilePyramid(hub_folder, cache_bytes=limit)
    for sequence in SEQUENCES * 2:
        pyramid.views(sequence, 260)
        cache = pyramid._process.mosaic.cache
        assert cache.currsize == sum(tile.nbytes for tile in cache.values()) <= limit
    assert tiles < 10 or cache.currsize > limit / 2


# Over a loopback Hub


def test_from_the_hub_only_the_levels_that_views_need(
    hub_folder: Path, hub: Any, pyramid: TilePyramid
) -> None:
    remote = TilePyramid(Hub("someone/tiles", hub.add("someone/tiles", hub_folder)))
    np.testing.assert_array_equal(whole(remote), whole(pyramid))
    assert _archives(hub) == ["satellite_level_m7_000.tar"]
    copy = pickle.loads(pickle.dumps(remote))
    place = (*POINTS[4], 6.5, 100)
    np.testing.assert_array_equal(copy.view(*place), pyramid.view(*place))
    assert _archives(hub) == [
        f"satellite_level_{name}.tar" for name in ("m5_000", "m5_001", "m7_000")
    ]
    remote.view(*POINTS[4], 15.0, 100)  # level -6 does not exist, so the next finer one is used
    assert "satellite_level_m3_000.tar" not in _archives(hub)
    with pytest.raises(FileNotFoundError, match=r"someone/tiles.* no tiles of level 0.* up to 9"):
        remote.view(*POINTS[4], 0.1, 15)


def _archives(hub: Any) -> list[str]:
    sent = (path.rsplit("/", 1)[-1] for path, size in hub.sent.items() if size)
    return sorted(name for name in sent if name.endswith(".tar"))


# Messages


def test_a_tar_replaced_under_its_index(copy: Path, tmp_path: Path) -> None:
    before = whole(TilePyramid(copy))
    path = copy / "archives" / "satellite_level_m7_000.tar"
    with tarfile.open(path) as tar:
        content = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    names, pictures = zip(*content, strict=True)
    write_shard(path, list(zip(names, reversed(pictures), strict=True)))
    after = whole(TilePyramid(copy))
    assert difference(before, after) > 10


def test_a_tar_overwritten_while_in_use(copy: Path) -> None:
    pyramid = TilePyramid(copy, cache_bytes=0)
    whole(pyramid)
    path = copy / "archives" / "satellite_level_m7_000.tar"
    path.write_bytes(path.read_bytes()[512:])
    with pytest.raises(ValueError, match=r"m7_000\.tar was changed while it was in use, so its"):
        whole(pyramid)


def test_a_truncated_tar(copy: Path) -> None:
    path = copy / "archives" / "satellite_level_m7_000.tar"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(
        ValueError, match=r"m7_000\.tar is cut inside satellite/-7/\d+/\d+\.jpg: .* Get the file"
    ):
        whole(TilePyramid(copy))


def _jpeg(width: int, height: int) -> bytes:
    import simplejpeg

    return simplejpeg.encode_jpeg(np.zeros((height, width, 3), np.uint8))


def _bomb(data: bytes) -> bytes:
    """A header that claims 65,000 x 65,000 pixels."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + (65_000).to_bytes(2, "big") * 2 + data[at + 4 :]


@pytest.mark.parametrize(
    "breaks,says",
    [
        (lambda data: b"", "is not a tile"),
        (lambda data: b"no picture", "is not a tile"),
        (lambda data: data[: len(data) // 2], "is not a tile"),
        (lambda data: data[:2000] + bytes(range(256)) * 8 + data[4048:], "is not a tile"),
        (lambda data: _jpeg(200, 250), "is not a tile: it has 200 x 250 pixels, not 250 x 250"),
        (_bomb, "is not a tile: it has 65000 x 65000 pixels, not 250 x 250"),
    ],
    ids=["empty", "text", "half", "overwritten", "other size", "bomb"],
)
def test_a_corrupt_tile(copy: Path, breaks: Callable[[bytes], bytes], says: str) -> None:
    path = copy / "archives" / "satellite_level_m7_000.tar"
    with tarfile.open(path) as tar:
        content = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    name, data = content[len(content) // 2]
    content[len(content) // 2] = (name, breaks(data))
    write_shard(path, content)
    with pytest.raises(ValueError) as error:
        whole(TilePyramid(copy))
    assert says in str(error.value)
    assert f"satellite_level_m7_000.tar: {name}" in str(error.value)


def test_a_corrupt_index_file(copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = whole(TilePyramid(copy, cache_dir=tmp_path / "index"))
    (kept,) = (tmp_path / "index").glob("*.index")
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    np.testing.assert_array_equal(whole(TilePyramid(copy, cache_dir=tmp_path / "index")), before)
    (record,) = caplog.records
    assert "satellite_level_m7_000.tar in the cache" in record.getMessage()


HOSTILE = {
    "a number that is none": ("max_zoom: 0", "max_zoom: .nan", "max_zoom is nan"),
    "a huge number": ("max_zoom: 0", "max_zoom: 999999999", "max_zoom is 999999999"),
    "true for one": ("max_zoom: 0", "max_zoom: true", "max_zoom is True"),
    "levels the wrong way": ("max_zoom: 0", "max_zoom: -20", "min_zoom is -9"),
    "infinity": ("- 600.0", "- .inf", "origin_crs is [inf, 200.0]"),
    "no size": ("- 20.0\n- 20.0", "- 0.0\n- 20.0", "tile_shape_crs is [0.0, 20.0]"),
    "a negative size": ("- 20.0\n- 20.0", "- -20.0\n- 20.0", "tile_shape_crs is [-20.0"),
    "huge tiles": ("- 250\n- 250", "- 250\n- 1000000", "tile_shape_px is [250, 1000000]"),
    "half a pixel": ("- 250\n- 250", "- 250\n- 250.5", "tile_shape_px is [250, 250.5]"),
    "three sizes": ("- 250\n- 250", "- 250\n- 250\n- 250", "tile_shape_px is [250, 250, 250]"),
    "another projection string": (
        "epsg:26985", "+proj=pipeline +step +init=/etc/passwd", "crs is '+proj=pipe",
    ),
    "an unknown projection": ("epsg:26985", "epsg:999999", "crs is 'epsg:999999'"),
    "no projection": ("epsg:26985", "epsg:4326", "crs is 'epsg:4326'"),
    "a path that climbs": ("{zoom}/{x}", "../../{x}", "path is '../../{x}/{y}.jpg'"),
    "an attribute": ("{zoom}", "{zoom.__class__}", "path is '{zoom.__class__}"),
    "other axes": ("- north", "- south", "tile_axes is ['east', 'south']"),
    "an object": ("max_zoom: 0", "max_zoom: !!python/object/apply:os.getpid []", "not valid YAML"),
    "no YAML": ("max_zoom: 0", "max_zoom: [", "not valid YAML"),
    "not text": ("max_zoom: 0", "max_zoom: \x00", "not valid YAML"),
    "references": ("max_zoom: 0", "a: &a [1]\nmax_zoom: [*a, *a]", "contains aliases"),
    "depth": ("max_zoom: 0", "max_zoom: " + "[" * 700, "not valid YAML"),
    "length": ("max_zoom: 0", "max_zoom: " + "1" * 1500, "over 1,024 bytes"),
    "digits": ("max_zoom: 0", "max_zoom: " + "9" * 700, "max_zoom is "),
    "a missing key": ("max_zoom: 0\n", "", "max_zoom is missing"),
    "a list": (LAYOUT, "- 1\n- 2\n", "it is not a layout, because it has no keys"),
    "nothing": (LAYOUT, "", "it is not a layout, because it has no keys"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_layout(copy: Path, case: str) -> None:
    old, new, says = HOSTILE[case]
    assert old in LAYOUT
    (copy / "satellite" / "layout.yaml").write_text(LAYOUT.replace(old, new))
    with pytest.raises(ValueError) as error:
        TilePyramid(copy)
    assert str(error.value).startswith(str(copy / "satellite" / "layout.yaml"))
    assert says in str(error.value)
    assert len(str(error.value)) < 500


def test_a_missing_level_is_an_error(copy: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no tiles of level -5, .*levels \[-7\]"):
        TilePyramid(copy).views(SEQUENCES[0])


@pytest.mark.parametrize("size", [96, 224, 300, 512, 976])
def test_the_next_finer_level_replaces_a_missing_one(
    hub_folder: Path, pyramid: TilePyramid, tmp_path: Path, size: int
) -> None:
    """Views of any size show their place, drawn from the usual four levels."""
    pyramid.check([10_000, 2500, 625, 156.25], size)
    latitude, longitude, widths = zoom.path(SEQUENCES[0])
    view = pyramid.view(latitude[0], longitude[0], widths[0] / size, size)
    usual = pyramid.view(latitude[0], longitude[0], widths[0] / 384, 384)
    small = [np.asarray(Image.fromarray(one).resize((48, 48))) for one in (view, usual)]
    assert np.abs(small[0].astype(int) - small[1]).mean() < 6


def test_drawable_sizes_are_known_without_reading_tiles(hub_folder: Path, copy: Path) -> None:
    pyramid = TilePyramid(hub_folder)
    with pytest.raises(FileNotFoundError, match=r"no tiles of level 0.* up to 244 pixels can be"):
        pyramid.check([39.0625], 384)
    pyramid.check([39.0625], 244)
    with pytest.raises(FileNotFoundError, match=r"level -5, .*levels \[-7\].* up to 61 pixels"):
        TilePyramid(copy).check([10_000, 2500, 625], 384)
    for path in (copy / "archives").iterdir():
        path.rename(path.with_name(path.name.replace("m7", "m1")))
    with pytest.raises(FileNotFoundError, match=r"level -7, .*levels \[-1\].*no size can be drawn"):
        TilePyramid(copy).check([10_000], 384)
    assert not hub_folder_was_read(pyramid)


def hub_folder_was_read(pyramid: TilePyramid) -> bool:
    return bool(pyramid._process.mosaic.cache.currsize)


def test_white_views_are_counted_and_an_error_if_strict(hub_folder: Path, copy: Path) -> None:
    pyramid = TilePyramid(copy)
    far = 38.6, -77.4
    for _ in range(3):
        assert (pyramid.view(*far, 26.0, 96) == 255).all()
    pyramid.view(*POINTS[0], 26.0, 96)
    assert pyramid.report.counts[WHITE] == 3
    assert pyramid.report.names[WHITE][0] == "38.60000 -77.40000"
    assert not pickle.loads(pickle.dumps(pyramid)).report
    with pytest.raises(ValueError, match=r"38\.60000, longitude -77\.4.* is white.*strict=True"):
        TilePyramid(copy, strict=True).view(*far, 26.0, 96)


def test_a_folder_without_tiles(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no satellite/layout\.yaml"):
        TilePyramid(tmp_path)
    (tmp_path / "satellite").mkdir()
    (tmp_path / "satellite" / "layout.yaml").write_text(LAYOUT)
    with pytest.raises(FileNotFoundError, match="hf download pcvlab/justzoomin"):
        TilePyramid(tmp_path)


def test_a_gap_in_the_archives(copy: Path) -> None:
    path = copy / "archives" / "satellite_level_m7_000.tar"
    path.rename(path.with_name("satellite_level_m7_002.tar"))
    with pytest.raises(FileNotFoundError, match=r"satellite_level_m7_000\.tar is missing"):
        TilePyramid(copy)


@pytest.mark.parametrize(
    "arguments,says",
    [
        ((38.9, -77.0, 0.0, 10), "metres_per_pixel is 0.0"),
        ((38.9, -77.0, float("nan"), 10), "metres_per_pixel is nan"),
        ((38.9, -77.0, 26.0, 0), "size is 0"),
        ((38.9, -77.0, 26.0, 10**6), "size is 1000000"),
        ((38.9, float("inf"), 26.0, 10), "should be finite"),
        ((float("nan"), 0.0, 26.0, 10), "should be finite"),
        ((38.9, -77.0, 1e6, 384), "too wide for the tiles"),
    ],
)
def test_arguments_out_of_range(pyramid: TilePyramid, arguments: tuple, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pyramid.view(*arguments)


def test_the_number_of_opencv_threads_is_not_changed(pyramid: TilePyramid) -> None:
    import cv2

    before = cv2.getNumThreads()
    whole(pyramid)
    assert cv2.getNumThreads() == before
