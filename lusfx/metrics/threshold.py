"""Thresholds that operating points ask for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import MinSensitivity, MinSpecificity, OperatingPoint, by_strictness

ROUNDING = 1e-12


def choose_thresholds(
    rules: Mapping[str, OperatingPoint], targets: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    """:func:`choose_threshold` of each rule, by name, from the least strict rule on: the thresholds never fall."""
    chosen = {name: choose_threshold(rule, targets, probabilities) for name, rule in rules.items()}
    return by_strictness(rules, chosen)


def choose_threshold(rule: OperatingPoint, targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """The threshold that a rule asks for, where *yes* is ``probability >= threshold``.

    Youden's threshold stands between those of the two minimum rules, whether a task has it or not: at it a minimum may be
    kept already, and then it is not left for the side that a rule does not ask for. Of thresholds with the same specificity a
    ``MinSensitivity`` takes the most sensitive, and the other way round.

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
    sums = sensitivities + specificities
    youden = int(np.argmax(sums >= sums.max() - ROUNDING))
    if isinstance(rule, MinSensitivity):
        last = min(youden, int(np.flatnonzero(sensitivities >= rule.value - ROUNDING).max()))
        return float(thresholds[np.argmax(specificities == specificities[last])])
    if isinstance(rule, MinSpecificity):
        first = max(youden, int(np.flatnonzero(specificities >= rule.value - ROUNDING).min()))
        return float(thresholds[np.flatnonzero(sensitivities == sensitivities[first]).max()])
    return float(thresholds[youden])
