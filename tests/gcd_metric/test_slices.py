"""Scores of each value of a column: the figures, the order, cuts of numbers, and the table."""

import datasets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gcd_metric
from gcd_metric import layout, slices, text
from gcd_metric.groups import Labels, make_groups
from gcd_metric.options import make_options
from gcd_metric.slices import make_column, slice_distances

RANDOM = np.random.default_rng(0)
N = 300
TRUTH = np.column_stack([RANDOM.uniform(-60, 60, N), RANDOM.uniform(-180, 180, N)])
SCENES = np.repeat(["city", "forest", "beach"], 100)
# the errors grow from the cities to the beaches
GUESS = TRUTH + [[0.9, 0]] * RANDOM.exponential(np.repeat([1.0, 3.0, 9.0], 100))[:, None]
OWNERS = RANDOM.integers(0, 40, N)


def errors(values):
    """Predictions on a meridian whose errors are these kilometres, and the truth."""
    truth = np.zeros((len(values), 2))
    degrees = np.degrees(np.asarray(values, float) / 6371)
    return np.column_stack([degrees, np.zeros(len(values))]), truth


def same(row, expected):
    """Whether a row of the table has the figures that `compute` returns."""
    flat = {}
    for key, value in expected.items():
        if key.endswith("_ci95"):
            name = key.removesuffix("_ci95")
            flat[f"{name}_low"], flat[f"{name}_high"] = value
        else:
            flat[key] = value
    assert set(row.index) == {*flat, "small"}
    for key, value in flat.items():
        # sums of a reordered part may be rounded differently
        assert row[key] == pytest.approx(value, rel=1e-9, nan_ok=True), key


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [None, OWNERS])
def test_the_figures_are_those_of_compute_on_the_photos_of_each_value(metric, groups):
    shuffled = np.random.default_rng(1).permutation(N)
    given = None if groups is None else groups[shuffled]
    table = slices(GUESS[shuffled], TRUTH[shuffled], SCENES[shuffled], groups=given)
    assert table.index.tolist() == ["beach", "forest", "city"]  # the worst first
    for scene in table.index:
        of_scene = scene == SCENES
        within = None if groups is None else groups[of_scene]
        part = {"predictions": GUESS[of_scene], "references": TRUTH[of_scene]}
        same(table.loc[scene], metric().compute(**part, groups=within))


def test_known_answers():
    guess, truth = errors([10] * 30 + [100] * 10 + [400] * 40)
    table = slices(guess, truth, ["a"] * 40 + ["b"] * 40, thresholds=[25, 200])
    assert table.index.tolist() == ["b", "a"]
    assert table["acc@25km"].tolist() == [0, 0.75]
    assert table["acc@200km"].tolist() == [0, 1]
    assert table["median_km"].tolist() == pytest.approx([400, 10])
    assert table["n"].tolist() == [40, 40] and not table["small"].any()
    assert table.loc["a", ["acc@25km_low", "acc@25km_high"]].tolist() == pytest.approx(
        gcd_metric.wilson_interval(30, 40)
    )


def test_missing_predictions_count_in_their_slice(metric):
    guess = [None if index % 10 == 0 else pair for index, pair in enumerate(GUESS.tolist())]
    table = slices(guess, TRUTH, SCENES, missing="miss")
    assert table["n_missing"].tolist() == [10, 10, 10]
    expected = metric().compute(predictions=guess[:100], references=TRUTH[:100], missing="miss")
    same(table.loc["city"], expected)
    with pytest.raises(ValueError, match="missing='miss' counts it as wrong"):
        slices(guess, TRUTH, SCENES)


def test_a_slice_without_any_answer_is_the_worst():
    guess, truth = errors([3000] * 25 + [np.nan] * 25 + [5000] * 25)
    guess[25:50] = np.nan
    table = slices(guess, truth, np.repeat(["a", "b", "c"], 25), missing="miss")
    assert table.index.tolist() == ["b", "c", "a"]  # no hits at all; then by the median
    assert np.isnan(table.loc["b", "median_km"]) and table.loc["b", "acc@200km"] == 0


def test_slices_are_in_the_order_of_the_references_when_paired_by_id():
    ids = [f"{index}.jpg" for index in range(N)]
    truth = pd.DataFrame({"image_id": ids, "latitude": TRUTH[:, 0], "longitude": TRUTH[:, 1]})
    guess = truth.assign(latitude=GUESS[:, 0], longitude=GUESS[:, 1])[::-1]
    pd.testing.assert_frame_equal(slices(guess, truth, SCENES), slices(GUESS, TRUTH, SCENES))


