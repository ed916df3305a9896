"""A loopback stand-in for the read side of the Hugging Face Hub.

It speaks enough of the Hub's HTTP protocol for unpatched `huggingface_hub` and `datasets`
clients that are pointed at it with ``HF_ENDPOINT``. The lower half of the file (`Loopback`) knows
nothing of the Hub: it serves byte ranges, counts what it sends and breaks connections on demand,
and is shared with `static.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

CHUNK = 1 << 16
# The kernel would let a send buffer grow to several megabytes on loopback. Bounded, the counts in
# `sent` stay close to what a client asked for.
SEND_BUFFER = 1 << 18
# How long a reset waits until the client's kernel has taken what was sent before it.
DRAIN_SECONDS = 5.0

_Self = TypeVar("_Self", bound="Loopback")


# ---------------------------------------------------------------------------------------------
# Shared by the loopback servers


@dataclass(frozen=True)
class Request:
    """One line of a server's log; `path` is the decoded URL path, `file` the file it names."""

    method: str
    path: str
    range: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Incoming:
    """A request as it reaches `Loopback.route`; the path's segments are still percent-encoded."""

    method: str
    target: str
    headers: Message
    content: bytes = b""

    @property
    def segments(self) -> list[str]:
        return urlsplit(self.target).path.split("/")[1:]

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True)
class Answer:
    """A short reply out of memory: JSON, a redirect or an error."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None


@dataclass(frozen=True)
class Content:
    """A reply whose body is (a range of) a file on disk; `file` is its key in `sent`."""

    file: str
    source: Path
    size: int
    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)
    modified: float | None = None
    ranges: bool = True


@dataclass
class _Fault:
    """A failure that is still to happen `times` times to files whose path ends in `suffix`."""

    suffix: str
    times: int
    after: int = 0
    reset: bool = True
    status: int = 0
    method: str = "GET"

    def fits(self, *paths: str | None) -> bool:
        return self.times > 0 and any(path and path.endswith(self.suffix) for path in paths)


def parse_range(value: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a ``Range`` header; `None` when it is to be ignored.

    An unsatisfiable range comes back with a start that is not below its end.
    """
    unit, _, spec = (value or "").partition("=")
    first, dash, last = (part.strip() for part in spec.partition("-"))
    if unit.strip() != "bytes" or not dash or not (first or last):
        return None
    if not all(part.isdigit() for part in (first, last) if part):
        return None  # several ranges or nonsense; a server may answer those with the whole file
    if not first:
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "loopback"
    sys_version = ""
    disable_nagle_algorithm = True  # headers and body are separate writes
    server: _Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.server.owner.body(self, length)
        self.server.owner._serve(self, Incoming(self.command, self.path, self.headers, content))

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *args: object) -> None:
        """Print nothing, because requests are in the owner's log."""

    def version_string(self) -> str:
        return self.server_version

    def answer(self, answer: Answer) -> None:
        self._head(answer.status, len(answer.content), answer.headers)
        if self.command != "HEAD":
            self.connection.sendall(answer.content)

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def content(self, content: Content) -> None:
        headers = _file_headers(content)
        if _unchanged(content, self.headers):
            return self._head(304, 0, headers)
        span = self._span(content)
        if span is None:
            return self._body(200, content, 0, content.size, headers)
        start, end = span
        if start >= end:
            return self._head(416, 0, {**headers, "Content-Range": f"bytes */{content.size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
        self._body(206, content, start, end, headers)

    def _span(self, content: Content) -> tuple[int, int] | None:
        condition = self.headers.get("If-Range")
        changed = condition is not None and condition not in _validators(content)
        if not content.ranges or changed:
            return None
        return parse_range(self.headers.get("Range"), content.size)

    def _body(
        self, status: int, content: Content, start: int, end: int, headers: Mapping[str, str]
    ) -> None:
        self._head(status, end - start, headers)
        if self.command == "HEAD":
            return
        fault = self.server.owner._take_drop(content.file, end - start)
        stop = end if fault is None else start + fault.after
        self._send(content, start, stop)
        if fault is not None:
            self._break(fault.reset)

    def _send(self, content: Content, start: int, stop: int) -> None:
        with content.source.open("rb") as source:
            source.seek(start)
            while start < stop:
                chunk = source.read(min(CHUNK, stop - start))
                if not chunk:  # the file shrank; only closing tells the client so
                    self.close_connection = True
                    return
                self.server.owner._count(content.file, len(chunk))
                self.connection.sendall(chunk)
                start += len(chunk)

    def _break(self, reset: bool) -> None:
        self.close_connection = True
        if not reset:
            return
        _drain(self.connection)
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        # Closed here, because the server's own way of closing sends a polite FIN first. The
        # reader holds on to the descriptor, so it has to go too.
        self.rfile.close()
        self.connection.close()


def _file_headers(content: Content) -> dict[str, str]:
    kind = mimetypes.guess_type(content.file)[0] or "application/octet-stream"
    headers = {"Content-Type": kind, "ETag": content.etag, **content.headers}
    headers["Accept-Ranges"] = "bytes" if content.ranges else "none"
    if content.modified is not None:
        headers["Last-Modified"] = formatdate(content.modified, usegmt=True)
    return headers


def _validators(content: Content) -> tuple[str, ...]:
    if content.modified is None:
        return (content.etag,)
    return content.etag, formatdate(content.modified, usegmt=True)


def _unchanged(content: Content, headers: Message) -> bool:
    known = headers.get("If-None-Match")
    if known is not None:
        return known.strip() == "*" or content.etag in [tag.strip() for tag in known.split(",")]
    return headers.get("If-Modified-Since") in _validators(content)[1:]


def _drain(connection: socket.socket) -> None:
    """Wait until everything written has reached the peer, since a reset throws the rest away."""
    try:
        import fcntl
        import termios
    except ImportError:  # not a POSIX system: the client may then see less than was sent
        return
    end = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < end:
        try:
            queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except OSError:
            return
        if struct.unpack("i", queued)[0] == 0:
            return
        time.sleep(0.001)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # together with block_on_close: closing joins the handlers
    block_on_close = True
    request_queue_size = 64

    def __init__(self, owner: Loopback) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # Accepted sockets inherit the size of the listening one's buffer.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients often close the connection in the middle of a file.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End the connections that clients keep alive, or their threads would never finish."""
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the other side has closed already
                    connection.shutdown(socket.SHUT_RDWR)


class Loopback:
    """A server on 127.0.0.1 that runs in threads for as long as its ``with`` block.

    `sent` holds the bytes of body handed to the sockets for every file, counted before the write,
    so that what waits in a buffer is included. `requests` is the log.
    """

    endpoint: str

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.requests: list[Request] = []
        self._faults: list[_Fault] = []
        self._lock = threading.RLock()

    def __enter__(self: _Self) -> _Self:
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        # Leaving the block takes up to the poll interval.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def drop(self, path_suffix: str, after: int, times: int = 1, *, reset: bool = True) -> None:
        """Break off the next `times` bodies of such files `after` bytes into each.

        The connection is reset (RST); with ``reset=False`` it is closed in good order but too
        early. A body of at most `after` bytes is sent whole and does not use up a drop.
        """
        with self._lock:
            self._faults.append(_Fault(path_suffix, times, after=after, reset=reset))

    def fail(self, path_suffix: str, status: int, times: int = 1, *, method: str = "GET") -> None:
        """Answer the next `times` requests for such a file, or such a URL path, with `status`."""
        with self._lock:
            self._faults.append(_Fault(path_suffix, times, status=status, method=method))

    def forget(self) -> None:
        """Reset the counts and the log."""
        with self._lock:
            self.sent.clear()
            self.requests.clear()

    def body(self, handler: _Handler, length: int) -> bytes:
        """Read a request's body; the subclass may watch it arrive."""
        return handler.rfile.read(length)

    def route(self, request: Incoming) -> Answer | Content:
        """Return the reply to a request; implemented by the subclass."""
        raise NotImplementedError

    def _serve(self, handler: _Handler, request: Incoming) -> None:
        reply = self.route(request)
        with self._lock:
            entry = Request(request.method, request.path, request.headers.get("Range"), reply.file)
            self.requests.append(entry)
        status = self._take_failure(request, reply.file)
        if status is not None:
            handler.answer(Answer(status, b"on demand\n", {"Retry-After": "0"}))
        elif isinstance(reply, Content):
            handler.content(reply)
        else:
            handler.answer(reply)

    def _take_failure(self, request: Incoming, file: str | None) -> int | None:
        with self._lock:
            for fault in self._faults:
                mine = fault.status and fault.method == request.method
                if mine and fault.fits(file, request.path):
                    fault.times -= 1
                    return fault.status
        return None

    def _take_drop(self, file: str, length: int) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if not fault.status and fault.fits(file) and fault.after < length:
                    fault.times -= 1
                    return fault
        return None

    def _count(self, file: str, size: int) -> None:
        with self._lock:
            self.sent[file] += size


# ---------------------------------------------------------------------------------------------
# The Hub

# What the Hub's own .gitattributes template sends to LFS, and the size above which it must go.
_SUFFIXES = (
    ".7z .arrow .avro .bin .bz2 .ftz .gz .h5 .joblib .lz4 .mds .model .msgpack .npy .npz .onnx"
    " .ot .parquet .pb .pickle .pkl .pt .pth .rar .safetensors .tar .tflite .tgz .wasm .xz .zip"
    " .zst .pcm .sam .raw .aac .flac .mp3 .ogg .wav .bmp .gif .png .tiff .jpg .jpeg .webp .mp4"
    " .webm"
)
LFS_SUFFIXES = frozenset(_SUFFIXES.split())
LFS_SIZE = 10 << 20
EPOCH = datetime(2024, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class _Blob:
    """A file's content, kept in the hub's own store. For LFS, `oid` is the pointer file's id."""

    oid: str
    sha256: str
    size: int
    source: Path
    pointer: int = 0  # the pointer file's size; 0 for a file that lies in git itself


@dataclass(frozen=True)
class _Commit:
    sha: str
    parent: _Commit | None
    blobs: Mapping[str, _Blob]
    trees: Mapping[str, str]  # folder → id; the root is ""
    changed: Mapping[str, str]  # path → sha of the commit that last touched it
    number: int

    @property
    def date(self) -> str:
        return _date(self.number)

    def history(self) -> Iterator[_Commit]:
        commit: _Commit | None = self
        while commit is not None:
            yield commit
            commit = commit.parent


@dataclass
class _Repo:
    commits: dict[str, _Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def find(self, revision: str) -> _Commit | None:
        return self.commits.get(self.branches.get(revision, revision))


class _Refusal(Exception):
    """Carries an error reply out of a nested lookup."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        named = {"X-Error-Code": code, "X-Error-Message": message}
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        content = json.dumps({"error": message}).encode()
        head = {"Content-Type": "application/json; charset=utf-8", **named, **extra}
        self.answer = Answer(status, content, head)


class Hub(Loopback):
    """A Hub with the repositories given to `add` and `add_model`, and nothing else."""

    page = 1000  # entries of a tree listing per reply
    expanded_page = 50

    def __init__(self) -> None:
        super().__init__()
        self._repos: dict[str, _Repo] = {}
        self._models: set[str] = set()

    def __enter__(self) -> Hub:
        self._store = Path(tempfile.mkdtemp(prefix="hub-"))
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        shutil.rmtree(self._store, ignore_errors=True)

    def add(self, repo_id: str, folder: Path, branch: str = "main") -> str:
        """Publish the folder as it is now as the branch's newest commit; return the sha.

        The sha follows from the content and the parent commit alone. The content is copied, so
        that it does not matter what becomes of the folder.
        """
        if repo_id.count("/") != 1:
            raise ValueError(f"not of the form owner/name: {repo_id!r}")
        blobs = {path: self._keep(path, source) for path, source in _files(Path(folder))}
        with self._lock:
            repo = self._repos.setdefault(repo_id, _Repo())
            parent = repo.find(branch) if branch in repo.branches else None
            commit = _commit(blobs, parent)
            repo.commits.setdefault(commit.sha, commit)
            repo.branches[branch] = commit.sha
        return commit.sha

    def add_model(self, repo_id: str, folder: Path) -> str:
        """Publish the folder as `add` does, as a model instead of a data set."""
        self._models.add(repo_id)
        return self.add(repo_id, folder)

    def environment(self) -> dict[str, str]:
        """Variables for a client's process; its caches are new and die with the hub.

        The single caches are named too, because a setting of theirs that the process inherits
        would count for more than ``HF_HOME``.
        """
        local, home = "127.0.0.1,localhost", self._store / "home"
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_DATASETS_CACHE": str(home / "datasets"),
            "HF_MODULES_CACHE": str(home / "modules"),
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": local,
            "no_proxy": local,
        }

    def _keep(self, path: str, source: Path) -> _Blob:
        size = source.stat().st_size
        plain, digest = hashlib.sha1(f"blob {size}\0".encode()), hashlib.sha256()
        copy = Path(tempfile.mkstemp(dir=self._store)[1])
        with source.open("rb") as reader, copy.open("wb") as writer:
            while chunk := reader.read(1 << 20):
                plain.update(chunk)
                digest.update(chunk)
                writer.write(chunk)
        kept = copy.replace(self._store / f"{digest.hexdigest()}.blob")
        if not _is_lfs(path, size):
            return _Blob(plain.hexdigest(), digest.hexdigest(), size, kept)
        pointer = _pointer(digest.hexdigest(), size)
        return _Blob(_git_id("blob", pointer), digest.hexdigest(), size, kept, len(pointer))

    # Routing. The segments are decoded one by one, because a revision or a path in a tree
    # listing arrives as one segment with encoded slashes.

    def route(self, request: Incoming) -> Answer | Content:
        parts = [unquote(segment) for segment in request.segments]
        try:
            if parts[:2] == ["api", "datasets"] and len(parts) >= 4:
                return self._api(request, "/".join(parts[2:4]), parts[4:])
            if parts[:3] == ["api", "resolve-cache", "datasets"] and len(parts) >= 7:
                return self._cached("/".join(parts[3:5]), parts[5], "/".join(parts[6:]))
            if parts[:1] == ["cdn"] and len(parts) >= 5:
                return self._cdn("/".join(parts[1:3]), parts[3], "/".join(parts[4:]))
            if parts[:1] == ["datasets"] and parts[3:4] == ["resolve"] and len(parts) >= 6:
                return self._resolve(request, "/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
            if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self._models:
                return self._api(request, "/".join(parts[2:4]), parts[4:])
            if parts[2:3] == ["resolve"] and "/".join(parts[:2]) in self._models:
                return self._resolve(request, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            if "resolve" in parts[2:] or (parts[:1] == ["api"] and parts[1:2] == ["models"]):
                self._repo("", request)  # another model, or a space: there are none
        except _Refusal as refusal:
            return refusal.answer
        return Answer(404, b'{"error":"Sorry, we can\'t find the page you are looking for."}')

    def _api(self, request: Incoming, repo_id: str, rest: list[str]) -> Answer:
        repo = self._repo(repo_id, request)
        action, revision = (*rest, "", "")[:2]
        if action == "auth-check":
            return _json("OK")
        if action == "refs":
            return _json(_refs(repo))
        commit = self._commit(repo, revision or "main")
        if action == "tree":
            return self._tree(request, commit, "/".join(rest[2:]).strip("/"))
        if action == "paths-info":
            return _json(_paths_info(request, commit))
        if action == "commits":
            return _json([_commit_json(repo_id, past) for past in commit.history()])
        if action in ("", "revision"):
            return _json(_info(repo_id, commit, blobs=_flag(request, "blobs")))
        raise _Refusal(404, "", "Not found")

    def _repo(self, repo_id: str, request: Incoming) -> _Repo:
        repo = self._repos.get(repo_id)
        if repo is not None:
            return repo
        # Without a token, private repositories look like missing ones.
        if request.headers.get("Authorization"):
            raise _Refusal(404, "RepoNotFound", "Repository not found")
        challenge = 'Bearer realm="Authentication required", charset="UTF-8"'
        message = "Invalid username or password."
        raise _Refusal(401, "RepoNotFound", message, WWW_Authenticate=challenge)

    def _commit(self, repo: _Repo, revision: str) -> _Commit:
        commit = repo.find(revision)
        if commit is None:
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _tree(self, request: Incoming, commit: _Commit, folder: str) -> Answer:
        if folder not in commit.trees:
            message = f"{folder} does not exist on this revision"
            raise _Refusal(404, "EntryNotFound", message, X_Repo_Commit=commit.sha)
        expand = _flag(request, "expand")
        paths = list(_walk(commit, folder, _flag(request, "recursive")))
        most = self.expanded_page if expand else self.page
        size = min(int(request.query.get("limit", [str(most)])[0]), most)
        start = int(request.query.get("cursor", ["0"])[0])
        page = [_entry(commit, path, expand) for path in paths[start : start + size]]
        if start + size >= len(paths):
            return _json(page)
        query = {**request.query, "cursor": [str(start + size)]}
        pairs = "&".join(f"{quote(key)}={quote(value[0])}" for key, value in query.items())
        url = f"{self.endpoint}{urlsplit(request.target).path}?{pairs}"
        return _json(page, Link=f'<{url}>; rel="next"')

    def _resolve(self, request: Incoming, repo_id: str, revision: str, path: str) -> Answer:
        commit = self._commit(self._repo(repo_id, request), revision)
        blob = _blob(commit, path)
        place = f"{repo_id}/{commit.sha}/{quote(path)}"
        if not blob.pointer:
            location = f"/api/resolve-cache/datasets/{place}?etag={quote(_quoted(blob.oid))}"
            return _redirect(307, location, path, {**_git_headers(commit, blob)})
        # The Hub's storage has another host name, and clients tell by that not to follow a HEAD
        # there, where none of the metadata is. So this server has two names too.
        location = f"http://localhost:{self.port}/cdn/{place}?Expires=0&Signature=none"
        linked = {"X-Linked-Size": str(blob.size), "X-Linked-ETag": _quoted(blob.sha256)}
        linked["Accept-Ranges"] = "bytes"
        return _redirect(302, location, path, {"X-Repo-Commit": commit.sha, **linked})

    def _cached(self, repo_id: str, revision: str, path: str) -> Content:
        commit, blob = self._stored(repo_id, revision, path)
        return Content(path, blob.source, blob.size, _quoted(blob.oid), _git_headers(commit, blob))

    def _cdn(self, repo_id: str, revision: str, path: str) -> Content:
        _, blob = self._stored(repo_id, revision, path)
        return Content(
            path, blob.source, blob.size, _quoted(blob.sha256), modified=EPOCH.timestamp()
        )

    def _stored(self, repo_id: str, revision: str, path: str) -> tuple[_Commit, _Blob]:
        commit = self._repos.get(repo_id, _Repo()).find(revision)
        if commit is None:
            raise _Refusal(403, "", "AccessDenied")
        return commit, _blob(commit, path)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    root = folder.resolve(strict=True)
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if ".git" in parts or not path.is_file():
            continue
        if not path.resolve().is_relative_to(root):
            raise ValueError(f"{path.name} leads out of the folder")
        yield "/".join(parts), path


def _is_lfs(path: str, size: int) -> bool:
    return Path(path).suffix.lower() in LFS_SUFFIXES or size > LFS_SIZE


def _pointer(sha256: str, size: int) -> bytes:
    version = "https://git-lfs.github.com/spec/v1"
    return f"version {version}\noid sha256:{sha256}\nsize {size}\n".encode()


def _git_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def _tree_ids(blobs: Mapping[str, _Blob]) -> dict[str, str]:
    """The git ids of all folders, the root (named "") included, as git itself would give them."""
    children: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    children[""] = {}
    for path, blob in blobs.items():
        folder, _, name = path.rpartition("/")
        children[folder][name] = ("100644", blob.oid)
        while folder:
            folder = folder.rpartition("/")[0]
            children[folder]  # a folder with only folders counts as well
    ids: dict[str, str] = {}
    for folder in sorted(children, key=lambda path: (bool(path), path.count("/")), reverse=True):
        ids[folder] = _git_id("tree", _tree_object(children[folder]))
        parent, _, name = folder.rpartition("/")
        if folder:
            children[parent][name] = ("40000", ids[folder])
    return ids


def _tree_object(children: Mapping[str, tuple[str, str]]) -> bytes:
    def order(item: tuple[str, tuple[str, str]]) -> bytes:
        return (item[0] + ("/" if item[1][0] == "40000" else "")).encode()

    rows = sorted(children.items(), key=order)
    return b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for name, (mode, oid) in rows)


def _commit(blobs: Mapping[str, _Blob], parent: _Commit | None) -> _Commit:
    trees = _tree_ids(blobs)
    number = parent.number + 1 if parent else 0
    seconds = int(EPOCH.timestamp()) + number
    who = f"tests <tests@localhost> {seconds} +0000"
    lines = [f"tree {trees['']}", *([f"parent {parent.sha}"] if parent else [])]
    text = "\n".join([*lines, f"author {who}", f"committer {who}", "", f"commit {number}\n"])
    sha = _git_id("commit", text.encode())
    ids = {**trees, **{path: blob.oid for path, blob in blobs.items()}}
    before = {} if parent is None else _ids(parent)
    changed = {
        path: parent.changed[path] if parent and before.get(path) == oid else sha
        for path, oid in ids.items()
    }
    return _Commit(sha, parent, blobs, trees, changed, number)


def _ids(commit: _Commit) -> dict[str, str]:
    return {**commit.trees, **{path: blob.oid for path, blob in commit.blobs.items()}}


def _blob(commit: _Commit, path: str) -> _Blob:
    blob = commit.blobs.get(path)
    if blob is None:
        raise _Refusal(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit.sha)
    return blob


def _walk(commit: _Commit, folder: str, recursive: bool) -> Iterator[str]:
    """The paths under a folder, the folders of a level before its files, as the Hub has them."""

    def inside(paths: Iterable[str]) -> list[str]:
        return sorted(path for path in paths if path and path.rpartition("/")[0] == folder)

    folders = inside(commit.trees)
    yield from folders
    yield from inside(commit.blobs)
    if recursive:
        for child in folders:
            yield from _walk(commit, child, True)


def _entry(commit: _Commit, path: str, expand: bool) -> dict[str, Any]:
    blob = commit.blobs.get(path)
    entry: dict[str, Any] = {"type": "directory", "oid": commit.trees.get(path), "size": 0}
    if blob is not None:
        entry = {"type": "file", "oid": blob.oid, "size": blob.size}
        if blob.pointer:
            entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer}
    entry["path"] = path
    if expand:
        sha = commit.changed[path]
        past = next(past for past in commit.history() if past.sha == sha)
        entry["lastCommit"] = {"id": sha, "title": _title(past), "date": past.date}
    if expand and blob is not None:
        scans = {"avScan": None, "pickleImportScan": None}
        entry["securityFileStatus"] = {"status": "safe", **scans}
    return entry


def _paths_info(request: Incoming, commit: _Commit) -> list[dict[str, Any]]:
    if "json" in request.headers.get("Content-Type", ""):
        form = json.loads(request.content)
        paths, expand = form.get("paths", []), bool(form.get("expand"))
    else:
        fields = parse_qs(request.content.decode(), keep_blank_values=True)
        paths, expand = fields.get("paths", []), _is_true(fields.get("expand", [""])[0])
    wanted = [path.strip("/") for path in paths]
    known = [path for path in wanted if path in commit.blobs or (path and path in commit.trees)]
    return [_entry(commit, path, expand) for path in known]


def _info(repo_id: str, commit: _Commit, blobs: bool) -> dict[str, Any]:
    return {
        "_id": commit.sha[:24],
        "id": repo_id,
        "author": repo_id.split("/")[0],
        "sha": commit.sha,
        "lastModified": commit.date,
        "createdAt": _date(0),
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "usedStorage": sum(blob.size for blob in commit.blobs.values()),
        "siblings": [_sibling(path, blob, blobs) for path, blob in sorted(commit.blobs.items())],
    }


def _sibling(path: str, blob: _Blob, details: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if details:
        sibling.update(size=blob.size, blobId=blob.oid)
    if details and blob.pointer:
        lfs = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer}
        sibling["lfs"] = lfs
    return sibling


def _refs(repo: _Repo) -> dict[str, Any]:
    branches = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha}
        for name, sha in sorted(repo.branches.items())
    ]
    return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}


def _commit_json(repo_id: str, commit: _Commit) -> dict[str, Any]:
    authors = [{"user": repo_id.split("/")[0], "avatar": ""}]
    title = {"title": _title(commit), "message": ""}
    return {"id": commit.sha, "authors": authors, "date": commit.date, **title}


def _title(commit: _Commit) -> str:
    return f"commit {commit.number}"


def _date(number: int) -> str:
    moment = EPOCH + timedelta(seconds=number)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _git_headers(commit: _Commit, blob: _Blob) -> dict[str, str]:
    etag = _quoted(blob.oid)
    return {"X-Repo-Commit": commit.sha, "ETag": etag, "Accept-Ranges": "bytes"}


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _redirect(status: int, location: str, file: str, headers: Mapping[str, str]) -> Answer:
    content = f"Redirecting to {location}".encode()
    head = {"Content-Type": "text/plain; charset=utf-8", "Location": location, **headers}
    return Answer(status, content, head, file)


def _json(value: object, **headers: str) -> Answer:
    head = {"Content-Type": "application/json; charset=utf-8", **headers}
    return Answer(200, json.dumps(value).encode(), head)


def _flag(request: Incoming, name: str) -> bool:
    return _is_true(request.query.get(name, [""])[0])


def _is_true(value: str) -> bool:
    return value.lower() in ("true", "1")
