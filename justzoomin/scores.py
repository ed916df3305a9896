"""What the paper and the retrieval baselines report, from predictions of any of their kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from justzoomin import zoom

RANKS = (1, 5, 10, 50, 100)


class Scores(dict):
    """Figures by name; printed, they are a table with 95 % intervals."""

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = []
        for name, value in self.items():
            if name.endswith("_ci95"):
                continue
            interval = self.get(f"{name}_ci95")
            if interval is not None:
                ends = f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f} %"
                rows.append([name, f"{100 * value:.1f} %", ends])
            else:
                rows.append([name, f"{value:,}" if isinstance(value, int) else f"{value:,.1f}", ""])
        return tabulate(rows, ["", "", "95 % interval"], colalign=("left", "right", "left"))


def score(predictions: npt.ArrayLike, references: Any, kind: str | None = None) -> Scores:
    """Score zoom predictions against rows of the data set.

    Parameters
    ----------
    predictions : array-like
        One of: sequences, int of shape (n, depth); coordinates, float of shape (n, 2), decimal
        degrees; ranked candidates, int of shape (n, k, depth), the best first.
    references : rows with `latitude`, `longitude` and `sequence`, or a mapping of these columns
        A `datasets.Dataset` or its batch, a data frame, a list of rows.
    kind : {"sequences", "coordinates", "ranked"}, optional
        Where shape and type should not decide.

    Returns
    -------
    Scores
        A dict: `r@1` (strict: the whole sequence is right) and, of sequences, `step1` … (right so
        far after each step), of ranked candidates `r@5` … up to their number; the distance from
        the predicted cell's centre, or the predicted coordinates, as `acc@40m`, `acc@50m`,
        `acc@100m`, `median_m`, `mean_m`; `n`. Each share has its Wilson interval, `…_ci95`.

    Raises
    ------
    ValueError
        When shapes differ or do not fit any kind.
    """
    truth, places = _columns(references)
    found = np.asarray(predictions)
    kind = kind or _kind(found)
    _check_shape(found, truth, kind)
    result = Scores()
    if kind == "coordinates":
        best, _ = zoom.encode(found[:, 0], found[:, 1], truth.shape[1], outside="clip")
        coordinates = found
    else:
        best = found[:, 0] if kind == "ranked" else found
        coordinates = np.stack(zoom.decode(best), -1)
    _share(result, "r@1", (best == truth).all(1))
    if kind == "sequences":
        right = np.logical_and.accumulate(best == truth, axis=1)
        for step in range(truth.shape[1]):
            _share(result, f"step{step + 1}", right[:, step])
    if kind == "ranked":
        hits = (found == truth[:, None]).all(2)
        for k in RANKS[1:]:
            if k <= found.shape[1]:
                _share(result, f"r@{k}", hits[:, :k].any(1))
    return _add_distances(result, coordinates, places)


def _add_distances(result: Scores, coordinates: np.ndarray, places: np.ndarray) -> Scores:
    from gcd_metric.figures import make_options
    from gcd_metric.figures import score as measure

    figures, _ = measure(coordinates, places, make_options("justzoomin"))
    del figures["geoscore"]
    result.update(figures)
    return result


def _share(result: Scores, name: str, hits: np.ndarray) -> None:
    from gcd_metric.intervals import wilson_interval

    result[name] = float(hits.mean())
    result[f"{name}_ci95"] = wilson_interval(int(hits.sum()), len(hits))


def _columns(references: Any) -> tuple[np.ndarray, np.ndarray]:
    names = ("sequence", "latitude", "longitude")
    try:
        if hasattr(references, "keys") or hasattr(references, "column_names"):
            sequence, latitude, longitude = (list(references[name]) for name in names)
        else:
            sequence, latitude, longitude = ([row[name] for row in references] for name in names)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"references must have the columns {', '.join(names)}, as rows of the data set have "
            f"({type(error).__name__}: {error})"
        ) from error
    if not len(sequence):
        raise ValueError("references are empty: there is nothing to score")
    return np.asarray(sequence), np.stack([latitude, longitude], -1).astype(float)


def _kind(found: np.ndarray) -> str:
    if found.ndim == 3 and found.dtype.kind in "iu":
        return "ranked"
    if found.ndim == 2 and found.dtype.kind in "iu":
        return "sequences"
    if found.ndim == 2 and found.shape[1] == 2 and found.dtype.kind == "f":
        return "coordinates"
    raise ValueError(
        f"predictions of shape {found.shape} and type {found.dtype} are neither sequences (int, "
        "(n, depth)), ranked candidates (int, (n, k, depth)) nor coordinates (float, (n, 2))"
    )


def _check_shape(found: np.ndarray, truth: np.ndarray, kind: str) -> None:
    n, depth = truth.shape
    wanted = {"sequences": (n, depth), "coordinates": (n, 2)}.get(
        kind, (n, *found.shape[1:2], depth)
    )
    if kind not in ("sequences", "coordinates", "ranked") or found.shape != wanted:
        raise ValueError(f"{kind}: expected shape {wanted} for these references, got {found.shape}")
