"""An AUC for many weightings at once: what a bootstrap that compares many scores would else do one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics.statistic import Answers, Targets


def aucs_of_weightings(
    targets: Targets, scores: Answers, folds: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The AUC within folds, ``within_folds(roc_auc, folds, pairs)``, for each of many weightings.

    A mean over folds that is weighted by pairs is the share of all pairs of one fold that are ranked rightly. Of weights that
    are whole numbers all sums are exact, so that no order of summing changes a digit.

    :param targets: ``(n,)`` 0 or 1.
    :param scores: ``(n,)``.
    :param folds: ``(n,)`` number of each unit's fold.
    :param weights: ``(n_weightings, n)`` how often each unit counts.
    :returns: ``(n_weightings,)``; NaN where no fold has both answers.
    """
    won, compared = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(folds):
        positives, negatives = (np.nonzero((folds == fold) & (targets == answer))[0] for answer in (1, 0))
        negatives = negatives[np.argsort(scores[negatives])]
        n_below = np.searchsorted(scores[negatives], scores[positives], side="left")
        n_not_above = np.searchsorted(scores[negatives], scores[positives], side="right")
        weight = weights[:, positives]
        lower = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(weights[:, negatives], axis=1, out=lower[:, 1:])
        won += np.einsum("ij,ij->i", weight, lower[:, n_below] + lower[:, n_not_above]) / 2
        compared += weight.sum(axis=1) * lower[:, -1]
    areas = np.full(len(weights), np.nan)
    np.divide(won, compared, out=areas, where=compared > 0)
    return areas
