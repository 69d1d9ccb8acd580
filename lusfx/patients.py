"""Patients as numbers, so that nothing that is drawn at random hangs on their pseudonyms.

Pseudonyms are made with a site's key. Folds and resamples that followed their order would be other ones at another site, for
the same table, task and seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def numbered(groups: NDArray[np.str_]) -> NDArray[np.int64]:
    """The number of each row's patient, from 0 in order of first appearance, ``(n,)``.

    :param groups: ``(n,)`` patient keys.
    """
    _, first, patient = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[patient]


def dealt(
    targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Deal patients into folds so that each fold has both answers wherever each answer has so many patients.

    Patients are shuffled in three stacks, with yes alone, with both, with no alone; these are laid end to end and dealt
    round. Those with yes lie together, and so do those with no: hence ``n_folds`` or more of either reach every fold.

    :param targets: ``(n,)`` 0 or 1.
    :param groups: ``(n,)`` patient keys.
    :returns: ``(n,)`` the fold of each row, from 0.
    """
    patient_of_row = numbered(groups)
    has_yes = np.bincount(patient_of_row, weights=targets == 1) > 0
    has_no = np.bincount(patient_of_row, weights=targets == 0) > 0
    stack = np.where(has_yes, np.where(has_no, 1, 0), 2)
    order = np.lexsort((generator.random(len(stack)), stack))
    fold_of_patient = np.empty(len(stack), np.int64)
    fold_of_patient[order] = np.arange(len(stack)) % n_folds
    return fold_of_patient[patient_of_row]
