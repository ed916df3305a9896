"""Make shards on the cores of this machine, or on a Ray or Spark cluster.

Each engine takes a job, the numbers of the shards to make and how many to make at once, and calls
`advance` with the number of rows that were finished since. The shards are the same on all engines.
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
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from geoload.messages import needed_for
from geoload.processes import core_count, exit_with_parent
from im2gps.building.shard import Job, try_shard

Advance = Callable[[int], Any]
Engine = Callable[[Job, "list[int]", "int | None", Advance], None]
_POLL = 0.5  # seconds
_CONTINUE = "Run the same command again to continue."


class BuildError(OSError):
    """A build cannot continue now. Finished shards stay, and the same command continues."""


def on_cores(job: Job, numbers: list[int], processes: int | None, advance: Advance) -> None:
    """Make shards in processes of this machine, by default one for each core."""
    processes = min(processes or core_count(), len(numbers))
    if processes == 1 and not _in_event_loop():
        for number in numbers:
            _check(try_shard(job, number, lambda: advance(1)))
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, context, _start_worker, (counter,))
    try:
        running = {pool.submit(try_shard, job, number, _count_row) for number in numbers}
        before = 0
        while running:
            done, running = wait(running, _POLL, FIRST_COMPLETED)
            for future in done:
                _check(future.result())
            now = counter.value
            advance(now - before)
            before = now
    except BaseException as error:
        # Without waiting for unfinished shards: they do not have their names yet.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
                process.join()
        if isinstance(error, BrokenProcessPool):
            raise BuildError(
                f"a worker process was killed, perhaps because memory ran out. {_CONTINUE} If "
                "memory is short, use fewer --processes."
            ) from None
        raise
    pool.shutdown()


def _in_event_loop() -> bool:
    """Return whether this is a notebook, where only another process can run an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _start_worker(counter: Any) -> None:
    """Count rows in a shared counter, ignore Ctrl-C, and end when the parent process ends."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


_counter: Any


def _count_row() -> None:
    with _counter.get_lock():
        _counter.value += 1


def on_ray(job: Job, numbers: list[int], processes: int | None, advance: Advance) -> None:
    """Make shards as Ray tasks, on the cluster that RAY_ADDRESS names or on this machine."""
    with needed_for("The engine ray", "ray"):
        ray = importlib.import_module("ray")
    started = not ray.is_initialized()
    if started:
        _start("Ray", ray.init)
    task = ray.remote(_remote_shard)
    running: list[Any] = []

    def run(number: int) -> tuple[int, str]:
        running.append(task.remote(job, number))
        result: tuple[int, str] = ray.get(running[-1])
        return result

    def cancel() -> None:
        for reference in running:
            ray.cancel(reference)

    threads = processes or 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    try:
        _on_cluster("Ray", run, cancel, numbers, threads, advance)
    finally:
        if started:
            ray.shutdown()


def on_spark(job: Job, numbers: list[int], processes: int | None, advance: Advance) -> None:
    """Make shards in jobs of the Spark application that is running, or of one on this machine."""
    with needed_for("The engine spark", "spark"):
        pyspark = importlib.import_module("pyspark")
    # Otherwise workers on this machine would use the first Python on the PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    context = _start("Spark", pyspark.SparkContext.getOrCreate)
    group = f"im2gps-{os.getpid()}"

    def run(number: int) -> tuple[int, str]:
        context.setJobGroup(group, f"im2gps build {job.folder}", interruptOnCancel=True)
        shard = functools.partial(_remote_shard, job)
        result: tuple[int, str] = context.parallelize([number], 1).map(shard).collect()[0]
        return result

    threads = processes or 2 * context.defaultParallelism
    _on_cluster("Spark", run, lambda: context.cancelJobGroup(group), numbers, threads, advance)


def _on_cluster(
    name: str, run: Callable[[int], tuple[int, str]], cancel: Callable[[], None],
    numbers: list[int], threads: int, advance: Advance,
) -> None:  # fmt: skip
    """Run each shard in a thread that waits for the cluster; cancel the others after an error."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in as_completed([pool.submit(run, number) for number in numbers]):
                if (error := done.exception()) is not None:
                    raise BuildError(f"{name} failed ({_summary(error)}). {_CONTINUE}") from error
                rows, message = done.result()
                _check(message)
                advance(rows)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            cancel()
            raise


def _remote_shard(job: Job, number: int) -> tuple[int, str]:
    """Make a shard; return how many rows were finished, and what went wrong on which machine."""
    rows = itertools.count()
    message = try_shard(job, number, lambda: next(rows))
    return next(rows), message and f"{message} (on {socket.gethostname()})"


def _start(name: str, start: Callable[[], Any]) -> Any:
    try:
        return start()
    except Exception as error:  # the libraries' errors have no common base
        raise BuildError(f"{name} cannot be started ({_summary(error)})") from error


def _check(message: str) -> None:
    if message:
        raise BuildError(message)


def _summary(error: BaseException) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"


ENGINES: dict[str, Engine] = {"local": on_cores, "ray": on_ray, "spark": on_spark}
