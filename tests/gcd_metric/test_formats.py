"""The same predictions in every format give the same scores, and what is unclear is said."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

from gcd_metric import GcdMetric
from tests.gcd_metric.formats import N, both, lines_of, places, rows_of, same, write

# --- one score for all formats ------------------------------------------------------------------

SEMICOLONS = {"sep": ";", "decimal": ",", "index": False}
WRITERS = {
    "p.csv": lambda frame, name: frame.to_csv(name, index=False),
    "p.tsv": lambda frame, name: frame.to_csv(name, index=False, sep="\t"),
    "p.txt": lambda frame, name: write(name, frame.to_csv(index=False, sep="\t"), "utf-16"),
    "bom.csv": lambda frame, name: write(name, frame.to_csv(index=False), "utf-8-sig"),
    "utf16.csv": lambda frame, name: write(name, frame.to_csv(index=False), "utf-16"),
    "big.csv": lambda frame, name: write(
        name, "\ufeff" + frame.to_csv(index=False, sep="\t"), "utf-16-be"
    ),
    "semicolons.csv": lambda frame, name: frame.to_csv(name, **SEMICOLONS),
    "excel.csv": lambda frame, name: write(name, "sep=;\n" + frame.to_csv(**SEMICOLONS)),
    "semicolons.txt": lambda frame, name: frame.to_csv(name, **SEMICOLONS),
    "p.csv.gz": lambda frame, name: frame.to_csv(name, index=False),
    "p.csv.bz2": lambda frame, name: frame.to_csv(name, index=False),
    "p.tsv.xz": lambda frame, name: frame.to_csv(name, index=False, sep="\t"),
    "p.json.gz": lambda frame, name: write(name, json.dumps(rows_of(frame))),
    "p.jsonl": lambda frame, name: write(name, lines_of(frame)),
    "p.jsonl.gz": lambda frame, name: write(name, lines_of(frame)),
    "windows.jsonl": lambda frame, name: write(
        name, lines_of(frame).replace("\n", "\r\n"), "utf-8-sig"
    ),
    "rows.json": lambda frame, name: write(name, json.dumps(rows_of(frame), indent=1)),
    "columns.json": lambda frame, name: write(name, json.dumps(frame.to_dict("list"))),
    "pandas.json": lambda frame, name: write(name, json.dumps(frame.to_dict())),
    "split.json": lambda frame, name: write(name, json.dumps(frame.to_dict("split"))),
    "within.json": lambda frame, name: write(
        name, json.dumps({"model": "m", "results": rows_of(frame)})
    ),
    "ids.json": lambda frame, name: write(
        name, json.dumps(frame.set_index("image_id").to_dict("index"))
    ),
    "pairs.json": lambda frame, name: write(
        name, json.dumps({i: [lat, lon] for i, lat, lon in frame.itertuples(index=False)})
    ),
    "nested.jsonl": lambda frame, name: write(
        name,
        "\n".join(
            json.dumps({"id": i, "prediction": {"lat": lat, "lng": lon}})
            for i, lat, lon in frame.itertuples(index=False)
        ),
    ),
    "p.parquet": lambda frame, name: frame.to_parquet(name),
    "columns.npz": lambda frame, name: np.savez(
        name,
        image_id=frame["image_id"].to_numpy(str),
        latitude=frame["lat"],
        longitude=frame["lon"],
    ),
    "pairs.npz": lambda frame, name: np.savez_compressed(
        name,
        ids=frame["image_id"].to_numpy(str),
        predictions=frame[["lat", "lon"]],
        features=np.zeros((N, 8)),
        loss=np.float64(0.1),
    ),
    "p.npy": lambda frame, name: (
        np.save(name, frame[["lat", "lon"]].to_numpy()),
        write("p.txt", "\n".join(frame["image_id"]) + "\n"),
    ),
    "csv.npy": lambda frame, name: (
        np.save(name, frame[["lat", "lon"]].to_numpy()),
        frame[["image_id"]].to_csv("csv.csv", index=False),
    ),
    "records.npy": lambda frame, name: np.save(
        name,
        frame.astype({"image_id": "S5"}).to_records(index=False, column_dtypes={"image_id": "S5"}),
    ),
    "p.xlsx": lambda frame, name: frame.to_excel(name, index=False),
    "commas.xlsx": lambda frame, name: (
        frame.astype(str).replace(r"\.", ",", regex=True).to_excel(name, index=False)
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_scores(score, guess, name):
    if name.endswith(".xlsx"):
        pytest.importorskip("openpyxl")
    expected = GcdMetric("standard").compute(
        predictions=guess[["lat", "lon"]].to_numpy(), references=places()[["lat", "lon"]].to_numpy()
    )
    WRITERS[name](guess, name)
    found, _ = score(name)
    assert found["n"] == N and list(found) == list(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "csv.gz"])
def test_standard_input_gives_the_same_scores(score, guess, monkeypatch, kind):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    name = f"stdin.{kind}"
    WRITERS[{"json": "rows.json"}.get(kind, f"p.{kind}")](guess, name)
    with open(name, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read())))
    found, _ = score("-")
    assert same(found, expected)


def test_references_are_read_in_the_same_formats(run, score, guess, monkeypatch):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    places().to_json("t.jsonl", orient="records", lines=True)
    np.savez("t.npz", ids=places()["image_id"].to_numpy(str), labels=places()[["lat", "lon"]])
    for name in ("t.jsonl", "t.npz"):
        out = run("p.csv", "--references", name, "--groups", "none", "--json")
        assert same(json.loads(out)["runs"][0]["scores"], expected)
    text = places().to_csv(index=False).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    out = run("p.csv", "--references", "-", "--groups", "none")
    assert "references (image_id, lat, lon)" in " ".join(out.split())
    assert "only one of the files" in run("-", "--references", "-", code=2)


# --- one file with the truth --------------------------------------------------------------------

HEADERS = [
    "img_id,gt_lat,gt_long,predicted_lat,predicted_long",
    "id,true_lat,true_lon,pred_lat,pred_lon",
    "id,lat,lon,pred_lat,pred_lon",
    "IMG_ID,LAT,LON,lat_predict,lon_predict",
    "id,lat_true,lon_true,lat,lon",
    "id,label.lat,label.lng,output_lat,output_lng",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("ids", [True, False])
def test_one_file_may_contain_the_truth(score, guess, header, ids):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    frame = both(guess, header)
    id_column, *names = header.split(",")
    if not ids:
        del frame[id_column]
    frame.to_csv("both.csv", index=False)
    found, said = score("both.csv", references=False)
    assert found == expected
    truth, predictions = (" and ".join(pair) for pair in (names[:2], names[2:]))
    assert f"predictions are read from {predictions}, the truth from {truth}; --references" in said


def test_one_file_of_other_formats_with_the_truth(score, guess):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    pairs = both(guess)
    np.savez("b.npz", predictions=pairs.iloc[:, 3:], targets=pairs.iloc[:, 1:3])
    lines = (
        json.dumps({"path": i, "gt": [a, b], "pred": [c, d]})
        for i, a, b, c, d in pairs.itertuples(index=False)
    )
    write("b.jsonl", "\n".join(lines))
    pairs.to_csv("b.csv", **SEMICOLONS)
    for name in ("b.npz", "b.jsonl", "b.csv"):
        assert same(score(name, references=False)[0], expected)


def test_columns_of_one_file_can_be_chosen(score, guess):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    frame = both(guess, "id,LAT,LON,lat_p,lon_p")
    frame.to_csv("both.csv", index=False)
    assert score("both.csv", "--latitude-column", "lat_p", references=False)[0] == expected
    assert score("both.csv", "--reference-longitude-column", "LON", references=False)[0] == expected


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,lat,lon", "p.csv: no column for the latitude among ['id']"),
        ("id,LAT,LON,lat_p,lon_p", "several columns fit the latitude: LAT, lat_p"),
        ("id,pred_lat,pred_lon", "no column for the latitude among ['id']"),
        ("id,gt_lat,gt_lon", "no latitude of predictions, only gt_lat, marked as truth"),
    ],
)
def test_references_are_required_otherwise(run, header, said):
    write("p.csv", f"{header}\na,1,2,3,4\n")
    error = run("p.csv", code=2)
    assert said in error and "give the truth with --references" in error
    assert "name one with --references" in run("p.csv", "--config", "x", code=2)


def test_rows_are_the_pairs_of_one_file_without_ids(run):
    write("p.csv", "place,lat,lon,pred_lat,pred_lon\nRome,1,2,1,2\nRome,3,4,3,5\n")
    out = run("p.csv", "--json")
    document = json.loads(out)
    assert document["runs"][0]["scores"]["n"] == 2
    assert document["runs"][0]["columns"]["id"] == "row number"
    write("p.csv", "image_id,lat,lon,pred_lat,pred_lon\nRome,1,2,1,2\nRome,3,4,3,5\n")
    assert "1 duplicate id: Rome" in run("p.csv", code=2)
    assert "no column 'nothing'" in run("p.csv", "--id-column", "nothing", code=2)


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["image_file", "filename", "img_id", "photo", "path", "key", "ImagePath", "uuid"]
)
def test_names_of_ids(score, guess, name):
    found, said = score(
        write("p.csv", guess.rename(columns={"image_id": name}).to_csv(index=False))
    )
    assert found["n"] == N and not said


def test_the_column_of_ids_that_matches_best_is_taken(score, run, printed, guess):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    guess.assign(id=range(N), path=[f"x/{i}.png" for i in range(N)]).to_csv("q.csv", index=False)
    found, said = score("q.csv")
    assert found == expected
    assert "q.csv: the ids are read from image_id, which matches best (other columns: id" in said
    frame = guess.rename(columns={"image_id": "photo"}).assign(id=range(1000, 1000 + N))
    frame.to_csv("q.csv", index=False)
    found, said = score("q.csv")
    assert found == expected and "the ids are read from photo" in said
    error = run("q.csv", "--references", "truth.csv", "--id-column", "id", code=2)
    assert "none of its ids (first: 1000)" in error
    # the references may have several, too
    places().rename(columns={"image_id": "file"}).assign(id=range(N)).to_csv("t.csv", index=False)
    out, said = printed("p.csv", "--references", "t.csv", "--json", "--groups", "none")
    assert json.loads(out)["references"]["columns"]["id"] == "file"
    assert json.loads(out)["runs"][0]["scores"] == expected and "t.csv: the ids are read" in said


def test_columns_with_the_same_ids_are_no_tie_and_others_are(run, printed):
    write("t.csv", "id,lat,lon\na,1,2\nb,3,4\n")
    write("p.csv", "image_id,filename,lat,lon\na,x/a.jpg,1,2\nb,x/b.jpg,3,4\n")
    assert "read from image_id" in printed("p.csv", "--references", "t.csv").err
    write("p.csv", "image_id,filename,lat,lon\na,b.jpg,1,2\nb,a.jpg,3,4\n")
    error = run("p.csv", "--references", "t.csv", code=2)
    assert "the ids may be in image_id, filename, which match equally many" in error
    assert "choose one with --id-column" in error
    run("p.csv", "--references", "t.csv", "--id-column", "filename")


# --- texts of models ----------------------------------------------------------------------------


def said_as_text(lat, lon):
    return f'I think this is {{"latitude": {lat}, "longitude": {lon}}}.\nSure, "yes".'


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet", "both.csv"])
@pytest.mark.parametrize("column", ["raw_response", "prediction"])
def test_answers_as_texts_give_the_same_scores(score, guess, name, column):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    texts = [said_as_text(*row[1:]) for row in guess.itertuples(index=False)]
    frame = guess[["image_id"]].assign(**{column: texts})
    if name == "both.csv":
        frame = frame.assign(lat=places()["lat"], lon=places()["lon"])
    writer = {"a.json": "columns.json", "both.csv": "p.csv"}.get(name, name.replace("a.", "p."))
    WRITERS[writer](frame, name)
    found, said = score(name, references=name != "both.csv")
    for key in ("acc@25km", "median_km", "geoscore"):
        assert found[key] == pytest.approx(expected[key], rel=1e-12)
    assert found["n_missing"] == 0
    assert f"{name}: answers are read from the texts in {column}: coordinates 40" in said


def test_refusals_count_as_wrong_unless_they_are_refused(run, score, guess):
    texts = [said_as_text(*row[1:]) for row in guess.itertuples(index=False)]
    texts[0], texts[1] = "I'm sorry, but I cannot help with that.", ""
    guess[["image_id"]].assign(id=7, response=texts, answer="?").to_csv("a.csv", index=False)
    found, said = score("a.csv")
    assert (found["n"], found["n_missing"]) == (N, 2)
    assert "response (other columns: answer; --answer-column chooses one): coordinates 38" in said
    assert "refusal 1, no answer 1" in said
    assert "answers without coordinates count as wrong; --missing error refuses them" in said
    error = run("a.csv", "--references", "truth.csv", "--missing", "error", code=2)
    assert "a.csv: row 1 (00000) has no coordinates" in error
    assert score("a.csv", "--answer-column", "answer")[0]["n_missing"] == N
    error = run("a.csv", "--references", "truth.csv", "--answer-column", "x", code=2)
    assert "no column 'x'" in error


def test_columns_of_coordinates_precede_texts(score, guess):
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    frame = guess.rename(columns={"lat": "pred_lat", "lon": "pred_lon"}).assign(response="1, 2")
    frame.to_csv("p.csv", index=False)
    assert score("p.csv")[0] == expected


def test_answers_are_no_summary(score, guess):
    texts = [said_as_text(*row[1:]) for row in guess.itertuples(index=False)]
    frame = guess[["image_id"]].assign(answer=texts)
    text = frame.to_csv(index=False) + "\n00040,within 25 km of 1.5, 2.5\n"
    assert "summary" not in score(write("a.csv", text.replace("1.5, 2.5", "Rome")))[1]


# --- sheets -------------------------------------------------------------------------------------


def test_a_sheet_is_named_where_there_are_several(score, guess):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter("p.xlsx") as writer:
        pd.DataFrame({"run": ["a"]}).to_excel(writer, sheet_name="About", index=False)
        guess.to_excel(writer, sheet_name="Answers", index=False)
    found, said = score("p.xlsx")
    assert found["n"] == N and "the sheet Answers is read, of About, Answers; save another" in said
