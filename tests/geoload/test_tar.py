"""The TAR reader on archives of several programs and on damaged ones."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoload.files import is_clutter
from geoload.tar import Member, ShardError, members
from geoload.tar_index import TarIndex

FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
# No NUL (it ends a name), nothing that cannot be coded, and no slash at the end (a folder).
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)
NAMES = NAMES.filter(lambda name: not is_clutter(name))
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=6)


def pack(files: dict[str, bytes], form: str = "gnu") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[form]) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def header(name: str, size: int | bytes = 0, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A GNU header; `at_345=b"x"` puts bytes at an offset, `size` can be bytes, too."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    places = {"at_124": size if isinstance(size, bytes) else b"%011o\0" % size, **fields}
    for place, value in places.items():
        at = int(place.removeprefix("at_"))
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("size", [100, 5000])
def test_a_compressed_archive_is_an_error_that_says_so(kind, size):
    magic = {"gzip": b"\x1f\x8b", "bzip2": b"BZh9", "xz": b"\xfd7zXZ\0", "zstd": b"(\xb5/\xfd"}
    data = magic[kind] + bytes(range(256)) * 20
    with pytest.raises(ShardError, match=rf"a\.tar is compressed \({kind}\).*unpack it first"):
        list(members(io.BytesIO(data[:size]), label="a.tar"))
    assert [m.name for m, _ in members(io.BytesIO(pack({"BZh9": b"x"})))] == ["BZh9"]


def with_pax(records: bytes, name: str = "a.jpg", data: bytes = b"abc") -> bytes:
    """An archive of one member, with a PAX header of these records before it."""
    padded = records + bytes(-len(records) % 512)
    member = header(name, len(data)) + data + bytes(-len(data) % 512)
    return header("PaxHeaders/a", len(records), b"x") + padded + member + bytes(10240)


def pax(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


class ShortReads(io.BytesIO):
    """A file whose reads return at most 700 bytes, as on FUSE and network disks."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 700))


def read(tar: bytes, wanted=None, **options) -> dict[str, bytes | None]:
    return {m.name: data for m, data in members(io.BytesIO(tar), wanted, **options)}


@pytest.mark.parametrize("form", ["gnu", "pax"])
@settings(max_examples=60, deadline=None)
@given(files=FILES)
def test_reads_names_and_bytes_that_tarfile_writes(form, files):
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
def test_a_pass_can_start_at_any_member(files, data):
    tar = pack(files, "pax")
    found = list(members(io.BytesIO(tar)))
    number = data.draw(st.integers(0, len(found) - 1))
    assert list(members(io.BytesIO(tar), start=found[number][0].offset)) == found[number:]


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


