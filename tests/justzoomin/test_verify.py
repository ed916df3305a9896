"""`justzoomin verify` finds and names each kind of damage, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from justzoomin.cli import main
from tests.support.shards import rewrite

IMAGES = Path("streetview", "images")


@pytest.fixture(scope="module")
def whole(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature, extracted; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["extract", str(folder), "--data-dir", str(city)]) == 0
    return folder


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy of the extracted miniature, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "out", symlinks=True))


def findings(folder: Path, *options: object) -> tuple[int, dict[str, list[str]]]:
    """The status, and the names of findings by kind."""
    file = folder.parent / "findings.json"
    status = main(["verify", str(folder), *map(str, options), "--json", str(file)])
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["whole"] is (status == 0) is (not found["wrong"])
    assert all(entry["count"] == len(entry["names"]) for entry in found["wrong"].values())
    return status, {kind: entry["names"] for kind, entry in found["wrong"].items()}


def photos(folder: Path) -> list[Path]:
    return sorted((folder / IMAGES).iterdir())


def tiles(folder: Path) -> list[Path]:
    return sorted((folder / "satellite" / "-7").rglob("*.jpg"))


def name(path: Path) -> str:
    return "/".join(path.parts[-3 if "images" in path.parts else -4 :])


def id_of(path: Path) -> str:
    return path.name.removesuffix("_undistorted.jpg")


def overwrite(path: Path, start: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(start, 0 if start >= 0 else 2)
        file.write(data)


# Whole


@pytest.mark.parametrize("deep", [[], ["--deep"]])
def test_a_complete_folder_has_no_findings(city, whole, capsys, deep):
    assert main(["verify", str(whole), "--data-dir", str(city), *deep]) == 0
    printed = capsys.readouterr().out
    lines = {line[:20].strip(): line[20:].split() for line in printed.splitlines()}
    assert lines["photos of train"] == ["40", "40"]
    assert lines["photos of validation"] == ["10", "10"]
    assert lines["tiles of level -5"] == ["289", "289"]
    assert printed.rstrip().endswith("Nothing is wrong.")
    assert main(["verify", str(whole), *deep]) == 0
    assert main(["verify", str(city), *deep]) == 0


def test_verify_changes_nothing(city, whole):
    def state() -> dict:
        return {path: path.lstat().st_mtime_ns for path in [whole, *whole.rglob("*")]}

    before = state()
    main(["verify", str(whole), "--data-dir", str(city), "--deep"])
    assert state() == before


def test_verify_against_the_hub_downloads_no_tar(hub, city, tmp_path):
    hub.add("someone/verified", city)
    options = ["--repository", "someone/verified"]
    assert main(["extract", str(tmp_path / "out"), *options]) == 0
    lost = tiles(tmp_path / "out")[0]
    lost.unlink()
    hub.forget()
    status, wrong = findings(tmp_path / "out", *options)
    assert (status, wrong) == (1, {"missing_from_folder": [name(lost)]})
    assert not [path for path in hub.sent if path.endswith(".tar")]


def test_levels_not_extracted_are_not_missing(city, tmp_path):
    out = tmp_path / "out"
    for options in (["--levels", "-7", "--no-photos"], ["--splits", "validation", "--no-tiles"]):
        assert main(["extract", str(out), "--data-dir", str(city), *options]) == 0
        assert findings(out, "--data-dir", city) == (0, {})
    photos(out)[0].unlink()
    assert findings(out, "--no-photos", "--data-dir", city) == (0, {})
    assert findings(out, "--data-dir", city)[0] == 1
    status, wrong = findings(out, "--data-dir", city, "--levels", "all", "--no-photos")
    assert (status, len(wrong["missing_from_folder"])) == (1, 289)


def test_some_shards_only(city, tmp_path):
    options = ["--data-dir", city, "--no-tiles", "--shards", 1]
    assert main(["extract", str(tmp_path / "out"), *map(str, options)]) == 0
    assert findings(tmp_path / "out", "--data-dir", city) == (0, {})
    lost = photos(tmp_path / "out")[0]
    lost.unlink()
    status, wrong = findings(tmp_path / "out", "--data-dir", city)
    assert (status, wrong) == (1, {"missing_from_folder": [name(lost)]})


def test_a_folder_extracted_by_tar_is_complete(city, tmp_path):
    for archive in (city / "archives").iterdir():
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path / "out")
    for folder in ("metadata", "satellite"):
        shutil.copytree(city / folder, tmp_path / "out" / folder, dirs_exist_ok=True)
    assert findings(tmp_path / "out") == (0, {})
    status, wrong = findings(tmp_path / "out", "--data-dir", city)
    assert set(wrong) == {"missing_file"}
    assert len(wrong["missing_file"]) == 2  # the covered table, in both forms


# An extracted folder


def test_missing_pictures_are_found(city, out):
    lost = [photos(out)[3], tiles(out)[5]]
    for path in lost:
        path.unlink()
    status, wrong = findings(out, "--data-dir", city)
    assert status == 1
    assert wrong == {"missing_from_folder": [name(path) for path in lost]}
    # Without the TAR files, the table shows that a photo is missing, but not a tile.
    assert findings(out) == (1, {"missing_picture": [id_of(lost[0])]})


def test_extract_restores_missing_pictures(city, out, capsys):
    photos(out)[3].unlink()
    os.truncate(tiles(out)[5], 1000)
    assert findings(out, "--data-dir", city)[0] == 1
    assert f"Run `justzoomin extract {out}` again" in capsys.readouterr().out
    assert main(["extract", str(out), "--data-dir", str(city)]) == 0
    assert findings(out, "--data-dir", city, "--deep") == (0, {})


def test_truncated_pictures_are_found(city, out):
    cut = tiles(out)[5]
    os.truncate(cut, cut.stat().st_size // 2)
    assert findings(out) == (1, {"not_a_jpeg": [name(cut)]})
    assert findings(out, "--data-dir", city)[1] == {
        "different_size": [name(cut)],
        "not_a_jpeg": [name(cut)],
    }


def test_half_written_pictures_are_found(city, out, capsys):
    broken = photos(out)[0]
    overwrite(broken, -500, bytes(500))
    assert findings(out, "--data-dir", city) == (
        1, {"not_a_jpeg": [name(broken)]},
    )  # fmt: skip
    assert "Delete pictures that are broken" in capsys.readouterr().out


def test_deep_finds_pictures_that_do_not_decode(city, out):
    broken, other, shape = tiles(out)[:3]
    size = broken.stat().st_size
    overwrite(broken, 700, bytes(range(256)) * (size // 300))
    overwrite(broken, size - 2, b"\xff\xd9")
    overwrite(other, other.stat().st_size - 6, b"\0\0")
    data = photos(out)[0].read_bytes()
    shape.write_bytes(data)
    stray = photos(out)[1]  # bytes between segments are not damage
    stray.write_bytes(stray.read_bytes()[:20] + b"stray" + stray.read_bytes()[20:])
    assert "not_decodable" not in findings(out)[1]
    status, wrong = findings(out, "--deep")
    decoded = wrong["not_decodable"]
    assert status == 1
    assert decoded[0].startswith(f"{name(broken)}: ")
    assert not [text for text in decoded if name(stray) in text]
    assert decoded[-1] == f"{name(shape)}: 32 x 24 pixels, not 250 x 250"
    wrong = findings(out, "--deep", "--data-dir", city)[1]
    differ = wrong["different_bytes"]
    assert set(differ) == {name(broken), name(other)}
    assert wrong["different_size"]


def test_other_files_are_found(city, out, tmp_path):
    (out / IMAGES / "notes.txt").write_text("?")
    (out / IMAGES / "77_undistorted.jpg").write_bytes(photos(out)[0].read_bytes())
    (out / IMAGES / "1_undistorted.jpg.part").write_bytes(b"half")
    (out / IMAGES / "folder").mkdir()
    (out / IMAGES / "78_undistorted.jpg").symlink_to("/etc/passwd")
    os.mkfifo(out / IMAGES / "79_undistorted.jpg")
    shutil.copy(tiles(out)[0], out / "satellite" / "-7" / "99.jpg")
    shutil.copy(tiles(out)[0], tiles(out)[0].with_name("99999.jpg"))
    expected = {
        "other_file": [
            "streetview/images/folder", "streetview/images/notes.txt", "satellite/-7/99.jpg",
        ],
        "unfinished_file": ["streetview/images/1_undistorted.jpg.part"],
        "special_file": [
            "streetview/images/78_undistorted.jpg", "streetview/images/79_undistorted.jpg",
        ],
        "in_no_table": ["streetview/images/77_undistorted.jpg"],
    }  # fmt: skip
    assert findings(out) == (1, expected)
    stray = name(tiles(out)[0].with_name("99999.jpg"))
    expected["in_no_tar"] = [stray]
    assert findings(out, "--data-dir", city) == (1, expected)


def test_tables_and_layout(city, out):
    (out / "metadata" / "large_area_val_map.csv").unlink()
    (out / "satellite" / "layout.yaml").unlink()
    table = out / "metadata" / "large_area_train_map.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",38.", ",138."), encoding="utf-8")
    status, wrong = findings(out)
    assert status == 1
    assert wrong["missing_file"] == [
        "metadata/large_area_val_map.csv", "satellite/layout.yaml",
    ]  # fmt: skip
    (unreadable,) = wrong["unreadable"]
    assert "large_area_train_map.csv, line 2: latitude is '138." in unreadable
    assert findings(out, "--metadata-dir", city / "metadata", "--levels", "-7")[1] == {
        "missing_file": ["satellite/layout.yaml"]
    }
    wrong = findings(out, "--data-dir", city)[1]
    assert wrong["different_file"] == ["metadata/large_area_train_map.csv"]


def test_an_unfinished_extraction_is_found(city, out, capsys):
    record = json.loads((out / "extract_report.json").read_text(encoding="utf-8"))
    record["finished"] = False
    (out / "extract_report.json").write_text(json.dumps(record), encoding="utf-8")
    shutil.rmtree(out / "satellite" / "-5")
    status, wrong = findings(out, "--data-dir", city)
    assert wrong["unfinished"] == ["extract_report.json"]
    assert len(wrong["missing_from_folder"]) == 289


@pytest.mark.parametrize("record", ["", "[]", '{"selection": 1}', "[" * 99999, '{"archives": {}}'])
def test_an_invalid_record_is_ignored(city, out, record):
    (out / "extract_report.json").write_text(record, encoding="utf-8")
    assert findings(out, "--data-dir", city) == (0, {})


# A folder of TAR files


def test_tars_in_place(own):
    shard = own / "archives" / "streetview_images_001.tar"
    kept: dict[str, str] = {}

    def change(entries: list) -> list:
        kept.update(lost=entries[0][0], broken=entries[1][0], twice=entries[2][0])
        stranger = ("streetview/images/5_undistorted.jpg", entries[3][1])
        outside = ("../../5_undistorted.jpg", entries[3][1])
        cut = (kept["broken"], entries[1][1][:-100])
        return [cut, *entries[2:], (kept["twice"], b""), stranger, outside]

    rewrite(shard, change)
    status, wrong = findings(own)
    assert status == 1
    assert wrong == {
        "missing_picture": [id_of(Path(kept["lost"]))],
        "not_a_jpeg": [kept["broken"]],
        "repeated_member": [kept["twice"]],
        "outside_layout": ["../../5_undistorted.jpg"],
    }
    notes = json.loads((own.parent / "findings.json").read_text(encoding="utf-8"))["notes"]
    assert notes["in_no_split"]["names"] == ["streetview/images/5_undistorted.jpg"]
    assert findings(own, "--levels", "-7", "--no-photos") == (0, {})


def test_damage_that_is_in_the_tar_is_reported_as_such(own, tmp_path, capsys):
    broken = []

    def change(entries: list) -> list:
        broken.append(entries[0][0])
        return [(entries[0][0], entries[0][1][:-100]), *entries[1:], ("../x", b"")]

    rewrite(own / "archives" / "streetview_images_001.tar", change)
    assert main(["extract", str(tmp_path / "out"), "--data-dir", str(own)]) == 0
    for deep in ([], ["--deep"]):
        status, wrong = findings(tmp_path / "out", "--data-dir", own, *deep)
        assert (status, wrong) == (
            1, {"not_a_jpeg_in_tar": broken},
        )  # fmt: skip
    printed = capsys.readouterr().out
    assert "Note: 1 member outside the layout (../x)" in printed
    assert "Delete" not in printed


def test_a_cut_tar(own, out):
    path = own / "archives" / "satellite_level_m5_001.tar"
    os.truncate(path, path.stat().st_size // 2)
    for folder, options in ((own, []), (out, ["--data-dir", own])):
        status, wrong = findings(folder, *options)
        (message,) = wrong.pop("damaged_tar")
        assert f"{path} is cut inside satellite/-5/" in message
        (cut,) = wrong.pop("not_a_jpeg", [message]) if folder == own else [""]
        assert cut in message and (status, wrong) == (1, {})


def test_a_gap_in_the_tars(own):
    (own / "archives" / "satellite_level_m5_000.tar").unlink()
    (own / "archives" / "streetview_images_002.tar").unlink()
    status, wrong = findings(own)
    assert wrong["missing_tar"] == [
        "streetview_images_002.tar", "satellite_level_m5_000.tar",
    ]  # fmt: skip
    assert len(wrong["missing_picture"]) == 12


def test_extracted_beside_its_tars(own):
    assert main(["extract", str(own), "--data-dir", str(own)]) == 0
    assert findings(own) == (0, {})
    lost = tiles(own)[0]
    lost.unlink()
    assert findings(own)[1] == {"missing_from_folder": [name(lost)]}


# Wrong arguments


def test_invalid_arguments_are_refused(city, whole, tmp_path, capsys):
    for folder, options, says in (
        (tmp_path / "nowhere", [], "There is no folder"),
        (tmp_path, [], "nothing of the data set"),
        (city, ["--data-dir", str(city)], "name no other source"),
        (whole, ["--levels", "-4"], "has no such level; it has the levels -7, -5"),
        (whole, ["--data-dir", str(city), "--shards", "8"], "--shards [8]: "),
        (whole, ["--data-dir", str(tmp_path)], "contains no metadata/"),
        (whole, ["--data-dir", str(whole)], "contains no archives/*.tar to compare with"),
        (whole, ["--workers", "0"], "workers is 0"),
    ):
        assert main(["verify", str(folder), *options]) == 2
        assert says in capsys.readouterr().err
