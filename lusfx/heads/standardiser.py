"""Features on one scale, by the mean and the spread of the training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 4096
"""Rows that are widened to float64 at a time when a training set is measured, so that this takes no second one of memory."""
SCORED_ROWS = 512
"""Rows that are scored at a time: widened, they and the weights stay in the processor's cache."""

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
    def of(cls, rows: NDArray[np.floating], weights: NDArray[np.float64] | None = None) -> Standardiser:
        """Measure the training rows, ``(n, n_features)``, n >= 1.

        Weights count here as they do in the loss: they say how many rows a row stands for, so that one of weight 2 is
        as good as two, and a long clip sets the scale no more than a short one. Weights that balance the classes do
        not belong here: they say which errors matter, not what features are like.

        :param weights: ``(n,)``, above 0, of any scale; None where all rows count alike.
        """
        relative = np.ones(len(rows)) if weights is None else weights / weights.max()
        share = relative / relative.sum()
        mean = np.zeros(rows.shape[1])
        largest = np.zeros(rows.shape[1])
        for block in _blocks(rows):
            mean += share[block] @ rows[block].astype(np.float64)
            largest = np.maximum(largest, np.abs(rows[block]).max(axis=0))
        variance = np.zeros(rows.shape[1])
        for block in _blocks(rows):
            variance += share[block] @ np.square(rows[block] - mean)
        std = np.sqrt(variance)
        varies = std > CONSTANT_BELOW * largest
        return cls(mean, np.divide(1.0, std, out=np.zeros_like(std), where=varies))

    @property
    def n_features(self) -> int:
        """Length of a row."""
        return len(self.mean)

    def __call__(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardise ``(n, n_features)``."""
        return (rows.astype(np.float64) - self.mean) * self.inverse_std

    def folded_into(
        self, weight: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight and bias that do to rows as they are what the given ones do to standardised rows.

        :param weight: ``(n_features,)`` or ``(n_features, n_units)``; ``bias`` an entry a unit.
        """
        # In one order in memory, because sums depend on it: a loaded head gives what the trained one gave, to the last bit.
        scaled: NDArray[np.float64] = np.ascontiguousarray((weight.T * self.inverse_std).T)
        return scaled, bias - self.mean @ scaled

    def to_float32(self, rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """Standardise rows for training, in the precision that torch trains in."""
        scaled = np.empty(rows.shape, dtype=np.float32)
        for block in _blocks(rows):
            scaled[block] = self(rows[block])
        return scaled


def in_blocks(
    function: Callable[[NDArray[np.floating]], NDArray[np.float64]], rows: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Apply a function that gives one value or vector a row, :data:`SCORED_ROWS` rows at a time."""
    if len(rows) <= SCORED_ROWS:
        return function(rows)
    return np.concatenate([function(rows[block]) for block in _blocks(rows, SCORED_ROWS)])


def two_class_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities ``(n, 2)`` from the log odds of class 1, ``(n,)``, without overflow and exact near 0 and 1."""
    # In place: for a single frame, making arrays is most of the work.
    probabilities = np.empty((len(logits), 2))
    np.logaddexp(0.0, logits, out=probabilities[:, 0])
    np.logaddexp(0.0, -logits, out=probabilities[:, 1])
    np.negative(probabilities, out=probabilities)
    return np.exp(probabilities, out=probabilities)


def _blocks(rows: NDArray[np.floating], n: int = BLOCK_ROWS) -> Iterator[slice]:
    """Slices of ``n`` rows; one, which is empty, where there is no row."""
    return (slice(start, start + n) for start in range(0, max(len(rows), 1), n))
