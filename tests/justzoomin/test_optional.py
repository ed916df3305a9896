"""Everything that needs an optional library says in one line what to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = "next(iter(load_dataset('justzoomin', {!r}, data_dir=city, split='train', streaming=True)))"
DRAWING = [
    "justzoomin.TilePyramid(city)",
    "import justzoomin.tiles",
    "justzoomin.ZoomViews(city)",
    "justzoomin.render(city, 'views.tar')",
    "main(['render', '--data-dir', city])",
    "main(['preview', 'x.gif', '--data-dir', city])",
    *map(LOAD.format, ("zoom", "cells")),
]
READING = [*DRAWING, "main(['sample', 'x', '--tiles'])", LOAD.format("satellite")]
SHEET = "from justzoomin.preview import sheet; sheet([{'views': []}], 'x.png')"
DOORS = {
    ("cv2", "tiles"): DRAWING,
    ("pyproj", "tiles"): READING,
    ("webdataset", "all"): ["justzoomin.webdataset('train', data_dir=city)"],
    ("matplotlib", "report"): [SHEET],
}
# Prints, for each piece of code, what it ends with; `main` has printed its own line before.
TRY = """
import contextlib, io, json, sys
library, city, doors = json.loads(sys.argv[1])
sys.modules[library] = None
import justzoomin
from datasets import load_dataset
from justzoomin.cli import main
for door in doors:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            exec(door)
    except ImportError as error:
        print(error, file=said)
    except Exception as error:
        print(type(error), error, file=said)
    print(json.dumps(said.getvalue().strip().splitlines()[-1:]))
"""


@pytest.mark.parametrize(("library", "extra"), DOORS)
def test_a_missing_library_is_named_with_what_to_install(city, tmp_path, library, extra):
    doors = DOORS[library, extra]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", TRY, json.dumps([library, str(city), doors])], check=False,
        capture_output=True, text=True, timeout=170, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = f"needs {library}: pip install 'im2gps-justzoomin[{extra}]'"
    assert len(said) == len(doors)
    for door, lines in zip(doors, said, strict=True):
        assert lines and wanted in lines[0], (door, lines)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".part", ".parts")]
