"""`im2gps publish` and `justzoomin publish`: through the real clients, to the loopback Hub."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import shapely
from datasets import Features, Image, Value, load_dataset
from PIL import Image as Pillow

import geoload.publishing.upload
import im2gps.cli
import justzoomin.cli
import justzoomin.publish
from gcd_metric.yaml_files import split_card
from geoload.output_folder import OutputFolder
from geoload.publishing import convert
from geoload.publishing.formats import ParquetShard, TarShard, undecoded
from im2gps.licences import LICENCES
from im2gps.photo import fields
from im2gps.sample import with_comments
from justzoomin.views import footprint, view_name
from tests.support.hub_write import OWNER, TOKEN

LOADER = Path(__file__).parent / "support" / "load_published.py"
PACKAGES = {"im2gps": im2gps.cli.main, "justzoomin": justzoomin.cli.main}


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture(scope="module")
def washington(zoom, tmp_path_factory) -> Path:
    """The miniature with rendered views: those along the path of one photo."""
    folder = tmp_path_factory.mktemp("washington")
    for path in zoom.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "views").mkdir()
    row = next(iter(load_dataset("justzoomin", "metadata", data_dir=str(zoom), split="train")))
    prefixes = [tuple(row["sequence"][:n]) for n in range(4)]
    with tarfile.open(folder / "views" / "views_384.tar", "w") as archive:
        for number, prefix in enumerate(prefixes):
            buffer = io.BytesIO()
            Pillow.new("RGB", (16, 16), (40 * number, 0, 0)).save(buffer, "JPEG")
            latitude, longitude, width = footprint(prefix)
            record = {"prefix": prefix, "latitude": latitude, "longitude": longitude}
            text = json.dumps({**record, "width_m": width}).encode()
            for suffix, data in (("jpg", buffer.getvalue()), ("json", text)):
                member = tarfile.TarInfo(f"{view_name(prefix)}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return folder


def run(package: str, *arguments: object) -> int:
    return PACKAGES[package](["publish", *map(str, arguments)])


def loaded_elsewhere(folder: Path, *sources: object) -> dict:
    """The rows that a process without this package loads from the sources."""
    folder.mkdir(parents=True)
    caches = {name: str(folder / name) for name in ("HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_CACHE")}
    environment = {**os.environ, **caches}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, str(LOADER), *map(str, sources)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("ours") == []
    return found


def of_builder(name: str, config: str, split: str, data_dir: Path) -> list[dict]:
    stream = load_dataset(name, config, split=split, data_dir=str(data_dir), streaming=True)
    for column, feature in stream.features.items():
        if isinstance(feature, Image):
            stream = stream.cast_column(column, Image(decode=False))
    return [{column: plain(value) for column, value in row.items()} for row in stream]


def plain(value):
    if isinstance(value, dict):
        return hashlib.sha256(value["bytes"]).hexdigest()
    return value


def without_geometry(rows: list[dict], ids: list[str]) -> list[dict]:
    """Rows of a published table in the order of these ids; checks the columns that it adds."""
    found = {}
    for row in rows:
        north, east = row["latitude"], row["longitude"]
        assert row.pop("geometry") == shapely.Point(east, north).wkb_hex.lower()
        assert row.pop("bbox") == {"xmin": east, "ymin": north, "xmax": east, "ymax": north}
        found[row["image_id"]] = row
    return [found[name] for name in ids]


def allowed(packs: Path, archive: str) -> set[str]:
    import zipfile

    with zipfile.ZipFile(packs / archive) as pack:
        licences = {n: fields(pack.read(n))["license"] for n in pack.namelist()}
    return {n.rpartition("/")[2] for n, text in licences.items() if text != "0"}


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (p for p in folder.rglob("*") if p.is_file() and convert.WORK not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def test_published_files_load_with_datasets_alone(hub, packs, washington, tmp_path, capsys):
    world, town = tmp_path / "world", tmp_path / "town"
    assert run("im2gps", f"{OWNER}/world", "--data-dir", packs, "--to", world,
               "--max-shard-size", "8KB") == 0  # fmt: skip
    assert run("justzoomin", f"{OWNER}/town", "--data-dir", washington, "--to", town,
               "--max-shard-size", "8KB") == 0  # fmt: skip
    assert "not requested: cells" in capsys.readouterr().out
    assert hub.is_private(f"{OWNER}/world") and hub.is_private(f"{OWNER}/town")

    expected: dict[str, list[dict]] = {}
    for config, archive in (("im2gps", "gps_query_imgs.zip"), ("random_2k", "2k_random_test.zip"),
                            ("geo_uniform", "geo_uniform_test.zip"),
                            ("human", "human_geolocation_test.zip")):  # fmt: skip
        may = allowed(packs, archive)
        rows = of_builder("im2gps", config, "test", packs)
        assert len(may) > 0 and len([r for r in rows if r["image_id"] in may]) == len(may)
        expected[f"world|{config}|test"] = [row for row in rows if row["image_id"] in may]
    for config in ("streetview", "metadata"):
        for split in ("train", "validation"):
            expected[f"town|{config}|{split}"] = of_builder("justzoomin", config, split, washington)
    expected["town|views|train"] = of_builder("justzoomin", "views", "train", washington)

    sources = {f"{OWNER}/world": "world", f"{OWNER}/town": "town", world: "world", town: "town"}
    found = loaded_elsewhere(tmp_path / "elsewhere", *sources)
    for source, name in sources.items():
        default = found.pop(f"{source}|default")
        assert [split for split, _ in default] == (
            ["test"] if name == "world" else ["train", "validation"]
        )
        assert "image" in default[0][1]
        for key in [key for key in expected if key.startswith(f"{name}|")]:
            for manner in ("streamed", "whole"):
                rows = found.pop(f"{source}|{key.partition('|')[2]}|{manner}")
                if "metadata" in key:
                    rows = without_geometry(rows, [row["image_id"] for row in expected[key]])
                assert rows == expected[key], (source, key, manner)
    assert not found
    # Several shards, and only the files of the folder.
    assert (world / "im2gps" / "test-00000-of-00002.parquet").exists()
    for name, folder in (("world", world), ("town", town)):
        sent = hub.files(f"{OWNER}/{name}")
        sent.pop(".gitattributes")
        assert sent == files_of(folder)


def test_tar_files_for_webdataset_load_the_same(washington, tmp_path):
    folder = tmp_path / "tars"
    assert run("justzoomin", "--to", folder, "--data-dir", washington, "--format", "webdataset",
               "--max-shard-size", "12KB") == 0  # fmt: skip
    found = loaded_elsewhere(tmp_path / "elsewhere", folder)
    for config, split in (("streetview", "train"), ("metadata", "validation"), ("views", "train")):
        expected = of_builder("justzoomin", config, split, washington)
        for manner in ("streamed", "whole"):
            rows = found[f"{folder}|{config}|{split}|{manner}"]
            keys = [r["__key__"] for r in rows]
            ids = [r["json"].get("image_id", f"{n:09d}") for n, r in enumerate(rows)]
            assert keys == ids or split == "train" and set(keys) == set(ids)
            whole = [{**r["json"], **({"image": r["jpg"]} if "jpg" in r else {})} for r in rows]
            wanted = [{"image" if n == "view" else n: v for n, v in r.items()} for r in expected]
            assert whole == wanted
    assert len(list((folder / "streetview").glob("train-*.tar"))) > 1


def test_photos_are_published_at_training_size(packs, washington, tmp_path, capsys):
    world, town = tmp_path / "world", tmp_path / "town"
    size = ["--image-size", 12]
    assert run("im2gps", "--to", world, "--data-dir", packs, "--configs", "im2gps", *size) == 0
    assert run("justzoomin", "--to", town, "--data-dir", washington, *size,
               "--configs", "streetview,views") == 0  # fmt: skip
    assert "photos reduced to 12 pixels, the shorter side" in capsys.readouterr().out
    for folder, config, split in ((world, "im2gps", "test"), (town, "streetview", "train")):
        rows = list(load_dataset(str(folder), config, split=split, streaming=True))
        assert rows and {min(row["image"].size) for row in rows} == {12}
        assert "photos reduced to 12 pixels" in (folder / "README.md").read_text()
    views = load_dataset(str(town), "views", split="train", streaming=True)
    assert {row["view"].size for row in views} == {(16, 16)}
    assert run("im2gps", "--to", world, "--data-dir", packs, "--image-size", 0) == 2
    assert "shorter side in pixels" in capsys.readouterr().err


def test_sample_keys_are_valid_image_ids(tmp_path):
    names = [
        "a.b/c.jpg",
        "a_b_c.JPG",
        "a.b/c.jpg",
        ".hidden",
        "x" * 300,
        "Zürich 1@N00.jpeg",
        ".jpg",
    ]
    features = Features({"image": Image(), "image_id": Value("string")})
    with open(tmp_path / "a.tar", "wb") as file:
        shard = TarShard(file, features)
        for name in names:
            shard.add({"image": {"bytes": b"\xff\xd8", "path": None}, "image_id": name})
        shard.close()
    with tarfile.open(tmp_path / "a.tar") as archive:
        found = archive.getnames()
    keys = ["a_b_c", "a_b_c_000000001", "a_b_c_000000002", "_hidden", "x" * 100, "Zürich_1@N00",
            "000000006"]  # fmt: skip
    assert found == [f"{key}.{kind}" for key in keys for kind in ("jpg", "json")]
    rows = load_dataset("webdataset", data_files=str(tmp_path / "a.tar"), split="train",
                        cache_dir=str(tmp_path / "cache"))  # fmt: skip
    assert [row["image_id"] for row in rows["json"]] == names


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
@pytest.mark.parametrize("package", PACKAGES)
def test_every_snippet_of_a_published_card_runs_with_datasets_alone(
    packs, washington, tmp_path, package, form
):
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    source = ["--data-dir", packs, "--include-unlicensed"]
    source = source if package == "im2gps" else ["--data-dir", washington]
    assert run(package, "--to", folder, "--format", form, *source) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in card.split("```python\n")[1:]]
    code = "\n".join(block for block in blocks if f"import {package}" not in block)
    assert code.count(str(folder)) == (1 if package == "im2gps" else 2)
    assert "<!-- tar" not in card and "<!-- parquet" not in card
    columns = "print(sorted((photos[0] if 'photos' in vars() else next(iter(rows)))))"
    elsewhere.mkdir()
    ours = "import sys; assert not {'im2gps', 'justzoomin', 'geoload'} & set(sys.modules)"
    # pyarrow now and then aborts while an interpreter exits that read half of a Parquet file
    end = "sys.stdout.flush(); import os; os._exit(0)"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([code, ours, columns, end])],
        cwd=elsewhere, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = ast.literal_eval(done.stdout.splitlines()[-1])
    assert all(f"`{name}`" in card for name in found)
    tar = ["__key__", "__url__", "jpg", "json"]
    assert (found == tar) is (form == "webdataset")
    assert ("The files are TAR archives" in card) is (form == "webdataset")


def test_attributions_are_in_a_separate_file(packs, tmp_path):
    folder = tmp_path / "world"
    assert run("im2gps", "--to", folder, "--data-dir", packs, "--configs", "im2gps") == 0
    with open(folder / "im2gps" / "attribution.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = load_dataset(str(folder), split="test").cast_column("image", Image(decode=False))
    assert [line["image_id"] for line in lines] == rows["image_id"][:]
    names = {licence.name for licence in LICENCES.values() if licence.redistributable}
    counts = Counter(line["licence"] for line in lines)
    overview = (folder / "LICENSES.md").read_text()
    assert all(f"| `im2gps` | {name} | {n} | <https://" in overview for name, n in counts.items())
    for line in lines:
        photo = line["image_id"].rpartition("_")[0].split("_")[-3]
        assert line["owner"].encode() in line["image_id"].encode() and line["licence"] in names
        assert line["link"] == f"https://www.flickr.com/photos/{line['owner']}/{photo}/"
        assert line["title"].endswith("latitude: unknown")
        assert line["licence_link"].startswith("https://")
    for row in rows:
        data = row["image"]["bytes"]
        assert b"latitude" not in data and b"owner" not in data
        with Pillow.open(io.BytesIO(data)) as picture:
            # The orientation, which is needed to show the picture, is kept.
            assert set(picture.getexif()) <= {0x0112} and "comment" not in picture.info
    assert rows.column_names == ["image", "image_id", "latitude", "longitude"]


def test_licences_of_earlier_configurations_stay(hub, packs, washington, tmp_path):
    source = ["--data-dir", washington, "--configs"]
    where = [f"{OWNER}/licences", "--to", tmp_path / "out"]
    assert run("justzoomin", *where, *source, "metadata") == 0
    sent = hub.files(f"{OWNER}/licences")["LICENSES.md"].decode()
    hub.put(f"{OWNER}/licences", "LICENSES.md", f"{sent}[click](http://evil)\n".encode())
    assert run("justzoomin", *where, *source, "views") == 0
    text = hub.files(f"{OWNER}/licences")["LICENSES.md"].decode()
    assert "evil" not in text and "| `views` | CC BY 4.0 | 4 | <https://" in text
    rows = sum(map(len, load_dataset(f"{tmp_path}/out", "metadata").values()))
    assert f"| `metadata` | CC BY-SA 4.0 | {rows:,} | <https://" in text


def test_files_of_others_among_published_ones_are_not_described(washington, tmp_path):
    where = ["--to", tmp_path / "out", "--data-dir", washington, "--configs"]
    assert run("justzoomin", *where, "metadata") == 0
    (tmp_path / "out" / "metadata" / "mine").mkdir()
    (tmp_path / "out" / "metadata" / ".DS_Store").write_text("mine", encoding="utf-8")
    assert run("justzoomin", *where, "views") == 0
    described = json.loads((tmp_path / "out" / "croissant.json").read_text(encoding="utf-8"))
    names = {one["name"] for one in described["distribution"]}
    assert "metadata/train-00000-of-00001.parquet" in names and "mine" not in str(names)
    assert "metadata/.DS_Store" not in names


@pytest.fixture
def odd(tmp_path) -> Path:
    """Photos of one's own: a free one, one without a licence, one with two, an unknown number."""
    folder = tmp_path / "odd"
    folder.mkdir()
    buffer = io.BytesIO()
    Pillow.new("RGB", (16, 16)).save(buffer, "JPEG")
    comments = {"free": [b"license: 4", b'title: =HYPERLINK("http://x")'], "none": [],
                "two": [b"license: 4", b"license: 0"], "new": [b"license: 99"],
                "title": [b"title: x\nlicense: 4"]}  # fmt: skip
    for name, lines in comments.items():
        (folder / f"{name}.jpg").write_bytes(with_comments(buffer.getvalue(), lines))
    rows = "".join(f"{name}.jpg,1,2\n" for name in comments)
    (folder / "truth.csv").write_text(f"IMG_ID,LAT,LON\n{rows}")
    return folder


