"""The overhead configurations: drawn or rendered views, streamed, transformed, previewed."""

from __future__ import annotations

import functools
import io
import json
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, Image, load_dataset
from filelock import FileLock
from PIL import Image as PillowImage

import justzoomin
from justzoomin import zoom
from justzoomin.cli import main
from justzoomin.sample import write_sample
from justzoomin.views import to_jpeg

pytest.importorskip("cv2")
from justzoomin.sample_tiles import write_tiles
from tests.support.equal import assert_same_bytes

PIXELS = 64  # of the views here; they are drawn from other levels than those of 384 pixels


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Photos, and the tiles that views of 64 pixels need; the finest around validation photos."""
    folder = tmp_path_factory.mktemp("overhead")
    write_sample(folder, train=12, validation=4, shards=2, width=32)
    table = pd.read_csv(folder / "metadata" / "large_area_val_map.csv")
    around = table[["latitude", "longitude"]].to_numpy()
    write_tiles(folder, levels=(-9, -8, -7, -5, -3), around=around, radius_m=200, whole=-5)
    return folder


@pytest.fixture(scope="module")
def rendered(data, tmp_path_factory) -> Path:
    """The shard of all views before the third action: 1 + 16 + 256."""
    output = tmp_path_factory.mktemp("rendered") / "views_64.tar"
    assert justzoomin.render(str(data), output, PIXELS, depth=3, workers=2) == 273
    return output


def stream(folder: Path, name: str = "zoom", split: str = "validation", **options):
    return load_dataset(
        "justzoomin", name, data_dir=str(folder), split=split, streaming=True, size=PIXELS,
        **options,
    )  # fmt: skip


def test_zoom_gives_the_views_along_the_true_path(data):
    pyramid = justzoomin.TilePyramid(str(data))
    rows = list(stream(data))
    assert len(rows) == 4
    for row in rows:
        latitude, longitude, widths = zoom.path(row["sequence"])
        assert row["view_widths_m"] == widths[:4].tolist()
        assert np.allclose(row["view_centers"], np.stack([latitude, longitude], -1)[:4])
        drawn = pyramid.views(row["sequence"], PIXELS)
        for view, expected in zip(row["views"], drawn, strict=True):
            difference = np.asarray(view).astype(int) - expected
            assert np.abs(difference).mean() < 3  # JPEG


def test_a_rendered_shard_gives_the_same_views_without_tiles(data, rendered, tmp_path):
    for name in ("metadata",):
        shutil.copytree(data / name, tmp_path / name)
    (tmp_path / "archives").mkdir()
    for shard in (data / "archives").glob("streetview_*.tar"):
        shutil.copy(shard, tmp_path / "archives")
    table = tmp_path / "metadata" / "large_area_val_map.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(_shorten(text), encoding="utf-8")
    shutil.copy(data / "metadata" / "large_area_train_map.csv", tmp_path / "metadata")
    rows = list(stream(tmp_path, views=str(rendered)))
    assert [len(row["views"]) for row in rows] == [3] * 4
    shutil.copytree(tmp_path / "metadata", tmp_path / "short")
    drawn = list(stream(data, metadata_dir=str(tmp_path / "short")))
    assert rows[0]["image_id"] == drawn[0]["image_id"]
    for row, other in zip(rows, drawn, strict=True):
        for view, expected in zip(row["views"], other["views"], strict=True):
            assert np.array_equal(np.asarray(view), np.asarray(expected))


def _shorten(table: str) -> str:
    """Cut every sequence to three actions."""
    header, *lines = table.splitlines()
    cut = [line[: line.rindex(",")] + ']"' for line in lines]
    return "\n".join([header, *cut]) + "\n"


def test_views_lists_what_was_rendered(rendered, cache):
    folder = rendered.parent
    rows = load_dataset("justzoomin", "views", data_dir=str(folder), views=str(rendered),
                        split="train", streaming=True)  # fmt: skip
    rows = list(rows)
    assert len({tuple(row["prefix"]) for row in rows}) == 273
    for row in rows[::50]:
        latitude, longitude, widths = zoom.path(np.array(row["prefix"], int))
        assert (row["latitude"], row["longitude"]) == (latitude[-1], longitude[-1])
        assert row["width_m"] == widths[-1]
        assert row["view"].size == (PIXELS, PIXELS)


def test_interrupted_rendering_gives_the_same_shard(data, rendered, tmp_path):
    whole = rendered.read_bytes()
    output = tmp_path / "again.tar"
    assert justzoomin.render(str(data), output, PIXELS, depth=3, workers=1) == 273
    assert_same_bytes(output.read_bytes(), whole)
    # Interrupted: some parts exist, and one is incomplete.
    calls = []
    real = justzoomin.rendering._render_part

    def until_tired(*arguments):
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(arguments)
        return real(*arguments)

    folder = justzoomin.rendering.parts_folder(tmp_path / "third.tar", str(data), PIXELS, 95, 3)
    folder.mkdir()
    justzoomin.rendering._start_worker(str(data))
    for path, group in justzoomin.rendering.plan(folder, 3)[:5]:
        until_tired(path, group, PIXELS, 95)
    (folder / "0007.part").write_bytes(b"half")
    assert justzoomin.render(str(data), tmp_path / "third.tar", PIXELS, depth=3, workers=1) == 273
    assert_same_bytes((tmp_path / "third.tar").read_bytes(), whole)
    assert not folder.exists()


KILLED = """
import os, signal, sys
import justzoomin
from justzoomin import rendering

