"""`im2gps build` with a photo host on loopback: photos, missing photos, and continuing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("simplejpeg")

from geoload import __version__
from im2gps.building.build import build
from im2gps.building.engines import BuildError
from im2gps.building.fetch import Fetcher
from im2gps.cli import main
from im2gps.flickr.http import RateLimiter, RequestPolicy
from im2gps.photo_table import read_rows
from tests.support.equal import assert_same_bytes
from tests.support.flickr_photos import LASTING, FlickrPhotos, picture, row, write_list

# Wide and low, so that there is little to code; quick to give up, so that there is little to wait.
FLAT = {"original_width": 1200, "original_height": 100}
QUICK = {"processes": 1, "rate": 0, "backoff": 0.001, "patience": 0, "tries": 3}


def photos(count: int, **fields) -> list[dict]:
    return [row(number, **FLAT, **fields) for number in range(count)]


def ids(rows: list[dict], *numbers: int) -> list[str]:
    return [rows[number]["photo_id"] for number in numbers]


def samples(folder: Path) -> dict[str, tuple[dict, bytes]]:
    """Record and photo of every sample, by photo id; each JSON is right before its photo."""
    found = {}
    for shard in sorted(folder.glob("im2gps-*.tar")):
        with tarfile.open(shard) as archive:
            members = [(member.name, archive.extractfile(member).read()) for member in archive]
        for (text_name, text), (photo_name, photo) in zip(members[::2], members[1::2], strict=True):
            assert text_name == photo_name.removesuffix("jpg") + "json"
            record = json.loads(text)
            assert record["photo_id"] not in found
            found[record["photo_id"]] = (record, photo)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build with one photo of every permanent fault and some of temporary ones."""
    folder = tmp_path_factory.mktemp("built")
    rows = photos(60)
    faults = dict(zip(ids(rows, *range(len(LASTING))), LASTING, strict=True))
    passing = {rows[30]["photo_id"]: [429, "reset", 503, 500], rows[31]["photo_id"]: ["cut"]}
    rows[40].update(original_secret="cafe", original_format="jpg", original_width=900)
    rows[41].update(original_width=700)
    rows[42]["secret"] = "../../../etc"
    rows[43]["latitude"] = None
    rows[44] = dict(rows[45])
    table = write_list(folder / "photos.parquet", rows)
    with FlickrPhotos(rows, faults, passing) as host:
        report = build(table, folder / "out", shard_size=25, host=host.endpoint,
                       **QUICK | {"tries": 5})  # fmt: skip
    return folder / "out", rows, faults, report, host


def test_every_row_is_in_a_shard_or_counted_by_reason(built):
    folder, rows, faults, report, _ = built
    expected = Counter(LASTING.values())
    expected["row that gives no address or place"] = 2
    expected["photo that is in the table twice"] = 1
    assert report["missing"] == expected
    assert report["rows"] == 60 == report["photos"] + sum(report["missing"].values())
    lost = {*faults, *ids(rows, 42, 43)}
    assert set(samples(folder)) == {r["photo_id"] for r in rows} - lost
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report


def test_each_shard_lists_its_missing_photos(built):
    folder, rows, faults, _, _ = built
    said = {}
    for number in range(3):
        text = (folder / f"im2gps-{number:05d}.json").read_text(encoding="utf-8")
        statistics = json.loads(text)
        assert statistics["rows"] == (25, 25, 10)[number]
        assert statistics["bytes"] == (folder / f"im2gps-{number:05d}.tar").stat().st_size
        for reason, names in statistics["missing"].items():
            said.update(dict.fromkeys(names, reason))
    assert {i: said[i] for i in faults} == {i: LASTING[fault] for i, fault in faults.items()}
    assert said["row 42: secret '../../../etc'"] and said["row 43: latitude None"]
    assert said[rows[45]["photo_id"]] == "photo that is in the table twice"


