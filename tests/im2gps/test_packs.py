"""The photos of ZIP files and folders written by programs on several systems."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

import im2gps  # noqa: F401 - makes the name known
from geoload.report import Findings
from im2gps.lists.sample import write_lists
from im2gps.lists.table import write_table
from im2gps.packs import PackError, open_pack
from im2gps.sample import with_comments
from tests.support.shards import jpeg

UTF8 = 0x800


def write_zip(path: Path, names: list[bytes], flag: int = 0, extra: bytes = b"") -> None:
    """A ZIP of photos whose names are these bytes, marked as UTF-8 by the flag or not."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo(f"n{number:02d}" + "x" * (len(name) - 3))
            info.extra = extra
            archive.writestr(info, jpeg(number))
    data = bytearray(path.read_bytes())
    for number, name in enumerate(names):
        stand_in = b"n%02d" % number + b"x" * (len(name) - 3)
        for magic, flags, at in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
            start = data.index(stand_in) - at
            assert data[start : start + 4] == magic
            data[start + at : start + at + len(name)] = name
            data[start + flags : start + flags + 2] = flag.to_bytes(2, "little")
    path.write_bytes(data)


def names_in(source: Path) -> list[str]:
    report = Findings()
    with open_pack(str(source), report) as photos:
        assert all(read().startswith(b"\xff\xd8") for _, read in photos)
        names = [name for name, _ in photos]
    assert not report, report
    return names


NFD = unicodedata.normalize("NFD", "Zürich.jpg")


@pytest.mark.parametrize(
    ("raw", "flag", "name"),
    [
        ("Zürich.jpg".encode(), 0, "Zürich.jpg"),
        ("Zürich.jpg".encode(), UTF8, "Zürich.jpg"),
        ("Zürich.jpg".encode("cp437"), 0, "Zürich.jpg"),
        (NFD.encode(), 0, NFD),
        ("京都/東京.jpg".encode(), 0, "東京.jpg"),
        (b"photos\\a.jpg", 0, "a.jpg"),
        ("photos\\Zürich.jpg".encode(), UTF8, "Zürich.jpg"),
        (b"photos/2008\\a.jpg", 0, "a.jpg"),
    ],
)
def test_names_in_zips_are_read_however_they_are_coded(tmp_path, raw, flag, name):
    write_zip(tmp_path / "p.zip", [raw], flag)
    assert names_in(tmp_path / "p.zip") == [name]


def test_a_name_in_the_extra_field_counts_if_it_is_of_that_name(tmp_path):
    raw = b"Z?rich.jpg"
    for of, name in ((raw, "Zürich.jpg"), (b"renamed.jpg", "Z?rich.jpg")):
        field = b"\1" + struct.pack("<I", zlib.crc32(of)) + "photos/Zürich.jpg".encode()
        extra = b"UT\5\0\1\0\0\0\0" + struct.pack("<HH", 0x7075, len(field)) + field
        write_zip(tmp_path / "p.zip", [raw], extra=extra)
        assert names_in(tmp_path / "p.zip") == [name]


def test_folders_with_backslashes_are_not_read_as_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("photos\\", b"")
        archive.writestr("photos\\a.jpg", jpeg())
    assert names_in(tmp_path / "p.zip") == ["a.jpg"]


CLUTTER = ["._a.jpg", "__MACOSX/photos/._a.jpg", "__MACOSX/a.jpg", "photos/.DS_Store", "Thumbs.db",
           "photos/@eaDir/a.jpg", "PaxHeaders.7/a.jpg"]  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_systems_add_are_skipped(tmp_path, zipped):
    for name in [*CLUTTER, "photos/a.jpg"]:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(1) if name == "photos/a.jpg" else b"no photo")
    source = tmp_path / "data"
    if zipped:
        source = tmp_path / "p.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name in [*CLUTTER, "photos/a.jpg"]:
                archive.write(tmp_path / "data" / name, name)
    assert names_in(source) == ["a.jpg"]


def test_shadow_files_of_macs_are_ignored(tmp_path):
    write_zip(tmp_path / "p.zip", [b"a.jpg"])
    (tmp_path / "t.csv").write_text("IMG_ID,LAT,LON\na.jpg,1,2\n")
    for name in ("._p.zip", "._t.csv"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    options = {"data_dir": str(tmp_path), "split": "test", "streaming": True}
    rows = load_dataset("im2gps", "photos", **options)
    assert [row["image_id"] for row in rows] == ["a.jpg"]


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg(7))
    link = zipfile.ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(link, str(secret))
        archive.writestr("a.jpg", jpeg())
    report = Findings()
    with open_pack(str(tmp_path / "p.zip"), report) as photos:
        assert [name for name, _ in photos] == ["a.jpg"]
    assert report.counts == {"not_a_photo": 1}


