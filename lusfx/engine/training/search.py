"""What choosing among heads, settings and forms brought, on patients that no choice saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lusfx.engine.samples.samples import Samples, U
from lusfx.engine.training.cross_validation import CrossValidation
from lusfx.engine.training.paired import auc_difference, mean_auc
from lusfx.metrics import Interval


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
    return SearchBenefit(default, mean_auc(without, samples, seed), auc_difference(without, searched, samples, seed))
