"""Zoom models over the miniature: views of predicted prefixes, scores, and the sheet of cases."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("cv2")

import justzoomin
from geoeval import search
from geoeval.fetch import Fetcher, run
from geoeval.zoom_scores import calibration, score_zoom, zoom_text
from geoeval.zoom_sheet import draw_cases
from geoload.models.loading import ModelError
from justzoomin import zoom
from justzoomin.views import open_views

SIZE = 40  # the levels of the miniature are enough for up to 60 pixels


@pytest.fixture(scope="module")
def rows(town: Path):
    return justzoomin.photos("validation", data_dir=str(town))


@pytest.fixture(scope="module")
def views(town: Path, tmp_path_factory: pytest.TempPathFactory):
    return open_views(town, SIZE, cache_dir=tmp_path_factory.mktemp("tables"))


class Looking:
    """Scores depend on every pixel of the photo and of the view, and on the number of actions."""

    mix = np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, 16))

    def encode(self, photos):
        return np.array([np.asarray(photo, float).mean() for photo in photos])

    def step(self, state, views, actions):
        pixels = views.reshape(len(views), -1) / 255 - 0.5
        seen = 30 * np.cos(np.outer(state, np.arange(1, 17)))
        return (pixels @ self.mix + seen) / (1 + actions.shape[1])


def authors_evaluation(rows, pyramid, scores_of):
    """The authors' evaluation, from its description: greedy, photo by photo and view by view."""

    def moved(latitude, longitude, bearing, metres):
        """The destination along a great circle on a sphere of radius 6,378,137 m."""
        phi, theta, angle = math.radians(latitude), math.radians(bearing), metres / 6_378_137
        to = math.asin(
            math.sin(phi) * math.cos(angle) + math.cos(phi) * math.sin(angle) * math.cos(theta)
        )
        along = math.atan2(
            math.sin(theta) * math.sin(angle) * math.cos(phi),
            math.cos(angle) - math.sin(phi) * math.sin(to),
        )
        return math.degrees(to), longitude + math.degrees(along)

    def place_at(latitude, longitude, east, north):
        return moved(*moved(latitude, longitude, 90, east), 0, north)

    def distance(one, other):
        (a, b), (c, d) = ([math.radians(angle) for angle in place] for place in (one, other))
        half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
        return 2 * 6_378_137 * math.asin(math.sqrt(half))

    exact, metres = [], []
    for row in rows:
        centre, width, sequence = place_at(38.8936, -77.0116, 2000, 0), 10_000.0, []
        for _ in range(4):
            view = pyramid.view(*centre, width / SIZE, SIZE)
            action = int(np.argmax(scores_of(row["image"], view, sequence)))
            sequence.append(action)
            width /= 4
            centre = place_at(*centre, (action % 4 - 1.5) * width, (1.5 - action // 4) * width)
        exact.append(sequence == list(row["sequence"]))
        metres.append(distance(centre, (row["latitude"], row["longitude"])))
    shares = {f"r@{m}m": np.mean([one <= m for one in metres]) for m in (40, 50, 100)}
    return {"r@1 strict": np.mean(exact), **shares}, float(np.median(metres))


class Helped(Looking):
    """`Looking`, but some photos are led to their cell, or a neighbour, so that no figure is 0."""

    def __init__(self, rows) -> None:
        # by the mean of the photo, which is all that `encode` keeps
        self.truth = {
            np.asarray(row["image"], float).mean(): [
                *row["sequence"][:3], row["sequence"][3] ^ (number % 6 == 1)
            ]
            for number, row in enumerate(rows)
            if number % 3
        }  # fmt: skip

    def step(self, state, views, actions):
        scores = super().step(state, views, actions)
        for row, mean in enumerate(state.tolist()):
            step = actions.shape[1]
            if mean in self.truth and self.truth[mean][:step] == actions[row].tolist():
                scores[row, self.truth[mean][step]] += 150 / (1 + step)
        return scores


def predictions(model, rows, views, beam=1, batch=16, **options):
    predict = search.predictor(model, Fetcher(views, **options), beam)
    photos, found = rows["image"][:], []
    for start in range(0, len(photos), batch):
        found += predict(photos[start : start + batch])
    return [{"image_id": name, **one} for name, one in zip(rows["image_id"], found, strict=True)]


def test_greedy_search_and_scores_are_those_of_the_authors_evaluation(town, rows, views):
    model = Helped(rows)
    records = predictions(model, rows, views, batch=1, expected=1)
    wanted, median = authors_evaluation(
        rows,
        justzoomin.TilePyramid(town),
        lambda photo, view, sequence: model.step(
            model.encode([photo]), view[None], np.array([sequence], int).reshape(1, -1)
        )[0],
    )
    result = score_zoom(records, rows)
    assert result["authors"] == pytest.approx(wanted)
    assert result["scores"]["median_m"] == pytest.approx(median, rel=1e-9)
    assert 0 < wanted["r@1 strict"] < wanted["r@40m"] <= wanted["r@100m"] < 1
    steps = [result["scores"][f"step{step}"] for step in (1, 2, 3, 4)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == wanted["r@1 strict"]
    assert "r@1 strict" in zoom_text(result)


@pytest.mark.parametrize("beam", [1, 3])
def test_views_are_those_of_the_predicted_prefixes(rows, views, beam):
    """Shown anything else, such as the views of the true path, this model answers otherwise."""
    photos = rows["image"][:4]
    seen = []

    class Model(Looking):
        def step(self, state, shown, actions):
            seen.append((shown.copy(), actions.copy()))
            return super().step(state, shown, actions)

    search.predictor(Model(), Fetcher(views, expected=1), beam)(photos)
    assert len(seen) == 8
    for shown, actions in seen:
        assert (shown == views.of(actions)).all()
    assert len({tuple(row) for _, actions in seen for row in actions.tolist()}) > 8


def test_a_table_gives_the_same_as_drawing(rows, views):
    drawn = predictions(Looking(), rows.select(range(8)), views, beam=2, expected=1)
    assert drawn == predictions(Looking(), rows.select(range(8)), views, beam=2)


def test_each_view_is_drawn_once(rows, views, monkeypatch):
    asked = Counter()
    lock, of = threading.Lock(), views.of

    def counting(prefixes):
        with lock:
            asked.update(map(tuple, prefixes))
        return of(prefixes)

    monkeypatch.setattr(views, "of", counting)
    predictions(Looking(), rows, views, beam=3, batch=20, expected=1)
    assert set(asked.values()) == {1}
    assert () in asked
    assert len(asked) > 30


def test_views_of_one_half_are_fetched_while_the_other_is_computed(rows, views):
    """The second half's views are asked for before the first half's scores are computed."""
    log = []

    class Logging(Looking):
        def step(self, state, shown, actions):
            log.append("step")
            return super().step(state, shown, actions)

    fetcher = Fetcher(views, expected=1)
    fetch = fetcher.fetch

    def logged(actions):
        log.append("fetch")
        return fetch(actions)

    fetcher.fetch = logged
    search.predictor(Logging(), fetcher)(rows["image"][:4])
    assert log == ["fetch", "fetch"] + ["step", "fetch"] * 6 + ["step", "step"]


def test_views_that_cannot_be_read_stop_the_run(rows, views, monkeypatch):
    def broken(prefixes):
        raise OSError("disk on fire")

    monkeypatch.setattr(views, "of", broken)
    with pytest.raises(ModelError, match="disk on fire"):
        search.predictor(Looking(), Fetcher(views, expected=1))(rows["image"][:2])


def test_records_have_all_hypotheses(rows, views):
    records = predictions(Looking(), rows.select(range(3)), views, beam=4, expected=1)
    for record in records:
        places = np.array(record["candidates"])
        assert places.shape == (4, 3)
        assert record["candidates"][0] == [
            record["latitude"], record["longitude"], record["log_probability"]
        ]  # fmt: skip
        assert (np.diff(places[:, 2]) <= 0).all()
        assert zoom.encode(*places[0, :2]).tolist() == record["sequence"]
    alone = predictions(Looking(), rows.select(range(3)), views, expected=1)
    assert all("candidates" not in record for record in alone)


@pytest.mark.parametrize("beam", [1, 5])
def test_a_photo_with_an_error_counts_as_wrong(rows, views, beam):
    records = predictions(Helped(rows), rows, views, beam=beam, expected=1)
    whole = score_zoom(records, rows)["scores"]
    right = [one["sequence"] == row for one, row in zip(records, rows["sequence"], strict=True)]
    number = right.index(True)
    records[number] = {"image_id": records[number]["image_id"], "error": "ValueError: no"}
    scores = score_zoom(records, rows)["scores"]
    assert scores["n"] == 60
    for key in ("r@1", "step1", "acc@40m", "acc@100m", *["r@5"] * (beam == 5)):
        assert scores[key] == pytest.approx(whole[key] - 1 / 60)
    assert "median_m" in whole and "median_m" not in scores
    assert score_zoom([records[number]], rows.select([number])) == {}
    assert zoom_text({}) == "No photo has an answer."


def test_candidates_are_scored_up_to_their_number(rows):
    sequences = np.array(rows["sequence"][:])
    records = []
    for number, (name, sequence) in enumerate(zip(rows["image_id"], sequences, strict=True)):
        five = np.stack([(sequence + shift) % 16 for shift in (1, 2, 3, 4, 5)])
        if number % 4 == 0:
            five[3] = sequence
        if number % 4 == 1:
            five[0] = sequence
        places = np.stack([*zoom.decode(five), -np.arange(5.0)], axis=-1)
        records.append({"image_id": name, "sequence": five[0].tolist(),
                        "candidates": places.tolist()})  # fmt: skip
    scores = score_zoom(records, rows)["scores"]
    assert (scores["r@1"], scores["r@5"]) == (0.25, 0.5)
    assert "r@10" not in scores
    assert "ece" not in score_zoom(records, rows)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_calibration_is_the_mean_gap_of_the_bins(answers, bins):
    confidence = np.array([sure for sure, _ in answers])
    right = np.array([is_right for _, is_right in answers])
    found = calibration(confidence, right, bins)
    gaps = []
    for number in range(bins):
        # Bin m has the confidences in ((m - 1) / M, m / M]; 0 belongs to the first.
        inside = [
            (sure, is_right) for sure, is_right in answers
            if math.ceil(sure * bins) == number + 1 or (sure == 0 and number == 0)
        ]  # fmt: skip
        gaps.append(abs(sum(sure - is_right for sure, is_right in inside)))
    assert found["ece"] == pytest.approx(sum(gaps) / len(answers))
    assert sum(row["n"] for row in found["reliability"]) == len(answers)
    for row in found["reliability"]:
        assert row["low"] - 1e-9 <= row["confidence"] <= row["high"] + 1e-9
        assert row["right_ci95"][0] <= row["right"] <= row["right_ci95"][1]


def test_calibration_of_a_sure_and_always_right_model_is_0():
    assert calibration(np.ones(5), np.ones(5, bool))["ece"] == 0
    assert calibration(np.ones(5), np.zeros(5, bool))["ece"] == 1


def test_the_sheet_has_the_worst_and_the_median_cases(rows, views, tmp_path):
    pytest.importorskip("matplotlib")
    records = predictions(Helped(rows), rows, views, expected=1)
    records[5] = {"image_id": records[5]["image_id"], "error": "ValueError: no"}
    photos = dict(zip(rows["image_id"], rows["image"], strict=True))
    names = draw_cases(records, rows, photos.get, views, tmp_path / "cases.png", 2)
    assert (tmp_path / "cases.png").read_bytes().startswith(b"\x89PNG")
    away = {}
    for record, row in zip(records, rows.remove_columns("image"), strict=True):
        if "sequence" in record:
            ends = (one[key] for one in (record, row) for key in ("latitude", "longitude"))
            away[row["image_id"]] = float(np.hypot(*zoom.offset(*ends)))
    order = sorted(away, key=away.get, reverse=True)
    assert names[:2] == order[:2]
    assert set(names[2:]) <= set(order[28:31])


def test_a_sheet_of_few_photos_has_each_once(rows, views, tmp_path):
    pytest.importorskip("matplotlib")
    few = rows.select(range(3))
    photos = dict(zip(few["image_id"], few["image"], strict=True))
    records = predictions(Looking(), few, views, expected=1)
    names = draw_cases(records, few, photos.get, views, tmp_path / "cases.png", 2)
    assert sorted(names) == sorted(few["image_id"])


def test_searches_take_turns_and_results_keep_their_order():
    def one(steps):
        total = 0
        for step in range(steps):
            total += yield np.array([step])
        return total

    class Now:
        def __init__(self, value):
            self.value = value

        def result(self):
            return self.value

    assert run([one(3), one(1), one(2)], lambda actions: Now(int(actions[0]) + 1)) == [6, 1, 3]
