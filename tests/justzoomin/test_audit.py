"""How near validation photos are to training photos, and the split by blocks."""

import csv
import json
from math import asin, cos, radians, sin, sqrt

import numpy as np
import pytest
from datasets import load_dataset

import justzoomin
from justzoomin.cli import main
from justzoomin.sample import write_sample
from justzoomin.source import TABLES
from justzoomin.zoom import EARTH_RADIUS_M, encode, move

NAMES = ("image_id", "latitude", "longitude", "sequence")


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A miniature of 700 photos, some of them near the photos of other blocks."""
    folder = tmp_path_factory.mktemp("dense")
    write_sample(folder, train=600, validation=100, width=8)
    return folder


def load(folder, **options):
    rows = load_dataset("justzoomin", "metadata", data_dir=str(folder), **options)
    return {split: rows[split].to_list() for split in rows}


def metres(a, b):
    """Haversine distance of two rows."""
    (p, east), (q, west) = ((radians(x["latitude"]), radians(x["longitude"])) for x in (a, b))
    h = sin((q - p) / 2) ** 2 + cos(p) * cos(q) * sin((west - east) / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(sqrt(h))


def write_tables(folder, **splits):
    (folder / "metadata").mkdir()
    for split, places in splits.items():
        rows = [(f"{split}-{i}", *place, encode(*place).tolist()) for i, place in enumerate(places)]
        with open(folder / "metadata" / TABLES[split], "w", newline="") as file:
            csv.writer(file).writerows([NAMES, *rows])
    return str(folder)


def test_no_validation_photo_of_another_block_is_near_a_training_photo(dense):
    by_table, rows = load(dense), load(dense, split_by="blocks")
    near = [min(metres(a, b) for b in rows["train"]) for a in rows["validation"]]
    assert min(near) >= 100
    blocks = {split: {tuple(row["sequence"][:2]) for row in rows[split]} for split in rows}
    assert not blocks["train"] & blocks["validation"]
    before = {row["image_id"]: row for split in by_table.values() for row in split}
    after = {row["image_id"]: row for split in rows.values() for row in split}
    assert all(before[key] == row for key, row in after.items())
    assert len(after) == len(rows["train"]) + len(rows["validation"])
    # those in neither split are near a validation photo
    lost = before.keys() - after.keys()
    assert lost
    assert all(min(metres(before[one], b) for b in rows["validation"]) < 100 for one in lost)
    assert 0.02 < len(rows["validation"]) / len(before) < 0.25


def test_photos_are_split_like_the_tables(dense):
    rows = load(dense, split_by="blocks")
    for split in rows:
        photos = load_dataset(
            "justzoomin", data_dir=str(dense), split=split, split_by="blocks", streaming=True,
            strict=True,
        )  # fmt: skip
        found = {photo["image_id"] for photo in photos}
        assert found == {row["image_id"] for row in rows[split]}
        in_place = justzoomin.photos(split, data_dir=str(dense), split_by="blocks")
        assert in_place["image_id"] == [row["image_id"] for row in rows[split]]


def test_an_unknown_split_is_refused(dense):
    with pytest.raises(ValueError, match="split_by must be one of 'table', 'blocks'"):
        load(dense, split_by="block")
    with pytest.raises(ValueError, match=r'not of "cells"'):
        load_dataset("justzoomin", "cells", data_dir=str(dense), split_by="blocks")


def test_the_audit_finds_the_nearest_training_photo(dense, tmp_path, capsys):
    pairs = tmp_path / "pairs.csv"
    command = ["audit", "--data-dir", str(dense), "--pairs", str(pairs), "--within", "1e9"]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = load(dense)
    assert (printed["n_train"], printed["n_validation"]) == (600, 100)
    with open(pairs) as file:
        found = list(csv.DictReader(file))
    train = {row["image_id"]: row for row in rows["train"]}
    validation = {row["image_id"]: row for row in rows["validation"]}
    assert {pair["image_id"] for pair in found} == set(validation)
    for pair in found:
        nearest = min(metres(validation[pair["image_id"]], row) for row in rows["train"])
        own = metres(validation[pair["image_id"]], train[pair["train_image_id"]])
        assert own == pytest.approx(nearest, abs=0.01)
        assert float(pair["metres"]) == pytest.approx(nearest, abs=0.01)
    distances = [float(pair["metres"]) for pair in found]
    assert distances == sorted(distances)
    assert printed["distance_to_nearest_m"]["50%"] == pytest.approx(np.median(distances), abs=0.01)
    assert printed["share_within_m"]["100"] == np.mean(np.array(distances) <= 100)
    assert printed["nearest_photo"]["median_m"] == pytest.approx(np.median(distances), abs=0.01)


def test_planted_copies_are_counted(tmp_path, capsys):
    spots = [(38.90 + 0.002 * i, -77.02) for i in range(10)]
    # three copies, two photos 7 m to the east, and five that are far from all training photos
    east = [tuple(map(float, move(*spot, 7, 0))) for spot in spots[3:5]]
    far = [(38.90 + 0.002 * i, -76.98) for i in range(5)]
    folder = write_tables(tmp_path, train=spots, validation=[*spots[:3], *east, *far])
    pairs = str(tmp_path / "pairs.csv")
    assert main(["audit", "--data-dir", folder, "--json", "--pairs", pairs]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found["share_within_m"].values()) == [0.3, 0.5, 0.5, 0.5, 0.5]
    assert found["nearest_photo"]["acc@40m"] == 0.5
    assert found["cell_of_nearest_photo"]["r@1"] >= 0.3
    assert "Wrote 5 pairs within 25 m" in err
    figure = tmp_path / "distances.png"
    assert main(["audit", "--data-dir", folder, "--figure", str(figure)]) == 0
    assert "validation photos with a training photo within 5 m: 30.0%" in (
        capsys.readouterr().out.lower()
    )
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_an_empty_split_is_an_error(tmp_path, capsys):
    folder = write_tables(tmp_path, train=[(38.9, -77.0)], validation=[])
    assert main(["audit", "--data-dir", folder]) == 2
    assert "split validation has no photos" in capsys.readouterr().err
    assert main(["audit", "--data-dir", folder, "--figure", "x.gif"]) == 2


def test_scores_of_the_split_by_blocks(dense, tmp_path, capsys):
    rows = load(dense, split_by="blocks")["validation"]
    file = tmp_path / "predictions.csv"
    with open(file, "w", newline="") as opened:
        out = csv.writer(opened)
        out.writerow(["image_id", "latitude", "longitude"])
        out.writerows((row["image_id"], row["latitude"] + 0.0003, row["longitude"]) for row in rows)
    assert main(["score", str(file), "--data-dir", str(dense)]) == 2
    command = ["score", str(file), "--data-dir", str(dense), "--split-by", "blocks", "--json"]
    capsys.readouterr()
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == len(rows) and found["acc@40m"] == 1
