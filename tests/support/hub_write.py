"""The write side of the loopback Hub: repositories are made, filled over LFS, and committed to.

It asks for a token to write and to read what is private, keeps what was sent even when nobody
commits it, and can hold an upload half-way, so that a test can end the client there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import yaml

from tests.support.hub import (
    Answer,
    Content,
    Hub,
    Incoming,
    _Blob,
    _commit,
    _git_id,
    _is_lfs,
    _json,
    _pointer,
    _Refusal,
    _Repo,
)

OWNER = "tester"
TOKEN = "hf_loopback"
_GIT_ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"


@dataclass
class Hold:
    """An upload that is stopped after some bytes: `reached` is set then, `released` ends it.

    With `goes_on` it goes on then.
    """

    after: int
    goes_on: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class WritableHub(Hub):
    """A Hub that accepts uploads.

    `received` counts the bytes of large files by their digest; `present` holds the digests of
    those that a client offered and need not send.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: Counter[str] = Counter()
        self.present: set[str] = set()
        self._private: set[str] = set()
        self._hold: Hold | None = None
        self._skips = 0
        self._arrived: set[tuple[str, str]] = set()

    def make_model(self, repo_id: str) -> None:
        """Make an empty model, as on the web page."""
        self._models.add(repo_id)
        self._advance(repo_id, {".gitattributes": self._small(_GIT_ATTRIBUTES)})

    def forget(self) -> None:
        super().forget()
        self.received.clear()
        self.present.clear()

    def hold(self, after: int, goes_on: bool = False) -> Hold:
        """Stop uploading once `after` bytes of large files have arrived since the last `forget`."""
        self._hold = Hold(after, goes_on)
        return self._hold

    def open_up(self, repo_id: str) -> None:
        """Make a private repository public, as in its settings."""
        self._private.remove(repo_id)

    def has(self, repo_id: str, digest: str) -> bool:
        """Whether a large file of a repository has arrived whole."""
        return (repo_id, digest) in self._arrived

    def put(self, repo_id: str, path: str, content: bytes, branch: str = "main") -> None:
        """Commit a small file, as through the web page."""
        commit = self._repos[repo_id].find(branch)
        assert commit is not None
        self._advance(repo_id, {**commit.blobs, path: self._small(content)}, branch)

    def skip_then_fail(self, path_suffix: str, skip: int, status: int) -> None:
        """Let `skip` such POST requests through and answer the next one with `status`."""
        self._skips = skip
        self.fail(path_suffix, status, method="POST")

    def is_private(self, repo_id: str) -> bool:
        return repo_id in self._private

    def files(self, repo_id: str, branch: str = "main") -> dict[str, bytes]:
        """The newest commit's files."""
        commit = self._repos[repo_id].find(branch)
        assert commit is not None
        return {path: blob.source.read_bytes() for path, blob in commit.blobs.items()}

    def commits(self, repo_id: str) -> int:
        """How many commits a repository has."""
        return len(self._repos[repo_id].commits)

    def body(self, handler: Any, length: int) -> bytes:
        if handler.command != "PUT":
            return super().body(handler, length)
        digest = handler.path.rpartition("/")[2].partition("?")[0]
        pieces = []
        while length > 0 and (piece := handler.rfile.read1(min(length, 4096))):
            pieces.append(piece)
            length -= len(piece)
            self.received[digest] += len(piece)
            hold = self._hold
            if hold is not None and sum(self.received.values()) >= hold.after:
                hold.reached.set()
                hold.released.wait(60)
                self._hold = None
                if not hold.goes_on:
                    raise ConnectionResetError("the client was ended here")
        return b"".join(pieces)

    def route(self, request: Incoming) -> Answer | Content:
        parts = [unquote(segment) for segment in request.segments]
        if (refused := self._refused(request)) is not None:
            return refused
        try:
            if request.method == "POST" and parts == ["api", "repos", "create"]:
                return self._create(request)
            if request.method == "POST" and parts == ["api", "validate-yaml"]:
                return _validate(json.loads(request.content))
            if request.method == "PUT" and parts[:1] == ["lfs"]:
                return self._store_large("/".join(parts[1:3]), parts[3], request.content)
            if parts[:1] == ["datasets"] and parts[3:] == ["info", "lfs", "objects", "batch"]:
                self._allowed(request)
                repo_id = f"{parts[1]}/{parts[2].removesuffix('.git')}"
                return self._batch(repo_id, json.loads(request.content))
            if parts[:2] == ["api", "datasets"] and parts[4:] == ["leaderboard"]:
                self._repo("/".join(parts[2:4]), request)
                return self._leaderboard("/".join(parts[2:4]))
            if parts[1:2] in (["datasets"], ["models"]) and parts[4:5] in (
                ["preupload"],
                ["commit"],
            ):
                self._allowed(request)
                repo_id = "/".join(parts[2:4])
                act = self._preupload if parts[4] == "preupload" else self._take_commit
                return act(repo_id, request)
        except _Refusal as refusal:
            return refusal.answer
        return super().route(request)

    def _repo(self, repo_id: str, request: Incoming) -> _Repo:
        if repo_id in self._private and not _authorized(request):
            return super()._repo("", request)
        return super()._repo(repo_id, request)

    def _api(self, request: Incoming, repo_id: str, rest: list[str]) -> Answer:
        answer = super()._api(request, repo_id, rest)
        if rest[:1] in ([], ["revision"]) and repo_id in self._private:
            return _json({**json.loads(answer.content), "private": True})
        return answer

    def _refused(self, request: Incoming) -> Answer | None:
        """A requested failure happens before anything is written."""
        if request.method not in ("POST", "PUT"):
            return None
        if self._skips and request.path.endswith("/commit/main"):
            self._skips -= 1
            return None
        status = self._take_failure(request, None)
        return None if status is None else Answer(status, b"on demand\n", {"Retry-After": "0"})

    def _allowed(self, request: Incoming) -> None:
        if not _authorized(request):
            raise _Refusal(401, "", "Invalid username or password.")

    def _create(self, request: Incoming) -> Answer:
        self._allowed(request)
        form = json.loads(request.content)
        if (form.get("organization") or OWNER) != OWNER:
            raise _Refusal(403, "", "You don't have the rights to create a dataset there")
        repo_id = f"{OWNER}/{form['name']}"
        url = {"url": f"{self.endpoint}/datasets/{repo_id}"}
        with self._lock:
            if repo_id in self._repos:
                return Answer(409, json.dumps({"error": "exists", **url}).encode())
            if form.get("private") or form.get("visibility") == "private":
                self._private.add(repo_id)
            self._advance(repo_id, {".gitattributes": self._small(_GIT_ATTRIBUTES)})
        return _json(url)

    def _preupload(self, repo_id: str, request: Incoming) -> Answer:
        commit = self._commit(self._repo(repo_id, request), "main")
        files = []
        for file in json.loads(request.content)["files"]:
            known = commit.blobs.get(file["path"])
            mode = "lfs" if _is_lfs(file["path"], file["size"]) else "regular"
            oid = None if known is None else (known.sha256 if known.pointer else known.oid)
            files.append(
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}
            )
        return _json({"files": files})

    def _batch(self, repo_id: str, form: dict[str, Any]) -> Answer:
        objects = []
        for wanted in form["objects"]:
            one: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if self.has(repo_id, wanted["oid"]):
                self.present.add(wanted["oid"])
            else:
                address = f"{self.endpoint}/lfs/{repo_id}/{wanted['oid']}"
                one["actions"] = {"upload": {"href": address}}
            objects.append(one)
        return _json({"transfer": "basic", "objects": objects})

    def _store_large(self, repo_id: str, oid: str, content: bytes) -> Answer:
        if hashlib.sha256(content).hexdigest() != oid:
            return Answer(400, b"the content is not that of its digest\n")
        (self._store / f"{oid}.blob").write_bytes(content)
        self._arrived.add((repo_id, oid))
        return Answer(200)

    def _small(self, content: bytes) -> _Blob:
        digest = hashlib.sha256(content).hexdigest()
        source = self._store / f"{digest}.blob"
        source.write_bytes(content)
        return _Blob(_git_id("blob", content), digest, len(content), source)

    def _take_commit(self, repo_id: str, request: Incoming) -> Answer:
        commit = self._commit(self._repo(repo_id, request), "main")
        blobs = dict(commit.blobs)
        for line in request.content.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header" and value.get("parentCommit") not in (None, commit.sha):
                raise _Refusal(412, "PreconditionFailed", "A commit has happened since")
            if entry["key"] == "file":
                blobs[value["path"]] = self._small(base64.b64decode(value["content"]))
            elif entry["key"] == "lfsFile":
                blobs[value["path"]] = self._large(repo_id, value)
            elif entry["key"] == "deletedFile":
                del blobs[value["path"]]
        kind = "" if repo_id in self._models else "datasets/"
        address = f"{self.endpoint}/{kind}{repo_id}"
        if request.query.get("create_pr") != ["1"]:
            sha = self._advance(repo_id, blobs)
            return _json({**_DONE, "commitOid": sha, "commitUrl": f"{address}/commit/{sha}"})
        number = 1 + sum(map(_pull_request, self._repos[repo_id].branches))
        sha = self._advance(repo_id, blobs, f"refs/pr/{number}")
        done = {**_DONE, "commitOid": sha, "commitUrl": f"{address}/commit/{sha}"}
        return _json({**done, "pullRequestUrl": f"{address}/discussions/{number}"})

    def _leaderboard(self, repo_id: str) -> Answer:
        """The results that models, and pull requests to them, state for a data set."""
        found = []
        for model in sorted(self._models):
            for branch, sha in self._repos[model].branches.items():
                for path, blob in self._repos[model].commits[sha].blobs.items():
                    if not path.startswith(".eval_results/"):
                        continue
                    entries = yaml.safe_load(blob.source.read_bytes())
                    number = _pull_request(branch) and int(branch.rpartition("/")[2])
                    found += [
                        {"modelId": model, "filename": path, "pullRequest": number or None, **one}
                        for one in entries
                        if one["dataset"]["id"] == repo_id
                    ]
        author = {"type": "user", "name": OWNER, "fullname": OWNER, "avatarUrl": ""}
        found.sort(key=lambda one: -one["value"])
        return _json(
            [{**o, "rank": n, "verified": False, "author": author} for n, o in enumerate(found, 1)]
        )

    def _large(self, repo_id: str, value: dict[str, Any]) -> _Blob:
        source = self._store / f"{value['oid']}.blob"
        if not self.has(repo_id, value["oid"]):
            raise _Refusal(400, "", "an LFS pointer points to a file that does not exist")
        pointer = _pointer(value["oid"], source.stat().st_size)
        size = source.stat().st_size
        return _Blob(_git_id("blob", pointer), value["oid"], size, source, len(pointer))

    def _advance(self, repo_id: str, blobs: dict[str, _Blob], branch: str = "main") -> str:
        with self._lock:
            repo = self._repos.setdefault(repo_id, _Repo())
            commit = _commit(blobs, repo.find(branch) or repo.find("main"))
            repo.commits[commit.sha] = commit
            repo.branches[branch] = commit.sha
        return commit.sha


def _pull_request(branch: str) -> bool:
    return branch.startswith("refs/pr/")


def _authorized(request: Incoming) -> bool:
    return request.headers.get("Authorization") == f"Bearer {TOKEN}"


def _validate(form: dict[str, Any]) -> Answer:
    """The Hub refuses a card whose header is no YAML mapping, or has no known size and licence."""
    try:
        header = yaml.safe_load(form["content"].split("---\n")[1])
        errors = [] if isinstance(header, dict) and header.get("license") else ["no license"]
    except (yaml.YAMLError, IndexError) as error:
        errors = [str(error)]
    content = {"errors": [{"message": error} for error in errors], "warnings": []}
    return Answer(400 if errors else 200, json.dumps(content).encode(), _JSON)


_DONE = {"success": True, "hookOutput": ""}
_JSON = {"Content-Type": "application/json"}
