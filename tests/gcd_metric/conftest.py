"""Fixtures of the metric's tests: separate caches, and a way to run a new process."""

import pytest

from tests.support.process import python  # noqa: F401


@pytest.fixture()
def metric(tmp_path):
    """Makes metrics with separate cache files."""
    from gcd_metric import GcdMetric

    def make(config_name=None, **kwargs):
        return GcdMetric(config_name, cache_dir=str(tmp_path / "cache"), **kwargs)

    return make
