"""What a head is given, checked before it is used: one vector a unit, or the rows of each unit as a bag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Bags, Features, TrainingSet
from lusfx.errors import TaskModelError, TrainingRefusedError

LARGEST_WEIGHT_RATIO = 1e9
"""Rows further apart than this do not count at all beside each other, and LightGBM keeps weights in float32."""


def vectors_of(features: Features, n_features: int) -> NDArray[np.float32]:
    """Vectors to score, ``(n, n_features)``.

    :raises TaskModelError: if they are bags, or of another length.
    """
    if isinstance(features, Bags):
        raise TaskModelError("the head takes one vector a unit, and was given bags of rows")
    if features.ndim != 2 or features.shape[1] != n_features:
        raise TaskModelError(f"the head takes features of shape (n, {n_features}), and was given {features.shape}")
    return features


def bags_of(features: Features, n_features: int) -> Bags:
    """Bags to score, whose rows are ``(n_rows, n_features)``.

    :raises TaskModelError: if they are vectors, have rows of another length, or one has no row.
    """
    if not isinstance(features, Bags):
        raise TaskModelError("the head takes the rows of each unit as a bag, and was given one vector a unit")
    if features.rows.ndim != 2 or features.rows.shape[1] != n_features:
        raise TaskModelError(f"the head takes rows of shape (n, {n_features}), and was given {features.rows.shape}")
    if not _are_laid_end_to_end(features):
        raise TaskModelError("the bags do not follow each other from the first row to the last, or one is empty")
    return features


def training_vectors(training: TrainingSet) -> NDArray[np.float32]:
    """The vectors of a training set that a head can learn from, ``(n, n_features)``.

    :raises TrainingRefusedError: if the features are bags, the arrays disagree in length, a feature is not finite, a
        weight is not a finite number above 0, or a class has no row.
    """
    features = training.features
    if isinstance(features, Bags):
        raise TrainingRefusedError(
            "the head learns from one vector a unit, and was given bags of rows. Pool them, or choose a head that takes bags."
        )
    _check(training, features, len(features))
    return features


def training_bags(training: TrainingSet) -> Bags:
    """The bags of a training set that a head can learn from.

    :raises TrainingRefusedError: if the features are vectors, a bag is empty, or as :func:`training_vectors` does.
    """
    features = training.features
    if not isinstance(features, Bags):
        raise TrainingRefusedError(
            "the head learns from the rows of each unit as a bag, and was given one vector a unit. "
            "Choose a head that takes vectors, or do not pool the rows."
        )
    if features.rows.ndim == 2 and not _are_laid_end_to_end(features):
        raise TrainingRefusedError("the bags do not follow each other from the first row to the last, or one is empty")
    _check(training, features.rows, len(features))
    return features


def _are_laid_end_to_end(bags: Bags) -> bool:
    starts = bags.starts
    if starts.ndim != 1 or not len(starts) or not np.issubdtype(starts.dtype, np.integer):
        return False
    return bool(starts[0] == 0 and starts[-1] == len(bags.rows) and (np.diff(starts) > 0).all())


def _check(training: TrainingSet, rows: NDArray[np.floating], n_units: int) -> None:
    n_targets = len(training.targets)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise TrainingRefusedError(f"features have shape {rows.shape}, expected (n, n_features)")
    if not n_units == n_targets == len(training.groups):
        raise TrainingRefusedError(
            f"features of {n_units} units, {n_targets} targets and {len(training.groups)} patient keys"
        )
    if not np.isfinite(rows).all():
        raise TrainingRefusedError("a feature is not finite")
    classes = np.unique(training.targets).tolist()
    if classes != [0, 1]:
        raise TrainingRefusedError(f"a head tells class 0 from class 1, and the training rows are of classes {classes}")
    if training.weights is not None:
        _check_weights(training.weights, n_targets)


def _check_weights(weights: NDArray[np.float64], n_targets: int) -> None:
    if weights.shape != (n_targets,):
        raise TrainingRefusedError(f"weights have shape {weights.shape}, expected one for each of {n_targets} targets")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise TrainingRefusedError("a weight is not a finite number above 0. Leave out rows that are not to count.")
    if weights.min() < weights.max() / LARGEST_WEIGHT_RATIO:
        raise TrainingRefusedError(f"one weight is more than {LARGEST_WEIGHT_RATIO:.0e} times another")
