"""DeLong's comparison of areas under correlated ROC curves: of scores of the same units.

It takes the units as independent. Clips of one patient are not, so its p is too small where patients have several; the patient
bootstrap is what a claim rests on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics.statistic import Targets, pairs

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DeLong:
    """Two areas compared.

    :param difference: the first's minus the second's.
    :param variance: of the difference.
    """

    difference: float
    variance: float

    @property
    def p(self) -> float:
        """Two-sided; NaN where nothing can be said, 1 where the scores rank alike."""
        if self.variance > 0:
            return math.erfc(abs(self.difference) / math.sqrt(2 * self.variance))
        return 1.0 if self.difference == 0 else float("nan")


def auc_covariance(targets: Targets, scores: Matrix) -> tuple[Matrix, Matrix]:
    """Areas under the ROC curves of several scores of the same units, and their covariance (DeLong et al. 1988, doi
    10.2307/2531595), by ranks (Sun and Xu 2014, doi 10.1109/LSP.2014.2337313).

    :param targets: ``(n,)`` 0 or 1, at least two of either.
    :param scores: ``(k, n)``.
    :returns: ``(k,)`` and ``(k, k)``.
    """
    above, below = _placements(targets, scores)
    covariance = np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]
    return above.mean(axis=1), np.atleast_2d(covariance)


def delong(targets: Targets, first: Matrix, second: Matrix, folds: Sequence[NDArray[np.int64]]) -> DeLong:
    """Compare two scores of the same units.

    Folds have scores of different heads, so they are compared one by one, and weighted by pairs as an AUC within folds is; one
    with fewer than two units of either answer is left out. Of several repeats differences and variances are averaged, as if the
    repeats' differences moved together: p is then rather too large than too small.

    :param first: ``(n_repeats, n)``; ``second`` likewise.
    :param folds: of each repeat ``(n,)`` which fold's head a score is from.
    """
    each = [_within_folds(targets, *of_repeat) for of_repeat in zip(first, second, folds, strict=True)]
    if not each:
        return DeLong(float("nan"), float("nan"))
    return DeLong(float(np.mean([one.difference for one in each])), float(np.mean([one.variance for one in each])))


def _within_folds(targets: Targets, first: Matrix, second: Matrix, folds: NDArray[np.int64]) -> DeLong:
    total = difference = variance = 0.0
    for fold in np.unique(folds):
        here = np.flatnonzero(folds == fold)
        n_positive = int((targets[here] == 1).sum())
        n_negative = len(here) - n_positive
        if min(n_positive, n_negative) < 2:
            continue
        above, below = (
            values[0] - values[1] for values in _placements(targets[here], np.stack([first, second])[:, here])
        )
        weight = pairs(n_positive, n_negative)
        total += weight
        difference += weight * float(above.mean())
        variance += weight**2 * float(above.var(ddof=1) / n_positive + below.var(ddof=1) / n_negative)
    if not total:
        return DeLong(float("nan"), float("nan"))
    return DeLong(difference / total, variance / total**2)


def _placements(targets: Targets, scores: Matrix) -> tuple[Matrix, Matrix]:
    """Of each positive the share of negatives below it ``(k, n_positive)``, of each negative that of positives above it."""
    from scipy.stats import rankdata

    positive, negative = np.flatnonzero(targets == 1), np.flatnonzero(targets == 0)
    if min(len(positive), len(negative)) < 2:
        raise ValueError("a variance needs two units of either answer")
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / len(negative)
    below = 1 - (ranks[:, negative] - rankdata(scores[:, negative], axis=1)) / len(positive)
    return above, below
