"""Runs Python in a new process with separate caches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
