"""`im2gps coverage`: figures, table, map and files from tables as users have them."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

shapely = pytest.importorskip("shapely")
pyproj = pytest.importorskip("pyproj")
pytest.importorskip("matplotlib")
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

import im2gps.coverage
from geoload.report import Findings
from im2gps.cli import main
from im2gps.coverage import density

WGS84_KM2 = 510_065_621.7  # surface of the ellipsoid
ROWS = [
    *[(48.86, 2.35)] * 6,
    *[(48.1, 2.9)] * 2,
    *[(-33.87, 151.21)] * 3,
    (40.57, -73.98),  # a pier, outside the polygons
    (0.0, -30.0),  # at sea
    (90.0, 180.0),
    (None, 5.0),
    (91.0, 5.0),
    (5.0, -180.5),
]
PHOTOS = 14


@pytest.fixture()
def table(tmp_path):
    """photos.parquet as `im2gps lists` leaves it, in two row groups."""
    frame = pd.DataFrame(ROWS, columns=["latitude", "longitude"])
    frame.insert(0, "photo_id", [str(10**9 + i) for i in range(len(frame))])
    frame["title"] = "a, b; c"
    parquet.write_table(pa.Table.from_pandas(frame), tmp_path / "photos.parquet", row_group_size=10)
    return tmp_path / "photos.parquet"


def run(*arguments, capsys=None):
    status = main(["coverage", *map(str, arguments)])
    return status if capsys is None else (status, capsys.readouterr())


def test_every_row_is_counted_once(table, tmp_path, capsys):
    status, printed = run(table.parent, "--json", tmp_path / "out.json", capsys=capsys)
    assert status == 0 and not printed.err
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    (left_out,) = found["left_out"].values()
    assert found["photos"] == PHOTOS and left_out["count"] == len(ROWS) - PHOTOS
    assert left_out["first"] == ["row 15: nan 5", "row 16: 91 5", "row 17: 5 -180.5"]
    assert found["in_countries"] + found["off_land"] == PHOTOS
    assert (found["of_these_off_the_coast"], found["off_land"]) == (1, 2)
    rows = {row["country"]: row for row in found["by_country"]}
    assert sum(row["photos"] for row in rows.values()) == PHOTOS
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    assert {name: row["photos"] for name, row in rows.items() if row["photos"]} == {
        "France": 8,
        "Australia": 3,
        "United States of America": 1,
        "(off land)": 2,
    }
    france = rows["France"]
    assert france["photos_per_km2"] == pytest.approx(8 / france["land_km2"], rel=1e-4)
    assert rows["(off land)"]["land_km2"] is None
    assert len(found["countries_without_photos"]) == 241 - 3
    assert found["photos_per_km2_of_land"] == pytest.approx(14 / 146.7e6, rel=1e-3)


def test_what_is_printed(table, capsys):
    _, printed = run(table, "--top", 2, capsys=capsys)
    text = " ".join(printed.out.split())
    assert text.startswith("photos.parquet: 14 photos in countries: 12, 1 of them up to 10 km off")
    assert "0.0435 on average" in text and "Hays and Efros" in text
    assert "3 rows without usable coordinates (row 15: nan 5, " in text
    assert "France 8 57.1%" in text and "Australia 3 21.4%" in text
    assert "United States" not in text and "2 more" in text
    assert max(map(len, printed.out.splitlines())) <= 100


@pytest.mark.parametrize("name", ["swapped.csv", "swapped.parquet"])
def test_swapped_columns_are_refused(tmp_path, capsys, name):
    rows = [(2.35, 48.86), (151.21, -33.87), (-122.4, 37.8), (None, None)]
    frame = pd.DataFrame(rows, columns=["latitude", "longitude"])
    path = tmp_path / name
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    status, printed = run(path, capsys=capsys)
    assert status != 0 and not printed.out
    assert "2 of 4 rows" in printed.err and "look swapped" in printed.err


def test_one_bad_latitude_is_not_a_swap(tmp_path, capsys):
    frame = pd.DataFrame([(48.86, 2.35)] * 200 + [(488.6, 2.35), (91, 5)])
    frame.to_csv(tmp_path / "t.csv", index=False, header=["lat", "lon"])
    status, printed = run(tmp_path / "t.csv", capsys=capsys)
    assert status == 0 and "2 rows without usable coordinates" in printed.out


def test_by_cell(table, tmp_path):
    assert run(table, "--by", "cell", "--cell-degrees", 5, "--csv", tmp_path / "cells.csv") == 0
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert cells["photos"].tolist() == [8, 3, 1, 1, 1]
    assert cells.loc[0, ["south", "west"]].tolist() == [45, 0]
    assert cells.loc[1, ["south", "west"]].tolist() == [-35, 150]
    assert {(0, -30), (85, -180)} <= set(zip(cells["south"], cells["west"], strict=True))
    cell = shapely.segmentize(shapely.box(0, 45, 5, 50), 0.01)
    area = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(cell)[0] / 1e6
    assert cells.loc[0, "area_km2"] == pytest.approx(area, rel=1e-6)
    assert cells.loc[0, "photos_per_km2"] == pytest.approx(8 / area, rel=1e-6)


@pytest.mark.parametrize("degrees", [0.5, 1, 7.5, 90])
def test_cells_cover_the_ellipsoid(degrees):
    cells = density.Cells(degrees)
    assert cells.area_km2.sum() * cells.shape[1] == pytest.approx(WGS84_KM2, rel=1e-7)
    assert cells.area_km2 == pytest.approx(cells.area_km2[::-1])


@settings(deadline=None)
@given(st.sampled_from([0.1, 0.25, 0.3, 1.0, 7.5, 45.0]), st.floats(-90, 90), st.floats(-180, 180))
def test_a_place_is_in_its_cell(degrees, latitude, longitude):
    cells = density.Cells(degrees)
    index = cells.index(np.array([latitude]), np.array([longitude]))
    south, west = cells.corners(index)
    assert south[0] - 1e-9 <= latitude <= south[0] + degrees + 1e-9
    turned = longitude - 360 if longitude > 180 - 1e-9 else longitude
    assert west[0] - 1e-9 <= longitude <= west[0] + degrees + 1e-9 or turned <= west[0] + degrees


areas = st.floats(0.1, 100)
photos = st.lists(st.tuples(st.integers(0, 10**6), areas), min_size=1, max_size=30)


@settings(deadline=None)
@given(photos.filter(lambda cells: any(count for count, _ in cells)), st.randoms())
def test_concentration_is_that_of_the_pairs(cells, random):
    counts, area = map(np.array, zip(*cells, strict=True))
    found = density.concentration(counts, area)
    # the Gini coefficient by its definition: the mean difference of all pairs
    rate, weight = counts / area, area / area.sum()
    mean = (rate * weight).sum()
    pairs = np.abs(rate[:, None] - rate) * weight[:, None] * weight
    assert found["gini"] == pytest.approx(pairs.sum() / 2 / mean, abs=1e-9)
    shares = list(found["share_in_densest"].values())
    assert shares == sorted(shares)
    assert all(share >= at - 1e-9 for share, at in zip(shares, (0.01, 0.1, 0.5), strict=True))
    order = list(range(len(cells)))
    random.shuffle(order)
    again = density.concentration(counts[order], area[order])
    assert again["gini"] == pytest.approx(found["gini"], abs=1e-9)
    assert again["share_in_densest"] == pytest.approx(found["share_in_densest"])


def test_concentration_of_known_spreads():
    area = np.ones(1000)
    even = density.concentration(np.full(1000, 7), area)
    assert even["gini"] == pytest.approx(0) and even["empty"] == 0
    assert even["share_in_densest"] == pytest.approx({"1%": 0.01, "10%": 0.1, "50%": 0.5})
    one = density.concentration(np.eye(1, 1000)[0], area)
    assert one["gini"] == pytest.approx(0.999) and one["empty"] == 0.999
    assert set(one["share_in_densest"].values()) == {1}


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz", "semicolons.csv"])
def test_text_tables_give_the_same(table, tmp_path, name):
    frame = pd.read_parquet(table)
    if name == "semicolons.csv":
        frame.to_csv(tmp_path / name, sep=";", decimal=",", index=False)
    else:
        frame.to_csv(tmp_path / name, sep="\t" if "tsv" in name else ",", index=False)
    found = []
    for source in (table, tmp_path / name):
        assert run(source, "--json", tmp_path / "out.json") == 0
        document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        document["left_out"] = [kind["count"] for kind in document["left_out"].values()]
        found.append({key: value for key, value in document.items() if key != "source"})
    assert found[0] == found[1]


def test_batches_are_no_larger_than_the_limit(tmp_path):
    count = 300_000
    frame = pa.table({"lat": np.zeros(count, np.float32), "lon": np.zeros(count)})
    parquet.write_table(frame, tmp_path / "p.parquet", row_group_size=count)
    frame.to_pandas().to_csv(tmp_path / "p.csv", index=False)
    for path in (tmp_path / "p.parquet", tmp_path / "p.csv"):
        sizes = [len(latitude) for latitude, _ in density.read_batches(path, Findings())]
        assert sum(sizes) == count and max(sizes) <= 2**17


def test_parquet_is_read_in_flat_memory(tmp_path):
    count = 2_000_000  # 32 MB of coordinates
    random = np.random.default_rng(0)
    frame = pa.table({"lat": random.uniform(-90, 90, count), "lon": random.random(count)})
    parquet.write_table(frame, tmp_path / "p.parquet", row_group_size=100_000)
    del frame
    before, peak = pa.total_allocated_bytes(), 0
    for _ in density.read_batches(tmp_path / "p.parquet", Findings()):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 12e6


def test_the_map_is_a_picture_of_the_cells(table, tmp_path):
    assert run(table, "--cell-degrees", 30, "--map", tmp_path / "map.png") == 0
    assert sorted(os.listdir(tmp_path)) == ["map.png", "photos.parquet"]
    with Image.open(tmp_path / "map.png") as image:
        assert image.format == "PNG" and image.width > 1500
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # the dark end of the scale: the cell around Paris, 30 to 60 north and 0 to 30 east
    dark = (np.abs(pixels - [68, 1, 84]).sum(axis=2) < 12)[:, : int(pixels.shape[1] * 0.88)]
    rows, columns = np.nonzero(dark)
    west, east = columns.min() / pixels.shape[1], columns.max() / pixels.shape[1]
    assert 0.46 < west < 0.49 and 0.53 < east < 0.57
    assert rows.min() / pixels.shape[0] > 0.17 and rows.max() / pixels.shape[0] < 0.36


ERRORS = {
    "missing": (["nowhere"], "nowhere: there is no such file or folder"),
    "no table": (["empty"], "expected photos.parquet.*found: none"),
    "several": (["two"], r"found: a.csv, b.csv\. Name the file itself"),
    "other file": (["photo.jpg"], "a .csv, .tsv or .parquet file"),
    "no columns": (["other.csv"], r"other.csv: no column for the latitude among \['x', 'y'\]"),
    "no rows": (["header.csv"], "header.csv: no photo has coordinates; there are no rows"),
    "none good": (["bad.csv"], "no photo has coordinates; 2 rows without.*row 1: 'x' '5'"),
    "no file": (["void.csv"], "void.csv: the file is empty"),
    "wide rows": (["wide.csv"], "wide.csv: row 1 has more fields than the header"),
    "one wide row": (["ragged.csv"], "ragged.csv: row 2 has more fields"),
    "not parquet": (["not.parquet"], "not.parquet: .*Parquet"),
    "cells": (["photos.parquet", "--cell-degrees", "0.7"], "0.7 degrees do not fit: give .* 0.5"),
    "no cells": (["photos.parquet", "--cell-degrees", "-1"], "-1 degrees do not fit"),
    "fine cells": (["photos.parquet", "--cell-degrees", "0.01"], "at least 0.1"),
    "coast": (["photos.parquet", "--coast-km", "-3"], "0 to 100 km, not -3"),
    "map": (["photos.parquet", "--map", "x.jpg"], "x.jpg: the name of a map should end in .png"),
    "folder": (["photos.parquet", "--csv", "no/x.csv"], "no/x.csv: there is no folder no"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_say_what_and_where(table, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    for folder, names in (("empty", ["note.txt"]), ("two", ["a.csv", "b.csv"])):
        Path(folder).mkdir()
        for name in names:
            Path(folder, name).write_text("lat,lon\n1,2\n", encoding="utf-8")
    Path("photo.jpg").write_bytes(b"")
    Path("other.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    Path("header.csv").write_text("lat,lon\n", encoding="utf-8")
    Path("bad.csv").write_text("lat,lon\nx,5\n,\n", encoding="utf-8")
    Path("void.csv").write_bytes(b"")
    Path("wide.csv").write_text("lat,lon\n7,1,2\n7,1,2\n", encoding="utf-8")
    Path("ragged.csv").write_text("id,lat,lon\na,1,2\nb,c,1,2\n", encoding="utf-8")
    Path("not.parquet").write_bytes(b"PAR1 but not really")
    before = sorted(os.listdir())
    options, message = ERRORS[kind]
    status, printed = run(*options, capsys=capsys)
    assert status == 2 and not printed.out
    assert re.search(message, printed.err), printed.err
    assert printed.err.startswith("im2gps: ") and len(printed.err.splitlines()) == 1
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("library", "options", "extra"),
    [("shapely", [], "coverage"), ("matplotlib.figure", ["--map", "m.png"], "report")],
)
def test_a_missing_library_is_named_with_its_extra(
    table, monkeypatch, capsys, library, options, extra
):
    for name in ("countries", "density"):  # as if never imported
        monkeypatch.delitem(sys.modules, f"im2gps.coverage.{name}", raising=False)
        monkeypatch.delattr(im2gps.coverage, name, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    status, printed = run(table, *options, capsys=capsys)
    assert status == 2
    assert f"pip install 'im2gps-justzoomin[{extra}]'" in printed.err
