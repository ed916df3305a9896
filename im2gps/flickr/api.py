"""Flickr's search API: one page of the photos with given words, uploaded in a given time.

The API key is sent in the body of a request, never in its address, so that it appears in no log. If
the server sends it back, it is taken out of the answer before anything is written.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import tenacity

import geoload
from geoload.messages import hide_in
from im2gps.flickr.http import (
    RateLimiter,
    RequestPolicy,
    TransientError,
    read_body,
    retry_after,
    retrying,
)

API = "https://api.flickr.com/services/rest/"
PER_PAGE = 250  # Flickr gives no more for a search of geotagged photos
EXTRAS = "tags,original_format,license,geo,date_taken,date_upload,o_dims,views"
REGION = 6  # the accuracy that the original lists request
_MAX_BODY = 32 * 2**20
_MAX_PHOTOS = 10**12
_TIMEOUT = 120  # seconds
# Codes of temporary failures: service unavailable, search unavailable, rate limit.
_BUSY_CODES = ("0", "10", "105", "429")
_BAD_KEY = "100"
_KEY = re.compile("[0-9A-Za-z_-]{16,128}")
_log = logging.getLogger(__name__)


class FlickrError(OSError):
    """Flickr refuses a search, or did not answer in several tries."""


class Page(NamedTuple):
    """One page of a search: how many photos there are on all pages, and the photos of this one."""

    total: int
    photos: list[dict[str, Any]]


class Flickr:
    """A client for `flickr.photos.search`, to be used as an asynchronous context manager.

    Parameters
    ----------
    api : str
        Address of the REST endpoint.
    key : str
        The API key.
    policy : RequestPolicy

    Raises
    ------
    ValueError
        If requests to that address would expose the key, or the key cannot be valid.
    """

    def __init__(self, api: str, key: str, policy: RequestPolicy) -> None:
        _check_address(api)
        if not _KEY.fullmatch(key):
            raise ValueError("FLICKR_API_KEY does not look like a key of Flickr.")
        self.requests = 0
        self._api, self._key, self._policy = api, key, policy
        self._limiter = RateLimiter(policy.rate)
        self._retrying = retrying(policy, _log_retry)

    async def __aenter__(self) -> Flickr:
        self._session = aiohttp.ClientSession(
            trust_env=True,
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
            headers={"User-Agent": f"im2gps-justzoomin/{geoload.__version__}"},
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def search(self, text: str, start: int, stop: int, page: int) -> Page:
        """Return one page (from 1) of the geotagged photos uploaded from `start` to `stop`.

        Both times are Unix seconds and included; `text` contains the words that a photo must have,
        and those with a minus that it must not have.

        Raises
        ------
        FlickrError
            If Flickr refuses the search, or is busy at every try.
        """
        form = {
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
            "api_key": self._key,
        }
        try:
            return await self._retrying(self._send, form)
        except TransientError as error:
            raise FlickrError(
                f"Flickr has not answered {self._policy.tries} times ({error}). What was found is "
                "kept: run the same command again to continue from there."
            ) from None

    async def _send(self, form: dict[str, str]) -> Page:
        await self._limiter.acquire()
        self.requests += 1
        try:
            async with self._session.post(self._api, data=form, allow_redirects=False) as answer:
                status, after = answer.status, answer.headers.get("Retry-After")
                body = await read_body(answer.content, _MAX_BODY)
        except aiohttp.ClientSSLError as error:
            raise FlickrError(f"no safe connection to Flickr ({type(error).__name__})") from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            # Only its class, because the message can contain parts of the request.
            raise TransientError(type(error).__name__) from None
        if status == 429 or status >= 500:
            raise TransientError(f"status {status}", retry_after(after, self._policy.max_backoff))
        if status != 200:
            raise FlickrError(f"the address of the API answers with status {status}, not 200")
        if len(body) > _MAX_BODY:
            raise TransientError(f"an answer of more than {_MAX_BODY:,} bytes")
        return _page(body, self._key, form["text"])


def _check_address(api: str) -> None:
    """Refuse addresses that would expose the key."""
    parts = urlsplit(api)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.query or parts.username or parts.password:
        raise ValueError("--api takes a plain address, without a query or a password in it.")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError(f"--api {api}: not an address such as {API}.")
    if parts.scheme == "http" and not local:
        raise ValueError(f"--api {api}: http would send the key unencrypted; use https.")


def _page(body: bytes, key: str, text: str) -> Page:
    try:
        # The key is searched for after decoding, because JSON can write it with escapes.
        answer = hide_in(json.loads(body), key)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise TransientError("an answer that is not JSON")
    if answer.get("stat") == "fail":
        code = str(answer.get("code"))
        reason = "".join(c if c.isprintable() else "?" for c in str(answer.get("message"))[:200])
        if code in _BUSY_CODES:
            raise TransientError(f"code {code}: {reason}")
        if code == _BAD_KEY:
            raise FlickrError(f"Flickr does not accept the key in FLICKR_API_KEY ({reason}).")
        raise FlickrError(f"Flickr refuses the search for {text!r} with code {code[:9]}: {reason}.")
    try:
        total, photos = int(answer["photos"]["total"]), answer["photos"]["photo"]
        if not 0 <= total <= _MAX_PHOTOS or not isinstance(photos, list):
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise TransientError("an answer without photos") from None
    return Page(total, [photo for photo in photos if isinstance(photo, dict)])


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome and state.outcome.exception()
    wait = state.next_action.sleep if state.next_action else 0
    _log.warning("Flickr: %s; trying again in %.0f s", error, wait)
