"""The command `gcd-metric` with synthetic files and data sets."""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gcd_metric import GcdMetric, scoring, wilson_interval
from gcd_metric.cli import _benchmark, _parser, main, published
from gcd_metric.text import names_of

N = 237
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_caches(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture()
def truth():
    """Photos by 60 photographers, four of whom took about 45 photos each."""
    random = np.random.default_rng(0)
    owners = [f"{19355600 + (i % 4 if i < 180 else i)}@N00" for i in range(N)]
    return pd.DataFrame(
        {
            "IMG_ID": [f"Rome_00024_{i}_7410c654ba_19_{o}.jpg" for i, o in enumerate(owners)],
            "AUTHOR": owners,
            "LAT": random.uniform(-60, 60, N),
            "LON": random.uniform(-170, 170, N),
        }
    )


@pytest.fixture()
def guess(truth):
    offset = np.geomspace(0.001, 25, N)
    return pd.DataFrame(
        {
            "image_id": truth["IMG_ID"].str.removeprefix("Rome_00024_").str.removesuffix(".jpg"),
            "pred_lat": truth["LAT"] + offset,
            "pred_lng": truth["LON"],
        }
    )


@pytest.fixture()
def files(truth, guess):
    truth.to_csv("truth.csv", index=False)
    guess.to_csv("guess.csv", index=False)
    return ["guess.csv", "--references", "truth.csv"]


def scores(out, run=0):
    return json.loads(out)["runs"][run]["scores"]


def test_scores_agree_with_the_metric(run, files, truth, guess):
    for option, groups in (("none", None), ("AUTHOR", truth["AUTHOR"])):
        expected = GcdMetric("standard").compute(
            predictions=guess[["pred_lat", "pred_lng"]].to_numpy(),
            references=truth[["LAT", "LON"]].to_numpy(),
            groups=groups,
        )
        found = scores(run(*files, "--json", "--groups", option))
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert found[key] == pytest.approx(value)


def groups_of(out):
    document = json.loads(out)
    return document["groups"] and {**document["groups"], "n": scores(out).get("n_groups")}


def test_photographers_are_found_in_columns_and_file_names(run, files, truth, guess):
    """Nobody has to ask: the intervals account for photographers where the data name them."""
    found = {"what": "photographers", "source": "the column AUTHOR of the references", "n": 61}
    assert groups_of(run(*files, "--json")) == found
    out = " ".join(run(*files).split())
    assert "n = 237 photos by 61 photographers" in out
    assert "with 61 photographers as groups of photos (from the column AUTHOR of the" in out
    truth.drop(columns="AUTHOR").to_csv("truth.csv", index=False)
    assert groups_of(run(*files, "--json")) == {**found, "source": "the file names"}
    numbers = truth.assign(IMG_ID=range(N))
    numbers.drop(columns="AUTHOR").to_csv("truth.csv", index=False)
    guess.assign(image_id=range(N)).to_csv("guess.csv", index=False)
    assert groups_of(run(*files, "--json")) is None
    assert "independent photos" in run(*files)
    guess.assign(image_id=range(N), Owner_ID=truth["AUTHOR"]).to_csv("guess.csv", index=False)
    source = "the column Owner_ID of guess.csv"
    assert groups_of(run(*files, "--json")) == {**found, "source": source}


def test_groups_can_be_chosen(run, files, truth):
    independent = scores(run(*files, "--json", "--groups", "none"))
    assert "n_groups" not in independent
    grouped = scores(run(*files, "--json"))
    low, high = independent["acc@200km_ci95"]
    assert grouped["acc@200km_ci95"][0] < low < high < grouped["acc@200km_ci95"][1]
    # longitudes and latitudes are all over the world, so cells of 500 m have one photo each
    cells = groups_of(run(*files, "--json", "--groups", "place:500m"))
    assert cells == {"what": "cells of 500 m", "source": "the true places", "n": N}
    assert groups_of(run(*files, "--json", "--groups", "place:40000km"))["n"] == 1
    assert "No intervals: all photos are in one group" in run(*files, "--groups", "place:40000km")
    truth.assign(scene=[i % 3 for i in range(N)]).to_csv("truth.csv", index=False)
    assert "with 3 values of scene" in " ".join(run(*files, "--groups", "Scene").split())
    assert "groups: no column 'city' in the references or in guess.csv" in run(
        *files, "--groups", "city", code=2
    )
    assert "write the size of a cell as in place:500m" in run(*files, "--groups", "place:", code=2)


def test_scores_by_the_values_of_columns(run, files, truth, guess):
    scene = np.where(np.arange(N) < 100, "indoor", "street")
    truth.assign(S3_Label=scene, year=np.arange(N) % 3 + 2005).to_csv("truth.csv", index=False)
    out = run(*files, "--by", "s3-label", "--by", "year", "--groups", "none")
    assert "guess by S3_Label" in out and "guess by year" in out
    assert out.index("street") < out.index("indoor")  # the errors grow along the table
    by = json.loads(run(*files, "--by", "S3_Label", "--json"))["runs"][0]["by"]["S3_Label"]
    assert [one["value"] for one in by] == ["street", "indoor"]
    ours = GcdMetric().compute(
        predictions=guess[["pred_lat", "pred_lng"]].to_numpy()[100:],
        references=truth[["LAT", "LON"]].to_numpy()[100:],
        groups=truth["AUTHOR"][100:],
    )
    assert by[0]["acc@200km"] == ours["acc@200km"] and by[0]["n"] == 137
    assert by[0]["acc@200km_ci95"] == pytest.approx(ours["acc@200km_ci95"])
    assert "no column 'scene'; they have IMG_ID, AUTHOR, LAT" in " ".join(
        run(*files, "--by", "scene", code=2).split()
    )


def test_scores_without_photos_that_a_model_may_have_seen(run, files, guess, truth):
    seen = guess["image_id"][:30]
    pd.DataFrame({"image_id": [*seen, "unknown"], "metres": 1.0}).to_csv("pairs.csv", index=False)
    out = run(*files, "--exclude", "pairs.csv", "--json", "--groups", "none")
    parts = {one["value"]: one for one in json.loads(out)["runs"][0]["by"]["photos in pairs.csv"]}
    assert (parts["excluded"]["n"], parts["others"]["n"]) == (30, N - 30)
    ours = GcdMetric().compute(
        predictions=guess[["pred_lat", "pred_lng"]].to_numpy()[30:],
        references=truth[["LAT", "LON"]].to_numpy()[30:],
    )
    assert parts["others"]["acc@25km"] == ours["acc@25km"]
    assert parts["others"]["median_km"] == ours["median_km"]
    pd.DataFrame({"image_id": ["x"]}).to_csv("pairs.csv", index=False)
    assert "none of its 1 ids is among" in run(*files, "--exclude", "pairs.csv", code=2)
    pd.DataFrame({"photo": ["x"]}).to_csv("pairs.csv", index=False)
    assert "in a column image_id; it has photo" in run(*files, "--exclude", "pairs.csv", code=2)
    assert "no.csv: No such file" in run(*files, "--exclude", "no.csv", code=2)


def test_scores_by_country_and_continent_need_no_column(run, files):
    pytest.importorskip("shapely")
    by = json.loads(run(*files, "--by", "continent", "--by", "Country", "--json"))["runs"][0]["by"]
    assert {one["value"] for one in by["continent"]} >= {"Africa", "Asia", None}
    assert sum(one["n"] for one in by["Country"]) == N


def test_places_are_compared_by_name(run, files, truth):
    pytest.importorskip("shapely")
    near = pd.DataFrame({"IMG_ID": ["a", "b", "c"], "lat": [48.86, 45.76, 41.9]})
    near["lon"] = [2.35, 4.84, 12.5]  # Paris, Lyon, Rome
    near.to_csv("truth.csv", index=False)
    near.assign(lat=[48.85, 48.86, 48.86], lon=2.36).to_csv("guess.csv", index=False)
    out = run(*files, "--places")
    assert "in percent" in out and "country" in out and " 66.7 " in out
    for method in ("polygons", "nearest_place"):
        document = json.loads(run(*files, "--places", method, "--json"))
        places = document["runs"][0]["places"]
        assert places["acc_country"] == pytest.approx(2 / 3)
        assert places["acc_region"] == pytest.approx(1 / 3) and places["n_city"] == 3


def test_photos_at_sea_have_no_names_but_a_score(printed, files):
    pytest.importorskip("shapely")
    sea = pd.DataFrame({"IMG_ID": ["a", "b"], "lat": [0, -20], "lon": [-30, -100]})
    sea.to_csv("truth.csv", index=False)
    sea.to_csv("guess.csv", index=False)
    out, said = printed(*files, "--places")
    assert "100.0" in out and "country " not in out
    assert "WARNING: no countries, regions and cities: none of the 2 references" in " ".join(
        said.split()
    )


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_figures_of_no_answer_are_empty(printed, files, truth, form):
    pd.DataFrame({"id": truth["IMG_ID"], "response": "No."}).to_csv("guess.csv", index=False)
    out, _ = printed(*files, "--format", form)
    assert not re.search(r"\bnan\b", out) and f"{N} without a prediction" in out
    assert form != "table" or "guess: GeoScore 0.0 [" in out


def test_rows_of_the_ellipsoid_are_shown_beside_a_score_on_it(printed):
    pytest.importorskip("pyproj")
    rows = pd.DataFrame({"image_id": [f"p{i}" for i in range(2997)], "lat": 1.5, "lon": 2.5})
    rows.to_csv("truth.csv", index=False)
    rows.assign(lat=1.6).to_csv("guess.csv", index=False)
    files = ["guess.csv", "--references", "truth.csv", "--benchmark", "im2gps3k"]
    out, _ = printed(*files, "--method", "geodesic", "--json")
    assert {row["distance"] for row in json.loads(out)["published"]} == {"WGS 84"}


def test_columns_that_tell_no_groups_are_left_out(run, files, truth, guess):
    truth["IMG_ID"] = guess["image_id"] = [f"photo{i}" for i in range(N)]
    truth["AUTHOR"] = ""
    truth.to_csv("truth.csv", index=False)
    guess.assign(author="me").to_csv("guess.csv", index=False)  # the author of the predictions
    assert groups_of(run(*files, "--json")) is None
    truth.drop(columns="AUTHOR").to_csv("truth.csv", index=False)
    assert groups_of(run(*files, "--json", "--groups", "author"))["n"] == 1


def test_photos_without_a_label_are_counted(run, files, truth, guess):
    owners = truth["AUTHOR"].tolist()
    truth["IMG_ID"] = guess["image_id"] = [f"photo{i}" for i in range(N)]
    truth.drop(columns="AUTHOR").to_csv("truth.csv", index=False)
    guess.assign(author=owners)[10:].to_csv("guess.csv", index=False)
    found = json.loads(run(*files, "--missing", "miss", "--json"))
    alone = "photos without a label in the column author of guess.csv: 10; each of them counts as"
    assert any(note.startswith(alone) for note in found["notes"])
    # a second model knows the photographers of these photos
    guess.assign(author=owners)[:-10].to_csv("other.csv", index=False)
    both = [*files, "--missing", "miss", "--json", "--compare", "other.csv"]
    assert groups_of(run(*both))["n"] == len(set(owners))
    assert groups_of(run(*both))["source"] == "the column author of guess.csv and other.csv"
    assert "without a label" not in run(*both)


def test_slices_of_any_type_are_written_as_json(run, guess, truth):
    guess.to_csv("guess.csv", index=False)
    values = {
        "day": [date(2020, 1, 1 + i % 2) for i in range(N)],
        "raw": ([b"a", b"\xff"] * N)[:N],
        "share": ([Decimal("1.5"), Decimal("2.5")] * N)[:N],
    }
    truth.assign(**values).to_parquet("truth.parquet")
    by = [argument for name in values for argument in ("--by", name)]
    out = run("guess.csv", "--references", "truth.parquet", "--json", *by)
    slices = json.loads(out)["runs"][0]["by"]
    assert {one["value"] for one in slices["day"]} == {"2020-01-01", "2020-01-02"}
    assert {one["value"] for one in slices["share"]} == {"1.5", "2.5"}
    assert len(slices["raw"]) == 2


def test_numbers_of_photographers_are_not_cut(run, files, truth):
    truth.assign(user_id=[12345678 + i % 60 for i in range(N)]).to_csv("truth.csv", index=False)
    slices = json.loads(run(*files, "--json", "--by", "user_id"))["runs"][0]["by"]["user_id"]
    assert len(slices) == 60


def test_just_zoom_in_is_grouped_by_place(run, files):
    found = groups_of(run(*files, "--json", "--benchmark", "justzoomin"))
    assert found["what"] == "cells of 500 m"
    assert groups_of(run(*files, "--json", "--benchmark", "justzoomin", "--groups", "none")) is None


def test_the_table_is_in_percent_with_intervals(run, files):
    found = scores(run(*files, "--json"))
    low, high = found["acc@200km_ci95"]
    out = run(*files)
    header, _, figures, intervals = out.splitlines()[1:5]
    assert "200 km" in header and "2,500 km" in header and "median km" in header
    assert figures.split()[3] == f"{100 * found['acc@200km']:.1f}"
    assert intervals.split()[5] == f"{100 * low:.1f}–{100 * high:.1f}"
    assert "percent" in out and "published" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_published_results_are_shown_for_a_whole_benchmark(run, files):
    out = run(*files, "--benchmark", "im2gps")
    line = next(line for line in out.splitlines() if "TransLocator" in line)
    assert line.split()[-4:] == ["48.1", "64.6", "75.6", "86.7"]
    low, high = wilson_interval(0.481 * 237, 237)
    below = out.split("published: TransLocator")[1].splitlines()[1]
    assert below.startswith("approximate") and f" {100 * low:.1f}–{100 * high:.1f} " in below
    assert "StreetCLIP model card" in out


def test_published_figures_without_thresholds_are_shown(run, files, monkeypatch):
    rows = [{**row, "n": "237"} for row in published("osv5m")]
    monkeypatch.setattr(scoring, "_published_rows", lambda: rows)
    asked = [*files, "--benchmark", "osv5m", "--places"]
    out = run(*asked, "nearest_place")
    assert max(map(len, out.splitlines())) <= 100
    lines = [line.split() for line in out.splitlines() if "OSV-5M baseline" in line]
    assert [line[-2:] for line in lines] == [["1,814", "3,361"], ["10.3", "5.9"]]
    document = json.loads(run(*asked, "nearest_place", "--json"))
    row = next(row for row in document["published"] if row["mean_km"] == 1814)
    assert (row["geoscore"], row["acc_country"]) == (3361, 0.68)
    # the other way to look places up finds other names
    assert "acc_country" not in run(*asked, "polygons", "--json").split('"published"')[1]


def test_the_newest_published_results_are_on_the_terminal(run, files, monkeypatch):
    rows = [{**row, "n": "237"} for row in published("im2gps3k")]
    monkeypatch.setattr(scoring, "_published_rows", lambda: rows)
    asked = [*files, "--benchmark", "im2gps3k"]
    out = run(*asked)
    assert out.count("published: ") == 15 and "PlaNet" not in out and "GeoRouter" in out
    assert f"The 15 newest of {len(rows)} published results" in out
    assert run(*asked, "--format", "markdown", "--published").count("published: ") == len(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--benchmark", "im2gps3k"], "for all 2,997 images, and this score is for 237"),
        (["--benchmark", "justzoomin"], "for all 30,956 images"),
        (["--benchmark", "im2gps", "--thresholds", "3"], "other thresholds"),
        (["--benchmark", "im2gps", "--method", "geodesic"], "are not of the WGS 84 ellipsoid"),
        (["--benchmark", "nothing"], "no published results of nothing"),
    ],
)
def test_published_results_are_shown_for_nothing_else(files, capsys, change, message):
    assert main([*files, *change]) == 0
    printed = capsys.readouterr()
    assert "published:" not in printed.out and message in printed.err


