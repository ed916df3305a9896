"""Reports: self-contained, escaped, of the region they should show, written or refused early."""

import html
import json
import os
import re
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gcd_metric
from gcd_metric.cli import main
from gcd_metric.plot_data import great_circle_arcs
from gcd_metric.report import _overview, _page, draw_curve, draw_map
from gcd_metric.text import scope
from geoload.files import sha256
from tests.gcd_metric.scored import scored
from tests.support.limits import small_files_only

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

HERE = Path(gcd_metric.__file__).parent


@pytest.fixture()
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    truth = pd.DataFrame(
        {
            "id": [f"<b>{i}&" for i in range(60)],
            "lat": random.uniform(-60, 60, 60),
            "lon": random.uniform(-180, 180, 60),
        }
    )
    truth.to_csv("truth.csv", index=False)
    truth.assign(lat=truth["lat"] + random.normal(0, 5, 60)).to_csv("a<i>.csv", index=False)
    truth.assign(lat=0).to_csv("b.csv", index=False)
    return ["a<i>.csv", "--references", "truth.csv", "--compare", "b.csv"]


def picture(references, predictions, unit="km"):
    report = scored(references, predictions, unit=unit)
    axes = Figure().subplots()
    draw_map(axes, report, report.runs[0])
    axes.figure.canvas.draw()
    return axes


class Sources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.found += [v for k, v in attributes if k in ("src", "href", "xlink:href") and v]


def test_html_is_self_contained_and_escaped(files):
    assert main([*files, "--report", "out.html"]) == 0
    text = Path("out.html").read_text(encoding="utf-8")
    page = Sources()
    page.feed(text)
    assert all(source.startswith(("#", "data:")) for source in page.found)
    assert {"svg", "img", "table"} <= set(page.tags) and not {"script", "link"} & set(page.tags)
    assert "b" not in page.tags and "i" not in page.tags
    assert "&lt;b&gt;" in text and "a&lt;i&gt;" in text
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)
    rows = re.findall(r"<tr><td>(?!.*published)", text)
    assert len(rows) == 2 + 6 + 2 * 20
    assert "gain of b (B) over a&lt;i&gt; (A)" in text and "only B : only A" in text
    assert "for independent photos" in text and ">n = 60</p>" in text


def test_the_same_scores_give_the_same_page(files):
    pages = []
    for name in ("one.html", "two.html"):
        assert main([*files, "--report", name]) == 0
        pages.append(Path(name).read_bytes())
    assert pages[0] == pages[1]


def parts(files, tmp_path, monkeypatch, *options, compare=True):
    """The report's content, as the command hands it over."""
    caught = []
    monkeypatch.setattr("gcd_metric.report.write_report", lambda _, report: caught.append(report))
    assert main([*(files if compare else files[:3]), "--report", "o.html", *options]) == 0
    return caught[0]


def test_a_report_names_the_number_of_images(files, tmp_path, monkeypatch):
    table = pd.read_csv("b.csv")
    table.loc[3, "lat"] = None
    table[:50].to_csv("b.csv", index=False)
    report = parts(files, tmp_path, monkeypatch, "--missing", "miss")
    assert scope(report) == "n = 60; b: 11 without a prediction"
    assert any("11 without a prediction" in note for note in report.notes)
    page = _page(report)
    assert scope(report) in page
    worst = page[page.index("Worst predictions of b") :]
    rows = re.findall(r"<tr><td>.*?</tr>", worst)
    assert [row.count("no answer") for row in rows[:12]] == [1] * 10 + [1, 0]
    assert "and 1 more without a prediction" in rows[10] and len(rows) == 21
    table.dropna()[:40].to_csv("b.csv", index=False)
    found = parts(files, tmp_path, monkeypatch, "--allow-partial")
    assert scope(found) == "n = 40 of 60"


