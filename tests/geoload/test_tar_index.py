"""The index of a TAR file gives the bytes of the archive, and never those of another file."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import logging
import os
import pickle
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoload import tar_index
from geoload.tar import Member, ShardError
from geoload.tar_index import TarIndex, index_path
from geoload.tar_reader import TarReader, read_members


def write_tar(path: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def index_of(path: Path, cache_dir: Path) -> TarIndex:
    return TarReader(path, cache_dir).index


def names_in(index: TarIndex) -> list[str]:
    return sorted(index.name(number) for number in index.files())


CONTENT = {f"satellite/-3/{i}/{i * 7}.jpg": bytes([i]) * (i * 100) for i in range(40)}


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "level.tar"
    write_tar(path, CONTENT)
    return path


names = st.text(min_size=1, max_size=150).map(lambda text: "a" + text.replace("\0", "") + "z")


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(names, st.binary()))
def test_reads_what_tarfile_wrote(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("tar")
    write_tar(folder / "x.tar", content)
    read = TarReader(folder / "x.tar", folder)
    assert {name: read.read(name) for name in names_in(read.index)} == content
    assert read.read("absent") is None


def test_the_later_of_two_members_with_one_name_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for data in (b"old", b"newer"):
            info = tarfile.TarInfo("a")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert TarReader(path, tmp_path).read("a") == b"newer"


def test_a_saved_index_is_used_without_reading_headers(
    tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index_of(tar, tmp_path)
    monkeypatch.setattr(tar_index, "members", None)
    second = index_of(tar, tmp_path)
    assert list(second) == list(first) and second.complete
    assert [second.name(number) for number in second.files()] == list(CONTENT)
    assert second.find("satellite/-3/5/35.jpg") == first.find("satellite/-3/5/35.jpg") is not None


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_replaced_tar_is_indexed_again(tar: Path, tmp_path: Path, keep_times: bool) -> None:
    before = os.stat(tar)
    index_of(tar, tmp_path)
    other = tmp_path / "other.tar"
    write_tar(other, dict(reversed([(name, data[::-1]) for name, data in CONTENT.items()])))
    assert other.stat().st_size == before.st_size
    os.replace(other, tar)
    if keep_times:
        os.utime(tar, ns=(before.st_atime_ns, before.st_mtime_ns))
    read = TarReader(tar, tmp_path)
    assert {name: read.read(name) for name in CONTENT} == CONTENT


@pytest.mark.parametrize("where", [0, 40, 200, -10, "cut", "empty", "longer", "other"])
def test_a_corrupt_index_is_reported_and_rebuilt(
    tar: Path, tmp_path: Path, where: object, caplog: pytest.LogCaptureFixture
) -> None:
    index_of(tar, tmp_path / "index")
    (kept,) = (tmp_path / "index").glob("*.index")
    data = bytearray(kept.read_bytes())
    if isinstance(where, int):
        data[where] ^= 0x40
    else:
        data = {"cut": data[:-7], "empty": b"", "longer": data + b"x", "other": b"PK" * 99}[where]
    kept.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        read = TarReader(tar, tmp_path / "index")
        assert {name: read.read(name) for name in CONTENT} == CONTENT
    (record,) = caplog.records
    assert "level.tar in the cache" in record.getMessage()
    assert "is damaged and is rebuilt: its digest does not match." in record.getMessage()
    caplog.clear()
    index_of(tar, tmp_path / "index")
    assert not caplog.records


@pytest.mark.parametrize("field", range(5))
@pytest.mark.parametrize("value", [-1, 2**62, -(2**63)])
def test_an_index_that_points_outside_its_file_is_refused(
    tar: Path, tmp_path: Path, field: int, value: int, caplog: pytest.LogCaptureFixture
) -> None:
    index_of(tar, tmp_path / "index")
    (kept,) = (tmp_path / "index").glob("*.index")
    body = bytearray(kept.read_bytes()[32:])
    at = body.index(b"]\n") + 2 + 8 * (5 * 3 + field)
    body[at : at + 8] = value.to_bytes(8, "little", signed=True)
    kept.write_bytes(hashlib.blake2b(body, digest_size=32).digest() + body)
    assert names_in(index_of(tar, tmp_path / "index")) == sorted(CONTENT)
    assert "is rebuilt" in caplog.text


@pytest.mark.parametrize("count", [b"1152921504606846976", b"null", b"-2", b"7", b"[" * 9999])
def test_an_index_with_an_invalid_header_is_refused(
    tar: Path, tmp_path: Path, count: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    index_of(tar, tmp_path / "index")
    (kept,) = (tmp_path / "index").glob("*.index")
    body = kept.read_bytes()[32:]
    old = b", %d, %d]\n" % (len(CONTENT), len(CONTENT))
    assert body.count(old) == 1
    for new in (b", %d, %s]\n" % (len(CONTENT), count), b", %s, %d]\n" % (count, len(CONTENT))):
        changed = body.replace(old, new)
        kept.write_bytes(hashlib.blake2b(changed, digest_size=32).digest() + changed)
        caplog.clear()
        assert names_in(index_of(tar, tmp_path / "index")) == sorted(CONTENT)
        assert "is rebuilt" in caplog.text


def test_an_index_of_an_older_version_is_ignored(
    tar: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"TAR index 3\n" + b"anything"
    kept = index_path(str(tar), tmp_path)
    kept.write_bytes(hashlib.blake2b(body, digest_size=32).digest() + body)
    assert names_in(index_of(tar, tmp_path)) == sorted(CONTENT)
    assert kept.read_bytes()[32:].startswith(b"TAR index 4\n") and not caplog.records


@pytest.mark.parametrize("stop", [0, 1, 17, 39])
def test_an_interrupted_pass_is_resumed(
    tar: Path, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def new() -> TarIndex:
        return TarIndex("https://x/level.tar", tar.stat().st_size, ["v1"], tmp_path)

    with open(tar, "rb") as file:
        first = list(itertools.islice(new().read(file), stop + 1))
        resumed = new()
        assert len(resumed) == stop + 1 and not resumed.complete
        assert resumed.position == first[-1][0].data + first[-1][0].size
        found = {
            m.name: data for m, data in resumed.read(file, lambda name: name.endswith("0.jpg"))
        }
        assert found == {n: d if n.endswith("0.jpg") else None for n, d in CONTENT.items()}
    monkeypatch.setattr(tar_index, "members", None)
    with open(tar, "rb") as file:
        assert new().complete and [m.name for m, _ in new().read(file)] == list(CONTENT)


def test_two_passes_at_once_add_each_member_once(tar: Path) -> None:
    index = TarIndex("x.tar", tar.stat().st_size)
    with open(tar, "rb") as one, open(tar, "rb") as other:
        pairs = list(zip(index.read(one), index.read(other), strict=True))
    assert all(mine == yours for mine, yours in pairs)
    assert [member.name for member in index] == list(CONTENT) and index.complete


def test_a_partial_index_does_not_replace_a_longer_one(tar: Path, tmp_path: Path) -> None:
    early = TarIndex(str(tar), tar.stat().st_size, ["v1"], tmp_path)
    with open(tar, "rb") as file:
        started = early.read(file)
        next(started)
        TarIndex(str(tar), tar.stat().st_size, ["v1"], tmp_path).scan(file)
        started.close()
    assert TarIndex(str(tar), tar.stat().st_size, ["v1"], tmp_path).complete


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_tar_is_named(tar: Path, tmp_path: Path, keep: float) -> None:
    os.truncate(tar, int(tar.stat().st_size * keep))
    with pytest.raises(ShardError, match=r"level\.tar is cut (inside|after) satellite"):
        index_of(tar, tmp_path)
    with pytest.raises(ShardError, match=r"level\.tar is cut (inside|after) satellite"):
        index_of(tar, tmp_path)


def test_a_tar_overwritten_while_in_use_is_noticed(tar: Path, tmp_path: Path) -> None:
    read = TarReader(tar, tmp_path)
    assert read.read("satellite/-3/5/35.jpg") == CONTENT["satellite/-3/5/35.jpg"]
    data = tar.read_bytes()
    with open(tar, "r+b") as file:
        file.write(data[512:] + bytes(512))
    os.utime(tar)
    with pytest.raises(ShardError, match=r"level\.tar was changed while it was in use"):
        read.read("satellite/-3/6/42.jpg")
    read.close()
    assert tar.exists()


def test_a_tar_replaced_by_rename_is_still_read(tar: Path, tmp_path: Path) -> None:
    read = TarReader(tar, tmp_path)
    read.read("absent")
    other = tmp_path / "other"
    other.write_bytes(b"no tar")
    if os.name == "posix":
        os.replace(other, tar)
        assert read.read("satellite/-3/5/35.jpg") == CONTENT["satellite/-3/5/35.jpg"]


def test_pickles_without_handle_and_without_index(tar: Path, tmp_path: Path) -> None:
    read = TarReader(tar, tmp_path)
    read.read("absent")
    data = pickle.dumps(read)
    assert len(data) < 1000
    assert pickle.loads(data).read("satellite/-3/5/35.jpg") == CONTENT["satellite/-3/5/35.jpg"]


def test_without_pread(tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geoload.tar_reader._pread", None)
    read = TarReader(tar, tmp_path)
    assert {name: read.read(name) for name in CONTENT} == CONTENT


def test_an_unwritable_cache_is_reported(
    tar: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert len(index_of(tar, tmp_path / "file" / "index")) == len(CONTENT)
    assert "cannot be saved in" in caplog.text


def test_an_empty_tar(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {})
    for _ in range(2):
        assert list(index_of(tmp_path / "x.tar", tmp_path)) == []


def test_a_member_too_large_is_not_read(tar: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="3,500 bytes, more than the 1,000 allowed"):
        TarReader(tar, tmp_path).read("satellite/-3/35/245.jpg", max_size=1000)


def test_short_reads_are_continued(
    tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = "geoload.tar_reader._pread"
    monkeypatch.setattr(pread, lambda file, size, at: os.pread(file, min(size, 70), at))
    read = TarReader(tar, tmp_path)
    assert {name: read.read(name) for name in CONTENT} == CONTENT


@pytest.mark.parametrize("place", [(-1, 5), (0, -1), (0, 10**6), (2**63, 5), (10**23, 1)])
def test_a_read_outside_the_file_is_an_error(tar: Path, place: tuple[int, int]) -> None:
    with pytest.raises(ShardError, match=r"level\.tar ends before odd does"):
        list(read_members(str(tar), [Member("odd", 0, *place, "file")], None))


@pytest.mark.parametrize("value", [-1, 2**63, 10**23, 1.0, True, "1", None, [1], 1e999])
@pytest.mark.parametrize("field", ["offset", "size"])
def test_a_published_index_with_a_wrong_offset_is_refused(
    tar: Path, field: str, value: object
) -> None:
    path = index_of(tar, tar.parent).publish()
    content = json.loads(Path(path).read_bytes())
    content["files"]["satellite/-3/5/35.jpg"][field] = value
    Path(path).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is not an index of the TAR file beside it"):
        TarIndex.from_published(path, str(tar), content["filesize"], content["hash"])
