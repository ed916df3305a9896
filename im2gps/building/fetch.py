"""Fetches photos from the photo host: their addresses in turn, politely, and never without bound.

What is done with a body is `shrink.py`; which photos there are is `shard.py`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import aiohttp
import tenacity
from yarl import URL

from geoload import __version__
from im2gps.building import missing
from im2gps.building.addresses import addresses
from im2gps.building.missing import Missing
from im2gps.building.shrink import Picture, shrink
from im2gps.flickr.api import retry_after

PHOTO_HOST = "https://live.staticflickr.com"
USER_AGENT = f"im2gps-justzoomin/{__version__} (im2gps build: photos of a research data set)"
MAX_BODY = 32 * 2**20
_MAX_REDIRECTS = 3
_MAX_WAIT = 60.0
_MAX_RETRY_AFTER = 3600.0
# Connecting, between two pieces of a body, and all in all: a trickle is not an answer.
_TIMEOUT = aiohttp.ClientTimeout(total=180, sock_connect=20, sock_read=40)
_REDIRECTS = (301, 302, 303, 307, 308)
_SMALL_BODY = 2**16
_TROUBLE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
Row = Mapping[str, Any]
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manners:
    """How one process behaves towards the photo host.

    Parameters
    ----------
    host : str
        Scheme and name, as in "https://live.staticflickr.com".
    concurrency : int
        Requests under way at once.
    rate : float
        Requests a second at most; 0 is without bound.
    tries : int
        How often an address is asked for, when the connection breaks or the server is busy.
    backoff : float
        Seconds before the second try; twice as many before the third, and so on.
    patience : float
        Seconds to wait for a host that does not answer at all, before giving up.
    """

    host: str = PHOTO_HOST
    concurrency: int = 16
    rate: float = 20.0
    tries: int = 5
    backoff: float = 1.0
    patience: float = 3600.0


class Found(NamedTuple):
    """A photo that came: the picture, the size it came in ("_b", …) and its address."""

    picture: Picture
    size: str
    address: str


class HostDown(ConnectionError):
    """The photo host has not answered for as long as we have patience."""


class _Again(Exception):
    """An answer that a second try may better; `after` is when, in seconds, if the host said."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Fetcher:
    """Fetches photos, as an asynchronous context manager; `counts` says what it cost.

    Parameters
    ----------
    manners : Manners
    """

    def __init__(self, manners: Manners) -> None:
        self.counts: Counter[str] = Counter()
        self._manners = manners
        self._host = URL(manners.host)
        self._origins = {self._host.origin()}
        if self._host.is_default_port():
            self._origins.add(self._host.with_scheme("https").origin())
        self._pace = Pace(manners.rate)
        self._slots = asyncio.Semaphore(manners.concurrency)
        self._probing = asyncio.Lock()
        # When the host last gave an answer, and when it came back after having given none.
        self._answered = self._back = -1.0
        self._down = False
        self._trouble = ""
        self._pause = 0.0

    async def __aenter__(self) -> Fetcher:
        # One thread, because decoding takes memory: never more than one picture's at a time.
        self._thread = ThreadPoolExecutor(1)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._manners.concurrency),
            timeout=_TIMEOUT,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def photo(self, row: Row) -> Found | str:
        """Return the photo of a checked row from the first address that has it, or the reason.

        Where an address has a passing trouble, the smaller sizes are not tried: one of them would
        stay for good in the place of the real one.

        Raises
        ------
        HostDown
            When the host has been away for too long.
        OSError
            When this process may open no more files.
        """
        reasons: list[str] = []
        loop = asyncio.get_running_loop()
        for size, address in addresses(row, self._manners.host):
            try:
                body = await self._body(URL(address), row["photo_id"])
                suffix = address.rpartition(".")[2]
                picture = await loop.run_in_executor(self._thread, shrink, body, suffix)
                return Found(picture, size, address)
            except Missing as error:
                if error.reason in missing.TEMPORARY:
                    return error.reason
                reasons.append(error.reason)
        return missing.telling(reasons)

    async def _body(self, url: URL, photo_id: str) -> bytes:
        """Return the body at an address, after as many tries as manners allow."""
        loop = asyncio.get_running_loop()
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(self._manners.tries),
            wait=self._wait,
            reraise=True,
        )
        while True:
            began = loop.time()
            try:
                return await retrying(self._ask, url, photo_id)
            except _Again as error:
                if error.reason == missing.NO_ANSWER:
                    await self._wait_for_host()
                    if self._back >= began:
                        continue  # the host was away, so the photo has not had its tries
                raise Missing(error.reason) from None

    def _wait(self, state: tenacity.RetryCallState) -> float:
        self.counts["retries"] += 1
        error = state.outcome and state.outcome.exception()
        if isinstance(error, _Again) and error.after is not None:
            return error.after
        first = self._manners.backoff
        return tenacity.wait_random_exponential(first, _MAX_WAIT, min=first / 2)(state)

    async def _ask(self, url: URL, photo_id: str) -> bytes:
        """Make one try, following redirects on the photo host."""
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                async with self._slots:
                    await self._pace.turn()
                    self.counts["requests"] += 1
                    async with self._session.get(url, allow_redirects=False) as response:
                        self._answered = asyncio.get_running_loop().time()
                        if response.status == 200:
                            self._pause = 0.0
                            return await self._read(response)
                        if (response.content_length or _SMALL_BODY) < _SMALL_BODY:
                            await response.read()  # or the connection could not serve again
                        self._judge(response)
                        url = self._target(response, photo_id)
        except _TROUBLE as error:
            if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
                # Trouble of this machine and not of the host: the photo would count as missing.
                what = f"{os.strerror(errno.EMFILE)}: allow more (`ulimit -n`)"
                raise OSError(f"{what}, or fewer requests at once (--concurrency)") from None
            raise _Again(missing.NO_ANSWER) from None
        raise Missing(missing.ELSEWHERE)

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        """Raise for every other status than a redirect."""
        status = response.status
        if status in (404, 410):
            raise Missing(missing.GONE)
        if status == 429 or status >= 500:
            after = _retry_after(response.headers.get("Retry-After"))
            if status in (429, 503):
                self._hold(after)
            raise _Again(missing.BUSY, after)
        if status not in _REDIRECTS:
            raise Missing(missing.refused(status))

    def _hold(self, seconds: float | None) -> None:
        """Slow down all requests, not only this one: longer each time, where we are not told."""
        if seconds is None:
            if not self._pace.held():
                self._pause = min(max(2 * self._pause, self._manners.backoff), _MAX_WAIT)
            seconds = self._pause
        self._pace.hold(seconds)

    def _target(self, response: aiohttp.ClientResponse, photo_id: str) -> URL:
        """Return where a redirect leads, if that is this photo on the photo host."""
        try:
            target = response.url.join(URL(response.headers.get("Location", "")))
            here = target.origin() in self._origins
        except ValueError:
            raise Missing(missing.ELSEWHERE) from None
        if "unavailable" in target.path:
            raise Missing(missing.PLACEHOLDER)
        if not here:
            raise Missing(missing.ELSEWHERE)
        if not target.name.startswith(f"{photo_id}_"):
            raise Missing(missing.PLACEHOLDER)
        return target

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a body, but no more of it than a photo can have."""
        if (response.content_length or 0) > MAX_BODY:
            raise Missing(missing.TOO_LARGE)
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            self.counts["bytes received"] += len(piece)
            if len(body) > MAX_BODY:
                raise Missing(missing.TOO_LARGE)
        return bytes(body)

    async def _wait_for_host(self) -> None:
        """Return when the host answers anything at all; raise HostDown when patience ends."""
        loop = asyncio.get_running_loop()
        async with self._probing:
            if not self._down and await self._answers():
                return
            _log.warning("%s does not answer; waiting for it.", self._manners.host)
            since, pause = loop.time(), max(self._manners.backoff, 0.01)
            while not self._down and loop.time() - since < self._manners.patience:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_WAIT)
                if self._answered > since or await self._answers():
                    self._back = loop.time()
                    return
            self._down = True
            raise HostDown(
                f"{self._manners.host} does not answer ({self._trouble}). Check the connection and "
                "run the same command again: it goes on where it was."
            )

    async def _answers(self) -> bool:
        self.counts["requests"] += 1
        try:
            async with self._session.get(self._host, allow_redirects=False):
                return True
        except _TROUBLE as error:
            self._trouble = f"{type(error).__name__}: {error}"
            return False


async def in_order(
    rows: Iterable[Row], start: Callable[[Row], Coroutine[Any, Any, T]], ahead: int
) -> AsyncGenerator[tuple[Row, T], None]:
    """Yield each row with its result, in the rows' order.

    Some rows are begun before their turn, but no more than `ahead`: their results lie in memory.
    """
    window: deque[tuple[Row, asyncio.Task[T]]] = deque()
    try:
        for row in rows:
            window.append((row, asyncio.create_task(start(row))))
            if len(window) > ahead:
                yield window[0][0], await window[0][1]
                window.popleft()
        while window:
            yield window[0][0], await window[0][1]
            window.popleft()
    finally:
        for _, task in window:
            task.cancel()
        await asyncio.gather(*(task for _, task in window), return_exceptions=True)


class Pace:
    """Gives requests their turn: evenly spaced, and none for a while when the host asks for it.

    Parameters
    ----------
    rate : float
        Turns a second; 0 is without bound.
    """

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = self._until = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._gap
        if mine > now:
            await asyncio.sleep(mine - now)

    def hold(self, seconds: float) -> None:
        """Give no turn for so many seconds."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)
        self._next = max(self._next, self._until)

    def held(self) -> bool:
        """Tell whether turns are held just now."""
        return asyncio.get_running_loop().time() < self._until


def _retry_after(value: str | None) -> float | None:
    return retry_after(value, _MAX_RETRY_AFTER)
