"""Scores: predictions of every kind and form, paired with references by image id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Dataset, load_dataset

import justzoomin
from justzoomin import zoom as grid
from justzoomin.cli import main


@pytest.fixture(scope="module")
def truth(zoom: Path, tmp_path_factory) -> Dataset:
    cache = str(tmp_path_factory.mktemp("truth"))
    options = {"data_dir": str(zoom), "split": "validation", "cache_dir": cache}
    return load_dataset("justzoomin", "metadata", **options)


@pytest.fixture(scope="module")
def found(truth: Dataset) -> Dataset:
    """Perfect predictions, in another order than the references."""
    return truth.shuffle(seed=1).select_columns(["image_id", "sequence"]).flatten_indices()


FORMS: dict[str, Callable[[Dataset], Any]] = {
    "data set": lambda rows: rows,
    "streamed": lambda rows: rows.to_iterable_dataset(),
    "frame": lambda rows: rows.to_pandas(),
    "frame of text": lambda rows: pd.DataFrame(
        {"image_id": rows["image_id"][:], "sequence": list(map(str, rows["sequence"]))}
    ),
    "Arrow": lambda rows: pa.Table.from_pylist(list(rows)),
    "rows": list,
    "named tuples": lambda rows: list(rows.to_pandas().itertuples()),
    "record array": lambda rows: rows.to_pandas().to_records(index=False),
    "columns": lambda rows: rows[:],
    "ids to predictions": lambda rows: {row["image_id"]: row["sequence"] for row in rows},
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_paired_by_id_whatever_their_form_and_order(truth, found, form):
    assert found["image_id"][:] != truth["image_id"][:]
    assert justzoomin.score(FORMS[form](found), truth)["r@1"] == 1


@pytest.mark.parametrize("form", ["data set", "streamed", "frame", "Arrow", "rows", "columns"])
def test_references_of_every_form_are_paired_by_id(truth, found, form):
    assert justzoomin.score(found, FORMS[form](truth))["r@1"] == 1


def test_ids_pair_arrays_and_tensors(truth, found):
    torch = pytest.importorskip("torch")
    for ids in (found["image_id"], [int(i) for i in found["image_id"]],
                np.array(found["image_id"][:], float), [f"{i}.jpg" for i in found["image_id"]],
                [i.encode() for i in found["image_id"]]):  # fmt: skip
        assert justzoomin.score(torch.tensor(found["sequence"][:]), truth, ids=ids)["r@1"] == 1


def test_predictions_in_the_order_of_photos_are_never_paired_by_position(zoom, truth, cache):
    photos = justzoomin.photos("validation", data_dir=str(zoom), cache_dir=cache).shuffle(seed=2)
    sequences = [row["sequence"] for row in photos.remove_columns("image")]
    with pytest.raises(ValueError, match=r"references have image ids and predictions have none"):
        justzoomin.score(sequences, truth)
    assert justzoomin.score(sequences, truth, ids=photos["image_id"])["r@1"] == 1
    small = photos.with_transform(justzoomin.Resize(8))  # not called: no picture is read
    assert justzoomin.score(small, truth, kind="sequences")["r@1"] == 1


def test_other_ids_are_counted_and_named(truth, found):
    some = found.select(range(6))
    with pytest.raises(ValueError, match=r"references without a prediction: 4 \(\d+, \d+, "):
        justzoomin.score(some, truth)
    with pytest.raises(ValueError, match=r"predictions without a reference: 4 .* of 10\. allow"):
        justzoomin.score(found, truth.filter(lambda row: row["image_id"] in some["image_id"]))
    partial = justzoomin.score(some, truth, allow_partial=True)
    assert (partial["n"], partial["n_predictions"], partial["n_references"]) == (6, 6, 10)
    assert partial["r@1"] == 1 and "n_references" in str(partial)
    strangers = [f"x{i}" for i in range(10)]
    with pytest.raises(ValueError, match=r"no prediction is of a photo of the references: 10 \(x0"):
        justzoomin.score(found["sequence"], truth, ids=strangers, allow_partial=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1] + [rows[0]], r"predictions: repeated ids: 1 \(\d+\)"),
        (lambda rows: [{**row, "image_id": 1e300} for row in rows], "is 1e\\+300, which is not"),
        (lambda rows: [{**row, "image_id": None} for row in rows], "id 0 is None, which is not"),
        (lambda rows: [{**row, "pred_sequence": 0} for row in rows], "pred_sequence may contain"),
        (lambda rows: [{**row, "latitude": 0, "longitude": 0} for row in rows], "one with kind="),
        (lambda rows: [{"image_id": row["image_id"]} for row in rows], "have no column sequence"),
        (lambda rows: [*rows[:-1], {"sequence": [0]}], "row 9 has no image_id, which the first"),
    ],
)
def test_what_cannot_be_paired_is_refused(truth, found, change, message):
    with pytest.raises(ValueError, match=message):
        justzoomin.score(change(list(found)), truth)


NAMES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "index": lambda frame: frame.set_index("image_id"),
    "unnamed index": lambda frame: frame.set_index(pd.Index(frame.pop("image_id").tolist())),
    "filename": lambda frame: frame.rename(columns={"image_id": "filename"}),
    "File Name": lambda frame: frame.rename(columns={"image_id": "File Name"}).to_dict("list"),
    "rows": lambda frame: frame.rename(columns={"image_id": "filename"}).to_dict("records"),
    "Arrow": lambda frame: pa.table(
        {"filename": frame["image_id"], "sequence": frame["sequence"],
         **{name: frame[name] for name in frame.columns if name.endswith("tude")}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", NAMES)
def test_ids_of_other_names_are_ids_too(truth, found, form):
    references = NAMES[form](truth.to_pandas()[["image_id", "sequence", "latitude", "longitude"]])
    assert justzoomin.score(NAMES[form](found.to_pandas()), references)["r@1"] == 1
    assert justzoomin.score(found, references)["r@1"] == 1


def test_of_two_columns_of_ids_neither_is_guessed(truth, found):
    frame = found.to_pandas().rename(columns={"image_id": "filename"}).assign(id=range(10))
    with pytest.raises(ValueError, match="image ids may be in filename, id: name the right"):
        justzoomin.score(frame, truth)
    both = found.to_pandas().assign(filename="x.jpg")
    assert justzoomin.score(both, truth)["r@1"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "prediction",
        "output",
        "Guess",
        "answer_0",
        "response",
        "pred_y",
        "ypred",
        "predCell",
        "yhat",
    ],
)
def test_a_marked_column_beside_an_unmarked_one_is_refused(truth, found, name):
    frame = found.to_pandas()
    with pytest.raises(ValueError, match=f"columns {name} may contain predictions too"):
        justzoomin.score(frame.assign(**{name: 0}), truth)
    assert justzoomin.score(frame.assign(prediction_id=0, pred_score=0, chat=0), truth)["r@1"] == 1


def test_a_repeated_column_is_refused(truth, found):
    frame = found.to_pandas()
    twice = pd.concat([frame, frame[["sequence"]]], axis=1)
    table = pa.Table.from_pandas(frame)
    for rows in (twice, table.append_column("sequence", table["sequence"])):
        with pytest.raises(ValueError, match="column sequence occurs more than once"):
            justzoomin.score(rows, truth)


def test_integers_as_floats_are_not_read_as_coordinates(truth, found):
    shallow = np.array(found["sequence"][:], float)[:, :2]
    with pytest.raises(ValueError, match="sequences of two actions or coordinates"):
        justzoomin.score(shallow, truth, ids=found["image_id"])
    assert justzoomin.score(shallow.astype(int), truth, ids=found["image_id"])["r@1"] == 1
    assert justzoomin.score(shallow, truth, "coordinates", found["image_id"])["r@1"] < 1


def test_invalid_shapes_and_ids_are_value_errors(truth, found):
    with pytest.raises(ValueError, match=r"expected shape \(10, 1, 4\)"):
        justzoomin.score(np.zeros((10, 0, 4), int), truth, ids=found["image_id"])
    for ids in (5, "12", np.array(5)):
        with pytest.raises(ValueError, match="ids are not a list"):
            justzoomin.score(found["sequence"], truth, ids=ids)
    for suffix in (".JPG", ".jpeg", "_undistorted.Jpeg"):
        ids = [one + suffix for one in found["image_id"]]
        assert justzoomin.score(found["sequence"], truth, ids=ids)["r@1"] == 1


def test_long_cells_and_many_columns_are_shortened(truth, found):
    with pytest.raises(ValueError, match="may contain predictions too") as caught:
        justzoomin.score({"sequence": [0], **{f"lat_{i}": [0] for i in range(400)}}, truth)
    assert len(str(caught.value)) < 400
    with pytest.raises(ValueError, match="no prediction is of a photo") as caught:
        justzoomin.score(found["sequence"], truth, ids=[f"{i}" + "x" * 5000 for i in range(10)])
    assert len(str(caught.value)) < 1000


def test_a_data_set_without_ids_is_refused_for_predictions_with_ids(truth, found):
    with pytest.raises(ValueError, match="references have no image_id to find them by"):
        justzoomin.score(found, truth.remove_columns("image_id"))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_shorter_sequences_are_scored_on_their_length(truth, found, depth):
    shallow = np.array(found["sequence"][:])[:, :depth]
    result = justzoomin.score(shallow, truth, ids=found["image_id"])
    assert (result["r@1"], result["depth"]) == (1, depth)
    ranked = np.stack([(shallow + 1) % 16, *[shallow] * 4], 1)
    result = justzoomin.score(ranked, truth, ids=found["image_id"])
    assert (result["r@1"], result["r@5"], result["depth"]) == (0, 1, depth)


def test_scoring_the_references_gives_a_warning(truth, caplog):
    places = truth.select_columns(["image_id", "latitude", "longitude"])
    assert justzoomin.score(places, truth)["median_m"] == 0
    assert "are they the references themselves?" in caplog.text


def write(rows: Dataset, path: Path) -> None:
    if path.suffix == ".parquet":
        rows.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        texts = [{name: str(value) for name, value in row.items()} for row in rows]
        separator = "\t" if path.suffix == ".tsv" else ","
        pd.DataFrame(texts).to_csv(path, sep=separator, index=False)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_the_command_scores_files(zoom, truth, found, tmp_path, capsys, suffix):
    path = tmp_path / f"answers{suffix}"
    command = ["score", str(path), "--data-dir", str(zoom), "--json"]

    def scored(rows: Dataset, *more: str) -> dict[str, Any]:
        write(rows, path)
        assert main([*command, *more]) == 0
        return json.loads(capsys.readouterr().out)

    result = scored(found)
    assert (result["r@1"], result["n"], result["split"]) == (1, 10, "validation")
    latitude, longitude = grid.decode(found["sequence"][:])
    centres = Dataset.from_dict(
        {"image_id": found["image_id"][:], "latitude": latitude, "longitude": longitude}
    )
    assert scored(centres)["median_m"] == pytest.approx(result["median_m"])
    ranked = found.map(lambda row: {"candidates": [[0] * 4, row["sequence"], *[[1] * 4] * 3]})
    result = scored(ranked.remove_columns("sequence"))
    assert (result["r@1"], result["r@5"]) == (0, 1)
    assert scored(found.select(range(3)), "--allow-partial")["n_references"] == 10
    write(found.select(range(3)), path)
    assert main(command) == 2
    assert "7 (" in (said := capsys.readouterr().err) and "--allow-partial scores" in said


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "image_id,sequence\n1,\"[1, 2\"\n", "line 2: sequence is '[1, 2'"),
        ("a.csv", "image_id,latitude,longitude\n1,38.9,west\n", "longitude contains 'west'"),
        ("a.csv", "id,sequence\n1,\"[1]\"\n", "has no column image_id; it has id, sequence"),
        ("a.csv", "image_id,latitude,longitude,gt_lat,gt_lon\n1,2,3,4,5\n", "gt_lat, gt_lon may"),
        ("a.csv", "image_id,latitude,longitude,latitude\n1,2,3,4\n", "column latitude occurs"),
        ("a.csv", "image_id,sequence,sequence\n1,[1],[2]\n", "column sequence occurs more than"),
        ("a.csv", "image_id,image_id,sequence\n1,2,[2]\n", "column image_id occurs more than"),
        ("a.csv", "image_id,sequence,output\n1,[1],[2]\n", "columns output may contain"),
        ("a.csv", "image_id,latitude,longitude,pred_y,pred_x\n1,2,3,4,5\n", "pred_y, pred_x may"),
        ("a.jsonl", '{"image_id": 1, "sequence": [1], "sequence": [2]}', "column sequence occurs"),
        ("a.jsonl", '{"image_id": 1}\n{"image_id"', "line 2 is not JSON"),
        ("a.jsonl", '{"image_id": 1}\n{"id": 1}', "line 2 is not a record with the fields"),
        ("a.parquet", "PAR1", "a.parquet: "),
        ("a.xlsx", "", "a .csv, .tsv, .parquet or .jsonl file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_scored_is_named(zoom, tmp_path, capsys, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["score", str(tmp_path / name), "--data-dir", str(zoom)]) == 2
    said = capsys.readouterr().err
    assert name in said and message in said
    assert len(said.splitlines()) == 1


def test_a_long_cell_of_a_file_is_shortened(zoom, tmp_path, capsys):
    for text in (f"image_id,latitude,longitude\n1,{'x' * 5000},2\n",
                 f"image_id,sequence\n1,{'x' * 5000}\n",
                 ",".join(f"c{i}" for i in range(400)) + "\n"):  # fmt: skip
        (tmp_path / "a.csv").write_text(text, encoding="utf-8")
        assert main(["score", str(tmp_path / "a.csv"), "--data-dir", str(zoom)]) == 2
        assert len(capsys.readouterr().err) < 600


def test_a_repeated_column_of_a_parquet_file_is_refused(zoom, tmp_path, capsys):
    one = pa.array([[1, 2]])
    table = pa.Table.from_arrays([pa.array(["1"]), one, one], ["image_id", "sequence", "sequence"])
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    assert main(["score", str(tmp_path / "a.parquet"), "--data-dir", str(zoom)]) == 2
    said = capsys.readouterr().err
    assert "a.parquet" in said and "sequence" in said and len(said.splitlines()) == 1


def test_the_table_of_the_command(zoom, found, tmp_path, capsys):
    write(found, tmp_path / "answers.csv")
    assert main(["score", str(tmp_path / "answers.csv"), "--data-dir", str(zoom)]) == 0
    said = capsys.readouterr().out
    assert "against split validation, paired by image_id" in said
    assert "r@1" in said and "acc@40m" in said and "100.0 %" in said


def test_intervals_account_for_photos_of_one_place(zoom, truth, found, tmp_path, capsys):
    half = len(truth) // 2
    right = lambda row, at: {"sequence": row["sequence"] if at < half else [15] * 4}  # noqa: E731
    guess = truth.map(right, with_indices=True).select_columns(["image_id", "sequence"])
    alone = justzoomin.score(guess, truth)
    labels = [at * 4 // len(truth) for at in range(len(truth))]  # four groups, all right or wrong
    grouped = justzoomin.score(guess, truth, groups=labels)
    assert "n_groups" not in alone and grouped["n_groups"] == 4
    assert grouped["r@1"] == alone["r@1"] == pytest.approx(0.5)
    assert grouped["r@1_n_effective"] < len(truth)
    assert grouped["r@1_ci95"][1] > alone["r@1_ci95"][1]
    write(found, tmp_path / "answers.csv")
    command = ["score", str(tmp_path / "answers.csv"), "--data-dir", str(zoom), "--json"]
    for size, low, high in (("place:500m", 2, len(truth)), ("place:100km", 1, 4), ("none", 0, 0)):
        assert main([*command, "--groups", size]) == 0
        assert low <= json.loads(capsys.readouterr().out).get("n_groups", 0) <= high
