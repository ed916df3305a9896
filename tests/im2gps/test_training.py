"""`load_dataset` with training shards of `im2gps build` and of other programs."""

from __future__ import annotations

import json
import pickle
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from datasets import Image, load_dataset, load_dataset_builder
from datasets.distributed import split_dataset_by_node
from hypothesis import given
from hypothesis import strategies as st

import im2gps
from im2gps.sample import with_comments
from im2gps.training import in_validation
from tests.support.shards import jpeg, pair, write_shard

FEATURES = ["image", "image_id", "latitude", "longitude"]
PHOTOS = 40
NOWHERE = "http://127.0.0.1:9/"


def name_of(number: int) -> str:
    return f"{231500000 + number}_0a1b_97_{1000 + number % 8}@N00"


def write_build(folder: Path, photos: int = PHOTOS, shards: int = 4) -> Path:
    """Shards as `im2gps build` writes them: photos of eight photographers."""
    for shard in range(shards):
        members = []
        for number in range(shard * photos // shards, (shard + 1) * photos // shards):
            record = {"owner": f"{1000 + number % 8}@N00", "title": "lat: 1"}
            record |= {"latitude": number / 10, "longitude": 1 - number / 5}
            members += pair(name_of(number), record, jpeg(number))
        write_shard(folder / f"im2gps-{shard:05d}.tar", members)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return write_build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def whole(built, packs, tmp_path_factory) -> Path:
    """A build with the test pack beside it."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(built, folder, dirs_exist_ok=True)
    shutil.copy(packs / "gps_query_imgs.zip", folder)
    return folder


def stream(folder: Path, split: str = "train", **options):
    options = {"validation_fraction": 0.4, **options}
    rows = load_dataset("im2gps", data_dir=str(folder), split=split, streaming=True, **options)
    return rows.cast_column("image", Image(decode=False))


def foreign(files, split: str = "train", **options) -> list[dict]:
    rows = load_dataset("im2gps", data_files=files, split=split, streaming=True, **options)
    return list(rows.cast_column("image", Image(decode=False)))


def ids(rows) -> list[str]:
    return [row["image_id"] for row in rows]


def owner(image_id: str) -> str:
    return image_id.removesuffix(".jpg").split("_")[3]


ALL = [f"{name_of(number)}.jpg" for number in range(PHOTOS)]


def test_a_build_and_a_pack_give_three_splits(whole, cache):
    rows = load_dataset("im2gps", data_dir=str(whole), validation_fraction=0.4, cache_dir=cache)
    assert list(rows) == ["train", "validation", "test"]
    assert all(part.column_names == FEATURES for part in rows.values())
    assert sorted([*rows["train"]["image_id"], *rows["validation"]["image_id"]]) == ALL
    assert rows["test"].num_rows == 12
    for split, part in rows.items():
        assert ids(stream(whole, split)) == part["image_id"][:]
    assert len(rows["train"]) and len(rows["validation"])


def test_photos_have_their_own_coordinates(built):
    for row in stream(built):
        number = ALL.index(row["image_id"])
        assert (row["latitude"], row["longitude"]) == (number / 10, 1 - number / 5)
        assert row["image"] == {"bytes": jpeg(number), "path": row["image_id"]}


def test_no_photographer_is_in_both_splits(built, tmp_path):
    more = write_build(tmp_path, photos=80, shards=5)
    sides = {}
    for split in ("train", "validation"):
        mine, others = set(ids(stream(built, split))), set(ids(stream(more, split)))
        assert mine <= others
        sides[split] = {owner(name) for name in others}
    assert len(sides["train"]) + len(sides["validation"]) == 8
    assert not sides["train"] & sides["validation"]


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_adds_photographers(who, one, other):
    low, high = sorted([one, other])
    assert in_validation(who, low) <= in_validation(who, high)
    assert not in_validation(who, 0) and in_validation(who, 1)


def test_the_validation_fraction_of_photographers():
    counted = sum(in_validation(f"{number}@N00", 0.01) for number in range(50_000))
    assert 400 < counted < 600


@pytest.mark.parametrize("streaming", [True, False])
def test_offline_without_a_pack_the_other_splits_load(built, cache, caplog, streaming):
    options = {"data_dir": str(built), "base_url": NOWHERE, "cache_dir": cache}
    rows = load_dataset("im2gps", streaming=streaming, **options)
    assert sorted([*ids(rows["train"]), *ids(rows["validation"])]) == ALL
    with pytest.raises((ValueError, ConnectionError), match=r"gps_query_imgs\.zip.*data_dir"):
        list(load_dataset("im2gps", streaming=streaming, split="test", **options))
    if not streaming:
        assert list(rows) == ["train", "validation"]
        assert "the split test is left out" in caplog.text


def test_the_test_split_alone_without_a_pack_is_an_error(built, cache):
    with pytest.raises(ConnectionError, match="by other means"):
        load_dataset("im2gps", data_dir=str(built), base_url=NOWHERE, split="test",
                     cache_dir=cache)  # fmt: skip


def test_a_split_without_rows_is_empty(built, cache):
    options = {"data_dir": str(built), "splits": ["train", "validation"], "cache_dir": cache}
    rows = load_dataset("im2gps", validation_fraction=0, **options)
    assert (rows["train"].num_rows, rows["validation"].num_rows) == (PHOTOS, 0)
    assert rows["validation"].column_names == FEATURES
    assert list(stream(built, "validation", validation_fraction=0)) == []


def test_an_empty_validation_split_is_reported_with_advice(built, cache, caplog):
    options = {"data_dir": str(built), "splits": ["train", "validation"], "cache_dir": cache}
    rows = load_dataset("im2gps", validation_fraction=0.001, **options)
    assert (rows["train"].num_rows, rows["validation"].num_rows) == (PHOTOS, 0)
    said = f"none of the photographers of {PHOTOS} photos are in validation_fraction=0.001"
    assert caplog.text.count(said) == 1 and "try 0.1" in caplog.text
    with pytest.raises(ValueError, match=said):
        load_dataset("im2gps", validation_fraction=0.001, strict=True, **options)
    caplog.clear()
    load_dataset("im2gps", validation_fraction=0.4, **options)
    load_dataset("im2gps", validation_fraction=0, **options)
    assert "is empty" not in caplog.text


def test_training_options_are_refused_without_shards(packs, caplog):
    with pytest.raises(ValueError, match=r"contains no training shards.*`im2gps build"):
        load_dataset("im2gps", data_dir=str(packs), splits=["train"])
    with pytest.raises(ValueError, match=r"splits=\['tset'\]: the splits are test"):
        load_dataset("im2gps", data_dir=str(packs), splits=["tset"])
    with pytest.raises(ValueError, match=r"validation_fraction= has no effect.*`im2gps build"):
        im2gps.Im2GPS(data_dir=str(packs), validation_fraction=0.1)
    im2gps.Im2GPS(config_name="human", data_dir=str(packs), validation_fraction=0.1)
    assert "validation_fraction= has no effect on configuration 'human'" in caplog.text
    with pytest.raises(ValueError, match="configuration 'human' of im2gps has the split test"):
        load_dataset("im2gps", "human", data_dir=str(packs), split="train")


def test_packs_alone_give_the_test_split_and_advice(packs, tmp_path):
    for split in ("train", "validation"):
        with pytest.raises(ValueError, match=r"`im2gps search`.*`im2gps lists`.*`im2gps build"):
            stream(packs, split)
    with pytest.raises(FileNotFoundError, match="as `im2gps build` writes them"):
        stream(tmp_path)
    with pytest.raises(ValueError, match="has the splits train, validation, test"):
        stream(write_build(tmp_path), "tset")


def test_an_unfinished_build_loads_and_reports_what_is_missing(tmp_path, caplog):
    write_build(tmp_path)
    (tmp_path / "build.json").write_text('{"rows": 70, "shard_size": 10}', encoding="utf-8")
    (tmp_path / "im2gps-00004.0123.part").write_bytes(b"half")
    assert len(ids(stream(tmp_path, validation_fraction=0))) == PHOTOS
    assert "4 of 7 shards are there" in caplog.text


@pytest.mark.parametrize("nodes", [2, 3])
def test_nodes_divide_the_shards_completely(built, nodes):
    rows = stream(built)
    seen = [i for rank in range(nodes) for i in ids(split_dataset_by_node(rows, rank, nodes))]
    assert sorted(seen) == sorted(ids(rows))


def test_resuming_repeats_and_misses_no_rows(built):
    whole = ids(stream(built))
    for stop in (1, 5, len(whole) - 1):
        rows = stream(built)
        first = [row["image_id"] for _, row in zip(range(stop), rows, strict=False)]
        again = stream(built)
        again.load_state_dict(json.loads(json.dumps(rows.state_dict())))
        assert first + ids(again) == whole


@pytest.mark.parametrize("workers", [0, 2, 5])
def test_dataloader_workers_give_every_sample_once(built, workers):
    torch = pytest.importorskip("torch")
    for samples in (stream(built), im2gps.webdataset("train", data_dir=str(built),
                                                     validation_fraction=0.4)):  # fmt: skip
        loader = torch.utils.data.DataLoader(samples, batch_size=None, num_workers=workers)
        names = [s.get("image_id") or json.loads(s["json"])["image_id"] for s in loader]
        assert sorted(names) == sorted(ids(stream(built)))


def test_several_processes_prepare_the_same_rows(built, cache):
    options = {"splits": ["train", "validation"], "validation_fraction": 0.4, "cache_dir": cache}
    rows = load_dataset("im2gps", data_dir=str(built), num_proc=2, **options)
    assert sorted(rows["train"]["image_id"]) == sorted(ids(stream(built)))


def test_a_photo_of_the_other_split_is_not_read(built, tmp_path):
    # Broken photos of the training split do not affect the validation split.
    train = set(ids(stream(built)))
    with tarfile.open(built / "im2gps-00000.tar") as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive]
    broken = [(name, b"?" if name in train else data) for name, data in members]
    write_shard(tmp_path / "im2gps-00000.tar", broken)
    validation = ids(stream(tmp_path, "validation"))
    assert validation and validation == ids(stream(built, "validation"))[: len(validation)]
    with pytest.raises(ValueError, match=r"im2gps-00000\.tar: .*\.jpg: "):
        list(stream(tmp_path))


def test_a_new_shard_gives_new_rows(tmp_path, cache):
    options = {"data_dir": str(tmp_path), "splits": ["train"], "cache_dir": cache,
               "validation_fraction": 0}  # fmt: skip
    write_build(tmp_path, photos=10, shards=1)
    assert len(load_dataset("im2gps", **options)["train"]) == 10
    write_build(tmp_path, photos=20, shards=2)
    assert len(load_dataset("im2gps", **options)["train"]) == 20


def test_the_webdataset_pipeline_gives_all_fields(built):
    pipeline = im2gps.webdataset("train", data_dir=str(built), validation_fraction=0)
    for number, (image, row) in enumerate(pipeline.decode("pil").to_tuple("jpg", "json")):
        assert image.size == (32, 24)
        assert row["image_id"] == ALL[number] and row["latitude"] == number / 10
        assert (row["owner"], row["title"]) == (owner(ALL[number]), "lat: 1")
    pickle.loads(pickle.dumps(pipeline))
    with pytest.raises(ValueError, match="exist only as lists"):
        im2gps.webdataset("train")
    with pytest.raises(ValueError, match="has no training photos"):
        im2gps.webdataset("test", data_dir=str(built))


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [("latitude", "longitude"), ("lat", "lon"), ("LAT", "LON"), ("Latitude", "lng")],
)
def test_foreign_shards_load_in_any_order(tmp_path, latitude, longitude):
    place = {latitude: "48.85", longitude: 2.35, "caption": "x", "status": "success"}
    first, second, third = (pair(name, place, jpeg(n)) for n, name in enumerate("abc"))
    mixed = [*first, ("a.txt", b"a caption"), *second[::-1]]
    write_shard(tmp_path / "00000.tar", mixed)
    write_shard(tmp_path / "00001.tar", [third[1], *pair("sub/d", place, jpeg(3))[::-1], third[0]])
    rows = foreign(str(tmp_path / "*.tar"))
    assert ids(rows) == ["a.jpg", "b.jpg", "d.jpg", "c.jpg"]
    assert [row["image"]["bytes"] for row in rows] == [jpeg(n) for n in (0, 1, 3, 2)]
    assert {(row["latitude"], row["longitude"]) for row in rows} == {(48.85, 2.35)}


def test_splits_of_foreign_shards_are_those_of_data_files(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = {"lat": 1, "lon": 2}
    for name in "abc":
        write_shard(tmp_path / f"{name}.tar", pair(name, place, jpeg()))
    files = {"train": ["a.tar", "b.tar"], "validation": "c.tar"}
    rows = load_dataset("im2gps", data_files=files, cache_dir=cache)
    assert {split: part["image_id"][:] for split, part in rows.items()} == {
        "train": ["a.jpg", "b.jpg"],
        "validation": ["c.jpg"],
    }
    assert ids(foreign(["c.tar", "a.tar"])) == ["c.jpg", "a.jpg"]
    write_shard(tmp_path / "c.tar", pair("e", place, jpeg()))
    rows = load_dataset("im2gps", data_files=files, cache_dir=cache)
    assert rows["validation"]["image_id"][:] == ["e.jpg"]


def test_metadata_of_foreign_shards_are_removed(tmp_path):
    photo = with_comments(jpeg(), [b"latitude: 48.85"])
    write_shard(tmp_path / "a.tar", pair("a", {"lat": 48.85, "lon": 2}, photo))
    (row,) = foreign(str(tmp_path / "a.tar"))
    assert b"48.85" not in row["image"]["bytes"]
    (row,) = foreign(str(tmp_path / "a.tar"), original_bytes=True)
    assert row["image"]["bytes"] == photo


PNG = jpeg(kind="PNG")
GOOD = {"lat": 1, "lon": 2}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (pair("bad", {"lat": 1}, jpeg()), r"bad\.json: 0 keys for the longitude"),
        (pair("bad", {"lat": 1, "latitude": 2, "lon": 3}, jpeg()), "2 keys for the latitude"),
        (pair("bad", {"lat": None, "lon": 2}, jpeg()), "lat is 'None', not a number"),
        (pair("bad", {"lat": 91, "lon": 2}, jpeg()), "lat 91.0 is not on the globe"),
        (pair("bad", {"lat": float("nan"), "lon": 2}, jpeg()), "lat nan is not on the globe"),
        (pair("bad", b'{"lat": 1%s, "lon": 2}' % (b"0" * 400), jpeg()), "lat is '10.*no"),
        (pair("bad", b'{"lat": 1%s, "lon": 2}' % (b"0" * 5000), jpeg()), r"bad\.json: "),
        (pair("bad", b'{"lat": 1, "lon": -Infinity}', jpeg()), "lon -inf is not on the globe"),
        (pair("bad", b'{"lat": 1e999, "lon": 2}', jpeg()), "lat inf is not on the globe"),
        (pair("bad", {"lat": 0, "lon": "-0.0"}, jpeg()), "its coordinates are 0, 0"),
        (pair("bad", {"lat": True, "lon": 2}, jpeg()), "lat is 'True', not a number"),
        (pair("bad", {"lat": "1_5", "lon": 2}, jpeg()), "lat is '1_5', not a number"),
        (pair("bad", {"lat": [1], "lon": 2}, jpeg()), "not a number"),
        (pair("bad", {"lat": "\ud800", "lon": 2}, jpeg()), "not a number"),
        (pair("bad", b'{"lat": 1, "lat": 2, "lon": 3}', jpeg()), "the key lat occurs more"),
        (pair("bad", {**GOOD, "tags": "x" * 2**20}, jpeg()), r"bad\.json: it is larger"),
        (pair("bad", b"{", jpeg()), r"bad\.json: Expecting"),
        (pair("bad", b"[" * 100_000, jpeg()), r"bad\.json: "),
        (pair("bad", b"\xff", jpeg()), r"bad\.json: "),
        (pair("bad", [1], jpeg()), r"bad\.json: it is not a JSON object"),
        (pair("bad", GOOD, jpeg()[:-9]), r"bad\.jpg: the JPEG is cut"),
        (pair("bad", GOOD, b""), r"bad\.jpg: "),
        (pair("bad", GOOD, PNG, "png"), r"bad\.png: not a JPEG file.*original_bytes=True"),
        ([*pair("bad", GOOD, jpeg())[:1] * 2], r"bad\.json: a second one of this name"),
    ],
)  # fmt: skip
def test_a_sample_that_cannot_be_used_is_named_by_shard_and_member(tmp_path, members, message):
    write_shard(tmp_path / "theirs.tar", [*members, *pair("good", GOOD, jpeg())])
    files = str(tmp_path / "theirs.tar")
    with pytest.raises(ValueError, match=r"theirs\.tar: (?s:.*)" + message):
        foreign(files)
    assert ids(foreign(files, skip_broken=True)) == ["good.jpg"]


def test_lone_surrogates_in_a_record_are_loaded(tmp_path):
    odd = {**GOOD, "owner": "\ud800", "title": "\udfff", "deep": {"deep": {"more": "\ud800"}}}
    write_shard(tmp_path / "im2gps-00000.tar", pair("a", odd, jpeg()))
    rows = [
        row
        for split in ("train", "validation")
        for row in load_dataset("im2gps", data_dir=str(tmp_path), split=split, streaming=True,
                                records=True)
    ]  # fmt: skip
    assert [json.loads(row["record"])["title"] for row in rows] == ["\udfff"]


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": "many"}', '{"rows": 1, "shard_size": 0}'])
def test_a_damaged_manifest_of_a_build_is_a_warning(tmp_path, caplog, text):
    write_shard(tmp_path / "im2gps-00000.tar", pair("a", GOOD, jpeg()))
    (tmp_path / "build.json").write_text(text, encoding="utf-8")
    rows = load_dataset("im2gps", data_dir=str(tmp_path), split="train", streaming=True)
    assert ids(rows) == ["a.jpg"]
    assert "build.json does not say how many shards" in caplog.text


def test_members_outside_samples_are_counted(tmp_path, cache, caplog):
    write_shard(
        tmp_path / "a.tar",
        [*pair("a", GOOD, jpeg()), ("b.jpg", jpeg()), ("c.json", b'{"lat": 1, "lon": 2}'),
         ("a.txt", b"caption"), ("a.cls", b"1")],
    )  # fmt: skip
    files = str(tmp_path / "a.tar")
    assert len(foreign(files)) == 1
    assert "2 samples without a photo or without a JSON" in caplog.text
    with pytest.raises(ValueError, match="strict=True"):
        foreign(files, strict=True)
    builder = load_dataset_builder("im2gps", data_files=files, cache_dir=cache)
    builder.download_and_prepare()
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    assert {kind: entry["count"] for kind, entry in report["train"].items()} == {
        "unpaired": 2,
        "other_member": 2,
    }


def test_shards_without_any_pair_are_an_error(tmp_path):
    write_shard(tmp_path / "a.tar", [("x/a.jpg", jpeg()), ("y/a.json", b'{"lat": 1, "lon": 2}')])
    with pytest.raises(ValueError, match="has 1 photo and 1 JSON, but no two of the"):
        foreign(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("cut", [700, 2000])
def test_a_cut_shard_is_an_error_that_names_it(built, tmp_path, cut):
    data = (built / "im2gps-00000.tar").read_bytes()
    (tmp_path / "im2gps-00000.tar").write_bytes(data[:cut])
    with pytest.raises(ValueError, match=r"im2gps-00000\.tar is cut"):
        list(stream(tmp_path, validation_fraction=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_files": "nowhere/*.tar"}, "no file found.*WebDataset shards"),
        ({"data_files": __file__}, "test_training.py found.*WebDataset shards"),
        ({"data_files": "{0}/*.tar", "data_dir": "{0}"}, "data_files= cannot be used here"),
        ({"data_files": "{0}/*.tar", "name": "photos"}, "data_files= cannot be used here"),
        ({"data_files": "{0}/*.tar", "validation_fraction": 0.5}, "name the splits"),
        ({"data_files": "{0}/*.tar", "split": "validation"}, "has the split train"),
        ({"data_dir": "{0}", "validation_fraction": 1.5}, "must be from 0 to 1"),
        ({"data_dir": "{0}", "splits": ["tset"]}, "splits=.*train, validation, test"),
        ({"data_dir": "{0}", "splits": ["train"], "split": "validation"}, "has the split train"),
    ],
)
def test_invalid_options_are_errors(built, options, message):
    options = {k: v.format(built) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset("im2gps", streaming=True, **options)


def test_a_build_is_loaded_as_written(tmp_path):
    pytest.importorskip("simplejpeg")
    from im2gps.building.build import build
    from tests.support.flickr_photos import FlickrPhotos, row, write_list

    rows = [row(n, original_width=1200, original_height=100) for n in range(40)]
    table = write_list(tmp_path / "photos.parquet", rows)
    faults = {rows[7]["photo_id"]: "404", rows[8]["photo_id"]: "truncated"}
    with FlickrPhotos(rows, faults) as host:
        build(table, tmp_path / "out", shard_size=15, host=host.endpoint, rate=0, processes=1)
    seen = Counter()
    for split in ("train", "validation"):
        seen.update(ids(stream(tmp_path / "out", split)))
    expected = [r for r in rows if r["photo_id"] not in faults]
    assert seen == Counter("{photo_id}_{secret}_{server}_{owner}.jpg".format(**r) for r in expected)


def test_extra_columns_are_loaded_on_request(whole):
    for row in stream(whole, records=True).take(3):
        record = json.loads(row["record"])
        assert record["title"] == "lat: 1" and record["latitude"] == row["latitude"]
    test = load_dataset("im2gps", split="test", data_dir=str(whole), records=True)
    assert test.column_names == [*FEATURES, "record"]
    for row in test.remove_columns("image"):
        assert json.loads(row["record"])["owner"] in row["image_id"]
