"""Adds the training photos that look like test photos to an overlap, by picture or embedding."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gcd_metric.matching import match_ids
from geoload.report import Findings
from im2gps.audit.overlap import Overlap
from im2gps.audit.sheet import Pair, Sheet, write_sheet
from im2gps.audit.sources import Source, flickr_ids, open_photos
from im2gps.packs import Photo

_MEASURES = {"picture": "bits", "similar": "similarity"}  # by kind, the attribute of its pairs
Search = Callable[..., Sequence[Pair]]


def check_photos(sources: Sequence[Source]) -> None:
    """Raise ValueError if a source, such as a table, has no photos."""
    for source in sources:
        with open_photos(source):
            pass


def add_copies(
    found: Overlap, train: Sequence[Source], searches: Mapping[str, Search], page: str | None = None
) -> None:
    """Find pairs of photos, and write an HTML page of the most similar ones.

    `searches` are functions like `find_copies` by kind: `picture` or `similar`. Raises ValueError
    if the photos and the rows of a test set cannot be matched.
    """
    sheets, reports = [], []
    with _open_tests(found) as (photos, rows):
        for kind, search in searches.items():
            sheet, report = Sheet(kind), Findings()
            keep = sheet.add if page else None
            with _open_training(train) as training:
                pairs = search(photos, training, report, found=keep)
            found.add(kind, _columns(pairs, rows, _MEASURES[kind]))
            sheets.append(sheet)
            reports.append(report)
        if page:
            write_sheet(page, sheets, photos)
    train[0].findings.merge(reports[0])  # the same pictures cannot be decoded for the others


@contextlib.contextmanager
def _open_tests(found: Overlap) -> Iterator[tuple[list[Photo], list[int]]]:
    """Return the photos of all test sets, and the row of each."""
    with contextlib.ExitStack() as stack:
        photos: list[Photo] = []
        rows: list[int] = []
        for number, source in enumerate(found.tests):
            of_set = [*stack.enter_context(open_photos(source))]
            names = [name for name, _ in of_set]
            own = np.flatnonzero(found.photos["test_set"] == number)
            left = right = np.arange(len(own))
            if names != (in_rows := found.photos["name"].iloc[own].tolist()):
                left, right, *_ = match_ids(names, in_rows)
            photos += [of_set[at] for at in left.tolist()]
            rows += own[right].tolist()
        yield photos, rows


@contextlib.contextmanager
def _open_training(train: Sequence[Source]) -> Iterator[Iterator[Photo]]:
    """Return the photos of all training sets.

    Threads read photos ahead, so the files stay open after the last photo was returned.
    """
    with contextlib.ExitStack() as stack:
        yield (photo for source in train for photo in stack.enter_context(open_photos(source)))


def _columns(pairs: Sequence[Pair], rows: Sequence[int], measure: str) -> dict[str, Any]:
    """Return the columns of pairs for `Overlap.add`."""
    names = pa.array([pair.train for pair in pairs], pa.string())
    return {
        "test": [rows[pair.test] for pair in pairs],
        "train": names.dictionary_encode().indices.to_numpy(),
        "name": names.to_pandas(),
        "photo_id": flickr_ids(names).to_pandas(types_mapper={pa.uint64(): pd.UInt64Dtype()}.get),
        measure: [getattr(pair, measure) for pair in pairs],
    }