def test_a_sample_is_a_photo_with_its_record(built):
    folder, rows, _, _, host = built
    record, photo = samples(folder)[rows[50]["photo_id"]]
    assert photo == picture(rows[50]["photo_id"], 1024, 85)
    taken = ("photo_id", "secret", "server", "owner", "title", "tags", "date_taken", "date_upload",
             "license", "latitude", "longitude", "accuracy", "query")  # fmt: skip
    assert record == {name: rows[50][name] for name in taken} | {
        "width": 1024, "height": 85, "size": "_b", "recoded": False,
        "address": "{0}/{server}/{photo_id}_{secret}_b.jpg".format(host.endpoint, **rows[50]),
    }  # fmt: skip
    with tarfile.open(folder / "im2gps-00002.tar") as archive:
        name = "{photo_id}_{secret}_{server}_{owner}".format(**rows[50])
        assert archive.getnames()[:2] == [f"{name}.json", f"{name}.jpg"]


def test_the_best_available_size_is_stored_without_metadata(built):
    folder, rows, _, report, _ = built
    found = samples(folder)
    record, photo = found[rows[40]["photo_id"]]
    assert (record["size"], record["width"]) == ("_o", 900)
    assert b"itude" not in photo and b"tells" not in photo
    assert found[rows[41]["photo_id"]][0]["size"] == "_z"
    assert report["sizes"]["_o"] == report["sizes"]["_z"] == 1


def test_gone_photos_are_requested_once_and_busy_ones_retried(built):
    _, rows, faults, _, host = built
    asked: dict[str, Counter] = {photo_id: Counter() for photo_id in faults}
    for path, count in host.asked.items():
        photo_id = path.split("/")[-1].split("_")[0]
        if photo_id in asked:
            asked[photo_id][path] += count
    by_fault = {fault: asked[photo_id] for photo_id, fault in faults.items()}
    for fault in ("404", "410", "unavailable", "403", "truncated", "html"):
        assert max(by_fault[fault].values()) == 1 and len(by_fault[fault]) == 3
    assert list(by_fault["500"].values()) == [5]
    assert len(by_fault["reset"]) == 1  # a temporary fault is not answered with a smaller size
    assert host.agents == {
        f"im2gps-justzoomin/{__version__} (im2gps build: photos of a research data set)"
    }


def test_builds_are_reproducible_and_finished_ones_do_nothing(built, tmp_path):
    folder, rows, faults, report, _ = built
    table = write_list(tmp_path / "renamed.parquet", rows)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".lock"}
    again = build(table, folder, shard_size=25, host=built[4].endpoint, **QUICK)
    assert again == report
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with FlickrPhotos(rows, faults) as host:
        build(table, tmp_path / "out", shard_size=25, host=host.endpoint, **QUICK)
    mine, theirs = samples(tmp_path / "out"), samples(folder)
    assert {i: photo for i, (_, photo) in mine.items()} == {i: p for i, (_, p) in theirs.items()}


