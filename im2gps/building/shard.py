"""One partition of the list becomes one shard, with its statistics beside it.

The same on every engine: a job and a number say all, and what is written are files. Both are
written beside their place and renamed, the statistics last, so a shard with statistics is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import tarfile
import time
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from geoload.commands import said
from geoload.files import sha256
from geoload.report import read_json, write_json
from geoload.tar import members
from geoload.tar_index import TarIndex
from geoload.writing import naming
from im2gps.building import missing
from im2gps.building.addresses import RowError, check_row, key
from im2gps.building.fetch import Fetcher, Found, Manners, Row, in_order
from im2gps.building.partition import COLUMNS, read_rows

_IN_JSON = COLUMNS[:13]  # not what leads to the original
_COUNTS = ("rows", "photos", "recoded", "alike", "requests", "retries", "bytes received")
_TROUBLED = 20  # photos of a shard, besides being more than half of it

# The JSON and the JPEG of a photo that is there already.
Sample = tuple[bytes, bytes]


@dataclass(frozen=True)
class Job:
    """What all shards of a build have in common; plain data, for it goes to other machines.

    Parameters
    ----------
    table : str
        Path of the list's Parquet file.
    folder : str
        Where the shards go.
    shard_size : int
        Rows of the list to a shard.
    manners : Manners
    again : bool
        Keep the photos of a finished shard, and ask again for those that had no answer.
    """

    table: str
    folder: str
    shard_size: int
    manners: Manners
    again: bool = False

    def shard(self, number: int) -> Path:
        """Return the path of a shard."""
        return Path(self.folder, f"im2gps-{number:05d}.tar")

    def statistics(self, number: int) -> Path:
        """Return the path of a shard's statistics."""
        return self.shard(number).with_suffix(".json")

    def finished(self, number: int) -> dict[str, Any] | None:
        """Return the statistics of a shard that is there as it was written; None where it is not.

        A shard is only read whole when its times are not those that were noted, as after copying.
        """
        path = self.shard(number)
        try:
            found = read_json(self.statistics(number))
            if path.stat().st_size != found["bytes"]:
                return None
            if found.get("times") != _times(path):
                # Those of earlier versions have no digest.
                if found.get("sha256", "") not in ("", sha256(path)):
                    return None
                found["times"] = _times(path)
                write_json(self.statistics(number), found)
            return found
        except (FileNotFoundError, ValueError, KeyError):
            return None


def _times(path: Path) -> list[int]:
    """Return the times of a file's last write and last change of state, in nanoseconds."""
    found = path.stat()
    return [found.st_mtime_ns, found.st_ctime_ns]


def outcome(job: Job, number: int, advance: Callable[[], Any] = lambda: None) -> str:
    """Make a shard on whatever machine this is; return what went wrong, or nothing.

    Text, and no exception, because engines wrap those in pages of their own.
    """
    shard = job.shard(number)
    try:
        with naming(shard):
            make_shard(job, number, advance)
    except (OSError, ValueError) as error:
        text = said(error)
        return text if text.startswith(str(shard)) else f"shard {shard.name}: {text}"
    return ""