finished = rendering.as_completed

def kill(jobs):
    next(finished(jobs))
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    rendering.as_completed = kill  # when the first part is there
    justzoomin.render(sys.argv[1], sys.argv[2], 64, depth=3, workers=2)
"""


def test_a_killed_rendering_leaves_no_worker_and_continues(data, rendered, tmp_path):
    script, output = tmp_path / "killed.py", tmp_path / "views.tar"
    script.write_text(KILLED, encoding="utf-8")
    command = [sys.executable, script, data, output]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE) as killed:
        killed.communicate(timeout=170)  # its workers have the other end of the pipe
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("*.parts/*.tar")) and not output.exists()
    assert justzoomin.render(str(data), output, PIXELS, depth=3, workers=2) == 273
    assert_same_bytes(output.read_bytes(), rendered.read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == [
        "killed.py", "views.tar",
    ]  # fmt: skip


def test_two_processes_do_not_render_the_same(data, tmp_path):
    output = tmp_path / "v.tar"
    folder = justzoomin.rendering.parts_folder(output, str(data), PIXELS, 95, 1)
    folder.mkdir()
    busy = pytest.raises(OSError, match=r"Another process is rendering into .*v\.tar")
    with FileLock(folder / "lock"), busy:
        justzoomin.render(str(data), output, PIXELS, depth=1)
    assert justzoomin.render(str(data), output, PIXELS, depth=1, workers=1) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["v.tar"]


def test_views_of_other_tiles_are_not_mixed(data, tmp_path):
    first = justzoomin.rendering.parts_folder(tmp_path / "v.tar", str(data), PIXELS, 95, 1)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    before = justzoomin.rendering.parts_folder(tmp_path / "v.tar", str(copy), PIXELS, 95, 1)
    write_tiles(copy, levels=(-3,), around=[(38.9, -77.0)], radius_m=100)
    after = justzoomin.rendering.parts_folder(tmp_path / "v.tar", str(copy), PIXELS, 95, 1)
    assert len({first, before, after}) == 3


def test_the_shard_carries_the_attribution(rendered):
    with tarfile.open(rendered) as archive:
        record = json.load(archive.extractfile("7-6.json"))
    assert record["prefix"] == [7, 6]
    assert "Open Data DC" in record["attribution"] and "CC BY 4.0" in record["attribution"]


def test_bare_webdataset_reads_the_shard(rendered):
    import webdataset as wds

    samples = list(wds.WebDataset(str(rendered), shardshuffle=False).decode("pil"))
    assert len(samples) == 273
    assert samples[0]["jpg"].size == (PIXELS, PIXELS) and samples[0]["json"]["prefix"] == []


def test_zoom_without_streaming_is_an_error_with_advice(data):
    with pytest.raises(ValueError, match=r"streaming=True.*ZoomViews"):
        load_dataset("justzoomin", "zoom", data_dir=str(data), split="validation")


def test_a_transform_adds_the_views_to_prepared_rows(data, cache):
    rows = load_dataset("justzoomin", data_dir=str(data), split="validation", cache_dir=cache)
    rows = rows.with_transform(justzoomin.ZoomViews(str(data), size=PIXELS))
    streamed = {row["image_id"]: row for row in stream(data)}
    for row in rows:
        expected = streamed[row["image_id"]]
        assert row["view_centers"] == expected["view_centers"]
        for view, other in zip(row["views"], expected["views"], strict=True):
            assert np.array_equal(np.asarray(view), np.asarray(other))


def test_views_as_arrays_are_decoded_once(rendered, tmp_path, monkeypatch):
    rows = Dataset.from_dict({"sequence": [[7, 6, 6], [0, 15, 3], [7, 6, 1]]})
    views = justzoomin.ZoomViews(str(rendered), arrays=True, cache_dir=tmp_path / "index")
    arrays = rows.with_transform(views)[:]["views"]
    pictures = rows.with_transform(justzoomin.ZoomViews(str(rendered)))[:]["views"]
    for ours, theirs in zip(arrays, pictures, strict=True):
        for array, picture in zip(ours, theirs, strict=True):
            assert array.shape == (PIXELS, PIXELS, 3) and array.flags.writeable
            assert np.abs(array.astype(int) - np.asarray(picture)).max() <= 2  # two decoders
    (kept,) = (tmp_path / "index").glob("*.npy")
    before = kept.stat().st_mtime_ns
    again = pickle.loads(pickle.dumps(views))
    assert np.array_equal(again({"sequence": [[7, 6, 6]]})["views"][0][2], arrays[0][2])
    assert kept.stat().st_mtime_ns == before
    whole = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(whole[:-1000])  # incomplete: drawn again
    again = pickle.loads(pickle.dumps(views))
    assert np.array_equal(again({"sequence": [[0, 15, 3]]})["views"][0][1], arrays[1][1])
    with pytest.raises(ValueError, match="has no view 7-6-6: it was rendered for fewer"):
        views({"sequence": [[7, 6, 6, 1]]})
    with pytest.raises(KeyError, match="no column 'sequence'; there are image_id"):
        views({"image_id": ["1"]})
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    elsewhere = justzoomin.ZoomViews(str(rendered), arrays=True, cache_dir=tmp_path / "no" / "room")
    with pytest.raises(
        OSError, match=r"table of views cannot be kept in .*room \(it takes .* MB.*arrays=False"
    ):
        elsewhere({"sequence": [[7, 6, 6]]})
    assert not list((tmp_path / "no").rglob("*.npy"))


def test_views_drawn_from_tiles_come_as_arrays_too(data, tmp_path):
    row = next(iter(stream(data)))
    views = justzoomin.ZoomViews(str(data), size=PIXELS, arrays=True)
    for array, picture in zip(
        views({"sequence": [row["sequence"]]})["views"][0], row["views"], strict=True
    ):
        assert np.abs(array.astype(int) - np.asarray(picture)).mean() < 4  # JPEG


def test_cells_serve_as_a_retrieval_database(data, rendered, cache):
    rows = load_dataset("justzoomin", "cells", data_dir=str(data), size=PIXELS, depth=2,
                        split="train", cache_dir=cache, num_proc=2)  # fmt: skip
    assert rows["sequence"][:] == zoom.cells(2).tolist()
    latitude, longitude = zoom.decode(zoom.cells(2))
    assert np.allclose(rows["latitude"][:], latitude)
    from_shard = stream(data, "cells", "train", depth=2, views=str(rendered))
    first = next(iter(from_shard.cast_column("image", Image(decode=False))))
    assert (
        first["image"]["bytes"]
        == rows.cast_column("image", Image(decode=False))[0]["image"]["bytes"]
    )
    with pytest.raises(ValueError, match="1 to 4 actions"):
        stream(data, "cells", "train", depth=9)


def test_workers_stream_complete_samples(data):
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(stream(data), batch_size=None, num_workers=2)
    assert sorted(row["image_id"] for row in loader) == sorted(
        row["image_id"] for row in stream(data)
    )


def test_over_the_hub_only_what_is_needed_is_fetched(hub, data, rendered, tmp_path):
    hub.add("someone/overhead", data)
    options = {"repository": "someone/overhead", "split": "validation", "streaming": True}
    rows = load_dataset("justzoomin", "zoom", size=PIXELS, **options)
    assert len(next(iter(rows))["views"]) == 4
    fetched = {path.rsplit("/", 1)[-1] for path, size in hub.sent.items() if size}
    levels = {name for name in fetched if name.startswith("satellite")}
    assert levels == {f"satellite_level_m{level}_000.tar" for level in (9, 7, 5, 3)}

    shutil.copytree(data / "metadata", tmp_path / "metadata")
    (tmp_path / "archives").mkdir()
    (tmp_path / "views").mkdir()
    for shard in (data / "archives").glob("streetview*"):
        shutil.copy(shard, tmp_path / "archives")
    table = tmp_path / "metadata" / "large_area_val_map.csv"
    table.write_text(_shorten(table.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copy(rendered, tmp_path / "views" / "views_64.tar")
    hub.add("someone/rendered", tmp_path)
    hub.forget()
    options["repository"] = "someone/rendered"
    rows = load_dataset("justzoomin", "zoom", size=PIXELS, **options)
    assert len(next(iter(rows))["views"]) == 3
    fetched = {path.rsplit("/", 1)[-1] for path, size in hub.sent.items() if size}
    assert "views_64.tar" in fetched
    assert not any(name.startswith("satellite") for name in fetched)


def test_a_view_that_was_not_rendered_is_named(data, rendered):
    with pytest.raises(ValueError, match=r"views_64\.tar has no view \d+-\d+-\d+"):
        list(stream(data, views=str(rendered)))
    with pytest.raises(FileNotFoundError, match=r"no views/views_64\.tar.*justzoomin render"):
        stream(data, "views", "train")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (to_jpeg(np.zeros((PIXELS, PIXELS, 3), np.uint8)), r"root\.json is not a record of a view"),
        (b"x", r"views_64\.tar: root\.jpg cannot be decoded .* Render it again"),
    ],
)
def test_a_damaged_record_or_view_is_named(tmp_path, picture, message):
    path = tmp_path / "views_64.tar"
    with tarfile.open(path, "w") as archive:
        for name, text in (("root.jpg", picture), ("root.json", b'{"prefix": "?"}')):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    with pytest.raises(ValueError, match=message):
        list(stream(tmp_path, "views", "train", views=str(path)))


def test_previews(data, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for name in ("sheet.png", "zoom.gif", "zoom.webp"):
        output = tmp_path / name
        command = ["preview", str(output), "--data-dir", str(data), "--count", "2"]
        assert main([*command, "--size", str(PIXELS)]) == 0
        with PillowImage.open(output) as image:
            assert getattr(image, "n_frames", 1) == (1 if name == "sheet.png" else 37)
    assert main(["preview", str(tmp_path / "x.bmp"), "--data-dir", str(data)]) == 2
    assert "a preview is a .png, .gif or .webp file" in capsys.readouterr().err


def test_the_preview_marks_the_true_position(data):
    from justzoomin.preview import annotated

    row = next(iter(stream(data)))
    for step in range(4):
        view = np.asarray(annotated(row, step)).astype(int)
        red = np.argwhere(np.abs(view - (230, 30, 60)).sum(-1) < 40).mean(0)
        cell = np.divmod(row["sequence"][step], 4)
        assert (np.floor(red / (PIXELS / 4)) == cell).all()


def test_an_animation_shows_its_marks_in_every_frame(data, tmp_path):
    from justzoomin.preview import animation

    row = next(iter(stream(data)))
    animation(row, tmp_path / "zoom.gif")
    with PillowImage.open(tmp_path / "zoom.gif") as picture:
        shown = []
        for number in range(picture.n_frames):
            picture.seek(number)
            pixels = np.asarray(picture.convert("RGB"))[:384]
            for mark in ((255, 210, 0), (230, 30, 60)):  # the cell and the place
                assert (pixels == mark).all(-1).sum() > 20
            shown.append(picture.info["duration"])
    assert max(shown) > 1000 and 8_000 < sum(shown) < 20_000  # milliseconds


def test_a_missing_view_says_so(data):
    from justzoomin.preview import annotated, is_white

    row = next(iter(stream(data)))
    row["views"][1] = PillowImage.new("RGB", (PIXELS, PIXELS), "white")
    assert is_white(row["views"][1]) and not is_white(annotated(row, 1))
    assert (np.asarray(annotated(row, 1)) == 222).all(-1).mean() > 0.5  # grey


def test_pictures_that_are_not_synthetic_carry_the_attribution(own, hub):
    from justzoomin.preview import attribution
    from justzoomin.source import Folder, Hub

    hub.add("someone/painted", own)
    assert attribution(Folder(own)) == "Street view: SYNTHETIC.  Aerial imagery: SYNTHETIC."
    assert attribution(Hub("someone/painted", "main")) == attribution(Folder(own))
    (own / "SYNTHETIC.txt").unlink()
    write_tiles(own, levels=[-9])  # painted tiles beside photos that are not
    credit = attribution(Folder(own))
    assert "Mapillary" in credit and "Open Data DC" not in credit
    layout = own / "satellite" / "layout.yaml"
    layout.write_text(layout.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    hub.add("someone/real", own)
    for source in (Folder(own), Hub("someone/real", "main")):
        credit = attribution(source)
        assert "Mapillary" in credit and "Open Data DC" in credit


def test_views_without_tiles_are_counted_and_reported(data, tmp_path, caplog):
    """Tiles of the coarsest levels only: all views have them but the finest."""
    folder = tmp_path / "few"
    shutil.copytree(data, folder)
    write_tiles(folder, levels=[-5], around=[(38.9, -77.0)], whole=-9, radius_m=100)
    with pytest.raises(ValueError, match=r"of 273 views \d+ are white.*strict=True"):
        justzoomin.render(str(folder), tmp_path / "v.tar", PIXELS, depth=3, workers=1, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["few"]
    caplog.clear()
    assert justzoomin.render(str(folder), tmp_path / "v.tar", PIXELS, depth=3, workers=1) == 273
    with tarfile.open(tmp_path / "v.tar") as archive:
        records = [json.load(archive.extractfile(m)) for m in archive if m.name.endswith("json")]
    white = sum(record["tiles_missing"] == record["tiles"] for record in records)
    gaps = sum(0 < record["tiles_missing"] < record["tiles"] for record in records)
    assert 100 < white < 273
    assert f"of 273 views {white} are white" in caplog.text and f"and {gaps} more" in caplog.text

    caplog.clear()
    pyramid = justzoomin.TilePyramid(folder)
    for latitude in (38.85, 38.86):  # far from the tiles
        assert (pyramid.view(latitude, -77.0, 9.8, 32) == 255).all()
    assert caplog.text.count("has no tile of level -5 there") == 1


def test_rendering_without_tiles_is_a_one_line_error(zoom, tmp_path, capsys):
    output = tmp_path / "views.tar"
    arguments = ["render", "--data-dir", str(zoom), "--output", str(output)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "satellite_level_0_000.tar" in said
    assert not list(tmp_path.iterdir())


def test_a_missing_shard_of_views_is_named_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"views_384.tar: `justzoomin render --data-dir"):
        justzoomin.ZoomViews(tmp_path / "views_384.tar")


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    """The four levels that the authors' loader reads; the finest two around one photo only."""
    folder = tmp_path_factory.mktemp("usual")
    write_sample(folder, train=3, validation=2, shards=1, width=32)
    table = pd.read_csv(folder / "metadata" / "large_area_val_map.csv")
    around = table[["latitude", "longitude"]].to_numpy()[:1]
    write_tiles(folder, around=around, radius_m=90)
    return folder


