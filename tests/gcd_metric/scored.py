"""Makes scores for the tests of pictures and pages, without files."""

import numpy as np

from gcd_metric.distances import measure
from gcd_metric.figures import summarise
from gcd_metric.options import make_options
from gcd_metric.scoring import Run, Scored, compare_runs


def scored(truth, *guesses, thresholds=(200.0, 750.0), unit="km", ids=None, names="abcdefghi"):
    """Scores of some models against places in degrees; NaN is a missing prediction."""
    truth = np.array(truth, float)
    options = make_options("standard", thresholds, unit, missing="miss")
    runs = []
    for name, guess in zip(names, guesses, strict=False):
        run = Run(name, np.array(guess, float))
        run.measured = measure(run.predictions, truth, options)
        run.scores = summarise(run.measured, options)
        runs.append(run)
    ids = ids or [f"p{index}" for index in range(len(truth))]
    title = f"{' and '.join(run.name for run in runs)} on truth"
    differences = compare_runs(runs, options)
    return Scored(title, runs, truth, ids, options, len(truth), differences=differences)
