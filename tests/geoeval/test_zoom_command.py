"""The command `geoeval` with zoom and retrieval models, over the miniature of Just Zoom In."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from geoeval.cli import main
from justzoomin.rendering import render
from tests.support.equal import assert_same_bytes

MODELS = """
import numpy as np
import torch
from torch import nn


class Zoom(nn.Module):
    view_size, image_size, batch_size, device = 40, 24, 16, "cpu"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.views = nn.Sequential(
            nn.Conv2d(3, 8, 5, 4), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 16)
        )
        self.photos = nn.Linear(3, 16)
        self.past = nn.Linear(16, 16)

    def preprocess(self, photo):
        return torch.tensor(np.asarray(photo)).permute(2, 0, 1) / 255

    def encode(self, photos):
        return self.photos(torch.stack([photo.mean((1, 2)) for photo in photos])), None

    def step(self, state, views, actions):
        assert views.shape[1:] == (40, 40, 3)
        photos, past = state
        seen = self.views(torch.from_numpy(views).permute(0, 3, 1, 2) / 255)
        past = seen if past is None else self.past(past) + seen
        return 40 * photos * past, (photos, past)


class Failing(Zoom):
    def encode(self, photos):
        if any(photo.mean() > 0.55 for photo in photos):
            raise ValueError("too bright")
        return super().encode(photos)


class Nan(Zoom):
    def step(self, state, views, actions):
        return torch.full((len(views), 16), torch.nan)


class Short(Zoom):
    def step(self, state, views, actions):
        return torch.zeros(len(views), 15)


class Embeds:
    image_size = 24

    def embed_photos(self, photos):
        return np.stack([np.asarray(photo, float).mean((0, 1)) - 128 for photo in photos])

    def embed_views(self, views):
        with open(LOG, "a") as file:
            print(len(views), file=file)
        return views.mean((1, 2)) - 128


class Named(Embeds):
    checkpoint = {"name": "colours", "revision": "1"}


def guess(photos):
    return [[38.9, -77.0]] * len(photos)
