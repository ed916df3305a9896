"""Commands that cannot write: a one-line error, and no incomplete files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from im2gps.cli import main
from im2gps.lists.sample import write_lists
from tests.support.flickr import Flickr, photo
from tests.support.flickr_photos import FlickrPhotos, row, write_list
from tests.support.limits import small_files_only

pytest.importorskip("resource")
WHOLE = (".zip", ".tar", ".parquet", ".csv", ".md")
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(params=["sample", "lists of a sample", "lists", "build", "publish", "search"])
def command(request, packs, tmp_path, monkeypatch):
    """Each command that writes, without its output folder."""
    only = ["--random-2k", "0", "--geo-uniform", "0", "--human", "0"]
    with contextlib.ExitStack() as stack:
        if request.param == "sample":
            yield ["sample", "OUT", "--im2gps", "40", *only]
        elif request.param == "lists of a sample":
            yield ["sample", "OUT", "--im2gps", "0", *only, "--lists", "3000"]
        elif request.param == "lists":
            write_lists(tmp_path / "lists", 2000)
            yield ["lists", str(tmp_path / "lists"), "-o", "OUT/photos.parquet"]
        elif request.param == "build":
            rows = [row(n, original_width=1200, original_height=100) for n in range(3)]
            host = stack.enter_context(FlickrPhotos(rows))
            table = write_list(tmp_path / "photos.parquet", rows)
            yield ["build", table, "-o", "OUT", "--photo-host", host.endpoint, "--processes", "1"]
        elif request.param == "publish":
            yield ["publish", "--to", "OUT", "--data-dir", str(packs), "--include-unlicensed"]
        else:
            monkeypatch.setenv("FLICKR_API_KEY", KEY)
            photos = [photo(n, 1_167_609_600 + n) for n in range(100)]
            server = stack.enter_context(Flickr(photos, KEY))
            (tmp_path / "q.txt").write_text("Rome\n", encoding="utf-8")
            yield ["search", str(tmp_path / "q.txt"), "-o", "OUT", "--api", server.api,
                   "--interval", "0", "--from", "2007-01-01", "--to", "2007-01-02"]  # fmt: skip


def run(command: list[str], folder: Path | str) -> int:
    return main([part.replace("OUT", str(folder)) for part in command])


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_full_disk_is_a_one_line_error_and_the_command_can_continue(command, tmp_path, capsys):
    with small_files_only(3000):
        assert run(command, tmp_path / "out") == 2
    said = capsys.readouterr().err.splitlines()
    assert "larger than the system allows" in said[-1] and f"{tmp_path}/out/" in said[-1]
    assert sum(line.startswith(("im2gps: /", "im2gps: shard")) for line in said) == 1
    assert not any("Traceback" in line for line in said)
    left = content(tmp_path / "out")
    assert run(command, tmp_path / "out") == 0
    assert run(command, tmp_path / "other") == 0
    once, again = content(tmp_path / "other"), content(tmp_path / "out")
    assert once.keys() == again.keys()
    # What a search has in its lists beyond whole slices is cut off when it goes on.
    assert all(once.get(name) == left[name] for name in left if name.endswith(WHOLE))
    assert not any(name.endswith(".part") for name in left)
    for name in once:  # but for what holds times and the name of the folder
        assert once[name] == again[name] or Path(name).suffix in (".json", ".md")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_named(command, capsys):
    assert run(command, "/proc/self/nowhere") == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("im2gps: /proc/self/nowhere") and "[Errno" not in said[-1]
