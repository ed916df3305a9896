"""`python app.py` when the page cannot start: a one-line error with advice, and a status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "gcd_metric" / "app.py"
WITHOUT = """import runpy, sys
sys.modules[sys.argv[1]] = None
runpy.run_path(sys.argv[2], run_name="__main__")
"""


def start(tmp_path, *arguments, **variables):
    """Start the page in a new process in another folder, and return its one-line error."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("module", ["gradio", "plotly"])
def test_a_missing_library_is_an_error_with_advice(tmp_path, module):
    pytest.importorskip("gradio")  # which would be named before plotly
    line = start(tmp_path, "-c", WITHOUT, module, APP)
    assert f"needs {module}" in line
    assert "pip install '.[space]'" in line and "-r requirements.txt" in line


def test_a_missing_folder_of_truths(tmp_path):
    line = start(tmp_path, APP, GCD_METRIC_REFERENCES=str(tmp_path / "nope"))
    assert f"GCD_METRIC_REFERENCES={tmp_path / 'nope'}" in line and "no such folder" in line
