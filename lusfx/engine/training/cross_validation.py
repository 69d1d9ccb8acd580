"""Repeated cross-validation by patient of a learner: what its whole procedure achieves on patients that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import UNKNOWN, OperatingPoint, by_strictness
from lusfx.engine.samples.samples import Samples, U, U_contra
from lusfx.splits import Fold, check_split, joint_folds, patient_folds

FOLD_SEEDS_APART = 1000


class Learnt(Protocol[U_contra]):
    """What was learnt of one outcome.

    ``thresholds`` are by operating point, for calibrated probabilities; ``chosen`` says in words what was taken of what was
    tried.
    """

    @property
    def thresholds(self) -> Mapping[str, float]: ...

    @property
    def chosen(self) -> str: ...

    def probabilities(self, units: U_contra) -> NDArray[np.float64]:
        """Calibrated probability of yes, ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True)
class FoldPlace:
    """Which of a cross-validation's folds is in turn, from 1; as text ``repeat 1 of 5, fold 2 of 5``."""

    repeat: int
    n_repeats: int
    fold: int
    n_folds: int

    def __str__(self) -> str:
        return f"repeat {self.repeat} of {self.n_repeats}, fold {self.fold} of {self.n_folds}"


class Procedure(Protocol[U]):
    """All that is done to learn outcomes from samples; what it holds out for itself, it holds out by patient."""

    @property
    def operating_points(self) -> Mapping[str, OperatingPoint]: ...

    @property
    def seed(self) -> int: ...

    def learn_together(self, samples: Samples[U], outcomes: Sequence[int], place: FoldPlace) -> Sequence[Learnt[U]]:
        """Learn outcomes, each of which some of the samples answer.

        :param place: the fold whose training side the samples are.
        """
        ...


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
    procedure: Procedure[U],
    samples: Samples[U],
    outcome: int,
    n_folds: int,
    n_repeats: int,
    progress: Callable[[FoldPlace], None] | None = None,
) -> CrossValidation:
    """Judge a procedure on one outcome.

    :param samples: of the whole task; those whose answer to the outcome is not known are left out.
    :param n_repeats: times that it is done, each with other folds.
    :param progress: called when a fold begins.
    """
    (validation,) = cross_validate_together(procedure, samples, [outcome], n_folds, n_repeats, progress)
    return validation


def cross_validate_together(
    procedure: Procedure[U],
    samples: Samples[U],
    outcomes: Sequence[int],
    n_folds: int,
    n_repeats: int,
    progress: Callable[[FoldPlace], None] | None = None,
) -> list[CrossValidation]:
    """Judge a procedure that learns several outcomes at once: they share the folds.

    :param samples: of the whole task; those that answer none of the outcomes are left out.
    :param progress: called when a fold begins.
    :returns: one an outcome, of the samples that answer it.
    """
    rows = np.flatnonzero((samples.targets[:, outcomes] != UNKNOWN).any(axis=1))
    known = samples.take(rows)
    shape = (len(outcomes), n_repeats, len(rows))
    probabilities, numbers = np.full(shape, np.nan), np.full(shape[1:], -1, np.int64)
    answers = {
        name: np.zeros(shape, np.bool_)
        for name in by_strictness(procedure.operating_points, procedure.operating_points)
    }
    chosen: list[list[list[str]]] = [[] for _ in outcomes]
    for repeat in range(n_repeats):
        folds = _folds(known, outcomes, n_folds, procedure.seed + FOLD_SEEDS_APART * repeat)
        for number, fold in enumerate(folds):
            check_split(fold, known.groups, known.keys)
            place = FoldPlace(repeat + 1, n_repeats, number + 1, len(folds))
            if progress is not None:
                progress(place)
            numbers[repeat, fold.test] = number
            learnt = procedure.learn_together(known.take(fold.train), outcomes, place)
            tested = known.units.take(fold.test)
            for position, of_outcome in enumerate(learnt):
                scores = of_outcome.probabilities(tested)
                probabilities[position, repeat, fold.test] = scores
                for name, threshold in of_outcome.thresholds.items():
                    answers[name][position, repeat, fold.test] = scores >= threshold
                if number == 0:
                    chosen[position].append([])
                chosen[position][repeat].append(of_outcome.chosen)
    validations = []
    for position, outcome in enumerate(outcomes):
        of_known = known.known(outcome)
        validations.append(
            CrossValidation(
                rows[of_known],
                probabilities[position][:, of_known],
                numbers[:, of_known],
                {name: values[position][:, of_known] for name, values in answers.items()},
                chosen[position],
            )
        )
    return validations


def _folds(known: Samples[U], outcomes: Sequence[int], n_folds: int, seed: int) -> list[Fold]:
    if len(outcomes) == 1:
        return patient_folds(known.targets[:, outcomes[0]], known.groups, n_folds, seed)
    return joint_folds(known.targets[:, outcomes], known.groups, n_folds, seed)
