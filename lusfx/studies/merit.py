"""The merit of a head with its features: its AUC out of the inner folds of a training side, which a choice is made by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Aggregation
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.learner import Candidate, checked_inner_folds, out_of_fold_scores
from lusfx.errors import TrainingRefusedError
from lusfx.metrics import pairs, roc_auc, within_folds
from lusfx.task_model import UnitFeatures


def merit(
    candidate: Candidate,
    training: Samples[UnitFeatures],
    targets: NDArray[np.int64],
    aggregation: Aggregation | None,
    frames_per_unit: int,
    n_folds: int,
    seed: int,
) -> float | None:
    """AUC within inner folds, as :class:`lusfx.engine.training.learner.Learner` chooses by.

    The folds follow from patients, answers and seed, so that all that learn from the same units have the same ones.

    :param training: a training side, and nothing else.
    :param targets: ``(n,)`` 0 or 1.
    :param n_folds: fewer where an answer has fewer patients.
    :returns: 0 to 1; None where too few patients are there to hold any out, or to train on the rest.
    """
    try:
        folds, fold_of = checked_inner_folds(training, targets, n_folds, seed)
        scores = out_of_fold_scores(candidate, training, targets, folds, aggregation, frames_per_unit, seed)
    except TrainingRefusedError:
        return None
    found = within_folds(roc_auc, fold_of, pairs)(targets, scores)
    return None if math.isnan(found) else found
