"""Great-circle distance metric; importing this package registers it with `evaluate.load`.

`GcdMetric` is imported only on first use, because importing `evaluate` takes seconds.
"""

from typing import TYPE_CHECKING, Any

from . import registration  # noqa: F401
from .comparison import compare
from .distances import geodesic, haversine
from .groups import photographers, place_cells
from .intervals import wilson_interval
from .options import CONFIGURATIONS
from .slices import slices

if TYPE_CHECKING:
    from .gcd_metric import GcdMetric

__all__ = [
    "CONFIGURATIONS",
    "GcdMetric",
    "compare",
    "geodesic",
    "haversine",
    "photographers",
    "place_cells",
    "slices",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    if name == "GcdMetric":
        from .gcd_metric import GcdMetric

        return GcdMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
