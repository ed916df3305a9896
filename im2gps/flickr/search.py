"""The command `im2gps search`: asks Flickr for photos of places and writes the text lists.

Flickr repeats itself after some thousand results, so a keyword's time is cut into slices of about
250 photos, each as long as the one before lets expect, halved or less where it holds too many. A
slice is in the list whole or not at all.
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

import filelock
from tqdm import tqdm

from im2gps.flickr.api import API, PER_PAGE, Flickr, Manners, Page
from im2gps.flickr.folder import FLICKR_OPENED, Folder, Progress, day, shown
from im2gps.lists.records import KEYS, write_block

PAGES = 16
REACH = PAGES * PER_PAGE  # Flickr gives no more results of a search, or the same again
DESIRED = 225  # of a slice: one page, with room for growth
AT_MOST = 2 * PER_PAGE
_ID = re.compile("[1-9][0-9]{0,19}")

Photo = dict[str, Any]  # as the API describes it


class Queries(NamedTuple):
    """The lines of a query file: what to look for, and what a photo must not have."""

    keywords: list[str]
    exclusions: list[str]

    def text(self, keyword: str) -> str:
        """Return the text of the search for a keyword."""
        return " ".join([keyword, *self.exclusions])


@dataclass
class Found:
    """What a search for some stretch of time has shown.

    Attributes
    ----------
    total : int
        How many photos Flickr counts, by its last answer.
    photos : dict of str to dict
        All that were shown, by id.
    since : set of str
        Ids of those shown since Flickr changed its count: with it, pages shift, and what was not
        yet shown may be on a page that was.
    """

    total: int = -1
    photos: dict[str, Photo] = field(default_factory=dict)
    since: set[str] = field(default_factory=set)

    def add(self, page: Page) -> None:
        """Take in one answer."""
        if page.total != self.total:
            self.total, self.since = page.total, set()
        shown = {str(photo.get("id", "")): photo for photo in page.photos}
        self.merge({name: photo for name, photo in shown.items() if _ID.fullmatch(name)})

    def merge(self, photos: dict[str, Photo]) -> None:
        """Take in photos by their ids."""
        self.photos |= photos
        self.since |= photos.keys()

    @property
    def missing(self) -> int:
        """How many photos within reach have not been shown."""
        return max(min(self.total, REACH) - len(self.since), 0)

    @property
    def beyond(self) -> int:
        """How many photos are out of reach."""
        return max(self.total - REACH, 0)


def read_queries(path: str | Path) -> Queries:
    """Read a query file: a keyword or phrase a line, a minus before what a photo must not have.

    Blank lines and lines that start with `#` are passed over, and keywords that differ only in
    case come once.

    Raises
    ------
    ValueError
        When there is no keyword, or the file is no UTF-8 text.
    FileNotFoundError
        When there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; it should be a text of places, a keyword or phrase "
            "a line."
        )
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text ({error.reason}): save it as such.") from None
    keywords: dict[str, str] = {}
    exclusions: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("-"):
            exclusions += _exclusion(line[1:].strip())
        elif line and not line.startswith("#"):
            keywords.setdefault(line.casefold(), line)
    if not keywords:
        raise ValueError(f"{path} names no places: it holds a keyword or phrase a line.")
    return Queries(list(keywords.values()), exclusions)


def _exclusion(words: str) -> list[str]:
    """A phrase goes in quotes: `-birthday party` would ask for parties."""
    if " " in words and '"' not in words:
        words = f'"{words}"'
    return [f"-{words}"] if words else []


