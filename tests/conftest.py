"""Fixtures of all tests: separate caches, no network but the loopback, and the sample data."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

# Set before the libraries are imported, because they read these variables once.
_home = tempfile.mkdtemp(prefix="test-cache-")
os.environ["HF_HOME"] = _home
os.environ["HF_DATASETS_CACHE"] = os.path.join(_home, "datasets")
os.environ["HF_MODULES_CACHE"] = os.path.join(_home, "modules")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
# The loopback Hub has LFS, but not Xet, which the clients would prefer.
os.environ["HF_HUB_DISABLE_XET"] = "1"
for _name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.pop(_name, None)

from tests.support.hub_write import WritableHub

# The only Hub for clients in this process and in processes that tests start.
_hub = WritableHub()
_hub.__enter__()
os.environ["HF_ENDPOINT"] = _hub.endpoint

import pytest
from hypothesis import settings

import im2gps.sample
import justzoomin.preview
import justzoomin.sample
from tests.support.process import offline  # noqa: F401

# A slow machine must not make a test fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let matplotlib list the fonts of the system once, before other processes are started.

    The list is kept in a file. Where that is missing and listing takes more than 5 s, matplotlib
    writes a line about it to stderr, which some tests expect to be empty.
    """
    if not hasattr(session.config, "workerinput"):
        with contextlib.suppress(ImportError):
            import matplotlib.font_manager  # noqa: F401


def pytest_unconfigure() -> None:
    """Close connections, because the server's thread would keep the process alive."""
    _hub.__exit__(None, None, None)


PACKS = {"im2gps": 12, "random_2k": 10, "geo_uniform": 5, "human": 4}


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four test packs, 12, 10, 5 and 4 photos; not to be changed."""
    folder = tmp_path_factory.mktemp("packs")
    im2gps.sample.write_sample(folder, PACKS, width=48)
    return folder


@pytest.fixture(scope="session")
def zoom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the Hub's layout: 40 train and 10 validation photos; not to be changed."""
    folder = tmp_path_factory.mktemp("zoom")
    justzoomin.sample.write_sample(folder, train=40, validation=10, shards=4, width=32)
    return folder


@pytest.fixture
def hub() -> WritableHub:
    """The loopback Hub to which the clients talk, its counts and faults cleared."""
    _hub.forget()
    return _hub


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out only the drawing of sheets, which takes longer than all the rest of a run."""
    monkeypatch.setattr(justzoomin.preview, "sheet", lambda *_: None)


@pytest.fixture
def cache(tmp_path: Path) -> str:
    """An empty cache folder for `load_dataset`."""
    return str(tmp_path / "cache")
