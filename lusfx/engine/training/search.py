"""What choosing among heads, settings and forms brought, on patients that no choice saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.samples.samples import Samples, U
from lusfx.engine.training.cross_validation import CrossValidation
from lusfx.engine.training.task_figures import mean_roc_auc
from lusfx.metrics import Answers, Interval, Statistic, Targets, Weighted, patient_bootstrap

DEFAULT, SEARCH = 0, 1


@dataclass(frozen=True, slots=True)
class SearchBenefit:
    """The whole search against the default settings: the same folds, patients and resamples.

    :param default: what stands for no search, as text.
    :param default_auc: its cross-validated AUC, of several outcomes their mean.
    :param difference: the search's AUC minus that.
    """

    default: str
    default_auc: Interval
    difference: Interval

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the whole interval of the difference says so, else ``no better``."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no better"

    def __str__(self) -> str:
        difference = self.difference
        return (
            f"the search is {self.verdict} than the default settings ({self.default}): on patients that no choice saw, these "
            f"have AUC {self.default_auc}, and the search {difference.value:+.3f} ({difference.low:+.3f} to "
            f"{difference.high:+.3f})"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "verdict": f"{self.verdict} than the default settings",
            "default": self.default,
            "default_roc_auc": self.default_auc.as_dict(),
            "difference": self.difference.as_dict(),
        }


def benefit_of(
    default: str,
    without: Sequence[CrossValidation],
    searched: Sequence[CrossValidation],
    samples: Samples[U],
    seed: int,
) -> SearchBenefit:
    """Compare two cross-validations of one task with the same folds.

    :param default: what ``without`` is of, as text.
    :param without: one an outcome; ``searched`` likewise.
    """
    shape = (len(without[0].probabilities), len(samples), len(without))
    probabilities, folds = np.full((*shape, 2), np.nan), np.zeros(shape, np.int64)
    for number, pair in enumerate(zip(without, searched, strict=True)):
        for side, validation in enumerate(pair):
            probabilities[:, validation.rows, number, side] = validation.probabilities
        folds[:, pair[SEARCH].rows, number] = pair[SEARCH].folds
    targets, groups = samples.targets, samples.groups
    return SearchBenefit(
        default,
        patient_bootstrap(
            [mean_roc_auc(repeat) for repeat in folds], targets, probabilities[..., DEFAULT], groups, seed=seed
        ),
        patient_bootstrap([_difference(repeat) for repeat in folds], targets, probabilities, groups, seed=seed),
    )


def _difference(folds: NDArray[np.int64]) -> Statistic:
    """How much more the search has: of probabilities ``(n, n_outcomes, 2)``.

    :param folds: ``(n, n_outcomes)`` within which an AUC compares units.
    """
    auc = mean_roc_auc(folds)

    def prepare(targets: Targets, probabilities: Answers) -> Weighted:
        without, searched = (auc.prepare(targets, probabilities[..., side]) for side in (DEFAULT, SEARCH))
        return lambda weights: searched(weights) - without(weights)

    return Statistic(prepare)
