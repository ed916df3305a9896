"""Adds the training photos that are copies of test photos, by picture, to an overlap."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from gcd_metric.matching import match_ids
from geoload.report import Findings
from im2gps.audit.overlap import Overlap
from im2gps.audit.pictures import find_copies
from im2gps.audit.sheet import Sheet
from im2gps.audit.sources import Source, flickr_ids, open_photos
from im2gps.packs import Photo


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
            names = [name for name, _ in of_set]
            own = np.flatnonzero(found.photos["test_set"] == number)
            left = right = np.arange(len(own))
            if names != (in_rows := found.photos["name"].iloc[own].tolist()):
                left, right, *_ = match_ids(names, in_rows)
            photos += [of_set[at] for at in left.tolist()]
            rows += own[right].tolist()

        def training() -> Iterator[Photo]:
            for source in train:  # threads read ahead, also after the last photo was returned
                yield from stack.enter_context(open_photos(source))

        sheet, report = Sheet(), Findings()
        keep = sheet.add if page else None
        copies = find_copies(photos, training(), report, found=keep)
        if page:
            sheet.write(page, photos)
    train[0].findings.merge(report)
    names = pa.array([copy.train for copy in copies], pa.string())
    columns = {
        "test": [rows[copy.test] for copy in copies],
        "train": names.dictionary_encode().indices.to_numpy(),
        "name": names.to_pandas(),
        "photo_id": flickr_ids(names).to_pandas(types_mapper={pa.uint64(): pd.UInt64Dtype()}.get),
        "bits": [copy.bits for copy in copies],
    }
    found.add("picture", columns)
