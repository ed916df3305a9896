"""The page of the Space in a real browser, with only the Space's folder."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gcd_metric
from gcd_metric.sample import write_sample
from gcd_metric.scoring import published
from tests.support.browser import (  # noqa: F401
    PHONE,
    WIDE,
    Space,
    check_accessibility,
    chromium,
    need_browser,
    visit,
)

HERE = Path(gcd_metric.__file__).parent
N = 237  # as many as Im2GPS has


def table(ids, places):
    latitude, longitude = np.asarray(places, float).T
    return pd.DataFrame({"image_id": ids, "latitude": latitude, "longitude": longitude})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Synthetic truth for as many photos as Im2GPS has, and good and bad predictions."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    places = np.column_stack([random.uniform(-60, 60, N), random.uniform(-179, 179, N)])
    truth = table([f"photo{index}.jpg" for index in range(N)], places)
    truth.to_csv(folder / "truth.csv", index=False)
    guess = truth.assign(latitude=truth["latitude"] + np.geomspace(0.001, 25, N))
    guess.to_csv(folder / "guess.csv", index=False)
    guess[:-3].to_csv(folder / "fewer.csv", index=False)
    guess.assign(latitude=0.0).to_csv(folder / "equator.csv", index=False)
    bad = guess.astype(object)
    bad.loc[5, "latitude"] = 123
    bad.to_csv(folder / "bad.csv", index=False)
    bad.loc[5, "latitude"] = "north"
    bad.to_csv(folder / "words.csv", index=False)
    (folder / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (folder / "table.parquet").write_bytes(b"PAR1")
    return folder


@pytest.fixture(scope="module")
def space(data):
    """The Space with the truth of one benchmark in its folder."""
    need_browser("gradio", "plotly", "axe_playwright_python")
    running = Space(HERE, {"HF_HUB_OFFLINE": "1"})
    references = running.folder / "references"
    references.mkdir()
    (references / "im2gps.csv").write_bytes((data / "truth.csv").read_bytes())
    with running:
        yield running


@pytest.fixture()
def page(space, visit):  # noqa: F811
    opened = visit(space.url)
    opened.locator("#score").wait_for()
    return opened


def give(page, **files):
    """Upload files as a visitor would, and wait until the page has them."""
    for name, path in files.items():
        box = page.locator(f"#{name.replace('_', '-')}-file")
        if not box.is_visible():
            page.get_by_text("Compare with a second model").click()
        box.locator("input[type=file]").set_input_files(path)
        box.get_by_text(path.suffix, exact=False).first.wait_for()


def choose(page, label, option):
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option).click()


def press_score(page):
    """Press the button, and wait until the page has scored; the button says that it is busy."""
    said = page.locator("#status [role=status]")
    page.locator("#score").click()
    page.wait_for_function(
        """() => {
            const said = document.querySelector('#status [role=status]').innerText
            return said && !said.startsWith('Scoring')
                && document.querySelector('#score').innerText === 'Score'
        }"""
    )
    return said.inner_text()


def cells(page, selector):
    """The rows of a table as lists of text."""
    rows = page.locator(selector).locator("table tr")
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def position(page, place, picture="#map-1"):
    """Where on the screen a map shows a latitude and longitude."""
    page.locator(f"{picture} .scatterlayer").wait_for()
    page.locator(f"{picture} .js-plotly-plot").evaluate(
        "plot => plot.scrollIntoView({block: 'center'})"
    )
    return page.evaluate(
        """([picture, latitude, longitude]) => {
            const plot = document.querySelector(picture + ' .js-plotly-plot')
            const box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout
            return [box.x + xaxis._offset + xaxis.d2p(longitude),
                    box.y + yaxis._offset + yaxis.d2p(latitude)]
        }""",
        [picture, *place],
    )


def drawn(page):
    """The lines on the first map, as lists of longitude and latitude."""
    x, y = page.evaluate(
        "(({x, y}) => [[...x], [...y]])"
        "(document.querySelector('#map-1 .js-plotly-plot').data.at(-1))"
    )
    lines = [[]]
    for point in zip(x, y, strict=True):
        lines[-1:] = [lines[-1], []] if point[0] is None else [[*lines[-1], list(point)]]
    return [line for line in lines if line]


def label(page):
    """The label of an error on the first map."""
    shown = page.locator("#map-1 .hoverlayer .hovertext")
    shown.wait_for()
    return shown.text_content()


def overflow(page):
    """How many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def expected(predictions, truth):
    """The table's first row as the metric has it: percent above, interval below."""
    columns = ["latitude", "longitude"]
    result = gcd_metric.GcdMetric("standard").compute(
        predictions=pd.read_csv(predictions)[columns].to_numpy(),
        references=pd.read_csv(truth)[columns].to_numpy(),
    )
    rows = []
    for key in (f"acc@{t}km" for t in (1, 25, 200, 750, 2500)):
        low, high = result[f"{key}_ci95"]
        rows.append(f"{100 * result[key]:.1f}\n[{100 * low:.1f}, {100 * high:.1f}]")
    for key in ("median_km", "mean_km"):
        low, high = result[f"{key}_ci95"]
        rows.append(f"{result[key]:,.1f}\n[{low:,.1f}, {high:,.1f}]")
    return rows


