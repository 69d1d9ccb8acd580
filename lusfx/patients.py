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


def dealt_jointly(
    targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Deal patients into folds so that each fold has both answers to each of several questions, as far as patients allow.

    Iterative stratification (Sechidis et al. 2011, doi 10.1007/978-3-642-23808-6_10) of patients: of all answers to all
    questions, the one that the fewest patients have left is dealt first, each patient to the fold that has the fewest with
    it, or else the fewest patients.

    :param targets: ``(n, n_questions)`` 0 or 1; anything else is not known.
    :param groups: ``(n,)`` patient keys.
    :returns: ``(n,)`` the fold of each row, from 0.
    """
    patient_of_row = numbered(groups)
    n_patients = int(patient_of_row.max(initial=-1)) + 1
    answers = np.concatenate([targets == 0, targets == 1], axis=1)
    gives = np.zeros((n_patients, answers.shape[1]), np.bool_)
    np.logical_or.at(gives, patient_of_row, answers)
    fold_of_patient = np.full(n_patients, -1)
    dealt_with, sizes = np.zeros((n_folds, answers.shape[1]), np.int64), np.zeros(n_folds, np.int64)
    order = generator.permutation(n_patients)
    while (left := order[fold_of_patient[order] < 0]).size:
        n_left = gives[left].sum(axis=0)
        rarest = int(np.where(n_left > 0, n_left, n_patients + 1).argmin())
        having = left[gives[left, rarest]] if n_left[rarest] else left
        for patient in having.tolist():
            fold = int(np.lexsort((sizes, dealt_with[:, rarest]))[0])
            fold_of_patient[patient] = fold
            dealt_with[fold] += gives[patient]
            sizes[fold] += 1
    return fold_of_patient[patient_of_row]
