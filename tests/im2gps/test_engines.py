"""Every engine builds the same shards."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("simplejpeg")

from im2gps.building.build import build
from tests.support.flickr_photos import FlickrPhotos, row, write_list

FLAT = {"original_width": 1200, "original_height": 100}
HERE = {"processes": 1, "rate": 0, "backoff": 0.001, "patience": 0, "tries": 2}
ROWS = [row(number, **FLAT) for number in range(24)]
FAULTS = {ROWS[3]["photo_id"]: "404", ROWS[9]["photo_id"]: "reset", ROWS[20]["photo_id"]: "500"}


def needs(package: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"{package} is not installed")


def has_java() -> bool:
    """Tell whether Java runs, and is new enough for today's Spark."""
    if shutil.which("java") is None:
        return False
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return any(f'version "{number}' in said for number in range(17, 30))


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[bytes]:
    """The shards built by this process alone."""
    return shards(tmp_path_factory.mktemp("expected"), "local", **HERE)


def shards(folder: Path, engine: str, rows=ROWS, **options) -> list[bytes]:
    table = write_list(folder / "photos.parquet", rows)
    with FlickrPhotos(rows, FAULTS) as host:
        report = build(table, folder / "out", engine, 5, host=host.endpoint, **options)
    # The address of the host, which is in each JSON, has another port each time.
    port = host.endpoint.rpartition(":")[2].encode()
    assert report["rows"] == report["photos"] + sum(report["missing"].values())
    files = sorted((folder / "out").glob("*.tar"))
    return [file.read_bytes().replace(b":" + port, b":") for file in files]


@pytest.fixture
def on_two_workers(monkeypatch):
    """Spark and Ray in local mode, small and quiet."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    arguments = "--master local[2] --conf spark.ui.enabled=false pyspark-shell"
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", arguments)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


ENGINES = [
    "local",
    pytest.param("ray", marks=needs("ray")),
    pytest.param(
        "spark",
        marks=[needs("pyspark"), pytest.mark.skipif(not has_java(), reason="no Java 17 or later")],
    ),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_makes_the_same_shards(expected, tmp_path, on_two_workers, engine):
    options = HERE | {"processes": 2}
    try:
        assert shards(tmp_path, engine, **options) == expected
    finally:
        if engine == "spark":
            from pyspark import SparkContext

            SparkContext.getOrCreate().stop()


KILLER = """
import multiprocessing, sys, threading
from im2gps.building.build import build

def kill():
    sys.stdin.readline()
    multiprocessing.active_children()[0].kill()

if __name__ == "__main__":
    threading.Thread(target=kill).start()
    build(sys.argv[1], sys.argv[2], shard_size=5, processes=2, host=sys.argv[3])
"""


def test_a_killed_worker_is_an_error(tmp_path):
    table = write_list(tmp_path / "photos.parquet", ROWS)
    killer = tmp_path / "killer.py"
    killer.write_text(KILLER, encoding="utf-8")
    with FlickrPhotos(ROWS, hold_at=1) as host:
        command = [sys.executable, str(killer), table, str(tmp_path / "out"), host.endpoint]
        with subprocess.Popen(command, stdin=-1, stderr=-1, text=True) as process:
            assert host.held.wait(100)
            _, said = process.communicate("now\n", timeout=170)
    assert "BuildError: a worker process was killed" in said
    assert not list((tmp_path / "out").glob("*.tar"))
