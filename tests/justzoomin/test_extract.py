"""`justzoomin extract`: extracted files, refused members, and interrupted runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from justzoomin import zoom
from justzoomin.cli import main
from justzoomin.members import path_of
from tests.support.limits import small_files_only
from tests.support.shards import write_shard

IMAGES = Path("streetview", "images")
PICTURE = b"\xff\xd8 a picture \xff\xd9"


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "extract_report.json"
    }


def by_tar(folder: Path) -> dict[str, bytes]:
    """What `tar -x` and copying give."""
    found = {}
    for archive in (folder / "archives").iterdir():
        with tarfile.open(archive) as tar:
            found.update({m.name: tar.extractfile(m).read() for m in tar})  # type: ignore[union-attr]
    for name in ("metadata", "streetview", "satellite"):
        found.update({f"{name}/{key}": data for key, data in files_below(folder / name).items()})
    return found


def record_of(folder: Path) -> dict:
    return json.loads((folder / "extract_report.json").read_text(encoding="utf-8"))


def run(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


# What is extracted


def test_extracts_what_tar_extracts(city, tmp_path, capsys):
    assert main(["extract", str(tmp_path / "out"), "--data-dir", str(city)]) == 0
    expected = by_tar(city)
    assert files_below(tmp_path / "out") == expected
    assert len(expected) == 50 + 25 + 289 + 5
    printed = capsys.readouterr().out
    assert "50 photos written" in printed and "289 tiles of level -5 written" in printed
    assert "The source lacks the levels -3, -1" in printed
    assert record_of(tmp_path / "out")["finished"] is True


def test_extraction_from_the_hub_is_the_same(hub, city, tmp_path):
    hub.add("someone/city", city)
    assert main(["extract", str(tmp_path / "out"), "--repository", "someone/city"]) == 0
    assert files_below(tmp_path / "out") == by_tar(city)


def test_a_dropped_connection_loses_nothing(hub, city, tmp_path):
    hub.add("someone/dropped", city)
    hub.drop("satellite_level_m5_000.tar", after=500_000)
    hub.drop("streetview_images_001.tar", after=3_000, reset=False)
    assert main(["extract", str(tmp_path / "out"), "--repository", "someone/dropped"]) == 0
    assert files_below(tmp_path / "out") == by_tar(city)


def test_the_authors_loader_opens_it(city, tmp_path):
    twm = pytest.importorskip("tiledwebmaps", reason="no wheel of tiledwebmaps here")
    pytest.importorskip("cv2")
    from justzoomin.tiles import TilePyramid

    assert main(["extract", str(tmp_path), "--data-dir", str(city), "--no-photos"]) == 0
    bare = twm.from_yaml(str(tmp_path / "satellite"), wait_after_last_modified=0)
    pyramid = TilePyramid(city)
    latitude, longitude, width = zoom.path([7, 6])
    for step in range(2):
        place = np.array([latitude[step], longitude[step]])
        theirs = bare.load(
            latlon=place, bearing=0.0, meters_per_pixel=width[step] / 384, shape=(384, 384)
        )
        ours = pyramid.views([7, 6])[step]
        assert np.abs(ours.astype(int) - theirs).mean() < 0.15


@pytest.mark.parametrize(
    "options,levels,photos",
    [
        (["--levels", "-7"], ["-7"], 50),
        (["--levels", "all"], ["-5", "-7"], 50),
        (["--levels", "-7", "-5", "--no-photos"], ["-5", "-7"], 0),
        (["--no-tiles"], [], 50),
        (["--no-tiles", "--splits", "validation"], [], 10),
        (["--no-tiles", "--splits", "train", "validation"], [], 50),
        (["--no-tiles", "--shards", "0", "2", "--workers", "2"], [], 25),
    ],
)
def test_options_select_what_is_extracted(city, tmp_path, options, levels, photos):
    assert main(["extract", str(tmp_path), "--data-dir", str(city), *options]) == 0
    assert sorted(p.name for p in tmp_path.glob("satellite/*") if p.is_dir()) == levels
    assert len(list((tmp_path / IMAGES).glob("*"))) == photos
    assert len(list((tmp_path / "metadata").glob("*"))) == 2


def test_tiles_need_no_tables(own, tmp_path, capsys):
    shutil.rmtree(own / "metadata")
    options = ["--data-dir", str(own), "--no-photos", "--levels", "-7"]
    assert main(["extract", str(tmp_path / "out"), *options]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "satellite", "extract_report.json",
    }  # fmt: skip
    assert main(["verify", str(tmp_path / "out"), "--data-dir", str(own)]) == 0


def test_only_selected_files_are_downloaded(hub, city, tmp_path):
    hub.add("someone/levels", city)
    options = ["--repository", "someone/levels", "--levels", "-7", "--no-photos"]
    assert main(["extract", str(tmp_path), *options]) == 0
    tars = [path.rpartition("/")[2] for path in hub.sent if path.endswith(".tar")]
    assert tars == ["satellite_level_m7_000.tar"]


def test_cached_files_are_not_downloaded_again(hub, city, tmp_path):
    from huggingface_hub import hf_hub_download

    hub.add("someone/kept", city)
    hf_hub_download("someone/kept", "archives/satellite_level_m7_000.tar", repo_type="dataset")
    hub.forget()
    options = ["--repository", "someone/kept", "--levels", "-7", "--no-photos"]
    assert main(["extract", str(tmp_path), *options]) == 0
    assert not [path for path in hub.sent if path.endswith(".tar")]
    assert len(list((tmp_path / "satellite").glob("-7/*/*"))) == 25


@pytest.mark.parametrize(
    "options,says",
    [
        (["--levels", "-6"], r"--levels [-6]: {city} has no such level; it has the levels -7, -5."),
        (["--shards", "9"], "--shards [9]: {city} has the shards [0, 1, 2, 3]."),
        (["--levels", "-7", "--no-tiles"], "--levels and --no-tiles contradict each other"),
        (["--no-photos", "--splits", "train"], "--no-photos and --splits or --shards contradict"),
        (["--no-photos", "--no-tiles"], "Nothing is selected: leave out"),
        (["--workers", "0"], "workers is 0; it should be 1 or more."),
    ],
)
def test_unknown_selections_are_refused(city, tmp_path, capsys, options, says):
    assert main(["extract", str(tmp_path / "out"), "--data-dir", str(city), *options]) == 2
    assert says.replace("{city}", str(city)) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Repeated and interrupted extractions


def test_a_picture_that_was_overwritten_is_written_again(city, tmp_path, capsys):
    """Damage without a change in size: 400 other bytes in the middle, or only zeros."""
    command = ["extract", str(tmp_path), "--data-dir", str(city)]
    assert main(command) == 0
    photo, tile = next((tmp_path / IMAGES).iterdir()), next(tmp_path.glob("satellite/-7/*/*"))
    middle = photo.stat().st_size // 2 - 200
    for path, start, count in ((photo, middle, 400), (tile, 0, tile.stat().st_size)):
        with open(path, "r+b") as file:
            file.seek(start)
            file.write(bytes(count))
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1 photo written" in printed and "1 tile of level -7 written" in printed
    assert files_below(tmp_path) == by_tar(city)


def test_a_second_run_writes_only_what_is_missing(city, tmp_path, capsys):
    command = ["extract", str(tmp_path), "--data-dir", str(city)]
    assert main(command) == 0
    before = {path: path.stat() for path in tmp_path.rglob("*.*") if path.is_file()}
    photo, tile = next((tmp_path / IMAGES).iterdir()), next(tmp_path.glob("satellite/-7/*/*"))
    photo.unlink()
    os.truncate(tile, 100)
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1 photo written" in printed and "49 existed already" in printed
    assert "1 tile of level -7 written" in printed and "24 existed already" in printed
    assert files_below(tmp_path) == by_tar(city)
    written = {p for p, stat in before.items() if p.stat().st_ctime_ns != stat.st_ctime_ns}
    assert {path.name for path in written - {photo}} == {tile.name, "extract_report.json"}


def test_a_second_selection_is_added_to_the_record(city, tmp_path):
    for options in (["--levels", "-7", "--no-photos"], ["--no-tiles", "--splits", "train"]):
        assert main(["extract", str(tmp_path), "--data-dir", str(city), *options]) == 0
    record = record_of(tmp_path)
    assert record["selection"] == {
        "levels": [-7], "photos": True, "splits": ["train"], "shards": None,
    }  # fmt: skip
    assert set(record["archives"]) == {
        "satellite_level_m7_000.tar", *(f"streetview_images_00{i}.tar" for i in range(4))
    }  # fmt: skip


# Kills itself at a rename: an audit hook sees it before the system does.
BREAK_OFF = """
import os, signal, sys
left = int(sys.argv[1])
def hook(event, arguments):
    global left
    if event == "os.rename" and str(arguments[0]).endswith(".jpg.extracted.part"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
import geoload.tar_index
geoload.tar_index.SAVE_EVERY = 0
from justzoomin.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_killed_extraction_continues(city, tmp_path, capsys):
    at = 200
    command = ["extract", str(tmp_path), "--data-dir", str(city)]
    assert run(BREAK_OFF, at, *command).returncode == -9
    whole = by_tar(city)
    left = files_below(tmp_path)
    parts = {name for name in left if name.endswith(".part")}
    assert len(parts) == 1
    assert all(whole[name] == data for name, data in left.items() if name not in parts)
    assert len([name for name in left if name.endswith(".jpg")]) == at - 1
    assert record_of(tmp_path)["finished"] is False
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "0 photos written (0.0 kB), 50 existed already" in printed
    assert f"{at - 1 - 50 - 25} existed already" in printed
    assert files_below(tmp_path) == whole
    assert record_of(tmp_path)["finished"] is True


def test_a_killed_extraction_reads_only_the_rest_from_the_hub(hub, city, tmp_path):
    hub.add("someone/killed", city)
    options = ["--repository", "someone/killed", "--levels", "-5", "--no-photos", "--workers", "1"]
    command = ["extract", str(tmp_path / "out"), *options]
    assert run(BREAK_OFF, 280, *command).returncode == -9
    hub.forget()
    assert main(command) == 0
    again = sum(size for path, size in hub.sent.items() if path.endswith(".tar"))
    total = sum(p.stat().st_size for p in (city / "archives").glob("satellite_level_m5_*"))
    assert again < total / 3
    assert len(list(tmp_path.glob("out/satellite/-5/*/*.jpg"))) == 289
    hub.forget()
    assert main(command) == 0
    assert not [path for path in hub.sent if path.endswith(".tar")]


def test_a_second_extraction_at_the_same_time_is_refused(city, tmp_path, capsys):
    fcntl = pytest.importorskip("fcntl")
    command = ["extract", str(tmp_path), "--data-dir", str(city)]
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        assert main(command) == 2
    finally:
        os.close(folder)
    assert f"Another process is writing into {tmp_path}." in capsys.readouterr().err
    assert main(command) == 0


def test_another_version_of_the_data_is_refused(own, tmp_path, capsys):
    command = ["extract", str(tmp_path / "out"), "--data-dir", str(own)]
    assert main(command) == 0
    write_shard(
        own / "archives" / "satellite_level_m7_000.tar", [("satellite/-7/1/2.jpg", PICTURE)]
    )
    assert main(command) == 2
    assert "was extracted from another satellite_level_m7_000.tar" in capsys.readouterr().err


# What is refused


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


OUTSIDE = [
    "../evil_undistorted.jpg",
    "/evil_undistorted.jpg",
    "streetview/images/../../../evil_undistorted.jpg",
    "streetview/images/../images/1_undistorted.jpg",
    "streetview/images/sub/1_undistorted.jpg",
    "streetview/images/.._undistorted.jpg",
    "streetview/images/1_undistorted.jpg.sh",
    "streetview/images/1_undistorted.jpg\n",
    "streetview/images/1\x1b[31m_undistorted.jpg",
    "streetview/images/_undistorted.jpg",
    "streetview/images/1_UNDISTORTED.jpg",
    "metadata/large_area_train_map.csv",
    "extract_report.json",
    "satellite/-7/1/2.jpg",
    "streetview/images/" + "1" * 300 + "_undistorted.jpg",
]
TILES_OUTSIDE = [
    "satellite/-5/1/2.jpg",
    "satellite/-7/01/2.jpg",
    "satellite/-7/-0/2.jpg",
    "satellite/-7/1/\u0662.jpg",
    "satellite/-7/../2.jpg",
    "satellite/-7/1/999999999999.jpg",
    "satellite/-7//2.jpg",
    "satellite/layout.yaml",
    "streetview/images/1_undistorted.jpg",
]


def test_hostile_members_are_left_out_and_counted(own, tmp_path, capsys):
    shutil.rmtree(own / "archives")
    links = [
        (member("streetview/images/11_undistorted.jpg", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("streetview/images/12_undistorted.jpg", tarfile.LNKTYPE, "../../evil"), b""),
        (member("streetview/images/13_undistorted.jpg", tarfile.CHRTYPE), b""),
        (member("streetview/images/14_undistorted.jpg", tarfile.FIFOTYPE), b""),
        (member("streetview", tarfile.SYMTYPE, str(tmp_path / "elsewhere")), b""),
    ]
    good = [("streetview/images/21_undistorted.jpg", PICTURE), ("./streetview/images/", b"")]
    good[1] = (member("./streetview/images/", tarfile.DIRTYPE), b"")  # type: ignore[call-overload]
    folder = [(member("../../evil", tarfile.DIRTYPE), b"")]
    bad = [(name, PICTURE) for name in OUTSIDE]
    twice = [("./streetview/images/21_undistorted.jpg", PICTURE + b"other")]
    write_shard(
        own / "archives" / "streetview_images_000.tar", [*links, *good, *bad, *folder, *twice]
    )
    tiles = [("satellite/-7/1/2.jpg", b"no picture"), *((name, PICTURE) for name in TILES_OUTSIDE)]
    write_shard(own / "archives" / "satellite_level_m7_000.tar", tiles)
    before = files_below(tmp_path)

    assert main(["extract", str(tmp_path / "out"), "--data-dir", str(own)]) == 0
    new = {name: data for name, data in files_below(tmp_path).items() if name not in before}
    assert {name for name in new if "images" in name or "satellite/-7" in name} == {
        "out/streetview/images/21_undistorted.jpg", "out/satellite/-7/1/2.jpg"
    }  # fmt: skip
    assert new["out/streetview/images/21_undistorted.jpg"] == PICTURE
    assert all(name.startswith("out/") for name in new) and not (tmp_path / "elsewhere").exists()
    reported = record_of(tmp_path / "out")["reported"]
    assert {kind: entry["count"] for kind, entry in reported.items()} == {
        "not_a_file": len(links),
        "outside_layout": len(OUTSIDE) + len(TILES_OUTSIDE) + len(folder),
        "repeated_member": 1,
        "in_no_split": 1,
        "not_a_jpeg": 1,
    }
    printed = capsys.readouterr().out
    assert "Found: 25 members outside the layout (../evil_undistorted.jpg, " in printed
    assert "\x1b" not in printed


PIECES = [
    "..", ".", "", "streetview", "images", "satellite", "-7", "-07", "1", "2.jpg", "2.jpg\n", "C:",
    "\u0662.jpg", "1_undistorted.jpg", "..\\1_undistorted.jpg", "\0", "\n",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=7).map("/".join)),
    st.sampled_from([None, -7]),
)
def test_no_name_leads_outside_the_folder(name, level):
    path = path_of(name, level)
    top = "streetview/images/" if level is None else "satellite/-7/"
    assert path is None or (path.startswith(top) and os.path.normpath(path) == path)
    assert path is None or (path.isascii() and path.isprintable() and "\\" not in path)


