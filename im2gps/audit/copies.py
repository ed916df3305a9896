"""Adds the training photos that are copies of test photos, by picture, to an overlap."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from gcd_metric.matching import match_ids
from im2gps.audit.overlap import Overlap, Pairs
from im2gps.audit.pictures import find_copies
from im2gps.audit.sheet import Sheet
from im2gps.audit.sources import Source, flickr_ids, open_photos
from im2gps.packs import Photo

KIND = "picture"


def check_photos(sources: Sequence[Source]) -> None:
    """Raise ValueError if a source, such as a table, has no photos."""
    for source in sources:
        with open_photos(source):
            pass


def add_copies(found: Overlap, train: Sequence[Source], page: str | None = None) -> None:
    """Find copies, and write an HTML page of the most similar pairs.

    Raises ValueError if the photos and the rows of a test set cannot be matched.
    """
    with contextlib.ExitStack() as stack:
        photos: list[Photo] = []
        rows: list[int] = []
        for number, source in enumerate(found.tests):
            of_set = [*stack.enter_context(open_photos(source))]
            names, own = [name for name, _ in of_set], np.flatnonzero(found.test_set == number)
            left = right = np.arange(len(own))
            if names != (in_rows := found.names.take(own).to_pylist()):
                left, right, *_ = match_ids(names, in_rows)
            photos += [of_set[at] for at in left.tolist()]
            rows += own[right].tolist()

        def training() -> Iterator[Photo]:
            for source in train:
                with open_photos(source) as some:
                    yield from some

        sheet = Sheet()
        keep = sheet.add if page else lambda copy, data: None
        copies = find_copies(photos, training(), train[0].findings, found=keep)
        if page:
            sheet.write(page, photos)
    if not copies:
        return
    at = np.array([rows[copy.test] for copy in copies])
    train_names = pa.array([copy.train for copy in copies])
    bits = [copy.bits for copy in copies]
    nowhere = np.full(len(at), np.nan)
    found.pairs.append(
        Pairs(KIND, at, train_names, flickr_ids(train_names), nowhere, np.array(bits))
    )
    for number in range(len(found.tests)):
        of_tests = train_names.filter(pa.array(found.test_set[at] == number))
        found.train_photos[number, KIND] = len(of_tests.unique())
