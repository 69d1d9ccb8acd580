"""What a head holds out of its own training rows, it holds out by patient: frames of one patient are near copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import TrainingSet
from lusfx.errors import TrainingRefusedError


def check_training(training: TrainingSet) -> None:
    """Refuse rows that no two-class head can learn from.

    :raises TrainingRefusedError: if the arrays disagree in length, a feature is not finite, or a class has no row.
    """
    n_rows = len(training.targets)
    if training.features.ndim != 2 or training.features.shape[1] == 0:
        raise TrainingRefusedError(f"features have shape {training.features.shape}, expected (n, n_features)")
    if not len(training.features) == n_rows == len(training.groups):
        raise TrainingRefusedError(
            f"{len(training.features)} rows of features, {n_rows} targets and {len(training.groups)} patient keys"
        )
    if not np.isfinite(training.features).all():
        raise TrainingRefusedError("a feature is not finite")
    classes = np.unique(training.targets).tolist()
    if classes != [0, 1]:
        raise TrainingRefusedError(f"a head tells class 0 from class 1, and the training rows are of classes {classes}")


def patients_of_rarer_class(training: TrainingSet) -> int:
    """Patients that have the class which fewer patients have; one with rows of both classes counts for both."""
    return min(len(np.unique(training.groups[training.targets == number])) for number in (0, 1))


def patient_folds(training: TrainingSet, n_folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Deal the patients into folds so that each fold has both classes.

    Patients are shuffled within three stacks, those with class 1 alone, with both, and with class 0 alone, laid end to
    end and dealt round. Those with class 1 lie together, and so do those with class 0, hence any ``n_folds`` or more
    of either reach every fold.

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
    patients, patient_of_row = np.unique(training.groups, return_inverse=True)
    has_class_1 = np.bincount(patient_of_row, weights=training.targets, minlength=len(patients)) > 0
    has_class_0 = np.bincount(patient_of_row, weights=1 - training.targets, minlength=len(patients)) > 0
    stack = np.where(has_class_1, np.where(has_class_0, 1, 0), 2)
    order = np.lexsort((generator.random(len(patients)), stack))
    fold_of_patient = np.empty(len(patients), dtype=np.int64)
    fold_of_patient[order] = np.arange(len(patients)) % n_folds
    return fold_of_patient[patient_of_row]
