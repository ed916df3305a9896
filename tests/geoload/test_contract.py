"""What this package needs of `datasets`; these tests run with every supported version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from datasets import (
    get_dataset_config_names,
    get_dataset_default_config_name,
    get_dataset_split_names,
    load_dataset,
    load_dataset_builder,
)
from packaging.version import Version

import im2gps
import justzoomin
import justzoomin.sample
from tests.support.forked import Forks, needs_fork

ROOT = Path(im2gps.__file__).parents[1]
SCRIPTS = Version(datasets.__version__) < Version("4")


def test_configurations_and_splits_are_listed(zoom):
    assert get_dataset_config_names("im2gps")[0] == "im2gps"
    assert get_dataset_config_names("justzoomin")[:2] == ["streetview", "metadata"]
    assert get_dataset_default_config_name("justzoomin") == "streetview"
    assert get_dataset_split_names("im2gps") == ["test"]
    assert get_dataset_split_names("justzoomin", data_dir=str(zoom)) == ["train", "validation"]


def test_loads_both_ways_with_processes(packs, zoom, cache):
    rows = load_dataset("im2gps", data_dir=str(packs), split="test", cache_dir=cache)
    streamed = load_dataset("im2gps", data_dir=str(packs), split="test", streaming=True)
    assert list(rows["image_id"]) == [row["image_id"] for row in streamed]
    one = load_dataset("justzoomin", data_dir=str(zoom), cache_dir=cache, num_proc=2)
    assert {split: len(rows) for split, rows in one.items()} == {"train": 40, "validation": 10}


def test_other_names_are_passed_to_datasets(tmp_path, cache):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert load_dataset("csv", data_dir=str(tmp_path), cache_dir=cache)["train"][0] == {
        "a": 1,
        "b": 2,
    }


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Im2GPS", '"im2gps"'),
        ("IM2GPS", '"im2gps"'),
        ("im2_gps", '"im2gps"'),
        ("im2gps3k", '"im2gps", "im2gps3k"'),
        ("im2gps-3k", '"im2gps", "im2gps3k"'),
        ("Im2GPS3k", '"im2gps", "im2gps3k"'),
        ("im2gps_im2gps3k", '"im2gps", "im2gps3k"'),
        ("im2gps_random_2k", '"im2gps", "random_2k"'),
        ("just_zoom_in", '"justzoomin"'),
        ("JustZoomIn", '"justzoomin"'),
        ("just-zoom-in", '"justzoomin"'),
        ("justzoom", '"justzoomin"'),
        ("justzoomin-satellite", '"justzoomin", "satellite"'),
    ],
)
def test_a_misspelt_name_suggests_the_right_one(name, meant, hub):
    asked = len(hub.requests)
    for find in (load_dataset, load_dataset_builder, get_dataset_config_names):
        with pytest.raises(FileNotFoundError, match=rf"did you mean load_dataset\({meant}\)\?"):
            find(name)
    assert len(hub.requests) == asked


def test_folders_and_repositories_are_passed_to_datasets(tmp_path, monkeypatch, cache, hub):
    monkeypatch.chdir(tmp_path)
    for name in ("Im2GPS", "just_zoom_in"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
        assert load_dataset(name, cache_dir=cache)["train"][0] == {"a": 1, "b": 2}
    for name in ("someone/Im2GPS", "views", "photos", "human", "squad", "zoom", "streetview"):
        asked = len(hub.requests)
        with pytest.raises(Exception, match="on the Hub|Hub|exist"):
            load_dataset(name, cache_dir=cache)
        assert len(hub.requests) > asked


def test_builder_classes_need_no_registration(packs, cache):
    builder = im2gps.Im2GPS(data_dir=str(packs), cache_dir=cache)
    builder.download_and_prepare()
    assert len(builder.as_dataset(split="test")) == 12
    assert str(builder.info.version) == str(justzoomin.JustZoomIn.VERSION) == "1.0.0"


LOADING = """
import json, sys
import im2gps, justzoomin
from datasets import load_dataset, load_dataset_builder
packs, zoom = sys.argv[1:]
rows = load_dataset("im2gps", data_dir=packs, split="test")
stream = load_dataset("justzoomin", data_dir=zoom, split="train", streaming=True)
key = load_dataset_builder("im2gps", data_dir=packs).cache_dir
print(json.dumps([len(rows), next(iter(stream))["image_id"], key]))
"""


@needs_fork
def test_the_current_folder_does_not_matter(packs, zoom, tmp_path):
    empty, crowded, shadow = (tmp_path / name for name in ("empty", "crowded", "shadow"))
    for folder in (empty, crowded, shadow / "im2gps", shadow / "justzoomin"):
        folder.mkdir(parents=True)
    for i in range(3000):
        (crowded / f"{i}.jpg").touch()
    (shadow / "im2gps" / "rows.csv").write_text("a\n1\n", encoding="utf-8")
    with Forks(["datasets"]) as forks:
        folders = empty, crowded, shadow, ROOT
        said = [forks.run(LOADING, str(packs), str(zoom), folder=folder) for folder in folders]
    assert [done.code for done in said] == [0] * 4, said
    found = [json.loads(done.out.splitlines()[-1]) for done in said]
    assert found[0][0] == 12
    assert found == [found[0]] * 4


def test_a_relative_data_dir_is_keyed_by_its_absolute_path(tmp_path, monkeypatch, cache):
    counts = []
    for name, photos in (("one", 3), ("two", 5)):
        justzoomin.sample.write_sample(tmp_path / name / "data", photos, 2, shards=1, width=16)
        monkeypatch.chdir(tmp_path / name)
        counts.append(len(load_dataset("justzoomin", data_dir="data", cache_dir=cache)["train"]))
    assert counts == [3, 5]


def test_a_changed_photo_gives_new_rows(tmp_path, cache):
    from im2gps.sample import write_sample

    arguments = {"data_dir": str(tmp_path / "packs"), "split": "test", "cache_dir": cache}
    write_sample(tmp_path / "packs", {"im2gps": 3}, width=32)
    before = load_dataset("im2gps", **arguments)["latitude"][:]
    again = load_dataset_builder("im2gps", data_dir=arguments["data_dir"], cache_dir=cache)
    assert os.path.isdir(again.cache_dir)
    write_sample(tmp_path / "packs", {"im2gps": 3}, width=32, seed=1)
    after = load_dataset("im2gps", **arguments)["latitude"][:]
    assert before != after


def test_a_changed_file_of_equal_size_and_time_gives_new_rows(tmp_path, cache):
    justzoomin.sample.write_sample(tmp_path / "data", 3, 2, shards=1, width=16)
    table = tmp_path / "data" / "metadata" / "large_area_train_map.csv"
    arguments = {"data_dir": str(tmp_path / "data"), "split": "train", "cache_dir": cache}
    before = load_dataset("justzoomin", "metadata", **arguments)["latitude"][:]
    stat, text = table.stat(), table.read_text(encoding="utf-8")
    table.write_text(text.replace("38.", "39."), encoding="utf-8")
    os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = load_dataset("justzoomin", "metadata", **arguments)["latitude"][:]
    assert [round(b - a) for a, b in zip(before, after, strict=True)] == [1, 1, 1]


def test_a_new_rows_version_or_new_code_gives_new_rows(packs, cache, monkeypatch):
    def key() -> str:
        return load_dataset_builder("im2gps", data_dir=str(packs), cache_dir=cache).cache_dir

    before = key()
    assert key() == before
    with monkeypatch.context() as patch:
        patch.setattr(im2gps.Im2GPSConfig, "ROWS_VERSION", -1)
        assert key() != before
    monkeypatch.setattr(im2gps.Im2GPSConfig, "ROW_MODULES", ("geoload.tar",))
    assert key() != before


def test_a_training_split_is_refused_before_any_download(cache):
    # Nothing listens there, so that whatever tries to download fails with another error.
    nowhere = "http://127.0.0.1:9/"
    for options in ({}, {"streaming": True}):
        for split in ("train", "train[:10]", ["train"], datasets.Split.TRAIN):
            with pytest.raises(ValueError, match="exist only as lists of Flickr ids"):
                load_dataset("im2gps", split=split, base_url=nowhere, cache_dir=cache, **options)


def test_a_revision_reaches_the_builder_or_is_refused():
    commit = "1" * 40
    builder = load_dataset_builder("justzoomin", "metadata", revision=commit)
    assert builder.config.revision == commit
    with pytest.raises(ValueError, match="im2gps has no revisions but for 'osv5m'"):
        load_dataset_builder("im2gps", revision="v2")
    assert load_dataset_builder("im2gps", revision="main").config.name == "im2gps"


@pytest.mark.skipif(not SCRIPTS, reason="datasets 4 refuses loading scripts")
def test_the_builder_file_is_a_loading_script_on_datasets_3(packs, zoom, cache):
    options = {"trust_remote_code": True, "cache_dir": cache}
    rows = load_dataset(str(ROOT / "im2gps"), data_dir=str(packs), split="test", **options)
    assert len(rows) == 12
    rows = load_dataset(str(ROOT / "justzoomin"), data_dir=str(zoom), split="train", **options)
    assert len(rows) == 40


@pytest.mark.skipif(SCRIPTS, reason="datasets 3 still runs loading scripts")
def test_without_our_import_datasets_refuses_the_script(packs, tmp_path):
    code = f"import datasets; datasets.load_dataset({str(ROOT / 'im2gps')!r})"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "scripts are no longer supported" in result.stderr


# Both orders of imports, and an open stream when Python ends, which must not print an error.
STREAMING = """
import sys
{imports}
streams = [
    iter(datasets.load_dataset(name, data_dir=folder, split=split, streaming=True))
    for name, folder, split in zip(("im2gps", "justzoomin"), sys.argv[1:], ("test", "train"))
]
print([len(next(stream)) for stream in streams])
"""


@pytest.mark.parametrize("imports", ["import im2gps, justzoomin, datasets",
                                     "import datasets, im2gps, justzoomin"])  # fmt: skip
def test_names_are_registered_whichever_is_imported_first(imports, packs, zoom):
    code = [sys.executable, "-c", STREAMING.format(imports=imports), str(packs), str(zoom)]
    done = subprocess.run(code, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "[4, 5]\n"
    assert "Error" not in done.stderr and "Exception" not in done.stderr


def test_a_command_does_not_wait_for_datasets():
    code = "import sys, im2gps.cli; sys.argv = ['im2gps', 'lists', '--help']; im2gps.cli.main()"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True,
                          text=True, check=False, cwd=ROOT)  # fmt: skip
    assert "photos.parquet" in done.stdout
    assert not {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} & {
        "datasets", "torch", "evaluate", "pandas"
    }  # fmt: skip
