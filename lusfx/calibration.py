"""Calibration: makes of a head's score the probability that it claims to be.

A calibration is fitted on scores of patients that the head was not trained on, and never changes their order: what a head
ranks wrongly stays wrong. It is two numbers or a short table, so that a task model's card can hold it, and is served
without scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TrainingRefusedError

CalibrationMethod = Literal["none", "platt", "isotonic"]

Values = NDArray[np.float64]

CLIP = 1e-6
"""Scores nearer to 0 or 1 than this count as this near: the log odds of 0 and 1 do not exist."""
ISOTONIC_MIN_UNITS = 1000
"""Isotonic regression overfits below about a thousand units, where Platt's two numbers do not (Niculescu-Mizil and Caruana
2005, doi 10.1145/1102351.1102430)."""
ISOTONIC_MIN_EVENTS = 100
"""Of either class: its steps rest on the units of the rarer one."""
LOG_ODDS_BEYOND = 50.0
"""Where every probability is 0 or 1 to the last digit."""
LEAST_SLOPE = 0.01
"""Log odds a standard deviation of the scores' own: all probabilities are then about the base rate, in the scores' order."""
CONSTANT_BELOW = 1e-6
"""Scores whose log odds spread less than this are all one score."""


@dataclass(frozen=True, slots=True)
class PlattCalibration:
    """A logistic curve over the log odds of the score (Platt 1999).

    :param slope: at least 0; 1 with an intercept of 0 changes nothing.
    :param intercept: log odds that a score of one half stands for.
    :raises ValueError: if one of them is not finite, or the slope is negative.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and np.isfinite(self.intercept) and self.slope >= 0):
            raise ValueError("a Platt calibration has a finite slope of at least 0 and a finite intercept")

    def __call__(self, scores: Values) -> Values:
        """Probabilities of scores, both ``(n,)`` from 0 to 1; NaN stays NaN."""
        # A curve too steep for numbers is a step, which is what comes out; and numpy warns of NaN here.
        with np.errstate(over="ignore", invalid="ignore"):
            log_odds = self.slope * _log_odds(scores) + self.intercept
            probabilities: Values = np.exp(-np.logaddexp(0.0, -log_odds))
        return probabilities


