"""Run pieces of code, each in a process of its own, that share the start of the slow libraries.

A new interpreter takes a second or more to import `datasets` or `evaluate`. Here one interpreter
imports such libraries, and forks for each piece of code. It never imports this project, which the
forks import as a new interpreter would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# Reads jobs and answers each with the exit code of its process.
_SERVER = """
import importlib, json, os, sys, traceback

sys.path.remove("")  # the current folder, where a test may have put anything
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
sys.path[:0] = json.loads(sys.argv[2])
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        for path, number in zip(job["outputs"], (1, 2)):
            os.dup2(os.open(path, os.O_WRONLY), number)
        os.chdir(job["folder"])
        os.environ.update(job["environment"])
        sys.argv = ["-c", *job["arguments"]]
        code = 0
        try:
            exec(compile(job["code"], "<test>", "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

# Code that runs the command of a package, with the package and the words as arguments.
COMMAND = """
import importlib, sys
sys.argv = sys.argv[1:]
sys.exit(importlib.import_module(f"{sys.argv[0]}.cli").main())
"""


class Said(NamedTuple):
    """How a process ended, and what it wrote."""

    code: int
    out: str
    err: str


class Forks:
    """An interpreter with some libraries, that forks for each piece of code.

    Parameters
    ----------
    libraries : iterable of str
        What is imported beforehand: nothing that reads a variable which a piece of code sets.
    environment : mapping, optional
        Variables of the interpreter, besides those of this process.
    paths : sequence of path
        Where the pieces of code import from, before the installed packages.
    """

    def __init__(
        self,
        libraries: Iterable[str],
        environment: Mapping[str, str] | None = None,
        paths: Sequence[str | os.PathLike[str]] = (ROOT,),
    ) -> None:
        arguments = [list(libraries), list(map(str, paths))]
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, *map(json.dumps, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=self._folder.name, env=inherited | dict(environment or {}),
        )  # fmt: skip

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def run(
        self, code: str, *arguments: str, folder: str | os.PathLike[str], **environment: str
    ) -> Said:
        """Run a piece of code in a folder, with these arguments and environment variables."""
        outputs = [Path(self._folder.name, name) for name in ("out", "err")]
        for output in outputs:
            output.write_bytes(b"")
        job = {
            "code": code, "arguments": arguments, "folder": str(folder),
            "environment": environment, "outputs": list(map(str, outputs)),
        }  # fmt: skip
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the interpreter that forks ended: are all of its libraries installed?"
        return Said(int(answer), *(output.read_text(errors="replace") for output in outputs))