def test_one_click_scores_the_synthetic_example(page, tmp_path):
    page.locator("#example").click()
    page.locator("#map-2 .scatterlayer").wait_for()
    truth, a, b = write_sample(tmp_path)
    rows = cells(page, "#figures .wide >> nth=0")
    assert rows[1][:8] == ["SYNTHETIC-model-a", *expected(a, truth)]
    assert rows[2][:8] == ["SYNTHETIC-model-b", *expected(b, truth)]
    text = page.locator("#figures").inner_text()
    assert text.startswith("SYNTHETIC-model-a is better at 25, 200, 750 and 2,500 km; no clear")
    assert "published" not in text
    worst = [float(row[1].replace(",", "")) for row in cells(page, "#map-1 .worst")[1:]]
    assert len(worst) == 20 and worst == sorted(worst, reverse=True)
    assert page.locator("#curve .scatterlayer .trace").count() == 2
    page.wait_for_function("document.querySelector('#figures h2').getBoundingClientRect().y < 50")


def test_a_dropped_file_is_scored_beside_published_results(page, data):
    give(page, predictions=data / "guess.csv")
    choose(page, "Benchmark", "Im2GPS: 237 photos, truth available")
    assert "n = 237" in press_score(page)
    page.locator("#figures table").wait_for()
    _, first, *others = cells(page, "#figures")
    assert first[0] == "guess" and first[1:8] == expected(data / "guess.csv", data / "truth.csv")
    assert len(others) == len(published("im2gps"))
    assert all(row[0].startswith("published: ") for row in others)
    translocator = next(row for row in others if "TransLocator" in row[0])
    assert [cell.split()[0] for cell in translocator[3:6]] == ["64.6", "75.6", "86.7"]
    assert "StreetCLIP model card" in page.locator("#figures").inner_text()


def test_published_results_are_shown_for_nothing_else(page, data):
    give(page, predictions=data / "fewer.csv")
    choose(page, "Benchmark", "Im2GPS: 237 photos, truth available")
    status = press_score(page)
    assert "for all 237 images, and this score is for 234, so they are not shown" in status
    assert "WARNING: the score is over 234 of 237" in status and "photo236.jpg" in status
    page.get_by_label("Include photos without a prediction").check()
    assert "3 without a prediction" in press_score(page)
    rows = 2 + len(published("im2gps"))  # one for the answered photos
    assert len(cells(page, "#figures")) == 1 + rows


def test_a_benchmark_without_truth_is_an_error_with_advice(page, data):
    give(page, predictions=data / "guess.csv")
    choose(page, "Benchmark", "Just Zoom In: 30,956 photos, upload its truth")
    assert "the truth of Just Zoom In is not on this page; upload it" in press_score(page)