def test_an_unknown_benchmark_lists_the_known(files, capsys):
    assert main([*files, "--benchmark", "nothing"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "no published results of nothing are known here, only of im2gps, im2gps3k" in said


def test_too_few_matches_are_refused_or_leave_the_published_out(files, guess, capsys):
    guess[:200].to_csv("guess.csv", index=False)
    assert main([*files, "--benchmark", "im2gps"]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count("\n") == 1
    assert "over 200 of 237 references. guess.csv: references without a pred" in printed.err
    assert "--missing miss counts" in printed.err and "--allow-partial leaves" in printed.err
    assert main([*files, "--benchmark", "im2gps", "--allow-partial"]) == 0
    printed = capsys.readouterr()
    assert "published:" not in printed.out
    error = " ".join(printed.err.split())
    assert "WARNING: the score is over 200 of 237 references" in error
    assert "without a prediction: 37 (Rome_00024_200_" in error and ", … and 27 more)" in error


def test_missing_predictions_can_count_as_wrong(run, files, guess):
    guess.loc[:9, "pred_lat"] = None
    guess[:200].to_csv("guess.csv", index=False)
    out = run(*files, "--missing", "miss", "--benchmark", "im2gps", "--json")
    assert (scores(out)["n"], scores(out)["n_missing"]) == (237, 47)
    assert len(json.loads(out)["published"]) == len(published("im2gps"))
    message = run(*files, code=2)
    assert "guess.csv: row 1 " in message and "--missing miss" in message


def test_unmatched_ids_are_listed(files, guess, capsys):
    extra = pd.DataFrame({"image_id": ["x", "y"], "pred_lat": 1.0, "pred_lng": 2.0})
    pd.concat([guess, extra]).to_csv("guess.csv", index=False)
    assert main([*files, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["runs"][0]["unmatched_predictions"] == ["x", "y"]
    assert "predictions without a reference, not scored: 2 (x, y)" in printed.err


def test_ambiguous_references_are_reported(files, truth, capsys):
    twin = truth[:1].assign(IMG_ID=truth["IMG_ID"][0].replace("Rome", "Paris"))
    pd.concat([truth, twin]).to_csv("truth.csv", index=False)
    assert main([*files, "--json"]) == 2
    assert "among ambiguous ids 0_7410c654ba_19" in capsys.readouterr().err
    assert main([*files, "--json", "--allow-partial"]) == 0
    printed = capsys.readouterr()
    assert "ambiguous ids, not matched" in printed.err
    assert scores(printed.out)["n"] == 236


def test_json_has_no_nan(run, files, guess):
    guess.assign(pred_lat="").to_csv("guess.csv", index=False)
    out = run(*files, "--missing", "miss", "--json")
    assert scores(out)["mean_km"] is None and "NaN" not in out


def test_compare(run, files, guess):
    guess.assign(pred_lat=0.0)[5:].to_csv("other.csv", index=False)
    assert "over 232 of 237" in run(*files, "--compare", "other.csv", code=2)
    out = run(*files, "--compare", "other.csv", "--json", "--allow-partial")
    comparison = json.loads(out)["comparison"]
    assert comparison["n"] == 232 == scores(out, 0)["n"] == scores(out, 1)["n"]
    assert comparison["acc@200km"]["difference"] == pytest.approx(
        scores(out, 0)["acc@200km"] - scores(out, 1)["acc@200km"]
    )
    table = run(*files, "--compare", "other.csv", "--allow-partial")
    assert "gain of other (B) over guess (A)" in table and "p, groups" in table
    table = run(*files, "--compare", "other.csv", "--allow-partial", "--groups", "none")
    assert "McNemar p" in table


def test_a_difference_that_is_real_only_for_independent_photos(run, files, truth, guess):
    """One photographer's photos decide; with groups nothing is shown."""
    theirs = truth["AUTHOR"] == truth["AUTHOR"][0]
    guess.assign(pred_lat=truth["LAT"]).to_csv("guess.csv", index=False)
    moved = truth["LAT"] + np.where(theirs, 10, 0)
    guess.assign(pred_lat=moved).to_csv("other.csv", index=False)
    alone, grouped = (
        json.loads(run(*files, "--compare", "other.csv", "--json", *more))["comparison"][
            "acc@200km"
        ]
        for more in (["--groups", "none"], [])
    )
    assert alone["only_a"] == grouped["only_a"] == 45 and alone["only_b"] == 0
    assert alone["p_value"] < 1e-9 and grouped["p_value"] == 1
    assert alone["ci95"][0] > 0.1 and grouped["ci95"][0] < 0.05


def test_intervals_of_few_groups_with_hits_are_called_approximate(run, files, truth, guess):
    theirs = truth["AUTHOR"].isin(truth["AUTHOR"][:4])
    moved = truth["LAT"] + np.where(theirs, 0, 20)
    guess.assign(pred_lat=moved).to_csv("guess.csv", index=False)
    (note,) = json.loads(run(*files, "--json"))["notes"]
    assert "the intervals of acc@1km, acc@25km, acc@200km, acc@750km" in note
    assert "fewer than 10 photographers have a hit" in note
    assert json.loads(run(*files, "--json", "--groups", "none"))["notes"] == []


def test_justzoomin_is_measured_in_metres(run):
    ids = [4449826985073821 + i for i in range(3)]
    lat, lon = [38.9085, 38.9093, 38.9105], [-76.9408, -76.9409, -76.9417]
    pd.DataFrame({"image_id": ids, "latitude": lat, "longitude": lon}).to_csv("t.csv", index=False)
    pd.DataFrame({"key": ids, "lat": lat, "lng": lon}).to_parquet("p.parquet")
    out = run("p.parquet", "--references", "t.csv", "--benchmark", "justzoomin", "--json")
    assert scores(out)["acc@40m"] == 1 and json.loads(out)["published"] == []


def test_options_of_the_metric(run, files):
    found = scores(
        run(
            *files,
            "--metric-config",
            "im2gps",
            "--unit",
            "m",
            "--thresholds",
            "10",
            "1000",
            "--json",
        )
    )
    assert {"acc@10m", "acc@1000m", "median_m"} <= set(found)


# references by load_dataset


def folder(name, **splits):
    from pathlib import Path

    path = Path(name)
    path.mkdir()
    for split, frame in splits.items():
        frame.to_csv(path / f"{split}.csv", index=False)
    return name


def test_a_folder_is_opened_by_load_dataset(run, files, truth):
    expected = scores(run(*files, "--json"))
    name = folder("photos", train=truth[:9], test=truth)
    assert scores(run("guess.csv", "--references", name, "--json")) == expected
    found = run("guess.csv", "--references", name, "--split", "train", "--json")
    assert scores(found)["n"] == 9


def test_ids_of_a_data_set_keep_their_zeros(run):
    frame = pd.DataFrame({"id": ["007", "0123"], "lat": [1.0, 2.0], "lon": [3.0, 4.0]})
    frame.to_csv("p.csv", index=False)
    out = run("p.csv", "--references", folder("spies", train=frame), "--json")
    assert scores(out)["n"] == 2


def test_a_parquet_data_set_with_pictures(run, truth, guess):
    from pathlib import Path

    import datasets

    images = [{"bytes": b"not a picture", "path": None}] * N
    rows = {"image": images, "image_id": truth["IMG_ID"], "latitude": truth["LAT"]}
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "image_id": datasets.Value("string"),
            "latitude": datasets.Value("float64"),
            "longitude": datasets.Value("float64"),
        }
    )
    data = datasets.Dataset.from_dict({**rows, "longitude": truth["LON"]}, features=features)
    Path("album").mkdir()
    data.to_parquet("album/test.parquet")
    guess.to_csv("guess.csv", index=False)
    out = run("guess.csv", "--references", "album", "--json")
    assert scores(out)["n"] == N


def test_a_package_of_the_name_is_imported(run, files, truth, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "atlas_photos.py").write_text(
        "import datasets\nreal = datasets.load_dataset\n"
        "def load_dataset(path, *args, **kwargs):\n"
        "    return real('photos' if path == 'atlas_photos' else path, *args, **kwargs)\n"
        "datasets.load_dataset = load_dataset\n"
    )
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", datasets.load_dataset)
    folder("photos", test=truth)
    out = run("guess.csv", "--references", "atlas_photos", "--split", "test", "--json")
    assert scores(out)["n"] == N


# what is refused


def write(name, rows):
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return name


HEADER = ["image_id", "lat", "lon"]
REFUSED = {
    "no file": (None, [], "nowhere.csv: no such file"),
    "no table": ([], ["--id-column", "x"], "no column 'x'"),
    "beyond": ([["a", 91, 0]], [], "bad.csv: row 1, column lat"),
    "word": ([["a", 1, 0], ["b", 1, "x"]], [], "bad.csv: row 2, column lon"),
    "duplicates": ([["a", 1, 0], ["a", 1, 0]], [], "bad.csv: 1 duplicate id: a"),
    "strangers": ([["a", 1, 0]], [], "none of its ids (first: a) is among"),
    "threshold": ([["a", 1, 0]], ["--thresholds", "-1"], "thresholds must be positive"),
    "report": ([["a", 1, 0]], ["--report", "out.pdf"], "ends in .html or .png"),
    "report's folder": ([["a", 1, 0]], ["--report", "no/out.png"], "no folder no"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_line_and_code_2(run, files, kind):
    rows, options, message = REFUSED[kind]
    name = (
        "nowhere.csv"
        if rows is None
        else write(
            "bad.csv",
            [
                HEADER,
                *rows,
            ],
        )
    )
    error = run(name, "--references", "truth.csv", *options, code=2)
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_two_predictions_for_one_image_are_an_error(run, files, guess):
    twins = guess[:2].assign(image_id=["x/" + guess["image_id"][0], "y/" + guess["image_id"][0]])
    pd.concat([guess[1:], twins]).to_csv("guess.csv", index=False)
    assert "several predictions for Rome_00024_0_" in run(*files, code=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.csv", "missing.csv: no such file"), ("no/such_data", "--references no/such_data: ")],
)
def test_missing_references_are_an_error(run, files, name, message):
    error = run("guess.csv", "--references", name, code=2)
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("im2gps", "gps_query_imgs.zip"),
        ("im2gps", "2k_random_test.zip"),
        ("justzoomin", "metadata/large_area_val_map.csv"),
        ("justzoomin", "archives/streetview_images_000.tar"),
    ],
)
def test_a_folder_in_the_authors_layout_is_recognised(run, files, tmp_path, name, file):
    path = tmp_path / "my data" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    error = run("guess.csv", "--references", "my data", code=2)
    assert f"--references {name} --data-dir 'my data'" in error and error.count("\n") == 1


def test_predictions_that_are_a_folder(run, files, tmp_path):
    (tmp_path / "out").mkdir()
    assert "out is a folder" in run("out", *files[1:], code=2)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("im2gpss", "im2gps"),
        ("Im2GPS", "im2gps"),
        ("im2gps3k", "im2gps --config im2gps3k"),
        ("justzoomin_", "justzoomin"),
        ("just-zoom-in", "justzoomin"),
    ],
)
def test_a_misspelt_data_set_is_refused_before_the_hub_is_asked(
    run, files, monkeypatch, name, meant
):
    import datasets

    monkeypatch.setattr(
        datasets, "get_dataset_split_names", lambda *_, **__: pytest.fail("the Hub was asked")
    )
    error = run("guess.csv", "--references", name, code=2)
    assert error.endswith(f"did you mean {meant}?\n")


@pytest.mark.parametrize("name", ["me/im2gps", "atlas"])
def test_a_hub_repository_is_not_treated_as_misspelt(run, files, name):
    assert "did you mean" not in run("guess.csv", "--references", name, code=2)


def test_a_data_set_name_is_not_read_as_a_folder(run, files, tmp_path):
    (tmp_path / "im2gps").mkdir()
    (tmp_path / "im2gps" / "gps_query_imgs.zip").write_bytes(b"no archive")
    options = ["--references", "im2gps", "--data-dir", "im2gps"]
    assert "authors' layout" not in run("guess.csv", *options, code=2)


def test_a_split_must_be_chosen_where_there_are_several(run, files, truth):
    name = folder("photos", train=truth, validation=truth)
    error = run("guess.csv", "--references", name, code=2)
    assert "train, validation" in error and "--split" in error


def test_several_columns_name_the_option(run, files, truth):
    truth.assign(lat=0.0).to_csv("truth.csv", index=False)
    assert "choose one with --reference-latitude-column" in run(*files, code=2)


# what the output must tell the reader


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/p.csv"], ["p"]),
        (["a/p.csv", "b/q.csv"], ["p", "q"]),
        (["runA/p.csv", "runB/p.csv"], ["runA/p", "runB/p"]),
        (["x/runA/eval/p.csv", "x/runB/eval/p.csv"], ["runA/eval/p", "runB/eval/p"]),
        (["p.csv", "p.parquet"], ["p.csv", "p.parquet"]),
        (["p.csv", "p.csv"], ["p (1)", "p (2)"]),
    ],
)
def test_runs_have_different_names(paths, names):
    assert names_of(paths) == names


