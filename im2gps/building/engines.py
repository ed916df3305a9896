"""Where shards are made: on this machine's cores, or on a cluster that is there.

Each engine takes a job, the numbers of its partitions and how many of them to be at at once, and
says how many more rows are through, time and again. The shards are the same on all of them.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import itertools
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from geoload.workers import die_with_parent
from im2gps.building.shard import Job, outcome

Advance = Callable[[int], Any]
Engine = Callable[[Job, list[int], "int | None", Advance], None]
_POLL = 0.5  # seconds
_GO_ON = "Run the same command again: it goes on where it was."


class BuildError(OSError):
    """A build that cannot go on now; what it has made stays, and the same command goes on."""


def on_cores(job: Job, numbers: list[int], processes: int | None, advance: Advance) -> None:
    """Make shards in processes of this machine, by default one for each core."""
    processes = min(processes or _cores(), len(numbers))
    if processes == 1 and not _in_event_loop():
        for number in numbers:
            _raise(outcome(job, number, lambda: advance(1)))
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    strangers = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, context, _start, (counter,))
    try:
        _follow({pool.submit(outcome, job, n, _count) for n in numbers}, counter, advance)
    except BaseException as error:
        # Not waiting for the shards under way: what is not whole is not there.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in strangers:
                process.terminate()
                process.join()
        if isinstance(error, BrokenProcessPool):
            raise BuildError(
                f"a worker process was killed, perhaps because memory ran out. {_GO_ON} With fewer "
                "--processes, if that was it."
            ) from None
        raise
    pool.shutdown()


def _cores() -> int:
    """Return how many cores are ours: on a cluster's node often not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_event_loop() -> bool:
    """Tell whether a notebook calls us: there, only another process can run a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _follow(running: set[Future[str]], counter: Any, advance: Advance) -> None:
    before = 0
    while running:
        done, running = wait(running, _POLL, FIRST_COMPLETED)
        for future in done:
            _raise(future.result())
        now = counter.value
        advance(now - before)
        before = now


def _start(counter: Any) -> None:
    """Make a new worker count rows, leave Ctrl-C to its parent, and not outlive it."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


_counter: Any


def _count() -> None:
    with _counter.get_lock():
        _counter.value += 1


def on_ray(job: Job, numbers: list[int], processes: int | None, advance: Advance) -> None:
    """Make shards as Ray tasks, on the cluster that RAY_ADDRESS names or on this machine."""
    ray = importlib.import_module("ray")
    started = not ray.is_initialized()
    if started:
        _begin("Ray", ray.init)
    task = ray.remote(_shard)
    limit = processes or 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    todo = iter(numbers)
    running: list[Any] = []
    try:
        while True:
            running += [task.remote(job, n) for n in itertools.islice(todo, limit - len(running))]
            if not running:
                return
            done, running = ray.wait(running)
            for rows, trouble in ray.get(done):
                _raise(trouble)
                advance(rows)
    except ray.exceptions.RayError as error:
        raise BuildError(f"Ray gave up ({_first_line(error)}). {_GO_ON}") from error
    finally:
        for left in running:
            ray.cancel(left)
        if started:
            ray.shutdown()


def on_spark(job: Job, numbers: list[int], processes: int | None, advance: Advance) -> None:
    """Make shards in jobs of the Spark application that is running, or of one on this machine."""
    # Or workers on this machine would be whichever Python comes first on the PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    context = _begin("Spark", importlib.import_module("pyspark").SparkContext.getOrCreate)
    group = f"im2gps-{os.getpid()}"

    def run(number: int) -> tuple[int, str]:
        # A job for each shard, and not one for all: it says at once when it is through.
        context.setJobGroup(group, f"im2gps build {job.folder}", interruptOnCancel=True)
        return context.parallelize([number], 1).map(functools.partial(_shard, job)).collect()[0]

    with ThreadPoolExecutor(processes or 2 * context.defaultParallelism) as threads:
        try:
            for done in as_completed([threads.submit(run, number) for number in numbers]):
                if (error := done.exception()) is not None:
                    raise BuildError(f"Spark gave up ({_first_line(error)}). {_GO_ON}") from error
                rows, trouble = done.result()
                _raise(trouble)
                advance(rows)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            context.cancelJobGroup(group)
            raise


def _shard(job: Job, number: int) -> tuple[int, str]:
    """Make a shard; return how many rows are through, and what went wrong on which machine."""
    rows = itertools.count()
    trouble = outcome(job, number, lambda: next(rows))
    return next(rows), trouble and f"{trouble} (on {socket.gethostname()})"


def _begin(name: str, start: Callable[[], Any]) -> Any:
    """Start an engine, or say in one line that it does not."""
    try:
        return start()
    except Exception as error:  # of any class: they have no base of their own
        raise BuildError(f"{name} does not start here ({_first_line(error)})") from error


def _raise(trouble: str) -> None:
    if trouble:
        raise BuildError(trouble)


def _first_line(error: BaseException) -> str:
    said = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {said}"


ENGINES: dict[str, Engine] = {"local": on_cores, "ray": on_ray, "spark": on_spark}
