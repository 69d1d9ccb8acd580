"""Figures of a whole task, where one outcome's AUC does not say it: several labels, several classes, a scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import UNKNOWN
from lusfx.metrics import (
    Answers,
    Interval,
    Statistic,
    Targets,
    Weighted,
    balanced_accuracy,
    mean_absolute_error,
    pairs,
    patient_bootstrap,
    quadratic_weighted_kappa,
    roc_auc,
    within_folds,
)
from lusfx.task_model import TaskCard, class_numbers


def task_figures(
    card: TaskCard,
    targets: NDArray[np.int64],
    classes: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    decisions: NDArray[np.bool_] | None,
    groups: NDArray[np.str_],
    *,
    seed: int,
    folds: NDArray[np.int64] | None = None,
) -> dict[str, Interval]:
    """The mean AUC over outcomes, and of ordinal and multi-class tasks how good the answered classes are.

    :param targets: ``(n, n_outcomes)`` 0, 1 or UNKNOWN.
    :param classes: ``(n,)`` number of the true class.
    :param probabilities: ``(n_repeats, n, n_outcomes)``; NaN where a unit's answer to an outcome is not known.
    :param decisions: ``(n_repeats, n, n_outcomes)``, whether each outcome's probability reaches its deciding threshold; None
        where none decides.
    :param groups: ``(n,)`` patient keys.
    :param folds: ``(n_repeats, n, n_outcomes)`` which fold's head a probability is from; None where all are from one.
    :returns: nothing for a binary task, whose one outcome says it all.
    """
    if card.kind == "binary":
        return {}
    heads = np.zeros(probabilities.shape, np.int64) if folds is None else folds
    means = [mean_roc_auc(repeat) for repeat in heads]
    figures = {"mean_roc_auc": patient_bootstrap(means, targets, probabilities, groups, seed=seed)}
    answered: Mapping[str, Statistic] = {}
    if decisions is None:
        return figures
    if card.kind == "multi-class":
        answered = {"balanced_accuracy": balanced_accuracy}
    elif card.kind == "ordinal":
        answered = {
            "quadratic_weighted_kappa": quadratic_weighted_kappa,
            "mean_absolute_error": mean_absolute_error,
            "balanced_accuracy": balanced_accuracy,
        }
    if answered:
        answers = np.stack([class_numbers(card, p, d) for p, d in zip(probabilities, decisions, strict=True)])
        for name, statistic in answered.items():
            figures[name] = patient_bootstrap([statistic] * len(answers), classes, answers, groups, seed=seed)
    return figures


def confusion(
    card: TaskCard, classes: NDArray[np.int64], probabilities: NDArray[np.float64], decisions: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """``(n_classes, n_classes)``: how many units of each class were answered to be of which.

    :param classes: ``(n,)`` number of the true class.
    :param probabilities: ``(n, n_outcomes)``, and ``decisions`` likewise.
    """
    table = np.zeros((len(card.classes), len(card.classes)), np.int64)
    np.add.at(table, (classes, class_numbers(card, probabilities, decisions)), 1)
    return table


def mean_roc_auc(folds: NDArray[np.int64]) -> Statistic:
    """Mean of the outcomes' AUC, each over the units whose answer is known; NaN where one has no AUC.

    :param folds: ``(n, n_outcomes)`` within which an AUC compares units.
    """

    def prepare(targets: Targets, probabilities: Answers) -> Weighted:
        parts = []
        for outcome, column in enumerate(targets.T):
            known = np.flatnonzero(column != UNKNOWN)
            auc = within_folds(roc_auc, folds[known, outcome], pairs)
            parts.append((known, auc.prepare(column[known], probabilities[known, outcome])))
        return lambda weights: float(np.mean([part(weights[known]) for known, part in parts]))

    return Statistic(prepare)
