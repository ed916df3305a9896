"""`python app.py` when the page cannot start: a one-line error with advice, and a status."""

from pathlib import Path

import pytest

from tests.support.forked import needs_fork
from tests.support.starts import start  # noqa: F401

APP = Path(__file__).parents[2] / "gcd_metric" / "app.py"

pytestmark = needs_fork


def only_line(done):
    """Return the one line that a page left."""
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    return line


@pytest.mark.parametrize("module", ["gradio", "plotly"])
def test_a_missing_library_is_an_error_with_advice(start, tmp_path, module):  # noqa: F811
    line = only_line(start(tmp_path, module, APP))
    assert f"needs {module}" in line
    assert "pip install '.[space]'" in line and "-r requirements.txt" in line


def test_a_missing_folder_of_truths(start, tmp_path):  # noqa: F811
    missing = tmp_path / "nope"
    line = only_line(start(tmp_path, APP, GCD_METRIC_REFERENCES=str(missing)))
    assert f"GCD_METRIC_REFERENCES={missing}" in line and "no such folder" in line
