"""Runs the snippets of the README and of docs/ in a folder where `make demo` has run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.compile(r"^```(python|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)


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


def can_run(code: str) -> bool:
    """Return whether torch, which is in no extra, is installed for a snippet that needs it."""
    return "torch" not in code or importlib.util.find_spec("torch") is not None


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.timeout(600)  # each command imports its libraries
def test_every_snippet_runs(demo):
    assert len(PAGES) >= 4
    for page in PAGES:
        blocks = BLOCKS.findall(page.read_text(encoding="utf-8"))
        python = "\n".join(
            code for language, code in blocks if language == "python" and can_run(code)
        )
        (demo / "snippets.py").write_text(python, encoding="utf-8")
        run([sys.executable, "snippets.py"], demo)
        for language, code in blocks:
            if language == "bash":
                run(["bash", "-euc", code], demo)
    assert (demo / "report.html").exists()
    assert (demo / "miniature" / "justzoomin" / "archives").is_dir()
