"""Measures how long imports, commands and the snippets of the README take to say something.

Each is a new process, so that nothing is imported before. CPU seconds depend little on what else
runs on the machine; seconds to the first line of output are what a user waits. Other programs only
make a start slower, so the faster one of two is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import QUICK

RUNS = 1 if QUICK else 2
IMPORTS = (
    "import gcd_metric", "import im2gps", "import justzoomin", "import geo_attributes",
    "import datasets", "import evaluate", "import justzoomin.torch",
    "from justzoomin import open_views", "from gcd_metric import plot",
)  # fmt: skip
# The packages are imported first, as in the README.
SNIPPETS = {
    'load_dataset("im2gps"), one photo': """
import im2gps
from datasets import load_dataset
rows = load_dataset("im2gps", data_dir="im2gps", split="test", streaming=True)
print(next(iter(rows))["image_id"])""",
    'load_dataset("justzoomin"), one photo': """
import justzoomin
from datasets import load_dataset
rows = load_dataset("justzoomin", data_dir="zoom", split="validation", streaming=True)
print(next(iter(rows))["image_id"])""",
    'evaluate.load("gcd_metric").compute': """
import gcd_metric, evaluate
metric = evaluate.load("gcd_metric", "im2gps")
print(metric.compute(predictions=[[48.9, 2.3]], references=[[48.8, 2.4]]))""",
}
COMMANDS = (
    "im2gps --help", "im2gps lists im2gps/lists -o table.parquet", "im2gps coverage table.parquet",
    "justzoomin --help", "justzoomin audit --data-dir zoom",
    "justzoomin preview --data-dir zoom preview.png",  # fails: there are no tiles
    "justzoomin verify zoom", "gcd-metric --help", "gcd-metric truth.csv truth.csv",
    "geoeval --help",
)  # fmt: skip


def main() -> None:
    """Write the miniatures, and print one line for each start."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        print(f"CPU seconds, and seconds to the first line of output; the least of {RUNS}")
        for text in IMPORTS:
            show(text, [sys.executable, "-c", f"{text}\nprint()"], folder)
        for name, text in SNIPPETS.items():
            show(name, [sys.executable, "-c", text], folder)
        for command in COMMANDS:
            program, *arguments = command.split()
            module = program.replace("-", "_")
            show(command, [sys.executable, "-m", module, *arguments], folder)


def write(folder: Path) -> None:
    """Write the files that the snippets and commands read."""
    for program, arguments in (
        ("im2gps", "sample im2gps --lists 1000"),
        ("justzoomin", "sample zoom"),
    ):
        command = [sys.executable, "-m", program, *arguments.split()]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=variables())
    lines = [f"{number},{number / 10},{number}" for number in range(100)]
    text = "\n".join(["image_id,latitude,longitude", *lines])
    (folder / "truth.csv").write_text(text, encoding="utf-8")


def variables() -> dict[str, str]:
    """Return the environment of the processes, which run in another folder."""
    here = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": here, "HF_HUB_OFFLINE": "1"}


def show(name: str, command: list[str], folder: str) -> None:
    cores, first = map(min, zip(*(start(command, folder) for _ in range(RUNS)), strict=True))
    print(f"  {cores:5.2f}  {first:5.2f}  {name}", flush=True)


def start(command: list[str], folder: str) -> tuple[float, float]:
    """Run a command, and return its CPU seconds and the seconds to its first line."""
    begin = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter() - begin
        process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # collected here, where its times are known
    return usage.ru_utime + usage.ru_stime, first


if __name__ == "__main__":
    main()
