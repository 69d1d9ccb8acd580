"""Small training sets that a head can learn from: made-up rows of patients, as vectors or as bags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Bags, Features, TrainingSet

S = TypeVar("S", bound=np.generic)

N_FEATURES = 12
ROWS_PER_PATIENT = 4
SEPARATION = 1.5
"""Between the classes along each of the first three features, to either side, in standard deviations of the noise."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A training set and rows of other patients, made alike.

    :param held_out: features that the head does not learn from.
    :param held_out_targets: ``(n,)`` 0 or 1.
    """

    training: TrainingSet
    held_out: Features
    held_out_targets: NDArray[np.int64]


def make_parts(takes: Literal["vectors", "bags"], n_patients: int = 36, n_held_out: int = 12) -> Parts:
    """Rows of two classes that differ along three features; each patient also shifts their own rows.

    :param takes: as :attr:`lusfx.contracts.HeadSpec.takes`.
    """
    generator = np.random.default_rng(20260101)
    patients = np.repeat(np.arange(n_patients + n_held_out), ROWS_PER_PATIENT)
    targets = np.tile(np.array([0, 1, 1, 0, 1, 0, 0, 1], np.int64), len(patients) // 8 + 1)[: len(patients)]
    rows = generator.normal(size=(len(patients), N_FEATURES))
    rows += generator.normal(scale=0.5, size=(patients[-1] + 1, N_FEATURES))[patients]
    rows[:, :3] += SEPARATION * (2 * targets[:, None] - 1)
    rows = 5 + 2 * rows
    weights = generator.uniform(0.5, 2.0, len(rows))
    sizes = 1 + np.arange(len(rows)) % 3
    learnt_from, held_out = np.flatnonzero(patients < n_patients), np.flatnonzero(patients >= n_patients)
    training = TrainingSet(
        _as_taken(takes, rows[learnt_from], sizes[learnt_from]),
        targets[learnt_from],
        np.array([f"p-{patient:04d}" for patient in patients[learnt_from]]),
        weights[learnt_from],
    )
    return Parts(training, _as_taken(takes, rows[held_out], sizes[held_out]), targets[held_out])


def _as_taken(
    takes: Literal["vectors", "bags"], vectors: NDArray[np.float64], sizes: NDArray[np.signedinteger]
) -> Features:
    """The vectors, or each as a bag of as many rows as ``sizes`` says that vary about it."""
    if takes == "vectors":
        return vectors.astype(np.float32)
    rows = np.repeat(vectors, sizes, axis=0)
    rows += np.random.default_rng(0).normal(scale=0.4, size=rows.shape)
    return Bags(rows.astype(np.float32), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def take(features: Features, rows: NDArray[np.intp]) -> Features:
    """The named units, in the order given."""
    return features.take(rows) if isinstance(features, Bags) else features[rows]


def none_of(features: Features) -> Features:
    """No unit at all, of the same width."""
    if isinstance(features, Bags):
        return Bags(features.rows[:0], np.zeros(1, np.int64))
    return features[:0]


def widened(features: Features, by: int) -> Features:
    """The same units with so many features more, or fewer where it is negative."""
    rows = arrays_of(features)[0]
    other = np.pad(rows, ((0, 0), (0, by))) if by > 0 else np.ascontiguousarray(rows[:, :by])
    return Bags(other, features.starts) if isinstance(features, Bags) else other.astype(np.float32)


def arrays_of(features: Features) -> list[NDArray[Any]]:
    """The arrays that features consist of, the rows first."""
    return [features.rows, features.starts] if isinstance(features, Bags) else [features]


def copied(features: Features, *, writeable: bool = True) -> Features:
    """Copies, which can be written to or not."""
    if isinstance(features, Bags):
        return Bags(_copied(features.rows, writeable), _copied(features.starts, writeable))
    return _copied(features, writeable)


def copied_training(training: TrainingSet, *, writeable: bool = True) -> TrainingSet:
    """A copy of a training set, whose arrays can be written to or not."""
    return TrainingSet(
        copied(training.features, writeable=writeable),
        _copied(training.targets, writeable),
        _copied(training.groups, writeable),
        None if training.weights is None else _copied(training.weights, writeable),
    )


def _copied(array: NDArray[S], writeable: bool) -> NDArray[S]:
    copy = array.copy()
    copy.flags.writeable = writeable
    return copy
