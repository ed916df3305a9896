"""`covered=True`: a table of unseen columns, joined to the rows of the photos."""

from __future__ import annotations

import datetime
import json
import pickle
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Image, Value, load_dataset, load_dataset_builder

import justzoomin
from justzoomin.sample import write_sample

NAME = "metadata_satellite_covered"
OWN = ["image_id", "latitude", "longitude", "sequence"]


@pytest.fixture
def own(zoom: Path, tmp_path: Path) -> Path:
    """A copy of the miniature without the covered table."""
    folder = Path(shutil.copytree(zoom, tmp_path / "own"))
    for path in (folder / "streetview").iterdir():
        path.unlink()
    return folder


def ids(folder: Path, split: str = "train") -> list[str]:
    name = {"train": "train", "validation": "val"}[split]
    path = folder / "metadata" / f"large_area_{name}_map.csv"
    return pd.read_csv(path, dtype=str)["image_id"].tolist()


def write(folder: Path, frame: pd.DataFrame | str, kind: str = "csv") -> Path:
    path = folder / "streetview" / f"{NAME}.{kind}"
    if isinstance(frame, str):
        path.write_text(frame, encoding="utf-8")
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def metadata(folder: Path, split: str = "train", **options):
    options = {"data_dir": str(folder), "covered": True, **options}
    return load_dataset("justzoomin", "metadata", split=split, streaming=True, **options)


def by_id(rows) -> dict[str, dict]:
    return {row["image_id"]: row for row in rows}


# The join


@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_photo_gets_its_own_row(zoom, cache, split):
    table = pd.read_csv(zoom / "streetview" / f"{NAME}.csv", dtype={"image_id": str})
    expected = table.set_index("image_id").to_dict("index")
    options = {"data_dir": str(zoom), "covered": True, "split": split}
    seen = []
    for name in ("metadata", "streetview"):
        prepared = load_dataset("justzoomin", name, cache_dir=cache, **options)
        streamed = load_dataset("justzoomin", name, streaming=True, **options)
        if name == "streetview":
            prepared, streamed = (
                rows.cast_column("image", Image(decode=False)) for rows in (prepared, streamed)
            )
        assert prepared.column_names[-3:] == [
            "covered_latitude", "covered_longitude", "compass_angle",
        ]  # fmt: skip
        assert prepared.features["compass_angle"] == Value("float64")
        rows = list(streamed)
        assert rows == prepared.to_list()
        seen.append(by_id(rows))
        for row in rows:
            (angle,) = [expected[row["image_id"]]["compass_angle"]]
            assert row["compass_angle"] == angle
            assert row["covered_latitude"] == row["latitude"]
    assert [sorted(rows) for rows in seen] == [sorted(ids(zoom, split))] * 2


def test_without_the_option_nothing_is_joined(zoom):
    rows = load_dataset("justzoomin", "metadata", data_dir=str(zoom), split="train", streaming=True)
    assert list(next(iter(rows))) == OWN


def test_columns_of_any_type_pass_through(own):
    one, two, *_ = ids(own)
    moment = datetime.datetime(2021, 5, 4, 3, 2, 1)
    columns = {
        "image_id": pa.array([two, one]),
        "whole": pa.array([1, None], pa.int32()),
        "text": pa.array(["ä,\n", ""]),
        "flag": pa.array([True, None]),
        "when": pa.array([moment, None], pa.timestamp("ms")),
        "list": pa.array([[1.5], []], pa.list_(pa.float32())),
        "nested": pa.array([{"a": 1, "b": ["x"]}, None]),
        "kind": pa.array(["car", "bus"]).dictionary_encode(),
        "raw": pa.array([b"\xff\x00", None]),
        "empty": pa.nulls(2),
        "sequence": pa.array([[1], [2]]),
    }
    path = own / "streetview" / f"{NAME}.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    rows = by_id(metadata(own))
    assert {key: value for key, value in rows[two].items() if key not in OWN} == {
        "whole": 1, "text": "ä,\n", "flag": True, "when": moment, "list": [1.5],
        "nested": {"a": 1, "b": ["x"]}, "kind": "car", "raw": b"\xff\x00", "empty": None,
        "covered_sequence": [1],
    }  # fmt: skip
    assert len(rows[two]["sequence"]) == 4
    assert rows[one]["whole"] is None and rows[one]["text"] == ""


