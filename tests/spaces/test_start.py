"""`python spaces/explorer/app.py` when it cannot start: a one-line error with advice."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "spaces" / "explorer" / "app.py"
WITHOUT = """import sys
sys.path.insert(0, sys.argv[1])
sys.modules["gradio"] = None
import app
sys.exit(app.main())
"""


def test_missing_gradio_is_an_error_with_advice(tmp_path):
    line = start(tmp_path, "-c", WITHOUT, APP.parent)
    assert "needs gradio" in line
    assert "pip install '.[space]'" in line and "-r requirements.txt" in line


@pytest.mark.parametrize(
    ("variable", "file", "lacking"),
    [
        ("JUSTZOOMIN_REPO", "gps_query_imgs.zip", "metadata/large_area_val_map.csv"),
        ("IM2GPS_REPO", "metadata/large_area_val_map.csv", "gps_query_imgs.zip"),
    ],
)
def test_a_folder_of_another_data_set(tmp_path, variable, file, lacking):
    pytest.importorskip("gradio")
    path = tmp_path / "data" / file
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"")
    line = start(tmp_path, APP, **{variable: str(tmp_path / "data")})
    assert f"{variable}={tmp_path / 'data'}" in line and lacking in line


def start(tmp_path, *arguments, **variables):
    """Start the page in a new process in another folder, and return its one-line error."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "EXPLORER_FOLDER": str(tmp_path / "made"), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.splitlines()  # on a slow machine after a progress bar
    return line
