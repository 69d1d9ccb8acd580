"""Statistics: figures of targets and answers, prepared once and then had for many weightings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Targets = NDArray[np.int64]
Weights = NDArray[np.float64]
Answers = NDArray[Any]
"""What is judged: probabilities, yes-or-no answers, levels or class numbers."""
Weighted = Callable[[Weights], float]
"""A figure of ``weights (n,)``, how often each unit counts; its targets and answers are settled."""

ROUNDING = 1e-12


class Statistic:
    """A figure of targets and answers, which can be had for many weightings at the price of one preparation.

    ``roc_auc(targets, probabilities)`` is the figure itself, and ``roc_auc(targets, probabilities, weights)`` counts unit
    *i* as ``weights[i]`` units: the same as repeating it so often. What a bootstrap would do again in each of its resamples,
    sorting above all, is done once in ``prepare(targets, answers)``, whose result takes weights alone.
    """

    def __init__(self, prepare: Callable[[Targets, Answers], Weighted]) -> None:
        self.prepare = prepare
        self.__doc__ = prepare.__doc__

    def __call__(self, targets: Targets, answers: Answers, weights: Weights | None = None) -> float:
        return self.prepare(targets, answers)(np.ones(len(targets)) if weights is None else weights)


@Statistic
def roc_auc(targets: Targets, probabilities: Answers) -> Weighted:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    NaN where there is one class only.
    """
    positives, negatives = np.nonzero(targets == 1)[0], np.nonzero(targets == 0)[0]
    negatives = negatives[np.argsort(probabilities[negatives])]
    scores = probabilities[negatives]
    n_below = np.searchsorted(scores, probabilities[positives], side="left")
    n_not_above = np.searchsorted(scores, probabilities[positives], side="right")

    def weighted(weights: Weights) -> float:
        weight = weights[positives]
        lower = _running_sum(weights[negatives])
        n_pairs = weight.sum() * lower[-1]
        return _total(weight, lower[n_below] + lower[n_not_above]) / float(2 * n_pairs) if n_pairs else float("nan")

    return weighted


@Statistic
def average_precision(targets: Targets, probabilities: Answers) -> Weighted:
    """Mean of the precision at each score of a positive: what the area under the precision-recall curve is without joining
    its points (scikit-learn's definition, ties taken together).

    A score that means nothing has the share of positives. NaN where there is one class only.
    """
    order = np.argsort(-probabilities)
    positives = order[targets[order] == 1]
    n_answered = np.searchsorted(-probabilities[order], -probabilities[positives], side="right")
    n_found = np.searchsorted(-probabilities[positives], -probabilities[positives], side="right")

    def weighted(weights: Weights) -> float:
        weight = weights[positives]
        answered, found = _running_sum(weights[order]), _running_sum(weight)
        if not 0 < found[-1] < answered[-1]:
            return float("nan")
        # Where nothing that was drawn scores as high, the positive of that score was not drawn either.
        precision = found[n_found] / np.maximum(answered[n_answered], np.finfo(np.float64).tiny)
        return _total(weight, precision) / float(found[-1])

    return weighted


@Statistic
def brier_score(targets: Targets, probabilities: Answers) -> Weighted:
    """Mean squared difference of probability and outcome (Brier 1950)."""
    return _mean_of((probabilities - targets) ** 2)


@Statistic
def sensitivity(targets: Targets, answers: Answers) -> Weighted:
    """Share of the positives that are answered yes; NaN without positives."""
    return _mean_of(answers == 1, targets == 1)


@Statistic
def specificity(targets: Targets, answers: Answers) -> Weighted:
    """Share of the negatives that are answered no; NaN without negatives."""
    return _mean_of(answers == 0, targets == 0)


@Statistic
def mean_absolute_error(levels: Targets, answers: Answers) -> Weighted:
    """Mean distance of the answered level from the true one, in levels of an ordinal scale."""
    return _mean_of(np.abs(answers - levels))


