"""The sets that are fetched by hand, on miniatures in the layouts that circulate."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from datasets import Value, load_dataset

import gcd_metric.cli
from geoeval.benchmarks import open_benchmark
from im2gps.cli import main
from im2gps.sample import write_sample
from im2gps.sets import TRUTH_COLUMNS
from tests.support.shards import jpeg

COUNTS = {"im2gps3k": 5, "yfcc4k": 6, "yfcc26k": 7, "gws15k": 8}


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """A folder with all four sets; not to be changed."""
    folder = tmp_path_factory.mktemp("sets")
    nothing = dict.fromkeys(("im2gps", "random_2k", "geo_uniform", "human"), 0)
    write_sample(folder, {**nothing, **COUNTS}, width=48)
    return folder


def load(folder: Path, name: str, streaming: bool = True, **options):
    options |= {"data_dir": str(folder), "split": "test", "streaming": streaming}
    return load_dataset("im2gps", name, **options)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, header: str, *rows: str) -> None:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("im2gps3k", "im2gps3k_places365.csv", 5),
        ("yfcc4k", "yfcc4k_places365.csv", 6),
        ("yfcc26k", "yfcc25600_places365.csv", 6),
        ("gws15k", "gws15k.csv", 8),
    ],
)
def test_each_set_loads_from_a_folder_with_all_of_them(sets, cache, name, file, count):
    truth = {Path(row.get("IMG_ID") or row["path"]).name: row for row in table(sets / file)}
    rows = load(sets, name, streaming=False, cache_dir=cache)
    assert rows.num_rows == count
    for row, streamed in zip(rows, load(sets, name), strict=True):
        known = list(truth[row["image_id"]].values())
        at = 2 if "IMG_ID" in truth[row["image_id"]] else 1
        assert [row["latitude"], row["longitude"]] == [float(cell) for cell in known[at : at + 2]]
        assert (row["image"] is None) == (name == "gws15k") == (streamed["image"] is None)
        assert streamed["image_id"] == row["image_id"]


def test_missing_photos_and_other_numbers_are_reported_once(sets, caplog):
    rows = load(sets, "yfcc26k")
    assert len(list(rows)) == len(list(rows)) == 6
    assert caplog.text.count("1 row of yfcc25600_places365.csv without a photo") == 1
    assert caplog.text.count("7 rows of yfcc25600_places365.csv under") == 1
    assert "the published set has 25600" in caplog.text
    with pytest.raises(ValueError, match=r"6 photos under .* has 25600 \(strict=True\)"):
        list(load(sets, "yfcc26k", strict=True))


def test_photos_without_folders_have_an_underscore_for_each_slash(sets, tmp_path):
    shutil.copy(sets / "yfcc25600_places365.csv", tmp_path)
    shutil.copy(sets / "yfcc25600_places365.csv", tmp_path / "yfcc25600_urls.csv")
    for row in table(sets / "yfcc25600_places365.csv")[:6]:
        photo = sets / "yfcc25600" / row["IMG_ID"]
        (tmp_path / "yfcc25600").mkdir(exist_ok=True)
        shutil.copy(photo, tmp_path / "yfcc25600" / row["IMG_ID"].replace("/", "_"))
    expected = {row["latitude"] for row in load(sets, "yfcc26k")}
    assert {row["latitude"] for row in load(tmp_path, "yfcc26k")} == expected


def test_street_view_photos_of_the_user_take_their_rows(sets, tmp_path, caplog):
    shutil.copy(sets / "gws15k.csv", tmp_path)
    (tmp_path / "gws15k").mkdir()
    (tmp_path / "gws15k" / "gsv_2.jpg").write_bytes(jpeg(0))
    (row,) = load(tmp_path, "gws15k")
    assert row["image_id"] == "gsv_2.jpg" and row["image"].width > 0
    assert "7 rows of gws15k.csv without a photo" in caplog.text


@pytest.mark.parametrize("name", COUNTS)
def test_a_set_that_is_not_there_says_where_it_may_be(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name} is fetched by hand: .*(lugiavn|_urls|gtloc)"):
        load_dataset("im2gps", name)
    with pytest.raises(FileNotFoundError, match="fetched by hand"):
        list(load(tmp_path, name))


def test_columns_of_the_table_come_with_their_types(sets, cache):
    rows = load(sets, "yfcc4k", streaming=False, cache_dir=cache, columns=True)
    assert rows.column_names[4:] == list(TRUTH_COLUMNS)
    kinds = {name: rows.features[name] for name in TRUTH_COLUMNS}
    assert kinds["AUTHOR"] == Value("string") and kinds["S3_Label"] == Value("int64")
    assert kinds["Prob_urban"] == Value("float64")
    truth = {row["IMG_ID"]: row for row in table(sets / "yfcc4k_places365.csv")}
    for row in load(sets, "yfcc4k", columns=["S365_Label", "AUTHOR"]):
        known = truth[row["image_id"]]
        assert list(row)[4:] == ["S365_Label", "AUTHOR"]
        assert (row["AUTHOR"], row["S365_Label"]) == (known["AUTHOR"], int(known["S365_Label"]))


def test_cells_of_other_tables_keep_what_they_say(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(0))
    header = "image_id,lat,lng,postcode,floor,height,note"
    write(tmp_path / "t.csv", header, "a.jpg,1,2,01234,3,1.5,", "b.jpg,3,4,98765,,2,new")
    rows = [list(row.values())[4:] for row in load(tmp_path, "photos", columns=True)]
    assert rows == [["01234", 3, 1.5, None], ["98765", None, 2.0, "new"]]
    with pytest.raises(ValueError, match=r"t\.csv has no column FLOOR; it has image_id, lat"):
        load(tmp_path, "photos", columns="FLOOR")
    with pytest.raises(ValueError, match="have image_id of .* already"):
        load(tmp_path, "photos", columns=["image_id"])


def test_columns_are_refused_where_there_is_no_table(packs):
    with pytest.raises(ValueError, match=r"columns= is for the configurations with a table"):
        load(packs, "im2gps", columns=["AUTHOR"])


@pytest.mark.parametrize("skip_broken", [False, True])
def test_swapped_latitudes_and_longitudes_are_an_error(tmp_path, skip_broken):
    rows = [f"{number}.jpg,{number * 12 - 170},{number}" for number in range(29)]
    (tmp_path / "1.jpg").write_bytes(jpeg(0))
    write(tmp_path / "yfcc4k_places365.csv", "IMG_ID,LAT,LON", *rows)
    with pytest.raises(ValueError, match="latitude and longitude look swapped"):
        list(load(tmp_path, "yfcc4k", skip_broken=skip_broken))


def test_a_benchmark_passes_photographers_and_scenes_to_the_score(sets, tmp_path, capsys):
    benchmark = open_benchmark("yfcc4k", str(sets))
    (tmp_path / "photos.csv").write_bytes(benchmark.part(range(6)).table())
    files = [str(tmp_path / "photos.csv"), "--references", str(tmp_path / "photos.csv")]
    assert gcd_metric.cli.main([*files, "--by", "S3_Label", "--json"]) == 0
    printed = capsys.readouterr().out
    assert "S3_Label" in printed and "n_groups" in printed
    with pytest.raises(ValueError, match="contains no photos: gws15k is fetched by hand"):
        open_benchmark("gws15k", str(sets))


def test_the_command_writes_the_sets_on_request(tmp_path, capsys):
    options = ["--im2gps", "0", "--random-2k", "0", "--geo-uniform", "0", "--human", "0"]
    assert main(["sample", str(tmp_path), *options, "--gws15k", "3", "--width", "32"]) == 0
    assert "Wrote 3 synthetic photos in 5 packs" in capsys.readouterr().out
    assert len(table(tmp_path / "gws15k.csv")) == 3
