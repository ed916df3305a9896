"""Names what users call, and makes the metric known to `evaluate.load`.

The names are imported when they are asked for, since they need `evaluate`, which takes seconds.
"""

from typing import TYPE_CHECKING, Any

from gcd_metric import registration  # noqa: F401

if TYPE_CHECKING:
    from .geo_attributes import GeoAttributes, Raster, spearman

__all__ = ["GeoAttributes", "Raster", "spearman"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import geo_attributes

        return getattr(geo_attributes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