def test_column_types_of_a_csv_depend_on_all_cells(own):
    first, second, third, *rest = ids(own)
    lines = [f"{first},1,007,x,1.5,12345678901234567890,2021-01-01,,NA"]
    lines += [f"{image_id},2,010,y,,1,2021-01-02,," for image_id in rest]
    lines += [f"{second},3,2,z,7,2,2021-01-03,,no", f'{third},many,3,"a,""b""",7,3,2021-01-04,,']
    header = "image_id,late,code,text,number,long,day,void,answer"
    write(own, "\n".join([header, *lines]) + "\n")
    rows = by_id(metadata(own))
    assert [rows[first][c] for c in ("late", "code", "number", "long", "answer")] == [
        "1", "007", 1.5, "12345678901234567890", "NA",
    ]  # fmt: skip
    assert rows[third]["late"] == "many" and rows[third]["text"] == 'a,"b"'
    assert rows[first]["day"] == datetime.date(2021, 1, 1) and rows[first]["void"] is None
    assert rows[rest[0]]["number"] is None


@pytest.mark.parametrize(
    "form",
    ["{}", "{}_undistorted.jpg", "{}.jpg", "streetview/images/{}_undistorted.jpg", "{}_undistorted",
     "a\\b\\{}.jpg"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_photos_are_named_in_any_form(own, form, kind):
    everyone = ids(own) + ids(own, "validation")
    named = [form.format(image_id) for image_id in everyone]
    write(own, pd.DataFrame({"mark": everyone, "image": named}), kind)
    for split in ("train", "validation"):
        assert all(str(r["mark"]) == r["image_id"] for r in metadata(own, split, strict=True))


@pytest.mark.parametrize("kind", ["int64", "float64", "Int64"])
def test_numeric_ids(own, kind):
    everyone = ids(own) + ids(own, "validation")
    frame = pd.DataFrame({"id": pd.Series(everyone).astype("int64").astype(kind), "n": everyone})
    write(own, frame, "parquet")
    assert all(row["n"] == row["image_id"] for row in metadata(own, strict=True))


def test_parquet_comes_before_csv(own):
    for kind in ("csv", "parquet"):
        write(own, pd.DataFrame({"image_id": ids(own), "from": kind}), kind)
    assert next(iter(metadata(own)))["from"] == "parquet"


def test_another_table_may_be_named(own, tmp_path):
    path = tmp_path / "mine.csv"
    pd.DataFrame({"image_id": ids(own), "mine": 1}).to_csv(path, index=False)
    for given in (path, str(path)):
        assert next(iter(metadata(own, covered=given)))["mine"] == 1
    with pytest.raises(FileNotFoundError, match=r"covered='nowhere\.csv': there is nothing at"):
        metadata(own, covered="nowhere.csv")


def test_clashing_names_get_a_prefix_until_they_are_free(own):
    frame = pd.DataFrame({"image_id": ids(own), "latitude": 1, "covered_latitude": 2})
    write(own, frame)
    row = next(iter(metadata(own)))
    assert list(row) == [*OWN, "covered_covered_latitude", "covered_latitude"]
    assert (row["covered_covered_latitude"], row["covered_latitude"]) == (1, 2)
    assert 38 < row["latitude"] < 39


# Which column names the photo


def test_the_column_that_names_the_photo_is_found(own):
    everyone = ids(own)
    frame = pd.DataFrame({"id": range(len(everyone)), "Image_Key": everyone, "other": everyone})
    write(own, frame)
    row = next(iter(metadata(own)))
    assert list(row) == [*OWN, "id", "other"] and row["other"] == int(row["image_id"])
    row = next(iter(metadata(own, covered_id="other")))
    assert list(row) == [*OWN, "id", "Image_Key"]


def test_a_table_without_photo_ids_is_an_error_with_its_columns(own):
    write(own, pd.DataFrame({"id": [1, 2], "mapillary": ids(own)[:2]}))
    with pytest.raises(ValueError, match=r"names? the photo: id, mapillary\. Name .* covered_id="):
        metadata(own)
    assert by_id(metadata(own, covered_id="mapillary"))[ids(own)[1]]["id"] == 2
    with pytest.raises(ValueError, match=r"no column 'nothing'; it has id, mapillary"):
        metadata(own, covered_id="nothing")
    with pytest.raises(ValueError, match="no value of column 'id' is an id of a photo"):
        metadata(own, covered_id="id")


# Rows and photos without a match


def test_photos_without_a_row_and_rows_without_a_photo_are_counted(own, cache, caplog):
    train, validation = ids(own), ids(own, "validation")
    some = [*train[5:], *validation, "123", "124", train[7], None]
    write(own, pd.DataFrame({"image_id": some, "n": [float(i) for i in range(len(some))]}))
    counts = {
        "no_covered_row": 5, "no_covered_photo": 2, "repeated_covered_id": 1, "no_covered_id": 1,
    }  # fmt: skip
    rows = by_id(metadata(own))
    assert [rows[image_id]["n"] for image_id in train[3:8]] == [None, None, 0.0, 1.0, 2.0]
    covered = "of the table of covered photos"
    for line in (
        f"5 photos without a row {covered.replace('of', 'in', 1)}",
        f"2 rows {covered} without a photo",
        f"1 row {covered} with a repeated id", f"1 row {covered} without an id",
    ):  # fmt: skip
        assert caplog.text.count(line) == 1
    for name in ("metadata", "streetview"):
        options = {"data_dir": str(own), "cache_dir": cache, "covered": True}
        builder = load_dataset_builder("justzoomin", name, **options)
        builder.download_and_prepare()
        report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
        assert {kind: entry["count"] for kind, entry in report["train"].items()} == counts
        assert report["train"][next(iter(counts))]["first"] == train[:5]
        assert set(report["validation"]) == set(list(counts)[1:])
        for streaming in (False, True):
            with pytest.raises(ValueError, match="strict=True"):
                split = load_dataset("justzoomin", name, split="train", strict=True,
                                     streaming=streaming, **options)  # fmt: skip
                list(split)


def test_a_table_of_both_splits_is_not_reported(zoom, caplog):
    list(metadata(zoom, strict=True))
    assert not caplog.text


def test_a_changed_table_gives_new_rows(own, cache):
    options = {"data_dir": str(own), "cache_dir": cache, "covered": True, "split": "train"}
    for number in (1, 2):
        write(own, pd.DataFrame({"image_id": ids(own), "n": number}))
        assert set(load_dataset("justzoomin", "metadata", **options)["n"]) == {number}


def test_webdataset_joins_it_too(own):
    when = pd.Timestamp("2021-05-04")
    write(own, pd.DataFrame({"image_id": ids(own), "n": ids(own), "when": when}), "parquet")
    pipeline = justzoomin.webdataset("train", data_dir=str(own), covered=True)
    rows = [json.loads(sample["json"]) for sample in pickle.loads(pickle.dumps(pipeline))]
    assert len(rows) == 40 and all(row["n"] == row["image_id"] for row in rows)
    assert rows[0]["when"].startswith("2021-05-04")


# The Hub


def test_from_the_hub_only_on_request(hub, zoom, cache):
    hub.add("someone/covered", zoom)
    options = {"repository": "someone/covered", "split": "train", "data_dir": None}
    load_dataset("justzoomin", "metadata", cache_dir=cache, **options)
    assert not [path for path in hub.sent if NAME in path]
    expected = by_id(metadata(zoom))
    assert by_id(metadata(zoom, **options)) == expected
    assert [path for path in hub.sent if NAME in path] == [f"streetview/{NAME}.parquet"]
    assert not [path for path in hub.sent if path.endswith(".tar")]
    rows = load_dataset("justzoomin", covered=True, streaming=True, **options)
    rows = by_id(rows.remove_columns("image"))
    assert rows == expected


def test_from_the_hub_it_may_be_a_csv(hub, own, cache):
    write(own, pd.DataFrame({"image_id": ids(own), "n": 1}))
    commit = hub.add("someone/csv", own)
    options = {"repository": "someone/csv", "revision": commit, "covered": True}
    rows = load_dataset("justzoomin", "metadata", cache_dir=cache, **options)
    assert rows["train"]["n"][:] == [1] * 40
    hub.forget()
    load_dataset("justzoomin", "metadata", cache_dir=cache, **options)
    assert not hub.requests


def test_a_missing_table_is_an_error(hub, own):
    with pytest.raises(FileNotFoundError, match=r"hf download .*streetview/metadata_satellite_cov"):
        metadata(own)
    hub.add("someone/none", own)
    with pytest.raises(FileNotFoundError, match="someone/none at .* has no streetview/metadata"):
        metadata(own, repository="someone/none", data_dir=None)


# Damaged files and wrong arguments


@pytest.mark.parametrize(
    "kind,content,says",
    [
        ("parquet", "no parquet", "is not a Parquet file"),
        ("csv", "image_id,a\n1,2,3\n", "is not a CSV file"),
        ("csv", "", "is not a CSV file"),
        ("csv", "image_id,a,a\n1,2,3\n", "more than one column 'a'"),
    ],
)
def test_a_damaged_table_is_named(own, kind, content, says):
    path = write(own, content, kind)
    with pytest.raises(ValueError, match=says) as error:
        metadata(own)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "options,says",
    [
        ({"covered": 3}, "covered=3: give True, or the path of a table"),
        ({"covered": False, "covered_id": "x"}, "covered_id= names a column of the table that"),
    ],
)
def test_invalid_arguments_are_refused(zoom, options, says):
    with pytest.raises(ValueError, match=says):
        metadata(zoom, **options)


def test_the_sample_has_both_forms(tmp_path):
    write_sample(tmp_path, 3, 2, shards=1, width=16)
    rows = [pd.read_csv(tmp_path / "streetview" / f"{NAME}.csv"),
            pd.read_parquet(tmp_path / "streetview" / f"{NAME}.parquet")]  # fmt: skip
    rows[1]["image_id"] = rows[1]["image_id"].astype("int64")
    pd.testing.assert_frame_equal(*rows)
    assert len(rows[0]) == 5
