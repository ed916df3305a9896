"""The command `im2gps search`: searches Flickr for photos of places and writes text lists.

Flickr repeats results after a few thousand, so the time of a keyword is divided into slices of
about 250 photos. The width of a slice follows from the density of the one before; a slice with too
many photos is halved. A list on disk contains whole slices only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gcd_metric.names import counted
from geoload.commands import add_subcommand
from geoload.files import file_lock
from geoload.messages import progress_bar
from geoload.report import Kind
from im2gps.flickr.api import API, PER_PAGE, Flickr, Page
from im2gps.flickr.http import RequestPolicy
from im2gps.flickr.ids import PHOTO_ID
from im2gps.flickr.state import FLICKR_OPENED, Progress, SearchState, day, shown
from im2gps.lists.records import KEYS, write_block

MAX_PAGES = 16
MAX_RESULTS = MAX_PAGES * PER_PAGE  # Flickr returns no more, or repeats results
DESIRED = 225  # photos of a slice: one page, with room for growth
MAX_SLICE = 2 * PER_PAGE
_DAY = 86_400  # seconds

Photo = dict[str, Any]  # as the API describes it


class Queries(NamedTuple):
    """The lines of a query file: keywords, and words that a photo must not have."""

    keywords: list[str]
    exclusions: list[str]

    def text(self, keyword: str) -> str:
        """Return the text of the search for a keyword."""
        return " ".join([keyword, *self.exclusions])


@dataclass
class Results:
    """The photos that the searches of one period of time have returned.

    `total` is the number of photos in Flickr's last answer, `photos` are all that were returned, by
    id. `current` are the ids returned since `total` last changed: then pages shift, and a photo
    that was not returned may be on a page that was already read.
    """

    total: int = -1
    photos: dict[str, Photo] = field(default_factory=dict)
    current: set[str] = field(default_factory=set)

    def add_page(self, page: Page) -> None:
        """Add the photos of one answer."""
        if page.total != self.total:
            self.total, self.current = page.total, set()
        photos = {str(photo.get("id", "")): photo for photo in page.photos}
        self.add({name: photo for name, photo in photos.items() if re.fullmatch(PHOTO_ID, name)})

    def add(self, photos: dict[str, Photo]) -> None:
        """Add photos by their ids."""
        self.photos |= photos
        self.current |= photos.keys()

    @property
    def missing(self) -> int:
        """How many of the photos that Flickr should return are missing."""
        return max(min(self.total, MAX_RESULTS) - len(self.current), 0)

    @property
    def beyond(self) -> int:
        """How many photos come after the last result that Flickr returns."""
        return max(self.total - MAX_RESULTS, 0)


def read_queries(path: str | Path) -> Queries:
    """Read a query file: a keyword or phrase a line, with a minus before words to exclude.

    Blank lines and lines that start with `#` are skipped, and so are keywords that differ from an
    earlier one only in case. Raises FileNotFoundError, or ValueError if the file has no keywords
    or is not UTF-8.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file. It should be a text file with one keyword or phrase a "
            "line."
        )
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8.") from None
    keywords: dict[str, str] = {}
    exclusions: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("-"):
            words = line[1:].strip()
            # Without quotes `-birthday party` would exclude birthdays and require parties.
            quoted = f'"{words}"' if " " in words and '"' not in words else words
            exclusions += [f"-{quoted}"] if words else []
        elif line and not line.startswith("#"):
            keywords.setdefault(line.casefold(), line)
    if not keywords:
        raise ValueError(f"{path} contains no keywords: write one keyword or phrase per line.")
    return Queries(list(keywords.values()), exclusions)