def test_pasting_and_the_keyboard_are_enough(page):
    page.get_by_label("or paste predictions").fill("id\tlat\tlng\na\t48,86\t2,35\nb\t0\t-170\n")
    page.get_by_label("or paste truth").fill("id,lat,lon\na,48.85,2.29\nb,0,170\n")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "score":
            break
    page.keyboard.press("Enter")
    page.locator("#figures table").wait_for()
    assert cells(page, "#figures")[1][0] == "pasted predictions"
    page.mouse.move(*position(page, (0, 170)))
    assert re.search("b2,223.9 km offtruth 0.00000, 170.00000", label(page))
    assert drawn(page) == []
    page.mouse.click(*position(page, (0, 170)))
    # the line of b leaves the map in the east, and comes in again in the west
    east, west = drawn(page)
    assert east[0] == [170, 0] and max(x for x, _ in east) > 178
    assert west[-1] == [-170, 0] and min(x for x, _ in west) < -178
    page.get_by_label("1 to 25 km (1)").check()
    (line,) = drawn(page)
    assert np.allclose([line[0], line[-1]], [[2.29, 48.85], [2.35, 48.86]])
    shown = page.evaluate(
        "document.querySelector('#map-1 .js-plotly-plot')._fullData"
        ".filter(trace => trace.mode === 'markers' && trace.visible).map(trace => trace.name)"
    )
    assert shown == ["1 to 25 km"]
    page.get_by_label("all, as points").check()
    assert drawn(page) == []


def test_a_second_file_is_compared(page, data):
    give(page, predictions=data / "guess.csv", second_predictions=data / "equator.csv")
    give(page, truth=data / "truth.csv")
    press_score(page)
    page.locator("#map-2 .scatterlayer").wait_for()
    assert [row[0] for row in cells(page, "#figures .wide >> nth=0")][1:] == [
        "guess",
        "equator",
    ]
    paired = cells(page, "#figures .wide >> nth=1")
    assert paired[0] == ["distance", "gain of B", "only B : only A", "McNemar p"]
    assert [row[0] for row in paired[1:]] == [
        *("1 km", "25 km", "200 km", "750 km", "2,500 km", "median")
    ]
    # then without it
    page.locator("#clear").click()
    page.locator("#pictures").wait_for(state="detached")
    give(page, predictions=data / "guess.csv", truth=data / "truth.csv")
    press_score(page)
    page.locator("#map-1 .scatterlayer").wait_for()
    assert not page.locator("#map-2").is_visible()
    assert "Paired" not in page.locator("#figures").inner_text()


def test_a_bad_file_gets_the_error_of_the_metric(page, data):
    give(page, truth=data / "truth.csv", predictions=data / "guess.csv")
    press_score(page)
    page.locator("#figures table").wait_for()
    cases = {
        "bad.csv": "row 6, column latitude contains 123, beyond ±90 degrees of latitude (1 of 237",
        "words.csv": "row 6, column latitude contains 'north', not a number",
        "picture.csv": "this is not UTF-8 text; save it as a UTF-8 CSV",
        "table.parquet": "Parquet",
    }
    for name, message in cases.items():
        page.locator("#predictions-file").get_by_role("button", name="Clear").click()
        give(page, predictions=data / name)
        status = press_score(page)
        assert status.startswith("Not scored.") and f"{name}: {message}" in status
        assert "Traceback" not in page.content() and "/" not in status
        # nothing of the previous file is left
        assert not page.locator("#figures table, #pictures").count()
    assert page.get_by_role("alert").inner_text() == status


