"""`load_dataset("justzoomin", …)` from folders: joins, slices, counts, and damage."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Image, load_dataset, load_dataset_builder
from datasets.distributed import split_dataset_by_node
from hypothesis import given
from hypothesis import strategies as st

import justzoomin
from justzoomin.painting import street, surroundings
from justzoomin.sample import write_sample
from justzoomin.table import TableError, parse_sequences, read_table
from tests.support.equal import assert_same_bytes
from tests.support.shards import rewrite

COLUMNS = ["image_id", "latitude", "longitude", "sequence"]


def ids_of(zoom: Path, split: str) -> list[str]:
    name = {"train": "train", "validation": "val"}[split]
    return pd.read_csv(zoom / "metadata" / f"large_area_{name}_map.csv", dtype=str)[
        "image_id"
    ].tolist()


def stream(zoom: Path, split: str = "train", **options):
    rows = load_dataset("justzoomin", data_dir=str(zoom), split=split, streaming=True, **options)
    return rows.cast_column("image", Image(decode=False))


def ids(rows) -> list[str]:
    return [row["image_id"] for row in rows]


@pytest.fixture
def extracted(zoom, tmp_path) -> Path:
    """The same data as the card's extraction leaves it."""
    for archive in (zoom / "archives").glob("*.tar"):
        with tarfile.open(archive) as file:
            file.extractall(tmp_path / "extracted")
    shutil.copytree(zoom / "metadata", tmp_path / "extracted" / "metadata")
    return tmp_path / "extracted"


def shard(zoom: Path, number: int = 0) -> Path:
    return zoom / "archives" / f"streetview_images_{number:03d}.tar"


