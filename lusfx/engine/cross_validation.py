"""Repeated cross-validation by patient of a learner: what its whole procedure achieves on patients that it never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.learner import Learner
from lusfx.engine.samples import Samples
from lusfx.splits import check_split, patient_folds

FOLD_SEEDS_APART = 1000


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Scores of every unit by procedures that never saw its patient. Arrays are ``(n_repeats, n)``.

    :param rows: ``(n,)`` positions of the units among the task's samples.
    :param probabilities: calibrated, of yes.
    :param folds: number of the fold in which the unit was tested.
    :param answers: operating point -> yes or no, at a threshold that the procedure chose on its own patients.
    :param chosen: the candidate that each repeat's folds chose, as text; ``[repeat][fold]``.
    """

    rows: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]
    answers: dict[str, NDArray[np.bool_]]
    chosen: list[list[str]]


def cross_validate(
    learner: Learner,
    samples: Samples,
    outcome: int,
    n_folds: int,
    n_repeats: int,
    progress: Callable[[str], None],
) -> CrossValidation:
    """Judge a learner on one outcome.

    :param samples: of the whole task; those whose answer to the outcome is not known are left out.
    :param n_repeats: times that it is done, each with other folds.
    """
    rows = samples.known(outcome)
    known = samples.take(rows)
    targets = known.targets[:, outcome]
    probabilities = np.full((n_repeats, len(rows)), np.nan)
    numbers = np.full((n_repeats, len(rows)), -1, np.int64)
    answers = {name: np.zeros((n_repeats, len(rows)), np.bool_) for name in learner.operating_points}
    chosen = []
    for repeat in range(n_repeats):
        folds = patient_folds(targets, known.groups, n_folds, learner.seed + FOLD_SEEDS_APART * repeat)
        chosen.append([""] * len(folds))
        for number, fold in enumerate(folds):
            check_split(fold, known.groups, known.keys)
            progress(f"repeat {repeat + 1} of {n_repeats}, fold {number + 1} of {len(folds)}")
            learnt = learner.learn(known.take(fold.train), outcome)
            scores = learnt.probabilities(known.units.take(fold.test))
            probabilities[repeat, fold.test] = scores
            numbers[repeat, fold.test] = number
            for name, threshold in learnt.thresholds.items():
                answers[name][repeat, fold.test] = scores >= threshold
            chosen[-1][number] = str(learnt.candidate)
    return CrossValidation(rows, probabilities, numbers, answers, chosen)