def test_runs_of_one_file_name(run, files, guess):
    from pathlib import Path

    for folder_ in ("runA", "runB"):
        Path(folder_).mkdir()
        guess.to_csv(f"{folder_}/p.csv", index=False)
    out = run("runA/p.csv", *files[1:], "--compare", "runB/p.csv", "--json")
    assert [each["name"] for each in json.loads(out)["runs"]] == ["runA/p", "runB/p"]
    out = run("runA/p.csv", *files[1:], "--compare", "runB/p.csv", "--groups", "none")
    assert "gain of runB/p (B) over runA/p (A)" in out and "only B : only A" in out
    assert "Newcombe" in out and "exact McNemar" in out


def test_how_many_were_scored_is_on_stdout(run, files, guess):
    guess[:200].to_csv("guess.csv", index=False)
    assert "n = 200 of 237" in run(*files, "--allow-partial")
    out = " ".join(run(*files, "--missing", "miss").split())
    assert "n = 237 photos by 61 photographers, 37 without a prediction" in out
    line = next(line for line in out.split("95 % interval") if "guess, answered only" in line)
    share = scores(run(*files, "--missing", "miss", "--json"))["acc@200km_answered"]
    assert f"{100 * share:.1f}" in line
    document = json.loads(run(*files, "--missing", "miss", "--json"))
    assert any("37 without a prediction" in note for note in document["notes"])


