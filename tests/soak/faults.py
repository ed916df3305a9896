"""The faults: each disturbs a run of a command and returns what is wrong with its result."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.soak.tasks import Task, World

_PATIENCE = 300
_SIZE = "1g"
# Fails at reading or writing files below a folder, after some bytes, as a disk that breaks does.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fails(int fd, size_t count, const char *what) {
    static __thread int inside;
    static long left = -1;
    const char *folder = getenv(what);
    char link[64], path[4096];
    if (!folder || inside) return 0;
    inside = 1;
    if (left < 0) left = atol(getenv("FAULT_AFTER"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    inside = 0;
    if (size < 0 || strncmp(path, folder, strlen(folder))) return 0;
    if ((left -= count) > 0) return 0;
    left = 0;
    errno = EIO;
    return 1;
}
#define HOOK(name, what, type, more, pass) \
    ssize_t name(int fd, type data, size_t count more) { \
        static ssize_t (*real)(int, type, size_t more); \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name); \
        return fails(fd, count, what) ? -1 : real(fd, data, count pass); }
#define C ,
HOOK(write, "FAULT_WRITE", const void *, , )
HOOK(pwrite64, "FAULT_WRITE", const void *, C off_t at, C at)
HOOK(read, "FAULT_READ", void *, , )
HOOK(pread64, "FAULT_READ", void *, C off_t at, C at)
"""


class Usual(NamedTuple):
    """A run without a fault: its files, their sizes, and the most bytes that it had written."""

    made: dict[str, str]
    sizes: dict[str, int]
    most: float


