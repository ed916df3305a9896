"""Full and read-only disks give a one-line error with the place and advice."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geoload.files import explain_disk_errors
from tests.support.limits import small_files_only

ROOT = Path(__file__).parents[2]
# Runs a piece of code and prints its error.
RUN = """
import sys
from datasets import load_dataset
from justzoomin.cli import main
try:
    exec(sys.argv[1])
except OSError as error:
    print(error, file=sys.stderr)
"""


def said(code: str, folder: Path, limit: int | None = None, **environment: str) -> str:
    """Return the last line that code prints in another process, with a limit on its files."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with small_files_only(limit) if limit else contextlib.nullcontext():
        done = subprocess.run(
            [sys.executable, "-c", RUN, code], check=False,
            capture_output=True, text=True, timeout=170, cwd=folder,
            env=os.environ | {"PYTHONPATH": paths} | environment,
        )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that nobody can write to, because its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "folder"


def load(zoom: Path, more: str) -> str:
    return f"load_dataset('justzoomin', data_dir={str(zoom)!r}, split='train', {more})"


@pytest.mark.parametrize("in_place", [False, True])
def test_rows_that_cannot_be_kept(zoom, tmp_path, in_place):
    cache = tmp_path / "cache"
    code = load(zoom, f"cache_dir={str(cache)!r}, in_place={in_place}")
    line = said(code, tmp_path, limit=2000)
    assert line.startswith(f"{cache}") and "cannot be written (File too large)" in line
    assert "HF_HOME" in line and "cache_dir=" in line


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cache_that_may_not_be_written(zoom, tmp_path, closed, streaming):
    code = load(zoom, f"streaming={streaming}")
    line = said(code, tmp_path, HF_HOME=str(closed), HF_DATASETS_CACHE=str(closed / "datasets"))
    assert "cannot be written (Not a directory). Free some space" in line and "HF_HOME" in line


def test_a_table_of_the_hub_that_cannot_be_kept(zoom, hub, tmp_path, closed):
    hub.add("someone/town", zoom)
    code = (
        "load_dataset('justzoomin', 'metadata', repository='someone/town', split='train', "
        f"streaming=True, cache_dir={str(tmp_path)!r})"
    )
    line = said(f"next(iter({code}))", tmp_path, HF_HUB_CACHE=str(closed))
    assert f"{closed}" in line and "cannot be written" in line and "HF_HOME" in line


@pytest.mark.parametrize("drawn", ["views.tar", "x.gif"])
def test_pictures_that_cannot_be_written(tmp_path, city, closed, drawn):
    pytest.importorskip("cv2")
    command = ["render", "--size", "8", "--workers", "1", "--output"]
    if drawn.endswith("gif"):
        command = ["preview", "--size", "8"]
    where = ["--data-dir", str(city)]
    line = said(f"main({[*command, str(tmp_path / drawn), *where]})", tmp_path, limit=5000)
    assert line.startswith(f"justzoomin: {tmp_path / drawn}")
    assert "cannot be written (File too large)" in line
    assert not [path for path in tmp_path.rglob("*") if path.name == drawn]
    line = said(f"main({[*command, str(closed / drawn), *where]})", tmp_path)
    assert line.startswith("justzoomin: ") and "cannot be written (Not a directory)" in line


def test_an_extraction_into_a_folder_that_cannot_be(tmp_path, zoom, closed):
    command = ["extract", str(closed), "--data-dir", str(zoom), "--no-tiles"]
    line = said(f"main({command})", tmp_path)
    assert line.startswith(f"justzoomin: {closed}") and "Not a directory" in line


def test_errors_about_other_files_stay_as_they_are(tmp_path, closed):
    with pytest.raises(NotADirectoryError), explain_disk_errors(tmp_path / "cache", "advice"):
        closed.read_bytes()
    with pytest.raises(KeyError), explain_disk_errors(tmp_path, "advice"):
        raise KeyError(1)