def test_a_huge_member_is_left_out(own, tmp_path, capsys):
    name = "streetview/images/1_undistorted.jpg"
    info = tarfile.TarInfo(name)
    info.size = 65 * 2**20
    path = own / "archives" / "streetview_images_004.tar"
    with open(path, "wb") as file:
        file.write(info.tobuf())
        file.truncate(512 + info.size + 1024)
    command = ["extract", str(tmp_path / "out"), "--data-dir", str(own), "--no-tiles"]
    assert main([*command, "--shards", "4"]) == 0
    assert f"Found: 1 member larger than 64 MB ({name})" in capsys.readouterr().out
    assert not list((tmp_path / "out").rglob("*.jpg"))


def test_the_first_of_two_tars_with_one_picture_is_used(own, tmp_path):
    photo = "streetview/images/21_undistorted.jpg"
    for number in range(4):
        others = [(f"streetview/images/3{i}_undistorted.jpg", PICTURE) for i in range(9 - number)]
        write_shard(
            own / "archives" / f"streetview_images_00{number}.tar",
            [*others, (photo, PICTURE + bytes([number]) * (number + 1))],
        )
    command = ["extract", str(tmp_path / "out"), "--data-dir", str(own), "--no-tiles"]
    for _ in range(2):
        assert main([*command, "--workers", "4"]) == 0
        assert (tmp_path / "out" / photo).read_bytes() == PICTURE + b"\0"


