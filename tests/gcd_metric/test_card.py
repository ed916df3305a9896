"""The card has the header of a Space, examples that run, and the numbers of the table."""

import re
from pathlib import Path

import evaluate
import pytest
import yaml

import gcd_metric
from gcd_metric.cli import published
from gcd_metric.scoring import benchmarks

HERE = Path(gcd_metric.__file__).parent
CARD = (HERE / "README.md").read_text(encoding="utf-8")


def test_the_header_is_that_of_a_metrics_space():
    header = yaml.safe_load(CARD.split("---")[1])
    assert header["sdk"] == "gradio" and header["app_file"] == "app.py" and header["title"]
    assert {"evaluate", "metric"} <= set(header["tags"])


def test_the_examples_run(offline, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", CARD, flags=re.DOTALL)
    assert len(blocks) >= 4
    done = offline.run("\n".join(blocks), folder=tmp_path)
    out = done.out.splitlines()
    assert done.code == 0, done.err
    assert out[0].startswith("0.5 (0.0945") and out[0].endswith(" 173.1")
    assert out[1].startswith("0.5 ") and out[2] == "1.0" and out[3] == "0.5 1"
    assert out[4] == "0.5 0.5"
    assert out[5].startswith("3 (")


def test_the_example_in_the_docstring_is_correct():
    result = evaluate.load("gcd_metric").compute(
        predictions=[[48.86, 2.35]], references=[[51.51, -0.13]]
    )
    printed = (round(result["median_km"], 1), result["acc@200km"], result["acc@750km"])
    assert str(printed) in gcd_metric.GcdMetric().inputs_description


@pytest.mark.parametrize("benchmark", benchmarks())
def test_rows_of_the_table_are_plausible_and_have_a_source(benchmark):
    rows = published(benchmark)
    assert len({row["n"] for row in rows}) == 1
    assert len({row["method"] for row in rows}) == len(rows)
    for row in rows:
        assert row["source"] and row["comparison"] in ("", "<", "<=")
        assert row["distance"] in ("", "WGS 84", "sphere 6371 km", "sphere 6378.137 km")
        values = [float(row[key]) for key in row if key.startswith("acc@") and row[key]]
        # the columns are in the order of their distances
        assert values == sorted(values) and all(0 < percent < 100 for percent in values)
        assert len(values) >= 3 or row["geoscore"]
        assert not row["year"] or 2008 <= int(row["year"]) <= 2026


def test_published_values_of_the_card_are_those_of_the_table():
    known = {}
    for benchmark in ("im2gps", "im2gps3k", "justzoomin"):
        for row in published(benchmark):
            name = f"{row['method']} ({row['year']})" if row["year"] else row["method"]
            known[benchmark, name] = row
    keys = {
        "km": [f"acc@{t}km" for t in (1, 25, 200, 750, 2500)],
        "m": ["acc@40m", "acc@50m", "acc@100m", "median_m"],
    }
    shown = re.findall(r"^\| (Im2GPS|Im2GPS3k|Just Zoom In) \|(.*)\|$", CARD, flags=re.MULTILINE)
    assert len(shown) == 10
    for benchmark, rest in shown:
        n, method, *values = [cell.strip() for cell in rest.split("|")]
        row = known[benchmark.lower().replace(" ", ""), method]
        assert n.replace(",", "") == row["n"]
        expected = [row[key] for key in keys["m" if benchmark == "Just Zoom In" else "km"]]
        assert [value.removesuffix(" m") for value in values] == expected
