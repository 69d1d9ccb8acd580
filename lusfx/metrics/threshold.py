"""Thresholds that operating points ask for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import MinSensitivity, MinSpecificity, OperatingPoint

ROUNDING = 1e-12


def choose_threshold(rule: OperatingPoint, targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """The threshold that a rule asks for, where *yes* is ``probability >= threshold``.

    Thresholds are looked for half way between neighbouring scores, so that rounding changes no answer. A minimum that
    nothing else reaches is reached by answering always yes, or never.
    """
    scores = np.unique(probabilities)
    middles = (scores[1:] + scores[:-1]) / 2
    # Between two floats that nothing lies between, the middle is rounded, to the lower one it may be.
    middles = np.where(middles > scores[:-1], middles, scores[1:])
    thresholds = np.concatenate([[0.0], middles, [np.nextafter(1.0, 2.0)]])
    positives, negatives = np.sort(probabilities[targets == 1]), np.sort(probabilities[targets == 0])
    sensitivities = 1 - np.searchsorted(positives, thresholds, side="left") / max(len(positives), 1)
    specificities = np.searchsorted(negatives, thresholds, side="left") / max(len(negatives), 1)
    if isinstance(rule, MinSensitivity):
        return float(thresholds[sensitivities >= rule.value - 1e-12].max())
    if isinstance(rule, MinSpecificity):
        return float(thresholds[specificities >= rule.value - 1e-12].min())
    return float(thresholds[int(np.argmax(sensitivities + specificities))])