def test_every_cut_before_the_trailing_zeros_is_an_error():
    tar = pack({"a": b"x" * 100, "b" * 120: b"y" * 1000, "c": b""})
    end = max(m.data + (m.size + 511) // 512 * 512 for m, _ in members(io.BytesIO(tar)))
    for length in range(0, end, 100):
        with pytest.raises(ShardError):
            read(tar[:length])


def test_two_archives_in_one_file_are_an_error():
    with pytest.raises(ShardError, match="continues after its end-of-archive mark"):
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


def test_a_member_has_its_offset_and_size():
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


@pytest.mark.parametrize("form", FORMATS)
def test_short_reads_are_continued(form):
    files = {"a" * 90 + "/" + "b" * 90 + ".jpg": os.urandom(5000), "b.jpg": bytes(100_000)}
    found = {member.name: data for member, data in members(ShortReads(pack(files, form)))}
    assert found == files
    with pytest.raises(ShardError, match="continues after its end-of-archive mark"):
        list(members(ShortReads(pack(files) + pack(files))))


HUGE = [
    b"\x80\0\0\0" + (2**63 - 1).to_bytes(8, "big"),
    b"\x80" + b"\xff" * 11,
    b"\x80\0\0\0" + (2**40).to_bytes(8, "big"),
    b"\xff" * 12,
    b"\xff\xff\xff\xff" + (-512).to_bytes(8, "big", signed=True),
    b"\xc0" + bytes(11),
    b"77777777777\0",
    b"-0000000001\0",
    b"12345678901\0",
]


@pytest.mark.parametrize("kind", [b"0", b"7", b"D", b"S", b"Z", b"L", b"x"])
@pytest.mark.parametrize("size", HUGE, ids=range(len(HUGE)))
def test_an_impossible_size_is_an_error_for_every_reader(kind, size, tmp_path):
    tar = header("a.jpg", size, kind) + bytes(10240)
    for call in (
        lambda: read(tar),
        lambda: read(tar, lambda name: False),
        lambda: TarIndex("x.tar", len(tar)).scan(io.BytesIO(tar)),
    ):
        with pytest.raises(ShardError):
            call()
    (tmp_path / "x.tar").write_bytes(tar)  # files refuse some offsets
    with open(tmp_path / "x.tar", "rb", buffering=0) as file, pytest.raises(ShardError):
        list(members(file))


@pytest.mark.parametrize("size", ["9" * 23, "9" * 5000, "-1", "1e3", " 3", "3_0", "0x3", "nan"])
def test_an_impossible_size_in_a_pax_header_is_an_error(size):
    with pytest.raises(ShardError):
        read(with_pax(pax("size", size)))


def test_a_size_of_more_digits_than_a_header_has_is_read():
    member = header("a.jpg", b"\x80" + (5).to_bytes(11, "big")) + b"12345" + bytes(507)
    assert read(member + bytes(1024)) == {"a.jpg": b"12345"}
    assert read(with_pax(pax("size", "3") + pax("mtime", "1.5"))) == {"a.jpg": b"abc"}


@pytest.mark.parametrize(
    "records",
    [b"1" * 2**20, b"1 " * 2**19, b"9" * 19 + b" path=a\n", b"5 a=b", b"7 pathx\n", b"0 a=b\n",
     b"9 path=b", b"-9 path=b\n", b"11 path=b\n", b" path=b\n", b"8 path=b\n"],
)  # fmt: skip
def test_broken_pax_records_are_an_error(records):
    with pytest.raises(ShardError, match="byte 0"):
        read(with_pax(records))


def test_a_pax_header_of_many_records_takes_little_memory():
    record = pax("SCHILY.xattr.user.x", "1" * 20)
    tar = with_pax(record * (2**20 // len(record) - 1) + pax("path", "b.jpg"))
    tracemalloc.start()
    assert read(tar) == {"b.jpg": b"abc"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20 + len(tar)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.lists(st.tuples(NAMES, NAMES)))
def test_any_pax_records_give_the_member_or_an_error(records):
    if isinstance(records, list):
        records = b"".join(pax("X." + key.replace("=", "-"), value) for key, value in records)
        assert read(with_pax(records)) == {"a.jpg": b"abc"}
    else:
        with contextlib.suppress(ShardError):
            read(with_pax(records))


def test_a_global_pax_header_cannot_set_names():
    def after(record: bytes) -> bytes:
        padded = record + bytes(-len(record) % 512)
        return header("g", len(record), b"g") + padded + pack({"a": b"1"})

    assert read(after(pax("comment", "1f2e"))) == {"a": b"1"}
    for record in (pax("path", "b"), pax("size", "9"), pax("GNU.sparse.major", "1")):
        with pytest.raises(ShardError, match="one name or size is set for all members"):
            read(after(record))


def test_a_chain_of_long_names_is_an_error():
    link = header("././@LongLink", 600, b"L") + b"n" * 599 + bytes(425)
    with pytest.raises(ShardError, match="too many extended headers in a row"):
        read(link * 100_000 + pack({"a": b"1"}))
    assert read(link + pack({"a": b"1"})) == {"n" * 599: b"1"}


@pytest.mark.parametrize("magic", [b"ustar  \0", bytes(8), b"\xff" * 8])
def test_only_posix_headers_have_a_prefix(magic):
    times = b"15301627263\0" + b"15301627264\0"
    tar = header("photos/1.jpg", at_257=magic, at_345=times) + bytes(1024)
    assert list(read(tar)) == ["photos/1.jpg"]
    tar = header("1.jpg", at_257=b"ustar\x0000", at_345=b"photos\0", at_476=times) + bytes(1024)
    assert list(read(tar)) == ["photos/1.jpg"]  # star has the times behind a shorter prefix


def test_checksums_of_signed_bytes_fit_too():
    block = bytearray(header("é.jpg"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(b - 256 if b > 127 else b for b in block)
    assert list(read(bytes(block) + bytes(1024))) == ["é.jpg"]


def test_reads_an_incremental_archive(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1.jpg").write_bytes(b"1" * 700)
    command = ["tar", "--listed-incremental=snapshot", "-cf", "out.tar", "folder"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = list(members(io.BytesIO((tmp_path / "out.tar").read_bytes())))
    assert [(m.name.rstrip("/"), m.kind, data) for m, data in found] == [
        ("folder", "dir", None),
        ("folder/1.jpg", "file", b"1" * 700),
    ]


@pytest.mark.parametrize("form", ["gnu", "posix:0.0", "posix:0.1", "posix:1.0"])
def test_sparse_files_are_skipped(tmp_path: Path, form):
    with open(tmp_path / "sparse", "wb") as file:
        for place in range(60):  # more than fit into one header
            file.seek(place * 2**17)
            file.write(b"x" * 4096)
    (tmp_path / "z.jpg").write_bytes(b"z")
    form, _, version = form.partition(":")
    options = [f"--format={form}", *([f"--sparse-version={version}"] if version else [])]
    command = ["tar", *options, "-S", "-cf", "out.tar", "sparse", "z.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert os.path.getsize(tmp_path / "out.tar") < 2**20
    found = list(members(io.BytesIO((tmp_path / "out.tar").read_bytes())))
    assert [(m.name, m.kind, data) for m, data in found] == [
        ("sparse", "other", None),
        ("z.jpg", "file", b"z"),
    ]


CLUTTER = ["._a.jpg", "x/._a.json", "__MACOSX/x/a.jpg", ".DS_Store", "x/Thumbs.db", "@eaDir/a.jpg",
           "x/PaxHeader/a.jpg", "PaxHeaders.1234/a.jpg", "PaxHeaders/a.jpg"]  # fmt: skip


def test_files_that_systems_add_are_skipped():
    files = {"a.jpg": b"1", "x/b._jpg": b"2", "Thumbs.dbx": b"3", "PaxHeaderx/a": b"4"}
    tar = pack({**dict.fromkeys(CLUTTER, b"no photo"), **files})
    assert read(tar) == files
    index = TarIndex("x", len(tar))
    index.scan(io.BytesIO(tar))
    assert [member.name for member in index] == list(files)
