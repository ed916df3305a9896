"""The explorer in a real browser, from a copy of its folder."""

import base64
import importlib.metadata
import io
import json
import os
import re
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import load_dataset
from packaging.requirements import Requirement
from PIL import Image

import gcd_metric
import im2gps.cli
import im2gps.sample
import justzoomin.cli
from geoload.jpeg import clean
from tests.support.browser import PHONE, WIDE, Space, chromium, need_browser, visit  # noqa: F401
from tests.support.shards import jpeg, pair, write_shard

HERE = Path(__file__).parents[2] / "spaces" / "explorer"


@pytest.fixture(scope="module")
def modules():
    """The modules of the Space, imported from its folder."""
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """The folder of data that the page writes."""
    return tmp_path_factory.mktemp("explorer") / "data"


@pytest.fixture(scope="module")
def space(miniature, modules, tmp_path_factory):
    """The Space as uploaded, in an environment of only its requirements."""
    need_browser("gradio", "axe_playwright_python")
    folder = HERE
    if os.environ.get("SPACE_PYTHON"):
        from bundle import bundle

        folder = tmp_path_factory.mktemp("bundle") / "space"
        bundle(folder)
    with Space(folder, {"EXPLORER_FOLDER": str(miniature), "HF_HUB_OFFLINE": "1"}) as running:
        yield running


@pytest.fixture()
def page(space, visit):  # noqa: F811
    opened = visit(space.url)
    opened.locator("#guess-photo img").wait_for()
    return opened


@pytest.fixture(scope="module")
def rows(space, miniature):
    """The rows that the page shows, by data set and split, without photos."""
    world = load_dataset("im2gps", data_dir=str(miniature / "im2gps"), split="test")
    city = load_dataset("justzoomin", "metadata", data_dir=str(miniature / "justzoomin"))
    return {
        "test": {row["image_id"]: row for row in world.remove_columns("image")},
        **{split: {row["image_id"]: row for row in city[split]} for split in city},
    }


def status(page, tab, change=None):
    """The status line of a tab, after a change if one is given."""
    line = page.locator(f"#{tab}-status [role=status]")
    before = line.inner_text()
    if change is not None:
        change()
        page.wait_for_function(
            "([id, before]) => { const said = document.querySelector(`#${id} [role=status]`);"
            " return said.innerText && said.innerText !== before }",
            arg=[f"{tab}-status", before],
        )
    return line.inner_text()


def on_screen(page, name, place):
    """Where on the screen a map shows a latitude and longitude."""
    page.wait_for_function("id => window.explorerMaps && window.explorerMaps[id]", arg=name)
    page.locator(f"#{name} canvas").scroll_into_view_if_needed()
    return page.evaluate(
        """([name, latitude, longitude]) => {
            const box = document.querySelector(`#${name} canvas`).getBoundingClientRect()
            const [x, y] = window.explorerMaps[name].place(latitude, longitude)
            return [box.x + x, box.y + y]
        }""",
        [name, *place],
    )


def pin(page):
    page.wait_for_function(
        "['latitude', 'longitude'].every("
        "name => document.querySelector(`#${name} input`).value !== '')"
    )
    return [float(page.get_by_label(name).input_value()) for name in ("Latitude", "Longitude")]


def answer(page, place):
    """Type a guess, and return the text of the page."""
    page.get_by_label("Latitude").fill(str(place[0]))
    page.get_by_label("Longitude").fill(str(place[1]))
    said = status(page, "guess", lambda: page.get_by_label("Longitude").press("Enter"))
    page.locator("#onward").wait_for()
    return said


def next_round(page):
    status(page, "guess", page.locator("#onward").click)
    page.locator("#answer").wait_for()


def play(page, data_set):
    page.locator("#guess-data").get_by_text(data_set).click()


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def cells(page, selector):
    found = page.locator(f"{selector} tr")
    return [row.locator("th, td").all_inner_texts() for row in found.all()]


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def dots(page, count):
    """The dots of the browsing map, once it has this number."""
    page.wait_for_function(
        "count => window.explorerMaps['browse-map'].dots().length === count", arg=count
    )
    return page.evaluate("window.explorerMaps['browse-map'].dots()")


# --- the game -----------------------------------------------------------------------------------


