"""The pictures agree with the table, have a bounded size and distinguishable colours."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("plotly")

from gcd_metric.charts import error_curve, error_map
from gcd_metric.plot_data import (
    ERROR_COLOURS,
    MOST_ARCS,
    MOST_POINTS,
    RUN_COLOURS,
    WORST_ARCS,
    break_at_antimeridian,
    chosen_errors,
    class_names,
    great_circle_arcs,
    left_out,
)
from tests.gcd_metric.scored import scored

PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def points(figure):
    """The points of each class: true longitude and latitude, and latitude and longitude guessed."""
    return {
        trace.name: np.column_stack([trace.x, trace.y, trace.customdata]).tolist()
        for trace in figure.data
        if trace.mode == "markers"
    }


@settings(deadline=None)  # the machine may be busy
@given(PLACES, PLACES)
def test_a_split_arc_stays_on_the_map(start, end):
    (arc,) = great_circle_arcs(np.array([start]), np.array([end]), 32)
    pieces = break_at_antimeridian(arc)
    for piece in pieces:
        assert (np.abs(piece[:, 0]) <= 180 + 1e-9).all()
    for before, after in itertools.pairwise(pieces):
        assert abs(before[-1, 0]) == pytest.approx(180) and after[0, 0] == -before[-1, 0]
        assert before[-1, 1] == after[0, 1]
    points = np.concatenate(pieces)
    kept = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
    assert len(kept) == len(arc) + len(pieces) - 1
    assert points[:, 1].min() >= arc[:, 1].min() - 1e-9
    steps = sum(np.abs(np.diff(piece[:, 0])).sum() for piece in pieces)
    assert steps == pytest.approx(np.abs(np.diff(arc[:, 0])).sum(), abs=1e-6)


def test_the_curve_passes_through_the_accuracies():
    random = np.random.default_rng(0)
    truth = random.uniform(-60, 60, (50_000, 2))
    guess = truth + random.normal(0, 5, truth.shape)
    guess[:100] = np.nan
    shown = scored(truth, guess)
    (trace,) = error_curve(shown).data
    assert len(trace.x) < 2100 and trace.line.shape == "hv"
    for threshold in shown.options.thresholds:
        share = np.count_nonzero(shown.runs[0].measured <= threshold) / len(truth) * 100
        assert trace.y[list(trace.x).index(threshold)] == pytest.approx(share)
    assert trace.y[-1] == pytest.approx(99.8)  # a missing prediction is within no distance


def test_a_map_draws_a_bounded_number_with_the_worst():
    random = np.random.default_rng(0)
    measured = random.lognormal(0, 2, 100_000)
    measured[::7] = np.nan
    shown = chosen_errors(measured)
    assert len(shown) == len(set(shown.tolist())) == MOST_ARCS
    order = np.argsort(np.nan_to_num(measured, nan=-1))
    assert shown[-WORST_ARCS:].tolist() == order[-WORST_ARCS:].tolist()
    assert not np.isnan(measured[shown]).any()
    # the others are a fair sample: their median is that of all, within chance
    answered = np.sort(measured[~np.isnan(measured)])
    rank = np.searchsorted(answered, np.median(measured[shown[:-WORST_ARCS]])) / len(answered)
    assert 0.43 < rank < 0.57
    assert left_out(measured) == (
        "The map draws 1,000 of 85,714 errors: the 200 worst, and 800 of the others at random. "
        "The table and the curve show all. "
        "The map does not contain 14,286 photos without a prediction."
    )
    assert chosen_errors(measured[:500]).size == np.count_nonzero(~np.isnan(measured[:500]))


def test_colours_are_classes_between_the_thresholds():
    assert class_names((750.0, 200.0), "km") == ["up to 200 km", "200 to 750 km", "over 750 km"]
    truth, guess = [[0, 0], [10, 10], [20, 20]], [[0, 1], [10, 14], [20, 60]]
    shown = scored(truth, guess)
    assert points(error_map(shown, shown.runs[0])) == {
        "up to 200 km": [[0, 0, 0, 1]],
        "200 to 750 km": [[10, 10, 10, 14]],
        "over 750 km": [[20, 20, 20, 60]],
    }
    exact = scored([[0, 0]], [[0, 0]], thresholds=(0.5, 1.0))
    assert list(points(error_map(exact, exact.runs[0]))) == ["up to 0.5 km"]


def test_a_map_of_many_points_is_small():
    truth = np.random.default_rng(0).uniform(-60, 60, (20_000, 2))
    many = scored(truth, truth + 1)
    figure = error_map(many, many.runs[0])
    assert sum(map(len, points(figure).values())) == MOST_POINTS
    assert len(figure.to_json()) < 1_000_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cost_$5_vs_$10", "cost_&#36;5_vs_&#36;10"),
        ("<b>x</b><br>&amp;", "&lt;b&gt;x&lt;/b&gt;&lt;br&gt;&amp;amp;"),
        ('it\'s "q"', 'it\'s "q"'),  # plotly knows only a few named entities
        ("a\n\u202eb\udcff", "a\\n\\u202eb\\udcff"),
        ("x" * 100 + "y" * 100, "x" * 20 + "\u2026" + "y" * 19),
        ("_a", "_a"),
    ],
)
def test_names_are_text_to_plotly(name, expected):
    shown = scored([[0, 0], [1, 1]], [[0, 1], [1, 2]], [[1, 1], [2, 2]], ids=[name, "b"])
    shown.runs[0].name = name
    assert error_curve(shown).data[0].name == expected
    texts = {
        text
        for trace in error_map(shown, shown.runs[0]).data
        if trace.text is not None
        for text in trace.text
    }
    assert any(text.startswith(f"<b>{expected}</b><br>") for text in texts)


def test_a_town_is_shown_as_a_town_with_a_scale():
    random = np.random.default_rng(0)
    truth = [38.89, -77.01] + random.uniform(-0.04, 0.04, (500, 2))
    shown = scored(truth, truth + 1e-4, unit="m", thresholds=(40.0, 100.0))
    figure = error_map(shown, shown.runs[0])
    west, east = figure.layout.xaxis.range
    assert -77.1 < west < east < -76.9
    assert figure.layout.yaxis.scaleratio == pytest.approx(1 / np.cos(np.radians(38.89)), rel=1e-3)
    assert any(note.text.endswith(" km") for note in figure.layout.annotations)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    ("truth", "guess"),
    [
        ([[10, 20]], [[10, 20]]),
        ([[10, 20]], [[-10, -160]]),
        ([[10, 20], [1, 1]], [[np.nan, np.nan], [2, 2]]),
        ([[10, 20]], [[np.nan, np.nan]]),
        ([[90, 0]], [[-90, 0]]),
        ([[0, 180]], [[0, -180]]),
    ],
)
def test_degenerate_maps_and_curves_are_drawn(truth, guess, narrow):
    shown = scored(truth, guess)
    for figure in (error_curve(shown, narrow), error_map(shown, shown.runs[0], narrow)):
        assert "data" in figure.to_json()


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15 (6), 2009: whole loss of one kind of cone, on linear sRGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = TO_XYZ @ np.clip(rgb, 0, 1) / (0.9505, 1, 1.089)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colours", [ERROR_COLOURS, RUN_COLOURS])
def test_colours_differ_for_every_kind_of_colour_vision(colours, vision):
    seen = [lab(np.array(VISION[vision]) @ linear(colour)) for colour in colours]
    assert all(np.linalg.norm(a - b) > 24 for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("colour", sorted({*ERROR_COLOURS, *RUN_COLOURS}))
@pytest.mark.parametrize("background", ["#ffffff", "#0f0f11"])
def test_colours_show_on_light_and_dark(colour, background):
    light, dark = sorted(TO_XYZ[1] @ linear(c) + 0.05 for c in (colour, background))[::-1]
    assert light / dark >= 3  # what WCAG 2 asks of graphics