def test_an_uncertain_licence_is_unknown(odd, tmp_path, capsys):
    arguments = ["--data-dir", odd, "--configs", "photos"]
    assert run("im2gps", "--to", tmp_path / "a", *arguments) == 0
    assert load_dataset(str(tmp_path / "a"), split="test")["image_id"][:] == ["free.jpg"]
    assert "4 rows left out: under an unknown licence" in capsys.readouterr().out
    assert "4 under an unknown licence" in (tmp_path / "a" / "README.md").read_text()
    table = (tmp_path / "a" / "photos" / "attribution.csv").read_text()
    assert "'=HYPERLINK" in table and ',"=HYPERLINK' not in table

    assert run("im2gps", "--to", tmp_path / "b", *arguments, "--include-unlicensed") == 0
    assert len(load_dataset(str(tmp_path / "b"), split="test")) == 5
    assert "must stay private" in (tmp_path / "b" / "README.md").read_text()


def test_restricted_photos_are_never_published_publicly(hub, odd, packs, tmp_path, capsys):
    arguments = ["--data-dir", odd, "--configs", "photos", "--to", tmp_path / "x"]
    everything = [f"{OWNER}/open", *arguments, "--include-unlicensed"]
    assert run("im2gps", *everything, "--public") == 2
    assert "leave out --public" in capsys.readouterr().err
    assert run("im2gps", f"{OWNER}/open", *arguments, "--public") == 0
    assert not hub.is_private(f"{OWNER}/open")
    assert run("im2gps", *everything) == 2
    assert "is public" in capsys.readouterr().err
    # The default is private, and an existing public repository is refused.
    assert run("im2gps", f"{OWNER}/open", *arguments) == 2
    assert "give --public" in capsys.readouterr().err
    assert len(load_dataset(f"{OWNER}/open", split="test")) == 1


