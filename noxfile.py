"""Tests in other environments than that of `make test`.

`make compat` tests with other versions of Python and the libraries, `make space-check` and `make
explorer-check` test each Space with nothing installed but its requirements.txt, and `make
models-check` tests geoeval with the libraries of its adapters and with inspect-ai.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys

import nox
from uv import find_uv_bin

# `make test` uses the newest versions of everything. Together with it, the rows cover datasets from
# 3.6 (loading scripts) on, both lines of webdataset, pandas 2 and 3, and Python 3.10 to 3.13. If a
# version of Python is not installed, the one that runs this file is used.
MATRIX = {
    "datasets-3.6": ("3.10", "datasets==3.6.0", "webdataset==0.2.111", "pandas<3"),
    "datasets-4.0": ("3.13", "datasets==4.0.0", "webdataset>=1", "pandas>=3"),
    "datasets-4.8": ("3.12", "datasets==4.8.5", "webdataset==0.2.111", "pandas<3"),
}
# The oldest versions run all tests except those of pages, snippets and damaged files, which do not
# depend on them. The others run the tests that go through `load_dataset` and `evaluate.load`.
ROW_TESTS = {
    "datasets-3.6": ["tests", "--ignore-glob=tests/docs/*", "--ignore-glob=tests/spaces/*",
                     "--ignore-glob=tests/fuzz/*", "--ignore-glob=tests/gcd_metric/test_app*"],
}  # fmt: skip
LOADING_TESTS = [
    "tests/geoload/test_contract.py", "tests/geoload/test_streams.py",
    "tests/gcd_metric/test_loading.py", "tests/gcd_metric/test_metric.py",
    "tests/geo_attributes", "tests/im2gps/test_im2gps.py",
    "tests/im2gps/test_training.py", "tests/justzoomin/test_streetview.py",
    "tests/justzoomin/test_overhead.py", "tests/justzoomin/test_random_access.py",
    "tests/justzoomin/test_satellite.py", "tests/test_publish.py",
]  # fmt: skip
# These need libraries with which `import evaluate` alone takes seconds.
MODEL_TESTS = [
    "tests/geoeval/test_adapters.py", "tests/geoeval/test_inspect.py",
    "tests/gcd_metric/test_inspect.py",
]  # fmt: skip


@nox.session(python=False)
@nox.parametrize("versions", list(MATRIX), ids=list(MATRIX))
def compat(session: nox.Session, versions: str) -> None:
    """Install one row of the matrix into an environment of its own and run its tests there."""
    python, *requirements = MATRIX[versions]
    target = environment(session, versions, python, "-e", ".[test]", *requirements)
    tests = session.posargs or ROW_TESTS.get(versions, LOADING_TESTS)
    session.run(target, "-m", "pytest", "-n", "2", "--dist", "worksteal", *tests)


@nox.session(python=False)
def space(session: nox.Session) -> None:
    """Install the requirements of the metric's page alone, start it, and test it in a browser."""
    target = environment(session, "space", "3.12", "-r", "gcd_metric/requirements.txt")
    # The page runs in that environment, from a copy of its folder; the tests run in this one.
    session.run(sys.executable, "-m", "pytest", "tests/gcd_metric/test_app.py", *session.posargs,
                env={"SPACE_PYTHON": target, "REQUIRE_BROWSER": "1"})  # fmt: skip


def environment(session: nox.Session, name: str, python: str, *requirements: str) -> str:
    """Make an environment with these requirements and return the path of its Python."""
    uv = find_uv_bin()
    folder = os.path.abspath(os.path.join(".nox", name))
    session.run(uv, "venv", "--quiet", "--clear", "--python", interpreter(python), folder)
    target = os.path.join(folder, "bin", "python")
    session.run(uv, "pip", "install", "--quiet", "--python", target, *requirements)
    return target


def interpreter(version: str) -> str:
    """Return a Python of that version, from pyenv or the PATH, or else the running one."""
    pyenv = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    found = sorted(glob.glob(os.path.join(pyenv, "versions", f"{version}.*", "bin", "python")))
    return (found and found[-1]) or shutil.which(f"python{version}") or shutil.which("python3")


@nox.session(python=False)
def explorer(session: nox.Session) -> None:
    """Install the requirements of the explorer alone, start it, and test it in a browser."""
    target = environment(session, "explorer", "3.12", "-r", "spaces/explorer/requirements.txt")
    # The page runs in that environment, as bundle.py writes it; the tests run in this one.
    session.run(sys.executable, "-m", "pytest", "tests/spaces/test_explorer.py", *session.posargs,
                env={"SPACE_PYTHON": target, "REQUIRE_BROWSER": "1"})  # fmt: skip


@nox.session(python=False)
def models(session: nox.Session) -> None:
    """Test geoeval with the libraries of its adapters and with inspect-ai."""
    packages = ["-e", ".[test,geoclip,transformers,inspect]", "openai"]
    target = environment(
        session, "models", "3.12", *packages, "torch==2.13.0"
    )  # as in the Makefile
    session.run(target, "-m", "pytest", *(session.posargs or MODEL_TESTS),
                env={"REQUIRE_MODELS": "1"})  # fmt: skip
