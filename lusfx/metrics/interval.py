"""Intervals: how sure one can be of a figure. They resample patients, not clips.

Clips of one patient resemble each other, so an interval that resamples clips is too narrow (Field and Welsh 2007,
doi 10.1111/j.1467-9868.2007.00593.x).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics.statistic import (
    Answers,
    Statistic,
    Targets,
    Weights,
    average_precision,
    brier_score,
    events,
    pairs,
    roc_auc,
    sensitivity,
    specificity,
    within_folds,
)
from lusfx.patients import numbered

Probabilities = NDArray[np.float64]

N_RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its patient-bootstrap interval.

    :param n_resamples: resamples that the figure exists in; those with one class only are left out.
    """

    value: float
    low: float
    high: float
    level: float = LEVEL
    n_resamples: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def patient_bootstrap(
    statistic: Statistic | Sequence[Statistic],
    targets: Targets,
    answers: Answers,
    groups: NDArray[np.str_],
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> Interval:
    """A figure with the percentile interval over resampled patients.

    Of a repeated cross-validation the figure is the mean over repeats, and a resample draws one repeat with the patients. A
    mean over repeats hides how much a figure hangs on the split, and its own resamples vary too little: see the measurement
    in ``docs/task-models.md``.

    :param statistic: one, or one a repeat.
    :param answers: ``(n,)``, or what else the statistic takes; with one statistic a repeat, one of them a repeat.
    :param groups: ``(n,)`` patient keys; a patient drawn twice counts twice with all clips.
    """
    if isinstance(statistic, Statistic):
        repeats = [statistic.prepare(targets, answers)]
    else:
        repeats = [each.prepare(targets, repeat) for each, repeat in zip(statistic, answers, strict=True)]
    resamples = patient_resamples(groups, len(repeats), seed=seed, n_resamples=n_resamples)
    values = np.array([repeats[repeat](weights) for weights, repeat in resamples])
    value = float(np.mean([weighted(np.ones(len(targets))) for weighted in repeats]))
    return percentile_interval(value, values)


def patient_resamples(
    groups: NDArray[np.str_], n_repeats: int, *, seed: int, n_resamples: int = N_RESAMPLES
) -> Iterator[tuple[Weights, int]]:
    """Resamples of patients: how often each row counts, ``(n,)``, and one of the repeats, drawn with the patients.

    :param groups: ``(n,)`` patient keys; a patient drawn twice counts twice with all rows.
    """
    patient_of_row = numbered(groups)
    n_patients = int(patient_of_row.max(initial=-1)) + 1
    generator = np.random.default_rng(seed)
    for _ in range(n_resamples):
        drawn = np.bincount(generator.integers(0, n_patients, n_patients), minlength=n_patients)
        repeat = int(generator.integers(n_repeats)) if n_repeats > 1 else 0
        yield drawn.astype(np.float64)[patient_of_row], repeat


def percentile_interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    """A figure with the percentiles of its resamples; those that are NaN are left out."""
    values = resampled[~np.isnan(resampled)]
    if len(values) == 0:
        return Interval(value, float("nan"), float("nan"), LEVEL, 0)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), LEVEL, len(values))


@dataclass(frozen=True, slots=True)
class Performance:
    """What a fixed threshold achieves."""

    sensitivity: Interval
    specificity: Interval

    def as_dict(self) -> dict[str, Any]:
        return {"sensitivity": self.sensitivity.as_dict(), "specificity": self.specificity.as_dict()}


def performance(
    targets: Targets, answers: NDArray[np.bool_], groups: NDArray[np.str_], *, seed: int, n_resamples: int = N_RESAMPLES
) -> Performance:
    """Sensitivity and specificity of yes-or-no answers, with patient-bootstrap intervals.

    :param answers: ``(n,)``, or ``(n_repeats, n)``, whose figures are averaged.
    """
    repeats = np.atleast_2d(answers)
    return Performance(
        *(
            patient_bootstrap([share] * len(repeats), targets, repeats, groups, seed=seed, n_resamples=n_resamples)
            for share in (sensitivity, specificity)
        )
    )


def summary(
    targets: Targets,
    probabilities: Probabilities,
    groups: NDArray[np.str_],
    *,
    seed: int,
    folds: NDArray[np.int64] | None = None,
) -> Mapping[str, Interval]:
    """The figures that every yes-or-no question has: ROC AUC, average precision and Brier score.

    :param probabilities: ``(n,)``, or ``(n_repeats, n)``, whose figures are averaged.
    :param folds: ``(n_repeats, n)`` which fold's head a probability is from; the ranking is then judged within folds. None
        where all are from one head.
    """
    repeats = np.atleast_2d(probabilities)
    heads = np.zeros(repeats.shape, np.int64) if folds is None else np.atleast_2d(folds)
    statistics = {
        "roc_auc": [within_folds(roc_auc, fold, pairs) for fold in heads],
        "average_precision": [within_folds(average_precision, fold, events) for fold in heads],
        "brier_score": [brier_score] * len(heads),
    }
    return {name: patient_bootstrap(each, targets, repeats, groups, seed=seed) for name, each in statistics.items()}