def test_no_line_is_wider_than_a_terminal(files, guess, capsys):
    name = "a_long_name_of_a_run_" * 3
    guess.to_csv(f"{name}.csv", index=False)
    guess[:220].to_csv(f"{name}2.csv", index=False)
    options = ["--compare", f"{name}2.csv", "--missing", "miss", "--benchmark", "im2gps"]
    assert main([f"{name}.csv", *files[1:], *options]) == 0
    printed = capsys.readouterr()
    assert "published:" in printed.out and printed.out.count("\n95 % interval") == 2
    assert printed.out.count("\napproximate 95 % interval") == len(published("im2gps"))
    assert max(map(len, (printed.out + printed.err).splitlines())) <= 100
    many = map(str, range(100, 2000, 100))
    assert main(["guess.csv", *files[1:], "--thresholds", *many]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [sum(f" {t:,} km" in line for line in lines) for t in (300, 1900)] == [1, 1]


@pytest.mark.parametrize(
    ("references", "config", "benchmark", "said"),
    [
        ("im2gps", None, "im2gps", None),
        ("im2gps", "im2gps", "im2gps", None),
        ("im2gps", "im2gps3k", "im2gps3k", None),
        ("im2gps", "random_2k", None, "no published results of im2gps (random_2k) are known here"),
        ("justzoomin", "metadata", "justzoomin", None),
        ("truth.csv", None, None, None),
    ],
)
def test_the_benchmark_follows_the_configuration(references, config, benchmark, said):
    arguments = ["p.csv", "--references", references, *(["--config", config] if config else [])]
    assert _benchmark(_parser().parse_args(arguments)) == (benchmark, said)


@pytest.mark.parametrize("bad", ["nowhere.csv", "empty.csv", "twice.csv"])
def test_predictions_are_checked_before_references_are_loaded(run, files, monkeypatch, bad):
    monkeypatch.setattr("gcd_metric.inputs.load_references", lambda *_: pytest.fail("loaded"))
    write("empty.csv", [["id", "lat"]])
    write("twice.csv", [HEADER, ["a", 1, 2], ["a", 1, 2]])
    references = ["--references", "im2gps"]
    assert bad in run(bad, *references, code=2)
    assert bad in run(files[0], *references, "--compare", bad, code=2)


def test_the_written_report_is_printed(run, files, capsys):
    pytest.importorskip("matplotlib")
    assert run(*files, "--report", "out.html").splitlines()[-1] == "Wrote out.html"
    json.loads(run(*files, "--report", "out.html", "--json"))


@pytest.mark.parametrize("values", [["1,25"], ["1", "25"], ["1,", "25"], ["1e0", "2.5e1"]])
def test_thresholds_may_precede_the_file(run, files, values):
    out = run(*files[1:], "--thresholds", *values, files[0], "--json")
    assert {"acc@1km", "acc@25km"} < set(scores(out)) and "acc@200km" not in scores(out)


def test_invalid_thresholds(files, capsys):
    with pytest.raises(SystemExit):
        main([*files, "--thresholds", "far"])
    assert "'far' is not a list of distances" in capsys.readouterr().err


def test_other_extensions_are_named(run, files, guess):
    guess.assign(image_id=guess["image_id"] + ".png").to_csv("guess.csv", index=False)
    error = run(*files, code=2)
    assert "the extensions differ: 237 would match" in error and "--id-column" not in error


def test_semicolons_and_decimal_commas(run, files, guess):
    expected = scores(run(*files, "--json"))
    guess.to_csv("guess.csv", index=False, sep=";", decimal=",")
    assert scores(run(*files, "--json")) == expected


# which columns were read


TWO_PAIRS = "img_id,gt_lat,predicted_lat,gt_long,predicted_long"


def two_pairs(header=TWO_PAIRS, name="results.csv"):
    rows = [header.split(","), *([f"i{k}", k, k + 1, 2 * k, 2 * k + 1] for k in range(5))]
    return write(name, rows)


def test_one_file_may_contain_truth_and_predictions(run):
    name = two_pairs()
    expected = GcdMetric("standard").compute(
        predictions=[[k + 1, 2 * k + 1] for k in range(5)],
        references=[[k, 2 * k] for k in range(5)],
    )
    document = json.loads(run(name, "--references", name, "--json"))
    assert document["runs"][0]["scores"]["mean_km"] == pytest.approx(expected["mean_km"])
    assert document["runs"][0]["columns"] == {
        "id": "img_id",
        "latitude": "predicted_lat",
        "longitude": "predicted_long",
    }
    assert document["references"]["columns"]["longitude"] == "gt_long"
    out = " ".join(run(name, "--references", name).split())
    read = "(img_id, predicted_lat, predicted_long); references (img_id, gt_lat, gt_long)"
    assert f"Columns read: results.csv {read}" in out


def test_the_other_column_of_a_chosen_pair_is_found(run):
    name = two_pairs("id,LAT,lat_p,LON,lon_p")
    refused = run(name, "--references", name, code=2)
    assert "several columns fit the latitude: LAT, lat_p; choose one with --latitude" in refused
    chosen = ["--latitude-column", "lat_p", "--reference-longitude-column", "LON"]
    out = run(name, "--references", name, *chosen)
    assert "results.csv (id, lat_p, lon_p); references (id, LAT, LON)" in out


@pytest.mark.parametrize(
    ("option", "column"),
    [
        ("--longitude-column", "latitude"),
        ("--latitude-column", "longitude"),
        ("--id-column", "latitude"),
        ("--latitude-column", "image_id"),
        ("--reference-longitude-column", "image_id"),
    ],
)
def test_the_same_column_twice_is_a_one_line_error(run, option, column):
    name = write("p.csv", [["image_id", "latitude", "longitude"], ["a", 1, 2]])
    error = run(name, "--references", name, option, column, code=2)
    assert error.startswith("gcd-metric: p.csv: ") and error.count("\n") == 1


def test_the_second_file_may_have_other_columns(run):
    truth = write("t.csv", [["id", "lat", "lon"], *([f"i{k}", k, 2 * k] for k in range(5))])
    a, b = two_pairs("id,LAT,lat_p,LON,lon_p", "a.csv"), two_pairs(name="b.csv")
    options = ["--references", truth, "--compare", b, "--latitude-column", "lat_p"]
    assert "b.csv (img_id, predicted_lat, predicted_long)" in run(a, *options)
    b = two_pairs("id,LAT,lat_q,LON,lon_q", "b.csv")
    assert "b.csv: several columns fit the latitude: LAT, lat_q; choose one with " in run(
        a, *options, code=2
    )
    assert "b.csv (id, lat_q, lon_q)" in run(a, *options, "--compare-longitude-column", "lon_q")


def test_errors_of_0_give_a_warning(files, truth, capsys):
    truth.to_csv("guess.csv", index=False)
    assert main(files) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "every error of guess is exactly 0" in said and "columns read are IMG_ID, LAT, LON" in said
    )