class Run(subprocess.Popen):
    """A command in a separate process group; its output goes into a file."""

    def __init__(
        self, command: list[str], environment: dict[str, str], handles: int | None
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - no pipe, as workers may outlive it

        def limit() -> None:
            if handles is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (handles, handles))

        super().__init__(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=self._log,
            start_new_session=True, preexec_fn=limit,
        )  # fmt: skip

    def said(self) -> str:
        """Return its stderr."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")


class Ground(NamedTuple):
    """Where a command runs: its task, folder and environment, and its undisturbed run."""

    task: Task
    out: Path
    environment: dict[str, str]
    usual: Usual
    random: Random
    world: World

    def start(self, handles: int | None = None, **environment: str) -> Run:
        """Start the command in a group of processes of its own."""
        return Run(self.task.command(self.out), {**self.environment, **environment}, handles)

    def end(self, run: Run) -> Outcome:
        """Wait for a command; return what is wrong with its end, and whether it was an error."""
        try:
            run.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            return [f"hung for {_PATIENCE} s"], True
        if run.returncode == 0 or self.task.python:
            return [], run.returncode != 0
        said = run.said()
        lines = [line for line in said.splitlines() if line.strip()]
        if "Traceback" in said or not lines or ": " not in lines[-1]:
            return [f"status {run.returncode}, and no line of its own:\n{said[-1500:]}"], True
        return [], True

    def wait_to_write(self, run: Run, share: float) -> int:
        """Wait until a share of the usual bytes is written; return the most bytes that were."""
        before, most = sum(self.state().values()), 0
        while run.poll() is None and most <= share * self.usual.most:
            time.sleep(0.005)
            most = max(most, sum(self.state().values()) - before)
        return most

    def state(self) -> dict[str, int]:
        """Return the size of each file, or for the Hub the bytes that arrived."""
        found = {"": sum(self.world.hub.received.values())}
        for folder, _, names in os.walk(self.out):
            for name in names:
                with contextlib.suppress(OSError):
                    found[f"{folder}/{name}"] = os.stat(f"{folder}/{name}").st_size
        return found


# What is wrong, and whether the fault took effect: a kill while the command wrote, else an error.
Outcome = tuple[list[str], bool]


def kill(ground: Ground) -> Outcome:
    """End the command and its workers with SIGKILL while it writes."""
    return _kill(ground, os.killpg)


def kill_parent(ground: Ground) -> Outcome:
    """End the command alone, without its workers."""
    return _kill(ground, os.kill)


def _kill(ground: Ground, end: Callable[[int, int], None]) -> Outcome:
    before = ground.state()
    run = ground.start()
    ground.wait_to_write(run, ground.random.random())
    alive = run.poll() is None
    with contextlib.suppress(ProcessLookupError):
        end(run.pid, signal.SIGKILL)
    run.wait()
    hit = alive and ground.state() != before
    problems: list[str] = []
    with contextlib.suppress(ProcessLookupError):
        for _ in range(50):
            os.killpg(run.pid, 0)
            time.sleep(0.1)
        problems.append("processes are left behind")
        os.killpg(run.pid, signal.SIGKILL)
    return problems, hit


def full_disk(ground: Ground) -> Outcome:
    """Leave room on the disk for only a part of the output."""
    room = _pages(ground.state()) + _pages(ground.usual.sizes) * ground.random.uniform(0.02, 0.9)
    _mount(ground.out, f"remount,size={int(room) + 1}k")
    outcome = ground.end(ground.start())
    _mount(ground.out, f"remount,size={_SIZE}")
    return outcome


def _pages(sizes: dict[str, int]) -> int:
    """Return how many KB files take on a disk of 4 KB pages."""
    return sum(-(-size // 4096) * 4 for size in sizes.values())


def read_only(ground: Ground) -> Outcome:
    """Forbid writing."""
    _mount(ground.out, "remount,ro")
    outcome = ground.end(ground.start())
    _mount(ground.out, "remount,rw")
    return outcome


def few_handles(ground: Ground) -> Outcome:
    """Let the command open few files."""
    return ground.end(ground.start(handles=ground.random.randrange(8, 40)))


def broken_disk(ground: Ground) -> Outcome:
    """Fail at reading or writing with EIO after some bytes."""
    what = ground.random.choice(("FAULT_WRITE", "FAULT_WRITE", "FAULT_READ"))
    after = str(1 + int(sum(ground.usual.sizes.values()) * ground.random.random()))
    folder = ground.out if what == "FAULT_WRITE" else ground.out.parents[1]
    shim = {"LD_PRELOAD": str(_shim()), what: str(folder), "FAULT_AFTER": after}
    return ground.end(ground.start(**shim))


def second_process(ground: Ground) -> Outcome:
    """Start the same command twice."""
    one = ground.start()
    if ground.random.random() < 0.5:
        ground.wait_to_write(one, ground.random.random())
    other = ground.start()
    outcomes = ground.end(one), ground.end(other)
    return outcomes[0][0] + outcomes[1][0], any(error for _, error in outcomes)


def links(ground: Ground) -> Outcome:
    """Swap folders for links to another place, and back, while the command writes."""
    outside = Path(tempfile.mkdtemp())
    run = ground.start()
    while run.poll() is None:
        path = ground.out / ground.random.choice(ground.task.folders)
        aside = path.with_name("aside")
        with contextlib.suppress(OSError):
            path.rename(aside)
            path.symlink_to(outside)
        time.sleep(ground.random.random() / 500)
        with contextlib.suppress(OSError):
            if path.is_symlink():
                path.unlink()
            aside.rename(path)
    problems, error = ground.end(run)
    strangers = sorted(path.name for path in outside.iterdir())
    shutil.rmtree(outside)
    shutil.rmtree(ground.out / "aside", ignore_errors=True)
    return problems + [f"written outside: {name}" for name in strangers[:3]], error


def busy_hub(ground: Ground) -> Outcome:
    """Let the Hub refuse requests, break connections, or send only half."""
    hub, random = ground.world.hub, ground.random
    for _ in range(random.randrange(1, 6)):
        if "publish-hub" in ground.out.name or random.random() < 0.5:
            suffix = random.choice(("create", "batch", "main", "preupload/main", ".tar", ".json"))
            method = random.choice(("GET", "POST", "PUT", "HEAD"))
            hub.fail(suffix, random.choice((429, 500, 502, 503, 504)), method=method)
        else:
            hub.drop(".tar", after=random.randrange(200_000), reset=random.random() < 0.5)
    outcome = ground.end(ground.start())
    hub._faults.clear()
    return outcome


def _mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[bool]:
    """Mount a disk in a folder if that is allowed; return whether."""
    folder.mkdir(parents=True)
    try:
        _mount(folder, f"size={_SIZE}")
        own = True
    except (OSError, subprocess.CalledProcessError):
        own = False
    try:
        yield own
    finally:
        if own:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _shim() -> Path:
    folder = Path(tempfile.gettempdir(), f"soak-shim-{os.getpid()}")
    library = folder / "shim.so"
    if not library.exists():
        folder.mkdir(exist_ok=True)
        (folder / "shim.c").write_text(_SHIM)
        source = str(folder / "shim.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library
