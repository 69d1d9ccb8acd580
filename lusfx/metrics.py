"""How good probabilities are, and how sure one can be of that. Binary; intervals resample patients, not clips.

Clips of one patient resemble each other, so an interval that resamples clips is too narrow (Field and Welsh 2007,
doi 10.1111/j.1467-9868.2007.00593.x).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import MinSensitivity, MinSpecificity, OperatingPoint

Targets = NDArray[np.int64]
Probabilities = NDArray[np.float64]
Weights = NDArray[np.float64]
Statistic = Callable[[Targets, Probabilities, Weights], float]
"""A figure of ``targets (n,)``, ``probabilities (n,)`` and ``weights (n,)``: how often each clip counts."""

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


def roc_auc(targets: Targets, probabilities: Probabilities, weights: Weights | None = None) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    :returns: NaN where there is one class only.
    """
    weights = np.ones(len(targets)) if weights is None else weights
    order = np.argsort(probabilities, kind="stable")
    scores, positive = probabilities[order], weights[order] * (targets[order] == 1)
    negative = weights[order] - positive
    starts = np.nonzero(np.diff(scores, prepend=np.nan))[0]
    positive, negative = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    n_pairs = positive.sum() * negative.sum()
    if n_pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / n_pairs)


def brier_score(targets: Targets, probabilities: Probabilities, weights: Weights | None = None) -> float:
    """Mean squared difference of probability and outcome (Brier 1950)."""
    return float(np.average((probabilities - targets) ** 2, weights=weights))


def sensitivity(targets: Targets, answers: NDArray[np.bool_], weights: Weights | None = None) -> float:
    """Share of the positives that are answered yes; NaN without positives."""
    return _share(answers, targets == 1, weights)


def specificity(targets: Targets, answers: NDArray[np.bool_], weights: Weights | None = None) -> float:
    """Share of the negatives that are answered no; NaN without negatives."""
    return _share(~answers, targets == 0, weights)


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_], weights: Weights | None) -> float:
    counts = among.astype(np.float64) if weights is None else weights * among
    total = counts.sum()
    return float((counts * hits).sum() / total) if total else float("nan")


def patient_bootstrap(
    statistic: Statistic,
    targets: Targets,
    probabilities: Probabilities,
    groups: NDArray[np.str_],
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> Interval:
    """A figure with the percentile interval over resampled patients.

    :param groups: ``(n,)`` patient keys; a patient drawn twice counts twice with all clips.
    """
    patients, rows = np.unique(groups, return_inverse=True)
    generator = np.random.default_rng(seed)
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        drawn = np.bincount(generator.integers(0, len(patients), len(patients)), minlength=len(patients))
        values[i] = statistic(targets, probabilities, drawn[rows].astype(np.float64))
    values = values[~np.isnan(values)]
    value = statistic(targets, probabilities, np.ones(len(targets)))
    if len(values) == 0:
        return Interval(value, float("nan"), float("nan"), LEVEL, 0)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), LEVEL, len(values))


def choose_threshold(rule: OperatingPoint, targets: Targets, probabilities: Probabilities) -> float:
    """The threshold that a rule asks for, where *yes* is ``probability >= threshold``.

    Thresholds are looked for half way between neighbouring scores, so that rounding changes no answer. A minimum that
    nothing else reaches is reached by answering always yes, or never.
    """
    scores = np.unique(probabilities)
    thresholds = np.concatenate([[0.0], (scores[1:] + scores[:-1]) / 2, [np.nextafter(1.0, 2.0)]])
    positives, negatives = np.sort(probabilities[targets == 1]), np.sort(probabilities[targets == 0])
    sensitivities = 1 - np.searchsorted(positives, thresholds, side="left") / max(len(positives), 1)
    specificities = np.searchsorted(negatives, thresholds, side="left") / max(len(negatives), 1)
    if isinstance(rule, MinSensitivity):
        return float(thresholds[sensitivities >= rule.value - 1e-12].max())
    if isinstance(rule, MinSpecificity):
        return float(thresholds[specificities >= rule.value - 1e-12].min())
    return float(thresholds[int(np.argmax(sensitivities + specificities))])


def over_repeats(statistic: Statistic) -> Statistic:
    """The mean of a figure over repeats of a cross-validation.

    :returns: a statistic that takes scores ``(n_repeats, n)`` in place of ``(n,)``.
    """

    def mean(targets: Targets, probabilities: Probabilities, weights: Weights) -> float:
        return float(np.mean([statistic(targets, repeat, weights) for repeat in probabilities]))

    return mean


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
    return Performance(
        *(
            patient_bootstrap(
                over_repeats(lambda t, p, w, share=share: share(t, p == 1, w)),  # type: ignore[misc]
                targets,
                np.atleast_2d(answers).astype(np.float64),
                groups,
                seed=seed,
                n_resamples=n_resamples,
            )
            for share in (sensitivity, specificity)
        )
    )


def summary(
    targets: Targets, probabilities: Probabilities, groups: NDArray[np.str_], *, seed: int
) -> Mapping[str, Interval]:
    """The figures that every report has: ROC AUC and Brier score.

    :param probabilities: ``(n,)``, or ``(n_repeats, n)``, whose figures are averaged.
    """
    repeats = np.atleast_2d(probabilities)
    return {
        "roc_auc": patient_bootstrap(over_repeats(roc_auc), targets, repeats, groups, seed=seed),
        "brier_score": patient_bootstrap(over_repeats(brier_score), targets, repeats, groups, seed=seed),
    }


def roc_points(targets: Targets, probabilities: Probabilities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ROC curve: false and true positive rates, from (0, 0) to (1, 1)."""
    thresholds = np.unique(probabilities)[::-1]
    positives, negatives = np.sort(probabilities[targets == 1]), np.sort(probabilities[targets == 0])
    true_rate = 1 - np.searchsorted(positives, thresholds, side="left") / max(len(positives), 1)
    false_rate = 1 - np.searchsorted(negatives, thresholds, side="left") / max(len(negatives), 1)
    return np.concatenate([[0.0], false_rate]), np.concatenate([[0.0], true_rate])


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Clips of similar probability: what was said, and what was so.

    :param low: Wilson interval of ``observed``, clips taken as independent; ``high`` likewise.
    """

    predicted: float
    observed: float
    low: float
    high: float
    n_clips: int


def calibration_bins(targets: Targets, probabilities: Probabilities, n_bins: int = 8) -> list[CalibrationBin]:
    """Bins of about equal size, in order of probability."""
    order = np.argsort(probabilities, kind="stable")
    bins = []
    for rows in np.array_split(order, min(n_bins, len(order))):
        n, observed = len(rows), float(targets[rows].mean())
        z = 1.959964
        centre = (observed + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * float(np.sqrt(observed * (1 - observed) / n + z**2 / (4 * n**2)))
        bins.append(CalibrationBin(float(probabilities[rows].mean()), observed, centre - half, centre + half, n))
    return bins