def test_identical_predictions_give_a_warning(files, guess, capsys):
    guess.sample(frac=1, random_state=0).to_csv("again.csv", index=False)
    assert main([*files, "--compare", "again.csv"]) == 0
    assert "guess and again contain the same predictions" in capsys.readouterr().err


def test_longitudes_from_0_to_360_are_read_with_a_note(files, guess, run, capsys):
    expected = scores(run(*files, "--json"))["median_km"]
    guess["pred_lng"] %= 360
    guess.to_csv("guess.csv", index=False)
    assert main([*files, "--json"]) == 0
    printed = capsys.readouterr()
    assert scores(printed.out)["median_km"] == pytest.approx(expected)
    assert "guess.csv: longitudes run from 0 to 360; those above 180" in printed.err


def test_radians_on_both_sides_give_a_warning(files, truth, guess, capsys):
    for frame, name in ((truth, "truth.csv"), (guess, "guess.csv")):
        places = frame.columns[-2:]
        frame[places] = np.radians(frame[places])
        frame.to_csv(name, index=False)
    guess.to_csv("other.csv", index=False)
    assert main(files) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "WARNING: guess.csv: all 237 predictions and references are within" in said
    assert "Likely cause: radians on both sides" in said and "UserWarning" not in said


def test_half_precision_gives_a_warning_where_it_matters(files, guess, capsys):
    places = ["pred_lat", "pred_lng"]
    guess[places] = guess[places].astype(np.float16)
    guess.astype(dict.fromkeys(places, np.float32)).to_parquet("guess.parquet")
    assert main(["guess.parquet", *files[1:]]) == 0
    assert "rounded to float16" in capsys.readouterr().err
    assert main([*files, "--compare", "guess.parquet"]) == 0
    assert "guess.parquet: predictions: " in " ".join(capsys.readouterr().err.split())


