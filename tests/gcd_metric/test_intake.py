"""What a visitor may send: limits are checked before parsing, and errors contain no paths."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import pytest

import gcd_metric
from gcd_metric import intake, text
from gcd_metric.intake import Choices, Upload, benchmarks, headers, score, truth_of
from gcd_metric.sample import NAMES, write_sample
from gcd_metric.scoring import published

TRUTH = "image_id,latitude,longitude\na,48.85,2.29\nb,0,170\n"
GUESS = "image_id,latitude,longitude\na,48.86,2.35\nb,0,-170\n"


def pasted(text, what="predictions"):
    return Upload(what, None, text)


def nothing(what="second predictions"):
    return Upload(what, None, "")


@pytest.fixture()
def sent(tmp_path):
    """A file in a temporary folder, as a server stores uploads."""

    def write(content, name="mine.csv", folder="3f9a"):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Upload("predictions", str(path), "")

    return write


def refusal(given, truth=TRUTH, **options):
    with pytest.raises(ValueError) as caught:
        score(given, nothing(), pasted(truth, "truth"), Choices(**options))
    return str(caught.value)


def test_figures_agree_with_the_metric(sent):
    report = score(sent(GUESS), nothing(), pasted(TRUTH, "truth"))
    result = gcd_metric.GcdMetric("standard").compute(
        predictions=[[48.86, 2.35], [0, -170]], references=[[48.85, 2.29], [0, 170]]
    )
    name, *cells = text.table(report)[1][0]
    assert name == "mine" and report.title == "mine on pasted truth"
    assert cells[1].startswith(f"{100 * result['acc@25km']:.1f} [")
    # two photos tell no interval of the median
    assert cells[5] == f"{result['median_km']:,.1f}" and text.scope(report) == "n = 2"


RESULTS = "img_id,gt_lat,predicted_lat,gt_long,predicted_long\na,48.85,48.86,2.29,2.35\nb,0,0,9,8\n"


def test_the_columns_that_were_read_are_named(sent):
    report = score(sent(RESULTS), nothing(), pasted(RESULTS, "truth"))
    read = "mine.csv (img_id, predicted_lat, predicted_long); references (img_id, gt_lat, gt_long)"
    assert f"Columns read: {read}" in text.remarks(report)
    doubtful = RESULTS.replace("gt_", "").replace("predicted_", "guess_")
    assert "several columns fit the latitude: lat, guess_lat; choose" in refusal(sent(doubtful))


def test_doubtful_input_gives_warnings(sent):
    report = score(sent(TRUTH + "c,1,2\n"), nothing(), pasted(TRUTH + "d,1,300\n", "truth"))
    notes = "\n".join(report.notes)
    assert "the score is over 2 of 3 references" in notes
    assert "every error of mine is exactly 0" in notes
    assert "pasted truth: longitudes run from 0 to 360" in notes


def test_radians_on_both_sides_are_reported():
    rows = [f"{index},{0.1 * (index % 13) - 0.6},{0.2 * (index % 29) - 3}" for index in range(40)]
    guess = "id,lat,lon\n" + "\n".join(rows)
    report = score(pasted(guess), nothing(), pasted(guess.replace(".1", ".2"), "truth"))
    assert any("Likely cause: radians on both sides" in note for note in report.notes)


def test_simultaneous_visitors_do_not_affect_each_other(sent):
    shifted = sent("image_id,latitude,longitude\n" + "a,48,86,2,35\n" * 2000, "shifted.csv")

    def visit(given):
        try:
            return text.scope(score(given, nothing(), pasted(TRUTH, "truth")))
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(visit, [sent(GUESS), shifted] * 10))
    assert found[::2] == ["n = 2"] * 10
    assert all("row 1 has more fields than the header" in said for said in found[1::2])


def test_two_files_of_one_name_are_numbered(sent):
    report = score(sent(GUESS), sent(TRUTH, folder="77b0"), pasted(TRUTH, "truth"))
    assert [row[0] for row in text.table(report)[1]] == ["mine (1)", "mine (2)"]
    assert len(report.differences) == 1 and len(report.runs) == 2


def test_the_distances_are_the_benchmarks_or_chosen():
    def headers(**options):
        report = score(pasted(GUESS), nothing(), pasted(TRUTH, "truth"), Choices(**options))
        return text.table(report)[0][1:4]

    assert headers() == ["% 1 km", "% 25 km", "% 200 km"]
    assert headers(benchmark="justzoomin") == ["% 40 m", "% 50 m", "% 100 m"]
    assert headers(distances="im2gps") == ["% 200 km", "% 750 km", "% 2,500 km"]


def test_a_missing_prediction_is_an_error_that_names_the_checkbox():
    empty = pasted("image_id,latitude,longitude\na,,\nb,0,1\n")
    assert "row 1 (a) has no coordinates" in refusal(empty)
    assert f"“{intake.UNANSWERED}” counts them as wrong" in refusal(empty)
    report = score(empty, nothing(), pasted(TRUTH, "truth"), Choices(count_missing=True))
    assert text.scope(report).endswith("1 without a prediction")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "mine.csv: the file is empty"),
        ("a,b\n1,2\n", "mine.csv: no column for the id among ['a', 'b']; choose one under"),
        ("id,lat,lon\na,91,0\n", "mine.csv: row 1, column lat contains 91, beyond ±90"),
        ("id,lat,lon\na,1,2\na,1,2\n", "mine.csv: 1 duplicate id: a"),
        ("id,lat,lon\nz,1,2\n", "mine.csv: none of its ids (first: z) is among the 2 of pasted"),
        (b"PK\x03\x04\0\0", "mine.csv: this is not UTF-8 text"),
        (b"id,lat,lon\n\xff,1,2\n", "mine.csv: this is not UTF-8 text; save it as a UTF-8 CSV"),
        (f"id,lat,lon\n{'a' * 300},1,2\n", "mine.csv: row 1 has an id of more than 255"),
        (f"{',' * 200}\n", "mine.csv: 201 columns; leave only id, latitude and longitude"),
        (f"\r\n\n{',' * 200}\n", "mine.csv: 201 columns"),
    ],
)
def test_a_bad_file_is_one_clear_error_without_a_path(sent, content, message):
    found = refusal(sent(content))
    assert found.startswith(message) and "3f9a" not in found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.zip", "this page reads .csv, .tsv"),
        ("x", "this page reads .csv, .tsv"),
        ("x.eval", "this page reads .csv, .tsv"),
        ("x.csv.gz", "this page reads no compressed files; unpack it"),
        ("x.parquet", "Parquet magic bytes not found"),
        ("x.xlsx", "File is not a zip file"),
        ("x.json", "this is not JSON"),
    ],
)
def test_what_is_no_table_is_refused(sent, name, message):
    assert refusal(sent(GUESS, name)).startswith(f"{name}: {message}")


def test_a_published_result_file_is_scored_as_it_is(sent):
    """Truth and predictions in one file, and a summary at its end."""
    file = sent(RESULTS + "acc@25km,0.5\n", "results.csv")
    report = score(file, nothing(), nothing("truth"))
    notes = "\n".join(report.notes)
    assert text.scope(report) == "n = 2" and report.title == "results on results.csv"
    assert "predictions are read from predicted_lat and predicted_long, the truth from gt_" in notes
    assert "the last line is left out as a summary" in notes and "--" not in notes
    with pytest.raises(ValueError, match="there is no truth; upload it, or choose the columns of"):
        score(sent(GUESS), nothing(), nothing("truth"))


@pytest.mark.parametrize("name", ["x.json", "x.parquet", "x.xlsx", "x.npz"])
def test_files_of_other_formats_are_scored(sent, tmp_path, name):
    table = pd.read_csv(io.StringIO(GUESS))
    path = tmp_path / name
    if name == "x.npz":
        np.savez(
            path, **{key: table[key].to_numpy() for key in ("latitude", "longitude")}, id=["a", "b"]
        )
    elif name == "x.json":
        table.to_json(path, orient="records")
    else:
        getattr(table, "to_parquet" if name == "x.parquet" else "to_excel")(path, index=False)
    report = score(sent(path.read_bytes(), name), nothing(), pasted(TRUTH, "truth"))
    expected = score(pasted(GUESS), nothing(), pasted(TRUTH, "truth"))
    assert report.runs[0].measured.tolist() == expected.runs[0].measured.tolist()


def test_unclear_columns_can_be_chosen(sent):
    given = sent("id,lat,lon,lat2,lon2\na,0,0,48.86,2.35\nb,0,0,0,-170\n")
    assert "choose one under “Columns of the files”" in refusal(given)
    assert headers(given) == ["id", "lat", "lon", "lat2", "lon2"]
    # a choice for a former file does not count
    columns = {"latitude": "lat2", "longitude": "lon2", "id": "former"}
    report = score(replace(given, columns=columns), nothing(), pasted(TRUTH, "truth"))
    expected = score(pasted(GUESS), nothing(), pasted(TRUTH, "truth"))
    assert report.runs[0].measured.tolist() == expected.runs[0].measured.tolist()
    assert headers(nothing()) == headers(sent(b"\0")) == []


def test_texts_are_read_as_answers():
    answers = pasted('id,response\na,"I think it is at 48.86, 2.35"\nb,I cannot say\n')
    report = score(answers, nothing(), pasted(TRUTH, "truth"))
    assert text.scope(report).endswith("1 without a prediction")
    assert any("answers without coordinates count as wrong" in note for note in report.notes)


def test_a_link_has_the_choices():
    chosen = Choices("im2gps", "1, 10 km", True, "scene", "AUTHOR")
    query = dict(parse_qsl(chosen.query.removeprefix("?")))
    assert Choices.from_query(query) == chosen
    assert Choices.from_query({"benchmark": "../x", "missing": "?", "other": "1"}) == Choices()


def test_distances_can_be_written():
    assert Choices(distances="1, 10, 100 km").options().keys == [
        *("acc@1km", "acc@10km", "acc@100km")
    ]
    assert Choices("justzoomin", "5;10").options().keys == ["acc@5m", "acc@10m"]
    for bad in ("far", "1,2,3,4,5,6,7,8,9", "km", "0"):
        with pytest.raises(ValueError, match="distances|thresholds"):
            Choices(distances=bad).options()


def test_large_input_is_refused_before_parsing(sent, monkeypatch):
    monkeypatch.setattr("gcd_metric.tables.read_coordinates", None)  # would fail if it were asked
    many = "id,lat,lon\n" + "a,1,2\n" * (intake.MOST_ROWS + 1)
    assert refusal(sent(many)) == (
        "mine.csv: more than 300,000 rows; the command gcd-metric has no such limit"
    )
    assert "mine.csv: larger than 32 MB" in refusal(sent(b"x" * (32 * 1024 * 1024 + 1)))
    assert "2,000,001 characters" in refusal(pasted("x" * 2_000_001))


def test_a_file_and_text_together_are_refused(sent):
    both = replace(sent(GUESS), pasted=GUESS)
    assert refusal(both) == "predictions: there is a file and pasted text; remove one of them"
    assert "there are no predictions" in refusal(nothing("predictions"))


def test_thousands_of_ambiguous_ids_take_a_few_lines():
    rows = [f"{folder}/{index}.jpg,1,2" for folder in "xy" for index in range(2000)]
    truth = [f"{folder}/{index}.jpeg,1,2" for folder in "vw" for index in range(2000)]
    guess = "id,lat,lon\nm,1,2\n" + "\n".join(rows)
    report = score(pasted(guess), nothing(), pasted("id,lat,lon\nm,1,2\n" + "\n".join(truth)))
    assert any("1,990 more such groups" in note for note in report.notes)
    assert sum(map(len, report.notes)) < 4000


def test_the_truth_may_be_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("GCD_METRIC_REFERENCES", str(tmp_path))
    assert "the truth of Im2GPS is not on this page; upload it" in _message("im2gps")
    (tmp_path / "im2gps.csv").write_text(TRUTH)
    (tmp_path.parent / "elsewhere.csv").write_text(TRUTH)
    assert truth_of("im2gps") and not truth_of("../elsewhere")
    report = score(pasted(GUESS), nothing(), nothing("truth"), Choices("im2gps"))
    assert report.title == "pasted predictions on im2gps.csv"
    assert any("for all 237 images, and this score is for 2" in note for note in report.notes)
    assert "there is no truth; upload it" in _message(intake.OWN)


def _message(benchmark):
    with pytest.raises(ValueError) as caught:
        score(pasted(GUESS), nothing(), nothing("truth"), Choices(benchmark))
    return str(caught.value)


def test_every_benchmark_with_published_results_is_offered():
    assert benchmarks() == {
        **{"im2gps": 237, "im2gps3k": 2997, "yfcc4k": 4536, "yfcc26k": 25600},
        **{"gws15k": 14955, "osv5m": 210122, "justzoomin": 30956},
    }
    assert all(published(name) for name in benchmarks())
    assert set(intake.TITLES) == set(benchmarks())


def test_scores_by_a_column_and_by_country():
    truth = pasted(
        "id,lat,lon,scene\na,48.85,2.29,city\nb,41.9,12.5,city\nc,51,7,forest\n", "truth"
    )
    guess = pasted("id,lat,lon\na,48.86,2.35\nb,0,0\nc,51,7\n", "predictions")
    (run,) = score(guess, nothing(), truth, Choices(by="Scene, country")).runs
    assert {one.value: one.scores["n"] for one in run.by["scene"]} == {"city": 2, "forest": 1}
    assert {one.value for one in run.by["country"]} == {"France", "Italy", "Germany"}
    with pytest.raises(ValueError, match="no column 'tag'; they have id, lat, lon, scene"):
        score(guess, nothing(), truth, Choices(by="tag"))
    with pytest.raises(ValueError, match="by 4 columns; name at most 3"):
        score(guess, nothing(), truth, Choices(by="a,b,c,d"))


def test_the_example_is_synthetic_by_name_and_the_same_each_time(tmp_path):
    one, two = (write_sample(tmp_path / name) for name in "ab")
    assert [path.name for path in one] == list(NAMES)
    assert all(name.startswith("SYNTHETIC-") for name in NAMES)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    truth, a, b = map(pd.read_csv, one)
    assert list(truth["image_id"]) == list(a["image_id"]) == list(b["image_id"])
    assert len(truth) == 300 and truth["image_id"].str.startswith("synthetic_").all()
    report = score(*(Upload("", str(path), "") for path in (one[1], one[2], one[0])))
    better, worse = ([float(cell.split()[0]) for cell in row[1:6]] for row in text.table(report)[1])
    assert all(a > b for a, b in zip(better, worse, strict=True))


def test_the_package_and_the_space_have_the_same_text():
    folder = Path(gcd_metric.__file__).parent
    requirements = (folder / "requirements.txt").read_text().split()
    project = (folder.parent / "pyproject.toml").read_text()
    extra = next(line for line in project.splitlines() if line.startswith("space = "))
    for name in ("gradio", "plotly"):
        (wanted,) = [line for line in requirements if line.startswith(name)]
        assert f'"{wanted}"' in extra
    pin = next(line for line in requirements if line.startswith("gradio==")).removeprefix(
        "gradio=="
    )
    assert f"\nsdk_version: {pin}\n" in (folder / "README.md").read_text(encoding="utf-8")