@Statistic
def quadratic_weighted_kappa(levels: Targets, answers: Answers) -> Weighted:
    """Agreement of ordinal levels beyond chance, where a miss counts as the square of its distance (Cohen 1968,
    doi 10.1037/h0026256).

    1 is perfect, 0 is chance. How many levels the scale has does not matter: it would divide both the distances found and
    those expected. NaN where all levels and all answers are the same one.
    """
    truth, answered = levels.astype(np.float64), answers.astype(np.float64)
    moments = (truth, answered, truth**2, answered**2, truth * answered)

    def weighted(weights: Weights) -> float:
        mean, mean_answered, square, square_answered, product = (
            _total(weights, moment) / weights.sum() for moment in moments
        )
        expected = square + square_answered - 2 * mean * mean_answered
        found = square + square_answered - 2 * product
        return float(1 - found / expected) if expected > ROUNDING * square else float("nan")

    return weighted


@Statistic
def balanced_accuracy(targets: Targets, answers: Answers) -> Weighted:
    """Mean over the classes of the share of each that is answered rightly: always the same answer has 1 over their number.

    NaN where the weights leave out a class that the targets have: the mean over the others would be another figure.
    """
    shares = [_mean_of(answers == number, targets == number) for number in np.unique(targets)]
    return lambda weights: float(np.mean([share(weights) for share in shares]))


def _mean_of(values: Answers, among: NDArray[np.bool_] | None = None) -> Weighted:
    """The weighted mean of ``values (n,)`` of the rows ``among``; NaN where those have no weight."""
    rows = slice(None) if among is None else np.nonzero(among)[0]
    chosen = values[rows].astype(np.float64)

    def weighted(weights: Weights) -> float:
        weight = weights[rows]
        total = weight.sum()
        return _total(weight, chosen) / float(total) if total else float("nan")

    return weighted


def _total(weights: Weights, values: Weights) -> float:
    """Their inner product. Not by ``@``, whose threads cost more than they save on arrays as short as these, tenfold on a
    busy machine, and whose last digit hangs on how many there are.
    """
    return float(np.einsum("i,i", weights, values))


def _running_sum(values: Weights) -> Weights:
    """``(n + 1,)``: the sum of the first *i* values."""
    return np.concatenate([[0.0], np.cumsum(values)])


def within_folds(
    statistic: Statistic, folds: NDArray[np.int64], importance: Callable[[float, float], float]
) -> Statistic:
    """A figure of ranking within each fold of a cross-validation, averaged over folds.

    Scores of different folds are from different heads. Pooled, they rank too low: a fold that takes many patients with a
    finding leaves few of them to train on, and its head then scores low where answers are high (Airola et al. 2011,
    doi 10.1016/j.csda.2010.11.018).

    :param folds: ``(n,)`` number of each unit's fold.
    :param importance: of a fold, from the weight of its positives and of its negatives; :func:`pairs` for an AUC. A fold
        that has none is left out.
    """

    def prepare(targets: Targets, answers: Answers) -> Weighted:
        rows = [np.nonzero(folds == fold)[0] for fold in np.unique(folds)]
        parts = [(here, targets[here] == 1, statistic.prepare(targets[here], answers[here])) for here in rows]

        def weighted(weights: Weights) -> float:
            total = figure = 0.0
            for here, positive, part in parts:
                drawn = weights[here]
                counts = importance(float(drawn[positive].sum()), float(drawn[~positive].sum()))
                if counts > 0:
                    total, figure = total + counts, figure + counts * part(drawn)
            return figure / total if total else float("nan")

        return weighted

    return Statistic(prepare)


def pairs(positives: float, negatives: float) -> float:
    """How many pairs an AUC compares."""
    return positives * negatives


def events(positives: float, negatives: float) -> float:
    """How many positives an average precision is a mean over; 0 where there is nothing to tell them from."""
    return positives if negatives else 0.0
