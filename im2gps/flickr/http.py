"""Requests to Flickr's servers: rate limits, retries and waiting times."""

from __future__ import annotations

import asyncio
import email.utils
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import tenacity


@dataclass(frozen=True)
class RequestPolicy:
    """How one process sends requests to a server.

    Attributes
    ----------
    rate : float
        Requests a second at most; 0 for no limit.
    concurrency : int
        Requests at the same time.
    tries : int
        How often a request is sent if the connection breaks or the server is busy.
    backoff : float
        Seconds before the second try, doubled before each further one, up to `max_backoff`.
    patience : float
        Seconds to wait for a server that does not answer at all.
    """

    rate: float = 20.0
    concurrency: int = 16
    tries: int = 5
    backoff: float = 1.0
    max_backoff: float = 60.0
    patience: float = 3600.0


class TransientError(Exception):
    """A failed request that may succeed later, in `retry_after` seconds if the server said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def retrying(
    policy: RequestPolicy, before_sleep: Callable[[tenacity.RetryCallState], None]
) -> tenacity.AsyncRetrying:
    """Return a caller that repeats a coroutine function after each TransientError."""
    backoff = tenacity.wait_random_exponential(
        policy.backoff, policy.max_backoff, min=policy.backoff / 2
    )

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        after = error.retry_after if isinstance(error, TransientError) else None
        return backoff(state) if after is None else after

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_attempt(policy.tries),
        wait=wait,
        before_sleep=before_sleep,
        reraise=True,
    )


class RateLimiter:
    """Spaces requests evenly, `rate` a second (0 for no limit), and can pause them all."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = self._paused_until = 0.0

    async def acquire(self) -> None:
        """Wait until the next request may be sent."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        self._next = start + self._gap
        if start > now:
            await asyncio.sleep(start - now)

    def pause(self, seconds: float) -> None:
        """Send no further requests for some seconds."""
        until = asyncio.get_running_loop().time() + seconds
        self._paused_until = max(self._paused_until, until)
        self._next = max(self._next, self._paused_until)

    def is_paused(self) -> bool:
        """Return whether requests are paused now."""
        return asyncio.get_running_loop().time() < self._paused_until


def retry_after(value: str | None, longest: float) -> float | None:
    """Return the seconds to wait from a Retry-After header, at most `longest`.

    None if there is no header, or if it is neither a number of seconds nor a date.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text, re.ASCII):
        return min(float(text), longest)
    try:
        date = email.utils.mktime_tz(email.utils.parsedate_tz(text))  # type: ignore[arg-type]
        return float(min(max(date - time.time(), 0), longest))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


async def read_body(content: aiohttp.StreamReader, max_size: int) -> bytes:
    """Read a body, but not much more than `max_size` bytes."""
    body = bytearray()
    async for chunk in content.iter_chunked(2**16):
        body += chunk
        if len(body) > max_size:
            break
    return bytes(body)