def test_a_cut_tar_is_an_error_that_names_it(own, tmp_path, capsys):
    path = own / "archives" / "streetview_images_002.tar"
    os.truncate(path, path.stat().st_size // 2)
    assert main(["extract", str(tmp_path / "out"), "--data-dir", str(own)]) == 2
    assert "streetview_images_002.tar is cut inside streetview/images/" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.jpg"))


@pytest.mark.parametrize("link", ["streetview", "streetview/images", "satellite/-7"])
def test_nothing_is_written_through_a_link(city, tmp_path, capsys, link):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / link).parent.mkdir(parents=True)
    (out / link).symlink_to(elsewhere)
    assert main(["extract", str(out), "--data-dir", str(city)]) == 2
    assert f"{out / link} is a link or not a folder" in capsys.readouterr().err
    assert not list(elsewhere.iterdir())


def test_links_are_replaced_by_files(city, tmp_path):
    out, mine = tmp_path / "out", tmp_path / "mine"
    with tarfile.open(city / "archives" / "streetview_images_000.tar") as tar:
        names = tar.getnames()
    (out / IMAGES).mkdir(parents=True)
    for name in (names[0], names[1] + ".extracted.part", "extract_report.json"):
        mine.write_text("mine")
        (out / name).symlink_to(mine)
    assert main(["extract", str(out), "--data-dir", str(city)]) == 0
    assert mine.read_text() == "mine"
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    assert files_below(out) == by_tar(city)


