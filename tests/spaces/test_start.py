"""`python spaces/explorer/app.py` where it cannot start: one line that says what to do."""

import os
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parents[2] / "spaces" / "explorer" / "app.py"
WITHOUT = """import sys
sys.path.insert(0, sys.argv[1])
sys.modules["gradio"] = None
import app
sys.exit(app.main())
"""


def test_without_gradio_it_says_how_to_get_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(APP.parent)],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "needs gradio" in line
    assert "pip install '.[space]'" in line and "-r requirements.txt" in line