@pytest.fixture
def own(zoom, tmp_path) -> Path:
    """A copy of the miniature, to be damaged."""
    return Path(shutil.copytree(zoom, tmp_path / "own"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_each_split_has_its_photos_once(zoom, cache, split):
    rows = load_dataset("justzoomin", data_dir=str(zoom), split=split, cache_dir=cache)
    assert rows.column_names == ["image", *COLUMNS]
    assert sorted(rows["image_id"]) == sorted(ids_of(zoom, split))
    assert ids(stream(zoom, split)) == rows["image_id"][:]


def test_photos_have_their_own_labels(zoom):
    rows = load_dataset("justzoomin", data_dir=str(zoom), split="validation", streaming=True)
    for row in rows:
        rng = np.random.default_rng([0, int(row["image_id"])])
        (colours,) = surroundings(row["latitude"], row["longitude"])
        expected = np.asarray(street(colours, 32, rng)).astype(int)
        assert np.abs(np.asarray(row["image"]) - expected).mean() < 12
        assert len(row["sequence"]) == 4


def test_metadata_needs_no_shards(zoom, tmp_path, cache):
    shutil.copytree(zoom / "metadata", tmp_path / "metadata")
    rows = load_dataset("justzoomin", "metadata", data_dir=str(tmp_path), cache_dir=cache)
    assert rows["train"].column_names == COLUMNS
    assert rows["validation"]["image_id"][:] == ids_of(zoom, "validation")
    table = pd.read_csv(tmp_path / "metadata" / "large_area_val_map.csv")
    assert rows["validation"]["sequence"][:] == table["sequence"].map(json.loads).tolist()


def test_the_extracted_layout_gives_the_same_rows(zoom, extracted, cache):
    for split in ("train", "validation"):
        expected = {r["image_id"]: r for r in stream(zoom, split)}
        assert {r["image_id"]: r for r in stream(extracted, split)} == expected
    rows = load_dataset("justzoomin", data_dir=str(extracted), cache_dir=cache, num_proc=2)
    assert rows["train"]["image_id"][:] == ids_of(zoom, "train")


def test_tables_may_be_elsewhere_and_contain_more(zoom, own, tmp_path):
    shutil.move(own / "metadata", tmp_path / "tables")
    for table in (tmp_path / "tables").iterdir():
        frame = pd.read_csv(table, dtype=str)
        frame.assign(extra="x")[["extra", *COLUMNS[::-1]]].to_csv(table, index=False)
    options = {"metadata_dir": str(tmp_path / "tables")}
    assert ids(stream(own, **options)) == ids(stream(zoom))


def test_one_split_or_some_shards_on_request(zoom, cache):
    options = {"data_dir": str(zoom), "cache_dir": cache}
    assert list(load_dataset("justzoomin", splits=["validation"], **options)) == ["validation"]
    some = load_dataset("justzoomin", shards=[2, 0], split="train", **options)["image_id"][:]
    rest = ids(stream(zoom, shards=[1, 3]))
    assert sorted(some + rest) == sorted(ids_of(zoom, "train"))
    with pytest.raises(ValueError, match=r"has the shards \[0, 1, 2, 3\]"):
        stream(zoom, shards=[7])
    with pytest.raises(ValueError, match="name the shards by their numbers"):
        stream(zoom, shards="12")
    assert ids(stream(zoom, shards=2)) == ids(stream(zoom, shards=[2]))
    with pytest.raises(ValueError, match="the splits are train, validation"):
        load_dataset("justzoomin", splits=["test"], **options)


@pytest.mark.parametrize("nodes", [2, 3, 4])
def test_nodes_share_the_samples(zoom, nodes):
    rows = stream(zoom)
    seen = [i for rank in range(nodes) for i in ids(split_dataset_by_node(rows, rank, nodes))]
    assert sorted(seen) == sorted(ids_of(zoom, "train"))


def test_resumes_exactly_where_it_stopped(zoom):
    rows = stream(zoom)
    everything = ids(rows)
    for stop in (1, 9, 17, 39):
        iterator = iter(rows)
        head = [next(iterator)["image_id"] for _ in range(stop)]
        state = rows.state_dict()
        again = stream(zoom)
        again.load_state_dict(json.loads(json.dumps(state)))
        assert head + ids(again) == everything


def test_webdataset_gives_the_same_samples(zoom):
    samples = list(justzoomin.webdataset("train", data_dir=str(zoom)))
    expected = {r["image_id"]: r for r in stream(zoom)}
    assert sorted(s["__key__"] for s in samples) == sorted(expected)
    for sample in samples:
        row = expected[sample["__key__"]]
        assert sample["jpg"] == row["image"]["bytes"]
        assert json.loads(sample["json"]) == {key: row[key] for key in COLUMNS}
    decoded = justzoomin.webdataset("validation", data_dir=str(zoom)).decode("pil")
    image, row = next(iter(decoded.to_tuple("jpg", "json")))
    assert image.size == (32, 24) and row["image_id"] in ids_of(zoom, "validation")


def test_workers_share_the_samples(zoom):
    torch = pytest.importorskip("torch")
    for workers in (1, 3, 6):
        loader = torch.utils.data.DataLoader(stream(zoom), batch_size=None, num_workers=workers)
        assert sorted(ids(loader)) == sorted(ids_of(zoom, "train"))
        pipeline = justzoomin.webdataset("train", data_dir=str(zoom))
        loader = torch.utils.data.DataLoader(pipeline, batch_size=None, num_workers=workers)
        assert sorted(s["__key__"] for s in loader) == sorted(ids_of(zoom, "train"))


def test_a_loader_with_workers_resumes_exactly(zoom):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader():
        return stateful.StatefulDataLoader(stream(zoom), batch_size=None, num_workers=2)

    everything = ids(loader())
    first = loader()
    iterator = iter(first)
    head = [next(iterator)["image_id"] for _ in range(13)]
    state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    assert head + ids(second) == everything


def test_findings_are_counted_by_kind(own, cache, caplog):
    lost = ids(stream(own))[0]

    def change(entries):
        link = tarfile.TarInfo("streetview/images/link_undistorted.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        kept = [(name, data) for name, data in entries if lost not in name]
        empty = (kept[1][0], b"")
        return [
            kept[0], kept[0], empty, *kept[2:],
            ("../x", b"out"), ("streetview/images/77_undistorted.jpg", b"stranger"), (link, b""),
        ]  # fmt: skip

    rewrite(shard(own), change)
    builder = load_dataset_builder("justzoomin", data_dir=str(own), cache_dir=cache)
    builder.download_and_prepare()
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    both = Counter()
    for split in report.values():
        both.update({kind: entry["count"] for kind, entry in split.items()})
    assert both == {
        "in_no_split": 4,  # two, seen in the pass of each split
        "not_a_file": 2,
        "repeated_picture": 1,
        "not_a_jpeg": 1,
        "missing_picture": 2,
    }
    assert lost in report["train"]["missing_picture"]["first"]
    assert "../x" in caplog.text
    rows = builder.as_dataset()
    assert sum(map(len, rows.values())) == 48

    list(stream(own))
    assert "2 pictures in neither split (../x, " in caplog.text
    with pytest.raises(ValueError, match="strict=True"):
        list(stream(own, strict=True))
    for _ in range(2):
        with pytest.raises(ValueError, match="strict=True"):
            load_dataset("justzoomin", data_dir=str(own), cache_dir=cache, strict=True)


def test_a_clean_data_set_reports_nothing(zoom, cache, caplog):
    builder = load_dataset_builder("justzoomin", data_dir=str(zoom), cache_dir=cache, strict=True)
    builder.download_and_prepare(num_proc=2)
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    assert report == {"train": {}, "validation": {}}
    assert not caplog.text


def test_counts_ids_that_occur_twice(own, cache, caplog):
    rewrite(shard(own, 1), lambda entries: entries)
    shutil.copy(shard(own, 1), shard(own, 4))
    table = own / "metadata" / "large_area_train_map.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([*lines, lines[1]]) + "\n", encoding="utf-8")
    builder = load_dataset_builder("justzoomin", data_dir=str(own), cache_dir=cache)
    builder.download_and_prepare(num_proc=2)
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    with tarfile.open(shard(own, 1)) as archive:
        count = len(archive.getnames())
    twice = "repeated_picture"
    assert sum(report[s].get(twice, {"count": 0})["count"] for s in report) == count
    assert report["train"]["repeated_id"] == {
        "text": "repeated ids in the table",
        "count": 1,
        "first": [lines[1].split(",")[0]],
    }


def test_missing_photos_of_an_extracted_folder_are_counted(extracted, cache, caplog):
    lost, *_ = ids(stream(extracted, "validation"))
    (extracted / "streetview" / "images" / f"{lost}_undistorted.jpg").unlink()
    (extracted / "streetview" / "images" / "notes.txt").write_text("?", encoding="utf-8")
    builder = load_dataset_builder("justzoomin", data_dir=str(extracted), cache_dir=cache)
    builder.download_and_prepare()
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    assert report["validation"]["missing_picture"]["first"] == [lost]
    assert report["train"]["in_no_split"]["first"] == ["notes.txt"]


def test_a_cut_shard_is_an_error_that_names_it(own, cache):
    data = shard(own, 2).read_bytes()
    with tarfile.open(shard(own, 2)) as archive:
        third = archive.getmembers()[3]
    for cut in (third.offset_data + 100, third.offset):
        shard(own, 2).write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"streetview_images_002\.tar is cut"):
            list(stream(own))
        with pytest.raises(ValueError, match=r"streetview_images_002\.tar is cut"):
            load_dataset("justzoomin", data_dir=str(own), cache_dir=cache)


@pytest.mark.parametrize("number", [1, 3])
def test_a_missing_shard_is_reported(own, caplog, number):
    shard(own, number).unlink()
    count = len(list(stream(own)))
    assert count < 40
    assert f"{40 - count} rows without a picture" in caplog.text
    with pytest.raises(ValueError, match="rows without a picture"):
        list(stream(own, strict=True))
    with pytest.raises(ValueError, match="rows without a picture"):
        list(justzoomin.webdataset("train", data_dir=str(own), strict=True))


def test_a_shard_beside_extracted_photos_is_reported(zoom, extracted, caplog):
    (extracted / "archives").mkdir()
    shutil.copy(shard(zoom), extracted / "archives")
    assert len(list(stream(extracted))) < 40
    assert "contains shards and extracted photos: the shards are read" in caplog.text


def test_what_is_wrong_with_a_table_counts_in_every_configuration(own, cache, caplog):
    train, validation = (own / "metadata" / f"large_area_{n}_map.csv" for n in ("train", "val"))
    lines = train.read_text(encoding="utf-8").splitlines()
    train.write_text("\n".join([*lines, lines[1]]) + "\n", encoding="utf-8")
    with open(validation, "a", encoding="utf-8") as file:
        file.write(lines[2] + "\n")
    for name in ("streetview", "metadata"):
        options = {"data_dir": str(own), "split": "train"}
        with pytest.raises(ValueError, match="repeated ids? in the table"):
            load_dataset("justzoomin", name, strict=True, cache_dir=cache, **options)
        with pytest.raises(ValueError, match="ids? in both splits"):
            list(load_dataset("justzoomin", name, strict=True, streaming=True, **options))


def test_an_unfinished_download_of_full_length_is_an_error(own):
    data = shard(own).read_bytes()
    with tarfile.open(shard(own)) as archive:
        fifth = archive.getmembers()[5]
    shard(own).write_bytes(data[: fifth.offset].ljust(len(data) + 2**21, b"\0"))
    with pytest.raises(ValueError, match="is all zeros from byte"):
        list(stream(own))


def test_a_member_of_another_form_is_not_a_photo(own):
    image_id = ids(stream(own))[0]
    rewrite(shard(own), lambda entries: [(image_id, b"\xff\xd8wrong\xff\xd9"), *entries])
    assert b"wrong" not in next(iter(stream(own)))["image"]["bytes"]


@pytest.mark.parametrize("split", ["val", "test", "train+val", ["train", "dev"]])
def test_an_unknown_split_is_refused_at_once(zoom, tmp_path, split):
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match="has the splits train, validation"):
        load_dataset("justzoomin", data_dir=str(zoom), split=split, cache_dir=str(cache))
    assert not list(cache.rglob("*.arrow"))
    for good in ("train[:3]+validation", "all", None):
        assert load_dataset("justzoomin", data_dir=str(zoom), split=good, cache_dir=str(cache))


def test_an_unknown_option_suggests_the_right_one(zoom):
    with pytest.raises(ValueError, match=r"no option shard=\. Did you mean shards=\?"):
        stream(zoom, shard=[1])


def test_errors_of_other_processes_are_complete(own, cache):
    shard(own, 2).write_bytes(shard(own, 2).read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"streetview_images_002\.tar is cut"):
        load_dataset("justzoomin", data_dir=str(own), cache_dir=cache, num_proc=2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("latitude", "lat", "has no column latitude"),
        ('"[', '"' + "[" * 99999, "not a list of actions"),
        (",38.", ",138.", r"line 2: latitude is '138\.\d+'; rows without .*: 40 of 40"),
        ('"[', '"(', r"line 2: sequence is '\("),
        ('"[', '"[16, ', r"not a list of actions from 0 to 15"),
        ('"[', '"[1.0, ', r"not a list of actions"),
    ],
)
def test_a_bad_table_names_file_line_and_column(own, old, new, message):
    table = own / "metadata" / "large_area_train_map.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"large_area_train_map\.csv.*{message}"):
        list(stream(own))


