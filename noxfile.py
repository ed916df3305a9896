"""Tests in environments of their own: with every supported version of the libraries (`make
compat`), and of the Space with what its requirements.txt names and nothing else (`make
space-check`).
"""

from __future__ import annotations

import glob
import os
import shutil
import sys

import nox
from uv import find_uv_bin

# The newest of everything is what `make test` runs. With it, between them: datasets 3.6 (loading
# scripts) on, both webdataset lines, pandas 2 and 3, Python 3.10 to 3.13. Where a Python is not on
# the machine, the one that runs this serves.
MATRIX = {
    "datasets-3.6": ("3.10", "datasets==3.6.0", "webdataset==0.2.111", "pandas<3"),
    "datasets-4.0": ("3.13", "datasets==4.0.0", "webdataset>=1", "pandas>=3"),
    "datasets-4.8": ("3.12", "datasets==4.8.5", "webdataset==0.2.111", "pandas<3"),
}


@nox.session(python=False)
@nox.parametrize("versions", list(MATRIX), ids=list(MATRIX))
def compat(session: nox.Session, versions: str) -> None:
    """Install one row of the matrix into an environment of its own and run the tests there."""
    python, *requirements = MATRIX[versions]
    target = environment(session, versions, python, "-e", ".[test]", *requirements)
    session.run(target, "-m", "pytest", "-n", "2", *session.posargs)


@nox.session(python=False)
def space(session: nox.Session) -> None:
    """Install what the Space asks for into an environment of its own, and be its visitor."""
    target = environment(session, "space", "3.12", "-r", "gcd_metric/requirements.txt")
    # the page runs there, in a copy of its folder; the browser and the tests run here
    session.run(sys.executable, "-m", "pytest", "tests/gcd_metric/test_app.py", *session.posargs,
                env={"SPACE_PYTHON": target, "REQUIRE_BROWSER": "1"})  # fmt: skip


def environment(session: nox.Session, name: str, python: str, *requirements: str) -> str:
    """Make an environment with what is named and return the path of its Python."""
    uv = find_uv_bin()
    folder = os.path.abspath(os.path.join(".nox", name))
    session.run(uv, "venv", "--quiet", "--clear", "--python", interpreter(python), folder)
    target = os.path.join(folder, "bin", "python")
    session.run(uv, "pip", "install", "--quiet", "--python", target, *requirements)
    return target


def interpreter(version: str) -> str:
    """Find a Python on the PATH or among pyenv's, else take the running one."""
    pyenv = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    found = sorted(glob.glob(os.path.join(pyenv, "versions", f"{version}.*", "bin", "python")))
    return (found and found[-1]) or shutil.which(f"python{version}") or shutil.which("python3")


@nox.session(python=False)
def explorer(session: nox.Session) -> None:
    """Install what the explorer's Space asks for into an environment of its own, and visit it."""
    target = environment(session, "explorer", "3.12", "-r", "spaces/explorer/requirements.txt")
    # the page runs there, as bundle.py writes it; the browser and the tests run here
    session.run(sys.executable, "-m", "pytest", "tests/spaces/test_explorer.py", *session.posargs,
                env={"SPACE_PYTHON": target, "REQUIRE_BROWSER": "1"})  # fmt: skip
