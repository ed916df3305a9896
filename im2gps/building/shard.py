"""Makes one shard from its rows of the table, with statistics in a JSON file beside it.

The statistics are written last, so that a shard with statistics is complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import tarfile
import time
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from PIL import Image

from geoload.files import atomic_write, filename_in_errors, read_json, sha256, write_json
from geoload.messages import error_text
from geoload.tar import Member, members, read_member
from im2gps.building import missing
from im2gps.building.fetch import Fetched, Fetcher, Row
from im2gps.exclusions import Exclusions, read_exclusions
from im2gps.flickr.http import RequestPolicy
from im2gps.flickr.ids import file_stem, invalid_field
from im2gps.photo_table import SCHEMA, read_rows

_IN_JSON = SCHEMA.names[:13]  # without the columns of the original
_TOO_MANY_FAILED = 20  # photos of a shard, if they are also more than half of it
T = TypeVar("T")
JsonAndJpeg = tuple[bytes, bytes]


@dataclass(frozen=True)
class Job:
    """The arguments of a build; plain data, because it goes to other machines.

    `folder` is for the shards, `shard_size` counts rows of the table, `host` is the photo host,
    `again` completes finished shards, and `exclude` is the path of a list for `read_exclusions`.
    """

    table: str
    folder: str
    shard_size: int
    host: str
    policy: RequestPolicy
    again: bool = False
    exclude: str | None = None

    def shard(self, number: int) -> Path:
        """Return the path of a shard."""
        return Path(self.folder, f"im2gps-{number:05d}.tar")

    def statistics(self, number: int) -> Path:
        """Return the path of a shard's statistics."""
        return self.shard(number).with_suffix(".json")

    def finished(self, number: int) -> dict[str, Any] | None:
        """Return the statistics of an unchanged finished shard, or None.

        The whole shard is read only if its times are not those in the statistics, as in a copy.
        """
        path = self.shard(number)
        try:
            statistics = read_json(self.statistics(number))
            if path.stat().st_size != statistics["bytes"]:
                return None
            if statistics.get("times") != _times(path):
                # Statistics of earlier versions have no digest.
                if statistics.get("sha256", "") not in ("", sha256(path)):
                    return None
                statistics["times"] = _times(path)
                write_json(self.statistics(number), statistics)
            return statistics
        except (FileNotFoundError, ValueError, KeyError):
            return None


class Sample(NamedTuple):
    """The statistics of a photo in a shard; `digest` is of the JPEG file."""

    photo_id: str
    name: str
    owner: str
    size: str
    recoded: bool
    digest: bytes


def _times(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_mtime_ns, status.st_ctime_ns]


def try_shard(job: Job, number: int, advance: Callable[[], Any] = lambda: None) -> str:
    """Make a shard; return the error as text, or an empty text.

    It is not raised, because Ray and Spark wrap exceptions in long texts.
    """
    shard = job.shard(number)
    try:
        with filename_in_errors(shard):
            make_shard(job, number, advance)
    except (OSError, ValueError) as error:
        text = error_text(error)
        return text if text.startswith(str(shard)) else f"shard {shard.name}: {text}"
    return ""


def make_shard(job: Job, number: int, advance: Callable[[], Any] = lambda: None) -> None:
    """Fetch the photos of a shard's rows and write the shard and its statistics.

    A sample is a `json` and then a `jpg` (so that a reader can skip a photo that it does not
    want), named as the test packs name photos, in the order of the table. The same photos give
    the same bytes. `advance` is called once for each row.

    Raises
    ------
    ConnectionError
        If the photo host is down for too long, or most photos got no answer. Nothing is written.
    OSError, ValueError
        If the table cannot be read or the shard not written.
    """
    began = time.monotonic()
    path = job.shard(number)
    build = _ShardBuild(job, number, advance)
    with atomic_write(path, "w+b") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            asyncio.run(build.fetch(archive))
        build.check_failures()
        if placeholders := build.drop_placeholders():
            _remove(file, placeholders)
    statistics = build.statistics() | {
        "bytes": path.stat().st_size,
        "seconds": round(time.monotonic() - began, 1),
        "sha256": sha256(path),
        "times": _times(path),
    }
    write_json(job.statistics(number), statistics)


