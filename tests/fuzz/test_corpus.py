"""Every input of the corpus through its parser."""

from __future__ import annotations

import warnings

import pytest

from tests.fuzz.__main__ import CORPUS, corpus
from tests.fuzz.targets import TARGETS


def test_every_target_has_a_corpus():
    assert sorted(TARGETS) == sorted(path.name for path in CORPUS.iterdir())


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_corpus(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in corpus(name):
            TARGETS[name].check(data)
