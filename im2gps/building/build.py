"""The command `im2gps build`: from a table of photos to shards.

This module plans and reports; `engines.py` runs the work, and `shard.py` makes one shard.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tabulate import tabulate

from gcd_metric.names import counted
from geoload.files import file_lock, read_json, sha256, write_json
from geoload.messages import format_bytes, progress_bar
from im2gps import exclusions
from im2gps.building import missing
from im2gps.building.engines import ENGINES, BuildError
from im2gps.building.fetch import PHOTO_HOST
from im2gps.building.shard import Job
from im2gps.flickr.http import RequestPolicy
from im2gps.photo_table import open_table
from im2gps.training import find_shards

SHARD_SIZE = 1000
MANIFEST = "build.json"
REPORT = "report.json"
_SUMS = ("rows", "photos", "recoded", "alike", "bytes", "requests", "retries", "bytes received")
_log = logging.getLogger(__name__)


def build(
    table: str | os.PathLike[str],
    output: str | os.PathLike[str],
    engine: str = "local",
    shard_size: int = SHARD_SIZE,
    processes: int | None = None,
    again: bool = False,
    host: str | None = None,
    exclude: str | os.PathLike[str] | None = None,
    **policy: Any,
) -> dict[str, Any]:
    """Fetch the photos of a table into shards that `load_dataset("im2gps", data_dir=…)` reads.

    A build that was stopped continues when it is run again with the same table and shard size:
    only the missing shards are made.

    Parameters
    ----------
    table : path
        The Parquet table that `im2gps lists` writes.
    output : path
        Folder for the shards, created if needed. On a cluster all machines must see both paths.
    engine : str
        "local", "ray" or "spark".
    shard_size : int
        Rows of the table for each shard.
    processes : int, optional
        Shards to make at once. By default one for each core of this machine, or as many as the
        cluster takes.
    again : bool
        In finished shards, fetch photos again for which the host gave no valid answer.
    host : str, optional
        Scheme and name of the photo host (https://live.staticflickr.com).
    exclude : path, optional
        List of photos and photographers to leave out, as `im2gps audit` writes it.
    **policy
        Of each process: `rate` (requests a second, 20; 0 for no limit), `concurrency` (requests at
        once, 16), `tries` of an address (5), `backoff` (seconds before the second try, doubled
        before each further one, 1) and `patience` (seconds to wait for a host that does not answer
        at all, 3600).

    Returns
    -------
    dict
        What `report.json` in the folder contains: `rows`, `photos`, `missing` by reason, and more.

    Raises
    ------
    ValueError
        If the table cannot be read, or an option makes no sense.
    BuildError
        If the folder contains another build, another build is running there, or the host is down.
    ImportError
        If the engine is not installed.
    """
    policy = {name: value for name, value in policy.items() if value is not None}
    table, output = (os.path.abspath(os.path.expanduser(path)) for path in (table, output))
    left_out = os.path.abspath(os.path.expanduser(exclude)) if exclude else None
    for name, value in {"shard_size": shard_size, "processes": processes, **policy}.items():
        least = 0 if name in ("rate", "backoff", "patience") else 1
        if isinstance(value, (int, float)) and not value >= least:
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
    origin = _origin(host or PHOTO_HOST)
    with open_table(table) as file:
        rows = file.metadata.num_rows
    if not rows:
        raise ValueError(f"{table} contains no photos")
    job = Job(table, output, shard_size, origin, RequestPolicy(**policy), again, left_out)
    numbers = range(-(-rows // shard_size))
    busy = BuildError(f"another build is writing to {output}: wait for it, or stop it")
    with file_lock(os.path.join(output, ".build.lock"), busy):
        _check_manifest(job, rows)
        due = [number for number in numbers if _is_due(job, number)]
        if due:
            done = rows - sum(min(shard_size, rows - number * shard_size) for number in due)
            with progress_bar("im2gps build", rows, "photo", done) as bar:
                ENGINES[engine](job, due, processes, bar.update)
        return _report(job, numbers)


def _origin(host: str) -> str:
    """Return scheme, name and port of the photo host; ValueError if there is more."""
    parts = urlsplit(host.rstrip("/"))
    origin = f"{parts.scheme}://{parts.netloc}"
    named = parts.hostname and "@" not in origin
    if parts.scheme not in ("http", "https") or not named or host.rstrip("/") != origin:
        raise ValueError(f"--photo-host {host}: should be like {PHOTO_HOST}")
    return origin


def _check_manifest(job: Job, rows: int) -> None:
    """Refuse a folder that contains the shards of another table, or shards of another size."""
    path = Path(job.folder, MANIFEST)
    manifest = {
        "list": sha256(job.table),  # a renamed table is the same
        "rows": rows,
        "shard_size": job.shard_size,
        "photo_host": job.host,
        "exclude": job.exclude and sha256(job.exclude),
    }
    if not path.exists():
        if shards := find_shards(job.folder):
            raise BuildError(
                f"{job.folder} has shards ({Path(shards[0]).name}, …) but no {MANIFEST}, so it is "
                "unknown which photos they should contain: give another folder"
            )
        write_json(path, manifest)
        return
    before = read_json(path)
    another = {
        "list": "another table",
        "rows": "another table",
        "exclude": "another list of photos to leave out",
    }
    for name, value in manifest.items():
        if before.get(name) != value:
            what = another.get(name, f"{name} {before.get(name)}")
            raise BuildError(
                f"{job.folder} was started with {what}. Continue with that, or give another "
                "folder; new photos need a table and a folder of their own"
            )


def _is_due(job: Job, number: int) -> bool:
    found = job.finished(number)
    if found is None:
        if job.shard(number).exists() and job.statistics(number).exists():
            text = "%s has changed since it was written: it is rebuilt."
            _log.warning(text, job.shard(number))
        return True
    return job.again and any(map(missing.can_change, found["missing"]))


def _report(job: Job, numbers: range) -> dict[str, Any]:
    """Add up the statistics of all shards, and save the sums if they are new."""
    sums, sizes, lost = Counter[str](), Counter[str](), Counter[str]()
    seconds = 0.0
    for number in numbers:
        statistics = job.finished(number)
        if statistics is None:
            raise BuildError(f"{job.shard(number)} was deleted: run the same command again")
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


def add_command(commands: Any) -> None:
    """Add `im2gps build` to the command line."""
    parser = commands.add_parser(
        "build",
        help="download the photos of a table into shards",
        description="Download the photos of a table into WebDataset shards. To continue a build "
        "that was stopped, run the same command again.",
    )
    add = parser.add_argument
    add("table", metavar="PHOTOS.parquet", help="table that `im2gps lists` wrote")
    add("-o", "--output", required=True, metavar="FOLDER", help="folder for the shards")
    text = "the cores of this machine (default), or a cluster with a shared folder"
    add("--engine", choices=list(ENGINES), default="local", help=text)
    text = (
        "number of shards built at the same time (default: all cores, or all that the cluster has)"
    )
    add("--processes", type=int, metavar="N", help=text)
    text = f"rows of the table per shard (default {SHARD_SIZE:,})"
    add("--shard-size", type=int, default=SHARD_SIZE, metavar="N", help=text)
    add("--exclude", metavar="FILE", help=exclusions.HELP)
    text = "in finished shards, request photos again for which the host did not respond properly"
    add("--again", action="store_true", help=text)
    add = parser.add_argument_group("requests to the photo host, per process").add_argument
    add("--rate", type=float, metavar="N", help="requests per second (default 20; 0: no limit)")
    add("--concurrency", type=int, metavar="N", help="requests at the same time (default 16)")
    add("--tries", type=int, metavar="N", help="number of tries for each URL (default 5)")
    text = "seconds before the second try; doubled for each further try (default 1)"
    add("--backoff", type=float, metavar="S", help=text)
    text = "seconds to wait for a host that does not respond (default 3600)"
    add("--patience", type=float, metavar="S", help=text)
    add("--photo-host", dest="host", metavar="URL", help=f"default: {PHOTO_HOST}")
    parser.set_defaults(run=_run)


def _run(**options: Any) -> None:
    report = build(**options)
    shards = f"in {counted(report['shards'], 'shards')} ({format_bytes(report['bytes'])})"
    entries = [
        ("in the table", report["rows"]),
        (shards, report["photos"]),
        *report["missing"].items(),
    ]
    lines = [(f"{n:,}", f"{n / max(report['rows'], 1):.1%}", what) for what, n in entries]
    print(tabulate(lines, tablefmt="plain", colalign=("right", "right", "left")))
    if report["missing"]:
        print(f"\nThe missing photos are named in {options['output']}/im2gps-*.json, by reason.")
    again = sum(n for reason, n in report["missing"].items() if missing.can_change(reason))
    if again:
        print(f"{again:,} of them got no valid answer: add --again to try them once more.")
    if report["alike"]:
        print(f"{counted(report['alike'], 'photos')} identical to those of other photographers: "
              "look at some of them.")  # fmt: skip
