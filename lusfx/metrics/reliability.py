"""Whether probabilities may be believed: what they expect against what is observed, as figures and in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics.interval import Interval, Probabilities, patient_bootstrap
from lusfx.metrics.statistic import Answers, Statistic, Targets, Weighted, Weights

CLIP = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this near, since the log odds of 0 and 1 do not exist."""
MOST_STEPS, SMALL_STEP, SINGULAR = 50, 1e-9, 1e-10
BEYOND = 30.0
"""A slope or intercept beyond this says that the classes are separated, where no finite one fits; log odds beyond it are 0
or 1 to the last digits."""
FEWEST = 10
"""Units of the rarer answer below which nothing is said of probabilities but the counts."""
SMALL_SHIFT, SMALL_PART, SMALL_TURN = 0.25, 0.1, 0.2
"""Log odds, part of the rarer answer that is expected, and slope from 1: what many units show for sure and
nobody would notice is not called wrong."""
VAGUE = 2.0
"""Log odds. An interval of the intercept that is wider says neither that probabilities are right nor that they are wrong."""


@Statistic
def calibration_slope(targets: Targets, probabilities: Answers) -> Weighted:
    """Slope of the outcome on the probabilities' log odds (Cox 1958, doi 10.1093/biomet/45.3-4.562): 1 is right, less means
    that high probabilities are too high and low ones too low.

    NaN where there is one class or one probability only, or the classes are separated.
    """
    log_odds = _log_odds(probabilities)
    return _last_coefficient(np.stack([np.ones_like(log_odds), log_odds]), np.zeros_like(log_odds), targets)


@Statistic
def calibration_intercept(targets: Targets, probabilities: Answers) -> Weighted:
    """Log odds that all probabilities are too low by, on average: 0 is right, below it they are too high.

    NaN where there is one class only.
    """
    log_odds = _log_odds(probabilities)
    return _last_coefficient(np.ones((1, len(log_odds))), log_odds, targets)


def _last_coefficient(columns: NDArray[np.float64], offset: NDArray[np.float64], targets: Targets) -> Weighted:
    """The last coefficient of a logistic regression of the targets on columns ``(k, n)``; NaN where none is finite."""
    # Resamples are fitted from the fit of all; and where all are separated, so is each resample.
    start = _fitted(columns, offset, targets, np.ones(len(targets)), np.zeros(len(columns)))

    def weighted(weights: Weights) -> float:
        found = None if start is None else _fitted(columns, offset, targets, weights, start)
        return float("nan") if found is None else float(found[-1])

    return weighted


def _fitted(
    columns: NDArray[np.float64],
    offset: NDArray[np.float64],
    targets: Targets,
    weights: Weights,
    start: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Coefficients ``(k,)`` by Newton's steps; None where they are not finite."""
    total = float(weights.sum())
    if not 0 < float(weights[targets == 1].sum()) < total:
        return None
    shares = weights / total
    coefficients: NDArray[np.float64] = start
    for _ in range(MOST_STEPS):
        told = 1 / (1 + np.exp(-np.clip(offset + coefficients @ columns, -BEYOND, BEYOND)))
        curvature = (columns * (shares * told * (1 - told))) @ columns.T
        if np.linalg.det(curvature) <= SINGULAR * np.diag(curvature).prod():
            return None
        step = np.asarray(np.linalg.solve(curvature, columns @ (shares * (targets - told))), np.float64)
        coefficients = coefficients + np.clip(step, -2, 2)  # Newton's own step may overshoot far from the best place
        if np.abs(coefficients).max() > BEYOND:
            return None
        if np.abs(step).max() < SMALL_STEP:
            return coefficients
    return None


def _log_odds(probabilities: Answers) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(probabilities, np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float64)


def reliability(
    targets: Targets, probabilities: Probabilities, groups: NDArray[np.str_], *, seed: int
) -> Mapping[str, Interval]:
    """Calibration slope and intercept with patient-bootstrap intervals.

    :param probabilities: ``(n,)``.
    """
    statistics = {"calibration_slope": calibration_slope, "calibration_intercept": calibration_intercept}
    return {
        name: patient_bootstrap(each, targets, probabilities, groups, seed=seed) for name, each in statistics.items()
    }


def may_be_believed(
    targets: Targets, probabilities: Probabilities, figures: Mapping[str, Interval]
) -> tuple[bool | None, str]:
    """Whether the probabilities may be believed, and a sentence that says so.

    :param probabilities: ``(n,)``.
    :param figures: as :func:`reliability` gives them.
    :returns: None where there are too few units to say.
    """
    n_units, n_events = len(targets), int(targets.sum())
    if not n_units:
        return None, "there is no labelled unit, so nothing can be said of the probabilities"
    expected = float(np.sum(probabilities))
    counts = (
        f"of {n_units} they expect {expected:.0f} ({expected / n_units:.0%}) to be yes, and {n_events} "
        f"({n_events / n_units:.0%}) are"
    )
    intercept, slope = figures["calibration_intercept"], figures["calibration_slope"]
    wrong = []
    off = abs(expected - n_events) >= SMALL_PART * min(expected, n_units - expected)
    if off and abs(intercept.value) >= SMALL_SHIFT and (intercept.low > 0 or intercept.high < 0):
        wrong.append(f"they are too {'low' if intercept.low > 0 else 'high'}")
    if abs(slope.value - 1) < SMALL_TURN:
        pass
    elif slope.high < 1:
        wrong.append(
            "high ones are too high and low ones too low" if slope.high > 0 else "they rank the wrong way round"
        )
    elif slope.low > 1:
        wrong.append("high ones are too low and low ones too high")
    if min(n_events, n_units - n_events) < FEWEST and not wrong:
        return None, f"too few units to say whether the probabilities may be believed here: {counts}"
    if wrong:
        return False, f"the probabilities cannot be believed here: {counts}; {', and '.join(wrong)}"
    if not intercept.high - intercept.low <= VAGUE:
        return None, f"too few patients to say whether the probabilities may be believed here: {counts}"
    return True, f"nothing speaks against the probabilities here: {counts}"
