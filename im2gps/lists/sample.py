"""Flickr lists of made-up photos, in the form that the authors' query script writes.

For tests, benchmarks and trying the tools out: photographers of whom a few took much, photos that
stand in more than one list, progress lines between the blocks, and broken blocks on request. The
same arguments always write the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from geoload.writing import whole_file
from im2gps.sample import CITIES

PER_SLICE = 250
_FIRST_UPLOAD = 1_090_000_000  # July 2004; Flickr opened that year
_SECONDS = 40_000  # of a slice
_WORDS = [
    "sunset", "church", "river", "bridge", "market", "old", "street", "café", "harbour", "señora",
    "mountain", "東京", "rain", "tower", "garden", "night", "boat", "museum", "snow", "beach",
    "square", "station", "latitude:", "longitude:", "photo:", "winter",
]  # fmt: skip


@dataclass(frozen=True)
class Written:
    """What `write_lists` wrote.

    Attributes
    ----------
    lists, photos : int
        Files, and different photos in them.
    records : int
        Whole blocks; those beyond `photos` repeat a photo of an earlier list.
    broken : int
        Blocks from which no photo can be read.
    by_test_owners : int
        Photos whose photographer is one of `test_owners`.
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
        Made if it is not there.
    records : int
        Whole blocks in all lists together.
    seed : int
        Another seed gives other photos.
    broken : int
        How many broken blocks to strew in, of each kind in turn.
    repeated : float
        Share of the blocks that repeat a photo of the list before, at most 0.5.
    test_owners : sequence of str
        Ids of photographers who get one photo in a hundred between them.
    """
    if records < 0 or broken < 0 or not 0 <= repeated <= 0.5:
        raise ValueError("lists have 0 records and broken blocks or more, at most half repeated")
    os.makedirs(folder, exist_ok=True)
    photos = theirs = 0
    before: list[str] = []
    with tqdm(total=records, desc="Flickr lists", unit="record", delay=2) as bar:
        for number, place in enumerate(CITIES):
            rng = np.random.default_rng([seed, number])
            count = _share(records, number)
            again = before[: int(count * repeated)]
            fresh = _photos(rng, place, photos, count - len(again), records, test_owners)
            wrong = _broken(rng, place, range(number, broken, len(CITIES)))
            _write(Path(folder, f"{place}.txt"), rng, [*fresh, *again], wrong)
            theirs += sum(_OWNER.findall(block)[0] in test_owners for block in fresh)
            photos, before = photos + len(fresh), fresh
            bar.update(count)
    return Written(len(CITIES), photos, records, broken, theirs)


def _share(total: int, number: int) -> int:
    return total // len(CITIES) + (number < total % len(CITIES))


_OWNER = re.compile(r"^owner: (.*)$", re.MULTILINE)


def _photos(
    rng: np.random.Generator, place: str, first: int, count: int, records: int,
    test_owners: Sequence[str],
) -> list[str]:  # fmt: skip
    """Make blocks without their last line; `first` is the number of the first photo."""
    places = np.asarray(CITIES[place]) + rng.normal(0, 0.3, (count, 2))
    # Of the many photographers, those with small numbers took most photos.
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
        # Odd, so that no two numbers below 2^33 meet.
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


def _broken(rng: np.random.Generator, place: str, numbers: Sequence[int]) -> list[bytes]:
    (block,) = _photos(rng, place, 2**32, 1, 1, ())
    return [_FAULTS[number % len(_FAULTS)](block.encode()) for number in numbers]


# What can be wrong with a block, each made from a whole one.
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


def _write(path: Path, rng: np.random.Generator, blocks: list[str], wrong: list[bytes]) -> None:
    """Write blocks as the slices of a search, the broken ones strewn among them."""
    order = rng.permutation(len(blocks)).tolist()
    places = sorted(rng.integers(0, len(blocks) + 1, len(wrong)).tolist())
    with whole_file(path) as file:
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
                pieces.insert(places.pop(0) - low, wrong.pop(0) + b"\n")
            file.write(b"".join(pieces))
        file.write(f"Total images queried: {len(order)}\n".encode())
