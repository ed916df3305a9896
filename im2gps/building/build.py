"""`im2gps build`: from a list of photos to shards, in one command that can be stopped.

This module plans and reports; `shard.py` makes one shard, `engines.py` says where.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from geoload.files import sha256
from geoload.report import read_json, write_json
from im2gps.building import missing
from im2gps.training import find_shards

if TYPE_CHECKING:
    from im2gps.building.shard import Job

SHARD_SIZE = 1000
MANIFEST = "build.json"
REPORT = "report.json"
PACKAGES = {"local": "simplejpeg", "ray": "ray", "spark": "pyspark"}
_SUMS = ("rows", "photos", "recoded", "alike", "bytes", "requests", "retries", "bytes received")
# What `shard.py` writes to, and what `write_json` does for the files of this folder.
_PART = re.compile(
    r"im2gps-[0-9]{5,}\.[0-9a-f]{12}(\.rest)?\.part"
    r"|\.(im2gps-[0-9]{5,}|build|report)\.json\.[0-9a-f]{8}\.part"
)
_log = logging.getLogger(__name__)


def build(
    table: str | os.PathLike,
    output: str | os.PathLike,
    engine: str = "local",
    shard_size: int = SHARD_SIZE,
    processes: int | None = None,
    again: bool = False,
    **manners: Any,
) -> dict[str, Any]:
    """Fetch the photos of a list into shards that `load_dataset("im2gps", data_dir=…)` reads.

    Stopped and run again with the same list and shard size it goes on with the shards that are
    not there; when all are there it does nothing.

    Parameters
    ----------
    table : path
        The Parquet table that `im2gps lists` writes.
    output : path
        Folder for the shards; made if need be. On a cluster all machines must see both paths.
    engine : str
        "local", "ray" or "spark".
    shard_size : int
        Rows of the list to a shard.
    processes : int, optional
        Shards in the making at once. None is one for each core of this machine, or as many as the
        cluster takes.
    again : bool
        Ask again for photos that had no proper answer, in shards that are there already.
    **manners
        `host`, `concurrency`, `rate`, `tries`, `backoff`, `patience`: see
        `im2gps.building.fetch.Manners`.

    Returns
    -------
    dict
        What `report.json` in the folder holds: `rows`, `photos`, `missing` by reason, and more.

    Raises
    ------
    ValueError
        When the list cannot be read, or an option makes no sense.
    BuildError
        When the folder belongs to another list, another build is at it, or the host is away.
    ImportError
        When the packages of the extra are not there.
    """
    _require("simplejpeg", "build")
    _require(PACKAGES[engine], engine)
    from im2gps.building.engines import ENGINES
    from im2gps.building.fetch import Manners
    from im2gps.building.partition import count_rows
    from im2gps.building.shard import Job

    manners = {name: value for name, value in manners.items() if value is not None}
    table, output = (os.path.abspath(os.path.expanduser(path)) for path in (table, output))
    _check_positive(shard_size=shard_size, processes=processes, **manners)
    manners["host"] = _origin(manners.get("host", Manners.host))
    rows = count_rows(table)
    if not rows:
        raise ValueError(f"{table} holds no photos")
    job = Job(table, output, shard_size, Manners(**manners), again)
    numbers = range(-(-rows // shard_size))
    os.makedirs(output, exist_ok=True)
    with _alone(output):
        _check_manifest(job, rows)
        _sweep(output)
        todo = [number for number in numbers if _is_due(job, number)]
        if todo:
            done = rows - sum(_rows_of(rows, shard_size, number) for number in todo)
            try:
                with _bar(rows, done) as bar:
                    ENGINES[engine](job, todo, processes, bar.update)
            finally:
                _sweep(output)
        return _report(job, numbers)


def _require(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"This needs {package}: pip install 'im2gps-justzoomin[{extra}]'")


def _check_positive(**options: Any) -> None:
    for name, value in options.items():
        least = 0 if name in ("rate", "backoff", "patience") else 1
        if isinstance(value, (int, float)) and not value >= least:
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be at least {least}")


def _origin(host: str) -> str:
    """Return scheme, name and port of the photo host; there is nothing else to it."""
    parts = urlsplit(host.rstrip("/"))
    origin = f"{parts.scheme}://{parts.netloc}"
    named = parts.hostname and "@" not in origin
    if parts.scheme not in ("http", "https") or not named or host.rstrip("/") != origin:
        raise ValueError(f"--photo-host {host}: should be like https://live.staticflickr.com")
    return origin


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Keep other builds away from the folder; the lock goes with the process, however it ends."""
    import filelock

    from im2gps.building.engines import BuildError

    lock = filelock.FileLock(os.path.join(folder, ".build.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BuildError(f"another build is writing to {folder}: wait for it, or stop it") from None
    except NotImplementedError:
        _log.warning("%s: no locks on this file system; run one build at a time.", folder)
    try:
        yield
    finally:
        lock.release()


def _check_manifest(job: Job, rows: int) -> None:
    """Refuse a folder that was begun with another list, or cut into other shards."""
    from im2gps.building.engines import BuildError

    path = Path(job.folder, MANIFEST)
    manifest = {
        "list": sha256(job.table),  # a list by another name, or elsewhere, is the same
        "rows": rows,
        "shard_size": job.shard_size,
        "photo_host": job.manners.host,
    }
    if not path.exists():
        strangers = find_shards(job.folder)
        if strangers:
            raise BuildError(
                f"{job.folder} holds shards ({Path(strangers[0]).name}, …) but no {MANIFEST}, so "
                "it cannot be told what they are of: give another folder"
            )
        write_json(path, manifest)
        return
    before = read_json(path)
    for name, value in manifest.items():
        if before.get(name) != value:
            what = "another list" if name in ("list", "rows") else f"{name} {before.get(name)}"
            raise BuildError(
                f"{job.folder} was begun with {what}. Go on with that, or give another folder; "
                "for new photos a list and a folder of their own"
            )


def _sweep(folder: str) -> None:
    """Remove what a build that was killed had begun to write, and nothing else."""
    for entry in os.scandir(folder):
        if _PART.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            Path(entry).unlink(missing_ok=True)


def _is_due(job: Job, number: int) -> bool:
    found = job.finished(number)
    if not found and job.shard(number).exists() and job.statistics(number).exists():
        _log.warning("%s is not as it was written: it is made again.", job.shard(number))
    return not found or (job.again and any(map(missing.may_mend, found["missing"])))


def _rows_of(rows: int, shard_size: int, number: int) -> int:
    return min(shard_size, rows - number * shard_size)


def _bar(total: int, done: int) -> tqdm:
    seldom = 0.1 if sys.stderr.isatty() else 30
    return tqdm(
        total=total, initial=done, desc="im2gps build", unit="photo",
        mininterval=seldom, maxinterval=max(10, seldom),
    )  # fmt: skip


def _report(job: Job, numbers: range) -> dict[str, Any]:
    """Add up the shards' statistics, and write them down where they are news."""
    from im2gps.building.engines import BuildError

    sums: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    seconds = 0.0
    for number in numbers:
        statistics = job.finished(number)
        if statistics is None:
            raise BuildError(f"{job.shard(number)} is gone again: run the same command once more")
        sums.update({name: statistics[name] for name in _SUMS})
        sizes.update(statistics["sizes"])
        lost.update({reason: len(ids) for reason, ids in statistics["missing"].items()})
        seconds += statistics["seconds"]
    report = {
        **{name: sums[name] for name in _SUMS},
        "shards": len(numbers),
        "process seconds": round(seconds, 1),
        "sizes": dict(sizes.most_common()),
        "missing": dict(lost.most_common()),
    }
    path = Path(job.folder, REPORT)
    with contextlib.suppress(FileNotFoundError, ValueError):
        if read_json(path) == report:
            return report
    write_json(path, report)
    return report
