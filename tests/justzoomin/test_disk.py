"""Full and read-only disks give a one-line error with the place and advice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

from geoload.files import explain_disk_errors
from justzoomin.cli import main
from tests.support.limits import small_files_only

ROOT = Path(__file__).parents[2]
# Runs a piece of code and prints its error.
RUN = """
import sys
import justzoomin
from datasets import load_dataset
try:
    exec(sys.argv[1])
except OSError as error:
    print(error, file=sys.stderr)
"""


def said(code: str, folder: Path, **environment: str) -> str:
    """Return the last line that code prints in a process whose caches are elsewhere."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
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


@pytest.mark.parametrize("in_place", [False, True])
def test_rows_that_cannot_be_kept(zoom, cache, in_place):
    options = {"data_dir": str(zoom), "split": "train", "cache_dir": cache, "in_place": in_place}
    with small_files_only(2000), pytest.raises(OSError) as caught:
        load_dataset("justzoomin", **options)
    line = str(caught.value)
    assert line.startswith(f"{cache}") and "cannot be written (File too large)" in line
    assert "HF_HOME" in line and "cache_dir=" in line


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cache_that_may_not_be_written(zoom, tmp_path, closed, streaming):
    options = f"data_dir={str(zoom)!r}, split='train', streaming={streaming}"
    code = f"load_dataset('justzoomin', {options})"
    line = said(code, tmp_path, HF_HOME=str(closed), HF_DATASETS_CACHE=str(closed / "datasets"))
    assert "cannot be written (Not a directory). Free some space" in line and "HF_HOME" in line


def test_a_table_of_the_hub_that_cannot_be_kept(zoom, hub, cache, closed, monkeypatch):
    hub.add("someone/town", zoom)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(closed))
    options = {"repository": "someone/town", "split": "train", "streaming": True}
    with pytest.raises(OSError) as caught:
        next(iter(load_dataset("justzoomin", "metadata", cache_dir=cache, **options)))
    line = str(caught.value)
    assert f"{closed}" in line and "cannot be written" in line and "HF_HOME" in line


@pytest.mark.parametrize("drawn", ["views.tar", "x.gif"])
def test_pictures_that_cannot_be_written(tmp_path, city, closed, drawn, capsys):
    pytest.importorskip("cv2")
    command = ["render", "--size", "8", "--workers", "1", "--output"]
    if drawn.endswith("gif"):
        command = ["preview", "--size", "8"]
    where = ["--data-dir", str(city)]
    with small_files_only(5000):
        assert main([*command, str(tmp_path / drawn), *where]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"justzoomin: {tmp_path / drawn}")
    assert "cannot be written (File too large)" in line
    assert not [path for path in tmp_path.rglob("*") if path.name == drawn]
    assert main([*command, str(closed / drawn), *where]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("justzoomin: ") and "cannot be written (Not a directory)" in line


def test_an_extraction_into_a_folder_that_cannot_be(zoom, closed, capsys):
    assert main(["extract", str(closed), "--data-dir", str(zoom), "--no-tiles"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"justzoomin: {closed}") and "Not a directory" in line


def test_errors_about_other_files_stay_as_they_are(tmp_path, closed):
    with pytest.raises(NotADirectoryError), explain_disk_errors(tmp_path / "cache", "advice"):
        closed.read_bytes()
    with pytest.raises(KeyError), explain_disk_errors(tmp_path, "advice"):
        raise KeyError(1)
