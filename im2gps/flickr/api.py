"""One question to Flickr: a search for photos by text and time of upload, one page of the answer.

The key is sent in the body of a request and never in its address, so it is in no log of either
side. Should the server send it back, it is taken out of the answer before anything is written.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import tenacity

import geoload
from geoload.hiding import hide_in

API = "https://api.flickr.com/services/rest/"
PER_PAGE = 250  # of a search for geotagged photos Flickr gives no more
EXTRAS = "tags,original_format,license,geo,date_taken,date_upload,o_dims,views"
REGION = 6  # the accuracy that the original lists ask for
_MAX_BODY = 32 * 2**20
_MOST = 10**12  # photos; more there cannot be
_SECONDS = 120
# Codes by which Flickr says that it cannot answer now: the service, the search, the rate.
_BUSY_CODES = ("0", "10", "105", "429")
_BAD_KEY = "100"
_LONGEST_WAIT = 300.0
_KEY = re.compile("[0-9A-Za-z_-]{16,128}")  # 32 digits until now

_log = logging.getLogger(__name__)


class FlickrError(OSError):
    """Flickr refuses, or has not answered for so long that it is time to stop."""


class Page(NamedTuple):
    """Some of the photos of a search, as Flickr describes them, and how many there are in all."""

    total: int
    photos: list[dict[str, Any]]


@dataclass(frozen=True)
class Manners:
    """How one behaves towards the service.

    Attributes
    ----------
    interval : float
        Seconds from one request to the next.
    retries : int
        How often a request that fails for the time being is repeated.
    backoff : float
        Seconds before the first repetition; they double with each one, up to five minutes.
    """

    interval: float = 1.0
    retries: int = 12
    backoff: float = 1.0


class _Busy(Exception):
    """An answer that may be better the next time; `after` are seconds that the server asks for."""

    def __init__(self, reason: str, after: float = 0) -> None:
        super().__init__(reason)
        self.after = after


class Flickr:
    """A client for `flickr.photos.search`, to be used as an asynchronous context.

    Parameters
    ----------
    api : str
        Address of the REST endpoint.
    key : str
        The API key.
    manners : Manners

    Raises
    ------
    ValueError
        When the address would give the key away, or the key cannot be one.
    """

    def __init__(self, api: str, key: str, manners: Manners) -> None:
        _check_address(api)
        if not _KEY.fullmatch(key):
            raise ValueError("FLICKR_API_KEY holds something that is no key of Flickr's.")
        self.requests = 0
        self._api = api
        self._key = key
        self._manners = manners
        self._next = 0.0

    async def __aenter__(self) -> Flickr:
        self._session = aiohttp.ClientSession(
            trust_env=True,
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
            headers={"User-Agent": f"im2gps-justzoomin/{geoload.__version__}"},
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def search(self, text: str, start: int, stop: int, page: int) -> Page:
        """Return one page of the geotagged photos uploaded from `start` to `stop`.

        Parameters
        ----------
        text : str
            Words that a photo must have, and words with a minus that it must not.
        start, stop : int
            Unix seconds, both included.
        page : int
            From 1.

        Raises
        ------
        FlickrError
            When Flickr refuses, or is busy at every repetition.
        """
        question = {
            "method": "flickr.photos.search",
            "format": "json",
            "nojsoncallback": "1",
            "text": text,
            "media": "photos",
            "has_geo": "1",
            "accuracy": str(REGION),
            "min_upload_date": str(start),
            "max_upload_date": str(stop),
            "sort": "interestingness-desc",
            "extras": EXTRAS,
            "per_page": str(PER_PAGE),
            "page": str(page),
        }
        trying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Busy),
            stop=tenacity.stop_after_attempt(self._manners.retries + 1),
            wait=self._wait,
            before_sleep=_tell,
            reraise=True,
        )
        try:
            return await trying(self._ask, question)
        except _Busy as error:
            raise FlickrError(
                f"Flickr has not answered {self._manners.retries + 1} times ({error}). What was "
                "found is kept: the same command goes on from there."
            ) from None

    def _wait(self, state: tenacity.RetryCallState) -> float:
        waiting = tenacity.wait_exponential(multiplier=self._manners.backoff, max=_LONGEST_WAIT)
        error = state.outcome.exception() if state.outcome else None
        return max(waiting(state), error.after if isinstance(error, _Busy) else 0)

    async def _ask(self, question: dict[str, str]) -> Page:
        await self._pace()
        self.requests += 1
        form = {**question, "api_key": self._key}
        try:
            async with self._session.post(self._api, data=form, allow_redirects=False) as answer:
                status, after = answer.status, answer.headers.get("Retry-After")
                body = await _bounded(answer.content)
        except aiohttp.ClientSSLError as error:
            raise FlickrError(f"no safe connection to Flickr ({type(error).__name__})") from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            # Only its kind: what it says can hold anything of the request.
            raise _Busy(type(error).__name__) from None
        if status == 429 or status >= 500:
            raise _Busy(f"status {status}", retry_after(after, _LONGEST_WAIT) or 0)
        if status != 200:
            raise FlickrError(f"the address of the API answers with status {status}, not 200")
        return _page(_json(body, self._key), question["text"])

    async def _pace(self) -> None:
        """Wait until it is time for the next request."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(self._next - clock(), 0))
        self._next = clock() + self._manners.interval