@pytest.fixture(scope="module")
def patchy(usual, tmp_path_factory) -> Path:
    """A shard of views rendered from those tiles: most of the finer ones are white."""
    output = tmp_path_factory.mktemp("patchy") / "views_48.tar"
    assert main(["render", "--data-dir", str(usual), "--output", str(output), "--size", "48"]) == 0
    return output


def test_cells_load_with_their_defaults(usual, caplog):
    rows = load_dataset("justzoomin", "cells", data_dir=str(usual), split="train", streaming=True)
    first = next(iter(rows))
    assert first["image"].size == (96, 96) and first["width_m"] == 10_000 / 4**4
    assert first["white"] and "has no tile of level -1 there" in caplog.text


@pytest.mark.parametrize("size", [48, 96, 224, 300])
def test_zoom_gives_views_of_any_size_from_the_usual_levels(usual, size):
    options = {"data_dir": str(usual), "split": "validation", "streaming": True}
    row = next(iter(load_dataset("justzoomin", "zoom", size=size, **options)))
    assert [view.size for view in row["views"]] == [(size, size)] * 4


def test_sizes_that_cannot_be_drawn_are_refused_before_any_work(usual, tmp_path, capsys):
    output = tmp_path / "views" / "v.tar"
    arguments = ["render", "--data-dir", str(usual), "--output", str(output), "--size", "2000"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "up to 976 pixels can be drawn" in said and len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())
    options = {"data_dir": str(usual), "split": "train", "streaming": True}
    with pytest.raises(FileNotFoundError, match="up to 244 pixels can be drawn"):
        load_dataset("justzoomin", "cells", size=384, **options)
    with pytest.raises(FileNotFoundError, match="up to 976 pixels can be drawn"):
        load_dataset("justzoomin", "zoom", size=2000, **options)
    with pytest.raises(FileNotFoundError, match="up to 976 pixels can be drawn"):
        justzoomin.ZoomViews(str(usual), size=2000)