# the command line


def test_published_results_are_fractions_as_scores_are(run, files):
    document = json.loads(run(*files, "--benchmark", "im2gps", "--json"))
    row = next(row for row in document["published"] if row["method"] == "TransLocator")
    assert (row["acc@25km"], row["acc@2500km"], row["n"]) == (0.481, 0.867, 237)
    accuracies = {key for key in document["runs"][0]["scores"] if key.endswith("km")}
    for row in document["published"]:
        found = {key for key in row if key.startswith("acc@")}
        assert found <= accuracies and all(0 < row[key] < 1 for key in found)


@pytest.mark.parametrize(
    "name", ["t.jsonl", "t.txt", "t.xlsx", "t", "./no", "no/t.json", "no.yaml"]
)
def test_other_files_are_refused_before_the_hub_is_asked(run, files, monkeypatch, name):
    import datasets

    for door in ("load_dataset", "get_dataset_split_names"):
        monkeypatch.setattr(datasets, door, lambda *_, **__: pytest.fail("the Hub was asked"))
    if "no" not in name:
        write(name, [["{}"]])
    error = run("guess.csv", "--references", name, code=2)
    assert error.startswith(f"gcd-metric: {name}: ") and error.count("\n") == 1


@pytest.mark.parametrize("option", ["config", "split", "data-dir"])
def test_data_set_options_are_refused_for_files(run, files, option):
    error = run(*files, f"--{option}", "justzoomin", code=2)
    assert f"--{option} is for data sets, and truth.csv is a file" in error
    assert "--metric-config justzoomin chooses the thresholds" in error