@pytest.mark.parametrize("compare", [True, False])
def test_the_picture_contains_all_figures(files, tmp_path, monkeypatch, compare):
    figures = []
    monkeypatch.setattr("gcd_metric.report._render", lambda figure, _: figures.append(figure))
    report = parts(files, tmp_path, monkeypatch, compare=compare)
    _overview(report)
    assert figures[0].get_suptitle().splitlines() == [report.title, "n = 60"]
    cells = [
        cell.get_text().get_text()
        for axes in figures[0].axes
        for table in axes.tables
        for cell in table.get_celld().values()
    ]
    assert ("McNemar p" in cells and "only B : only A" in cells) is compare
    # a colour means one class of errors on both maps
    colours = {
        (label, tuple(handle.get_facecolor()[0]))
        for axes in figures[0].axes[1:]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    assert len(colours) == len({label for label, _ in colours}) >= 4


def test_sources_of_published_rows_are_in_the_page(files, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "gcd_metric.scoring.published",
        lambda name: [{"n": "60", "method": "M", "year": "", "acc@25km": "1", "source": "S & T"}],
    )
    page = _page(parts(files, tmp_path, monkeypatch, "--benchmark", "x"))
    assert "Published figures as printed in: S &amp; T" in page


def test_png(files):
    from PIL import Image

    assert main([*files, "--report", "out.png"]) == 0
    with Image.open("out.png") as image:
        assert image.width > 1000 and image.height > image.width
        assert len(image.convert("RGB").getcolors(2**24)) > 100


def test_missing_matplotlib_is_an_error_with_advice(files, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert main([*files, "--report", "out.png"]) == 2
    assert "pip install 'im2gps-justzoomin[report]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.html", "out.png"])