def test_a_killed_build_continues(tmp_path):
    rows = photos(60)
    table = write_list(tmp_path / "photos.parquet", rows)
    with FlickrPhotos(rows, hold_at=45) as host:
        options = [table, "-o", str(tmp_path / "out"), "--photo-host", host.endpoint, "--rate", "0",
                   "--shard-size", "10", "--processes", "2", "--concurrency", "2"]  # fmt: skip
        command = [sys.executable, "-m", "im2gps", "build", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as killed:
            assert host.held.wait(100)
            killed.kill()
            # The pipe's end comes when its workers, who have it too, are gone as well.
            killed.communicate(timeout=170)
        done = samples(tmp_path / "out")
        assert 0 < len(done) < 60
        host.release()
        asked = Counter(host.asked)
        report = build(table, tmp_path / "out", shard_size=10, host=host.endpoint, **QUICK)
        fresh = {path.split("/")[-1].split("_")[0] for path in host.asked - asked}
    assert not fresh & set(done)
    assert set(samples(tmp_path / "out")) == {r["photo_id"] for r in rows}
    assert (report["rows"], report["photos"]) == (60, 60)
    assert not list((tmp_path / "out").glob("*.part"))


def test_excluded_photos_are_not_requested(tmp_path):
    rows = photos(40)
    table = write_list(tmp_path / "photos.parquet", rows)
    excluded = tmp_path / "excluded.txt"
    excluded.write_text(f"# seen\n{rows[3]['photo_id']}\n{rows[2]['owner']}\n", encoding="utf-8")
    lost = {rows[3]["photo_id"]} | {r["photo_id"] for r in rows if r["owner"] == rows[2]["owner"]}
    with FlickrPhotos(rows) as host:
        options = {"host": host.endpoint, **QUICK}
        report = build(table, tmp_path / "out", exclude=excluded, **options)
        with pytest.raises(BuildError, match="started with another list of photos to leave out"):
            build(table, tmp_path / "out", **options)
    assert report["missing"] == {"left out (--exclude)": len(lost)} and len(lost) == 3
    assert set(samples(tmp_path / "out")) == {r["photo_id"] for r in rows} - lost
    assert not any(photo_id in path for photo_id in lost for path in host.asked)


def test_a_folder_of_another_list_is_refused(tmp_path):
    table = write_list(tmp_path / "one.parquet", photos(4))
    other = write_list(tmp_path / "two.parquet", photos(5))
    with FlickrPhotos(photos(5)) as host:
        options = {"host": host.endpoint, **QUICK}
        build(table, tmp_path / "out", **options)
        with pytest.raises(BuildError, match=r"started with another table.*give another folder"):
            build(other, tmp_path / "out", **options)
        with pytest.raises(BuildError, match="started with shard_size 1000"):
            build(table, tmp_path / "out", shard_size=2, **options)
        with pytest.raises(BuildError, match="started with photo_host http://127"):
            build(table, tmp_path / "out", **QUICK)
        (tmp_path / "out" / "build.json").unlink()
        with pytest.raises(BuildError, match=r"has shards \(im2gps-00000\.tar"):
            build(table, tmp_path / "out", **options)
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "im2gps-foo.tar").write_bytes(b"")
        build(table, tmp_path / "new", **options)


def test_two_builds_do_not_write_to_one_folder(tmp_path):
    table = write_list(tmp_path / "photos.parquet", photos(2))
    (tmp_path / "out").mkdir()
    with (
        filelock.FileLock(tmp_path / "out" / ".build.lock"),
        pytest.raises(BuildError, match="another build is writing"),
    ):
        build(table, tmp_path / "out", **QUICK)


def test_a_truncated_or_removed_shard_is_built_again(tmp_path):
    rows = photos(6)
    table = write_list(tmp_path / "photos.parquet", rows)
    with FlickrPhotos(rows) as host:
        options = {"shard_size": 2, "host": host.endpoint, **QUICK}
        build(table, tmp_path / "out", **options)
        whole = [p.read_bytes() for p in sorted((tmp_path / "out").glob("*.tar"))]
        (tmp_path / "out" / "im2gps-00000.tar").write_bytes(whole[0][:-1])
        (tmp_path / "out" / "im2gps-00001.json").write_text("{", encoding="utf-8")
        (tmp_path / "out" / "im2gps-00002.tar").unlink()
        build(table, tmp_path / "out", **options)
    again = sorted((tmp_path / "out").glob("*.tar"))
    for path, wanted in zip(again, whole, strict=True):
        assert_same_bytes(path.read_bytes(), wanted)


@pytest.mark.parametrize("keep_times", [True, False])
def test_a_changed_shard_is_built_again(tmp_path, caplog, keep_times):
    rows = photos(4)
    table = write_list(tmp_path / "photos.parquet", rows)
    out = tmp_path / "out"
    with FlickrPhotos(rows) as host:
        options = {"shard_size": 2, "host": host.endpoint, **QUICK}
        build(table, out, **options)
        shard = out / "im2gps-00001.tar"
        whole, before = shard.read_bytes(), shard.stat()
        shard.write_bytes(whole[:1000] + bytes(400) + whole[1400:])
        if keep_times:
            os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
        asked = host.asked.total()
        build(table, out, **options)
        assert_same_bytes(shard.read_bytes(), whole)
        assert host.asked.total() - asked == 2
        assert "im2gps-00001.tar has changed since it was written" in caplog.text
        # Copies in another folder have the same shards.
        shutil.copytree(out, tmp_path / "copy")
        asked = host.asked.total()
        build(table, tmp_path / "copy", **options)
        assert host.asked.total() == asked