@dataclass(frozen=True, slots=True)
class IsotonicCalibration:
    """A rising curve of straight pieces between knots, level outside them.

    :param scores: of the knots, from 0 to 1, each above the one before.
    :param probabilities: of the knots, from 0 to 1, none below the one before.
    :raises ValueError: if they are anything else, or there is no knot.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.probabilities) >= 1:
            raise ValueError("an isotonic calibration has as many probabilities as scores, and at least one")
        scores, probabilities = np.array(self.scores, np.float64), np.array(self.probabilities, np.float64)
        # Written so that NaN, which compares false with everything, fails too.
        if not (((scores >= 0) & (scores <= 1)).all() and (np.diff(scores) > 0).all()):
            raise ValueError("the scores of an isotonic calibration are from 0 to 1, each above the one before")
        if not (((probabilities >= 0) & (probabilities <= 1)).all() and (np.diff(probabilities) >= 0).all()):
            raise ValueError("the probabilities of an isotonic calibration are from 0 to 1, none below the one before")

    def __call__(self, scores: Values) -> Values:
        """Probabilities of scores, both ``(n,)`` from 0 to 1; NaN stays NaN."""
        probabilities: Values = np.interp(scores, self.scores, self.probabilities)
        # Rounding in the interpolation must not leave the range.
        return np.clip(probabilities, self.probabilities[0], self.probabilities[-1])


Calibration = PlattCalibration | IsotonicCalibration


def fit_calibration(
    method: CalibrationMethod,
    scores: Values,
    targets: NDArray[np.int64],
    weights: Values | None = None,
    folds: NDArray[np.int64] | None = None,
) -> Calibration | None:
    """Fit a calibration to scores that a head gave to patients it was not trained on.

    :param scores: ``(n,)`` from 0 to 1.
    :param targets: ``(n,)`` 0 or 1.
    :param weights: ``(n,)`` how many units each row stands for, above 0: a frame of a clip of ten, one tenth. Their sum is
        the number of units that the method's limits are about. None for one each.
    :param folds: ``(n,)`` which head a score is from, from 0; None where all are from one. The slope is then sought within
        folds: a fold that takes many patients with a finding leaves few of them to train on, so its head's scores are low
        where answers are high, and pooled over folds a weak head's scores look as if they meant the contrary.
    :returns: None where the method is ``none``.
    :raises TrainingRefusedError: if a class is missing, a score is none, or the units are too few for ``isotonic``.
    """
    if method == "none":
        return None
    scores = np.asarray(scores, np.float64)
    counts = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    positive = np.asarray(targets) == 1
    if not len(scores) == len(targets) == len(counts):
        raise ValueError(f"{len(scores)} scores, {len(targets)} targets and {len(counts)} weights")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise TrainingRefusedError("scores to calibrate must be from 0 to 1")
    if positive.all() or not positive.any():
        raise TrainingRefusedError("scores of one class only cannot be calibrated: label units of both classes")
    if method == "platt":
        fold = np.zeros(len(scores), np.int64) if folds is None else np.unique(folds, return_inverse=True)[1]
        return _fit_platt(_log_odds(scores), positive, counts, fold)
    return _fit_isotonic(scores, positive, counts)


def _fit_platt(
    log_odds: Values, positive: NDArray[np.bool_], counts: Values, fold: NDArray[np.int64]
) -> PlattCalibration:
    """Platt's fit: likelihood of targets drawn in from 0 and 1 by one unit of either class that nobody saw.

    So the curve stays finite where the scores separate the classes, and claims no more than the units can show. The slope is
    that of curves with an intercept a fold; the intercept then is that of all units.
    """
    from scipy.optimize import brentq, minimize
    from scipy.special import expit, logit

    n_positive, n_negative = counts[positive].sum(), counts[~positive].sum()
    wanted = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    shares = counts / counts.sum()
    centre = float(shares @ log_odds)
    spread = float(np.sqrt(shares @ (log_odds - centre) ** 2))
    base_rates = np.bincount(fold, shares * wanted) / np.bincount(fold, shares)
    if spread < CONSTANT_BELOW:
        return PlattCalibration(0.0, float(logit(shares @ wanted)))
    standard = (log_odds - centre) / spread

    def loss(curves: Values) -> tuple[float, Values]:
        given = curves[0] * standard + curves[1:][fold]
        surprise = float(shares @ (np.logaddexp(0.0, given) - wanted * given))
        excess = shares * (expit(given) - wanted)
        return surprise, np.array([excess @ standard, *np.bincount(fold, excess)])

    def curvature(curves: Values) -> Values:
        given = expit(curves[0] * standard + curves[1:][fold])
        each = shares * given * (1 - given)
        cross = np.bincount(fold, each * standard)
        matrix = np.diag(np.array([each @ standard**2, *np.bincount(fold, each)]))
        matrix[0, 1:] = matrix[1:, 0] = cross
        return matrix

    slope = LEAST_SLOPE
    # The loss is convex, and this is its derivative by the slope where the slope is 0 and the intercepts the base rates': not
    # above 0, and the best slope is not either. Such a curve would turn the scores round. What ranks the wrong way is an error
    # to be seen in the AUC, and not to be mended with the labels it is judged by: the order stays, and means next to nothing.
    if shares @ (standard * (wanted - base_rates[fold])) > 0:
        start = np.array([0.0, *logit(base_rates)])
        fit = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10})
        # Not asked for success: at the limit of precision the search says that it can get no farther, having arrived.
        slope = max(float(fit.x[0]), LEAST_SLOPE)
    reach = slope * float(np.abs(standard).max()) + LOG_ODDS_BEYOND
    intercept = brentq(lambda level: float(shares @ (expit(slope * standard + level) - wanted)), -reach, reach)
    return PlattCalibration(slope / spread, float(intercept) - slope / spread * centre)


def _fit_isotonic(scores: Values, positive: NDArray[np.bool_], counts: Values) -> IsotonicCalibration:
    n_units = float(counts.sum())
    n_events = float(min(counts[positive].sum(), counts[~positive].sum()))
    # Weights that sum to a whole number may miss it by rounding.
    if round(n_units, 6) < ISOTONIC_MIN_UNITS or round(n_events, 6) < ISOTONIC_MIN_EVENTS:
        raise TrainingRefusedError(
            f"isotonic calibration needs {ISOTONIC_MIN_UNITS} units and {ISOTONIC_MIN_EVENTS} of either class, and there are "
            f"{n_units:.0f} and {n_events:.0f}: it would follow chance. Use the calibration 'platt'"
        )
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, positive.astype(np.float64), counts)
    knots, first = np.unique(fit.X_thresholds_, return_index=True)
    probabilities = np.clip(np.maximum.accumulate(fit.y_thresholds_[first]), 0.0, 1.0)
    return IsotonicCalibration(tuple(knots.tolist()), tuple(probabilities.tolist()))


def _log_odds(scores: Values) -> Values:
    clipped = np.minimum(np.maximum(scores, CLIP), 1 - CLIP)  # np.clip takes longer for a single score
    log_odds: Values = np.log(clipped) - np.log1p(-clipped)
    return log_odds
