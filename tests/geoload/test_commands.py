"""What a command says: options as they are typed there, and how it ends."""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geoload import __version__
from geoload.commands import one_line, run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("give its folder with data_dir=.", "give its folder with --data-dir."),
        ("leave them out with skip_broken=True.", "leave them out with --skip-broken."),
        ("data_dir='x y': nothing\n  there", "--data-dir 'x y': nothing there"),
        ("splits=['val']: there is test", "--splits ['val']: there is test"),
        (
            'type load_dataset("im2gps", data_dir="x").',
            'type load_dataset("im2gps", data_dir="x").',
        ),
        ("name it with views=, or metadata_dir=", "name it with views=, or metadata_dir="),
    ],
)
def test_options_are_named_as_they_are_typed(text, said):
    assert one_line(ValueError(text), ["data_dir", "skip_broken", "splits"]) == said


def parser():
    made = argparse.ArgumentParser(prog="tool")
    made.add_argument("--data-dir")
    made.add_argument("--folder", type=Path)
    made.add_argument("--files", nargs="+")
    made.add_argument("--title", default="about ~ 5")
    return made


def test_home_is_understood_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    seen = {}
    arguments = ["--data-dir=~/data", "--folder=~/x", "--files", "~/a", "b"]
    assert run(parser(), arguments, seen.update) == 0
    assert seen == {
        "data_dir": "/home/me/data",
        "folder": Path("/home/me/x"),
        "files": ["/home/me/a", "b"],
        "title": "about ~ 5",
    }


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("name it\nwith data_dir="), 2, "tool: name it with --data-dir\n"),
        (BrokenPipeError(32, "Broken pipe"), 2, "tool: Broken pipe\n"),  # of another pipe
        (KeyboardInterrupt(), 130, "tool: stopped\n"),
    ],
)
def test_errors_end_in_one_line(capfd, error, status, said):
    def work(options):
        raise error

    assert run(parser(), [], work) == status
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("name", ["im2gps", "justzoomin"])
def test_every_command_tells_its_version(name, capsys):
    with pytest.raises(SystemExit) as left:
        importlib.import_module(f"{name}.cli").main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize("command", ["im2gps", "justzoomin"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(tmp_path, command, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)  # before a line is written, so that every line meets a closed pipe
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", command, "sample", str(tmp_path / "made")],
            stdout=closed,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PYTHONUNBUFFERED": unbuffered,
            },
        )
    assert (done.returncode, done.stderr) == (141, b"")
    assert any((tmp_path / "made").iterdir())