def _check_address(api: str) -> None:
    """Refuse addresses by which others would come to know the key."""
    parts = urlsplit(api)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.query or parts.username or parts.password:
        raise ValueError("--api takes a plain address, without a query or a password in it.")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError(f"--api {api}: that is no address such as {API}.")
    if parts.scheme == "http" and not local:
        raise ValueError(f"--api {api}: over http anyone on the way could read the key; use https.")


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(2**16):
        body += chunk
        if len(body) > _MAX_BODY:
            raise _Busy(f"an answer of more than {_MAX_BODY:,} bytes")
    return bytes(body)


def retry_after(value: str | None, most: float) -> float | None:
    """Read the seconds or the date of a Retry-After header.

    Parameters
    ----------
    value : str or None
        As the server sent it, if it did.
    most : float
        More seconds than these are cut to these.

    Returns
    -------
    float or None
        Seconds from now; None where the header says nothing that can be followed.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text, re.ASCII):
        return min(float(text), most)
    try:
        date = email.utils.mktime_tz(email.utils.parsedate_tz(text))  # type: ignore[arg-type]
        return float(min(max(date - time.time(), 0), most))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _json(body: bytes, key: str = "") -> dict[str, Any]:
    """Decode an answer, and only then take the key out of it: JSON can write it with escapes."""
    try:
        answer = hide_in(json.loads(body), key)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _Busy("an answer that is no JSON")
    return answer


def _page(answer: dict[str, Any], text: str) -> Page:
    if answer.get("stat") == "fail":
        raise _refusal(answer, text)
    try:
        photos = answer["photos"]
        total, found = int(photos["total"]), photos["photo"]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _Busy("an answer without photos") from None
    if not 0 <= total <= _MOST or not isinstance(found, list):
        raise _Busy("an answer without photos")
    return Page(total, [photo for photo in found if isinstance(photo, dict)])


def _refusal(answer: dict[str, Any], text: str) -> Exception:
    """Return what a failure is: one that passes, or one to stop at."""
    code = str(answer.get("code"))
    said = "".join(c if c.isprintable() else "?" for c in str(answer.get("message"))[:200])
    if code in _BUSY_CODES:
        return _Busy(f"code {code}: {said}")
    if code == _BAD_KEY:
        return FlickrError(f"Flickr does not take the key in FLICKR_API_KEY ({said}).")
    return FlickrError(f"Flickr refuses the search for {text!r} with code {code[:9]}: {said}.")


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0
    _log.warning("Flickr: %s; trying again in %.0f s", error, wait)
