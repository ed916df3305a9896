"""Output with all logging enabled does not contain the token of the Hub."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.hub_write import OWNER, TOKEN

SAY_ALL = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
import datasets, huggingface_hub, im2gps.cli, justzoomin.cli
datasets.logging.set_verbosity_debug()
huggingface_hub.logging.set_verbosity_debug()
sys.exit({"im2gps": im2gps, "justzoomin": justzoomin}[sys.argv[1]].cli.main(sys.argv[2:]))
"""


def said(*arguments: object, status: int = 0) -> str:
    """Run a command with a token and all logging enabled, and return its output."""
    everything = {**os.environ, "HF_DEBUG": "1", "HF_TOKEN": TOKEN}
    done = subprocess.run(
        [sys.executable, "-c", SAY_ALL, *map(str, arguments)], env=everything, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    assert "DEBUG" in done.stdout and "curl -X" in done.stdout  # the requests with their headers
    return done.stdout


def test_publishing_and_reading_print_no_token(hub, packs, zoom, tmp_path):
    options = ["--data-dir", packs, "--to", tmp_path / "to", "--configs", "human"]
    published = said("im2gps", "publish", f"{OWNER}/secrets", *options)
    assert hub.files(f"{OWNER}/secrets")
    hub.add("someone/secrets", zoom)
    extract = ["extract", tmp_path / "out", "--repository", "someone/secrets", "--no-tiles"]
    read = said("justzoomin", *extract)
    assert TOKEN not in published + read


def test_an_error_of_the_hub_prints_no_token(hub, packs, tmp_path):
    options = ["--data-dir", packs, "--to", tmp_path / "to"]
    refused = said("im2gps", "publish", "stranger/secrets", *options, status=2)
    assert "im2gps: " in refused and TOKEN not in refused