FOREIGN = ("ubuntu.iso.part", "im2gps-00000.part", "im2gps-00000.tar.part", "report.json.part",
           ".im2gps-00000.tar.01234567.part.part", ".im2gps-00000.tar.0123456A.part",
           ".my.im2gps-00000.tar.01234567.part", "report.json.17.part")  # fmt: skip
OWN = (".im2gps-00000.tar.01234567.part", ".im2gps-00000.json.01234567.part",
       ".build.json.01234567.part", ".report.json.01234567.part")  # fmt: skip


def test_a_build_removes_only_unfinished_files_of_builds(tmp_path):
    out = tmp_path / "out"
    (out / ".im2gps-00000.tar.1123456f.part").mkdir(parents=True)
    (out / ".im2gps-00000.tar.2123456f.part").symlink_to(tmp_path / "nowhere")
    for name in (*FOREIGN, *OWN):
        (out / name).write_text("something", encoding="utf-8")
    table = write_list(tmp_path / "photos.parquet", photos(1))
    with FlickrPhotos(photos(1)) as host:
        build(table, out, host=host.endpoint, **QUICK)
    left = {path.name for path in out.iterdir()}
    assert left.issuperset(FOREIGN) and not left.intersection(OWN)
    assert {f".im2gps-00000.tar.{i}123456f.part" for i in (1, 2)} <= left


