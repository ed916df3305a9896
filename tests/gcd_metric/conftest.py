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
def run(capsys, monkeypatch, tmp_path):
    """Run the command; what it prints on stdout and on stderr, where lines are joined."""
    from gcd_metric.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        capsys.readouterr()
        assert main(list(map(str, arguments))) == code
        printed = capsys.readouterr()
        return printed.out, " ".join(printed.err.split())

    return call


@pytest.fixture()
def score(run):
    """The scores of a file against truth.csv, or against itself."""

    def call(name, *more, references=True):
        places().to_csv("truth.csv", index=False)
        options = ["--references", "truth.csv"] if references else []
        out, said = run(name, *options, "--groups", "none", "--json", *more)
        return json.loads(out)["runs"][0]["scores"], said

    return call
