"""Draws the error curve and the map of errors on matplotlib axes, for notebooks and papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .columns import Unclear, find_pair
from .distances import measure
from .figures import check, summarise
from .options import Options, check_choice, make_options
from .report import draw_curve, draw_legend, draw_map, require_matplotlib
from .scoring import Run, Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZES = {"curve": (8, 4.5), "map": (10, 5)}  # inches


def plot(
    predictions: Any,
    references: Any,
    *,
    kind: str = "curve",
    ax: Axes | None = None,
    config_name: str = "standard",
    thresholds: Any = None,
    unit: str | None = None,
    earth_radius: float | None = None,
    method: str = "haversine",
    missing: str = "error",
    strict: bool = False,
) -> Axes:
    """Draw the error curve, or a map of the errors.

    Parameters
    ----------
    predictions : coordinates of shape (n, 2), or a mapping of str to such coordinates
        Latitude and longitude in degrees, in any form that the metric accepts, or those of several
        models by name, for one curve each.
    references : coordinates of shape (n, 2)
        The true coordinates. Rows are paired by id if both sides have ids, otherwise by position.
    kind : {"curve", "map"}
        The share of photos within each distance, or the great-circle arc from each truth to its
        prediction (of at most 1,000 photos: the 200 worst, and others at random).
    ax : matplotlib axes, optional
        Where to draw; by default, the axes of a new figure of `matplotlib.pyplot`.
    config_name, thresholds, unit, earth_radius, method, missing, strict
        As in the metric. A missing prediction, with missing="miss", is within no distance.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn on.

    Raises
    ------
    ValueError
        For bad coordinates or options, or a map of several models.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> truth = [[48.8566, 2.3522], [41.89, 12.492]]
    >>> near, far = [[48.86, 2.35], [41.9, 12.5]], [[48.0, 2.0], [40.0, 14.0]]
    >>> axes = plot({"near": near, "far": far}, truth)
    >>> axes.get_xlabel()
    'great-circle error (km)'
    >>> map_axes = plot(near, truth, kind="map")
    """
    check_choice("kind", kind, list(_SIZES))
    require_matplotlib("plot")
    options = make_options(config_name, thresholds, unit, earth_radius, method, missing, strict)
    named = _by_name(predictions)
    if named is not None and kind == "map" and len(named) > 1:
        raise ValueError(f"a map shows one model; pass the predictions of {' or '.join(named)}")
    scored = _score({"predictions": predictions} if named is None else named, references, options)
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=_SIZES[kind], layout="constrained")[1]
    if kind == "map":
        draw_map(ax, scored, scored.runs[0])
    else:
        draw_curve(ax, scored)
        if named is not None:
            draw_legend(ax, scored)
    return ax


def _by_name(predictions: Any) -> dict[str, Any] | None:
    """The predictions of several models by name; None for those of one, which may be columns."""
    if not isinstance(predictions, Mapping):
        return None
    if not predictions:
        raise ValueError(
            "predictions: an empty mapping; give the predictions of at least one model"
        )
    try:
        find_pair([str(key) for key in predictions], of="predictions")
    except Unclear:
        return {str(key): value for key, value in predictions.items()}
    return None


def _score(named: Mapping[str, Any], references: Any, options: Options) -> Scored:
    runs = []
    for name, predictions in named.items():
        try:
            checked = check(predictions, references, options, stacklevel=3)
        except ValueError as error:
            raise ValueError(f"{name}: {error}" if len(named) > 1 else str(error)) from None
        run = Run(name, checked.predictions)
        run.measured = measure(checked.predictions, checked.references, options)
        run.scores = summarise(run.measured, options)
        runs.append(run)
    truth = checked.references
    return Scored(" and ".join(named), runs, truth, [""] * len(truth), options, len(truth))
