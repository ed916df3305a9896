"""Find copies of test photos among training photos by picture.

A copy is re-encoded, resized, brighter or darker, has a plain border, or is cropped by at most
`MARGIN` of each side. Pictures are compared by the signs of their low frequencies (the hash of
Zauner, 2010: "Implementation and benchmarking of perceptual image hash functions").
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dct

from geoload.messages import progress_bar
from geoload.pictures import PictureError, decode
from geoload.processes import ahead
from geoload.report import Findings, Kind
from im2gps.audit.hamming import HammingIndex
from im2gps.packs import PackError, Photo

MAX_BITS = 36
MARGIN = 0.1  # of the width or height, at each side
UNREADABLE = Kind("unreadable_picture", "pictures that cannot be decoded")
PLAIN = Kind("plain_picture", "pictures too plain to compare")
_SIDE = 64  # pixels of the square to which a picture is reduced
_DETAIL = 16  # frequencies in each direction, 256 bits; the coarse hash has 8 and 64 bits
_STEPS = 5  # positions of an edge within the margin
_COARSE_BITS = 8
_NOISE = 128.0  # amplitude of each frequency in noise of one grey level
_LEAST_WAVES = 56  # of the 64 coarse frequencies, above the noise in a picture to compare
_BORDER = 12.0  # range of grey levels in a line of a plain border
_MOST_BORDER = 0.25  # of the width or height, at each side

Views = list[np.ndarray] | str  # grey squares, or why there are none


class Copy(NamedTuple):
    """A training photo that is a copy of a test photo; `bits` of 256 differ."""

    test: int  # position among the test photos
    train: str
    bits: int

    @property
    def likeness(self) -> float:
        """A number that is larger for more similar pictures."""
        return -self.bits


def find_copies(
    test: Sequence[Photo],
    train: Iterable[Photo],
    report: Findings,
    max_bits: int = MAX_BITS,
    found: Callable[[Copy, bytes], object] | None = None,
) -> list[Copy]:
    """Return the training photos that are copies of test photos, the most similar first.

    The search is exact. A copy differs in at most 8 of 64 bits from a crop of the test photo that
    cuts 0, 5 or 10 % off each side, and in at most `max_bits` of 256 bits from a crop in steps of
    2.5 %. Only bits whose frequency in the crop is above the noise are compared; the number that
    differ is then scaled to 256. Memory: about 7 kB for each test photo. Photos are decoded and
    compared in one thread for each core.

    Parameters
    ----------
    test : sequence of (name, function that returns the file's bytes)
    train : iterable of the same, read once
    report : Findings
        Counts the photos that cannot be decoded, and test photos that are too plain to compare.
    max_bits : int
        From 0 to 128, which is half of the bits; about half of them differ between unrelated
        pictures.
    found : callable, optional
        Called with each copy and the training photo's bytes, in the order of `train`.
    """
    if not 0 <= max_bits <= 128:
        raise ValueError(f"max_bits={max_bits}: must be from 0 to 128 of 256 bits")
    index = _TestPhotos()
    photos = progress_bar("Test photos", len(test), "photo", items=test)
    for number, (name, _, views) in enumerate(ahead(_read, photos)):
        added = [index.add(number, view) for view in _readable(name, views, report)]
        if added and not any(added):
            report.add(PLAIN, name)
    index.sort()

    def search(photo: Photo) -> tuple[str, bytes, Views, dict[int, int]]:
        name, data, views = _read(photo)
        best: dict[int, int] = {}
        for view in views if isinstance(views, list) else []:
            for number, bits in index.matches(view, max_bits):
                best[number] = min(bits, best.get(number, bits))
        return name, data, views, best

    copies = []
    photos = progress_bar("Training photos", unit="photo", items=train)
    for name, data, views, best in ahead(search, photos):
        _readable(name, views, report)
        for number, bits in best.items():
            copies.append(Copy(number, name, bits))
            if found:
                found(copies[-1], data)
    return sorted(copies, key=lambda copy: (copy.bits, copy.test, copy.train))


def _readable(name: str, views: Views, report: Findings) -> list[np.ndarray]:
    """Return the views of a photo; report it if it cannot be decoded."""
    if isinstance(views, str):
        report.add(UNREADABLE, f"{name}: {views}")
        return []
    return views


def _read(photo: Photo) -> tuple[str, bytes, Views]:
    """Return a photo's name, bytes and views, or what is wrong with it."""
    (name, read), data = photo, b""
    try:
        data = read()
        return name, data, _views(decode(data, 2 * _SIDE))
    except (PictureError, PackError, OSError) as error:
        return name, data, str(error)


def _views(pixels: np.ndarray) -> list[np.ndarray]:
    """Return a picture as a grey square, and a second one without its plain border, if any."""
    grey = Image.fromarray(pixels).convert("L")
    box = _without_border(np.asarray(grey, np.int16))
    boxes = {(0, 0, *grey.size), box}
    return [
        np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, one))
        for one in sorted(boxes)
    ]


