"""What a head holds out of its own training rows, it holds out by patient: frames of one patient are near copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import TrainingSet
from lusfx.errors import TrainingRefusedError
from lusfx.patients import dealt


def held_out_patients(training: TrainingSet, one_in: int, seed: int) -> NDArray[np.bool_]:
    """Choose patients to hold out, so that both parts have both classes.

    :param one_in: one in so many patients is held out; more than one where a class has fewer patients than that.
    :returns: ``(n,)`` whether a row is held out.
    :raises TrainingRefusedError: if a class has fewer than two patients.
    """
    n_folds = max(2, min(one_in, patients_of_rarer_class(training)))
    fold = patient_folds(training, n_folds, np.random.default_rng(seed))
    return np.equal(fold, 0)


def patients_of_rarer_class(training: TrainingSet) -> int:
    """Patients that have the class which fewer patients have; one with rows of both classes counts for both."""
    return min(len(np.unique(training.groups[training.targets == number])) for number in (0, 1))


def patient_folds(training: TrainingSet, n_folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Deal the patients into folds so that each fold has both classes (see :func:`lusfx.patients.dealt`).

    :param n_folds: 2 to :func:`patients_of_rarer_class`.
    :returns: ``(n,)`` the fold of each row.
    :raises TrainingRefusedError: if a class has fewer patients than that.
    """
    available = patients_of_rarer_class(training)
    if not 2 <= n_folds <= available:
        raise TrainingRefusedError(
            f"holding out patients in {n_folds} folds needs that many patients of each class, and one class has "
            f"{available}. Label more patients, or choose a head that holds none out."
        )
    return dealt(training.targets, training.groups, n_folds, generator)
