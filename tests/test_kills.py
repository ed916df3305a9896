"""Commands that are killed at any rename and run again write the usual files.

`make soak` does the like at any moment, and with other faults.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from im2gps.lists.sample import write_lists
from tests.soak.tasks import tree

# An audit hook sees a rename before the system does. Children do it, so that everything is
# imported once; they are gone before the parent has any threads of its own.
KILLED = """
import json, os, signal, sys
import im2gps.cli, justzoomin.cli

def end_at_rename(number):
    def hook(event, arguments):
        nonlocal number
        if event == "os.rename":
            number -= 1
            if number < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

killed, usual = json.loads(sys.argv[1])
mains = {"im2gps": im2gps.cli.main, "justzoomin": justzoomin.cli.main}
for name, *command in killed:
    for number in (0, 1):
        if (child := os.fork()) == 0:
            end_at_rename(number)
            os._exit(mains[name](command))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, command
for name, *command in killed + usual:
    assert mains[name](command) == 0, command
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_commands_killed_at_a_rename_complete_when_run_again(zoom, tmp_path):
    write_lists(tmp_path / "lists", 2000)

    def commands(out: str) -> list[list[str]]:
        folder = str(tmp_path / out)
        return [
            ["im2gps", "lists", f"{tmp_path}/lists", "-o", f"{folder}/lists/photos.parquet"],
            ["justzoomin", "publish", "--to", f"{folder}/p", "--data-dir", str(zoom), "--configs",
             "streetview", "--max-shard-size", "10KB", "--format", "webdataset"],
        ]  # fmt: skip

    arguments = json.dumps([commands("killed"), commands("usual")])
    subprocess.run([sys.executable, "-c", KILLED, arguments], check=True, timeout=160)
    usual, again = tree(tmp_path / "usual"), tree(tmp_path / "killed")
    assert len(usual) > 5
    assert again == usual