def test_ten_rounds_agree_with_the_metric(page, rows):
    # the first pin by mouse, the second by keyboard, the others typed
    page.mouse.click(*on_screen(page, "guess-map", (45.0, 10.0)))
    assert np.abs(np.array(pin(page)) - (45, 10)).max() < 0.6  # a pixel is half a degree
    assert " km off: " in status(page, "guess", page.locator("#answer").click)
    next_round(page)
    page.locator("#guess-map canvas").focus()
    for key in ("Home", "+", "+", "ArrowUp", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    latitude, longitude = pin(page)
    assert 0 < latitude < 20 and 10 < longitude < 60
    status(page, "guess", page.locator("#answer").click)
    for number in range(3, 11):
        next_round(page)
        assert page.get_by_label("Longitude").input_value() == ""
        said = answer(page, (40 - number, -100 + 20 * number))
    assert "It was taken near " in said or " km from " in said
    assert "The model (nearest neighbour) was " in said and "After round 10 of 10 you have" in said
    page.locator("#onward").click()
    page.locator("#result table").first.wait_for()

    tables = (cells(page, f"#result .wide:nth-of-type({n})") for n in (1, 2))
    (_, mine, theirs), (_, *rounds) = tables
    truth = [[float(part) for part in line[6].split(",")] for line in rounds]
    guesses = [[float(part) for part in line[7].split(",")] for line in rounds]
    assert len({line[8] for line in rounds}) == 10
    for line, place in zip(rounds, truth, strict=True):
        row = rows["test"][line[8]]
        assert np.allclose(place, (row["latitude"], row["longitude"]), atol=1e-5)
    result = gcd_metric.GcdMetric("standard").compute(predictions=guesses, references=truth)
    shown = [
        f"{100 * result[key]:.1f}\n[{100 * low:.1f}, {100 * high:.1f}]"
        for key in (f"acc@{t}km" for t in (1, 25, 200, 750, 2500))
        for low, high in [result[f"{key}_ci95"]]
    ]
    rest = [
        f"{result[key]:,.1f}\n[{low:,.1f}, {high:,.1f}]"
        for key in ("median_km", "mean_km", "geoscore")
        for low, high in [result[f"{key}_ci95"]]
    ]
    assert mine == ["you", *shown, *rest, "10"]
    points = [np.sum([float(line[n].replace(",", "")) for line in rounds]) for n in (2, 4)]
    assert points[0] == pytest.approx(10 * result["geoscore"], abs=5)  # each is rounded
    assert theirs[0] == "nearest neighbour"
    said = status(page, "guess")
    assert all(f"{total:,.0f}" in said for total in (*points, abs(points[0] - points[1])))
    assert page.evaluate("document.activeElement.innerText") == "Your result"
    with page.expect_download() as saving:
        page.locator("#save-card").click()
    with Image.open(saving.value.path()) as card:
        assert card.size == (1200, 630)
        drawn = np.unique(np.asarray(card.convert("RGB")).reshape(-1, 3), axis=0)
        assert len(drawn) > 500 and [0xDD, 0x7A, 0x00] in drawn.tolist()  # the map, and your bars
    assert "synthetic, so published results" in page.locator("#result").inner_text()
    assert page.evaluate("window.explorerMaps['guess-map'].scene().arcs.length") == 10
    status(page, "guess", page.locator("#again").click)
    assert page.locator("#seed input").input_value() == "2"


def test_a_game_belongs_to_its_visitor_and_its_seed_fixes_the_photos(space, page, visit):  # noqa: F811
    photo = page.locator("#guess-photo img").get_attribute("src")
    answer(page, (1.0, 2.0))
    other = visit(space.url)
    other.locator("#guess-photo img").wait_for()
    assert other.locator("#guess-photo img").get_attribute("src") == photo
    assert status(other, "guess").startswith("Round 1 of 10. Where was")
    other.locator("#seed input").fill("7")
    status(page, "guess", page.locator("#onward").click)
    other.locator("#new-game").click()
    other.wait_for_function(
        "photo => document.querySelector('#guess-photo img').src !== photo", arg=photo
    )
    assert status(page, "guess").startswith("Round 2 of 10, ")
    # a link leads to the same photos, and a reload to the same round
    other.wait_for_url("**game=7")
    friend = visit(other.url)
    friend.locator("#guess-photo img").wait_for()
    there, here = (
        each.locator("#guess-photo img").get_attribute("src") for each in (friend, other)
    )
    assert there == here and friend.locator("#seed input").input_value() == "7"
    for act in (lambda: status(page, "guess"), lambda: answer(page, (1.0, 2.0))):
        said = act()
        page.reload()
        page.locator("#guess-photo img").wait_for()
        assert status(page, "guess") == said
    assert "After round 2 of 10 you have" in said and page.locator("#onward").is_visible()


def test_the_focus_is_where_the_game_goes_on(space, visit):  # noqa: F811
    page = visit(space.url, viewport={"width": 1280, "height": 800})
    page.locator("#guess-photo img").wait_for()
    page.wait_for_function("document.querySelector('#guess-map canvas').clientHeight > 0")
    assert page.locator("#answer").bounding_box()["y"] + 44 < 800  # without scrolling
    answer(page, (10.0, 20.0))
    page.wait_for_function("document.activeElement.id === 'onward'")
    status(page, "guess", lambda: page.keyboard.press("Enter"))
    page.wait_for_function("document.activeElement.matches('#guess-map canvas')")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    pin(page)
    assert page.evaluate("window.scrollY") == 0


def test_the_map_moves_as_maps_do(page):
    scale = "window.explorerMaps['guess-map'].scale()"
    box = page.locator("#guess-map canvas").bounding_box()
    spot = box["x"] + box["width"] * 0.53, box["y"] + box["height"] * 0.24
    whole = page.evaluate(scale)
    page.mouse.dblclick(*spot)
    page.wait_for_function(f"{scale} > 2.4 * {whole}")
    page.mouse.dblclick(*spot)
    page.mouse.dblclick(*spot)
    # what the server sends for this view
    page.wait_for_function("window.explorerMaps['guess-map'].names().includes('Munich')")
    assert "Italy" in page.evaluate("window.explorerMaps['guess-map'].names()")
    before = page.evaluate("window.explorerMaps['guess-map'].under(0, 0)[1]")
    page.mouse.move(*spot)
    page.mouse.down()
    page.mouse.move(spot[0] - 100, spot[1], steps=8)
    page.mouse.up()
    assert page.evaluate("window.explorerMaps['guess-map'].under(0, 0)[1]") > before + 1
    # a typed pin leaves the map where it is; the next round begins with the whole map
    answer(page, (48.0, 11.0))
    assert page.evaluate(scale) > 2 * whole
    next_round(page)
    page.wait_for_function(f"Math.abs({scale} - {whole}) < 0.01 * {whole}")


@pytest.mark.parametrize("data_set, split", [("Im2GPS", "test"), ("Just Zoom In", "validation")])
def test_the_answer_is_not_sent_before_the_guess(page, rows, data_set, split):
    page.add_init_script("""
        window.heard = []
        const ask = window.fetch
        window.fetch = async (...request) => {
            const answer = await ask(...request)
            const reader = answer.clone().body?.getReader(), decoder = new TextDecoder()
            const listen = ({done, value}) => {
                if (done) return
                window.heard.push(decoder.decode(value, {stream: true}))
                return reader.read().then(listen)
            }
            reader?.read().then(listen).catch(() => {})
            return answer
        }
    """)
    page.reload()
    page.locator("#guess-photo img").wait_for()
    status(page, "guess") if data_set == "Im2GPS" else play(page, data_set)
    page.wait_for_function(
        "name => window.explorerMaps['guess-map']?.scene().place === name",
        arg="im2gps" if data_set == "Im2GPS" else "justzoomin",
    )
    before = "".join(page.evaluate("window.heard")) + page.content()
    photo = page.locator("#guess-photo img")
    picture = photo.get_attribute("src")
    answer(page, (38.9, -77.0))
    told = page.locator("#guess-credit").inner_text()
    image_id = re.search(r"The photo (\S+) was taken", told)[1]
    row = rows[split][image_id]
    after = "".join(page.evaluate("window.heard")) + page.content()
    for telling in (image_id, *(f"{row[name]:.5f}"[:-1] for name in ("latitude", "longitude"))):
        assert telling not in before and telling in after
    assert photo.get_attribute("alt") == "The photo of round 1. Where was it taken?"
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as opened:
        assert [name for name, _ in opened.applist] == ["APP0"]
        assert not opened.getexif() and "comment" not in opened.info


def test_invalid_coordinates_are_refused(page):
    boxes = [page.get_by_label(name) for name in ("Latitude", "Longitude")]
    assert [box.input_value() for box in boxes] == ["", ""]
    boxes[0].fill("10")  # one coordinate is not enough
    assert "there is no pin yet" in status(page, "guess", page.locator("#answer").click)
    page.get_by_label("Latitude").fill("95")
    page.get_by_label("Longitude").fill("10")
    said = status(page, "guess", page.locator("#answer").click)
    assert "latitude 95, longitude 10 is not on Earth" in said
    assert "After round 1 of 10" in answer(page, (9.5, 10))


# --- browsing and zooming -----------------------------------------------------------------------


def test_a_dot_opens_its_photo_and_record(page, rows):
    tab(page, "Browse")
    row, latitude, longitude, _ = dots(page, 48)[5]
    said = status(
        page,
        "browse",
        lambda: page.mouse.click(*on_screen(page, "browse-map", dots(page, 48)[5][1:3])),
    )
    record = dict(cells(page, "#browse-photo .record"))
    truth = rows["test"][record["image_id"]]
    near = np.hypot(truth["latitude"] - latitude, truth["longitude"] - longitude)
    assert near < 2 and said.startswith(record["image_id"])  # dots may overlap
    assert record["latitude"] == f"{truth['latitude']:.6f}"
    assert record["image_id"] in page.locator("#browse-photo img").get_attribute("alt")
    before = page.locator("#browse-photo img").get_attribute("src")
    page.locator("#next-photo").focus()
    following = status(page, "browse", lambda: page.keyboard.press("Enter"))
    assert following != said
    status(page, "browse", page.locator("#previous-photo").click)
    assert page.locator("#browse-photo img").get_attribute("src") == before


def test_splits_and_ids_and_an_unknown_id(page, rows):
    tab(page, "Browse")
    page.locator("#browse-data").get_by_text("Just Zoom In").click()
    dots(page, 30)
    page.get_by_role("combobox", name="Split").click()
    said = status(page, "browse", page.get_by_role("option", name="train").click)
    assert "split train: 60 photos" in said
    dots(page, 60)
    wanted = next(iter(rows["validation"].values()))
    box = page.locator("#image-id textarea, #image-id input")
    box.fill(f"streetview/images/{wanted['image_id']}_undistorted.jpg")
    status(page, "browse", lambda: box.press("Enter"))
    record = dict(cells(page, "#browse-photo .record"))
    assert record["image_id"] == wanted["image_id"] and record["split"] == "validation"
    assert record["sequence"].startswith(str(wanted["sequence"]))
    box.fill("<b>nobody</b>")
    said = status(page, "browse", page.locator("#find").click)
    assert "has no photo '<b>nobody</b>' in its splits validation, train; ids look like" in said
    # and from a record to its zoom
    page.locator("#walk-its-zoom").click()
    page.locator("#walk-view img").wait_for()
    assert wanted["image_id"] in page.locator("#walk-photo img").get_attribute("alt")


def test_the_zoom_tab_shows_view_by_view(page, rows):
    tab(page, "Zoom")
    page.locator("#walk-view img").wait_for()
    alternative = page.locator("#walk-photo img").get_attribute("alt")
    image_id = re.search(r"photo (\d+),", alternative)[1]
    sequence = rows["validation"][image_id]["sequence"]
    views = []
    for number, (action, width) in enumerate(
        zip(sequence, (10000, 2500, 625, 156.25), strict=True)
    ):
        if number:
            status(page, "walk", page.locator("#walk-onward").click)
        said, (row, column) = status(page, "walk"), divmod(action, 4)
        assert said.startswith(f"View {number + 1} of 4, {width:,.6g} m wide.")
        assert f"row {row + 1} from the north, column {column + 1} from the west" in said
        views.append(page.locator("#walk-view img").get_attribute("src"))
        assert "no imagery" not in said
    assert len(set(views)) == 4 and page.locator("#walk-onward").is_disabled()
    status(page, "walk", page.locator("#walk-back").click)
    assert page.locator("#walk-view img").get_attribute("src") == views[2]
    with Image.open(io.BytesIO(base64.b64decode(views[0].partition(",")[2]))) as opened:
        side, (row, column) = opened.width, divmod(sequence[0], 4)
        edge = opened.getpixel((round((column + 0.5) * side / 4), round(row * side / 4) + 4))
    assert np.abs(np.array(edge) - (255, 210, 0)).max() < 40  # the chosen cell is drawn
    assert "Open Data DC / Government of the District" in page.locator("#walk-credit").inner_text()
    status(page, "walk", page.locator("#walk-another").click)
    assert image_id not in page.locator("#walk-photo img").get_attribute("alt")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["phone", "wide"])