@pytest.mark.parametrize("size", [0, -3, 1, 7, 16_385, "a", (224, 224), True, float("nan"), 96.0])
def test_invalid_sizes_are_refused_everywhere(usual, rendered, tmp_path, size):
    doors = [
        lambda: justzoomin.ZoomViews(str(usual), size=size),
        lambda: justzoomin.ZoomViews(rendered, size=size),
        lambda: justzoomin.render(str(usual), tmp_path / "v.tar", size),
    ]
    for name in ("zoom", "cells", "views"):
        options = {"data_dir": str(usual), "split": "train", "streaming": True}
        doors.append(functools.partial(load_dataset, "justzoomin", name, size=size, **options))
    for door in doors:
        with pytest.raises(
            ValueError, match=r"size=.*: give the side .*, a whole number from 8 to 16384"
        ):
            door()
    assert not list(tmp_path.iterdir())


def white_cells(folder: Path, depth: int, **options):
    return load_dataset("justzoomin", "cells", data_dir=str(folder), split="train", depth=depth,
                        size=48, **options)  # fmt: skip


def test_white_cells_are_counted_and_an_error_if_strict(usual, cache, caplog):
    rows = white_cells(usual, 3, cache_dir=cache)
    white = sum(rows["white"])
    pictures = rows["image"]
    assert 3000 < white < 4096
    assert white == sum(np.asarray(picture).min() == 255 for picture in pictures)
    (report,) = Path(cache).rglob("report.json")
    content = json.loads(report.read_text(encoding="utf-8"))
    assert content["train"]["white_view"] == {
        "text": "white views without any tile", "count": white,
        "first": ["0-0-0", "0-0-1", "0-0-2", "0-0-3", "0-0-4"],
    }  # fmt: skip
    assert f"{white:,} white views" in caplog.text
    with pytest.raises(ValueError, match=r"[\d,]+ white views.*\(strict=True\)"):
        white_cells(usual, 3, cache_dir=f"{cache}2", strict=True)
    with pytest.raises(ValueError, match=r"256 white views.*\(strict=True\)"):
        list(white_cells(usual, 3, strict=True, streaming=True))