class _ShardBuild:
    """The rows of one shard: the photos fetched, and the reasons why others are missing."""

    def __init__(self, job: Job, number: int, advance: Callable[[], Any]) -> None:
        self._job, self._number, self._advance = job, number, advance
        self._rows = self._alike = 0
        self._samples: list[Sample] = []
        self._missing: dict[str, list[str]] = defaultdict(list)
        self._requests: Counter[str] = Counter()

    async def fetch(self, archive: tarfile.TarFile) -> None:
        """Fetch the photos of all rows and write them."""
        earlier, reasons = _earlier(self._job, self._number)
        async with Fetcher(self._job.host, self._job.policy) as fetcher:

            async def fetch(row: Row) -> Fetched | JsonAndJpeg | str:
                stem = file_stem(row)
                if f"{stem}.jpg" in earlier and f"{stem}.json" in earlier:
                    with open(self._job.shard(self._number), "rb") as file:
                        text = read_member(file, earlier[f"{stem}.json"])
                        return text, read_member(file, earlier[f"{stem}.jpg"])
                return reasons.get(row["photo_id"]) or await fetcher.photo(row)

            results = in_order(self._valid_rows(), fetch, 4 * self._job.policy.concurrency)
            with warnings.catch_warnings():
                # `training_jpeg` has a limit of its own.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                async with contextlib.aclosing(results):
                    async for row, result in results:
                        self._add(archive, row, result)
                        self._advance()
            self._requests = fetcher.counts

    def _valid_rows(self) -> Iterator[Row]:
        seen = set()
        excluded = read_exclusions(self._job.exclude) if self._job.exclude else Exclusions()
        first = self._number * self._job.shard_size
        for number, row in enumerate(
            read_rows(self._job.table, first, self._job.shard_size), first
        ):
            self._rows += 1
            if invalid := invalid_field(row):
                self._missing[missing.INVALID].append(f"row {number}: {invalid}")
                self._advance()
            elif row["photo_id"] in seen:
                self._missing[missing.TWICE].append(row["photo_id"])
                self._advance()
            elif row["photo_id"] in excluded.photos or row["owner"] in excluded.owners:
                self._missing[missing.EXCLUDED].append(row["photo_id"])
                self._advance()
            else:
                seen.add(row["photo_id"])
                yield row

    def _add(self, archive: tarfile.TarFile, row: Row, result: Fetched | JsonAndJpeg | str) -> None:
        if isinstance(result, str):
            self._missing[result].append(row["photo_id"])
            return
        if isinstance(result, Fetched):
            data, width, height, recoded = result.picture
            record = {name: row[name] for name in _IN_JSON}
            record |= {"width": width, "height": height, "size": result.size}
            record |= {"recoded": recoded, "address": result.address}
            text = json.dumps(record, ensure_ascii=False).encode()
        else:
            text, data = result
            record = json.loads(text)
        name = file_stem(row)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        self._samples.append(
            Sample(row["photo_id"], name, row["owner"], record["size"], record["recoded"], digest)
        )
        for suffix, content in (("json", text), ("jpg", data)):
            member = tarfile.TarInfo(f"{name}.{suffix}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    def check_failures(self) -> None:
        """Raise if so many photos failed that the host, or our requests, must be the cause."""
        failed = {r: len(ids) for r, ids in self._missing.items() if missing.can_change(r)}
        count = sum(failed.values())
        if count >= _TOO_MANY_FAILED and 2 * count > self._rows:
            reasons = ", ".join(f"{reason}: {n}" for reason, n in failed.items())
            raise ConnectionError(
                f"{count} of {self._rows} photos got no valid answer ({reasons}). This shard was "
                "not written. Run the same command later, with a lower --rate if the photo host "
                "refused requests because there were too many."
            )

    def drop_placeholders(self) -> set[str]:
        """Count one or two pictures that three or more photographers share as placeholders.

        A host may send a picture that says "photo unavailable" in place of a photo. If more
        pictures repeat, or most photos are alike, they are real photos and are only counted.

        Returns the names of the photos to remove from the shard.
        """
        by_digest: dict[bytes, list[Sample]] = defaultdict(list)
        for sample in self._samples:
            by_digest[sample.digest].append(sample)
        groups = [g for g in by_digest.values() if len({sample.owner for sample in g}) >= 3]
        alike = {sample.name for group in groups for sample in group}
        if len(groups) > 2 or 2 * len(alike) > len(self._samples):
            self._alike = len(alike)
            return set()
        placeholders = [sample for sample in self._samples if sample.name in alike]
        self._samples = [sample for sample in self._samples if sample.name not in alike]
        if placeholders:
            self._missing[missing.PLACEHOLDER] += [sample.photo_id for sample in placeholders]
        return alike

    def statistics(self) -> dict[str, Any]:
        """Return the statistics of the rows."""
        lost = sum(map(len, self._missing.values()))
        assert self._rows == len(self._samples) + lost, "a row was lost"
        return {
            "rows": self._rows,
            "photos": len(self._samples),
            "recoded": sum(sample.recoded for sample in self._samples),
            "alike": self._alike,
            **{name: self._requests[name] for name in ("requests", "retries", "bytes received")},
            "sizes": dict(Counter(sample.size for sample in self._samples)),
            "missing": dict(self._missing),
        }


def _earlier(job: Job, number: int) -> tuple[dict[str, Member], dict[str, str]]:
    """Return the members of a shard to complete, and the photos that are missing for good."""
    statistics = job.finished(number) if job.again else None
    if statistics is None:
        return {}, {}
    with open(job.shard(number), "rb") as file:
        found = {member.name: member for member, _ in members(file, lambda name: False)}
    reasons = {
        photo_id: reason
        for reason, photo_ids in statistics["missing"].items()
        if not missing.can_change(reason)
        for photo_id in photo_ids
    }
    return found, reasons


def _remove(file: BinaryIO, names: set[str]) -> None:
    """Remove samples from a shard by moving the members behind them forward."""
    spans = [
        (member.offset, member.data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        for member, _ in members(file, lambda name: False)
        if member.name.rpartition(".")[0] not in names
    ]
    position = 0
    for start, stop in spans:
        file.seek(start)
        data = file.read(stop - start)
        file.seek(position)
        position += file.write(data)
    file.truncate(position)
    file.seek(position)
    end = 2 * tarfile.BLOCKSIZE
    file.write(bytes(end + -(position + end) % tarfile.RECORDSIZE))


async def in_order(
    rows: Iterable[Row], fetch: Callable[[Row], Coroutine[Any, Any, T]], ahead: int
) -> AsyncGenerator[tuple[Row, T], None]:
    """Yield each row with its result, in the order of the rows.

    Up to `ahead` rows are started before they are needed; their results are kept in memory.
    """
    window: deque[tuple[Row, asyncio.Task[T]]] = deque()
    try:
        for row in rows:
            window.append((row, asyncio.create_task(fetch(row))))
            if len(window) > ahead:
                yield window[0][0], await window[0][1]
                window.popleft()
        while window:
            yield window[0][0], await window[0][1]
            window.popleft()
    finally:
        for _, task in window:
            task.cancel()
        await asyncio.gather(*(task for _, task in window), return_exceptions=True)
