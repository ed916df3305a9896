"""`python spaces/explorer/app.py` when it cannot start: a one-line error with advice."""

import zipfile
from pathlib import Path

import pytest

from tests.support.forked import needs_fork
from tests.support.starts import start  # noqa: F401

APP = Path(__file__).parents[2] / "spaces" / "explorer" / "app.py"

pytestmark = needs_fork


def last_line(done):
    """Return the line that a page left, on a slow machine behind a progress bar."""
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    return done.err.splitlines()[-1]


def test_missing_gradio_is_an_error_with_advice(start, tmp_path):  # noqa: F811
    line = last_line(start(tmp_path, "gradio", APP))
    assert "needs gradio" in line
    assert "pip install '.[space]'" in line and "-r requirements.txt" in line


@pytest.mark.parametrize(
    ("variable", "file", "lacking"),
    [
        ("JUSTZOOMIN_REPO", "gps_query_imgs.zip", "metadata/large_area_val_map.csv"),
        ("IM2GPS_REPO", "metadata/large_area_val_map.csv", "gps_query_imgs.zip"),
    ],
)
def test_a_folder_of_another_data_set(start, tmp_path, packs, zoom, variable, file, lacking):  # noqa: F811
    path = tmp_path / "data" / file
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"")
    # The other data set has a folder, too, so that no miniature is written.
    folders = {"IM2GPS_REPO": packs, "JUSTZOOMIN_REPO": zoom, variable: tmp_path / "data"}
    variables = {name: str(folder) for name, folder in folders.items()}
    line = last_line(start(tmp_path, APP, **variables))
    assert f"{variable}={tmp_path / 'data'}" in line and lacking in line