@pytest.mark.skipif(sys.platform != "linux", reason="limits of files are Linux's")
def test_a_full_disk_keeps_the_old_report(python, files, tmp_path, name):
    Path(name).write_text("the report of yesterday")
    before = set(os.listdir())
    with small_files_only(50_000):
        done = python("-m", "gcd_metric", *files, "--report", name, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"gcd-metric: {name} was not written: File too large"
    assert "Traceback" not in done.stderr
    assert Path(name).read_text() == "the report of yesterday" and set(os.listdir()) == before


def test_paths_where_no_report_can_be_written(files, capsys):
    Path("folder.html").mkdir()
    Path("file").write_text("")
    for name, said in {
        "folder.html": "folder.html is a folder",
        "file/out.html": "there is no folder file",
        "nowhere/out.png": "there is no folder nowhere",
        "out.pdf": "ends in .html or .png",
        "n" * 300 + ".html": "was not written: File name too long",
    }.items():
        assert main([*files, "--report", name]) == 2
        assert said in capsys.readouterr().err
    assert not list(Path().glob("*.part")) and not list(Path().glob(".*"))


def test_a_report_is_written_to_the_target_of_a_link(files):
    Path("kept.html").write_text("before")
    Path("link.html").symlink_to("kept.html")
    assert main([*files, "--report", "link.html"]) == 0
    assert Path("link.html").is_symlink() and "GeoScore" in Path("kept.html").read_text()
    assert Path("kept.html").stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_as_a_module_and_without_pyplot(python, files, tmp_path):
    done = python(
        "-X",
        "importtime",
        "-m",
        "gcd_metric",
        *files,
        "--report",
        "out.png",
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0 and "GeoScore" in done.stdout
    assert "matplotlib.figure" in done.stderr and "matplotlib.pyplot" not in done.stderr


def test_a_spread_over_the_world_shows_the_world():
    axes = picture([[0, 0], [60, 120]], [[10, 10], [60, -120]])
    assert axes.get_xlim() == (-180, 180) and axes.get_ylim() == (-90, 90)


def test_a_town_is_shown_as_a_town():
    random = np.random.default_rng(0)
    truth = [38.89, -77.01] + random.uniform(-0.04, 0.04, (500, 2))
    guess = truth + random.normal(0, 1e-4, truth.shape)
    guess[0] = [0, 0]  # one prediction far away must not spoil it
    axes = picture(truth, guess, "m")
    west, east = axes.get_xlim()
    assert -77.1 < west < -77.05 and east - west < 0.15
    # a degree of longitude is shorter there
    assert axes.get_aspect() == pytest.approx(1 / np.cos(np.radians(38.89)), rel=1e-3)
    assert any("km" in text.get_text() for text in axes.texts)  # the scale


@pytest.mark.parametrize(
    ("truth", "guess"),
    [
        ([[10, 20]], [[10, 20]]),
        ([[10, 20]], [[-10, -160]]),
        ([[10, 20], [1, 1]], [[np.nan, np.nan], [2, 2]]),
        ([[10, 20]], [[np.nan, np.nan]]),
        ([[90, 0]], [[-90, 0]]),
    ],
)
def test_degenerate_maps_and_curves_are_drawn(truth, guess):
    axes = picture(truth, guess)
    draw_curve(axes.figure.subplots(), scored(truth, guess, thresholds=(200.0,)))
    axes.figure.canvas.draw()


def test_the_curve_passes_through_the_accuracies():
    truth, guess = np.zeros((4, 2)), np.array([[0, 0], [1, 0], [5, 0], [40, 0]], float)
    axes = Figure().subplots()
    draw_curve(axes, scored(truth, guess))
    x, y = axes.lines[0].get_data()
    assert y[np.searchsorted(x, 200, "right") - 1] == 50
    assert y[np.searchsorted(x, 750, "right") - 1] == 75
    assert [text.get_text() for text in axes.texts] == ["200 km: 50.0%", "750 km: 75.0%"]


def test_arcs_are_shortest_paths_without_jumps():
    start = np.array([[0, 170], [60, 0], [10, 20], [5, 5]], float)
    end = np.array([[0, -170], [60, 180], [-10, -160], [5, 5]], float)
    for first, last, line in zip(start, end, great_circle_arcs(start, end), strict=True):
        assert line[0] == pytest.approx(first[::-1], abs=1e-6)
        place = ((line[-1][0] + 180) % 360 - 180, line[-1][1])
        assert gcd_metric.haversine([place[::-1]], [last])[0] < 1e-3
        legs = gcd_metric.haversine(line[1:, ::-1] % [91, 1000], line[:-1, ::-1] % [91, 1000])
        assert np.isfinite(legs).all()
    line = great_circle_arcs(start[:1], end[:1])[0]
    assert np.abs(np.diff(line[:, 0])).max() < 1 and line[-1, 0] == pytest.approx(190)


def test_coastlines_are_small_named_and_on_earth():
    path = HERE / "coastlines.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 150_000
    assert "Natural Earth" in document["source"] and "public domain" in document["licence"]
    points = np.concatenate([np.array(line) for line in document["polylines"]])
    assert (np.abs(points) <= [180, 90]).all() and len(points) > 4000
    assert all(np.abs(np.diff(line, axis=0)).max() < 180 for line in document["polylines"])


# --- names --------------------------------------------------------------------------------------

NAMES = [
    "cost_$5_vs_$10",
    "$\\frac{",
    "a\\$b",
    "_hidden",
    "__",
    "x" * 100 + "y" * 100,
    "\u6a21\u578b_\u5317\u4eac",  # Chinese
    "\u30e2\u30c7\u30eb" * 40,  # Japanese, long
    "\u05e9\u05dc\u05d5\u05dd",  # Hebrew
    "\u1d81",  # not in DejaVu Sans, but in STIXGeneral, which comes with matplotlib
    "a\nb\tc\rd",
    "\u202egnp.exe",
    "a\udcffb",  # a byte of a file's name that is not UTF-8
    "<b>&amp;</b>",
    "%{x} {y} %s",
    "e\u0301\U0001f600",
    "\U0010ffff\ue000\x00\u2028",
]


def named(*names):
    places = np.array([[10.0, 20], [30, 40], [50, 60]])
    guesses = [places + 1] * len(names)
    return scored(places, *guesses, thresholds=(20.0, 200.0), names=names)


@pytest.fixture(scope="module")
def drawn():
    """The figure of a report, when it has been drawn; every warning is an error."""
    figures = []

    def render(figure, kind):
        figures.append(figure)
        return b"<svg></svg>"

    def make(report):
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr("gcd_metric.report._render", render)
            _overview(report)
            warnings.simplefilter("error")
            figures[-1].canvas.draw()
        return figures[-1]

    return make


@pytest.fixture(scope="module")
def room(drawn):
    """Where the plots are in a report with plain names."""
    return [axes.get_window_extent() for axes in drawn(named("plain", "other")).axes[:3]]


@pytest.mark.parametrize("name", NAMES)
def test_long_names_in_the_legend_leave_room_for_the_plot(drawn, room, name):
    odd = drawn(named(name, "other"))
    first, second = odd.axes[0].get_legend().get_texts()
    assert second.get_text() == "other" and first.get_text()
    assert not first.get_parse_math()
    for wanted, axes in zip(room, odd.axes[:3], strict=True):
        found = axes.get_window_extent()
        assert found.width > 0.9 * wanted.width and found.height > 0.9 * wanted.height
    box = odd.get_tightbbox()
    assert box.width <= 11.5  # inches; the figure has 11


def legend(drawn, name):
    return drawn(named(name)).axes[0].get_legend().get_texts()[0]


def test_names_are_drawn_as_they_are(drawn):
    for name in ("cost_$5_vs_$10", "a\\$b", "_hidden", "<b>&amp;</b>", "%{x} {y} %s"):
        figure = drawn(named(name))
        assert figure.axes[0].get_legend().get_texts()[0].get_text() == name
        assert name in figure.get_suptitle() and name in figure.axes[1].get_title()


def test_long_names_keep_both_ends(drawn):
    text = legend(drawn, "x" * 100 + "y" * 100).get_text()
    assert len(text) == 40 and text.startswith("xxx") and text.endswith("yyy") and "\u2026" in text


def test_invisible_characters_are_escaped(drawn):
    assert legend(drawn, "a\nb\tc").get_text() == "a\\nb\\tc"
    assert legend(drawn, "\u202egnp.exe").get_text() == "\\u202egnp.exe"
    assert legend(drawn, "a\udcffb").get_text() == "a\\udcffb"
    figure = drawn(named("a\ue000"))
    assert "\\u\u2026 stands for a character" in figure.get_suptitle()
    assert "stands for" not in drawn(named("plain")).get_suptitle()


def test_another_font_is_used_for_missing_characters(drawn):
    text = legend(drawn, "a\u1d81")
    assert text.get_text() == "a\u1d81" and len(text.get_fontfamily()) == 2
    assert text.get_fontfamily()[0] == "DejaVu Sans"


def test_the_page_has_whole_names_in_its_table_and_none_in_its_pictures(monkeypatch):
    page = _page(named(NAMES[0]))
    assert not any(NAMES[0] in svg for svg in re.findall("<svg.*?</svg>", page, re.DOTALL))
    monkeypatch.setattr("gcd_metric.report._render", lambda *_: b"<svg></svg>")
    for name in NAMES:
        page = _page(named(name))
        assert page.encode()  # no half of a pair is left
        cell = re.search("<td>(.*?)</td>", page, re.DOTALL).group(1)
        if name.isprintable() and "\ue000" not in name:
            assert html.unescape(cell) == name
        assert not any(char in page for char in ("\u202e", "\x00", "\u2028", "\udcff"))


def test_matplotlib_settings_do_not_change_a_report(files):
    import matplotlib

    assert main([*files, "--report", "before.png"]) == 0
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40, "axes.facecolor": "red"}):
        assert main([*files, "--report", "after.png"]) == 0
    assert sha256("before.png") == sha256("after.png")
