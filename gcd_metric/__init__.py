"""Great-circle distance metric; importing this package registers it with `evaluate.load`.

`GcdMetric`, `find_places` and `plot` are imported only on first use, because importing `evaluate`
takes seconds, and pandas a moment.
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
    from .places import find_places
    from .plotting import plot

__all__ = [
    "CONFIGURATIONS",
    "GcdMetric",
    "compare",
    "find_places",
    "geodesic",
    "haversine",
    "photographers",
    "place_cells",
    "plot",
    "slices",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    if name == "GcdMetric":
        from .gcd_metric import GcdMetric

        return GcdMetric
    if name == "find_places":
        from .places import find_places

        return find_places
    if name == "plot":
        from .plotting import plot

        return plot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
