"""Runs each parser on its corpus and on some variants."""

from __future__ import annotations

import warnings
from random import Random

import pytest

from tests.fuzz.__main__ import CORPUS, corpus
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS

VARIANTS = 50


def test_every_target_has_a_corpus():
    assert sorted(TARGETS) == sorted(path.name for path in CORPUS.iterdir())


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_corpus(name):
    target, inputs, random = TARGETS[name], corpus(name), Random(name)
    variants = [mutate(random.choice(inputs), inputs, random) for _ in range(VARIANTS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in [*inputs, *map(target.repair, variants)]:
            target.check(data)
