"""Features on one scale, by the mean and the spread of the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TaskModelError

BLOCK_ROWS = 4096
"""Rows that are widened to float64 at a time, so that scoring an archive takes no archive of memory."""

CONSTANT_BELOW = 1e-6
"""A feature whose spread is below this part of its largest value is rounding noise of float32 (one part in 10^7)."""


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Subtracts the training rows' mean and divides by their standard deviation.

    :param mean: ``(n_features,)``.
    :param inverse_std: ``(n_features,)``; 0 for a feature that was constant in training, which is thereby ignored.
    """

    mean: NDArray[np.float64]
    inverse_std: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Standardiser:
        """Measure the training rows, ``(n, n_features)``."""
        mean = features.mean(axis=0, dtype=np.float64)
        std = features.std(axis=0, dtype=np.float64)
        largest = np.abs(features).max(axis=0).astype(np.float64)
        varies = std > CONSTANT_BELOW * largest
        return cls(mean, np.divide(1.0, std, out=np.zeros_like(std), where=varies))

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Standardise ``(n, n_features)``.

        :raises TaskModelError: if the rows have another number of features.
        """
        check_width(features, len(self.mean))
        return (features.astype(np.float64) - self.mean) * self.inverse_std


def in_blocks(
    function: Callable[[NDArray[np.float32]], NDArray[np.float64]], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Apply a function that gives one value or vector a row, :data:`BLOCK_ROWS` rows at a time."""
    starts = range(0, max(len(features), 1), BLOCK_ROWS)
    return np.concatenate([function(features[start : start + BLOCK_ROWS]) for start in starts])


def check_width(features: NDArray[np.float32], n_features: int) -> None:
    """Refuse rows that are not ``(n, n_features)``.

    :raises TaskModelError: if they are not.
    """
    if features.ndim != 2 or features.shape[1] != n_features:
        raise TaskModelError(f"the head takes features of shape (n, {n_features}), and was given {features.shape}")


def two_class_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities ``(n, 2)`` from the log odds of class 1, ``(n,)``, without overflow and exact near 0 and 1."""
    zeros = np.zeros_like(logits)
    surprise = np.stack([np.logaddexp(zeros, logits), np.logaddexp(zeros, -logits)], axis=1)
    probabilities: NDArray[np.float64] = np.exp(-surprise)
    return probabilities
