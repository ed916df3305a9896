"""The file of predictions: JSON lines in the order of the photos, written batch by batch."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from geoload.files import atomic_write, filename_in_errors

Record = dict[str, Any]
_LONGEST = 300  # characters of an error


def error_record(error: str) -> Record:
    """Return the record of a photo for which there is no prediction."""
    return {"error": " ".join(error.split())[:_LONGEST]}


class Predictions:
    """The predictions of a run, of which whole batches are on disk at any time.

    Parameters
    ----------
    path : path-like
        The file, which may contain the predictions of a run that was stopped.
    ids : list of str
        Of all photos of the run, in order.
    batches : list of range
        The numbers of the photos of each batch.

    Raises
    ------
    ValueError
        If the file contains predictions for other photos.
    """

    def __init__(self, path: str | Path, ids: Sequence[str], batches: Sequence[range]) -> None:
        self.path, self._ids, self._batches = Path(path), ids, batches
        self.lines = self._complete_lines()

    def _complete_lines(self) -> list[bytes]:
        """Read the lines of whole batches, and cut off what follows them."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = data.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            del lines[-1]
        for number, line in enumerate(lines):
            if number >= len(self._ids) or _id_of(line) != self._ids[number]:
                raise ValueError(
                    f"{self.path}: line {number + 1} is not of this run; name another folder, or "
                    "delete the file to begin anew"
                )
        whole = [batch.stop for batch in self._batches if batch.stop <= len(lines)]
        del lines[max(whole, default=0) :]
        with filename_in_errors(self.path):
            os.truncate(self.path, sum(map(len, lines)))
        return lines

    @property
    def remaining(self) -> list[range]:
        """The batches without predictions."""
        return [batch for batch in self._batches if batch.stop > len(self.lines)]

    @property
    def failed(self) -> list[range]:
        """The batches that contain errors."""
        wrong = {number for number, line in enumerate(self.lines) if "error" in json.loads(line)}
        return [batch for batch in self._batches if not wrong.isdisjoint(batch)]

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Open the file for `add`; errors of the disk name it."""
        with filename_in_errors(self.path), open(self.path, "ab") as self._file:
            yield

    def add(self, batch: range, found: Sequence[Record]) -> None:
        """Write the predictions of a batch: of the next one, or in place of those of an older."""
        ids = (self._ids[number] for number in batch)
        lines = [
            json.dumps({"image_id": name, **record}, allow_nan=False).encode() + b"\n"
            for name, record in zip(ids, found, strict=True)
        ]
        if batch.start == len(self.lines):
            with filename_in_errors(self.path):
                self._file.write(b"".join(lines))
                self._file.flush()
            self.lines += lines
        else:
            self.lines[batch.start : batch.stop] = lines
            with atomic_write(self.path) as file:
                file.write(b"".join(self.lines))

    def forget(self) -> None:
        """Delete all predictions."""
        self.lines = []
        os.truncate(self.path, 0)


def _id_of(line: bytes) -> Any:
    try:
        return json.loads(line)["image_id"]
    except (ValueError, KeyError, TypeError):
        return None


def batches_of(n: int, size: int, shard: tuple[int, int] = (1, 1)) -> list[range]:
    """Divide n photos into batches; return the batches of shard (number, count), from 1.

    Shards consist of whole batches, so that merged predictions are those of one run.
    """
    batches = [range(start, min(start + size, n)) for start in range(0, n, size)]
    number, count = shard
    if count > len(batches):
        raise ValueError(
            f"--shard: {len(batches):,} batches of {size:,} photos cannot be divided into "
            f"{count:,} shards; use fewer, or a smaller --batch-size"
        )
    ends = [len(batches) * part // count for part in (number - 1, number)]
    return batches[ends[0] : ends[1]]