def test_the_page_fits_and_is_accessible(space, visit, size, scheme):  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    phone = size is PHONE
    page = visit(space.url, **size, color_scheme=scheme)
    check = Axe()

    def see():
        assert overflow(page) <= 0
        page.wait_for_function(  # gradio fades what it changes
            "!document.querySelector('.pending')"
            " && !document.getAnimations().some((one) => one instanceof CSSTransition)"
        )
        report = check.run(page)
        assert not report.violations_count, report.generate_report()

    page.locator("#guess-photo img").wait_for()
    see()
    target = on_screen(page, "guess-map", (20.0, 20.0))
    (page.touchscreen.tap if phone else page.mouse.click)(*target)
    assert np.abs(np.array(pin(page)) - 20).max() < 1.2  # a pixel is a degree
    status(page, "guess", page.locator("#answer").click)
    page.locator("#onward").wait_for()
    see()
    page.wait_for_function("document.activeElement.id === 'onward'")
    shown = [page.locator(f"#{name}").bounding_box() for name in ("guess-status", "onward")]
    assert shown[0]["y"] >= -1 and shown[1]["y"] + shown[1]["height"] <= size["viewport"]["height"]
    small = page.evaluate(
        """[...document.querySelectorAll("button, label, input:not([type=radio])")]
        .filter((one) => one.offsetParent && !one.closest(".visually-hidden"))
        .map((one) => [one.id || one.innerText, one.getBoundingClientRect()])
        .filter(([, box]) => box.height > 1 && Math.min(box.width, box.height) < 43.5)
        .map(([name]) => name)"""
    )
    assert not small or not phone, small
    page.get_by_role("tab", name="Browse").click()
    place = dots(page, 48)[0][1:3]
    point = on_screen(page, "browse-map", place)
    status(page, "browse", lambda: page.mouse.click(*point))
    see()
    page.get_by_role("tab", name="Zoom").click()
    page.locator("#walk-view img").wait_for()
    see()
    shade = page.evaluate(
        "getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert (min(shade) > 200) if scheme == "dark" else (max(shade) < 80)
    # the sea has the brightness of the page
    ground = page.evaluate(
        "[...document.querySelector('#guess-map canvas').getContext('2d')"
        ".getImageData(3, 3, 1, 1).data].slice(0, 3)"
    )
    assert (max(ground) < 80) if scheme == "dark" else (min(ground) > 200)


# --- without a browser --------------------------------------------------------------------------


def test_a_map_of_300_000_photos_has_a_bounded_number_of_dots(modules):
    pytest.importorskip("gradio")
    from worldmap import MOST_DOTS, dots_in_sight

    random = np.random.default_rng(0)
    places = np.column_stack([random.uniform(-90, 90, 300_000), random.uniform(-180, 180, 300_000)])
    found = dots_in_sight(places, (-180, 180, -90, 90))
    assert len(found["dots"]) <= MOST_DOTS and len(json.dumps(found)) < 100_000
    assert sum(dot[3] for dot in found["dots"]) == 300_000
    assert found["remark"].startswith("300,000 of 300,000 photos in view, drawn as 1,500 dots")
    for row, latitude, longitude, _ in found["dots"][::100]:
        assert np.allclose(places[row], (latitude, longitude), atol=1e-6)
    small = (10.0, 11.0, 20.0, 21.0)
    inside = np.flatnonzero((np.abs(places - (20.5, 10.5)) <= 0.5).all(axis=1))
    assert [dot[0] for dot in dots_in_sight(places, small)["dots"]] == inside.tolist()


def _publish(rows, path, group):
    """Write rows as a published repository's Parquet file, pictures inside."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)


CARD = """---
configs:
- config_name: streetview
  default: true
  data_files:
  - split: train
    path: streetview/train-*.parquet
  - split: validation
    path: streetview/validation-*.parquet
- config_name: metadata
  data_files:
  - split: train
    path: metadata/train-*.parquet
  - split: validation
    path: metadata/validation-*.parquet
- config_name: views
  data_files:
  - split: train
    path: views/train-*.parquet
---
"""


def test_published_folders_are_read_in_place(modules, hub, zoom, tmp_path):
    from catalogue import open_collections

    packs = tmp_path / "packs"
    im2gps.sample.write_sample(packs, {"im2gps": 4, "random_2k": 0, "geo_uniform": 0, "human": 0})
    source = tmp_path / "repository"
    noise = np.random.default_rng(0).bytes
    truth, photos = {}, {}
    for split in ("train", "validation"):
        table = load_dataset("justzoomin", "metadata", data_dir=str(zoom), split=split)
        truth[split] = table.to_list()
        # in another order than the table, and larger than what a reader fetches at once
        full = [
            {"image": {"bytes": noise(100_000), "path": "x.jpg"}, **row}
            for row in reversed(truth[split])
        ]
        photos |= {row["image_id"]: row["image"]["bytes"] for row in full}
        _publish(full, source / "streetview" / f"{split}-00000-of-00001.parquet", 5)
        (source / "metadata").mkdir(exist_ok=True)
        table.to_parquet(source / "metadata" / f"{split}-00000-of-00001.parquet")
    views = [
        {"prefix": prefix, "view": {"bytes": noise(5_000), "path": "v.jpg"}}
        for prefix in ([], [3], [3, 7])
    ]
    _publish(views, source / "views" / "train-00000-of-00001.parquet", 2)
    (source / "README.md").write_text(CARD)
    hub.add("someone/zoom", source)

    settings = {"IM2GPS_REPO": str(packs), "JUSTZOOMIN_REPO": "someone/zoom"}
    found = open_collections(settings, tmp_path / "unused")
    assert not (tmp_path / "unused").exists()
    assert found["im2gps"].splits == ["test"] and len(found["im2gps"].rows("test").ids) == 4
    city = found["justzoomin"]
    assert not city.synthetic and city.splits == ["validation", "train"] and city.depth == 3
    for split, expected in truth.items():
        rows = city.rows(split)
        assert rows.ids.tolist() == [row["image_id"] for row in expected]
        assert rows.places.tolist() == [[row["latitude"], row["longitude"]] for row in expected]
        assert rows.sequences.tolist() == [row["sequence"] for row in expected]
    assert city.photo("train", 3) == photos[truth["train"][3]["image_id"]]
    read = sum(hub.sent.values())
    assert city.photo("train", 17) == photos[truth["train"][17]["image_id"]]
    # one row group of eight, the ids before them, and nothing of the other split's photos
    assert 500_000 < sum(hub.sent.values()) - read < 600_000
    assert read < 700_000 and not any("streetview/val" in name for name in hub.sent)
    assert city.view((3, 7)) == views[2]["view"]["bytes"]
    assert city.find(truth["train"][5]["image_id"] + ".jpg") == ("train", 5)


def test_the_first_photo_needs_one_file_of_photos(modules, hub, zoom, tmp_path):
    """`photos.parquet` says where it is; else the ids in all files would be read."""
    from catalogue import Published

    folder = tmp_path / "published"
    arguments = ["--to", str(folder), "--data-dir", str(zoom), "--max-shard-size", "6KB"]
    assert justzoomin.cli.main(["publish", *arguments]) == 0
    assert len(list((folder / "streetview").glob("train-*"))) > 5
    hub.add("someone/town", folder)
    city = Published("justzoomin", "someone/town")
    rows = city.rows("train")
    expected = load_dataset("justzoomin", data_dir=str(zoom), split="train")
    expected = expected.cast_column("image", datasets.Image(decode=False))
    hub.forget()
    first = city.photo("train", 0)
    read = {request.file for request in hub.requests if request.file}
    assert len(read) == 1
    photos = {row["image_id"]: row for row in expected}
    assert first == clean(photos[rows.ids[0]]["image"]["bytes"])
    assert sorted(rows.ids) == sorted(photos)
    for row, image_id in enumerate(rows.ids):
        one = photos[image_id]
        assert rows.places[row].tolist() == [one["latitude"], one["longitude"]]
        assert rows.sequences[row].tolist() == one["sequence"]
        assert city.photo("train", row) == clean(one["image"]["bytes"])


def test_the_benchmark_comes_first_in_a_published_im2gps(modules, packs, zoom, tmp_path):
    from catalogue import open_collections

    data, world = tmp_path / "data", tmp_path / "me@home" / "world"
    record = {"latitude": 1, "longitude": 2, "license": 4}
    for owner in range(8):
        members = pair(f"{owner}_a_1_{owner}@N00", {**record, "owner": f"{owner}@N00"}, jpeg(owner))
        write_shard(data / f"im2gps-{owner:05d}.tar", members)
    (data / "gps_query_imgs.zip").symlink_to(packs / "gps_query_imgs.zip")
    arguments = ["--data-dir", str(data), "--to", str(world), "--validation-fraction", "0.5"]
    assert im2gps.cli.main(["publish", *arguments]) == 0
    settings = {"IM2GPS_REPO": str(world), "JUSTZOOMIN_REPO": str(zoom)}
    found = open_collections(settings, tmp_path / "unused")["im2gps"]
    assert found.splits == ["test", "validation", "train"]
    assert sum(len(found.rows(split).ids) for split in ("validation", "train")) == 8
    assert found.photo("train", 0).startswith(b"\xff\xd8")


def test_a_list_beside_a_pack_is_not_a_published_folder(modules, packs, zoom, tmp_path):
    from catalogue import open_collections

    data = tmp_path / "data"
    data.mkdir()
    (data / "gps_query_imgs.zip").symlink_to(packs / "gps_query_imgs.zip")
    (data / "photos.parquet").write_bytes(b"PAR1")
    settings = {"IM2GPS_REPO": str(data), "JUSTZOOMIN_REPO": str(zoom)}
    assert open_collections(settings, tmp_path / "unused")["im2gps"].splits == ["test"]

    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="IM2GPS_REPO=.*empty: .*gps_query_imgs.zip"):
        open_collections({**settings, "IM2GPS_REPO": str(tmp_path / "empty")}, tmp_path)


def test_a_missing_data_set_is_named_by_its_setting(modules, hub, packs, tmp_path):
    from catalogue import open_collections

    for where in ("./nowhere", "nobody/nothing"):
        settings = {"IM2GPS_REPO": str(packs), "JUSTZOOMIN_REPO": where}
        with pytest.raises(ValueError, match=f"JUSTZOOMIN_REPO={where}: "):
            open_collections(settings, tmp_path)


def test_the_map_of_the_world_has_land_and_names_where_they_are(modules):
    shapely = pytest.importorskip("shapely")
    import atlas

    def polygons(sheet):
        for rings in sheet["land"]:
            shapes = []
            for ring in rings:
                steps = np.array(ring).reshape(-1, 2).cumsum(axis=0)
                west, _, south, _ = sheet["box"]
                shapes.append(shapely.Polygon(steps * sheet["unit"] + (west, south)).buffer(0))
            yield shapely.union_all(shapes)

    world, fine = atlas.world(), atlas.sheet(8.0, 41.0, 16.0, 48.0, 0.01)
    assert len(json.dumps(world)) < 200_000 and len(json.dumps(fine)) < 60_000
    for sheet, places, water in (
        (world, [(48.9, 2.4), (-33.4, -70.6), (64.1, -150)], [(0, -140), (40, -40)]),
        (fine, [(41.9, 12.5), (47.3, 11.4)], [(43.0, 9.9), (45.28, 12.6)]),
    ):
        land = shapely.union_all(list(polygons(sheet)))
        for expected, points in ((True, places), (False, water)):
            assert all(land.covers(shapely.Point(x, y)) == expected for y, x in points)
    assert {"Rome", "Milan"} <= {city[0] for city in fine["cities"]}
    for name, latitude, longitude, room in world["names"]:  # noqa: B007
        if room > 3:  # of small countries, only a part may be left
            at = shapely.Point(longitude, latitude)
            assert atlas.countries().query("name == @name")["shape"].iloc[0].buffer(0.2).covers(at)


def test_a_place_is_named_after_the_largest_city_nearby(modules):
    import atlas

    assert atlas.near(-33.5, -70.6) == "near Santiago, Chile"
    assert atlas.near(1.35, 103.82) == "near Singapore"
    assert re.fullmatch(r"\d{3} km from \S+, French Polynesia", atlas.near(0, -140))


def test_a_file_of_predictions_is_the_model_to_beat(modules, packs, zoom, tmp_path):
    from catalogue import open_collections
    from game import guess, new_game, rival_guesses

    file = tmp_path / "my_model" / "predictions.jsonl"
    file.parent.mkdir()
    settings = {"IM2GPS_REPO": str(packs), "JUSTZOOMIN_REPO": str(zoom)}
    ids = open_collections(settings, tmp_path)["im2gps"].rows("test").ids
    lines = [{"image_id": ids[0], "latitude": 1, "longitude": 2}]
    lines += [{"image_id": ids[1], "error": "ValueError: damaged"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings["IM2GPS_PREDICTIONS"] = str(file)
    world = open_collections(settings, tmp_path)["im2gps"]
    assert world.rival.name == "my model"
    assert world.rival.guesses[0].tolist() == [1, 2] and np.isnan(world.rival.guesses[1:]).all()
    game = guess(new_game(world, 1), 0.0, 0.0)
    assert rival_guesses(game, world).shape == (1, 2)
    file.write_text('{"image_id": "nobody", "latitude": 1, "longitude": 2}\n')
    with pytest.raises(ValueError, match="IM2GPS_PREDICTIONS.*no prediction for any of the"):
        open_collections(settings, tmp_path)


def test_points_fall_with_the_distance_on_the_scale_of_the_map(modules):
    from game import points

    assert points(np.array([0.0, 1492.7, 20_000]), "im2gps").tolist() == [5000, 1839, 0]
    assert points(np.array([0.0, 1414.2, 10_000]), "justzoomin").tolist() == [5000, 1839, 4]


def test_a_kept_game_goes_on_and_anything_else_begins_a_new_one(modules):
    from catalogue import Collection, Rows
    from game import guess, new_game, next_round, resumed, saved

    class Photos(Collection):
        def _read_rows(self, split):
            return Rows(np.arange(20).astype(str), np.zeros((20, 2)), None)

    collection = Photos("im2gps", ["test"])
    game = guess(new_game(collection, 5), 1.0, 2.0)
    for each in (game, next_round(game), guess(next_round(game), 3.0, 4.0)):
        kept = json.loads(json.dumps(saved(each)))
        assert resumed(collection, 5, kept) == each
        assert resumed(collection, 6, kept) == new_game(collection, 6)
    while not game.finished:
        game = guess(next_round(game), 1.0, 2.0)
    assert resumed(collection, 5, saved(game)) == game
    kept = saved(game)
    for wrong in (None, [], {}, {**kept, "guesses": [[95, 0]]}, {**kept, "guesses": 3}):
        assert resumed(collection, 5, wrong) == new_game(collection, 5)
    long = {**kept, "guesses": kept["guesses"] * 3, "open": True}
    assert len(resumed(collection, 5, long).guesses) == len(game.rows)


def test_published_results_need_a_game_on_the_whole_benchmark(modules):
    from catalogue import Collection, Rows
    from game import guess, new_game, next_round, result

    from gcd_metric.scoring import published

    def played(count, synthetic=False):
        class Photos(Collection):
            def _read_rows(self, split):
                places = np.column_stack([np.linspace(-60, 60, count), np.linspace(0, 170, count)])
                return Rows(np.array([f"{i:03}.jpg" for i in range(count)]), places, None)

        collection = Photos("im2gps", ["test"])
        collection.synthetic = synthetic
        game = new_game(collection, 3)
        while not game.finished:
            # ten times the middle of the map: not mistaken for a model's radians
            game = next_round(guess(game, 0.0, 0.0))
        return result(game, collection)

    whole, less, made_up = played(237), played(236), played(237, synthetic=True)
    (_, rows, notes), (_, own_rows, reasons) = whole, less
    assert rows[0][0] == "you" and len(rows) == 1 + len(published("im2gps"))
    assert any("for all 237 photos. Yours are for ten of them" in note for note in notes)
    assert len(own_rows) == len(made_up[1]) == 1
    assert any("drawn from 236, so they are not shown" in note for note in reasons)


def test_the_uploaded_folder_is_complete(modules, tmp_path):
    from bundle import PACKAGES, bundle

    bundle(tmp_path / "space")
    for name in PACKAGES:
        assert (tmp_path / "space" / name / "__init__.py").is_file()
    assert (tmp_path / "space" / "gcd_metric" / "coastlines.json").is_file()
    with pytest.raises(FileExistsError):
        bundle(tmp_path / "space")
    lines = (tmp_path / "space" / "requirements.txt").read_text().splitlines()
    listed = {Requirement(line) for line in lines if line and not line.startswith("#")}
    stated = [Requirement(line) for line in importlib.metadata.requires("im2gps-justzoomin")]
    needed = {
        Requirement(str(each).partition(";")[0])
        for each in stated
        if each.marker is None or each.marker.evaluate({"extra": "tiles"})
    }
    assert needed <= listed
    card = (tmp_path / "space" / "README.md").read_text()
    (gradio,) = (each for each in listed if each.name == "gradio")
    assert f"sdk_version: {str(gradio.specifier).removeprefix('==')}\n" in card
