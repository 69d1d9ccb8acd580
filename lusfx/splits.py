"""Splits by patient, and what makes a data set unfit to be trained or judged on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import LeakError, TrainingRefusedError
from lusfx.messages import are, counted, first_few, have, short, verb
from lusfx.patients import dealt, dealt_jointly, numbered

FEW_EVENTS = 100
"""Of the rarer answer; fewer are warned of."""
ANSWERS = ("no", "yes")
TRIES = 10
"""Shuffles tried for folds that each hold both classes."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to train on and rows to test on; no patient in both."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def patient_folds(targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, seed: int) -> list[Fold]:
    """Cross-validation folds in which each patient is tested once, stratified by class as far as patients allow.

    Every fold has both classes on both of its sides wherever each class has as many patients as there are folds.

    :param targets: ``(n,)`` 0 or 1.
    :param groups: ``(n,)`` patient keys.
    :param n_folds: at least 2, and at most the number of patients.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    patient_of_row = numbered(groups)
    for attempt in range(TRIES):
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + attempt)
        folds = [Fold(train, test) for train, test in splitter.split(targets, targets, patient_of_row)]
        if all(len(np.unique(targets[rows])) == 2 for fold in folds for rows in (fold.train, fold.test)):
            return folds
    # It weighs rows, and can put two patients together of whom each could have served a fold, one with many rows say.
    fold_of_row = dealt(targets, groups, n_folds, np.random.default_rng(seed))
    return [
        Fold(np.nonzero(fold_of_row != number)[0], np.nonzero(fold_of_row == number)[0]) for number in range(n_folds)
    ]


def inner_folds(targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, seed: int) -> list[Fold]:
    """:func:`patient_folds` within a training side, with fewer folds where a class has too few patients for so many.

    :param n_folds: at least 2; lowered to the number of patients of the class that fewer have.
    :raises TrainingRefusedError: if a class has a single patient, or none.
    """
    available = min(_n_patients(targets, groups))
    if available < 2:
        raise TrainingRefusedError(
            f"holding out patients needs two of each class, and one class has {available} on a training side. Label more "
            "patients, or lower --folds"
        )
    return patient_folds(targets, groups, min(n_folds, available), seed)


def joint_folds(targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, seed: int) -> list[Fold]:
    """Folds by patient that several yes-or-no questions share.

    Every fold has both answers to each question on its training side, and on the other side as far as patients allow.

    :param targets: ``(n, n_questions)`` 0 or 1; anything else is not known.
    :param groups: ``(n,)`` patient keys.
    :raises TrainingRefusedError: if no such folds are found.
    """
    second_best: list[Fold] | None = None
    for attempt in range(TRIES):
        fold_of_row = dealt_jointly(targets, groups, n_folds, np.random.default_rng([seed, attempt]))
        folds = [Fold(np.flatnonzero(fold_of_row != n), np.flatnonzero(fold_of_row == n)) for n in range(n_folds)]
        if all(has_both_answers(targets[fold.train]) for fold in folds):
            if all(has_both_answers(targets[fold.test]) for fold in folds):
                return folds
            second_best = second_best or folds
    if second_best is None:
        raise TrainingRefusedError(
            f"no {n_folds} folds by patient were found that each leave both answers to every outcome to learn from. Label "
            "more patients, or lower --folds"
        )
    return second_best


def held_out_fold(targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, seed: int) -> Fold:
    """One of :func:`joint_folds` within a training side, with both answers to each question on both of its sides.

    :param targets: ``(n, n_questions)`` 0 or 1; anything else is not known.
    :param n_folds: one in so many patients is held out; lowered to the number of patients of the rarest answer.
    :raises TrainingRefusedError: if an answer has too few patients for that.
    """
    available = min(min(_n_patients(column, groups)) for column in targets.T)
    folds = [] if available < 2 else joint_folds(targets, groups, min(n_folds, available), seed)
    for fold in folds:
        if has_both_answers(targets[fold.train]) and has_both_answers(targets[fold.test]):
            return fold
    raise TrainingRefusedError(
        f"holding out patients needs two of each answer, and one answer has {available} on a training side. Label more "
        "patients, or lower --folds"
    )


def has_both_answers(targets: NDArray[np.int64]) -> bool:
    """Whether 0 and 1 both stand in each column."""
    return bool(((targets == 0).any(axis=0) & (targets == 1).any(axis=0)).all())


def check_split(fold: Fold, groups: NDArray[np.str_], contents: NDArray[np.str_]) -> None:
    """Make sure that nothing stands on both sides of a split.

    :param contents: ``(n,)`` clip keys, which are hashes of content.
    :raises LeakError: if a patient or the same content does.
    """
    for values, noun in (
        (groups, ("patient",)),
        (contents, ("clip of the same content", "clips of the same content")),
    ):
        shared = np.intersect1d(values[fold.train], values[fold.test])
        if len(shared):
            what, stand = counted(len(shared), *noun), verb(len(shared), "stands", "stand")
            raise LeakError(f"{what} {stand} on both sides of a split: {some_keys(shared)}")


def check_trainable(
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    contents: NDArray[np.str_],
    features_finite: NDArray[np.bool_],
    n_folds: int,
    question: str,
) -> None:
    """Refuse what no result could be trusted of.

    :param targets: ``(n,)`` 0 or 1, of one yes-or-no question.
    :param groups: ``(n,)`` patient keys; empty where there is none.
    :param contents: ``(n,)`` keys of the units, clips say.
    :param features_finite: ``(n,)`` whether every feature of a unit is finite.
    :param question: the task and its outcome, for messages: ``b-lines: at least 2``.
    :raises TrainingRefusedError: missing patients, one answer only, an answer with fewer patients than folds, a unit that
        stands twice, features that are not finite.
    """
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("targets of one question are 0 or 1; leave out units whose answer is not known")
    without = contents[groups == ""]
    if len(without):
        raise TrainingRefusedError(
            f"{counted(len(without), 'unit')} {have(len(without))} no patient ({some_keys(without)}), "
            "and splits are by patient. Give the label table a "
            "column patient_id"
        )
    repeated = np.array([key for key, count in Counter(contents.tolist()).items() if count > 1])
    if len(repeated):
        stand = verb(len(repeated), "stands", "stand")
        raise TrainingRefusedError(f"{counted(len(repeated), 'unit')} {stand} more than once: {some_keys(repeated)}")
    if len(targets) == 0:
        raise TrainingRefusedError(f"no unit has a label that answers '{question}': nothing to learn")
    if len(np.unique(targets)) < 2:
        raise TrainingRefusedError(
            f"all {counted(len(targets), 'labelled unit')} {are(len(targets))} "
            f"'{ANSWERS[int(targets[0])]}' to '{question}': nothing to learn"
        )
    for answer, n_patients in zip(ANSWERS, _n_patients(targets, groups), strict=True):
        if n_patients < n_folds:
            raise TrainingRefusedError(
                f"'{question}' has {counted(n_patients, 'patient')} with {answer}, fewer than the "
                f"{n_folds} folds. Label more patients, "
                "or lower --folds (to no less than 2)"
            )
    broken = contents[~features_finite]
    if len(broken):
        raise TrainingRefusedError(
            f"the features of {counted(len(broken), 'unit')} are not finite: {some_keys(broken)}"
        )


def training_warnings(targets: NDArray[np.int64], question: str) -> list[str]:
    """What whoever uses the result must know of the data.

    :param targets: ``(n,)`` 0 or 1, of one yes-or-no question.
    :param question: as in :func:`check_trainable`.
    """
    counts = np.bincount(targets, minlength=2)
    rarer = int(counts.argmin())
    if counts[rarer] >= FEW_EVENTS:
        return []
    return [
        f"only {counted(int(counts[rarer]), 'unit')} {are(int(counts[rarer]))} "
        f"'{ANSWERS[rarer]}' to '{question}': below {FEW_EVENTS}, intervals are wide and "
        "thresholds unsure"
    ]


def _n_patients(targets: NDArray[np.int64], groups: NDArray[np.str_]) -> tuple[int, int]:
    """Patients with no and with yes; one that has units of both counts for both."""
    return len(np.unique(groups[targets == 0])), len(np.unique(groups[targets == 1]))


def some_keys(keys: NDArray[np.str_]) -> str:
    """The first few keys, short, for a message."""
    return first_few([short(key) for key in keys.tolist()])
