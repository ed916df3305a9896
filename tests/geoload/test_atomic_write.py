"""Files are complete or do not exist, and errors name them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geoload.files import atomic_write, filename_in_errors, read_json, write_json


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("no"), OSError(28, "full")])
def test_an_unfinished_write_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(BaseException), atomic_write(path, "w", encoding="utf-8") as file:  # noqa: B017
        file.write("half")
        raise error
    assert path.read_text(encoding="utf-8") == "before" and os.listdir(tmp_path) == ["a.txt"]


def test_files_of_other_programs_are_kept(tmp_path):
    other = tmp_path / "a.txt.part"
    other.write_text("mine", encoding="utf-8")
    with atomic_write(tmp_path / "a.txt", "w", encoding="utf-8") as file:
        file.write("whole")
        (part,) = set(tmp_path.iterdir()) - {other}
        assert part.name.startswith(".a.txt.") and part.name.endswith(".part")
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "a.txt.part"]
    assert other.read_text(encoding="utf-8") == "mine"


def test_a_pipe_or_device_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as file:
        file.write(b"whole")
    assert os.read(reader, 99) == b"whole" and pipe.is_fifo()
    os.close(reader)


KILLED = """
import os, signal, sys
from geoload.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half" * int(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is swept there")
@pytest.mark.parametrize("count", ["0", "100000"])
def test_leftover_files_are_removed_but_not_those_being_written(tmp_path, count):
    path = tmp_path / "a.txt"
    assert subprocess.run([sys.executable, "-c", KILLED, path, count], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.txt.")
    (tmp_path / ".b.txt.01234567.part").write_text("another file's")
    with atomic_write(path) as one:
        assert not left.exists()
        one.write(b"one")
        one.flush()
        with atomic_write(path) as other:
            other.write(b"other")
    assert sorted(os.listdir(tmp_path)) == [".b.txt.01234567.part", "a.txt"]
    assert path.read_bytes() == b"one"


def test_an_error_of_the_system_names_the_file(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '\S+/a\.txt'"),
        atomic_write(tmp_path / "a.txt") as _,
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    with pytest.raises(FileNotFoundError, match=r"directory: '\S+/no/a\.txt'"):
        write_json(tmp_path / "no" / "a.txt", {})
    with pytest.raises(FileNotFoundError, match="'/nowhere'"), filename_in_errors("other"):
        os.stat("/nowhere")
    with pytest.raises(OSError, match="^plain$"), filename_in_errors("other"):
        raise OSError("plain")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_damaged_state_file_is_named_in_the_error(tmp_path, text):
    (tmp_path / "state.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"state\.json is damaged: "):
        read_json(tmp_path / "state.json")
    write_json(tmp_path / "state.json", {"half a character": "\ud800"})
    assert read_json(Path(tmp_path, "state.json")) == {"half a character": "\ud800"}
