"""`load_dataset("im2gps", "metadata")`: the table of photos as rows, and the miniature's lists."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node

import im2gps  # noqa: F401 - makes the name known
from im2gps.cli import main
from im2gps.lists.sample import write_lists
from im2gps.lists.table import write_table
from im2gps.photo_table import SCHEMA
from tests.support.equal import assert_same_bytes


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A folder with a table of 660 photos in three row groups; not to be changed."""
    folder = tmp_path_factory.mktemp("table")
    write_lists(folder / "lists", 660, repeated=0)
    write_table([folder / "lists"], folder / "whole.parquet")
    pq.write_table(pq.read_table(folder / "whole.parquet"), folder / "photos.parquet",
                   row_group_size=250)  # fmt: skip
    return folder


def load(data_dir, **options):
    return load_dataset("im2gps", "metadata", data_dir=str(data_dir), split="train", **options)


@pytest.mark.parametrize("name", ["", "photos.parquet", "whole.parquet"])
def test_the_table_is_read_unchanged(table, cache, name):
    expected = pq.read_table(table / (name or "photos.parquet"), columns=SCHEMA.names)
    rows = load(table / name, cache_dir=cache)
    assert rows.column_names == SCHEMA.names
    assert (rows.features["license"].dtype, rows.features["latitude"].dtype) == ("int8", "float64")
    assert list(rows) == expected.to_pylist()
    assert list(load(table / name, streaming=True)) == expected.to_pylist()


def test_workers_share_the_row_groups(table, cache):
    expected = pq.read_table(table / "photos.parquet")["photo_id"].to_pylist()
    assert load(table, cache_dir=cache, num_proc=2)["photo_id"][:] == expected
    stream = load(table, streaming=True)
    parts = [list(split_dataset_by_node(stream, rank, 3)) for rank in range(3)]
    assert [len(part) for part in parts] == [250, 250, 160]
    assert sorted(row["photo_id"] for part in parts for row in part) == sorted(expected)


def test_a_new_table_gives_new_rows(tmp_path, cache):
    for seed in (0, 1):
        write_lists(tmp_path / "lists", 50, seed=seed)
        write_table([tmp_path / "lists"], tmp_path / "photos.parquet")
        expected = pq.read_table(tmp_path / "photos.parquet")["photo_id"].to_pylist()
        assert load(tmp_path, cache_dir=cache)["photo_id"][:] == expected


def test_other_files_than_the_table_are_refused(table, tmp_path):
    with pytest.raises(ValueError, match=r"needs data_dir=: .* `im2gps lists LISTS"):
        load_dataset("im2gps", "metadata", split="train")
    with pytest.raises(FileNotFoundError, match=r"should contain photos\.parquet, but contains no"):
        load(tmp_path)
    whole = (table / "photos.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-50])
    with pytest.raises(ValueError, match=r"cut\.parquet is not a valid Parquet file"):
        load(tmp_path, streaming=True)
    pq.write_table(pa.table({"photo_id": ["1"]}), tmp_path / "other.parquet")
    with pytest.raises(FileNotFoundError, match=r"contains cut\.parquet, other\.parquet"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"other\.parquet lacks the columns secret"):
        load(tmp_path / "other.parquet", streaming=True)


def test_invalid_options_and_splits_are_refused(table):
    for option in ({"skip_broken": True}, {"coordinates": str(table / "photos.parquet")}):
        with pytest.raises(ValueError, match=f"{next(iter(option))}= has no effect"):
            load(table, **option)
    with pytest.raises(ValueError, match="has the split train"):
        load_dataset("im2gps", "metadata", data_dir=str(table), split="test")


def test_the_miniature_has_lists_by_the_packs_photographers(tmp_path, capsys):
    packs = ["--im2gps", "9", "--random-2k", "0", "--geo-uniform", "0", "--human", "0"]
    for name in ("one", "two"):
        folder = str(tmp_path / name)
        assert main(["sample", folder, *packs, "--width", "16", "--lists", "2000"]) == 0
    assert " with 2,000 records of " in capsys.readouterr().out
    for path in (tmp_path / "one" / "lists").iterdir():
        same = tmp_path / "two" / "lists" / path.name
        assert_same_bytes(path.read_bytes(), same.read_bytes())
    output = tmp_path / "photos.parquet"
    pack = str(tmp_path / "one" / "gps_query_imgs.zip")
    arguments = ["lists", str(tmp_path / "one" / "lists"), "-o", str(output)]
    assert main([*arguments, "--exclude-owners-of", pack]) == 0
    report = json.loads((tmp_path / "photos.report.json").read_text(encoding="utf-8"))
    assert 1 < report["wanted"]["excluded_photographers"] < 9  # some took several
    assert 5 < report["total"]["by_excluded_photographers"] < 60
    assert (report["total"]["records"], report["total"]["broken"]) == (2_004, 4)