ODD_SEQUENCES = [
    "[1, 2],[3", "[1, 2, 3, 4] junk", "[01, 2, 3, 4]", "[1.0, 2, 3, 4]", "[1e0, 2, 3, 4]",
    "[ 1 2 3 4 ]", "[True, 2, 3, 4]", "[１, 2, 3, 4]", "[16, 2, 3, 4]", "[-1, 2, 3, 4]",
    "[-0, 2, 3, 4]", "[1, 2, 3]", "[1, 2, 3, 4, 5]", "[1, 2,\n3, 4]", "[1, 2, 3, 4,]", "[]", "",
    "4]",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_SEQUENCES)
@pytest.mark.parametrize("line", [2, 4])
def test_each_sequence_is_checked_separately(tmp_path, odd, line):
    cells = ["[1, 2, 3, 4]"] * 3
    cells[line - 2] = odd
    with pytest.raises(TableError, match=rf"t\.csv, line {line}: sequence is"):
        read_table(_table(tmp_path, cells))


def test_damaged_sequences_do_not_repair_each_other(tmp_path):
    with pytest.raises(TableError, match=r"t\.csv, line 2: sequence is '\[1, 2\],\[3'"):
        read_table(_table(tmp_path, ["[1, 2],[3", "4]"]))
    with pytest.raises(TableError, match=r"Expected 4 columns, got 7"):
        read_table(_table(tmp_path, ["[1, 2, 3, 4]"] * 2, quote=""))


