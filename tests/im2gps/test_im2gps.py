"""`load_dataset("im2gps", …)`: packs, tables, broken photos, and a web server."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from datasets import Image, load_dataset, load_dataset_builder
from PIL import Image as PillowImage

import im2gps
from im2gps.cli import main
from im2gps.landscape import paint
from im2gps.sample import with_comments, write_sample
from tests.support.equal import assert_same_bytes
from tests.support.static import Static

FEATURES = ["image", "image_id", "latitude", "longitude"]
COORDINATES = [b"latitude: 41.890400", b"longitude: 12.492000"]


def jpeg(colour: str = "red", comments: list[bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (32, 24), colour).save(buffer, "JPEG")
    return with_comments(buffer.getvalue(), COORDINATES if comments is None else comments)


def pack(folder: Path, photos: dict[str, bytes], name: str = "gps_query_imgs.zip") -> str:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for file, data in photos.items():
            archive.writestr(file, data)
    return str(folder)


def load(folder: str | Path, name: str = "im2gps", **options):
    return list(load_dataset("im2gps", name, data_dir=str(folder), split="test", streaming=True,
                             **options))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "count"), [("im2gps", 12), ("random_2k", 10), ("geo_uniform", 5), ("human", 4)]
)
def test_each_pack_is_a_configuration(packs, cache, name, count):
    rows = load_dataset("im2gps", name, data_dir=str(packs), split="test", cache_dir=cache)
    assert (rows.num_rows, rows.column_names) == (count, FEATURES)
    assert [row["image_id"] for row in load(packs, name)] == rows["image_id"][:]


def test_no_returned_bytes_contain_coordinates(packs):
    stream = load_dataset("im2gps", data_dir=str(packs), split="test", streaming=True)
    for row in stream.cast_column("image", Image(decode=False)):
        data = row["image"]["bytes"]
        assert f"{row['latitude']:.4f}".encode() not in data
        assert b"itude" not in data and b"title" not in data


def test_original_bytes_are_those_of_the_file(tmp_path):
    photo = jpeg()
    folder = pack(tmp_path, {"a.jpg": photo})
    stream = load_dataset("im2gps", data_dir=folder, split="test", streaming=True,
                          original_bytes=True)  # fmt: skip
    (row,) = stream.cast_column("image", Image(decode=False))
    assert row["image"] == {"bytes": photo, "path": "a.jpg"}


def test_labels_match_their_pictures(packs):
    with zipfile.ZipFile(packs / "gps_query_imgs.zip") as pack:
        files = {Path(name).name: pack.read(name) for name in pack.namelist()}
    for row in load(packs):
        image, place = row["image"], (row["latitude"], row["longitude"])
        (number,) = re.findall(rb"photo: (\d+)", files[row["image_id"]])
        (taken,) = re.findall(rb"datetaken: (.{19})", files[row["image_id"]])
        taken, rng = datetime.fromisoformat(taken.decode()), np.random.default_rng(int(number))
        painted = paint(*place, taken, image.size, rng)
        difference = np.asarray(painted.convert(image.mode), float) - np.asarray(image)
        assert np.abs(difference).mean() < 16  # of other places, 20 to 72


def test_the_miniature_has_what_real_photos_have(packs):
    rows = [row for name in ("im2gps", "random_2k") for row in load(packs, name)]
    images = [row["image"] for row in rows]
    assert len({image.size for image in images}) > 15
    assert max(side for image in images for side in image.size) == 48
    assert {image.mode for image in images} == {"RGB", "L", "CMYK"}
    assert {image.width > image.height for image in images} == {True, False}
    stored = [PillowImage.open(io.BytesIO(row["image"]["bytes"])) for row in raw(packs)]
    assert {photo.getexif().get(0x0112, 1) for photo in stored} == {1, 3, 6, 8}
    owners = [row["image_id"].rpartition("_")[2] for row in load(packs)]
    assert 1 < len(set(owners)) < len(owners)


def raw(folder: Path, **options):
    stream = load_dataset("im2gps", data_dir=str(folder), split="test", streaming=True, **options)
    return stream.cast_column("image", Image(decode=False))


def test_resized_photos_of_all_kinds_make_one_batch(packs):
    batches = raw(packs).map(im2gps.Resize((20, 30)), batched=True, batch_size=6)
    pixels = np.stack([row["image"] for row in batches])
    assert pixels.shape == (12, 20, 30, 3) and pixels.dtype == np.uint8


def test_unpacked_photos_load_like_the_zip(packs, tmp_path):
    for archive in packs.glob("*.zip"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(tmp_path)
    expected = sorted(load(packs), key=lambda row: row["image_id"])
    assert [r["image_id"] for r in load(tmp_path)] == [r["image_id"] for r in expected]
    assert len(load(tmp_path / "gps_query_imgs")) == 12
    assert len(load(packs / "gps_query_imgs.zip")) == 12


def test_wrong_files_and_options_are_refused(packs, tmp_path):
    with pytest.raises(ValueError, match="another pack: choose its configuration"):
        load(packs / "2k_random_test.zip")
    with pytest.raises(ValueError, match="is not a ZIP file"):
        (tmp_path / "t.csv").write_text("a", encoding="utf-8")
        load(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="coordinates= is for the configurations"):
        load(packs, coordinates=str(tmp_path / "t.csv"))
    with pytest.raises(ValueError, match="data_files= cannot be used"):
        load(packs, data_files=[str(packs / "2k_random_test.zip")])
    with pytest.raises(ValueError, match=r"no option skip_broke=\. Did you mean skip_broken=\?"):
        load(packs, skip_broke=True)
    with pytest.raises(ValueError, match="has the split test"):
        load_dataset("im2gps", data_dir=str(packs), split="tset")


def test_two_photos_of_one_name_in_folders_are_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(jpeg())
    (tmp_path / "t.csv").write_text("image_id,lat,lng\na/1.jpg,1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"1 names belong to more than one photo.*1\.jpg"):
        load(tmp_path, "photos")


def test_photos_of_another_pack_are_refused(packs, tmp_path):
    with zipfile.ZipFile(packs / "2k_random_test.zip") as file:
        file.extractall(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"should contain gps_query_imgs\.zip"):
        load(tmp_path)


def test_broken_photos_are_one_error_after_the_valid_ones(tmp_path):
    good = jpeg()
    folder = pack(
        tmp_path,
        {
            "x/good.jpg": good,
            "x/bare.jpg": jpeg(comments=[]),
            "x/cut.jpg": good[:-200],
            "x/empty.jpg": b"",
            "y/good.jpg": good,
            "x/also_good.JPG": good,
            "__MACOSX/x/._good.jpg": b"shadow",
            "Thumbs.db": b"?",
        },
    )
    stream = iter(load_dataset("im2gps", data_dir=folder, split="test", streaming=True))
    assert [next(stream)["image_id"] for _ in range(2)] == ["good.jpg", "also_good.JPG"]
    with pytest.raises(ValueError) as error:
        next(stream)
    for part in (
        "gps_query_imgs.zip", "of 6 photos, 4 unusable photos", "bare.jpg: no coord",
        "cut.jpg: the JPEG is cut", "empty.jpg: the file is empty", "good.jpg: a second photo",
        "skip_broken=True",
    ):  # fmt: skip
        assert part in str(error.value)


def test_broken_photos_are_skipped_and_counted_on_request(tmp_path, cache, caplog):
    folder = pack(tmp_path, {"good.jpg": jpeg(), "bare.jpg": jpeg(comments=[]), "a.txt": b""})
    builder = load_dataset_builder("im2gps", data_dir=folder, cache_dir=cache, skip_broken=True)
    builder.download_and_prepare()
    assert len(builder.as_dataset(split="test")) == 1
    report = json.loads(Path(builder.cache_dir, "report.json").read_text(encoding="utf-8"))
    assert report["test"]["unusable_photo"]["count"] == 1
    assert report["test"]["not_a_photo"]["first"] == ["a.txt"]
    assert "1 unusable photo (bare.jpg: no coordinates" in caplog.text


def test_errors_are_unwrapped_and_leave_no_cache(tmp_path, cache):
    folder = pack(tmp_path, {"good.jpg": jpeg(), "bare.jpg": jpeg(comments=[])})
    for _ in range(2):
        with pytest.raises(ValueError, match=r"bare\.jpg: no coordinates"):
            load_dataset("im2gps", data_dir=folder, split="test", cache_dir=cache)


@pytest.mark.parametrize("damage", [slice(0, 300), slice(0, 0)])
def test_a_cut_zip_is_an_error_that_names_it(packs, tmp_path, damage):
    data = (packs / "gps_query_imgs.zip").read_bytes()
    (tmp_path / "gps_query_imgs.zip").write_bytes(data[damage])
    with pytest.raises(ValueError, match=r"gps_query_imgs\.zip is not a valid ZIP file"):
        load(tmp_path)


def test_a_damaged_member_is_named(tmp_path):
    folder = pack(tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg("blue")})
    path = tmp_path / "gps_query_imgs.zip"
    data = bytearray(path.read_bytes())
    data[80] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.jpg: it cannot be unpacked"):
        load(folder)


def test_wrong_folders_say_what_should_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"should contain gps_query_imgs\.zip, a folder"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is an address"):
        load("https://example.org/packs")


def test_a_neighbouring_folder_is_an_error_that_names_the_right_one(packs, tmp_path):
    published = tmp_path / "hub"
    options = ["--data-dir", str(packs), "--to", str(published), "--configs", "human"]
    assert main(["publish", *options, "--include-unlicensed"]) == 0
    with pytest.raises(FileNotFoundError, match=rf'load_dataset\("{published}"\)'):
        load(published)
    (tmp_path / "high" / "im2gps").mkdir(parents=True)
    shutil.copy(packs / "gps_query_imgs.zip", tmp_path / "high" / "im2gps")
    with pytest.raises(FileNotFoundError, match='Did you mean data_dir=".*high/im2gps"'):
        load(tmp_path / "high")


def test_photos_beside_a_table_suggest_the_option(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(comments=[]))
    with pytest.raises(ValueError, match=r"skip_broken=True\.$"):
        load(tmp_path)
    (tmp_path / "truth.csv").write_text("image_id,lat,lng\na.jpg,1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r'from truth\.csv: load_dataset\("im2gps", "photos"'):
        load(tmp_path)
    assert len(load(tmp_path, "photos")) == 1


@pytest.mark.parametrize("option", ["records", "strict", "skip_broken", "original_bytes"])
def test_text_for_a_boolean_option_is_refused(packs, option):
    with pytest.raises(ValueError, match=f"{option}='no': must be True or False"):
        load(packs, **{option: "no"})
    assert len(load(packs, **{option: False})) == 12


def test_a_pack_of_fewer_photos_is_an_error_when_strict(packs, caplog):
    rows = load_dataset("im2gps", data_dir=str(packs), split="test", streaming=True)
    assert len(list(rows)) == len(list(rows)) == 12
    assert caplog.text.count("12 photos under") == 1
    with pytest.raises(ValueError, match=r"12 photos under .* set has 237 \(strict=True\)"):
        load(packs, strict=True)


def test_photos_take_their_coordinates_from_a_table(tmp_path, caplog):
    names = ["Rome_00024_231521295_0a1b_97_12@N00.jpg", "104123223_74_19_19@N00.jpg", "extra.jpg"]
    folder = pack(tmp_path, {name: jpeg(comments=[]) for name in names}, "any.zip")
    (tmp_path / "truth.csv").write_text(
        "IMG_ID,AUTHOR,LAT,LON\n231521295_0a1b_97_12@N00.jpg,x,41.5,12.25\n"
        "104123223_74_19_19@N00,y,-1.5,2\nabsent.jpg,z,0,1\n",
        encoding="utf-8",
    )
    rows = load(folder, "photos")
    assert [(r["image_id"], r["latitude"], r["longitude"]) for r in rows] == [
        (names[0], 41.5, 12.25),
        (names[1], -1.5, 2.0),
    ]
    assert "1 photo without a row in truth.csv (extra.jpg)" in caplog.text
    assert "1 row of truth.csv without a photo" in caplog.text
    with pytest.raises(ValueError, match="strict=True"):
        load(folder, "photos", strict=True)


BROKEN_ROWS = {
    "empty.jpg": "empty.jpg,,",
    "half.jpg": "half.jpg,1,",
    "text.jpg": "text.jpg,north,2",
    "nan.jpg": "nan.jpg,nan,2",
    "infinite.jpg": "infinite.jpg,1,inf",
    "far.jpg": "far.jpg,91,2",
}


def test_broken_rows_of_a_table_are_skipped_and_counted_on_request(tmp_path, caplog):
    folder = pack(tmp_path, {name: jpeg() for name in ("good.jpg", *BROKEN_ROWS)}, "any.zip")
    rows = ["good.jpg,1,2", *BROKEN_ROWS.values(), "absent.jpg,,", ",,"]
    text = "\n".join(["IMG_ID,LAT,LON", *rows])
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert [r["image_id"] for r in load(folder, "photos", skip_broken=True)] == ["good.jpg"]
    assert "6 unusable photos (empty.jpg: no coordinates in its row of" in caplog.text
    assert "1 row of t.csv without a photo (absent.jpg)" in caplog.text
    assert "1 row of t.csv without an id" in caplog.text
    with pytest.raises(ValueError, match=r"6 unusable photos.*strict=True"):
        load(folder, "photos", skip_broken=True, strict=True)


@pytest.mark.parametrize("name", BROKEN_ROWS)
def test_a_broken_row_of_a_table_is_one_error_that_names_it(tmp_path, name):
    folder = pack(tmp_path, {"good.jpg": jpeg(), name: jpeg()}, "any.zip")
    text = f"IMG_ID,LAT,LON\ngood.jpg,1,2\n{BROKEN_ROWS[name]}\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.csv: row 2, column (LAT|LON)"):
        load(folder, "photos")


def test_zeros_in_a_table_stand_for_no_place(tmp_path, caplog):
    folder = pack(tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg(), "c.jpg": jpeg()}, "any.zip")
    (tmp_path / "t.csv").write_text("IMG_ID,LAT,LON\na.jpg,0,2\nb.jpg,0,-0.0\nc.jpg,3,0\n", "utf-8")
    rows = load(folder, "photos", skip_broken=True)
    assert [r["image_id"] for r in rows] == ["a.jpg", "c.jpg"]
    assert "1 unusable photo (b.jpg: only 0, 0 in its row of t.csv" in caplog.text
    with pytest.raises(ValueError, match="b.jpg: only 0, 0 in its row of t.csv"):
        load(folder, "photos")


def test_longitudes_up_to_360_in_a_table_are_reported(tmp_path, caplog):
    folder = pack(tmp_path, {"a.jpg": jpeg()}, "any.zip")
    (tmp_path / "t.csv").write_text("IMG_ID,LAT,LON\na.jpg,1,200\n", "utf-8")
    assert load(folder, "photos")[0]["longitude"] == -160
    assert caplog.text.count("those above 180 are taken as west") == 1


def test_rows_that_fit_several_photos_are_called_ambiguous(tmp_path):
    folder = pack(tmp_path, {"a.jpg": jpeg(), "a.jpeg": jpeg()}, "any.zip")
    (tmp_path / "t.csv").write_text("IMG_ID,LAT,LON\na,1,2\n", "utf-8")
    with pytest.raises(ValueError, match=r"t\.csv: it is ambiguous .*: a could be any of a\.jp"):
        load(folder, "photos")


def test_a_photo_that_a_table_names_twice_is_an_error_that_names_the_table(tmp_path, caplog):
    folder = pack(tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg()}, "any.zip")
    text = "IMG_ID,LAT,LON\na.jpg,1,2\nb.jpg,3,4\na.jpg,1,2\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.csv: 1 duplicate id: a\.jpg"):
        load(folder, "photos")
    assert [r["image_id"] for r in load(folder, "photos", skip_broken=True)] == ["b.jpg"]
    assert "1 photo that several rows of t.csv could mean (a.jpg)" in caplog.text


def test_im2gps3k_comes_from_a_folder_filled_by_hand(tmp_path):
    folder = pack(tmp_path, {"im2gps3ktest/1_2_3_4@N00.jpg": jpeg()}, "im2gps3ktest.zip")
    (tmp_path / "im2gps3k_places365.csv").write_text(
        "IMG_ID,AUTHOR,LAT,LON,S3_Label\n1_2_3_4@N00.jpg,4@N00,10,20,0\n", encoding="utf-8"
    )
    assert [(r["latitude"], r["longitude"]) for r in load(folder, "im2gps3k")] == [(10, 20)]
    with pytest.raises(ValueError, match="fetched by hand"):
        load_dataset("im2gps", "im2gps3k")


def test_an_unclear_choice_of_table_is_an_error(tmp_path):
    folder = pack(tmp_path, {"a.jpg": jpeg()}, "any.zip")
    with pytest.raises(FileNotFoundError, match="found: none"):
        load(folder, "photos")
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("image_id,lat,lng\na.jpg,1,2\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"found: one\.csv, two\.csv"):
        load(folder, "photos")
    assert len(load(folder, "photos", coordinates=str(tmp_path / "two.csv"))) == 1


def test_a_downloaded_pack_must_contain_the_published_number(packs, cache):
    with Static(packs) as server:
        options = {"split": "test", "base_url": server.endpoint, "cache_dir": cache}
        for streaming in (False, True):
            with pytest.raises(ValueError, match="contains 12 photos, not the published 237"):
                list(load_dataset("im2gps", streaming=streaming, **options))


def test_a_pack_downloads_and_streams(tmp_path, cache):
    write_sample(tmp_path / "served", {"im2gps": 0, "human": 64}, width=400)
    options = {"name": "human", "split": "test", "cache_dir": cache}
    with Static(tmp_path / "served") as server:
        stream = load_dataset("im2gps", streaming=True, base_url=server.endpoint, **options)
        streamed = [row["image_id"] for row in stream]
        rows = load_dataset("im2gps", base_url=server.endpoint, **options)
    assert streamed == rows["image_id"][:]
    assert len(streamed) == 64


def test_streaming_reads_only_what_is_needed(tmp_path, monkeypatch):
    write_sample(tmp_path / "served", {"im2gps": 0, "human": 64}, width=900)
    size = (tmp_path / "served" / "human_geolocation_test.zip").stat().st_size
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with Static(tmp_path / "served") as server:
        stream = load_dataset("im2gps", "human", split="test", streaming=True,
                              base_url=server.endpoint)  # fmt: skip
        next(iter(stream))
        assert sum(server.sent.values()) < size - 1_500_000
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_dropped_connection_loses_nothing(tmp_path, cache, streaming, ranges):
    write_sample(tmp_path, {"im2gps": 0, "human": 64}, width=64)
    options = {"split": "test", "streaming": streaming, "cache_dir": cache}
    with Static(tmp_path, ranges=ranges) as server:
        server.drop("human_geolocation_test.zip", after=20_000)
        rows = load_dataset("im2gps", "human", base_url=server.endpoint, **options)
        assert len({row["image_id"] for row in rows}) == 64


@pytest.mark.parametrize("streaming", [True, False])
def test_an_unreachable_project_page_is_an_error_with_advice(cache, streaming):
    what_to_do = r"gps_query_imgs\.zip by other means.*data_dir="
    with pytest.raises(ConnectionError, match=what_to_do) as e:
        list(load_dataset("im2gps", split="test", streaming=streaming, cache_dir=cache,
                          base_url="http://127.0.0.1:9/"))  # fmt: skip
    assert "(Connect call failed" in str(e.value) and str(e.value).count("http://") == 1


@pytest.mark.parametrize("streaming", [True, False])
def test_a_missing_pack_is_an_error(tmp_path, cache, streaming):
    with (
        Static(tmp_path) as server,
        pytest.raises(ConnectionError, match=r"\(there is no such file\)|\(404"),
    ):
        list(load_dataset("im2gps", split="test", streaming=streaming, cache_dir=cache,
                          base_url=server.endpoint))  # fmt: skip


def test_the_sample_is_not_written_over_a_file(tmp_path, capsys):
    (tmp_path / "a.jpg").touch()
    for place in ("a.jpg", "a.jpg/below"):
        assert main(["sample", str(tmp_path / place)]) == 2
        error = capsys.readouterr().err
        assert f"{tmp_path / place} is a file or inside one" in error and "Errno" not in error


def test_a_server_without_ranges_still_streams(tmp_path):
    write_sample(tmp_path, {"im2gps": 0, "human": 64}, width=32)
    with Static(tmp_path, ranges=False) as server:
        stream = load_dataset("im2gps", "human", split="test", streaming=True,
                              base_url=server.endpoint)  # fmt: skip
        assert len(list(stream)) == 64


def test_the_miniature_is_the_same_every_time(tmp_path):
    for name in ("one", "two"):
        write_sample(tmp_path / name, {"im2gps": 3, "random_2k": 2}, width=32)
    for archive in (tmp_path / "one").iterdir():
        same = (tmp_path / "two" / archive.name).read_bytes()
        assert_same_bytes(archive.read_bytes(), same)


def test_the_builder_streams_too(packs):
    builder = im2gps.Im2GPS(data_dir=str(packs))
    assert len(list(builder.as_streaming_dataset(split="test"))) == 12
    with pytest.raises(ValueError, match="exist only as lists of Flickr ids"):
        builder.as_streaming_dataset(split="train")
