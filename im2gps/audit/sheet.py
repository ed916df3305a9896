"""A page of pairs of pictures: each test photo beside the training photo that is like it."""

from __future__ import annotations

import base64
import heapq
import io
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from gcd_metric.names import counted, visible
from geoload.files import atomic_write, explain_disk_errors, printable
from geoload.pictures import decode
from im2gps.audit.pictures import Copy
from im2gps.audit.similar import Similar
from im2gps.packs import Photo

Pair = Copy | Similar
_SIDE = 240  # pixels of the shorter side
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Test photos in training</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.4 sans-serif; margin: 1.5em auto; max-width: 60em; padding: 0 1em; }}
table {{ border-collapse: collapse; width: 100%; }}
th {{ text-align: left; }}
th + th {{ width: 47%; }}
td, th {{ padding: .4em; vertical-align: top; border-bottom: 1px solid #ccc; }}
img {{ display: block; max-width: 100%; max-height: 260px; }}
td span {{ font-size: .85em; overflow-wrap: anywhere; }}
</style></head><body><h1>Training photos that are like test photos</h1>
{tables}</body></html>
"""
_TABLE = """<h2>{title}</h2><p>{summary} {measure}</p>
<table><thead><tr><th>{column}</th><th>Test photo</th><th>Training photo</th></tr></thead>
<tbody>{rows}</tbody></table>
"""
_TEXTS = {  # by kind: title, heading of the numbers, and what they mean
    "picture": ("Copies", "Bits", "The number is how many of 256 bits differ: 0 if the pictures "
        "look the same, about 128 if they have nothing in common."),
    "similar": ("Similar embeddings", "Similarity", "The number is the cosine similarity of the "
        "embeddings: 1 if they have the same direction."),
}  # fmt: skip


class Sheet:
    """Keeps the most similar pairs of a kind while a search runs, for `write_sheet`."""

    def __init__(self, kind: str = "picture", limit: int = 200) -> None:
        self._kind, self._limit, self._pairs = kind, limit, 0
        self._nearest: list[tuple[float, int, Pair, bytes]] = []  # a heap, the least similar first

    def add(self, pair: Pair, data: bytes) -> None:
        """Add a pair and the bytes of its training photo: the argument `found` of a search."""
        self._pairs += 1
        entry = (pair.likeness, -self._pairs, pair)
        if len(self._nearest) < self._limit:
            heapq.heappush(self._nearest, (*entry, _thumbnail(data)))
        elif entry > self._nearest[0][:3]:
            heapq.heapreplace(self._nearest, (*entry, _thumbnail(data)))

    def table(self, test: Sequence[Photo]) -> str:
        """Return the pairs as HTML; the test photos are read again."""
        rows = []
        for _, _, pair, thumbnail in sorted(self._nearest, reverse=True):
            name, read = test[pair.test]
            cells = _cell(name, _thumbnail(read())) + _cell(pair.train, thumbnail)
            number = f"{pair.bits}" if isinstance(pair, Copy) else f"{pair.similarity:.4f}"
            rows.append(f"<tr><td>{number}</td>{cells}</tr>\n")
        summary, left = f"{counted(self._pairs, 'pairs')}, the most similar first.", ""
        if self._pairs > len(rows):
            left = f" The {self._pairs - len(rows):,} least similar are left off."
        title, column, measure = _TEXTS[self._kind]
        return _TABLE.format(
            title=title, column=column, summary=summary + left, measure=measure, rows="".join(rows)
        )


def write_sheet(
    path: str | os.PathLike[str], sheets: Iterable[Sheet], test: Sequence[Photo]
) -> None:
    """Write one HTML file with the pairs of each sheet.

    The page has small JPEGs made from the pixels alone, without the photos' metadata.
    """
    page = _PAGE.format(tables="".join(sheet.table(test) for sheet in sheets))
    with explain_disk_errors(path, "Give another path."), atomic_write(Path(path)) as file:
        file.write(page.encode())


def _thumbnail(data: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(decode(data, _SIDE)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _cell(name: str, thumbnail: bytes) -> str:
    text, picture = escape(visible(printable(name))), base64.b64encode(thumbnail).decode()
    return f'<td><img alt="{text}" src="data:image/jpeg;base64,{picture}"><span>{text}</span></td>'
