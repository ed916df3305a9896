"""`im2gps audit` on sets with planted overlaps of each kind, in each form of a training set."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import defaultdict
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from im2gps.audit.copies import add_copies
from im2gps.audit.overlap import find_overlap
from im2gps.audit.sources import flickr_ids, open_source
from im2gps.cli import main
from im2gps.lists.records import write_block
from im2gps.photo_table import SCHEMA
from im2gps.sample import with_comments
from tests.support.shards import jpeg, pair, write_shard

METRE = 360 / 40_030_174  # degrees of latitude


def photo(number: int, **fields) -> dict:
    """A photo that has nothing in common with the others."""
    return {
        "photo_id": str(5_000_000 + number),
        "secret": f"{number:010x}",
        "server": "7",
        "owner": f"{1000 + number}@N01",
        "date_taken": f"2007-05-01 10:{number // 60:02d}:{number % 60:02d}",
        "latitude": -50 + number / 10,
        "longitude": 12.5,
        **fields,
    }


TESTS = [photo(number) for number in range(30)]
OTHERS = [photo(number, longitude=-99.0) for number in range(200, 400)]


def like(number: int, *shared: str, north: float | None = None, **fields) -> dict:
    """A training photo that shares some fields with a test photo, or lies north of it by metres."""
    test = TESTS[number]
    if north is not None:
        fields |= {"latitude": test["latitude"] + north * METRE, "longitude": test["longitude"]}
    apart = photo(100 + number, longitude=-99.0)
    return apart | {name: test[name] for name in shared} | fields


# Training photos like those of the test set, and the kinds of overlap of each.
PLANTED = {
    0: (like(0, "photo_id"), {"id"}),
    1: (like(1, north=0), {"place", "near"}),
    2: (like(2, north=6), {"near"}),
    3: (like(3, "date_taken", north=6), {"near", "time"}),
    4: (like(4, "owner"), {"photographer"}),
    5: (like(5, "owner", "date_taken"), {"photographer", "time"}),
    6: (like(6, *photo(6)), {"id", "time", "place", "near", "photographer"}),
}
# Training photos that only look like those of the test set.
DECOYS = [
    like(10, "date_taken"),
    like(11, north=15),
    like(12, photo_id="7"),
    like(13, owner="1013@N02"),
    like(14, latitude=0.0, longitude=0.0),
    like(15, photo_id=TESTS[15]["photo_id"] + "0"),
]
TRAIN = [*OTHERS[:100], *(row for row, _ in PLANTED.values()), *DECOYS, *OTHERS[100:]]
EXPECTED = {number: kinds for number, (_, kinds) in PLANTED.items()}


def name(row: dict) -> str:
    return "{photo_id}_{secret}_{server}_{owner}.jpg".format_map(row)


def write_csv(path: Path, names: list[str], rows: list[dict], owner: str = "AUTHOR") -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["IMG_ID", owner, "LAT", "LON", "date_taken"])
        for one, row in zip(names, rows, strict=True):
            fields = [row[key] for key in ("owner", "latitude", "longitude", "date_taken")]
            writer.writerow([one, *fields])
    return path


def write_table(path: Path) -> Path:
    rows = [{**dict.fromkeys(SCHEMA.names), **row} for row in TRAIN]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=50)
    return path


def comments(row: dict) -> dict[str, str]:
    values = {key.replace("_", ""): value for key, value in row.items()}
    return values | {"photo": "{photo_id} {secret} {server}".format_map(row)}


def write_lists(path: Path) -> Path:
    path.mkdir()
    half = len(TRAIN) // 2
    for name, rows in (("Rome", TRAIN[:half]), ("Oslo", TRAIN[half - 5 :])):  # five in both
        (path / f"{name}.txt").write_bytes(b"\n".join(write_block(comments(row)) for row in rows))
    return path


def write_photos(path: Path) -> Path:
    data = jpeg()
    with zipfile.ZipFile(path, "w") as archive:
        for row in TRAIN:
            lines = [f"{key}: {value}".encode() for key, value in comments(row).items()]
            archive.writestr(name(row), with_comments(data, lines))
    return path


def write_shards(path: Path) -> Path:
    samples = (pair(name(row)[:-4], row, jpeg()) for row in TRAIN)
    write_shard(path / "im2gps-00000.tar", chain.from_iterable(samples))
    return path


FORMS = {
    "table": lambda folder: write_table(folder / "photos.parquet"),
    "mp16": lambda folder: write_csv(
        folder / "mp16.csv", [f"a0/9f/{row['photo_id']}.jpg" for row in TRAIN], TRAIN
    ),
    "lists": lambda folder: write_lists(folder / "lists"),
    "shards": lambda folder: write_shards(folder / "shards"),
    "photos": lambda folder: write_photos(folder / "photos.zip"),
}


@pytest.fixture
def test_csv(tmp_path):
    return write_csv(tmp_path / "tests.csv", [f"Rome_00001_{name(row)}" for row in TESTS], TESTS)


def audit(capsys, train: Path, test: str | Path, *options: str | Path) -> dict:
    command = ["audit", str(train), "--test", str(test), "--json", *map(str, options)]
    assert main(command) == 0
    return json.loads(capsys.readouterr().out)


def read_pairs(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", FORMS)
def test_planted_overlaps_are_found_without_false_alarms(tmp_path, capsys, test_csv, form):
    pairs = tmp_path / "pairs.csv"
    found = audit(capsys, FORMS[form](tmp_path), test_csv, "--pairs", pairs)
    kinds = defaultdict(set)
    numbers = {f"Rome_00001_{name(row)}": number for number, row in enumerate(TESTS)}
    rows = read_pairs(pairs)
    for row in rows:
        number = numbers[row["image_id"]]
        kinds[number].add(row["kind"])
        assert PLANTED[number][0]["photo_id"] in row["train_id"]
    assert kinds == EXPECTED
    broken = form in ("lists", "shards")  # the photo at 0, 0
    assert found["train"][0]["photos"] == len(TRAIN) - broken
    overlap = found["test"][0]["overlap"]
    for kind in ("id", "time", "place", "near", "photographer"):
        count = sum(kind in kinds for kinds in EXPECTED.values())
        assert overlap[kind] == {"test_photos": count, "train_photos": count}, kind
    assert overlap["any"] == {"test_photos": 7}
    metres = {row["metres"] for row in rows if row["kind"] == "near"}
    assert metres == {"0", "6"}


def test_excluded_photos_are_left_out_of_lists(tmp_path, capsys, test_csv):
    lists, excluded = FORMS["lists"](tmp_path), tmp_path / "excluded.txt"
    audit(capsys, lists, test_csv, "--exclude", excluded)
    table = tmp_path / "clean.parquet"
    assert main(["lists", str(lists), "-o", str(table), "--exclude", str(excluded)]) == 0
    said = capsys.readouterr().out
    assert "5 by 3 excluded photographers" in said and "7 excluded by their ids" in said
    overlap = audit(capsys, table, test_csv)["test"][0]["overlap"]
    assert overlap["any"] == {"test_photos": 0}
    assert pq.read_metadata(table).num_rows == len(TRAIN) - len(PLANTED) - 1  # and that at 0, 0


def test_ids_are_taken_only_from_names_that_have_a_known_form():
    names = {
        "104123223_7410c654ba_19_19355699@N00.jpg": 104123223,
        "Rome_00024_231521295_0a1b2c3d4e_97_12345678@N00": 231521295,
        "http://live.staticflickr.com/97/231521295_0a1b2c3d4e_b.jpg": 231521295,
        "b4/3e/9024.jpg": 9024,
        "mp16/b4_3e_9024.png": 9024,
        "231521295.jpg": None,
        "IMG_20070901.jpg": None,
        "gsv_0.jpg": None,
        "images/train/00/1234567.jpg": None,
        "00/00/000012345.jpg": None,
        "231521295_0a1b.jpg": None,
    }
    assert flickr_ids(pa.array(names)).to_pylist() == list(names.values())


def test_numbers_are_ids_only_if_the_user_says_so(tmp_path, capsys, test_csv):
    numbers = write_csv(
        tmp_path / "numbers.csv", [row["photo_id"] for row in TRAIN], TRAIN, owner="camera"
    )
    main(["audit", str(numbers), "--test", str(test_csv)])
    said = capsys.readouterr().out
    assert "213 names that are plain numbers are not taken as photo ids" in said
    assert "same photo id" in said and said.count("unknown") == 2  # ids and photographers
    found = audit(capsys, numbers, test_csv, "--plain-ids", "--kinds", "id")
    assert found["test"][0]["overlap"]["id"]["test_photos"] == 2


def test_ids_that_a_data_frame_made_floats_are_the_same_ids(tmp_path, capsys):
    rows = {"photo_id": [52345678901.0, None], "latitude": [1.0, 2.0], "longitude": [1.0, 2.0]}
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    found = audit(capsys, tmp_path / "a.csv", tmp_path / "a.parquet", "--kinds", "id")
    assert found["test"][0]["overlap"]["id"] == {"test_photos": 1, "train_photos": 1}


def test_configurations_are_test_sets_and_training_sets(packs, tmp_path, capsys):
    found = audit(capsys, f"im2gps={packs}", f"im2gps={packs}")
    (test,) = found["test"]
    assert test["photos"] == test["photo_ids"] == test["coordinates"] == 12
    assert test["overlap"]["id"] == test["overlap"]["place"] == {
        "test_photos": 12, "train_photos": 12
    }  # fmt: skip
    (tmp_path / "im2gps3k").mkdir()
    write_csv(tmp_path / "im2gps3k" / "truth.csv", [name(row) for row in TESTS], TESTS)
    table = FORMS["table"](tmp_path)
    found = audit(capsys, table, f"im2gps3k={tmp_path / 'im2gps3k'}", "--test", f"human={packs}")
    assert [test["photos"] for test in found["test"]] == [30, 4]
    assert found["test"][0]["overlap"]["any"]["test_photos"] == 7
    assert found["test"][1]["overlap"]["any"]["test_photos"] == 0


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("nowhere", "tests.csv", "there is no such file or folder, and no such test set"),
        ("photos.parquet", "im2gps3k", "give its folder, as in im2gps3k=FOLDER"),
        ("photos.parquet", "swapped.csv", "look swapped"),
        ("no_ids.csv", "tests.csv", "no column of ids"),
        ("empty", "tests.csv", "contains no shards"),
        ("photos.parquet", "tests.csv --pictures", "photos.parquet has no photos"),
        ("cut.zip", "tests.csv", "cut.zip is not a valid ZIP file"),
        ("photos.parquet", "tests.csv --pairs ./photos.parquet", "photos.parquet is read"),
        ("photos.parquet", "tests.csv --pairs a --exclude a", "--pairs is written there"),
        ("photos.parquet", "tests.csv --exclude no/a", "--exclude no/a: there is no folder"),
    ],
)
def test_what_cannot_be_audited_is_one_clear_error(
    tmp_path, capsys, monkeypatch, test_csv, train, test, message
):
    FORMS["table"](tmp_path)
    swapped = [row | {"latitude": 120.0, "longitude": 5.0} for row in TESTS]
    write_csv(tmp_path / "swapped.csv", [name(row) for row in TESTS], swapped)
    (tmp_path / "no_ids.csv").write_text("LAT,LON,colour\n1,2,red\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    monkeypatch.chdir(tmp_path)
    assert main(["audit", train, "--test", *test.split()]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_all_near_pairs_are_found(tmp_path, capsys):
    """As many as a comparison of each photo with each, also across the antimeridian."""
    rng = np.random.default_rng(1)

    def places(count: int) -> list[dict]:
        north, east = rng.normal(0, 300 * METRE, (2, count))
        east = (180 + east + 180) % 360 - 180
        return [
            photo(i, latitude=a, longitude=b)
            for i, (a, b) in enumerate(zip(north, east, strict=True))
        ]

    train, tests = places(300), places(200)
    write_csv(tmp_path / "train.csv", [f"t{i}.jpg" for i in range(300)], train)
    write_csv(tmp_path / "test.csv", [f"q{i}.jpg" for i in range(200)], tests)
    pairs = tmp_path / "pairs.csv"
    audit(capsys, tmp_path / "train.csv", tmp_path / "test.csv",
          "--near", "100", "--kinds", "near", "--pairs", pairs)  # fmt: skip
    a, b = (np.array([(r["latitude"], r["longitude"]) for r in rows]) for rows in (tests, train))
    apart = np.abs(a[:, None] - b[None])
    apart[..., 1] = np.minimum(apart[..., 1], 360 - apart[..., 1])
    expected = {
        (f"q{i}.jpg", f"t{j}.jpg") for i, j in np.argwhere(np.hypot(*apart.T).T < 100 * METRE)
    }
    assert {(row["image_id"], row["train_id"]) for row in read_pairs(pairs)} == expected
    assert len(expected) > 300


def test_what_is_found_in_a_pack_is_counted_once(packs, tmp_path, capsys):
    FORMS["photos"](tmp_path)
    with zipfile.ZipFile(tmp_path / "photos.zip", "a") as archive:
        archive.writestr("notes.md", "")
    found = audit(capsys, tmp_path / "photos.zip", f"im2gps={packs}", "--pictures")
    assert found["train"][0]["findings"]["not_a_photo"]["count"] == 1


def test_what_is_found_in_shards_is_counted_once(packs, tmp_path, capsys):
    places = {"good": {"latitude": 1.0, "longitude": 2.0}, "bad": {"latitude": "north"}}
    samples = (pair(one, record, jpeg()) for one, record in places.items())
    write_shard(tmp_path / "a.tar", chain.from_iterable(samples))
    found = audit(capsys, tmp_path / "a.tar", f"im2gps={packs}", "--pictures")
    assert found["train"][0]["findings"]["unusable_sample"]["count"] == 1


def test_photos_can_be_read_after_the_last_one_was_listed(packs):
    """Threads read them ahead, also those of a ZIP file and of the set before."""
    read = []

    def search(test, train, report, found):
        read.extend(read() for _, read in [*train])
        return []

    sources = [open_source(f"{name}={packs}") for name in ("random_2k", "im2gps")]
    found = find_overlap(sources, [open_source(f"im2gps={packs}")], 10, ["id"])
    add_copies(found, sources, {"picture": search})
    assert len(read) == sum(source.photos for source in sources) > 20 and all(read)


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_copies_are_found_by_picture(packs, tmp_path, capsys, form):
    with zipfile.ZipFile(packs / "gps_query_imgs.zip") as pack:
        originals = {name.rpartition("/")[2]: pack.read(name) for name in pack.namelist()}
    with zipfile.ZipFile(packs / "2k_random_test.zip") as pack:
        train = {f"other{n}": pack.read(name) for n, name in enumerate(pack.namelist())}
    first, second, _, fourth, *_ = originals  # the third is stored turned
    copied = [first, second, fourth]
    for number, one in enumerate(copied):
        picture = Image.open(io.BytesIO(originals[one])).convert("RGB")
        buffer = io.BytesIO()
        picture.resize((picture.width * 2, picture.height * 2)).save(buffer, "JPEG", quality=60)
        train[f"copy{number}"] = buffer.getvalue()
    folder = tmp_path / form
    folder.mkdir()
    if form == "shards":
        records = {"latitude": 1.0, "longitude": 2.0, "owner": "1@N00"}
        samples = (pair(one, records, data) for one, data in train.items())
        write_shard(folder / "a.tar", chain.from_iterable(samples))
    else:
        for one, data in train.items():
            (folder / f"{one}.jpg").write_bytes(data)
    pairs, sheet = tmp_path / "pairs.csv", tmp_path / "sheet.html"
    found = audit(capsys, folder, f"im2gps={packs}", "--kinds", "id", "--pictures",
                  "--pairs", pairs, "--sheet", sheet)  # fmt: skip
    assert found["test"][0]["overlap"]["picture"] == {"test_photos": 3, "train_photos": 3}
    rows = [row for row in read_pairs(pairs) if row["kind"] == "picture"]
    assert {row["image_id"]: row["train_id"].partition(".")[0] for row in rows} == {
        one: f"copy{number}" for number, one in enumerate(copied)
    }
    assert all(one in sheet.read_text("utf-8") for one in copied)
