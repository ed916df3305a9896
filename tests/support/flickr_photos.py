"""A photo host on loopback, with the addresses and the faults of Flickr's, and a list of photos.

A photo has the sizes that its upload gave it: `_b` only where that was longer than 1,024 pixels,
and so on down; the one of 500 always. What a photo has for a fault, all its sizes have.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from im2gps.sample import with_comments

from .hub import Answer, Incoming, Loopback, Request, _Handler

SCHEMA = pa.schema(
    [(name, pa.string()) for name in
     ("photo_id", "secret", "server", "owner", "title", "tags", "date_taken")]
    + [("date_upload", pa.int64()), ("license", pa.int8()), ("latitude", pa.float64()),
       ("longitude", pa.float64()), ("accuracy", pa.int8()), ("query", pa.string()),
       ("original_secret", pa.string()), ("original_format", pa.string()),
       ("original_width", pa.int32()), ("original_height", pa.int32())]
)  # fmt: skip
_PATH = re.compile(r"/([0-9]+)/([0-9]+)_([0-9a-z]+?)(_[a-z])?\.([a-z]+)")
_LONGEST = {"_b": 1024, "_c": 800, "_z": 640, None: 500}
_SINCE = {"_c": 1330560000}
UNAVAILABLE = b"GIF89a\xf4\x01\x76\x01\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"

# Faults after which a photo is missing, and the reason that a build counts.
LASTING = {
    "404": "gone (404 or 410)",
    "410": "gone (404 or 410)",
    "unavailable": "placeholder instead of the photo",
    "unavailable elsewhere": "placeholder instead of the photo",
    "unavailable at once": "placeholder instead of the photo",
    "another photo": "placeholder instead of the photo",
    "another host": "redirected away from the photo host",
    "no address": "redirected away from the photo host",
    "loop": "redirected away from the photo host",
    "html": "no picture of the right type",
    "png": "no picture of the right type",
    "truncated": "truncated or damaged picture",
    "truncated, with an end": "truncated or damaged picture",
    "tiny": "picture too small",
    "bomb": "picture of too many pixels",
    "huge": "body too large",
    "endless": "body too large",
    "403": "refused (HTTP 403)",
    "500": "server busy or broken (429 or 5xx)",
    "reset": "connection broken or timed out",
    "cut": "connection broken or timed out",
}


def row(number: int, **fields: Any) -> dict[str, Any]:
    """A row of a list: a photo of 2007, 1,600 pixels long, by one of a few photographers."""
    return {
        "photo_id": str(231500000 + number),
        "secret": f"{number * 2654435761 % 16**10:010x}",
        "server": str(1 + number % 200),
        "owner": f"{10000000 + number % 37}@N00",
        "title": f"view {number}: with a colon",
        "tags": "rome italy",
        "date_taken": "2007-09-01 12:30:00",
        "date_upload": 1188650000 + number,
        "license": number % 8,
        "latitude": round(-60 + number * 7.3 % 120, 6),
        "longitude": round(-180 + number * 11.9 % 360, 6),
        "accuracy": 16,
        "query": "Rome",
        "original_secret": None,
        "original_format": None,
        "original_width": 1600,
        "original_height": 1200,
        **fields,
    }


def write_list(path: Path, rows: Iterable[dict[str, Any]], row_group_size: int = 100) -> str:
    """Write rows as the Parquet table that `im2gps build` takes."""
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path, row_group_size=row_group_size)
    return str(path)


def picture(photo_id: str, width: int, height: int) -> bytes:
    """A JPEG of this size with pixels that no other photo has."""
    random = np.random.default_rng(int(photo_id))
    small = random.integers(0, 255, (height // 32 + 1, width // 32 + 1, 3), dtype=np.uint8)
    pixels = np.kron(small, np.ones((32, 32, 1), np.uint8))[:height, :width]
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=85)


class FlickrPhotos(Loopback):
    """Serves the photos of some rows.

    `faults` maps photo ids to a kind of LASTING; `passing` maps them to statuses (429, 503, …) or
    "reset", given in turn before the photo comes; `bodies` gives some photos other pictures. The
    first `away` requests are all reset. From request `hold_at` on none is answered until `release`
    is called; `held` is set then. `asked` counts the requests for each path, `most` how many were
    under way at once.
    """

    def __init__(
        self,
        rows: Iterable[dict[str, Any]],
        faults: dict[str, str] | None = None,
        passing: dict[str, list[int | str]] | None = None,
        bodies: dict[str, bytes] | None = None,
        retry_after: str | None = "0",
        away: int = 0,
        hold_at: int | None = None,
    ) -> None:
        super().__init__()
        self.rows = {row["photo_id"]: row for row in rows}
        self.faults = faults or {}
        self.bodies = bodies or {}
        self.passing = {name: list(kinds) for name, kinds in (passing or {}).items()}
        self.away = away
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.held = threading.Event()
        self.most = 0
        self._under_way = 0
        self._headers = {} if retry_after is None else {"Retry-After": retry_after}
        self._hold_at = hold_at
        self._gate = threading.Event()

    def __exit__(self, *exc: object) -> None:
        self.release()
        super().__exit__(*exc)

    def release(self) -> None:
        """Answer the requests that `hold_at` delayed."""
        self._gate.set()

    def _serve(self, handler: _Handler, request: Incoming) -> None:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            self.asked[request.path] += 1
            self.requests.append(Request(request.method, request.path))
            self.agents.add(request.headers.get("User-Agent", ""))
            away = len(self.requests) <= self.away
            hold = self._hold_at is not None and len(self.requests) >= self._hold_at
        if hold:
            self.held.set()
            self._gate.wait()
        try:
            handler._break(reset=True) if away else self._reply(handler, request)
        finally:
            with self._lock:
                self._under_way -= 1

    def _reply(self, handler: _Handler, request: Incoming) -> None:
        found = _PATH.fullmatch(request.path)
        if found is None or found[2] not in self.rows:
            return handler.answer(self._elsewhere(request.path))
        photo = self.rows[found[2]]
        with self._lock:
            passing = self.passing.get(found[2])
            fault = passing.pop(0) if passing else self.faults.get(found[2])
        if fault is None:
            return handler.answer(self._photo(photo, found))
        if isinstance(fault, int):
            return handler.answer(Answer(fault, b"busy", self._headers))
        self._break(handler, fault, photo["photo_id"])

    def _elsewhere(self, path: str) -> Answer:
        if path == "/photo_unavailable.gif":
            return Answer(200, UNAVAILABLE, {"Content-Type": "image/gif"})
        return Answer(404, b"Not Found")

    def _photo(self, photo: dict[str, Any], found: re.Match[str]) -> Answer:
        size = (photo["original_width"] or 1600, photo["original_height"] or 1200)
        server, _, secret, suffix, kind = found.groups()
        if suffix == "_o":
            if (server, secret, kind) != (
                photo["server"], photo["original_secret"], photo["original_format"]
            ):  # fmt: skip
                return Answer(404)
            told = [f"latitude: {photo['latitude']}".encode(), b"title: tells"]
            return _jpeg(with_comments(picture(photo["photo_id"], *size), told))
        longest = _LONGEST[suffix]
        exists = max(size) > longest and photo["date_upload"] >= _SINCE.get(suffix, 0)
        if (server, secret, kind) != (photo["server"], photo["secret"], "jpg"):
            return Answer(404)
        if suffix is not None and not exists:
            return Answer(404, b"no such size")
        if photo["photo_id"] in self.bodies:
            return _jpeg(self.bodies[photo["photo_id"]])
        scale = min(1, longest / max(size))
        return _jpeg(picture(photo["photo_id"], *(max(1, round(side * scale)) for side in size)))

    def _break(self, handler: _Handler, fault: str, photo_id: str) -> None:
        whole = picture(photo_id, 500, 375)
        if fault == "reset":
            handler._break(reset=True)
        elif fault == "cut":
            handler._head(200, len(whole), {})
            handler.connection.sendall(whole[: len(whole) // 2])
            handler._break(reset=False)
        elif fault == "huge":
            handler._head(200, 10**10, {"Content-Type": "image/jpeg"})
            handler._break(reset=False)
        elif fault == "endless":
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while True:  # until the client hangs up, which is no error here
                handler.connection.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
        else:
            handler.answer(self._fault(fault, photo_id, whole))

    def _fault(self, fault: str, photo_id: str, whole: bytes) -> Answer:
        places = {
            "unavailable": "/photo_unavailable.gif",
            "unavailable elsewhere": "https://s.yimg.com/pw/images/en-us/photo_unavailable.png",
            "another photo": "/1/1_aa_b.jpg",
            "another host": f"http://127.0.0.1:9/1/{photo_id}_aa_b.jpg",
            "no address": "mailto:nobody",
            "loop": f"/1/{photo_id}_loop.jpg",
        }
        bodies = {
            "unavailable at once": UNAVAILABLE,
            "html": b"<!DOCTYPE html><title>Flickr</title>",
            "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
            "truncated": whole[: len(whole) // 2],
            "truncated, with an end": whole[: len(whole) // 2] + b"\xff\xd9",
            "tiny": picture(photo_id, 40, 30),
            "bomb": _claiming(whole, 40_000, 40_000),
        }
        if fault in places:
            return Answer(302, b"", {"Location": places[fault]})
        return _jpeg(bodies[fault]) if fault in bodies else Answer(int(fault), b"no")


def _jpeg(body: bytes) -> Answer:
    return Answer(200, body, {"Content-Type": "image/jpeg"})


def _claiming(jpeg: bytes, width: int, height: int) -> bytes:
    """Change the size that a JPEG's header claims."""
    frame = re.search(rb"\xff[\xc0\xc2]..", jpeg, re.DOTALL)
    assert frame is not None
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return jpeg[: frame.end() + 1] + size + jpeg[frame.end() + 5 :]
