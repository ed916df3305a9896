"""Fuzz the parsers: mutate the corpus, keep what reaches new lines of ours, say what goes wrong.

Each target runs in a process of its own, so a crash or a hang of a C library is a finding too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.mutate import mutate

CPU_SECONDS = 5  # that one input may take
MEGABYTES = 400  # by which one input may let the process grow
TRIES = 300  # to make a finding smaller
CORPUS = Path(__file__).parent / "corpus"
_ROOT = f"{Path(__file__).parents[2]}/"
_PACKAGES = ("geoload", "im2gps", "justzoomin", "gcd_metric", "geo_attributes")
_OURS = tuple(f"{_ROOT}{name}/" for name in _PACKAGES)


class Hang(BaseException):
    """An input that takes too long; no `except Exception` may swallow it."""


class Coverage:
    """A function for `sys.settrace` that notices lines of our packages not reached before."""

    def __init__(self) -> None:
        self._seen: set[tuple[CodeType, int]] = set()
        self._foreign: set[CodeType] = set()
        self.new = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code in self._foreign:
            return None
        if frame.f_code.co_filename.startswith(_OURS):
            return self._line
        return self._foreign.add(frame.f_code)

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        place = frame.f_code, frame.f_lineno
        if place not in self._seen:
            self._seen.add(place)
            self.new = True
        return self._line


def corpus(name: str) -> list[bytes]:
    """Return the inputs of a target's corpus, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def fault(target: Any, data: bytes) -> tuple[str, str, str] | None:
    """Run one input; return what goes wrong, the place in our code, and the traceback, or None."""
    before = _peak()
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        target.check(data)
    except (Exception, Hang) as error:
        signal.setitimer(signal.ITIMER_PROF, 0)
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if f.filename.startswith(_OURS)), frames[-1])
        said = " ".join(str(error)[:150].split())
        account = "".join(traceback.format_exception(error, limit=-8))[-3000:]
        where = f"{place.filename.removeprefix(_ROOT)}:{place.lineno}"
        return f"{type(error).__name__}: {said}", where, account
    signal.setitimer(signal.ITIMER_PROF, 0)
    if _peak() - before > MEGABYTES:
        return f"memory: {_peak() - before} MB more", "", ""
    return None


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def kind(found: tuple[str, str, str]) -> tuple[str, str]:
    """Return what findings of one kind share: the error or start of an assertion, and the line."""
    return found[0][:24] if found[0].startswith("Assert") else found[0].partition(":")[0], found[1]


def smaller(target: Any, data: bytes, found: tuple[str, str, str]) -> bytes:
    """Shorten a finding while the same error occurs."""
    tries, size = 0, len(data) // 2
    while size and not found[0].startswith(("Hang", "memory")):
        at = 0
        while at < len(data) and (tries := tries + 1) < TRIES:
            less = data[:at] + data[at + size :]
            again = fault(target, less)
            if again is not None and kind(again) == kind(found):
                data = less
            else:
                at += size
        size //= 2
    return data


def fuzz(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Fuzz one target for some seconds, and return a summary."""
    from tests.fuzz.targets import TARGETS

    target, random, coverage = TARGETS[name], Random(f"{options.seed} {name}"), Coverage()
    folder, waiting = options.out, corpus(name)
    current = folder / f"{name}-current"
    pool: list[bytes] = []
    findings: dict[tuple[str, str], str] = {}
    inputs, slowest, end = 0, 0.0, time.monotonic() + options.seconds
    while waiting or (inputs < options.inputs and time.monotonic() < end):
        given = bool(waiting)
        data = waiting.pop() if given else target.repair(mutate(random.choice(pool), pool, random))
        current.write_bytes(data)  # to find the input if this process dies
        start, coverage.new = time.process_time(), False
        sys.settrace(coverage)
        found = fault(target, data)
        sys.settrace(None)
        inputs, slowest = inputs + 1, max(slowest, time.process_time() - start)
        if given or (coverage.new and found is None):
            pool.append(data)
        if found is not None and kind(found) not in findings:
            again = _save(folder, name, smaller(target, data, found))
            findings[kind(found)] = f"{found[0]} at {found[1]}\n    {again}"
            print(found[2], file=sys.stderr)
    current.unlink()
    said = list(findings.values())
    return {"inputs": inputs, "findings": said, "slowest": slowest, "peak": _peak()}


def _save(folder: Path, name: str, data: bytes) -> str:
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    return f"python -m tests.fuzz --file {path}"


def child(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Fuzz one target in another process; its death is a finding."""
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--out", str(options.out)]
    for option in ("seconds", "seed", "inputs"):
        command += [f"--{option}", str(getattr(options, option))]
    # one seed, one row of inputs: sets of text have the same order in every run
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with (options.out / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        try:
            said, _ = process.communicate(timeout=4 * options.seconds + 240)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    if process.returncode == 0:
        return json.loads(said.splitlines()[-1])
    current = options.out / f"{name}-current"
    again = _save(options.out, name, current.read_bytes()) if current.exists() else log.name
    finding = f"the process ended with status {process.returncode}\n    {again}"
    return {"inputs": 0, "findings": [finding], "slowest": 0, "peak": 0}


def _too_long(number: int, frame: object) -> None:
    raise Hang(f"more than {CPU_SECONDS} s of CPU")


def main() -> int:
    """Run the command; return 1 if something was found."""
    names = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each target (60)")
    parser.add_argument(
        "--inputs", type=int, default=sys.maxsize, help="at most, of each target (no limit)"
    )
    parser.add_argument("--targets", default="", help=f"some of {','.join(names)} (all)")
    parser.add_argument("--seed", type=int, default=0, help="another one, other inputs (0)")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="for findings")
    parser.add_argument("--file", type=Path, help="run one finding again")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = options.targets.split(",") if options.targets else names
    if unknown := set(chosen) - set(names):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    warnings.simplefilter("ignore")
    logging.disable()
    signal.signal(signal.SIGPROF, _too_long)
    if options.file:
        from tests.fuzz.targets import TARGETS

        found = fault(TARGETS[options.file.name.partition("-")[0]], options.file.read_bytes())
        print(*(found or ["nothing goes wrong"]), sep="\n")
        return found is not None
    options.out.mkdir(parents=True, exist_ok=True)
    if options.one:
        print(json.dumps(fuzz(options.one, options)))
        return 0
    print(f"{options.seconds:g} s for each of {len(chosen)} targets, seed {options.seed}")
    print(f"{'target':20} {'inputs':>9} {'findings':>9} {'slowest s':>10} {'peak MB':>8}")
    total = 0
    with ThreadPoolExecutor(2) as pool:
        for name, said in zip(chosen, pool.map(lambda n: child(n, options), chosen), strict=True):
            count, total = len(said["findings"]), total + len(said["findings"])
            figures = f"{said['inputs']:9,} {count:9} {said['slowest']:10.2f} {said['peak']:8,}"
            print(f"{name:20} {figures}", *said["findings"], sep="\n  ", flush=True)
    print(f"findings: {total}" + (f", in {options.out}" if total else ""))
    return total > 0


if __name__ == "__main__":
    sys.exit(main())
