"""The tests with every supported version of the libraries: `make compat`."""

from __future__ import annotations

import glob
import os
import shutil

import nox
from uv import find_uv_bin

# Between them: datasets 3.6 (loading scripts) to the newest, both webdataset lines, pandas 2 and
# 3, Python 3.10 to 3.13. Where a Python is not on the machine, the one that runs this serves.
MATRIX = {
    "datasets-3.6": ("3.10", "datasets==3.6.0", "webdataset==0.2.111", "pandas<3"),
    "datasets-4.0": ("3.13", "datasets==4.0.0", "webdataset>=1", "pandas>=3"),
    "datasets-4.8": ("3.12", "datasets==4.8.5", "webdataset==0.2.111", "pandas<3"),
    "datasets-new": ("3.11", "datasets", "webdataset>=1", "pandas>=3"),
}


@nox.session(python=False)
@nox.parametrize("versions", list(MATRIX), ids=list(MATRIX))
def compat(session: nox.Session, versions: str) -> None:
    """Install one row of the matrix into an environment of its own and run the tests there."""
    python, *requirements = MATRIX[versions]
    uv = find_uv_bin()
    folder = os.path.join(".nox", versions)
    session.run(uv, "venv", "--quiet", "--clear", "--python", interpreter(python), folder)
    target = os.path.join(folder, "bin", "python")
    session.run(uv, "pip", "install", "--quiet", "--python", target, "-e", ".[test]",
                *requirements)  # fmt: skip
    session.run(target, "-m", "pytest", "-n", "2", *session.posargs)


def interpreter(version: str) -> str:
    """Find a Python on the PATH or among pyenv's, else take the running one."""
    pyenv = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    found = sorted(glob.glob(os.path.join(pyenv, "versions", f"{version}.*", "bin", "python")))
    return (found and found[-1]) or shutil.which(f"python{version}") or shutil.which("python3")
