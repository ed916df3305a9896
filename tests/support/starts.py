"""Start a page where it cannot start: a test module imports the fixture `start`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forked import Forks, Said

# As `python app.py` does it; the libraries before it in the list are made missing.
_START = """
import os, runpy, sys
*missing, app = sys.argv[1:]
sys.modules.update(dict.fromkeys(missing))
sys.path.insert(0, os.path.dirname(app))
runpy.run_path(app, run_name="__main__")
"""


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Said]]:
    """Runs `start(folder, *libraries that are missing, app.py, **variables)` to its end."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("needs gradio")

    def run(folder: Path, *arguments: object, **variables: str) -> Said:
        return forks.run(_START, *map(str, arguments), folder=folder, **variables)

    with Forks(["gradio"], {"GRADIO_ANALYTICS_ENABLED": "False"}) as forks:
        yield run
