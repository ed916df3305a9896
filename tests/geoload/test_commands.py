"""Output and exit status of commands."""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geoload import __version__
from geoload.commands import run
from geoload.messages import one_line


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


def test_a_tilde_in_paths_is_expanded(monkeypatch):
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


def test_an_empty_argument_is_refused(capfd):
    for arguments in (["--data-dir", ""], ["--files", "a", ""]):
        assert run(parser(), arguments, lambda options: 0) == 2
        assert "is empty" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("name it\nwith data_dir="), 2, "tool: name it with --data-dir\n"),
        (ValueError("a\x1b[31mred.jpg"), 2, "tool: a\\x1b[31mred.jpg\n"),
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
def test_every_command_prints_its_version(name, capsys):
    with pytest.raises(SystemExit) as left:
        importlib.import_module(f"{name}.cli").main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


ROOT = str(Path(__file__).parents[2])
SAMPLE = ["justzoomin", "sample", "made", "--train", "3", "--validation", "1"]


def command(arguments, output, errors=subprocess.PIPE, unbuffered=""):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        stdout=output,
        stderr=errors,
        env={**os.environ, "PYTHONPATH": ROOT, "PYTHONUNBUFFERED": unbuffered},
    )


@pytest.mark.parametrize(
    ("arguments", "unbuffered"), [(["im2gps", "--help"], ""), (SAMPLE, ""), (SAMPLE, "1")]
)
@pytest.mark.parametrize("errors", [subprocess.PIPE, subprocess.STDOUT])
def test_a_reader_that_closes_the_pipe_is_not_an_error(
    tmp_path, monkeypatch, arguments, unbuffered, errors
):
    monkeypatch.chdir(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)  # close before the first line is written
    with os.fdopen(writer, "wb") as closed:
        done = command(arguments, closed, errors, unbuffered)
    assert done.returncode == 141 and (errors == subprocess.STDOUT or b"Errno" not in done.stderr)
    assert (arguments == SAMPLE) == any(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_output_to_a_full_disk_is_a_one_line_error():
    with open("/dev/full", "wb") as full:
        done = command(["justzoomin", "--version"], full)
    assert done.returncode == 2
    assert done.stderr.startswith(b"justzoomin: the disk is full") and done.stderr.count(b"\n") == 1


DASH = "import argparse, geoload.commands as c; p = argparse.ArgumentParser(prog='tool')"
DASH += "; raise SystemExit(c.run(p, [], lambda options: print('\\u2013')))"


def test_output_to_an_ascii_or_closed_terminal():
    environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", DASH]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "\\u2013\n" and not done.stderr
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(closed, env=environment, capture_output=True, text=True, check=True)
    assert not done.stdout and not done.stderr