class Search:
    """Fills the lists of a folder from Flickr.

    Parameters
    ----------
    flickr : Flickr
    folder : Folder
    queries : Queries
    recheck : int
        How hard to look where Flickr shows fewer photos than it counts: each step asks once more,
        and then for both halves of the time.
    """

    def __init__(self, flickr: Flickr, folder: Folder, queries: Queries, recheck: int) -> None:
        self._flickr = flickr
        self._folder = folder
        self._queries = queries
        self._recheck = recheck

    async def run(self) -> None:
        """Search for each keyword whose list is not finished."""
        for word in self._queries.keywords:
            progress = self._folder.begin(word)
            if not progress.done:
                await self._fill(word, progress, self._folder.photo_ids(word))
                trailer = f"Total images queried: {progress.photos}\n".encode()
                self._folder.append(word, trailer, done=True)

    async def _fill(self, word: str, progress: Progress, known: set[str]) -> None:
        start, stop = self._folder.search["from"], self._folder.search["to"]
        text = self._queries.text(word)
        width = progress.width or stop - progress.next + 1
        with tqdm(total=(stop + 1 - start) // 86_400, desc=word, unit="day", delay=2) as bar:
            while progress.next <= stop:
                width = min(width, stop - progress.next + 1)
                end = progress.next + width - 1
                first = await self._flickr.search(text, progress.next, end, 1)
                if first.total > AT_MOST and width > 1:
                    width = max(min(width // 2, width * DESIRED // first.total), 1)
                    continue
                found = Found()
                await self._gather(found, (text, progress.next, end), self._recheck, first)
                lines = self._lines(word, (progress.next, end), found, known)
                new = len(found.photos.keys() - known)
                known.update(found.photos)
                width = int(width * min(max(DESIRED / max(found.total, 1), 0.25), 4)) or 1
                self._folder.append(
                    word, lines, next=end + 1, width=width, photos=progress.photos + new,
                    slices=progress.slices + 1, hidden=progress.hidden + found.missing,
                    beyond=progress.beyond + found.beyond,
                )  # fmt: skip
                bar.set_postfix(photos=progress.photos, refresh=False)
                bar.update((progress.next - start) // 86_400 - bar.n)

    async def _gather(
        self, found: Found, search: tuple[str, int, int], recheck: int, first: Page | None = None
    ) -> None:
        """Find the photos of a stretch of time; `search` is its text, start and stop.

        Pages shift while one reads them, and can be short: what is missing may be there when one
        asks again, or for a shorter time.
        """
        text, start, stop = search
        await self._pages(found, search, first)
        for _ in range(recheck if start == stop else min(recheck, 1)):
            if found.missing:
                await self._pages(found, search)
        middle = (start + stop) // 2
        for half in ((text, start, middle), (text, middle + 1, stop)):
            if recheck and start < stop and found.missing:
                part = Found()
                await self._gather(part, half, recheck - 1)
                found.merge(part.photos)

    async def _pages(
        self, found: Found, search: tuple[str, int, int], first: Page | None = None
    ) -> None:
        found.add(first or await self._flickr.search(*search, 1))
        number = 1
        while number < min(_page_count(found.total), PAGES):
            number += 1
            found.add(await self._flickr.search(*search, number))

    def _lines(self, word: str, span: tuple[int, int], found: Found, known: set[str]) -> bytes:
        """Return what a slice adds to a list; notes what is not as it should be."""
        report = self._folder.report
        name = f"{word}, {shown(span[0])} to {shown(span[1])}"
        if found.missing:
            place = f"{name}: {found.missing} of {found.total:,}"
            report.add("slices of which Flickr does not show all that it counts", place)
        if found.beyond:
            place = f"{word}, {shown(span[0])}: {found.beyond:,} of {found.total:,}"
            report.add(f"seconds with more than {REACH:,} photos, of which it gives no more", place)
        again = [photo_id for photo_id in found.photos if photo_id in known]
        report.add_many("photos that came again, left out", len(again), again)
        if not found.total:
            return b""
        pages = _page_count(found.total)
        visited = min(pages, PAGES)
        lines = [
            f"\nmintime: {span[0]} maxtime: {span[1]}\nnumimgs: {found.total}\n"
            f"total pages: {pages}\n"
            f"visiting only {visited} pages ( up to {visited * PER_PAGE} images)\n".encode()
        ]
        for rank, (photo_id, photo) in enumerate(found.photos.items(), 1):
            if photo_id not in known:
                lines.append(write_block(_values(photo, f"{rank} out of {found.total}")))
        return b"".join(lines)


def _page_count(total: int) -> int:
    return -(-total // PER_PAGE)


def _values(photo: Photo, rank: str) -> dict[str, str]:
    """Return a photo's values by the keys of the lists, which are those of the API."""
    parts = [_text(photo.get(name)) for name in ("id", "secret", "server")]
    values = {key: _text(photo.get(key)) for key in KEYS}
    return {**values, "photo": " ".join(parts), "interestingness": rank}


def _text(value: Any) -> str:
    if isinstance(value, dict):  # as some answers have titles
        value = value.get("_content")
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value)


def add_command(commands: Any) -> None:
    """Add `im2gps search` to the command line."""
    parser = commands.add_parser("search", help="ask Flickr for lists of photos of places")
    parser.add_argument(
        "query_file",
        metavar="QUERY_FILE",
        help="a keyword or phrase a line; lines that start with - exclude",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="LISTS_DIR",
        help="folder of the lists; a search that was stopped goes on there",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=day,
        metavar="DATE",
        help=f"first day of upload, in UTC (default {FLICKR_OPENED})",
    )
    parser.add_argument(
        "--to",
        dest="stop",
        type=day,
        metavar="DATE",
        help="last day of upload (default: until now)",
    )
    parser.add_argument("--api", default=API, metavar="URL", help=f"default: {API}")
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="from one request to the next (default 1)",
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=12,
        metavar="N",
        help="of a request while Flickr is busy or out of reach (default 12)",
    )
    parser.add_argument(
        "--backoff",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="before the first retry, doubling up to 5 minutes (default 1)",
    )
    parser.add_argument(
        "--recheck",
        type=int,
        default=2,
        metavar="N",
        help="how often to look again, and in halves of the time, where Flickr "
        "shows fewer photos than it counts (default 2)",
    )
    parser.set_defaults(run=_run)


def _run(
    query_file: str, output: str, start: int | None, stop: int | None, api: str, interval: float,
    retries: int, backoff: float, recheck: int,
) -> None:  # fmt: skip
    key = os.environ.get("FLICKR_API_KEY", "").strip()
    if not key:
        raise ValueError(
            "FLICKR_API_KEY is not set. Flickr gives keys at "
            "https://www.flickr.com/services/apps/create/; it is read from the environment only."
        )
    queries = read_queries(query_file)
    stop = None if stop is None else stop + 86_399
    flickr = Flickr(api, key, Manners(interval, max(retries, 0), backoff))
    os.makedirs(output, exist_ok=True)
    try:
        with filelock.FileLock(os.path.join(output, ".search.lock"), timeout=0):
            folder = Folder(output, start, stop, queries.exclusions)
            asyncio.run(_search(flickr, folder, queries, max(recheck, 0)))
    except KeyboardInterrupt:
        print("\nim2gps: the same command goes on from the last whole slice.", file=sys.stderr)
        raise
    except filelock.Timeout:
        raise ValueError(f"another search is at work in {output}.") from None
    lists = [folder.lists[word] for word in queries.keywords]
    print(f"{sum(entry.photos for entry in lists):,} photos of {len(lists)} keywords in "
          f"{sum(entry.slices for entry in lists):,} slices; {flickr.requests:,} requests this "
          "time")  # fmt: skip
    hidden, beyond = sum(entry.hidden for entry in lists), sum(entry.beyond for entry in lists)
    if hidden or beyond:
        print(f"  {hidden + beyond:,} photos counted by Flickr are not among them: {hidden:,} were "
              f"not shown, {beyond:,} are out of reach")  # fmt: skip
    nothing = [word for word in queries.keywords if not folder.lists[word].photos]
    folder.report.add_many("keywords without a photo", len(nothing), nothing)
    for kind in folder.report.counts:
        print(f"  {folder.report.line(kind)}")


async def _search(flickr: Flickr, folder: Folder, queries: Queries, recheck: int) -> None:
    async with flickr:
        await Search(flickr, folder, queries, recheck).run()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
