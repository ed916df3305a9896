"""Fetches photos from the photo host, trying the addresses of each photo in turn."""

from __future__ import annotations

import asyncio
import errno
import logging
import operator
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import aiohttp
import tenacity
from yarl import URL

from geoload import __version__
from im2gps.building import missing
from im2gps.building.missing import Missing
from im2gps.building.recode import Picture, training_jpeg
from im2gps.flickr.http import (
    RateLimiter,
    RequestPolicy,
    TransientError,
    read_body,
    retry_after,
    retrying,
)
from im2gps.flickr.ids import addresses

PHOTO_HOST = "https://live.staticflickr.com"
USER_AGENT = f"im2gps-justzoomin/{__version__} (im2gps build: photos of a research data set)"
MAX_BODY = 32 * 2**20
_MAX_REDIRECTS = 3
_MAX_RETRY_AFTER = 3600.0
# Limits for the whole request, for connecting, and between two pieces of a body.
_TIMEOUT = aiohttp.ClientTimeout(total=180, sock_connect=20, sock_read=40)
_REDIRECTS = (301, 302, 303, 307, 308)
_SMALL_BODY = 2**16
_CONNECTION_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
Row = Mapping[str, Any]
_log = logging.getLogger(__name__)


class Fetched(NamedTuple):
    """A photo that was fetched: the picture, the size it came in ("_b", …) and its address."""

    picture: Picture
    size: str
    address: str


class HostDown(ConnectionError):
    """The photo host has not answered for as long as the policy's patience."""


class Fetcher:
    """Fetches photos, as an asynchronous context manager; `counts` are the requests and bytes."""

    def __init__(self, host: str, policy: RequestPolicy) -> None:
        self.counts: Counter[str] = Counter()
        self._host, self._policy = host, policy
        self._origins = {URL(host).origin()}
        if URL(host).is_default_port():
            self._origins.add(URL(host).with_scheme("https").origin())
        self._limiter = RateLimiter(policy.rate)
        self._retrying = retrying(policy, lambda state: self.counts.update(retries=1))
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._probing = asyncio.Lock()
        self._back = -1.0  # when the host answered again after it had been down
        self._down = False
        self._error = ""
        self._pause = 0.0

    async def __aenter__(self) -> Fetcher:
        # One thread, so that only one decoded picture at a time takes memory.
        self._thread = ThreadPoolExecutor(1)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._policy.concurrency),
            timeout=_TIMEOUT,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def photo(self, row: Row) -> Fetched | str:
        """Return the photo of a valid row from the first address that has it, or the reason.

        After a transient error the smaller sizes are not tried, because one of them would then
        replace the larger photo for good. Raises HostDown, and OSError if this process may open no
        more files.
        """
        reason = missing.GONE
        loop = asyncio.get_running_loop()
        for size, address in addresses(row, self._host):
            try:
                body = await self._body(URL(address), row["photo_id"])
                suffix = address.rpartition(".")[2]
                picture = await loop.run_in_executor(self._thread, training_jpeg, body, suffix)
                return Fetched(picture, size, address)
            except Missing as error:
                if error.reason in missing.TRANSIENT:
                    return error.reason
                # Many sizes never existed, so any other reason is more informative.
                reason = error.reason if reason == missing.GONE else reason
        return reason

    async def _body(self, url: URL, photo_id: str) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                return await self._retrying(self._get, url, photo_id)
            except TransientError as error:
                # If the host was down during the tries of a photo, they start again.
                if error.reason != missing.NO_ANSWER or await self._host_up_since() < began:
                    raise Missing(error.reason) from None

    async def _get(self, url: URL, photo_id: str) -> bytes:
        """Make one try, following redirects on the photo host."""
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                async with self._slots:
                    await self._limiter.acquire()
                    self.counts["requests"] += 1
                    async with self._session.get(url, allow_redirects=False) as response:
                        if response.status == 200:
                            self._pause = 0.0
                            return await self._read(response)
                        if (response.content_length or _SMALL_BODY) < _SMALL_BODY:
                            await response.read()  # so that the connection can be used again
                        self._raise_for_status(response)
                        url = self._redirect_target(response, photo_id)
        except _CONNECTION_ERRORS as error:
            if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
                # A limit of this machine: the photo must not count as missing.
                text = f"{os.strerror(errno.EMFILE)}: allow more (`ulimit -n`)"
                raise OSError(f"{text}, or fewer requests at once (--concurrency)") from None
            raise TransientError(missing.NO_ANSWER) from None
        raise Missing(missing.ELSEWHERE)

    def _raise_for_status(self, response: aiohttp.ClientResponse) -> None:
        """Raise for every status but a redirect."""
        status = response.status
        if status in (404, 410):
            raise Missing(missing.GONE)
        if status == 429 or status >= 500:
            after = retry_after(response.headers.get("Retry-After"), _MAX_RETRY_AFTER)
            if status in (429, 503):  # all requests pause, longer each time
                if after is None and not self._limiter.is_paused():
                    longer = max(2 * self._pause, self._policy.backoff)
                    self._pause = min(longer, self._policy.max_backoff)
                self._limiter.pause(self._pause if after is None else after)
            raise TransientError(missing.BUSY, after)
        if status not in _REDIRECTS:
            raise Missing(missing.refused(status))

    def _redirect_target(self, response: aiohttp.ClientResponse, photo_id: str) -> URL:
        """Return where a redirect leads, if that is this photo on the photo host."""
        try:
            target = response.url.join(URL(response.headers.get("Location", "")))
            on_host = target.origin() in self._origins
        except ValueError:
            raise Missing(missing.ELSEWHERE) from None
        if "unavailable" in target.path:
            raise Missing(missing.PLACEHOLDER)
        if not on_host:
            raise Missing(missing.ELSEWHERE)
        if not target.name.startswith(f"{photo_id}_"):
            raise Missing(missing.PLACEHOLDER)
        return target

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if (response.content_length or 0) > MAX_BODY:
            raise Missing(missing.TOO_LARGE)
        body = await read_body(response.content, MAX_BODY)
        self.counts["bytes received"] += len(body)
        if len(body) > MAX_BODY:
            raise Missing(missing.TOO_LARGE)
        return body

    async def _host_up_since(self) -> float:
        """Wait until the host answers at all, and return when it last came back.

        Raises HostDown if that takes longer than the policy's patience.
        """
        async with self._probing:
            if not self._down and not await self._answers():
                _log.warning("%s does not answer; waiting for it.", self._host)
                probe = tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_result(operator.not_),
                    stop=tenacity.stop_after_delay(self._policy.patience),
                    wait=tenacity.wait_exponential(max(self._policy.backoff, 0.01), max=60),
                    retry_error_callback=lambda state: False,
                )
                self._down = not await probe(self._answers)
                self._back = asyncio.get_running_loop().time()
        if self._down:
            raise HostDown(
                f"{self._host} does not answer ({self._error}). Check the connection and run the "
                "same command again to continue."
            )
        return self._back

    async def _answers(self) -> bool:
        self.counts["requests"] += 1
        try:
            async with self._session.get(self._host, allow_redirects=False):
                return True
        except _CONNECTION_ERRORS as error:
            self._error = f"{type(error).__name__}: {error}"
            return False
