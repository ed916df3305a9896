"""The loopback servers, seen through the real clients of the running environment.

The Hub's clients run in processes of their own, with `Hub.environment`: the test process itself is
to stay offline. What such a process does is a function ``client_*`` below.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from tests.support.equal import assert_same_bytes
from tests.support.hub import Hub, Loopback, parse_range
from tests.support.static import Static

REPO = "owner/name"
ROOT = f"datasets/{REPO}"
TAR = "archives/a.tar"
DATA = random.Random(0).randbytes(3_000_000)
CHILD = "import sys, tests.support.test_hub as t; getattr(t, sys.argv[1])(*sys.argv[2:])"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "archives" / "deep").mkdir(parents=True)
    (root / TAR).write_bytes(DATA)
    (root / "archives" / "deep" / "b.tar").write_bytes(b"b")
    (root / "table.csv").write_text("a\n1\n2\n")
    return root


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        yield running


def _run(hub: Hub, client: Callable[..., None], *args: object) -> None:
    """Call one of the functions named ``client_*`` in a process that knows only this hub."""
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", CHILD, client.__name__, *map(str, args)]
    environment = {**os.environ, **hub.environment(), **paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr


def _download(file: str = TAR, repo: str = REPO, revision: str = "main") -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, file, revision=revision, repo_type="dataset"))


def _raw(
    server: Loopback, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    response = connection.getresponse()
    try:
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def client_listing(sha: str) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    assert api.dataset_info(REPO, revision="main").sha == sha
    everything = {"archives/deep", "archives/deep/b.tar", TAR}
    for deep, expected in ((True, everything), (False, everything - {"archives/deep/b.tar"})):
        for expand in (True, False):
            tree = api.list_repo_tree(
                REPO, "archives", recursive=deep, expand=expand, revision=sha, repo_type="dataset"
            )
            assert {entry.path for entry in tree} == expected
    paths = [TAR, "missing", "table.csv"]
    big, small = api.get_paths_info(REPO, paths, revision=sha, repo_type="dataset")
    assert (big.size, big.lfs.size, small.size, small.lfs) == (len(DATA), len(DATA), 6, None)
    # what `git hash-object` says of the file
    assert small.blob_id == "9255cffcde0079a8f4f0bd0ee3a20057dd3ce990"
    assert api.list_repo_commits(REPO, repo_type="dataset")[0].commit_id == sha
    assert api.list_repo_refs(REPO, repo_type="dataset").branches[0].target_commit == sha


def test_listing(hub: Hub, folder: Path) -> None:
    _run(hub, client_listing, hub.add(REPO, folder))


def client_pages() -> None:
    from huggingface_hub import HfApi

    tree = [
        entry.path for entry in HfApi().list_repo_tree(REPO, recursive=True, repo_type="dataset")
    ]
    assert len(tree) == len(set(tree)) == 5


def test_listing_in_pages(hub: Hub, folder: Path) -> None:
    hub.add(REPO, folder)
    hub.page = 2
    _run(hub, client_pages)
    assert sum("/tree/" in request.path for request in hub.requests) == 3


def client_downloads(sha: str) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    assert_same_bytes(_download().read_bytes(), DATA)
    assert sha in str(_download("table.csv"))
    metadata = get_hf_file_metadata(hf_hub_url(REPO, TAR, repo_type="dataset"))
    assert (metadata.commit_hash, metadata.size) == (sha, len(DATA))
    assert len(metadata.etag or "") == 64 and "/cdn/" in metadata.location
    assert metadata.xet_file_data is None


def test_download_counts_each_byte_once(hub: Hub, folder: Path) -> None:
    _run(hub, client_downloads, hub.add(REPO, folder))
    assert hub.sent == {TAR: len(DATA), "table.csv": 6}
    assert any(request.method == "HEAD" for request in hub.requests)


def client_revisions(first: str, second: str) -> None:
    from huggingface_hub import HfFileSystem

    for revision, text in ((first, "a\n1\n2\n"), (second, "a\n3\n"), ("main", "a\n3\n")):
        assert _download("table.csv", revision=revision).read_text() == text
        with HfFileSystem().open(f"{ROOT}@{revision}/table.csv", "rb") as file:
            assert file.read().decode() == text


def test_two_revisions(hub: Hub, folder: Path) -> None:
    first = hub.add(REPO, folder)
    (folder / "table.csv").write_text("a\n3\n")
    second = hub.add(REPO, folder)
    assert first != second
    _run(hub, client_revisions, first, second)
    with Hub() as other:
        assert other.add(REPO, folder) not in (first, second)  # it has no parent there


def client_errors() -> None:
    from huggingface_hub import HfApi, HfFileSystem, errors

    api = HfApi()
    cases: list[tuple[type[Exception], Callable[[], object]]] = [
        (errors.RepositoryNotFoundError, lambda: api.dataset_info("owner/none")),
        (errors.RevisionNotFoundError, lambda: api.dataset_info(REPO, revision="none")),
        (
            errors.EntryNotFoundError,
            lambda: list(api.list_repo_tree(REPO, "no", repo_type="dataset")),
        ),
        (errors.RepositoryNotFoundError, lambda: _download(repo="owner/none")),
        (errors.RevisionNotFoundError, lambda: _download(revision="none")),
        (errors.EntryNotFoundError, lambda: _download("none.csv")),
        (FileNotFoundError, lambda: HfFileSystem().open(f"{ROOT}/none", "rb").read(1)),
    ]
    for expected, call in cases:
        with pytest.raises(expected):
            call()
    assert not HfFileSystem().exists(f"{ROOT}/none")


def test_errors_are_typed(hub: Hub, folder: Path) -> None:
    hub.add(REPO, folder)
    _run(hub, client_errors)


def client_filesystem(sha: str) -> None:
    from huggingface_hub import HfFileSystem

    files, root = HfFileSystem(), f"{ROOT}@{sha}"
    assert sorted(files.ls(root, detail=False)) == [f"{root}/archives", f"{root}/table.csv"]
    assert files.info(f"{root}/{TAR}")["size"] == len(DATA)
    found = sorted(files.glob(f"{root}/**/*.tar"))
    assert found == [f"{root}/{TAR}", f"{root}/archives/deep/b.tar"]
    with files.open(f"{root}/{TAR}", "rb", block_size=1 << 16) as file:
        file.seek(1_000_000)
        assert file.read(10) == DATA[1_000_000:1_000_010]
        assert file.seek(-5, io.SEEK_END) and file.read() == DATA[-5:]


def test_filesystem(hub: Hub, folder: Path) -> None:
    _run(hub, client_filesystem, hub.add(REPO, folder))
    assert 0 < hub.sent[TAR] < 500_000
    assert any(request.range for request in hub.requests)


def client_reads(block_size: str) -> None:
    from huggingface_hub import HfFileSystem

    with HfFileSystem().open(f"{ROOT}/{TAR}", "rb", block_size=int(block_size)) as file:
        pieces = list(iter(lambda: file.read(100_000), b""))
    assert b"".join(pieces) == DATA


@pytest.mark.parametrize("block_size", [0, 1 << 20])
@pytest.mark.parametrize("reset", [True, False])
def test_streaming_survives_a_drop(hub: Hub, folder: Path, block_size: int, reset: bool) -> None:
    hub.add(REPO, folder)
    hub.drop("a.tar", 700_000, reset=reset)
    _run(hub, client_reads, block_size)
    served = [request for request in hub.requests if "/cdn/" in request.path]
    assert len(served) >= 2 and any(request.range for request in served)


def client_begins() -> None:
    from huggingface_hub import HfFileSystem

    with HfFileSystem().open(f"{ROOT}/{TAR}", "rb", block_size=1 << 20) as file:
        file.read(512)


def test_a_drop_reaches_the_client(hub: Hub, folder: Path) -> None:
    sha = hub.add(REPO, folder)
    path = f"/cdn/{REPO}/{sha}/{TAR}"
    hub.drop("a.tar", 5, times=2)
    hub.drop("a.tar", 7, reset=False)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            _raw(hub, path)
    assert hub.sent[TAR] == 10
    with pytest.raises(http.client.IncompleteRead) as caught:
        _raw(hub, path)
    assert caught.value.partial == DATA[:7]
    assert _raw(hub, path)[2] == DATA


def test_a_failure_happens_once(hub: Hub, folder: Path) -> None:
    hub.add(REPO, folder)
    path = f"/datasets/{REPO}/resolve/main/{TAR}"
    hub.fail("a.tar", 503)
    hub.fail("/tree/main", 429)
    status, headers, _ = _raw(hub, path)
    assert (status, headers["Retry-After"]) == (503, "0")
    assert _raw(hub, path, "HEAD")[0] == _raw(hub, path)[0] == 302
    tree = f"/api/datasets/{REPO}/tree/main"
    assert [_raw(hub, tree)[0] for _ in range(2)] == [429, 200]


def test_ranges(hub: Hub, folder: Path) -> None:
    sha = hub.add(REPO, folder)
    path = f"/cdn/{REPO}/{sha}/{TAR}"
    size = len(DATA)
    for asked, start, end in (
        ("5-9", 5, 10),
        (f"{size - 2}-", size - 2, size),
        ("-3", size - 3, size),
    ):
        status, headers, body = _raw(hub, path, Range=f"bytes={asked}")
        assert (status, body) == (206, DATA[start:end])
        assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    status, headers, body = _raw(hub, path, Range=f"bytes={size}-")
    assert (status, headers["Content-Range"], body) == (416, f"bytes */{size}", b"")
    etag = _raw(hub, path, "HEAD")[1]["ETag"]
    assert _raw(hub, path, Range="bytes=0-4", If_Range=etag)[0] == 206
    assert _raw(hub, path, Range="bytes=0-4", If_Range='"other"')[0] == 200
    assert parse_range("bytes=1-2,4-5", 10) is None


def test_a_reader_that_stops_early_receives_little(hub: Hub, folder: Path) -> None:
    (folder / TAR).write_bytes(bytes(20_000_000))
    hub.add(REPO, folder)
    _run(hub, client_begins)
    assert 512 <= hub.sent[TAR] <= 2 << 20


def test_files_outside_the_folder_are_not_served(hub: Hub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    sha = hub.add(REPO, folder)
    with Static(folder) as static:
        for path in ("/../secret", "/%2e%2e/secret", "/archives/..%2F..%2Fsecret", "/%00", "//"):
            assert _raw(static, path)[0] == 404
            assert _raw(hub, f"/cdn/{REPO}/{sha}{path}")[0] == 404
        (folder / "link").symlink_to(tmp_path / "secret")
        assert _raw(static, "/link")[0] == 404
    with pytest.raises(ValueError, match="link"):
        hub.add(REPO, folder)


def test_static_files(folder: Path) -> None:
    with Static(folder) as static:
        status, headers, body = _raw(static, f"/{TAR}", "HEAD")
        assert (status, body, headers["Content-Length"]) == (200, b"", str(len(DATA)))
        assert headers["Accept-Ranges"] == "bytes" and headers["Last-Modified"]
        assert _raw(static, f"/{TAR}", If_None_Match=headers["ETag"])[0] == 304
        with fsspec.open(static.url(TAR), block_size=1 << 16) as file:
            file.seek(1000)
            assert file.read(10) == DATA[1000:1010]
        assert 0 < static.sent[TAR] < 500_000


def test_static_files_without_ranges(folder: Path) -> None:
    with Static(folder, ranges=False) as static:
        status, headers, body = _raw(static, f"/{TAR}", Range="bytes=0-4")
        assert (status, headers["Accept-Ranges"], body) == (200, "none", DATA)
        static.drop(TAR, 10)
        with pytest.raises(ConnectionResetError):
            _raw(static, f"/{TAR}")


def test_fsspec_does_not_recover_from_a_drop(folder: Path) -> None:
    """Shows why the reader of web servers has to resume itself."""
    with Static(folder) as static:
        static.drop(TAR, 1000)
        with (
            pytest.raises(Exception, match="payload is not completed") as caught,
            fsspec.open(static.url(TAR), block_size=1 << 20) as file,
        ):
            file.read()
        assert not isinstance(caught.value, OSError)


def client_loads() -> None:
    import datasets

    for streaming in (True, False):
        rows = datasets.load_dataset("owner/tables", split="train", streaming=streaming)
        assert [row["a"] for row in rows] == [1, 2]
    rows = datasets.load_dataset("owner/tars", split="train", streaming=True)
    assert [row["json"]["n"] for row in rows] == [0, 1, 2]


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            content = json.dumps({"n": number}).encode()
            member = tarfile.TarInfo(f"{number}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_load_dataset(hub: Hub, tmp_path: Path) -> None:
    for name in ("tables", "tars"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables" / "train.csv").write_text("a\n1\n2\n")
    _tar(tmp_path / "tars" / "train.tar")
    hub.add("owner/tables", tmp_path / "tables")
    hub.add("owner/tars", tmp_path / "tars")
    _run(hub, client_loads)
