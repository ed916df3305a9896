"""The file of predictions: JSON lines in the order of the photos, written batch by batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoload.files import atomic_write, filename_in_errors

Record = dict[str, Any]
_LONGEST = 300  # characters of an error


def error_record(error: str) -> Record:
    """Return the record of a photo for which there is no prediction."""
    return {"error": " ".join(error.split())[:_LONGEST]}


class Predictions:
    """The predictions of a run.

    After each batch they are on disk. Of a run that was killed, whole batches are kept, because
    what a model says of a photo may depend on the others in its batch.

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
        data = self.path.read_bytes() if self.path.exists() else b""
        self._lines = data.splitlines(keepends=True)
        if self._lines and not self._lines[-1].endswith(b"\n"):
            del self._lines[-1]
        for number, line in enumerate(self._lines):
            if number >= len(ids) or _id_of(line) != ids[number]:
                raise ValueError(
                    f"{self.path}: line {number + 1} is not of this run; name another folder, or "
                    "delete the file to begin anew"
                )
        self._keep(max((b.stop for b in batches if b.stop <= len(self._lines)), default=0))

    def __len__(self) -> int:
        return len(self._lines)

    def _keep(self, count: int) -> None:
        del self._lines[count:]
        with filename_in_errors(self.path), open(self.path, "ab") as file:
            file.truncate(sum(map(len, self._lines)))

    @property
    def remaining(self) -> list[range]:
        """The batches without predictions."""
        return [batch for batch in self._batches if batch.stop > len(self)]

    @property
    def failed(self) -> list[range]:
        """The batches that contain errors."""
        wrong = {number for number, line in enumerate(self._lines) if "error" in json.loads(line)}
        return [batch for batch in self._batches if not wrong.isdisjoint(batch)]

    def add(self, batch: range, found: Sequence[Record]) -> None:
        """Write the predictions of the next batch, or those that replace an older one's."""
        ids = (self._ids[number] for number in batch)
        lines = [
            json.dumps({"image_id": name, **record}, allow_nan=False).encode() + b"\n"
            for name, record in zip(ids, found, strict=True)
        ]
        if batch.start == len(self):
            # opened each time: a file that was replaced is another one
            with filename_in_errors(self.path), open(self.path, "ab") as file:
                file.write(b"".join(lines))
            self._lines += lines
        else:
            self._lines[batch.start : batch.stop] = lines
            with atomic_write(self.path) as file:
                file.write(b"".join(self._lines))

    def forget(self) -> None:
        """Delete all predictions."""
        self._keep(0)


def _id_of(line: bytes) -> Any:
    try:
        return json.loads(line)["image_id"]
    except (ValueError, KeyError, TypeError):
        return None


def batches_of(n: int, size: int, shard: tuple[int, int] = (1, 1)) -> list[range]:
    """Divide n photos into batches; return those of a shard (number, count), counted from 1.

    Shards consist of whole batches, so that merged predictions are those of one run.
    """
    batches = [range(start, min(start + size, n)) for start in range(0, n, size)]
    number, count = shard
    if count > len(batches):
        raise ValueError(
            f"--shard: {len(batches):,} batches of {size:,} photos cannot be divided into "
            f"{count:,} shards; use fewer, or a smaller --batch-size"
        )
    first, end = (len(batches) * part // count for part in (number - 1, number))
    return batches[first:end]
