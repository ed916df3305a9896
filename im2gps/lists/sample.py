"""Flickr lists of synthetic photos, in the form that the authors' query script writes.

For tests, benchmarks and trials. As in real lists, a few photographers took many of the photos,
some photos are in several lists, and progress lines are between the blocks. The same arguments
always write the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geoload.files import atomic_write
from geoload.messages import progress_bar
from im2gps.sample import CITIES

PER_SLICE = 250
_FIRST_UPLOAD = 1_090_000_000  # July 2004
_SECONDS = 40_000  # of a slice
_WORDS = [
    "sunset", "church", "river", "bridge", "market", "old", "street", "café", "harbour", "señora",
    "mountain", "東京", "rain", "tower", "garden", "night", "boat", "museum", "snow", "beach",
    "square", "station", "latitude:", "longitude:", "photo:", "winter",
]  # fmt: skip
_OWNER = re.compile(r"^owner: (.*)$", re.MULTILINE)


class Written(NamedTuple):
    """How much `write_lists` wrote.

    `photos` are different photos, `records` whole blocks (some repeat a photo of the list before),
    and `by_test_owners` the photos whose photographer is one of `test_owners`.
    """

    lists: int
    photos: int
    records: int
    broken: int
    by_test_owners: int


def write_lists(
    folder: str | Path,
    records: int,
    seed: int = 0,
    broken: int = 0,
    repeated: float = 0.03,
    test_owners: Sequence[str] = (),
) -> Written:
    """Write one list for each city, `{city}.txt`.

    Parameters
    ----------
    folder : path
        Created if needed.
    records : int
        Whole blocks in all lists together.
    seed : int
        Another seed gives other photos.
    broken : int
        Broken blocks to mix in, of all kinds in turn.
    repeated : float
        Share of the blocks that repeat a photo of the list before, at most 0.5.
    test_owners : sequence of str
        Ids of photographers who took one photo in a hundred between them.
    """
    if records < 0 or broken < 0 or not 0 <= repeated <= 0.5:
        raise ValueError("records and broken must be 0 or more, and repeated from 0 to 0.5")
    os.makedirs(folder, exist_ok=True)
    photos = by_test_owners = 0
    before: list[str] = []
    with progress_bar("Flickr lists", records, "record") as bar:
        for number, place in enumerate(CITIES):
            rng = np.random.default_rng([seed, number])
            count = records // len(CITIES) + (number < records % len(CITIES))
            again = before[: int(count * repeated)]
            new = _photos(rng, place, photos, count - len(again), records, test_owners)
            (block,) = _photos(rng, place, 2**32, 1, 1, ())
            faults = [_FAULTS[i % len(_FAULTS)] for i in range(number, broken, len(CITIES))]
            damaged = [fault(block.encode()) for fault in faults]
            _write(Path(folder, f"{place}.txt"), rng, [*new, *again], damaged)
            by_test_owners += sum(_OWNER.findall(block)[0] in test_owners for block in new)
            photos, before = photos + len(new), new
            bar.update(count)
    return Written(len(CITIES), photos, records, broken, by_test_owners)


def _photos(
    rng: np.random.Generator, place: str, first: int, count: int, records: int,
    test_owners: Sequence[str],
) -> list[str]:  # fmt: skip
    """Return blocks without their last line; `first` is the number of the first photo."""
    places = np.asarray(CITIES[place]) + rng.normal(0, 0.3, (count, 2))
    # Photographers with small numbers took most photos.
    people = (max(records // 60, 1) * rng.random(count) ** 4).astype(np.int64)
    owners = [f"{10_000_000 + 37 * person}@N{person % 8:02d}" for person in people.tolist()]
    if test_owners:
        for i in np.flatnonzero(rng.random(count) < 0.01).tolist():
            owners[i] = test_owners[int(people[i]) % len(test_owners)]
    uploads = np.sort(rng.integers(0, max(count // PER_SLICE, 1) * _SECONDS, count))
    words = [_WORDS[i] for i in rng.integers(0, len(_WORDS), 8 * count).tolist()]
    numbers = rng.integers(0, 1 << 40, (count, 2)).tolist()
    small = rng.integers(0, 1 << 20, (count, 3)).tolist()
    blocks = []
    for i, (owner, (latitude, longitude), upload, (a, b), (c, d, e)) in enumerate(
        zip(owners, places.tolist(), uploads.tolist(), numbers, small, strict=True)
    ):
        # An odd factor, so that numbers below 2^33 stay different.
        photo = 100_000_000 + (first + i) * 2_654_435_761 % (1 << 33)
        w = words[8 * i : 8 * i + 8]
        size = ("", "", "", "") if c % 3 else (f"{b:010x}", "jpg", 768 + d % 2048, 1024 + e % 3072)
        blocks.append(
            f"photo: {photo} {a:010x} {1 + d % 9000}\nowner: {owner}\n"
            f"title: {w[0]} {w[1]} {w[2]}\noriginalsecret: {size[0]}\noriginalformat: {size[1]}\n"
            f"o_height: {size[2]}\no_width: {size[3]}\n"
            f"datetaken: {2000 + c % 8}-{1 + c % 12:02d}-{1 + d % 28:02d} "
            f"{d % 24:02d}:{e % 60:02d}:{a % 60:02d}\ndateupload: {_FIRST_UPLOAD + upload}\n"
            f"tags: {place.lower()} {' '.join(w[3 : 3 + e % 6])}\nlicense: {e % 8}\n"
            f"latitude: {latitude:.6f}\nlongitude: {longitude:.6f}\naccuracy: {6 + c % 11}\n"
            f"views: {d % 500}\n"
        )
    return blocks


# Ways to damage a block.
_FAULTS: tuple[Callable[[bytes], bytes], ...] = (
    lambda block: block.partition(b"\n")[2],
    lambda block: block.replace(b"photo: ", b"photo: x", 1),
    lambda block: block.replace(b"owner: ", b"owner: ../", 1),
    lambda block: re.sub(rb"\nlatitude: [^\n]*", b"\nlatitude: 91.5", block),
    lambda block: re.sub(rb"(\nl\w+itude:) [^\n]*", rb"\1 0", block),
    lambda block: block[: block.index(b"\nlatitude: ") + 1],
    lambda block: re.sub(rb"\nlongitude: [^\n]*", b"\nlongitude: nan", block),
    lambda block: block.replace(b"\ntags: ", b"\ntags: \0", 1),
    lambda block: block.replace(b"\ntitle: ", b"\ntitle: " + b"x" * 70_000, 1),
)


def _write(path: Path, rng: np.random.Generator, blocks: list[str], damaged: list[bytes]) -> None:
    """Write blocks as the slices of a search, with the damaged ones between them."""
    order = rng.permutation(len(blocks)).tolist()
    places = sorted(rng.integers(0, len(blocks) + 1, len(damaged)).tolist())
    with atomic_write(path) as file:
        for number, low in enumerate(range(0, max(len(order), 1), PER_SLICE)):
            chosen = order[low : low + PER_SLICE]
            start = _FIRST_UPLOAD + number * _SECONDS
            file.write(
                f"\nmintime: {start} maxtime: {start + _SECONDS - 1}\nnumimgs: {len(chosen)}\n"
                f"total pages: 1\nvisiting only 1 pages ( up to {PER_SLICE} images)\n".encode()
            )
            pieces = [
                f"{blocks[i]}interestingness: {rank} out of {len(chosen)}\n\n".encode()
                for rank, i in enumerate(chosen, 1)
            ]
            while places and places[0] <= low + len(chosen):
                pieces.insert(places.pop(0) - low, damaged.pop(0) + b"\n")
            file.write(b"".join(pieces))
        file.write(f"Total images queried: {len(order)}\n".encode())
