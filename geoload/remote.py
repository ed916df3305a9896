"""Open files on web servers and on the Hub, with reads in ranges and retries."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import aiohttp
import fsspec
import tenacity
from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

from geoload.files import is_remote, read_exactly

# The size of one request: large enough that a pass makes few requests, small enough that the first
# sample of a remote shard comes soon.
READ_AHEAD = 4 * 2**20
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_BAD_REDIRECT = (
    aiohttp.InvalidURL,
    getattr(aiohttp, "NonHttpUrlClientError", aiohttp.InvalidURL),  # new in aiohttp 3.10
)
_BUSY = (408, 429, 500, 502, 503, 504)


def is_transport_error(error: BaseException) -> bool:
    """Return whether the connection failed, or the server was busy, so that a retry can help."""
    if isinstance(error, _BAD_REDIRECT):
        return False
    if isinstance(error, (aiohttp.ClientResponseError, FileNotFoundError)):
        return getattr(error, "status", 0) in _BUSY
    if isinstance(error, (aiohttp.ClientError, asyncio.TimeoutError)):
        return True
    if getattr(getattr(error, "response", None), "status_code", 0) in _BUSY:
        return True
    # By name, because the client of the Hub changed its HTTP library twice.
    names = {kind.__name__ for kind in type(error).__mro__}
    return "TransportError" in names or {"RequestException", "ConnectionError"} <= names


# fsspec's HTTP files never retry; the client of the Hub gives up when the connection is reset.
with_retries = tenacity.retry(
    retry=tenacity.retry_if_exception(is_transport_error),
    stop=tenacity.stop_after_attempt(6),
    wait=tenacity.wait_exponential(multiplier=0.5, max=30),
    reraise=True,
)


def open_binary(path: str, token: str | bool | None = None, read_ahead: bool = True) -> BinaryIO:
    """Open a local file unbuffered, or an address that is read in ranges. Both are seekable.

    A dropped connection is resumed. If a server does not support ranges, the whole file is
    downloaded to a temporary file. Without `read_ahead`, only the requested bytes are read.

    Raises FileNotFoundError when the file does not exist, ConnectionError when the server cannot be
    reached, and OSError, while reading, if a server sends other bytes than requested.
    """
    if not is_remote(path):
        return open(path, "rb", buffering=0)
    on_hub = path.startswith("hf://")
    system, plain = fsspec.url_to_fs(path, **({"token": token} if on_hub else {}))
    ahead = "readahead" if on_hub else "bytes"
    caching = {"cache_type": ahead if read_ahead else "none", "block_size": READ_AHEAD}
    if on_hub:
        file = with_retries(system.open)(plain, "rb", **caching)
        fetch = file.cache.fetcher
        file.cache.fetcher = lambda start, end: read_exactly(
            lambda rest: fetch(end - rest, end), end - start
        )
        return cast(BinaryIO, file)
    with _named_errors(plain):
        found = _size_or_whole(system, plain)
    if isinstance(found, int):
        return cast(BinaryIO, _HttpFile(system, plain, size=found, **caching))
    return found


class _HttpFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file on a web server, read in ranges. fsspec's own class does not check the answers."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        # A server may send less than requested if it says so.
        with _named_errors(self.path):
            return read_exactly(lambda rest: self._piece(end - rest, end), end - start)

    @with_retries
    def _piece(self, start: int, end: int) -> bytes:
        async def fetch() -> bytes:
            wanted = {"Range": f"bytes={start}-{end - 1}"}
            async with await _get(self.fs, self.path, wanted) as answer:
                answer.raise_for_status()
                first, last, size = _range_of(answer)
                if first != start or not start <= last < end or size not in (None, self.size):
                    raise OSError(
                        f"{self.path}: bytes {start:,} to {end - 1:,} of {self.size:,} were "
                        f"requested, but the server sent others (status {answer.status}, "
                        f"Content-Range {answer.headers.get('Content-Range')}). Download the file, "
                        "and load it from this machine."
                    )
                try:
                    return bytes(await answer.content.readexactly(last + 1 - start))
                except asyncio.IncompleteReadError as error:
                    raise aiohttp.ClientPayloadError(
                        f"{self.path}: the connection was closed early"
                    ) from error

        return cast(bytes, sync(self.fs.loop, fetch))


@contextlib.contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """Replace errors of the HTTP library by OSError or ConnectionError with the address."""
    try:
        yield
    except aiohttp.ClientResponseError as error:
        what = f"status {error.status}" if error.status >= 400 else type(error).__name__
        raise OSError(f"{url}: the server does not send the file ({what})") from error
    except _BAD_REDIRECT as error:
        raise OSError(f"{url} redirects to an invalid address ({error})") from error
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        name = type(error).__name__
        raise ConnectionError(
            f"{url}: the connection was closed early ({name}: {error})"
        ) from error


async def _get(system: Any, url: str, wanted: dict[str, str]) -> Any:
    session = await system.set_session()
    # The default of aiohttp, five minutes in total, is too short for a whole shard.
    options = {"timeout": aiohttp.ClientTimeout(total=None, sock_read=60), **system.kwargs}
    # A range of a compressed answer would not be a range of the file.
    headers = {"Accept-Encoding": "identity", **wanted}
    options["headers"] = {**options.get("headers", {}), **headers}
    return session.get(system.encode_url(url), **options)


def _range_of(answer: aiohttp.ClientResponse) -> tuple[int, int, int | None]:
    """Return the first and last byte of an answer (-1 if it is not a range), and the file size."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    packed = answer.headers.get("Content-Encoding", "identity") not in ("", "identity")
    if answer.status != 206 or packed or found is None:
        return -1, -1, None
    return int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])


@with_retries
def _size_or_whole(system: Any, url: str) -> int | BinaryIO:
    """Return the size of a file if the server supports ranges, or else download the file."""

    async def ask(wanted: dict[str, str]) -> int | BinaryIO | None:
        async with await _get(system, url, wanted) as answer:
            if answer.status == 404:
                raise FileNotFoundError(url)
            # Some servers refuse ranges instead of ignoring them, and an empty file has none.
            if wanted and answer.status >= 400 and answer.status not in _BUSY:
                return None
            answer.raise_for_status()
            first, last, size = _range_of(answer)
            if (first, last) == (0, 0) and size is not None:
                return size
            if answer.status != 200:
                return None
            copy: Any = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            async for piece in answer.content.iter_chunked(2**20):
                copy.write(piece)
            copy.seek(0)
            return cast(BinaryIO, copy)

    try:
        found: int | BinaryIO | None = sync(system.loop, ask, {"Range": "bytes=0-0"})
        if found is None:
            found = sync(system.loop, ask, {})
    except aiohttp.ClientConnectorError as error:  # retrying would not help
        raise ConnectionError(f"{url} cannot be reached ({error})") from error
    if found is None:
        raise OSError(f"{url}: the server sends neither ranges of the file nor all of it.")
    return found
