"""Runs Python in another process with separate caches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forked import Forks

ROOT = Path(__file__).parents[2]
CACHES = ("HF_HOME", "HF_MODULES_CACHE", "HF_DATASETS_CACHE", "HF_EVALUATE_CACHE")


@pytest.fixture()
def python(tmp_path):
    """Runs Python with arguments in a folder and returns its output."""

    def run(*arguments, cwd, on_path=True, check=True):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {name: str(tmp_path / name.lower()) for name in CACHES}
        environment["HF_HUB_OFFLINE"] = "1"
        if on_path:
            environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout if check else done

    return run


@pytest.fixture(scope="session")
def offline(tmp_path_factory) -> Iterator[Forks]:
    """An interpreter that has imported what `evaluate` is slow to import, and has no network."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    folder = tmp_path_factory.mktemp("caches")
    environment = {name: str(folder / name.lower()) for name in CACHES} | {"HF_HUB_OFFLINE": "1"}
    with Forks(["datasets", "scipy.stats", "aiohttp"], environment) as forks:
        yield forks