def test_the_options_are_those_of_the_metric():
    metres, truth = errors([0.03] * 30 + [0.045] * 30)
    options = {"config_name": "justzoomin", "earth_radius": 6371.0}
    table = slices(metres, truth, [1] * 30 + [2] * 30, **options)
    # by the middle of 40, 50 and 100 m both are the same, and the median decides
    assert table.index.tolist() == [2, 1]
    assert table["acc@40m"].tolist() == [0, 1] and table["acc@50m"].tolist() == [1, 1]
    same_place = slices([[0, 0]] * 60, truth, [1] * 60, thresholds=[25], strict=True)
    assert same_place["acc@25km"].tolist() == [1]
    with pytest.raises(ValueError, match="strict must be one of"):
        slices(metres, truth, [1] * 60, strict="yes")
    with pytest.raises(ValueError, match="unknown configuration"):
        slices(metres, truth, [1] * 60, config_name="justzoomout")


# --- groups -------------------------------------------------------------------------------------


def test_few_groups_make_a_slice_small():
    owners = np.where(SCENES == "beach", 0, OWNERS)
    table = slices(GUESS, TRUTH, SCENES, groups=owners)
    assert table.index.tolist() == ["forest", "city", "beach"]
    assert table["small"].tolist() == [False, False, True]
    assert table.loc["beach", "n_groups"] == 1 and np.isnan(table.loc["beach", "acc@200km_low"])


def test_slices_by_the_groups_themselves_have_intervals():
    """Within one photographer there is nothing to cluster by."""
    owners = [None if index % 50 == 0 else f"{index % 6}@N00" for index in range(N)]
    rows = pd.DataFrame({"latitude": TRUTH[:, 0], "longitude": TRUTH[:, 1], "owner": owners})
    table = slices(GUESS, rows, by="owner", groups="owner")
    pd.testing.assert_frame_equal(table, slices(GUESS, rows, by="owner"))
    assert table["acc@200km_low"].notna().all() and table["small"].sum() == 1
    # but larger groups, such as teams of photographers, leave no interval
    teams = [owner and "AB"[int(owner[0]) % 2] for owner in owners]
    assert slices(GUESS, rows, by="owner", groups=teams)["n_groups"].tolist()[:6] == [1] * 6


# --- values -------------------------------------------------------------------------------------

FORMS = {
    "list": SCENES.tolist(),
    "array": SCENES,
    "series": pd.Series(SCENES, index=range(7, N + 7)),
    "categories": pd.Series(SCENES, dtype="category"),
    "column": datasets.Dataset.from_dict({"scene": SCENES})["scene"],
    "generator": (scene for scene in SCENES),
}


@pytest.mark.parametrize("form", FORMS)
def test_values_of_any_form(form):
    table = slices(GUESS, TRUTH, FORMS[form])
    pd.testing.assert_frame_equal(table, slices(GUESS, TRUTH, SCENES), check_index_type=False)


@pytest.mark.parametrize("kind", ["mapping", "frame", "rows", "dataset"])
def test_by_may_name_a_column_of_the_references(kind):
    columns = {"latitude": TRUTH[:, 0], "longitude": TRUTH[:, 1], "scene": SCENES}
    frame = pd.DataFrame(columns)
    references = {
        "mapping": columns,
        "frame": frame,
        "rows": frame.to_dict("records"),
        "dataset": datasets.Dataset.from_pandas(frame),
    }[kind]
    table = slices(GUESS, references, by="scene")
    assert table.index.name == "scene"
    pd.testing.assert_frame_equal(table, slices(GUESS, TRUTH, SCENES), check_names=False)
    with pytest.raises(ValueError, match="by='scen': the references have no column"):
        slices(GUESS, references, by="scen")


def test_photos_without_a_value_are_counted_last():
    values = SCENES.astype(object)
    values[:40] = [None, np.nan, "", " "] * 10
    table = slices(GUESS, TRUTH, values)
    assert table.index.tolist() == ["beach", "forest", "city", "(none)"]
    assert table["n"].tolist() == [100, 100, 60, 40]
    years = pd.Series([None, *[2004] * 99, *[2012] * 200], name="year")
    table = slices(GUESS, TRUTH, years)
    assert table.index.tolist() == [2012, 2004, "(none)"]  # not 2012.0
    assert table.index.name == "year"


