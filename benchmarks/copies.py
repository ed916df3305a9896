"""Measures the search for copies by picture: planted copies found, and other pictures reported.

Give folders of photographs as arguments. Files that are the same are taken once, and large
photographs are also cut into disjoint tiles. Without a folder landscapes are painted, which are
variations on one scene, and so more similar to one another than photographs are.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from tabulate import tabulate

from geoload.report import Findings
from im2gps.audit.pictures import MAX_BITS, find_copies
from im2gps.landscape import paint
from im2gps.packs import Photo

PLANTED = 200  # copies of each kind
COMPARED = 40  # of them, with other libraries
LIMITS = (20, 28, MAX_BITS, 44, 52)  # bits
TESTS, TRAIN = 30_000, 1_000  # photos, for the time of a search
Picture = Image.Image
rng = np.random.default_rng(0)


def main(folders: Iterable[str] = ()) -> None:
    """Print the recall of each kind of change, false alarms, and times."""
    pictures, plain = [*(photographs(folders) if folders else painted(400))], Findings(keep=10**6)
    find_copies(photos(pictures), [], plain)
    skipped = {int(name) for names in plain.names.values() for name in names}
    print(f"{len(pictures):,} {'photographs and tiles' if folders else 'painted'}; {plain}")
    pictures = [one for n, one in enumerate(pictures) if n not in skipped]
    recall(pictures)
    different(pictures)
    times(pictures)


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def half(picture: Picture, quality: int = 85) -> bytes:
    return jpeg(picture.resize((picture.width // 2, picture.height // 2)), quality)


def cut(picture: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    """Cut off shares of the width or height."""
    width, height = picture.size
    return picture.crop((left * width, top * height, (1 - right) * width, (1 - bottom) * height))


def randomly_cut(picture: Picture) -> Picture:
    return cut(picture, *rng.uniform(0, 0.1, 4))


CHANGES: dict[str, Callable[[Picture], bytes]] = {
    **{f"JPEG quality {q}": lambda one, q=q: jpeg(one, q) for q in (95, 75, 50, 30)},
    "half the size": half,
    "half the size, quality 30": lambda one: half(one, 30),
    **{f"left side cut by {s:.0%}": lambda one, s=s: jpeg(cut(one, s, 0, 0, 0))
       for s in (0.05, 0.1)},
    "top cut by 10%": lambda one: jpeg(cut(one, 0, 0.1, 0, 0)),
    **{f"each side cut by {s:.0%}": lambda one, s=s: jpeg(cut(one, s, s, s, s))
       for s in (0.05, 0.1)},
    "each side cut by 0-10%": lambda one: jpeg(randomly_cut(one)),
    "the same, half, quality 30": lambda one: half(randomly_cut(one), 30),
    **{f"brightness {b}": lambda one, b=b: jpeg(ImageEnhance.Brightness(one).enhance(b))
       for b in (0.5, 0.8, 1.2, 1.5)},
    "grey": lambda one: jpeg(one.convert("L")),
    **{f"{c} border": lambda one, c=c: jpeg(ImageOps.expand(one, one.width // 20, c))
       for c in ("white", "black")},
}  # fmt: skip


def recall(pictures: list[Picture]) -> None:
    """Print the share of copies that are found, and what other libraries find."""
    chosen = rng.permutation(len(pictures))[:PLANTED].tolist()
    copies = {name: [change(pictures[n]) for n in chosen] for name, change in CHANGES.items()}
    bits = bits_of_pairs(pictures, chosen * len(copies), chain.from_iterable(copies.values()))
    parts = np.split(bits, len(copies))
    rows = [[name, *shares(part)] for name, part in zip(copies, parts, strict=True)]
    peers = hashes_of_whole_pictures()
    for limit, of in peers.values():
        originals = [of(jpeg(pictures[n], 92)) for n in chosen[:COMPARED]]
        for row in rows:
            pairs = zip(originals, map(of, copies[row[0]][:COMPARED]), strict=True)
            row.append(np.mean([np.sum(one != other) <= limit for one, other in pairs]))
    print(tabulate(rows, ["recall at bits", *LIMITS, *peers], floatfmt=".3f"))


def hashes_of_whole_pictures() -> dict[str, tuple[int, Callable[[bytes], np.ndarray]]]:
    """Return hashes of 256 bits, PDQ with the limit that its authors advise."""
    try:
        import imagehash
        import pdqhash
    except ImportError as error:
        print(f"{error.name} is not installed here.")
        return {}

    def opened(data: bytes) -> Picture:
        return Image.open(io.BytesIO(data)).convert("RGB")

    return {
        f"imagehash {MAX_BITS}": (MAX_BITS, lambda data: imagehash.phash(opened(data), 16).hash),
        "pdqhash 31": (31, lambda data: pdqhash.compute(np.asarray(opened(data)))[0]),
    }


def bits_of_pairs(
    pictures: list[Picture], numbers: Iterable[int], train: Iterable[bytes]
) -> np.ndarray:
    """Return the bits between each training photo and the picture of its number; 256 for none."""
    own = list(numbers)
    bits = np.full(len(own), 256)
    files = [(str(at), lambda data=data: data) for at, data in enumerate(train)]
    for copy in find_copies(photos(pictures), files, Findings(), max(LIMITS)):
        if own[at := int(copy.train)] == copy.test:
            bits[at] = copy.bits
    return bits


def shares(bits: np.ndarray) -> list[float]:
    return [float(np.mean(bits <= limit)) for limit in LIMITS]


def different(pictures: list[Picture]) -> None:
    """Print what is reported of different pictures, and of one scene that moves as in a burst."""
    copies = find_copies(photos(pictures), photos(pictures), Findings(), max(LIMITS))
    false = [copy for copy in copies if copy.test < int(copy.train)]
    count = len(pictures)
    rows: list[list[object]] = [
        [f"of {count * (count - 1) // 2:,} pairs",
         *(sum(copy.bits <= limit for copy in false) for limit in LIMITS)],
        [f"share of {count:,} pictures",
         *(len({c.train for c in false if c.bits <= limit}) / count for limit in LIMITS)],
    ]  # fmt: skip
    for share in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        windows = [
            [cut(one, left, 0, 0.3 - left, 0.3) for one in pictures] for left in (0, 0.7 * share)
        ]
        bits = bits_of_pairs(windows[0], range(count), map(jpeg, windows[1]))
        rows.append([f"one scene, moved by {share:.0%}", *shares(bits)])
    print("\n" + tabulate(rows, ["reported at bits", *LIMITS]))


def times(pictures: list[Picture]) -> None:
    """Print the CPU time of searching windows of half of the pictures for those of the others."""
    cuts = rng.uniform(0, 0.5, (TESTS, 2)).tolist()

    def windows(chosen: list[Picture], count: int) -> list[Photo]:
        parts = [(n % len(chosen), a, b, 0.5 - a, 0.5 - b) for n, (a, b) in enumerate(cuts[:count])]
        return photos([cut(chosen[n], *sides).resize((256, 192)) for n, *sides in parts])

    rows, train = [], windows(pictures[1::2], TRAIN)
    for count in (1, TESTS):
        test, start = windows(pictures[::2], count), time.process_time()
        find_copies(test, [], Findings())
        indexed = time.process_time() - start
        find_copies(test, train, Findings())
        searched = time.process_time() - start - 2 * indexed
        rows.append([f"{count:,}", indexed, 1e3 * searched / TRAIN])
    headers = ["test photos of 256 x 192", "CPU seconds to index", "CPU ms for a training photo"]
    print("\n" + tabulate(rows, headers, floatfmt=".2f"))


def photos(pictures: list[Picture]) -> list[Photo]:
    files = map(jpeg, pictures, [92] * len(pictures))
    return [(str(n), lambda data=data: data) for n, data in enumerate(files)]  # type: ignore[misc]


def painted(count: int) -> Iterator[Picture]:
    for latitude, longitude in rng.uniform((-50, -170), (65, 170), (count, 2)).tolist():
        taken = datetime(2008, int(rng.integers(1, 13)), 15, int(rng.integers(7, 18)))
        yield paint(latitude, longitude, taken, (400, 300), rng)


def photographs(folders: Iterable[str]) -> Iterator[Picture]:
    files = [p for folder in folders for p in sorted(Path(folder).rglob("*")) if p.is_file()]
    for path in {path.read_bytes(): path for path in files}.values():
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        corners = [(x, y) for y in range(0, picture.height - 479, 480)
                   for x in range(0, picture.width - 639, 640)]  # fmt: skip
        if len(corners) > 4:
            yield from (picture.crop((x, y, x + 640, y + 480)) for x, y in corners)
        picture.thumbnail((1024, 1024))
        yield picture


if __name__ == "__main__":
    main(sys.argv[1:])
