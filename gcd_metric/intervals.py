"""Computes intervals of proportions."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    hits, n : int
        Successes and trials; n is at least 1.
    confidence : float
        Coverage, between 0 and 1.

    Returns
    -------
    (low, high) : tuple of float
        Fractions between 0 and 1.

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (158), 1927, pp. 209-212.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = hits / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # exact at the ends, where rounding could leave the range of 0 to 1
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high