def _without_border(grey: np.ndarray) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of a grey picture inside of its plain border."""

    def inside(lines: np.ndarray) -> tuple[int, int]:
        most = int(_MOST_BORDER * len(lines))
        edges = []
        for part in (lines[:most], lines[::-1][:most]):
            plain = (np.ptp(part, axis=1) <= _BORDER) & (
                np.abs(part.mean(1) - part[:1].mean()) <= _BORDER
            )
            edge = most if plain.all() else int(plain.argmin())
            edges.append(edge + (edge > 0))  # the next line is mixed with the border
        return edges[0], len(lines) - edges[1]

    (top, bottom), (left, right) = inside(grey), inside(grey.T)
    return left, top, right, bottom


@functools.cache
def _transforms() -> np.ndarray:
    """Return matrices that crop a line of pixels and take its cosine transform.

    Shape (steps · steps, detail, side): one for each pair of what is cut off at both ends.
    """
    cosines = dct(np.eye(_SIDE), axis=0)[:_DETAIL]
    cuts = np.linspace(0, MARGIN, _STEPS) * _SIDE
    pixels = np.arange(_SIDE)
    matrices = []
    for first, last in itertools.product(cuts, cuts):
        edges = np.linspace(first, _SIDE - last, _SIDE + 1)
        start, stop = edges[:-1, None], edges[1:, None]
        weights = np.clip(np.minimum(stop, pixels + 1) - np.maximum(start, pixels), 0, None)
        matrices.append(cosines @ (weights / weights.sum(1, keepdims=True)))
    return np.array(matrices, np.float32)


def _waves(square: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Return the frequencies of all crops of a grey square, shape (crops, detail · detail)."""
    # Small products, because numpy's library shares large ones out among all cores, which is slower
    # here and takes them from the other threads.
    rows = transforms @ square.astype(np.float32)
    waves: np.ndarray = rows[:, None] @ transforms.transpose(0, 2, 1)
    return waves.reshape(len(transforms) ** 2, -1)


def _words(square: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Return the coarse hashes of all crops of a grey square, in words of 64 bits."""
    bits = _waves(square, transforms[:, : _DETAIL // 2]) > 0
    words: np.ndarray = np.packbits(bits, axis=-1).view(np.uint64)[..., 0]
    return words


class _TestPhotos:
    """The views of the test photos, found by the coarse hashes of their crops."""

    def __init__(self) -> None:
        self._views: list[tuple[int, np.ndarray]] = []
        self._words: list[np.ndarray] = []

    def add(self, number: int, square: np.ndarray) -> bool:
        """Add a view of a test photo, or return False if it is too plain."""
        whole = _waves(square, _transforms()[:1, : _DETAIL // 2])
        if np.count_nonzero(np.abs(whole) > _NOISE) < _LEAST_WAVES:
            return False
        edges = np.arange(0, _STEPS, 2)
        cuts = (edges[:, None] * _STEPS + edges).ravel()
        self._views.append((number, square))
        self._words.append(np.unique(_words(square, _transforms()[cuts])))
        return True

    def sort(self) -> None:
        """Make the index, after the last photo was added."""
        words = np.concatenate([np.empty(0, np.uint64), *self._words])
        sizes = [len(words) for words in self._words]
        self._index = HammingIndex(words, _COARSE_BITS)
        self._owners = np.repeat(np.arange(len(sizes)), sizes)
        self._words.clear()

    def matches(self, square: np.ndarray, max_bits: int) -> Iterator[tuple[int, int]]:
        """Yield the numbers of the test photos of which a view is a copy, and the bits."""
        whole = _transforms()[:1]
        bits = _waves(square, whole) > 0
        near = self._index.near(_words(square, whole)[0])
        for owner in np.unique(self._owners[near]).tolist():
            number, view = self._views[owner]
            waves = _waves(view, _transforms())
            compared = np.abs(waves) > _NOISE
            differing = np.count_nonzero(compared & ((waves > 0) != bits), axis=1)
            counts = np.maximum(np.count_nonzero(compared, axis=1), _LEAST_WAVES)
            least = round(_DETAIL**2 * float((differing / counts).min()))
            if least <= max_bits:
                yield number, least