def test_small_slices_are_listed_after_the_ranked_ones():
    values = SCENES.astype(object)
    values[:19], values[295:] = "bog", "cave"
    values[20:40] = "park"
    table = slices(GUESS, TRUTH, values)
    assert table.index.tolist()[-2:] == ["bog", "cave"]  # the largest first
    assert table["small"].tolist() == [False] * 4 + [True] * 2
    assert not table.loc["park", "small"] and table.loc["park", "n"] == 20


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [
        (SCENES[:-1], {}, "by: 299 labels for 300 pairs"),
        (np.zeros((N, 2)), {}, "by: 300x2 labels for 300 pairs"),
        ([["city"]] * N, {}, "by: labels must be hashable"),
        (5, {}, "by: pass one label for each of the 300 pairs"),
        (None, {}, "by: pass one label for each of the 300 pairs"),
        (SCENES, {"edges": [1, 2]}, "edges cut numbers, but the values of slice are not: 'city'"),
        (range(N), {"edges": [2, 1]}, "edges must be finite and ascending"),
        (range(N), {"edges": [1, 1]}, "edges must be finite and ascending"),
        (range(N), {"edges": [np.nan]}, "edges must be finite and ascending"),
        (range(N), {"edges": []}, "edges must be finite and ascending"),
        (range(N), {"edges": "wide"}, "edges must be a number, or a list of numbers"),
        (range(N), {"quantiles": 1}, "quantiles must be a whole number from 2"),
        (range(N), {"quantiles": 2.5}, "quantiles must be a whole number from 2"),
        (SCENES, {"groups": OWNERS[:5]}, "groups: 5 labels for 300 pairs"),
    ],
)
def test_values_that_do_not_fit(by, options, message):
    with pytest.raises(ValueError, match=message):
        slices(GUESS, TRUTH, by, **options)


# --- cutting numbers ----------------------------------------------------------------------------


def test_numbers_are_cut_at_their_quantiles():
    density = pd.Series(np.arange(N) / 4, name="density")
    table = slices(GUESS, TRUTH, density).sort_index()
    # the quartiles are values of the column, which belong to the range below
    ranges = ["up to 18.5", "over 18.5, up to 37.25", "over 37.25, up to 56", "over 56"]
    assert table.index.tolist() == ranges
    assert table["n"].tolist() == [75, 75, 75, 75]
    assert len(slices(GUESS, TRUTH, density, quantiles=10)) == 10


def test_a_tensor_is_cut_like_an_array():
    torch = pytest.importorskip("torch")
    table = slices(GUESS, TRUTH, torch.arange(N) / 7)
    assert isinstance(table.index, pd.CategoricalIndex) and len(table) == 4


@pytest.mark.parametrize(
    ("values", "cut"),
    [
        (2004 + np.arange(N) % 9, False),  # years
        (np.arange(N) % 40, False),
        (np.arange(N) % 41, True),
        (np.arange(N) % 4 / 4, False),
        (np.arange(N) % 5 / 4, True),
        ((np.arange(N) % 5 / 4).astype(str), True),
        (np.array([f"{index:03}" for index in range(N)]), False),  # codes
        (np.array([f"{index % 50}@N00" for index in range(N)]), False),
        (pd.Series(np.arange(N), dtype="category"), False),
        (pd.Series(np.arange(N) % 50, dtype="Int64"), True),
        (np.arange(N) % 2 == 0, False),
    ],
)
def test_which_columns_are_cut(values, cut):
    table = slices(GUESS, TRUTH, values)
    assert isinstance(table.index, pd.CategoricalIndex) is cut
    if cut:
        assert len(table) == 4
        uncut = slices(GUESS, TRUTH, values, quantiles=None)
        assert len(uncut) == len(set(values.tolist())) and uncut["n"].sum() == N


def test_numbers_in_text_may_be_missing():
    texts = [str(index / 7) if index % 3 else "n/a" for index in range(N)]
    table = slices(GUESS, TRUTH, texts, quantiles=2)
    assert table["n"].tolist()[-1] == 100 and table.index[-1] == "(none)"
    assert table["n"].tolist()[:2] == [100, 100]


def test_given_edges_belong_to_the_range_below():
    values = np.repeat([0, 10, 11, 100, 1000, np.nan], 50)
    table = slices(GUESS, TRUTH, values, edges=[10, 100, 5000]).sort_index()
    ranges = ["up to 10", "over 10, up to 100", "over 100, up to 5000", "(none)"]
    assert table.index.tolist() == ranges  # nothing is over 5000
    assert table["n"].tolist() == [100, 100, 50, 50]
    assert slices(GUESS, TRUTH, values, edges=10)["n"].sum() == N


