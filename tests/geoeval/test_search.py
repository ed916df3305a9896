"""Greedy and beam search over zoom actions, against brute force and a plain implementation."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from geoeval.search import Beams, search
from justzoomin import zoom


class Scored:
    """Scores that are a function of the photo (a seed) and the actions, with many ties."""

    def __init__(self, options: int, values: int) -> None:
        self.options, self.values = options, values

    def scores(self, photo: int, actions: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng([photo, self.values, len(actions), *actions])
        return rng.integers(0, self.values, self.options).astype(float)

    def encode(self, photos):
        return {"photo": np.array(photos), "seen": [()] * len(photos), "nothing": None}

    def step(self, state, views, actions):
        # The state of a hypothesis follows it through the search.
        assert state["seen"] == [tuple(row) for row in actions[:, :-1].tolist()]
        paths = [tuple(row) for row in actions.tolist()]
        scores = [self.scores(*one) for one in zip(state["photo"], paths, strict=True)]
        return np.array(scores), {**state, "seen": paths}


def run(model, photos, beam, depth, grid) -> Beams:
    """Run a search whose views do not matter."""
    searching, wanted = search(model, photos, beam, depth, grid), None
    try:
        wanted = next(searching)
        while True:
            wanted = searching.send(np.zeros((len(wanted), 1, 1, 3), np.uint8))
    except StopIteration as stopped:
        return stopped.value


def log_probability(model, photo, sequence) -> float:
    steps = range(len(sequence))
    return sum(log_softmax(model.scores(photo, tuple(sequence[:i])))[sequence[i]] for i in steps)


def plain_beam(model, photo, beam, depth):
    """Beam search of one photo with Python lists."""
    kept = [((), 0.0)]
    for _ in range(depth):
        grown = []
        for sequence, total in kept:
            steps = log_softmax(model.scores(photo, sequence))
            grown += [((*sequence, action), total + step) for action, step in enumerate(steps)]
        kept = sorted(sorted(grown, key=lambda one: -one[1])[:beam])
    return sorted(kept, key=lambda one: -one[1])


GRIDS = st.sampled_from([(2, 1), (2, 2), (2, 3), (3, 2)])
PHOTOS = st.lists(st.integers(0, 50), min_size=1, max_size=4)


@given(GRIDS, PHOTOS, st.integers(2, 9))
def test_a_beam_of_all_sequences_is_exhaustive(size, photos, values):
    grid, depth = size
    model = Scored(grid * grid, values)
    found = run(model, photos, (grid * grid) ** depth, depth, grid)
    every = zoom.cells(depth, grid)
    for row, photo in enumerate(photos):
        totals = np.array([log_probability(model, photo, sequence) for sequence in every])
        # Sums of equal log-probabilities in another order differ in the last digit.
        order = np.lexsort([np.arange(len(every)), -totals.round(9)])
        assert np.allclose(found.log_probabilities[row], totals[order])
        assert found.log_probabilities[row][0] == pytest.approx(totals.max())
        assert sorted(found.sequences[row].tolist()) == every.tolist()
    assert np.allclose(np.exp(found.log_probabilities).sum(axis=1), 1)


@given(GRIDS, PHOTOS, st.integers(2, 9), st.integers(1, 7))
def test_beam_search_of_a_batch_is_that_of_each_photo(size, photos, values, beam):
    grid, depth = size
    model = Scored(grid * grid, values)
    found = run(model, photos, beam, depth, grid)
    for row, photo in enumerate(photos):
        wanted = plain_beam(model, photo, beam, depth)
        assert found.sequences[row].tolist() == [list(sequence) for sequence, _ in wanted]
        assert np.allclose(found.log_probabilities[row], [total for _, total in wanted])


@given(PHOTOS, st.integers(1, 3))
def test_greedy_search_takes_the_first_of_the_best_actions(photos, values):
    model = Scored(16, values)
    found = run(model, photos, 1, 4, 4)
    for row, photo in enumerate(photos):
        path: tuple[int, ...] = ()
        for _ in range(4):
            path += (int(np.argmax(model.scores(photo, path))),)
        assert tuple(found.sequences[row, 0].tolist()) == path


def test_a_wide_beam_finds_what_greedy_search_misses():
    """The best first action leads to nothing certain, the second best to a certain one."""

    def scores(actions):
        first = np.log([0.5, 0.4, 0.05, 0.05])
        return first if not actions else ([0.0] * 4 if actions[0] == 0 else [9.0, 0, 0, 0])

    model = SimpleNamespace(
        encode=lambda photos: None,
        step=lambda _, views, actions: np.array([scores(row) for row in actions.tolist()]),
    )
    assert run(model, ["photo"], 1, 2, 2).sequences[0, 0].tolist() == [0, 0]
    assert run(model, ["photo"], 2, 2, 2).sequences[0, 0].tolist() == [1, 0]


def model_with(scores, state=None):
    return SimpleNamespace(encode=lambda photos: state, step=lambda *_: scores)


def test_excluded_actions_are_never_best():
    scores = np.array([[-np.inf, 0.0, -np.inf, -np.inf]])
    found = run(model_with(scores), ["photo"], 1, 3, 2)
    assert found.sequences[0, 0].tolist() == [1, 1, 1]
    assert found.log_probabilities[0, 0] == 0


@pytest.mark.parametrize("state_of", ["tuple", "named", "dict", "tensor", "output"])
def test_states_of_each_type_follow_their_photos(state_of):
    torch = pytest.importorskip("torch")
    from collections import namedtuple

    make = {
        "tuple": lambda ids: (ids, [*ids.tolist()]),
        "named": lambda ids: namedtuple("State", "ids names")(ids, ids.tolist()),
        "dict": lambda ids: {"ids": ids, "none": None},
        "tensor": lambda ids: ids,
        "output": lambda ids: np.asarray(ids),
    }[state_of]
    read = {
        "tuple": lambda state: (state[0], state[1]),
        "named": lambda state: (state.ids, state.names),
        "dict": lambda state: (state["ids"], state["ids"]),
    }.get(state_of, lambda state: (state, state))

    class Model:
        def encode(self, photos):
            return make(torch.tensor(photos))

        def step(self, state, views, actions):
            ids, same = read(state)
            assert [int(one) for one in ids] == [int(one) for one in same]
            return torch.stack([(torch.arange(4) == int(one)) * 5.0 for one in ids])

    found = run(Model(), [3, 1, 2], 2, 2, 2)
    assert found.sequences[:, 0].tolist() == [[3, 3], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (model_with(np.zeros((1, 3))), r"shape \(1, 3\)"),
        (model_with(np.full((1, 4), np.nan)), "not numbers"),
        (model_with(np.full((1, 4), -np.inf)), "not numbers"),
        (model_with(np.zeros((1, 4)), np.zeros(2)), "state of 1 has 2 entries"),
        (model_with(np.zeros((1, 4)), {"tokens": 3}), "one entry for each"),
        (model_with((np.zeros((1, 4)), [1, 2])), "step: a state of 1"),
    ],
)
def test_an_answer_of_another_form_is_an_error(model, text):
    with pytest.raises(ValueError, match=text):
        run(model, ["photo"], 1, 2, 2)


def test_every_hypothesis_is_in_the_order_of_the_actions_that_are_asked_for():
    asked = []

    class Model:
        def encode(self, photos):
            return None

        def step(self, state, views, actions):
            asked.append(actions.copy())
            assert [tuple(view.ravel()) for view in views] == [
                (len(row), *row, *[0] * (3 - len(row))) for row in actions.tolist()
            ]
            return np.random.default_rng(len(asked)).normal(size=(len(actions), 4))

    searching = search(Model(), ["a", "b"], 3, 3, 2)
    wanted = next(searching)
    with pytest.raises(StopIteration):
        while True:
            views = np.zeros((len(wanted), 1, 1, 4), np.uint8)
            views[:, 0, 0, 0] = wanted.shape[1]
            views[:, 0, 0, 1 : 1 + wanted.shape[1]] = wanted
            wanted = searching.send(views)
    assert [len(actions) for actions in asked] == [2, 6, 6]
    assert all(len({*map(tuple, half)}) == 3 for half in itertools.chain(np.split(asked[2], 2)))
