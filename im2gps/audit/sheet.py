"""A page of picture pairs: each test photo beside the training photo that is its copy."""

from __future__ import annotations

import base64
import heapq
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from gcd_metric.names import counted, visible
from geoload.files import atomic_write, explain_disk_errors, printable
from geoload.pictures import decode
from im2gps.audit.pictures import Copy
from im2gps.packs import Photo

_SIDE = 240  # pixels of the shorter side
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Copies of test photos</title>
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
</style></head><body><h1>Copies of test photos among training photos</h1>
<p>{summary} The number is how many of 256 bits differ: 0 if the pictures look the same, about 128
if they have nothing in common.</p>
<table><thead><tr><th>Bits</th><th>Test photo</th><th>Training photo</th></tr></thead>
<tbody>{rows}</tbody></table></body></html>
"""


class Sheet:
    """Keeps the most similar pairs while a search runs, then writes them as one HTML file.

    The page has small JPEGs made from the pixels alone, without the photos' metadata.
    """

    def __init__(self, limit: int = 200) -> None:
        self._limit, self._pairs = limit, 0
        self._nearest: list[tuple[int, int, Copy, bytes]] = []  # a heap, the least similar first

    def add(self, copy: Copy, data: bytes) -> None:
        """Add a pair and the bytes of its training photo: the argument `found` of `find_copies`."""
        self._pairs += 1
        entry = (-copy.bits, -self._pairs, copy)
        if len(self._nearest) < self._limit:
            heapq.heappush(self._nearest, (*entry, _thumbnail(data)))
        elif entry > self._nearest[0][:3]:
            heapq.heapreplace(self._nearest, (*entry, _thumbnail(data)))

    def write(self, path: str | os.PathLike[str], test: Sequence[Photo]) -> None:
        """Write the page; the test photos are read again."""
        rows = []
        for _, _, copy, thumbnail in sorted(self._nearest, reverse=True):
            name, read = test[copy.test]
            cells = _cell(name, _thumbnail(read())) + _cell(copy.train, thumbnail)
            rows.append(f"<tr><td>{copy.bits}</td>{cells}</tr>\n")
        summary, left = f"{counted(self._pairs, 'pairs')}, the most similar first.", ""
        if self._pairs > len(rows):
            left = f" The {self._pairs - len(rows):,} least similar are left off."
        page = _PAGE.format(summary=summary + left, rows="".join(rows))
        with explain_disk_errors(path, "Give another path."), atomic_write(Path(path)) as file:
            file.write(page.encode())


def _thumbnail(data: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(decode(data, _SIDE)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _cell(name: str, thumbnail: bytes) -> str:
    text, picture = escape(visible(printable(name))), base64.b64encode(thumbnail).decode()
    return f'<td><img alt="{text}" src="data:image/jpeg;base64,{picture}"><span>{text}</span></td>'
