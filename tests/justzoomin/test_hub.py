"""`load_dataset("justzoomin", …)` over HTTP: the real clients against a Hub on loopback."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from datasets import Image, load_dataset

import geoload.hub
import justzoomin
from justzoomin.sample import write_sample


def ids(rows) -> list[str]:
    return [row["image_id"] for row in rows]


def stream(**options):
    rows = load_dataset("justzoomin", split="train", streaming=True, **options)
    return rows.cast_column("image", Image(decode=False))


def sent_of_shards(hub) -> dict[str, int]:
    return {path: size for path, size in hub.sent.items() if path.endswith(".tar") and size}


def test_downloads_and_streams_a_revision(hub, zoom, cache):
    commit = hub.add("someone/one", zoom)
    options = {"repository": "someone/one", "revision": commit}
    streamed = ids(stream(**options))
    rows = load_dataset("justzoomin", split="train", cache_dir=cache, **options)
    assert streamed == rows["image_id"][:]
    assert sorted(streamed) == sorted(
        pd.read_csv(zoom / "metadata" / "large_area_train_map.csv", dtype=str)["image_id"]
    )


def test_the_pinned_revision_is_requested(hub):
    with pytest.raises((FileNotFoundError, ConnectionError)):
        next(iter(stream()))
    # A reader of an earlier test may still request bytes of another repository.
    asked = [request.path for request in hub.requests if "pcvlab/justzoomin" in request.path]
    assert asked
    assert all("349f392b3620e7cea2596b8ade47b726786f9a1d" in path for path in asked), asked


def test_two_forks_and_two_revisions_never_share_rows(hub, tmp_path, cache):
    for name, photos in (("one", 3), ("two", 4), ("three", 5)):
        write_sample(tmp_path / name, photos, 2, shards=1, width=16, seed=photos)
    hub.add("left/justzoomin", tmp_path / "one")
    hub.add("right/justzoomin", tmp_path / "two")

    def count(repository: str, **options) -> int:
        options |= {"repository": repository, "split": "train", "cache_dir": cache}
        return len(load_dataset("justzoomin", **options))

    assert [count("left/justzoomin"), count("right/justzoomin")] == [3, 4]
    # After the branch moves, its name gives the new rows and the commit the old ones.
    old = hub.add("left/justzoomin", tmp_path / "one")
    hub.add("left/justzoomin", tmp_path / "three")
    assert count("left/justzoomin") == count("left/justzoomin", revision="main") == 5
    assert count("left/justzoomin", revision=old) == 3
    assert count("right/justzoomin") == 4


def test_the_first_sample_needs_little_of_one_shard(hub, heavy):
    hub.add("someone/heavy", heavy)
    iterator = iter(stream(repository="someone/heavy"))
    next(iterator)
    (size,) = sent_of_shards(hub).values()
    assert size < 8_000_000
    assert sum(1 for _ in iterator) == 359


def test_a_dropped_connection_loses_nothing(hub, heavy):
    hub.add("someone/heavy", heavy)
    expected = ids(stream(data_dir=str(heavy)))
    hub.drop("streetview_images_000.tar", after=1_000_000)
    hub.drop("streetview_images_001.tar", after=3_000_000, reset=False)
    assert ids(stream(repository="someone/heavy")) == expected


def test_a_dropped_download_is_tried_again(hub, heavy, cache):
    hub.add("someone/dropped", heavy)
    hub.drop("streetview_images_000.tar", after=12_000_000)
    hub.drop("metadata/large_area_val_map.csv", after=500)
    options = {"repository": "someone/dropped", "cache_dir": cache}
    rows = load_dataset("justzoomin", splits=["validation"], **options)["validation"]
    assert len(rows) == 40


def test_some_shards_download_nothing_else(hub, zoom, tmp_path, cache):
    hub.add("someone/some", zoom)
    options = {"repository": "someone/some", "shards": [2], "cache_dir": cache}
    load_dataset("justzoomin", **options)
    assert [path.rsplit("/", 1)[-1] for path in sent_of_shards(hub)] == [
        "streetview_images_002.tar"
    ]


def test_metadata_downloads_only_the_tables(hub, zoom, cache):
    hub.add("someone/tables", zoom)
    rows = load_dataset("justzoomin", "metadata", repository="someone/tables", cache_dir=cache)
    assert {split: len(r) for split, r in rows.items()} == {"train": 40, "validation": 10}
    assert not sent_of_shards(hub)


def test_cached_rows_need_no_network_when_the_revision_is_pinned(hub, zoom, tmp_path, cache):
    commit = hub.add("someone/pinned", zoom)
    options = {"repository": "someone/pinned", "revision": commit, "cache_dir": cache}
    load_dataset("justzoomin", "metadata", **options)
    hub.forget()
    load_dataset("justzoomin", "metadata", **options)
    assert not hub.requests


def test_webdataset_streams_from_the_hub(hub, zoom):
    hub.add("someone/wds", zoom)
    samples = justzoomin.webdataset("validation", repository="someone/wds")
    assert sum(1 for _ in samples) == 10


def test_a_download_is_announced_and_refused_when_the_disk_is_too_small(
    hub, zoom, cache, caplog, monkeypatch
):
    hub.add("someone/large", zoom)
    options = {"repository": "someone/large", "cache_dir": cache}
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(geoload.hub.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(OSError, match=r"MB would be downloaded .* streaming=True"):
        load_dataset("justzoomin", **options)
    assert not sent_of_shards(hub)
    monkeypatch.undo()
    monkeypatch.setattr(geoload.hub, "ANNOUNCE_FROM", 1000)
    load_dataset("justzoomin", **options)
    assert "Downloading " in caplog.text and "someone/large (4 files)" in caplog.text


def test_missing_shards_of_a_fork_are_reported(hub, zoom, tmp_path, caplog):
    shutil.copytree(zoom, tmp_path / "part")
    (tmp_path / "part" / "archives" / "streetview_images_003.tar").unlink()
    hub.add("someone/part", tmp_path / "part")
    count = len(ids(stream(repository="someone/part")))
    assert f"{40 - count} rows without a picture" in caplog.text
    with pytest.raises(ValueError, match="rows without a picture.*strict=True"):
        ids(stream(repository="someone/part", strict=True))


def test_what_does_not_exist_is_named(hub, zoom, tmp_path):
    hub.add("someone/real", zoom)
    with pytest.raises(FileNotFoundError, match="revision 'v9' of the dataset repository"):
        stream(repository="someone/real", revision="v9")
    with pytest.raises(FileNotFoundError, match="'someone/unreal'"):
        stream(repository="someone/unreal")
    write_sample(tmp_path / "bare", 2, 1, shards=1, width=16)
    shutil.rmtree(tmp_path / "bare" / "archives")
    hub.add("someone/bare", tmp_path / "bare")
    with pytest.raises(FileNotFoundError, match="does not provide folder 'archives'"):
        stream(repository="someone/bare")


def test_workers_stream_from_the_hub(hub, zoom):
    torch = pytest.importorskip("torch")
    hub.add("someone/workers", zoom)
    rows = stream(repository="someone/workers")
    expected = ids(rows)  # and now this process has clients of its own when it forks
    loader = torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2)
    assert sorted(ids(loader)) == sorted(expected)
