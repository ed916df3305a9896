"""Everything that needs an optional library says in one line what to install."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.forked import Forks, needs_fork

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


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks(["datasets"]) as forks:
        yield forks


@needs_fork
@pytest.mark.parametrize(("library", "extra"), DOORS)
def test_a_missing_library_is_named_with_what_to_install(forks, city, tmp_path, library, extra):
    doors = DOORS[library, extra]
    done = forks.run(TRY, json.dumps([library, str(city), doors]), folder=tmp_path)
    assert done.code == 0, done.err
    said = [json.loads(line) for line in done.out.splitlines()]
    wanted = f"needs {library}: pip install 'im2gps-justzoomin[{extra}]'"
    assert len(said) == len(doors)
    for door, lines in zip(doors, said, strict=True):
        assert lines and wanted in lines[0], (door, lines)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".part", ".parts")]
