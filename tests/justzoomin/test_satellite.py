"""`load_dataset("justzoomin", "satellite")`: tiles and their coordinates."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from datasets import Image, load_dataset, load_dataset_builder
from datasets.distributed import split_dataset_by_node

for _name in ("pyproj", "yaml"):
    pytest.importorskip(_name)

import pyproj
from hypothesis import given, settings
from hypothesis import strategies as st

from justzoomin import zoom
from justzoomin.cli import main
from justzoomin.layout import Layout
from justzoomin.painting import paint
from tests.support.shards import rewrite

BACK = pyproj.Transformer.from_crs("epsg:26985", "epsg:4326", always_xy=True)
COLUMNS = ["image", "level", "x", "y", "south", "west", "north", "east", "latitude", "longitude",
           "ground_size_m"]  # fmt: skip


def load(folder: Path, **options):
    options = {"data_dir": str(folder), "split": "train", **options}
    return load_dataset("justzoomin", "satellite", **options)


def stream(folder: Path, **options):
    return load(folder, streaming=True, **options).cast_column("image", Image(decode=False))


def tiles(rows) -> list[tuple[int, int, int]]:
    return [(row["level"], row["x"], row["y"]) for row in rows]


def in_tars(folder: Path, pattern: str = "satellite_*") -> dict[tuple[int, ...], bytes]:
    found = {}
    for path in sorted((folder / "archives").glob(pattern)):
        with tarfile.open(path) as tar:
            for member in tar:
                key = tuple(map(int, member.name[len("satellite/") : -len(".jpg")].split("/")))
                found[key] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


@pytest.fixture(scope="module")
def extracted(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extracted")
    assert main(["extract", str(folder), "--data-dir", str(city), "--no-photos"]) == 0
    return folder


@pytest.fixture(scope="module")
def layout(city: Path) -> Layout:
    return Layout.read(city / "satellite" / "layout.yaml")


# Rows


def test_every_tile_once_with_its_bytes(city):
    rows = list(stream(city))
    assert list(rows[0]) == COLUMNS
    found = {(r["level"], r["x"], r["y"]): r["image"]["bytes"] for r in rows}
    assert len(rows) == len(found) == 25 + 289
    assert found == in_tars(city)


@pytest.mark.parametrize("levels", [[-7], [-5, -7], None, -7])
def test_only_the_levels_that_are_asked_for(city, extracted, cache, levels):
    wanted = {-7, -5} if levels is None else {levels} if isinstance(levels, int) else set(levels)
    expected = {key for key in in_tars(city) if key[0] in wanted}
    prepared = load(city, levels=levels, cache_dir=cache)
    assert prepared.column_names == COLUMNS
    assert set(tiles(prepared.remove_columns("image"))) == expected
    for folder in (city, extracted):
        assert sorted(tiles(stream(folder, levels=levels))) == sorted(expected)


def test_extracted_tiles_give_the_same_rows(city, extracted, cache):
    expected = {(r["level"], r["x"], r["y"]): r for r in stream(city)}
    streamed = list(stream(extracted))
    assert {(r["level"], r["x"], r["y"]): r for r in streamed} == expected
    assert tiles(streamed) == sorted(expected)
    assert len(load(extracted, cache_dir=cache, num_proc=2)) == len(expected)


# Coordinates


def test_a_tile_shows_the_colours_of_its_place(city, layout):
    row = next(iter(load(city, levels=[-5], streaming=True)))
    pixel = layout.pixel_size(-5)[0]
    east, north = layout.project(row["latitude"], row["longitude"])
    steps = (np.arange(250) - 124.5) * pixel
    painted = paint(east + steps, north - steps, 4 * pixel)
    shown = np.asarray(row["image"]).astype(int)
    difference = np.abs(shown - painted).mean()
    assert difference < 8
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        assert np.abs(np.roll(shown, shift, axis) - painted).mean() > 2 * difference
    assert row["ground_size_m"] == 250 * pixel == 640


def test_a_place_lies_in_the_tile_that_shows_it(city):
    rows = list(stream(city).remove_columns("image"))
    for latitude, longitude in zip(*zoom.decode([[7, 6, 6, 5], [0, 0, 0, 0]]), strict=True):
        for level in (-7, -5):
            boxes = [r for r in rows if r["level"] == level and r["south"] <= latitude <= r["north"]
                     and r["west"] <= longitude <= r["east"]]  # fmt: skip
            assert 1 <= len(boxes) <= 4  # neighbours' boxes overlap by a little
            nearest = min(boxes, key=lambda r: _metres(r, latitude, longitude))
            assert _metres(nearest, latitude, longitude) < nearest["ground_size_m"] * 0.71


def _metres(row: dict, latitude: float, longitude: float) -> float:
    ellipsoid = pyproj.Geod(ellps="WGS84")
    return ellipsoid.inv(row["longitude"], row["latitude"], longitude, latitude)[2]


@settings(max_examples=100, deadline=None)
@given(zoom_level=st.integers(-9, 0), data=st.data())
def test_the_box_is_the_smallest_around_the_square(layout, zoom_level, data):
    side = 20 * 2.0**-zoom_level
    # Around the city.
    x = data.draw(st.integers(int(370_000 / side), int(430_000 / side)))
    y = data.draw(st.integers(int(110_000 / side), int(170_000 / side)))
    square = layout.square(zoom_level, x, y)
    assert square.ground_size_m == side
    # The square's own outline, as coordinates on the earth.
    steps = np.linspace(0, side, 65)
    ends = np.concatenate([[steps, steps * 0], [steps, steps * 0 + side],
                           [steps * 0, steps], [steps * 0 + side, steps]], 1)  # fmt: skip
    east, north = 600 + x * side + ends[0], 200 + y * side + ends[1]
    longitude, latitude = BACK.transform(east, north)
    box = [latitude.min(), longitude.min(), latitude.max(), longitude.max()]
    np.testing.assert_allclose(square[:4], box, atol=1e-7, rtol=0)
    middle = layout.project(square.latitude, square.longitude)
    np.testing.assert_allclose(
        middle, [600 + (x + 0.5) * side, 200 + (y + 0.5) * side], atol=1e-3, rtol=0
    )
    # The side is the length on the ground.
    ground = pyproj.Geod(ellps="WGS84").inv(longitude[0], latitude[0], longitude[64], latitude[64])
    assert abs(ground[2] / side - 1) < 1e-4


# Division among workers, and resuming


@pytest.mark.parametrize("nodes", [2, 3])
def test_nodes_share_the_tiles(city, nodes):
    rows = stream(city)
    assert rows.num_shards == 3
    seen = [t for rank in range(nodes) for t in tiles(split_dataset_by_node(rows, rank, nodes))]
    assert sorted(seen) == sorted(in_tars(city))


def test_workers_share_the_extracted_tiles(extracted, city):
    torch = pytest.importorskip("torch")
    rows = stream(extracted, levels=[-7]).remove_columns("image")
    loader = torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2)
    assert sorted(tiles(loader)) == sorted(in_tars(city, "satellite_level_m7*"))


@pytest.mark.parametrize("stop", [1, 24, 25, 26, 200, 313])
def test_resumes_exactly_where_it_stopped(city, stop):
    rows = stream(city)
    everything = tiles(rows)
    iterator = iter(rows)
    head = tiles(next(iterator) for _ in range(stop))
    state = json.loads(json.dumps(rows.state_dict()))
    again = stream(city)
    again.load_state_dict(state)
    assert head + tiles(again) == everything


# The Hub


def test_from_the_hub_only_the_levels_that_are_asked_for(hub, city, cache):
    hub.add("someone/levels", city)
    options = {"repository": "someone/levels", "levels": [-7], "data_dir": None}
    rows = load(city, cache_dir=cache, **options)
    assert len(rows) == 25
    assert _tars(hub) == {"satellite_level_m7_000.tar"}
    assert tiles(stream(city, **options)) == tiles(rows.remove_columns("image"))


def test_the_first_tile_needs_little_of_the_download(hub, city, tmp_path):
    """Two TARs of 16 MB; the first tile comes after a part of one."""
    large = Path(shutil.copytree(city, tmp_path / "large"))
    noise = b"\xff\xd8" + np.random.default_rng(0).bytes(16_000_000 // 150) + b"\xff\xd9"
    for path in (large / "archives").glob("satellite_level_m5*"):
        rewrite(path, lambda entries: [(name, noise) for name, _ in entries])
    hub.add("someone/large", large)
    rows = iter(stream(large, repository="someone/large", levels=[-5], data_dir=None))
    next(rows)
    (size,) = [size for path, size in hub.sent.items() if path.endswith(".tar") and size]
    assert size < 8_000_000
    assert sum(1 for _ in rows) == 288


def _tars(hub) -> set[str]:
    return {p.rpartition("/")[2] for p, size in hub.sent.items() if p.endswith(".tar") and size}


def test_levels_on_the_hub_are_listed(hub, city):
    commit = hub.add("someone/asked", city)
    with pytest.raises(ValueError, match=rf"asked at {commit} has no such level; .* -7, -5\."):
        stream(city, repository="someone/asked", levels=[-6], data_dir=None)


# Damaged files and wrong arguments


def test_tiles_left_out_are_counted(own, cache, caplog):
    def change(entries: list) -> list:
        cut = (entries[0][0], entries[0][1][:-50])
        strange = [("satellite/-5/1/1.jpg", entries[1][1]), ("../../x.jpg", b"")]
        off = ("satellite/-7/99999999/99999999.jpg", entries[1][1])
        return [cut, *entries[1:], entries[2], *strange, off]

    rewrite(own / "archives" / "satellite_level_m7_000.tar", change)
    # In a further TAR of the level, a tile that another has.
    shutil.copy(own / "archives" / "satellite_level_m7_000.tar", own / "archives" / "copy")
    os.rename(own / "archives" / "copy", own / "archives" / "satellite_level_m7_001.tar")
    rewrite(own / "archives" / "satellite_level_m7_001.tar", lambda entries: entries[1:2])

    builder = load_dataset_builder(
        "justzoomin", "satellite", data_dir=str(own), levels=[-7], cache_dir=cache
    )
    builder.download_and_prepare()
    assert builder.as_dataset("train").num_rows == 24 + 1
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    counts = {kind: entry["count"] for kind, entry in report["train"].items()}
    assert counts == {
        "not_a_jpeg": 1,
        "repeated_picture": 2,
        "outside_layout": 2,
        "outside_map": 1,
    }
    caplog.clear()
    assert len(list(stream(own, levels=[-7]))) == 25
    assert "1 invalid or incomplete JPEG (satellite/-7/" in caplog.text
    assert "justzoomin, split train: 1 repeated picture (-7/" in caplog.text
    for streaming in (False, True):
        with pytest.raises(ValueError, match="strict=True"):
            list(load(own, levels=[-7], strict=True, streaming=streaming, cache_dir=cache))


def test_a_cut_tar_is_an_error_that_names_it(own, cache):
    path = own / "archives" / "satellite_level_m5_001.tar"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"satellite_level_m5_001\.tar is cut inside satellite/-5"):
        list(stream(own))
    with pytest.raises(ValueError, match=r"satellite_level_m5_001\.tar is cut inside satellite/-5"):
        load(own, cache_dir=cache)
    assert len(list(stream(own, levels=[-7]))) == 25


def test_other_files_among_extracted_tiles_are_counted(extracted, tmp_path, caplog):
    folder = Path(shutil.copytree(extracted, tmp_path / "mine"))
    (folder / "satellite" / "-7" / "notes.txt").write_text("?")
    next((folder / "satellite" / "-7").glob("*/*.jpg")).with_name("x.jpg").write_text("?")
    assert len(list(stream(folder, levels=[-7]))) == 25
    assert caplog.text.count("outside the layout") == 2


def test_changed_tiles_give_new_rows(own, cache):
    assert len(load(own, levels=[-7], cache_dir=cache)) == 25
    rewrite(own / "archives" / "satellite_level_m7_000.tar", lambda entries: entries[3:])
    assert len(load(own, levels=[-7], cache_dir=cache)) == 22


@pytest.mark.parametrize(
    "options,says",
    [
        ({"levels": [-6]}, "has no such level; it has the levels -7, -5"),
        ({"levels": []}, "has no such level; it has the levels -7, -5"),
        ({"levels": "-7"}, r"name the levels by their numbers, as in levels=\[0\]"),
        ({"levels": [-7.0]}, "name the levels by their numbers"),
        ({"covered": True}, 'covered= is an option of .*"metadata", "zoom", not of "satellite"'),
        ({"split": "validation"}, "has the split train"),
    ],
)
def test_invalid_arguments_are_refused(city, extracted, options, says):
    for folder in (city, extracted):
        with pytest.raises(ValueError, match=says):
            stream(folder, **options)


def test_levels_belong_to_satellite(city):
    with pytest.raises(ValueError, match='levels= is an option of "satellite", not of "streetv'):
        load_dataset("justzoomin", data_dir=str(city), levels=[-7], streaming=True)


def test_a_folder_without_tiles(zoom, tmp_path):
    with pytest.raises(FileNotFoundError, match="hf download pcvlab/justzoomin"):
        stream(zoom)
    (tmp_path / "satellite" / "-7" / "1").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"has no satellite/layout\.yaml"):
        list(stream(tmp_path))