def test_links_of_a_local_folder_are_followed_and_loops_end(tmp_path):
    real = tmp_path / "disk" / "photos"
    (real / "deep").mkdir(parents=True)
    (real / "a.jpg").write_bytes(jpeg(1))
    (real / "deep" / "b.jpg").write_bytes(jpeg(2))
    (tmp_path / "elsewhere.jpg").write_bytes(jpeg(3))
    data = tmp_path / "data"
    data.mkdir()
    os.symlink(real, data / "photos")
    os.symlink(real / "deep", data / "again")
    os.symlink(data, real / "deep" / "loop")
    os.symlink(tmp_path / "elsewhere.jpg", data / "c.jpg")
    os.symlink(tmp_path / "nowhere.jpg", data / "d.jpg")
    os.symlink(data, tmp_path / "link")
    for source in (data, tmp_path / "link"):
        assert sorted(names_in(source)) == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_changed_pack_behind_a_link_gives_new_rows(tmp_path, cache):
    real = tmp_path / "disk"
    real.mkdir()
    os.symlink(real, tmp_path / "gps_query_imgs")
    options = {"data_dir": str(tmp_path), "split": "test", "cache_dir": cache}
    for count in (1, 2):
        data = with_comments(jpeg(count), [b"latitude: 1", b"longitude: 2"])
        (real / f"{count}.jpg").write_bytes(data)
        assert len(load_dataset("im2gps", **options)) == count


def test_a_zip_bomb_is_unpacked_only_to_the_size_limit(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED):
            archive.writestr(f"{kind}.jpg", bytes(65 * 2**20), kind)
        archive.writestr("a.jpg", jpeg())
    with open_pack(str(tmp_path / "p.zip"), Findings()) as photos:
        tracemalloc.start()
        for _, read in photos[:2]:
            with pytest.raises(PackError, match=r"cannot be unpacked \(method 1[24]: compress"):
                read()
        assert tracemalloc.get_traced_memory()[1] < 2**20
        with pytest.raises(PackError, match="larger than 67,108,864 bytes"):
            photos[2][1]()
        assert tracemalloc.get_traced_memory()[1] < 140 * 2**20
        tracemalloc.stop()
        assert photos[3][1]() == jpeg()


class ShortReads(io.FileIO):
    """A file whose reads return at most 700 bytes, as on FUSE and network disks."""

    def __init__(self, path: str, token: object) -> None:
        super().__init__(path)

    def read(self, size: int | None = -1) -> bytes:
        return super().read(700 if size is None or size < 0 else min(size, 700))

    def readinto(self, buffer) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def test_short_reads_are_continued(tmp_path, monkeypatch):
    write_zip(tmp_path / "p.zip", [b"%03d.jpg" % number for number in range(99)])
    monkeypatch.setattr("im2gps.packs.open_binary", ShortReads)
    assert len(names_in(tmp_path / "p.zip")) == 99


@given(st.data())
def test_damage_gives_one_kind_of_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("zip") / "p.zip"
    write_zip(path, [b"a.jpg", "Zürich.jpg".encode()])
    damaged = bytearray(path.read_bytes())
    start = damaged.index(b"PK\1\2")
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(start, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        with open_pack(str(path), Findings()) as photos:
            for _, read in photos:
                read()
    except PackError as error:
        assert str(error)


def test_lists_and_tables_are_found_behind_links(tmp_path):
    write_lists(tmp_path / "disk", 40, repeated=0)
    (tmp_path / "lists").mkdir()
    os.symlink(tmp_path / "disk", tmp_path / "lists" / "more")
    (tmp_path / "disk" / "._rome.txt").write_bytes(b"\0\5\x16\7")
    write_table([tmp_path / "lists"], tmp_path / "out" / "photos.parquet")
    os.rename(tmp_path / "out" / "photos.parquet", tmp_path / "out" / "mine.parquet")
    (tmp_path / "out" / "._mine.parquet").write_bytes(b"\0\5\x16\7")
    options = {"data_dir": str(tmp_path / "out"), "split": "train", "streaming": True}
    rows = list(load_dataset("im2gps", "metadata", **options))
    assert len(rows) > 30 and not {"._rome"} & {row["query"] for row in rows}