def test_the_folder_itself_may_be_a_link(city, tmp_path):
    (tmp_path / "large_disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large_disk")
    assert main(["extract", str(tmp_path / "out"), "--data-dir", str(city)]) == 0
    assert files_below(tmp_path / "large_disk") == by_tar(city)


# The disk

IN_TMPFS = """
set -eu
mount -t tmpfs -o size=180k tmpfs "$1"
exec "$2" -c "$3" "$1" "$4"
"""
ON_A_SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from justzoomin.cli import main

folder, city = sys.argv[1:]
def left():
    return [len(list(Path(folder).rglob(ending))) for ending in ("*.jpg", "*.part", "*")]

print(main(["extract", folder, "--data-dir", city]), *left())
command = ["extract", folder, "--repository", "someone/full", "--no-tiles"]
print(main(command), *left())
subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
print(main(command), main(["verify", folder, "--data-dir", city]), *left())
"""


def test_a_small_disk(hub, city, tmp_path):
    """First everything, which does not fit; then photos that need more than their TARs."""
    within = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip("no mounting here")
    hub.add("someone/full", city)
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [*within, "sh", "-c", IN_TMPFS, "-", disk, sys.executable, ON_A_SMALL_DISK, city]
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.strip().splitlines()
    refused, full, *_, again = [line for line in lines if line[:1].isdecimal()]

    assert refused == "2 0 0 0"
    assert f"{disk} has 0.2 MB free, and 1" in result.stderr
    assert "MB are missing. Use another disk, or leave something out: level -5: " in result.stderr
    assert "photos: 0.2 MB (--no-photos, fewer --shards, or --splits validation)" in result.stderr

    status, pictures, parts, _ = map(int, full.split())
    assert (status, parts) == (2, 0) and 10 < pictures < 50
    assert f"No space left on device, after {pictures} files (0 existed before)" in result.stderr
    assert "Free some space and run the same command again" in result.stderr

    assert f"{50 - pictures} photos written" in result.stdout
    assert again.startswith("0 0 50 0 ")


def test_a_limit_on_files_is_a_full_disk_too(city, tmp_path, capsys):
    with small_files_only(20_000):
        assert main(["extract", str(tmp_path), "--data-dir", str(city)]) == 2
    assert "File too large, after 50 files" in capsys.readouterr().err
    whole = by_tar(city)
    left = files_below(tmp_path)
    assert len(left) == 50 + 5
    assert all(whole[name] == data for name, data in left.items())
    assert main(["extract", str(tmp_path), "--data-dir", str(city)]) == 0
    assert files_below(tmp_path) == whole


EXTRACT = """
import sys
from justzoomin.cli import main
sys.exit(main(["extract", *sys.argv[1:]]))
"""


def test_damaged_files_in_the_cache_are_replaced(hub, city, tmp_path):
    from datasets import config

    hub.add("someone/damaged", city)
    options = ["--repository", "someone/damaged", "--levels", "-7", "--no-photos"]
    assert main(["extract", str(tmp_path), *options]) == 0
    newest = max(
        Path(config.HF_DATASETS_CACHE, "tar_index").glob("satellite_level_m7_000.tar-*.index"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    tile = next(tmp_path.glob("satellite/-7/*/*.jpg"))
    tile.unlink()
    done = run(EXTRACT, tmp_path, *options)  # in another process, which has no index in memory
    assert done.returncode == 0 and tile.exists()
    assert "is damaged" in done.stderr and str(newest) in done.stderr
