"""Lines after the data that summarise it are left out and compared; data are never left out."""

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric.tables import read_coordinates
from tests.gcd_metric.formats import N, both, places, rows_of, write

STREETS = ["Street (1 km)", "City (25 km)", "≤200km"]
LABELS = ["acc@1km", "acc@25km", "acc@200km"]
SUMMARIES = {
    "pairs": lambda a: "\n" + "\n".join(f"{k},{v:.4f}" for k, v in zip(LABELS, a, strict=True)),
    "no blank line": lambda a: "\n".join(f"{k},{v:.4f}" for k, v in zip(LABELS, a, strict=True)),
    "labels above": lambda a: f"\n{','.join(LABELS)}\n" + ",".join(f"{v:.4f}" for v in a),
    "percent": lambda a: f"\n,1 km,25 km,200 km\nmodel,{','.join(f'{100 * v:.2f}' for v in a)}",
    "text": lambda a: (
        "\n" + "\n".join(f"{k}: {100 * v:.1f}%" for k, v in zip(LABELS, a, strict=True))
    ),
    "street level": lambda a: (
        "\nmetric,value\n" + "\n".join(f"{k},{v:.3f}" for k, v in zip(STREETS, a, strict=True))
    ),
    "spreadsheet": lambda a: (
        ",,,\n,,,\n" + "\n".join(f"{k},{v:.4f},," for k, v in zip(LABELS, a, strict=True))
    ),
    "many": lambda a: (
        "\n\nmetric,value\nmean_error,812.5\n\n"
        + "\n".join(f"{k},{v:.4f}" for k, v in zip(LABELS, a, strict=True))
    ),
    "row": lambda a: f"accuracy @ 25km,{a[1]:.4f},,",
}


@pytest.mark.parametrize("kind", SUMMARIES)
def test_summaries_are_left_out_and_compared(score, guess, kind):
    text = guess.to_csv(index=False)
    expected, _ = score(write("p.csv", text))
    accuracies = [expected[label] for label in LABELS]
    assert len(set(accuracies)) == 3
    found, said = score(write("p.csv", text + SUMMARIES[kind](accuracies) + "\n"))
    assert found == expected
    assert (
        "left out as a summary; its accuracies equal those computed here (" in said
        and "acc@25km" in said
    )
    wrong = [accuracies[0], accuracies[1] + 0.1, accuracies[2]]
    found, said = score(write("p.csv", text + SUMMARIES[kind](wrong) + "\n"))
    assert found == expected
    there = f"acc@25km is {100 * wrong[1]:.4g} % there and {100 * accuracies[1]:.4g} % here"
    assert "WARNING: p.csv: the last" in said and there in said and "acc@1km" not in said


@pytest.mark.parametrize("last", ["mean,,,812.4", "\nmodel,gpt\n", "Average error,812.4,"])
def test_other_summaries_are_left_out_and_counted(score, guess, last):
    text = guess.assign(error=1.5).to_csv(index=False)
    expected, _ = score(write("p.csv", text))
    found, said = score(write("p.csv", text + last))
    assert found == expected and "p.csv: the last line is left out as a summary (first: " in said


def test_summaries_in_other_formats(score, guess):
    pytest.importorskip("openpyxl")
    expected, _ = score(write("p.csv", guess.to_csv(index=False)))
    lines = [{"acc@25km": expected["acc@25km"], "mean_km": 3}]
    write("p.jsonl", "\n".join(map(json.dumps, [*rows_of(guess), *lines])))
    last = pd.DataFrame({"image_id": [None, "acc@25km"], "lat": [None, expected["acc@25km"]]})
    pd.concat([guess, last]).to_excel("p.xlsx", index=False)
    both(guess).to_csv("both.csv", index=False)
    with open("both.csv", "a") as file:
        file.write(f"\nacc@25km,{expected['acc@25km']}\n")
    for name in ("p.jsonl", "p.xlsx", "both.csv"):
        found, said = score(name, references=name != "both.csv")
        assert found["mean_km"] == pytest.approx(expected["mean_km"], rel=1e-12)
        assert "left out as a summary; its accuracies equal those computed here (acc@25km)" in said


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("mean,1.5,2.5", "row 41 is called mean and has coordinates; if it is a summary, remove"),
        ("x,acc", "row 41, column lat (latitude) contains 'acc', not a"),
        ("\nx,1.x,2", "row 41, column lat (latitude) contains '1.x', not a"),
        ("\nacc@25km,0.27\ny,1,2", "row 41, column lon is empty|row 41"),
        ("\nz,5", "row 41"),
    ],
)
def test_rows_that_may_be_data_are_not_left_out(run, guess, last, said):
    places().to_csv("truth.csv", index=False)
    write("p.csv", guess.to_csv(index=False) + last + "\n")
    error = run("p.csv", "--references", "truth.csv", code=2)
    assert any(one in error for one in said.split("|"))


SCORES = ["mean", "acc@25km", "Accuracy", "1 km", "total", "x", "id", "i1", ""]
CELLS = st.sampled_from(["", "1.5", "-3", "0.27", "27%", "N/A", *SCORES])
LABEL = st.sampled_from(["i", "mean", "acc@25km", "total", "within 1 km"])
PLACE = st.tuples(st.sampled_from(["1.5", "-3", "0,5"]), st.sampled_from(["0.27", "4"]))


@given(
    rows=st.lists(st.tuples(st.booleans(), LABEL, PLACE), min_size=1, max_size=8),
    lines=st.lists(st.tuples(st.booleans(), st.lists(CELLS, min_size=1, max_size=5)), max_size=4),
)
def test_a_row_with_coordinates_is_never_left_out(rows, lines):
    """Any lines may follow, blank lines may be anywhere: all rows are read, or it is an error."""
    text = "id;lat;lon\n"
    data = [(blank, [f"{label} {at}", *place]) for at, (blank, label, place) in enumerate(rows)]
    text += "".join("\n" * blank + ";".join(cells) + "\n" for blank, cells in [*data, *lines])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.csv")
        path.write_text(text)
        try:
            table = read_coordinates(path, lenient=True, allow_missing=True)
        except ValueError:
            return
    assert table["image_id"].tolist()[: len(rows)] == [cells[0] for _, cells in data]


@pytest.mark.parametrize("last", ["\nx9,1.5,2.5", "mean_street.jpg,1,2", "\n12m,1,2", "25 km,1,2"])
def test_rows_with_coordinates_are_data(score, guess, last):
    found, said = score(write("p.csv", guess.to_csv(index=False) + last + "\n"))
    assert found["n"] == N and "predictions without a reference, not scored: 1" in said
    assert "summary" not in said


def test_photos_without_a_prediction_are_no_summary(score, guess):
    guess.loc[N - 2 :, ["lat", "lon"]] = None
    found, said = score(write("p.csv", guess.to_csv(index=False)), "--missing", "miss")
    assert found["n_missing"] == 2 and "summary" not in said
    blank = guess.to_csv(index=False).replace("00039,", "\n00039,")
    found, said = score(write("p.csv", blank), "--missing", "miss")
    assert found["n_missing"] == 2 and "summary" not in said
