"""What other tools read of published data: geopandas, DuckDB, and mlcroissant."""

from __future__ import annotations

import datetime
import hashlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.http import HTTPFileSystem
from huggingface_hub import HfFileSystem
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageOps

import im2gps.cli
import justzoomin.cli
from geoload.geoparquet import PlaceWriter, hilbert_codes
from tests.support.hub_write import OWNER, TOKEN
from tests.support.static import Static

duckdb = pytest.importorskip("duckdb")
geopandas = pytest.importorskip("geopandas")
SOUTH, NORTH, WEST, EAST = 38.90, 38.909, -77.04, -77.0284  # a square kilometre


class Files(DirFileSystem):
    """The files of a server, for DuckDB and pyarrow, which choose their own ranges."""

    protocol = "web"

    def __init__(self, server: Static) -> None:
        super().__init__(server.endpoint, HTTPFileSystem(cache_type="none"))

    def modified(self, path: str) -> datetime.datetime:
        return datetime.datetime(2026, 1, 1)


@pytest.fixture(scope="module")
def city() -> pa.Table:
    """310,000 places in a city, in random order."""
    random, rows = np.random.default_rng(0), 310_000
    return pa.table({
        "image_id": random.integers(10**14, 10**16, rows).astype(str),
        "latitude": (38.8936 + random.uniform(-5, 5, rows) / 111.2).round(7),
        "longitude": (-77.0116 + random.uniform(-3, 7, rows) / 86.6).round(7),
    })  # fmt: skip


def written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    writer = PlaceWriter(buffer, table.schema)
    writer.write_table(table)
    writer.close()
    return buffer.getvalue()


@pytest.fixture(scope="module")
def file(city) -> bytes:
    return written(city)


def test_a_region_is_a_small_part_of_the_file(city, file, tmp_path):
    (tmp_path / "city.parquet").write_bytes(file)
    latitude, longitude = (city[name].to_numpy() for name in ("latitude", "longitude"))
    inside = (latitude >= SOUTH) & (latitude <= NORTH) & (longitude >= WEST) & (longitude <= EAST)
    expected = set(city["image_id"].to_numpy(zero_copy_only=False)[inside])
    assert 2_000 < len(expected) < 4_000

    with Static(tmp_path) as server:
        files = Files(server)

        def by_pyarrow() -> pa.Array:
            column = pyarrow.dataset.field
            box = (column("latitude") >= SOUTH) & (column("latitude") <= NORTH)
            box &= (column("longitude") >= WEST) & (column("longitude") <= EAST)
            data = pyarrow.dataset.dataset("city.parquet", filesystem=files)
            return data.to_table(filter=box)["image_id"].to_pylist()

        def by_duckdb() -> list[str]:
            query = "SELECT image_id FROM 'web://city.parquet' WHERE bbox.ymin >= ? AND " \
                "bbox.ymax <= ? AND bbox.xmin >= ? AND bbox.xmax <= ?"  # fmt: skip
            connection = duckdb.connect()
            connection.register_filesystem(files)
            return [
                name for (name,) in connection.execute(query, [SOUTH, NORTH, WEST, EAST]).fetchall()
            ]

        def by_geopandas() -> list[str]:
            box = (WEST, SOUTH, EAST, NORTH)
            return list(geopandas.read_parquet("city.parquet", filesystem=files, bbox=box).image_id)

        for query in (by_pyarrow, by_duckdb, by_geopandas):
            server.requests.clear()
            found = query()
            assert set(found) == expected and len(found) == inside.sum()
            ranges = [map(int, r.range[6:].split("-")) for r in server.requests if r.range]
            asked = sum(last - first + 1 for first, last in ranges)
            print(f"{query.__name__}: {len(found):,} rows, {asked:,} of {len(file):,} bytes")
            assert asked < len(file) / 10


def test_a_removed_place_leaves_the_other_chunks(city, file, tmp_path):
    hf_xet = pytest.importorskip("hf_xet")
    for content in (file, written(pa.concat_tables([city[:1_000], city[1_001:]]))):
        commit = hf_xet.XetSession().new_upload_commit(endpoint=f"local://{tmp_path}")
        commit.start_upload_bytes(content)
        found = commit.wait_to_finish().dedup_metrics
    shared = found.deduped_chunks / found.total_chunks
    print(
        f"one of {len(city):,} places removed: {shared:.1%} of {found.total_chunks} chunks shared"
    )
    assert shared >= 0.95


