"""Helpers for threads."""

from __future__ import annotations

import pytest

from geoload.processes import ahead


def test_work_ahead_keeps_the_order_and_raises_errors():
    assert list(ahead(lambda number: number * 2, range(50))) == [2 * i for i in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda number: 1 / number, [1, 0]))
