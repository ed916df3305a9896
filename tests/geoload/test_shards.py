"""The TAR reader, on what tar programs write and on what breaks."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoload.shards import Member, ShardError, members

FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
# No NUL (it ends a name), nothing that cannot be coded, and no slash at the end (a folder).
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=6)


def pack(files: dict[str, bytes], form: str = "gnu") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[form]) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(tar: bytes, wanted=None, **options) -> dict[str, bytes | None]:
    return {m.name: data for m, data in members(io.BytesIO(tar), wanted, **options)}


@pytest.mark.parametrize("form", ["gnu", "pax"])
@settings(max_examples=60, deadline=None)
@given(files=FILES)
def test_gives_names_and_bytes_of_whatever_tarfile_writes(form, files):
    assert read(pack(files, form)) == files


@pytest.mark.parametrize("form", FORMATS)
def test_reads_long_names_in_every_format(form):
    files = {"a" * 90 + "/" + "b" * 90 + ".jpg": b"long", "short.jpg": b"short"}
    assert read(pack(files, form)) == files


@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "posix"])
def test_reads_what_the_tar_program_writes(tmp_path: Path, form):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "photo.jpg").write_bytes(b"x" * 700)
    subprocess.run(
        ["tar", f"--format={form}", "-cf", "out.tar", "folder"], cwd=tmp_path, check=True
    )
    found = list(members(io.BytesIO((tmp_path / "out.tar").read_bytes())))
    assert [(m.name.rstrip("/"), m.kind) for m, _ in found] == [
        ("folder", "dir"),
        ("folder/photo.jpg", "file"),
    ]
    assert found[1][1] == b"x" * 700


def test_reads_only_wanted_members():
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size=-1):
            data = super().read(size)
            Counting.read_bytes += len(data)
            return data

    tar = pack({f"{i}.jpg": bytes(100_000) for i in range(20)})
    found = [(m.name, d is not None) for m, d in members(Counting(tar), lambda n: n == "7.jpg")]
    assert found == [(f"{i}.jpg", i == 7) for i in range(20)]
    assert Counting.read_bytes < 150_000


@settings(max_examples=60, deadline=None)
@given(files=FILES, data=st.data())
def test_start_and_stop_cut_a_shard_into_parts_that_make_the_whole(files, data):
    tar = pack(files, "pax")
    all_members = list(members(io.BytesIO(tar)))
    offsets = [m.offset for m, _ in all_members]
    cut = data.draw(st.sampled_from(offsets))
    first = list(members(io.BytesIO(tar), stop=cut))
    second = list(members(io.BytesIO(tar), start=cut))
    assert first + second == all_members


def test_offset_and_size_find_the_bytes():
    tar = pack({"n" * 150: b"one", "b": b"second"}, "pax")
    for member, data in members(io.BytesIO(tar)):
        assert tar[member.data : member.data + member.size] == data


def test_links_and_devices_are_named_and_never_read():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    found = [(m.name, m.kind, data) for m, data in members(io.BytesIO(buffer.getvalue()))]
    assert found == [("s", "link", None), ("h", "link", None), ("d", "other", None)]


def test_a_cut_inside_a_member_is_an_error_that_names_it():
    tar = pack({"first.jpg": b"1" * 600, "second.jpg": b"2" * 5000})
    with pytest.raises(ShardError, match=r"shard 3 is cut inside second.jpg: 2,?\d+ of 5,000"):
        read(tar[: 512 + 1024 + 512 + 2500], label="shard 3")
    with pytest.raises(ShardError, match="cut inside second.jpg"):
        read(tar[: 512 + 1024 + 512 + 2500], lambda name: False)


def test_a_cut_between_two_members_is_an_error_that_names_the_last():
    tar = pack({"first.jpg": b"1" * 512, "second.jpg": b"2" * 512})
    with pytest.raises(ShardError, match="cut after first.jpg, with no end-of-archive mark"):
        read(tar[: 2 * 512])
    with pytest.raises(ShardError, match="cut after second.jpg"):
        read(tar[: 4 * 512])


def test_every_cut_but_in_the_trailing_zeros_is_noticed():
    tar = pack({"a": b"x" * 100, "b" * 120: b"y" * 1000, "c": b""})
    end = max(m.data + (m.size + 511) // 512 * 512 for m, _ in members(io.BytesIO(tar)))
    for length in range(0, end, 100):
        with pytest.raises(ShardError):
            read(tar[:length])


def test_two_archives_in_one_file_are_an_error():
    with pytest.raises(ShardError, match="goes on after its end-of-archive mark"):
        read(pack({"a": b"1"}) + pack({"b": b"2"}))


@pytest.mark.parametrize("content", [b"", b"not a tar" * 100, os.urandom(2000), b"\xff" * 1024])
def test_other_files_are_an_error(content):
    with pytest.raises(ShardError):
        read(content)


def test_a_flipped_bit_in_a_header_is_an_error():
    tar = bytearray(pack({"a": b"1" * 512, "b": b"2"}))
    tar[1024 + 3] ^= 1
    with pytest.raises(ShardError, match="byte 1024"):
        read(bytes(tar))


def test_sizes_are_bounded():
    tar = pack({"huge.jpg": bytes(3000)})
    with pytest.raises(ShardError, match="huge.jpg is 3,000 bytes, more than the 2,000 allowed"):
        read(tar, max_size=2000)
    bomb = tarfile.TarInfo("x")
    bomb.type, bomb.size = tarfile.GNUTYPE_LONGNAME, 2**33
    with pytest.raises(ShardError, match="claims"):
        read(bomb.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_an_end_before_stop_is_an_error():
    tar = pack({"a": b"1"})
    with pytest.raises(ShardError, match="another version"):
        list(members(io.BytesIO(tar), stop=len(tar) + 512))


def test_a_member_says_where_it_lies():
    member, data = next(members(io.BytesIO(pack({"a.jpg": b"abc"}))))
    assert member == Member("a.jpg", 0, 512, 3, "file")
    assert data == b"abc"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_gives_one_kind_of_error(data):
    tar = bytearray(
        pack(
            {"a" * 120: b"1" * 600, "b": b"2", "c": b""}, data.draw(st.sampled_from(["gnu", "pax"]))
        )
    )
    for position in data.draw(st.lists(st.integers(0, len(tar) - 1), max_size=4)):
        tar[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ShardError):
        read(bytes(tar))