@given(st.integers(0, 2**12 - 1), st.integers(0, 2**12 - 1))
def test_steps_along_the_curve_go_to_neighbours(x, y):
    """On a grid of 4,096 cells, the next cell along the curve shares a side with this one."""
    side = 2**12
    near = [(x, y), (x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
    cells = np.array([cell for cell in near if min(cell) >= 0 and max(cell) < side])
    places = (cells + 0.5) / side
    codes = hilbert_codes(places[:, 1] * 180 - 90, places[:, 0] * 360 - 180) >> np.uint64(38)
    steps = {int(code) - int(codes[0]) for code in codes[1:]}
    assert len(set(codes.tolist())) == len(codes)
    assert {-1, 1} <= steps or int(codes[0]) in (0, side**2 - 1)


def test_unknown_places_have_no_point(tmp_path):
    table = pa.table({"latitude": [1.0, None, float("nan")], "longitude": [2.0, 3.0, 4.0]})
    (tmp_path / "a.parquet").write_bytes(written(table))
    found = geopandas.read_parquet(tmp_path / "a.parquet").sort_values("longitude")
    assert found.geometry.isna().tolist() == [False, True, True]


@pytest.fixture
def published(hub, packs, zoom, monkeypatch, tmp_path) -> Path:
    """The folder from which both data sets were published to the loopback Hub."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name, main, source in (("im2gps", im2gps.cli.main, packs),
                               ("justzoomin", justzoomin.cli.main, zoom)):  # fmt: skip
        arguments = [f"{OWNER}/places-{name}", "--data-dir", str(source), "--to"]
        assert (
            main(
                ["publish", *arguments, str(tmp_path / name), "--max-shard-size", "8KB", "--public"]
            )
            == 0
        )
    return tmp_path


def test_photos_are_found_by_place_and_their_row(published):
    for path in ("im2gps/im2gps", "justzoomin/streetview"):
        photos = geopandas.read_parquet(published / path / "photos.parquet")
        assert photos.crs == "OGC:CRS84" and len(photos) > 10 and len(set(photos.file)) > 1
        assert (photos.geometry.x == photos.longitude).all()
        assert (photos.geometry.y == photos.latitude).all()
        for one in photos.itertuples():
            stored = pq.read_table(published / path / one.file, columns=["image_id"])
            assert stored["image_id"][one.row].as_py() == one.image_id
            assert one.file.startswith(one.split)
        if "im2gps" in path:
            lines = pq.read_table(published / path / "photos.parquet").to_pylist()
            rows = load_dataset("csv", data_files=str(published / path / "attribution.csv"))
            credits = {row["image_id"]: row for row in rows["train"]}
            assert {row["image_id"]: row["licence"] for row in lines} == {
                name: row["licence"] for name, row in credits.items()
            }
            assert not {"owner", "title", "link"} & set(lines[0])  # kept apart from places
    tables = (published / "justzoomin" / "metadata").glob("*.parquet")
    assert sum(len(geopandas.read_parquet(table)) for table in tables) == 50


@pytest.mark.parametrize("name", ["im2gps", "justzoomin"])
def test_queries_of_the_card_run_on_the_hub(published, name):
    card = (published / name / "README.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", card, re.DOTALL)
    connection = duckdb.connect()
    connection.register_filesystem(HfFileSystem())
    results = [connection.sql(query).fetchall() for query in queries]
    assert len(results) == 3 and f"datasets/{OWNER}/places-{name}/" in card
    default = {"im2gps": "im2gps", "justzoomin": "streetview"}[name]
    photos = geopandas.read_parquet(published / name / default / "photos.parquet")
    sides = re.findall(r"BETWEEN (\S+) AND ([^\s;]+)", queries[0])
    (south, north), (west, east) = (map(float, pair) for pair in sides)
    assert {row[0] for row in results[0]} == set(photos.cx[west:east, south:north].image_id)
    assert sum(row[1 if name == "im2gps" else 2] for row in results[1]) == len(photos)
    assert [row[-1] for row in results[2]] == sorted(row[-1] for row in results[2])


@pytest.mark.parametrize("name", ["im2gps", "justzoomin"])
def test_croissant_is_valid_and_its_records_are_the_rows(hub, published, name, monkeypatch):
    mlcroissant = pytest.importorskip("mlcroissant")
    described = published / name / "croissant.json"
    code = "import sys; from mlcroissant.scripts.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "validate", "--jsonld", str(described)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr

    folder = mlcroissant.Dataset(described)
    about = folder.metadata
    assert about.data_biases and about.data_limitations and about.data_social_impact
    assert about.data_collection and about.data_use_cases and about.personal_sensitive_information
    assert all(one.url.startswith("https://") and one.description for one in about.license)
    sums = {node.id: node.sha256 for node in about.file_objects}
    files = sorted(published.glob(f"{name}/*/*.parquet"))
    assert len(files) > 6
    for file in files:
        path = file.relative_to(published / name).as_posix()
        assert sums[path] == hashlib.sha256(file.read_bytes()).hexdigest()

    monkeypatch.setattr("mlcroissant._src.core.constants.DOWNLOAD_PATH", published / "downloads")
    from_hub = mlcroissant.Dataset(
        f"{hub.endpoint}/datasets/{OWNER}/places-{name}/resolve/main/croissant.json"
    )
    manners = set()
    for records in about.record_sets:
        config, split = records.id.split("/")
        rows = load_dataset(str(published / name), config, split=split)
        alone = len(list((published / name / config).glob(f"{split}-*"))) == 1
        manners.add(alone)
        for source in (folder, from_hub) if alone else (folder,):
            found = list(source.records(records.id))
            assert len(found) == len(rows)
            for record, row in zip(found, rows, strict=True):
                for column in set(row) - {"geometry", "bbox"}:
                    value = record[f"{records.id}/{column}"]
                    if column == "image":  # datasets turns it as its orientation says
                        assert ImageOps.exif_transpose(value).tobytes() == row[column].tobytes()
                    else:
                        value = value.decode() if isinstance(value, bytes) else value
                        assert value == row[column]
    assert manners == {True, False}
