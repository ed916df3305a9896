"""The sample data with tiles, as on the Hub, and with photos of the real size."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.shards import rewrite


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 train and 10 validation photos in 4 TARs, levels -7 and -5; not to be changed."""
    pytest.importorskip("pyproj")
    pytest.importorskip("yaml")
    from justzoomin.sample import write_sample
    from justzoomin.sample_tiles import write_tiles

    folder = tmp_path_factory.mktemp("city")
    write_sample(folder, train=40, validation=10, shards=4, width=32)
    write_tiles(folder, (-7, -5), per_archive=150, quality=80)
    return folder


@pytest.fixture
def own(city: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be changed."""
    return Path(shutil.copytree(city, tmp_path / "own"))


@pytest.fixture(scope="session")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of 14 MB, photos of the real size, one in ten of validation; not to be changed."""
    from justzoomin.sample import write_sample

    folder = tmp_path_factory.mktemp("heavy")
    write_sample(folder, train=360, validation=40, shards=2, width=16)
    rng = np.random.default_rng(0)
    for path in (folder / "archives").iterdir():
        rewrite(path, lambda entries: [
            (name, b"\xff\xd8" + rng.bytes(69_996) + b"\xff\xd9") for name, _ in entries
        ])  # fmt: skip
    return folder
