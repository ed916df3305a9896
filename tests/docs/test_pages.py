"""Runs the snippets of the README and of docs/ in a folder where `make demo` has run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support.forked import Forks, needs_fork

ROOT = Path(__file__).parents[2]
BLOCKS = re.compile(r"^```(python|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (\w+\.py)\n")
PAGES = sorted(ROOT.glob("docs/*.md"))
# What the pages and the commands on them import, except what each of them is to import itself.
LIBRARIES = ["datasets", "evaluate", "webdataset", "aiohttp", "scipy.spatial", "shapely", "pyproj"]
LIBRARIES += ["antimeridian", "cv2", "simplejpeg", "matplotlib.backends.backend_agg"]
LIBRARIES += ["torch"] * (importlib.util.find_spec("torch") is not None)
SCRIPTS = {script.name: script.value for script in entry_points(group="console_scripts")}
# As an installed command does it.
COMMAND = """
import importlib, sys
_, module, function, *sys.argv = sys.argv
sys.exit(getattr(importlib.import_module(module), function)())
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run, and what it printed, as `demo.txt`."""
    folder = tmp_path_factory.mktemp("readme")
    result = run([sys.executable, str(ROOT / "examples" / "demo.py"), "demo"], folder)
    (folder / "demo.txt").write_text(result.stdout, encoding="utf-8")
    return folder


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


def test_the_demo_marks_every_score_as_synthetic(demo):
    output = (demo / "demo.txt").read_text(encoding="utf-8")
    assert output.count("SYNTHETIC") >= 5
    assert "PlaNet" not in output and "GeoMoE" not in output
    for picture in ("SYNTHETIC-im2gps.png", "SYNTHETIC-justzoomin.png"):
        assert (demo / "demo" / picture).stat().st_size > 10_000


def snippets(page: Path, folder: Path) -> tuple[str, list[str]]:
    """Return the Python code of a page and its blocks of commands.

    Code that begins with a comment such as `# model.py` is written to that file.
    """
    blocks = BLOCKS.findall(page.read_text(encoding="utf-8"))
    for _, code in blocks:
        if named := NAMED.match(code):
            (folder / named[1]).write_text(code, encoding="utf-8")
    python = (code for language, code in blocks if language == "python" and can_run(code))
    return "\n".join(python), [code for language, code in blocks if language == "bash"]


def can_run(code: str) -> bool:
    """Return whether torch, which is in no extra, is installed for a snippet that needs it."""
    return "torch" not in code or importlib.util.find_spec("torch") is not None


def test_every_snippet_of_the_readme_runs(demo):
    """As a reader would run them, with the commands that are installed."""
    python, commands = snippets(ROOT / "README.md", demo)
    (demo / "snippets.py").write_text(python, encoding="utf-8")
    run([sys.executable, "snippets.py"], demo)
    for code in commands:
        run(["bash", "-euc", code], demo)
    assert (demo / "report.html").exists()


@needs_fork
@pytest.mark.timeout(600)  # many commands
def test_every_snippet_of_the_other_pages_runs(demo):
    assert len(PAGES) >= 4
    seen = set(snippets(ROOT / "README.md", demo)[1])  # those have run
    with Forks(LIBRARIES) as forks:
        for page in PAGES:
            python, blocks = snippets(page, demo)
            done = forks.run(python, folder=demo)
            assert done.code == 0, (page, done.err)
            lines = [line for block in blocks if block not in seen for line in block.splitlines()]
            seen.update(blocks)
            for line in lines:
                done = forks.run(COMMAND, *installed(line), folder=demo)
                assert done.code == 0, (page, line, done.err)
    assert (demo / "miniature" / "justzoomin" / "archives").is_dir()


def installed(line: str) -> list[str]:
    """Return module, function and words of a command as its page has it."""
    name, *words = shlex.split(line)
    if [name, *words[:1]] == ["python", "-m"]:
        name, words = words[1], words[2:]
    module, _, function = SCRIPTS[name].partition(":")
    return [module, function, name, *words]