def test_a_killed_upload_sends_only_missing_files(hub, zoom, tmp_path):
    arguments = ["publish", f"{OWNER}/killed", "--data-dir", str(zoom), "--configs", "streetview",
                 "--to", str(tmp_path / "out"), "--max-shard-size", "4KB"]  # fmt: skip
    hub.forget()
    hold = hub.hold(after=20_000)
    client = subprocess.Popen([sys.executable, "-m", "justzoomin", *arguments], cwd=tmp_path)
    assert hold.reached.wait(120)
    client.kill()
    client.wait()
    hold.released.set()
    assert list(hub.files(f"{OWNER}/killed")) == [".gitattributes"]

    hub.forget()
    assert justzoomin.cli.main(arguments) == 0
    files = files_of(tmp_path / "out")
    shards = {hashlib.sha256(d).hexdigest(): len(d) for n, d in files.items() if "parquet" in n}
    arrived = set(hub.present)
    assert len(shards) > 5 and arrived and arrived < set(shards)
    assert dict(hub.received) == {d: n for d, n in shards.items() if d not in arrived}

    hub.forget()
    commits = hub.commits(f"{OWNER}/killed")
    assert justzoomin.cli.main(arguments) == 0
    assert not hub.received and hub.commits(f"{OWNER}/killed") == commits


