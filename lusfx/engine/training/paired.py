"""Cross-validations of one task with the same folds, compared: the same patients, and in each resample the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.samples.samples import Samples, U
from lusfx.engine.training.cross_validation import CrossValidation
from lusfx.engine.training.task_figures import mean_roc_auc
from lusfx.metrics import Answers, Interval, Statistic, Targets, Weighted, patient_bootstrap

BEFORE, AFTER = 0, 1


def mean_auc(validations: Sequence[CrossValidation], samples: Samples[U], seed: int) -> Interval:
    """AUC of a task, the mean over its outcomes.

    :param validations: one an outcome.
    """
    probabilities, folds = _spread(validations, samples)
    statistics = [mean_roc_auc(repeat) for repeat in folds]
    return patient_bootstrap(statistics, samples.targets, probabilities, samples.groups, seed=seed)


def auc_difference(
    before: Sequence[CrossValidation], after: Sequence[CrossValidation], samples: Samples[U], seed: int
) -> Interval:
    """By how much the mean AUC of one is above that of the other.

    :param before: one an outcome; ``after`` likewise, with the same folds.
    """
    sides = [_spread(validations, samples) for validations in (before, after)]
    folds = sides[AFTER][1]
    if not np.array_equal(folds, sides[BEFORE][1]):
        raise ValueError("the two have other folds")
    probabilities = np.stack([side[0] for side in sides], axis=-1)
    statistics = [_difference(repeat) for repeat in folds]
    return patient_bootstrap(statistics, samples.targets, probabilities, samples.groups, seed=seed)


def _spread(
    validations: Sequence[CrossValidation], samples: Samples[U]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities and folds of all units, ``(n_repeats, n, n_outcomes)``; NaN where the answer is not known."""
    shape = (len(validations[0].probabilities), len(samples), len(validations))
    probabilities, folds = np.full(shape, np.nan), np.zeros(shape, np.int64)
    for number, validation in enumerate(validations):
        probabilities[:, validation.rows, number] = validation.probabilities
        folds[:, validation.rows, number] = validation.folds
    return probabilities, folds


def _difference(folds: NDArray[np.int64]) -> Statistic:
    """Of probabilities ``(n, n_outcomes, 2)``.

    :param folds: ``(n, n_outcomes)`` within which an AUC compares units.
    """
    auc = mean_roc_auc(folds)

    def prepare(targets: Targets, probabilities: Answers) -> Weighted:
        before, after = (auc.prepare(targets, probabilities[..., side]) for side in (BEFORE, AFTER))
        return lambda weights: after(weights) - before(weights)

    return Statistic(prepare)