def test_the_shard_stores_which_views_are_white(usual, patchy, tmp_path, cache, caplog):
    with tarfile.open(patchy) as archive:
        records = [json.load(archive.extractfile(m)) for m in archive if m.name.endswith("json")]
    white = sum(record["tiles"] == record["tiles_missing"] for record in records)
    assert white > 4000
    options = {"data_dir": str(usual), "views": str(patchy)}
    views = load_dataset("justzoomin", "views", split="train", cache_dir=cache, **options)
    assert sum(views["white"]) == white
    assert f"{white:,} white views" in caplog.text
    with pytest.raises(ValueError, match=f"{white:,} white views"):
        load_dataset("justzoomin", "views", split="train", strict=True, cache_dir=f"{cache}2",
                     **options)  # fmt: skip
    # A row of `zoom` and of `ZoomViews` counts once, however many of its views are white.
    caplog.clear()
    options |= {"split": "train", "streaming": True}
    assert len(list(load_dataset("justzoomin", "zoom", **options))) == 3
    assert "3 photos with white views" in caplog.text
    assert (
        "views_48.tar: view" in caplog.text
        and caplog.text.count("Further white views are not logged") == 1
    )
    with pytest.raises(ValueError, match="photos? with white views"):
        list(load_dataset("justzoomin", "zoom", strict=True, **options))
    assert main(["preview", str(tmp_path / "x.gif"), "--data-dir", str(usual), "--size", "48",
                 "--skip", "1"]) == 0  # fmt: skip


