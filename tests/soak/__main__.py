"""Disturb commands while they write, run them again, and compare what they made with the usual.

Of each round: one fault, then the same command undisturbed. Wrong is: other bytes than those of an
undisturbed run, files left over, a traceback, no word of the reason, something written outside.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.soak import faults
from tests.soak.faults import Ground, Usual, disk
from tests.soak.tasks import Task, World

ANYWHERE = [faults.kill, faults.kill, faults.kill_parent, faults.few_handles, faults.second_process]
FIGURES = ("kills", "hit writing", "other faults", "errors", "with differences")
ON_A_DISK = [faults.full_disk, faults.read_only]


def usual(task: Task, name: str, folder: Path, world: World) -> Usual:
    """Run a task without a fault."""
    out = folder / f"{name}-usual"
    out.mkdir(parents=True)
    task.begin(out)
    ground = Ground(task, out, world.environment, Usual({}, {}, math.inf), Random(), world)
    before = ground.state()
    run = ground.start()
    most = ground.wait_to_write(run, share=1)
    problems, _ = ground.end(run)
    if problems or run.returncode:
        raise RuntimeError(f"{name} fails undisturbed: {problems or run.said()}")
    sizes = {path: size for path, size in ground.state().items() if path and path not in before}
    found = Usual(task.look(out), sizes, most)
    shutil.rmtree(out)
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return in which files two runs differ."""
    kinds = {"missing": expected.keys() - found.keys(), "left over": found.keys() - expected.keys()}
    kinds["other bytes"] = {n for n in expected.keys() & found.keys() if expected[n] != found[n]}
    return [f"{kind}: {', '.join(sorted(names)[:5])}" for kind, names in kinds.items() if names]


def kinds_of(task: Task, name: str, own_disk: bool) -> list:
    """Return the faults that are possible here and apply to a task."""
    kinds = ANYWHERE + (ON_A_DISK if own_disk else [])
    if shutil.which("gcc"):
        kinds = [*kinds, faults.broken_disk]
    if task.folders:
        kinds = [*kinds, faults.links]
    return [faults.busy_hub, faults.busy_hub, *kinds] if "hub" in name else kinds


def rounds(task: Task, name: str, options: argparse.Namespace, world: World) -> Counter[str]:
    """Run a task with faults; return how often each outcome occurred."""
    folder, random = options.folder / "out", Random(f"{options.seed} {name}")
    expected = usual(task, name, folder, world)
    counts: Counter[str] = Counter()
    for number in range(options.rounds):
        out = folder / f"{name}-{number}"
        with disk(out) as own_disk:
            kinds = kinds_of(task, name, own_disk)
            fault = kinds[number % len(kinds)]
            task.begin(out)
            ground = Ground(task, out, world.environment, expected, random, world)
            problems, hit = fault(ground)
            run = ground.start()
            problems += ground.end(run)[0]
            if run.returncode:
                problems.append(f"the second run ends with status {run.returncode}")
            else:
                problems += differences(expected.made, task.look(out))
        shutil.rmtree(out)
        kill = fault in (faults.kill, faults.kill_parent)
        counts["kills" if kill else "other faults"] += 1
        counts["hit writing" if kill else "errors"] += hit
        counts["with differences"] += bool(problems)
        for problem in problems:
            print(f"  {name}, round {number}, {fault.__name__}: {problem}", flush=True)
    return counts


def main() -> int:
    """Run the command; return 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=16, help="of each target (16)")
    parser.add_argument("--targets", default="", help="names with commas (all)")
    parser.add_argument("--seed", type=int, default=0, help="another one, other moments (0)")
    parser.add_argument("--minutes", type=float, default=60, help="begin no target after them (60)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    within = ["unshare", "--map-root-user", "--mount"]
    if not options.inside and shutil.which(within[0]):
        if subprocess.run([*within, "true"], check=False).returncode == 0:
            os.execvp(
                within[0], [*within, sys.executable, "-m", "tests.soak", "--inside", *sys.argv[1:]]
            )
        print("No mounting here: no full disk and no read-only one.")
    if not shutil.which("gcc"):
        print("No gcc here: no disk that breaks (EIO).")
    end, bad = time.monotonic() + 60 * options.minutes, 0
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        options.folder = Path(name)
        with World(options.folder) as world:
            tasks = world.tasks()
            chosen = options.targets.split(",") if options.targets else list(tasks)
            if unknown := set(chosen) - set(tasks):
                parser.error(f"no target {', '.join(unknown)}; there are {', '.join(tasks)}")
            print(f"seed {options.seed}\n{'target':14}", *FIGURES)
            for target in chosen:
                if time.monotonic() > end:
                    print(f"{target:14} not begun: the time is over")
                    continue
                counts = rounds(tasks[target], target, options, world)
                bad += counts["with differences"]
                print(
                    f"{target:14}", *(f"{counts[name]:{len(name)}}" for name in FIGURES), flush=True
                )
    print(f"rounds with differences: {bad}")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
