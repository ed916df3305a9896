"""Training photos like test photos are found by the embeddings of a model."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoload.models.photos import Embedder
from geoload.report import Findings
from im2gps.audit.similar import find_similar
from im2gps.cli import main

# Mean colours of a grid, the same for a picture and its mirror image.
MODEL = """
import numpy as np

class Grid:
    def embed_photos(self, photos):
        assert all(photo.mode == "RGB" and not photo.info for photo in photos)
        assert len(photos) <= getattr(self, "batch_size", 32)
        pixels = np.stack([np.asarray(photo.resize((12, 12), 4), float) for photo in photos])
        return (pixels + pixels[:, :, ::-1] - 250).reshape(len(photos), -1)

class Prepared(Grid):
    image_size, batch_size = 16, 5
    def preprocess(self, photo):
        assert min(photo.size) == 16
        return photo.resize((12, 12), 4)
"""


@pytest.fixture
def model(tmp_path):
    """Writes a file of models, and returns how one of them is named."""

    def write(code: str = "", name: str = "Grid") -> str:
        (tmp_path / "my_model.py").write_text(MODEL + code, encoding="utf-8")
        return f"{tmp_path / 'my_model.py'}:{name}"

    return write


def jpeg(picture: Image.Image, quality: int = 70) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture
def planted(packs, tmp_path):
    """A folder of training photos, and which of them is made from which test photo."""
    folder = tmp_path / "train"
    folder.mkdir()
    with zipfile.ZipFile(packs / "2k_random_test.zip") as pack:
        for number, member in enumerate(pack.namelist()):
            (folder / f"other{number}.jpg").write_bytes(pack.read(member))
    with zipfile.ZipFile(packs / "gps_query_imgs.zip") as pack:
        names = [name.rpartition("/")[2] for name in pack.namelist()]
        first, second, _, fourth, *_ = (pack.read(name) for name in pack.namelist())
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (first, second, fourth)]
    large = pictures[0].resize((pictures[0].width * 2, pictures[0].height * 2))
    (folder / "7000001_0123456789.jpg").write_bytes(jpeg(large))
    (folder / "mirrored.jpg").write_bytes(jpeg(pictures[1].transpose(Image.Transpose(0))))
    (folder / "same.jpg").write_bytes(fourth)
    (folder / "cut.jpg").write_bytes(fourth[:300])
    return folder, {
        "7000001_0123456789.jpg": names[0], "mirrored.jpg": names[1], "same.jpg": names[3]
    }  # fmt: skip


def audit(*options: str | Path) -> int:
    return main(["audit", *map(str, options)])


def read_pairs(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["Grid", "Prepared"])
def test_planted_photos_are_found_and_others_are_not(packs, tmp_path, capsys, planted, model, name):
    folder, made_from = planted
    pairs, excluded, sheet = (tmp_path / one for one in ("pairs.csv", "seen.txt", "sheet.html"))
    options = ["--similarity", "0.98", "--kinds", "id", "--pairs", pairs, "--exclude", excluded]
    spec = model(name=name)
    assert audit(folder, "--test", f"im2gps={packs}", "--embeddings", spec,
                 "--sheet", sheet, *options, "--json") == 0  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert (found["embeddings"], found["similarity"]) == (spec, 0.98)
    assert found["test"][0]["overlap"]["similar"] == {"test_photos": 3, "train_photos": 3}
    assert found["train"][0]["findings"]["unreadable_picture"]["count"] == 1
    rows = read_pairs(pairs)
    assert {row["train_id"]: row["image_id"] for row in rows} == made_from
    assert all(row["kind"] == "similar" and row["bits"] == row["metres"] == "" for row in rows)
    similar = {row["train_id"]: float(row["similarity"]) for row in rows}
    assert similar["same.jpg"] == 1 and all(0.98 <= one <= 1 for one in similar.values())
    assert "7000001" in excluded.read_text("utf-8").split()
    page = sheet.read_text("utf-8")
    assert all(one in page for one in made_from) and "Similar embeddings" in page


def test_pictures_and_embeddings_can_be_compared_in_one_run(
    packs, tmp_path, capsys, planted, model
):
    folder, _ = planted
    pairs, sheet = tmp_path / "pairs.csv", tmp_path / "sheet.html"
    assert audit(folder, "--test", f"im2gps={packs}", "--pictures", "--embeddings", model(),
                 "--similarity", "0.98", "--pairs", pairs, "--sheet", sheet) == 0  # fmt: skip
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if "0.98 or more" in line)
    assert "similarity of embeddings" in line and line.split()[-3:] == ["3", "25.0%", "3"]
    assert "1 picture that cannot be decoded (cut.jpg: it cannot be decoded" in said
    by_kind = {kind: {row["train_id"] for row in read_pairs(pairs) if row["kind"] == kind}
               for kind in ("picture", "similar")}  # fmt: skip
    assert by_kind["similar"] - by_kind["picture"] == {"mirrored.jpg"}
    page = sheet.read_text("utf-8")
    assert "<h2>Copies</h2><p>2 pairs" in page and "<h2>Similar embeddings</h2><p>3 pairs" in page


WRONG = {
    "nan": ("return [[1.0, float('nan')]] * len(photos)", "returned NaN or infinity"),
    "rows": ("return np.ones((len(photos) + 1, 3))", "returned shape (13, 3), not (12, d)"),
    "flat": ("return np.ones(len(photos))", "returned shape (12,), not (12, d)"),
    "empty": ("return np.ones((len(photos), 0))", "returned shape (12, 0), not (12, d)"),
    "text": ("return ['warm'] * len(photos)", "returned list that is no array of numbers"),
    "other": ("return np.ones((len(photos), len(photos)))", "dimensions after 12"),
    "raises": ("return 1 / 0", "ZeroDivisionError: division by zero (my_model.py, line"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_model_that_gives_no_embeddings_is_one_clear_error(packs, capsys, planted, model, kind):
    code, message = WRONG[kind]
    spec = model(f"\nclass Wrong:\n    def embed_photos(self, photos):\n        {code}\n", "Wrong")
    assert audit(planted[0], "--test", f"im2gps={packs}", "--embeddings", spec) == 2
    error = capsys.readouterr().err
    assert message in error and spec in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--embeddings", "SPEC"], "gives no embeddings: add a method embed_photos(photos)"),
        (["--embeddings", "nothing"], "a model is FILE.py:NAME, package.module:NAME, or one of"),
        (["--similarity", "0.9"], "--similarity is that of embeddings, so it needs --embeddings"),
        (["--embeddings", "SPEC", "--similarity", "0"], "--similarity 0: give a number above 0"),
        (["--embeddings", "SPEC", "--similarity", "nan"], "--similarity nan: give a number above"),
        (["--embeddings", "SPEC", "--similarity", "1.5"], "--similarity 1.5: give a number above"),
        (["--embeddings", "GRID", "--pairs", "my_model.py"], "my_model.py is read"),
        (["--sheet", "a.html"], "it needs --pictures or --embeddings"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    packs, tmp_path, capsys, monkeypatch, planted, model, options, message
):
    predict = "\ndef predict(photos):\n    return [[0, 0]] * len(photos)\n"
    specs = {"GRID": model(predict), "SPEC": model(predict, "predict")}
    monkeypatch.chdir(tmp_path)
    chosen = [specs.get(one, one) for one in options]
    assert audit(planted[0], "--test", f"im2gps={packs}", *chosen) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_table_has_no_photos_to_embed(packs, tmp_path, capsys, model):
    (tmp_path / "train.csv").write_text("photo_id,latitude,longitude\n1,2,3\n", encoding="utf-8")
    command = [tmp_path / "train.csv", "--test", f"im2gps={packs}", "--embeddings", model()]
    assert audit(*command) == 2
    assert "train.csv has no photos" in capsys.readouterr().err


def test_the_search_is_exact_over_all_blocks(monkeypatch, model):
    """As many pairs as a product of all embeddings has, whatever the sizes of the batches."""
    monkeypatch.setattr("im2gps.audit.similar._BLOCK", 7)
    embedder = Embedder(model(name="Prepared"))
    rng = np.random.default_rng(0)

    def photos(count: int) -> list:
        coarse = rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        files = [jpeg(Image.fromarray(one), 95) for one in coarse]
        return [(f"{n}", lambda data=data: data) for n, data in enumerate(files)]

    test, train = photos(23), photos(31)
    pairs = find_similar(test, iter(train), Findings(), embedder, 0.05)
    a, b = (
        np.concatenate([embedder.embed([embedder.prepare(embedder.decode(read()))])
                        for _, read in side])
        for side in (test, train)
    )  # fmt: skip
    products = a @ b.T
    assert {(pair.test, int(pair.train)) for pair in pairs} == {
        (i, j) for i, j in np.argwhere(products >= 0.05).tolist()
    }
    assert 5 < len(pairs) < 23 * 31 - 5
    best = [pair.similarity for pair in pairs]
    assert best == sorted(best, reverse=True)
    same = find_similar(test[:2], test[:2], Findings(), embedder, 1.0)
    assert sorted(pair[:2] for pair in same) == [(0, "0"), (1, "1")]  # in spite of rounding
    assert find_similar([], train, Findings(), embedder, 0.5) == []


def test_too_many_pairs_are_refused(monkeypatch, model):
    monkeypatch.setattr("im2gps.audit.similar._MOST_PAIRS", 3)
    grey = [("grey", lambda: jpeg(Image.new("RGB", (9, 9), "white")))] * 2
    with pytest.raises(ValueError, match="more than 3 pairs of similar photos: give a larger"):
        find_similar(grey, grey, Findings(), Embedder(model()), 0.9)