@pytest.mark.parametrize("arrays", [False, True])
def test_white_views_of_a_transform_are_counted(usual, patchy, tmp_path, arrays):
    sequences = [[0, 0, 0, 0], [0, 0, 0, 1], [15, 0, 0, 0]]
    for source in (patchy, str(usual)):
        views = justzoomin.ZoomViews(source, 48, arrays=arrays, cache_dir=tmp_path)
        views({"sequence": sequences})
        assert sum(views.report.counts.values()) == 3
        strict = justzoomin.ZoomViews(source, 48, arrays=arrays, cache_dir=tmp_path, strict=True)
        with pytest.raises(ValueError, match=r"sequence \[0, 0, 0, 0\]: view 0-0.* is white"):
            strict({"sequence": sequences})


def test_views_of_another_size_than_the_shards_are_refused(data, rendered):
    said = r"views_64.tar has views of 64 pixels, not of 224\. Leave .* render --size 224`"
    with pytest.raises(ValueError, match=said):
        justzoomin.ZoomViews(rendered, size=224)
    for name, split in (("zoom", "validation"), ("views", "train")):
        with pytest.raises(ValueError, match=said):
            load_dataset("justzoomin", name, data_dir=str(data), views=str(rendered), size=224,
                         split=split, streaming=True)  # fmt: skip
    assert (
        justzoomin.ZoomViews(rendered, size=64)({"sequence": [[1, 2]]})["views"][0][1].width == 64
    )


