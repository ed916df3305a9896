"""Names what users call, and makes the metric known to `evaluate.load`.

`GcdMetric` is imported when it is asked for, since it needs `evaluate`, which takes seconds.
"""

from typing import TYPE_CHECKING, Any

from . import registration  # noqa: F401
from .comparison import compare
from .distances import geodesic, haversine
from .figures import CONFIGURATIONS
from .intervals import wilson_interval

if TYPE_CHECKING:
    from .gcd_metric import GcdMetric

__all__ = [
    "CONFIGURATIONS",
    "GcdMetric",
    "compare",
    "geodesic",
    "haversine",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    if name == "GcdMetric":
        from .gcd_metric import GcdMetric

        return GcdMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
