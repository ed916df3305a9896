"""Streams of rows: resumed at any row, stopped by an error, formatted and combined."""

from __future__ import annotations

import json
from itertools import islice

import pytest
from datasets import Image, interleave_datasets, load_dataset

import im2gps  # noqa: F401 - registers the name
import justzoomin  # noqa: F401 - registers the name
from tests.support.shards import jpeg, pair, write_shard

PHOTOS = 21  # a shard; a table of a stream has 1, 4 and then up to 16 rows


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(2):
        numbers = range(shard * PHOTOS, (shard + 1) * PHOTOS)
        samples = [pair(f"{n:02d}", {"lat": 1 + n, "lon": n / 2}, jpeg(n)) for n in numbers]
        write_shard(folder / f"{shard}.tar", [member for sample in samples for member in sample])
    return folder


def stream(folder):
    return load_dataset("im2gps", data_files=f"{folder}/*.tar", split="train", streaming=True)


def undecoded(rows):
    return rows.cast_column("image", Image(decode=False))


def ids(rows) -> list[str]:
    return [str(row["image_id"]) for row in rows]


PIPELINES = {
    "undecoded": undecoded,
    "decoded": lambda rows: rows,
    "numpy": lambda rows: undecoded(rows).with_format("numpy"),
    "filtered": lambda rows: undecoded(rows).filter(lambda row: row["latitude"] > 3),
    "mapped": lambda rows: rows.map(lambda batch: batch, batched=True, batch_size=4),
    "taken": lambda rows: undecoded(rows).skip(2).take(40),
    "interleaved": lambda rows: interleave_datasets([rows.take(20), rows.skip(20)]),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_stream_resumes_at_any_row(shards, name):
    everything = ids(PIPELINES[name](stream(shards)))
    assert len(everything) == len(set(everything)) >= 39
    for stop in (1, 5, 13, 30):
        rows, again = (PIPELINES[name](stream(shards)) for _ in range(2))
        head = ids(islice(rows, stop))
        again.load_state_dict(json.loads(json.dumps(rows.state_dict())))
        assert head + ids(again) == everything, stop


@pytest.mark.parametrize("name", ["undecoded", "decoded", "numpy"])
def test_the_rows_before_an_error_come_first(shards, tmp_path, name):
    data = (shards / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(data[: data.rindex(b"18.jpg") + 600])
    seen = []
    with pytest.raises(ValueError, match=r"0\.tar is cut inside 18\.jpg"):
        seen.extend(ids([row]) for row in PIPELINES[name](stream(tmp_path)))
    assert seen == [[f"{n:02d}.jpg"] for n in range(18)]


def test_rows_are_the_same_in_all_ways(shards, zoom):
    own = load_dataset("justzoomin", data_dir=str(zoom), split="train", streaming=True)
    for rows in (undecoded(stream(shards)), undecoded(own)):
        plain = list(rows)
        assert [row for batch in rows.iter(4) for row in _rows(batch)] == plain
        arrow = rows.with_format("arrow").iter(5)
        assert [row for table in arrow for row in table.to_pylist()] == plain
        assert sorted(ids(rows.shuffle(seed=0, buffer_size=9))) == sorted(ids(plain))
        plain[0]["image_id"] = "changed"
        plain[0].get("sequence", []).append(99)
        assert next(iter(rows)) != plain[0]


def _rows(batch):
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def test_combined_streams_have_the_columns_of_both(shards, zoom):
    one = load_dataset("justzoomin", data_dir=str(zoom), split="train", streaming=True)
    rows = interleave_datasets([undecoded(one), undecoded(stream(shards))])
    for number, row in enumerate(rows.take(8)):
        assert (row["sequence"] is None) is bool(number % 2)