def test_a_metric_configuration_is_not_one_of_the_data_set(run, files):
    pytest.importorskip("im2gps")
    error = run("guess.csv", "--references", "im2gps", "--config", "justzoomin", code=2)
    assert "--metric-config justzoomin chooses the thresholds" in error


def test_a_tilde_is_expanded_in_every_path(run, files, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("guess.csv", "truth.csv"):
        (tmp_path / name).rename(home / name)
    out = run("~/guess.csv", "--references=~/truth.csv", "--report=~/r.png")
    assert out.endswith(f"Wrote {home}/r.png\n") and (home / "r.png").exists()
    assert "Paired" in run("~/guess.csv", "--references=~/truth.csv", "--compare", "~/guess.csv")


def test_the_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"gcd-metric {version('im2gps-justzoomin')}\n"


@pytest.mark.parametrize(
    ("arguments", "unbuffered", "errors"),
    [
        *itertools.product([[], ["--help"]], ["", "1"], [subprocess.PIPE, subprocess.STDOUT]),
        (["--json"], "", subprocess.STDOUT),
        (["--json"], "1", subprocess.PIPE),
        (["--report", "r.html"], "", subprocess.STDOUT),
        (["--report", "r.html"], "1", subprocess.PIPE),
    ],
)
def test_a_reader_that_closes_the_pipe_is_not_an_error(files, arguments, unbuffered, errors):
    reader, writer = os.pipe()
    os.close(reader)  # close before the first line is written
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "gcd_metric", *files, "--groups", "none", *arguments],
            stdout=closed,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        )
    # argparse of some versions of Python passes over the closed pipe where nothing is buffered
    codes = (0, 141) if unbuffered and "--help" in arguments else (141,)
    assert done.returncode in codes and not done.stderr
    assert ("--report" in arguments) == os.path.exists("r.html")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_closed_output_is_no_error(files, closed):
    command = f'"{sys.executable}" -m gcd_metric {" ".join(files)} --report r.html {closed}'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "Error" not in done.stderr and os.path.exists("r.html")


def test_characters_outside_the_encoding_are_escaped(files):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "gcd_metric", *files], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0 and r"\u2013" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["", "--references", "truth.csv"], ["guess.csv", "--references", ""]]
)
def test_an_empty_name_is_an_error(files, capsys, arguments):
    assert main(arguments) == 2
    assert "is empty" in capsys.readouterr().err
