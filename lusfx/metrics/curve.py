"""Curves that reports draw: ROC and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics.statistic import Targets, pairs

Probabilities = NDArray[np.float64]

CURVE_POINTS = 401


def mean_roc(
    targets: Targets, probabilities: Probabilities, folds: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ROC curve within folds, averaged as the AUC of :func:`summary` is, for drawing.

    :param probabilities: ``(n_repeats, n)``.
    :param folds: ``(n_repeats, n)``.
    :returns: false and true positive rates, from (0, 0) to (1, 1).
    """
    false_rate = np.linspace(0, 1, CURVE_POINTS)
    rates, importance = [], []
    for repeat, fold_of in zip(probabilities, folds, strict=True):
        for here in (fold_of == fold for fold in np.unique(fold_of)):
            n_positive, n_all = int((targets[here] == 1).sum()), int(here.sum())
            if 0 < n_positive < n_all:
                rates.append(np.interp(false_rate, *roc_points(targets[here], repeat[here])))
                importance.append(pairs(n_positive, n_all - n_positive))
    true_rate = np.average(rates, axis=0, weights=importance) if rates else false_rate
    return np.concatenate([[0.0], false_rate]), np.concatenate([[0.0], true_rate])


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
    """Bins of about equal size, in order of probability; none of nothing."""
    order = np.argsort(probabilities, kind="stable")
    bins = []
    for rows in np.array_split(order, min(n_bins, len(order))) if len(order) else []:
        n, observed = len(rows), float(targets[rows].mean())
        z = 1.959964
        centre = (observed + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * float(np.sqrt(observed * (1 - observed) / n + z**2 / (4 * n**2)))
        bins.append(CalibrationBin(float(probabilities[rows].mean()), observed, centre - half, centre + half, n))
    return bins
