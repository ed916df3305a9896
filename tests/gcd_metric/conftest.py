"""Fixtures of the metric's tests: separate caches, and a way to run a new process."""

import json

import numpy as np
import pytest

from tests.gcd_metric.formats import N, places
from tests.support.process import python  # noqa: F401


@pytest.fixture()
def metric(tmp_path):
    """Makes metrics with separate cache files."""
    from gcd_metric import GcdMetric

    def make(config_name=None, **kwargs):
        return GcdMetric(config_name, cache_dir=str(tmp_path / "cache"), **kwargs)

    return make


@pytest.fixture()
def guess():
    """Predictions for `places`, from very good to bad ones."""
    truth = places()
    return truth.assign(lat=truth["lat"] + np.geomspace(0.001, 25, N).round(6))


@pytest.fixture()
def printed(capsys, monkeypatch, tmp_path):
    """Run the command in a temporary folder; what it prints on stdout and on stderr."""
    from gcd_metric.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        capsys.readouterr()
        assert main(list(map(str, arguments))) == code
        return capsys.readouterr()

    return call


@pytest.fixture()
def run(printed):
    """Run the command; what it prints on stdout, or its error if it is to fail."""

    def call(*arguments, code=0):
        out, error = printed(*arguments, code=code)
        return error if code else out

    return call


@pytest.fixture()
def score(printed):
    """The scores of a file against truth.csv, or against itself, and the notes as one line."""

    def call(name, *more, references=True):
        places().to_csv("truth.csv", index=False)
        options = ["--references", "truth.csv"] if references else []
        out, notes = printed(name, *options, "--groups", "none", "--json", *more)
        return json.loads(out)["runs"][0]["scores"], " ".join(notes.split())

    return call
