"""Fixtures of the metric's tests: separate caches, and a way to run a new process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHES = ("HF_HOME", "HF_MODULES_CACHE", "HF_DATASETS_CACHE", "HF_EVALUATE_CACHE")


@pytest.fixture()
def metric(tmp_path):
    """Makes metrics with separate cache files."""
    from gcd_metric import GcdMetric

    def make(config_name=None, **kwargs):
        return GcdMetric(config_name, cache_dir=str(tmp_path / "cache"), **kwargs)

    return make


@pytest.fixture()
def python(tmp_path):
    """Runs Python in a new process and returns its output."""

    def run(*arguments, cwd, on_path=True, check=True):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {name: str(tmp_path / name.lower()) for name in CACHES}
        environment["HF_HUB_OFFLINE"] = "1"
        if on_path:
            environment["PYTHONPATH"] = str(ROOT)
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
        )
        if check:
            assert done.returncode == 0, done.stderr
            return done.stdout
        return done

    return run
