"""OpenStreetView-5M: a miniature in the layout of the Hub, from a folder and over the loopback."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from datasets import Image, Value, load_dataset, load_dataset_builder

from im2gps import osv5m
from im2gps.sample import COUNTS, with_comments, write_sample
from im2gps.sample_sets import write_zip
from tests.support.shards import jpeg


@pytest.fixture(scope="module")
def osv(tmp_path_factory) -> Path:
    """A folder with 9 photos of each split in two ZIP files; not to be changed."""
    folder = tmp_path_factory.mktemp("osv")
    write_sample(folder, {**dict.fromkeys(COUNTS, 0), "osv5m": 9}, width=32)
    return folder


def load(split: str = "test", streaming: bool = True, **options):
    options |= {"split": split, "streaming": streaming}
    return load_dataset("im2gps", "osv5m", **options)


def ids(rows) -> list[str]:
    return [row["image_id"] for row in rows]


def make(folder: Path, table: str, photos: dict[str, bytes], split: str = "test") -> str:
    folder.mkdir(exist_ok=True)
    write_zip(folder / "images" / split / "00.zip", photos)
    (folder / f"{split}.csv").write_text(table, encoding="utf-8")
    return str(folder)


def test_a_split_streams_from_the_hub(hub, osv):
    hub.add("osv5m/osv5m", osv)
    table = pd.read_csv(osv / "train.csv").set_index("id")
    rows = list(load("train", columns=["country", "creator_username", "land_cover"]))
    assert len(rows) == 9 and "test.csv" not in hub.sent
    for row in rows:
        known = table.loc[int(row["image_id"].removesuffix(".jpg"))]
        assert (row["latitude"], row["longitude"]) == (known["latitude"], known["longitude"])
        assert row["creator_username"] == known["creator_username"] and row["land_cover"] == 1.5
        assert max(row["image"].size) <= 32


def test_the_first_sample_needs_little_of_one_zip(hub, tmp_path):
    photo = with_comments(jpeg(), [random.Random(0).randbytes(60_000)] * 9)
    table = "\n".join(["latitude,id,longitude", *(f"1,{n},2" for n in range(1, 41))])
    folder = tmp_path / "heavy"
    make(folder, table, {f"00/{n}.jpg": photo for n in range(1, 41)})
    write_zip(folder / "images/test/01.zip", {"01/1.jpg": photo})
    hub.add("someone/heavy", folder)
    stream = load(repository="someone/heavy").cast_column("image", Image(decode=False))
    first = next(iter(stream))
    assert first["image_id"] == "1.jpg" and len(first["image"]["bytes"]) < 2000  # without comments
    sent = {path: size for path, size in hub.sent.items() if path.endswith(".zip") and size}
    assert list(sent) == ["images/test/00.zip"]
    assert (
        sent["images/test/00.zip"] < 6_000_000 < (folder / "images/test/00.zip").stat().st_size / 3
    )


def test_rows_are_joined_whatever_the_order_of_rows_and_columns(tmp_path, osv):
    table = pd.read_csv(osv / "test.csv", dtype=str).sample(frac=1, random_state=3)
    text = table[table.columns[::-1]].to_csv(index=False)
    with zipfile.ZipFile(osv / "images/test/00.zip") as file:
        photos = {name: file.read(name) for name in file.namelist()}
    rows = list(load(data_dir=make(tmp_path, text, photos), columns=True))
    assert len(rows) == len(photos) == 5
    places = table.set_index("id")["latitude"].astype(float)
    assert all(row["latitude"] == places[row["image_id"].partition(".")[0]] for row in rows)
    assert list(rows[0])[4:] == list(osv5m.COLUMNS)


def test_what_does_not_fit_together_is_counted_once(tmp_path, caplog):
    photos = {f"{number}.jpg": jpeg(number) for number in (1, 2, 3)}
    photos |= {"4.jpg": b"no photo", "7.jpg": jpeg(), "b/2.jpg": jpeg(), "readme.txt": b""}
    table = "id,latitude,longitude\n3,1,2\n2,1,2\n1,0,0\n4,1,2\n5,1,2\n"
    folder = make(tmp_path, table, photos)
    with pytest.raises(ValueError, match=r"00\.zip: 1 unusable photo \(.*skip_broken=True"):
        list(load(data_dir=folder))
    caplog.clear()
    rows = load(data_dir=folder, skip_broken=True)
    assert ids(rows) == ids(rows) == ["2.jpg", "3.jpg", "2.jpg"]
    for text in (
        "5 rows in test.csv instead of 210,122", "1 row of the table without a photo (5.jpg)",
        "1 repeated photo (2.jpg)", "1 photo without a row in the table (7.jpg)",
        "(1.jpg: no coordinates, or only 0, 0", "(4.jpg: Pillow cannot read it",
        "1 file other than JPEG photos",
    ):  # fmt: skip
        assert caplog.text.count(text) == 1, text
    with pytest.raises(ValueError, match="strict=True"):
        list(load(data_dir=folder, skip_broken=True, strict=True))


def test_prepared_rows_are_the_streamed_ones(hub, osv, cache):
    hub.add("someone/prepared", osv)
    options = {"repository": "someone/prepared", "cache_dir": cache, "columns": ["sequence"]}
    with pytest.raises(ValueError, match=r"name the splits to prepare: splits=\['test'\]"):
        load(streaming=False, **options)
    rows = load(streaming=False, splits=["test"], num_proc=2, **options)
    streamed = load(**options)
    assert rows["image_id"][:] == ids(streamed) and streamed.num_shards == 16
    assert rows.features["sequence"] == Value("string")
    builder = load_dataset_builder("im2gps", "osv5m", splits=["test"], **options)
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    assert report["test"]["no_photo"] == {
        "text": "rows of the table without a photo", "count": 1, "first": ["1.jpg"],
    }  # fmt: skip


def test_workers_share_the_zips_and_resume_exactly(osv):
    data = pytest.importorskip("torchdata.stateful_dataloader")
    rows = load(data_dir=str(osv)).select_columns(["image_id"])
    loader = data.StatefulDataLoader(rows, batch_size=None, num_workers=2)
    iterator = iter(loader)
    seen = ids(next(iterator) for _ in range(4))
    again = data.StatefulDataLoader(rows, batch_size=None, num_workers=2)
    again.load_state_dict(loader.state_dict())
    assert sorted(seen + ids(again)) == sorted(ids(rows))


def test_a_revision_keeps_its_rows(hub, osv, tmp_path):
    old = hub.add("someone/moving", osv)
    hub.add(
        "someone/moving", Path(make(tmp_path, "id,latitude,longitude\n8,1,2\n", {"8.jpg": jpeg()}))
    )
    assert ids(load(repository="someone/moving")) == ["8.jpg"]
    assert len(ids(load(repository="someone/moving", revision=old))) == 9
    with pytest.raises(FileNotFoundError, match="revision 'v9'"):
        load(repository="someone/moving", revision="v9")


def test_extracted_photos_load_too(osv, tmp_path):
    for archive in (osv / "images/test").glob("*.zip"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(tmp_path / "images/test")
    (tmp_path / "test.csv").write_bytes((osv / "test.csv").read_bytes())
    assert sorted(ids(load(data_dir=str(tmp_path)))) == sorted(ids(load(data_dir=str(osv))))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"columns": ["weather"]}, r"columns=\['weather'\]: osv5m has thumb_original_url, country"),
        ({"records": True}, "records= has no effect on 'osv5m'"),
        ({"revision": "main"}, "contradict each other"),
        ({"splits": ["validation"]}, "the splits are test, train"),
        ({"split": "validation"}, "has the splits test, train"),
    ],
)
def test_wrong_options_are_refused(osv, options, text):
    with pytest.raises(ValueError, match=text):
        load(**{"data_dir": str(osv), **options})


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images/test/00\.zip, .*hf download osv5m/osv5m"):
        load(data_dir=str(tmp_path))
    for table in ("id,latitude\n1,2\n", "id,latitude,longitude\nx,1,2\n", "id,latitude\n1"):
        folder = make(tmp_path, table, {"1.jpg": jpeg()})
        with pytest.raises(ValueError, match=r"test\.csv is not a table of osv5m"):
            load(data_dir=folder)
