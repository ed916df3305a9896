"""Output with all logging enabled does not contain the token of the Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.forked import Forks, needs_fork
from tests.support.hub_write import OWNER, TOKEN

SAY_ALL = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
import datasets, huggingface_hub, im2gps.cli, justzoomin.cli
datasets.logging.set_verbosity_debug()
huggingface_hub.logging.set_verbosity_debug()
sys.exit({"im2gps": im2gps, "justzoomin": justzoomin}[sys.argv[1]].cli.main(sys.argv[2:]))
"""


pytestmark = needs_fork


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Runs a command with a token and all logging enabled, and returns its output."""
    folder = tmp_path_factory.mktemp("secrets")

    def run(*arguments: object, status: int = 0) -> str:
        done = forks.run(SAY_ALL, *map(str, arguments), folder=folder)
        output = done.out + done.err
        assert done.code == status, output
        assert "DEBUG" in output and "curl -X" in output  # the requests with their headers
        return output

    with Forks(["datasets", "aiohttp"], {"HF_DEBUG": "1", "HF_TOKEN": TOKEN}) as forks:
        yield run


def test_publishing_and_reading_print_no_token(said, hub, packs, zoom, tmp_path):
    options = ["--data-dir", packs, "--to", tmp_path / "to", "--configs", "human"]
    published = said("im2gps", "publish", f"{OWNER}/secrets", *options)
    assert hub.files(f"{OWNER}/secrets")
    hub.add("someone/secrets", zoom)
    extract = ["extract", tmp_path / "out", "--repository", "someone/secrets", "--no-tiles"]
    read = said("justzoomin", *extract)
    assert TOKEN not in published + read


def test_an_error_of_the_hub_prints_no_token(said, hub, packs, tmp_path):
    options = ["--data-dir", packs, "--to", tmp_path / "to"]
    refused = said("im2gps", "publish", "stranger/secrets", *options, status=2)
    assert "im2gps: " in refused and TOKEN not in refused
