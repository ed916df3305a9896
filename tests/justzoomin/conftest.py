"""A miniature with tiles, as on the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest


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