@pytest.mark.parametrize("values", [[0.0] * 250, [99.0] * 250])
def test_one_value_of_most_photos_is_apart_from_the_others(values):
    values = np.array([*values, *(np.arange(50) + 0.5)])
    table = slices(GUESS, TRUTH, values).sort_index()
    assert sorted(table["n"]) == [50, 250]


@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(), st.integers(-(2**60), 2**60)), min_size=1, max_size=120
    ),
    quantiles=st.integers(2, 6),
)
def test_every_photo_is_in_one_slice(values, quantiles):
    n = len(values)
    column = make_column(values, n, "number", quantiles=quantiles)
    found = slice_distances(np.arange(n, dtype=float), column, make_options())
    assert sum(one.scores["n"] for one in found) == n
    labels = [one.label for one in found]
    assert len(set(labels)) == len(labels)
    lost = sum(value is None or value != value for value in values)
    assert sum(one.scores["n"] for one in found if one.value is None) == lost
    if column.is_cut:
        assert len(found) <= quantiles + 1


def test_a_million_photos_of_two_hundred_values():
    n = 1_000_000
    random = np.random.default_rng(2)
    values, owners = random.integers(0, 200, n), random.integers(0, 100_000, n)
    measured = random.exponential(500, n)
    options = make_options()
    column = make_column([f"value {value}" for value in values], n, "scene")
    found = slice_distances(measured, column, options, make_groups(owners, np.zeros((n, 2))))
    assert len(found) == 200 and sum(one.scores["n"] for one in found) == n
    accuracies = [one.scores["acc@200km"] for one in found]
    assert accuracies == sorted(accuracies)
    worst = measured[values == int(found[0].value.split()[1])]
    assert found[0].scores["acc@200km"] == np.mean(worst <= 200)


# --- the table of the command and of reports ----------------------------------------------------


def scored_slices(values, groups=None, *, missing=0):
    measured = np.random.default_rng(3).exponential(500, len(values))
    measured[:missing] = np.nan
    options = make_options(missing="miss")
    made = None if groups is None else make_groups(groups, np.zeros((len(values), 2)))
    return slice_distances(measured, make_column(values, len(values), "scene"), options, made)


OPTIONS = make_options(missing="miss")


def test_the_table_has_every_interval_and_marks_small_slices():
    values = ["city"] * 50 + ["forest\nor wood"] * 30 + ["cave"] * 3 + [None] * 4
    owners = np.arange(87) // 2
    found = scored_slices(values, owners, missing=2)
    headers, rows = text.slice_table("scene", found, OPTIONS)
    assert headers[0] == "scene" and headers[-2:] == ["median km", "n"]
    cells = {row[0]: row for row in rows}
    assert list(cells)[-2:] == ["cave", "(none)"]
    assert set(cells) == {"city", "forest or wood", "cave", "(none)"}
    assert cells["city"][-1] == "50 in 25 groups, 2 without a prediction"
    assert cells["cave"][-1] == "3 in 2 groups, small"
    city = next(one for one in found if one.value == "city").scores
    low, high = city["acc@200km_ci95"]
    expected = f"{100 * city['acc@200km']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert cells["city"][3] == expected
    remark = text.slice_remark(found, OPTIONS)
    assert "accuracy at 200 km" in remark and "20 photos or 5 effective groups" in remark
    labels = Labels(owners, "photographers", "the file names")
    shown = text.terminal_slices("scene", found, OPTIONS, labels)
    assert max(map(len, shown.split("\n"))) <= layout.WIDTH
    assert "n = 3 by 2 photographers, small" in shown
    assert f"{100 * low:.1f}\u2013{100 * high:.1f}" in shown


def test_of_many_slices_the_ends_are_listed():
    values = [*np.repeat([f"v{index}" for index in range(60)], 20), *["a", "b", "c"], None]
    found = scored_slices(values)
    _, rows = text.slice_table("scene", found, OPTIONS)
    names = [row[0] for row in rows]
    ranked = [one.value for one in found if one.is_ranked]
    assert names[:10] == ranked[:10] and names[11:21] == ranked[-10:]
    assert names[10] == "\u2026 40 between \u2026" and rows[10][-1] == "800"
    assert names[21:] == ["\u2026 3 small slices \u2026", "(none)"] and rows[21][-1] == "3"
    _, rows = text.slice_table("scene", found[:50], OPTIONS)
    assert len(rows) == 50
