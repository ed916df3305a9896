"""`im2gps publish` of training shards, whose JSON files contain the licences."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from datasets import Image, load_dataset

import im2gps.cli
from im2gps.licences import LICENCES
from im2gps.training import in_validation
from tests.support.forked import COMMAND
from tests.support.shards import jpeg, pair, write_shard

FREE = 4  # CC BY 2.0
LICENSES = [FREE, 0, None, 99, "4"]
FRACTION = 0.5


def owner(number: int) -> str:
    return f"{1000 + number % 8}@N00"


def photo(number: int) -> str:
    return f"{231500000 + number}_0a1b_97_{owner(number)}"


@pytest.fixture
def built(tmp_path) -> Path:
    folder = tmp_path / "built"
    for shard in range(2):
        members = []
        for number in range(20 * shard, 20 * shard + 20):
            record = {"photo_id": str(231500000 + number), "owner": owner(number),
                      "title": f"=photo {number}", "license": LICENSES[number % 5],
                      "latitude": 1 + number / 10, "longitude": -number / 5}  # fmt: skip
            members += pair(photo(number), record, jpeg(number))
        write_shard(folder / f"im2gps-{shard:05d}.tar", members)
    return folder


def free(validation: bool) -> list[int]:
    numbers = [n for n in range(40) if LICENSES[n % 5] in (FREE, "4")]
    return [n for n in numbers if in_validation(owner(n), FRACTION) is validation]


def test_free_training_photos_are_published_with_their_photographers(
    built, packs, tmp_path, capsys
):
    shutil.copy(packs / "gps_query_imgs.zip", built)
    folder = tmp_path / "out"
    assert im2gps.cli.main(["publish", "--to", str(folder), "--data-dir", str(built), "--configs",
                            "im2gps", "--validation-fraction", str(FRACTION)]) == 0  # fmt: skip
    assert "16 rows left out: under an unknown licence" in capsys.readouterr().out
    options = {"data_dir": str(built), "validation_fraction": FRACTION, "streaming": True}
    for split, validation in (("train", False), ("validation", True)):
        rows = load_dataset(str(folder), split=split).cast_column("image", Image(decode=False))
        assert rows.column_names == ["image", "image_id", "latitude", "longitude"]
        wanted = [f"{photo(number)}.jpg" for number in free(validation)]
        assert wanted and rows["image_id"][:] == wanted
        theirs = load_dataset("im2gps", split=split, **options)
        theirs = {row["image_id"]: row for row in theirs.cast_column("image", Image(decode=False))}
        assert list(rows) == [theirs[name] for name in wanted]
    assert len(load_dataset(str(folder), split="test")) > 0

    with open(folder / "im2gps" / "attribution.csv", encoding="utf-8", newline="") as file:
        lines = {line["image_id"]: line for line in csv.DictReader(file)}
    for number in (*free(False), *free(True)):
        line = lines[f"{photo(number)}.jpg"]
        assert line["split"] == ("validation" if number in free(True) else "train")
        assert line["owner"] == owner(number) and line["title"] == f"'=photo {number}"
        assert line["licence"] == LICENCES[FREE].name
        link = f"https://www.flickr.com/photos/{owner(number)}/{231500000 + number}/"
        assert line["link"] == link


def test_training_photos_are_published_without_the_test_pack(offline, built, tmp_path):
    folder = tmp_path / "out"
    command = ["im2gps", "publish", "--to", str(folder), "--data-dir", str(built), "--configs",
               "im2gps"]  # fmt: skip
    done = offline.run(COMMAND, *command, folder=tmp_path)
    assert done.code == 2
    assert "Or publish only the training photos: --splits train,validation" in done.err

    done = offline.run(COMMAND, *command, "--splits", "train,validation", folder=tmp_path)
    assert done.code == 0, done.err
    assert "test" not in load_dataset(str(folder))
    assert len(load_dataset(str(folder), split="train")) == 16


def test_the_photo_list_cannot_be_published(built, tmp_path, capsys):
    arguments = ["--to", str(tmp_path / "out"), "--data-dir", str(built), "--configs", "metadata"]
    assert im2gps.cli.main(["publish", *arguments]) == 2
    assert "metadata is one Parquet file" in capsys.readouterr().err
