"""Metric of attributes on raster maps; importing this package registers it with `evaluate.load`.

The names below are imported only on first use, because importing `evaluate` takes seconds.
"""

from typing import TYPE_CHECKING, Any

from gcd_metric import registration  # noqa: F401

if TYPE_CHECKING:
    from .geo_attributes import GeoAttributes, spearman
    from .raster import Raster

__all__ = ["GeoAttributes", "Raster", "spearman"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import geo_attributes

        return getattr(geo_attributes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