def test_sequences_come_as_lists_arrays_and_tensors(rendered):
    torch = pytest.importorskip("torch")
    views = justzoomin.ZoomViews(rendered)
    expected = views({"sequence": [[7, 6, 6]]})["view_centers"]
    for sequence in ([[7, 6, 6]], np.array([[7, 6, 6]]), torch.tensor([[7, 6, 6]]),
                     [torch.tensor([7, 6, 6])], [[torch.tensor(7), 6, 6]]):  # fmt: skip
        assert views({"sequence": sequence})["view_centers"] == expected
    rows = Dataset.from_dict({"sequence": [[7, 6, 6]]}).with_format("torch")
    assert views(rows[:])["view_centers"] == expected


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ([7, 6, 6, 5, 2], r"row 1 of the batch: \[7, 6, 6, 5, 2\] is not a sequence of up to 4"),
        ([7, 16], r"row 1 of the batch: sequence \[7, 16\] has an action that is not in 0"),
        ([7.5, 1.0], "row 1 of the batch: sequences are whole numbers"),
        ([[1], [2]], "row 1 of the batch: .* is not a sequence"),
        (None, "row 1 of the batch"),
    ],
)
def test_an_invalid_sequence_is_named(rendered, sequence, message):
    with pytest.raises(ValueError, match=message):
        justzoomin.ZoomViews(rendered)({"sequence": [[7, 6, 6], sequence]})


def test_photos_and_views_train_with_workers_and_resume(usual, patchy, tmp_path, cache):
    """The recipe of the README: shuffled by index, both transforms at the end, two ranks."""
    pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    photos = justzoomin.photos("train", data_dir=str(usual), cache_dir=cache)
    photos = photos.cast_column("image", Image(decode=False)).select([0, 1, 2] * 13)
    resize = justzoomin.Resize((12, 16))
    views = justzoomin.ZoomViews(patchy, arrays=True, cache_dir=tmp_path)

    def loader(rank: int):
        share = justzoomin.equal_share(photos.shuffle(seed=3), rank, 2).flatten_indices()
        rows = share.to_iterable_dataset(num_shards=4)
        rows = rows.map(resize, batched=True, batch_size=4).map(views, batched=True, batch_size=4)
        return stateful.StatefulDataLoader(rows, batch_size=3, num_workers=2)

    whole = [list(loader(rank)) for rank in (0, 1)]
    assert [len(batches) for batches in whole] == [8, 8]
    first = whole[0][0]
    assert first["image"].shape == (3, 12, 16, 3)
    assert [view.shape for view in first["views"]] == [(3, 48, 48, 3)] * 4
    stopped = loader(1)
    iterator = iter(stopped)
    head = [next(iterator)["image_id"] for _ in range(3)]
    state = stopped.state_dict()
    del iterator, stopped
    again = loader(1)
    again.load_state_dict(state)
    assert head + [batch["image_id"] for batch in again] == [b["image_id"] for b in whole[1]]
