"""Label fractions: some of the training patients, stratified by patient, so that both answers are there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.patients import numbered


def patients_in_order(
    targets: NDArray[np.int64], groups: NDArray[np.str_], min_patients: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """An order of patients of which any beginning is a stratified sample, and the shortest beginning that may be taken.

    Patients with yes alone, with both answers and with no alone are three strata; each is shuffled and spread evenly over the
    order. The first patients are those that make ``min_patients`` of either answer, or as many as there are. Beginnings of one
    order lie in one another: what a larger fraction gains is of more patients, not of others.

    :param targets: ``(n,)`` 0 or 1.
    :param groups: ``(n,)`` patient keys.
    :returns: ``(n_patients,)`` numbers of patients (see :func:`lusfx.patients.numbered`), and how many are the fewest.
    """
    patient_of_row = numbered(groups)
    gives = np.stack([np.bincount(patient_of_row, weights=targets == answer) > 0 for answer in (0, 1)])
    stratum = gives[0] + 2 * gives[1].astype(np.int64)
    place = np.empty(len(stratum))
    for number in np.unique(stratum):
        members = generator.permutation(np.flatnonzero(stratum == number))
        place[members] = (np.arange(len(members)) + generator.random()) / len(members)
    order = np.argsort(place, kind="stable")
    lacking = np.minimum(min_patients, gives.sum(axis=1))
    needed = np.zeros(len(order), np.bool_)
    for position, patient in enumerate(order.tolist()):
        if (gives[:, patient] & (lacking > 0)).any():
            needed[position] = True
            lacking = lacking - gives[:, patient]
    return np.concatenate([order[needed], order[~needed]]), int(needed.sum())


def rows_of_fraction(
    groups: NDArray[np.str_], order: NDArray[np.int64], fewest: int, fraction: float
) -> NDArray[np.intp]:
    """Rows of so large a share of the patients, in their own order.

    :param groups: ``(n,)`` patient keys.
    :param order: of patients, as :func:`patients_in_order` gives it; ``fewest`` likewise.
    """
    n_patients = max(fewest, round(fraction * len(order)))
    return np.flatnonzero(np.isin(numbered(groups), order[:n_patients]))