def test_an_unfinished_upload_does_not_load(hub, packs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(geoload.publishing.upload, "COMMIT_FILES", 1)
    where = ["--data-dir", packs, "--to", tmp_path / "out"]
    assert run("im2gps", *where, "--configs", "human") == 0
    (shard,) = (tmp_path / "out" / "human").glob("test-*.parquet")
    assert run("im2gps", f"{OWNER}/half", *where, "--configs", "geo_uniform") == 0

    hub.fail(hashlib.sha256(shard.read_bytes()).hexdigest(), 400, method="PUT")
    assert run("im2gps", f"{OWNER}/half", *where, "--configs", "im2gps,human") == 2
    assert "refuses to send" in capsys.readouterr().err
    sent = hub.files(f"{OWNER}/half")
    assert any(name.startswith("im2gps/") for name in sent)
    card, _ = split_card(sent["README.md"].decode())
    assert [one["config_name"] for one in card["configs"]] == ["geo_uniform"]
    assert "not finished" in sent["README.md"].decode()

    hub.forget()
    assert run("im2gps", f"{OWNER}/half", *where, "--configs", "im2gps,human") == 0
    (table,) = shard.parent.glob("photos.parquet")
    assert list(hub.received.values()) == [shard.stat().st_size, table.stat().st_size]
    card, text = split_card(hub.files(f"{OWNER}/half")["README.md"].decode())
    names = [one["config_name"] for one in card["configs"]]
    assert sorted(names) == ["geo_uniform", "human", "im2gps"] and "not finished" not in text
    assert {i["config_name"] for i in card["dataset_info"]} == set(names)
    assert all(f"| `{name}` | test |" in text for name in names)


def test_the_card_of_an_unfinished_repository_says_so(hub, packs, tmp_path):
    arguments = [f"{OWNER}/new", "--data-dir", packs, "--to", tmp_path / "out"]
    arguments += ["--configs", "human"]
    hub.fail("/commit/main", 500, times=1, method="POST")
    assert run("im2gps", *arguments) == 2
    # The first commit arrives, the second, with the card, does not.
    hub.skip_then_fail("/commit/main", 1, 500)
    assert run("im2gps", *arguments) == 2
    with pytest.raises((FileNotFoundError, ValueError), match="UPLOAD-NOT-FINISHED"):
        load_dataset(f"{OWNER}/new")
    assert run("im2gps", *arguments) == 0
    assert len(load_dataset(f"{OWNER}/new", split="test")) > 0


def test_shards_of_an_earlier_publication_are_removed_and_nothing_else(hub, zoom, tmp_path):
    arguments = [f"{OWNER}/again", "--data-dir", zoom, "--configs", "streetview"]
    assert run("justzoomin", *arguments, "--to", tmp_path / "a", "--max-shard-size", "4KB") == 0
    before = set(hub.files(f"{OWNER}/again"))
    hub.put(f"{OWNER}/again", "mine/notes.txt", b"mine")
    assert run("justzoomin", *arguments, "--to", tmp_path / "b") == 0
    after = set(hub.files(f"{OWNER}/again"))
    assert "streetview/train-00000-of-00001.parquet" in after and "mine/notes.txt" in after
    assert {n for n in before & after if n.endswith("parquet")} == {"streetview/photos.parquet"}


def street_split(zoom: Path, screen) -> convert.Split:
    builder = justzoomin.JustZoomIn(config_name="streetview", data_dir=str(zoom))
    stream = undecoded(builder.as_streaming_dataset(split="train"), builder.info.features)
    return convert.Split(
        "streetview", "train", builder.info.features, builder.config_id, stream, screen
    )


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_a_conversion_continues_where_it_was_stopped(zoom, tmp_path, capsys, form):
    seen: list[str] = []

    def screen(stop: int):
        def see(row):
            seen.append(row["image_id"])
            if len(seen) == stop:
                raise KeyboardInterrupt
            return convert.Screened(row, credit={"image_id": row["image_id"]})

        return see

    def written(folder: Path, stop: int):
        seen.clear()
        split = street_split(zoom, screen(stop))
        with OutputFolder(folder) as out:
            return convert.Conversion(split, out, form, 6_000).run()

    whole = written(tmp_path / "a", 0)
    everything = list(seen)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "b", 25)
    assert not list((tmp_path / "b").glob("streetview/*")), "half must not look whole"
    assert written(tmp_path / "b", 0).shards == whole.shards
    assert "continuing after" in capsys.readouterr().out
    assert 0 < len(seen) < len(everything) and everything[-len(seen) :] == seen
    for folder in ("a", "b"):
        with OutputFolder(tmp_path / folder) as out:
            lines = convert.credit_lines(out, "streetview", ["train"])
            convert.write_attribution(out, "streetview", lines)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    written(tmp_path / "b", 1)
    assert not seen, "what is whole is not read again"