def test_contents_of_a_file_are_escaped(page):
    hostile = "<img src=x onerror=alert(1)>${1}{{7*7}}"
    page.on("dialog", lambda _: pytest.fail("a file's text was run"))
    page.get_by_label("or paste predictions").fill(f"id,lat,lon\n{hostile},10,20\nb,1,2\n")
    page.get_by_label("or paste truth").fill(f"id,lat,lon\n{hostile},12,20\nb,1,2\n")
    press_score(page)
    page.locator("#map-1 .worst table").wait_for()
    assert cells(page, "#map-1 .worst")[1][0] == hostile
    assert page.locator("#figures img, #pictures img").count() == 0
    page.mouse.move(*position(page, (12, 20)))
    assert hostile in label(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(space, visit, scheme):  # noqa: F811
    page = visit(space.url, **PHONE, color_scheme=scheme)
    page.locator("#example").tap()
    page.locator("#map-2 .scatterlayer").wait_for()
    assert overflow(page) <= 0
    assert page.locator("#map-1 .js-plotly-plot").bounding_box()["width"] <= 390
    row = cells(page, "#map-1 .worst")[1]
    page.touchscreen.tap(*position(page, [float(part) for part in row[2].split(",")]))
    assert "synthetic_" in label(page)
    # the text of the picture has the colour of the page's text
    assert page.evaluate(
        "getComputedStyle(document.querySelector('#curve .xtick text')).fill"
        " === getComputedStyle(document.body).color"
    )
    luminance = page.evaluate(
        "getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert (min(luminance) > 200) if scheme == "dark" else (max(luminance) < 80)
    check_accessibility(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(space, visit, scheme):  # noqa: F811
    page = visit(space.url, **WIDE, color_scheme=scheme)
    page.locator("#score").wait_for()
    check_accessibility(page)
    page.locator("#example").click()
    page.locator("#map-2 .scatterlayer").wait_for()
    check_accessibility(page)


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_uploaded_models_are_ranked(space, visit, data, size, scheme):  # noqa: F811
    page = visit(space.url, **size, color_scheme=scheme)
    page.get_by_role("tab", name="Leaderboard").click()
    said = page.locator("#rank-status [role=status]")
    page.locator("#rank").click()
    said.get_by_text("Not ranked. name a repository, or upload").wait_for()
    check_accessibility(page)  # here, as gradio's list of several files puts a button into a button
    files = [data / "equator.csv", data / "guess.csv"]
    page.locator("#ranked-files input[type=file]").set_input_files(files)
    page.locator("#ranked-truth input[type=file]").set_input_files(data / "truth.csv")
    page.locator("#ranked-files").get_by_text(".csv", exact=False).nth(1).wait_for()
    page.locator("#ranked-truth").get_by_text(".csv", exact=False).first.wait_for()
    page.locator("#rank").click()
    said.get_by_text("2 models on truth.csv: n = 237").wait_for()
    assert [row[0] for row in cells(page, "#ranked")] == ["model", "1. guess", "2. equator"]
    assert "Not distinguishable from the best at 200 km" in page.locator("#ranked").inner_text()
    assert overflow(page) <= 0


def test_unclear_columns_can_be_chosen(page):
    table = "id,lat,lon,lat2,lon2\na,0,0,48.86,2.35\nb,0,0,0,-170\n"
    page.get_by_label("or paste predictions").fill(table)
    page.get_by_label("or paste truth").fill("id,lat,lon\na,48.85,2.29\nb,0,170\n")
    assert "several columns fit the latitude: lat, lat2; choose one" in press_score(page)
    for axis, name in (("latitude", "lat2"), ("longitude", "lon2")):
        page.get_by_label(f"Predictions: {axis}", exact=True).fill(name)
        page.keyboard.press("Enter")
    assert "Scored pasted predictions" in press_score(page)
    assert "pasted predictions (id, lat2, lon2)" in page.locator("#figures").inner_text()


def test_a_link_keeps_the_choices(space, visit, page):  # noqa: F811
    page.get_by_label("or paste predictions").fill("id,lat,lon\na,48.86,2.35\n")
    page.get_by_label("or paste truth").fill("id,lat,lon\na,48.85,2.29\n")
    page.get_by_label("Distances").fill("3, 30 km")
    page.get_by_label("Include photos without a prediction").check()
    press_score(page)
    assert cells(page, "#figures")[0][1:3] == ["% 3 km", "% 30 km"]
    page.wait_for_function("location.search.includes('distances=')")
    again = visit(page.url)
    again.wait_for_function("document.querySelector('input[type=checkbox]')?.checked")
    assert again.get_by_label("Distances").input_value() == "3, 30 km"


def test_scores_are_downloaded_in_all_formats(page):
    page.locator("#example").click()
    page.locator("#map-2 .scatterlayer").wait_for()
    page.locator("#make").click()
    links = page.locator("#downloads a[download]")
    links.first.wait_for()
    starts = {}
    for link in links.all():
        answer = page.request.get(link.get_attribute("href"))
        starts[link.get_attribute("download")] = answer.text()[:40]
    assert set(starts) == {
        *("scores.csv", "scores.tex", "scores.md", "scores.json", "report.html"),
        *("error-curve.svg", "map-1.svg", "map-2.svg"),
    }
    assert starts["scores.json"].startswith("{") and "<?xml" in starts["map-1.svg"]
    assert starts["report.html"].startswith("<!doctype html>")
