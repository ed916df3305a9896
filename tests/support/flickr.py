"""A loopback stand-in for Flickr's REST API: `flickr.photos.search`, with its faults.

It answers as Flickr does: JSON with strings where Flickr has strings, at most 250 photos a page of
a search with `has_geo`, and from the 4,000th result on the first ones again.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from .hub import Answer, Incoming, Loopback

ENDPOINT = "/services/rest/"
REACH = 4000


def photo(number: int, upload: int, words: str = "rome", **values: Any) -> dict[str, Any]:
    """A photo as Flickr describes it; `words` become its tags."""
    return {
        "id": str(1_000_000_000 + number),
        "owner": f"{12_345_678 + number % 50}@N0{number % 8}",
        "secret": f"{number:010x}",
        "server": str(1 + number % 9000),
        "farm": 1 + number % 9,
        "title": f"Photo {number}",
        "ispublic": 1,
        "isfriend": 0,
        "isfamily": 0,
        "license": str(number % 8),
        "datetaken": "2006-09-01 12:30:00",
        "datetakengranularity": 0,
        "datetakenunknown": "0",
        "dateupload": str(upload),
        "tags": words,
        "latitude": f"{41.8 + number % 1000 / 10_000:.6f}",
        # Sometimes a string and sometimes a number, as in Flickr's answers.
        "longitude": 12.4 + number % 1000 / 10_000 if number % 2 else "12.492000",
        "accuracy": str(6 + number % 11),
        "context": 0,
        "views": str(number % 97),
        **({"originalsecret": f"{number:010x}", "originalformat": "jpg", "o_width": "1600",
            "o_height": "1200"} if number % 3 else {}),
        **values,
    }  # fmt: skip


class Flickr(Loopback):
    """Serves a search over some photos, which may be added to and taken from.

    Attributes
    ----------
    searches : list of dict
        The arguments of every search that came with the right key.
    targets : list of str
        The request lines of everything that came.
    before : callable, optional
        Called with the number of each search, from 1, and its arguments, before it is answered.
    short : callable, optional
        Given the number of a search, its arguments and the photos of its page; returns those that
        are sent, while the total stays.
    """

    def __init__(self, photos: Iterable[dict[str, Any]], key: str) -> None:
        super().__init__()
        self.photos = list(photos)
        self.key = key
        self.searches: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.before: Callable[[int, dict[str, str]], None] | None = None
        self.short: Callable[[int, dict[str, str], list[dict]], list[dict]] | None = None
        self._said: list[Answer | None] = []
        self._turn = threading.Lock()

    @property
    def api(self) -> str:
        """The address that takes the place of Flickr's."""
        return self.endpoint + ENDPOINT

    def say(self, answer: Answer | dict[str, Any] | None, times: int = 1) -> None:
        """Answer the next searches with this; None closes the connection."""
        if isinstance(answer, dict):
            answer = _json(answer)
        self._said += [answer] * times

    def refuse(self, code: int | str, message: str, times: int = 1) -> None:
        """Answer the next searches with `stat: fail`."""
        self.say({"stat": "fail", "code": code, "message": message}, times)

    def route(self, request: Incoming) -> Answer:
        self.targets.append(request.target)
        if request.path != ENDPOINT:
            return Answer(404, b"<html>not here</html>")
        fields = request.query | parse_qs(request.content.decode(), keep_blank_values=True)
        arguments = {name: values[0] for name, values in fields.items()}
        if arguments.pop("api_key", "") != self.key:
            return _json({"stat": "fail", "code": 100, "message": "Invalid API Key (bad format)"})
        if arguments.get("method") != "flickr.photos.search":
            return _json({"stat": "fail", "code": 112, "message": "Method not found"})
        with self._turn:
            self.searches.append(arguments)
            number = len(self.searches)
            if self.before is not None:
                self.before(number, arguments)
            if self._said:
                said = self._said.pop(0)
                if said is None:
                    raise ConnectionAbortedError
                return said
            return self._found(number, arguments)

    def _found(self, number: int, arguments: dict[str, str]) -> Answer:
        found = [photo for photo in self.photos if _fits(photo, arguments)]
        if arguments.get("sort") == "interestingness-desc":
            found.sort(key=lambda photo: -int(photo["views"]))
        size = min(int(arguments.get("per_page", 100)), 250 if "has_geo" in arguments else 500)
        page = max(int(arguments.get("page", 1)), 1)
        places = range((page - 1) * size, min(page * size, len(found)))
        shown = [found[place % REACH] for place in places]
        if self.short is not None:
            shown = self.short(number, arguments, shown)
        body = {
            "photos": {
                "page": page,
                "pages": -(-len(found) // size),
                "perpage": size,
                # A string in the answers of some years, a number in those of others.
                "total": len(found) if number % 2 else str(len(found)),
                "photo": [_with_extras(photo, arguments) for photo in shown],
            },
            "stat": "ok",
        }
        if arguments.get("format") != "json":
            return Answer(200, b'<?xml version="1.0" encoding="utf-8" ?><rsp stat="ok"></rsp>')
        if arguments.get("nojsoncallback") != "1":
            return Answer(200, b"jsonFlickrApi(" + json.dumps(body).encode() + b")")
        return _json(body)


_TERM = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
_EXTRAS = {
    "tags": ["tags"],
    "original_format": ["originalsecret", "originalformat"],
    "license": ["license"],
    "geo": ["latitude", "longitude", "accuracy", "context"],
    "date_taken": ["datetaken", "datetakengranularity", "datetakenunknown"],
    "date_upload": ["dateupload"],
    "o_dims": ["o_width", "o_height"],
    "views": ["views"],
}


def _with_extras(photo: dict[str, Any], arguments: dict[str, str]) -> dict[str, Any]:
    """Leave out what was not asked for."""
    asked = [name.strip() for name in arguments.get("extras", "").split(",")]
    hidden = {key for extra, keys in _EXTRAS.items() if extra not in asked for key in keys}
    return {key: value for key, value in photo.items() if key not in hidden}


def _fits(photo: dict[str, Any], arguments: dict[str, str]) -> bool:
    words = f"{photo['title']} {photo['tags']}".lower()
    for minus, phrase, word in _TERM.findall(arguments.get("text", "").lower()):
        if ((phrase or word) in words) == bool(minus):
            return False
    return (
        int(arguments.get("min_upload_date", 0)) <= int(photo["dateupload"])
        and int(photo["dateupload"]) <= int(arguments.get("max_upload_date", 2**40))
        and int(photo["accuracy"]) >= int(arguments.get("accuracy", 1))
    )


def _json(body: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