"""


@pytest.fixture
def geoeval(town, tmp_path, capsys):
    """Runs a model over the miniature: status, what was printed, the folder and its run.json."""
    file, log = tmp_path / "models.py", tmp_path / "log.txt"
    file.write_text(MODELS.replace("LOG", repr(str(log))), encoding="utf-8")

    def evaluate(name: str, *options: str, out: str = "run") -> tuple:
        folder = tmp_path / out
        words = [f"{file}:{name}", "--benchmark", "justzoomin", "-o", str(folder)]
        status = main([*words, "--data-dir", str(town), "--workers", "0", *options])
        captured = capsys.readouterr()
        document = folder / "run.json"
        found = json.loads(document.read_bytes()) if document.exists() else None
        return status, captured.out + captured.err, folder, found

    evaluate.log = log
    return evaluate


FEW = ["--limit", "24", "--batch-size", "8"]


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").open(encoding="utf-8")]


def test_a_zoom_model_is_run_scored_and_drawn(geoeval):
    status, text, folder, run = geoeval("Zoom", "--beam", "3")
    assert status == 0
    assert "As the authors' evaluation prints it: r@1 strict" in text
    assert "Expected calibration error" in text
    for record in records(folder):
        assert len(record["sequence"]) == 4
        assert len(record["candidates"]) == 3
    assert run["settings"]["beam"] == 3
    assert run["settings"]["view_size"] == 40
    # Two ways to the same figures: by coordinates with gcd-metric, and by sequences.
    by_coordinates = run["score"]["runs"][0]["scores"]
    for key in ("acc@40m", "acc@100m", "median_m"):
        assert run["zoom"]["scores"][key] == pytest.approx(by_coordinates[key])
    assert run["zoom"]["scores"]["n"] == 60
    assert (folder / "cases.png").read_bytes().startswith(b"\x89PNG")


def test_a_stopped_run_continues_to_the_same_bytes(geoeval, undrawn):
    _, _, whole, _ = geoeval("Zoom", *FEW, "--beam", "2")
    wanted = (whole / "predictions.jsonl").read_bytes()
    _, _, folder, _ = geoeval("Zoom", *FEW, "--beam", "2", out="stopped")
    (folder / "predictions.jsonl").write_bytes(wanted[: len(wanted) // 2])
    assert geoeval("Zoom", *FEW, "--beam", "2", out="stopped")[0] == 0
    assert_same_bytes((folder / "predictions.jsonl").read_bytes(), wanted)
    status, text, _, _ = geoeval("Zoom", *FEW, "--beam", "4", out="stopped")
    assert status == 2 and "beam was 2 and is 4" in text


def test_the_photo_on_which_a_model_raises_has_an_error(geoeval, undrawn):
    status, text, folder, run = geoeval("Failing", "--limit", "30")
    assert status == 0
    failed = [record for record in records(folder) if "error" in record]
    assert 0 < len(failed) < 30
    assert run["zoom"]["scores"]["n"] == 30
    assert "too bright" in failed[0]["error"]


def test_views_come_from_a_rendered_shard_at_the_size_of_the_model(
    geoeval, undrawn, town, tmp_path
):
    shard = tmp_path / "views_48.tar"
    render(town, shard, size=48, quality=100, workers=1)
    status, _, folder, run = geoeval("Zoom", "--views", str(shard), out="shard")
    assert status == 0
    assert run["settings"]["views"] == str(shard)
    _, _, drawn, _ = geoeval("Zoom", out="drawn")
    same = [a["sequence"] == b["sequence"] for a, b in zip(
        records(folder), records(drawn), strict=True)]  # fmt: skip
    assert sum(same) > 40  # resampled views are only nearly those that are drawn


def test_cells_are_embedded_once_for_all_runs_of_a_checkpoint(geoeval, undrawn):
    options = ["--retrieval", "--depth", "3", "--size", "24", "--batch-size", "64"]
    status, text, folder, run = geoeval("Named", *options, "--limit", "20")
    assert status == 0
    assert {"r@1", "r@5", "r@10", "median_m"} <= run["zoom"]["scores"].keys()
    assert run["zoom"]["scores"]["depth"] == 3
    assert not {"ece", "authors"} & run["zoom"].keys()
    assert "authors" not in text
    assert all(len(record["candidates"]) == 10 for record in records(folder))
    lines = geoeval.log.read_text().splitlines()
    assert sum(map(int, lines)) == 4096
    assert geoeval("Named", *options, "--candidates", "5", out="again")[0] == 0
    assert geoeval.log.read_text().splitlines() == lines
    assert [path for path in folder.iterdir() if path.suffix == ".npy"] == []


def test_without_a_checkpoint_the_embeddings_are_of_one_run(geoeval, undrawn):
    options = ["--retrieval", "--depth", "3", "--size", "16", "--limit", "16"]
    assert geoeval("Embeds", *options, "--batch-size", "8")[0] == 0
    once = geoeval.log.read_text()
    folder = geoeval("Embeds", *options, "--batch-size", "8")[2]
    assert geoeval.log.read_text() == once
    cells = np.load(next(folder.glob("cells-*.npy")))
    assert cells.shape == (4096, 3)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("Zoom", ["--retrieval"], "--retrieval has no effect on"),
        ("Zoom", ["--depth", "3"], "--depth has no effect on"),
        ("guess", ["--beam", "2"], "--beam has no effect on"),
        ("Embeds", [], "add --retrieval"),
        ("Embeds", ["--retrieval", "--beam", "2"], "--beam has no effect on"),
        ("Zoom", ["--benchmark", "im2gps"], "needs --benchmark justzoomin"),
        ("Short", [], r"scores of shape (8, 15)"),
        ("Nan", [], "not numbers"),
        ("Zoom", ["--size", "384"], "up to 61 pixels can be drawn"),
        ("Zoom", ["--views", "nowhere.tar"], "There is no"),
    ],
)
def test_what_cannot_be_run_is_one_line(geoeval, name, options, text):
    status, found, _, _ = geoeval(name, *options)
    assert status == 2
    assert text in found
    assert "Traceback" not in found