@pytest.mark.parametrize(
    "text", ["{", "[1]", "\udc80", "[" * 10**5, '{"rows": 1%s}' % ("0" * 5000)]
)
def test_a_damaged_manifest_is_named_in_the_error(tmp_path, capsys, text):
    table = write_list(tmp_path / "photos.parquet", photos(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "build.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["build", table, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert re.search(r"^im2gps: \S+/build\.json is damaged: .*\n\Z", said)


def test_a_damaged_list_is_named_in_the_error(tmp_path, capsys):
    path = tmp_path / "photos.parquet"
    table = write_list(path, photos(50))
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(4)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    with FlickrPhotos(photos(50)) as host:
        options = ["--photo-host", host.endpoint, "--processes", "1"]
        assert main(["build", table, "-o", str(tmp_path / "out"), *options]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("im2gps: shard im2gps-00000.tar: ")
    assert f"{table} is not a valid Parquet file (" in said
    assert not list((tmp_path / "out").glob("im2gps-*"))


def test_an_unreachable_host_stops_the_build_without_losses(tmp_path):
    rows = photos(4)
    table = write_list(tmp_path / "photos.parquet", rows)
    with FlickrPhotos(rows, away=10**9) as host:
        options = {"host": host.endpoint, **QUICK}
        with pytest.raises(BuildError, match="does not answer.*run the same command again"):
            build(table, tmp_path / "out", **options)
        assert not list((tmp_path / "out").glob("im2gps-*"))
        host.away = 0
        assert build(table, tmp_path / "out", **options)["photos"] == 4


def test_a_short_outage_of_the_host_loses_no_photo(tmp_path):
    rows = photos(8)
    table = write_list(tmp_path / "photos.parquet", rows)
    options = QUICK | {"tries": 1, "patience": 60, "concurrency": 2}
    with FlickrPhotos(rows, away=12) as host:
        assert build(table, tmp_path / "out", host=host.endpoint, **options)["photos"] == 8


def test_many_refusals_stop_the_build(tmp_path):
    rows = photos(40)
    table = write_list(tmp_path / "photos.parquet", rows)
    with FlickrPhotos(rows, dict.fromkeys(ids(rows, *range(30)), "403")) as host:
        with pytest.raises(BuildError, match=r"30 of 40 photos got no valid answer.*HTTP 403"):
            build(table, tmp_path / "out", host=host.endpoint, **QUICK)
        assert not list((tmp_path / "out").glob("im2gps-*"))


def test_again_requests_only_photos_without_a_valid_answer(tmp_path):
    rows = photos(12)
    table = write_list(tmp_path / "photos.parquet", rows)
    faults = dict(zip(ids(rows, 1, 5, 7), ["500", "404", "reset"], strict=True))
    with FlickrPhotos(rows, faults) as host:
        options = {"host": host.endpoint, "shard_size": 4, **QUICK}
        build(table, tmp_path / "out", **options)
        before, untouched = (
            samples(tmp_path / "out"),
            (tmp_path / "out" / "im2gps-00002.tar").stat(),
        )
        host.faults = dict.fromkeys(ids(rows, 0, 5), "404")
        host.asked.clear()
        report = build(table, tmp_path / "out", again=True, **options)
        after = samples(tmp_path / "out")
        assert {path.split("/")[-1].split("_")[0] for path in host.asked} == set(ids(rows, 1, 7))
        assert report["missing"] == {"gone (404 or 410)": 1}
        assert {i: after[i] for i in before} == before and len(after) == 11
        assert (tmp_path / "out" / "im2gps-00002.tar").stat() == untouched
        (tmp_path / "out" / "im2gps-00002.tar").unlink()
        assert build(table, tmp_path / "out", again=True, **options)["photos"] == 11


def test_a_picture_shared_by_photographers_is_a_placeholder(tmp_path):
    rows = photos(20)
    table = write_list(tmp_path / "photos.parquet", rows)
    unavailable = dict.fromkeys(ids(rows, 2, 3, 5, 8), picture("1", 500, 375))
    with FlickrPhotos(rows, bodies=unavailable) as host:
        report = build(table, tmp_path / "out", host=host.endpoint, **QUICK)
    assert report["missing"] == {"placeholder instead of the photo": 4}
    assert set(samples(tmp_path / "out")) == {r["photo_id"] for r in rows} - set(unavailable)
    assert report["photos"] == report["sizes"]["_b"] == 16


@pytest.mark.parametrize("groups", [1, 4])
def test_photos_that_are_mostly_identical_are_kept_and_counted(tmp_path, groups):
    rows = photos(20)
    table = write_list(tmp_path / "photos.parquet", rows)
    bodies = {r["photo_id"]: picture(str(i % groups), 500, 375) for i, r in enumerate(rows)}
    with FlickrPhotos(rows, bodies=bodies) as host:
        report = build(table, tmp_path / "out", host=host.endpoint, **QUICK)
    assert (report["photos"], report["alike"]) == (20, 20)


@pytest.mark.parametrize("retry_after", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_retry_after_is_followed(tmp_path, retry_after):
    rows = photos(3)
    table = write_list(tmp_path / "photos.parquet", rows)
    passing = {photo_id: [429, 503] for photo_id in ids(rows, 0, 1, 2)}
    # With a backoff of an hour, only the host's Retry-After can be the wait.
    options = QUICK | {"backoff": 3600}
    with FlickrPhotos(rows, passing=passing, retry_after=retry_after) as host:
        assert build(table, tmp_path / "out", host=host.endpoint, **options)["photos"] == 3


@pytest.mark.parametrize("odd", ["Mon, 01 Jan 10000000000000000000000 00:00:00 GMT", "-1e9", "nan",
                                 "99999999999999999999-1", "\xd9\xa3", "0, 0"])  # fmt: skip
def test_an_invalid_retry_after_loses_no_photo(tmp_path, odd):
    rows = photos(3)
    table = write_list(tmp_path / "photos.parquet", rows)
    passing = {photo_id: [503, 429] for photo_id in ids(rows, 0, 1, 2)}
    with FlickrPhotos(rows, passing=passing, retry_after=odd) as host:
        assert build(table, tmp_path / "out", host=host.endpoint, **QUICK)["photos"] == 3


def test_no_more_requests_are_under_way_than_allowed(tmp_path):
    rows = photos(40)
    table = write_list(tmp_path / "photos.parquet", rows)
    with FlickrPhotos(rows) as host:
        build(table, tmp_path / "out", host=host.endpoint, concurrency=3, **QUICK)
        assert 1 <= host.most <= 3


class Leaps(selectors.DefaultSelector):
    """An event loop whose clock advances instead of waiting."""

    now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0
        return super().select(0)


def on_a_leaping_clock(coroutine):
    """Run a coroutine without waiting; its argument is a function that returns the time."""
    clock = Leaps()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now
    try:
        return loop.run_until_complete(coroutine(loop.time))
    finally:
        loop.close()


def test_requests_are_spaced_evenly_and_paused_on_demand():
    async def turns(now):
        limiter, times = RateLimiter(rate=4), []
        for number in range(8):
            await limiter.acquire()
            times.append(now())
            if number == 3:
                limiter.pause(10)
        return times

    assert on_a_leaping_clock(turns) == pytest.approx(
        [0, 0.25, 0.5, 0.75, 10.75, 11, 11.25, 11.5], abs=0.01
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 25))
def test_partitions_contain_each_row_once_in_order(tmp_path_factory, rows, group, size):
    table = tmp_path_factory.mktemp("rows") / "photos.parquet"
    written = photos(rows)
    write_list(table, written, row_group_size=group)
    read = [r for first in range(0, rows, size) for r in read_rows(str(table), first, size)]
    assert read == written


def test_the_command_prints_counts_and_reasons(tmp_path, capsys):
    rows = photos(8)
    table = write_list(tmp_path / "photos.parquet", rows)
    faults = dict(zip(ids(rows, 1, 2), ["404", "500"], strict=True))
    with FlickrPhotos(rows, faults) as host:
        options = ["--photo-host", host.endpoint + "/", "--rate", "0", "--tries", "1"]
        arguments = ["build", table, "-o", str(tmp_path / "out"), *options]
        assert main([*arguments, "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "8  100.0%  in the table" in said and "6   75.0%  in 1 shard" in said
    assert "1   12.5%  gone (404 or 410)" in said
    assert "1 of them got no valid answer: add --again" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.parquet"], "there is no table of photos at"),
        (["text.parquet"], "text.parquet is not a valid Parquet file"),
        (["other.parquet"], "lacks the columns photo_id, secret, .*im2gps lists"),
        (["numbers.parquet"], "the column photo_id should contain text, but is int64"),
        (["empty.parquet"], "contains no photos"),
        (["good.parquet", "--shard-size", "0"], "--shard-size 0: must be at least 1"),
        (["good.parquet", "--rate", "-1"], "--rate -1.0: must be at least 0"),
        (["good.parquet", "--photo-host", "live.staticflickr.com"], "should be like https://live"),
        (["good.parquet", "--photo-host", "http://host/a?b"], "should be like https://live"),
        (["good.parquet", "--photo-host", "http://me:pw@host"], "should be like https://live"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write_list(tmp_path / "good.parquet", photos(1))
    write_list(tmp_path / "empty.parquet", [])
    (tmp_path / "text.parquet").write_text("photo_id", encoding="utf-8")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "other.parquet")
    good = pq.read_table(tmp_path / "good.parquet").to_pandas()
    good.astype({"photo_id": int}).to_parquet(tmp_path / "numbers.parquet")
    assert main(["build", "-o", "out", *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("im2gps: ") and said.count("\n") == 1
    assert re.search(message, said)


def test_large_photos_are_reduced(tmp_path):
    rows = [row(0, original_width=3000, original_height=1500, original_secret="cafe",
                original_format="jpg")]  # fmt: skip
    table = write_list(tmp_path / "photos.parquet", rows)
    with FlickrPhotos(rows) as host:
        host.rows = {rows[0]["photo_id"]: rows[0] | {"secret": "changed"}}
        report = build(table, tmp_path / "out", host=host.endpoint, **QUICK)
    record, photo = samples(tmp_path / "out")[rows[0]["photo_id"]]
    assert (record["size"], record["recoded"], report["recoded"]) == ("_o", True, 1)
    assert np.asarray(Image.open(io.BytesIO(photo))).shape == (512, 1024, 3)


def test_too_many_open_files_stop_the_build(tmp_path):
    resource = pytest.importorskip("resource")
    rows = photos(1)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    policy = RequestPolicy(backoff=0.001, tries=2, patience=0)

    async def fetch() -> None:
        async with Fetcher(host.endpoint, policy) as fetcher:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
            try:
                await fetcher.photo(rows[0])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)

    with FlickrPhotos(rows) as host, pytest.raises(OSError, match="ulimit -n"):
        asyncio.run(fetch())