def test_a_changed_source_restarts_the_conversion(tmp_path, capsys):
    mini, out = tmp_path / "mini", tmp_path / "out"
    arguments = ["--data-dir", mini, "--to", out, "--configs", "metadata"]
    for seed, train in ((0, 8), (1, 9)):
        justzoomin.sample.write_sample(mini, train, 2, shards=1, width=16, seed=seed)
        assert run("justzoomin", *arguments) == 0
    assert "have changed: starting again" in capsys.readouterr().out
    rows = load_dataset(str(out), "metadata", split="train", cache_dir=str(tmp_path / "c"))
    assert len(rows) == 9


@pytest.mark.parametrize("damage", ["cut", "overwritten", "removed", "credits", "manifest"])
def test_a_changed_published_file_is_reported_and_written_again(packs, tmp_path, capsys, damage):
    out = tmp_path / "out"
    arguments = ["--data-dir", packs, "--to", out, "--configs", "human", "--include-unlicensed"]
    assert run("im2gps", *arguments) == 0
    before = files_of(out)
    (shard,) = (out / "human").glob("test-*")
    parts = [out / "README.md.part", out / "human" / "attribution.csv.part"]
    for path in parts:
        path.write_bytes(b"mine")
    (credits,) = (out / convert.WORK / "human" / "test").glob("*.credits")
    stat, data = shard.stat(), shard.read_bytes()
    # It could be a file of another program.
    foreign = shard.with_name("test-00001-of-00009.parquet")
    foreign.write_bytes(b"mine")
    if damage == "cut":
        shard.write_bytes(data[:-1])
    elif damage == "overwritten":
        shard.write_bytes(data[:2000] + bytes(400) + data[2400:])
        os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif damage == "removed":
        shard.unlink()
    elif damage == "credits":
        credits.write_bytes(credits.read_bytes().replace(b"N03", b"N04"))
    else:
        (out / convert.WORK / "human" / "test.json").write_text("{", encoding="utf-8")
    capsys.readouterr()
    assert run("im2gps", *arguments, "--dry-run") == 0
    assert run("im2gps", *arguments) == 0
    said = capsys.readouterr().out
    name = {"credits": credits.name, "manifest": "test.json"}.get(damage, shard.name)
    assert f"human, test: {name} changed or removed since it was written: starting again" in said
    for path in (foreign, *parts):
        assert path.read_bytes() == b"mine"
        path.unlink()
    assert files_of(out) == before


