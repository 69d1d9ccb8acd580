"""How often an answer is right, which hangs on how common a yes is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics.interval import Interval, patient_bootstrap
from lusfx.metrics.statistic import Answers, Statistic, Targets, Weighted, sensitivity, specificity


@dataclass(frozen=True, slots=True)
class PredictiveValues:
    """Shares of right answers among those that were given.

    :param positive: among the yes.
    :param negative: among the no.
    """

    positive: Interval
    negative: Interval

    def as_dict(self) -> dict[str, Any]:
        return {"ppv": self.positive.as_dict(), "npv": self.negative.as_dict()}


def predictive_value(answer: int, prevalence: float | None) -> Statistic:
    """The share of right answers among the yes (``answer`` 1) or the no (0); NaN where there is none.

    :param prevalence: share of units that are yes, 0 to 1; None for that of the units, in each resample its own.
    """

    def prepare(targets: Targets, answers: Answers) -> Weighted:
        found, spared = sensitivity.prepare(targets, answers), specificity.prepare(targets, answers)

        def weighted(weights: Any) -> float:
            total = float(weights.sum())
            if not total:
                return float("nan")
            share = float(weights[targets == 1].sum()) / total if prevalence is None else prevalence
            rates = (share * found(weights), (1 - share) * spared(weights))
            wrong = ((1 - share) - rates[1], share - rates[0])
            right = rates[0] if answer else rates[1]
            given = right + (wrong[0] if answer else wrong[1])
            return right / given if given > 0 else float("nan")

        return weighted

    return Statistic(prepare)


def predictive_values(
    targets: Targets, answers: NDArray[np.bool_], groups: NDArray[np.str_], prevalence: float | None, *, seed: int
) -> PredictiveValues:
    """Both predictive values of yes-or-no answers ``(n,)``, with patient-bootstrap intervals."""
    return PredictiveValues(
        *(patient_bootstrap(predictive_value(a, prevalence), targets, answers, groups, seed=seed) for a in (1, 0))
    )