class Search:
    """Fills the lists of a search.

    `recheck` is how often to search again if Flickr returns fewer photos than it counts: each
    step repeats the search, and then searches both halves of the period.
    """

    def __init__(self, flickr: Flickr, state: SearchState, queries: Queries, recheck: int) -> None:
        self._flickr, self._state = flickr, state
        self._queries, self._recheck = queries, recheck

    async def run(self) -> None:
        """Complete the list of each keyword."""
        async with self._flickr:
            for word in self._queries.keywords:
                progress = self._state.begin(word)
                if not progress.done:
                    await self._fill(word, progress, self._state.photo_ids(word))
                    trailer = f"Total images queried: {progress.photos}\n".encode()
                    self._state.append(word, trailer, done=True)

    async def _fill(self, word: str, progress: Progress, known: set[str]) -> None:
        start, stop = self._state.search["from"], self._state.search["to"]
        text = self._queries.text(word)
        width = progress.width or stop - progress.next + 1
        days = (stop + 1 - start) // _DAY
        with progress_bar(word, days, "day") as bar:
            while progress.next <= stop:
                width = min(width, stop - progress.next + 1)
                end = progress.next + width - 1
                first = await self._flickr.search(text, progress.next, end, 1)
                if first.total > MAX_SLICE and width > 1:
                    width = max(min(width // 2, width * DESIRED // first.total), 1)
                    continue
                results = Results()
                await self._collect(results, (text, progress.next, end), self._recheck, first)
                lines = self._lines(word, (progress.next, end), results, known)
                new = len(results.photos.keys() - known)
                known.update(results.photos)
                width = int(width * min(max(DESIRED / max(results.total, 1), 0.25), 4)) or 1
                self._state.append(
                    word, lines, next=end + 1, width=width, photos=progress.photos + new,
                    slices=progress.slices + 1, hidden=progress.hidden + results.missing,
                    beyond=progress.beyond + results.beyond,
                )  # fmt: skip
                bar.set_postfix(photos=progress.photos, refresh=False)
                bar.update((progress.next - start) // _DAY - bar.n)

    async def _collect(
        self, results: Results, span: tuple[str, int, int], recheck: int, first: Page | None = None
    ) -> None:
        """Collect the photos of a period; `span` is the search text, the start and the stop.

        Pages shift while they are read and can be short: another search, or one of a shorter
        period, may return the missing photos.
        """
        text, start, stop = span
        await self._read_pages(results, span, first)
        for _ in range(recheck if start == stop else min(recheck, 1)):
            if results.missing:
                await self._read_pages(results, span)
        middle = (start + stop) // 2
        for half in ((text, start, middle), (text, middle + 1, stop)):
            if recheck and start < stop and results.missing:
                part = Results()
                await self._collect(part, half, recheck - 1)
                results.add(part.photos)

    async def _read_pages(
        self, results: Results, span: tuple[str, int, int], first: Page | None = None
    ) -> None:
        results.add_page(first or await self._flickr.search(*span, 1))
        number = 1
        while number < min(_page_count(results.total), MAX_PAGES):
            number += 1
            results.add_page(await self._flickr.search(*span, number))

    def _lines(self, word: str, span: tuple[int, int], results: Results, known: set[str]) -> bytes:
        """Return what a slice adds to its list, and report what is missing from it."""
        report = self._state.report
        start, stop = map(shown, span)
        if results.missing:
            report.add(
                Kind("hidden_photos", "slices with fewer photos than Flickr counts"),
                f"{word}, {start} to {stop}: {results.missing} of {results.total:,}",
            )
        if results.beyond:
            report.add(
                Kind("too_many_photos", f"seconds with more than {MAX_RESULTS:,} photos"),
                f"{word}, {start}: {results.beyond:,} of {results.total:,}",
            )
        again = [photo_id for photo_id in results.photos if photo_id in known]
        report.add_many(Kind("repeated_photo", "repeated photos, left out"), len(again), again)
        if not results.total:
            return b""
        pages = _page_count(results.total)
        visited = min(pages, MAX_PAGES)
        head = (
            f"\nmintime: {span[0]} maxtime: {span[1]}\nnumimgs: {results.total}\n"
            f"total pages: {pages}\n"
            f"visiting only {visited} pages ( up to {visited * PER_PAGE} images)\n"
        )
        lines = [head.encode()]
        for rank, (photo_id, photo) in enumerate(results.photos.items(), 1):
            if photo_id not in known:
                values = {key: _text(photo.get(key)) for key in KEYS}  # the API's keys, too
                values["photo"] = " ".join(_text(photo.get(k)) for k in ("id", "secret", "server"))
                values["interestingness"] = f"{rank} out of {results.total}"
                lines.append(write_block(values))
        return b"".join(lines)


def _page_count(total: int) -> int:
    return -(-total // PER_PAGE)


def _text(value: Any) -> str:
    if isinstance(value, dict):  # titles of some answers
        value = value.get("_content")
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value)


def add_command(commands: Any) -> None:
    """Add `im2gps search` to the command line."""
    text = "search Flickr for photos of places, and write lists of them"
    add = add_subcommand(commands, "search", _run, text).add_argument
    text = (
        "text file with one keyword or phrase per line; a line that starts with - excludes a word"
    )
    add("query_file", metavar="QUERY_FILE", help=text)
    text = "folder for the lists; if it contains a search that was stopped, the search continues"
    add("-o", "--output", required=True, metavar="LISTS_DIR", help=text)
    text = f"first day of upload, in UTC (default {FLICKR_OPENED})"
    add("--from", dest="start", type=day, metavar="DATE", help=text)
    text = "last day of upload (default: today)"
    add("--to", dest="stop", type=day, metavar="DATE", help=text)
    add("--api", default=API, metavar="URL", help=f"default: {API}")
    text = "time between the starts of two requests (default 1)"
    add("--interval", type=_seconds, default=1.0, metavar="SECONDS", help=text)
    text = "how often to repeat a request if Flickr is busy or cannot be reached (default 12)"
    add("--retries", type=int, default=12, metavar="N", help=text)
    text = "wait before the first retry, doubled up to 5 minutes (default 1)"
    add("--backoff", type=_seconds, default=1.0, metavar="SECONDS", help=text)
    text = (
        "how often to repeat a search, and to search each half of its time interval, if Flickr "
        "returns fewer photos than it counts (default 2)"
    )
    add("--recheck", type=int, default=2, metavar="N", help=text)


def _run(
    query_file: str, output: str, start: int | None, stop: int | None, api: str, interval: float,
    retries: int, backoff: float, recheck: int,
) -> None:  # fmt: skip
    key = os.environ.get("FLICKR_API_KEY", "").strip()
    if not key:
        raise ValueError(
            "FLICKR_API_KEY is not set. Get a key at "
            "https://www.flickr.com/services/apps/create/; it is read from the environment only."
        )
    queries = read_queries(query_file)
    stop = None if stop is None else stop + _DAY - 1
    rate = 1 / interval if interval else 0
    tries = max(retries, 0) + 1
    flickr = Flickr(api, key, RequestPolicy(rate, 1, tries, backoff, max_backoff=300))
    try:
        busy = ValueError(f"another search is running in {output}.")
        with file_lock(os.path.join(output, ".search.lock"), busy):
            state = SearchState(output, start, stop, queries.exclusions)
            asyncio.run(Search(flickr, state, queries, max(recheck, 0)).run())
    except KeyboardInterrupt:
        print("\nim2gps: run the same command again to continue.", file=sys.stderr)
        raise
    lists = [state.lists[word] for word in queries.keywords]
    print(f"{counted(sum(entry.photos for entry in lists), 'photos')} of "
          f"{counted(len(lists), 'keywords')} in "
          f"{counted(sum(entry.slices for entry in lists), 'slices')}; "
          f"{counted(flickr.requests, 'requests')} this time")  # fmt: skip
    hidden, beyond = sum(entry.hidden for entry in lists), sum(entry.beyond for entry in lists)
    if hidden or beyond:
        print(f"  without {counted(hidden + beyond, 'photos')} that Flickr counts: {hidden:,} not "
              f"returned, {beyond:,} after the last result that it returns")  # fmt: skip
    empty = [word for word in queries.keywords if not state.lists[word].photos]
    state.report.add_many(Kind("empty", "keywords without a photo"), len(empty), empty)
    for kind in state.report.counts:
        print(f"  {state.report.line(kind)}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < _DAY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