@given(st.lists(st.text("[]0123456789, -", max_size=14) | st.just("[1, 2, 3, 4]"), min_size=1))
def test_many_sequences_are_read_as_single_ones_are(texts):
    def alone(text):
        try:
            value = json.loads(text)
        except ValueError:
            return None
        usual = isinstance(value, list) and 1 <= len(value) <= 4
        fits = usual and all(type(action) is int and 0 <= action < 16 for action in value)
        return value if fits and "-" not in text else None

    each = [alone(text) for text in texts]
    if None in each or len(set(map(len, each))) > 1:
        with pytest.raises(TableError):
            parse_sequences(texts, "t.csv")
    else:
        assert parse_sequences(texts, "t.csv") == each


def _table(folder: Path, sequences: list[str], quote: str = '"') -> str:
    rows = [f"{i},38.9,-77.0,{quote}{text}{quote}" for i, text in enumerate(sequences)]
    path = folder / "t.csv"
    path.write_text("\n".join(["image_id,latitude,longitude,sequence", *rows]) + "\n", "utf-8")
    return str(path)


def test_wrong_folders_say_what_should_be_there(zoom, tmp_path, extracted):
    shutil.copytree(zoom / "metadata", tmp_path / "empty" / "metadata")
    with pytest.raises(FileNotFoundError, match="contains neither archives/streetview_images_000"):
        stream(tmp_path / "empty")
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "town").symlink_to(zoom)
    with pytest.raises(FileNotFoundError, match=r"Point data_dir at .*above.town\."):
        stream(tmp_path / "above")
    published = tmp_path / "published"
    (published / "streetview").mkdir(parents=True)
    (published / "README.md").touch()
    (published / "streetview" / "train-00000-of-00001.parquet").touch()
    with pytest.raises(
        FileNotFoundError, match=r'justzoomin publish`: load_dataset\(".*published"'
    ):
        stream(published)
    for below in ("archives", "metadata"):
        with pytest.raises(FileNotFoundError, match=f"Point data_dir at {re.escape(str(zoom))}"):
            stream(zoom / below)
    with pytest.raises(FileNotFoundError, match=r"contains no metadata/large_area_train_map\.csv"):
        load_dataset("justzoomin", "metadata", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match="in no shards"):
        stream(extracted, shards=[0])
    with pytest.raises(ValueError, match="contradict"):
        stream(zoom, repository="a/b")


def test_the_miniature_is_the_same_every_time(tmp_path):
    for name in ("one", "two"):
        write_sample(tmp_path / name, 5, 2, shards=2, width=16)
    for file in (p for p in (tmp_path / "one").rglob("*") if p.is_file()):
        same = tmp_path / "two" / file.relative_to(tmp_path / "one")
        assert_same_bytes(file.read_bytes(), same.read_bytes())