def test_a_dry_run_writes_and_sends_nothing(hub, packs, zoom, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    hub.forget()
    out = tmp_path / "out"
    assert run("im2gps", f"{OWNER}/dry", "--data-dir", packs, "--to", out, "--dry-run") == 0
    text = capsys.readouterr().out
    count = len(allowed(packs, "gps_query_imgs.zip"))
    assert f"im2gps, test: {count} rows" in text
    assert f"{12 - count} all rights reserved" in text and "only you can" in text
    assert run("justzoomin", f"{OWNER}/dry", "--data-dir", zoom, "--dry-run", "--public") == 0
    text = capsys.readouterr().out
    assert "streetview, train: about 40 rows" in text and "everybody can read" in text
    assert not out.exists() and not any(OWNER in request.path for request in hub.requests)


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("justzoomin", ["--to", "{tmp}/x", "--configs", "zoom"], "zoom is not stored"),
        ("justzoomin", ["--to", "{tmp}/x", "--configs", "views"], "render it once"),
        ("justzoomin", ["--to", "{tmp}/x", "--configs", "street"], "street"),
        ("justzoomin", [], "Name a repository"),
        ("justzoomin", ["a/b/c"], "is not a repository name"),
        ("justzoomin", ["stranger/theirs", "--configs", "metadata"], "Is this your repository"),
        ("justzoomin", ["--to", "{zoom}"], "did not write"),
    ],
)
def test_an_error_is_one_line(hub, zoom, tmp_path, capsys, package, arguments,
                                               message):  # fmt: skip
    given = [text.format(tmp=tmp_path, zoom=zoom) for text in arguments]
    assert run(package, *given, "--data-dir", zoom) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_two_formats_do_not_go_into_one_repository(zoom, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--to", out, "--data-dir", zoom, "--configs"]
    assert run("justzoomin", *arguments, "metadata,streetview") == 0
    before = files_of(out)
    assert run("justzoomin", *arguments, "metadata", "--format", "webdataset") == 2
    assert "one format" in capsys.readouterr().err and files_of(out) == before
    assert run("justzoomin", *arguments, "metadata,streetview", "--format", "webdataset") == 0
    assert not list(out.rglob("*.parquet"))


def test_a_missing_login_is_an_error_with_advice(hub, zoom, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert run("justzoomin", f"{OWNER}/x", "--data-dir", zoom) == 2
    assert "hf auth login" in capsys.readouterr().err


def test_another_run_in_the_same_folder_is_refused(zoom, tmp_path, capsys):
    out = tmp_path / "out"
    (out / convert.WORK).mkdir(parents=True)
    with OutputFolder(out) as locked:
        locked.lock()
        assert run("justzoomin", "--to", out, "--data-dir", zoom) == 2
    assert "Another process is writing into" in capsys.readouterr().err


def test_row_groups_are_small_enough_for_a_viewer(tmp_path):
    import pyarrow.parquet as pq

    mini, out = tmp_path / "mini", tmp_path / "out"
    justzoomin.sample.write_sample(mini, 250, 1, shards=1, width=8)
    assert run("justzoomin", "--to", out, "--data-dir", mini) == 0
    file = pq.ParquetFile(out / "streetview" / "train-00000-of-00001.parquet")
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    sizes = [group.num_rows for group in groups]
    assert sum(sizes) == 250 and min(sizes[:-1]) >= 50 and max(sizes) <= 100
    assert groups[0].column(0).has_column_index
    # datasets 3 knows no other name for lists.
    stated = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert stated["sequence"]["_type"] == "Sequence"


def test_one_changed_row_leaves_the_other_chunks(tmp_path):
    """The client of Xet cuts the files into chunks, and counts those that its store has."""
    hf_xet = pytest.importorskip("hf_xet")
    features = Features({"image": Image(), "image_id": Value("string"),
                         "latitude": Value("float64"), "longitude": Value("float64")})  # fmt: skip
    random = np.random.default_rng(0)

    def photo(number: int) -> dict:
        data = random.bytes(random.integers(5_000, 30_000))
        north, east = random.uniform(-90, 90, 2).round(6).tolist()
        return {"image": {"bytes": data, "path": None}, "image_id": f"{number}.jpg",
                "latitude": north, "longitude": east}  # fmt: skip

    rows = [photo(number) for number in range(2_000)]
    new, place = photo(2_000), 700
    changes = {"changed": [*rows[:place], new, *rows[place + 1 :]],
               "removed": [*rows[:place], *rows[place + 1 :]],
               "added": [*rows[:place], new, *rows[place:]]}  # fmt: skip

    def stored(rows: list[dict], folder: Path):
        buffer = io.BytesIO()
        shard = ParquetShard(buffer, features)
        for row in rows:
            shard.add(row)
        shard.close()
        commit = hf_xet.XetSession().new_upload_commit(endpoint=f"local://{folder}")
        commit.start_upload_bytes(buffer.getvalue())
        return commit.wait_to_finish().dedup_metrics

    for change, again in changes.items():
        assert stored(rows, tmp_path / change).deduped_chunks == 0
        found = stored(again, tmp_path / change)
        shared = found.deduped_chunks / found.total_chunks
        print(f"one of 2,000 rows {change}: {shared:.1%} of {found.total_chunks} chunks shared")
        assert shared >= 0.95 and found.total_chunks > 400


def test_zoom_views_are_made_as_the_card_says(washington, tmp_path):
    out = tmp_path / "out"
    configs = ["--configs", "views,metadata"]
    assert run("justzoomin", "--to", out, "--data-dir", washington, *configs) == 0
    card = (out / "README.md").read_text(encoding="utf-8")
    code = next(b.partition("```")[0] for b in card.split("```python\n") if "zoom_path" in b)
    (tmp_path / "elsewhere").mkdir()
    script = code + "\nimport json, sys\nprint([p.getpixel((0, 0))[0] for p in zoom_path(" \
        "json.loads(sys.argv[1]))])\n"  # fmt: skip
    row = next(iter(load_dataset("justzoomin", "metadata", data_dir=str(washington),
                                 split="train")))  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script, json.dumps(row["sequence"])],
                          cwd=tmp_path / "elsewhere", capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.allclose(json.loads(done.stdout), [0, 40, 80, 120], atol=3)


def test_white_views_are_published_and_counted(washington, tmp_path, capsys):
    """Two views were rendered without any tile, and command and card print their number."""
    folder = tmp_path / "some"
    (folder / "views").mkdir(parents=True)
    shard = folder / "views" / "views_384.tar"
    with tarfile.open(washington / "views" / "views_384.tar") as archive:
        content = [(m.name, archive.extractfile(m).read()) for m in archive]
    with tarfile.open(shard, "w") as archive:
        for number, (name, data) in enumerate(content):
            if name.endswith(".json") and number < 4:
                data = json.dumps({**json.loads(data), "tiles": 9, "tiles_missing": 9}).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    where = ["--data-dir", folder, "--to", tmp_path / "out", "--configs", "views"]
    for _ in range(2):  # the same output when run again from the manifest
        assert run("justzoomin", *where) == 0
        said = "2 white views without any tile"
        assert f"views: {said}" in capsys.readouterr().out
        card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        assert f"none; {said} |" in card
    rows = load_dataset(str(tmp_path / "out"), "views", split="train", cache_dir=str(tmp_path))
    assert sum(rows["white"]) == 2


@pytest.mark.parametrize("folder", [f"{convert.WORK}/streetview", "streetview"])
def test_a_folder_replaced_by_a_link_is_not_written(zoom, tmp_path, monkeypatch, capsys, folder):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    rows = iter(range(100))

    def screen(row):
        if next(rows) == 25:  # after some shards
            link = out / folder
            if link.exists():
                link.rename(tmp_path / "aside")
            link.symlink_to(elsewhere)
        return convert.Screened(row)

    monkeypatch.setattr(justzoomin.publish, "screen", screen)
    arguments = ["--data-dir", zoom, "--configs", "streetview", "--max-shard-size", "6KB"]
    assert run("justzoomin", "--to", out, *arguments) == 2
    assert str(out / folder) in capsys.readouterr().err
    assert not list(elsewhere.rglob("*"))