def make_shard(job: Job, number: int, advance: Callable[[], Any] = lambda: None) -> None:
    """Fetch the photos of one partition and write them as a shard with its statistics.

    A sample is a `json` and then a `jpg` (so that a reader who does not want the photo can seek
    past it), named as the test packs name photos, in the order of the list. The same photos make
    the same bytes.

    Parameters
    ----------
    job : Job
    number : int
        Of the partition, from 0.
    advance : callable
        Called once for each row.

    Raises
    ------
    HostDown
        When the photo host is away for too long. Nothing is written.
    ConnectionError
        When most photos got no answer. Nothing is written.
    OSError, ValueError
        When the list cannot be read or the shard not written.
    """
    began = time.monotonic()
    shard = job.shard(number)
    part = shard.with_name(f"{shard.stem}.{uuid.uuid4().hex[:12]}.part")
    try:
        partition = Partition(job, number)
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive, _no_bomb_warnings():
            asyncio.run(partition.fetch(archive, advance))
        partition.check()
        partition.drop_placeholders(part)
        statistics = partition.statistics(part.stat().st_size, time.monotonic() - began)
        digest = sha256(part)
        os.replace(part, shard)
        noted = {**statistics, "sha256": digest, "times": _times(shard)}
        write_json(job.statistics(number), noted)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _no_bomb_warnings() -> Iterator[None]:
    """`shrink` has a bound of its own, and Pillow's warning would stand amid the progress bar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


class Partition:
    """The rows of one partition on their way into a shard.

    Parameters
    ----------
    job : Job
    number : int
    """

    def __init__(self, job: Job, number: int) -> None:
        self._job, self._number = job, number
        self._missing: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        # Photographer and name of each photo, by a digest of the picture.
        self._alike: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
        before = job.finished(number) if job.again else None
        self._earlier = Earlier(str(job.shard(number)), before["missing"]) if before else None

    async def fetch(self, archive: tarfile.TarFile, advance: Callable[[], Any]) -> None:
        """Fetch all rows and write what comes."""
        async with Fetcher(self._job.manners) as fetcher:

            async def start(row: Row) -> Found | Sample | str:
                earlier = self._earlier.find(row) if self._earlier else None
                return earlier or await fetcher.photo(row)

            ahead = 4 * self._job.manners.concurrency
            async with contextlib.aclosing(in_order(self._good(advance), start, ahead)) as results:
                async for row, result in results:
                    self._take(archive, row, result)
                    advance()
            self._counts.update(fetcher.counts)

    def _good(self, advance: Callable[[], Any]) -> Iterator[Row]:
        """Yield the rows that can be asked for; the others are counted."""
        seen = set()
        first = self._number * self._job.shard_size
        for place, row in enumerate(read_rows(self._job.table, first, self._job.shard_size), first):
            self._counts["rows"] += 1
            try:
                check_row(row)
            except RowError as error:
                self._missing[missing.INVALID].append(f"row {place}: {error}")
                advance()
                continue
            if row["photo_id"] in seen:
                self._missing[missing.TWICE].append(row["photo_id"])
                advance()
                continue
            seen.add(row["photo_id"])
            yield row

    def _take(self, archive: tarfile.TarFile, row: Row, result: Found | Sample | str) -> None:
        if isinstance(result, str):
            self._missing[result].append(row["photo_id"])
            return
        if isinstance(result, Found):
            data = result.picture.data
            text = json.dumps(_record(row, result), ensure_ascii=False).encode()
        else:
            text, data = result
        record = json.loads(text)
        self._counts["photos"] += 1
        self._counts["recoded"] += record["recoded"]
        self._sizes[record["size"]] += 1
        name = key(row)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        self._alike[digest].append((row["owner"], name))
        _add(archive, f"{name}.json", text)
        _add(archive, f"{name}.jpg", data)

    def check(self) -> None:
        """Raise where so many photos got no answer that the trouble must be the host's, or ours."""
        troubles = {r: len(ids) for r, ids in self._missing.items() if missing.may_mend(r)}
        count = sum(troubles.values())
        if count >= _TROUBLED and 2 * count > self._counts["rows"]:
            said = ", ".join(f"{reason}: {n}" for reason, n in troubles.items())
            raise ConnectionError(
                f"of {self._counts['rows']} photos {count} got no proper answer ({said}). Nothing "
                "of this shard is kept. Run the same command later; with a lower --rate, if the "
                "photo host found us too fast."
            )

    def drop_placeholders(self, part: Path) -> None:
        """Take out again the one or two pictures that came for one photographer after another.

        A host may answer with "photo unavailable" as with any photo. Where many pictures repeat,
        or most of the photos are alike, that is how these photos are: they are only counted.
        """
        groups = [g for g in self._alike.values() if len({owner for owner, _ in g}) >= 3]
        names = {name for group in groups for _, name in group}
        if len(groups) > 2 or 2 * len(names) > self._counts["photos"]:
            self._counts["alike"] = len(names)
            return
        if not names:
            return
        rest = part.with_suffix(".rest.part")
        try:
            with open(part, "rb") as file, tarfile.open(rest, "w", format=tarfile.GNU_FORMAT) as to:
                for member, data in members(file, label=str(part)):
                    name, _, suffix = member.name.rpartition(".")
                    assert data is not None
                    if name not in names:
                        _add(to, member.name, data)
                    elif suffix == "json":
                        self._forget(json.loads(data))
            os.replace(rest, part)
        finally:
            rest.unlink(missing_ok=True)

    def _forget(self, record: dict[str, Any]) -> None:
        self._counts["photos"] -= 1
        self._counts["recoded"] -= record["recoded"]
        self._sizes[record["size"]] -= 1
        self._missing[missing.PLACEHOLDER].append(record["photo_id"])

    def statistics(self, size: int, seconds: float) -> dict[str, Any]:
        """Return what became of the rows, as plain data; `size` is the shard's, in bytes."""
        counts = {name: self._counts[name] for name in _COUNTS}
        lost = sum(map(len, self._missing.values()))
        assert counts["rows"] == counts["photos"] + lost, "a row was lost"
        return {
            **counts,
            "bytes": size,
            "seconds": round(seconds, 1),
            "sizes": {size: n for size, n in self._sizes.items() if n},
            "missing": {reason: ids for reason, ids in self._missing.items() if ids},
        }


class Earlier:
    """What an earlier build left of a partition: photos, and reasons that no day will mend.

    Parameters
    ----------
    path : str
        Of the shard.
    lost : dict
        The ids of photos that did not come, by reason.
    """

    def __init__(self, path: str, lost: dict[str, list[str]]) -> None:
        self._path = path
        with open(path, "rb") as file:
            self._index = TarIndex.scan(file, path, os.path.getsize(path))
        self._reasons = {i: r for r, ids in lost.items() if not missing.may_mend(r) for i in ids}

    def find(self, row: Row) -> Sample | str | None:
        """Return a row's sample or reason, or None where it is worth asking again."""
        text, data = (self._read(f"{key(row)}.{suffix}") for suffix in ("json", "jpg"))
        return (text, data) if text and data else self._reasons.get(row["photo_id"])

    def _read(self, name: str) -> bytes:
        found = self._index.find(name)
        if found is None:
            return b""
        with open(self._path, "rb") as file:
            file.seek(found[0])
            return file.read(found[1])


def _record(row: Row, found: Found) -> dict[str, Any]:
    """Return what the JSON beside a photo says."""
    return {
        **{name: row[name] for name in _IN_JSON},
        "width": found.picture.width,
        "height": found.picture.height,
        "size": found.size,
        "recoded": found.picture.recoded,
        "address": found.address,
    }


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
